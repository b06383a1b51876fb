"""Contrastive local learning networks: the fitted card, the clamp, the local rule, what they learn."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq

from bridge.errors import NetworkError, SpecError, UnsupportedElementError
from bridge.estimators.base import Batch, Estimator, Gradient
from bridge.estimators.coupled_learning import CoupledLearning, Twins
from bridge.estimators.finite_difference import FiniteDifference
from bridge.estimators.operating_point import linear_plan
from bridge.experiment.build import Experiment
from bridge.losses import CrossEntropy, MeanSquaredError
from bridge.ngspice.drives import constant
from bridge.ngspice.session import Session
from bridge.phases import StaticPhases
from bridge.plans import StaticPlan
from bridge.updates.optimizers import SGD
from circuits.devices.ald1106 import SIDE, TYPICAL, ald1106
from circuits.devices.mosfet import mosfet
from circuits.devices.sources import voltage_source
from circuits.network import Drive, Network, Output
from circuits.topologies.clln import Gates, clln, lattice
from circuits.topologies.layered import layered

MSE = MeanSquaredError()
PATTERNS = np.array([[0.0, 0.0], [0.0, 0.45], [0.45, 0.0], [0.45, 0.45]])
LABELS = 0.03 * np.array([[-1.0], [1.0], [1.0], [-1.0]])
OPEN = Gates(lower=1.1, initial_lower=1.2)
"""Gates that leave every channel conducting at every voltage of the task."""


def load(network: Network) -> StaticPhases:
    return StaticPhases(StaticPlan(network), Session())


def estimate(phases: StaticPhases, estimator: Estimator, batch: Batch) -> Gradient:
    estimator.check(phases.plan)
    results = [task.run(phases) for task in estimator.tasks(phases.plan, batch, MSE)]
    return estimator.combine(phases.plan, batch, results)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def xor(network: Network, scale: float = 1.0) -> Batch:
    """The four patterns; `scale` below 1 makes every voltage, the rails' too, small."""
    return Batch(scale * network.drive_values(PATTERNS), scale * LABELS)


def against_finite_differences(network: Network, eta: float, scale: float = 1.0) -> float:
    """Cosine of the local rule with the true gradient of the squared error."""
    phases, batch = load(network), xor(network, scale)
    rule, reference = CoupledLearning(eta), FiniteDifference()
    return cosine(estimate(phases, rule, batch).gradient, estimate(phases, reference, batch).gradient)


# --- the transistor -----------------------------------------------------------------------------------


def drain_current(gate: float, drain: float, **changes: float) -> float:
    """Drain current [A] of the fitted transistor, through an ideal ammeter at its source."""
    network = Network(
        "one",
        (
            voltage_source("in_d", "d", driven=True),
            voltage_source("in_g", "g", driven=True),
            mosfet("m", "d", "g", "s", "0", model=ald1106(**changes), w=SIDE, l=SIDE),
            voltage_source("sense", "s", dc=0.0),
        ),
        (Drive("in_d", 0), Drive("in_g", 1)),
        (Output("d"),),
        probes=("sense",),
    )
    plan = linear_plan(StaticPlan(network))
    circuit = Session().load(plan.deck(network))
    values = circuit.operating_point([constant(np.array([drain, gate]))])
    return float(values[list(circuit.deck.saves).index("i(vsense)")])


SHEET = {
    "gate threshold, VGS = VDS [V]": 0.7,
    "drain-source on resistance, VDS = 0.1 V, VGS = 5 V [Ohm]": 350.0,
    "output conductance, VDS = 5 V, IDS = 10 mA [S]": 200e-6,
    "on drain current, VGS = VDS = 5 V [A]": 4.8e-3,
}
"""Typical values at 25 degC of the data sheet ALD1106/ALD1116, Advanced Linear Devices."""


def fitted(**changes: float) -> list[float]:
    """The three fitted values of a card, from simulated currents, as shares of the data sheet's."""
    threshold, resistance, output, *_ = SHEET.values()
    currents = [drain_current(threshold + v, 0.1, **changes) for v in (0.3, 0.5)]  # ohmic: linear in the gate
    crossing = threshold + 0.3 - 0.2 * currents[0] / (currents[1] - currents[0]) - 0.05
    low, high = (drain_current(3.0, v, **changes) for v in (4.9, 5.1))
    relative = (high - low) / 0.2 / drain_current(3.0, 5.0, **changes)  # per ampere, in saturation
    return [
        crossing / threshold,
        0.1 / drain_current(5.0, 0.1, **changes) / resistance,
        relative * 10e-3 / output,
    ]


