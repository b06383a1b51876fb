"""The adjoint network: the transpose of a network's linearisation along a free trajectory.

Director and Rohrer, IEEE Trans. Circuit Theory 16, 318 (1969). With the free network written as

    d/dt q(z; p) + f(z, t; p) = 0,        z: node voltages, branch currents, states,

the adjoint network obeys, in reversed time `tau = T - t`,

    C(t)^T d lambda/d tau + G(t)^T lambda = e(t),     C = dq/dz, G = df/dz at the free trajectory,

with `e` the derivative of the loss. Linear reciprocal elements are their own adjoint; controlled sources
change places with what controls them; everything else becomes sources whose coefficients are played back.
Independent voltage sources become short circuits, independent current sources disappear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import sympy as sp

from bridge.errors import UnsupportedElementError
from circuits.devices.adjoint_mosfet import adjoint_mosfet
from circuits.devices.base import Device, Element, SpiceContext, SpiceLine, U
from circuits.devices.behavioural import CONTROL, GROUND, LEAST_SLOPE, Behavioural, voltage_expression
from circuits.devices.fractional import Transfer
from circuits.devices.mosfet import Mosfet
from circuits.devices.passive import CAPACITOR, INDUCTOR
from circuits.devices.sources import CCCS, CCVS, VCCS, VCVS, VOLTAGE_SOURCE
from circuits.network import Drive, Network
from circuits.numbers import spice_number


@dataclass(frozen=True)
class Coefficient:
    """One coefficient of an element's linearisation that the adjoint network plays back.

    Attributes:
        key: what it is: `gu` (dcurrent/du), `gc` (dcurrent/duc, of a control port), `cu` (dcharge/du),
            `fx_S`, `hu_S`, `hc_S`, `hx_S_R` for states S, R, `gain` of a transfer.
        expression: symbolic, in `u`, `uc`, the states and the parameters.
    """

    key: str
    expression: sp.Expr


def coefficients(device: Device) -> tuple[Coefficient, ...]:
    """The coefficients of a device's linearisation that are not identically zero."""
    found: list[Coefficient] = []

    def add(key: str, expression: sp.Expr | None, by: sp.Symbol) -> None:
        if expression is not None and (derivative := sp.diff(expression, by)) != 0:
            found.append(Coefficient(key, derivative))

    if isinstance(device, Transfer):
        add("gain", device.law, U)
        return tuple(found)
    add("gu", device.law, U)
    add("gc", device.law, CONTROL)
    add("cu", device.charge, U)
    for state in device.states:
        add(f"fx_{state.name}", device.law, state.symbol)
        add(f"hu_{state.name}", state.rate, U)
        add(f"hc_{state.name}", state.rate, CONTROL)
        for other in device.states:
            add(f"hx_{state.name}_{other.name}", state.rate, other.symbol)
    return tuple(found)


def playback_source(element: str, key: str) -> str:
    """Name (without its letter) of the source that plays a coefficient, and of its node."""
    return f"play_{element}_{key}"


@dataclass(frozen=True)
class AdjointBranch(Device):
    """The adjoint of a branch with a symbolic law, charge and states.

    A control port draws what the free branch felt of it: the current `gc lambda - hc mu`, with `lambda` the
    voltage of the branch. The coefficients reach it scaled (`bridge.dynamics`): `fx` by `1 / k`, `hu` and
    `hc` by `k`, with `k` the scale of the adjoint state, which a node holds as `mu / k`; `cu` is divided by
    the capacitance `reference`.
    """

    keys: tuple[str, ...] = ()
    state_names: tuple[str, ...] = ()
    reference: float = 1.0

    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        """See `Device`."""
        p, n = element.nodes[:2]
        name = element.name
        across = voltage_expression(p, n)
        play = {key: playback_source(name, key) for key in self.keys}
        lines = [SpiceLine("V", node, (node, GROUND), "external", True) for node in play.values()]
        terms = []
        if "gu" in play:
            terms.append(f"v({play['gu']})*{across}")
        if "cu" in play:
            rate, sense = f"{name}_d", f"{name}_ds"
            lines += [
                SpiceLine("E", rate, (rate, GROUND, p, n), "1"),
                SpiceLine("C", rate, (rate, sense), f"{spice_number(self.reference)} ic=0"),
                SpiceLine("V", rate, (sense, GROUND), "dc 0"),
            ]
            terms.append(f"(v({play['cu']})+{spice_number(LEAST_SLOPE)})*i(V{rate})")
        for state in self.state_names:
            if f"hu_{state}" in play:
                terms.append(f"-v({play[f'hu_{state}']})*v({adjoint_state(name, state)})")
        if terms:
            lines.append(SpiceLine("B", name, (p, n), "i=" + "+".join(terms).replace("+-", "-")))
        terms = [f"v({play['gc']})*{across}"] if "gc" in play else []
        for state in self.state_names:
            if f"hc_{state}" in play:
                terms.append(f"-v({play[f'hc_{state}']})*v({adjoint_state(name, state)})")
        if terms:
            text = "i=" + "+".join(terms).replace("+-", "-")
            lines.append(SpiceLine("B", f"{name}_control", element.nodes[2:], text))
        size = context.time_scale * 1e-3
        for state in self.state_names:
            node = adjoint_state(name, state)
            rates = [f"-v({play[f'fx_{state}']})*{across}"] if f"fx_{state}" in play else []
            for other in self.state_names:
                key = f"hx_{other}_{state}"
                if key in play:
                    rates.append(f"v({play[key]})*v({adjoint_state(name, other)})")
            lines.append(SpiceLine("C", node, (node, GROUND), f"{spice_number(size)} ic=0"))
            if rates:
                total = "+".join(rates).replace("+-", "-")
                lines.append(SpiceLine("B", node, (GROUND, node), f"i={spice_number(size)}*({total})"))
        return lines


