"""The folded adjoint network, alterations in bulk, and the choice of the solver."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bridge.dynamics import FIXED_GRID, DynamicPhases, DynamicPlan
from bridge.estimators import DynamicBatch
from bridge.estimators.adjoint import AdjointTask, SourceGradientTask
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice.drives import constant
from bridge.ngspice.session import Session
from bridge.plans import Settling, StaticPlan
from bridge.solver import LEAST_NODES, with_solver
from circuits.adjoint import adjoint
from circuits.deck import SolverOptions
from circuits.folding import fold
from circuits.netlist import build_deck
from circuits.network import Network, Output, Trainable
from circuits.topologies.graph import graph
from circuits.topologies.layered import layered
from circuits.topologies.rlc import Reactances, rlc

DURATION = 1e-6
TIMES = np.linspace(0.0, DURATION, 101)


def network(diodes: float = 0.5) -> Network:
    """Two channels, doubled, and a bias; its conductance from the bias is trainable, and so is a source."""
    react = Reactances(capacitance=1e-11, inductors=1, inductance=1e-5, diodes=diodes)
    return rlc(6, 2, 1, degree=3.0, fan=4, bias=0.3, reactances=react)


def sample(net: Network) -> DynamicBatch:
    phase = 2 * np.pi * TIMES / DURATION
    drives = net.drive_values(0.5 * np.sin(np.outer(phase, [1.0, 2.5])))
    return DynamicBatch(TIMES, drives[None], [0.1 * np.sin(1.7 * phase)[:, None]])


def loaded(net: Network, session: Session, steps: int = 400, **options: object) -> DynamicPhases:
    plan = DynamicPlan(net, DURATION, DURATION / steps, options=replace(FIXED_GRID, **options))  # type: ignore[arg-type]
    return DynamicPhases(plan, session)


def test_held_nodes_become_ground_and_parallel_resistors_one() -> None:
    net = network()
    whole = adjoint(net.flat()).network
    folded = fold(whole)
    drives = {d.source for d in net.drives}
    assert set(folded.sources) == drives
    assert len(folded.network.nodes) == len(whole.nodes) - len(drives)
    pairs = [tuple(sorted(e.nodes)) for e in folded.network.elements if e.device.kind == "resistor"]
    assert len(pairs) == len(set(pairs))
    total = sum(e.value("conductance") for e in whole.elements if e.device.kind == "resistor")
    held = set(folded.nodes) | {"0"}
    lost = sum(
        e.value("conductance")
        for e in whole.elements
        if e.device.kind == "resistor" and set(e.nodes) <= held
    )  # fmt: skip
    left = sum(e.value("conductance") for e in folded.network.elements if e.device.kind == "resistor")
    assert left == pytest.approx(total - lost)


def test_antiparallel_diodes_are_played_back_by_one_source() -> None:
    net = network(diodes=1.0)
    whole = adjoint(net.flat()).network
    folded = fold(whole)
    diodes = [e for e in net.flat().elements if e.device.kind == "diode"]
    pairs = {frozenset(e.nodes) for e in diodes}
    assert len(diodes) == 2 * len(pairs) > 2
    left = [e.name for e in folded.network.elements if e.device.kind == "adjoint_branch"]
    assert len(left) == len(pairs)
    assert set(folded.played.values()) == set(left)
    assert {*folded.played, *left} == {e.name for e in diodes}
    one = diodes[0].name
    assert one not in fold(whole, keep=[one]).played


def test_nodes_of_outputs_and_of_reactances_are_kept() -> None:
    net = network().flat()
    held = net.drives[0].source
    node = net.element(held).nodes[0]
    whole = replace(adjoint(net).network, outputs=(Output(node),))
    assert node not in fold(whole).nodes
    assert node not in fold(adjoint(net).network, keep=[node]).nodes
    capacitive = adjoint(net.with_parasitics(1e-12, [node])).network
    assert node not in fold(capacitive).nodes


def test_the_folded_circuit_has_the_unfolded_ones_signals(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Voltages, and the currents of sources that are no longer there, after an update of the parameters."""
    net = network()
    batch, loss = sample(net), WaveformMSE(TIMES)
    moved = net.parameters * np.random.default_rng(0).uniform(0.5, 2.0, len(net.trainable))
    found = []
    for folds in (True, False):
        if not folds:
            everything = [*(e.name for e in net.elements), *net.nodes]
            monkeypatch.setattr("bridge.dynamics.fold", lambda n: fold(n, everything))  # noqa: B023
        phases = loaded(net, session)
        AdjointTask(batch, 0, loss).run(phases)
        phases.update(moved)
        task = AdjointTask(batch, 0, loss)
        value, gradient, _ = task.run(phases)
        found.append((value, gradient, SourceGradientTask(batch, 0, loss).run(phases)[1]))
    assert len(net.trainable) > 20
    assert found[0][0] == found[1][0]
    for folded, unfolded in zip(found[0][1:], found[1][1:], strict=True):
        assert (
            np.abs(folded - unfolded).max() < 1e-5 * np.abs(unfolded).max()
        )  # history holds what the last iteration began with


