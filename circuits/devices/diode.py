"""The junction diode, native in SPICE, with its model card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import sympy as sp

from bridge.errors import NetworkError
from circuits.devices.base import (
    STANDALONE,
    Device,
    Element,
    ModelCard,
    Parameter,
    SpiceContext,
    SpiceLine,
    U,
)
from circuits.numbers import spice_number

BOLTZMANN = 1.38064852e-23
"""Boltzmann constant [J/K] as ngspice has it (CODATA 2014), so that laws and simulations agree."""
ELEMENTARY_CHARGE = 1.6021766208e-19
"""Elementary charge [C] as ngspice has it (CODATA 2014)."""
NOMINAL_TEMPERATURE = 300.15
"""ngspice's default temperature, 27 degrees Celsius [K]."""
THERMAL_VOLTAGE = BOLTZMANN * NOMINAL_TEMPERATURE / ELEMENTARY_CHARGE
"""kT/q [V] at the default temperature."""

STANDARD_CARD = ModelCard("dlearn", "D", (("is", 1e-8), ("n", 1.5)))
"""A small-signal diode that conducts at about 0.3 V, the default of the built-in topologies."""


@dataclass(frozen=True)
class _Diode(Device):
    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        if element.model is None:
            raise NetworkError(f"{element.name}: a diode needs a model card")
        area = element.value("area")
        body = element.model.name + ("" if area == 1.0 else f" area={spice_number(area)}")
        return [SpiceLine("D", element.name, element.nodes, body)]

    def alter_target(self, element: Element, parameter: str, context: SpiceContext = STANDALONE) -> str:
        if parameter != "area":
            return super().alter_target(element, parameter, context)
        return f"@d{element.name}[area]".lower()


_IS, _N, _AREA = (sp.Symbol(s, real=True) for s in ("saturation_current", "emission", "area"))

DIODE = _Diode(
    "diode",
    ("anode", "cathode"),
    (
        Parameter("area", "1", 1.0, lower=1e-6, upper=1e6, description="area factor"),
        Parameter("saturation_current", "A", 1e-14, lower=0.0, trainable=False, description="card's IS"),
        Parameter("emission", "1", 1.0, lower=0.1, upper=100.0, trainable=False, description="card's N"),
    ),
    law=_AREA * _IS * (sp.exp(U / (_N * THERMAL_VOLTAGE)) - 1),
    description="junction diode; its charge and series resistance are those of its SPICE model card",
    source="Shockley, Bell Syst. Tech. J. 28, 435 (1949)",
)


class Nonlinearity(Protocol):
    """What a topology can have in place of its diodes."""

    def place(self, name: str, nodes: tuple[str, ...]) -> tuple[Element, ...]:
        """Its elements between two nodes."""
        ...


def rectifier(name: str, anode: str, cathode: str, kind: ModelCard | Nonlinearity) -> tuple[Element, ...]:
    """A diode with a model card, or what stands in its place, from `anode` to `cathode`."""
    if isinstance(kind, ModelCard):
        return (diode(name, anode, cathode, model=kind),)
    return kind.place(name, (anode, cathode))


def diode(
    name: str, anode: str, cathode: str, *, model: ModelCard = STANDARD_CARD, area: float = 1.0
) -> Element:
    """A diode from `anode` to `cathode` with a SPICE model card.

    Not modelled in the symbolic law: series resistance, breakdown and charge (ngspice simulates them when
    the card has them).
    """
    if model.kind.lower() != "d":
        raise NetworkError(f"{name}: model card {model.name!r} is of type {model.kind}, not D")
    return DIODE.element(
        name,
        anode,
        cathode,
        model=model,
        area=area,
        saturation_current=model.get("is", 1e-14),
        emission=model.get("n", 1.0),
    )
