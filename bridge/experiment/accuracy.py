"""The largest time step of a transient that a wanted accuracy of the gradient allows.

The integration rule is of second order: halving the step `h` takes the error of the gradient to a quarter.
With `d` the difference of the gradients at `h` and `h / 2`, as a share of the finer one's length, the error
at `h` is about `d 2^p / (2^p - 1)`, where the order `p` is the one seen between the last two halvings, at
most 2 (Richardson, Phil. Trans. R. Soc. A 210, 307, 1911). The choice depends on the circuit, the first
minibatch and the initial parameters only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.dynamics import DynamicPlan
from bridge.errors import SimulationError, SpecError
from bridge.estimators.base import Estimator
from bridge.plans import StaticPlan
from bridge.simulator import Simulator

FloatArray = NDArray[np.float64]
Plan = StaticPlan | DynamicPlan

_COARSEST, _HALVINGS, _ORDER = 25, 11, 2.0
_MOST_SAMPLES = 16
_MARGIN = 1.1  # more steps than the order predicts, for a step between two tried ones


@dataclass(frozen=True)
class Choice:
    """A time step and what it rests on.

    Attributes:
        asked: accuracy wanted: error of the gradient as a share of its length.
        step: largest time step [s].
        error: estimated error of the gradient at that step.
        order: order of convergence seen.
        trials: every step tried and the error estimated there.
    """

    asked: float
    step: float
    error: float
    order: float
    trials: tuple[tuple[float, float], ...]

    def line(self) -> str:
        """For the log."""
        return (
            f"time step {self.step:.4g} s: error of the gradient {self.error:.2g}, asked {self.asked:.2g} "
            f"(order {self.order:.2f}, {len(self.trials)} steps tried)"
        )

    def data(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def of(cls, data: dict[str, Any]) -> Choice:
        """The inverse of `data`."""
        return cls(**{**data, "trials": tuple((float(h), float(e)) for h, e in data["trials"])})


def distance(a: FloatArray, b: FloatArray) -> float:
    """Length of `a - b` as a share of that of `b`."""
    size = float(np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / size if size > 0.0 else math.inf


def choose_step(gradient: Callable[[float], FloatArray], duration: float, asked: float) -> Choice:
    """The largest step at which the gradient has the accuracy wanted.

    Args:
        gradient: at a time step [s].
        duration: of the transient [s].
        asked: error allowed, as a share of the gradient's length.

    Raises:
        SpecError: no step gives it.
    """
    trials: list[tuple[float, float]] = []
    found: dict[int, FloatArray | None] = {}

    def at(count: int) -> FloatArray | None:
        if count not in found:
            try:
                found[count] = gradient(duration / count)
            except SimulationError:  # too coarse to be simulated at all
                found[count] = None
        return found[count]

    last, failed = math.inf, 0
    for k in range(_HALVINGS):
        count = _COARSEST * 2**k
        here, finer = at(count), at(2 * count)
        if here is None or finer is None:
            failed = count
            continue
        apart = distance(here, finer)
        order = min(_ORDER, max(0.5, math.log2(last / apart))) if 0.0 < apart < last < math.inf else 1.0
        power = 2.0**order
        error = apart * power / (power - 1.0)
        trials.append((duration / count, error))
        last = apart
        if error > asked:
            failed = count
            continue
        exact = finer + (finer - here) / (power - 1.0)
        between = math.ceil(_MARGIN * count * (error / asked) ** (1.0 / order))
        if max(failed, _COARSEST) < between < 0.9 * count and (coarser := at(between)) is not None:
            less = distance(coarser, exact)
            trials.append((duration / between, less))
            if less <= asked:
                return Choice(asked, duration / between, less, order, tuple(trials))
        return Choice(asked, duration / count, error, order, tuple(trials))
    best = min((e for _, e in trials), default=math.inf)
    raise SpecError(
        f"accuracy {asked:g}: the gradient reaches {best:.2g} with {_COARSEST * 2 ** (_HALVINGS - 1)} steps; "
        "ask for less, tighten engine.reltol, or give a step"
    )


def at_step(plan: Any, step: float) -> Any:
    """A plan with another largest time step [s]."""
    if isinstance(plan, StaticPlan):
        assert plan.settling is not None
        return replace(plan, settling=replace(plan.settling, step=step))
    return replace(plan, step=step)


@dataclass(frozen=True)
class StepTask:
    """A task at another time step than the plan's."""

    task: Any
    step: float

    def run(self, phases: Any) -> Any:
        """Do it, and put the plan's step back."""
        kept = phases.plan
        phases.plan = at_step(kept, self.step)
        try:
            return self.task.run(phases)
        finally:
            phases.plan = kept


def gradient_at(
    simulator: Simulator, batch: Any, loss: Any, estimator: Estimator
) -> Callable[[float], FloatArray]:
    """The gradient of a batch at the simulator's parameters as a function of the time step [s]."""
    some = batch.chunks(_MOST_SAMPLES)[0]

    def gradient(step: float) -> FloatArray:
        tasks = [StepTask(task, step) for task in estimator.tasks(simulator.plan, some, loss)]
        results = simulator.pool.map(tasks)
        return estimator.combine(simulator.plan, some, results).gradient

    return gradient


def checked_again(gradient: Callable[[float], FloatArray], choice: Choice) -> float:
    """The error of the gradient at the chosen step, with the parameters as they are now."""
    power = float(2.0**choice.order)
    apart = distance(gradient(choice.step), gradient(choice.step / 2.0))
    return apart * power / (power - 1.0)
