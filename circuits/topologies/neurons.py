"""Networks of neurons: populations, connections between them, injected currents, voltages as outputs.

Everything is given in the units of the field (`circuits.devices.neurons.Scale`): mV, ms, uA/cm^2, mS/cm^2. A
neuron `k` of the population `exc` has the node `exck`; its elements' names begin with `exck_`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from bridge.errors import NetworkError
from circuits.devices.base import Element
from circuits.devices.neurons import CELLS, SCALE, cell, chemical_synapse, gap_junction
from circuits.devices.sources import current_source
from circuits.network import GROUND, Drive, Network, Output, Trainable

_CELLS, _WEIGHTS, _CONNECTED, _STARTS = 0, 1, 2, 3  # streams of the seed


@dataclass(frozen=True)
class Bounds:
    """Training bounds of a parameter, in the units of the field.

    Attributes:
        lower: never left.
        upper: never left.
    """

    lower: float
    upper: float


@dataclass(frozen=True)
class Population:
    """Neurons of one kind.

    Attributes:
        name: letters; the neurons are `name0`, `name1`, ...
        kind: one of `CELLS`.
        size: number of neurons.
        values: parameters by name; the kind's defaults for the others.
        spread: relative standard deviation of parameters between neurons, by name; normal, at most three
            deviations.
        train: parameters that learn, by name.
    """

    name: str
    kind: str = "hodgkin_huxley"
    size: int = 1
    values: Mapping[str, float] = field(default_factory=dict)
    spread: Mapping[str, float] = field(default_factory=dict)
    train: Mapping[str, Bounds] = field(default_factory=dict)


@dataclass(frozen=True)
class Connection:
    """Synapses from one population to another.

    Attributes:
        source: name of the presynaptic population.
        target: name of the postsynaptic one; the same as `source` for a recurrent connection.
        kind: `chemical` (directed, with kinetics) or `gap` (a conductance between the two neurons).
        probability: of each pair of neurons to be connected; never a neuron with itself.
        weight: mean conductance [mS/cm^2].
        spread: weights are uniform between `1 - spread` and `1 + spread` times the mean.
        bounds: of the weights while training; `None` where they do not learn. 0 is allowed; a gap junction's
            conductance stays above 1e-9 mS/cm^2.
        options: further arguments of `chemical_synapse`: `reversal` [mV], `alpha` [1/ms], `beta` [1/ms],
            `half` [mV], `width` [mV].
        train: those of a chemical synapse's `options` that learn, with bounds in their units.
    """

    source: str
    target: str
    kind: Literal["chemical", "gap"] = "chemical"
    probability: float = 1.0
    weight: float = 0.1
    spread: float = 0.5
    bounds: Bounds | None = None
    options: Mapping[str, float] = field(default_factory=dict)
    train: Mapping[str, Bounds] = field(default_factory=dict)


KINETICS = {
    "reversal": ("reversal", "mV"),
    "alpha": ("opening", "1/ms"),
    "beta": ("closing", "1/ms"),
    "half": ("half", "mV"),
    "width": ("width", "mV"),
}
"""What a chemical synapse has besides its weight: the element's parameter, and the unit of the field."""
_LEAST = 1e-9  # conductance of a gap junction [mS/cm^2]


@dataclass(frozen=True)
class Input:
    """A channel that injects a current into neurons.

    Attributes:
        channel: number of the channel, from 0.
        target: name of the population.
        neurons: their numbers; all when left out.
        gain: current density [uA/cm^2] per unit of the channel.
        offset: constant current density [uA/cm^2] beside it.
    """

    channel: int
    target: str
    neurons: Sequence[int] | None = None
    gain: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Site:
    """Where a trainable parameter of the field lies in the circuit.

    Attributes:
        unit: of the field.
        value: in that unit, before `start_error`.
        factor: circuit value per unit of the field; 0 where they are not proportional.
        synaptic: whether it is a connection's.
    """

    unit: str
    value: float
    factor: float
    synaptic: bool = False


