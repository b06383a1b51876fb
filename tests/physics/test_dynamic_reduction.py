"""Norton equivalents in time-varying networks: the same waveforms, outputs and gradients."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bridge.dynamics import FIXED_GRID, DynamicPhases, DynamicPlan
from bridge.estimators.adjoint import AdjointNetwork
from bridge.estimators.base import DynamicBatch, Estimator
from bridge.estimators.causal import Causal
from bridge.estimators.lagrangian import Lagrangian
from bridge.experiment.record import plain_netlist
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice.drives import sampled
from bridge.ngspice.session import Session
from bridge.simulator import Simulator
from circuits.devices.diode import diode
from circuits.devices.passive import capacitor, inductor, resistor
from circuits.devices.sources import current_source, voltage_source
from circuits.importer import import_netlist
from circuits.network import Drive, Network, Output, Trainable
from circuits.topologies.rlc import Reactances, rlc

T = 1e-6
STEPS = 150
TIGHT = replace(FIXED_GRID, reltol=1e-10, vntol=1e-13, abstol=1e-15, trtol=1e12)  # the largest step alone


def mixed() -> Network:
    """All that can be at a known node, in a network with memory."""
    return Network(
        "mixed",
        (
            voltage_source("in", "a", driven=True),
            voltage_source("above", "b", "a", dc=0.3),
            voltage_source("turned", "0", "c", driven=True),
            voltage_source("rail", "d", dc=-0.4),
            voltage_source("trained", "t", dc=0.2),
            current_source("push", "0", "y", driven=True),
            resistor("g1", "a", "x", conductance=2e-4),
            resistor("g2", "x", "b", conductance=1e-4),
            resistor("g3", "c", "x", conductance=3e-4),
            resistor("fixed", "d", "x", conductance=5e-5),
            resistor("leak", "0", "x", conductance=4e-5),
            resistor("g4", "x", "y", conductance=2e-4),
            resistor("g5", "y", "d", conductance=7e-5),
            resistor("g6", "t", "y", conductance=6e-5),
            capacitor("c1", "x", "0", capacitance=1e-10),
            capacitor("c2", "y", "a", capacitance=5e-11),
            inductor("l1", "y", "z", inductance=1e-4),
            resistor("g7", "z", "0", conductance=1e-3),
            diode("d1", "x", "0"),
        ),
        (Drive("turned", 1, scale=0.5), Drive("in", 0), Drive("push", 2, scale=1e-4)),
        (Output("y"), Output("x", "b")),
        (
            *(Trainable(f"g{k}", "conductance", 1e-6, 1e-2) for k in range(1, 8)),
            Trainable("leak", "conductance", 1e-6, 1e-2),
            Trainable("trained", "dc", -1.0, 1.0),
            Trainable("c2", "capacitance", 1e-12, 1e-9),
        ),
    )  # fmt: skip


NETWORKS = {
    "mixed": mixed(),
    "recurrent": rlc(
        7, 2, 2, fan=4, seed=4, bias=0.2, reactances=Reactances(5e-11, inductors=2, inductance=1e-4)
    ),
}  # fmt: skip


def batch_of(network: Network, count: int = 1) -> DynamicBatch:
    """Sines of several frequencies; the first value is not zero."""
    times = np.linspace(0.0, T, 61)
    phases = np.outer(times / T, np.arange(1, network.n_features + 1))
    features = np.stack([0.5 * np.cos(2 * np.pi * phases + k) for k in range(count)])
    targets = [0.1 * np.sin(7 * times / T)[:, None] * np.ones(len(network.outputs))] * count
    return DynamicBatch(times, network.drive_values(features), targets)


def both(name: str, from_rest: bool = True) -> list[DynamicPhases]:
    # A linear network is exact at any tolerance; at tight ones rounding makes the simulator repeat steps.
    options = TIGHT if name == "mixed" else replace(TIGHT, reltol=1e-7, vntol=1e-10)
    plan = DynamicPlan(NETWORKS[name], T, T / STEPS, from_rest, options)
    found = [DynamicPhases(replace(plan, reduce=r), Session()) for r in (True, False)]
    assert len(found[0].circuit.deck.lines) < len(found[1].circuit.deck.lines)
    return found


@pytest.mark.parametrize("from_rest", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_waveforms_and_gradients_are_those_of_the_whole_network(name: str, from_rest: bool) -> None:
    phases, whole = both(name, from_rest)
    batch = batch_of(phases.network)
    waves, wanted = (p.free(batch.signals(0)) for p in (phases, whole))
    loaded = {n for n in wanted.names if not n.startswith("i(v")}  # and currents of sources that are whole
    assert loaded <= set(waves.names) <= set(wanted.names)
    np.testing.assert_array_equal(waves.time, wanted.time)
    for signal in waves.names:
        np.testing.assert_allclose(
            waves[signal], wanted[signal], rtol=1e-9, atol=1e-9 * np.abs(wanted.values).max()
        )
    estimator, loss = AdjointNetwork(), WaveformMSE(batch.times)
    gradients = []
    for here in (phases, whole):
        here.update(here.network.parameters * 1.3)
        results = [task.run(here) for task in estimator.tasks(here.plan, batch, loss)]
        gradients.append(estimator.combine(here.plan, batch, results).gradient)
    sizes = np.abs(gradients[1] * whole.parameters)
    assert (sizes > 0.0).all()
    difference = np.abs(gradients[0] - gradients[1]) * whole.parameters
    assert difference.max() < 1e-9 * sizes.max()
    assert (difference < 1e-7 * sizes).all()


@pytest.mark.parametrize(
    "expression", ["1e-3*v(ctrl)*tanh(v(out)/0.2)", "-0.4*i(Vc)*tanh(v(out)/0.2)", "1e-3*tanh(v(out,ctrl))"]
)
def test_what_only_an_expression_names_is_loaded(tmp_path: Path, expression: str) -> None:
    """A behavioural source that is controlled by a held node, or by the current of what holds it."""
    deck = "title\nVin in 0 0\nVc ctrl 0 0.5\nRc ctrl 0 200\nR1 in out 1k\nR2 out 0 1k\n"
    file = tmp_path / "deck.cir"
    file.write_text(f"{deck}B1 out 0 i={expression}\n", encoding="utf-8")
    network = import_netlist(file, inputs={"x": "Vin"}, outputs=["out"], trainable=["R1"])
    time = np.linspace(0.0, T, 101)
    signals = sampled(time, network.drive_values(np.sin(2 * np.pi * time / T)[:, None]))
    found = []
    for reduce in (False, True):
        phases = DynamicPlan(network, T, T / STEPS, options=TIGHT, reduce=reduce)()
        found.append(phases.outputs(phases.free(signals)))
    assert np.ptp(found[0]) > 0.1
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)


def test_constant_and_missing_drives() -> None:
    """Sources that stand still, or are left out and so zero, are folded like those that move."""
    for drives in (np.array([[0.4, -0.3, 0.5]]), None):
        values = []
        for phases in both("mixed"):
            signals = (
                None
                if drives is None
                else replace(batch_of(mixed()).signals(0), values=drives, times=np.zeros(0))
            )
            values.append(phases.free(signals)["v(y)"])
        assert np.abs(values[0]).max() > 1e-3
        np.testing.assert_allclose(values[0], values[1], rtol=1e-9, atol=1e-12)


def test_an_altered_circuit_is_a_fresh_one() -> None:
    plan = DynamicPlan(NETWORKS["recurrent"], T, T / STEPS, options=TIGHT)
    drives = batch_of(plan.network).signals(0)
    values = plan.network.parameters * np.random.default_rng(0).uniform(0.5, 2.0, len(plan.network.trainable))
    phases = DynamicPhases(plan, Session())
    before = phases.free(drives).values
    phases.update(values)
    fresh = DynamicPhases(replace(plan, network=plan.network.with_parameters(values)), Session())
    found = phases.free(drives).values
    np.testing.assert_allclose(found, fresh.free(drives).values, rtol=1e-12, atol=1e-14)
    assert np.abs(found - before).max() > 1e-3


@pytest.mark.parametrize("estimator", [Lagrangian(), Causal()])
def test_nudged_phases_find_the_outputs_of_the_loaded_circuit(estimator: Estimator) -> None:
    """Nudges follow the loaded circuit's own drives, whose number is another one."""
    phases, whole = both("recurrent")
    batch, loss = batch_of(phases.network), WaveformMSE(batch_of(phases.network).times)
    a, b = (
        estimator.combine(p.plan, batch, [t.run(p) for t in estimator.tasks(p.plan, batch, loss)]).gradient
        for p in (phases, whole)
    )
    assert np.linalg.norm(a - b) < 1e-6 * np.linalg.norm(b)
    times = np.array([0.0, T])
    drives = batch.signals(0)
    moved = phases.nudged(drives, times, np.full((2, len(phases.plan.flat.outputs)), 1e-5))
    want = whole.nudged(drives, times, np.full((2, len(phases.plan.flat.outputs)), 1e-5))
    np.testing.assert_allclose(phases.outputs(moved), whole.outputs(want), rtol=1e-9, atol=1e-12)
    assert np.abs(phases.outputs(moved) - phases.outputs(phases.free(drives))).max() > 1e-3


