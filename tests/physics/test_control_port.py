"""Branches with a control port: their adjoint network, in both realisations, and the synapse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy as sp
from neuron_checks import REALISATIONS, TIGHT, available, compared, trained
from scipy.integrate import solve_ivp

import circuits.adjoint
from bridge.ngspice.drives import sampled
from bridge.ngspice.session import Session
from circuits.devices.base import Device, Parameter, State, U
from circuits.devices.behavioural import CONTROL, Behavioural, symbol
from circuits.devices.neurons import chemical_synapse
from circuits.devices.passive import capacitor, resistor
from circuits.devices.sources import voltage_source
from circuits.netlist import Realisation, build_deck
from circuits.network import Drive, Network, Output

_G, _K, _X = symbol("g"), symbol("k"), symbol("x")
CONTROLLED = Behavioural(
    "controlled",
    ("p", "n", "cp", "cn"),
    (
        Parameter("g", "S"),
        Parameter("k", "1/s"),
        Parameter("c", "F"),
        Parameter("x0", "1", 0.1),
    ),
    law=_G * (U + U**3 * _X + sp.tanh(3 * CONTROL) * (1 + _X)),
    charge=symbol("c") * (U + U**3),
    states=(State("x", _K * (CONTROL + sp.Rational(1, 2) * U * CONTROL - _X), "x0", scale=0.4),),
    reciprocal=False,
)
"""A branch whose current, and whose state's rate, depend on the voltages of both of its ports."""
SPAN = 1e-3


def control_network() -> Network:
    """Ports that share no node, neither of them grounded, in two parts of a network that only they couple."""
    elements = [
        voltage_source("s", "in", driven=True),
        resistor("r1", "in", "a", conductance=1e-3),
        resistor("r2", "a", "b", conductance=5e-4),
        resistor("r3", "b", "0", conductance=8e-4),
        capacitor("c1", "a", "0", capacitance=1e-7),
        resistor("r4", "in", "c", conductance=7e-4),
        resistor("r5", "c", "d", conductance=4e-4),
        resistor("r6", "d", "0", conductance=9e-4),
        capacitor("c2", "c", "0", capacitance=2e-7),
        CONTROLLED.element("d1", "a", "b", "c", "d", g=6e-4, k=2e4, c=5e-8),
        CONTROLLED.element("d2", "d", "c", "b", "0", g=3e-4, k=9e3, c=8e-8, x0=-0.2),
    ]
    wanted: dict[str, tuple[str, ...]] = dict.fromkeys(("d1", "d2"), ("g", "k", "c", "x0"))
    wanted |= {"r4": ("conductance",), "r6": ("conductance",), "c1": ("capacitance",)}
    outputs = (Output("b"), Output("c", "d"))
    return Network("control", tuple(elements), (Drive("s", 0),), outputs, trained(elements, wanted))


def control_error(session: Session, **plan: Any) -> float:
    times = np.linspace(0.0, SPAN, 2001)
    drives = (0.5 + 0.8 * np.sin(2e3 * np.pi * 1.7 * times))[:, None]
    target = 0.2 * np.cos(2e3 * np.pi * times)[:, None] * np.ones((1, 2))
    return compared(control_network(), session, SPAN, SPAN / 2000, drives, target, **plan)


@pytest.mark.parametrize("realisation", REALISATIONS)
@pytest.mark.parametrize("from_rest", [True, False])
def test_the_adjoint_of_a_control_port_is_exact(
    realisation: Realisation, from_rest: bool, session: Session
) -> None:
    chosen = available(realisation)
    assert control_error(session, realisation=chosen, from_rest=from_rest) < 1e-4


@pytest.mark.parametrize("key", ["gc", "hc_x", "hu_x", "fx_x"])
def test_a_wrong_sign_in_the_linearisation_is_seen(
    key: str, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = circuits.adjoint.coefficients

    def wrong(device: Device) -> tuple[circuits.adjoint.Coefficient, ...]:
        return tuple(replace(c, expression=-c.expression) if c.key == key else c for c in right(device))

    monkeypatch.setattr(circuits.adjoint, "coefficients", wrong)
    assert control_error(session) > 1e-2


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_a_synapse_is_its_equations_and_draws_nothing_at_its_control_port(
    realisation: Realisation, session: Session
) -> None:
    """A presynaptic spike train as a waveform, the postsynaptic voltage held; the receptors by LSODA."""
    duration = 20e-3
    times = np.linspace(0.0, duration, 4001)
    spikes = -0.065 + 0.1 * np.exp(-(((times % 8e-3) - 3e-3) ** 2) / (2 * 0.4e-3**2))
    synapse = chemical_synapse("y", "pre", "post", weight=0.5, alpha=1.5, beta=0.3, s0=0.05)
    elements = (
        voltage_source("a", "pre", driven=True), voltage_source("b", "post", dc=-0.06), synapse
    )  # fmt: skip
    deck = build_deck(
        Network("synapse", elements, (Drive("a", 0),)), TIGHT, saves=("i(va)", "i(vb)", "v(y_s)"),
        time_scale=duration, realisation=available(realisation),
    )  # fmt: skip
    waves = session.load(deck).transient([sampled(times, spikes[:, None])], duration, 5e-6)

    def slope(t: float, s: np.ndarray) -> np.ndarray:
        released = 1.0 / (1.0 + np.exp(-(1e3 * np.interp(t, times, spikes) - 2.0) / 5.0))
        return np.asarray(1e3 * (1.5 * released * (1.0 - s) - 0.3 * s))

    exact = solve_ivp(slope, (0.0, duration), [0.05], method="LSODA", rtol=1e-10, atol=1e-12, max_step=2e-5,
                      t_eval=np.minimum(waves.time, duration)).y[0]  # fmt: skip
    assert exact.max() > 0.4
    np.testing.assert_allclose(waves["v(y_s)"], exact, atol=2e-5)
    np.testing.assert_allclose(-waves["i(vb)"], 0.5e-3 * exact * (-0.06 - 0.0), atol=1e-9)
    assert np.abs(waves["i(va)"]).max() < 1e-12