@dataclass
class _Parts:
    elements: list[Element] = field(default_factory=list)
    drives: list[Drive] = field(default_factory=list)
    trainable: list[Trainable] = field(default_factory=list)
    sites: dict[str, Site] = field(default_factory=dict)


def neuron_network(
    populations: Sequence[Population],
    connections: Sequence[Connection] = (),
    inputs: Sequence[Input] = (),
    outputs: Sequence[str] = (),
    *,
    start_error: tuple[float, float] | None = None,
    seed: Any = 0,
    name: str = "neurons",
) -> tuple[Network, dict[str, Site]]:
    """Build a network of neurons.

    Args:
        populations: neurons, in the order of the netlist.
        connections: synapses between them.
        inputs: injected currents; every channel needs at least one.
        outputs: populations, all neurons of which are outputs, or single neurons (`exc0`).
        start_error: every trainable parameter of a neuron starts at `1 + e` or `1 / (1 + e)` times its value,
            with `e` uniform between these two; weights do not. The values stay in what is returned.
        seed: of the parameters' spread, connections, weights and starts, which are drawn independently.
        name: of the network.

    Returns:
        The network, and where each trainable parameter comes from, by its label.

    Raises:
        NetworkError: a name is unknown or used twice, a value out of bounds.
    """
    seeds = np.random.SeedSequence(seed).spawn(4)
    streams = [np.random.default_rng(s) for s in seeds]
    parts = _Parts()
    members: dict[str, list[str]] = {}
    for population in populations:
        if population.name in members:
            raise NetworkError(f"{name}: two populations are called {population.name!r}")
        members[population.name] = _place(population, parts, streams[_CELLS])

    def found(wanted: str, what: str) -> list[str]:
        if wanted not in members:
            raise NetworkError(f"{what}: no population {wanted!r}; there are: {', '.join(members)}")
        return members[wanted]

    for number, connection in enumerate(connections):
        what = f"connection {number} ({connection.source} to {connection.target})"
        ends = found(connection.source, what), found(connection.target, what)
        _connect(number, connection, ends, parts, streams[_CONNECTED], streams[_WEIGHTS])
    for number, entry in enumerate(inputs):
        neurons = found(entry.target, f"input {number}")
        chosen = range(len(neurons)) if entry.neurons is None else entry.neurons
        for k in chosen:
            if not 0 <= k < len(neurons):
                raise NetworkError(
                    f"input {number}: {entry.target} has the neurons 0 to {len(neurons) - 1}, not {k}"
                )
            label, density = f"in{number}_{neurons[k]}", SCALE.factor("uA/cm^2")
            parts.elements.append(current_source(label, GROUND, neurons[k], driven=True))
            parts.drives.append(Drive(label, entry.channel, entry.gain * density, entry.offset * density))
    everyone = {n for names in members.values() for n in names}
    nodes: list[str] = []
    for wanted in outputs:
        nodes += [wanted] if wanted in everyone else found(wanted, f"output {wanted}")
    network = Network(
        name,
        tuple(parts.elements),
        tuple(parts.drives),
        tuple(Output(n) for n in nodes),
        tuple(parts.trainable),
    )
    return _wrong(network, parts.sites, start_error, streams[_STARTS]), parts.sites


