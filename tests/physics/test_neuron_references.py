"""Neurons and networks against independent integrations and linear theory; the validation notices faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from neuron_checks import trained
from scipy.integrate import solve_ivp
from scipy.optimize import brentq, fsolve

from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.ngspice.drives import constant, sampled
from bridge.ngspice.session import Session
from bridge.validation.devices import neuron
from bridge.validation.devices.content import Findings
from bridge.validation.devices.neuron_bench import circuit
from bridge.validation.devices.neuron_equations import EQUATIONS, crossings, integrate, steady
from bridge.validation.devices.specification import sheet_for
from bridge.validation.devices.subjects import NeuronSubject
from circuits.devices.neurons import CELLS, Scale, cell, gap_junction
from circuits.devices.sources import current_source
from circuits.network import Drive, Network, Output
from circuits.topologies.neurons import Connection, Input, Population, neuron_network

MIXED = ("hodgkin_huxley", "hodgkin_huxley", "morris_lecar", "integrate_and_fire")
NODES = ("e0", "e1", "m0", "l0")
SYNAPSES = (
    # from, to, weight [mS/cm^2], reversal [mV], alpha, beta [1/ms], half, width [mV]
    (0, 1, 0.3, -80.0, 5.0, 0.18, 2.0, 5.0), (1, 0, 0.3, -80.0, 5.0, 0.18, 2.0, 5.0),
    (0, 2, 0.8, 0.0, 1.1, 0.19, -5.0, 4.0), (1, 2, 0.8, 0.0, 1.1, 0.19, -5.0, 4.0),
    (0, 3, 0.05, 0.0, 1.1, 0.19, 2.0, 5.0), (1, 3, 0.05, 0.0, 1.1, 0.19, 2.0, 5.0),
    (3, 0, 0.1, -20.0, 1.1, 0.19, -40.0, 4.0), (3, 1, 0.1, -20.0, 1.1, 0.19, -40.0, 4.0),
)  # fmt: skip
CURRENTS = (10.0, 15.0, 80.0, 2.0)
GAP = 0.01


def mixed() -> Network:
    """Four neurons of three kinds, chemical synapses both ways and a gap junction."""
    populations = [Population("e", "hodgkin_huxley", 2), Population("m", "morris_lecar"),
                   Population("l", "integrate_and_fire")]  # fmt: skip
    slow = {"reversal": -80.0, "alpha": 5.0, "beta": 0.18}
    connections = [
        Connection("e", "e", weight=0.3, spread=0.0, options=slow),
        Connection("e", "m", weight=0.8, spread=0.0, options={"half": -5.0, "width": 4.0}),
        Connection("e", "l", weight=0.05, spread=0.0),
        Connection(
            "l", "e", weight=0.1, spread=0.0, options={"reversal": -20.0, "half": -40.0, "width": 4.0}
        ),
        Connection("m", "l", "gap", weight=GAP, spread=0.0),
    ]
    inputs = [Input(0, "e", [0], gain=2.0, offset=4.0), Input(0, "e", [1], gain=5.0),
              Input(0, "m", gain=0.0, offset=80.0), Input(0, "l", gain=0.0, offset=2.0)]  # fmt: skip
    return neuron_network(populations, connections, inputs, ["e", "m", "l"])[0]


def equations() -> tuple[Callable[[float, np.ndarray], list[float]], list[float], list[int]]:
    """The same network's equations in the units of the field, written out here."""
    cells = [EQUATIONS[k](CELLS[k].values({})) for k in MIXED]
    places = np.cumsum([0, *(len(start) for _, start in cells)]).tolist()

    def rate(t: float, y: np.ndarray) -> list[float]:
        voltage, open_ = [y[p] for p in places[:-1]], y[places[-1] :]
        current, by_receptor = list(CURRENTS), []
        for s, (pre, post, weight, reversal, alpha, beta, half, width) in zip(open_, SYNAPSES, strict=True):
            current[post] -= weight * s * (voltage[post] - reversal)
            release = 1.0 / (1.0 + np.exp(-(voltage[pre] - half) / width))
            by_receptor.append(alpha * release * (1.0 - s) - beta * s)
        through = GAP * (voltage[2] - voltage[3])
        current[2], current[3] = current[2] - through, current[3] + through
        found: list[float] = []
        for k, (slope, _) in enumerate(cells):
            found += slope(list(y[places[k] : places[k + 1]]), current[k])
        return found + by_receptor

    start = [v for _, one in cells for v in one] + [0.0] * len(SYNAPSES)
    return rate, start, places


