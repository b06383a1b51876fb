"""Coupled learning on a network and its twin: a local rule from one operating point a sample.

Sources: Stern, Hexner, Rocks and Liu, Phys. Rev. X 11, 021045 (2021); on transistors: Dillavou et al., PNAS
121, e2319718121 (2024), arXiv:2311.00537. The twin networks are those of `circuits.topologies.clln`: an
operating point has the free state and the clamped one, whose outputs are held at
`V_C = V_F + eta (label - V_F)`. An edge compares the voltages across its two copies,

    dV_G = gamma (u_F^2 - u_C^2),

so that an edge across which the clamp raises the voltage conducts less. The estimator returns
`u_C^2 - u_F^2` [V^2], the mean over the batch, as "gradient": gradient descent (`sgd` in linear space) with
learning rate `gamma` [1/V] is the published update; with a batch of one sample an update follows each sample,
as published.

What it is a gradient of: on linear conductances `G` and for small `eta`,

    u_C^2 - u_F^2 = (eta / Z) d(O - label)^2 / dG

for an output that is clamped at one node, or whose difference alone is clamped, with the positive resistance
`Z` of the network seen from the clamp: the gradient of the squared error, samples weighed by `1 / Z`. With
a transistor `dG/dV_G` is `KP W/L`, alike for every edge in the ohmic regime. Not exact are the clamping
of both nodes of a differential output, which also moves their mean; a finite `eta`; and transistors, which
are reciprocal only where the voltages are small against `V_G - V_T`, because a channel's conductance depends
on both of its ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bridge.errors import SpecError, UnsupportedElementError
from bridge.estimators.base import Batch, Estimator, FloatArray, Gradient
from bridge.losses import CrossEntropy, Loss
from bridge.phases import StaticPhases
from bridge.plans import StaticPlan
from circuits.devices.base import Element
from circuits.network import Network

_ADVICE = "the estimator needs the circuit clln, whose every edge has a twin"


@dataclass(frozen=True)
class Twins:
    """Where the twins of a network are.

    Attributes:
        free: columns of the ends of each trainable edge in an array of node voltages, `(n_trainable, 2)`.
        clamped: those of its twin.
        labels: columns of the labels among the drives, `(n_outputs,)`.
        nudges: names of the sources that clamp, their gain, and that gain as a share of `eta`.
    """

    free: NDArray[np.int64]
    clamped: NDArray[np.int64]
    labels: NDArray[np.int64]
    nudges: tuple[tuple[str, float, float], ...]

    @classmethod
    def of(cls, network: Network) -> Twins:
        """Find them by the names that the topology gives.

        Raises:
            UnsupportedElementError: a parameter is not the gate voltage of twins, or an output has no label.
        """
        named = {e.name: e for e in network.elements}
        ends = []
        for entry in network.trainable:
            kind, _, edge = entry.element.partition("_")
            twins = [named.get(f"{copy}_{edge}") for copy in ("free", "clamped")]
            if kind != "gate" or entry.parameter != "dc" or None in twins:
                raise UnsupportedElementError(
                    entry.element, "it is not the source of the gates of two twins", _ADVICE
                )
            ends.append([_ends(network, twin) for twin in twins if twin is not None])
        columns = {d.source: k for k, d in enumerate(network.drives)}
        nudges: list[tuple[str, float, float]] = []
        for k, output in enumerate(network.outputs):
            own = [named[n] for n in (f"nudge_{k}p", f"nudge_{k}n") if n in named]
            if f"label_{k}" not in columns or not own:
                raise UnsupportedElementError(output.label, "the output has no label and no clamp", _ADVICE)
            eta = sum(abs(e.value("gain")) for e in own)
            nudges.extend((e.name, e.value("gain"), e.value("gain") / eta) for e in own)
        labels = np.array([columns[f"label_{k}"] for k in range(len(network.outputs))], dtype=np.int64)
        array = np.array(ends, dtype=np.int64).reshape(-1, 2, 2)
        return cls(array[:, 0], array[:, 1], labels, tuple(nudges))


def _ends(network: Network, element: Element) -> tuple[int, int]:
    """Columns of the ends of an edge: of a transistor drain and source, else the first two terminals."""
    places = [network.node_index[n] for n in element.nodes]
    return (places[0], places[2]) if element.device.kind == "mosfet" else (places[0], places[1])


@dataclass(frozen=True)
class CoupledTask:
    """Some samples of a batch: their losses, outputs and the sum of their contrasts."""

    batch: Batch
    loss: Loss
    twins: Twins
    eta: float | None
    hinge: bool
    tolerance: float

    def run(self, phases: StaticPhases) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Run the operating point of every sample.

        Returns:
            Losses `(n,)`, outputs of the free copy `(n, n_outputs)` [V], sum of the contrasts
            `u_C^2 - u_F^2` `(n_trainable,)` [V^2].
        """
        self._set_eta(phases)
        outputs = np.zeros(self.batch.targets.shape)
        total = np.zeros(len(phases.targets))
        for k, (drives, target) in enumerate(zip(self.batch.drives, self.batch.targets, strict=True)):
            told = np.array(drives, dtype=float)
            told[self.twins.labels] = target
            both = phases.free(told)
            outputs[k] = both.outputs
            done = self._satisfied(both.outputs, np.asarray(target, dtype=float))
            if done.all():
                continue  # an output that is clamped where it is leaves the twin as it is
            if done.any():
                told[self.twins.labels] = np.where(done, both.outputs, target)
                both = phases.free(told)
            ends = both.nodes[self.twins.free], both.nodes[self.twins.clamped]
            free, clamped = (e[:, 0] - e[:, 1] for e in ends)
            total += (clamped - free) * (clamped + free)
        return np.asarray(self.loss.value(outputs, self.batch.targets)), outputs, total

    def _satisfied(self, outputs: FloatArray, target: FloatArray) -> NDArray[np.bool_]:
        """Outputs that need no correction, `(n_outputs,)`."""
        beyond = (outputs - target) * np.sign(target) >= 0.0
        near = np.abs(outputs - target) <= self.tolerance
        return np.asarray(near | (beyond & self.hinge & (target != 0.0)))

    def _set_eta(self, phases: StaticPhases) -> None:
        """Write the gains of the clamping sources into the loaded circuit where they are others."""
        if phases.extra.get("eta") == self.eta:
            return
        elements = [phases.network.element(name) for name, _, _ in self.twins.nudges]
        gains = [own if self.eta is None else self.eta * share for _, own, share in self.twins.nudges]
        phases.circuit.alter([e.device.alter_target(e, "gain") for e in elements], np.array(gains))
        phases.extra["eta"] = self.eta


