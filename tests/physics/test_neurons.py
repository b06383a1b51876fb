"""Neurons and synapses in ngspice: their equations, spike times and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp
from neuron_checks import REALISATIONS, TIGHT, available, compared, trained

from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.errors import NetworkError
from bridge.ngspice.drives import constant, sampled
from bridge.ngspice.session import Session
from bridge.validation.devices.neuron import difference
from bridge.validation.devices.neuron_bench import NeuronBench, circuit
from bridge.validation.devices.neuron_equations import EQUATIONS, crossings, integrate, steady
from circuits.devices.base import U
from circuits.devices.behavioural import Behavioural
from circuits.devices.neurons import CELLS, Scale, cell, chemical_synapse, gap_junction
from circuits.devices.neurons.kinetics import alpha_m, alpha_n, linoid, q10, steady_state
from circuits.devices.sources import current_source, voltage_source
from circuits.netlist import Realisation, build_deck
from circuits.network import Drive, Network, Output

CURRENTS = {
    "hodgkin_huxley": (10.0, 60.0),
    "fitzhugh_nagumo": (25.0, 160.0),
    "morris_lecar": (100.0, 300.0),
    "integrate_and_fire": (3.0, 40.0),
}
"""Current [uA/cm^2] and duration [ms] of trains of three spikes or more."""


def exact_linoid(x: np.ndarray) -> np.ndarray:
    safe = np.where(x == 0.0, 1.0, x)
    return np.asarray(np.where(x == 0.0, 1.0, safe / -np.expm1(-safe)))


# Rates.


def test_the_rate_is_accurate_through_its_removable_singularity() -> None:
    """Value and slope against `expm1` and the slope's own series, at 0/0 and around it."""
    x = sp.Symbol("x", real=True)
    grid = np.unique(np.concatenate([np.linspace(-10.0, 10.5, 4001), np.geomspace(1e-15, 1.0, 200), [0.0]]))
    value = sp.lambdify(x, linoid(x))(grid)
    np.testing.assert_allclose(value, exact_linoid(grid), rtol=5e-12)
    slope = sp.lambdify(x, sp.diff(linoid(x), x))(grid)
    far = np.abs(grid) > 0.05
    e = np.exp(-grid[far])
    np.testing.assert_allclose(slope[far], (1 - e - grid[far] * e) / (1 - e) ** 2, rtol=1e-10)
    near = grid[~far]
    np.testing.assert_allclose(slope[~far], 0.5 + near / 6 - near**3 / 180 + near**5 / 5040, rtol=1e-12)
    assert (sp.lambdify(x, linoid(x))(np.linspace(-1e4, 60.0, 10001)) >= 0.0).all()


@pytest.mark.parametrize("realisation", REALISATIONS)
@pytest.mark.parametrize(("rate", "at", "factor"), [(alpha_m, -40.0, 1.0), (alpha_n, -55.0, 0.1)])
def test_the_simulators_rate_is_accurate_through_its_singularity(
    rate: Any, at: float, factor: float, realisation: Realisation, session: Session
) -> None:
    """As the current of a branch, at the singular voltage, a hair beside it and far away."""
    device = Behavioural("rate", ("p", "n"), (), law=1e-3 * rate(1e3 * U))
    elements = (voltage_source("s", "a", driven=True), device.element("d", "a", "0"))
    deck = build_deck(
        Network("rate", elements, (Drive("s", 0),)), TIGHT, nudges=False, saves=("i(vs)",),
        realisation=available(realisation),
    )  # fmt: skip
    circuit = session.load(deck)
    millivolts = at + np.array([-60.0, -7.0, -1e-2, -1e-6, 0.0, 1e-9, 1e-6, 1e-2, 20.0, 90.0])
    found = np.array([-circuit.operating_point([constant([1e-3 * v])])[0] for v in millivolts])
    np.testing.assert_allclose(found, 1e-3 * factor * exact_linoid((millivolts - at) / 10.0), rtol=1e-9)
    slope = device.conductance(np.array([1e-3 * at]), {})
    assert slope[0] == pytest.approx(0.5 * factor * 0.1, rel=1e-12)  # 1/2 a tenth of a millivolt


