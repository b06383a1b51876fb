"""What half-selected cells and sneak paths do: transistors cut them off, selectors by what their law says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq, root

from bridge.ngspice.drives import constant
from bridge.ngspice.openvaf import usable
from bridge.ngspice.session import Session
from bridge.updates.programming import Array
from bridge.updates.programming.bench import Bench, Pulses
from circuits.deck import SolverOptions
from circuits.devices.memristors.linear_drift import LINEAR_DRIFT
from circuits.netlist import build_deck
from circuits.network import Network
from circuits.topologies.crossbar import Cell, Lines, crossbar

TIGHT = SolverOptions(reltol=1e-9, abstol=1e-18, vntol=1e-12, gmin=1e-18)
START, VOLTAGE, EDGE, WIDTH = 0.4, 1.2, 0.02, 0.06
CURRENT, SLOPE = 1e-10, 0.06  # of the selector


def series(v: float, conductance: float) -> float:
    """Current [A] through a conductance and a selector at a voltage, by the selector's declared law."""
    drop = brentq(lambda d: CURRENT * np.sinh(d / SLOPE) - conductance * (v - d), -abs(v) - 1e-9,
                  abs(v) + 1e-9, xtol=1e-16, rtol=1e-14)  # fmt: skip
    return float(conductance * (v - drop))


def ohm(v: float, conductance: float) -> float:
    """Current [A] through a conductance alone."""
    return conductance * v


def drift(current: Callable[[float, float], float], row: float, pulse: float) -> float:
    """Way of the state by LSODA: Strukov's law with Joglekar's window.

    Args:
        current: of a conductance and what is in series with it, at a voltage.
        row: share of the voltage on the cell while its row is selected, an edge longer than the pulse.
        pulse: share while the pulse lasts.
    """
    last = 2 * EDGE + WIDTH

    def rise(t: float) -> float:
        return float(0.5 - 0.5 * np.cos(np.pi * min(max(t / EDGE, 0.0), 1.0)))

    def rate(t: float, y: np.ndarray) -> list[float]:
        x = float(y[0])
        v = VOLTAGE * rise(t) * (row * rise(last + EDGE - t) + pulse * rise(last - t))
        speed = 1e-14 * 100.0 / 1e-16 * current(v, 1.0 / (100.0 * x + 16e3 * (1 - x)))
        return [speed * (1 - (2 * x - 1) ** 2)]

    found = solve_ivp(rate, (0, last + EDGE), [START], method="LSODA", rtol=1e-9, atol=1e-12,
                      max_step=EDGE / 10)  # fmt: skip
    return float(found.y[0, -1]) - START


def disturbed(session: Session, cell: Cell, scheme: Any) -> np.ndarray:
    """How far the states of 3 x 3 devices go when (0, 0) is pulsed; this device has no threshold."""
    array = Array(LINEAR_DRIFT, 3, 3, cell=cell)
    bench = Bench(array, scheme=scheme, points=200, time_scale=EDGE, session=session)
    bench.states = array.all_states(START)
    height = np.zeros((3, 3))
    height[0, 0] = 1.0
    bench.pulse(Pulses(VOLTAGE, WIDTH * height, height, EDGE))
    return np.asarray(bench.states[..., 0] - START)


def test_transistors_that_are_off_leave_nothing_of_the_disturb(session: Session) -> None:
    """Half of the voltage on a bare cell moves it by half; behind a transistor that is off, by leakage."""
    bare = disturbed(session, Cell("1r"), "half")
    half = drift(ohm, 0.0, 0.5)
    assert bare[0, 0] == pytest.approx(drift(ohm, 0.5, 0.5), rel=2e-3)
    assert bare[1:, 0] == pytest.approx(half, rel=2e-3)
    assert bare[0, 1:] == pytest.approx(drift(ohm, 0.5, 0.0), rel=2e-3)
    assert np.abs(bare[1:, 1:]).max() < 1e-9
    # Grounded rows: the column's cells see all of the voltage, if they had no transistors.
    whole = drift(ohm, 0.0, 1.0)
    assert disturbed(session, Cell("1r"), "grounded")[1:, 0] == pytest.approx(whole, rel=2e-3)
    access = disturbed(session, Cell("1t1r", width=1e-3), "grounded")
    assert access[0, 0] == pytest.approx(whole, rel=0.05)
    access[0, 0] = 0.0
    assert np.abs(access).max() < 1e-5 * half


