"""Norton equivalents in place of synapses at known nodes: the same voltages, waveforms and gradients."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from bridge.estimators.base import Batch, Estimator
from bridge.estimators.equilibrium import Equilibrium
from bridge.estimators.finite_difference import FiniteDifference
from bridge.experiment.record import plain_netlist
from bridge.losses import MeanSquaredError
from bridge.ngspice.session import Session
from bridge.phases import StaticPhases
from bridge.plans import Settling, StaticPlan
from bridge.simulator import Simulator
from circuits import reduction as module
from circuits.deck import SolverOptions
from circuits.devices.diode import diode
from circuits.devices.passive import resistor
from circuits.devices.sources import current_source, voltage_source
from circuits.network import Drive, Network, Output, Trainable
from circuits.reduction import Reduction, reduce_network
from circuits.topologies.graph import graph
from circuits.topologies.layered import layered

MSE = MeanSquaredError()
TIGHT = SolverOptions(reltol=1e-12, vntol=1e-14, abstol=1e-18)
SETTLING = Settling(duration=4e-6, step=2e-8, node_capacitance=2e-14)


def mixed() -> Network:
    """All that can be at a known node: stacked, turned, constant sources, fixed and trained conductances."""
    return Network(
        "mixed",
        (
            voltage_source("in", "a", driven=True),
            voltage_source("above", "b", "a", dc=0.3),
            voltage_source("turned", "0", "c", driven=True),
            voltage_source("rail", "d", dc=-0.4),
            voltage_source("trained", "t", dc=0.2),
            resistor("g1", "a", "x", conductance=2e-4),
            resistor("g2", "x", "b", conductance=1e-4),
            resistor("g3", "c", "x", conductance=3e-4),
            resistor("fixed", "d", "x", conductance=5e-5),
            resistor("leak", "0", "x", conductance=4e-5),
            resistor("g4", "x", "y", conductance=2e-4),
            resistor("g5", "y", "a", conductance=7e-5),
            resistor("g6", "t", "y", conductance=6e-5),
            resistor("idle", "a", "d", conductance=1e-3),
            resistor("across", "z", "0", conductance=1e-4),
            resistor("g7", "z", "y", conductance=1e-4),
            diode("d1", "x", "0"),
            diode("d2", "c", "y"),
            current_source("i", "z", "0", dc=1e-6),
        ),
        (Drive("turned", 1, scale=0.5), Drive("in", 0)),
        (Output("y"), Output("x", "b")),
        tuple(
            Trainable(n, "conductance", 1e-6, 1e-2)
            for n in ("idle", "g7", "g3", "g2", "leak", "g1", "g5", "g4", "g6")
        ),
    )


NETWORKS = {
    "mixed": mixed(),
    "layers": layered(3, [5, 4], 2, gain=4.0, seed=2, diode_offset=0.1),
    "graph": graph(20, 4, 3, seed=5),
}


def samples(network: Network, count: int) -> Batch:
    rng = np.random.default_rng(0)
    features = rng.normal(0.0, 1.0, (count, network.n_features))
    return Batch(network.drive_values(features), rng.normal(0.0, 0.5, (count, len(network.outputs))))


def reduced(network: Network) -> Reduction:
    found = reduce_network(network)
    assert found is not None
    return found


def both(name: str, settling: Settling | None = None) -> tuple[StaticPhases, StaticPhases]:
    options = (
        TIGHT if settling is None else replace(TIGHT, trtol=1e12)
    )  # time points by the largest step alone
    plan = StaticPlan(NETWORKS[name], settling, options, stream=False)
    with_it, without = StaticPhases(plan), StaticPhases(replace(plan, reduce=False))
    assert with_it.reduction is not None
    assert without.reduction is None
    return with_it, without


@pytest.mark.parametrize("name", NETWORKS)
def test_operating_points_and_gradients_are_those_of_the_whole_network(name: str) -> None:
    phases, whole = both(name)
    batch = samples(phases.network, 4)
    for drives in batch.drives:
        found, wanted = phases.free(drives), whole.free(drives)
        np.testing.assert_allclose(found.nodes, wanted.nodes, rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(found.outputs, wanted.outputs, rtol=1e-9, atol=1e-13)
    estimator = Equilibrium(beta=1e-5)
    gradients = []
    for here in (phases, whole):
        here.update(here.network.parameters * 1.2)
        results = [task.run(here) for task in estimator.tasks(here.plan, batch, MSE)]
        gradients.append(estimator.combine(here.plan, batch, results).gradient)
    size = np.abs(gradients[1]).max()
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-8, atol=1e-9 * size)
    assert np.linalg.norm(gradients[0] - gradients[1]) < 1e-9 * np.linalg.norm(gradients[1])


@pytest.mark.parametrize("name", NETWORKS)
def test_transients_that_settle_are_those_of_the_whole_network(name: str) -> None:
    phases, whole = both(name, SETTLING)
    assert any(e.device.kind == "capacitor" for e in reduced(phases.plan.circuit()).network.elements)
    drives = samples(phases.network, 1).drives[0]
    currents = np.full(len(phases.network.outputs), 2e-6)
    for found, wanted in (
        (phases.free(drives), whole.free(drives)),
        (phases.nudged(drives, currents), whole.nudged(drives, currents)),
    ):
        assert found.waveforms is not None
        assert wanted.waveforms is not None
        assert found.waveforms.names == wanted.waveforms.names
        np.testing.assert_allclose(found.waveforms.time, wanted.waveforms.time, rtol=1e-9)
        np.testing.assert_allclose(found.waveforms.values, wanted.waveforms.values, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(found.nodes, wanted.nodes, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_transients_that_settle_are_those_of_the_whole_network(name: str) -> None:
    estimator, gradients = Equilibrium(beta=1e-4), []
    for here in both(name, replace(SETTLING, tolerance=1e-2)):
        batch = samples(here.network, 2)
        results = [task.run(here) for task in estimator.tasks(here.plan, batch, MSE)]
        gradients.append(estimator.combine(here.plan, batch, results).gradient)
    assert np.linalg.norm(gradients[1]) > 0.0
    assert np.linalg.norm(gradients[0] - gradients[1]) < 1e-9 * np.linalg.norm(gradients[1])


def test_equivalents_by_hand() -> None:
    found = reduced(mixed())
    loaded = found.network
    assert set(mixed().nodes) - set(loaded.nodes) == {"d", "t"}  # v(b, a) is an output's, v(c) a diode's
    at = {found.full.nodes[c]: k for k, c in enumerate(found.folded_nodes)}
    total = loaded.element(found.equivalents[at["x"]]).value("conductance")
    assert total == pytest.approx(2e-4 + 1e-4 + 3e-4 + 5e-5 + 4e-5, rel=1e-14)
    drives = np.array([[0.7, 0.5]])  # turned, in: v(a) = 0.5, v(b) = 0.8, v(c) = -0.7, v(d) = -0.4
    currents = found.sources(drives, found.matrix(found.values))[0]
    feeds = {d.source: v for d, v in zip(loaded.drives, currents, strict=True)}
    wanted = 2e-4 * 0.5 + 1e-4 * 0.8 - 3e-4 * 0.7 - 5e-5 * 0.4
    assert feeds["norton_x_feed"] == pytest.approx(wanted, rel=1e-13)
    assert feeds["norton_y_feed"] == pytest.approx(7e-5 * 0.5 + 6e-5 * 0.2, rel=1e-13)


def test_what_is_not_known_beforehand_is_kept() -> None:
    base = mixed()
    loaded = reduced(
        replace(base, trainable=(*base.trainable, Trainable("trained", "dc", -1.0, 1.0)))
    ).network
    names = {e.name for e in loaded.elements}
    assert {"g4", "g6", "g7", "trained", "across", "d1", "d2", "turned", "i"} <= names
    assert not names & {"g1", "g2", "g3", "g5", "fixed", "leak", "idle", "rail"}
    assert [t.element for t in loaded.trainable] == ["g7", "g4", "g6", "trained"]


def test_networks_without_synapses_at_sources_are_left_alone() -> None:
    network = Network(
        "fed",
        (current_source("in", "0", "a", driven=True), resistor("g", "a", "0", conductance=1e-3)),
        (Drive("in", 0),),
        (Output("a"),),
    )
    assert reduce_network(network) is None
    probed = Network(
        "probed",
        (
            voltage_source("in", "a", driven=True),
            resistor("g", "a", "b", conductance=1e-3),
            resistor("h", "b", "0", conductance=1e-3),
        ),
        (Drive("in", 0),),
        (Output("b"),),
        probes=("in",),
    )
    assert reduce_network(probed) is None  # the source's current is an output: it must be loaded
    assert reduce_network(replace(probed, probes=())) is not None


def test_names_that_are_taken() -> None:
    base = mixed()
    taken = replace(base, elements=(*base.elements, resistor("Norton_x", "x", "z", conductance=1e-5)))
    found = reduced(taken)
    assert len({e.name.lower() for e in found.network.elements}) == len(found.network.elements)
    phases = StaticPhases(StaticPlan(taken, options=TIGHT))
    whole = StaticPhases(StaticPlan(taken, options=TIGHT, reduce=False))
    drives = samples(taken, 1).drives[0]
    np.testing.assert_allclose(phases.free(drives).nodes, whole.free(drives).nodes, rtol=1e-9, atol=1e-13)


def test_known_voltages_add_up_where_a_driven_source_stands_on_another() -> None:
    network = mixed()
    stacked = replace(
        network,
        elements=(
            *network.elements,
            voltage_source("top", "e", "a", driven=True),
            resistor("g8", "e", "y", conductance=1e-5),
        ),
        drives=(*network.drives, Drive("top", 0, scale=-2.0, offset=0.1)),
    )
    for one, alone in ((network, True), (stacked, False)):
        known = reduced(one).known
        assert (known._one_each is not None) == alone
        drives = one.drive_values(np.random.default_rng(4).normal(size=(6, one.n_features)))
        by_name = dict(zip(known.nodes, known.voltages(drives).T, strict=True))
        sources = {d.source: v for d, v in zip(one.drives, drives.T, strict=True)}
        np.testing.assert_allclose(by_name["b"], sources["in"] + 0.3, rtol=1e-15)
        np.testing.assert_allclose(by_name["c"], -sources["turned"], rtol=1e-15)
        np.testing.assert_array_equal(by_name["d"], np.full(6, -0.4))
        if not alone:
            np.testing.assert_allclose(by_name["e"], sources["in"] + sources["top"], rtol=1e-15)


@pytest.mark.parametrize("name", NETWORKS)
def test_few_synapses_between_many_nodes_are_kept_sparse(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = NETWORKS[name]
    found, drives = reduced(network), samples(network, 3).drives
    nodes = np.random.default_rng(1).normal(size=(2, 3, len(network.node_index)))
    nodes[:, :, found._known_columns] = found.known.voltages(drives)
    results = []
    for dense in (8, 0):
        monkeypatch.setattr(module, "_DENSE", dense)
        assert found._dense == (dense == 8)
        results.append((found.sources(drives, found.matrix(found.values)), found.contrasts(*nodes)))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-18)
    p, n = (
        nodes[
            ...,
            [
                network.node_index[network.element(network.trainable[k].element).nodes[t]]
                for k in found.trained
            ],
        ]
        for t in (0, 1)
    )
    by_hand = 0.5 * ((p - n)[0] ** 2 - (p - n)[1] ** 2).sum(axis=0)
    np.testing.assert_allclose(results[0][1], by_hand, rtol=1e-11, atol=1e-13)


def test_altered_conductances_are_those_of_a_fresh_circuit() -> None:
    network = NETWORKS["layers"]
    values = network.parameters * np.random.default_rng(3).uniform(0.5, 2.0, len(network.trainable))
    phases = StaticPhases(StaticPlan(network))
    drives = samples(network, 1).drives[0]
    before = phases.free(drives).nodes
    phases.update(values)
    fresh = StaticPhases(StaticPlan(network.with_parameters(values)))
    np.testing.assert_allclose(phases.free(drives).nodes, fresh.free(drives).nodes, rtol=1e-13, atol=1e-16)
    assert np.abs(phases.free(drives).nodes - before).max() > 1e-3


def test_gradients_of_folded_conductances_match_finite_differences() -> None:
    network = mixed()
    batch, plan = samples(network, 3), StaticPlan(mixed())
    found = []
    pairs: list[tuple[Estimator, StaticPlan]]
    pairs = [(Equilibrium(1e-8), plan), (FiniteDifference(), replace(plan, reduce=False))]
    for estimator, here in pairs:
        phases = StaticPhases(here)
        results = [task.run(phases) for task in estimator.tasks(here, batch, MSE)]
        found.append(estimator.combine(here, batch, results).gradient)
    assert found[0][0] == 0.0  # between two known nodes
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-6 * np.abs(found[1]).max())


def test_workers_reduce_too() -> None:
    plan = StaticPlan(NETWORKS["layers"])
    there = pickle.loads(pickle.dumps(plan)).reduction()
    here = plan.reduction()
    assert here is not None
    assert there is not None
    assert [e.name for e in there.network.elements] == [e.name for e in here.network.elements]
    batch = samples(plan.network, 5)
    with Simulator(plan) as simulator, Simulator(replace(plan, reduce=False)) as whole:
        for one in (simulator, whole):
            one.parameters = plan.network.parameters * 1.1
        a, b = (one.gradient(batch, MSE, Equilibrium()) for one in (simulator, whole))
    np.testing.assert_allclose(a.outputs, b.outputs, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(a.gradient, b.gradient, rtol=1e-5, atol=1e-7 * np.abs(b.gradient).max())


def test_a_netlist_says_what_was_folded(session: Session) -> None:
    plan = StaticPlan(mixed())
    values = samples(mixed(), 1).drives[0]
    text = plain_netlist(plan, plan.network, values)
    note = [line for line in text.splitlines() if line.startswith("*")]
    assert len(note) == 1
    assert "7 conductances" in note[0]
    assert "2 Norton equivalents" in note[0]
    assert "Rg1 " not in text
    assert "Rnorton_x " in text
    assert "Rg1 " in plain_netlist(replace(plan, reduce=False), plan.network, values)
    assert StaticPhases(plan, session).circuit.deck.text()[1] == note[0]
