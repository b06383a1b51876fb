"""A recurrent network with memory: a random graph of conductances, reactances and nonlinear parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bridge.errors import NetworkError
from circuits.devices.base import Element, ModelCard
from circuits.devices.behavioural import POLYNOMIAL_CAPACITOR
from circuits.devices.diode import STANDARD_CARD, Nonlinearity, rectifier
from circuits.devices.fractional import CUBIC_FRACTIONAL_MEMRISTOR
from circuits.devices.passive import capacitor, inductor, resistor
from circuits.devices.sources import voltage_source
from circuits.network import GROUND, Drive, Network, Output, Trainable
from circuits.topologies.graph import random_edges
from circuits.topologies.layered import Conductances

_SPAN = 30.0  # a trainable capacitance or inductance may change by this factor either way


@dataclass(frozen=True)
class Reactances:
    """Capacitors, inductors and nonlinear parts of a recurrent network.

    Attributes:
        capacitance: of every free node to ground, geometric mean [F].
        spread: capacitances are log-uniform between `capacitance / spread` and `capacitance * spread`.
        cubic: relative growth of a capacitance with the square of the voltage [1/V^2]; 0 for linear ones.
        inductors: number of inductors between random pairs of free nodes.
        inductance: geometric mean [H], with the same spread.
        diodes: share of the free nodes with a pair of antiparallel diodes to ground.
        rectifiers: share of the free nodes with a single diode to ground, so that they rectify.
        fractional: number of fractional memristors between random pairs of free nodes.
        fractional_conductance: their conductance for small signals [S].
        band: lower and upper edge of the band of their ladders [rad/s].
    """

    capacitance: float = 1e-12
    spread: float = 3.0
    cubic: float = 0.0
    inductors: int = 0
    inductance: float = 1e-6
    diodes: float = 0.0
    rectifiers: float = 0.0
    fractional: int = 0
    fractional_conductance: float = 1e-4
    band: tuple[float, float] = (1e6, 1e10)


@dataclass
class _Parts:
    elements: list[Element] = field(default_factory=list)
    drives: list[Drive] = field(default_factory=list)
    trainable: list[Trainable] = field(default_factory=list)


def rlc(
    nodes: int,
    n_features: int,
    n_outputs: int,
    *,
    degree: float = 4.0,
    fan: int = 4,
    seed: int | Sequence[int] | np.random.Generator = 0,
    doubled_inputs: bool = True,
    bias: float = 0.0,
    differential_outputs: bool = True,
    input_gain: float = 1.0,
    reactances: Reactances | None = None,
    train: Sequence[str] = ("conductance",),
    diode_card: ModelCard | Nonlinearity = STANDARD_CARD,
    conductances: Conductances | None = None,
    name: str = "rlc",
) -> Network:
    """Build a recurrent network with memory.

    Args:
        nodes: free nodes `n0`, `n1`, ...; each has a capacitor and a conductance to ground.
        n_features: channels of the input waveforms.
        n_outputs: outputs; they take the last nodes, two each when differential.
        degree: mean number of recurrent conductances a node.
        fan: conductances from every source to random free nodes.
        seed: of the graph and all initial values.
        doubled_inputs: each channel drives two sources, `+x` and `-x`.
        bias: a pair of sources at `+-bias` [V]; 0 for none.
        differential_outputs: each output is the difference of two nodes.
        input_gain: source volts per volt of a channel.
        reactances: capacitors, inductors and nonlinear parts.
        train: what is trainable: `conductance`, `capacitance`, `inductance`.
        diode_card: model card of the diodes, or what stands in their place.
        conductances: initial values and bounds of the conductances.
        name: of the network.

    Raises:
        NetworkError: too few nodes for the outputs.
    """
    rng = np.random.default_rng(seed)
    parts, bounds, react = _Parts(), conductances or Conductances(), reactances or Reactances()
    width = 2 if differential_outputs else 1
    if nodes < max(2, width * n_outputs):
        raise NetworkError(f"{name}: {nodes} nodes are too few for {n_outputs} outputs of {width} nodes each")
    free = [f"n{k}" for k in range(nodes)]

    def conductance(label: str, a: str, b: str, group: str) -> None:
        parts.elements.append(resistor(label, a, b, conductance=bounds.draw(1, rng)[0]))
        if "conductance" in train:
            parts.trainable.append(Trainable(label, "conductance", bounds.lower, bounds.upper, group))

    def spread(value: float) -> float:
        return float(value * react.spread ** rng.uniform(-1, 1))

    def reactive(element: Element, parameter: str) -> None:
        parts.elements.append(element)
        if parameter in train or (parameter == "c0" and "capacitance" in train):
            value = element.value(parameter)
            group = "capacitance" if parameter == "c0" else parameter
            parts.trainable.append(Trainable(element.name, parameter, value / _SPAN, value * _SPAN, group))

    sources = []
    for k in range(n_features):
        for sign, tag in ((1.0, "x"), (-1.0, "xn")) if doubled_inputs else ((1.0, "x"),):
            sources.append(f"{tag}{k}")
            parts.drives.append(Drive(f"in_{tag}{k}", k, sign * input_gain))
    for tag, value in (("bp", bias), ("bn", -bias)) if bias else ():
        sources.append(tag)
        parts.drives.append(Drive(f"in_{tag}", None, 0.0, value))
    parts.elements += [voltage_source(f"in_{s}", s, GROUND, driven=True) for s in sources]
    for source in sources:
        for k in sorted(rng.choice(nodes, min(fan, nodes), replace=False)):
            conductance(f"w_{source}_{free[k]}", source, free[k], "input")
    for a, b in random_edges(nodes, degree, rng):
        conductance(f"g_{a}_{b}", free[a], free[b], "recurrent")
    for node in free:
        conductance(f"l_{node}", node, GROUND, "leak")
        value = spread(react.capacitance)
        if react.cubic:
            reactive(
                POLYNOMIAL_CAPACITOR.element(f"c_{node}", node, GROUND, c0=value, c3=react.cubic * value),
                "c0",
            )
        else:
            reactive(capacitor(f"c_{node}", node, GROUND, capacitance=value), "capacitance")
    for k in range(react.inductors):
        a, b = rng.choice(nodes, 2, replace=False)
        reactive(inductor(f"l_{k}", free[a], free[b], inductance=spread(react.inductance)), "inductance")
    for k in sorted(rng.choice(nodes, round(react.diodes * nodes), replace=False)):
        parts.elements += rectifier(f"up_{k}", free[k], GROUND, diode_card)
        parts.elements += rectifier(f"dn_{k}", GROUND, free[k], diode_card)
    for k in sorted(rng.choice(nodes, round(react.rectifiers * nodes), replace=False)):
        parts.elements += rectifier(f"re_{k}", free[k], GROUND, diode_card)
    low, high = react.band
    for k in range(react.fractional):
        a, b = rng.choice(nodes, 2, replace=False)
        small = react.fractional_conductance
        element = CUBIC_FRACTIONAL_MEMRISTOR.element(
            f"m_{k}", free[a], free[b], conductance=small, cubic=1.0 * low, low=low, high=high
        )
        parts.elements.append(element)
        if "conductance" in train:
            parts.trainable.append(
                Trainable(f"m_{k}", "conductance", small / _SPAN, small * _SPAN, "fractional")
            )
    ends = free[-width * n_outputs :]
    outputs = tuple(
        Output(ends[2 * k], ends[2 * k + 1]) if width == 2 else Output(ends[k]) for k in range(n_outputs)
    )
    return Network(name, tuple(parts.elements), tuple(parts.drives), outputs, tuple(parts.trainable))