def test_gates_begin_at_rest_and_speed_up_threefold_for_ten_degrees() -> None:
    assert q10(16.3) == pytest.approx(3.0)
    elements = {e.name: e for e in cell("hodgkin_huxley", "a", "v", temperature=16.3, speed_h=0.5)}
    assert elements["a_na"].value("speed_m") == pytest.approx(3.0)
    assert elements["a_na"].value("speed_h") == pytest.approx(1.5)
    assert elements["a_k"].value("speed_n") == pytest.approx(3.0)
    values = CELLS["hodgkin_huxley"].values({})
    slope, start = EQUATIONS["hodgkin_huxley"](values)
    np.testing.assert_allclose(slope(start, 0.0)[1:], 0.0, atol=1e-15)
    moved = cell("hodgkin_huxley", "a", "v", v0=-50.0)
    assert moved[2].value("m0") == pytest.approx(steady_state("m", -50.0))


# Neurons against the integrated equations.


@pytest.mark.parametrize("kind", CELLS)
def test_spike_times_are_within_ten_microseconds_at_the_kinds_own_step(kind: str, session: Session) -> None:
    current, duration = CURRENTS[kind]
    values = CELLS[kind].values({})
    exact = integrate(kind, values, steady(current), duration, CELLS[kind].spike)
    found = NeuronBench(session, kind, {}, duration).run(steady(current))
    assert len(exact.spikes) >= 3
    apart = difference(found, exact)
    assert apart is not None
    assert apart < 10.0


def test_b_sources_give_the_same_spikes_as_verilog_a(session: Session) -> None:
    available("veriloga")
    trains = []
    for realisation in REALISATIONS:
        bench = NeuronBench(session, "hodgkin_huxley", {}, 40.0, realisation=realisation)
        trains.append(bench.run(steady(10.0)).spikes)
    np.testing.assert_allclose(trains[0], trains[1], atol=1e-6)


@pytest.mark.parametrize(
    "wrong", [{"speed_n": 1.001}, {"g_na": 120.12}, {"e_k": -77.05}, {"temperature": 6.31}]
)
def test_a_parameter_that_is_a_little_off_is_seen(wrong: dict[str, float], session: Session) -> None:
    exact = integrate("hodgkin_huxley", CELLS["hodgkin_huxley"].values({}), steady(10.0), 60.0, 0.0)
    apart = difference(NeuronBench(session, "hodgkin_huxley", wrong, 60.0).run(steady(10.0)), exact)
    assert apart is None or apart > 10.0


def test_spike_times_do_not_depend_on_the_membranes_area(session: Session) -> None:
    trains = []
    for area in (1.0, 1e-6):
        scale = Scale(area)
        elements = [
            *cell("hodgkin_huxley", "a", "v", scale=scale),
            current_source("i", "0", "v", driven=True),
        ]
        network = Network("area", tuple(elements), (Drive("i", 0),))
        phases = DynamicPhases(DynamicPlan(network, 20e-3, 1e-5), session)
        waves = phases.free(constant([scale.to_circuit(10.0, "uA/cm^2")]))
        trains.append(crossings(waves.time, waves["v(v)"], 0.0))
    assert len(trains[0]) == 2
    np.testing.assert_allclose(trains[0], trains[1], atol=1e-10)


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_the_operating_point_is_the_resting_potential(realisation: Realisation, session: Session) -> None:
    """Where the ionic currents at the gates' steady states add up to nothing."""
    network = circuit("hodgkin_huxley", {})
    plan = DynamicPlan(network, 1e-3, 1e-5, from_rest=False, realisation=available(realisation))
    waves = DynamicPhases(plan, session).free(constant([0.0]))
    rest = 1e3 * float(waves["v(v)"][0])
    values = CELLS["hodgkin_huxley"].values({"v0": rest})
    slope, start = EQUATIONS["hodgkin_huxley"](values)
    assert -65.1 < rest < -64.9
    np.testing.assert_allclose(slope(start, 0.0), 0.0, atol=1e-6)


# Gradients.


def target_of(outputs: int, duration: float, points: int = 2001) -> tuple[np.ndarray, np.ndarray]:
    times = np.linspace(0.0, duration, points)
    return times, np.repeat((-0.04 + 0.03 * np.sin(19.0 * times / duration))[:, None], outputs, axis=1)


