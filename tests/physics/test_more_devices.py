"""Gyrator and fractional element in ngspice; gradients by source currents and source waveforms."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.errors import UnsupportedElementError
from bridge.estimators import Causal, DynamicBatch, FiniteDifference, Lagrangian
from bridge.estimators.adjoint import AdjointTask, SourceGradientTask
from bridge.losses.combine import OnOutputs
from bridge.losses.energy import EnergyLoss
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice.drives import constant, sampled
from bridge.ngspice.session import Session
from circuits.deck import SolverOptions
from circuits.devices.diode import diode
from circuits.devices.fractional import fractional_element
from circuits.devices.passive import capacitor, inductor, resistor
from circuits.devices.sources import current_source, gyrator, voltage_source
from circuits.netlist import build_deck
from circuits.network import Drive, Network, Output, Trainable

DURATION = 1e-6
TIMES = np.linspace(0.0, DURATION, 401)
WAVES = np.stack([0.8 * np.sin(2 * np.pi * 2e6 * TIMES), 1e-3 * np.sin(2 * np.pi * 3.1e6 * TIMES)], axis=1)
TARGET = 0.2 * np.sin(2 * np.pi * 1.3e6 * TIMES)[:, None]


def test_a_gyrator_turns_a_capacitor_into_an_inductor(session: Session) -> None:
    """A gyrator of g with C behind it is an inductor of C / g^2: the same ring, to the last millivolt."""
    g, c = 2e-3, 1e-9
    source = (current_source("i", "0", "a", driven=True), capacitor("ca", "a", "0", capacitance=1e-10))
    loss = resistor("r", "a", "0", conductance=1e-4)
    turned = (gyrator("g", "a", "0", "b", "0", gain=g), capacitor("cb", "b", "0", capacitance=c))
    waves = []
    for part in (turned, (inductor("l", "a", "0", inductance=c / g**2),)):
        net = Network("ring", (*source, loss, *part), (Drive("i", 0),), (Output("a"),))
        deck = build_deck(net, SolverOptions(trtol=1e6), saves=("v(a)",))
        circuit = session.load(deck)
        waves.append(circuit.transient([constant([1e-4])], DURATION, DURATION / 2000)["v(a)"])
    assert np.abs(waves[1]).max() > 0.01
    np.testing.assert_allclose(waves[0], waves[1], atol=2e-5 * np.abs(waves[1]).max())


@pytest.mark.parametrize("order", [0.3, 0.5, 0.7])
def test_a_fractional_element_has_its_order(session: Session, order: float) -> None:
    """Driven by a current sine within its band, voltage and phase are those of (j omega)^-order."""
    coefficient, omega = 1e-3, 2 * np.pi * 2e6
    element = fractional_element(
        "f", "a", "0", coefficient=coefficient * omega**-order, low=1e4, high=1e10, order=order, sections=18
    )
    net = Network(
        "f", (current_source("i", "0", "a", driven=True), element), (Drive("i", 0),), (Output("a"),)
    )
    circuit = session.load(build_deck(net, SolverOptions(trtol=1e6), saves=("v(a)",)))
    end = 20 * 2 * np.pi / omega
    times = np.linspace(0.0, end, 4001)
    wave = circuit.transient(
        [sampled(times, 1e-3 * np.sin(omega * times)[:, None], order=3)], end, end / 4000
    )
    late = wave.time > end / 2
    basis = np.stack([np.sin(omega * wave.time), np.cos(omega * wave.time), np.ones(len(wave))], axis=1)[late]
    sine, cosine, _ = np.linalg.lstsq(basis, wave["v(a)"][late], rcond=None)[0]
    assert np.hypot(sine, cosine) == pytest.approx(1.0, rel=0.03)
    assert np.degrees(np.arctan2(cosine, sine)) == pytest.approx(-90 * order, abs=2.0)


def network(probes: tuple[str, ...] = ()) -> Network:
    """A voltage and a current source into a small network with an inductor and a diode."""
    elements = (
        voltage_source("s1", "x", driven=True),
        current_source("s2", "0", "b", driven=True),
        resistor("r1", "x", "a", conductance=1e-3),
        resistor("r2", "a", "b", conductance=1.2e-3),
        resistor("r3", "b", "0", conductance=5e-4),
        inductor("l1", "a", "0", inductance=1e-4),
        diode("d1", "b", "0"),
        capacitor("ca", "a", "0", capacitance=1e-10),
        capacitor("cb", "b", "0", capacitance=1e-10),
    )
    trainable = [Trainable(f"r{k}", "conductance", 1e-6, 1e-2) for k in (1, 2, 3)]
    trainable += [Trainable("l1", "inductance", 1e-6, 1e-2), Trainable("ca", "capacitance", 1e-12, 1e-8)]
    drives = (Drive("s1", 0), Drive("s2", 1))
    return Network("n", elements, drives, (Output("b"),), tuple(trainable), probes=probes)


def test_the_energy_drawn_from_a_source_has_an_exact_gradient(session: Session) -> None:
    plan = DynamicPlan(network(("s1",)), DURATION, DURATION / 1000)
    loss = OnOutputs(EnergyLoss(times=TIMES, voltages=1e9 * WAVES[:, :1]), (1,))
    batch = DynamicBatch(TIMES, WAVES[None], [None])
    phases = DynamicPhases(plan, session)
    value, gradient, _ = AdjointTask(batch, 0, loss).run(phases)
    assert value > 0.01  # power flows out of the source
    reference = FiniteDifference(1e-3)
    found = [t.run(phases) for t in reference.tasks(plan, batch, loss)]
    expected = reference.combine(plan, batch, found)
    assert expected.loss == value
    scaled, wanted = gradient * phases.parameters, expected.gradient * phases.parameters
    assert np.linalg.norm(scaled - wanted) < 2e-4 * np.linalg.norm(wanted)


@pytest.mark.parametrize("estimator", [Lagrangian(), Causal()])
def test_other_estimators_refuse_currents_as_outputs(estimator: Lagrangian | Causal) -> None:
    with pytest.raises(UnsupportedElementError, match=r"^s1: its current is an output.*adjoint"):
        estimator.check(DynamicPlan(network(("s1",)), DURATION, DURATION / 1000))


@pytest.mark.parametrize("source", [0, 1])
def test_the_gradient_by_a_source_waveform(session: Session, source: int) -> None:
    """Its inner product with any change of the waveform is the change of the loss."""
    phases = DynamicPhases(DynamicPlan(network(), DURATION, DURATION / 1000), session)
    loss = WaveformMSE(TIMES)
    times, gradient = SourceGradientTask(DynamicBatch(TIMES, WAVES[None], [TARGET]), 0, loss).run(phases)
    change = np.abs(WAVES[:, source]).max() * 1e-3 * np.sin(2 * np.pi * 1.7e6 * TIMES) ** 2
    ends = []
    for sign in (1.0, -1.0):
        moved = WAVES.copy()
        moved[:, source] += sign * change
        ends.append(phases.evaluate(DynamicBatch(TIMES, moved[None], [TARGET]), loss)[0][0])
    moving = gradient[:, source] * np.interp(times, TIMES, change)
    expected = np.trapezoid(moving, times)
    size = np.trapezoid(np.abs(moving), times)
    assert abs((ends[0] - ends[1]) / 2 - expected) < 2e-4 * size
    assert abs(expected) > 0.02 * size