def test_a_recurrent_network_of_three_kinds_obeys_its_equations(session: Session) -> None:
    """Spike times of all of them, LSODA on equations that share nothing but the neurons' own."""
    network, duration, spikes = mixed(), 70.0, []
    phases = DynamicPhases(DynamicPlan(network, 1e-3 * duration, 5e-6), session)
    waves = phases.free(sampled([0.0, 1e-3 * duration], network.drive_values(np.full((2, 1), 3.0))))
    rate, start, places = equations()
    exact = solve_ivp(rate, (0.0, duration), start, method="LSODA", rtol=1e-9, atol=1e-11, max_step=0.05)
    for node, place, kind in zip(NODES, places, MIXED, strict=False):
        level = CELLS[kind].spike
        found = crossings(1e3 * waves.time, 1e3 * waves[f"v({node})"], level)
        wanted = crossings(exact.t, exact.y[place], level)
        assert len(found) == len(wanted) >= 1
        spikes.append(len(found))
        np.testing.assert_allclose(found, wanted, atol=0.02)
    assert sum(spikes) >= 8


def test_densities_are_those_of_the_membranes_area() -> None:
    assert gap_junction("g", "a", "b", 0.02).value("conductance") == pytest.approx(0.02e-3)
    assert gap_junction("g", "a", "b", 0.02, scale=Scale(2e-4)).value("conductance") == pytest.approx(4e-9)


def test_a_gap_junction_divides_a_voltage_as_its_density_says(session: Session) -> None:
    """Two leaky membranes of 2e-4 cm^2: the second one follows by g / (g + leak)."""
    scale = Scale(2e-4)
    values = {"g_spike": 0.0, "g_reset": 0.0, "g_leak": 0.1, "e_leak": -65.0}
    elements = [e for n in "ab" for e in cell("integrate_and_fire", n, f"v{n}", scale=scale, **values)]
    elements += [
        gap_junction("g", "va", "vb", 0.05, scale=scale),
        current_source("i", "0", "va", driven=True),
    ]
    network = Network("two", tuple(elements), (Drive("i", 0),), (Output("vb"),), trained(elements, {}))
    phases = DynamicPhases(DynamicPlan(network, 0.3, 1e-3), session)
    waves = phases.free(constant([scale.to_circuit(1.0, "uA/cm^2")]))
    first, second = (1e3 * float(waves[f"v({n})"][-1]) + 65.0 for n in ("va", "vb"))
    assert second / first == pytest.approx(0.05 / 0.15, rel=1e-6)
    assert first + second == pytest.approx(1.0 / 0.1, rel=1e-6)


def test_spike_times_are_within_ten_microseconds_over_a_hundred_milliseconds(session: Session) -> None:
    exact = integrate("hodgkin_huxley", CELLS["hodgkin_huxley"].values({}), steady(10.0), 100.0, 0.0)
    found = neuron.NeuronBench(session, "hodgkin_huxley", {}, 100.0).run(steady(10.0))
    assert exact.spikes[-1] > 85.0
    apart = neuron.difference(found, exact)
    assert apart is not None
    assert apart < 10.0


# Linear theory.


def growth(kind: str, current: float) -> complex:
    """The eigenvalue of the resting state with the largest real part [1/ms]."""
    slope, start = EQUATIONS[kind](CELLS[kind].values({}))
    rest = fsolve(lambda y: slope(list(y), current), start, xtol=1e-12)
    columns = [(np.array(slope(list(rest + d), current)) - np.array(slope(list(rest - d), current))) / 2e-4
               for d in 1e-4 * np.eye(len(rest))]  # fmt: skip
    values = np.linalg.eigvals(np.array(columns).T)
    return complex(values[np.argmax(values.real)])


