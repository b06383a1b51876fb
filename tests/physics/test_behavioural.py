"""Nonlinear devices in ngspice against LSODA, with laws written out here; the fractional ladders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from bridge.dynamics import FIXED_GRID, DynamicPlan
from bridge.errors import NetworkError
from bridge.ngspice.drives import constant, sampled
from bridge.ngspice.session import Session
from bridge.validation.classes import MEMRISTOR, RELAXING
from circuits.devices.base import Element
from circuits.devices.behavioural import (
    EXPONENTIAL_DIODE,
    JUNCTION_CAPACITOR,
    MOS_CAPACITOR,
    POLYNOMIAL_CAPACITOR,
    POLYNOMIAL_INDUCTOR,
    TANH_INDUCTOR,
    TANH_RESISTOR,
    two_terminal,
)
from circuits.devices.diode import THERMAL_VOLTAGE, diode
from circuits.devices.fractional import (
    CUBIC_FRACTIONAL_MEMRISTOR,
    TANH_FRACTIONAL_MEMRISTOR,
    foster_sections,
)
from circuits.devices.passive import capacitor, resistor
from circuits.devices.sources import voltage_source
from circuits.netlist import build_deck
from circuits.network import Drive, Network, Output, Trainable

T, G, C = 1e-6, 1e-3, 1e-10
TIMES = np.linspace(0.0, T, 16001)
TIGHT = replace(FIXED_GRID, reltol=1e-8, vntol=1e-10, trtol=1e9)
"""Newton's tolerance below the errors of the steps."""


def drive(t: np.ndarray | float) -> np.ndarray:
    """Input voltage [V]: zero at the start, positive and negative, up to about 1 V."""
    return np.asarray(0.9 * np.sin(2e6 * np.pi * 1.5 * t) + 0.3 * np.sin(2e6 * np.pi * 3.7 * t))


@dataclass(frozen=True)
class Case:
    """A device behind a resistor, with a linear capacitor beside it unless it is one.

    Attributes:
        element: between node `a` and ground.
        rates: right-hand sides of `(u, *states)` given the current `flow` through the resistor.
        start: of `(u, *states)`.
        load: capacitance beside it [F].
    """

    element: Element
    rates: Callable[[float, np.ndarray], Sequence[float]]
    start: tuple[float, ...] = (0.0,)
    load: float = 0.0


def conducting(element: Element, current: Callable[[float], float]) -> Case:
    return Case(element, lambda flow, y: [(flow - current(y[0])) / C], load=C)


def inductive(element: Element, current: Callable[[float], float], flux: float = 0.0) -> Case:
    return Case(element, lambda flow, y: [(flow - current(y[1])) / C, y[0]], (0.0, flux), C)


def junction(u: float) -> float:
    """Depletion capacitance [F] of 1e-10 F at zero, 0.7 V, grading 0.5, linear beyond half of that."""
    if u < 0.35:
        return 1e-10 / np.sqrt(1 - u / 0.7)
    return 1e-10 / np.sqrt(0.5) * (1 + 0.5 * (u - 0.35) / 0.35)


V = THERMAL_VOLTAGE
CASES = {
    "polynomial_capacitor": Case(
        POLYNOMIAL_CAPACITOR.element("d", "a", "0", c0=C, c3=C),
        lambda flow, y: [flow / (C * (1 + 3 * y[0] ** 2))],
    ),
    "junction_capacitor": Case(
        JUNCTION_CAPACITOR.element("d", "a", "0", c0=1e-10), lambda flow, y: [flow / junction(y[0])]
    ),
    "mos_capacitor": Case(
        MOS_CAPACITOR.element("d", "a", "0", cmin=5e-11, cmax=2e-10, threshold=0.1, width=0.15),
        lambda flow, y: [flow / (5e-11 + 7.5e-11 * (1 + np.tanh((y[0] - 0.1) / 0.15)))],
    ),
    "polynomial_inductor": inductive(
        POLYNOMIAL_INDUCTOR.element("d", "a", "0", l0=1e-4, a3=1e17, initial_flux=1e-10),
        lambda f: f / 1e-4 + 1e17 * f**3,
        1e-10,
    ),
    "tanh_inductor": inductive(
        TANH_INDUCTOR.element("d", "a", "0", l0=1e-4, saturation=5e-4),
        lambda f: 5e-4 * np.tanh(f / 5e-8),
    ),
    "tanh_resistor": conducting(
        TANH_RESISTOR.element("d", "a", "0", conductance=2e-3, scale=0.2),
        lambda u: 4e-4 * np.tanh(u / 0.2),
    ),
    "exponential_diode": conducting(
        EXPONENTIAL_DIODE.element("d", "a", "0", saturation_current=1e-7, emission=1.8),
        lambda u: 1e-7 * np.expm1(u / (1.8 * V)),
    ),
    "native_diode": conducting(diode("d", "a", "0", area=3.0), lambda u: 3e-8 * np.expm1(u / (1.5 * V))),
    "bounded_memristor": Case(
        MEMRISTOR.element("d", "a", "0", g=1e-3, k=2e7, x0=0.4),
        lambda flow, y: [
            (flow - 1e-3 * (1 + y[1]) * np.sinh(2 * y[0])) / C,
            2e7 * y[0] * y[1] * (1 - y[1]),
        ],
        (0.0, 0.4),
        C,
    ),
    "relaxing_memristor": Case(
        RELAXING.element("d", "a", "0", g=1e-3, k=5e6, a=4.0, x0=0.2),
        lambda flow, y: [(flow - 1e-3 * (1 + y[1] ** 2) * y[0]) / C, 5e6 * (4.0 * y[0] - y[1])],
        (0.0, 0.2),
        C,
    ),
}


