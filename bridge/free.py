"""The free circuit of a time-varying network: what is loaded, altered and driven.

Its linear synapses at nodes of known voltage are loaded as Norton equivalents (`circuits.reduction`), whose
sources play the synapses' currents at every time. What comes back are the waveforms of the whole network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.dynamic_plan import DynamicPlan
from bridge.ngspice.drives import Signals
from bridge.ngspice.session import Circuit, Session
from bridge.waveforms import Waveforms
from circuits.devices.passive import RESISTOR

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Played:
    """What a free circuit plays.

    Attributes:
        drives: of the whole network's driven sources, where they play anything.
        signals: of the loaded sources.
    """

    drives: Signals | None
    signals: list[Signals]


class FreeCircuit:
    """The circuit of a plan's free phase, loaded in this process.

    Attributes:
        plan: what was loaded and how it is simulated.
        circuit: what is loaded.
    """

    def __init__(self, plan: DynamicPlan, session: Session, targets: Sequence[str]) -> None:
        """Load it.

        Args:
            plan: of the network.
            session: of this process.
            targets: what alters each trainable parameter in the whole network, `n_trainable` names.
        """
        self.plan = plan
        self._reduction = found = plan.reduction
        self.circuit: Circuit = session.load(plan.loaded_deck())
        self._targets = tuple(targets)
        self._matrix: Any = None
        if found is not None:
            loaded = found.network
            sums = (RESISTOR.alter_target(loaded.element(n), "conductance") for n in found.equivalents)
            self._targets = (*(targets[k] for k in found.left), *sums)
            self._matrix = found.matrix(found.values)

    def update(self, parameters: FloatArray, told: FloatArray) -> None:
        """Write the trainable parameters.

        Args:
            parameters: their values, `(n_trainable,)`.
            told: the same values as the simulator is told them.
        """
        if (found := self._reduction) is not None:
            conductances = found.conductances(parameters)
            sums = RESISTOR.alter_value("conductance", found.node_conductances(conductances))
            told = np.concatenate([told[found.left], sums])
            self._matrix = found.matrix(conductances)
        self.circuit.alter(self._targets, told)

    def run(self, drives: Signals | None, nudges: Signals | None = None) -> Waveforms:
        """A transient of the whole network; see `play` and `simulate`."""
        return self.simulate(self.play(drives, nudges))()

    def play(self, drives: Signals | None, nudges: Signals | None = None) -> Played:
        """What the loaded sources play, found without the simulator.

        Args:
            drives: of the driven sources; those left out are zero.
            nudges: currents [A] injected at outputs, numbered from 0 on.
        """
        found = self._reduction
        given = drives if drives is not None and drives.sources else None
        count = len(self.plan.flat.drives)
        played = given
        if found is not None:
            given = _every(given, count)
            values = found.sources(given.values, self._matrix)
            count = values.shape[1]
            played = Signals(tuple(range(count)), values, given.times, given.order)
        signals = [played] if played is not None else []
        if nudges is not None:
            places = tuple(count + k for k in nudges.sources)
            signals.append(Signals(places, nudges.values, nudges.times, nudges.order))
        return Played(given, signals)

    def simulate(self, played: Played) -> Callable[[], Waveforms]:
        """Simulate a transient.

        Returns:
            What makes the waveforms of the plan's vectors of it, without the simulator.
        """
        plan, given = self.plan, played.drives
        waves = self.circuit.transient(played.signals, plan.duration, plan.step, uic=plan.from_rest)
        return lambda: waves if self._reduction is None or given is None else self._whole(waves, given)

    def _whole(self, waves: Waveforms, drives: Signals) -> Waveforms:
        """Waveforms with those of the nodes whose voltage is known."""
        assert self._reduction is not None
        names, places = self._known
        if not places:
            return waves
        known = self._reduction.known.voltages(drives.at(waves.time))[:, places]
        return Waveforms(waves.time, np.hstack([waves.values, known]), names, attrs=waves.attrs)

    @cached_property
    def _known(self) -> tuple[tuple[str, ...], list[int]]:
        """All vectors' names, and the places of nodes that are not loaded among those of known voltage."""
        assert self._reduction is not None
        loaded = set(self._reduction.network.nodes)
        left = [k for k, n in enumerate(self._reduction.known.nodes[:-1]) if n not in loaded]
        names = (f"v({self._reduction.known.nodes[k]})".lower() for k in left)
        return (*self.circuit.deck.saves, *names), left


def _every(drives: Signals | None, count: int) -> Signals:
    """What all driven sources of a network play."""
    if drives is None:
        return Signals(tuple(range(count)), np.zeros((1, count)))
    if drives.sources == tuple(range(count)):
        return drives
    values = np.zeros((len(drives.values), count))
    values[:, list(drives.sources)] = drives.values
    return Signals(tuple(range(count)), values, drives.times, drives.order)
