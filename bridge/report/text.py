"""Numbers as a reader wants them: with units, a dash for what is not known, never `nan`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

DASH = "–"
NBSP = "\N{NO-BREAK SPACE}"
_PREFIX = {12: "T", 9: "G", 6: "M", 3: "k", 0: "", -3: "m", -6: "µ", -9: "n", -12: "p", -15: "f", -18: "a"}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def known(value: Any) -> bool:
    """Whether there is a finite number."""
    return isinstance(value, int | float | np.number) and math.isfinite(value)


def number(value: Any, digits: int = 4) -> str:
    """A number to some significant digits, powers of ten as superscripts: `0.01234`, `1.5×10⁻⁶`."""
    if not known(value):
        return DASH
    if value == 0 or 1e-4 <= abs(value) < 1e5:
        plain = np.format_float_positional(value, digits, unique=False, fractional=False, trim="-")
        return plain.replace("-", "−")
    mantissa, _, exponent = f"{float(value):.{digits - 1}e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    mantissa = mantissa.replace("-", "−")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPT)
    return power if mantissa == "1" else f"{mantissa}×{power}"


def percent(share: Any) -> str:
    """A share of 1 as percent."""
    return f"{100 * float(share):.2f}{NBSP}%" if known(share) else DASH


def count(value: Any) -> str:
    """A whole number with separators: `12,345`."""
    return f"{int(value):,}" if known(value) else DASH


def duration(seconds: Any) -> str:
    """A time: `83 ms`, `12.3 s`, `4 min 05 s`, `2 h 07 min`."""
    if not known(seconds):
        return DASH
    if seconds < 1:
        return quantity(seconds, "s", 3)
    if seconds < 99.95:
        return f"{seconds:.1f}{NBSP}s"
    if seconds < 3599.5:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes}{NBSP}min {rest:02d}{NBSP}s"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours}{NBSP}h {rest:02d}{NBSP}min"


def quantity(value: Any, unit: str, digits: int = 4) -> str:
    """A quantity with an SI prefix: `12.5 µS`."""
    if not known(value):
        return DASH
    factor, prefixed = scaled([value], unit)
    return f"{number(float(value) * factor, digits)}{NBSP}{prefixed}".rstrip(NBSP)


def scaled(values: ArrayLike, unit: str, logarithmic: bool = False) -> tuple[float, str]:
    """The SI prefix that suits values.

    Args:
        values: any shape, in `unit`; values that are not finite do not count.
        unit: a plain SI unit; none (`""` or `1`) or a compound one gets no prefix.
        logarithmic: suit the middle of the magnitudes instead of the largest one.

    Returns:
        The factor to multiply values with, and the unit with its prefix.
    """
    if unit in ("", "1") or not unit.isalpha():
        return 1.0, "" if unit == "1" else unit
    sizes = np.abs(np.asarray(values, dtype=float))
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    if not sizes.size:
        return 1.0, unit
    size = float(np.exp(np.log(sizes).mean())) if logarithmic else float(sizes.max())
    step = min(12, max(-18, 3 * math.floor(math.log10(size * (1 + 1e-9)) / 3)))
    return 10.0**-step, _PREFIX[step] + unit


def flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested mapping as rows of dotted keys and text."""
    rows: list[tuple[str, str]] = []
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += flat(value, f"{name}.")
        elif isinstance(value, list | tuple):
            rows.append((name, " ".join(str(item) for item in value) or DASH))
        else:
            rows.append((name, DASH if value is None else str(value)))
    return rows
