"""The experiments that are shipped: each is valid, builds, and runs in a small size through the command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_folders import SHIPPED, Command, shipped

from bridge.dynamics import DynamicPlan
from bridge.experiment.build import Experiment
from bridge.experiment.spec import OperatingPointSpec, TransientSpec
from bridge.plans import StaticPlan

FILES = shipped()
SMOKE: dict[str, list[str]] = {
    "digits": ["-s", "circuit.hidden=[2]", "-s", "circuit.doubled_inputs=false"],
    "mnist_like": ["-s", "circuit.hidden=[2]", "-s", "data.side=8", "-s", "circuit.doubled_inputs=false"],
    "iris_transient": ["-s", "circuit.hidden=[4]"],
    "iris_memristor": ["-s", "circuit.hidden=[3]", "-s", "training.batch_size=60"],
    "transistor_xor": ["-s", "circuit.hidden=[2]"],
    "nonidealities": ["-s", "circuit.hidden=[4]", "-s", "robustness.draws=1"],
}
UNITS = {
    "clln_xor": {"V"},
    "iris_memristor": {"1"},
    "transistor_xor": {"V"},
    "waveform_matching": {"S", "F", "H"},
}  # else S
FOLDER = {
    "checkpoint.npz", "checkpoints/epoch_0000.npz", "checkpoints/epoch_0001.npz", "confusion.json", "log.txt",
    "manifest.json", "metrics.parquet", "netlists/final.cir", "netlists/initial.cir", "network.json",
    "parameters.parquet", "report.html", "results.json", "sample.json", "sample.parquet", "spec.yaml",
}  # fmt: skip
METRICS = {
    "epoch", "learning_rate", "gradient_norm", "train_loss", "train_accuracy", "test_loss", "test_accuracy",
    "seconds", "ngspice_seconds", "operating_points", "transients", "retries",
}  # fmt: skip
SPIKES = ("missing_spikes", "extra_spikes", "spikes_on_time", "worst_shift")
OUTCOME = {
    "hh_fit": {"parameter_error"},
    "hh_spike_timing": {f"{part}_{name}" for part in ("train", "test") for name in SPIKES},
}
PARAMETERS = {"label", "element", "parameter", "unit", "group", "lower", "upper", "initial", "final"}
PROMISED = {
    "run", "test_accuracy", "test_loss", "seconds", "ngspice_seconds", "transients", "operating_points",
}  # fmt: skip


def test_there_are_experiments() -> None:
    names = "xor iris digits iris_transient pulse_order waveform_matching"
    assert {f.stem for f in FILES} >= set(names.split())


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_it_is_valid_and_builds(file: Path) -> None:
    experiment = Experiment.load(file)
    assert experiment.spec.name == file.stem
    assert experiment.spec.description
    split = experiment.data()
    network = experiment.network(split)
    plan = experiment.plan(network)
    experiment.check(split, plan)
    assert network.n_features == split.train.inputs.shape[-1]
    assert len(network.outputs) == split.train.targets.shape[-1]
    transient = isinstance(experiment.spec.analysis, TransientSpec)
    assert isinstance(plan, DynamicPlan) == experiment.spec.dynamic
    if isinstance(plan, StaticPlan):
        assert (plan.settling is not None) == transient
    lower, upper = network.bounds
    assert ((lower <= network.parameters) & (network.parameters <= upper)).all()


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_it_runs_and_leaves_a_complete_folder(file: Path, tellegen: Command, tmp_path: Path) -> None:
    smoke = ["-s", "training.epochs=1", *SMOKE.get(file.stem, [])]
    answer = tellegen("run", file, "--out", "run", "--json", *smoke)
    assert (answer.status, answer.err) == (0, "")
    results, run = answer.object, tmp_path / "run"
    transient = not isinstance(Experiment.load(file).spec.analysis, OperatingPointSpec)
    classes = file.stem not in {"waveform_matching", "hh_fit", "hh_spike_timing"}

    expected = FOLDER | ({"waveforms.parquet"} if transient else set())
    expected -= set() if classes else {"confusion.json"}
    spec = Experiment.load(file).spec
    expected |= {"writes.parquet"} if spec.training.programming is not None else set()
    expected |= {"robustness.parquet"} if spec.robustness is not None else set()
    assert {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()} == expected

    assert set(results) >= PROMISED
    assert json.loads((run / "results.json").read_text()) == results
    assert results["run"] == "run"
    assert results["epochs"] == 1
    assert 0 <= results["test_accuracy"] <= 1 if classes else results["test_accuracy"] is None
    assert math.isfinite(results["test_loss"])
    assert (results["transients"] > 0) == transient
    assert (results["operating_points"] > 0) != transient

    table = pd.read_parquet(run / "metrics.parquet")
    written = {"pulses", "programming_error"} if spec.devices is not None else set()
    pulsed = spec.training and spec.training.programming and spec.training.programming.kind != "ideal"
    written |= ({"missed", "worst_miss"} if pulsed else set()) | OUTCOME.get(file.stem, set())
    assert set(table) == METRICS | written
    assert list(table["epoch"]) == [0, 1]
    assert set(table.dtypes.astype(str)) == {"float64"}
    unmeasured = ["gradient_norm", *([] if classes else ["train_accuracy", "test_accuracy"])]
    unmeasured += [c for c in table if c.endswith("worst_shift")]  # of no spike at all
    assert np.isfinite(table.drop(columns=unmeasured)).all(axis=None)
    assert table["gradient_norm"][1] > 0
    assert results["test_loss"] == table["test_loss"].iloc[-1]

    table = pd.read_parquet(run / "parameters.parquet")
    assert set(table) == PARAMETERS | ({"device"} if spec.devices is not None else set())
    assert len(table) == results["parameters"]
    assert set(table["unit"]) == UNITS.get(file.stem, {"S"})
    assert (table["initial"] != table["final"]).all()
    assert (table["final"] == np.load(run / "checkpoint.npz")["parameters"]).all()
    for name, column in (("epoch_0000", "initial"), ("epoch_0001", "final")):
        assert (np.load(run / "checkpoints" / f"{name}.npz")["parameters"] == table[column]).all()

    sample = pd.read_parquet(run / "sample.parquet")
    nodes = {n["name"] for n in json.loads((run / "network.json").read_text())["nodes"]}
    assert set(sample) == {"node", "free", "nudged_plus", "nudged_minus"}
    assert set(sample["node"]) == nodes
    if transient:
        waves = pd.read_parquet(run / "waveforms.parquet")
        assert set(waves) == {"time", "phase", *nodes}
        last = waves[waves["phase"] == "free"].iloc[-1]
        assert [last[n] for n in sample["node"]] == list(sample["free"])

    if classes:
        matrix = np.array(json.loads((run / "confusion.json").read_text())["matrix"])
        assert np.trace(matrix) / matrix.sum() == pytest.approx(results["test_accuracy"], abs=1e-12)

    manifest = json.loads((run / "manifest.json").read_text())
    assert set(manifest["hashes"]) == {"spec", "data", "network"}
    assert set(manifest["versions"]) >= {"tellegen", "ngspice", "python", "PySpice"}
    assert manifest["seed"] == Experiment.load(file).spec.seed
    # The resolved file in the folder describes the same run, to the hash.
    assert Experiment.load(run / "spec.yaml").hash == manifest["hashes"]["spec"]
    assert "finished" in (run / "log.txt").read_text().splitlines()[-1]
    assert f"<title>{file.stem}" in (run / "report.html").read_text()


def test_xor_is_learned_and_its_last_line_is_the_result(tellegen: Command) -> None:
    answer = tellegen("run", SHIPPED / "xor.yaml", "--json")
    assert (answer.status, answer.err) == (0, "")
    assert answer.object.keys() >= PROMISED
    assert answer.object["test_accuracy"] == 1.0
    assert answer.object["test_loss"] < 0.02
    assert answer.object["run"].startswith("runs/xor-")
