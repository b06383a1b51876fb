"""Sweep files: which runs they stand for, and how wrong ones are refused before anything is written."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bridge.errors import SpecError
from bridge.experiment.build import Experiment
from bridge.sweep import Sweep
from bridge.sweep.adaptive import search
from bridge.sweep.axes import unit
from bridge.sweep.expressions import Condition, ExpressionError
from bridge.sweep.figures import Scale, binned, crowded, half_width, means, scales
from bridge.sweep.plan import Plan, PlannedRun
from bridge.sweep.report import page
from bridge.sweep.runner import Outcome

ROOT = Path(__file__).parents[2]
XOR = ROOT / "experiments" / "xor.yaml"
RATE, BIAS, HIDDEN = "training.optimizer.learning_rate", "circuit.bias", "circuit.hidden"


@pytest.fixture
def sweep_file(tmp_path: Path) -> Any:
    """Write a sweep file beside the shipped XOR experiment."""
    (tmp_path / "xor.yaml").write_text(XOR.read_text(encoding="utf-8"), encoding="utf-8")

    def write(text: str) -> Path:
        file = tmp_path / "sweep.yaml"
        file.write_text("base: xor.yaml\n" + dedent(text), encoding="utf-8")
        return file

    return write


def table(plan: Plan, *columns: str) -> list[tuple[Any, ...]]:
    """Parameters of the runs, and their seeds."""
    return [(*(run.parameters[c] for c in columns), run.seed) for run in plan.runs]


# --- runs ----------------------------------------------------------------------------------------------


def test_a_grid_in_its_order_with_seeds_and_repetitions(sweep_file: Any) -> None:
    file = sweep_file(f"""\
        parameters:
          {BIAS}: {{values: [1V, 500mV]}}
          {RATE}: {{min: 0.01, max: 1, num: 3, scale: log}}
        seeds: 2
        repeat: 2
        """)
    plan = Plan.load(file)
    expected = [(b, r, s) for b in (1.0, 0.5) for r in (0.01, 0.1, 1.0) for s in (1, 2) for _ in range(2)]
    assert table(plan, BIAS, RATE) == expected
    assert [run.repeat for run in plan.runs] == [0, 1] * 12
    assert len({run.folder for run in plan.runs}) == 24
    assert len({run.id for run in plan.runs}) == 12
    assert [run.point for run in plan.runs] == [k // 4 for k in range(24)]
    # A run is the experiment that the same overrides make on the command line.
    alone = Experiment.load(file.parent / "xor.yaml", (f"{BIAS}=500mV", f"{RATE}=0.1", "seed=2"))
    assert [run.id for run in plan.runs if run.parameters == {BIAS: 0.5, RATE: 0.1} and run.seed == 2] == [
        alone.hash[:16]
    ] * 2


def test_zip_pairs_values_and_lists_of_seeds_are_taken_as_they_are(sweep_file: Any) -> None:
    plan = Plan.load(
        sweep_file(f"""\
        method: zip
        parameters:
          {HIDDEN}: {{values: [[2], [3, 3]]}}
          training.epochs: {{min: 5, max: 9, num: 2}}
        seeds: [7, 3]
        """)
    )
    assert table(plan, HIDDEN, "training.epochs") == [
        ("[2]", 5, 7), ("[2]", 5, 3), ("[3, 3]", 9, 7), ("[3, 3]", 9, 3),
    ]  # fmt: skip
    assert all(isinstance(run.parameters["training.epochs"], int) for run in plan.runs)


def test_a_range_is_read_in_the_unit_of_its_key(sweep_file: Any) -> None:
    plan = Plan.load(sweep_file(f"parameters:\n  {BIAS}: {{min: 250mV, max: 1V, num: 4}}\n"))
    assert [run.parameters[BIAS] for run in plan.runs] == [0.25, 0.5, 0.75, 1.0]


def test_constraints_leave_points_out(sweep_file: Any) -> None:
    lower, upper = "circuit.conductance.lower", "circuit.conductance.initial_lower"
    plan = Plan.load(
        sweep_file(f"""\
        parameters:
          {lower}: {{values: [100nS, 20uS, 50uS]}}
          {upper}: {{values: [10uS, 20uS]}}
        constraints:
          - {lower} <= initial_lower
          - circuit.hidden[0] == 8 and not {upper} * 2 < circuit.conductance.lower
        """)
    )
    assert table(plan, lower, upper) == [(1e-7, 1e-5, 1), (1e-7, 2e-5, 1), (2e-5, 2e-5, 1)]


def test_random_points_are_reproducible_and_spread_as_their_scale_says(sweep_file: Any) -> None:
    text = f"""\
        method: random
        samples: 200
        sampler_seed: {{seed}}
        parameters:
          {RATE}: {{{{min: 0.001, max: 1, scale: log}}}}
          {BIAS}: {{{{min: 0.5V, max: 1.5V}}}}
          training.epochs: {{{{min: 3, max: 6}}}}
          training.optimizer.kind: {{{{values: [sgd, adam]}}}}
        constraints: ["{BIAS} < 1.4"]
        """
    plans = [Plan.load(sweep_file(text.format(seed=seed))) for seed in (4, 4, 5)]
    ids = [[run.id for run in plan.runs] for plan in plans]
    assert ids[0] == ids[1]
    assert not set(ids[0]) & set(ids[2])
    drawn = pd.DataFrame([run.parameters for run in plans[0].runs])
    assert len(drawn) == 200
    logs = np.log10(drawn[RATE])
    assert stats.kstest(logs, stats.uniform(-3, 3).cdf).pvalue > 1e-3
    assert stats.kstest(drawn[BIAS], stats.uniform(0.5, 0.9).cdf).pvalue > 1e-3
    assert set(drawn["training.epochs"]) == {3, 4, 5, 6}
    assert set(drawn["training.optimizer.kind"]) == {"sgd", "adam"}


def test_shipped_sweeps_are_valid() -> None:
    files = sorted((ROOT / "experiments" / "sweeps").glob("*.yaml"))
    assert files
    for file in files:
        plan = Plan.load(file)
        assert plan.spec.description
        assert plan.runs or plan.spec.method == "optuna"


# --- wrong files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (
            f"parameter: {{}}\nparameters:\n  {BIAS}: {{values: [1]}}",
            2,
            "parameter: unknown key; did you mean 'parameters'?",
        ),
        (
            "parameters:\n  training.optimizer.learning_rat: {values: [1]}",
            3,
            "parameters.training.optimizer.learning_rat: unknown key; did you mean 'learning_rate'?",
        ),
        (
            "parameters:\n  trainin.epochs: {values: [1]}",
            3,
            "parameters.trainin.epochs: trainin: unknown key; did you mean 'training'?",
        ),
        (
            "parameters:\n  training.epochs.x: {values: [1]}",
            3,
            "parameters.training.epochs.x: training.epochs is 120 and has no 'x'",
        ),
        (
            f"parameters:\n  {RATE}:\n    values:\n      - 0.1\n      - -2",
            6,
            f"parameters.{RATE}.values.1: must be greater than 0, got -2",
        ),
        (
            f"parameters:\n  {BIAS}: {{values: [1V, 2Ohm]}}",
            3,
            "'2Ohm' is in ohms (Ohm), expected a number in",
        ),
        (f"parameters:\n  {BIAS}: {{min: 1V, max: 2Ohm, num: 3}}", 3, "'2Ohm' is in ohms (Ohm), expected"),
        (f"parameters:\n  {BIAS}: {{min: 2V, max: 1V, num: 3}}", 3, "needs min < max, got 2 and 1"),
        (
            f"parameters:\n  {BIAS}: {{min: -1V, max: 1V, num: 3, scale: log}}",
            3,
            "scale log needs a positive",
        ),
        (f"parameters:\n  {BIAS}: {{min: 1V, max: 2V}}", 3, f"parameters.{BIAS}.num: is missing"),
        (f"parameters:\n  {BIAS}: {{values: [1], min: 2}}", 3, "takes values, or min and max, not both"),
        ("parameters:\n  training.epochs: {min: 2, max: 4, num: 9}", 3, "no 9 different whole numbers"),
        (
            "parameters:\n  circuit.conductance.lower: {values: [1nS, 1]}",
            3,
            "parameters.circuit.conductance.lower.values.1: 1: circuit.conductance: needs lower <=",
        ),
        (f"parameters:\n  {BIAS}: {{values: [1V, 1000mV]}}", 3, "values.1: circuit.bias='1V' and c"),
        (
            f"parameters:\n  {BIAS}:\n    values:\n    - 1\n    - 2\n    - 1",
            7,
            "are the same run; leave one out",
        ),
        ("parameters:\n  engine.workers: {values: [1, 2]}", 3, "are the same run; leave one out"),
        (
            "parameters:\n  seed: {values: [1]}",
            3,
            "parameters.seed: a seed is no parameter; use the key seeds",
        ),
        (f"parameters:\n  circuit: {{values: [{{}}]}}\n  {BIAS}: {{values: [1]}}", 4, "lies within circuit,"),
        (
            f"method: zip\nparameters:\n  {BIAS}: {{values: [1, 2]}}\n  training.epochs: {{values: [1]}}",
            3,
            "parameters: method zip needs as many values of each key",
        ),
        (f"method: random\nparameters:\n  {BIAS}: {{values: [1]}}", 1, "samples is missing"),
        (
            f"method: random\nsamples: 3\nparameters:\n  {BIAS}: {{values: [1, 2]}}",
            3,
            "only 2 different points",
        ),
        (
            f"seeds: 2\nmax_runs: 3\nparameters:\n  {BIAS}: {{values: [1, 2]}}",
            3,
            "4 runs, more than max_runs",
        ),
        # Far too many are refused before any of them is made.
        (f"parameters:\n  {BIAS}: {{min: 1V, max: 2V, num: 100000000000}}", 3, "100000000000 runs or more"),
        (f"seeds: 100000000000\nparameters:\n  {BIAS}: {{values: [1]}}", 2, "seeds: the sweep has 1000000"),
        (f"repeat: 20000\nparameters:\n  {BIAS}: {{values: [1]}}", 1, "seeds: the sweep has 20000 runs"),
        (
            f"method: random\nsamples: 1000000000\nparameters:\n  {BIAS}: {{min: 1, max: 2}}",
            3,
            "samples: the sweep has 1000000000 runs",
        ),
        (
            f"method: random\nsamples: 9999\nparameters:\n  {BIAS}: {{values: [1, 2]}}",
            3,
            "samples: only 2 different points",
        ),
        (f"seeds: true\nparameters:\n  {BIAS}: {{values: [1]}}", 2, "seeds: expected a whole number"),
        (f"seeds: [1.0]\nparameters:\n  {BIAS}: {{values: [1]}}", 2, "seeds.0: expected a whole number"),
        (f"repeat: 2.0\nparameters:\n  {BIAS}: {{values: [1]}}", 2, "repeat: expected a whole number"),
        (
            f"metric: {{name: test_los}}\nparameters:\n  {BIAS}: {{values: [1]}}",
            2,
            "metric.name: 'test_los' is no metric; did you mean 'test_loss'?",
        ),
        (
            f"metric: {{name: gradient_error}}\nparameters:\n  {BIAS}: {{values: [1]}}",
            2,
            "metric.name: gradient_error needs analysis.accuracy in the experiment",
        ),
        (
            f"metric: {{name: robustness.spread=0.1.test_loss}}\nparameters:\n  {BIAS}: {{values: [1]}}",
            2,
            "needs that value in the section robustness of the experiment",
        ),
        (
            f"constraints: [kind == 3]\nparameters:\n  {BIAS}: {{values: [1]}}",
            2,
            "constraints.0: kind could be ",
        ),
        (f"seeds: [1, 1]\nparameters:\n  {BIAS}: {{values: [1]}}", 2, "seeds: names a seed twice"),
        (f"metric: {{name: loss}}\nparameters:\n  {BIAS}: {{values: [1]}}", 2, "metric.name: 'loss' is no"),
        (
            f"constraints: [circuit.bia < 3]\nparameters:\n  {BIAS}: {{values: [1]}}",
            2,
            "mean 'circuit.bias'?",
        ),
        (
            f"constraints: [{BIAS} < 0]\nparameters:\n  {BIAS}: {{values: [1]}}",
            2,
            "constraints: no point meets",
        ),
        (
            f"constraints:\n  - __import__('os').abort() == 0\nparameters:\n  {BIAS}: {{values: [1]}}",
            2,
            "is not allowed in a condition",
        ),
        (
            "parameters:\n  loss: {values: [{kind: mse}, {kind: cross_entropy}]}",
            2,
            "cross_entropy needs target 1",
        ),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(text: str, line: int, said: str, sweep_file: Any) -> None:
    file = sweep_file(text)
    before = {p: p.read_bytes() for p in file.parent.rglob("*")}
    with pytest.raises(SpecError) as refused:
        Plan.load(file)
    message = str(refused.value)
    assert message.startswith(f"{file}:{line}: "), message
    assert said in message
    assert len(message.splitlines()) == 1, message
    assert {p: p.read_bytes() for p in file.parent.rglob("*")} == before


def test_an_experiment_that_is_missing_or_wrong_is_named_itself(sweep_file: Any, tmp_path: Path) -> None:
    file = sweep_file(f"parameters:\n  {BIAS}: {{values: [1]}}\n")
    (tmp_path / "xor.yaml").write_text(XOR.read_text().replace("hidden:", "hiden:"))
    with pytest.raises(SpecError, match=r"xor\.yaml:8: circuit\.hiden: unknown key; did you mean 'hidden'"):
        Plan.load(file)
    (tmp_path / "xor.yaml").unlink()
    with pytest.raises(SpecError, match=r"sweep\.yaml:1: base: file not found: xor\.yaml"):
        Plan.load(file)


# --- conditions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a.b < 2 * c", True),
        ("1 < a.b < c", False),
        ("a.b + 1 == c and not c > 5", False),
        ("-c ** 2 == -9 or kind != 'adam'", True),
        ("kind == 'adam'", True),
        ("kind == 3", False),
        ("7 % c == 1 and c / 2 == 1.5", True),
        ("flag == true", True),
        ("flag", True),
        ("none < 1", False),
        ("none > 1", False),
        ("not none < 1", True),
        ("list[0] == 4", True),
        ("`a.b` < 2 * c", True),
        ("`odd=0.1.name` > 5 and `a.b` == 4", True),
    ],
)
def test_conditions(text: str, holds: bool) -> None:
    values = {"a.b": 4, "c": 3.0, "kind": "adam", "flag": True, "none": None, "list.0": 4}
    values["odd=0.1.name"] = 6
    assert Condition.parse(text).holds(values) is holds


@pytest.mark.parametrize(
    "text",
    [
        "", "a <", "a = 1", "f(a) < 1", "a.__class__()", "[x for x in a]", "lambda: 1", "a if b else c",
        "a[b] < 1", "a['x'] < 1", "(a := 1) < 2", "a is b", "a in b", "{a} < 1", "f'{a}' == 'x'", "1 + 1",
        "a // 2 < 1", "a @ b < 1", "~a < 1", "b'x' == a", "1j < a", "... == a", "await a", "a < 1; b",
        "import os", "(" * 200 + "a" + ")" * 200 + " < 1" + " " * 200, "a < 1 and " + "x" * 600,
        "`a < 1", "a `b` < 1", "``", "f(`a`)",
    ],
)  # fmt: skip
def test_anything_else_is_no_condition(text: str) -> None:
    with pytest.raises(ExpressionError):
        Condition.parse(text)


def test_a_condition_cannot_grow_without_bounds() -> None:
    with pytest.raises(ExpressionError, match="cannot be computed"):
        Condition.parse("9 ** 9 ** 9 ** 9 > 1").holds({})
    with pytest.raises(ExpressionError, match="cannot be computed"):
        Condition.parse("a / 0 > 1").holds({"a": 1})
    with pytest.raises(ExpressionError, match="is a text"):
        Condition.parse("a * 3 > 1").holds({"a": "x" * 10})


@given(st.text(max_size=60))
def test_no_text_does_anything_but_be_read_or_refused(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        Condition.parse(text).holds({})


# --- tables and figures --------------------------------------------------------------------------------


def folder(
    path: Path, runs: list[tuple[int, dict[str, Any], int, float | None]], rising: bool = False
) -> Path:
    """A sweep's folder with made-up losses; `None` is a failed run."""
    (path / "state" / "failures").mkdir(parents=True)
    rows = []
    for k, (point, parameters, seed, loss) in enumerate(runs):
        name = f"{k:016x}"
        (path / "runs" / name).mkdir(parents=True)
        if loss is None:
            (path / "state" / "failures" / f"{name}.json").write_text(json.dumps({"error": "it <broke>"}))
        else:
            content = {"test_loss": loss, "test_accuracy": None, "seconds": 1.0, "epochs": 3}
            (path / "runs" / name / "results.json").write_text(json.dumps(content))
        row = {"run": name, "folder": f"runs/{name}", "point": point, "seed": seed, "repeat": 0}
        rows.append({**row, "parameters": parameters})
    axes = [{"path": p, "log": False} for p in runs[0][1]]
    plan = {
        "name": "made", "description": "", "base": "xor", "method": "grid", "metric": "test_loss",
        "rising": rising, "constraints": [], "axes": axes, "planned": len(rows), "runs": rows, "identity": {},
    }  # fmt: skip
    (path / "state" / "plan.json").write_text(json.dumps(plan))
    return path


