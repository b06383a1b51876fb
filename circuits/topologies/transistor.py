"""Transistor-level learning circuits: synapses, neurons, mirrors, and a layered network of them.

A synapse is the channel of an n-channel transistor between two nodes; its gate voltage is the weight. It is
held by a source (static form, trainable `dc`) or on a capacitor (dynamic form, trainable `initial_voltage`).
A neuron is a differential pair of p-channel transistors: its two output voltages are about a tanh of its
input voltage, of opposite signs. Bulks are at ground (n channel) and at the supply (p channel).

Channels are positive conductances, so every signal comes as a pair around the common-mode voltage, and every
synapse twice, one from each of the two. Sources: Vittoz and Fellrath, IEEE J. Solid-State Circuits 12, 224
(1977) for the pair in weak inversion; Mead, Analog VLSI and Neural Systems (1989) for the transconductance
amplifier and the mirror.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bridge.errors import NetworkError
from circuits.devices.base import Element
from circuits.devices.mosfet import mosfet
from circuits.devices.passive import capacitor, resistor
from circuits.devices.sources import current_source, voltage_source
from circuits.network import GROUND, Drive, Network, Output, Trainable
from circuits.topologies.technology import Technology, freepdk45, level1

__all__ = [
    "HOLDS", "SUPPLY", "Technology", "directed_synapse", "freepdk45", "level1", "mirror", "mirror_nudge",
    "neuron", "pair", "synapse", "transistor_network",
]  # fmt: skip

SUPPLY = "vdd"
HOLDS = ("source", "capacitor")
SYNAPSES = ("channel", "transconductance")
_SPREAD = 0.1  # of the initial gate voltages of directed synapses, as a share of the supply


def synapse(
    name: str,
    a: str,
    b: str,
    technology: Technology,
    gate_voltage: float,
    *,
    hold: str = "source",
    hold_capacitance: float = 1e-13,
    group: str = "",
) -> tuple[list[Element], Trainable]:
    """A conductance between `a` and `b`: a transistor's channel, its gate voltage held.

    Args:
        name: of the transistor; its gate is the node `<name>_g`.
        a: a node.
        b: a node.
        technology: widths and bounds.
        gate_voltage: [V].
        hold: `source`, or `capacitor` to ground, which starts a transient at the gate voltage.
        hold_capacitance: [F].
        group: of the trainable parameter.

    Returns:
        The elements, and the gate voltage as a trainable parameter.
    """
    if hold not in HOLDS:
        raise NetworkError(f"{name}: hold {hold!r} is not one of: {', '.join(HOLDS)}")
    t, node = technology, f"{name}_g"
    channel = mosfet(
        name, a, node, b, GROUND, model=t.card("nmos", t.synapse_width), w=t.synapse_width, l=t.length
    )
    if hold == "source":
        held = voltage_source(f"{name}_v", node, dc=gate_voltage)
        return [channel, held], Trainable(held.name, "dc", *t.gate, group)
    held = capacitor(f"{name}_c", node, GROUND, capacitance=hold_capacitance, initial_voltage=gate_voltage)
    return [channel, held], Trainable(held.name, "initial_voltage", *t.gate, group)


def pair(
    name: str, inputs: tuple[str, str], outputs: tuple[str, str], tail_gate: str, technology: Technology
) -> list[Element]:
    """A differential pair of p-channel transistors without loads: a transconductance in one direction.

    The tail's current, set by the node `tail_gate`, is steered into `outputs[0]` as `inputs[0]` rises above
    `inputs[1]`; in weak inversion by `tanh(kappa (v0 - v1) / (2 kT/q))`. The current flows into the nodes.
    """
    t, top = technology, f"{name}_s"
    ends = (
        ("t", top, tail_gate, SUPPLY, t.tail_width),
        ("a", outputs[1], inputs[0], top, t.pair_width),
        ("b", outputs[0], inputs[1], top, t.pair_width),
    )
    return [
        mosfet(f"{name}_{part}", d, g, s, SUPPLY, model=t.card("pmos", w), w=w, l=t.length)
        for part, d, g, s, w in ends
    ]


def neuron(
    name: str, inputs: tuple[str, str], outputs: tuple[str, str], tail_gate: str, technology: Technology
) -> list[Element]:
    """A differential pair with loads to ground: two voltages, about a tanh of the input's, of two signs."""
    loads = [
        resistor(f"{name}_r{k}", node, GROUND, conductance=technology.load) for k, node in enumerate(outputs)
    ]
    return [*pair(name, inputs, outputs, tail_gate, technology), *loads]


