"""Experiments on devices that deviate and are programmed: what they hold, that they resume, refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from run_folders import PROGRAM, Command, assert_same, checkpoints, metrics, parameters

from bridge.errors import SpecError
from bridge.experiment.build import Experiment
from bridge.experiment.training import run_experiment
from bridge.updates.conductances import Readout
from bridge.updates.nonidealities import Stuck, quantise, stream

pytestmark = pytest.mark.usefixtures("no_report")

MEMRISTORS = (
    "circuit={topology: layered, hidden: [2], bias: 0.4, gain: 4, diode: {saturation_current: 1e-11}, "
    "synapse: {kind: memristor, published: jo}}",
    "estimator.beta=1e-11", "engine={abstol: 1e-16}",
)  # fmt: skip
DEVIATIONS = "devices={spread: [{parameters: [a1, a2], relative: 0.05}], cycle_noise: 0.05, levels: 32}"
WRITE_VERIFY = "training.programming={kind: write_verify, tolerance: 0.05}"
IDEAL_DEVIATIONS = (
    "devices={spread: [{parameters: [conductance], relative: 0.1}], cycle_noise: 0.05, read_noise: 0.02, "
    "levels: 16, level_spacing: log, stuck: {on: 0.05, off: 0.05}, "
    "drift: {exponent: 0.05, exponent_spread: 0.01, elapsed: 100}}"
)
LIMIT = 120.0  # seconds: of waiting for something that has to happen


def train(small: Path, name: str, *overrides: str, workers: int = 1) -> tuple[Path, dict[str, Any]]:
    """Run the small experiment with other values; its folder and results."""
    out = small.parent / name
    results = run_experiment(Experiment.load(small, overrides), out=out, workers=workers)
    assert json.loads((out / "results.json").read_text()) == results
    return out, results


def stopped(small: Path, name: str, epoch: int, *overrides: str) -> Path:
    """The same, interrupted behind an epoch and resumed with another number of workers."""
    experiment, out = Experiment.load(small, overrides), small.parent / name

    def stop(stage: str, done: int, *_: object) -> None:
        if (stage, done) == ("epoch", epoch):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_experiment(experiment, out=out, progress=stop)
    run_experiment(experiment, out=out, resume=True, workers=2)
    return out


# --- what happens between the controller and the circuit ------------------------------------------------


def test_ideal_devices_change_nothing(small: Path) -> None:
    plain, _ = train(small, "plain")
    ideal, _ = train(small, "ideal", "training.programming={kind: ideal}", "devices={}")
    assert (checkpoints(plain) == checkpoints(ideal)).all()
    extra = metrics(ideal)
    pd.testing.assert_frame_equal(metrics(plain), extra.drop(columns=["pulses", "programming_error"]))
    assert (extra["programming_error"] == 0.0).all()
    assert "pulses" not in metrics(plain)
    table = parameters(ideal)
    assert (table["device"] == table["final"]).all()
    assert "device" not in parameters(plain)


def test_devices_have_levels_and_the_controller_has_not(small: Path) -> None:
    run, _ = train(small, "run", "devices={levels: 8, level_spacing: log}")
    table = parameters(run)
    nearest = quantise(*(table[c].to_numpy() for c in ("final", "lower", "upper")), 8, "log")
    np.testing.assert_allclose(table["device"], nearest, rtol=1e-12)
    assert table["device"].nunique() <= 8 < table["final"].nunique()
    # Of a device that stays on its level nothing is written.
    table = metrics(run)
    assert table["pulses"][0] == len(parameters(run))
    assert (table["pulses"][1:] < 2 * len(parameters(run))).all()
    assert (table["programming_error"] > 0).all()


def test_a_stuck_device_is_not_moved_but_its_target_is(small: Path) -> None:
    run, _ = train(small, "run", "devices={stuck: {on: 0.3, off: 0.3}}")
    table = parameters(run)
    on, off = table["device"] == table["upper"], table["device"] == table["lower"]
    assert on.any()
    assert off.any()
    free = ~(on | off)
    assert (table["device"][free] == table["final"][free]).all()
    assert (table["initial"] != table["final"])[on | off].any()


@pytest.mark.parametrize("kind", ["ideal", "open_loop"])
def test_a_stuck_device_has_its_conductance_by_its_own_law(small: Path, kind: str) -> None:
    """`a1 x sinh(0.1 b) / 0.1` with each device's own `a1`, up to what the device reaches at `x = 1`."""
    flags = (
        "devices={spread: [{parameters: [a1, a2], relative: 0.3}], stuck: {on: 0.2, off: 0.2, random: 0.4}}",
        f"training.programming={{kind: {kind}}}",
    )
    run, _ = train(small, kind, *MEMRISTORS, *flags, "training.epochs=1")
    experiment = Experiment.load(run / "spec.yaml")
    network = experiment.network(experiment.data())
    table = parameters(run)
    own = np.array([network.element(n).value("a1") for n in table["element"]])
    factor = np.sinh(0.1 * 0.7) / 0.1
    drawn = Stuck(0.2, 0.2, 0.4).values(
        *(3.7e-7 * factor * table[c].to_numpy() for c in ("lower", "upper")), stream(1, "stuck", 0)
    )
    stuck = np.isfinite(drawn)
    assert stuck.sum() > 5
    reached = np.minimum(drawn, own * factor)[stuck]
    assert (reached < drawn[stuck]).any()
    np.testing.assert_allclose((own * factor * table["device"])[stuck], reached, rtol=1e-9)


