"""From an experiment file on waveforms to its network, data, plan and loss."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.dynamics import FIXED_GRID, DynamicPhases, DynamicPlan
from bridge.errors import SpecError
from bridge.estimators.base import DynamicBatch
from bridge.experiment.device_file import load_device
from bridge.experiment.section import ConductanceSpec
from bridge.experiment.spec import ExperimentSpec, TransientSpec
from bridge.experiment.spec_devices import DiodeSpec
from bridge.experiment.spec_dynamic import (
    NetlistSpec,
    PulseOrderSpec,
    RLCSpec,
    TeacherSpec,
    TimeSeriesSpec,
    WaveformFileSpec,
)
from bridge.experiment.spec_neurons import DelayedXorSpec, DirectedSpec, NeuronsSpec, StimuliSpec
from bridge.experiment.spec_transistor import TransistorSpec
from bridge.experiment.stimuli import delayed_xor, stimuli
from bridge.experiment.waves import (
    Truth,
    WaveSet,
    WaveSplit,
    multi_sine,
    pulse_order,
    read_waveforms,
    time_series,
)
from bridge.losses import make_waveform_loss
from bridge.losses.combine import FinalTarget, FixedTarget
from bridge.losses.energy import WithEnergy
from bridge.losses.spike_times import SpikeTargets, SpikeTimes
from bridge.simulator import Simulator
from circuits.devices.base import ModelCard
from circuits.devices.diode import Nonlinearity
from circuits.network import Network
from circuits.topologies.layered import Conductances
from circuits.topologies.neurons import Site
from circuits.topologies.rlc import Reactances, rlc

FloatArray = NDArray[np.float64]

INITIAL, DATA = 1, 3  # streams of the seed


def card(spec: DiodeSpec) -> ModelCard | Nonlinearity:
    """The model card of an experiment's diodes, or what the user gives instead of diodes."""
    if (own := spec.own) is not None:
        return own
    return ModelCard("dlearn", "D", (("is", spec.saturation_current), ("n", spec.emission)))


def conductances(spec: ConductanceSpec) -> Conductances:
    """Initial values and bounds of an experiment's conductances."""
    return Conductances(spec.lower, spec.upper, spec.initial_lower, spec.initial_upper, spec.distribution)


def wave_network(spec: ExperimentSpec, channels: int, outputs: int, seed: int | None = None) -> Network:
    """The network of an experiment on waveforms; a loss with energy probes its driven voltage sources.

    Args:
        spec: the experiment.
        channels: of the input waveforms.
        outputs: number of outputs.
        seed: of the initial values, instead of the experiment's (a teacher).
    """
    network = _network(spec, channels, outputs, seed)
    if not getattr(spec.loss, "energy", 0.0):
        return network
    driven = [d.source for d in network.drives]
    return replace(
        network,
        probes=tuple(n for n in driven if network.element(n).device.kind == "voltage_source"),
    )


def _network(spec: ExperimentSpec, channels: int, outputs: int, seed: int | None) -> Network:
    circuit = spec.circuit
    if isinstance(circuit, DirectedSpec | TransistorSpec):
        initial = [spec.seed if seed is None else seed, INITIAL]
        return circuit.build(channels, outputs, seed=initial, name=spec.name)
    if isinstance(circuit, NeuronsSpec):
        return neurons(spec)[0]
    if isinstance(circuit, NetlistSpec):
        from circuits.importer import import_netlist
        from circuits.importer.extra import Extra

        trainable = [t if isinstance(t, str) else t.model_dump(exclude_none=True) for t in circuit.trainable]
        placed = [
            Extra(name, tuple(e.nodes), partial(load_device(e.device).place, values=e.parameters))
            for name, e in circuit.elements.items()
        ]
        return import_netlist(
            circuit.netlist,
            extra=placed,
            inputs=circuit.inputs,
            outputs=circuit.outputs,
            trainable=trainable,
            name=spec.name,
        )
    assert isinstance(circuit, RLCSpec)
    reactances = Reactances(
        circuit.capacitance,
        circuit.spread,
        circuit.cubic,
        circuit.inductors,
        circuit.inductance,
        circuit.diodes,
        circuit.rectifiers,
        circuit.fractional,
        circuit.fractional_conductance,
        circuit.band,
    )
    return rlc(
        circuit.nodes,
        channels,
        outputs,
        degree=circuit.degree,
        fan=circuit.fan,
        seed=[spec.seed if seed is None else seed, INITIAL],
        doubled_inputs=circuit.doubled_inputs,
        bias=circuit.bias,
        differential_outputs=circuit.differential_outputs,
        input_gain=circuit.input_gain,
        reactances=reactances,
        train=circuit.train,
        diode_card=card(circuit.diode),
        conductances=conductances(circuit.conductance),
        name=spec.name,
    )


