"""Directed and spiking networks from YAML: the shipped experiments in small, data, bounds, messages."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import numpy as np
import pandas as pd
import pytest
from run_folders import Command

from bridge.errors import SpecError
from bridge.estimators import AdjointNetwork, FiniteDifference, TruncatedAdjoint
from bridge.experiment.build import Experiment
from bridge.experiment.training import run_experiment
from bridge.simulator import Simulator

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def load(name: str, *overrides: str) -> Experiment:
    """A shipped experiment."""
    return Experiment.load(EXPERIMENTS / f"{name}.yaml", overrides)


@pytest.fixture
def own(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Load an experiment of one's own."""

    def make(text: str) -> Experiment:
        file = tmp_path / "own.yaml"
        file.write_text(dedent(text), encoding="utf-8")
        return Experiment.load(file)

    return make


# --- the delayed XOR --------------------------------------------------------------------------------------


def test_delayed_xor_is_balanced_and_neither_pulse_tells_the_class() -> None:
    split = load("directed_rnn").data()
    waves, labels, times = split.train.inputs[:, :, 0], split.train.labels, split.train.times
    assert labels.mean() == 0.5
    first = np.sign(np.trapezoid(np.where(times < 2.6e-6, waves, 0), times, axis=1))
    second = np.sign(np.trapezoid(np.where(times >= 2.6e-6, waves, 0), times, axis=1))
    for bit in (first, second):
        assert abs(np.corrcoef(bit, labels)[0, 1]) < 1e-9
    np.testing.assert_array_equal(first * second < 0, labels == 1)
    again, other = load("directed_rnn").data(), load("directed_rnn", "seed=2").data()
    np.testing.assert_array_equal(again.train.inputs, split.train.inputs)
    assert np.abs(other.train.inputs - split.train.inputs).max() > 0.05
    assert np.abs(split.test.inputs[:64] - split.train.inputs).max() > 0.05


def test_pulses_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SpecError, match="second pulse ends"):
        load("directed_rnn", "data.delay=8us").data()
    with pytest.raises(SpecError, match="overlap"):
        load("directed_rnn", "data.delay=1us").data()


@pytest.mark.usefixtures("no_report")
def test_a_directed_network_learns_the_delayed_xor_and_one_without_memory_cannot(tmp_path: Path) -> None:
    small = (
        "analysis.step=100ns",
        "data.test_samples=16",
        "seed=2",
        "training.early_stop={metric: train_loss, target: 0.02}",
    )
    found = run_experiment(load("directed_rnn", *small), out=tmp_path / "with")
    assert found["test_accuracy"] == 1.0
    blind = ("circuit.capacitance=0.5pF", "circuit.recurrent=false", "training.epochs=8", "data.noise=0V")
    found = run_experiment(load("directed_rnn", *small, *blind), out=tmp_path / "without")
    assert found["test_accuracy"] <= 0.75


# --- neurons ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(("noise", "tolerance"), [("0V", 0.01), ("1mV", 0.05)])
def test_channel_conductances_are_recovered(tmp_path: Path, noise: str, tolerance: float) -> None:
    found = run_experiment(load("hh_fit", f"data.noise={noise}", "seed=2"), out=tmp_path / "run")
    rows = found["recovered"]
    assert [rows[f"cell0_{c}.conductance"]["true"] for c in ("na", "k", "leak")] == pytest.approx(
        [120, 36, 0.3]
    )
    for row in rows.values():
        assert row["unit"] == "mS/cm^2"
        assert abs(row["found"] / row["true"] - 1) < tolerance
        assert 0.29 < abs(np.log(row["initial"] / row["true"])) / np.log(1.3) * 0.3 < 0.4
    table = pd.read_parquet(tmp_path / "run" / "metrics.parquet")
    assert table["parameter_error"].iloc[0] > 0.2
    assert table["parameter_error"].iloc[-1] < tolerance