def test_the_reference_decides_where_an_update_starts(small: Path) -> None:
    """With coarse levels and steps of one size a controller that reads its devices back stays beside them."""
    rule = "training.optimizer={kind: manhattan, learning_rate: 1e-3}"
    coarse = (
        "devices={levels: 8, level_spacing: log}",
        rule,
        "training.batch_size=4",
    )  # three updates, all alike
    target, _ = train(small, "target", *coarse)
    device, _ = train(small, "device", *coarse, "training.programming={kind: ideal, reference: device}")
    table = parameters(device)
    assert np.abs(np.log(table["final"] / table["device"])).max() == pytest.approx(1e-3, rel=1e-6)
    table = parameters(target)
    np.testing.assert_allclose(np.abs(np.log(table["final"] / table["initial"])), 3e-3, rtol=1e-6)
    assert (np.abs(np.log(table["final"] / table["device"])) > 0.01).all()


@pytest.mark.parametrize(
    "optimizer",
    [
        "{kind: manhattan, learning_rate: 0.05}",
        "{kind: stochastic, learning_rate: 0.3, scale: 0.05}",
        "{kind: threshold, learning_rate: 0.5, threshold: 0.001}",
    ],
)
def test_pulse_rules_learn(small: Path, optimizer: str) -> None:
    run, results = train(small, "run", f"training.optimizer={optimizer}", "training.epochs=40")
    assert results["train_loss"] < 0.8 * metrics(run)["train_loss"][0]


def test_write_verify_brings_spread_devices_within_its_tolerance(small: Path) -> None:
    """Judged by the law of the device itself: `a1 x sinh(0.1 b) / 0.1` with each device's own `a1`."""
    run, _ = train(small, "run", *MEMRISTORS, DEVIATIONS, WRITE_VERIFY, "training.epochs=1")
    experiment = Experiment.load(run / "spec.yaml")
    network = experiment.network(experiment.data())
    table = parameters(run)
    own = np.array([network.element(n).value("a1") for n in table["element"]])
    assert 0.01 < np.std(own) / 3.7e-7 < 0.1
    reached = own * table["device"] * np.sinh(0.1 * 0.7) / 0.1
    scale = 3.7e-7 * np.sinh(0.1 * 0.7) / 0.1
    asked = quantise(table["final"].to_numpy() * scale, 0.01 * scale * np.ones(1), scale * np.ones(1), 32)
    error = np.abs(reached / asked - 1.0)
    assert error.max() < 0.055
    assert error.mean() > 1e-4
    table = metrics(run)
    assert (table["pulses"] > 0).all()
    assert (table["programming_error"] < 0.03).all()


def test_open_loop_misses_by_the_spread_of_the_devices(small: Path) -> None:
    errors = []
    for kind in ("open_loop", "write_verify"):
        flag = f"training.programming={{kind: {kind}, tolerance: 0.005}}"
        run, _ = train(small, kind, *MEMRISTORS, DEVIATIONS.replace(", levels: 32", ""), flag,
                       "training.epochs=1")  # fmt: skip
        errors.append(metrics(run)["programming_error"][1])
    assert errors[0] > 3 * errors[1]