def neurons(spec: ExperimentSpec, wrong: bool = True) -> tuple[Network, dict[str, Site]]:
    """The neurons of an experiment and the sites of their trainable parameters.

    Args:
        spec: the experiment.
        wrong: whether trainable parameters start wrong by the circuit's `start_error`.
    """
    assert isinstance(spec.circuit, NeuronsSpec)
    return spec.circuit.build(seed=[spec.seed, INITIAL], name=spec.name, wrong=wrong)


def wave_plan(spec: ExperimentSpec, network: Network) -> DynamicPlan:
    """How a network is simulated on waveforms."""
    analysis, engine = spec.analysis, spec.engine
    assert isinstance(analysis, TransientSpec)
    options = replace(
        FIXED_GRID, reltol=engine.reltol, abstol=engine.abstol, vntol=engine.vntol, klu=engine.klu
    )
    return DynamicPlan(
        network,
        analysis.duration,
        analysis.provisional_step,
        analysis.start == "rest",
        options,
        reduce=bool(getattr(spec.circuit, "reduce", True)),
    )


def wave_data(spec: ExperimentSpec) -> WaveSplit:
    """Load or make an experiment's waveforms.

    Raises:
        DataError: a file or an option is wrong.
        SpecError: the columns do not fit the circuit.
    """
    data, analysis = spec.data, spec.analysis
    assert isinstance(analysis, TransientSpec)
    seed = [spec.seed, DATA]
    if isinstance(data, WaveformFileSpec):
        return _files(spec, data)
    if isinstance(data, PulseOrderSpec):
        parts = [
            pulse_order(count, analysis.duration, data.points, data.width, data.amplitude, [*seed, k])
            for k, count in enumerate((data.samples, data.test_samples))
        ]
        return WaveSplit(parts[0], parts[1], True)
    if isinstance(data, DelayedXorSpec):
        counts = (data.samples, data.test_samples)
        parts = [delayed_xor(data, n, analysis.duration, [*seed, k]) for k, n in enumerate(counts)]
        return WaveSplit(parts[0], parts[1], True)
    if isinstance(data, StimuliSpec):
        return _stimuli(spec, data, seed)
    if isinstance(data, TimeSeriesSpec):
        return time_series(data.name, analysis.duration, data.amplitude)
    assert isinstance(data, TeacherSpec)
    return _teacher(spec, data, seed)


def _files(spec: ExperimentSpec, data: WaveformFileSpec) -> WaveSplit:
    split, inputs, outputs = read_waveforms(data.files)
    circuit, analysis = spec.circuit, spec.analysis
    assert isinstance(analysis, TransientSpec)
    times = split.train.times
    if times[0] > 0 or times[-1] < analysis.duration * (1 - 1e-9):
        raise SpecError(
            f"{data.files[0]}: its times run from {times[0]:g} s to {times[-1]:g} s, the transient from 0 to "
            f"{analysis.duration:g} s; give samples for all of it"
        )
    if not isinstance(circuit, NetlistSpec):
        return split
    orders = []
    for what, wanted, have in (("input", list(circuit.inputs), inputs), ("target", circuit.outputs, outputs)):
        have = tuple(h.replace(" ", "") for h in have)
        wanted = [w.replace(" ", "") for w in wanted]
        if sorted(map(str.lower, have)) != sorted(map(str.lower, wanted)):
            raise SpecError(
                f"{data.files[0]}:1: the {what} columns are {', '.join(have) or 'none'}; the circuit's "
                f"{what}s are {', '.join(wanted)}"
            )
        lower = [h.lower() for h in have]
        orders.append([lower.index(w.lower()) for w in wanted])
    part = replace(
        split.train, inputs=split.train.inputs[:, :, orders[0]], targets=split.train.targets[:, :, orders[1]]
    )
    return WaveSplit(part, part, False)


@dataclass(frozen=True)
class ResponseTask:
    """Output waveforms of some samples at given times."""

    batch: DynamicBatch

    def run(self, phases: DynamicPhases) -> FloatArray:
        """Outputs `(n_samples, n_times, n_outputs)` [V] at the batch's times."""
        found = []
        for k in range(len(self.batch)):
            waves = phases.free(self.batch.signals(k))
            columns = phases.outputs(waves).T[: len(phases.plan.flat.outputs)]
            found.append(np.stack([np.interp(self.batch.times, waves.time, c) for c in columns], axis=1))
        return np.array(found)