def _place(population: Population, parts: _Parts, rng: np.random.Generator) -> list[str]:
    """Add the neurons of a population; their names, which are also those of their nodes."""
    if population.kind not in CELLS:
        raise NetworkError(
            f"population {population.name}: there is no neuron {population.kind!r}; "
            f"choose from: {', '.join(CELLS)}"
        )
    kind = CELLS[population.kind]
    values = kind.values(population.values)
    names = []
    for k in range(population.size):
        neuron = f"{population.name}{k}"
        own = dict(population.values)
        for key, deviation in sorted(population.spread.items()):
            kind.parameter(key)
            if key not in values:
                raise NetworkError(
                    f"population {population.name}: {key} follows from others and has no spread"
                )
            own[key] = values[key] * (1.0 + deviation * float(np.clip(rng.normal(), -3.0, 3.0)))
        elements = {e.name: e for e in cell(population.kind, neuron, neuron, GROUND, scale=SCALE, **own)}
        parts.elements += elements.values()
        for key, bounds in population.train.items():
            element, parameter = kind.trainable(neuron, key)
            ends = sorted(
                next(
                    e
                    for e in cell(population.kind, neuron, neuron, GROUND, scale=SCALE, **{**own, key: end})
                    if e.name == element
                ).value(parameter)
                for end in (bounds.lower, bounds.upper)
            )
            value = own.get(key, values.get(key))
            if value is None:
                raise NetworkError(f"population {population.name}: {key} needs a value to be trained")
            entry = Trainable(element, parameter, ends[0], ends[1], f"{population.name} {key}")
            parts.trainable.append(entry)
            here = elements[element].value(parameter)
            share = 1.001 if abs(value) < 0.5 * max(-bounds.lower, bounds.upper) else 0.999
            doubled = cell(
                population.kind, neuron, neuron, GROUND, scale=SCALE, **{**own, key: share * value}
            )
            moved = next(e for e in doubled if e.name == element).value(parameter)
            linear = value != 0.0 and np.isclose(moved, share * here, rtol=1e-9)
            parts.sites[entry.label] = Site(kind.parameter(key).unit, value, here / value if linear else 0.0)
        names.append(neuron)
    return names


def _connect(
    number: int,
    connection: Connection,
    ends: tuple[list[str], list[str]],
    parts: _Parts,
    connected: np.random.Generator,
    weights: np.random.Generator,
) -> None:
    group = f"{connection.source} to {connection.target}"
    if connection.kind == "gap" and connection.options:
        raise NetworkError(f"connection {group}: a gap junction has no {sorted(connection.options)[0]}")
    for key in connection.train:
        if key not in KINETICS or connection.kind == "gap":
            known = "none" if connection.kind == "gap" else ", ".join(KINETICS)
            raise NetworkError(
                f"connection {group}: cannot train {key!r} besides the weight; it has: {known}"
            )
    density = SCALE.factor("mS/cm^2")
    once = connection.kind == "gap" and connection.source == connection.target
    for i, pre in enumerate(ends[0]):
        for j, post in enumerate(ends[1]):
            chance, share = connected.random(), weights.uniform(-1.0, 1.0)
            if pre == post or chance >= connection.probability or (once and j < i):
                continue
            weight = connection.weight * (1.0 + connection.spread * share)
            if connection.kind == "gap":
                weight = max(weight, _LEAST)
            label = f"s{number}_{pre}_{post}"
            if connection.kind == "gap":
                element = gap_junction(label, pre, post, weight)
            else:
                options: dict[str, Any] = dict(connection.options)
                element = chemical_synapse(label, pre, post, weight=weight, **options)
            parts.elements.append(element)
            if connection.bounds is not None:
                low, high = connection.bounds.lower * density, connection.bounds.upper * density
                if connection.kind == "gap":
                    low = max(low, _LEAST * density)
                entry = Trainable(label, "conductance", low, high, group)
                parts.trainable.append(entry)
                parts.sites[entry.label] = Site("mS/cm^2", weight, density, synaptic=True)
            for key, bounds in connection.train.items():
                parameter, unit = KINETICS[key]
                factor = SCALE.factor(unit)
                low, high = bounds.lower * factor, bounds.upper * factor
                entry = Trainable(label, parameter, low, high, f"{group} {key}")
                parts.trainable.append(entry)
                value = element.value(parameter) / factor
                parts.sites[entry.label] = Site(unit, value, factor, synaptic=True)


def _wrong(
    network: Network, sites: Mapping[str, Site], error: tuple[float, float] | None, rng: np.random.Generator
) -> Network:
    """The network with trainable parameters of neurons off by a share, within their bounds."""
    if error is None:
        return network
    values = network.parameters
    for k, entry in enumerate(network.trainable):
        if sites[entry.label].synaptic:
            continue
        factor = 1.0 + rng.uniform(*error)
        values[k] = np.clip(
            values[k] * (factor if rng.random() < 0.5 else 1.0 / factor), entry.lower, entry.upper
        )
    return replace(network, elements=network.with_parameters(values).elements)
