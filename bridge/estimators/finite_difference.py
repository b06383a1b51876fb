"""Central finite differences: two simulations a parameter. The reference, never the default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bridge.estimators.base import Batch, Estimator, FloatArray, Gradient
from bridge.losses import Loss
from bridge.phases import StaticPhases, StaticPlan


@dataclass(frozen=True)
class OutputsTask:
    """Free phases of some samples."""

    drives: FloatArray

    def run(self, phases: StaticPhases) -> FloatArray:
        """Outputs of every sample, `(n, n_outputs)` [V]."""
        return np.array([phases.free(d).outputs for d in self.drives]).reshape(len(self.drives), -1)


@dataclass(frozen=True)
class DifferenceTask:
    """Some parameters, each a step up and a step down, on a whole batch."""

    batch: Batch
    loss: Loss
    places: tuple[int, ...]
    relative_step: float

    def run(self, phases: StaticPhases) -> FloatArray:
        """Derivatives of the batch's mean loss with respect to these parameters, `(n_places,)`."""
        base = phases.parameters
        told = phases.alter_values(base)
        derivatives = []
        for place in self.places:
            target = phases.targets[place]
            step = self.relative_step * base[place]
            ends = []
            try:
                for value in (base[place] + step, base[place] - step):
                    moved = base.copy()
                    moved[place] = value
                    phases.circuit.alter([target], phases.alter_values(moved)[[place]])
                    outputs = OutputsTask(self.batch.drives).run(phases)
                    ends.append(float(np.mean(self.loss.value(outputs, self.batch.targets))))
            finally:
                phases.circuit.alter([target], told[[place]])
            derivatives.append((ends[0] - ends[1]) / (2.0 * step))
        return np.array(derivatives)


class FiniteDifference(Estimator):
    """Central differences in every trainable parameter, parallel over the workers."""

    name: ClassVar[str] = "finite_difference"

    def __init__(self, relative_step: float = 1e-4) -> None:
        """Make the estimator.

        Args:
            relative_step: step as a share of the parameter's value.
        """
        if not 0 < relative_step < 0.5:
            raise ValueError(f"relative_step = {relative_step:g}: must be between 0 and 0.5")
        self.relative_step = relative_step

    def check(self, plan: StaticPlan) -> None:
        """Every parameter that can be altered is covered."""
        for entry in plan.network.trainable:
            element = plan.network.element(entry.element)
            element.device.alter_target(element, entry.parameter)

    def tasks(self, plan: StaticPlan, batch: Batch, loss: Loss) -> Sequence[OutputsTask | DifferenceTask]:
        """One task for the samples' outputs, then one for every few parameters."""
        count = len(plan.network.trainable)
        size = max(1, min(16, -(-count // 8)))
        places = [tuple(range(k, min(k + size, count))) for k in range(0, count, size)]
        return [
            OutputsTask(batch.drives),
            *(DifferenceTask(batch, loss, p, self.relative_step) for p in places),
        ]

    def combine(self, plan: StaticPlan, batch: Batch, results: Sequence[FloatArray]) -> Gradient:
        """The tasks' derivatives in the parameters' order; the loss is filled in by the simulator."""
        return Gradient(np.nan, np.concatenate([np.zeros(0), *results[1:]]), results[0])
