"""The training loop: epochs of minibatches, a checkpoint after each, resumable after a kill."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.errors import SpecError, TellegenError
from bridge.experiment.accuracy import Choice, at_step, checked_again, choose_step, gradient_at
from bridge.experiment.build import Experiment, make_batch
from bridge.experiment.data import DataSet, Split, minibatches
from bridge.experiment.folder import MANIFEST, RunFolder, confusion
from bridge.experiment.record import record
from bridge.experiment.robustness import robustness, summary
from bridge.experiment.spec import TransientSpec
from bridge.experiment.state import TrainingState
from bridge.experiment.store import RunLock, write_json_atomic, write_parquet_atomic
from bridge.experiment.waves import Truth, WaveSet, WaveSplit
from bridge.ngspice.library import find_library
from bridge.report import write_report
from bridge.simulator import Simulator
from circuits.network import Network

FloatArray = NDArray[np.float64]
Progress = Callable[[str, int, int, dict[str, float]], None]
"""Called with a stage (`epoch`, `batch`), how many are done, how many there are, and the last metrics."""


@dataclass
class Training:
    """One run: everything that the loop needs, and its state."""

    experiment: Experiment
    folder: RunFolder
    simulator: Simulator
    split: Split | WaveSplit
    progress: Progress
    choice: Choice | None = None

    def __post_init__(self) -> None:
        self.spec = self.experiment.training()
        self.network = self.simulator.network
        self.loss = self.experiment.loss(self.split)
        self.estimator = self.experiment.estimator()
        self.optimizer = self.experiment.optimizer(self.network)
        self.schedule = self.experiment.schedule()
        self.rng = np.random.default_rng(self.experiment.batch_seed)
        self.started = time.perf_counter()
        self.before: dict[str, Any] = {}
        self.hardware = self.experiment.hardware(self.split, self.network)
        self.epochs_done = 0

    def begin(self) -> TrainingState:
        """The state to continue from: the checkpoint's, or a new one evaluated before training."""
        if self.folder.checkpoint.exists():
            state = TrainingState.load(self.folder.checkpoint, len(self.network.trainable))
            self.optimizer.load_state_dict(state.optimizer)
            self.rng.bit_generator.state = state.batches
            self.simulator.parameters = state.parameters
            self.epochs_done = state.epoch
            if self.hardware is not None:
                self.hardware.load_state_dict(state.devices)
            self.before = state.usage
            self.folder.log(f"resumed after epoch {state.epoch}")
            return state
        initial = self.network.parameters
        state = TrainingState(
            0, initial, initial, self.optimizer.state_dict(), dict(self.rng.bit_generator.state)
        )
        if self.hardware is not None:
            self.hardware.write(initial)
        row = {"epoch": 0.0, "learning_rate": float(self.schedule(0.0)), "gradient_norm": float("nan")}
        row |= self.evaluate("train", self.split.train)[0] | self.evaluate("test", self.split.test)[0]
        self._finish_epoch(state, row)
        return state

    def evaluate(self, part: str, data: DataSet | WaveSet) -> tuple[dict[str, float], FloatArray]:
        """Mean loss and accuracy of the free phase on a part of the data, and its outputs or scores."""
        self._read(0 if part == "train" else 1)
        losses, outputs = self.simulator.evaluate(make_batch(self.network, data), self.loss)
        return self.metrics(part, data, losses, outputs, data.targets), outputs

    def _read(self, *number: int) -> None:
        """Let the circuit have what a read of the devices finds."""
        if self.hardware is not None:
            self.simulator.parameters = self.hardware.parameters(self.epochs_done, *number)

    def _write(self, state: TrainingState, gradient: FloatArray, rate: float) -> None:
        """Make an update and write it into the devices."""
        if self.hardware is None:
            state.parameters = self.optimizer.step(state.parameters, gradient, rate)
            self.simulator.parameters = state.parameters
            return
        start = self.hardware.reference(state.parameters)
        state.parameters = self.optimizer.step(start, gradient, rate)
        self.hardware.write(state.parameters, state.epoch + 1)

    def metrics(
        self, part: str, data: DataSet | WaveSet, losses: FloatArray, outputs: FloatArray, targets: FloatArray
    ) -> dict[str, float]:
        """Mean loss, and accuracy where there are classes (otherwise NaN)."""
        accuracy = float("nan")
        if data.labels is not None:
            accuracy = float(np.mean(self.classes.correct(outputs, targets)))
        found = {f"{part}_loss": float(np.mean(losses)), f"{part}_accuracy": accuracy}
        if (measures := getattr(self.loss, "measures", None)) is not None:
            found |= {f"{part}_{key}": value for key, value in measures(outputs).items()}
        return found

    @property
    def truth(self) -> Truth | None:
        """The parameters that target waveforms were made with, where they are known."""
        return getattr(self.split, "truth", None)

    @property
    def classes(self) -> Any:
        """What reads classes off outputs: the loss, or the static loss inside one on waveforms."""
        return getattr(self.loss, "static", self.loss)

    def epoch(self, state: TrainingState) -> None:
        """One pass over the training data, an update after every minibatch."""
        train = self.split.train
        batches = minibatches(len(train), self.spec.batch_size, self.rng)
        outputs, targets, losses, norms = [], [], [], []
        rate = float(self.schedule(float(state.epoch)))
        for k, rows in enumerate(batches):
            batch = make_batch(self.network, train, rows)
            self._read(2, k)
            found = self.simulator.gradient(batch, self.loss, self.estimator)
            self._write(state, found.gradient, rate)
            outputs.append(found.outputs)
            targets.append(train.targets[rows])
            losses.append(found.losses)
            norms.append(float(np.linalg.norm(found.gradient)))
            self.progress("batch", k + 1, len(batches), state.history[-1])
        state.epoch += 1
        self.epochs_done = state.epoch
        row = {"epoch": float(state.epoch), "learning_rate": rate, "gradient_norm": float(np.mean(norms))}
        row |= self.metrics("train", train, *(np.concatenate(p) for p in (losses, outputs, targets)))
        last = state.epoch == self.spec.epochs
        if last or state.epoch % self.spec.evaluate_every == 0:
            row |= self.evaluate("test", self.split.test)[0]
        else:
            row |= {"test_loss": float("nan"), "test_accuracy": float("nan")}
        state.optimizer = self.optimizer.state_dict()
        state.batches = dict(self.rng.bit_generator.state)
        self._early_stop(state, row)
        self._finish_epoch(state, row)

    def usage(self) -> dict[str, Any]:
        """Simulations and times, with those before a resumption."""
        now = self.simulator.usage()
        now["seconds"] = time.perf_counter() - self.started
        keys = {*now, *self.before} - {"rungs"}
        total = {k: now.get(k, 0) + self.before.get(k, 0) for k in keys}
        rungs = [now.get("rungs", {}), self.before.get("rungs", {})]
        total["rungs"] = {k: sum(r.get(k, 0) for r in rungs) for k in {*rungs[0], *rungs[1]}}
        return total

    def _early_stop(self, state: TrainingState, row: dict[str, float]) -> None:
        stop = self.spec.early_stop
        if stop is None or np.isnan(row[stop.metric]):
            return
        value = row[stop.metric]
        rising = stop.metric.endswith("accuracy")
        if stop.target is not None and (value >= stop.target if rising else value <= stop.target):
            state.stopped = f"{stop.metric} reached {stop.target:g}"
        if state.best is None or (value > state.best if rising else value < state.best):
            state.best, state.waited = value, 0
        else:
            state.waited += 1
            if stop.patience is not None and state.waited >= stop.patience:
                state.stopped = f"{stop.metric} has not improved for {stop.patience} evaluations"

    def _finish_epoch(self, state: TrainingState, row: dict[str, float]) -> None:
        if self.hardware is not None:
            row |= self.hardware.metrics()
            state.devices = self.hardware.state_dict()
        if self.truth is not None:
            errors = self.truth.errors(self.network, state.parameters)
            row["parameter_error"] = float(np.abs(errors).max(initial=0.0))
        usage = self.usage()
        for key in ("seconds", "ngspice_seconds", "operating_points", "transients", "retries"):
            row[key] = float(usage.get(key, 0.0) - state.usage.get(key, 0.0))
        state.usage = usage
        state.history.append(row)
        self.folder.save_epoch(state, self.network)
        self._save_writes()
        shown = ", ".join(f"{k} {v:.4g}" for k, v in row.items() if "_loss" in k or "_accuracy" in k)
        if row.get("missed"):
            shown += (
                f", devices outside of the programming tolerance {row['missed']:.4g} (mean of writes), "
                f"the worst by {row['worst_miss']:.2%}"
            )
        self.folder.log(f"epoch {state.epoch}: {shown}")
        self.progress("epoch", state.epoch, self.spec.epochs, row)

    def _save_writes(self) -> None:
        """Write the table of all writes by pulses."""
        if self.hardware is not None and self.hardware.log is not None:
            table = self.hardware.log.table(self.hardware.names)
            write_parquet_atomic(self.folder.path / "writes.parquet", table)

    def _robustness(self, state: TrainingState) -> dict[str, Any]:
        """Judge the learned network on worse devices, if the file asks for it."""
        spec = self.experiment.spec.robustness
        if spec is None:
            return {}
        hardware = self.experiment.hardware(self.split, self.network, always=True)
        assert hardware is not None
        batch, test = make_batch(self.network, self.split.test), self.split.test

        def judge(parameters: FloatArray) -> dict[str, float]:
            self.simulator.parameters = parameters
            return self.metrics("test", test, *self.simulator.evaluate(batch, self.loss), test.targets)

        self.folder.log("judging the learned network on worse devices")
        table = robustness(hardware, spec, state.parameters, judge)
        write_parquet_atomic(self.folder.path / "robustness.parquet", table)
        return {"robustness": summary(table)}

    def _accuracy(self, parameters: FloatArray) -> dict[str, Any]:
        """The error of the gradient at the chosen time step, with the learned parameters."""
        if self.choice is None:
            return {}
        self.simulator.parameters = parameters
        batch = first_batch(self.experiment, self.network, self.split)
        error = checked_again(gradient_at(self.simulator, batch, self.loss, self.estimator), self.choice)
        worse = error > self.choice.asked
        self.folder.log(
            f"error of the gradient after training {error:.2g}, asked {self.choice.asked:.2g}"
            + ("; a smaller analysis.accuracy keeps it below that" if worse else "")
        )
        return {"gradient_error": {"asked": self.choice.asked, "step": self.choice.step,
                                   "before": self.choice.error, "after": error}}  # fmt: skip

    def finish(self, state: TrainingState) -> dict[str, Any]:
        """Evaluate the learned network, record a sample, write results."""
        path, test = self.folder.path, self.split.test
        self.folder.save_tables(state, self.network)
        self._save_writes()
        measured, outputs = self.evaluate("test", test)
        measured |= self.evaluate("train", self.split.train)[0]
        if test.labels is not None and len(test.class_names) > 1:
            matrix = confusion(self.classes.predict(outputs), test.labels, test.class_names)
            write_json_atomic(path / "confusion.json", matrix)
        ends = (state.initial, state.parameters)
        if self.hardware is not None:
            self._read(1)
            ends = (self.hardware.initial, self.simulator.parameters)
        record(path, self.simulator, test, self.loss, self.estimator, ends)
        accuracy = self._accuracy(ends[1])
        robust = self._robustness(state)
        usage = self.usage()
        results = {
            "run": str(path),
            "name": self.experiment.spec.name,
            **{k: None if np.isnan(v) else v for k, v in measured.items()},
            **{k: usage.get(k, 0) for k in ("seconds", "ngspice_seconds", "transients", "operating_points")},
            **{k: usage.get(k, 0) for k in ("retries", "failures", "rungs", "replaced", "recycled")},
            "in_sequence": usage.get("in_sequence", 0),
            "epochs": state.epoch,
            "parameters": len(self.network.trainable),
            "held_out": self.split.held_out,
            "stopped": state.stopped,
            **({} if self.hardware is None else self.hardware.results()),
            **robust,
            **accuracy,
        }
        if self.truth is not None:
            results["recovered"] = self.truth.table(self.network, state.initial, state.parameters)
        write_json_atomic(path / "results.json", results)
        self.folder.log("finished")
        return results