def test_workers_reduce_and_a_netlist_says_so() -> None:
    plan = DynamicPlan(NETWORKS["recurrent"], T, T / STEPS)
    there = pickle.loads(pickle.dumps(plan)).reduction
    assert there is not None
    assert plan.reduction is not None
    assert [e.name for e in there.network.elements] == [e.name for e in plan.reduction.network.elements]
    batch, loss = batch_of(plan.network, 3), WaveformMSE(batch_of(plan.network).times)
    with Simulator(plan, workers=1) as simulator, Simulator(replace(plan, reduce=False)) as whole:
        for one in (simulator, whole):
            one.parameters = plan.network.parameters * 1.1
        a, b = (one.gradient(batch, loss, AdjointNetwork()) for one in (simulator, whole))
    np.testing.assert_allclose(a.losses, b.losses, rtol=1e-8)
    assert np.linalg.norm(a.gradient - b.gradient) < 1e-6 * np.linalg.norm(b.gradient)
    text = plain_netlist(plan, plan.network, (batch.times, batch.drives[0]))
    assert "* reduced: " in text
    assert "_feed 0 " in text.lower() or "norton_" in text
    assert "* reduced: " not in plain_netlist(
        replace(plan, reduce=False), plan.network, (batch.times, batch.drives[0])
    )
