"""Synapses: the directed chemical one with its own kinetics, and the gap junction."""

from __future__ import annotations

from circuits.devices.base import Element, Parameter, State, U
from circuits.devices.behavioural import CONTROL, symbol
from circuits.devices.neurons.channels import PER_S, Channel
from circuits.devices.neurons.kinetics import logistic
from circuits.devices.neurons.scale import SCALE, Scale
from circuits.devices.passive import resistor

SOURCE = (
    "Destexhe, Mainen and Sejnowski, Neural Comput. 6, 14 (1994); values for AMPA receptors from the same "
    "authors, in Methods in Neuronal Modeling (Koch and Segev, 1998), chapter 1"
)

_S = symbol("s")
CHEMICAL_SYNAPSE = Channel(
    "chemical_synapse",
    ("p", "n", "cp", "cn"),
    (
        Parameter("conductance", "S", lower=0.0, upper=1e3, typical=1e-3,
                  description="with all receptors open: the weight"),
        Parameter("reversal", "V", 0.0, -1.0, 1.0, typical=1e-2,
                  description="0 excites, -80 mV inhibits"),
        Parameter("opening", "1/s", 1.1e3, lower=0.0, upper=1e7, typical=1e3,
                  description="alpha times the largest concentration of transmitter"),
        Parameter("closing", "1/s", 190.0, lower=0.0, upper=1e7, typical=1e2, description="beta"),
        Parameter("half", "V", 2e-3, -1.0, 1.0, typical=1e-2,
                  description="presynaptic voltage of half of the transmitter"),
        Parameter("width", "V", 5e-3, lower=1e-5, upper=1.0, typical=1e-3,
                  description="of the release around that voltage"),
        Parameter("s0", "1", 0.0, lower=0.0, upper=1.0, description="share of open receptors at t = 0"),
    ),
    law=symbol("conductance") * _S * (U - symbol("reversal")),
    states=(
        State(
            "s",
            symbol("opening") * logistic((CONTROL - symbol("half")) / symbol("width")) * (1.0 - _S)
            - symbol("closing") * _S,
            "s0",
        ),
    ),
    reciprocal=False,
    description="chemical synapse, i = conductance s (u - reversal); its receptors s follow the voltage of "
    "the presynaptic port",
    source=SOURCE,
)  # fmt: skip


def chemical_synapse(
    name: str,
    pre: str,
    post: str,
    *,
    weight: float,
    reversal: float = 0.0,
    alpha: float = 1.1,
    beta: float = 0.19,
    half: float = 2.0,
    width: float = 5.0,
    s0: float = 0.0,
    pre_ground: str = "0",
    post_ground: str = "0",
    scale: Scale = SCALE,
) -> Element:
    """A chemical synapse: `i = weight s (v_post - reversal)` from the postsynaptic node to its ground.

    The share of open receptors obeys `ds/dt = alpha T(v_pre) (1 - s) - beta s` with the transmitter
    `T = 1 / (1 + exp(-(v_pre - half) / width))`. No current flows at the presynaptic node. The defaults are
    those of AMPA receptors; GABA-A receptors have `reversal=-80`, `alpha=5`, `beta=0.18`.

    Args:
        name: unique name of the element.
        pre: presynaptic node.
        post: postsynaptic node.
        weight: conductance with all receptors open [mS/cm^2]; trainable as `conductance` [S].
        reversal: [mV].
        alpha: rate of opening at the largest concentration of transmitter [1/ms]; trainable as `opening`.
        beta: rate of closing [1/ms]; trainable as `closing`.
        half: presynaptic voltage at which half of the transmitter is released [mV].
        width: of the release around it [mV].
        s0: share of open receptors at t = 0.
        pre_ground: reference of the presynaptic voltage.
        post_ground: where the current leaves.
        scale: area of the membrane that the weight is a density of.

    Raises:
        NetworkError: a value out of bounds.
    """
    return CHEMICAL_SYNAPSE.element(
        name,
        post,
        post_ground,
        pre,
        pre_ground,
        conductance=scale.to_circuit(weight, "mS/cm^2"),
        reversal=scale.to_circuit(reversal, "mV"),
        opening=alpha * PER_S,
        closing=beta * PER_S,
        half=scale.to_circuit(half, "mV"),
        width=scale.to_circuit(width, "mV"),
        s0=s0,
    )


def gap_junction(name: str, a: str, b: str, conductance: float, *, scale: Scale = SCALE) -> Element:
    """A gap junction between two cells, a resistor: reciprocal, without kinetics of its own.

    Args:
        name: unique name of the element.
        a: node of one cell.
        b: node of the other.
        conductance: [mS/cm^2], trainable as `conductance` [S].
        scale: area of the membrane that the conductance is a density of.
    """
    return resistor(name, a, b, conductance=scale.to_circuit(conductance, "mS/cm^2"))
