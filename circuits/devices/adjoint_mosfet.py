"""The adjoint of a MOSFET: its transposed linearisation, with coefficients that are played back."""

from __future__ import annotations

from dataclasses import dataclass

from circuits.devices.base import Device, Element, SpiceContext, SpiceLine
from circuits.devices.behavioural import GROUND, LEAST_SLOPE, voltage_expression
from circuits.devices.mosfet_linear import TERMINALS
from circuits.numbers import spice_number

REFERENCE = 1e-15
"""Capacitances are played back as multiples of this one [F]."""
_LEAST = 1e-12
"""Conductance across every terminal [S]: the simulator's first iteration sees no playback yet."""


def coefficient_node(element: str, key: str) -> str:
    """Name of the source (without its letter) that plays a coefficient, and of its node."""
    return f"play_{element}_{key}"


def live_terminals(element: Element) -> tuple[str, ...]:
    """Terminals that are not tied to the source terminal."""
    ends = dict(zip(("d", "g", "s", "b"), element.nodes, strict=True))
    return tuple(t for t in TERMINALS if ends[t] != ends["s"])


@dataclass(frozen=True)
class AdjointMosfet(Device):
    """The transposed linearisation of a MOSFET: what flows into terminal j is `sum_k G[k, j] lambda_k`.

    Attributes:
        charges: whether the capacitances are part of it; an operating point has none.
    """

    charges: bool = True

    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        """See `Device`."""
        ends = dict(zip(("d", "g", "s", "b"), element.nodes, strict=True))
        terminals, name, s = live_terminals(element), element.name, ends["s"]
        lines = []
        for key in self.keys(element):
            node = coefficient_node(name, key)
            lines.append(SpiceLine("V", node, (node, GROUND), "external", True))
        if self.charges:
            for k in terminals:
                rate, sense = f"{name}_d{k}", f"{name}_s{k}"
                lines += [
                    SpiceLine("E", rate, (rate, GROUND, ends[k], s), "1"),
                    SpiceLine("C", rate, (rate, sense), f"{spice_number(REFERENCE)} ic=0"),
                    SpiceLine("V", rate, (sense, GROUND), "dc 0"),
                ]
        for j in terminals:
            terms = [f"{spice_number(_LEAST)}*{voltage_expression(ends[j], s)}"]
            for k in terminals:
                terms.append(f"v({coefficient_node(name, f'g_{k}{j}')})*{voltage_expression(ends[k], s)}")
                if self.charges:
                    least = f"+{spice_number(LEAST_SLOPE)}" if j == k else ""
                    terms.append(f"(v({coefficient_node(name, f'c_{k}{j}')}){least})*i(V{name}_d{k})")
            lines.append(SpiceLine("B", f"{name}_{j}", (ends[j], s), "i=" + "+".join(terms)))
        return lines

    def keys(self, element: Element) -> tuple[str, ...]:
        """Names of the coefficients it plays back: `g_kj` [S], `c_kj` [multiples of 1 fF]."""
        pairs = [f"{k}{j}" for k in live_terminals(element) for j in live_terminals(element)]
        return tuple(f"{what}_{pair}" for what in ("g", "c")[: 1 + self.charges] for pair in pairs)


def adjoint_mosfet(element: Element, charges: bool) -> Element:
    """The adjoint of a transistor on the same nodes."""
    device = AdjointMosfet("adjoint_mosfet", ("d", "g", "s", "b"), (), reciprocal=False, charges=charges)
    return device.element(element.name, *element.nodes)
