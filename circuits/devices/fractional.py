"""Fractional elements: linear ones as Foster ladders, and the fractional memristor made of two ladders.

The half-order law `i = D^{1/2} W'(D^{-1/2} v)` (the fractional memristor of Kendall, arXiv:2103.05636) is a
linear resistor for `W'(u) = G u`. As a circuit: a ladder driven by a current equal to `v` has the voltage
`u = S Z v`; a source `W'(u)` across an identical ladder drives the element's current through it. A Foster
ladder is a series of parallel RC sections whose poles and zeros are log-spaced over a band (Oustaloup et al.,
IEEE Trans. Circuits Syst. I 47, 25 (2000)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import sympy as sp

from bridge.errors import NetworkError
from circuits.deck import VerilogModule
from circuits.devices.base import (
    STANDALONE,
    Device,
    Element,
    FloatArray,
    ModelCard,
    Parameter,
    SpiceContext,
    SpiceLine,
    U,
)
from circuits.devices.behavioural import symbol, voltage_expression
from circuits.devices.expressions import spice_expression
from circuits.devices.passive import CAPACITOR, RESISTOR
from circuits.devices.sources import CCCS, VCCS
from circuits.devices.veriloga import generated_body, generated_card, generated_module, parameter_names
from circuits.numbers import spice_number

GROUND = "0"


def foster_sections(
    low: float, high: float, sections: int, order: float = 0.5
) -> tuple[FloatArray, FloatArray]:
    """Sections of a ladder whose impedance is close to `(j omega)^-order` [Ohm] within a band.

    Args:
        low: lower edge of the band [rad/s].
        high: upper edge [rad/s].
        sections: number of RC sections.
        order: between 0 and 1.

    Returns:
        Resistances `(sections + 1,)` [Ohm], the last one in series; capacitances `(sections,)` [F].

    Raises:
        NetworkError: a band or order without meaning.
    """
    if not (0 < low < high and sections >= 1 and 0 < order < 1):
        raise NetworkError(
            f"a ladder needs 0 < low < high, sections >= 1 and an order between 0 and 1, "
            f"not {low:g}, {high:g}, {sections}, {order:g}"
        )
    ratio = high / low
    k = np.arange(sections)
    zeros = low * ratio ** ((k + 0.5 * (1 + order)) / sections)
    poles = low * ratio ** ((k + 0.5 * (1 - order)) / sections)
    level = high ** (-order)  # the impedance at high frequency
    # Partial fractions of level * prod (s + zero) / (s + pole).
    residues = np.array(
        [level * np.prod(zeros - p) / np.prod(np.delete(poles, i) - p) for i, p in enumerate(poles)]
    )
    return np.append(residues / poles, level), 1.0 / residues


def ladder(
    name: str, top: str, bottom: str, scale: float, values: tuple[FloatArray, FloatArray]
) -> list[Element]:
    """A Foster ladder between two nodes, its impedance multiplied by `scale`."""
    resistances, capacitances = values
    count = len(capacitances)
    nodes = [top, *(f"{name}_{k}" for k in range(1, count + 1)), bottom]
    elements = []
    for k in range(count):
        a, b = nodes[k], nodes[k + 1]
        elements.append(RESISTOR.element(f"{name}_r{k}", a, b, conductance=1.0 / (scale * resistances[k])))
        elements.append(CAPACITOR.element(f"{name}_c{k}", a, b, capacitance=capacitances[k] / scale))
    elements.append(
        RESISTOR.element(f"{name}_rs", nodes[count], bottom, conductance=1.0 / (scale * resistances[-1]))
    )
    return elements


@dataclass(frozen=True)
class Transfer(Device):
    """A voltage source controlled by a voltage through a nonlinear law: `v(p, n) = law(v(cp, cn); p)`.

    In the netlist it is a `B` source, or an instance of a generated Verilog-A module where that is asked for.
    """

    compilable: ClassVar[bool] = True

    def module(self, context: SpiceContext) -> VerilogModule | None:
        """See `Device`."""
        return generated_module(self, transfer=True) if context.compiled else None

    def card(self, element: Element, context: SpiceContext) -> ModelCard | None:
        """See `Device`."""
        module = self.module(context)
        return generated_card(module, context) if module is not None else element.model

    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        """See `Device`."""
        if self.law is None:
            raise NetworkError(f"{element.name}: a transfer needs a law")
        p, n, cp, cn = element.nodes
        if (module := self.module(context)) is not None:
            body = generated_body(self, element, module, 1.0)
            return [SpiceLine("N", element.name, element.nodes, body)]
        names = {"u": voltage_expression(cp, cn)}
        lines = []
        for key, value in element.parameters.items():
            node = f"par_{element.name}_{key}"
            names[key] = f"v({node})" if key in context.live else f"({spice_number(value)})"
            if key in context.live:
                lines.append(SpiceLine("V", node, (node, GROUND), f"dc {spice_number(value)}"))
        return [*lines, SpiceLine("B", element.name, (p, n), f"v={spice_expression(self.law, names)}")]

    def alter_target(self, element: Element, parameter: str, context: SpiceContext = STANDALONE) -> str:
        """See `Device`."""
        self.index(parameter)
        if context.compiled:
            return f"@n{element.name}[{parameter_names(self)[parameter]}]".lower()
        return f"@vpar_{element.name}_{parameter}[dc]".lower()


@dataclass(frozen=True)
class FractionalMemristor(Device):
    """Two ladders around a nonlinear transfer.

    Attributes:
        transfer: the device between the ladders; its law is `W'`, its parameters are this device's.
    """

    transfer: Transfer | None = None

    def expand(self, element: Element) -> tuple[Element, ...]:
        """See `Device`."""
        p, n = element.nodes
        name, values = element.name, element.parameters
        sections = foster_sections(values["low"], values["high"], round(values["sections"]))
        scale = values["ladder_scale"] or 1e3 * (values["low"] * values["high"]) ** 0.25
        top, drive, bottom = f"{name}_u", f"{name}_w", f"{name}_i"
        fixed = ("low", "high", "sections", "ladder_scale")
        own: dict[str, Any] = {k: v for k, v in values.items() if k not in fixed}
        assert self.transfer is not None
        return (
            VCCS.element(f"{name}_in", GROUND, top, p, n, gain=1.0 / scale),
            *ladder(f"{name}_a", top, GROUND, scale, sections),
            self.transfer.element(f"{name}_law", drive, GROUND, top, GROUND, **own),
            *ladder(f"{name}_b", drive, bottom, scale, sections),
            CCCS.element(f"{name}_out", p, n, bottom, GROUND, gain=scale),
        )

    def expand_parameter(self, element: Element, parameter: str) -> tuple[str, str]:
        """See `Device`."""
        if parameter in ("low", "high", "sections", "ladder_scale"):
            raise NetworkError(f"{element.name}: {parameter} of a ladder cannot be trained")
        self.index(parameter)
        return f"{element.name}_law", parameter


_LADDER = (
    Parameter("low", "rad/s", trainable=False, description="lower edge of the ladders' band"),
    Parameter("high", "rad/s", trainable=False, description="upper edge of the ladders' band"),
    Parameter("sections", "1", 10.0, lower=1.0, upper=60.0, trainable=False),
    Parameter(
        "ladder_scale", "1", 0.0, lower=0.0, upper=1e15, trainable=False,
        description="impedance level of both ladders, which cancels; 0 puts them at 1 kOhm mid-band",
    ),
)  # fmt: skip


def fractional_memristor(kind: str, law: sp.Expr, parameters: tuple[Parameter, ...]) -> FractionalMemristor:
    """A fractional memristor with `W'(u)` given by `law` in `u` and the parameters' symbols."""
    transfer = Transfer(f"{kind}_law", ("p", "n", "cp", "cn"), parameters, law=law, reciprocal=False)
    return FractionalMemristor(
        kind,
        ("p", "n"),
        (*parameters, *_LADDER),
        reciprocal=True,
        description="fractional memristor, i = D^1/2 W'(D^-1/2 v)",
        source="Kendall, arXiv:2103.05636 (2021)",
        transfer=transfer,
    )