def test_the_card_has_the_data_sheets_values() -> None:
    """Three values are fitted; what others are wrong by is told on the page on transistors."""
    assert fitted() == pytest.approx([1.0, 1.0, 1.0], rel=1e-3)
    gate = brentq(lambda v: drain_current(v, 5.0) - 10e-3, 3.0, 8.0, xtol=1e-9)
    flat = (drain_current(gate, 5.01) - drain_current(gate, 4.99)) / 0.02
    found = [drain_current(5.0, 5.0), flat]
    page = (Path(__file__).parents[2] / "docs" / "transistors.md").read_text(encoding="utf-8")
    for sheet, value, unit in zip([4.8, 0.2], found, ["mA", "mS"], strict=True):
        row = re.search(rf"\| {sheet:g} {unit} \| ([0-9.]+) {unit}, not fitted \|", page)
        assert row is not None
        assert value == pytest.approx(float(row[1]) * 1e-3, rel=0.01)
    assert list(SHEET.values())[3:] == [4.8e-3]


@pytest.mark.parametrize(
    ("wrong", "place"),
    [({"threshold": 0.72}, 0), ({"transconductance": 6.8e-4}, 1), ({"channel_modulation": 0.023}, 2)],
)
def test_another_card_has_other_values(wrong: dict[str, float], place: int) -> None:
    assert abs(fitted(**wrong)[place] - 1.0) > 0.01


# --- the network --------------------------------------------------------------------------------------


def test_the_published_graph_and_its_nodes() -> None:
    edges = lattice(4, 4)
    assert len(edges) == 32
    assert set(Counter(n for e in edges for n in e).values()) == {4}
    network = clln()
    assert len(network.trainable) == 32
    assert sum(e.device.kind == "mosfet" for e in network.elements) == 64
    assert network.outputs == (Output("f0", "f10"),)
    assert {e.nodes[0] for e in network.elements if e.driven} == {"f15", "f13", "f5", "f7", "label_0"}
    assert all(e.nodes[3] == "0" for e in network.elements if e.device.kind == "mosfet")
    assert network.drive_values(PATTERNS)[1] == pytest.approx([0.0, 0.45, 0.11, 0.33, 0.0])


@pytest.mark.parametrize(("clamp", "differential"), [("nodes", True), ("difference", True), ("nodes", False)])
def test_the_clamp_is_part_of_the_circuit(clamp: str, differential: bool) -> None:
    eta, label = 0.3, 0.2
    network = clln(
        eta=eta, clamp=clamp, differential_outputs=differential, outputs=None if differential else [10]
    )
    phases, index = load(network), network.node_index
    drives = network.drive_values(PATTERNS[1])
    before = phases.free(drives)
    drives[-1] = label
    both = phases.free(drives)
    free, held = ([both.nodes[index[f"{c}{n}"]] for n in range(16)] for c in "fc")
    assert both.outputs == pytest.approx(before.outputs, abs=1e-12)  # the label does not reach the free copy
    plus, minus = (0, 10) if differential else (10, None)
    out = free[plus] - (0.0 if minus is None else free[minus])
    assert both.outputs[0] == pytest.approx(out, abs=1e-12)
    clamped = held[plus] - (0.0 if minus is None else held[minus])
    assert clamped == pytest.approx(out + eta * (label - out), abs=1e-9)
    if differential and clamp == "nodes":
        assert held[plus] - free[plus] == pytest.approx(0.5 * eta * (label - out), abs=1e-9)
        assert held[minus] - free[minus] == pytest.approx(-0.5 * eta * (label - out), abs=1e-9)
    driven = [int(e.name[5:]) for e in network.elements if e.name.startswith("same_")]
    assert len(driven) == 4
    for node in driven:
        assert held[node] == pytest.approx(free[node], abs=1e-12)
    drives[-1] = out
    same = phases.free(drives).nodes
    pairs = [(index[f"f{n}"], index[f"c{n}"]) for n in range(16)]
    assert max(abs(same[a] - same[b]) for a, b in pairs) < 1e-9  # clamped where it is: the twin is the same


def test_other_graphs_and_several_outputs() -> None:
    ring = clln(1, 2, edges=[(k, (k + 1) % 9) for k in range(9)], differential_outputs=False)
    assert len(ring.trainable) == 9
    assert ring.outputs == (Output("f5"), Output("f7"))
    batch = Batch(ring.drive_values(np.array([[0.2]])), np.array([[0.1, 0.3]]))
    found = estimate(load(ring), CoupledLearning(), batch)
    assert found.outputs.shape == (1, 2)
    assert np.isfinite(found.gradient).all()
    assert found.gradient.any()