def test_devices_that_are_missed_are_told(small: Path) -> None:
    flag = "training.programming={kind: open_loop, tolerance: 0.005}"
    run, results = train(small, "run", *MEMRISTORS, DEVIATIONS, flag, "training.epochs=3")
    table, writes = metrics(run), pd.read_parquet(run / "writes.parquet")
    assert (table["missed"] > 0).all()
    assert 0 < results["missed"] <= len(parameters(run))
    lines = [
        line for line in (run / "log.txt").read_text().splitlines() if "outside of the programming" in line
    ]
    assert len(lines) == len(table)
    last = table.iloc[-1]
    assert lines[-1].endswith(
        f" {last['missed']:.4g} (mean of writes), the worst by {last['worst_miss']:.2%}"
    )
    # Every update is there, and the epochs are made of them.
    assert list(writes["update"]) == list(range(len(writes)))
    assert len(writes) == results["misses"]["writes"] == 1 + 3 * 2  # two minibatches an epoch
    by_epoch = writes.groupby("epoch")
    np.testing.assert_allclose(table["missed"], by_epoch["missed"].mean())
    np.testing.assert_allclose(table["worst_miss"], by_epoch["worst_miss"].max())
    np.testing.assert_allclose(table["pulses"], by_epoch["pulses"].sum())
    assert results["missed"] == writes["missed"].iloc[-1]
    assert results["worst_miss"] == writes["worst_miss"].iloc[-1]
    assert results["misses"]["worst"]["error"] == writes["worst_miss"].max()
    # The devices that are named are those whose own law says so.
    experiment = Experiment.load(run / "spec.yaml")
    network = experiment.network(experiment.data())
    own, after = Readout(network).conductances(parameters(run)["device"].to_numpy()), parameters(run)
    for entry in results["misses"]["last"]:
        at = list(after["element"]).index(entry["device"])
        assert own[at] / entry["target"] - 1.0 == pytest.approx(entry["error"], abs=1e-6)
        assert abs(entry["error"]) > 0.005
    errors = [abs(entry["error"]) for entry in results["misses"]["last"]]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] == results["worst_miss"]


def test_devices_that_cannot_reach_their_levels_are_told_from_others(small: Path) -> None:
    """At the top level those are beyond reach that conduct 2 % less than the nominal device at best."""
    flags = (*MEMRISTORS, "devices={spread: [{parameters: [a1, a2], relative: 0.1}], levels: 2}",
             "training.programming={kind: write_verify, tolerance: 0.02}", "training.epochs=1",
             "circuit.synapse.state={initial_lower: 0.9, initial_upper: 1}")  # fmt: skip
    run, results = train(small, "run", *flags)
    experiment = Experiment.load(run / "spec.yaml")
    network = experiment.network(experiment.data())
    top = np.array([network.element(n).value("a1") for n in parameters(run)["element"]]) / 3.7e-7
    short = set(parameters(run)["element"][top < 0.98])
    assert 0 < len(short) < len(top)
    assert {e["device"] for e in results["misses"]["last"] if e["beyond_reach"]} == short
    assert results["missed"] == len(short)
    assert pd.read_parquet(run / "writes.parquet")["beyond_reach"].iloc[-1] == len(short)


def first_moved(small: Path, programming: str) -> np.ndarray:
    """How far the states of the first array go when open-loop pulses take only device (0, 0) 0.4 up."""
    return pulsed(small, programming)[0]


def pulsed(small: Path, programming: str) -> tuple[np.ndarray, int]:
    """The same with the number of pulses."""
    flag = f"training.programming={{kind: open_loop, {programming}}}"
    experiment = Experiment.load(small, (*MEMRISTORS, flag))
    split = experiment.data()
    hardware = experiment.hardware(split, experiment.network(split))
    assert hardware is not None
    assert hardware.programmer is not None
    array = hardware.programmer.shapes[0]
    assert min(array.shape) > 1
    stored = np.full(hardware.stored.shape, 0.2)
    target = stored.copy()
    target[hardware.believed.places[array[0, 0]]] = 0.6
    try:
        after, pulses = hardware.programmer.write(hardware.believed.conductances(target), stored, 0)
    finally:
        hardware.close()
    assert pulses > 0
    return np.asarray((after - stored)[hardware.believed.places][array]), pulses


def test_open_loop_by_the_number_of_pulses(small: Path) -> None:
    """The whole number of equal pulses that ends nearest; their width and the most of them are the file's."""
    moved, count = pulsed(small, "pulses: number")
    assert count > 5
    assert 1e-4 < abs(moved[0, 0] - 0.4) < 0.75 * 0.4 / count
    assert np.abs(np.delete(moved.ravel(), 0)).max() < 1e-4
    longer, few = pulsed(small, "pulses: number, longest: 4s")
    assert 1 < few < count
    assert abs(longer[0, 0] - 0.4) < 0.75 * 0.4 / few
    cut, most = pulsed(small, "pulses: number, max_pulses: 3")
    assert most == 3
    assert 3 * moved[0, 0] / count < cut[0, 0] < 0.4  # steps become smaller on the way up


