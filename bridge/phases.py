"""Phases of a static network: free, and nudged at its outputs.

A phase is an operating point, or the end of a transient in which the network, with its parasitic
capacitances, settles from rest. Both give the same node voltages up to the settling error.

What is loaded is the network with its synapses at known nodes folded (`circuits.reduction`). Operating points
of several samples are found in sequence, each from the one before, where the network allows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.errors import ConvergenceError, IncompleteError
from bridge.families import device_families, told_values, typical_sizes
from bridge.ngspice import ladder
from bridge.ngspice.drives import Signals, constant
from bridge.ngspice.session import Circuit, Session
from bridge.plans import Settling, StaticPlan
from bridge.waveforms import Waveforms

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


_BENT = 1e-6  # [V] by which nudged phases may lie off the free one, besides the nudge itself


@dataclass(frozen=True)
class Solution:
    """Node voltages of one static phase.

    Attributes:
        nodes: `(n_nodes + 1,)` [V] in the order of `network.nodes`, ground last.
        outputs: `(n_outputs,)` [V].
        record: makes the waveforms of all nodes, for `Settling` phases.
        rung: position on the ladder of retries that gave the result.
    """

    nodes: FloatArray
    outputs: FloatArray
    record: Callable[[], Waveforms] | None = None
    rung: int = 0

    @property
    def waveforms(self) -> Waveforms | None:
        """The transient that settled, for `Settling` phases."""
        return None if self.record is None else self.record()


@dataclass(frozen=True)
class Solutions:
    """Node voltages of one static phase of several samples.

    Attributes:
        nodes: `(n_samples, n_nodes + 1)` [V] in the order of `network.nodes`, ground last.
        outputs: `(n_samples, n_outputs)` [V].
        rungs: position on the ladder of retries that gave each result, `(n_samples,)`.
    """

    nodes: FloatArray
    outputs: FloatArray
    rungs: IntArray

    @classmethod
    def of(cls, solutions: Sequence[Solution]) -> Solutions:
        """Single ones, at least one."""
        return cls(
            np.array([s.nodes for s in solutions]),
            np.array([s.outputs for s in solutions]),
            np.array([s.rung for s in solutions], dtype=np.int64),
        )


class Task(Protocol):
    """Something to do in a worker with a network's phases."""

    def run(self, phases: StaticPhases) -> Any:
        """Do it and return a picklable result."""