def test_the_hopf_current_of_fitzhugh_and_nagumo_is_the_closed_form() -> None:
    """The trace `1 - v^2 - b / tau` vanishes at `v = -sqrt(1 - b / tau)`, whose current is that of rest."""
    a, b, tau = 0.7, 0.8, 12.5
    v = -np.sqrt(1.0 - b / tau)
    wanted = 50.0 * (v**3 / 3.0 - v + (v + a) / b)
    found = brentq(lambda i: growth("fitzhugh_nagumo", i).real, 12.0, 20.0)
    assert found == pytest.approx(wanted, rel=1e-5)
    assert wanted == pytest.approx(16.564, abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "span", "cycles"),
    [
        ("fitzhugh_nagumo", (12.0, 20.0), 6),
        ("morris_lecar", (80.0, 110.0), 6),
        ("hodgkin_huxley", (8.0, 12.0), 6),
    ],
)
def test_rest_loses_its_stability_at_the_hopf_current(
    kind: str, span: tuple[float, float], cycles: int, session: Session
) -> None:
    """A small kick decays below it and grows above it, at the rate and the period of the eigenvalue."""
    critical = brentq(lambda i: growth(kind, i).real, *span)
    for share in (0.96, 1.03):
        current = share * critical
        value = growth(kind, current)
        assert (value.real > 0.0) == (share > 1.0)
        period = 2.0 * np.pi / abs(value.imag)
        duration = cycles * period
        network = circuit(kind, {})
        plan = DynamicPlan(network, 1e-3 * duration, 1e-3 * period / 1000.0, from_rest=False)
        phases = DynamicPhases(plan, session)
        kick = 1e-6 * (current + np.array([0.0, 1e-3, 1e-3, 0.0, 0.0]))
        signals = sampled(1e-3 * period * np.array([0.0, 0.01, 0.1, 0.11, cycles]), kick[:, None])
        waves = phases.free(signals)
        time, swing = 1e3 * waves.time, waves["v(v)"] - waves["v(v)"][0]
        tops = (
            np.flatnonzero((swing[1:-1] > swing[:-2]) & (swing[1:-1] >= swing[2:]) & (time[1:-1] > period))
            + 1
        )
        assert len(tops) >= 3
        rate = np.polyfit(time[tops], np.log(swing[tops]), 1)[0]
        assert rate == pytest.approx(value.real, rel=0.05)
        assert np.diff(time[tops]).mean() == pytest.approx(period, rel=0.01)


# The validation itself.


def wrong_sign(kind: str) -> Any:
    """The kind's equations with the current of the first voltage equation pulled the other way a little."""
    right = EQUATIONS[kind]

    def make(values: Any) -> Any:
        slope, start = right(values)
        return (lambda y, i: [slope(y, i)[0] - 0.01 * slope(y, i)[0], *slope(y, i)[1:]]), start

    return make


@pytest.mark.parametrize(("fault", "fails"), [(None, False), ("rate", True), ("sign", True), ("speed", True)])
def test_the_validation_notices_a_wrong_neuron(
    fault: str | None, fails: bool, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference stays, the circuit is wrong: a rate by 1 %, a reversal potential's sign, all rates."""
    monkeypatch.setattr(neuron, "STEPS", (1.0,))
    changed = {None: {}, "rate": {"speed_n": 1.01}, "sign": {"e_leak": 54.387}, "speed": {"temperature": 6.4}}
    subject = NeuronSubject("hodgkin_huxley", 10.0, (10.0,), (6.0, 7.0), 60.0, changed[fault])
    findings = Findings(sheet_for("neuron", "hodgkin_huxley"))
    right = CELLS["hodgkin_huxley"].values({})
    reference = integrate("hodgkin_huxley", right, steady(10.0), 60.0, 0.0)
    neuron._spikes(subject, session, reference, findings)
    assert any(not s.passed for s in findings.sheet.found) == fails


def test_the_validation_notices_wrong_equations(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The circuit stays, the equations it is compared with are off by 1 %."""
    monkeypatch.setattr(neuron, "STEPS", (1.0,))
    monkeypatch.setitem(EQUATIONS, "hodgkin_huxley", wrong_sign("hodgkin_huxley"))
    subject = NeuronSubject("hodgkin_huxley", 10.0, (10.0,), (6.0, 7.0), 60.0)
    findings = Findings(sheet_for("neuron", "hodgkin_huxley"))
    reference = integrate("hodgkin_huxley", subject.all_values, steady(10.0), 60.0, 0.0)
    neuron._spikes(subject, session, reference, findings)
    assert not all(s.passed for s in findings.sheet.found)
