"""Each device in ngspice against what it is defined to be: laws, signs, gains, conservation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import NetworkError
from bridge.ngspice.drives import constant, sampled
from bridge.ngspice.session import Session
from bridge.waveforms import Waveforms
from circuits.deck import SolverOptions
from circuits.devices.base import Device, Element, ModelCard
from circuits.devices.diode import DIODE, diode
from circuits.devices.passive import RESISTOR, capacitor, inductor, resistor
from circuits.devices.sources import (
    SWITCH,
    amplifier,
    cccs,
    ccvs,
    current_source,
    switch,
    vccs,
    vcvs,
    voltage_source,
)
from circuits.netlist import build_deck
from circuits.network import Drive, Network

SMOOTH = SolverOptions(trtol=1e9)
"""The largest step alone sets the time points."""


def still(session: Session, *elements: Element, currents: tuple[str, ...] = ()) -> dict[str, float]:
    """Node voltages at the operating point by name, and the branch currents asked for."""
    network = Network("still", elements)
    names = [*network.nodes, *currents]
    saves = (*(f"v({n})".lower() for n in network.nodes), *(f"i({c})" for c in currents))
    values = session.load(build_deck(network, saves=saves)).operating_point()
    return dict(zip(names, map(float, values), strict=True))


def moving(
    session: Session, elements: tuple[Element, ...], saves: tuple[str, ...], duration: float, step: float
) -> Waveforms:
    deck = build_deck(Network("moving", elements), SMOOTH, saves=saves)
    return session.load(deck).transient([], duration, step)


def test_resistors_divide_by_their_conductances(session: Session) -> None:
    v = still(
        session,
        voltage_source("v", "a", dc=3.0),
        resistor("up", "a", "b", conductance=1e-3),
        resistor("down", "b", "0", conductance=5e-3),
        currents=("vv",),
    )
    assert v["b"] == pytest.approx(0.5, rel=1e-12)
    assert v["vv"] == pytest.approx(-2.5e-3, rel=1e-9)  # SPICE counts the current into the source


def slope(errors: list[float]) -> float:
    return float(np.polyfit(np.arange(len(errors)), -np.log2(errors), 1)[0])


def test_a_capacitor_charges_exponentially_with_an_error_of_second_order(session: Session) -> None:
    tau = 1e-6
    elements = (
        voltage_source("v", "a", dc=2.0),
        resistor("r", "a", "b", conductance=1e-3),
        capacitor("c", "b", "0", capacitance=1e-9, initial_voltage=-0.5),
    )
    errors = []
    for points in (20, 40, 80, 160):
        w = moving(session, elements, ("v(b)",), 3 * tau, tau / points)
        errors.append(float(np.abs(w["v(b)"] - (2.0 - 2.5 * np.exp(-w.time / tau))).max()))
    assert slope(errors) == pytest.approx(2.0, abs=0.15)
    assert errors[-1] < 3e-5


def test_the_current_of_an_inductor_rises_exponentially_with_an_error_of_second_order(
    session: Session,
) -> None:
    tau = 1e-6
    elements = (
        voltage_source("v", "a", dc=2.0),
        resistor("r", "a", "b", conductance=1e-3),
        inductor("l", "b", "0", inductance=1e-3, initial_current=-1e-3),
    )
    errors = []
    for points in (20, 40, 80, 160):
        w = moving(session, elements, ("i(ll)",), 3 * tau, tau / points)
        errors.append(float(np.abs(w["i(ll)"] - (2e-3 - 3e-3 * np.exp(-w.time / tau))).max()))
    assert slope(errors) == pytest.approx(2.0, abs=0.15)
    assert errors[-1] < 3e-8


def test_a_ringing_circuit_keeps_its_energy_and_its_frequency(session: Session) -> None:
    inductance, capacitance = 1e-6, 1e-9
    period = 2 * np.pi * np.sqrt(inductance * capacitance)
    elements = (
        capacitor("c", "a", "0", capacitance=capacitance, initial_voltage=1.0),
        inductor("l", "a", "0", inductance=inductance),
    )
    w = moving(session, elements, ("v(a)", "i(ll)"), 20 * period, period / 1000)
    energy = 0.5 * capacitance * w["v(a)"] ** 2 + 0.5 * inductance * w["i(ll)"] ** 2
    np.testing.assert_allclose(energy, 0.5 * capacitance, rtol=2e-4)
    np.testing.assert_allclose(w["v(a)"], np.cos(2 * np.pi * w.time / period), atol=1e-3)
    np.testing.assert_allclose(
        w["i(ll)"] / 1e-3, np.sqrt(1e-3) * 1e3 * np.sin(2 * np.pi * w.time / period), atol=3e-2
    )


CARD = ModelCard("card", "D", (("is", 2e-9), ("n", 1.3)))


@pytest.mark.parametrize("area", [1.0, 0.3, 7.5])
def test_the_diodes_law_is_the_simulators(session: Session, area: float) -> None:
    element = diode("d", "a", "b", model=CARD, area=area)
    network = Network(
        "iv",
        (voltage_source("p", "a", driven=True), element, voltage_source("m", "b", dc=0.0)),
        (Drive("p", 0),),
    )
    gmin = SolverOptions().gmin
    circuit = session.load(build_deck(network, saves=("i(vp)", "i(vm)")))
    u = np.array([-2.0, -0.1, -0.01, 0.0, 0.01, 0.1, 0.3, 0.45, 0.6])
    found = np.array([circuit.operating_point([constant([x])]) for x in u])
    law = element.device.current(u, element.parameters) + gmin * u
    np.testing.assert_allclose(-found[:, 0], law, rtol=1e-5, atol=1e-17)  # ngspice's own constants: 1e-6
    np.testing.assert_allclose(found[:, 1], -found[:, 0], rtol=1e-9, atol=1e-18)


def test_a_diode_conducts_from_anode_to_cathode(session: Session) -> None:
    v = still(
        session,
        current_source("i", "0", "a", dc=1e-3),
        diode("d", "a", "0", model=CARD),
        resistor("r", "a", "0", conductance=1e-6),
        current_source("j", "0", "b", dc=1e-3),
        diode("e", "0", "b", model=CARD),
        resistor("s", "b", "0", conductance=1e-3),
    )
    assert 0.3 < v["a"] < 0.6
    assert v["b"] == pytest.approx(1.0, rel=1e-4)


def test_a_current_flows_through_its_source_from_the_first_to_the_second_node(session: Session) -> None:
    load = resistor("r", "a", "0", conductance=1e-3)
    assert still(session, current_source("i", "a", "0", dc=2e-3), load)["a"] == pytest.approx(-2.0)
    assert still(session, current_source("i", "0", "a", dc=2e-3), load)["a"] == pytest.approx(2.0)
    assert still(session, voltage_source("v", "a", "0", dc=2.0), load)["a"] == pytest.approx(2.0)
    assert still(session, voltage_source("v", "0", "a", dc=2.0), load)["a"] == pytest.approx(-2.0)


CONTROL = (voltage_source("cp", "x", dc=0.7), voltage_source("cn", "y", dc=0.3))
LOAD = resistor("load", "a", "b", conductance=1e-3), voltage_source("ref", "b", dc=0.1)


def test_a_voltage_controls_a_voltage(session: Session) -> None:
    assert still(session, *CONTROL, *LOAD, vcvs("e", "a", "b", "x", "y", gain=3.0))["a"] == pytest.approx(1.3)


def test_a_voltage_controls_a_current_out_of_the_first_node(session: Session) -> None:
    v = still(session, *CONTROL, *LOAD, vccs("g", "a", "b", "x", "y", gain=2e-3))
    assert v["a"] - v["b"] == pytest.approx(-0.8)


SENSED = resistor("sense", "x", "z", conductance=5e-3)
"""0.4 V across it: 2 mA from z to y through the controlling branch."""


def test_a_current_controls_a_voltage(session: Session) -> None:
    v = still(session, *CONTROL, *LOAD, SENSED, ccvs("h", "a", "b", "z", "y", gain=250.0))
    assert v["z"] == pytest.approx(0.3)
    assert v["a"] - v["b"] == pytest.approx(0.5)


def test_a_current_controls_a_current_out_of_the_first_node(session: Session) -> None:
    v = still(session, *CONTROL, *LOAD, SENSED, cccs("f", "a", "b", "z", "y", gain=0.25))
    assert v["a"] - v["b"] == pytest.approx(-0.5)


@pytest.mark.parametrize(("gain", "backward"), [(4.0, None), (4.0, 4.0), (0.5, 0.3)])
def test_an_amplifier_sends_voltages_forward_and_currents_backward(
    session: Session, gain: float, backward: float | None
) -> None:
    v = still(
        session,
        voltage_source("v", "a", dc=1.0),
        resistor("in", "a", "p", conductance=1e-3),
        amplifier("m", "p", "q", gain=gain, backward_gain=backward, ref="r"),
        resistor("out", "q", "0", conductance=4e-4),
        voltage_source("bias", "r", dc=0.2),
    )
    assert v["q"] - v["r"] == pytest.approx(gain * (v["p"] - v["r"]), rel=1e-9)
    drawn, delivered = 1e-3 * (v["a"] - v["p"]), 4e-4 * v["q"]
    assert delivered > 1e-5
    assert drawn == pytest.approx((1.0 / gain if backward is None else backward) * delivered, rel=1e-8)


def test_a_switch_closes_above_its_threshold(session: Session) -> None:
    network = Network(
        "switch",
        (
            voltage_source("v", "a", dc=1.0),
            switch("s", "a", "b", "c", "d", threshold=0.4, on_resistance=10.0, off_resistance=1e5),
            resistor("r", "b", "0", conductance=1e-3),
            voltage_source("c", "c", driven=True),
            voltage_source("d", "d", dc=0.1),
        ),
        (Drive("c", 0),),
    )
    circuit = session.load(build_deck(network, saves=("v(b)",)))
    assert circuit.operating_point([constant([0.49])])[0] == pytest.approx(1e3 / 101e3, rel=1e-9)
    assert circuit.operating_point([constant([0.51])])[0] == pytest.approx(1e3 / 1010, rel=1e-9)
    w = circuit.transient([sampled([0.0, 1e-6], [[0.0], [1.0]])], 1e-6, 1e-8)
    closed = w.time[w["v(b)"] > 0.5]
    assert closed[0] == pytest.approx(0.5e-6, abs=2.1e-8)
    with pytest.raises(NetworkError, match="a switch needs a model card"):
        build_deck(Network("bare", (SWITCH.element("s", "a", "0", "a", "0"),)))


def random_network(seed: int) -> Network:
    rng = np.random.default_rng(seed)
    nodes = [f"n{k}" for k in range(12)]
    elements: list[Element] = [voltage_source("v", "n0", dc=1.2), voltage_source("w", "n1", "n2", dc=0.4)]
    for k in range(1, 12):  # a tree, so that every node has a way to ground
        elements.append(
            resistor(f"t{k}", nodes[k], nodes[rng.integers(k)], conductance=rng.uniform(1e-4, 1e-3))
        )
    for k in range(15):
        a, b = rng.choice([*nodes, "0"], 2, replace=False)
        if k % 3:
            elements.append(resistor(f"r{k}", a, b, conductance=rng.uniform(1e-4, 1e-3)))
        else:
            elements.append(diode(f"d{k}", a, b, area=rng.uniform(0.5, 3.0)))
    elements.append(current_source("i", "n5", "n9", dc=3e-4))
    return Network("random", tuple(elements))


@pytest.mark.parametrize("seed", range(4))
def test_currents_and_powers_balance_in_a_random_network(session: Session, seed: int) -> None:
    network = random_network(seed)
    v = {**still(session, *network.elements, currents=("vv", "vw")), "0": 0.0}
    leaving = dict.fromkeys([*network.nodes, "0"], 0.0)
    power, spent = 0.0, 0.0
    for e in network.elements:
        p, n = e.nodes
        u = v[p] - v[n]
        if e.device.kind == "voltage_source":
            current = v[f"v{e.name}"]
            assert u == pytest.approx(e.value("dc"), abs=1e-12)
        elif e.device.kind == "current_source":
            current = e.value("dc")
        else:
            current = float(e.device.current(np.array(u), e.parameters))
            spent += u * current
        leaving[p] += current
        leaving[n] -= current
        power += u * current
    assert spent > 1e-5
    np.testing.assert_allclose(list(leaving.values()), 0.0, atol=2e-9)  # Kirchhoff
    assert abs(power) < 1e-5 * spent  # Tellegen


LAWS: list[tuple[Device, dict[str, tuple[float, float]]]] = [
    (RESISTOR, {"conductance": (1e-6, 1e-2)}),
    (DIODE, {"area": (0.1, 10.0), "saturation_current": (1e-12, 1e-8), "emission": (1.0, 2.0)}),
]


POINTS, WEIGHTS = np.polynomial.legendre.leggauss(60)


@pytest.mark.parametrize(("device", "ranges"), LAWS, ids=[d.kind for d, _ in LAWS])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_derivatives_follow_the_law(
    device: Device, ranges: dict[str, tuple[float, float]], data: st.DataObject
) -> None:
    values = {name: data.draw(st.floats(*bounds), name) for name, bounds in ranges.items()}
    u = data.draw(st.floats(1e-3, 0.6), "size") * data.draw(st.sampled_from([-1.0, 1.0]), "sign")

    def current(voltage: float, **changes: float) -> float:
        return float(device.current(np.array(voltage), {**values, **changes}))

    scale = abs(current(u)) + max(abs(current(0.01)), 1e-300)
    h = 1e-4
    numeric = (current(u + h) - current(u - h)) / (2 * h)
    assert float(device.conductance(np.array(u), values)) == pytest.approx(
        numeric, rel=1e-5, abs=1e-9 * scale / h
    )
    for name, value in values.items():
        d = 1e-5 * value
        numeric = (current(u, **{name: value + d}) - current(u, **{name: value - d})) / (2 * d)
        found = float(device.current_gradient(np.array(u), name, values))
        assert found == pytest.approx(numeric, rel=1e-6, abs=1e-9 * scale / value)
        if name in ("conductance", "area"):
            integral = 0.5 * u * (WEIGHTS @ device.current_gradient(0.5 * u * (POINTS + 1.0), name, values))
            assert float(device.cocontent_gradient(np.array(u), name, values)) == pytest.approx(
                integral, rel=1e-6
            )


def test_derivatives_take_arrays_of_voltages_and_of_parameters() -> None:
    u = np.array([0.1, 0.2, -0.3])
    g = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(RESISTOR.current(u, {"conductance": g}), u * g)
    np.testing.assert_allclose(RESISTOR.conductance(u, {"conductance": g}), g)
    np.testing.assert_allclose(RESISTOR.cocontent_gradient(u, "conductance", {"conductance": g}), u**2 / 2)
    with pytest.raises(NetworkError, match="resistor has no parameter 'area'"):
        RESISTOR.current_gradient(u, "area", {"conductance": g})
    with pytest.raises(NetworkError, match="a switch is not a two-terminal with a current law"):
        SWITCH.current(u, {})
