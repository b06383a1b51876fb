"""Numbers written for ngspice: no digit lost, and one double whichever of its parsers reads them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.ngspice.session import Session
from circuits.deck import Deck
from circuits.numbers import spice_number, spice_numbers

finite = st.floats(min_value=-1e300, max_value=1e300, allow_subnormal=False)


@given(finite)
@example(0.1 + 0.2)
@example(-1e-15)
@example(1e300)
def test_sixteen_digits_survive(value: float) -> None:
    assert float(spice_number(value)) == pytest.approx(value, rel=5.1e-16, abs=0.0)


@given(finite)
def test_the_mantissa_is_an_integer_of_at_most_sixteen_digits(value: float) -> None:
    found = re.fullmatch(r"-?(\d{1,16})(e-?\d+)?", spice_number(value))
    assert found
    assert found[1] == "0" or not found[1].endswith("0")


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (-0.0, "0"), (1.0, "1"), (-2.5, "-25e-1"), (1e3, "1e3"), (1e-9, "1e-9")]
)
def test_known_numbers(value: float, text: str) -> None:
    assert spice_number(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        spice_number(value)


positive = st.floats(min_value=1e-40, max_value=1e40, allow_subnormal=False)


@given(st.lists(positive, max_size=8) | st.lists(finite, max_size=8))
@example([1e-9, 1.0, 1e15, 0.1, 1e6 / 3, 1e9 / 3, 1e14 / 3, 1e15 / 3, 1e16 / 3, 1e-84 / 3, 1e-85 / 3])
@example([2.0 / 3.0, -2.0 / 3.0])
@example([2.0 / 3.0, 0.0])
def test_many_numbers_are_written_like_one(values: list[float]) -> None:
    assert spice_numbers(np.array(values)) == [spice_number(v).encode() for v in values]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_of_many_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        spice_numbers(np.array([1.0 / 3.0, bad]))


def test_netlist_and_alter_read_the_same_double(session: Session) -> None:
    rng = np.random.default_rng(1)
    values = np.exp(rng.uniform(np.log(1e-3), np.log(1e12), 400))

    def deck(resistances: np.ndarray) -> Deck:
        lines = [f"r{k} a 0 {spice_number(r)}" for k, r in enumerate(resistances)]
        saves = tuple(f"@r{k}[resistance]" for k in range(len(resistances)))
        return Deck("numbers", ("v1 a 0 dc 1", *lines), (), saves)

    fresh = session.load(deck(values)).operating_point()
    altered = session.load(deck(np.full(len(values), 7.0)))
    altered.alter([f"r{k}" for k in range(len(values))], values)
    found = altered.operating_point()
    assert np.array_equal(fresh, found)
    np.testing.assert_allclose(found, values, rtol=1e-15)
