"""Directed networks: saturating transconductances that drive RC nodes, layered or recurrent.

A node `i` has a capacitor and a leak to ground. Its activation is an ideal buffer, `a = scale tanh(v /
scale)`; a transconductance `w` of every connection injects `w a` of the activation it comes from. The network
obeys

    C dv_i/dt = -g v_i + sum_j w_ij a(v_j) + sum_k w_ik x_k(t),

a continuous-time recurrent network (Hopfield, Proc. Natl. Acad. Sci. USA 81, 3088 (1984), whose connections
need not be symmetric here). Weights have either sign. Nothing flows back through a connection, so that the
network has no energy: equilibrium propagation and echoes do not cover it, the adjoint network does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp

from bridge.errors import NetworkError
from circuits.devices.base import Element, Parameter, U
from circuits.devices.behavioural import symbol
from circuits.devices.fractional import Transfer
from circuits.devices.passive import capacitor, resistor
from circuits.devices.sources import vccs, voltage_source
from circuits.network import GROUND, Drive, Network, Output, Trainable

_SPAN = 1e3  # bounds of leaks and capacitances: a factor around their value

TANH_TRANSFER = Transfer(
    "tanh_transfer",
    ("p", "n", "cp", "cn"),
    (
        Parameter("scale", "V", 0.5, lower=1e-6, description="largest output voltage"),
        Parameter("gain", "1", 1.0, lower=1e-9, description="slope at 0 V"),
    ),
    law=symbol("scale") * sp.tanh(symbol("gain") * U / symbol("scale")),
    reciprocal=False,
    description="saturating buffer, v(p, n) = scale tanh(gain v(cp, cn) / scale)",
    source="transfer of a differential pair in weak inversion",
)


@dataclass(frozen=True)
class DirectedNodes:
    """What the nodes of a directed network are made of.

    Attributes:
        capacitance: geometric mean of the nodes' capacitances [F].
        leak: conductance of every node to ground [S].
        spread: capacitances are log-uniform between `capacitance / spread` and `capacitance * spread`.
        scale: largest voltage of an activation [V].
        gain: slope of an activation at 0 V.
    """

    capacitance: float = 10e-12
    leak: float = 10e-6
    spread: float = 1.0
    scale: float = 0.5
    gain: float = 1.0


@dataclass(frozen=True)
class Weights:
    """Transconductances: bounds and initial values.

    Attributes:
        limit: largest absolute value while training [S].
        initial: standard deviation of the sum of the weights that enter a node, divided by the leak: the
            initial loop gain of a recurrent layer; every weight is normal with `initial leak / sqrt(fan in)`.
        self_initial: added to the initial weight of a recurrent node onto itself, in units of the leak.
    """

    limit: float = 100e-6
    initial: float = 1.0
    self_initial: float = 0.0


@dataclass
class _Parts:
    elements: list[Element] = field(default_factory=list)
    drives: list[Drive] = field(default_factory=list)
    trainable: list[Trainable] = field(default_factory=list)


def directed(
    n_features: int,
    layers: Sequence[int],
    n_outputs: int,
    *,
    recurrent: bool = True,
    bias: float = 0.0,
    input_gain: float = 1.0,
    nodes: DirectedNodes | None = None,
    weights: Weights | None = None,
    train: Sequence[str] = ("weight",),
    seed: Any = 0,
    name: str = "directed",
) -> Network:
    """Build a directed network.

    Args:
        n_features: channels of the input waveforms; each is a voltage source that drives the first layer.
        layers: nodes of each hidden layer; a layer drives the next one, the last one the outputs.
        n_outputs: output nodes, with a capacitor and a leak and no activation.
        recurrent: whether every node of a hidden layer drives every node of its layer, itself too.
        bias: a constant source [V] that drives every layer; 0 for none.
        input_gain: source volts per volt of a channel.
        nodes: capacitors, leaks and activations.
        weights: bounds and initial values of the transconductances.
        train: what is trainable: `weight`, `leak`, `capacitance`.
        seed: of the initial weights and the capacitances.
        name: of the network.

    Raises:
        NetworkError: a layer without nodes, a weight beyond its limit, or an unknown kind of parameter.
    """
    made, drawn = nodes or DirectedNodes(), weights or Weights()
    if not n_features or not n_outputs or any(size < 1 for size in layers):
        raise NetworkError(f"{name}: every layer needs a node, got {n_features}, {list(layers)}, {n_outputs}")
    if unknown := set(train) - {"weight", "leak", "capacitance"}:
        raise NetworkError(f"{name}: cannot train {sorted(unknown)[0]!r}; choose weight, leak or capacitance")
    if made.spread < 1:
        raise NetworkError(f"{name}: spread {made.spread:g} is below 1")
    rng, parts = np.random.default_rng(seed), _Parts()

    def source(node: str, drive: Drive) -> str:
        parts.elements.append(voltage_source(drive.source, node, GROUND, driven=True))
        parts.drives.append(drive)
        return node

    def learn(kind: str, element: Element, parameter: str, lower: float, upper: float, group: str) -> None:
        parts.elements.append(element)
        if kind in train:
            parts.trainable.append(Trainable(element.name, parameter, lower, upper, group))

    def node(label: str, activated: bool, group: str) -> str:
        value = made.capacitance * made.spread ** rng.uniform(-1, 1)
        held = capacitor(f"c_{label}", label, GROUND, capacitance=value)
        learn("capacitance", held, "capacitance", value / _SPAN, value * _SPAN, f"{group} capacitance")
        leak = resistor(f"l_{label}", label, GROUND, conductance=made.leak)
        learn("leak", leak, "conductance", made.leak / _SPAN, made.leak * _SPAN, f"{group} leak")
        if not activated:
            return label
        parts.elements.append(
            TANH_TRANSFER.element(
                f"f_{label}", f"a_{label}", GROUND, label, GROUND, scale=made.scale, gain=made.gain
            )
        )
        return f"a_{label}"

    def connect(sources: Sequence[str], targets: Sequence[str], group: str) -> None:
        deviation = drawn.initial * made.leak / np.sqrt(len(sources))
        for i, target in enumerate(targets):
            for j, pre in enumerate(sources):
                gain = deviation * rng.normal()
                if group.endswith("recurrent") and i == j:
                    gain += drawn.self_initial * made.leak
                gain = float(np.clip(gain, -drawn.limit, drawn.limit))
                weight = vccs(f"w_{pre}_{target}", GROUND, target, pre, GROUND, gain=gain)
                learn("weight", weight, "gain", -drawn.limit, drawn.limit, group)

    before = [source(f"x{k}", Drive(f"in_x{k}", k, input_gain)) for k in range(n_features)]
    constant = [source("one", Drive("in_one", None, 0.0, bias))] if bias else []
    group = "input"
    for depth, size in enumerate(layers):
        label = f"layer {depth}"
        names = [f"n{depth}_{k}" for k in range(size)]
        outs = [node(n, True, label) for n in names]
        connect(before, names, group)
        if constant:
            connect(constant, names, f"{label} bias")
        if recurrent:
            connect(outs, names, f"{label} recurrent")
        before, group = outs, f"{label} to next"
    names = [node(f"y{k}", False, "output") for k in range(n_outputs)]
    connect(before, names, "output")
    if constant:
        connect(constant, names, "output bias")
    outputs = tuple(Output(n) for n in names)
    return Network(name, tuple(parts.elements), tuple(parts.drives), outputs, tuple(parts.trainable))
