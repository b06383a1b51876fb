"""Experiments on waveforms: a user's netlist, waveforms from a file, losses, gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bridge.errors import SpecError
from bridge.estimators import AdjointNetwork, FiniteDifference
from bridge.experiment.build import Experiment
from bridge.experiment.training import run_experiment
from bridge.simulator import Simulator

DECK = """low-pass with a nonlinear load
Vin in 0 0
R1 in a 1k
C1 a 0 100p
R2 a out 2k
C2 out 0 50p
D1 out 0 dm
.model dm d(is=1e-9 n=1.5)
.end
"""
SPEC = """
name: own
circuit: {{netlist: own.cir, inputs: {{x: Vin}}, outputs: [out], trainable: ["R*", C1]}}
data: {{waveforms: signals.csv}}
loss: {loss}
analysis: {{kind: transient, duration: 1us, step: 1ns}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A deck and a file of waveforms."""
    (tmp_path / "own.cir").write_text(DECK)
    times = np.linspace(0, 1e-6, 101)
    rows = np.stack([times, np.sin(4e6 * np.pi * times), 0.2 * np.sin(4e6 * np.pi * times - 1)], axis=1)
    np.savetxt(tmp_path / "signals.csv", rows, delimiter=",", header="time,x,target:out", comments="")
    return tmp_path


def load(folder: Path, loss: str) -> Experiment:
    """The experiment with a loss."""
    (folder / "own.yaml").write_text(SPEC.format(loss=loss))
    return Experiment.load(folder / "own.yaml")


LOSSES = {
    "mse": "{kind: mse}",
    "window": "{kind: mse, window: [0.2us, 0.9us]}",
    "final": "{kind: mse, on: final}",
    "energy": "{kind: mse, energy: 1e9}",
    "spikes": "{kind: spikes, tau: 100ns, threshold: 0.1V, width: 50mV, times: [[300ns, 700ns]]}",
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_a_users_netlist_and_waveforms_have_exact_gradients(folder: Path, loss: str) -> None:
    plan, batch, function = load(folder, loss).problem()
    with Simulator(plan) as simulator:
        found = simulator.gradient(batch, function, AdjointNetwork())
        wanted = simulator.gradient(batch, function, FiniteDifference(1e-3))
        theta = simulator.parameters
    assert found.loss == wanted.loss > 0
    assert len(theta) == 3
    error = np.linalg.norm((found.gradient - wanted.gradient) * theta)
    assert error < 1e-3 * np.linalg.norm(wanted.gradient * theta)


def test_the_losses_differ(folder: Path) -> None:
    values = []
    for loss in LOSSES.values():
        plan, batch, function = load(folder, loss).problem()
        with Simulator(plan) as simulator:
            values.append(float(simulator.evaluate(batch, function)[0][0]))
    assert len({round(v, 12) for v in values}) == len(values)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ("{kind: mse, on: final, window: [0, 1us]}", "window has no meaning for the last value"),
        ("{kind: spikes, tau: 1ns, threshold: 0.1V, width: 1mV, times: [[1ns], [2ns]]}", "2 lists of spike"),
        ("{kind: cross_entropy}", "cross_entropy needs classes"),
    ],
)
def test_a_loss_that_does_not_fit_is_told_with_its_line(folder: Path, loss: str, said: str) -> None:
    with pytest.raises(SpecError, match=rf"own.yaml:5: loss: .*{said}"):
        load(folder, loss).problem()


def test_an_experiment_with_energy_trains_and_draws_less(folder: Path) -> None:
    """The energy in the loss falls; without it the same steps leave it higher."""
    drawn = []
    for energy in ("0", "1e12"):
        experiment = load(folder, f"{{kind: mse, energy: {energy}}}")
        training = "training={epochs: 5, batch_size: 1, optimizer: {kind: adam, learning_rate: 0.1}}"
        experiment = Experiment.load(folder / "own.yaml", (training,))
        results = run_experiment(experiment, out=folder / f"run{energy}")
        assert results["test_accuracy"] is None
        theta = np.load(folder / f"run{energy}" / "checkpoint.npz")["parameters"]
        plan, batch, function = load(folder, "{kind: mse, energy: 1e12}").problem()
        with Simulator(plan) as simulator:
            simulator.parameters = theta
            drawn.append(float(simulator.evaluate(batch, function)[0][0]))
    assert drawn[1] < 0.9 * drawn[0]


def test_columns_that_do_not_fit_the_circuit(folder: Path) -> None:
    text = (folder / "signals.csv").read_text()
    (folder / "signals.csv").write_text(text.replace("time,x,", "time,y,"))
    with pytest.raises(
        SpecError, match=r"own.yaml:4: data: .*signals.csv:1: the input columns are y; .* are x"
    ):
        load(folder, "{kind: mse}").problem()


OWN = """
import numpy as np

def late(time, outputs, target, target_times):
    wanted = np.stack([np.interp(time, target_times, c) for c in target.T], axis=1)
    share = np.gradient(time)[:, None] / time[-1]
    return (share * (outputs - wanted) ** 2).sum(), 2 * share * (outputs - wanted)

def wrong(time, outputs, target, target_times):
    value, derivative = late(time, outputs, target, target_times)
    return value, 1.1 * derivative
"""


def test_a_users_wrong_loss_leaves_no_folder_and_a_right_one_gets_the_targets_times(folder: Path) -> None:
    (folder / "own.py").write_text(OWN, encoding="utf-8")
    training = "training={epochs: 1, batch_size: 1, optimizer: {kind: adam, learning_rate: 0.1}}"

    def run(loss: str, out: str) -> float:
        load(folder, loss)
        experiment = Experiment.load(folder / "own.yaml", (training,))
        return float(run_experiment(experiment, out=folder / out, report=False)["test_loss"])

    with pytest.raises(SpecError, match=r"own.yaml:5: loss: .*own.py:wrong.* differences of the value"):
        run("{kind: user, function: own.py:wrong}", "run")
    assert not (folder / "run").exists()
    found = run("{kind: user, function: own.py:late}", "run")
    assert found == pytest.approx(run("{kind: mse}", "reference"), rel=0.05)