@pytest.mark.parametrize(
    ("lines", "voltage", "disturbed"), [("separate", 4, False), ("half", 3, False), ("half", 4, True)]
)
def test_half_selected_neighbours_are_disturbed(
    small: Path, lines: str, voltage: float, disturbed: bool
) -> None:
    """At half of 4 V, above their threshold of 1.5 V, the devices of one row and of one column move too."""
    moved = first_moved(small, f"lines: {lines}, raise_voltage: {voltage}V")
    assert moved[0, 0] > 0.35
    for neighbours in (moved[0, 1:], moved[1:, 0]):
        assert (neighbours > 0.01).all() if disturbed else (np.abs(neighbours) < 1e-4).all()
    assert (np.abs(moved[1:, 1:]) < 1e-4).all()
    if not disturbed:
        assert moved[0, 0] == pytest.approx(0.4, rel=5e-3)


def test_transistors_cut_off_what_a_column_would_disturb(small: Path) -> None:
    """At the whole voltage on its column every device moves, unless its row's transistors are off."""
    bare = first_moved(small, "lines: grounded")
    assert (bare[1:, 0] > 0.2).all()
    access = first_moved(small, "lines: grounded, cell: {kind: 1t1r, width: 20um}")
    assert np.abs(access[1:]).max() < 1e-4
    assert np.abs(access[0, 1:]).max() < 1e-4
    assert access[0, 0] == pytest.approx(0.4, rel=0.02)


@pytest.mark.parametrize("key", ["wire_resistance", "driver_resistance", "sense_resistance"])
def test_resistances_of_lines_take_their_share_of_a_pulse(small: Path, key: str) -> None:
    """The device conducts up to 0.4 uS at 3 V: behind 500 kOhm it loses more than a twentieth of its way."""
    ideal, lossy = first_moved(small, "lines: half"), first_moved(small, f"lines: half, {key}: 500kOhm")
    assert ideal[0, 0] == pytest.approx(0.4, rel=5e-3)
    assert 0.1 < lossy[0, 0] < 0.95 * ideal[0, 0]


def test_devices_that_no_read_can_see_are_refused_before_the_run(small: Path, command: Command) -> None:
    flag = "training.programming={kind: write_verify, lines: half, cell: {kind: selector, current: 1nA}}"
    answer = command("run", small.name, "--out", "run", *(p for f in (*MEMRISTORS, flag) for p in ("-s", f)))
    assert (answer.status, answer.out, len(answer.err.splitlines())) == (2, "", 1)
    assert "training.programming: cell selector: a read at 0.1 V sees at most" in answer.err


# --- the same run again ---------------------------------------------------------------------------------


def test_noisy_runs_resume_and_do_not_depend_on_workers(small: Path) -> None:
    flags = (IDEAL_DEVIATIONS, "training.epochs=5", "robustness={spread: [0.2], stuck: [0.1], draws: 2}")
    run, results = train(small, "run", *flags)
    assert_same(run, train(small, "two", *flags, workers=2)[0])
    again = stopped(small, "again", 2, *flags)
    assert_same(run, again)
    for other in ("two", "again"):
        pd.testing.assert_frame_equal(
            pd.read_parquet(run / "robustness.parquet"),
            pd.read_parquet(small.parent / other / "robustness.parquet"),
            check_exact=True,
        )
    different, _ = train(small, "different", *flags, "seed=2")
    assert (parameters(different)["device"] != parameters(run)["device"]).any()
    assert results["test_loss"] == metrics(run)["test_loss"].iloc[-1]  # the same read


def test_a_programmed_run_that_is_killed_ends_as_if_nothing_had_been(small: Path) -> None:
    flags = (*MEMRISTORS, DEVIATIONS, WRITE_VERIFY, "training.epochs=8", "training.batch_size=4")
    run, _ = train(small, "run", *flags)
    out = small.parent / "killed"
    line = [str(PROGRAM), "run", str(small), *(p for f in flags for p in ("-s", f)), "--out", str(out)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        end = time.monotonic() + LIMIT
        while not (out / "checkpoints" / "epoch_0001.npz").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.005)
        workers = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert psutil.wait_procs(workers, timeout=LIMIT)[1] == []
    assert not (out / "results.json").exists()
    run_experiment(Experiment.load(small, flags), out=out, resume=True, workers=2)
    assert_same(run, out)
    writes = [pd.read_parquet(folder / "writes.parquet") for folder in (run, out)]
    pd.testing.assert_frame_equal(*writes, check_exact=True)
    results = [json.loads((folder / "results.json").read_text())["misses"] for folder in (run, out)]
    assert results[0] == results[1]


