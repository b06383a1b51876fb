"""Crossbar arrays against dense nodal solves and laws written out here."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

from bridge.errors import NetworkError
from bridge.ngspice.drives import constant
from bridge.ngspice.openvaf import usable
from bridge.ngspice.session import Session
from circuits.deck import SolverOptions
from circuits.devices.memristors.yakopcic import YAKOPCIC
from circuits.netlist import build_deck
from circuits.network import Network
from circuits.topologies.crossbar import Cell, Lines, crossbar

RNG = np.random.default_rng(7)
TIGHT = SolverOptions(reltol=1e-9, abstol=1e-18, vntol=1e-12, gmin=1e-18)


def column_currents(session: Session, network: Network, drives: np.ndarray) -> np.ndarray:
    """Currents into the columns' sources [A] at the operating point; drives in the network's order."""
    deck = build_deck(network, TIGHT, nudges=False, saves=tuple(f"i(v{p})" for p in network.probes),
                      realisation=usable("auto", network))  # fmt: skip
    return session.load(deck).operating_point([constant(drives)])


def nodal(
    g: np.ndarray, rows: np.ndarray, columns: np.ndarray, wire: float, driver: float, sense: float
) -> np.ndarray:
    """Column currents by a dense solve; lines whose voltage is not a number float."""
    m, n = g.shape
    a = np.zeros((2 * m * n, 2 * m * n))
    b = np.zeros(2 * m * n)

    def row(i: int, j: int) -> int:
        return int(i * n + j)

    def column(i: int, j: int) -> int:
        return int(m * n + i * n + j)

    def between(p: int, q: int, s: float) -> None:
        a[p, p] += s
        a[q, q] += s
        a[p, q] -= s
        a[q, p] -= s

    def source(p: int, s: float, v: float) -> None:
        if np.isfinite(v):
            a[p, p] += s
            b[p] += s * v

    for i in range(m):
        for j in range(n):
            between(row(i, j), column(i, j), g[i, j])
            if j:
                between(row(i, j - 1), row(i, j), 1 / wire)
            if i:
                between(column(i - 1, j), column(i, j), 1 / wire)
        source(row(i, 0), 1 / (driver + wire), rows[i])
    for j in range(n):
        source(column(m - 1, j), 1 / (sense + wire), columns[j])
    v = np.linalg.solve(a, b)
    ends = v[[column(m - 1, j) for j in range(n)]]
    return np.where(np.isfinite(columns), (ends - np.nan_to_num(columns)) / (sense + wire), 0.0)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (8, 4)])
def test_currents_with_resistive_lines_are_those_of_a_nodal_solve(
    session: Session, shape: tuple[int, int]
) -> None:
    g = RNG.uniform(1e-4, 1e-2, shape)
    rows, columns = RNG.uniform(-1, 1, shape[0]), RNG.uniform(-0.2, 0.2, shape[1])
    network = crossbar(*shape, values=g, fidelity="ideal", lines=Lines(wire=7.0, driver=50.0, sense=20.0))
    found = column_currents(session, network, np.concatenate([rows, columns]))
    np.testing.assert_allclose(found, nodal(g, rows, columns, 7.0, 50.0, 20.0), rtol=1e-7)


def test_ideal_lines_multiply_a_vector_by_the_matrix(session: Session) -> None:
    g, rows = RNG.uniform(1e-5, 1e-3, (6, 4)), RNG.uniform(-1, 1, 6)
    network = crossbar(6, 2, values=g, fidelity="ideal", devices_per_weight=2)
    np.testing.assert_allclose(
        column_currents(session, network, np.concatenate([rows, np.zeros(4)])), rows @ g, rtol=1e-8
    )
    assert network.probes == ("col0", "col1", "col2", "col3")
    np.testing.assert_array_equal(network.parameters, g.ravel())


def test_a_read_with_floating_lines_shows_the_sneak_path(session: Session) -> None:
    """Of 2 x 2 cells one is read with the other lines open: the three others are a path beside it."""
    g = np.array([[1e-4, 3e-4], [5e-4, 2e-4]])
    network = crossbar(2, 2, values=g, fidelity="ideal", lines=Lines(switches=True))
    order = {d.source: k for k, d in enumerate(network.drives)}
    drives = np.zeros(len(order))
    drives[order["row0"]] = 0.1
    for enable in ("en_row0", "en_col0"):
        drives[order[enable]] = 1.0
    sneak = 1 / (1 / g[0, 1] + 1 / g[1, 1] + 1 / g[1, 0])
    found = column_currents(session, network, drives)
    assert found[0] == pytest.approx(0.1 * (g[0, 0] + sneak), rel=1e-6)
    drives[[order["en_row1"], order["en_col1"]]] = 1.0  # grounded instead: nothing but the cell
    assert column_currents(session, network, drives)[0] == pytest.approx(0.1 * g[0, 0], rel=1e-6)


def test_floating_lines_with_wires_are_those_of_a_nodal_solve(session: Session) -> None:
    g = RNG.uniform(1e-4, 1e-2, (4, 5))
    rows, columns = np.array([np.nan, 0.3, np.nan, np.nan]), np.array([np.nan, np.nan, 0.0, np.nan, np.nan])
    network = crossbar(4, 5, values=g, fidelity="ideal", lines=Lines(wire=10.0, switches=True))
    levels = np.concatenate([rows, columns])
    drives = np.concatenate([np.nan_to_num(levels), np.isfinite(levels)])
    found = column_currents(session, network, drives)
    closed = 1e-3  # resistance of a closed switch
    np.testing.assert_allclose(found[2], nodal(g, rows, columns, 10.0, closed, closed)[2], rtol=1e-7)


@pytest.mark.parametrize("published", ["oblea", "miao"])
def test_three_fidelities_agree_at_the_read_voltage(session: Session, published: str) -> None:
    states = RNG.uniform(0.2, 0.8, (3, 4))
    values = YAKOPCIC.values(published)
    g = YAKOPCIC.read_conductance({**values, "x": states})
    drives = np.concatenate([np.full(3, YAKOPCIC.read_voltage), np.zeros(4)])
    ideal = crossbar(3, 4, values=g, fidelity="ideal")
    static = crossbar(3, 4, YAKOPCIC, states, fidelity="static", parameters=values)
    dynamic = crossbar(3, 4, YAKOPCIC, states, parameters=values)
    wanted = column_currents(session, ideal, drives)
    np.testing.assert_allclose(column_currents(session, static, drives), wanted, rtol=1e-5)
    saves = tuple(f"i(v{p})" for p in dynamic.probes)
    deck = build_deck(dynamic, TIGHT, nudges=False, saves=saves, realisation=usable("auto", dynamic))
    waves = session.load(deck).transient([constant(drives)], 1e-9, 1e-10)
    np.testing.assert_allclose(waves.final, wanted, rtol=1e-5)
    np.testing.assert_allclose(static.parameters, states.ravel())
    assert {t.parameter for t in dynamic.trainable} == {"x0"}


def test_a_transistor_adds_its_channel_and_cuts_the_row_off(session: Session) -> None:
    g = np.full((2, 1), 1e-4)
    cell = Cell("1t1r", gate=3.0, bulk=-1.0)
    network = crossbar(2, 1, values=g, fidelity="ideal", cell=cell)
    drives = network.drive_values([0.1, 0.1])
    drives[-1] = cell.bulk  # the second row's gate is off
    # Level 1 in the linear region: i = kp w/l ((vgs - vto) u - u^2 / 2).
    beta = 2e-4 * 10.0

    def excess(u: float) -> float:
        return beta * ((3.0 - 0.5) * u - u * u / 2) - 1e-4 * (0.1 - u)

    u = brentq(excess, 0.0, 0.1, xtol=1e-15)
    assert column_currents(session, network, drives)[0] == pytest.approx(1e-4 * (0.1 - u), rel=1e-5)


def test_a_selector_is_in_series_with_the_device(session: Session) -> None:
    network = crossbar(1, 1, values=1e-5, fidelity="ideal", cell=Cell("selector", current=1e-8, slope=0.15))
    for v in (0.9, -0.5):
        u = brentq(lambda u, v=v: 1e-8 * np.sinh(u / 0.15) - 1e-5 * (v - u), -1, 1, xtol=1e-15)
        found = column_currents(session, network, np.array([v, 0.0]))[0]
        assert found == pytest.approx(1e-5 * (v - u), rel=1e-6)


def test_stuck_cells_keep_their_conductance(session: Session) -> None:
    stuck = np.full((2, 3), np.nan)
    stuck[1, 2] = 5e-4
    network = crossbar(2, 3, YAKOPCIC, 0.5, fidelity="static", stuck=stuck)
    assert len(network.trainable) == 5
    drives = np.array([0.0, 0.1, 0.0, 0.0, 0.0])
    assert column_currents(session, network, drives)[2] == pytest.approx(5e-5, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"values": np.ones((2, 2)), "fidelity": "ideal"}, "shape"),
        ({"fidelity": "ideal", "device": YAKOPCIC}, "fidelity"),
        ({"fidelity": "static"}, "fidelity"),
        ({"values": 1e-3, "fidelity": "ideal", "devices_per_weight": 3}, "1 or 2 devices"),
    ],
)
def test_wrong_arrays_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        crossbar(2, 3, **options)  # type: ignore[arg-type]


def test_resistances_that_cannot_be_are_refused() -> None:
    with pytest.raises(NetworkError, match="wire"):
        Lines(wire=-1.0)
    with pytest.raises(NetworkError, match="sense"):
        Lines(sense=1e-3)
