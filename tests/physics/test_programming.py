"""Programming by pulses: states against LSODA with laws written here, convergence, faults, the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import solve_ivp

from bridge.errors import NetworkError, SpecError
from bridge.ngspice.session import Session
from bridge.updates.programming import Array, ProgrammingError, Settings, make_programmer
from bridge.updates.programming.bench import Bench, Pulses
from bridge.updates.programming.command import program_file
from bridge.updates.programming.inverse import after, pulse_for
from bridge.updates.programming.service import Programming
from circuits.devices.memristors import MEMRISTORS
from circuits.devices.memristors.yakopcic import YAKOPCIC
from circuits.topologies.crossbar import Cell, Lines

JO = {"vp": 1.5, "vn": 0.5, "ap": 0.005, "an": 0.08, "xp": 0.2, "xn": 0.5, "alp": 1.2, "aln": 3.0}


def jo_rate(u: float, x: float) -> float:
    """Yakopcic et al. (2013), parameters of Jo's device."""
    p = JO
    if u > p["vp"]:
        window = (
            np.exp(-p["alp"] * (x - p["xp"])) * ((p["xp"] - x) / (1 - p["xp"]) + 1) if x > p["xp"] else 1.0
        )
        return float(p["ap"] * (np.exp(u) - np.exp(p["vp"])) * window)
    if u < -p["vn"]:
        window = np.exp(p["aln"] * (x + p["xn"] - 1)) * x / (1 - p["xn"]) if x < 1 - p["xn"] else 1.0
        return float(-p["an"] * (np.exp(-u) - np.exp(p["vn"])) * window)
    return 0.0


def rise(t: float, edge: float) -> float:
    return float(0.5 - 0.5 * np.cos(np.pi * min(max(t / edge, 0.0), 1.0)))


def moved(voltage: Any, duration: float, x: float, edge: float) -> float:
    """State after a voltage over time, by LSODA."""
    found = solve_ivp(lambda t, y: [jo_rate(voltage(t), y[0])], (0, duration), [x], method="LSODA",
                      rtol=1e-8, atol=1e-10, max_step=edge / 10)  # fmt: skip
    return float(found.y[0, -1])


def targets(array: Array, seed: int = 0, low: float = 0.15, high: float = 0.85) -> np.ndarray:
    ends = array.conductance_range
    return np.random.default_rng(seed).uniform(
        ends[0] + low * (ends[1] - ends[0]), ends[0] + high * (ends[1] - ends[0]), array.shape
    )


def jo(rows: int, columns: int, **options: Any) -> Array:
    return Array(YAKOPCIC, rows, columns, published="jo", **options)


@pytest.mark.parametrize("voltage", [3.0, -1.0])
def test_separate_devices_follow_their_state_equation(session: Session, voltage: float) -> None:
    array = jo(1, 3, separate=True)
    bench = Bench(array, points=128, time_scale=10.0, session=session)
    bench.states = array.all_states([[0.2, 0.4, 0.6]])
    width, height = np.array([[0.0, 3.0, 6.0]]), np.array([[0.8, 1.0, 1.0]])
    bench.pulse(Pulses(voltage, width, height, 1.0))
    for k, x in enumerate((0.2, 0.4, 0.6)):
        w, h = float(width[0, k]), float(height[0, k])
        end = moved(lambda t, w=w, h=h: voltage * h * rise(t, 1) * rise(2 + w - t, 1), w + 2, x, 1.0)
        assert bench.states[0, k, 0] - x == pytest.approx(end - x, rel=5e-3)
        assert abs(end - x) > 3e-3


Share = tuple[float, float]
"""Of the voltage on a cell: while its row is selected, and while the pulse of the selected cell lasts."""


@pytest.mark.parametrize(
    ("scheme", "own", "same_row", "same_column", "other"),
    [
        ("half", (0.5, 0.5), (0.5, 0.0), (0.0, 0.5), (0.0, 0.0)),
        ("third", (1 / 3, 2 / 3), (1 / 3, 0.0), (-1 / 3, 2 / 3), (-1 / 3, 0.0)),
        ("grounded", (0.0, 1.0), (0.0, 0.0), (0.0, 1.0), (0.0, 0.0)),
    ],
)
def test_unselected_devices_feel_their_share_of_a_pulse(
    session: Session, scheme: Any, own: Share, same_row: Share, same_column: Share, other: Share
) -> None:
    """With 5 V even a third passes a threshold: every neighbour moves as LSODA says."""
    array = jo(2, 2)
    bench = Bench(array, scheme=scheme, points=128, time_scale=10.0, session=session)
    bench.states = array.all_states(0.5)
    edge, width = 0.1, 0.4
    height = np.array([[1.0, 0.0], [0.0, 0.0]])
    bench.pulse(Pulses(5.0, width * height, height, edge))
    shares = {(0, 0): own, (0, 1): same_row, (1, 0): same_column, (1, 1): other}
    for place, (row, pulse) in shares.items():

        def voltage(t: float, row: float = row, pulse: float = pulse) -> float:
            last = 2 * edge + width
            return 5 * rise(t, edge) * (row * rise(last + edge - t, edge) + pulse * rise(last - t, edge))

        end = moved(voltage, 1.0, 0.5, edge)
        assert bench.states[place][0] - 0.5 == pytest.approx(end - 0.5, rel=1e-2, abs=1e-6), place
    assert bench.states[0, 0, 0] > 0.6


