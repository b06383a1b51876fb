"""Independent sources, linear controlled sources, the bidirectional amplifier and the switch."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.errors import NetworkError
from circuits.devices.base import STANDALONE, Device, Element, ModelCard, Parameter, SpiceContext, SpiceLine
from circuits.numbers import spice_number


@dataclass(frozen=True)
class _Independent(Device):
    letter: str = "V"

    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        body = "external" if element.driven else f"dc {spice_number(element.value('dc'))}"
        return [SpiceLine(self.letter, element.name, element.nodes, body, external=element.driven)]

    def alter_target(self, element: Element, parameter: str, context: SpiceContext = STANDALONE) -> str:
        self.index(parameter)
        if element.driven:
            raise NetworkError(f"{element.name}: a driven source takes its value from the drives")
        return f"@{self.letter}{element.name}[dc]".lower()


@dataclass(frozen=True)
class _Controlled(Device):
    """A linear controlled source; those controlled by a current sense it through a 0 V source."""

    letter: str = "E"

    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        out, control = element.nodes[:2], element.nodes[2:]
        gain = spice_number(element.value("gain"))
        if self.letter in "EG":
            return [SpiceLine(self.letter, element.name, (*out, *control), gain)]
        sense = f"sense_{element.name}"
        return [
            SpiceLine("V", sense, control, "dc 0"),
            SpiceLine(self.letter, element.name, out, f"V{sense} {gain}"),
        ]

    def alter_target(self, element: Element, parameter: str, context: SpiceContext = STANDALONE) -> str:
        self.index(parameter)
        return f"@{self.letter}{element.name}[gain]".lower()


@dataclass(frozen=True)
class _Amplifier(Device):
    def expand(self, element: Element) -> tuple[Element, ...]:
        p, pref, q, qref = element.nodes
        name, inner = element.name, f"{element.name}_amp"
        return (
            VCVS.element(f"{name}_fwd", inner, qref, p, pref, gain=element.value("gain")),
            CCCS.element(f"{name}_bwd", p, pref, inner, q, gain=element.value("backward_gain")),
        )

    def expand_parameter(self, element: Element, parameter: str) -> tuple[str, str]:
        return f"{element.name}_{('fwd', 'bwd')[self.index(parameter)]}", "gain"

    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        return [line for part in self.expand(element) for line in part.spice(context)]


@dataclass(frozen=True)
class _Gyrator(Device):
    def expand(self, element: Element) -> tuple[Element, ...]:
        p, n, q, m = element.nodes
        name = element.name
        return (
            VCCS.element(f"{name}_fwd", p, n, q, m, gain=element.value("forward")),
            VCCS.element(f"{name}_bwd", q, m, p, n, gain=-element.value("backward")),
        )

    def expand_parameter(self, element: Element, parameter: str) -> tuple[str, str]:
        if parameter != "forward":
            raise NetworkError(
                f"{element.name}: the backward conductance enters with the other sign; train a vccs instead"
            )
        return f"{element.name}_fwd", "gain"

    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        return [line for part in self.expand(element) for line in part.spice(context)]


@dataclass(frozen=True)
class _Switch(Device):
    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        if element.model is None:
            raise NetworkError(f"{element.name}: a switch needs a model card")
        return [SpiceLine("S", element.name, element.nodes, element.model.name)]


VOLTAGE_SOURCE = _Independent(
    "voltage_source", ("p", "n"), (Parameter("dc", "V", 0.0, description="constant voltage"),), letter="V"
)
CURRENT_SOURCE = _Independent(
    "current_source",
    ("p", "n"),
    (Parameter("dc", "A", 0.0, description="constant current from p through the source to n"),),
    letter="I",
)
VCVS, VCCS, CCVS, CCCS = (
    _Controlled(kind, ("p", "n", "cp", "cn"), (Parameter("gain", unit),), reciprocal=False, letter=letter)
    for kind, unit, letter in (
        ("vcvs", "1", "E"),
        ("vccs", "S", "G"),
        ("ccvs", "Ohm", "H"),
        ("cccs", "1", "F"),
    )
)
AMPLIFIER = _Amplifier(
    "amplifier",
    ("p", "pref", "q", "qref"),
    (
        Parameter("gain", "1", lower=1e-6, upper=1e6, trainable=False, description="v(q) = gain * v(p)"),
        Parameter(
            "backward_gain", "1", lower=1e-9, upper=1e6, trainable=False,
            description="the current drawn from p is backward_gain times the one delivered at q",
        ),
    ),
    description="bidirectional amplifier: voltages forward, currents backward",
    source="Kendall et al., arXiv:2006.01981 (2020)",
)  # fmt: skip
GYRATOR = _Gyrator(
    "gyrator",
    ("p", "n", "q", "m"),
    (
        Parameter("forward", "S", description="the current from p to n is forward * v(q, m)"),
        Parameter("backward", "S", trainable=False, description="the one from q to m is -backward * v(p, n)"),
    ),
    reciprocal=False,
    description="gyrator: two transconductances of opposite sign; passive where they are equal",
    source="Tellegen, Philips Res. Rep. 3, 81 (1948)",
)
SWITCH = _Switch(
    "switch", ("p", "n", "cp", "cn"), (), reciprocal=False, description="voltage-controlled switch"
)


def voltage_source(name: str, p: str, n: str = "0", *, dc: float = 0.0, driven: bool = False) -> Element:
    """A voltage source at `dc` [V]; a `driven` one takes its value from the drives of a phase."""
    return VOLTAGE_SOURCE.element(name, p, n, dc=dc, driven=driven)


def current_source(name: str, p: str, n: str = "0", *, dc: float = 0.0, driven: bool = False) -> Element:
    """A current source whose current [A] flows from `p` through the source to `n`."""
    return CURRENT_SOURCE.element(name, p, n, dc=dc, driven=driven)


def vcvs(name: str, p: str, n: str, cp: str, cn: str, *, gain: float) -> Element:
    """A voltage-controlled voltage source: `v(p, n) = gain * v(cp, cn)`."""
    return VCVS.element(name, p, n, cp, cn, gain=gain)


def vccs(name: str, p: str, n: str, cp: str, cn: str, *, gain: float) -> Element:
    """A transconductance: the current `gain * v(cp, cn)` [A] flows from `p` through the source to `n`."""
    return VCCS.element(name, p, n, cp, cn, gain=gain)


def ccvs(name: str, p: str, n: str, cp: str, cn: str, *, gain: float) -> Element:
    """A transresistance: `v(p, n) = gain * i`, with `i` from `cp` to `cn` through a short circuit."""
    return CCVS.element(name, p, n, cp, cn, gain=gain)


def cccs(name: str, p: str, n: str, cp: str, cn: str, *, gain: float) -> Element:
    """A current gain: `gain * i` flows from `p` through the source to `n`, with `i` from `cp` to `cn`."""
    return CCCS.element(name, p, n, cp, cn, gain=gain)


def amplifier(
    name: str, p: str, q: str, *, gain: float, backward_gain: float | None = None, ref: str = "0"
) -> Element:
    """A bidirectional amplifier from `p` to `q`.

    Args:
        name: unique name.
        p: input node.
        q: output node, held at `gain * v(p)`.
        gain: forward voltage gain.
        backward_gain: share of the output current that is drawn from the input node; `1 / gain` as in
            Kendall et al. (2020) when left out, `gain` makes it an ideal transformer.
        ref: reference node of both ports.
    """
    back = 1.0 / gain if backward_gain is None else backward_gain
    return AMPLIFIER.element(name, p, ref, q, ref, gain=gain, backward_gain=back)


def gyrator(name: str, p: str, n: str, q: str, m: str, *, gain: float) -> Element:
    """An ideal gyrator: `i(p, n) = gain * v(q, m)` and `i(q, m) = -gain * v(p, n)` with `gain` in siemens."""
    return GYRATOR.element(name, p, n, q, m, forward=gain, backward=gain)


def switch(
    name: str, p: str, n: str, cp: str, cn: str, *, threshold: float = 0.5, hysteresis: float = 0.0,
    on_resistance: float = 1.0, off_resistance: float = 1e9,
) -> Element:  # fmt: skip
    """A switch between `p` and `n` that closes when `v(cp, cn)` rises above `threshold` [V]."""
    card = ModelCard(
        f"sw_{name}",
        "SW",
        (("vt", threshold), ("vh", hysteresis), ("ron", on_resistance), ("roff", off_resistance)),
    )
    return SWITCH.element(name, p, n, cp, cn, model=card)
