"""Writing a network's devices by pulses: one array a layer, its inputs as rows, its outputs as columns.

The arrays are simulated in worker processes of their own, with the devices' own parameters; the programmer
computes with the nominal ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.errors import SpecError
from bridge.experiment.misses import WriteLog
from bridge.experiment.spec import ExperimentSpec, GraphSpec, LayeredSpec
from bridge.experiment.spec_devices import ProgrammingSpec
from bridge.ngspice.pool import Pool
from bridge.ngspice.session import Session
from bridge.updates.conductances import memristor_of
from bridge.updates.nonidealities import DEVICES, PURPOSES, Cells
from bridge.updates.programming import Array, Programmer, Settings, make_programmer
from bridge.updates.programming.base import Drive
from bridge.updates.programming.cells import LinesSpec
from bridge.updates.programming.noise import noisy, speeds
from bridge.updates.programming.readout import hidden
from circuits.devices.memristors import Memristor
from circuits.network import Network

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Written:
    """What a write has reached.

    Attributes:
        states: first states, `(rows, columns)`.
        conductances: by the devices' own laws, `(rows, columns)` [S].
        pulses: of all devices.
        rounds: of pulses.
        errors: relative error of what was read of each device outside of the tolerance, not a number for all
            others; stuck devices do not count: no pulse could bring them to their targets.
        beyond: devices that no state brings within the tolerance, as a read sees them.
    """

    states: FloatArray
    conductances: FloatArray
    pulses: int
    rounds: int
    errors: FloatArray
    beyond: BoolArray


@dataclass(frozen=True)
class Writing:
    """One array to write: a task for `Bench`.

    Attributes:
        array: its number.
        targets: `(rows, columns)` [S].
        states: present first states, `(rows, columns)`.
        seed: words of the seed.
    """

    array: int
    targets: FloatArray
    states: FloatArray
    seed: tuple[int, ...]

    def run(self, bench: Bench) -> Written:
        """Write."""
        programmer = bench.programmer(self.array)
        rng = np.random.default_rng(np.random.SeedSequence(list(self.seed)))
        found = programmer.program(self.targets, self.states, rng)
        array, tolerance = programmer.array, programmer.settings.tolerance
        missed = ~found.converged & ~np.isfinite(array.stuck_at)
        errors = np.where(missed, found.measured / self.targets - 1.0, np.nan)
        least, most = array.own_range
        if programmer.read_noise is None:  # lines and cells take their share of what a read sees
            seen = found.measured / np.where(found.conductances > 0.0, found.conductances, np.inf)
            least, most = least * seen, most * seen
        beyond = (self.targets * (1.0 - tolerance) > most) | (self.targets * (1.0 + tolerance) < least)
        count = int(found.pulses.sum())
        return Written(found.states, found.conductances, count, found.rounds, errors, beyond)


@dataclass(frozen=True)
class ArrayPlan:
    """An array of devices as plain data, so that it can be sent to a worker.

    Attributes:
        device: of every cell.
        options: the further fields of `Array`.
        wiring: its cells and lines; left as they are for devices that share none.
    """

    device: Memristor
    options: Mapping[str, Any]
    wiring: LinesSpec

    def make(self) -> Array:
        """The array."""
        array = Array(self.device, **self.options)
        return array if array.separate else self.wiring.wired(array)


@dataclass(frozen=True)
class BenchPlan:
    """The arrays of a network and how they are written; makes the bench in each worker.

    Attributes:
        arrays: the arrays.
        kind: of the programmer.
        settings: of the programmer.
        cycle_noise: relative standard deviation of the speed of the state in a round.
        read_noise: relative standard deviation of a conductance that is read.
    """

    arrays: tuple[ArrayPlan, ...]
    kind: str
    settings: Settings
    cycle_noise: float = 0.0
    read_noise: float = 0.0

    def __call__(self) -> Bench:
        """Make the bench in this process."""
        return Bench(self)


@dataclass
class Bench:
    """Programmers in this process, each made when it is first used."""

    plan: BenchPlan
    session: Session = field(default_factory=Session)
    made: dict[int, Programmer] = field(default_factory=dict)

    def programmer(self, number: int) -> Programmer:
        """The programmer of an array, its devices as if nothing had been written yet."""
        plan = self.plan
        if number not in self.made:
            array = plan.arrays[number].make()
            options = noisy(array, plan.settings, plan.cycle_noise, plan.read_noise)
            self.made[number] = make_programmer(
                plan.kind, array, plan.settings, session=self.session, **options
            )
        found = self.made[number]
        if found.perturbed:  # what the last round of an earlier write left
            found.bench.alter({n: found.array.own[n] for n in found.perturbed})
        return found

    # What the pool calls.

    def update(self, state: Any) -> None:
        """Nothing: every task says all that it needs."""

    def run(self, task: Writing) -> Any:
        """Write an array."""
        return task.run(self)

    def usage(self) -> dict[str, Any]:
        """Counts since the start and the time spent inside the simulator [s]."""
        return self.session.usage()


class PulseProgrammer:
    """Programs the memristive devices of a network, array by array.

    Attributes:
        workers: greatest number of processes; results do not depend on it.
        log: of the writes.
    """

    def __init__(
        self,
        programming: ProgrammingSpec,
        spec: ExperimentSpec,
        nominal: Network,
        network: Network,
        cells: Cells,
        places: IntArray,
    ) -> None:
        """Set up the arrays.

        Args:
            programming: the section of the file.
            spec: the experiment.
            nominal: the network as the programmer knows it.
            network: the network as it is.
            cells: the devices, for what is stuck.
            places: trainable parameters that are written, `(n_cells,)`.

        Raises:
            SpecError: synapses without a memristive device, or a deviation that pulses do not have.
        """
        circuit = spec.circuit
        if not isinstance(circuit, LayeredSpec | GraphSpec) or circuit.synapse.kind != "memristor":
            raise SpecError(
                f"{programming.kind} needs memristors as synapses (circuit.synapse.kind); use ideal"
            )
        if (cells.gain != 1.0).any():
            raise SpecError(
                f"a spread of `conductance` is for ideal programming; {programming.kind} needs the spread "
                "of parameters of the device"
            )
        self.device = circuit.synapse.memristor
        self.published, self.parameters = circuit.synapse.published, circuit.synapse.parameters
        self.values = self.device.values(self.published, **self.parameters)
        self.nominal, self.network, self.cells, self.places = nominal, network, cells, places
        self.seed = spec.seed
        self.shapes = arrays(nominal, places)
        self.workers, self.log = spec.engine.workers, WriteLog(len(places))
        settings = Settings(
            tolerance=programming.tolerance,
            max_rounds=programming.max_rounds,
            max_pulses=programming.max_pulses,
            pulses=programming.pulses,
            raise_voltage=programming.raise_voltage,
            lower_voltage=programming.lower_voltage,
            longest=programming.longest,
            scheme=None if programming.lines == "separate" else programming.lines,
        )
        self.plan = BenchPlan(
            tuple(self._array(members, programming) for members in self.shapes),
            programming.kind,
            settings,
            cells.kinds.cycle_noise,
            cells.kinds.read_noise,
        )
        for members, array in zip(self.shapes, (plan.make() for plan in self.plan.arrays), strict=True):
            Drive.of(array, settings)
            if cells.kinds.cycle_noise:
                speeds(array, settings)
            reason = hidden(array, cells.upper[members], programming.tolerance)
            if programming.kind == "write_verify" and reason:
                raise SpecError(reason)
        entry = nominal.trainable[places[0]]
        known = memristor_of(nominal.element(entry.element).device, entry.parameter)
        self._as_states = known is not None
        self._pool: Pool | None = None

    def _array(self, members: IntArray, programming: ProgrammingSpec) -> ArrayPlan:
        deviations: dict[str, FloatArray] = {}
        for name in (p.name for p in self.device.parameters if p.name not in self.device.initial_names):
            own = np.array([self._own(int(k), name) for k in members.ravel()]).reshape(members.shape)
            if (own != self.values[name]).any():
                deviations[name] = own
        stuck = self.cells.stuck[members]
        rows, columns = members.shape
        options = {
            "rows": rows,
            "columns": columns,
            "parameters": dict(self.parameters),
            "published": self.published,
            "deviations": deviations,
            "stuck": None if np.isnan(stuck).all() else stuck,
            "separate": programming.lines == "separate",
        }
        return ArrayPlan(self.device, options, programming)

    def _own(self, cell: int, parameter: str) -> float:
        """A parameter of the device of a cell as it is; nominal where the circuit has a resistor instead."""
        element = self.network.element(self.network.trainable[self.places[cell]].element)
        known = element.parameters
        return known.get(parameter, self.values[parameter])

    def states(self, parameters: FloatArray) -> FloatArray:
        """First states `(n_cells,)` for trainable parameters `(n_trainable,)`."""
        own = parameters[self.places]
        return own if self._as_states else self.device.state_for(own, self.values)

    def write(
        self, asked: FloatArray, stored: FloatArray, number: int, epoch: int = 0
    ) -> tuple[FloatArray, int]:
        """Write conductances.

        Args:
            asked: `(n_cells,)` [S].
            stored: trainable parameters as they are, `(n_trainable,)`.
            number: of the write.
            epoch: to which it belongs, for the log.

        Returns:
            Trainable parameters after the write, and the number of pulses.
        """
        if self._pool is None:
            self._pool = Pool(self.plan, max(1, min(self.workers, len(self.shapes))), time_limit=600.0)
        states = self.states(stored)
        tasks = [
            Writing(k, asked[m], states[m], (self.seed, DEVICES, PURPOSES["pulses"], number, k))
            for k, m in enumerate(self.shapes)
        ]
        after, errors = np.array(stored), np.full(len(self.places), np.nan)
        beyond = np.zeros(len(self.places), dtype=bool)
        made: list[Written] = self._pool.map(tasks)
        for members, found in zip(self.shapes, made, strict=True):
            after[self.places[members]] = found.states if self._as_states else found.conductances
            errors[members], beyond[members] = found.errors, found.beyond
        pulses, rounds = sum(f.pulses for f in made), max(f.rounds for f in made)
        self.log.add(epoch, pulses, rounds, errors, beyond)
        return after, pulses

    def close(self) -> None:
        """End the workers."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def arrays(network: Network, places: IntArray) -> list[IntArray]:
    """Trainable devices as arrays of rows (first nodes) and columns (second nodes).

    Args:
        network: the network.
        places: which of its trainable parameters, `(n_cells,)`.

    Returns:
        One array `(rows, columns)` of indices into `places` for every group; a group whose devices do not
        fill a rectangle in its order is one row.
    """
    groups: dict[str, list[int]] = {}
    for k, place in enumerate(places):
        groups.setdefault(network.trainable[place].group, []).append(k)
    found = []
    for members in groups.values():
        nodes = [network.element(network.trainable[places[k]].element).nodes[:2] for k in members]
        rows, columns = (list(dict.fromkeys(n[side] for n in nodes)) for side in (0, 1))
        full = [(r, c) for r in rows for c in columns] == [tuple(n) for n in nodes]
        shape = (len(rows), len(columns)) if full else (1, len(members))
        found.append(np.array(members, dtype=np.int64).reshape(shape))
    return found