def test_the_band_is_students_interval_of_the_mean() -> None:
    values = np.random.default_rng(2).normal(size=(3, 5))
    half = half_width(values.std(axis=1, ddof=1), np.full(3, 5.0))
    for row, found in zip(values, half, strict=True):
        low, high = stats.t.interval(0.95, 4, row.mean(), stats.sem(row))
        assert math.isclose(found, (high - low) / 2, rel_tol=1e-12)
    assert np.isnan(half_width(np.array([np.nan]), np.array([1.0]))).all()


def test_points_best_and_selection(tmp_path: Path) -> None:
    runs = [(k, {"x.a": a, "x.kind": "sgd"}, s, a + s) for k, a in enumerate([3.0, 1.0]) for s in (1, 2)]
    runs += [(2, {"x.a": 0.0, "x.kind": "adam"}, s, None) for s in (1, 2)]
    sweep = Sweep.load(folder(tmp_path / "s", runs))  # type: ignore[arg-type]
    points = sweep.points()
    assert points["mean"].tolist() == [4.5, 2.5]
    assert points["deviation"].tolist() == pytest.approx([math.sqrt(0.5)] * 2)
    assert points["n"].tolist() == [2, 2]
    best = sweep.best()
    assert best is not None
    assert (best["x.a"], best["seed"], best["test_loss"]) == (1.0, 1, 2.0)
    assert sweep.select("a < 2 and test_loss > 2")["run"].tolist() == ["0000000000000003"]
    assert sweep.select("kind == 'adam'")["status"].tolist() == ["failed"] * 2
    assert sweep.select("not test_loss < 3")["seed"].tolist() == [1, 2, 2, 1, 2]
    assert sweep.select(sort="-test_loss")["test_loss"].tolist()[:4] == [5.0, 4.0, 3.0, 2.0]
    assert sweep.select(sort="test_loss")["status"].tolist()[-2:] == ["failed"] * 2
    for condition, sort, said in [
        ("tst_loss < 1", None, "--filter: tst_loss is no column; did you mean 'test_loss'"),
        ("f(1) < 1", None, "--filter: .* is not allowed"),
        (None, "nothing", "--sort: nothing is no column"),
    ]:
        with pytest.raises(SpecError, match=said):
            sweep.select(condition, sort)
    for path, said in [
        (tmp_path, "not a folder of a sweep; give the folder of a sweep, which has state/plan.json"),
        (tmp_path / "gone", "not found; give the folder"),
        (tmp_path / "s" / "state" / "plan.json", "a file; give the folder"),
    ]:
        with pytest.raises(SpecError, match=f"{path}: {said}"):
            Sweep.load(path)


