"""Experiments that ask for an accuracy instead of a time step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from bridge.errors import SpecError
from bridge.experiment.accuracy import Choice, gradient_at
from bridge.experiment.build import Experiment
from bridge.experiment.training import first_batch, run_experiment
from bridge.simulator import Simulator

ASKED = 5e-3
FILE = {
    "name": "accurate",
    "seed": 1,
    "circuit": {
        "topology": "rlc", "nodes": 5, "degree": 2, "fan": 2, "capacitance": "10pF", "inductors": 2,
        "inductance": "10uH", "diodes": 0.5,
    },
    "data": {"waveforms": "waves.csv"},
    "loss": {"kind": "mse"},
    "analysis": {"kind": "transient", "duration": "2us", "accuracy": ASKED},
    "training": {"epochs": 2, "batch_size": 2, "optimizer": {"kind": "adam", "learning_rate": 0.05}},
}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    time = np.linspace(0.0, 2e-6, 101)
    waves = np.stack([time, np.sin(2e6 * np.pi * time), 0.1 * np.sin(3e6 * np.pi * time)], axis=1)
    np.savetxt(tmp_path / "waves.csv", waves, delimiter=",", header="time,in,target:out", comments="")
    path = tmp_path / "accurate.yaml"
    path.write_text(yaml.safe_dump(FILE), encoding="utf-8")
    return path


def test_the_chosen_step_has_the_accuracy_and_a_resumed_run_keeps_it(file: Path, tmp_path: Path) -> None:
    experiment = Experiment.load(file)
    results = run_experiment(experiment, out=tmp_path / "run", report=False)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    choice = Choice.of(manifest["accuracy"])
    assert choice.error <= ASKED
    assert results["gradient_error"]["step"] == choice.step
    assert results["gradient_error"]["after"] < 3 * ASKED
    log = (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    assert "error of the gradient" in log
    assert "error of the gradient after training" in log

    split = experiment.data()
    network = experiment.network(split)
    with Simulator(experiment.plan(network)) as simulator:
        batch = first_batch(experiment, network, split)
        gradient = gradient_at(simulator, batch, experiment.loss(split), experiment.estimator())
        fine, finer = gradient(2e-6 / 2000), gradient(2e-6 / 4000)
        exact = finer + (finer - fine) / 3.0
        error = np.linalg.norm(gradient(choice.step) - exact) / np.linalg.norm(exact)
    assert error <= 1.1 * ASKED
    assert choice.error == pytest.approx(error, rel=0.3)

    for name in ("results.json", "checkpoint.npz"):  # as if killed before the first epoch's end
        (tmp_path / "run" / name).unlink()
    resumed = run_experiment(experiment, out=tmp_path / "run", resume=True, workers=2, report=False)
    assert resumed["train_loss"] == results["train_loss"]
    assert resumed["gradient_error"] == results["gradient_error"]


@pytest.mark.parametrize("override", ["analysis.step=1ns", "analysis.accuracy=null"])
def test_either_a_step_or_an_accuracy(file: Path, override: str) -> None:
    with pytest.raises(SpecError, match="needs either step or accuracy"):
        Experiment.load(file, (override,))