@pytest.mark.parametrize("kind", CELLS)
def test_gradients_over_three_spikes_are_exact(kind: str, session: Session) -> None:
    """Conductances, reversal potentials, time constants, widths, the capacitance, the start."""
    current, milliseconds = CURRENTS[kind]
    names = tuple(p.name for p in CELLS[kind].parameters if p.trainable)
    duration = 1e-3 * milliseconds
    times, target = target_of(1, duration)
    drives = np.full((len(times), 1), 1e-6 * current)
    network = circuit(kind, {}, names)
    assert compared(network, session, duration, 1e-3 * CELLS[kind].step, drives, target) < 1e-3


def pair() -> Network:
    """Two neurons, an exciting and an inhibiting synapse, a gap junction; the second one is the output."""
    elements = [
        *cell("hodgkin_huxley", "a", "va"),
        *cell("hodgkin_huxley", "b", "vb"),
        chemical_synapse("ab", "va", "vb", weight=0.4),
        chemical_synapse("ba", "vb", "va", weight=0.2, reversal=-80.0, alpha=5.0, beta=0.18),
        gap_junction("g", "va", "vb", 0.02),
        current_source("i", "0", "va", driven=True),
    ]
    wanted = {
        "ab": ("conductance", "reversal", "opening", "closing", "half", "width"),
        "ba": ("conductance", "reversal"), "g": ("conductance",), "a_na": ("conductance", "speed_h"),
        "b_k": ("reversal", "speed_n"), "b_cm": ("capacitance",),
    }  # fmt: skip
    return Network("pair", tuple(elements), (Drive("i", 0),), (Output("vb"),), trained(elements, wanted))


def test_gradients_through_synapses_are_exact(session: Session) -> None:
    """Weights and kinetics of synapses, and the presynaptic neuron's parameters through them."""
    duration = 60e-3
    network = pair()
    times, target = target_of(1, duration)
    drives = np.full((len(times), 1), 12e-6)
    plan = DynamicPlan(network, duration, 1e-5, options=TIGHT)
    waves = DynamicPhases(plan, session).free(sampled(times, drives))
    assert len(crossings(waves.time, waves["v(vb)"], 0.0)) >= 3
    assert compared(network, session, duration, 1e-5, drives, target) < 1e-3


# Input.


def test_bad_input_is_refused_in_one_line() -> None:
    with pytest.raises(NetworkError, match=r"no neuron 'izhikevich'; choose from: hodgkin_huxley"):
        cell("izhikevich", "a", "v")
    with pytest.raises(
        NetworkError, match=r"neuron a: hodgkin_huxley has no parameter 'gna'; it has: .*g_na"
    ):
        cell("hodgkin_huxley", "a", "v", gna=1.0)
    with pytest.raises(NetworkError, match=r"neuron a: g_na = -1 mS/cm\^2 is outside"):
        cell("hodgkin_huxley", "a", "v", g_na=-1.0)
    with pytest.raises(NetworkError, match="area of a membrane"):
        Scale(0.0)
    with pytest.raises(NetworkError, match="'furlong'"):
        Scale().to_circuit(1.0, "furlong")
    with pytest.raises(NetworkError, match="temperature of a hodgkin_huxley cannot be trained"):
        CELLS["hodgkin_huxley"].trainable("a", "temperature")


def test_units_convert_both_ways() -> None:
    scale = Scale(2e-4)
    assert scale.to_circuit(120.0, "mS/cm^2") == pytest.approx(24e-6)
    assert scale.to_circuit(10.0, "uA/cm^2") == pytest.approx(2e-9)
    for unit in ("mV", "ms", "1/ms", "uA/cm^2", "mS/cm^2", "uF/cm^2"):
        assert scale.to_field(scale.to_circuit(3.7, unit), unit) == pytest.approx(3.7, rel=1e-15)


@pytest.mark.parametrize("kind", CELLS)
def test_every_trainable_parameter_is_where_the_list_says(kind: str) -> None:
    elements = {e.name: e for e in cell(kind, "a", "v")}
    for p in CELLS[kind].parameters:
        if p.target is not None:
            element, parameter = CELLS[kind].trainable("a", p.name)
            device = elements[element].device
            assert device.parameters[device.index(parameter)].trainable
