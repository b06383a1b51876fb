"""The benchmarks: the scaffold, and an honest yardstick."""

from __future__ import annotations

import importlib
import inspect
import json
import platform
from pathlib import Path

import numpy as np
import pytest

from benchmarks import common, suite
from benchmarks.common import PAGE, Settings, Table
from benchmarks.crossbar import precision
from benchmarks.gradient import SIZES, measure
from benchmarks.naive import NaivePlan
from bridge.estimators import Equilibrium
from bridge.losses import make_loss
from bridge.ngspice.pool import Pool
from bridge.plans import StaticPlan
from bridge.simulator import Simulator
from bridge.updates.programming import Programmed
from circuits.topologies.layered import layered

TABLE = Table("sizes", "Some sizes.", [{"network": "a", "elements": 1234, "ms": 0.12345, "x": None}])


def test_a_table_aligns_numbers_and_shows_three_digits() -> None:
    assert TABLE.markdown().splitlines() == [
        "Some sizes.", "", "| network | elements | ms | x |", "|---|---:|---:|---:|",
        "| a | 1,234 | 0.123 | - |",
    ]  # fmt: skip


def test_a_page_is_updated_between_its_markers_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- benchmark sizes -->\nold\n<!-- end of sizes -->\nafter\n", encoding="utf-8")
    other = Table("other", "", TABLE.rows)
    assert common.update_page(page, [TABLE, other], lambda words: words or "machine") == ["other"]
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("<!-- end of sizes -->\nafter\n")
    assert "1,234" in text
    assert "old" not in text
    common.update_page(page, [TABLE], lambda words: words or "machine")
    assert page.read_text(encoding="utf-8") == text


def test_the_page_has_a_place_for_every_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    names = (
        "yardstick",
        "gradient",
        "overhead-operating-points",
        "overhead-transients",
        "workers",
        "solvers",
        "sizes",
        "memory",
        "scale",
        "scale-ways",
        "array",
        "peer",
    )
    for name in names:
        begin, end = text.index(f"<!-- benchmark {name} -->"), text.index(f"<!-- end of {name} -->")
        assert "|---" in text[begin:end], f"{name} was never measured"


def test_rounds_are_interleaved_and_ratios_are_taken_within_them(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    clock = iter([0.0, 1.0, 1.0, 3.0, 3.0, 13.0, 13.0, 33.0])
    monkeypatch.setattr(common.time, "perf_counter", lambda: next(clock))
    work = {name: (lambda n=name: order.append(n)) for name in ("a", "b")}
    found = common.interleaved(work, rounds=2)
    assert order == ["a", "b"] * 3
    assert found == {"a": [1.0, 10.0], "b": [2.0, 20.0]}
    assert common.ratio(found["b"], found["a"]) == 2.0


def test_the_exponent_of_a_power_law() -> None:
    sizes = [100, 1000, 10000]
    assert common.exponent(sizes, [3.0 * s**1.5 for s in sizes]) == pytest.approx(1.5)


def test_the_machine_is_described_without_its_name() -> None:
    data = common.as_json([TABLE], Settings())
    assert data["tables"]["sizes"][0]["elements"] == 1234
    assert {"ngspice", "Python", "numpy", "PySpice", "cores", "processor"} <= set(data["machine"])
    assert platform.node() not in json.dumps(data).split('"')


@pytest.mark.parametrize("name", [*suite.NAMES, *suite.LARGE])
def test_the_suite_knows_every_modules_own_arguments(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert callable(module.tables)
    if hasattr(module, "extend"):
        own = common.defaults(module.extend)
        assert own
        assert not own.keys() & {"full", "rounds", "json", "write"}
    else:
        assert "settings.more" not in inspect.getsource(module)


def test_an_unknown_benchmark_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["suite", "speed"])
    with pytest.raises(SystemExit):
        suite.main()
    assert "no benchmark 'speed'; choose from yardstick" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["amplifiers", "differential"])
def test_the_yardstick_has_the_bridges_gradient(kind: str) -> None:
    """Same network, options, nudges and formula: only the way to the simulator differs."""
    network = layered(3, [4], 2, gain=4.0) if kind == "amplifiers" else layered(
        3, [4], 2, differential_outputs=True, diode_offset=0.1
    )  # fmt: skip
    loss, beta, rng = make_loss("cross_entropy", scale=10.0), 1e-7, np.random.default_rng(1)
    plan = StaticPlan(network)
    moved = network.parameters * rng.uniform(0.5, 2.0, len(network.trainable))
    with Pool(NaivePlan(network, loss, beta, plan.options)) as naive, Simulator(plan) as simulator:
        batch = simulator.batch(rng.uniform(-1, 1, (3, 3)), np.eye(2)[[0, 1, 1]])
        naive.update(moved)
        simulator.parameters = moved
        losses, theirs = naive.map([(batch.drives, batch.targets)])[0]
        ours = simulator.gradient(batch, loss, Equilibrium(beta))
        assert naive.usage()["operating_points"] == 9
    np.testing.assert_allclose(losses, ours.losses, rtol=1e-9)
    assert np.abs(theirs - ours.gradient).max() < 1e-4 * np.abs(theirs).max()


def test_a_row_of_the_gradients_table() -> None:
    row = measure(SIZES[0], Settings(rounds=1))
    assert row["parameters"] == 10
    assert row["finite differences / gradient"] > 2.0
    assert 0.0 < row["share inside ngspice"] <= 1.0


def test_programming_is_judged_by_one_per_cent_of_what_is_read_and_of_what_is_there() -> None:
    targets = np.array([[1.0, 2.0, 4.0, 5.0]])
    measured, own = targets * [1.009, 0.992, 1.02, 1.0], targets * [1.012, 0.992, 1.02, 1.0]
    none = np.zeros((1, 4))
    found = precision(Programmed(none, own, measured, none.astype(int), 1, none > 0), targets)
    assert found["read within 1 %"] == 0.75
    assert found["devices within 1 %"] == 0.5
    assert found["worst as read"] == found["worst error"] == pytest.approx(0.02)