def first_batch(experiment: Experiment, network: Network, split: Split | WaveSplit) -> Any:
    """The first minibatch of the first epoch."""
    rng = np.random.default_rng(experiment.batch_seed)
    rows = minibatches(len(split.train), experiment.training().batch_size, rng)[0]
    return make_batch(network, split.train, rows)


def chosen_step(
    experiment: Experiment, folder: RunFolder, plan: Any, split: Split | WaveSplit, workers: int
) -> Choice | None:
    """The time step for the accuracy that a file asks for: the folder's, or a new choice; `None` without."""
    analysis = experiment.spec.analysis
    if not isinstance(analysis, TransientSpec) or analysis.accuracy is None:
        return None
    known = folder.path / "accuracy.json"
    if known.exists():
        choice = Choice.of(json.loads(known.read_text(encoding="utf-8")))
    else:
        with Simulator(plan, workers=workers, time_limit=experiment.spec.engine.time_limit) as simulator:
            batch = first_batch(experiment, plan.network, split)
            gradient = gradient_at(simulator, batch, experiment.loss(split), experiment.estimator())
            choice = choose_step(gradient, analysis.duration, analysis.accuracy)
        write_json_atomic(known, choice.data())
        folder.log(choice.line())
    described = json.loads((folder.path / MANIFEST).read_text(encoding="utf-8"))
    write_json_atomic(folder.path / MANIFEST, {**described, "accuracy": choice.data()})
    return choice


