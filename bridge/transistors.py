"""The linearisation of a network's transistors along a free phase.

Two ways give the same matrices. *Reported*: the small-signal parameters that ngspice saved during the free
phase; free of cost, and exact where its Jacobian is the derivative and complete. *Measured*: every transistor
alone between voltage sources that replay the free phase, with one terminal a tenth of a millivolt up and
down; six more simulations of independent transistors, whatever the model does. A transient is replayed a
million times slower, so that only the currents that flow at rest are measured. Capacitances are the reported
ones; those of a model in Verilog-A are measured too, by the small-signal analysis at each point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bridge.benches import Bench, ChargeBench
from bridge.errors import UnsupportedElementError
from bridge.waveforms import Waveforms
from circuits.devices.adjoint_mosfet import REFERENCE, AdjointMosfet, coefficient_node
from circuits.devices.base import Element
from circuits.devices.mosfet import Mosfet
from circuits.devices.mosfet_linear import (
    COMPILED,
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
from circuits.network import GROUND, Network

if TYPE_CHECKING:
    from bridge.dynamics import DynamicPhases

FloatArray = NDArray[np.float64]

WAYS = ("auto", "reported", "measured")


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
        if level(e) == COMPILED:
            if way == "reported":
                raise UnsupportedElementError(e.name, unreported(e), "measure the derivatives instead")
            continue
        if charges and not reported(e):
            raise UnsupportedElementError(
                e.name, f"the capacitances of level {level(e)} are not known", "use finite_difference"
            )
        if charges and level(e) not in MEYER:
            capacitances([e], np.zeros((1, 1), bool), {name: np.zeros((1, 1)) for name in reported(e)})
    for entry in network.trainable:
        e = network.element(entry.element)
        if isinstance(e.device, Mosfet) and level(e) not in LEVEL_1:
            what = "a model in Verilog-A" if level(e) == COMPILED else f"level {level(e)}"
            raise UnsupportedElementError(
                e.name,
                f"the current of {what} is not proportional to {entry.parameter}",
                "train gate voltages, or use finite_difference",
            )


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
        bench, plan = phases.bench([elements[k] for k in measured], Bench), phases.plan
        g[:, measured] = bench.measure(across[:, measured], waves.time, plan.duration, plan.step)
    compiled = [k for k, e in enumerate(elements) if level(e) == COMPILED]
    if compiled and phases.charges:
        charged = phases.bench([elements[k] for k in compiled], ChargeBench)
        c[:, compiled] = charged.measure(across[:, compiled])
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
