"""An array loaded in this process's engine: pulses and reads of all its devices, states going on.

A slot is the time in which one row is selected. Rows that have nothing to do have none. Voltages of a
selected cell are `height * shape(t)`; what the other lines carry meanwhile is the scheme's:

| scheme | selected row | its columns | other rows | other columns |
|---|---|---|---|---|
| half | V/2 | -V/2 | 0 | 0 |
| third | V | 0 | V/3 | 2V/3 |
| grounded | 0 | -V | 0 | 0 |

The selected row and the resting columns keep their voltages until the longest pulse of the slot has fallen,
so that every pulse of a row falls to the same resting voltage: the inverse of the state equation needs it.
`grounded` disturbs the other cells of a column by the whole voltage unless transistors cut them off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bridge.ngspice import openvaf
from bridge.ngspice.drives import Signals
from bridge.ngspice.session import Session
from bridge.updates.programming.array import Array
from bridge.updates.programming.inverse import edge_shape, pulse_shape
from circuits.deck import SolverOptions
from circuits.devices.behavioural import state_node
from circuits.netlist import Realisation, build_deck, contexts

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Scheme = Literal["half", "third", "grounded"]

ROW, REST = {"half": 0.5, "third": 1.0, "grounded": 0.0}, {"half": 0.0, "third": 2 / 3, "grounded": 0.0}
OTHER_ROWS = {"half": 0.0, "third": 1 / 3, "grounded": 0.0}
_SAMPLES = 4  # of a signal for each time step
_READ_POINTS = 6  # time steps of a read slot
_EDGE_STEPS = 4  # time steps of an edge at least
LARGE, LARGE_WIRED = 1000, 100  # devices from which KLU is faster: six times with 2048 and resistive lines
READ_SHARE = 1e-3  # duration of a read slot over that of a pulse's edge


@dataclass(frozen=True)
class Pulses:
    """One pulse for some cells.

    Attributes:
        voltage: of a full pulse, with its sign [V].
        width: of the flat tops, `(rows, columns)` [s].
        height: shares of the voltage, `(rows, columns)`; 0 for cells without a pulse.
        edge: duration of a rise or fall [s].
    """

    voltage: float
    width: FloatArray
    height: FloatArray
    edge: float

    @property
    def given(self) -> BoolArray:
        """Cells with a pulse."""
        return np.asarray(self.height > 0.0)


class Bench:
    """A loaded array.

    Attributes:
        array: what was loaded.
        states: of all devices, `(rows, columns, n_states)`.
        realised: how the devices' laws are simulated.
    """

    def __init__(
        self,
        array: Array,
        *,
        scheme: Scheme = "half",
        points: int = 32,
        time_scale: float = 1.0,
        live: tuple[str, ...] = (),
        realisation: Realisation = "auto",
        session: Session | None = None,
    ) -> None:
        """Load the array.

        Args:
            array: the array.
            scheme: what unselected lines carry.
            points: time steps of a slot.
            time_scale: typical duration of a pulse [s].
            live: parameters that `alter` may change.
            realisation: how the devices' laws are simulated.
            session: in which to load it; a new one by default.
        """
        self.array, self.scheme, self.points = array, scheme, points
        network = array.network(live)
        self.realised = openvaf.usable(realisation, network)
        self.cells = [(i, j) for i, j in np.ndindex(*array.shape) if not np.isfinite(array.stuck_at[i, j])]
        names = [f"d{i}_{j}" for i, j in self.cells]
        self._currents = [f"i(vcol{j})" for j in range(array.columns)]
        if array.separate:
            self._currents = [f"i(vp{i}_{j})" for i, j in np.ndindex(*array.shape)]
        device = array.device
        saves = [f"v({state_node(n, s.name)})".lower() for n in names for s in device.states]
        wired = array.lines.wire > 0.0 and not array.separate
        options = SolverOptions(trtol=1e6, klu=len(names) >= (LARGE_WIRED if wired else LARGE))
        self.session = session or Session()
        self.circuit = self.session.load(
            build_deck(network, options, nudges=False, saves=(*self._currents, *saves),
                       time_scale=time_scale, realisation=self.realised)
        )  # fmt: skip
        known = contexts(network, time_scale, self.realised)
        self._elements = [network.element(n) for n in names]
        self._contexts = [known[n] for n in names]
        self._starts = tuple(
            device.alter_target(e, s.initial, c)
            for e, c in zip(self._elements, self._contexts, strict=True)
            for s in device.states
        )
        self._scales = np.array([s.scale for s in device.states])
        low, high = np.array(device.bounds).T
        self._low, self._high = low, high
        self._index = tuple(np.array(self.cells, dtype=int).reshape(-1, 2).T)
        self.states = array.all_states(array.own[device.initial_names[0]])

    @property
    def rest(self) -> float:
        """Share of the voltage on a selected row's cell when its own pulse is over."""
        return 0.0 if self.array.separate else ROW[self.scheme] - REST[self.scheme]

    def alter(self, values: Mapping[str, Any]) -> None:
        """Change live parameters of the devices, numbers or `(rows, columns)` each."""
        device = self.array.device
        for key, value in values.items():
            full = np.broadcast_to(np.asarray(value, dtype=float), self.array.shape)[self._index]
            targets = [
                device.alter_target(e, key, c) for e, c in zip(self._elements, self._contexts, strict=True)
            ]
            self.circuit.alter(targets, device.alter_value(key, full))

    def pulse(self, pulses: Pulses) -> None:
        """Give pulses to cells, row by row, in one transient; the states go on from where they are."""
        rows = np.flatnonzero(pulses.given.any(axis=1))
        if not len(rows):
            return
        edge = pulses.edge
        slot = float(pulses.width[pulses.given].max()) + 3.0 * edge  # the lines rest between two slots
        slot += 0.0 if self.array.separate else edge  # the row falls after its last pulse
        step = min(slot / self.points, edge / _EDGE_STEPS)
        if self.array.separate:
            time: FloatArray = np.linspace(0.0, slot, _SAMPLES * int(np.ceil(slot / step)) + 1)
            values = pulses.voltage * pulses.height.ravel() * pulse_shape(
                time[:, None], pulses.width.ravel(), edge
            )  # fmt: skip
            self._run(time, values, step)
            return
        samples = _SAMPLES * int(np.ceil(slot / step))
        local: FloatArray = np.arange(samples, dtype=float) * (slot / samples)
        window = pulse_shape(local, slot - 3.0 * edge, edge)
        blocks = [self._slot(int(i), local, window, pulses) for i in rows]
        values = np.concatenate([*blocks, blocks[-1][-1:]])
        self._run(np.arange(len(values), dtype=float) * (slot / samples), values, step)

    def _slot(self, row: int, local: FloatArray, window: FloatArray, pulses: Pulses) -> FloatArray:
        """Voltages of rows, columns and gates in a slot, `(n_samples, n_sources)`."""
        array, scheme, v = self.array, self.scheme, pulses.voltage
        own, rest = ROW[scheme], REST[scheme]
        lines = np.full((len(local), array.rows), OTHER_ROWS[scheme] * v) * window[:, None]
        lines[:, row] = own * v * window
        height, chosen = pulses.height[row], pulses.given[row]
        shape = pulse_shape(local[:, None], pulses.width[row], pulses.edge)
        # A column leaves its resting level only while its own pulse lasts.
        columns = rest * v * window[:, None] + np.where(chosen, own - height - rest, 0.0) * v * shape
        return np.hstack([lines, columns, *self._gates(row, len(local))])

    def _gates(self, row: int, samples: int) -> list[FloatArray]:
        cell = self.array.cell
        if cell.kind != "1t1r":
            return []
        gates = np.full((samples, self.array.rows), cell.bulk)
        gates[:, row] = cell.gate
        return [gates]

    def _run(self, time: FloatArray, values: FloatArray, step: float) -> FloatArray:
        """Simulate, take over the states, return the saved currents over time and its axis last."""
        self.circuit.alter(self._starts, (self.states[self._index] / self._scales).ravel())
        signals = Signals(tuple(range(values.shape[1])), values, time, order=1)
        waves = self.circuit.transient([signals], float(time[-1]), step)
        count = len(self._currents)
        final = waves.values[-1, count:].reshape(-1, len(self._scales)) * self._scales
        self.states[self._index] = np.clip(final, self._low, self._high)
        return np.hstack([waves.values[:, :count], waves.time[:, None]])

    def read(self, duration: float, voltage: float | None = None) -> FloatArray:
        """Read every cell in one transient: its row at the read voltage, all other lines at 0 V.

        Args:
            duration: of a read slot [s].
            voltage: instead of the device's read voltage [V].

        Returns:
            Column current over read voltage, `(rows, columns)` [S]: what a read-out sees.
        """
        array = self.array
        u = array.device.read_voltage if voltage is None else voltage
        slots = 1 if array.separate else array.rows
        samples = 4 * _READ_POINTS
        local: FloatArray = np.arange(samples, dtype=float) / samples
        flat = edge_shape(local / 0.25) * edge_shape((1.0 - local) / 0.25) * u
        if array.separate:
            values = np.repeat(flat[:, None], array.rows * array.columns, axis=1)
        else:
            blocks = []
            for i in range(array.rows):
                block = np.zeros((samples, array.rows + array.columns))
                block[:, i] = flat
                blocks.append(np.hstack([block, *self._gates(i, samples)]))
            values = np.concatenate(blocks)
        values = np.concatenate([values, values[-1:]])
        time: FloatArray = np.arange(len(values), dtype=float) * (duration / samples)
        found = self._run(time, values, duration / _READ_POINTS)
        middles = (np.arange(slots) + 0.5) * duration
        at = np.abs(found[:, -1][None, :] - middles[:, None]).argmin(axis=1)
        currents = found[at, :-1]
        if array.separate:  # the current into a source's plus terminal is minus what it delivers
            return np.asarray(-currents.reshape(array.shape) / u)
        return np.asarray(currents / u)
