"""Equilibrium propagation with symmetric nudging, for static networks.

The network settles freely, then twice more with the currents `-+beta dl/dv` injected at its outputs. For a
parameter `p` of a branch with co-content `W(u; p)` (`u^2 / 2` per conductance)

    dJ/dp = (dW/dp(u at +beta) - dW/dp(u at -beta)) / (2 beta) * weight,

with an error of second order in `beta`. Sources: Scellier and Bengio, Front. Comput. Neurosci. 11, 24 (2017);
Kendall et al., arXiv:2006.01981 (2020); symmetric nudging: Laborieux et al., Front. Neurosci. 15, 633674
(2021). The weight is 1 without amplifiers (`bridge.estimators.reciprocity`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bridge.errors import UnsupportedElementError
from bridge.estimators.base import Batch, Estimator, FloatArray, Gradient
from bridge.estimators.reciprocity import branch_weights
from bridge.losses import Loss
from bridge.phases import Solution, StaticPhases, StaticPlan

_ADVICE = "use the estimator finite_difference for this parameter"


@dataclass(frozen=True)
class EquilibriumTask:
    """Some samples of a batch: their losses, outputs and the sum of their gradients."""

    batch: Batch
    loss: Loss
    beta: float
    weights: FloatArray

    def run(self, phases: StaticPhases) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Run the free and both nudged phases of every sample.

        Returns:
            Losses `(n,)`, outputs `(n, n_outputs)` [V], sum of the gradients `(n_trainable,)`.
        """
        losses = np.zeros(len(self.batch))
        outputs = np.zeros(self.batch.targets.shape)
        total = np.zeros(len(phases.targets))
        for k, (drives, target) in enumerate(zip(self.batch.drives, self.batch.targets, strict=True)):
            free = phases.free(drives)
            outputs[k] = free.outputs
            losses[k] = self.loss.value(free.outputs, target)
            error = self.loss.derivative(free.outputs, target)
            if not error.any():
                continue  # nothing to correct: the nudged phases are the free one
            plus, minus = phases.nudged_pair(drives, -self.beta * error, free)
            total += contrast(phases, plus, minus)
        return losses, outputs, total * self.weights / (2.0 * self.beta)


def contrast(phases: StaticPhases, plus: Solution, minus: Solution) -> FloatArray:
    """Difference of the co-contents' derivatives between two nudged phases, `(n_trainable,)`."""
    network = phases.network
    u_plus, u_minus = phases.branch_voltages(plus), phases.branch_voltages(minus)
    result = np.zeros(len(u_plus))
    for device, parameter, places in phases.families:
        if device.kind == "resistor":  # u^2 / 2 in closed form, without its cancellation
            a, b = u_plus[places], u_minus[places]
            result[places] = 0.5 * (a - b) * (a + b)
            continue
        names = [network.trainable[k].element for k in places]
        values = {
            p.name: np.array([network.element(n).value(p.name) for n in names]) for p in device.parameters
        }
        values[parameter] = phases.parameters[places]
        result[places] = device.cocontent_difference(u_plus[places], u_minus[places], parameter, values)
    return result


class Equilibrium(Estimator):
    """Equilibrium propagation, exact to second order in `beta` for reciprocal static networks."""

    name: ClassVar[str] = "equilibrium"
    static: ClassVar[bool | None] = True

    def __init__(self, beta: float = 1e-7) -> None:
        """Make the estimator.

        Args:
            beta: nudging strength [A V]: the injected current is `-beta` times the loss's derivative
                [1/V]. Its unit assumes a loss without unit.
        """
        if not beta > 0:
            raise ValueError(f"beta = {beta:g}: must be positive")
        self.beta = beta

    def check(self, plan: StaticPlan) -> None:
        """Refuse networks without a co-content, and parameters that it does not depend on."""
        branch_weights(plan.network)
        for entry in plan.network.trainable:
            device = plan.network.element(entry.element).device
            if device.law is None:
                raise UnsupportedElementError(
                    entry.element,
                    f"{entry.parameter} of a {device.kind} is not a parameter of a branch current",
                    _ADVICE,
                )

    def tasks(self, plan: StaticPlan, batch: Batch, loss: Loss) -> Sequence[EquilibriumTask]:
        """One task for every chunk of samples."""
        weights = branch_weights(plan.network)
        array = np.array([weights[t.element] for t in plan.network.trainable])
        return [EquilibriumTask(c, loss, self.beta, array) for c in batch.chunks(plan.task_size(len(batch)))]

    def combine(
        self, plan: StaticPlan, batch: Batch, results: Sequence[tuple[FloatArray, FloatArray, FloatArray]]
    ) -> Gradient:
        """Mean over the batch."""
        losses = np.concatenate([r[0] for r in results])
        outputs = np.concatenate([r[1] for r in results])
        gradient = np.sum([r[2] for r in results], axis=0) / len(batch)
        return Gradient(losses, gradient, outputs)