def directed_synapse(
    name: str,
    inputs: tuple[str, str],
    outputs: tuple[str, str],
    technology: Technology,
    tail_gate_voltage: float,
    group: str = "",
) -> tuple[list[Element], Trainable]:
    """A transconductance from `inputs` to `outputs` whose tail's gate voltage is the weight.

    For weights of both signs place two, the second with its outputs exchanged.
    """
    node = f"{name}_g"
    held = voltage_source(f"{name}_v", node, dc=tail_gate_voltage)
    elements = [*pair(name, inputs, outputs, node, technology), held]
    return elements, Trainable(held.name, "dc", 0.0, technology.supply, group)


def mirror(
    name: str,
    reference: str,
    out: str,
    technology: Technology,
    *,
    ratio: float = 1.0,
    sink: bool = True,
    rails: tuple[str, str] = (GROUND, SUPPLY),
) -> list[Element]:
    """A current mirror: what flows into the node `reference` is drawn from `out`, times `ratio`.

    Args:
        name: unique.
        reference: node of the diode-connected transistor.
        out: node of the copy.
        technology: cards and sizes.
        ratio: of the widths.
        sink: n channel, draws from `out`; otherwise p channel, what is drawn from `reference` flows into
            `out`.
        rails: nodes of the lower and the upper supply.
    """
    t = technology
    kind, rail, w = ("nmos", rails[0], t.tail_width) if sink else ("pmos", rails[1], t.pair_width)
    ends = (("d", reference, w), ("o", out, ratio * w))
    return [
        mosfet(f"{name}_{part}", drain, reference, rail, rail, model=t.card(kind, size), w=size, l=t.length)
        for part, drain, size in ends
    ]


def mirror_nudge(
    name: str,
    node: str,
    technology: Technology,
    *,
    ratio: float = 1.0,
    rails: tuple[str, str] = (GROUND, SUPPLY),
) -> list[Element]:
    """A nudge of either sign by two mirrors: the driven current `<name>` [A] is injected into `node`.

    Positive currents are drawn from the p-channel mirror's reference, negative ones flow into the
    n-channel's; two driven sources `<name>_up` and `<name>_down`, both with currents of at least zero, play
    the two halves. The ideal nudge is `ratio * (up - down)`; a copy in saturation differs from it by
    `(1 + lambda v_out) / (1 + lambda v_ref)`, with the drain-source voltages of the two transistors.
    """
    lower, upper = rails
    return [
        current_source(f"{name}_up", f"{name}_p", lower, driven=True),
        current_source(f"{name}_down", upper, f"{name}_n", driven=True),
        *mirror(f"{name}_mp", f"{name}_p", node, technology, ratio=ratio, sink=False, rails=rails),
        *mirror(f"{name}_mn", f"{name}_n", node, technology, ratio=ratio, sink=True, rails=rails),
    ]


@dataclass
class _Builder:
    technology: Technology
    rng: np.random.Generator
    hold: str
    hold_capacitance: float
    elements: list[Element] = field(default_factory=list)
    drives: list[Drive] = field(default_factory=list)
    trainable: list[Trainable] = field(default_factory=list)

    def source(self, node: str, feature: int, scale: float) -> str:
        self.elements.append(voltage_source(f"in_{node}", node, GROUND, driven=True))
        self.drives.append(Drive(f"in_{node}", feature, scale, self.technology.common))
        return node

    def rail(self, node: str, value: float) -> str:
        self.elements.append(voltage_source(f"rail_{node}", node, GROUND, dc=value))
        return node

    def dense(self, layer: str, starts: Sequence[str], ends: Sequence[str]) -> None:
        low, high = self.technology.gate_start
        for start in starts:
            for end in ends:
                value = float(self.rng.uniform(low, high))
                more, weight = synapse(
                    f"{layer}_{start}_{end}", start, end, self.technology, value, hold=self.hold,
                    hold_capacitance=self.hold_capacitance, group=layer,
                )  # fmt: skip
                self.elements += more
                self.trainable.append(weight)

    def finished(self, name: str, n_outputs: int, node_capacitance: float) -> Network:
        """The network, with capacitances at the nodes that no source or held gate is on."""
        made = Network(
            name,
            tuple(self.elements),
            tuple(self.drives),
            tuple(Output(f"o{k}p", f"o{k}n") for k in range(n_outputs)),
            tuple(self.trainable),
        )
        if not node_capacitance:
            return made
        gates = {f"{e.name}_g" for e in made.elements if e.device.kind == "mosfet"}
        held = made.source_nodes | gates
        return made.with_parasitics(node_capacitance, [n for n in made.nodes if n not in held])

    def directed(
        self, layer: str, starts: Sequence[tuple[str, str]], ends: Sequence[tuple[str, str]]
    ) -> None:
        """Synapses of both signs between pairs of nodes, and the loads of the latter."""
        t = self.technology
        for p, n in ends:
            for start in starts:
                for sign, outputs in (("p", (p, n)), ("n", (n, p))):
                    value = t.tail_gate + _SPREAD * t.supply * float(self.rng.uniform(-1.0, 1.0))
                    more, weight = directed_synapse(
                        f"{layer}_{start[0]}_{p}_{sign}", start, outputs, t, value, layer
                    )
                    self.elements += more
                    self.trainable.append(weight)
            for node in (p, n):  # each pair's tail current flows into one of the two nodes or is shared
                load = len(starts) * 2 * t.load
                self.elements.append(resistor(f"load_{node}", node, GROUND, conductance=load))