def _teacher(spec: ExperimentSpec, data: TeacherSpec, seed: list[int]) -> WaveSplit:
    analysis = spec.analysis
    assert isinstance(analysis, TransientSpec)
    network = wave_network(spec, data.channels, data.outputs, seed=data.seed)
    count = data.samples + data.test_samples
    times, inputs = multi_sine(
        count, data.channels, analysis.duration, data.points, data.lowest, data.highest, data.amplitude, seed
    )
    batch = DynamicBatch(times, network.drive_values(inputs), [None] * count)
    with Simulator(wave_plan(spec, network), workers=1, time_limit=spec.engine.time_limit) as simulator:
        targets = np.concatenate(simulator.pool.map([ResponseTask(b) for b in batch.chunks(4)]))
    cut = data.samples
    parts = [
        WaveSet(times, inputs[rows], targets[rows], None, (), "teacher")
        for rows in (slice(None, cut), slice(cut, None))
    ]
    return WaveSplit(parts[0], parts[1], True)


def _stimuli(spec: ExperimentSpec, data: StimuliSpec, seed: list[int]) -> WaveSplit:
    circuit, analysis = spec.circuit, spec.analysis
    assert isinstance(analysis, TransientSpec)
    assert isinstance(circuit, NeuronsSpec)
    network, sites = neurons(spec, wrong=False)
    plan, made = wave_plan(spec, network), []
    for k, samples in enumerate((data.samples, data.test_samples)):
        if samples is None:
            continue
        times, inputs = stimuli(samples, circuit.channels, analysis.duration, data.points, [*seed, k])
        targets = np.zeros((len(samples), len(times), len(network.outputs)))
        if data.traces:
            batch = DynamicBatch(times, network.drive_values(inputs), [None] * len(samples))
            with Simulator(plan, workers=1, time_limit=spec.engine.time_limit) as simulator:
                targets = np.concatenate(simulator.pool.map([ResponseTask(b) for b in batch.chunks(4)]))
            targets = targets + data.noise * np.random.default_rng([*seed, 2 + k]).normal(size=targets.shape)
        made.append(WaveSet(times, inputs, targets, None, (), "stimuli"))
    truth = None
    if data.traces and circuit.start_error is not None:
        truth = Truth(
            {t.label: float(v) for t, v in zip(network.trainable, network.parameters, strict=True)}, sites
        )
    return WaveSplit(made[0], made[-1], len(made) > 1, truth)


def wave_loss(spec: ExperimentSpec, folder: Any, split: WaveSplit) -> Any:
    """The loss of an experiment on waveforms."""
    made = _loss(spec, folder, split)
    energy = getattr(spec.loss, "energy", 0.0)
    return WithEnergy(made, energy, split.train.targets.shape[-1], split.train.times) if energy else made


def _loss(spec: ExperimentSpec, folder: Any, split: WaveSplit) -> Any:
    loss = spec.loss
    if loss.kind == "user":
        times = None if split.train.labels is not None else split.train.times
        return make_waveform_loss("user", path=loss.function, folder=folder, target_times=times)
    classes = split.train.labels is not None
    if loss.kind == "spikes":
        outputs = split.train.targets.shape[-1]
        if len(loss.times) != outputs:
            raise SpecError(f"times: {len(loss.times)} lists of spike times for {outputs} outputs")
        made = make_waveform_loss("spikes", tau=loss.tau, threshold=loss.threshold, width=loss.width)
        return FixedTarget(made, [list(times) for times in loss.times])
    if loss.kind == "spike_times":
        outputs = split.train.targets.shape[-1]
        if len(loss.times) != outputs:
            raise SpecError(f"times: {len(loss.times)} lists of spike times for {outputs} outputs")
        level: float | tuple[float, ...] = loss.threshold or 0.0
        if loss.threshold is None and isinstance(spec.circuit, NeuronsSpec):
            level = spec.circuit.thresholds([o.plus for o in neurons(spec)[0].outputs])
        own = SpikeTimes(loss.tau, level, loss.missing, loss.extra, loss.height)
        return SpikeTargets(own, [list(times) for times in loss.times], loss.tolerance)
    if loss.kind == "mse":
        if loss.on == "final":
            if loss.window is not None:
                raise SpecError("window has no meaning for the last value (on: final); leave it out")
            made = make_waveform_loss("terminal_mse")
            return made if classes else FinalTarget(made)
        if classes:
            return make_waveform_loss("average_mse", window=loss.window)
        return make_waveform_loss("mse", target_times=split.train.times, window=loss.window)
    if not classes:
        raise SpecError("cross_entropy needs classes; for target waveforms use mse")
    if loss.on == "final":
        if loss.window is not None:
            raise SpecError("window has no meaning for the last value (on: final); leave it out")
        return make_waveform_loss("terminal_cross_entropy", scale=loss.scale)
    return make_waveform_loss("average_cross_entropy", scale=loss.scale, window=loss.window)
