"""Numbers written for ngspice so that a netlist and an `alter` read the same double."""

from __future__ import annotations

import math


def spice_number(value: float) -> str:
    """Write a number for ngspice: an integer mantissa of at most 16 digits and a power of ten.

    ngspice reads numbers with two parsers, one for netlists and one for commands, and they round digits
    behind a decimal point differently. Both read this form alike, so that an altered circuit equals a
    freshly loaded one to the last digit.

    Raises:
        ValueError: the value is not finite.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} cannot be written into a netlist")
    if value == 0:
        return "0"
    text = f"{value:.15e}"
    sign, start = ("-", 1) if value < 0 else ("", 0)
    digits = (text[start] + text[start + 2 : start + 17]).rstrip("0")
    power = int(text[start + 18 :]) - len(digits) + 1
    return f"{sign}{digits}e{power}" if power else f"{sign}{digits}"
