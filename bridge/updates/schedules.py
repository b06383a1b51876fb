"""Learning-rate schedules: pure functions of the epoch, which may be a fraction.

A schedule holds no state, so that a resumed run needs nothing but its epoch. Epochs count from 0.
Every schedule can begin with a linear warm-up: its rate is multiplied by
`min(1, (epoch + 1) / (warmup + 1))`, which reaches 1 at `warmup` and is not 0 in epoch 0, an epoch
that would teach nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.errors import TellegenError


class ScheduleError(TellegenError):
    """A schedule's kind or one of its options is wrong."""


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The same learning rate in every epoch after the warm-up; base of the other schedules.

    Attributes:
        rate: learning rate [unit of the optimizer's step], at least 0.
        warmup: epochs of linear warm-up, at least 0.
    """

    rate: float
    warmup: float = 0.0

    def __post_init__(self) -> None:
        _require("rate", self.rate, low=0.0)
        _require("warmup", self.warmup, low=0.0)

    def __call__(self, epoch: float) -> float:
        """Learning rate at `epoch`, a number of at least 0."""
        _require("epoch", epoch, low=0.0)
        return self.rate * min(1.0, (epoch + 1.0) / (self.warmup + 1.0)) * self._share(epoch)

    def _share(self, epoch: float) -> float:
        """Share of `rate` that is left at `epoch`."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Exponential(Constant):
    """`rate * decay**epoch`.

    Attributes:
        decay: factor per epoch, above 0 and at most 1.
    """

    decay: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _require("decay", self.decay, above=0.0, high=1.0)

    def _share(self, epoch: float) -> float:
        return float(self.decay**epoch)


@dataclass(frozen=True, kw_only=True)
class Step(Constant):
    """`rate * decay**floor(epoch / every)`: the same for `every` epochs, then a step.

    Attributes:
        every: epochs between steps, above 0.
        decay: factor of a step, above 0 and at most 1.
    """

    every: float
    decay: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        _require("every", self.every, above=0.0)
        _require("decay", self.decay, above=0.0, high=1.0)

    def _share(self, epoch: float) -> float:
        return float(self.decay ** math.floor(epoch / self.every))


@dataclass(frozen=True, kw_only=True)
class Cosine(Constant):
    """After the warm-up half a cosine from `rate` to `final * rate`, which then stays.

    The share of the rate is `final + (1 - final) (1 + cos(pi s)) / 2` with `s` running from 0 at `warmup` to
    1 at `epochs` (Loshchilov & Hutter 2017, arXiv:1608.03983, equation 5, without restarts).

    Attributes:
        epochs: epoch at which the end is reached, above `warmup`.
        final: last share of the rate, from 0 to 1.
    """

    epochs: float
    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require("epochs", self.epochs, above=self.warmup)
        _require("final", self.final, low=0.0, high=1.0)

    def _share(self, epoch: float) -> float:
        part = min(1.0, max(0.0, (epoch - self.warmup) / (self.epochs - self.warmup)))
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * part))


Schedule = Callable[[float], float]
SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": Constant,
    "exponential": Exponential,
    "step": Step,
    "cosine": Cosine,
}


def make_schedule(kind: str, **options: Any) -> Schedule:
    """Make the schedule that an experiment names.

    Args:
        kind: `constant`, `exponential`, `step` or `cosine`.
        **options: the schedule's own attributes, such as `rate`.

    Returns:
        A function from the epoch to the learning rate; it can be pickled.

    Raises:
        ScheduleError: the kind or an option is unknown, or an option's value is out of range.
    """
    if kind not in SCHEDULES:
        raise ScheduleError(f"unknown schedule {kind!r}; choose one of: {', '.join(SCHEDULES)}")
    try:
        return SCHEDULES[kind](**options)
    except TypeError as error:
        raise ScheduleError(f"schedule {kind!r}: {error}; correct the schedule's options") from error


def _require(
    name: str, value: float, low: float = -math.inf, high: float = math.inf, above: float = -math.inf
) -> None:
    """Refuse a value that is not finite or not in `low <= value <= high`, `value > above`."""
    if not (math.isfinite(value) and low <= value <= high and value > above):
        bounds = [f"at least {low:g}"] if low > -math.inf else []
        bounds += [f"above {above:g}"] if above > -math.inf else []
        bounds += [f"at most {high:g}"] if high < math.inf else []
        raise ScheduleError(f"schedule: {name} is {value}; it must be finite and {' and '.join(bounds)}")
