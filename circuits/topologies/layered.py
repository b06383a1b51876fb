"""The deep resistive network: layers of conductances, paired diodes, bidirectional amplifiers.

Source: Kendall, Pantone, Manickavasagam, Bengio and Scellier, arXiv:2006.01981 (2020). Conductances are
positive, so every input drives a pair of sources at `+x` and `-x`; each hidden node has two diodes that clamp
it from above and below, and an amplifier that makes up for the voltage lost in its layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from circuits.devices.base import Element, ModelCard
from circuits.devices.diode import STANDARD_CARD, Nonlinearity, rectifier
from circuits.devices.passive import resistor
from circuits.devices.sources import amplifier, voltage_source
from circuits.network import GROUND, Drive, Network, Output, Trainable
from circuits.topologies.memristive import MemristiveSynapses


@dataclass(frozen=True)
class Conductances:
    """Initial values and training bounds of conductances [S].

    Attributes:
        lower: Gmin.
        upper: Gmax.
        initial_lower: lower end of the initial values.
        initial_upper: upper end of the initial values.
        distribution: `uniform` or `log_uniform`.
    """

    lower: float = 1e-7
    upper: float = 1e-3
    initial_lower: float = 1e-5
    initial_upper: float = 1e-4
    distribution: str = "uniform"

    def draw(self, count: int, rng: np.random.Generator) -> list[float]:
        """Initial values, from a seeded generator."""
        low, high = self.initial_lower, self.initial_upper
        if self.distribution == "log_uniform":
            return [float(v) for v in np.exp(rng.uniform(np.log(low), np.log(high), count))]
        return [float(v) for v in rng.uniform(low, high, count)]

    def place(self, name: str, start: str, end: str, value: float) -> Element:
        """The element of one synapse with its initial value."""
        return resistor(name, start, end, conductance=value)

    def trainable(self, name: str, group: str) -> Trainable:
        """Its trainable parameter with its bounds."""
        return Trainable(name, "conductance", self.lower, self.upper, group)


@dataclass
class _Builder:
    conductances: Conductances | MemristiveSynapses
    rng: np.random.Generator
    elements: list[Element] = field(default_factory=list)
    drives: list[Drive] = field(default_factory=list)
    trainable: list[Trainable] = field(default_factory=list)
    positions: list[tuple[str, float, float]] = field(default_factory=list)

    def source(self, name: str, feature: int | None, scale: float, offset: float = 0.0) -> str:
        self.elements.append(voltage_source(f"in_{name}", name, GROUND, driven=True))
        self.drives.append(Drive(f"in_{name}", feature, scale, offset))
        return name

    def dense(self, layer: str, starts: Sequence[str], ends: Sequence[str]) -> None:
        values = self.conductances.draw(len(starts) * len(ends), self.rng)
        for k, value in enumerate(values):
            start, end = starts[k // len(ends)], ends[k % len(ends)]
            name = f"{layer}_{start}_{end}"
            self.elements.append(self.conductances.place(name, start, end, value))
            self.trainable.append(self.conductances.trainable(name, layer))

    def place(self, nodes: Sequence[str], x: float) -> None:
        for k, node in enumerate(nodes):
            self.positions.append((node, x, (len(nodes) - 1) / 2 - k))


def layered(
    n_features: int,
    hidden: Sequence[int],
    n_outputs: int,
    *,
    seed: int | np.random.Generator = 0,
    doubled_inputs: bool = True,
    bias: float = 1.0,
    differential_outputs: bool = False,
    input_gain: float = 1.0,
    gain: float = 1.0,
    diode_card: ModelCard | Nonlinearity = STANDARD_CARD,
    diode_offset: float = 0.0,
    conductances: Conductances | MemristiveSynapses | None = None,
    name: str = "layered",
) -> Network:
    """Build a deep resistive network.

    Args:
        n_features: features of a sample.
        hidden: nodes of each hidden layer.
        n_outputs: outputs.
        seed: seed of the initial conductances, or a generator.
        doubled_inputs: each feature drives two sources, `+x` and `-x`.
        bias: sources at `+-bias` [V] feed every layer; 0 for none.
        differential_outputs: each output is the difference of two nodes.
        input_gain: source volts per volt of feature.
        gain: forward voltage gain of the amplifiers behind the hidden nodes; with 1 there are none.
        diode_card: model card of the diodes, or what stands in their place.
        diode_offset: voltage [V] of the sources behind the diodes, so that hidden nodes are clamped at
            about `+-(offset + the diode's own voltage)`.
        conductances: initial values and bounds of resistors, or memristive synapses.
        name: of the network.

    Returns:
        The network; layers are the trainable groups `w1`, `w2`, ...
    """
    rng = np.random.default_rng(seed)
    build = _Builder(conductances or Conductances(), rng)
    inputs = []
    for k in range(n_features):
        inputs.append(build.source(f"x{k}", k, input_gain))
        if doubled_inputs:
            inputs.append(build.source(f"xn{k}", k, -input_gain))
    biases = [build.source("bp", None, 0.0, bias), build.source("bn", None, 0.0, -bias)] if bias else []
    build.place([*inputs, *biases], 0.0)
    clamps = (GROUND, GROUND)
    if hidden and diode_offset > 0:
        build.elements.append(voltage_source("clamp_p", "cp", GROUND, dc=diode_offset))
        build.elements.append(voltage_source("clamp_n", "cn", GROUND, dc=-diode_offset))
        clamps = ("cp", "cn")
    before = inputs
    for layer, size in enumerate(hidden, start=1):
        nodes = [f"h{layer}_{k}" for k in range(size)]
        build.dense(f"w{layer}", [*before, *biases], nodes)
        before = nodes
        for node in nodes:
            build.elements += rectifier(f"up_{node}", node, clamps[0], diode_card)
            build.elements += rectifier(f"dn_{node}", clamps[1], node, diode_card)
        build.place(nodes, float(layer))
        if gain != 1.0:
            before = [f"a{layer}_{k}" for k in range(size)]
            for node, behind in zip(nodes, before, strict=True):
                build.elements.append(amplifier(f"amp_{node}", node, behind, gain=gain))
            build.positions.extend(
                (b, layer + 0.35, y) for b, (_, _, y) in zip(before, build.positions[-size:], strict=True)
            )
    if differential_outputs:
        ends = [f"o{k}{sign}" for k in range(n_outputs) for sign in ("p", "n")]
        outputs = tuple(Output(f"o{k}p", f"o{k}n") for k in range(n_outputs))
    else:
        ends = [f"o{k}" for k in range(n_outputs)]
        outputs = tuple(Output(e) for e in ends)
    build.dense(f"w{len(hidden) + 1}", [*before, *biases], ends)
    build.place(ends, len(hidden) + 1.0)
    return Network(
        name,
        tuple(build.elements),
        tuple(build.drives),
        outputs,
        tuple(build.trainable),
        tuple(build.positions),
    )
