"""Quantities as people write them: numbers with SPICE suffixes and units, `10k`, `2.2uF`, `1Meg`, `40ns`.

Suffixes are those of SPICE in any case, `t g meg k m u n p f a`, with two differences. A capital `M`
is refused: it is milli in SPICE and mega everywhere else. A capital `F` or `A` is the unit (farad,
ampere), never femto or atto. Units are optional; a unit that is not the expected one is refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

_EXPONENT = {"t": 12, "g": 9, "meg": 6, "k": 3, "m": -3, "u": -6, "µ": -6, "μ": -6}
_EXPONENT |= {"n": -9, "p": -12, "f": -15, "a": -18}
_SUFFIX = {12: "T", 9: "G", 6: "Meg", 3: "k", 0: "", -3: "m", -6: "u", -9: "n", -12: "p", -15: "f", -18: "a"}

# symbol: (name in messages, other spellings, spellings that need a suffix before them)
_UNITS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "V": ("volts", ("v",), ()),
    "A": ("amperes", (), ("a",)),
    "Ohm": ("ohms", ("ohm", "OHM", "Ohms", "ohms", "Ω", "\N{OHM SIGN}"), ()),
    "S": ("siemens", (), ()),
    "F": ("farads", (), ("f",)),
    "H": ("henries", ("h",), ()),
    "s": ("seconds", (), ()),
    "Hz": ("hertz", ("hz", "HZ"), ()),
    "W": ("watts", ("w",), ()),
    "J": ("joules", ("j",), ()),
    "C": ("coulombs", (), ()),
    "K": ("kelvins", (), ()),
    "degC": ("degrees Celsius", ("°C",), ()),
    "m": ("metres", (), ()),
    "1/V": ("per volt", ("/V", "V^-1"), ()),
    "1/s": ("per second", ("/s", "s^-1"), ()),
}

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_QUANTITY = re.compile(rf"({_NUMBER})\s*(.*)", re.DOTALL)
_SUFFIXED = re.compile(r"([Mm][Ee][Gg]|[TtGgKkmUuµμNnPpfa])(.*)", re.DOTALL)


def parse_quantity(text: str | int | float, unit: str | None = None) -> float:
    """Read a number that may carry a SPICE suffix and a unit.

    Args:
        text: a number, or text such as `10k`, `10kOhm`, `1Meg`, `1e-9s`, `2.2 uF`.
        unit: the unit expected (`V`, `Ohm`, `s`, ...); `""` for a number without a unit; None for
            any unit, which is then ignored.

    Returns:
        The value in the expected unit, the float nearest to what was written.

    Raises:
        ValueError: not a finite number, an unknown suffix, another unit than the one expected, or an
            ambiguous text (`1M`); the message says what to write instead.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(f"expected {_wanted(unit)}, got {text!r}")
    if not isinstance(text, str):
        return _finite(text, "the value")
    written = text.strip()
    match = _QUANTITY.fullmatch(written)
    if match is None or len(written) > 100:
        raise ValueError(f"expected {_wanted(unit)}, got {text[:40]!r}")
    number, rest = match.groups()
    mantissa, _, power = number.lower().partition("e")
    exponent = _exponent(written, number, rest, unit)
    return _finite(f"{mantissa}e{int(power or 0) + exponent}", repr(written))


def parse_in(value: str | int | float, unit: str) -> float:
    """Read a number in any SI unit: one that `parse_quantity` knows may be written, others may not.

    Raises:
        ValueError: see `parse_quantity`.
    """
    return parse_quantity(value, unit if unit in _UNITS else "")