def test_a_selector_leaves_of_the_disturb_what_its_law_says(session: Session) -> None:
    """The states of the pulsed device and of its neighbours are those of the two laws in series."""
    found = disturbed(session, Cell("selector", current=CURRENT, slope=SLOPE), "half")
    whole, half = drift(series, 0.5, 0.5), drift(series, 0.0, 0.5)
    assert found[0, 0] == pytest.approx(whole, rel=2e-3)
    assert found[1:, 0] == pytest.approx(half, rel=5e-3)
    assert found[0, 1:] == pytest.approx(drift(series, 0.5, 0.0), rel=5e-3)
    # A half-selected device goes less than half as far as the selected one; with a selector a tenth of that.
    assert half / whole < 0.1 * drift(ohm, 0.0, 0.5) / drift(ohm, 0.5, 0.5)


def read(session: Session, network: Network, voltage: float) -> float:
    """Current [A] of column 0 when row 0 is at a voltage, column 0 at 0 V and all other lines float."""
    order = {d.source: k for k, d in enumerate(network.drives)}
    drives = np.zeros(len(order))
    drives[order["row0"]] = voltage
    drives[[order["en_row0"], order["en_col0"]]] = 1.0
    deck = build_deck(network, TIGHT, nudges=False, saves=("i(vcol0)",), realisation=usable("auto", network))
    return float(session.load(deck).operating_point([constant(drives)])[0])


def nodal(g: np.ndarray, voltage: float, current: Callable[[float, float], float]) -> float:
    """The same by Kirchhoff's laws for the floating lines, solved by Powell's method."""
    m, n = g.shape

    def lines(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.array([voltage, *v[: m - 1]]), np.array([0.0, *v[m - 1 :]])

    def cells(v: np.ndarray) -> np.ndarray:
        rows, columns = lines(v)
        return np.array([[current(rows[i] - columns[j], g[i, j]) for j in range(n)] for i in range(m)])

    def surplus(v: np.ndarray) -> np.ndarray:
        i = cells(v) / (g.max() * voltage)
        return np.concatenate([i.sum(1)[1:], i.sum(0)[1:]])

    found = root(surplus, np.full(m + n - 2, voltage / 2), method="hybr", options={"xtol": 1e-13})
    assert np.abs(surplus(found.x)).max() < 1e-10
    return float(cells(found.x)[:, 0].sum())


@pytest.mark.parametrize("kind", ["1r", "selector"])
def test_a_read_among_floating_lines_is_that_of_a_nodal_solve(session: Session, kind: Any) -> None:
    g = np.random.default_rng(5).uniform(2e-6, 2e-5, (4, 3))
    law = series if kind == "selector" else ohm
    cell = Cell(kind, current=CURRENT, slope=SLOPE)
    network = crossbar(4, 3, values=g, fidelity="ideal", cell=cell, lines=Lines(switches=True))
    wanted = nodal(g, 0.6, law)
    assert read(session, network, 0.6) == pytest.approx(wanted, rel=1e-5)
    sneak = wanted / law(0.6, g[0, 0]) - 1.0
    assert sneak > 0.5 if kind == "1r" else 0.0 < sneak < 0.1


def test_a_selector_reduces_a_sneak_current_by_what_its_law_says(session: Session) -> None:
    """Three equal cells in series beside the one that is read, each with a third of the voltage."""
    sneak = {}
    for kind in ("1r", "selector"):
        cell = Cell(kind, current=CURRENT, slope=SLOPE)  # type: ignore[arg-type]
        network = crossbar(2, 2, values=1e-5, fidelity="ideal", cell=cell, lines=Lines(switches=True))
        own = 1e-5 * 0.6 if kind == "1r" else series(0.6, 1e-5)
        sneak[kind] = read(session, network, 0.6) / own - 1.0
    assert sneak["1r"] == pytest.approx(1 / 3, rel=1e-6)
    assert sneak["selector"] == pytest.approx(series(0.2, 1e-5) / series(0.6, 1e-5), rel=1e-4)
    assert sneak["selector"] < sneak["1r"] / 10