def test_wrong_networks_are_refused() -> None:
    for wrong, message in (
        ({"inputs": [15]}, "inputs are 2"),
        ({"inputs": [15, 15]}, "different nodes"),
        ({"inputs": [15, 16]}, "0..15"),
        ({"edges": [(0, 1), (2, 3), (4, 5), (6, 7)]}, "not connected"),
        ({"edge": "diode"}, "edge 'diode'"),
        ({"eta": 0.0}, "eta = 0"),
    ):
        with pytest.raises(NetworkError, match=message):
            clln(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedElementError, match="twins"):
        CoupledLearning().check(StaticPlan(layered(2, [3], 1)))
    with pytest.raises(ValueError, match="eta"):
        CoupledLearning(eta=2.0)
    network = clln()
    with pytest.raises(SpecError, match="loss mse"):
        CoupledLearning().tasks(StaticPlan(network), xor(network), CrossEntropy())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tolerance"):
        CoupledLearning(tolerance=-1.0)


# --- the local rule -----------------------------------------------------------------------------------


def test_on_conductances_the_rule_is_the_gradient_over_the_resistance_seen_from_the_clamp() -> None:
    network = clln(edge="linear", differential_outputs=False, outputs=[10], gates=OPEN, seed=3)
    phases, batch, eta = load(network), xor(network), 1e-4
    found = estimate(phases, CoupledLearning(eta), batch)
    reference = estimate(phases, FiniteDifference(), batch)
    assert found.losses == pytest.approx(reference.losses, rel=1e-9)
    drives, current = batch.drives[0], np.array([1e-6])
    z = float((phases.nudged(drives, current).outputs - phases.free(drives).outputs)[0] / 1e-6)
    beta = TYPICAL.transconductance  # dG/dV_G
    assert found.gradient == pytest.approx(eta / z / beta * reference.gradient, rel=2e-3, abs=1e-9)


def test_cosines_with_the_true_gradient() -> None:
    single = {"differential_outputs": False, "outputs": [10], "gates": OPEN, "seed": 3}
    small = against_finite_differences(clln(**single), 1e-3, scale=0.01)  # type: ignore[arg-type]
    assert small > 0.999  # ohmic: all voltages a hundredth of the task's
    full = against_finite_differences(clln(**single), 1e-3)  # type: ignore[arg-type]
    assert 0.999 < full < small
    both = [
        against_finite_differences(clln(edge=edge, clamp=clamp, gates=OPEN, seed=3), 1e-3)
        for edge in ("linear", "transistor")
        for clamp in ("difference", "nodes")
    ]
    assert both[0] > 0.9999  # the difference is clamped, edges are conductances
    assert all(0.95 < c < 0.9999 for c in both[1:])
    assert against_finite_differences(clln(gates=OPEN, seed=3), 0.5) > 0.95  # as the task uses it
    assert (
        against_finite_differences(clln(seed=3), 0.5) < 0.9
    )  # where channels turn off, the rule does not see it


def test_the_estimators_eta_is_that_of_a_network_built_with_it() -> None:
    networks = [clln(eta=eta, seed=1) for eta in (0.5, 0.2)]
    phases = load(networks[0])
    given = estimate(phases, CoupledLearning(0.2), xor(networks[0])).gradient
    built = estimate(load(networks[1]), CoupledLearning(), xor(networks[1])).gradient
    other = estimate(phases, CoupledLearning(), xor(networks[0])).gradient  # its own again
    own = estimate(load(networks[0]), CoupledLearning(), xor(networks[0])).gradient
    assert other == pytest.approx(own, rel=1e-9, abs=1e-15)
    assert given == pytest.approx(built, rel=1e-9, abs=1e-15)
    assert np.linalg.norm(other - built) > 0.5 * np.linalg.norm(built)


def test_hinge_and_tolerance_leave_outputs_alone() -> None:
    network = clln(seed=1)
    phases, batch = load(network), xor(network)
    plain = estimate(phases, CoupledLearning(), batch)
    errors = plain.outputs - batch.targets
    beyond = (errors * np.sign(batch.targets))[:, 0] >= 0
    near = np.abs(errors[:, 0]) <= 0.1
    assert 0 < beyond.sum() < 4
    assert 0 < near.sum() < 4
    for estimator, left in (
        (CoupledLearning(hinge=True), beyond),
        (CoupledLearning(tolerance=0.1), near),
    ):
        kept = Batch(batch.drives[~left], batch.targets[~left])
        expected = estimate(phases, CoupledLearning(), kept).gradient * len(kept) / len(batch)
        found = estimate(phases, estimator, batch)
        assert found.gradient == pytest.approx(expected, rel=1e-6, abs=1e-12)
        assert found.losses == pytest.approx(plain.losses, rel=1e-9)


