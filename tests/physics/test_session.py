"""Sessions: an altered circuit is a freshly built one, and no run leaves a trace in the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bridge.errors import SimulationError
from bridge.ngspice.drives import constant, sampled
from bridge.ngspice.session import Circuit, Session
from circuits.deck import Deck, SolverOptions
from circuits.devices.base import Element
from circuits.devices.diode import diode
from circuits.devices.passive import capacitor, inductor, resistor
from circuits.devices.sources import (
    amplifier,
    cccs,
    ccvs,
    current_source,
    vccs,
    vcvs,
    voltage_source,
)
from circuits.netlist import build_deck
from circuits.network import Drive, Network, Output
from circuits.topologies.layered import layered

DURATION, STEP = 2e-6, 1e-8
RAMP = sampled([0.0, DURATION], [[0.0, 0.0], [1.5, 1e-4]])


def every_device(values: np.ndarray | None = None) -> Network:
    """A network with every device whose values can be altered, and those values changed if given."""
    elements: tuple[Element, ...] = (
        voltage_source("in", "a", driven=True),
        voltage_source("bias", "b", dc=0.3),
        current_source("pull", "c", dc=2e-4),
        resistor("ac", "a", "c", conductance=1e-3),
        resistor("bc", "b", "c", conductance=3e-4),
        capacitor("c", "c", "0", capacitance=1e-10, initial_voltage=0.05),
        inductor("l", "c", "d", inductance=1e-5, initial_current=1e-5),
        diode("up", "d", "0", area=1.5),
        diode("dn", "0", "d"),
        resistor("rd", "d", "0", conductance=2e-4),
        amplifier("amp", "d", "q", gain=4.0),
        resistor("rq", "q", "e", conductance=1e-3),
        vcvs("e", "e", "s", "a", "c", gain=0.5),
        ccvs("h", "f", "0", "s", "0", gain=50.0),
        resistor("rf", "f", "g", conductance=1e-3),
        vccs("g", "g", "0", "c", "0", gain=1e-4),
        resistor("rg", "g", "t", conductance=5e-4),
        cccs("f2", "d", "0", "t", "0", gain=0.2),
    )
    drives = (Drive("in", 0),)
    outputs = (Output("g"),)
    base = Network("everything", elements, drives, outputs).flat()
    if values is None:
        return base
    changed = {e.name: dict[str, float]() for e in base.elements}
    for (element, parameter, _), value in zip(alterable(base), values, strict=True):
        changed[element.name][parameter] = float(value)
    return replace(base, elements=tuple(e.replace(**changed[e.name]) for e in base.elements))


def alterable(network: Network) -> list[tuple[Element, str, str]]:
    """Every value of a network that a loaded circuit can take over, with its target."""
    found = []
    for element in network.elements:
        for parameter in element.device.parameters:
            if not element.driven and parameter.name not in ("saturation_current", "emission"):
                target = element.device.alter_target(element, parameter.name)
                found.append((element, parameter.name, target))
    return found


def scaled(network: Network, seed: int) -> np.ndarray:
    """Other values for everything that can be altered, with all sixteen digits."""
    rng = np.random.default_rng(seed)
    return np.array([e.value(p) * rng.uniform(0.5, 2.0) + 1e-9 for e, p, _ in alterable(network)])


def alter(circuit: Circuit, network: Network, values: np.ndarray) -> None:
    places = alterable(network)
    told = [
        float(e.device.alter_value(p, np.array([v]))[0]) for (e, p, _), v in zip(places, values, strict=True)
    ]
    circuit.alter([target for _, _, target in places], told)


def both(circuit: Circuit) -> tuple[np.ndarray, np.ndarray]:
    """An operating point, and the points and values of a transient."""
    still = circuit.operating_point([constant([0.8, 1e-5])])
    w = circuit.transient([RAMP], DURATION, STEP)
    return still, np.column_stack([w.time, w.values])


def assert_equal(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> None:
    assert np.array_equal(a[0], b[0])
    assert a[1].shape == b[1].shape
    assert np.array_equal(a[1], b[1])


def test_an_altered_circuit_equals_a_fresh_one_to_the_last_digit(session: Session) -> None:
    network = every_device()
    altered = session.load(build_deck(network))
    before = both(altered)
    for seed in (1, 2):
        values = scaled(network, seed)
        alter(altered, network, values)
        fresh = both(session.load(build_deck(every_device(values))))
        assert_equal(both(altered), fresh)
        assert not np.allclose(fresh[0], before[0], rtol=1e-3)


@pytest.mark.parametrize(
    "place", range(len(alterable(every_device()))), ids=lambda k: alterable(every_device())[k][2]
)
def test_every_single_value_reaches_the_loaded_circuit(session: Session, place: int) -> None:
    network = every_device()
    values = np.array([e.value(p) for e, p, _ in alterable(network)])
    circuit = session.load(build_deck(network))
    before = both(circuit)
    values[place] = 1.5 * values[place]
    alter(circuit, network, values)
    after = both(circuit)
    assert_equal(after, both(session.load(build_deck(every_device(values)))))
    assert np.abs(after[0] - before[0]).max() > 1e-6 or np.abs(after[1][:5] - before[1][:5]).max() > 1e-6


def test_values_come_back_after_many_runs_and_alterations(session: Session) -> None:
    network = every_device()
    first = scaled(network, 0)
    circuit = session.load(build_deck(network))
    alter(circuit, network, first)
    before = both(circuit)
    for seed in range(3, 40):
        alter(circuit, network, scaled(network, seed))
        circuit.operating_point([constant([seed / 10.0 - 2.0, 0.0])])
    alter(circuit, network, first)
    assert_equal(both(circuit), before)


def test_a_result_does_not_depend_on_what_ran_before(session: Session) -> None:
    circuit = session.load(build_deck(every_device()))
    alone = both(session.load(build_deck(every_device())))
    circuit.operating_point([constant([-5.0, 1e-3])])
    circuit.transient([constant([5.0, 0.0])], DURATION / 3, STEP / 2, uic=False)
    assert_equal(both(circuit), alone)
    assert_equal(both(circuit), alone)


def divider(session: Session, ohms: float) -> Circuit:
    return session.load(
        Deck("divider", ("v1 a 0 external", "r1 a b 1k", f"r2 b 0 {ohms:g}"), ("v1",), ("v(b)",))
    )


def test_circuits_of_one_session_and_of_two_do_not_disturb_each_other(session: Session) -> None:
    other = Session()
    ohms = [500.0, 1e3, 3e3, 9e3]
    circuits = [divider(s, r) for s, r in zip([session, session, other, session], ohms, strict=True)]
    for k in (0, 3, 1, 2, 2, 0, 1, 3):
        found = circuits[k].operating_point([constant([2.0])])
        assert found[0] == pytest.approx(2.0 * ohms[k] / (1e3 + ohms[k]), rel=1e-12)
    circuits[0].alter(["r2"], [1e6])
    for k in (1, 0, 2, 3):
        value = 1e6 if k == 0 else ohms[k]
        found = circuits[k].transient([constant([2.0])], 1e-6, 1e-7).final
        assert found[0] == pytest.approx(2.0 * value / (1e3 + value), rel=1e-12)


def test_an_alteration_that_fails_is_an_error_and_leaves_no_wrong_belief(session: Session) -> None:
    circuit = divider(session, 1e3)
    circuit.alter(["r2"], [1e3])
    with pytest.raises(SimulationError, match="alter r9 = 1 failed"):
        circuit.alter(["r2", "r9"], [3e3, 1.0])
    circuit.alter(["r2"], [1e3])
    assert circuit.operating_point([constant([2.0])])[0] == pytest.approx(1.0, rel=1e-12)
    with pytest.raises(SimulationError, match="failed"):
        circuit.alter(["@r2[colour]"], [1.0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_alteration_to_no_number_is_refused(session: Session, value: float) -> None:
    circuit = divider(session, 1e3)
    with pytest.raises(ValueError, match="cannot be written"):
        circuit.alter(["r2"], [value])
    assert circuit.operating_point([constant([2.0])])[0] == pytest.approx(1.0, rel=1e-12)


def test_results_are_copies_that_later_runs_leave_alone(session: Session) -> None:
    circuit = divider(session, 1e3)
    first = circuit.operating_point([constant([2.0])])
    w = circuit.transient([constant([2.0])], 1e-6, 1e-7)
    kept = w.values.copy(), w.time.copy()
    circuit.operating_point([constant([-8.0])])
    circuit.transient([constant([-8.0])], 1e-6, 1e-8)
    assert first[0] == pytest.approx(1.0)
    assert np.array_equal(w.values, kept[0])
    assert np.array_equal(w.time, kept[1])


def test_more_points_than_reserved_give_the_same_values(session: Session) -> None:
    lines = ("l1 a 0 1u", "c1 a 0 1n ic=1", "r1 a 0 1meg")
    deck = Deck("ring", lines, (), ("v(a)", "i(l1)"), SolverOptions(reltol=1e-7, chgtol=1e-22))
    control = session.engine.control
    control.reserve(1, control.buffer.shape[1] + 1)  # forget what earlier tests reserved
    plot = session.load(deck).transient(
        [], 1e-5, 1e-6
    )  # the tolerance, not the largest step, sets the points
    assert len(control.buffer) < len(plot) / 2
    control.reserve(2 * len(plot), control.buffer.shape[1])
    buffer = session.load(deck).transient([], 1e-5, 1e-6)
    assert len(control.buffer) >= 2 * len(buffer)
    assert np.array_equal(plot.values, buffer.values)
    assert np.array_equal(plot.time, buffer.time)


def test_the_step_is_the_largest_that_a_transient_takes(session: Session) -> None:
    w = divider(session, 1e3).transient([RAMP_ONE], DURATION, STEP)
    assert np.diff(w.time).max() <= STEP * (1 + 1e-9)
    assert w.time[-1] == pytest.approx(DURATION, rel=1e-12)
    for step, duration in ((0.0, 1.0), (2.0, 1.0), (-1.0, 1.0)):
        with pytest.raises(ValueError, match="0 < step <= duration"):
            divider(session, 1e3).transient([], duration, step)


RAMP_ONE = sampled([0.0, DURATION], [[0.0], [1.0]])


def test_a_deck_that_keeps_all_vectors_has_the_results_of_one_that_names_them(session: Session) -> None:
    """Operating points and transients, by name, in the deck's own order, and with currents among them."""
    network = layered(8, [12], 4, gain=4.0).with_parasitics(1e-12)
    sources = [e.name for e in network.flat().elements if e.device.kind == "voltage_source"]
    saves = (*(f"v({n})".lower() for n in network.nodes[::-1]), *(f"i(v{s})".lower() for s in sources))
    whole = build_deck(network, saves=saves)
    assert whole.keeps_all
    assert not any(line.startswith(".save") for line in whole.text())
    named = replace(whole, keeps_all=False)
    assert sum(line.startswith(".save") for line in named.text()) == len(saves)
    drives = constant(network.drive_values(np.linspace(-1.0, 1.0, 8)[None]))
    results = []
    for deck in (whole, named):
        circuit = session.load(deck)
        waves = circuit.transient([drives], 1e-7, 2e-9)
        results.append((circuit.operating_point([drives]), waves.values, waves.time, waves.names))
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other)
    assert results[0][3] == saves


def test_few_vectors_and_inner_ones_are_named(session: Session) -> None:
    network = layered(8, [12], 4, gain=4.0)
    some = tuple(f"v({n})".lower() for n in network.nodes[:20])
    assert not build_deck(network, saves=(*some, "@d1[id]")).keeps_all
    assert not build_deck(network, saves=some[:10]).keeps_all
