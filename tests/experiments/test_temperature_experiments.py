"""Estimators at another temperature than 27 degC: against finite differences, and which are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bridge.errors import SpecError
from bridge.estimators import estimator_type
from bridge.experiment.build import Experiment
from bridge.simulator import Simulator

PAIRS = """
name: pairs
seed: 1
circuit: {topology: transistor, hidden: [2], technology: level1}
data: {source: xor, target: 0.05V}
loss: {kind: mse}
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "file.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def gradient(file: Path, kind: str, *overrides: str) -> np.ndarray:
    plan, batch, loss = Experiment.load(file, overrides).problem()
    estimator = estimator_type(kind, False)()
    with Simulator(plan) as simulator:
        found = simulator.gradient(batch, loss, estimator)
    return np.asarray(found.gradient)


def test_the_adjoint_of_hot_transistors_is_that_of_finite_differences(tmp_path: Path) -> None:
    file, hot = written(tmp_path, PAIRS), "devices={temperature: 100}"
    exact = gradient(file, "finite_difference", hot)
    scale = np.linalg.norm(exact)
    assert np.linalg.norm(gradient(file, "adjoint", hot) - exact) < 1e-3 * scale
    # The temperature matters: at 27 degC the gradient is another one.
    assert np.linalg.norm(gradient(file, "adjoint") - exact) > 0.02 * scale


def test_coupled_learning_does_not_linearise_and_sees_the_temperature(tmp_path: Path) -> None:
    file = written(tmp_path, (Path(__file__).parents[2] / "experiments" / "clln_xor.yaml").read_text())
    cold, hot = (
        gradient(file, "coupled_learning", *flags) for flags in ((), ("devices={temperature: 100}",))
    )
    assert np.isfinite(hot).all()
    assert np.linalg.norm(hot - cold) > 0.02 * np.linalg.norm(cold)


def test_linearised_diodes_are_refused_with_an_estimator_that_fits(tmp_path: Path) -> None:
    text = PAIRS.replace("{topology: transistor, hidden: [2], technology: level1}", "{topology: layered}")
    file = written(tmp_path, text)
    flags = ("devices={temperature: 60}", "estimator={kind: adjoint}", "circuit.hidden=[2]")
    with pytest.raises(SpecError, match="at 27 degC; use equilibrium or finite_difference") as caught:
        Experiment.load(file, flags).problem()
    assert "\n" not in str(caught.value)
    Experiment.load(file, (flags[0], flags[2])).problem()