def test_the_inverse_of_the_state_equation_hits_its_targets() -> None:
    values = YAKOPCIC.values("jo")
    n = 40
    start = np.full((n, 1), 0.5)
    target = np.linspace(0.1, 0.9, n)
    voltage = np.where(target > 0.5, 3.0, -1.0)
    edge, longest = np.full(n, 2.0), np.full(n, 60.0)
    for rest in (0.0, 0.5):
        width, height = pulse_for(YAKOPCIC, voltage, edge, longest, start, target, values, rest)
        end = after(YAKOPCIC, voltage, width, height, edge, start, values, rest)[:, 0]
        np.testing.assert_allclose(end - 0.5, target - 0.5, rtol=5e-3)
        assert np.all((height == 1.0) | (width == 0.0))


@pytest.mark.parametrize("shared", [True, False])
def test_open_loop_pulses_reach_targets_where_the_model_is_right(session: Session, shared: bool) -> None:
    array = jo(4, 5, separate=not shared)
    goal = targets(array, low=0.25)
    programmer = make_programmer("open_loop", array, Settings(tolerance=0.02), session=session)
    found = programmer.program(goal, 0.5)
    np.testing.assert_allclose(found.conductances, goal, rtol=0.02)
    assert found.converged.all()
    assert found.rounds == 1
    assert found.pulses.max() == 1
    wrong = jo(4, 5, separate=not shared, deviations={"ap": 0.01, "an": 0.16})  # twice as fast
    found = make_programmer("open_loop", wrong, session=session).program(goal, 0.5)
    assert np.abs(found.conductances / goal - 1).max() > 0.1
    assert not found.converged.all()


@pytest.mark.parametrize("edge", [0.02, 0.2, 0.8])
def test_open_loop_pulses_do_not_depend_on_their_edges(session: Session, edge: float) -> None:
    """On a shared row the longest pulse falls like all others: first to the row's resting voltage."""
    array = jo(4, 5)
    goal = targets(array, low=0.25)
    programmer = make_programmer("open_loop", array, Settings(edge=edge), session=session)
    np.testing.assert_allclose(programmer.program(goal, 0.5).conductances, goal, rtol=5e-3)


@pytest.mark.parametrize("kind", ["yakopcic", "vteam", "filament"])
def test_write_verify_reaches_one_per_cent_in_devices_that_differ(session: Session, kind: str) -> None:
    device = MEMRISTORS[kind]
    base = Array(device, 5, 6)
    rng = np.random.default_rng(3)
    names = {"yakopcic": ("ap", "an", "a1", "a2"), "vteam": ("kon", "koff", "ron"), "filament": ("i0",)}[kind]
    spread = {n: base.believed[n] * np.exp(0.1 * rng.normal(size=(5, 6))) for n in names}
    array = Array(device, 5, 6, deviations=spread)
    goal = targets(array, low=0.3, high=0.7)
    start = float(device.state_for(float(np.mean(array.conductance_range)), array.believed))
    found = make_programmer("write_verify", array, session=session).program(goal, start)
    assert found.converged.all()
    np.testing.assert_allclose(found.measured, goal, rtol=0.01)
    np.testing.assert_allclose(found.conductances, found.measured, rtol=2e-3)
    assert found.history[-1]["within"] == 1.0
    assert found.rounds == found.history[-1]["round"] > 1
    assert found.pulses.max() <= found.rounds


def test_resistive_lines_are_compensated_and_states_go_on(session: Session) -> None:
    array = Array(YAKOPCIC, 6, 6, published="oblea", lines=Lines(wire=0.5, driver=2.0))
    programmer = make_programmer("write_verify", array, session=session)
    goal = targets(array)
    first = programmer.program(goal, 0.5)
    assert first.converged.all()
    assert (
        np.abs(first.measured / first.conductances - 1).max() > 0.01
    )  # what the read-out sees is what counts
    again = programmer.program(goal, first.states)
    assert again.rounds == 0
    assert again.pulses.sum() == 0
    np.testing.assert_allclose(again.states, first.states, atol=1e-6)
    np.testing.assert_allclose(again.measured, first.measured, rtol=1e-5)


