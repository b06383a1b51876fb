"""Benches: transistors alone between voltage sources, where their derivatives are measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bridge.ngspice.drives import Signals, constant
from bridge.ngspice.session import Circuit, Session
from bridge.quadrature import interpolation_matrix
from circuits.deck import SolverOptions
from circuits.devices.base import Element
from circuits.devices.mosfet_linear import TERMINALS
from circuits.devices.native import waveform_source
from circuits.devices.sources import VOLTAGE_SOURCE
from circuits.netlist import build_deck
from circuits.network import GROUND, Drive, Network

FloatArray = NDArray[np.float64]

STEP = 1e-4
"""How far a terminal is moved up and down [V]: in weak inversion an error of `(STEP / 26 mV)^2 / 6`."""
SLOWER = 1e6
"""How many times slower a transient is replayed."""
FREQUENCY = 1e6
"""Frequency at which charges are measured [Hz], far below the delays of gate resistances."""
ENDS = ("d", "g", "s", "b")


class Bench:
    """The transistors of a network one by one between voltage sources, loaded in this process."""

    def __init__(self, elements: list[Element], options: SolverOptions, session: Session) -> None:
        self.elements = elements
        placed: list[Element] = []
        drives = []
        for e in elements:
            nodes = tuple(f"pin_{e.name}_{t}" for t in ENDS)
            placed.append(Element(e.name, e.device, nodes, e.values, e.model))
            for t, node in zip(ENDS, nodes, strict=True):
                placed.append(VOLTAGE_SOURCE.element(f"pin_{e.name}_{t}", node, GROUND, driven=True))
                drives.append(Drive(f"pin_{e.name}_{t}"))
        saves = tuple(f"i(v{d.source})".lower() for d in drives)
        network = Network("bench", tuple(placed), tuple(drives))
        self.circuit: Circuit = session.load(build_deck(network, options, nudges=False, saves=saves))

    def update(self, elements: list[Element]) -> None:
        """Give the transistors the widths of `elements`, the same ones with other values."""
        targets = [e.device.alter_target(e, "w") for e in elements]
        self.circuit.alter(targets, [e.value("w") for e in elements])

    def measure(self, voltages: FloatArray, time: FloatArray, duration: float, step: float) -> FloatArray:
        """Derivatives of the terminal currents, `(n_points, n, 3, 3)` [S].

        Args:
            voltages: of the terminals d, g, s, b, `(n_points, n, 4)` [V].
            time: of the points [s]; one point is an operating point.
            duration: of the free phase [s].
            step: its largest time step [s].
        """
        found = np.zeros((*voltages.shape[:2], 3, 3))
        for j, terminal in enumerate(TERMINALS):
            moved = np.zeros(4)
            moved[ENDS.index(terminal)] = STEP
            up = self._currents(voltages + moved, time, duration, step)
            down = self._currents(voltages - moved, time, duration, step)
            found[:, :, :, j] = (up - down) / (2.0 * STEP)
        return found

    def _currents(self, voltages: FloatArray, time: FloatArray, duration: float, step: float) -> FloatArray:
        """Currents into the terminals d, g, b, `(n_points, n, 3)` [A]."""
        count, n = voltages.shape[:2]
        values = voltages.reshape(count, 4 * n)
        sources = tuple(range(4 * n))
        if count == 1:
            into = self.circuit.operating_point([Signals(sources, values)])[None]
        else:
            signals = Signals(sources, values.copy(), time * SLOWER, order=3)
            waves = self.circuit.transient([signals], duration * SLOWER, step * SLOWER, uic=False)
            into = interpolation_matrix(waves.time / SLOWER, time) @ waves.values
        return -np.asarray(into).reshape(count, n, 4)[:, :, [0, 1, 3]]


class ChargeBench:
    """The same transistors three times each, at every copy with a small signal at another terminal."""

    def __init__(self, elements: list[Element], options: SolverOptions, session: Session) -> None:
        placed: list[Element] = []
        drives, saves = [], []
        self._copies: list[Element] = []
        for e in elements:
            for t in ENDS:
                name = f"pin_{e.name}_{t}"
                placed.append(VOLTAGE_SOURCE.element(name, name, GROUND, driven=True))
                drives.append(Drive(name))
            for moved in TERMINALS:
                copy = f"{e.name}_{moved}"
                for t in ENDS:
                    # A phase of 90 degrees: the real part of the current is that of the charge alone.
                    body = "dc 0 ac 1 90" if t == moved else "dc 0"
                    ends = f"pin_{e.name}_{t}", f"at_{copy}_{t}"
                    placed.append(waveform_source(f"at_{copy}_{t}", *ends, body))
                nodes = tuple(f"at_{copy}_{t}" for t in ENDS)
                self._copies.append(Element(copy, e.device, nodes, e.values, e.model))
                saves += [f"i(vat_{copy}_{t})".lower() for t in TERMINALS]
        network = Network("charges", (*placed, *self._copies), tuple(drives))
        self.circuit: Circuit = session.load(build_deck(network, options, nudges=False, saves=tuple(saves)))

    def update(self, elements: list[Element]) -> None:
        """Give the transistors the widths of `elements`, the same ones with other values."""
        every = [e for e in elements for _ in TERMINALS]
        targets = [c.device.alter_target(c, "w") for c in self._copies]
        self.circuit.alter(targets, [e.value("w") for e in every])

    def measure(self, voltages: FloatArray) -> FloatArray:
        """Derivatives of the terminal charges, `(n_points, n, 3, 3)` [F], by the small-signal analysis.

        Args:
            voltages: of the terminals d, g, s, b, `(n_points, n, 4)` [V].
        """
        count, n = voltages.shape[:2]
        rows = [self.circuit.small_signal([constant(v.ravel())], FREQUENCY) for v in voltages]
        found = np.array(rows).reshape(count, n, len(TERMINALS), len(TERMINALS)) / (2.0 * np.pi * FREQUENCY)
        return np.swapaxes(found, 2, 3)  # a source of `+1 V` from its pin to the terminal lowers the latter
