"""The training loop on real circuits: when it stops, what it records, and that it learns by its rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from run_folders import SHIPPED, assert_same, checkpoints, metrics, parameters

from bridge.experiment.build import Experiment
from bridge.experiment.training import run_experiment
from bridge.simulator import Simulator

pytestmark = pytest.mark.usefixtures("no_report")


def train(small: Path, name: str, *overrides: str, workers: int = 1) -> tuple[Path, dict[str, Any]]:
    """Run the small experiment with other values; its folder and results."""
    out = small.parent / name
    results = run_experiment(Experiment.load(small, overrides), out=out, workers=workers)
    assert json.loads((out / "results.json").read_text()) == results
    return out, results


# --- when it ends ---------------------------------------------------------------------------------------


def test_it_stops_in_the_epoch_that_reaches_the_target(small: Path) -> None:
    stop = "training.early_stop={metric: train_loss, target: 0.088}"
    run, results = train(small, "run", "training.epochs=80", stop)
    losses = metrics(run)["train_loss"][1:]
    assert results["stopped"] == "train_loss reached 0.088"
    assert 1 < results["epochs"] == len(losses) < 80
    assert losses.iloc[-1] <= 0.088
    assert (losses.iloc[:-1] > 0.088).all()


def test_it_stops_when_an_accuracy_has_risen_to_the_target(small: Path) -> None:
    stop = "training.early_stop={metric: test_accuracy, target: 0.9}"
    data = "data={source: iris, amplitude: 0.5}"
    run, results = train(small, "run", data, "training.epochs=20", "training.batch_size=10", stop)
    accuracies = metrics(run)["test_accuracy"][1:]
    assert results["stopped"] == "test_accuracy reached 0.9"
    assert accuracies.iloc[-1] >= 0.9
    assert (accuracies.iloc[:-1] < 0.9).all()


def test_it_stops_when_patience_has_run_out(small: Path) -> None:
    """With a learning rate of nothing the first evaluation stays the best one."""
    rate, stop = (
        "training.optimizer.learning_rate=1e-300",
        "training.early_stop={metric: test_loss, patience: 3}",
    )
    run, results = train(small, "run", rate, stop, "training.epochs=30", "training.evaluate_every=2")
    assert results["epochs"] == 8  # evaluated after 2, 4, 6 and 8: three without gain
    assert results["stopped"] == "test_loss has not improved for 3 evaluations"
    assert (checkpoints(run) == checkpoints(run)[0]).all()


def test_it_goes_on_while_it_improves(small: Path) -> None:
    stop = "training.early_stop={metric: train_loss, patience: 2}"
    run, results = train(small, "run", "training.epochs=12", "training.batch_size=4", stop)
    losses = list(metrics(run)["train_loss"][1:])
    waited, expected = 0, 12
    for epoch in range(1, len(losses)):
        waited = 0 if losses[epoch] < min(losses[:epoch]) else waited + 1
        if waited == 2:
            expected = epoch + 1
            break
    assert results["epochs"] == expected > 3


def test_the_test_split_is_judged_when_asked_and_at_the_end(small: Path) -> None:
    run, results = train(small, "run", "training.epochs=7", "training.evaluate_every=3")
    table = metrics(run)
    assert list(table["epoch"][np.isfinite(table["test_loss"])]) == [0, 3, 6, 7]
    assert np.isfinite(table["train_loss"]).all()
    assert results["test_loss"] == table["test_loss"].iloc[-1]
    # 4 samples: 1 free and 2 nudged phases each in training, 1 free one where the test split is judged.
    assert list(table["operating_points"]) == [8, 12, 12, 16, 12, 12, 16, 16]


# --- the rules of the update ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer",
    [
        "{kind: adam, space: log, learning_rate: 1.0}",
        "{kind: adam, space: linear, learning_rate: 3e-5}",
        "{kind: momentum, space: log, learning_rate: 30}",
        "{kind: sgd, space: linear, learning_rate: 1e-5}",
    ],
)
def test_bounds_are_never_left(optimizer: str, small: Path) -> None:
    bounds = "circuit.conductance={lower: 9uS, upper: 105uS, initial_lower: 10uS, initial_upper: 100uS}"
    run, _ = train(small, "run", f"training.optimizer={optimizer}", bounds, "training.epochs=6")
    visited = checkpoints(run)
    assert len(visited) == 7
    table = parameters(run)
    assert (visited >= table["lower"].to_numpy()).all()
    assert (visited <= table["upper"].to_numpy()).all()
    assert (visited == 9e-6).any()
    assert (visited == 105e-6).any()


def test_a_step_of_gradient_descent_is_rate_times_gradient_with_the_schedules_rate(small: Path) -> None:
    run, _ = train(
        small,
        "run",
        "training.optimizer={kind: sgd, space: linear, learning_rate: 4e-9}",
        "training.schedule={kind: exponential, decay: 0.5, warmup: 1}",
        "training.batch_size=4",
        "training.epochs=5",
    )
    table = metrics(run)
    rates = 4e-9 * np.array([0.5, 0.5, 0.25, 0.125, 0.0625])
    np.testing.assert_allclose(table["learning_rate"][1:], rates, rtol=1e-12)
    visited = checkpoints(run)
    steps = np.linalg.norm(np.diff(visited, axis=0), axis=1)
    assert (visited > 1.001e-7).all()  # no bound has cut a step
    np.testing.assert_allclose(steps, rates * table["gradient_norm"][1:], rtol=1e-6)


def test_adams_first_step_in_log_space_is_the_learning_rate(small: Path) -> None:
    run, _ = train(small, "run", "training.batch_size=4", "training.epochs=1")
    visited = checkpoints(run)
    change = np.abs(np.log(visited[1] / visited[0]))
    assert np.median(change) == pytest.approx(0.1, rel=1e-4)
    assert change.max() <= 0.1 * (1 + 1e-9)


@pytest.mark.parametrize(
    "optimizer",
    [
        "{kind: sgd, space: log, learning_rate: 10}",
        "{kind: sgd, space: linear, learning_rate: 1e-8}",
        "{kind: momentum, space: log, learning_rate: 1}",
        "{kind: momentum, space: linear, learning_rate: 1e-9}",
        "{kind: adam, space: log, learning_rate: 0.1}",
        "{kind: adam, space: linear, learning_rate: 5e-6}",
    ],
)
def test_every_optimizer_lowers_the_loss_in_both_spaces(optimizer: str, small: Path) -> None:
    run, _ = train(
        small, "run", f"training.optimizer={optimizer}", "training.batch_size=4", "training.epochs=10"
    )
    losses = metrics(run)["train_loss"]
    assert losses.iloc[-1] < 0.98 * losses.iloc[0]


# --- seeds and workers ------------------------------------------------------------------------------------


def test_a_seed_decides_everything_and_another_changes_it(small: Path) -> None:
    first, _ = train(small, "first")
    again, _ = train(small, "again", workers=2)
    assert_same(first, again)
    other, _ = train(small, "other", "seed=2")
    assert (parameters(first)["initial"] != parameters(other)["initial"]).all()
    assert (metrics(first)["train_loss"] != metrics(other)["train_loss"]).all()


def test_settling_transients_do_not_depend_on_the_workers(small: Path) -> None:
    analysis = "analysis={kind: transient, duration: 600ns, step: 10ns, node_capacitance: 1pF}"
    overrides = (analysis, "data={source: iris, amplitude: 0.5, test_fraction: 0.8}", "training.epochs=1")
    first, results = train(small, "first", *overrides)
    second, _ = train(small, "second", *overrides, workers=2)
    assert_same(first, second)
    assert (results["transients"], results["operating_points"]) == (1 + 2 + 30 * 5 + 120 * 3, 0)
    assert (first / "waveforms.parquet").read_bytes() == (second / "waveforms.parquet").read_bytes()


# --- data, losses, circuits -------------------------------------------------------------------------------


def blobs(file: Path) -> None:
    """Two classes of 20 points each, apart by some of their spreads."""
    rng = np.random.default_rng(3)
    points = np.concatenate([rng.normal((1, 5), 0.5, (20, 2)), rng.normal((3, 4), 0.5, (20, 2))])
    table = pd.DataFrame(points, columns=["width", "height"])
    table["kind"] = ["left"] * 20 + ["right"] * 20
    table.to_csv(file, index=False)


@pytest.mark.parametrize(
    ("loss", "target", "outputs"), [("mse", "0.3V", 1), ("cross_entropy, scale: 20", "1V", 2)]
)
def test_classes_from_a_csv_file_are_learned(loss: str, target: str, outputs: int, small: Path) -> None:
    blobs(small.parent / "blobs.csv")
    data = f"data={{source: csv, file: blobs.csv, label: kind, target: {target}, test_fraction: 0.25}}"
    run, results = train(small, "run", data, f"loss={{kind: {loss}}}", "training.epochs=12")
    losses = metrics(run)["train_loss"]
    assert losses.iloc[-1] < 0.6 * losses.iloc[0]
    assert results["test_accuracy"] >= 0.9
    assert results["held_out"] is True
    matrix = json.loads((run / "confusion.json").read_text())
    assert matrix["classes"] == ["left", "right"]
    assert np.sum(matrix["matrix"]) == 10
    assert len(json.loads((run / "sample.json").read_text())["outputs_free"]) == outputs


def test_voltages_from_a_csv_file_are_learned(small: Path) -> None:
    x = np.linspace(-1, 1, 24)
    pd.DataFrame({"x": x, "target:y": 0.2 * x}).to_csv(small.parent / "line.csv", index=False)
    run, results = train(small, "run", "data={source: csv, file: line.csv}", "training.epochs=15")
    losses = metrics(run)["train_loss"]
    assert losses.iloc[-1] < 0.5 * losses.iloc[0]
    assert results["test_accuracy"] is None
    assert results["train_accuracy"] is None
    assert not (run / "confusion.json").exists()


@pytest.mark.parametrize("estimator", ["{kind: equilibrium}", "{kind: finite_difference}"])
def test_a_graph_learns(estimator: str, small: Path) -> None:
    text = small.read_text()
    start, end = text.index("circuit:"), text.index("data:")
    small.write_text(text[:start] + "circuit: {topology: graph, nodes: 10, degree: 5}\n" + text[end:])
    run, results = train(
        small,
        "run",
        f"estimator={estimator}",
        "data.target=0.05",
        "training.epochs=8",
        "training.batch_size=4",
    )
    losses = metrics(run)["train_loss"]
    assert results["parameters"] == 25
    assert losses.iloc[-1] < 0.9 * losses.iloc[0]
    assert (parameters(run)["group"] == "edges").all()


def test_differential_outputs_and_a_loss_on_them(small: Path) -> None:
    run, _ = train(
        small, "run", "circuit.differential_outputs=true", "training.batch_size=4", "training.epochs=20"
    )
    outputs = json.loads((run / "network.json").read_text())["outputs"]
    assert outputs == [["o0p", "o0n"]]
    losses = metrics(run)["train_loss"]
    assert losses.iloc[-1] < losses.iloc[0]
    sample = pd.read_parquet(run / "sample.parquet").set_index("node")["free"]
    about = json.loads((run / "sample.json").read_text())
    assert about["outputs_free"] == [sample["o0p"] - sample["o0n"]]


def test_settling_transients_and_operating_points_agree_on_the_first_gradient() -> None:
    """The same network and samples, once with `analysis` and once without it."""
    gradients = []
    reduced = ("circuit.hidden=[5]", "loss.scale=10", "analysis.duration=800ns", "analysis.tolerance=1e-8")
    for overrides in (reduced, (*reduced[:2], "analysis={kind: operating_point}")):
        experiment = Experiment.load(SHIPPED / "iris_transient.yaml", overrides)
        split = experiment.data()
        with Simulator(experiment.plan(experiment.network(split)), workers=2) as simulator:
            batch = simulator.batch(split.train.inputs[:6], split.train.targets[:6])
            gradients.append(simulator.gradient(batch, experiment.loss(split), experiment.estimator()))
            usage = simulator.usage()
            assert (usage["transients"], usage["operating_points"]) == (
                (18, 0) if len(gradients) == 1 else (0, 18)
            )
    settled, static = gradients
    np.testing.assert_allclose(settled.outputs, static.outputs, atol=1e-6)
    assert settled.loss == pytest.approx(static.loss, rel=1e-5)
    error = np.linalg.norm(settled.gradient - static.gradient) / np.linalg.norm(static.gradient)
    assert error < 1e-3