def test_one_of_two_outputs_is_left_alone() -> None:
    network = clln(2, 2, differential_outputs=False, gates=OPEN)
    phases = load(network)
    drives = network.drive_values(PATTERNS[1])
    free = phases.free(drives).outputs
    batch = Batch(drives[None], free[None] + np.array([1e-4, 0.05]))
    exact = Batch(drives[None], free[None] + np.array([0.0, 0.05]))
    found = estimate(phases, CoupledLearning(tolerance=1e-3), batch).gradient
    assert found == pytest.approx(estimate(phases, CoupledLearning(), exact).gradient, rel=1e-6, abs=1e-12)


# --- learning -----------------------------------------------------------------------------------------


def test_it_is_for_static_networks() -> None:
    assert CoupledLearning.static is True


@lru_cache
def learn(edge: str, seed: int, epochs: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of the four patterns before and after coupled learning."""
    network = clln(edge=edge, gates=OPEN, seed=seed, card=ald1106(body_effect=0.85))
    phases, batch = load(network), xor(network)
    lower, upper = network.bounds
    optimizer = SGD(len(lower), lower=lower, upper=upper)
    rng = np.random.default_rng(seed)
    before = phases.evaluate(batch, MSE)[1][:, 0]
    for _ in range(epochs):
        for k in rng.permutation(4):
            one = Batch(batch.drives[[k]], batch.targets[[k]])
            gradient = estimate(phases, CoupledLearning(), one).gradient
            phases.update(optimizer.step(phases.parameters, gradient, 20.0))
    return before, phases.evaluate(batch, MSE)[1][:, 0]


def right(outputs: np.ndarray) -> int:
    return int(MSE.correct(outputs[:, None], LABELS).sum())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_transistors_learn_xor(seed: int) -> None:
    before, after = learn("transistor", seed)
    assert right(before) < 4
    assert right(after) == 4


def test_the_shipped_experiment_learns_xor() -> None:
    """`clln_xor.yaml` as it is, in this process: its circuit, data, rule, rate and order of an update."""
    experiment = Experiment.load(Path(__file__).parents[2] / "experiments" / "clln_xor.yaml")
    split = experiment.data()
    plan, batch, loss = experiment.problem()
    assert len(batch) == 4
    assert experiment.training().batch_size == 1
    rule, phases = experiment.estimator(), plan()
    assert isinstance(rule, CoupledLearning)
    optimizer, rate = experiment.optimizer(plan.network), experiment.schedule()
    rng, shown = np.random.default_rng(experiment.batch_seed), []
    for epoch in range(121):
        losses, outputs = phases.evaluate(batch, loss)
        shown.append((losses.mean(), int(loss.correct(outputs, split.train.targets).sum())))
        for k in rng.permutation(4):
            one = Batch(batch.drives[[k]], batch.targets[[k]])
            phases.update(
                optimizer.step(phases.parameters, estimate(phases, rule, one).gradient, rate(epoch))
            )
    assert shown[0][1] < 4
    assert [right for _, right in shown[-20:]] == [4] * 20
    assert shown[-1][0] < 0.5 * shown[0][0]


@pytest.mark.parametrize("seed", [1, 2])
def test_linear_conductances_cannot_learn_xor(seed: int) -> None:
    """Superposition: `O(0,0) + O(1,1) = O(0,1) + O(1,0)`, while XOR needs these sums to differ in sign."""
    signs = np.array([1.0, -1.0, -1.0, 1.0])
    for outputs in learn("linear", seed):
        assert abs(signs @ outputs) < 1e-8
        assert right(outputs) <= 3
    assert signs @ learn("transistor", seed)[1] < -1e-2


def test_an_update_follows_the_published_rule() -> None:
    network = clln(gates=OPEN)
    phases, index = load(network), network.node_index
    batch = xor(network)
    one = Batch(batch.drives[[1]], batch.targets[[1]])
    drives = one.drives[0].copy()
    drives[-1] = one.targets[0, 0]
    nodes = phases.free(drives).nodes
    squares = [
        np.array([(nodes[index[f"{c}{a}"]] - nodes[index[f"{c}{b}"]]) ** 2 for a, b in lattice(4, 4)])
        for c in "fc"
    ]
    moved = SGD(32).step(phases.parameters, estimate(phases, CoupledLearning(), one).gradient, 20.0)
    assert moved - phases.parameters == pytest.approx(20.0 * (squares[0] - squares[1]), rel=1e-6, abs=1e-12)
    assert len(Twins.of(network).labels) == 1
