import math
import re
from typing import Annotated, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from bridge import units
from bridge.units import Number, Ohms, PerVolt, Quantity, Seconds, format_quantity, parse_quantity

UNITS = ["V", "A", "Ohm", "S", "F", "H", "s", "Hz", "W", "J", "C", "K", "degC", "m", "1/V", "1/s", ""]


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("10k", None, 1e4),
        ("10kOhm", "Ohm", 1e4),
        ("10KOHM", "Ohm", 1e4),
        ("4.7kΩ", "Ohm", 4700.0),
        ("1Meg", None, 1e6),
        ("1meg", "V", 1e6),
        ("1MEGOhm", "Ohm", 1e6),
        ("1m", "Ohm", 1e-3),
        ("5m", "V", 5e-3),
        ("40ns", "s", 40e-9),
        ("2.2uF", "F", 2.2e-6),
        ("2.2µF", "F", 2.2e-6),
        ("2.2 μF", "F", 2.2e-6),
        ("1e-9", "", 1e-9),
        ("1e-9s", "s", 1e-9),
        ("1e3k", "", 1e6),
        ("-.5mV", "V", -5e-4),
        ("1T", "", 1e12),
        ("1G", "", 1e9),
        ("1n", "", 1e-9),
        ("1P", "", 1e-12),
        ("1f", "", 1e-15),
        ("1a", "", 1e-18),
        ("10F", "F", 10.0),
        ("10f", "F", 10e-15),
        ("10fF", "F", 10e-15),
        ("10pf", "F", 10e-12),
        ("1A", "A", 1.0),
        ("1a", "A", 1e-18),
        ("1mA", "A", 1e-3),
        ("1fA", "A", 1e-15),
        ("10s", "s", 10.0),
        ("10S", "S", 10.0),
        ("300K", "K", 300.0),
        ("300k", "K", 3e5),
        ("10K", "Ohm", 1e4),
        ("27degC", "degC", 27.0),
        ("25.4um", "m", 25.4e-6),
        ("0.5/V", "1/V", 0.5),
        ("2 1/V", "1/V", 2.0),
        ("5mA", None, 5e-3),
        (3, "V", 3.0),
        (0.1, "V", 0.1),
    ],
)
def test_reads_what_people_write(text: str | float, unit: str | None, value: float) -> None:
    assert parse_quantity(text, unit) == value


@pytest.mark.parametrize("text", ["1M", "1MOhm", "1MHz", "1MV", "1MF", "1Mohm", "2.5 M"])
@pytest.mark.parametrize("unit", [None, "", "Ohm"])
def test_capital_m_alone_is_refused_with_both_readings(text: str, unit: str | None) -> None:
    number, tail = re.fullmatch(r"([0-9.]+) *M(.*)", text).groups()  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=re.escape(f"write {number}Meg{tail} or {number}m{tail}")):
        parse_quantity(text, unit)


@pytest.mark.parametrize(
    ("text", "unit", "says"),
    [
        ("10kOhm", "s", ["ohms (Ohm)", "seconds (s)"]),
        ("10S", "s", ["siemens (S)", "seconds (s)"]),
        ("10s", "S", ["seconds (s)", "siemens (S)"]),
        ("10F", "V", ["farads (F)", "volts (V)"]),
        ("10A", "V", ["amperes (A)", "volts (V)"]),
        ("10F", None, ["farad", "femto", "10f"]),
        ("10A", None, ["ampere", "atto", "10a"]),
        ("1kV", "", ["volts (V)", "without a unit"]),
        ("27degC", "K", ["Celsius", "kelvins"]),
        ("1mil", "m", ["mil", "25.4um"]),
        ("5m", "m", ["ambiguous", "5mm"]),
        ("1x", "V", ["unknown", "'x'"]),
        ("1kk", "V", ["unknown", "'kk'"]),
        ("k", "V", ["volts", "'k'"]),
        ("", "V", ["volts"]),
        ("nan", "V", ["volts", "'nan'"]),
        ("1e400", "V", ["not a finite number"]),
        (math.inf, "V", ["not a finite number"]),
        (math.nan, "V", ["not a finite number"]),
        (10**400, "V", ["not a finite number"]),
        (True, "V", ["volts", "True"]),
        (None, "V", ["volts", "None"]),
        ("1 2", "V", ["unknown", "'2'"]),
        ("١", "V", ["volts"]),
    ],
)
def test_refuses_with_a_reason(text: str, unit: str | None, says: list[str]) -> None:
    with pytest.raises(ValueError, match=re.escape(says[0])) as caught:
        parse_quantity(text, unit)
    assert [part for part in says if part not in str(caught.value)] == []


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_survives_as_text(value: float) -> None:
    assert parse_quantity(repr(value)) == value
    assert parse_quantity(f"{value!r}V", "V") == value