CUBIC_FRACTIONAL_MEMRISTOR = fractional_memristor(
    "cubic_fractional_memristor",
    symbol("conductance") * (U + symbol("cubic") * U**3),
    (Parameter("conductance", "S", lower=0.0), Parameter("cubic", "1/V^2s", 0.0)),
)
TANH_FRACTIONAL_MEMRISTOR = fractional_memristor(
    "tanh_fractional_memristor",
    symbol("conductance") * symbol("saturation") * sp.tanh(U / symbol("saturation")),
    (Parameter("conductance", "S", lower=0.0), Parameter("saturation", "V s^1/2", 1e-3, lower=1e-9)),
)


@dataclass(frozen=True)
class _FractionalElement(Device):
    def expand(self, element: Element) -> tuple[Element, ...]:
        p, n = element.nodes
        values = element.parameters
        sections = foster_sections(values["low"], values["high"], round(values["sections"]), values["order"])
        return tuple(ladder(element.name, p, n, 1.0 / values["coefficient"], sections))


FRACTIONAL_ELEMENT = _FractionalElement(
    "fractional_element",
    ("p", "n"),
    (
        Parameter("coefficient", "S s^order", lower=1e-18, trainable=False),
        Parameter("order", "1", 0.5, lower=0.01, upper=0.99, trainable=False),
        *_LADDER[:3],
    ),
    description="linear fractional element, i = coefficient D^order v within its band, a Foster ladder",
    source="Oustaloup et al., IEEE Trans. Circuits Syst. I 47, 25 (2000)",
)


def fractional_element(
    name: str,
    p: str,
    n: str,
    *,
    coefficient: float,
    low: float,
    high: float,
    order: float = 0.5,
    sections: int = 10,
) -> Element:
    """A linear fractional element of admittance `coefficient * (j omega)^order` in a band [rad/s]."""
    return FRACTIONAL_ELEMENT.element(
        name, p, n, coefficient=coefficient, order=order, low=low, high=high, sections=sections
    )
