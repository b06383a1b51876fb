"""Coupled compartments: the passive cable against Rall's solutions, the squid axon's conduction velocity."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.dynamics import FIXED_GRID, DynamicPhases, DynamicPlan
from bridge.ngspice.drives import Signals
from bridge.ngspice.session import Session
from bridge.waveforms import Waveforms
from circuits.devices.base import Element
from circuits.devices.neurons import Scale, cell
from circuits.devices.neurons.channels import LEAK
from circuits.devices.passive import capacitor, resistor
from circuits.devices.sources import current_source
from circuits.network import Drive, Network, Output

REST = -65e-3
RESISTIVITY, RADIUS = 35.4, 238e-4
"""Of axoplasm [Ohm cm] and of the axon [cm]; Hodgkin and Huxley, J. Physiol. 117, 500 (1952)."""
LENGTH_CONSTANT, TAU, INPUT = 1.0, 10e-3, 1e6
"""Of the passive cable [cm], of its membrane [s], resistance `lambda r_i` of a semi-infinite one [Ohm]."""
EXTENT = 1.5
"""Length of the cable in length constants."""
CURRENT = 5e-9


def run(elements: list[Element], session: Session, duration: float, step: float, drive: Signals) -> Waveforms:
    network = Network("cable", tuple(elements), (Drive("i", 0),), (Output("v0"),))
    return DynamicPhases(DynamicPlan(network, duration, step, options=FIXED_GRID), session).free(drive)


def passive(count: int) -> list[Element]:
    """A cable with sealed ends, `count` sections between its nodes; end nodes have half a membrane."""
    share = EXTENT / count
    elements: list[Element] = [current_source("i", "0", "v0", driven=True)]
    for k in range(count + 1):
        membrane = share / INPUT * (0.5 if k in (0, count) else 1.0)
        place = (f"v{k}", "0")
        elements.append(LEAK.element(f"g{k}", *place, conductance=membrane, reversal=REST))
        elements.append(capacitor(f"c{k}", *place, capacitance=TAU * membrane, initial_voltage=REST))
        if k:
            elements.append(resistor(f"r{k}", f"v{k - 1}", f"v{k}", conductance=1.0 / (share * INPUT)))
    return elements


def rall(x: float, t: np.ndarray) -> np.ndarray:
    """Voltage above rest [V] at `x` length constants from the sealed end with a current step.

    Rall, Biophys. J. 9, 1483 (1969): a sum of equalising time constants `tau / (1 + (n pi / L)^2)`.
    """
    n = np.arange(0, 4000)[:, None]
    speed = 1.0 + (n * np.pi / EXTENT) ** 2
    weight = np.where(n == 0, 1.0, 2.0) * np.cos(n * np.pi * x / EXTENT) / speed
    return np.asarray(CURRENT * INPUT / EXTENT * (weight * -np.expm1(-t / TAU * speed)).sum(axis=0))


def test_the_steady_cable_is_a_hyperbolic_cosine_to_second_order(session: Session) -> None:
    """`V = I lambda r_i cosh(L - x) / sinh(L)`; 20 time constants are settled to 2e-9."""
    worst = []
    for count in (10, 20):
        waves = run(passive(count), session, 20 * TAU, TAU / 50, Signals((0,), np.array([[CURRENT]])))
        x = np.linspace(0.0, EXTENT, count + 1)
        exact = CURRENT * INPUT * np.cosh(EXTENT - x) / np.sinh(EXTENT)
        found = np.array([waves[f"v(v{k})"][-1] for k in range(count + 1)]) - REST
        worst.append(float(np.abs(found - exact).max() / exact.max()))
    assert worst[1] < 1e-3
    assert worst[0] / worst[1] == pytest.approx(4.0, rel=0.1)


@pytest.mark.parametrize("place", [0, 15, 30])
def test_the_transient_of_the_cable_is_ralls_series(place: int, session: Session) -> None:
    count = 30
    waves = run(passive(count), session, 2 * TAU, TAU / 1000, Signals((0,), np.array([[CURRENT]])))
    later = waves.time > 0.05 * TAU
    exact = rall(EXTENT * place / count, waves.time[later])
    found = waves[f"v(v{place})"][later] - REST
    assert np.abs(found - exact).max() < 1.5e-3 * rall(0.0, np.array([100 * TAU]))[0]


def test_the_squid_axon_conducts_as_fast_as_hodgkin_and_huxley_found(session: Session) -> None:
    """18.8 m/s at 18.5 degrees Celsius, found by hand calculation (J. Physiol. 117, 500 (1952)).

    The compartments are far shorter than the rising phase of the spike, which is about 1 cm long.
    """
    length, count = 0.05, 90
    scale = Scale(2.0 * np.pi * RADIUS * length)
    axial = np.pi * RADIUS**2 / (RESISTIVITY * length)
    elements: list[Element] = [current_source("i", "0", "v0", driven=True)]
    for k in range(count):
        elements += cell("hodgkin_huxley", f"x{k}", f"v{k}", temperature=18.5, scale=scale)
        if k:
            elements.append(resistor(f"r{k}", f"v{k - 1}", f"v{k}", conductance=axial))
    times = np.array([0.0, 0.05e-3, 0.3e-3, 0.35e-3, 1.0])
    push = np.array([0.0, 1.0, 1.0, 0.0, 0.0]) * 100.0 * scale.to_circuit(300.0, "uA/cm^2")
    waves = run(elements, session, 3.2e-3, 5e-6, Signals((0,), push[:, None].copy(), times))
    at = []
    for k in (25, 65):
        v = waves[f"v(v{k})"]
        j = int(np.flatnonzero((v[:-1] < 0.0) & (v[1:] >= 0.0))[0])
        at.append(float(np.interp(0.0, v[j : j + 2], waves.time[j : j + 2])))
    speed = 40 * length * 1e-2 / (at[1] - at[0])
    assert speed == pytest.approx(18.8, rel=0.015)