@given(st.floats(1e-30, 1e30) | st.floats(-1e30, -1e-30), st.sampled_from(UNITS), st.integers(1, 15))
def test_formatted_reads_back_to_the_digits_shown(value: float, unit: str, digits: int) -> None:
    text = format_quantity(value, unit, digits)
    assert parse_quantity(text, unit) == float(f"{value:.{digits - 1}e}")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (40e-9, "s", "40ns"),
        (1e4, "Ohm", "10kOhm"),
        (1.5e6, "Ohm", "1.5MegOhm"),
        (-2.2e-6, "F", "-2.2uF"),
        (999.9999999, "V", "1kV"),
        (0.0, "V", "0V"),
        (0.5, "1/V", "500m/V"),
        (1e16, "Ohm", "1e+16Ohm"),
        (5.0, "m", "5"),
        (100.0, "", "100"),
    ],
)
def test_engineering_notation(value: float, unit: str, text: str) -> None:
    assert format_quantity(value, unit) == text


def test_no_text_for_nan() -> None:
    with pytest.raises(ValueError, match="finite"):
        format_quantity(math.nan, "V")


class Model(BaseModel):
    r: Ohms = Field(gt=0)
    t: Seconds | None = None
    k: PerVolt = 1.0
    n: Number = 0.0


def test_model_reads_quantities_and_keeps_bounds() -> None:
    model = Model.model_validate({"r": "10k", "t": "1e-9", "k": "2/V", "n": "1k"})
    assert (model.r, model.t, model.k, model.n) == (1e4, 1e-9, 2.0, 1e3)
    for wrong in ({"r": "-1"}, {"r": 0}, {"r": 1, "t": "1V"}, {"r": 1, "n": "1V"}, {"r": math.inf}):
        with pytest.raises(ValidationError):
            Model.model_validate(wrong)


def test_schema_offers_number_or_text() -> None:
    schema = Model.model_json_schema()["properties"]["r"]
    assert [option["type"] for option in schema["anyOf"]] == ["number", "string"]
    assert "ohms (Ohm)" in schema["description"]


ENDS = [
    "",
    "M",
    "m",
    "mil",
    "Meg",
    "mEG",
    "k",
    "K",
    "F",
    "f",
    "A",
    "a",
    "x",
    "°C",
    "Ω",
    "pf",
    "FF",
    "/V",
    "1/V",
    " ",
]


@given(
    st.sampled_from(UNITS),
    st.sampled_from(["1", "1.", ".5", "-2e-3", "1e", "", "+", " 3 "]),
    st.sampled_from(ENDS),
    st.sampled_from(["", *UNITS, "ohm", "v", "a", "hz"]),
)
def test_schema_pattern_accepts_exactly_what_is_read(unit: str, number: str, suffix: str, tail: str) -> None:
    text = number + suffix + tail
    try:
        parse_quantity(text, unit)
        read = True
    except ValueError:
        read = False
    assert bool(re.search(Quantity(unit).pattern, text)) is read


def test_every_type_has_its_unit() -> None:
    marked = {
        name: mark.unit
        for name, value in vars(units).items()
        for mark in get_args(value)[1:]
        if isinstance(mark, Quantity)
    }
    assert sorted(marked.values()) == sorted(UNITS)
    assert marked["Volts"] == "V"
    assert get_args(Annotated[float, Quantity("V")])[1] == Quantity("V")
