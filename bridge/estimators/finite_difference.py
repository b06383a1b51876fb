"""Central finite differences: two simulations a parameter. The reference, never the default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bridge.estimators.base import Estimator, EvaluateTask, FloatArray, Gradient, gather


@dataclass(frozen=True)
class DifferenceTask:
    """Some parameters, each a step up and a step down, on a whole batch."""

    batch: Any
    loss: Any
    places: tuple[int, ...]
    relative_step: float

    def run(self, phases: Any) -> FloatArray:
        """Derivatives of the batch's mean loss with respect to these parameters, `(n_places,)`."""
        base = phases.parameters
        derivatives = []
        for place in self.places:
            step = self.relative_step * (abs(base[place]) or phases.typical[place])
            ends = []
            try:
                for value in (base[place] + step, base[place] - step):
                    moved = base.copy()
                    moved[place] = value
                    phases.update(moved)
                    ends.append(float(np.mean(phases.evaluate(self.batch, self.loss)[0])))
            finally:
                phases.update(base)
            derivatives.append((ends[0] - ends[1]) / (2.0 * step))
        return np.array(derivatives)


class FiniteDifference(Estimator):
    """Central differences in every trainable parameter, parallel over the workers."""

    name: ClassVar[str] = "finite_difference"

    def __init__(self, relative_step: float = 1e-4) -> None:
        """Make the estimator.

        Args:
            relative_step: step as a share of the parameter's value, or of its typical size where the value
                is zero.
        """
        if not 0 < relative_step < 0.5:
            raise ValueError(f"relative_step = {relative_step:g}: must be between 0 and 0.5")
        self.relative_step = relative_step

    def check(self, plan: Any) -> None:
        """Every parameter that can be altered is covered."""
        flat = plan.network.flat()
        for entry in flat.trainable:
            element = flat.element(entry.element)
            element.device.alter_target(element, entry.parameter)

    def tasks(self, plan: Any, batch: Any, loss: Any) -> Sequence[EvaluateTask | DifferenceTask]:
        """Tasks for the free phases of all samples, then one for every few parameters."""
        count = len(plan.network.trainable)
        size = max(1, min(16, -(-count // 8)))
        places = [tuple(range(k, min(k + size, count))) for k in range(0, count, size)]
        return [
            EvaluateTask(batch, loss),
            *(DifferenceTask(batch, loss, p, self.relative_step) for p in places),
        ]

    def combine(self, plan: Any, batch: Any, results: Sequence[Any]) -> Gradient:
        """The tasks' derivatives in the parameters' order."""
        losses, outputs = gather(results[:1])
        return Gradient(losses, np.concatenate([np.zeros(0), *results[1:]]), outputs)