def simulated(case: Case, session: Session, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Times and voltages of node `a`."""
    elements = [voltage_source("s", "x", driven=True), resistor("r", "x", "a", conductance=G), case.element]
    if case.load:
        elements.append(capacitor("c", "a", "0", capacitance=case.load))
    deck = build_deck(Network("one", tuple(elements), (Drive("s", 0),)), TIGHT, saves=("v(a)",), time_scale=T)
    waves = session.load(deck).transient([sampled(TIMES, drive(TIMES)[:, None])], T, T / steps, uic=True)
    return waves.time, waves["v(a)"]


@pytest.mark.parametrize("name", CASES)
def test_the_device_is_its_equations_to_second_order_in_the_step(name: str, session: Session) -> None:
    case = CASES[name]
    exact = solve_ivp(
        lambda t, y: case.rates(G * (float(drive(t)) - y[0]), y), (0, T), case.start, method="LSODA",
        rtol=1e-11, atol=[1e-12] * 1 + [1e-20 if "inductor" in name else 1e-12] * (len(case.start) - 1),
        dense_output=True, max_step=T / 500,
    )  # fmt: skip
    errors = []
    for steps in (500, 1000):
        time, found = simulated(case, session, steps)
        errors.append(float(np.abs(found - exact.sol(time)[0]).max()))
    assert errors[1] < 2e-4 * np.abs(exact.y[0]).max()
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.25)


STATIC = [
    TANH_RESISTOR.element("d", "a", "0", conductance=2e-3, scale=0.2),
    EXPONENTIAL_DIODE.element("d", "a", "0", saturation_current=1e-7, emission=1.8),
    two_terminal("own", "g*(u + 3*u**3)*exp(-(u/s)**2)", {"g": "S", "s": "V"}).element(
        "d", "a", "0", g=1e-3, s=0.7
    ),
]


@pytest.mark.parametrize("element", STATIC, ids=lambda e: e.device.kind)
@pytest.mark.parametrize("live", [False, True])
def test_the_netlists_current_is_the_symbolic_law(element: Element, live: bool, session: Session) -> None:
    """As numbers in the netlist, and as parameters that can be altered."""
    trained = tuple(Trainable("d", p.name, p.lower, p.upper) for p in element.device.parameters if live)
    network = Network("law", (voltage_source("s", "a", driven=True), element), (Drive("s", 0),), (), trained)
    circuit = session.load(build_deck(network, nudges=False, saves=("i(vs)",)))
    points = np.array([-1.1, -0.3, -1e-3, 0.0, 0.05, 0.4])

    def check(values: dict[str, float]) -> None:
        found = np.array([-circuit.operating_point([constant([u])])[0] for u in points])
        wanted = element.device.current(points, values)
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=2e-12)

    check(element.parameters)
    if live:
        moved = {k: 1.1 * v for k, v in element.parameters.items()}
        circuit.alter([element.device.alter_target(element, k) for k in moved], list(moved.values()))
        check(moved)


def test_a_node_of_charges_and_fluxes_alone_can_be_simulated(session: Session) -> None:
    """Trainable parameters are voltages, zero in the first iteration: the matrix must have a pivot."""
    elements = (
        voltage_source("s", "x", driven=True),
        resistor("r", "x", "a", conductance=G),
        POLYNOMIAL_CAPACITOR.element("ca", "a", "0", c0=C, c3=C),
        POLYNOMIAL_INDUCTOR.element("l", "a", "b", l0=1e-4, a3=1e16, initial_flux=1e-9),
        POLYNOMIAL_CAPACITOR.element("cb", "b", "0", c0=C, c3=C),
    )
    trained = tuple(Trainable(n, "c0", 0.0, 1.0) for n in ("ca", "cb"))
    network = Network("lc", elements, (Drive("s", 0),), (Output("b"),), trained)
    plan = DynamicPlan(network, T, T / 500)
    circuit = session.load(plan.deck())
    waves = circuit.transient([sampled(TIMES, drive(TIMES)[:, None])], T, T / 500, uic=True)
    assert circuit.rung == "as given"

    def rates(t: float, y: np.ndarray) -> list[float]:
        a, b, flux = y
        current = flux / 1e-4 + 1e16 * flux**3
        size = [C * (1 + 3 * v**2) for v in (a, b)]
        return [(G * (float(drive(t)) - a) - current) / size[0], current / size[1], a - b]

    exact = solve_ivp(rates, (0, T), (0.0, 0.0, 1e-9), method="LSODA", rtol=1e-10, atol=[1e-10, 1e-10, 1e-19],
                      dense_output=True)  # fmt: skip
    np.testing.assert_allclose(waves["v(b)"], exact.sol(waves.time)[1], atol=3e-4)


# Fractional elements.


def impedance(omega: np.ndarray, low: float, high: float, sections: int, order: float) -> np.ndarray:
    resistances, capacitances = foster_sections(low, high, sections, order)
    branches = 1 / (1 / resistances[:-1] + 1j * omega[:, None] * capacitances)
    return np.asarray(branches.sum(axis=1) + resistances[-1])


@pytest.mark.parametrize("order", [0.3, 0.5, 0.8])
def test_a_ladder_follows_its_power_of_the_frequency_within_its_band(order: float) -> None:
    low, high = 1e4, 1e10
    omega = np.geomspace(30 * low, high / 30, 200)
    ratio = impedance(omega, low, high, 15, order) / (1j * omega) ** -order
    assert np.abs(np.abs(ratio) - 1).max() < 0.03
    assert np.degrees(np.abs(np.angle(ratio))).max() < 2.5


def test_more_sections_are_closer_and_the_values_are_positive() -> None:
    omega = np.geomspace(1e6, 1e8, 100)
    worst = [np.abs(impedance(omega, 1e4, 1e10, n, 0.5) / (1j * omega) ** -0.5 - 1).max() for n in (6, 12)]
    assert worst[1] < 0.5 * worst[0]
    assert all((part > 0).all() for part in foster_sections(1e4, 1e10, 12))


@pytest.mark.parametrize(
    "bad", [(1e5, 1e4, 5, 0.5), (0.0, 1e4, 5, 0.5), (1e3, 1e4, 0, 0.5), (1e3, 1e4, 5, 1.0)]
)
def test_ladders_without_meaning_are_refused(bad: tuple[float, float, int, float]) -> None:
    with pytest.raises(NetworkError, match="low < high"):
        foster_sections(*bad)


def behind_a_resistor(element: Element, session: Session, steps: int = 1000) -> np.ndarray:
    return simulated(Case(element, lambda *_: (), load=C), session, steps)[1]


@pytest.mark.parametrize(("low", "high", "sections"), [(1e5, 1e9, 10), (3e6, 2e7, 1), (1e7, 1e12, 25)])
def test_the_two_ladders_cancel_for_a_linear_law_whatever_their_band(
    low: float, high: float, sections: int, session: Session
) -> None:
    plain = behind_a_resistor(resistor("d", "a", "0", conductance=7e-4), session)
    linear = CUBIC_FRACTIONAL_MEMRISTOR.element(
        "d", "a", "0", conductance=7e-4, cubic=0.0, low=low, high=high, sections=sections
    )
    np.testing.assert_allclose(behind_a_resistor(linear, session), plain, atol=2e-6)
    scaled = CUBIC_FRACTIONAL_MEMRISTOR.element(
        "d", "a", "0", conductance=7e-4, low=low, high=high, sections=sections, ladder_scale=1e6
    )
    np.testing.assert_allclose(behind_a_resistor(scaled, session), plain, atol=2e-6)


def test_a_nonlinear_fractional_memristor_is_its_ladders_equations(session: Session) -> None:
    """The chain ladder, law, ladder in the state variables of its RC sections, by LSODA."""
    low, high, saturation = 1e6, 1e9, 3e-4
    r, c = foster_sections(low, high, 5)
    element = TANH_FRACTIONAL_MEMRISTOR.element(
        "d", "a", "0", conductance=1e-3, saturation=saturation, low=low, high=high, sections=5
    )

    def rates(t: float, y: np.ndarray) -> np.ndarray:
        u, first, second = y[0], y[1:6], y[6:]
        held = first.sum() + r[-1] * u  # the first ladder is driven by a current equal to u
        law = 1e-3 * saturation * np.tanh(held / saturation)
        current = (law - second.sum()) / r[-1]
        return np.concatenate([
            [(G * (float(drive(t)) - u) - current) / C],
            (u - first / r[:-1]) / c,
            (current - second / r[:-1]) / c,
        ])  # fmt: skip

    exact = solve_ivp(rates, (0, T), np.zeros(11), method="LSODA", rtol=1e-9, atol=1e-14, dense_output=True)
    errors = []
    for steps in (1000, 2000):
        time, found = simulated(Case(element, lambda *_: (), load=C), session, steps)
        errors.append(float(np.abs(found - exact.sol(time)[0]).max()))
    assert errors[1] < 2e-4 * np.abs(exact.y[0]).max()
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.3)
    plain = behind_a_resistor(resistor("d", "a", "0", conductance=1e-3), session)
    assert np.abs(behind_a_resistor(element, session) - plain).max() > 1e-2
