"""Phases of a static network: free, and nudged at its outputs.

A phase is an operating point, or the end of a transient in which the network, with its parasitic
capacitances, settles from rest. Both give the same node voltages up to the settling error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.errors import IncompleteError
from bridge.ngspice import ladder
from bridge.ngspice.drives import Signals, constant
from bridge.ngspice.session import Circuit, Session
from bridge.waveforms import Waveforms
from circuits.deck import Deck, SolverOptions
from circuits.netlist import build_deck
from circuits.network import Network

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Settling:
    """A static phase as a transient from rest.

    Attributes:
        duration: length of the transient [s].
        step: largest time step [s].
        node_capacitance: parasitic capacitance of every free node [F].
        tolerance: a node that moves by more than this [V] in the last tenth has not settled.
    """

    duration: float
    step: float
    node_capacitance: float
    tolerance: float = 1e-5


@dataclass(frozen=True)
class Solution:
    """Node voltages of one static phase.

    Attributes:
        nodes: `(n_nodes + 1,)` [V] in the order of `network.nodes`, ground last.
        outputs: `(n_outputs,)` [V].
        waveforms: the transient that settled, for `Settling` phases.
        rung: position on the ladder of retries that gave the result.
    """

    nodes: FloatArray
    outputs: FloatArray
    waveforms: Waveforms | None = None
    rung: int = 0


class Task(Protocol):
    """Something to do in a worker with a network's phases."""

    def run(self, phases: StaticPhases) -> Any:
        """Do it and return a picklable result."""


@dataclass(frozen=True)
class StaticPlan:
    """How a static network is simulated; makes the phases in each worker.

    Attributes:
        network: what is built.
        settling: the transient, or `None` for operating points.
        options: tolerances and methods of the simulator.
    """

    network: Network
    settling: Settling | None = None
    options: SolverOptions = field(default_factory=SolverOptions)

    def __call__(self) -> StaticPhases:
        """Load the network in this process's engine."""
        return StaticPhases(self)

    def task_size(self, samples: int) -> int:
        """Samples a task: enough for its transport not to count; it must not depend on the workers."""
        if self.settling is not None:
            return max(1, min(8, -(-samples // 8)))
        return max(4, min(32, -(-samples // 4)))

    def circuit(self) -> Network:
        """The network as it is simulated: with its parasitics where phases are transients."""
        if self.settling is None:
            return self.network
        return self.network.with_parasitics(self.settling.node_capacitance)

    def deck(self) -> Deck:
        """The deck that a worker loads."""
        return build_deck(self.circuit(), self.options)

    def analysis(self) -> str:
        """The analysis as a line of SPICE."""
        if self.settling is None:
            return ".op"
        s = self.settling
        return f".tran {s.step:.12g} {s.duration:.12g} 0 {s.step:.12g} uic"


class StaticPhases:
    """A static network loaded in this process, ready to be driven and nudged.

    Attributes:
        plan: what was loaded and how it is simulated.
        parameters: current values of the trainable parameters, `(n_trainable,)`.
    """

    def __init__(self, plan: StaticPlan, session: Session | None = None) -> None:
        network = plan.network
        self.plan = plan
        self.network = network
        self.session = session or Session()
        self.circuit: Circuit = self.session.load(plan.deck())
        self.parameters = network.parameters
        flat = network.flat()
        self.targets = tuple(
            flat.element(t.element).device.alter_target(flat.element(t.element), t.parameter)
            for t in flat.trainable
        )
        self.typical = typical_sizes(flat)
        index = network.node_index
        ends = [network.element(t.element).nodes[:2] for t in network.trainable]
        self.branch_plus: IntArray = np.array([index[p] for p, _ in ends], dtype=np.int64)
        self.branch_minus: IntArray = np.array([index[n] for _, n in ends], dtype=np.int64)
        self._out_plus = [index[o.plus] for o in network.outputs]
        self._out_minus = [index[o.minus] for o in network.outputs]
        self.families = device_families(network)
        self.extra: dict[str, Any] = {}  # what estimators keep loaded

    # What the pool calls.

    def update(self, state: Any) -> None:
        """Write the trainable parameters `(n_trainable,)` into the loaded circuit."""
        values = np.asarray(state, dtype=float)
        self.circuit.alter(self.targets, self.alter_values(values))
        self.parameters = values

    def run(self, task: Task) -> Any:
        """Do a task on these phases."""
        return task.run(self)

    def usage(self) -> dict[str, Any]:
        """Counts since the start and the time spent inside the simulator [s]."""
        return self.session.usage()

    def alter_values(self, parameters: FloatArray) -> FloatArray:
        """What the simulator is told for parameter values, both `(n_trainable,)`."""
        return told_values(self.families, parameters)

    def evaluate(self, batch: Any, loss: Any) -> tuple[FloatArray, FloatArray]:
        """Losses `(n,)` and outputs `(n, n_outputs)` [V] of the free phases of a batch."""
        outputs = np.array([self.free(d).outputs for d in batch.drives])
        outputs = outputs.reshape(len(batch), len(self.network.outputs))
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

    def branch_voltages(self, solution: Solution) -> FloatArray:
        """Branch voltages of the trainable elements, `(n_trainable,)` [V]."""
        return np.asarray(solution.nodes[self.branch_plus] - solution.nodes[self.branch_minus])

    def _signals(self, drives: FloatArray, currents: FloatArray | None) -> list[Signals]:
        row = drives if currents is None else np.concatenate([drives, currents])
        return [constant(row)] if row.size else []

    def _solve(self, drives: FloatArray, currents: FloatArray | None, first_rung: int) -> Solution:
        signals = self._signals(np.asarray(drives, dtype=float), currents)
        settling = self.plan.settling
        waveforms = None
        rung = 0
        if settling is None:
            values = self.circuit.operating_point(signals)
        else:
            waveforms = self.circuit.transient(
                signals, settling.duration, settling.step, first_rung=first_rung
            )
            rung = [r.name for r in ladder.TRANSIENT].index(self.circuit.rung)
            check_settled(waveforms, settling)
            values = waveforms.final
        nodes = np.append(values, 0.0)
        return Solution(nodes, nodes[self._out_plus] - nodes[self._out_minus], waveforms, rung)


def typical_sizes(network: Network) -> FloatArray:
    """A typical size of every trainable parameter, `(n_trainable,)`, for steps away from zero."""
    devices = [network.element(t.element).device for t in network.trainable]
    return np.array(
        [d.parameters[d.index(t.parameter)].typical for d, t in zip(devices, network.trainable, strict=True)]
    )


def device_families(network: Network) -> Sequence[tuple[Any, str, IntArray]]:
    """Trainable parameters by device and name: the device, the parameter, their places in the vector."""
    places: dict[tuple[int, str], list[int]] = {}
    devices = {}
    for k, entry in enumerate(network.trainable):
        device = network.element(entry.element).device
        devices[id(device)] = device
        places.setdefault((id(device), entry.parameter), []).append(k)
    return [
        (devices[key], parameter, np.array(rows, dtype=np.int64)) for (key, parameter), rows in places.items()
    ]


def told_values(families: Sequence[tuple[Any, str, IntArray]], parameters: FloatArray) -> FloatArray:
    """What the simulator is told for values of the trainable parameters, both `(n_trainable,)`."""
    told = np.array(parameters, dtype=float)
    for device, parameter, places in families:
        told[places] = device.alter_value(parameter, told[places])
    return told


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