class CoupledLearning(Estimator):
    """The local rule of coupled learning on twin networks: approximate, see the module."""

    name: ClassVar[str] = "coupled_learning"
    exact: ClassVar[bool] = False
    static: ClassVar[bool | None] = True

    def __init__(self, eta: float | None = None, hinge: bool = False, tolerance: float = 0.0) -> None:
        """Make the estimator.

        Args:
            eta: how far the clamp moves an output towards its label; the network's own when left out.
            hinge: an output that lies beyond its label, seen from 0 V, is not corrected.
            tolerance: an output this near to its label [V] is not corrected.

        Raises:
            ValueError: a number is out of range.
        """
        if eta is not None and not 0.0 < eta <= 1.0:
            raise ValueError(f"eta = {eta:g}: must be above 0 and at most 1")
        if not (np.isfinite(tolerance) and tolerance >= 0.0):
            raise ValueError(f"tolerance = {tolerance:g} V: must be at least 0")
        self.eta, self.hinge, self.tolerance = eta, hinge, tolerance

    def check(self, plan: Any) -> None:
        """Refuse networks without twins."""
        super().check(plan)
        Twins.of(plan.network)

    def tasks(self, plan: StaticPlan, batch: Batch, loss: Loss) -> Sequence[CoupledTask]:
        """One task for every chunk of samples.

        Raises:
            SpecError: the loss has probabilities as targets, which are no voltages to clamp to.
        """
        if isinstance(loss, CrossEntropy):
            raise SpecError("coupled_learning holds outputs at target voltages; use the loss mse")
        twins = Twins.of(plan.network)
        return [
            CoupledTask(chunk, loss, twins, self.eta, self.hinge, self.tolerance)
            for chunk in batch.chunks(plan.task_size(len(batch)))
        ]

    def combine(
        self, plan: StaticPlan, batch: Batch, results: Sequence[tuple[FloatArray, FloatArray, FloatArray]]
    ) -> Gradient:
        """Mean over the batch."""
        losses = np.concatenate([r[0] for r in results])
        outputs = np.concatenate([r[1] for r in results])
        return Gradient(losses, np.sum([r[2] for r in results], axis=0) / len(batch), outputs)
