"""A transistor with a voltage source at every terminal, and the voltages at which it is measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bridge.ngspice.drives import constant
from bridge.ngspice.session import Circuit, Session
from bridge.validation.devices.subjects import TransistorSubject
from circuits.deck import SolverOptions
from circuits.devices.base import Element
from circuits.devices.sources import voltage_source
from circuits.netlist import build_deck
from circuits.network import Drive as Driven
from circuits.network import Network

FloatArray = NDArray[np.float64]

GATES, DRAINS = 6, 26
PINS = "dgsb"
ACROSS = {"gm": "g", "gds": "d", "gmbs": "b"}
"""Terminals by whose voltage the reported derivatives of the drain current are."""


class Pins:
    """A transistor with an ideal voltage source at every terminal, loaded in this process."""

    def __init__(self, session: Session, element: Element, celsius: float | None = None) -> None:
        """Load the circuit.

        Args:
            session: of this process.
            element: between nodes `d g s b`.
            celsius: temperature [degC]; the simulator's own, 27, when left out.
        """
        sources = [voltage_source(f"pin{t}", t, driven=True) for t in PINS]
        network = Network(
            "pins", (*sources, element), tuple(Driven(s.name, k) for k, s in enumerate(sources))
        )
        inner = tuple(f"@m{element.name}[{name}]" for name in ACROSS)
        saves = (*(f"i(vpin{t})" for t in PINS), *inner)
        options = SolverOptions(extra=() if celsius is None else (("temp", celsius),))
        self.circuit: Circuit = session.load(build_deck(network, options, nudges=False, saves=saves))

    def at(self, volts: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Currents into d, g, s, b `(n, 4)` [A] and `gm gds gmbs` `(n, 3)` [S] at voltages `(n, 4)` [V]."""
        rows = np.array([self.circuit.operating_point([constant(v)]) for v in volts])
        return -rows[:, :4], rows[:, 4:]


def sign_of(element: Element) -> float:
    """1 for an n-channel, -1 for a p-channel transistor."""
    assert element.model is not None
    return -1.0 if element.model.kind.lower() == "pmos" else 1.0


def grid(subject: TransistorSubject, bulk: float = 0.0) -> FloatArray:
    """Voltages of d, g, s, b: families of gate voltages over drain voltages, `(GATES DRAINS, 4)` [V]."""
    gates, drains = np.linspace(0.0, subject.supply, GATES), np.linspace(0.0, subject.supply, DRAINS)
    g, d = (m.ravel() for m in np.meshgrid(gates, drains, indexing="ij"))
    zero = np.zeros_like(g)
    return sign_of(subject.element) * np.stack([d, g, zero, zero - bulk], axis=1)