def adjoint_state(element: str, state: str) -> str:
    """Name of the node that holds an adjoint state, divided by its scale."""
    return f"{element}_mu_{state}"


@dataclass(frozen=True)
class AdjointTransfer(Device):
    """The adjoint of a nonlinear transfer: its output is shorted, the current there draws from its input."""

    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        """See `Device`."""
        p, n, cp, cn = element.nodes
        name = element.name
        play = playback_source(name, "gain")
        return [
            SpiceLine("V", play, (play, GROUND), "external", True),
            SpiceLine("V", f"sense_{name}", (p, n), "dc 0"),
            SpiceLine("B", name, (cp, cn), f"i=-v({play})*i(Vsense_{name})"),
        ]


_TRANSFER = AdjointTransfer("adjoint_transfer", ("p", "n", "cp", "cn"), ())


@dataclass(frozen=True)
class Adjoint:
    """An adjoint network and what it plays back.

    Attributes:
        network: the network; its outputs are the free network's, to be nudged with `+e`, its driven
            sources the free network's probes.
        playback: for every element that plays back, its coefficients; transistors' come from the simulation
            (`bridge.transistors`) and are not among them.
    """

    network: Network
    playback: dict[str, tuple[Coefficient, ...]] = field(default_factory=dict)


def _vcvs(e: Element) -> list[Element]:
    p, n, cp, cn = e.nodes
    return [CCCS.element(e.name, cp, cn, p, n, gain=-e.value("gain"))]


def _cccs(e: Element) -> list[Element]:
    p, n, cp, cn = e.nodes
    return [VCVS.element(e.name, cp, cn, p, n, gain=-e.value("gain"))]


def _ccvs(e: Element) -> list[Element]:
    p, n, cp, cn = e.nodes
    return [CCVS.element(e.name, cp, cn, p, n, gain=e.value("gain"))]


def _vccs(e: Element) -> list[Element]:
    p, n, cp, cn = e.nodes
    return [VCCS.element(e.name, cp, cn, p, n, gain=e.value("gain"))]


_RULES: dict[str, Callable[[Element], list[Element]]] = {
    "resistor": lambda e: [e],
    "capacitor": lambda e: [CAPACITOR.element(e.name, *e.nodes, capacitance=e.value("capacitance"))],
    "inductor": lambda e: [INDUCTOR.element(e.name, *e.nodes, inductance=e.value("inductance"))],
    "voltage_source": lambda e: [VOLTAGE_SOURCE.element(e.name, *e.nodes)],
    "current_source": lambda _: [],
    "vccs": _vccs,
    "vcvs": _vcvs,
    "cccs": _cccs,
    "ccvs": _ccvs,
}


def adjoint(network: Network, charges: bool = True) -> Adjoint:
    """Make the adjoint of a network.

    Args:
        network: the free network; composite elements are expanded.
        charges: whether transistors' charges are part of it; an operating point has none.

    Raises:
        UnsupportedElementError: an element has no known derivative.
    """
    flat = network.flat()
    elements: list[Element] = []
    playback: dict[str, tuple[Coefficient, ...]] = {}
    for element in flat.elements:
        device = element.device
        if element.name in flat.probes:  # the loss's derivative by its current is a voltage in its branch
            elements.append(VOLTAGE_SOURCE.element(element.name, *element.nodes, driven=True))
        elif device.kind in _RULES:
            elements += _RULES[device.kind](element)
        elif isinstance(device, Transfer):
            elements.append(_TRANSFER.element(element.name, *element.nodes))
            playback[element.name] = coefficients(device)
        elif isinstance(device, Mosfet):
            elements.append(adjoint_mosfet(element, charges))
        elif device.law is not None or device.charge is not None:
            _check_card(element)
            keys = coefficients(device)
            reference = device.charge_scale(element) if isinstance(device, Behavioural) else 1.0
            branch = AdjointBranch(
                "adjoint_branch",
                device.terminals,
                (),
                keys=tuple(k.key for k in keys),
                state_names=tuple(s.name for s in device.states),
                reference=reference,
            )
            elements.append(branch.element(element.name, *element.nodes))
            playback[element.name] = keys
        else:
            raise UnsupportedElementError(
                element.name,
                f"the derivative of a {device.kind} is not known",
                "use the estimator finite_difference for this network",
            )
    kept = {n for e in elements for n in e.nodes}
    outputs = tuple(o for o in flat.outputs if o.plus in kept or o.minus in kept)
    if len(outputs) != len(flat.outputs):
        raise UnsupportedElementError(flat.name, "an output has no element that its gradient could reach")
    drives = tuple(Drive(probe) for probe in flat.probes)
    return Adjoint(Network(f"{flat.name}_adjoint", tuple(elements), drives, outputs), playback)


_CHARGES = ("cjo", "cj0", "tt", "rs", "bv")


def _check_card(element: Element) -> None:
    """Refuse model cards with effects that the symbolic law does not have."""
    if element.model is None:
        return
    for key, value in element.model.parameters:
        if key.lower() in _CHARGES and value != 0.0:
            raise UnsupportedElementError(
                element.name,
                f"the model card sets {key.upper()}, whose derivative is not known",
                "leave it out and place a junction_capacitor or resistor beside the diode, or use "
                "finite_difference",
            )