@pytest.mark.parametrize("cell", [Cell("1t1r", width=1e-3), Cell("selector", current=1e-6, slope=0.05)])
def test_cells_with_something_in_series_are_programmed(session: Session, cell: Cell) -> None:
    array = jo(3, 4, cell=cell)
    settings = Settings(raise_voltage=3.03, lower_voltage=-1.03)
    found = make_programmer("write_verify", array, settings, session=session).program(targets(array), 0.5)
    assert found.converged.all()


def test_devices_without_a_threshold_need_transistors(session: Session) -> None:
    device = MEMRISTORS["linear_drift"]
    bare = Array(device, 3, 3)
    programmer = make_programmer("write_verify", bare, session=session)
    with pytest.raises(ProgrammingError, match="cannot be programmed"):
        programmer.program(targets(bare), 0.5)
    array = Array(device, 3, 3, cell=Cell("1t1r", width=1e-2))
    found = make_programmer("write_verify", array, session=session).program(targets(array), 0.9)
    assert found.converged.all()


def test_stuck_and_unreachable_devices_do_not_converge_and_do_not_hold_up_others(session: Session) -> None:
    stuck = np.full((4, 4), np.nan)
    stuck[1, 2] = 2e-7
    array = jo(4, 4, stuck=stuck)
    goal = targets(array)
    goal[1, 2] = 1e-7
    goal[3, 0] = 2 * array.conductance_range[1]
    found = make_programmer("write_verify", array, Settings(patience=3), session=session).program(goal, 0.5)
    missed = {tuple(map(int, place)) for place in np.argwhere(~found.converged)}
    assert missed == {(1, 2), (3, 0)}
    assert found.conductances[1, 2] == 2e-7
    assert found.measured[1, 2] == pytest.approx(2e-7, rel=1e-5)
    assert found.pulses[1, 2] == 1 + 3  # half of its range, then patience with the strongest


def test_small_ways_of_devices_with_higher_thresholds_are_gone(session: Session) -> None:
    """For a step of 3 % the model lowers its pulses to just above a threshold that these devices exceed."""
    array = jo(2, 4, separate=True, deviations={"vp": np.array([[1.5, 1.57, 1.65, 1.8]] * 2),
                                                "vn": np.array([[0.5, 0.53, 0.57, 0.65]] * 2)})  # fmt: skip
    start = np.array([[0.02] * 4, [0.8] * 4])
    goal = array.conductances(start[..., None] * np.array([1.03, 0.97])[:, None, None])
    found = make_programmer("write_verify", array, session=session).program(goal, start)
    assert found.converged.all()
    np.testing.assert_allclose(found.conductances, goal, rtol=0.0105)


def test_devices_that_conduct_better_than_the_model_at_best_are_lowered(session: Session) -> None:
    """From 1.2 to 1.0 of the greatest conductance of the model, which knows no difference between them."""
    array = jo(1, 3, separate=True, deviations={"a1": 1.2 * 3.7e-7, "a2": 1.2 * 3.7e-7})
    top = array.conductance_range[1]
    goal = top * np.array([[1.0, 0.999, 1.1]])
    found = make_programmer("write_verify", array, session=session).program(goal, 1.0)
    assert found.converged.all()
    np.testing.assert_allclose(found.conductances, goal, rtol=0.0105)


def test_the_ideal_programmer_sets_states_of_the_devices_own_parameters() -> None:
    array = jo(3, 3, deviations={"a1": 5e-7})
    found = make_programmer("ideal", array).program(targets(array), 0.5)
    np.testing.assert_allclose(5e-7 * found.states * np.sinh(0.07) / 0.1, targets(array), rtol=1e-9)
    assert found.converged.all()
    assert found.pulses.sum() == 0


def _faster(rng: np.random.Generator, number: int, own: Any) -> dict[str, Any]:
    return {"ap": own["ap"] * np.exp(0.3 * rng.normal(size=(4, 4)))}


def _noisy(rng: np.random.Generator, conductances: np.ndarray) -> np.ndarray:
    return conductances * (1 + 2e-3 * rng.normal(size=conductances.shape))