def test_the_gradient_of_a_source_that_was_folded_away(session: Session) -> None:
    """The adjoint current of a constant source, against a central difference of its voltage."""
    net = network(diodes=0.0)
    driven = net.drives[-1].source  # the negative bias
    constant_source = replace(net.element(driven), driven=False).replace(dc=-0.3)
    elements = tuple(constant_source if e.name == driven else e for e in net.elements)
    fixed = replace(
        net,
        elements=elements,
        drives=net.drives[:-1],
        trainable=(*net.trainable, Trainable(driven, "dc", -1.0, 1.0)),
    )
    batch, loss = sample(fixed), WaveformMSE(TIMES)
    phases = loaded(fixed, session, steps=1600)
    gradient = AdjointTask(batch, 0, loss).run(phases)[1]
    ends = []
    for sign in (1.0, -1.0):
        moved = fixed.parameters
        moved[-1] += sign * 1e-3
        phases.update(moved)
        ends.append(phases.evaluate(batch, loss)[0][0])
    assert gradient[-1] == pytest.approx((ends[0] - ends[1]) / 2e-3, rel=2e-3)


def test_thousands_of_alterations_reach_the_circuit(session: Session) -> None:
    """Several go into one command; a command that is too long would lose its tail without a word."""
    net = layered(40, [20], 4)
    rng = np.random.default_rng(0)
    values = net.parameters * rng.uniform(0.3, 3.0, len(net.trainable))
    targets = [f"r{t.element}" for t in net.trainable]
    altered, fresh = session.load(build_deck(net)), session.load(build_deck(net.with_parameters(values)))
    altered.alter(targets, 1.0 / values)
    drives = constant(net.drive_values(rng.uniform(-1, 1, net.n_features)))
    assert np.array_equal(altered.operating_point([drives]), fresh.operating_point([drives]))
    assert len(targets) > 1500


def test_both_solvers_give_the_same_gradient(session: Session) -> None:
    net = network()
    batch, loss = sample(net), WaveformMSE(TIMES)
    one, other = (AdjointTask(batch, 0, loss).run(loaded(net, session, klu=klu))[1] for klu in (False, True))
    assert np.abs(one - other).max() < 1e-8 * np.abs(one).max()


def test_the_solver_is_chosen_by_size_unless_it_is_given() -> None:
    small, large = graph(20, 2, 1), graph(LEAST_NODES["operating_point"], 2, 1)
    settling = Settling(1e-6, 1e-8, 1e-12)
    assert not StaticPlan(small, settling).deck().options.klu
    assert StaticPlan(large, settling).deck().options.klu
    assert StaticPlan(large, stream=False).deck().options.klu
    assert not StaticPlan(small, stream=False).deck().options.klu
    middle = graph(LEAST_NODES["transient"], 2, 1)
    assert StaticPlan(middle, settling).deck().options.klu
    assert not StaticPlan(middle, stream=False).deck().options.klu
    for klu in (False, True):
        for net in (small, large):
            assert with_solver(SolverOptions(klu=klu), net, "transient").klu is klu
