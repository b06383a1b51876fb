"""One swept key: its values, or the range that they are drawn from."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bridge.sweep.spec import ParameterSpec
from bridge.units import Quantity, parse_quantity


@dataclass(frozen=True)
class Choice:
    """A value: as the file gives it, and as the experiment reads it."""

    given: Any
    resolved: Any


@dataclass(frozen=True)
class Axis:
    """A swept key.

    Attributes:
        path: the key, dotted.
        choices: its values; empty for a range that is drawn from.
        low: start of a range, in the key's unit.
        high: end of a range.
        log: whether ratios count, not differences.
        whole: whether the key takes whole numbers.
    """

    path: str
    choices: tuple[Choice, ...]
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    whole: bool = False

    @classmethod
    def make(cls, path: str, spec: ParameterSpec, read: Callable[[str, Any], Any]) -> Axis:
        """Make the axis of a key.

        Args:
            path: the key.
            spec: its values or range.
            read: reads one value of a key as the experiment does.

        Raises:
            ValueError: a range that is none, or has fewer values than it is said to have.
        """
        if spec.values is not None:
            found = []
            for value in spec.values:
                with contextlib.suppress(ValueError):  # the whole point is refused later, with the line
                    found.append(Choice(value, _number(read(path, value))))
                    continue
                found.append(Choice(value, value))
            return cls(path, tuple(found), log=_looks_logarithmic([c.resolved for c in found]))
        ends = [read(path, spec.min), read(path, spec.max)]
        for name, end in zip(("min", "max"), ends, strict=True):
            if isinstance(_number(end), str | bool) or not isinstance(_number(end), int | float):
                raise ValueError(f"{name} must be a number, got {end!r}")
        whole = all(isinstance(end, int) for end in ends)
        low, high = (float(_number(end)) for end in ends)
        log = spec.scale == "log"
        if not low < high:
            raise ValueError(f"needs min < max, got {low:g} and {high:g}")
        if log and low <= 0:
            raise ValueError(f"scale log needs a positive min, got {low:g}")
        axis = cls(path, (), low, high, log, whole)
        if spec.num is None:
            return axis
        values = (np.geomspace if log else np.linspace)(low, high, spec.num)
        kept = [axis.tidy(v) for v in values]
        if len(set(kept)) < len(kept):
            raise ValueError(f"there are no {spec.num} different whole numbers from {low:g} to {high:g}")
        return cls(path, tuple(Choice(v, v) for v in kept), low, high, log, whole)

    @property
    def ends(self) -> tuple[Choice, Choice]:
        """The first and the last value."""
        if self.choices:
            return self.choices[0], self.choices[-1]
        low, high = self.tidy(self.low), self.tidy(self.high)
        return Choice(low, low), Choice(high, high)

    def tidy(self, value: float) -> float | int:
        """A drawn or computed value as it is used: 12 digits, the same on every platform."""
        return round(value) if self.whole else float(f"{value:.12g}")

    def draw(self, rng: np.random.Generator) -> Choice:
        """Draw a value: one of the list, or one of the range, uniform in its scale."""
        if self.choices:
            return self.choices[int(rng.integers(len(self.choices)))]
        if self.log:
            value = self.tidy(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        elif self.whole:
            value = int(rng.integers(round(self.low), round(self.high) + 1))
        else:
            value = self.tidy(rng.uniform(self.low, self.high))
        return Choice(value, value)


def unit(spec: BaseModel, path: str) -> str:
    """The unit of a key of an experiment; empty where it has none, or is no number."""
    *outer, last = path.split(".")
    place: Any = spec
    for key in outer:
        if isinstance(place, list | tuple):
            place = place[int(key)] if key.isdecimal() and int(key) < len(place) else None
        else:
            place = getattr(place, key, None)
    if not isinstance(place, BaseModel) or last not in type(place).model_fields:
        return ""
    field = type(place).model_fields[last]
    if isinstance(getattr(place, last), list | tuple | dict | BaseModel):
        return ""
    return next((mark.unit for mark in marks(field) if isinstance(mark, Quantity)), "")


def marks(field: FieldInfo) -> list[Any]:
    """Everything that is annotated to a field's type, or to one of those that it may have."""
    found, waiting = list(field.metadata), [field.annotation]
    while waiting:
        parts = get_args(waiting.pop())
        found += [part for part in parts if isinstance(part, Quantity)]
        waiting += [part for part in parts if not isinstance(part, Quantity)]
    return found


def flatten(content: Any, prefix: str = "") -> dict[str, Any]:
    """Plain data as dotted paths and scalars; items of lists by their number."""
    if isinstance(content, dict | list):
        pairs = content.items() if isinstance(content, dict) else enumerate(content)
        found: dict[str, Any] = {}
        for key, value in pairs:
            found |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
        return found
    return {prefix: content}


def _number(value: Any) -> Any:
    """Text that is a quantity as its number; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return parse_quantity(value)
    except ValueError:
        return value


def _looks_logarithmic(values: list[Any]) -> bool:
    """Whether positive numbers span more than a decade in ever larger steps."""
    if len(values) < 3 or not all(isinstance(v, int | float) and v > 0 for v in values):
        return False
    ordered = sorted(map(float, values))
    return ordered[-1] / ordered[0] > 10 and ordered[-1] - ordered[-2] > 3 * (ordered[1] - ordered[0])
