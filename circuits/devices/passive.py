"""Linear passive two-terminals: resistor, capacitor, inductor."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from circuits.devices.base import (
    STANDALONE,
    Device,
    Element,
    FloatArray,
    Parameter,
    SpiceContext,
    SpiceLine,
    U,
)
from circuits.numbers import spice_number


@dataclass(frozen=True)
class _Resistor(Device):
    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        value = spice_number(1.0 / element.value("conductance"))
        return [SpiceLine("R", element.name, element.nodes, value)]

    def alter_target(self, element: Element, parameter: str, context: SpiceContext = STANDALONE) -> str:
        self.index(parameter)
        return f"r{element.name}".lower()

    def alter_value(self, parameter: str, values: FloatArray) -> FloatArray:
        self.index(parameter)
        return 1.0 / values


@dataclass(frozen=True)
class _Reactive(Device):
    letter: str = "C"

    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        main, initial = self.parameters
        body = spice_number(element.value(main.name))
        if element.value(initial.name) != 0.0:
            body += f" ic={spice_number(element.value(initial.name))}"
        return [SpiceLine(self.letter, element.name, element.nodes, body)]

    def alter_target(self, element: Element, parameter: str, context: SpiceContext = STANDALONE) -> str:
        name = f"{self.letter}{element.name}".lower()
        return name if self.index(parameter) == 0 else f"@{name}[ic]"


RESISTOR = _Resistor(
    "resistor",
    ("p", "n"),
    (Parameter("conductance", "S", lower=1e-15, upper=1e2, description="i = conductance * u"),),
    law=sp.Symbol("conductance", real=True) * U,
    description="linear resistor",
    source="Ohm's law",
)

CAPACITOR = _Reactive(
    "capacitor",
    ("p", "n"),
    (
        Parameter("capacitance", "F", lower=1e-21, upper=1e3, description="i = capacitance * du/dt"),
        Parameter("initial_voltage", "V", 0.0, description="branch voltage at t = 0 of a transient with uic"),
    ),
    description="linear capacitor",
    source="q = C u",
    letter="C",
)

INDUCTOR = _Reactive(
    "inductor",
    ("p", "n"),
    (
        Parameter("inductance", "H", lower=1e-18, upper=1e6, description="u = inductance * di/dt"),
        Parameter(
            "initial_current",
            "A",
            0.0,
            typical=1e-3,
            description="branch current at t = 0 of a transient with uic",
        ),
    ),
    description="linear inductor",
    source="flux = L i",
    letter="L",
)


def resistor(name: str, p: str, n: str, *, conductance: float) -> Element:
    """A linear resistor of `conductance` [S]."""
    return RESISTOR.element(name, p, n, conductance=conductance)


def capacitor(name: str, p: str, n: str, *, capacitance: float, initial_voltage: float = 0.0) -> Element:
    """A linear capacitor of `capacitance` [F] that starts a transient at `initial_voltage` [V]."""
    return CAPACITOR.element(name, p, n, capacitance=capacitance, initial_voltage=initial_voltage)


def inductor(name: str, p: str, n: str, *, inductance: float, initial_current: float = 0.0) -> Element:
    """A linear inductor of `inductance` [H] that starts a transient at `initial_current` [A]."""
    return INDUCTOR.element(name, p, n, inductance=inductance, initial_current=initial_current)
