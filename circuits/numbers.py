"""Numbers written for ngspice so that a netlist and an `alter` read the same double."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


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


_WIDTH = 22  # of "1.234567890123456e-05" and the end of its line


def spice_numbers(values: NDArray[np.float64]) -> list[bytes]:
    """`spice_number` of many values `(n,)`, at the cost of a few.

    Raises:
        ValueError: a value is not finite.
    """
    if not len(values):
        return []
    text = ("%.15e\n" * len(values) % tuple(values.tolist())).encode()
    if len(text) != _WIDTH * len(values) or not (values > 0.0).all():
        return [spice_number(v).encode() for v in values.tolist()]
    letters = np.frombuffer(text, dtype=np.uint8).reshape(-1, _WIDTH)
    power = 10 * letters[:, 19].astype(np.int64) + letters[:, 20] - 11 * ord("0")
    power = np.where(letters[:, 18] == ord("-"), -power, power) - 15
    found = np.zeros((len(values), 20), dtype=np.uint8)
    found[:, 0] = letters[:, 0]
    found[:, 1:16] = letters[:, 2:17]
    found[:, 16] = ord("e")
    found[:, 17] = ord("-")
    tens, ones = np.divmod(-power, 10)
    found[:, 18] = np.where(tens, tens, ones) + ord("0")
    found[:, 19] = np.where(tens, ones + ord("0"), 0)  # a zero byte ends a shorter one
    numbers: list[bytes] = found.view("S20")[:, 0].tolist()
    special = (letters[:, 16] == ord("0")) | (power >= 0) | (power <= -100)
    for k in np.flatnonzero(special).tolist():
        numbers[k] = spice_number(float(values[k])).encode()
    return numbers