# --- robustness -----------------------------------------------------------------------------------------


def test_robustness_without_deviation_is_the_learned_network(small: Path) -> None:
    flags = "robustness={spread: [0, 0.5], stuck: [0, 0.5], drift: [1, 1e6], levels: [2], draws: 3}"
    run, results = train(small, "run", flags, "training.epochs=10")
    table = pd.read_parquet(run / "robustness.parquet")
    assert list(table) == ["quantity", "value", "draw", "test_loss", "test_accuracy"]
    assert len(table) == 7 * 3
    none = table[
        ((table["value"] == 0) & table["quantity"].isin(["spread", "stuck"]))
        | ((table["value"] == 1) & (table["quantity"] == "drift"))
    ]
    assert len(none) == 9
    assert (none["test_loss"] == results["test_loss"]).all()
    some = table.drop(none.index)
    assert (some["test_loss"] != results["test_loss"]).all()
    for name in ("spread", "stuck", "drift"):
        assert some[some["quantity"] == name]["test_loss"].nunique() == 3  # a chip each
    for entry in results["robustness"]:
        part = table[(table["quantity"] == entry["quantity"]) & (table["value"] == entry["value"])]
        assert entry["test_accuracy"] == pytest.approx(part["test_accuracy"].mean())
        assert entry["draws"] == 3


# --- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["training.programming={kind: write_verify}"], "write_verify needs memristors as synapses"),
        (["devices={spread: [{parameters: [a1], relative: 0.1}]}"], "no element has such a fixed parameter"),
        (["devices={mismatch: {threshold: 3}}"], "the network has no transistor"),
        (["devices={stuck: {on: 0.7, off: 0.7}}"], "the shares are more than 1 together"),
        (["devices={levels: 1}"], "must be at least 2"),
        (["devices={drift: {exponent: 0.1, elapsed: 1ms}}"], "elapsed is before reference_time"),
        (["circuit.synapse={kind: memristor, model: yakopcik}"], "unknown model 'yakopcik'"),
        (["circuit.synapse={kind: memristor, published: joe}"], "no published set 'joe'"),
        (["circuit.synapse={kind: memristor, parameters: {a3: 1}}"], "no parameter 'a3'"),
        (
            ["circuit={topology: layered, synapse: {kind: memristor, state: {upper: 2}}}"],
            "leave what the device reaches",
        ),
        (["training.optimizer={kind: stochastic, learning_rate: 1}"], "stochastic needs scale"),
        (["robustness={draws: 3}"], "needs a list of values"),
        (
            [*MEMRISTORS, "training.programming={kind: write_verify, pulses: number}"],
            "programming.pulses: has no effect with kind write_verify, which computes widths",
        ),
        (
            [*MEMRISTORS, "training.programming={kind: open_loop, max_pulses: 9}"],
            "programming.max_pulses: has no effect with kind open_loop",
        ),
        (
            [*MEMRISTORS, "devices={spread: [{parameters: [conductance], relative: 0.1}]}", WRITE_VERIFY],
            "is for ideal programming",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(
    small: Path, command: Command, flags: list[str], said: str
) -> None:
    answer = command("run", small.name, "--out", "run", *(p for f in flags for p in ("-s", f)))
    assert (answer.status, answer.out, len(answer.err.splitlines())) == (2, "", 1)
    assert said in answer.err
    assert not (small.parent / "run").exists()


def test_a_checkpoint_without_its_devices_is_refused(small: Path) -> None:
    experiment = Experiment.load(small, ("devices={levels: 8}", "training.epochs=2"))
    split = experiment.data()
    network = experiment.network(split)
    hardware = experiment.hardware(split, network)
    assert hardware is not None
    with pytest.raises(SpecError, match="start the run anew"):
        hardware.load_state_dict({})
    state = hardware.state_dict()
    with pytest.raises(SpecError, match="not those of this network"):
        hardware.load_state_dict({**state, "stored": state["stored"][1:]})
    hardware.load_state_dict(state)
    assert len(Readout(network).places) == len(network.trainable)