def transistor_network(
    n_features: int,
    hidden: Sequence[int],
    n_outputs: int,
    *,
    technology: Technology | None = None,
    seed: int | np.random.Generator = 0,
    input_gain: float = 1.0,
    hold: str = "source",
    hold_capacitance: float = 1e-13,
    node_capacitance: float = 0.0,
    train_tails: bool = False,
    synapses: str = "channel",
    name: str = "transistor",
) -> Network:
    """Layers of gate-controlled channels and differential pairs, or of directed synapses alone.

    Each feature drives a pair of sources at `common +- swing * input_gain * x`. Every layer also has synapses
    from two rails at `common +- swing`, its biases. An output is the voltage between two nodes [V].

    Args:
        n_features: features of a sample.
        hidden: neurons of each hidden layer.
        n_outputs: outputs.
        technology: transistors and voltages; `level1()` by default, `freepdk45()` for those of a process.
        seed: of the initial gate voltages, or a generator.
        input_gain: share of the swing that a feature of 1 drives.
        hold: what holds the gate voltages, `source` or `capacitor`.
        hold_capacitance: of the latter [F].
        node_capacitance: from every node that is not held by a source to ground [F]; needed in transients.
        train_tails: train the gate voltage of every neuron's tail too.
        synapses: `channel`, or `transconductance`: differential pairs of both signs, whose tails' gate
            voltages are the weights, from a pair of nodes to the next; neurons are their loads.
        name: of the network.

    Returns:
        The network; layers are the trainable groups `w1`, `w2`, ..., tails the group `tails`.
    """
    if synapses not in SYNAPSES:
        raise NetworkError(f"{name}: synapses {synapses!r} are not one of: {', '.join(SYNAPSES)}")
    if synapses == "transconductance" and (hold != "source" or train_tails):
        raise NetworkError(f"{name}: directed synapses have sources at their gates and no tails besides")
    t = technology or level1()
    build = _Builder(t, np.random.default_rng(seed), hold, hold_capacitance)
    build.elements.append(voltage_source("supply", SUPPLY, GROUND, dc=t.supply))
    reference = build.rail("ref", t.common)
    rails = [build.rail("bp", t.common + t.swing), build.rail("bn", t.common - t.swing)]
    before = []
    for k in range(n_features):
        before.append(build.source(f"x{k}", k, t.swing * input_gain))
        before.append(build.source(f"xn{k}", k, -t.swing * input_gain))
    if synapses == "transconductance":
        _directed_layers(build, before, rails, hidden, n_outputs)
        return build.finished(name, n_outputs, node_capacitance)
    tail = "" if train_tails else build.rail("tail", t.tail_gate)
    for layer, size in enumerate(hidden, start=1):
        nodes = [f"h{layer}_{k}" for k in range(size)]
        build.dense(f"w{layer}", [*before, *rails], nodes)
        before = []
        for node in nodes:
            own = tail or build.rail(f"tail_{node}", t.tail_gate)
            if not tail:
                build.trainable.append(Trainable(f"rail_{own}", "dc", 0.0, t.supply, "tails"))
            both = (f"{node}p", f"{node}n")
            build.elements += neuron(f"n_{node}", (node, reference), both, own, t)
            before += both
    ends = [f"o{k}{sign}" for k in range(n_outputs) for sign in ("p", "n")]
    build.dense(f"w{len(hidden) + 1}", [*before, *rails], ends)
    return build.finished(name, n_outputs, node_capacitance)


def _directed_layers(
    build: _Builder, inputs: Sequence[str], rails: Sequence[str], hidden: Sequence[int], n_outputs: int
) -> None:
    before = list(zip(inputs[::2], inputs[1::2], strict=True))
    layers = [[(f"h{k}_{j}p", f"h{k}_{j}n") for j in range(size)] for k, size in enumerate(hidden, start=1)]
    layers.append([(f"o{k}p", f"o{k}n") for k in range(n_outputs)])
    for number, ends in enumerate(layers, start=1):
        build.directed(f"w{number}", [*before, (rails[0], rails[1])], ends)
        before = ends
