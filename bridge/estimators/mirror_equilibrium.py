"""Equilibrium propagation whose nudges flow through current mirrors of transistors instead of ideal sources.

`with_mirror_nudges` puts two mirrors at every output node, one that injects a current and one that draws it.
They stay in the circuit in the free phase too, without current. What differs from ideal nudges is what a
mirror does wrong: its copy is another current than its reference, by the output conductance, so the gradient
is scaled by about as much; and a node that leaves the mirrors' range of voltages is nudged by less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bridge.errors import NetworkError, UnsupportedElementError
from bridge.estimators.base import Batch, Estimator, FloatArray
from bridge.estimators.equilibrium import Equilibrium, contrasts
from bridge.losses import Loss
from bridge.phases import StaticPhases
from bridge.plans import StaticPlan
from circuits.devices.sources import voltage_source
from circuits.network import GROUND, Drive, Network
from circuits.topologies.transistor import Technology, mirror_nudge

_NAME = "mirror{}{}"
_RAILS = ("mirror_low", "mirror_high")


def with_mirror_nudges(network: Network, technology: Technology, *, ratio: float = 1.0) -> Network:
    """The network with current mirrors at its outputs, and rails at half the supply below and above ground.

    Args:
        network: static, without mirrors.
        technology: of the mirrors; nodes must stay within its supply by more than a saturation voltage.
        ratio: of a mirror's output current to its reference.

    Raises:
        NetworkError: the network has mirrors already.
    """
    if any(r in network.nodes for r in _RAILS):
        raise NetworkError(f"{network.name}: it has mirrors already")
    half = 0.5 * technology.supply
    added = [voltage_source(_RAILS[0], _RAILS[0], dc=-half), voltage_source(_RAILS[1], _RAILS[1], dc=half)]
    drives = []
    for k, output in enumerate(network.outputs):
        for end, node in (("p", output.plus), ("n", output.minus)):
            if node != GROUND:
                name = _NAME.format(k, end)
                added += mirror_nudge(name, node, technology, ratio=ratio, rails=_RAILS)
                drives += [Drive(f"{name}_up"), Drive(f"{name}_down")]
    return replace(network, elements=(*network.elements, *added), drives=(*network.drives, *drives))


@dataclass(frozen=True)
class Mirrors:
    """Where a network's mirrors are driven.

    Attributes:
        up: columns of the drives that inject into each output's two nodes, `(n_outputs, 2)`; -1 for ground.
        down: the same of those that draw.
        ratio: of the mirrors.
    """

    up: np.ndarray
    down: np.ndarray
    ratio: float

    @classmethod
    def of(cls, network: Network) -> Mirrors:
        """Those that `with_mirror_nudges` made.

        Raises:
            UnsupportedElementError: an output has none.
        """
        places = {d.source: k for k, d in enumerate(network.drives)}
        up, down = (np.full((len(network.outputs), 2), -1) for _ in range(2))
        ratio = 1.0
        for k, output in enumerate(network.outputs):
            for column, (end, node) in enumerate((("p", output.plus), ("n", output.minus))):
                if node == GROUND:
                    continue
                name = _NAME.format(k, end)
                if f"{name}_up" not in places:
                    raise UnsupportedElementError(
                        output.label, "this output has no current mirrors", "use with_mirror_nudges"
                    )
                up[k, column], down[k, column] = places[f"{name}_up"], places[f"{name}_down"]
                copy, reference = (network.element(f"{name}_mn_{part}").value("w") for part in "od")
                ratio = copy / reference
        return cls(up, down, ratio)

    def played(self, drives: FloatArray, currents: FloatArray) -> FloatArray:
        """Drives `(n, n_drives)` with nudges of `currents` `(n, n_outputs)` [A] into the output ports."""
        result = np.array(drives, dtype=float)
        for column, sign in enumerate((1.0, -1.0)):
            there = self.up[:, column] >= 0
            wanted = sign * currents[:, there] / self.ratio
            result[:, self.up[there, column]] = np.maximum(wanted, 0.0)
            result[:, self.down[there, column]] = np.maximum(-wanted, 0.0)
        return result


@dataclass(frozen=True)
class MirrorTask:
    """Some samples of a batch: their losses, outputs and the sum of their contrasts."""

    batch: Batch
    loss: Loss
    beta: float

    def run(self, phases: StaticPhases) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Run the free and both nudged phases of every sample; see `EquilibriumTask`."""
        batch, mirrors = self.batch, Mirrors.of(phases.network)
        free = phases.free_all(batch.drives)
        losses = np.asarray(self.loss.value(free.outputs, batch.targets))
        error = np.asarray(self.loss.derivative(free.outputs, batch.targets), dtype=float)
        nudges = -self.beta * error
        plus, minus = (phases.free_all(mirrors.played(batch.drives, s * nudges)).nodes for s in (1.0, -1.0))
        return losses, free.outputs, contrasts(phases, plus, minus)


class MirrorEquilibrium(Equilibrium):
    """Equilibrium propagation with nudges by current mirrors: wrong by what the mirrors do wrong.

    It claims no exactness. In saturation a copy is `1 + lambda (v_out - v_ref)` times its reference to first
    order, and so is the gradient.
    """

    name: ClassVar[str] = "mirror_equilibrium"
    exact: ClassVar[bool] = False

    def check(self, plan: StaticPlan) -> None:
        """Refuse outputs without mirrors, and networks that are not reciprocal besides their mirrors."""
        Estimator.check(self, plan)
        Mirrors.of(plan.network)
        self._weights(plan.network)

    def _weights(self, network: Network) -> FloatArray:
        """Those of the network without its mirrors, which hang on one node each."""
        own = tuple(e for e in network.elements if not e.name.startswith("mirror"))
        drives = tuple(d for d in network.drives if not d.source.startswith("mirror"))
        return super()._weights(replace(network, elements=own, drives=drives))

    def tasks(self, plan: StaticPlan, batch: Batch, loss: Loss) -> Sequence[MirrorTask]:  # type: ignore[override]
        """One task for every chunk of samples."""
        return [MirrorTask(c, loss, self.beta) for c in batch.chunks(plan.task_size(len(batch)))]