def test_noise_from_cycle_to_cycle_and_of_reads_is_seeded(session: Session) -> None:
    array = jo(4, 4)
    goal = targets(array)
    noise: dict[str, Any] = {"perturb": _faster, "perturbed": ("ap",), "read_noise": _noisy}
    programmer = make_programmer("write_verify", array, session=session, **noise)
    quiet = make_programmer("write_verify", array, session=session).program(goal, 0.5)
    one, two, other = (programmer.program(goal, 0.5, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.states, two.states)
    assert np.abs(one.states - other.states).max() > 1e-4
    assert one.converged.all()
    assert one.rounds > quiet.rounds
    assert 0 < np.abs(one.measured / one.conductances - 1).max() < 0.01


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: make_programmer("magic", jo(2, 2)), ProgrammingError, "choose one of"),
        (lambda s: Settings(tolerance=0.0), ProgrammingError, "tolerance"),
        (lambda s: make_programmer("ideal", jo(2, 2)).program(np.ones(3), 0.5), ProgrammingError, "targets"),
        (
            lambda s: make_programmer("ideal", jo(2, 2)).program(-np.ones((2, 2)), 0.5),
            ProgrammingError,
            "pos",
        ),
        (lambda s: make_programmer("ideal", jo(2, 2)).program(np.ones((2, 2)), 1.5), NetworkError, "bounds"),
        (lambda s: make_programmer("ideal", jo(2, 2), perturb=_faster), ProgrammingError, "together"),
        (lambda s: jo(2, 2, deviations={"x0": 0.5}), NetworkError, "t = 0"),
        (lambda s: jo(2, 2, deviations={"ap": [1.0]}), NetworkError, "shape"),
        (
            lambda s: make_programmer("open_loop", jo(2, 2), Settings(raise_voltage=-3.0)).drive,
            ProgrammingError,
            "does not raise",
        ),
    ],
)
def test_what_cannot_be_programmed_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(None)


def test_a_worker_gives_the_same_result_and_advances_the_generator(session: Session) -> None:
    array = jo(3, 3)
    noise: dict[str, Any] = {"read_noise": _noisy}
    mine, theirs = np.random.default_rng(4), np.random.default_rng(4)
    here = make_programmer("write_verify", array, session=session, **noise).program(targets(array), 0.5, mine)
    with Programming(make_programmer("write_verify", array, **noise)) as programming:
        there = programming.program(targets(array), 0.5, theirs)
        assert programming.memory > 1 << 20
        assert programming.usage()["transients"] > 0
    np.testing.assert_allclose(there.states, here.states, rtol=0, atol=1e-9)
    assert mine.random() == theirs.random()


FILE = """\
name: small
seed: 2
device: {model: yakopcic, published: jo}
array: {rows: 3, columns: 2, devices_per_weight: 2, wire_resistance: 10Ohm}
programmer: {kind: write_verify, tolerance: 0.01}
target: {low: 0.2, high: 0.8}
"""


def test_the_command_writes_a_folder_and_tells_by_its_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(FILE, encoding="utf-8")
    out = tmp_path / "run"
    assert program_file(file, out=out, as_json=True) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    table = pd.read_parquet(out / "cells.parquet")
    assert told["converged"] == len(table) == 12
    assert told["peak_bytes"] > 0
    np.testing.assert_allclose(table.measured, table.target, rtol=0.01)
    assert {p.name for p in out.iterdir()} == {
        "cells.parquet",
        "cells.csv",
        "programming.svg",
        "summary.json",
    }
    pd.testing.assert_frame_equal(pd.read_csv(out / "cells.csv"), table, check_dtype=False)
    goal = tmp_path / "goal.csv"
    goal.write_text("1e-7,1e-7,1e-7,1e-7\n" * 2 + "1e-7,1e-7,1e-7,1\n", encoding="utf-8")
    assert (
        program_file(file, ("target={file: goal.csv}", "programmer.max_rounds=3"), out=out, as_json=False)
        == 1
    )
    assert "missed: (2, 3)" in capsys.readouterr().out
    assert json.loads((out / "summary.json").read_text())["converged"] == 11


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("programmer.tolerance=2", "tolerance"),
        ("device.published=nobody", "nobody"),
        ("array.rows=0", "array.rows"),
        ("array.raws=3", "raws"),
        ("target={file: wrong.csv}", r"wrong.csv:2: needs 4"),
        ("target.file=wrong.csv", r"target.low: has no effect beside file"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, change: str, message: str) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(FILE, encoding="utf-8")
    (tmp_path / "wrong.csv").write_text("1e-7,1e-7,1e-7,1e-7\n1,2\n", encoding="utf-8")
    with pytest.raises(SpecError, match=message) as caught:
        program_file(file, (change,), out=tmp_path / "run", as_json=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_devices_without_shared_lines_are_written_and_verified(session: Session) -> None:
    array = jo(2, 3, separate=True, deviations={"ap": 0.006})
    found = make_programmer("write_verify", array, session=session).program(targets(array), 0.9)
    assert found.converged.all()
    np.testing.assert_allclose(found.measured, found.conductances, rtol=1e-3)