def test_further_metrics_are_columns_that_can_be_filtered(tmp_path: Path) -> None:
    path = folder(tmp_path / "s", [(k, {"x.a": k}, 1, 1.0) for k in range(3)])
    for k in range(2):
        file = path / "runs" / f"{k:016x}" / "results.json"
        content = json.loads(file.read_text()) | {
            "robustness": [{"quantity": "spread", "value": 0.1, "test_loss": k + 0.5, "test_accuracy": None}],
            "gradient_error": {"asked": 0.1, "step": 1.0, "before": 0.0, "after": 0.25 + k},
            "recovered": {"a": {"relative_error": -0.3 * (k + 1)}, "b": {"relative_error": 0.1}},
            "missed": 7, "test_worst_shift": 1e-3, "train_worst_shift": 2e-3, "held_out": True,
        }  # fmt: skip
        file.write_text(json.dumps(content))
    plan = json.loads((path / "state" / "plan.json").read_text())
    plan["metric"] = "parameter_error"
    (path / "state" / "plan.json").write_text(json.dumps(plan))
    sweep = Sweep.load(path)
    assert sweep.select("`robustness.spread=0.1.test_loss` > 1")["x.a"].tolist() == [1]
    assert sweep.select("`spread=0.1.test_loss` < 1")["x.a"].tolist() == [0]
    assert sweep.select("gradient_error < 1 and missed == 7")["x.a"].tolist() == [0]
    assert sweep.select("train_worst_shift > test_worst_shift")["x.a"].tolist() == [0, 1]
    assert sweep.select(sort="-`robustness.spread=0.1.test_loss`")["x.a"].tolist() == [1, 0, 2]
    best = sweep.best()
    assert best is not None
    assert (best["x.a"], best["parameter_error"]) == (0, 0.3)
    assert sweep.table["parameter_error"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize("damage", ["", "{}", '{"test_loss": 1'])
def test_damaged_results_are_a_run_that_is_missing(damage: str, tmp_path: Path) -> None:
    path = folder(tmp_path / "s", [(k, {"x.a": k}, 1, 1.0) for k in range(3)])
    assert Sweep.load(path).damage == ""
    file = path / "runs" / f"{1:016x}" / "results.json"
    file.write_text(damage)
    sweep = Sweep.load(path)
    assert sweep.table["status"].tolist() == ["finished", "missing", "finished"]
    assert sweep.damage == f"{file}: damaged; the run is missing, --resume does it again"
    assert "1 of 3 runs" in page(sweep)


def test_repetitions_that_differ_are_told(tmp_path: Path) -> None:
    path = folder(tmp_path / "s", [(0, {"x.a": k // 2}, 1, 1.0 + (k == 3)) for k in range(4)])
    plan = json.loads((path / "state" / "plan.json").read_text())
    for k, run in enumerate(plan["runs"]):
        run |= {"run": f"run{k // 2}", "repeat": k % 2}
    (path / "state" / "plan.json").write_text(json.dumps(plan))
    sweep = Sweep.load(path)
    assert sweep.unequal() == ["run1"]
    assert "differ: run1" in page(sweep)


def test_a_sweep_file_as_base_is_told_in_one_line(sweep_file: Any) -> None:
    file = sweep_file(f"parameters:\n  {BIAS}: {{values: [1]}}\n")
    file.write_text(file.read_text().replace("xor.yaml", "sweep.yaml"))
    with pytest.raises(SpecError) as refused:
        Plan.load(file)
    assert str(refused.value) == f"{file}:1: base: is a sweep file; name an experiment file"


@pytest.mark.parametrize("keys", [1, 2, 3])
@pytest.mark.parametrize("rising", [False, True])
def test_a_report_of_one_two_and_more_keys(keys: int, rising: bool, tmp_path: Path) -> None:
    names = ["x.a", "x.b", "x.kind"][:keys]
    places = [
        dict(zip(names, (a, b, k), strict=False)) for a in (1, 2, 3) for b in (1.0, 2.0) for k in ("u", "<v>")
    ]
    points = [p for k, p in enumerate(places) if p not in places[:k]]
    runs = [(k, p, s, float(k + s)) for k, p in enumerate(points) for s in range(3)]
    runs.append((len(points), {**points[0], "x.a": 9}, 0, None))  # type: ignore[arg-type]
    text = page(Sweep.load(folder(tmp_path / "s", runs, rising)))  # type: ignore[arg-type]
    assert ("Both keys" in text, "All keys" in text) == (keys == 2, keys > 2)
    assert "it &lt;broke&gt;" in text
    assert "<v>" not in text
    assert "1 run failed." in text
    best = len(runs) - 2 if rising else 0
    assert runs[best][3] == (max if rising else min)(r[3] for r in runs if r[3] is not None)
    assert f"{best:016x}/report.html" in text


def crowd(path: Path, values: list[float]) -> Sweep:
    """A made-up sweep of one number and two words, a point for every combination, two seeds each."""
    rng = np.random.default_rng(3)
    if len(values) > 12:  # drawn, not a grid
        points = [{"x.a": values[k // 2], "x.kind": "stuvwxyz"[k % 8], "y.kind": "s"} for k in range(40)]
    else:
        points = [{"x.a": a, "x.kind": k, "y.kind": o} for a in values for k in "uvw" for o in "stq"]
    runs = [(k, p, s, a + rng.normal()) for k, p in enumerate(points) for a in [p["x.a"]] for s in (1, 2)]
    return Sweep.load(folder(path, runs))  # type: ignore[arg-type]


def test_the_mean_and_band_of_a_crowded_key_are_over_the_points_of_each_value(tmp_path: Path) -> None:
    sweep = crowd(tmp_path / "s", [1.0, 2.0, 5.0])
    points = sweep.points()
    a, kind, other = scales(sweep.plan, points)
    assert (a.name, kind.name, other.name) == ("a", "x.kind", "y.kind")
    assert crowded(points, a, [kind, other])
    found = means(points, a)
    assert found["place"].tolist() == [1.0, 2.0, 5.0]
    assert found["n"].tolist() == [9, 9, 9]
    for place, mean, half in found[["place", "mean", "half"]].itertuples(index=False):
        own = [r["mean"] for _, r in points.iterrows() if r["x.a"] == place]
        low, high = stats.t.interval(0.95, 8, np.mean(own), stats.sem(own))
        assert (mean - half, mean + half) == pytest.approx((low, high), rel=1e-12)
    words = means(points, kind)
    assert words["n"].tolist() == [9, 9, 9]
    assert words["mean"].mean() == pytest.approx(points["mean"].mean(), rel=1e-12)
    text = page(sweep)
    assert "its 95 % confidence band (Student&#39;s t over the points); in orange the best point" in text
    assert not binned(points, a)
    assert "equal ranges" not in text


def test_drawn_numbers_have_the_mean_of_bins(tmp_path: Path) -> None:
    sweep = crowd(tmp_path / "s", np.geomspace(0.1, 10, 20).tolist())
    sweep.plan["axes"][0]["log"] = True
    points = sweep.points()
    scale = scales(sweep.plan, points)[0]
    found = means(points, scale)
    assert len(found) == 6
    assert found["n"].sum() == 40
    edges = np.geomspace(0.1, 10, 7)
    for k, (place, mean, n) in enumerate(found[["place", "mean", "n"]].itertuples(index=False)):
        inside = points[(points["x.a"] >= edges[k] * (1 - 1e-9)) & (points["x.a"] < edges[k + 1])]
        if k == 5:
            inside = points[points["x.a"] >= edges[k]]
        assert (len(inside), inside["mean"].mean()) == (n, pytest.approx(mean, rel=1e-12))
        assert place == pytest.approx(float(np.exp(np.log(inside["x.a"]).mean())), rel=1e-12)
    assert (found["half"] > 0).all()
    assert "for a the mean of each of several equal ranges" in page(sweep)


def test_the_report_shows_units_short_names_and_all_lines(tmp_path: Path) -> None:
    runs = [
        (k, {"x.upper": v, "x.b": b, "x.c": c}, s, 1.0 + k + s / 8)
        for k, (v, b, c) in enumerate((v, b, c) for v in (1e-5, 1e-4) for b in (1, 2) for c in (3, 4))
        for s in (0, 1)
    ]
    path = folder(tmp_path / "s", runs)  # type: ignore[arg-type]
    plan = json.loads((path / "state" / "plan.json").read_text())
    plan["axes"][0]["unit"] = "S"
    (path / "state" / "plan.json").write_text(json.dumps(plan))
    sweep = Sweep.load(path)
    text = page(sweep)
    assert '<abbr title="x.upper">upper</abbr>' in text
    assert "<td>10\N{NO-BREAK SPACE}µS</td>" in text
    drawn = text.split('id="parallel-LineCollection_1"')[1].split("</g>")[0]
    heights = [float(p.split()[-1]) for p in re.findall(r'<path d="([^"]*)"', drawn.replace("\n", " "))]
    assert len(heights) == 8, "a line a point"
    assert len(set(heights)) == 8, "which end at their own metric"

    # A map of two keys has the mean in each cell.
    runs = [
        (2 * a + b, {"x.a": a, "x.b": b}, s, 1.0 + 2 * a + b + s)
        for a in (0, 1)
        for b in (0, 1)
        for s in (0, 1)
    ]
    text = page(Sweep.load(folder(tmp_path / "t", runs)))  # type: ignore[arg-type]
    drawn = text.split(">Both keys<")[1].split("</svg>")[0]
    assert [v for v in re.findall(r">([\d.]+)</text>", drawn) if "." in v][:4] == ["1.5", "3.5", "2.5", "4.5"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("circuit.bias", "V"), (RATE, ""), ("circuit.conductance.upper", "S"), (HIDDEN, ""), ("data", ""),
        ("circuit.hidden.0", ""), ("no.such.key", ""), ("training.epochs", ""), ("engine.time_limit", "s"),
    ],
)  # fmt: skip
def test_units_of_keys(path: str, found: str) -> None:
    assert unit(Experiment.load(XOR).spec, path) == found


def test_places_on_an_axis() -> None:
    log = Scale.of("a", pd.Series([1.0, 10.0, 100.0]), log=True)
    assert log.share(pd.Series([10.0])).tolist() == pytest.approx([0.5])
    words = Scale.of("a", pd.Series(["x", "y", "x", "z"]), log=True)
    assert words.labels == ("x", "y", "z")
    assert words.share(pd.Series(["z", "x"])).tolist() == [1.0, 0.0]


@pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="optuna is not installed")
@pytest.mark.parametrize("metric", ["test_loss", "test_accuracy"])
def test_optuna_goes_where_the_metric_is_better(metric: str, sweep_file: Any) -> None:
    """Drawn points approach the optimum of a known function, for a metric that falls and one that rises."""
    plan = Plan.load(
        sweep_file(f"""\
        method: optuna
        samples: 40
        parameters:
          {RATE}: {{min: 0.001, max: 1, scale: log}}
          training.optimizer.kind: {{values: [sgd, adam]}}
        constraints: ["{RATE} < 0.8"]
        metric: {{name: {metric}}}
        """)
    )

    def distance(parameters: dict[str, Any]) -> float:
        return abs(math.log10(parameters[RATE]) + 1.0) + 0.5 * (
            parameters["training.optimizer.kind"] == "sgd"
        )

    def do(runs: list[PlannedRun]) -> list[Outcome]:
        sign = -1.0 if metric == "test_accuracy" else 1.0
        return [Outcome({metric: sign * distance(run.parameters)}) for run in runs]

    search(plan, do)
    found = [distance(run.parameters) for run in plan.runs]
    assert len(found) == 40
    assert all(run.parameters[RATE] < 0.8 for run in plan.runs)
    assert np.mean(found[-15:]) < 0.75 * np.mean(found[:10])