def test_the_fit_never_sees_the_true_values() -> None:
    """Two truths with the same traces would be fitted alike: the start depends on the file's values alone."""
    experiment = load("hh_fit", "data.noise=1mV")
    split = experiment.data()
    network = experiment.network(split)
    errors = split.truth.errors(network, network.parameters)
    assert (np.abs(np.log1p(errors)) > np.log(1.29)).all()
    clean = load("hh_fit").data()
    noise = split.train.targets - clean.train.targets
    assert noise.std() == pytest.approx(1e-3, rel=0.05)


@pytest.mark.usefixtures("no_report")
def test_neurons_learn_to_fire_on_time(tmp_path: Path) -> None:
    found = run_experiment(load("hh_spike_timing", "seed=3", "training.epochs=40"), out=tmp_path / "run")
    assert (found["test_missing_spikes"], found["test_extra_spikes"]) == (0, 0)
    assert found["test_spikes_on_time"] == 1.0
    assert found["test_worst_shift"] < 0.5e-3
    table = pd.read_parquet(tmp_path / "run" / "metrics.parquet")
    assert table["test_worst_shift"].iloc[0] > 1e-3


NEURONS = """
    name: own
    circuit:
      topology: neurons
      populations:
        a: {size: 2, train: {g_leak: {lower: 0.05, upper: 1.5}}}
      inputs: [{target: a, gain: 1}]
      outputs: [a1]
    data:
      source: stimuli
      samples:
        - - {shape: pulse, start: 1ms, stop: 3ms, rise: 0.5ms, amplitude: 2}
          - {shape: ramp, start: 3ms, stop: 5ms, amplitude: 4}
          - {shape: sine, start: 5ms, period: 2ms, amplitude: 1}
    loss: {kind: spike_times, tau: 1ms, times: [[2ms]]}
    analysis: {kind: transient, duration: 8ms, step: 25us}
"""


def test_stimuli_are_those_written_down(own) -> None:  # type: ignore[no-untyped-def]
    split = own(NEURONS).data()
    wave = np.interp([2e-3, 4e-3, 5.5e-3, 1.25e-3, 0.5e-3], split.train.times, split.train.inputs[0, :, 0])
    np.testing.assert_allclose(wave, [2.0, 2.0, 1.0, 1.0, 0.0], atol=0.02)
    assert not split.held_out


