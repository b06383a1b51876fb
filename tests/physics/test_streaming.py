"""Operating points in sequence, each found from the one before, are operating points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bridge import phases as module
from bridge.errors import ConvergenceError, IncompleteError, UnsupportedElementError
from bridge.estimators.base import Batch, Estimator
from bridge.estimators.equilibrium import Equilibrium
from bridge.estimators.finite_difference import FiniteDifference
from bridge.losses import CrossEntropy, MeanSquaredError
from bridge.ngspice import ladder
from bridge.ngspice.drives import constant
from bridge.ngspice.session import Session
from bridge.phases import StaticPhases
from bridge.plans import StaticPlan
from bridge.simulator import Simulator
from circuits.deck import SolverOptions
from circuits.devices.diode import diode
from circuits.devices.passive import resistor
from circuits.devices.sources import switch, vcvs, voltage_source
from circuits.netlist import build_deck
from circuits.network import Drive, Network, Output, Trainable
from circuits.topologies.graph import graph
from circuits.topologies.layered import layered

MSE = MeanSquaredError()
TIGHT = SolverOptions(reltol=1e-13, vntol=1e-15, abstol=1e-18)
NETWORKS = {
    "layers": layered(4, [6, 5], 3, gain=4.0, seed=2),
    "clamped": layered(3, [8], 2, seed=1, diode_offset=0.3),
    "graph": graph(20, 4, 3, seed=5),
}


def samples(network: Network, count: int, one_hot: bool = False) -> Batch:
    rng = np.random.default_rng(0)
    n = len(network.outputs)
    targets = np.eye(n)[rng.integers(n, size=count)] if one_hot else rng.normal(0.0, 0.5, (count, n))
    return Batch(network.drive_values(rng.normal(0.0, 1.0, (count, network.n_features))), targets)


def gradient(plan: StaticPlan, batch: Batch, estimator: Estimator) -> np.ndarray:
    phases = StaticPhases(plan)
    estimator.check(plan)
    results = [task.run(phases) for task in estimator.tasks(plan, batch, MSE)]
    return estimator.combine(plan, batch, results).gradient


def error(found: np.ndarray, reference: np.ndarray) -> float:
    return float(np.linalg.norm(found - reference) / np.linalg.norm(reference))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("reduce", [True, False])
def test_a_sequence_is_made_of_operating_points(name: str, reduce: bool) -> None:
    network = NETWORKS[name]
    phases = StaticPhases(StaticPlan(network, reduce=reduce))
    apart = StaticPhases(StaticPlan(network, None, TIGHT, reduce, stream=False))
    batch = samples(network, 12)
    found, wanted = phases.free_all(batch.drives), apart.free_all(batch.drives)
    assert phases.usage()["in_sequence"] == 12
    assert apart.usage()["in_sequence"] == 0
    assert np.abs(found.nodes - wanted.nodes).max() < 1e-12
    assert np.abs(found.outputs - wanted.outputs).max() < 1e-12
    assert np.ptp(wanted.outputs, axis=0).min() > 1e-2  # the samples differ, and so would a wrong order


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_in_sequence_are_those_of_operating_points_and_of_differences(name: str) -> None:
    network = NETWORKS[name]
    batch = samples(network, 6)
    found = gradient(StaticPlan(network), batch, Equilibrium())
    apart = gradient(StaticPlan(network, None, TIGHT, stream=False), batch, Equilibrium())
    assert error(found, apart) < 1e-8
    reference = gradient(StaticPlan(network, None, TIGHT, stream=False), batch, FiniteDifference(1e-5))
    assert error(gradient(StaticPlan(network), batch, Equilibrium(1e-8)), reference) < 1e-6


def test_the_order_of_the_samples_does_not_matter() -> None:
    network = NETWORKS["graph"]
    batch, order = samples(network, 10), np.random.default_rng(4).permutation(10)
    phases = StaticPhases(StaticPlan(network))
    a, b = phases.free_all(batch.drives).nodes, phases.free_all(batch.drives[order]).nodes
    assert np.abs(a[order] - b).max() < 1e-12


def test_a_chunk_does_not_depend_on_what_ran_before_to_the_last_bit() -> None:
    network = NETWORKS["layers"]
    first, second = samples(network, 12).chunks(6)
    task = Equilibrium().tasks(StaticPlan(network), second, MSE)[0]
    alone = task.run(StaticPhases(StaticPlan(network)))
    phases = StaticPhases(StaticPlan(network))
    phases.update(network.parameters * 1.5)
    Equilibrium().tasks(phases.plan, first, MSE)[0].run(phases)
    phases.free(first.drives[0])
    phases.update(network.parameters)
    for a, b in zip(alone, task.run(phases), strict=True):
        assert np.array_equal(a, b)


def test_one_and_three_workers_give_the_same_numbers_to_the_last_bit() -> None:
    network = NETWORKS["clamped"]
    batch = samples(network, 40, one_hot=True)
    found = []
    for workers in (1, 3):
        with Simulator(StaticPlan(network), workers=workers) as simulator:
            simulator.parameters = network.parameters * 1.3
            found.append(simulator.gradient(batch, CrossEntropy(10.0), Equilibrium()))
            assert simulator.usage()["in_sequence"] == 3 * 40
            assert simulator.usage()["rungs"] == {}
    assert np.array_equal(found[0].gradient, found[1].gradient)
    assert np.array_equal(found[0].outputs, found[1].outputs)


def latch() -> Network:
    """Two stable states: an amplifier of gain 3 that feeds a clamped node back to itself."""
    return Network(
        "latch",
        (
            voltage_source("in", "a", driven=True),
            resistor("g", "a", "x", conductance=1e-4),
            diode("up", "x", "0"),
            diode("down", "0", "x"),
            vcvs("back", "y", "0", "x", "0", gain=3.0),
            resistor("loop", "y", "x", conductance=1e-4),
            resistor("out", "x", "o", conductance=1e-4),
            resistor("load", "o", "0", conductance=1e-4),
        ),
        (Drive("in", 0),),
        (Output("o"),),
        (Trainable("g", "conductance", 1e-6, 1e-2),),
    )


def test_a_state_that_remembers_the_sample_before_is_found_out_and_recorded() -> None:
    drives = np.array([[1.0], [0.6], [0.2], [0.0], [-0.01]])
    session = Session()
    circuit = session.load(build_deck(latch()))
    played = np.concatenate([drives, np.zeros((5, 1))], axis=1)
    with pytest.raises(
        IncompleteError, match=r"in sequence: v\(\w+\) ends at .* V, the operating point from scratch"
    ):
        circuit.operating_points(played)
    phases = StaticPhases(StaticPlan(latch()))
    found = phases.free_all(drives)
    apart = StaticPhases(StaticPlan(latch(), stream=False)).free_all(drives)
    assert np.array_equal(found.nodes, apart.nodes)
    assert phases.usage()["rungs"] == {ladder.SEPARATE: 5}
    assert phases.usage()["retries"] == 5


def test_a_sequence_that_does_not_converge_is_done_apart_and_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ladder, "_RELTOL", 1e-30)  # below the rounding of the last digits
    monkeypatch.setattr(ladder, "_VNTOL", 1e-40)
    network = NETWORKS["graph"]
    batch = samples(network, 20)
    phases = StaticPhases(StaticPlan(network))
    apart = StaticPhases(StaticPlan(network, stream=False))
    with pytest.raises(ConvergenceError):
        phases.circuit.operating_points(phases._played(batch.drives, None))
    task = Equilibrium().tasks(phases.plan, batch, MSE)[0]
    part = task.batch
    np.testing.assert_array_equal(task.run(phases)[1], apart.free_all(part.drives).outputs)
    assert phases.usage()["rungs"] == {ladder.SEPARATE: 3 * len(part)}
    assert phases.usage()["in_sequence"] == 0


def test_nudged_phases_that_lie_off_the_free_one_are_done_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    network, size = NETWORKS["layers"], 4
    batch = samples(network, size)
    wanted = gradient(StaticPlan(network), batch, Equilibrium())
    monkeypatch.setattr(module, "_BENT", -1.0)  # no sample passes
    phases = StaticPhases(StaticPlan(network))
    estimator = Equilibrium()
    results = [task.run(phases) for task in estimator.tasks(phases.plan, batch, MSE)]
    assert error(estimator.combine(phases.plan, batch, results).gradient, wanted) < 1e-7
    assert phases.usage()["rungs"] == {ladder.SEPARATE: 2 * size}


def test_the_check_of_nudged_phases_sees_another_solution() -> None:
    phases = StaticPhases(StaticPlan(latch()))
    drives = np.array([[-0.01], [-0.01]])
    free = phases.free_all(drives)
    other = phases.free(np.array([0.01]))
    assert free.nodes[0] @ other.nodes < 0  # on either side of zero
    wrong = replace(free, nodes=np.array([free.nodes[0], other.nodes]))
    pair = phases.nudged_pairs(drives, np.full((2, 1), 1e-9), wrong)
    assert phases.usage()["rungs"] == {ladder.SEPARATE: 2}
    np.testing.assert_allclose(pair[0].nodes, free.nodes, atol=1e-4)


def test_drives_that_are_changed_in_place_are_played_anew() -> None:
    network = NETWORKS["layers"]
    phases, drives = StaticPhases(StaticPlan(network)), samples(network, 6).drives
    before = phases.free_all(drives).nodes
    drives *= 0.5
    found = phases.free_all(drives).nodes
    wanted = StaticPhases(StaticPlan(network)).free_all(drives.copy()).nodes
    np.testing.assert_array_equal(found, wanted)
    assert np.abs(found - before).max() > 1e-2
    phases.update(2.0 * phases.parameters)
    moved = phases.free_all(drives).nodes
    np.testing.assert_allclose(moved, fresh(network, phases.parameters, drives), rtol=1e-9, atol=1e-12)
    assert np.abs(moved - found).max() > 1e-3


def fresh(network: Network, parameters: np.ndarray, drives: np.ndarray) -> np.ndarray:
    """The free phases of a network that was loaded with these parameters."""
    return StaticPhases(StaticPlan(network.with_parameters(parameters))).free_all(drives).nodes


def test_elements_with_memory_are_not_put_in_sequence() -> None:
    base = latch()
    network = replace(
        base, elements=(*base.elements, switch("s", "o", "0", "a", "0", threshold=0.3, hysteresis=0.1))
    )
    assert StaticPlan(base).streams
    assert not StaticPlan(network).streams
    StaticPlan(network).check()
    with pytest.raises(UnsupportedElementError, match=r"^s: .*without memory, a switch has one"):
        StaticPlan(network, stream=True).check()
    assert not StaticPlan(base, stream=False).streams


def test_alterations_reach_every_variant_of_a_circuit(session: Session) -> None:
    network = NETWORKS["clamped"]
    circuit = session.load(build_deck(network))
    rows = np.concatenate([samples(network, 3).drives, np.zeros((3, 2))], axis=1)
    before = circuit.operating_points(rows)
    targets = [f"r{t.element}".lower() for t in network.trainable]
    moved = network.parameters * np.random.default_rng(3).uniform(0.5, 2.0, len(targets))
    circuit.alter(targets, 1.0 / moved)  # the sequence's variant ran last
    single = circuit.operating_point([constant(rows[0])])
    assert np.abs(circuit.operating_points(rows)[0] - single).max() < 1e-9
    assert np.abs(before[0] - single).max() > 1e-3
    circuit.alter(targets[:1], [1e3])  # and now the other one, though it is this call's
    assert (
        np.abs(circuit.operating_point([constant(rows[0])]) - circuit.operating_points(rows)[0]).max() < 1e-9
    )