class StaticPhases:
    """A static network loaded in this process, ready to be driven and nudged.

    Attributes:
        plan: what was loaded and how it is simulated.
        reduction: what was loaded in place of the whole network; `None` where it is the network itself.
        targets: what alters each trainable parameter, `n_trainable` names; those of folded ones are not
            loaded.
        left: places of the trainable parameters of the loaded network, `(n_left,)`.
        families: of those, by device and name: the device, the parameter, their positions in `left`.
        parameters: current values of the trainable parameters, `(n_trainable,)`.
    """

    def __init__(self, plan: StaticPlan, session: Session | None = None) -> None:
        network = plan.network
        self.plan = plan
        self.network = network
        self.session = session or Session()
        self.reduction = plan.reduction()
        self.circuit: Circuit = self.session.load(plan.loaded_deck(self.reduction))
        self.parameters = network.parameters
        flat = network.flat()
        self.targets = tuple(
            flat.element(t.element).device.alter_target(flat.element(t.element), t.parameter)
            for t in flat.trainable
        )
        self._streams = plan.streams
        self.left: IntArray = np.arange(len(self.targets)) if self.reduction is None else self.reduction.left
        self._loaded_targets = tuple(self.targets[k] for k in self.left)
        self._matrix: Any = None
        self._fed: tuple[FloatArray, FloatArray, FloatArray] | None = None
        if self.reduction is not None:
            self._loaded_targets += tuple(f"r{name}".lower() for name in self.reduction.equivalents)
            self._matrix = self.reduction.matrix(self.reduction.values)
        self.typical = typical_sizes(flat)
        index = network.node_index
        ends = [network.element(t.element).nodes[:2] for t in network.trainable]
        self.branch_plus: IntArray = np.array([index[p] for p, _ in ends], dtype=np.int64)
        self.branch_minus: IntArray = np.array([index[n] for _, n in ends], dtype=np.int64)
        self._out_plus = [index[o.plus] for o in network.outputs]
        self._out_minus = [index[o.minus] for o in network.outputs]
        positions = (
            (device, name, np.flatnonzero(np.isin(self.left, places)))
            for device, name, places in device_families(network)
        )
        self.families = [family for family in positions if len(family[2])]
        self.extra: dict[str, Any] = {}  # what estimators keep loaded

    # What the pool calls.

    def update(self, state: Any) -> None:
        """Write the trainable parameters `(n_trainable,)` into the loaded circuit."""
        values = np.asarray(state, dtype=float)
        told = told_values(self.families, values[self.left])
        if self.reduction is not None:
            conductances = self.reduction.conductances(values)
            told = np.concatenate([told, 1.0 / self.reduction.node_conductances(conductances)])
            self._matrix = self.reduction.matrix(conductances)
            self._fed = None
        self.circuit.alter(self._loaded_targets, told)
        self.parameters = values

    def run(self, task: Task) -> Any:
        """Do a task on these phases."""
        return task.run(self)

    def usage(self) -> dict[str, Any]:
        """Counts since the start and the time spent inside the simulator [s]."""
        return self.session.usage()

    def evaluate(self, batch: Any, loss: Any) -> tuple[FloatArray, FloatArray]:
        """Losses `(n,)` and outputs `(n, n_outputs)` [V] of the free phases of a batch."""
        outputs = self.free_all(batch.drives).outputs
        return np.asarray(loss.value(outputs, batch.targets)), outputs

    # The phases.

    def free(self, drives: FloatArray) -> Solution:
        """The free phase.

        Args:
            drives: values of the driven sources, `(n_drives,)` [V or A].
        """
        return self._solve(drives, None, 0)

    def nudged(self, drives: FloatArray, currents: FloatArray, first_rung: int = 0) -> Solution:
        """A nudged phase: currents `(n_outputs,)` [A] injected into the output ports."""
        return self._solve(drives, currents, first_rung)

    def nudged_pair(self, drives: FloatArray, currents: FloatArray, free: Solution) -> list[Solution]:
        """The phases nudged by `+currents` and by `-currents`, on the same rung of the ladder."""
        pair = [self.nudged(drives, c, free.rung) for c in (currents, -currents)]
        if pair[0].rung != pair[1].rung:
            highest = max(p.rung for p in pair)
            pair = [self.nudged(drives, c, highest) for c in (currents, -currents)]
        return pair

    def free_all(self, drives: FloatArray) -> Solutions:
        """The free phases of several samples.

        Args:
            drives: `(n_samples, n_drives)` [V or A].
        """
        drives = np.asarray(drives, dtype=float)
        nodes = self._in_sequence(drives, None)
        if nodes is None:
            if not len(drives):
                empty = np.zeros((0, len(self.network.node_index)))
                return self._solutions(empty)
            return Solutions.of([self.free(d) for d in drives])
        return self._solutions(nodes)

    def nudged_pairs(self, drives: FloatArray, currents: FloatArray, free: Solutions) -> list[Solutions]:
        """The phases nudged by `+currents` and by `-currents` of several samples, at least one.

        Args:
            drives: `(n_samples, n_drives)` [V or A].
            currents: `(n_samples, n_outputs)` [A].
            free: their free phases.
        """
        nodes = None
        if self._streams:  # a sample's two phases side by side
            signs = np.tile([1.0, -1.0], len(drives))[:, None]
            nodes = self._in_sequence(drives, signs * np.repeat(currents, 2, axis=0), 2)
        if nodes is None:
            return self._pairs_apart(drives, currents, free)
        plus, minus = nodes[::2], nodes[1::2]
        # Nudges are small: both phases lie about the free one, or one of them is another solution.
        bent = np.abs(plus + minus - 2.0 * free.nodes).max(axis=1)
        strange = np.flatnonzero(bent > 0.5 * np.abs(plus - minus).max(axis=1) + _BENT)
        if len(strange):
            some = Solutions(free.nodes[strange], free.outputs[strange], free.rungs[strange])
            apart = self._pairs_apart(drives[strange], currents[strange], some)
            plus, minus = plus.copy(), minus.copy()
            plus[strange], minus[strange] = apart[0].nodes, apart[1].nodes
            self._count_separate(2 * len(strange))
        return [self._solutions(plus), self._solutions(minus)]

    def _pairs_apart(self, drives: FloatArray, currents: FloatArray, free: Solutions) -> list[Solutions]:
        each = [
            self.nudged_pair(d, c, Solution(n, o, rung=int(r)))
            for d, c, n, o, r in zip(drives, currents, free.nodes, free.outputs, free.rungs, strict=True)
        ]
        return [Solutions.of([pair[k] for pair in each]) for k in (0, 1)]

    def _in_sequence(
        self, drives: FloatArray, currents: FloatArray | None, each: int = 1
    ) -> FloatArray | None:
        """Node voltages of several samples, `(n_samples * each, n_nodes + 1)` [V].

        Args:
            drives: `(n_samples, n_drives)` [V or A].
            currents: `(n_samples * each, n_outputs)` [A].
            each: phases a sample.

        Returns:
            `None` if they must be found apart.
        """
        if not self._streams or len(drives) * each < 2:
            return None
        try:
            found = self.circuit.operating_points(self._played(drives, currents, each))
        except (ConvergenceError, IncompleteError):
            if self.session.engine.dead:
                raise
            self._count_separate(len(drives) * each)
            return None
        return self._expand(found, drives, each)

    def _count_separate(self, samples: int) -> None:
        counts = self.session.counts
        counts.retries += samples
        counts.rungs[ladder.SEPARATE] = counts.rungs.get(ladder.SEPARATE, 0) + samples

    def _solutions(self, nodes: FloatArray) -> Solutions:
        outputs = nodes[:, self._out_plus] - nodes[:, self._out_minus]
        return Solutions(nodes, outputs, np.zeros(len(nodes), dtype=np.int64))

    def _feed(self, drives: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What the loaded sources play `(n_samples, n_sources)`, and the known nodes' voltages.

        The last ones are kept for the nudged phases, which have the same drives.
        """
        assert self.reduction is not None
        if self._fed is None or not np.array_equal(self._fed[0], drives):
            known = self.reduction.known.voltages(drives)
            self._fed = drives.copy(), self.reduction.sources(drives, self._matrix, known), known
        return self._fed[1:]

    def _played(self, drives: FloatArray, currents: FloatArray | None, each: int = 1) -> FloatArray:
        """What the loaded sources play, `(n_samples * each, n_sources)`; nudges behind the drives."""
        if self.reduction is not None:
            drives = self._feed(drives)[0]
        played = np.repeat(drives, each, axis=0) if each > 1 else drives
        return played if currents is None else np.concatenate([played, currents], axis=1)

    def _expand(self, loaded: FloatArray, drives: FloatArray, each: int = 1) -> FloatArray:
        """All node voltages with ground, `(n, n_nodes + 1)`, from those that are loaded, `(n, n_loaded)`."""
        if self.reduction is not None:
            known = self._feed(drives)[1]
            return self.reduction.expand(loaded, np.repeat(known, each, axis=0) if each > 1 else known)
        return np.concatenate([loaded, np.zeros((len(loaded), 1))], axis=1)

    def _whole(self, waves: Waveforms, drives: FloatArray) -> Waveforms:
        """Waveforms of all nodes from those of the loaded ones."""
        if self.reduction is None:
            return waves
        names = tuple(f"v({n})".lower() for n in self.network.nodes)
        return Waveforms(waves.time, self._expand(waves.values, drives)[:, :-1], names, attrs=waves.attrs)

    def _solve(self, drives: FloatArray, currents: FloatArray | None, first_rung: int) -> Solution:
        row = np.atleast_2d(np.asarray(drives, dtype=float))
        played = self._played(row, None if currents is None else np.atleast_2d(currents))
        signals: list[Signals] = [constant(played)] if played.size else []
        settling = self.plan.settling
        if settling is None:
            nodes = self._expand(self.circuit.operating_point(signals)[None], row)[0]
            return Solution(nodes, nodes[self._out_plus] - nodes[self._out_minus])
        waves = self.circuit.transient(signals, settling.duration, settling.step, first_rung=first_rung)
        rung = [r.name for r in ladder.TRANSIENT].index(self.circuit.rung)
        check_settled(waves, settling)
        nodes = self._expand(waves.final[None], row)[0]
        outputs = nodes[self._out_plus] - nodes[self._out_minus]
        return Solution(nodes, outputs, partial(self._whole, waves, row), rung)


def check_settled(waveforms: Waveforms, settling: Settling, count: int | None = None) -> None:
    """Refuse a transient in which one of the first `count` signals, node voltages, still moves at its end.

    Raises:
        IncompleteError: with the node and how much it moves.
    """
    start = int(np.searchsorted(waveforms.time, 0.9 * settling.duration))
    moved = np.abs(waveforms.values[start:] - waveforms.final).max(axis=0)[:count]
    worst = int(np.argmax(moved))
    if moved[worst] > settling.tolerance:
        raise IncompleteError(
            f"the network has not settled: {waveforms.names[worst]} moves by {moved[worst]:.2g} V in the "
            f"last tenth of {settling.duration:g} s (allowed {settling.tolerance:g} V); lengthen it"
        )