def test_estimator_keys_make_a_truncated_adjoint(own) -> None:  # type: ignore[no-untyped-def]
    exact = own(NEURONS + "    estimator: {kind: adjoint}\n").estimator()
    assert type(exact) is AdjointNetwork
    cut = own(NEURONS + "    estimator: {kind: adjoint, horizon: 5ms, stride: 1ms}\n").estimator()
    assert isinstance(cut, TruncatedAdjoint)
    assert not cut.exact
    assert (cut.truncation.horizon, cut.truncation.stride) == (5e-3, 1e-3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("outputs: [a1]", "outputs: [a7]", "no population 'a7'"),
        ("a: {size: 2,", "a: {kind: axon, size: 2,", "expected 'hodgkin_huxley'"),
        ("g_leak:", "g_calcium:", "no parameter 'g_calcium'"),
        ("times: [[2ms]]", "times: [[2ms], []]", "2 lists of spike times for 1 outputs"),
        ("amplitude: 2}", "amplitude: 2, channel: 3}", "channel 3"),
        ("stop: 3ms, rise", "stop: 30ms, rise", "does not lie in the"),
        ("shape: sine, start: 5ms, period: 2ms", "shape: sine, start: 5ms", "needs a period"),
        ("step: 25us}", "step: 25us}\n    estimator: {kind: adjoint, stride: 1ms}", "stride needs a horizon"),
        # values out of the bounds of their kind
        (
            "size: 2,",
            "kind: integrate_and_fire, parameters: {tau_rise: 0}, size: 2,",
            r"own.yaml:6: circuit.populations.a.parameters.tau_rise: tau_rise = 0 ms is outside 1e-05",
        ),
        (
            "size: 2, train: {g_leak: {lower: 0.05",
            "kind: fitzhugh_nagumo, size: 2, train: {b: {lower: 0",
            r"train.b.lower: b = 0 is outside 0.001",
        ),
        (
            "size: 2,",
            "parameters: {temperature: 1e5}, size: 2,",
            "temperature = 100000 degC is outside -50..60",
        ),
        ("size: 2,", "parameters: {v0: -1e5}, size: 2,", "v0 = -100000 mV is outside"),
        (
            "lower: 0.05",
            "lower: 0.5",
            "train.g_leak: it starts at 0.3 mS/cm.2, outside its bounds 0.5 to 1.5",
        ),
        ("size: 2,", "spread: {g_leak: 0.3}, size: 2,", "it starts at 0.03 to 0.57 mS/cm.2, outside"),
        (
            "inputs: [",
            "connections: [{pre: a, post: a, weight: 3, train: {lower: 0, upper: 4}}]\n      inputs: [",
            r"connections.0.train.weight: it starts at 1.5 to 4.5",
        ),
        (
            "inputs: [",
            "connections: [{pre: a, post: a, train: {alpha: {lower: 0, upper: 4}}}]\n      inputs: [",
            "must be positive",
        ),
        (
            "inputs: [",
            "connections: [{pre: a, post: a, kind: gap, train: {half: {lower: 0, upper: 4}}}]\n"
            "      inputs: [",
            "a gap junction has no half",
        ),
        # keys that would do nothing
        ("kind: spike_times, tau: 1ms, times: [[2ms]]", "kind: mse", "loss.kind: mse needs target traces"),
        ("source: stimuli", "source: stimuli\n      noise: 1mV", "data.noise: there are no target traces"),
        (
            "source: stimuli",
            "source: stimuli\n      traces: true",
            "data.traces: the loss spike_times has targets",
        ),
        ("rise: 0.5ms", "period: 0.5ms", "a pulse has no period"),
        ("shape: ramp,", "shape: ramp, rise: 1ms,", "rise is for pulses"),
        (
            "rise: 0.5ms",
            "rise: 1.5ms",
            r"samples.0.0.rise: 0.0015 s is more than half of the pulse of 0.002 s",
        ),
        (
            "a: {size: 2, train: {g_leak: {lower: 0.05, upper: 1.5}}}",
            "a: {size: 2}\n      start_error: [0.1, 0.2]\n"
            "      connections: [{pre: a, post: a, train: {lower: 0, upper: 1}}]",
            "start_error: only synapses learn",
        ),
        ("a: {size: 2, train: {g_leak: {lower: 0.05, upper: 1.5}}}", "a: {size: 2}", "nothing learns"),
        # what would only fail, or never end, while it runs
        ("times: [[2ms]]", "times: [[20ms]]", r"loss.times.0.0: 0.02 s does not lie in the transient"),
        ("tau: 1ms,", "tau: 1ms, threshold: 5,", "5 V is no voltage of a membrane"),
        (
            "step: 25us}",
            "step: 25us}\n    estimator: {kind: adjoint, horizon: 1ns}",
            "shorter than a time step",
        ),
    ],
)
def test_mistakes_in_the_file_are_named(own, old: str, new: str, message: str) -> None:  # type: ignore[no-untyped-def]
    assert old in NEURONS

    def build() -> None:
        experiment = own(NEURONS.replace(old, new))
        plan, _, _ = experiment.problem()
        experiment.check(experiment.data(), plan)

    with pytest.raises(SpecError, match=message):
        build()


@pytest.mark.parametrize(
    ("kind", "level"), [("hodgkin_huxley", 0.0), ("integrate_and_fire", -0.04), ("morris_lecar", 0.0)]
)
def test_a_spike_is_what_the_neurons_kind_says(own, kind: str, level: float) -> None:  # type: ignore[no-untyped-def]
    text = NEURONS.replace("a: {size: 2,", f"a: {{kind: {kind}, size: 2,").replace(
        "0.05, upper: 1.5", "0, upper: 4"
    )
    experiment = own(text)
    assert experiment.loss(experiment.data()).loss.threshold == (level,)
    given = own(text.replace("tau: 1ms", "tau: 1ms, threshold: -30mV"))
    assert given.loss(given.data()).loss.threshold == -0.03


