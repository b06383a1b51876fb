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
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bridge.errors import UnsupportedElementError
from bridge.estimators.base import Batch, Estimator, FloatArray, Gradient
from bridge.estimators.reciprocity import branch_weights
from bridge.losses import Loss
from bridge.phases import Solutions, StaticPhases
from bridge.plans import StaticPlan
from circuits.network import Network

IntArray = NDArray[np.int64]

_ADVICE = "use the estimator finite_difference for this parameter"
_AT_ONCE = 1_000_000  # numbers in an array of branch voltages, samples times parameters


@dataclass(frozen=True)
class EquilibriumTask:
    """Some samples of a batch: their losses, outputs and the sum of their contrasts."""

    batch: Batch
    loss: Loss
    beta: float

    def run(self, phases: StaticPhases) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Run the free and both nudged phases of every sample.

        Returns:
            Losses `(n,)`, outputs `(n, n_outputs)` [V], sum of the contrasts `(n_trainable,)`.
        """
        batch = self.batch
        free = phases.free_all(batch.drives)
        losses = np.asarray(self.loss.value(free.outputs, batch.targets))
        error = np.asarray(self.loss.derivative(free.outputs, batch.targets), dtype=float)
        wrong = np.flatnonzero(error.any(axis=1))  # of the others the nudged phases are the free one
        if not len(wrong):
            return losses, free.outputs, np.zeros(len(phases.targets))
        some = Solutions(free.nodes[wrong], free.outputs[wrong], free.rungs[wrong])
        plus, minus = phases.nudged_pairs(batch.drives[wrong], -self.beta * error[wrong], some)
        return losses, free.outputs, contrasts(phases, plus.nodes, minus.nodes)


def contrasts(phases: StaticPhases, plus: FloatArray, minus: FloatArray) -> FloatArray:
    """Differences of the co-contents' derivatives between two nudged phases, summed over samples.

    Args:
        phases: with the network and its parameters.
        plus: node voltages of one phase, `(n_samples, n_nodes + 1)` [V].
        minus: those of the other.

    Returns:
        `(n_trainable,)`.
    """
    result = np.zeros(len(phases.targets))
    if phases.reduction is not None:
        result[phases.reduction.trained] = phases.reduction.contrasts(plus, minus)
    for device, parameter, positions in phases.families:
        places = phases.left[positions]
        p, n = phases.branch_plus[places], phases.branch_minus[places]
        size = max(1, _AT_ONCE // len(places))
        values = None if device.kind == "resistor" else _values(phases, device, parameter, places)
        for k in range(0, len(plus), size):
            a, b = (v[k : k + size, p] - v[k : k + size, n] for v in (plus, minus))
            if values is None:  # u^2 / 2 in closed form, without its cancellation
                result[places] += 0.5 * np.einsum("sk,sk->k", a - b, a + b)
            else:
                result[places] += device.cocontent_difference(a, b, parameter, values).sum(axis=0)
    return result


def _values(phases: StaticPhases, device: Any, parameter: str, places: IntArray) -> dict[str, FloatArray]:
    """Parameter values of some trainable elements of one device, `(n_places,)` each."""
    network = phases.network
    elements = [network.element(network.trainable[k].element) for k in places]
    values = {p.name: np.array([e.value(p.name) for e in elements]) for p in device.parameters}
    values[parameter] = phases.parameters[places]
    return values


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
        self._known: tuple[Network, FloatArray] | None = None

    def _weights(self, network: Network) -> FloatArray:
        """Weight of every trainable element's co-content, `(n_trainable,)`; looked for once a network."""
        if self._known is None or self._known[0] is not network:
            weights = branch_weights(network)
            for entry in network.trainable:
                device = network.element(entry.element).device
                if device.law is None:
                    raise UnsupportedElementError(
                        entry.element,
                        f"{entry.parameter} of a {device.kind} is not a parameter of a branch current",
                        _ADVICE,
                    )
            self._known = network, np.array([weights[t.element] for t in network.trainable])
        return self._known[1]

    def check(self, plan: StaticPlan) -> None:
        """Refuse networks without a co-content, and parameters that it does not depend on."""
        super().check(plan)
        self._weights(plan.network)

    def tasks(self, plan: StaticPlan, batch: Batch, loss: Loss) -> Sequence[EquilibriumTask]:
        """One task for every chunk of samples."""
        return [EquilibriumTask(c, loss, self.beta) for c in batch.chunks(plan.task_size(len(batch)))]

    def combine(
        self, plan: StaticPlan, batch: Batch, results: Sequence[tuple[FloatArray, FloatArray, FloatArray]]
    ) -> Gradient:
        """Mean over the batch."""
        losses = np.concatenate([r[0] for r in results])
        outputs = np.concatenate([r[1] for r in results])
        factor = self._weights(plan.network) / (2.0 * self.beta * len(batch))
        return Gradient(losses, np.sum([r[2] for r in results], axis=0) * factor, outputs)
