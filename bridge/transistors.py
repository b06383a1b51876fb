"""The linearisation of a network's transistors along a free phase.

Two ways give the same matrices. *Reported*: the small-signal parameters that ngspice saved during the free
phase; free of cost, and exact where its Jacobian is the derivative and complete. *Measured*: every transistor
alone between voltage sources that replay the free phase, with one terminal a tenth of a millivolt up and
down; six more simulations of independent transistors, whatever the model does. A transient is replayed a
million times slower, so that only the currents that flow at rest are measured; capacitances are always the
reported ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bridge.errors import UnsupportedElementError
from bridge.ngspice.drives import Signals
from bridge.ngspice.session import Circuit, Session
from bridge.quadrature import interpolation_matrix
from bridge.waveforms import Waveforms
from circuits.deck import SolverOptions
from circuits.devices.adjoint_mosfet import REFERENCE, AdjointMosfet, coefficient_node
from circuits.devices.base import Element
from circuits.devices.mosfet import Mosfet
from circuits.devices.mosfet_linear import (
    LEVEL_1,
    MEYER,
    TERMINALS,
    capacitances,
    conductances,
    level,
    mosfets,
    polarity,
    reported,
    reverse,
    unreported,
    vector,
)
from circuits.devices.sources import VOLTAGE_SOURCE
from circuits.netlist import build_deck
from circuits.network import GROUND, Drive, Network

if TYPE_CHECKING:
    from bridge.dynamics import DynamicPhases

FloatArray = NDArray[np.float64]

WAYS = ("auto", "reported", "measured")
STEP = 1e-4
"""How far a terminal is moved up and down [V]: in weak inversion an error of `(STEP / 26 mV)^2 / 6`."""
SLOWER = 1e6
"""How many times slower a transient is replayed."""
_ENDS = ("d", "g", "s", "b")


def checked_way(way: str) -> str:
    """The way itself.

    Raises:
        ValueError: it is not one of `WAYS`.
    """
    if way not in WAYS:
        raise ValueError(f"transistors = {way!r}: choose one of {', '.join(WAYS)}")
    return way


def check_transistors(network: Network, way: str, charges: bool) -> None:
    """Refuse transistors that the adjoint network cannot have, and widths whose gradient is not known.

    Args:
        network: flat.
        way: one of `WAYS`.
        charges: whether the capacitances matter; an operating point has none.

    Raises:
        UnsupportedElementError: with the transistor and why.
    """
    for e in mosfets(network.elements):
        if way == "reported" and "Jacobian" in (why := unreported(e)):
            raise UnsupportedElementError(e.name, why, "measure the derivatives instead")
        if charges and not reported(e):
            raise UnsupportedElementError(
                e.name, f"the capacitances of level {level(e)} are not known", "use finite_difference"
            )
        if charges and level(e) not in MEYER:
            capacitances([e], np.zeros((1, 1), bool), {name: np.zeros((1, 1)) for name in reported(e)})
    for entry in network.trainable:
        e = network.element(entry.element)
        if isinstance(e.device, Mosfet) and level(e) not in LEVEL_1:
            raise UnsupportedElementError(
                e.name,
                f"the current of level {level(e)} is not proportional to {entry.parameter}",
                "train gate voltages, or use finite_difference",
            )


class Bench:
    """The transistors of a network one by one between voltage sources, loaded in this process."""

    def __init__(self, elements: list[Element], options: SolverOptions, session: Session) -> None:
        self.elements = elements
        placed: list[Element] = []
        drives = []
        for e in elements:
            nodes = tuple(f"pin_{e.name}_{t}" for t in _ENDS)
            placed.append(Element(e.name, e.device, nodes, e.values, e.model))
            for t, node in zip(_ENDS, nodes, strict=True):
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
            moved[_ENDS.index(terminal)] = STEP
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


def terminal_voltages(elements: Sequence[Element], waves: Waveforms) -> FloatArray:
    """Voltages of the terminals d, g, s, b, `(n_points, n, 4)` [V]."""
    values = np.hstack([waves.values, np.zeros((len(waves), 1))])
    places = {name: k for k, name in enumerate(waves.names)}
    columns = [[-1 if n == GROUND else places[f"v({n})".lower()] for n in e.nodes] for e in elements]
    return np.asarray(values[:, np.array(columns, dtype=np.int64).reshape(-1, 4)])


def linearisation(phases: DynamicPhases, waves: Waveforms) -> tuple[dict[str, int], FloatArray, FloatArray]:
    """The linearisation of all transistors of a network that has passed `check_transistors`.

    Returns:
        The place of every transistor by its name; derivatives of the terminal currents [S] and of the
        terminal charges [F] at the free phase's points, `(n_points, n, 3, 3)` each, the latter zero where
        `phases` has none.
    """
    elements = mosfets(phases.valued.elements)
    names = {e.name: k for k, e in enumerate(elements)}
    g, c = (np.zeros((len(waves), len(elements), 3, 3)) for _ in range(2))
    if not elements:
        return names, g, c
    columns = {name: k for k, name in enumerate(waves.names)}
    across = terminal_voltages(elements, waves)
    swapped = reverse(elements, across[:, :, 0] - across[:, :, 2])
    alike: dict[tuple[str, ...], list[int]] = {}
    for k, e in enumerate(elements):
        alike.setdefault(reported(e), []).append(k)
    for parameters, rows in alike.items():
        if not parameters:
            continue
        few = [elements[k] for k in rows]
        here = {p: waves.values[:, [columns[vector(e, p)] for e in few]] for p in parameters}
        g[:, rows] = conductances(swapped[:, rows], here)
        if phases.charges:
            c[:, rows] = capacitances(few, swapped[:, rows], here)
    if len(waves) > 1 and waves.time[0] == 0.0:  # none are reported at an operating point
        c[0] = c[1]
    way = phases.transistors
    measured = [k for k, e in enumerate(elements) if way == "measured" or (way == "auto" and unreported(e))]
    if way == "auto":
        measured = sorted({*measured, *_forward_bulks(elements, across)})
    if measured:
        bench, plan = phases.bench([elements[k] for k in measured]), phases.plan
        g[:, measured] = bench.measure(across[:, measured], waves.time, plan.duration, plan.step)
    return names, g, c


def _forward_bulks(elements: Sequence[Element], across: FloatArray) -> list[int]:
    """Level-1 transistors with a body effect, where the bulk of one of them is ever forward biased.

    With `v(b) > v(s)` level 1 goes on linearly in the threshold, and ngspice's GMBS is not its derivative.
    """
    bodies = [
        k for k, e in enumerate(elements) if level(e) in LEVEL_1 and e.model and e.model.get("gamma", 0.0)
    ]
    signs = np.array([polarity(elements[k]) for k in bodies])
    lower = np.minimum(signs * across[:, bodies, 0], signs * across[:, bodies, 2])
    return bodies if (signs * across[:, bodies, 3] > lower).any() else []


@dataclass(frozen=True)
class Played:
    """What the sources of the adjoint transistors play.

    Attributes:
        sources: their positions.
        entries: transistor, row and column of each coefficient, `(n_sources, 3)`.
        charges: whether it is a capacitance, `(n_sources,)`.
    """

    sources: tuple[int, ...]
    entries: NDArray[np.int64]
    charges: NDArray[np.bool_]

    def values(self, g: FloatArray, c: FloatArray) -> FloatArray:
        """Values of the sources, `(n_points, n_sources)`, for matrices `(n_points, n, 3, 3)` [S, F]."""
        which, row, column = self.entries.T
        return np.where(self.charges, c[:, which, row, column] / REFERENCE, g[:, which, row, column])


def played_by(network: Network, places: Mapping[str, int]) -> Played:
    """The sources of an adjoint network's transistors, with their positions by instance name."""
    sources, entries, charges = [], [], []
    transistors = [e for e in network.elements if isinstance(e.device, AdjointMosfet)]
    for number, e in enumerate(transistors):
        assert isinstance(e.device, AdjointMosfet)
        for key in e.device.keys(e):
            sources.append(places[f"v{coefficient_node(e.name, key)}".lower()])
            entries.append([number, TERMINALS.index(key[2]), TERMINALS.index(key[3])])
            charges.append(key[0] == "c")
    return Played(
        tuple(sources), np.array(entries, dtype=np.int64).reshape(-1, 3), np.array(charges, dtype=bool)
    )