def test_synapses_learn_their_reversal_and_kinetics(own) -> None:  # type: ignore[no-untyped-def]
    text = NEURONS.replace(
        "inputs: [",
        "connections:\n        - {pre: a, post: a, weight: 0.2, reversal: -70, spread: 0,\n"
        "           train: {weight: {lower: 0, upper: 1}, reversal: {lower: -90, upper: 10},\n"
        "           alpha: {lower: 0.1, upper: 5}, "
        "beta: {lower: 0.01, upper: 2}, width: {lower: 1, upper: 9}}}\n      inputs: [",
    )
    experiment = own(text)
    network = experiment.network(experiment.data())
    found = {
        t.parameter: (v, t.lower, t.upper)
        for t, v in zip(network.trainable, network.parameters, strict=True)
        if t.element == "s0_a0_a1"
    }
    assert found.keys() == {"conductance", "reversal", "opening", "closing", "width"}
    for key, wanted in {
        "conductance": (0.2e-3, 0.0, 1e-3),
        "reversal": (-0.07, -0.09, 0.01),
        "opening": (1100.0, 100.0, 5000.0),
        "closing": (190.0, 10.0, 2000.0),
        "width": (5e-3, 1e-3, 9e-3),
    }.items():
        assert found[key] == pytest.approx(wanted)


def test_a_recurrent_network_of_the_file_has_exact_gradients(own) -> None:  # type: ignore[no-untyped-def]
    """Two neurons excite each other, one of which spikes by itself."""
    text = NEURONS.replace("a: {size: 2, train: {g_leak: {lower: 0.05, upper: 1.5}}}", "a: {size: 2}")
    text = text.replace(
        "inputs: [{target: a, gain: 1}]",
        "connections:\n        - {pre: a, post: a, weight: 0.6, spread: 0.2,\n"
        "           train: {weight: {lower: 0, upper: 2}, reversal: {lower: -20, upper: 20},\n"
        "           alpha: {lower: 0.1, upper: 5}, beta: {lower: 0.01, upper: 2},\n"
        "           half: {lower: -20, upper: 20}, width: {lower: 1, upper: 9}}}\n"
        "      inputs: [{target: a, neurons: [0], gain: 10}]",
    ).replace("step: 25us", "step: 10us")
    plan, batch, loss = own(text.replace("duration: 8ms", "duration: 10ms")).problem()
    with Simulator(plan) as simulator:
        found = simulator.gradient(batch, loss, AdjointNetwork())
        wanted = simulator.gradient(batch, loss, FiniteDifference(1e-5))
        size = np.where(simulator.parameters == 0.0, 1e-2, np.abs(simulator.parameters))
    assert len(size) == 12
    error = np.abs(found.gradient - wanted.gradient) * size
    assert (error < 1e-3 * np.linalg.norm(wanted.gradient * size)).all()
    assert np.count_nonzero(wanted.gradient) == 12


def test_neurons_and_stimuli_belong_together() -> None:
    with pytest.raises(SpecError, match="stimuli are for circuit neurons"):
        load("hh_fit", "data={source: pulse_order, width: 1ms}")


def test_gradcheck_tells_the_growth(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    text = NEURONS.replace("kind: spike_times, tau: 1ms, times: [[2ms]]", "kind: mse")
    text = text.replace("source: stimuli", "source: stimuli\n      traces: true")
    text = text.replace("outputs: [a1]", "outputs: [a1]\n      start_error: [0.3, 0.4]")
    file.write_text(dedent(text + "    estimator: {kind: adjoint, horizon: 2ms}\n"), encoding="utf-8")
    answer = command("gradcheck", file, "--growth", 4, "--json")
    assert answer.status == 0
    found = json.loads(answer.out.splitlines()[-1])
    assert len(found["windows"]) == 4
    assert found["windows"][-1] == pytest.approx(8e-3)
    assert found["norms"][-1] > found["norms"][0] > 0
    assert found["cosines"][0] == pytest.approx(1.0, abs=1e-3)
