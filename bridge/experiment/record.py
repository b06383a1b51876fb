"""Recording one sample's phases for the report and writing its netlists."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.estimators import DynamicBatch, Estimator
from bridge.experiment.build import make_batch
from bridge.experiment.data import DataSet
from bridge.experiment.store import write_atomic, write_json_atomic, write_parquet_atomic
from bridge.experiment.waves import WaveSet
from bridge.phases import StaticPhases
from bridge.plans import StaticPlan
from bridge.quadrature import trapezoid_weights
from bridge.simulator import Simulator
from bridge.waveforms import Waveforms
from circuits.netlist import build_deck
from circuits.network import Network
from circuits.numbers import spice_number

FloatArray = NDArray[np.float64]
PHASES = ("free", "nudged_plus", "nudged_minus")


@dataclass(frozen=True)
class Recorded:
    """Three phases of one sample.

    Attributes:
        nodes: final node voltages of each phase, `(3, n_nodes)` [V].
        outputs: final outputs of the free phase, `(n_outputs,)` [V].
        current: largest current of the first nudge at each output, `(n_outputs,)` [A].
        beta: the nudging strength.
        waveforms: the transients, if the phases are transients.
    """

    nodes: FloatArray
    outputs: FloatArray
    current: FloatArray
    beta: float
    waveforms: list[Waveforms]


@dataclass(frozen=True)
class StaticSampleTask:
    """The free and both nudged phases of one static sample, with everything kept."""

    drives: FloatArray
    target: FloatArray
    loss: Any
    beta: float

    def run(self, phases: StaticPhases) -> Recorded:
        """Simulate them."""
        free = phases.free(self.drives)
        current = -self.beta * np.asarray(self.loss.derivative(free.outputs, self.target))
        solutions = [free, *phases.nudged_pair(self.drives, current, free)]
        waves = [s.waveforms for s in solutions if s.waveforms is not None]
        nodes = np.array([s.nodes[:-1] for s in solutions])
        return Recorded(nodes, free.outputs, current, self.beta, waves)


@dataclass(frozen=True)
class DynamicSampleTask:
    """The free phase of a waveform sample and two with the error injected as time goes forward."""

    batch: DynamicBatch
    loss: Any
    relative_beta: float = 0.005

    def run(self, phases: DynamicPhases) -> Recorded:
        """Simulate them; the nudge's peak is a share of the free phase's currents."""
        plan, drives = phases.plan, self.batch.signals(0)
        waves = [phases.free(drives)]
        outputs = phases.outputs(waves[0])
        error = self.loss.evaluate(waves[0].time, outputs, self.batch.targets[0]).derivative
        error = error[:, : len(plan.network.outputs)] / trapezoid_weights(waves[0].time)[:, None]
        outputs = outputs[:, : len(plan.network.outputs)]
        peak = float(np.abs(error).max())
        level = _current(plan.network, phases.parameters, float(np.abs(outputs).max()), waves[0])
        beta = self.relative_beta * level / peak if peak > 0 else 0.0
        waves += [phases.nudged(drives, waves[0].time, -s * beta * error) for s in (1.0, -1.0)]
        names = [f"v({n})".lower() for n in plan.network.nodes]
        kept = [
            Waveforms(w.time, np.stack([w[n] for n in names], axis=1), tuple(names), attrs=w.attrs)
            for w in waves
        ]
        nodes = np.array([w.final for w in kept])
        return Recorded(nodes, outputs[-1], np.abs(beta * error).max(axis=0), beta, kept)


def _current(network: Network, parameters: FloatArray, volts: float, free: Waveforms) -> float:
    """The size of a network's currents [A].

    It is that of the median trainable conductance at some voltage; where no conductance is trained, the
    largest current of a driven source.
    """
    devices = [network.element(t.element).device for t in network.trainable]
    units = [d.parameters[d.index(t.parameter)].unit for d, t in zip(devices, network.trainable, strict=True)]
    conductances = np.abs(parameters[np.array(units, dtype=str) == "S"])
    if len(conductances):
        return float(np.median(conductances)) * volts
    return max((float(np.abs(free[n]).max()) for n in free.names if n.startswith("i(")), default=0.0)


def record(
    folder: Path,
    simulator: Simulator,
    data: DataSet | WaveSet,
    loss: Any,
    estimator: Estimator,
    parameters: tuple[FloatArray, FloatArray],
) -> None:
    """Write the first test sample's phases and the netlists before and after training.

    Args:
        folder: the run folder.
        simulator: with the learned parameters.
        data: the test part.
        loss: of the experiment.
        estimator: of the experiment; its `beta` is used where it has one.
        parameters: initial and learned, `(n_trainable,)` each.
    """
    plan, network = simulator.plan, simulator.network
    task: Any
    if isinstance(data, WaveSet):
        batch = make_batch(network, data, slice(0, 1))
        assert isinstance(batch, DynamicBatch)
        task = DynamicSampleTask(batch, loss)
        values: Any = (data.times, batch.drives[0])
    else:
        values = network.drive_values(data.inputs[0])
        task = StaticSampleTask(values, data.targets[0], loss, float(getattr(estimator, "beta", 1e-7)))
    found: Recorded = simulator.pool.map([task])[0]
    _write_sample(folder, network, data, found)
    (folder / "netlists").mkdir(exist_ok=True)
    for name, theta in zip(("initial", "final"), parameters, strict=True):
        text = plain_netlist(plan, network.with_parameters(theta), values)
        write_atomic(folder / "netlists" / f"{name}.cir", text)


def _write_sample(folder: Path, network: Network, data: DataSet | WaveSet, found: Recorded) -> None:
    table = pd.DataFrame({"node": list(network.nodes)})
    for phase, nodes in zip(PHASES, found.nodes, strict=True):
        table[phase] = nodes
    write_parquet_atomic(folder / "sample.parquet", table)
    static = isinstance(data, DataSet)
    about: dict[str, Any] = {
        "features": data.inputs[0].tolist() if static else [],
        "target": data.targets[0].tolist() if data.targets.ndim == 2 else [],
        "outputs_free": found.outputs.tolist(),
        "beta": found.beta,
        "nudge_current": found.current.tolist(),
        "label": None if data.labels is None else int(data.labels[0]),
        "analysis": "transient" if found.waveforms else "operating_point",
    }
    write_json_atomic(folder / "sample.json", about)
    frames = []
    for phase, waves in zip(PHASES, found.waveforms, strict=False):
        frame = pd.DataFrame(waves.values, columns=list(network.nodes))
        frame.insert(0, "phase", phase)
        frame.insert(0, "time", waves.time)
        frames.append(frame)
    if frames:
        write_parquet_atomic(folder / "waveforms.parquet", pd.concat(frames, ignore_index=True))


def plain_netlist(plan: StaticPlan | DynamicPlan, network: Network, values: Any) -> str:
    """A deck for `ngspice -b` with one sample's inputs, in the free phase: the circuit that is loaded.

    Args:
        plan: how the network is simulated.
        network: the network, with the parameters to write.
        values: values of the driven sources `(n_drives,)`, or times and waveforms `(n_times, n_drives)`,
            which become piecewise linear sources.
    """
    if isinstance(plan, DynamicPlan):
        times, waves = values
        reduced = replace(plan, network=network).reduction
        loaded = network if reduced is None else reduced.network
        deck = build_deck(loaded, plan.options, nudges=False, time_scale=plan.duration)
        if reduced is not None:
            deck = replace(deck, notes=(reduced.note,))
            waves = reduced.sources(waves, reduced.matrix(reduced.values))
        played = {
            source: "pwl("
            + " ".join(f"{spice_number(t)} {spice_number(v)}" for t, v in zip(times, w, strict=True))
            + ")"
            for source, w in zip(deck.sources, waves.T, strict=True)
        }
        start = " uic" if plan.from_rest else ""
        steps = (0.01 * plan.step, plan.duration, 0.0, plan.step)
        return deck.plain(played, f".tran {' '.join(spice_number(s) for s in steps)}{start}")
    here = replace(plan, network=network)
    reduction = here.reduction()
    deck = here.loaded_deck(reduction, nudges=False)
    row = np.atleast_2d(np.asarray(values, dtype=float))
    if reduction is not None:
        row = reduction.sources(row, reduction.matrix(reduction.values))
    return deck.plain(dict(zip(deck.sources, map(float, row[0]), strict=True)), here.analysis())