def format_quantity(value: float, unit: str = "", digits: int = 6) -> str:
    """Write a value in engineering notation that SPICE and `parse_quantity` read: `40ns`, `1.5MegOhm`.

    Args:
        value: the value in `unit`; finite.
        unit: the unit; `""` for none.
        digits: significant digits shown at most.

    Returns:
        Text that `parse_quantity(text, unit)` reads back to `digits` digits. Beyond the suffixes it has
        an exponent (`1e+16Ohm`); whole metres are written without unit, as `5m` would be 5 milli.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    rounded = f"{value:.{digits - 1}e}"
    exponent = int(rounded.partition("e")[2])
    step = 3 * (exponent // 3) if value else 0
    if step not in _SUFFIX:
        mantissa, suffix = f"{float(rounded):.{digits}g}", ""
    else:
        shifted = f"{Decimal(rounded).scaleb(-step):f}"
        mantissa = shifted.rstrip("0").rstrip(".") if "." in shifted else shifted
        suffix = _SUFFIX[step]
    symbol = unit.removeprefix("1") if unit.startswith("1/") else unit
    return mantissa + suffix + ("" if not suffix and unit == "m" else symbol)


def _finite(number: str | float, name: str) -> float:
    try:
        value = float(number)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueError(f"{name} is not a finite number")
    return value


def _exponent(written: str, number: str, rest: str, unit: str | None) -> int:
    """The power of ten of what follows the number; refuses what is wrong or ambiguous."""
    if not rest or (rest != "m" and rest in _spellings(unit)):
        return 0
    if rest.lower() in ("mil", "mils"):
        raise ValueError(f"{written!r}: mil (25.4 um) is not supported; write it in metres, e.g. '25.4um'")
    if rest[0] == "M" and rest[:3].lower() != "meg":
        tail = rest[1:]
        raise ValueError(
            f"{written!r} is ambiguous: M is milli in SPICE and mega elsewhere; "
            f"write {number}Meg{tail} or {number}m{tail}"
        )
    if rest == "m" and unit == "m":
        raise ValueError(f"{written!r} is ambiguous: write {number}mm (milli), or {number} for metres")
    if rest in ("F", "A") and unit is None:
        prefix, full = ("femto", "farad") if rest == "F" else ("atto", "ampere")
        raise ValueError(
            f"{written!r} is ambiguous: {full} or SPICE's {prefix}; write {number}{rest.lower()} ({prefix}), "
            f"or {number} for {full}s"
        )
    match = _SUFFIXED.fullmatch(rest)
    if match and (not match[2] or match[2] in _spellings(unit, after_suffix=True)):
        return _EXPONENT[match[1].lower()]
    for tail in (rest, match[2] if match else rest):
        for symbol in _UNITS:
            if tail in _spellings(symbol, after_suffix=tail is not rest):
                raise ValueError(f"{written!r} is in {_name(symbol)}, expected {_wanted(unit)}")
    advice = "suffixes are T G Meg k m u n p f a"
    raise ValueError(f"{written!r}: unknown suffix or unit {rest!r}, expected {_wanted(unit)}; {advice}")


def _spellings(unit: str | None, after_suffix: bool = False) -> tuple[str, ...]:
    """All accepted spellings of a unit; of every unit for None."""
    if unit is None:
        # Alone, K is SPICE's kilo; farad and ampere alone are refused by the caller.
        return tuple(
            s for u in _UNITS if after_suffix or u not in ("K", "F", "A") for s in _spellings(u, after_suffix)
        )
    if not unit:
        return ()
    _, others, suffixed = _UNITS.get(unit, ("", (), ()))
    return (unit, *others, *(suffixed if after_suffix else ()))


def _name(unit: str) -> str:
    return f"{_UNITS[unit][0]} ({unit})" if unit in _UNITS else unit


def _wanted(unit: str | None) -> str:
    return "a number" if unit is None else f"a number in {_name(unit)}" if unit else "a number without a unit"


@dataclass(frozen=True)
class Quantity:
    """Marks a pydantic float that is read with `parse_quantity`: `Annotated[float, Quantity("V")]`.

    Attributes:
        unit: the unit expected; `""` for a number without a unit.
    """

    unit: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Parse before pydantic looks at the value."""
        return core_schema.no_info_before_validator_function(self._parse, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """A number, or text in the pattern that the parser reads."""
        example = "10k" + (self.unit.removeprefix("1") if self.unit.startswith("1/") else self.unit)
        described = f"{_wanted(self.unit)}; SPICE suffixes T G Meg k m u n p f a, e.g. {example}"
        text = {"type": "string", "pattern": self.pattern}
        return {"anyOf": [{"type": "number"}, text], "description": described}

    @property
    def pattern(self) -> str:
        """A regular expression of the texts that are read (one dialect of Python and ECMAScript)."""
        suffix = "(?:[Mm][Ee][Gg]|[TtGgKkmUuµμNnPpfa])"
        alone = "|".join(re.escape(s) for s in _spellings(self.unit) if s != "m")
        after = "|".join(re.escape(s) for s in _spellings(self.unit, after_suffix=True))
        bare = "[TtGgKkUuµμNnPpfa]|[Mm][Ee][Gg]" if self.unit == "m" else suffix
        ends = [bare] + ([alone] if alone else []) + ([f"{suffix}(?:{after})"] if after else [])
        return rf"^\s*{_NUMBER}\s*(?:{'|'.join(ends)})?\s*$"

    def _parse(self, value: Any) -> float:
        return parse_quantity(value, self.unit)


Volts = Annotated[float, Quantity("V")]
Amperes = Annotated[float, Quantity("A")]
Ohms = Annotated[float, Quantity("Ohm")]
Siemens = Annotated[float, Quantity("S")]
Farads = Annotated[float, Quantity("F")]
Henries = Annotated[float, Quantity("H")]
Seconds = Annotated[float, Quantity("s")]
Hertz = Annotated[float, Quantity("Hz")]
Watts = Annotated[float, Quantity("W")]
Joules = Annotated[float, Quantity("J")]
Coulombs = Annotated[float, Quantity("C")]
Kelvins = Annotated[float, Quantity("K")]
Celsius = Annotated[float, Quantity("degC")]
Metres = Annotated[float, Quantity("m")]
PerVolt = Annotated[float, Quantity("1/V")]
PerSecond = Annotated[float, Quantity("1/s")]
Number = Annotated[float, Quantity("")]