def run_experiment(
    experiment: Experiment,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    workers: int | None = None,
    progress: Progress = lambda *_: None,
    report: bool = True,
) -> dict[str, Any]:
    """Train an experiment's network in ngspice and leave a run folder.

    Args:
        experiment: the validated file.
        out: the run folder; a new one below `runs/` by default.
        resume: continue an unfinished run in that folder (or the newest of this experiment).
        workers: simulator processes, instead of the file's number; results do not depend on it.
        progress: called after every minibatch and every epoch.
        report: write the run's report, which takes longer than a short run.

    Returns:
        The summary that is also in the folder's `results.json`.

    Raises:
        TellegenError: a wrong file or option, or a simulation without a result; a checkpoint of the last
            finished epoch remains.
    """
    folder = RunFolder.choose(experiment, None if out is None else Path(out), resume)
    done = folder.results()
    if done is not None:
        if report and not (folder.path / "report.html").exists():  # killed between the results and the report
            write_report(folder.path)
        return {**done, "run": str(folder.path)}
    experiment.training()
    split = experiment.data()
    network = experiment.network(split)
    plan = experiment.plan(network)
    experiment.check(split, plan)
    library = find_library()
    engine = experiment.spec.engine
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(f"the run folder {folder.path} cannot be made: {error.strerror}") from error
    with RunLock(folder.path):
        arrays = [split.train.inputs, split.train.targets, split.test.inputs, split.test.targets]
        processes = workers or engine.workers
        folder.begin(experiment, network, library.version, arrays, processes)
        choice = chosen_step(experiment, folder, plan, split, processes)
        if choice is not None:
            plan = at_step(plan, choice.step)
        simulator = Simulator(
            plan,
            workers=processes,
            time_limit=engine.time_limit,
            memory_growth=engine.memory_limit << 20,
        )
        with simulator:
            training = Training(experiment, folder, simulator, split, progress, choice)
            if training.hardware is not None:
                training.hardware.workers = processes
            try:
                state = training.begin()
                while state.epoch < training.spec.epochs and not state.stopped:
                    training.epoch(state)
                results = training.finish(state)
            except TellegenError as error:
                folder.log(f"failed: {error}")
                raise
            finally:
                if training.hardware is not None:
                    training.hardware.close()
        if report:
            write_report(folder.path)
        return results
