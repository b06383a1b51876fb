"""What an experiment with neurons must not say: keys that would have no effect, values out of their bounds.

A model of one section sees no other section. These rules need several, or the kinds of neurons.
"""

from __future__ import annotations

from collections.abc import Iterator

from bridge.errors import NetworkError
from bridge.experiment.problems import KeyPath
from bridge.experiment.spec import ExperimentSpec, SpikesSpec, TransientSpec
from bridge.experiment.spec_dynamic import AdjointSpec
from bridge.experiment.spec_neurons import (
    ConnectionSpec,
    NeuronsSpec,
    PopulationSpec,
    SpikeTimesSpec,
    StimuliSpec,
)
from circuits.devices.neurons import CELLS
from circuits.topologies.neurons import KINETICS

_LARGEST = 1.0  # voltage of a membrane [V]
_DEVIATIONS = 3.0  # of a parameter between neurons, at most
_DEFAULTS = {"reversal": 0.0, "alpha": 1.1, "beta": 0.19, "half": 2.0, "width": 5.0}


def problems(spec: ExperimentSpec) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong, with the key that it is wrong with."""
    yield from _truncation(spec)
    circuit = spec.circuit
    if not isinstance(circuit, NeuronsSpec) or not isinstance(spec.data, StimuliSpec):
        return
    for name, population in circuit.populations.items():
        yield from _population(("circuit", "populations", name), population)
    for number, connection in enumerate(circuit.connections):
        yield from _connection(("circuit", "connections", number), connection)
    neurons = any(p.train for p in circuit.populations.values())
    if not neurons and not any(c.train for c in circuit.connections):
        yield ("circuit",), "nothing learns; give a population or a connection a train with bounds"
    elif circuit.start_error is not None and not neurons:
        yield (
            ("circuit", "start_error"),
            "only synapses learn, and their weights do not start wrong; leave it out",
        )
    yield from _data(spec, spec.data)
    yield from _loss(spec)


def _population(path: KeyPath, population: PopulationSpec) -> Iterator[tuple[KeyPath, str]]:
    kind = CELLS[population.kind]
    wrong = False
    given: list[tuple[tuple[str, ...], str, float]] = [
        (("parameters", k), k, v) for k, v in population.parameters.items()
    ]
    given += [
        (("train", k, end), k, v)
        for k, b in population.train.items()
        for end, v in (("lower", b.lower), ("upper", b.upper))
    ]
    for place, key, value in given:
        try:
            kind.parameter(key).check(value)
        except NetworkError as error:
            wrong = True
            yield (*path, *(place[:2] if "no parameter" in str(error) else place)), str(error)
    if wrong:
        return
    values = kind.values(population.parameters)
    for key, bounds in population.train.items():
        if key not in values:
            continue
        value, share = values[key], _DEVIATIONS * population.spread.get(key, 0.0)
        low, high = sorted((value * (1.0 - share), value * (1.0 + share)))
        yield from _inside(
            (*path, "train", key), low, high, bounds.lower, bounds.upper, kind.parameter(key).unit
        )


def _connection(path: KeyPath, connection: ConnectionSpec) -> Iterator[tuple[KeyPath, str]]:
    for key, bounds in connection.train.items():
        place = (*path, "train", key)
        if key == "weight":
            mean, share = connection.weight, connection.spread
            low, high = mean * (1.0 - share), mean * (1.0 + share)
            yield from _inside(place, low, high, bounds.lower, bounds.upper, "mS/cm^2")
            if bounds.lower < 0.0:
                yield place, f"lower is {bounds.lower:g} mS/cm^2; a conductance is not negative"
            continue
        if connection.kind == "gap":
            yield place, f"a gap junction has no {key}; it has only a weight"
            continue
        given = getattr(connection, key)
        value = _DEFAULTS[key] if given is None else given
        if key in ("alpha", "beta", "width") and bounds.lower <= 0.0:
            yield place, f"lower is {bounds.lower:g} {KINETICS[key][1]}; it must be positive"
        yield from _inside(place, value, value, bounds.lower, bounds.upper, KINETICS[key][1])


def _inside(
    path: KeyPath, low: float, high: float, lower: float, upper: float, unit: str
) -> Iterator[tuple[KeyPath, str]]:
    unit = "" if unit == "1" else f" {unit}"
    if low < lower or high > upper:
        start = f"{low:g}{unit}" if low == high else f"{low:g} to {high:g}{unit}"
        yield path, f"it starts at {start}, outside its bounds {lower:g} to {upper:g}{unit}; widen them"


def _data(spec: ExperimentSpec, data: StimuliSpec) -> Iterator[tuple[KeyPath, str]]:
    analysis = spec.analysis
    assert isinstance(analysis, TransientSpec)
    if data.noise > 0.0 and not data.traces:
        yield (
            ("data", "noise"),
            "there are no target traces for the noise; set data.traces: true, or leave it out",
        )
    if data.traces and isinstance(spec.loss, SpikesSpec | SpikeTimesSpec):
        yield ("data", "traces"), f"the loss {spec.loss.kind} has targets of its own; leave it out"
    if not data.traces and spec.loss.kind == "mse":
        yield ("loss", "kind"), "mse needs target traces; set data.traces: true, or use spike_times"
    for name, samples in (("samples", data.samples), ("test_samples", data.test_samples or [])):
        for i, sample in enumerate(samples):
            for j, part in enumerate(sample):
                stop = analysis.duration if part.stop is None else part.stop
                if part.rise > 0.5 * (stop - part.start) > 0.0:
                    place: KeyPath = ("data", name, i, j, "rise")
                    yield place, f"{part.rise:g} s is more than half of the pulse of {stop - part.start:g} s"


def _loss(spec: ExperimentSpec) -> Iterator[tuple[KeyPath, str]]:
    loss, analysis = spec.loss, spec.analysis
    if not isinstance(loss, SpikesSpec | SpikeTimesSpec):
        return
    assert isinstance(analysis, TransientSpec)
    if loss.threshold is not None and abs(loss.threshold) > _LARGEST:
        yield ("loss", "threshold"), f"{loss.threshold:g} V is no voltage of a membrane; use mV"
    for i, train in enumerate(loss.times):
        for j, time in enumerate(train):
            if not 0.0 <= time <= analysis.duration:
                text = f"{time:g} s does not lie in the transient of {analysis.duration:g} s"
                yield ("loss", "times", i, j), text


def _truncation(spec: ExperimentSpec) -> Iterator[tuple[KeyPath, str]]:
    estimator, analysis = spec.estimator, spec.analysis
    if not isinstance(estimator, AdjointSpec) or not isinstance(analysis, TransientSpec):
        return
    for key in ("horizon", "stride"):
        value = getattr(estimator, key)
        if value is not None and value < analysis.provisional_step:
            text = f"{value:g} s is shorter than a time step of {analysis.provisional_step:g} s"
            yield ("estimator", key), text
