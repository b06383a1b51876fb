"""Directed networks and networks of neurons: structure, gradients through spikes, truncation, growth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.errors import NetworkError, SpecError
from bridge.estimators import AdjointNetwork, DynamicBatch, FiniteDifference, TruncatedAdjoint
from bridge.estimators.truncation import Truncation
from bridge.losses import make_waveform_loss
from bridge.ngspice.session import Session
from bridge.simulator import Simulator
from bridge.validation.growth import gradient_growth
from circuits.devices.neurons import CELLS
from circuits.topologies.directed import DirectedNodes, Weights, directed
from circuits.topologies.neurons import Bounds, Connection, Input, Population, neuron_network

DURATION = 10e-6
TIMES = np.linspace(0.0, DURATION, 201)
PULSE = np.exp(-0.5 * ((TIMES - 2e-6) / 0.4e-6) ** 2)[None, :, None]


def small(train=("weight", "leak", "capacitance")):  # type: ignore[no-untyped-def]
    """A recurrent network of two layers."""
    nodes = DirectedNodes(spread=1.5)
    return directed(
        1, [2, 2], 1, bias=0.3, nodes=nodes, weights=Weights(self_initial=0.5), train=train, seed=4
    )


def test_a_directed_network_obeys_its_equations(session: Session) -> None:
    network = small()
    phases = DynamicPhases(DynamicPlan(network, DURATION, 10e-9), session)
    waves = phases.free(DynamicBatch(TIMES, network.drive_values(PULSE), [None]).signals(0))
    names = ["n0_0", "n0_1", "n1_0", "n1_1", "y0"]
    capacitance = np.array([network.element(f"c_{n}").value("capacitance") for n in names])
    weights = [e for e in network.elements if e.device.kind == "vccs"]

    def rate(t: float, v: np.ndarray) -> np.ndarray:
        known = {"x0": np.interp(t, TIMES, PULSE[0, :, 0]), "one": 0.3}
        known |= {f"a_{n}": 0.5 * np.tanh(v[k] / 0.5) for k, n in enumerate(names)}
        current = -10e-6 * v
        for w in weights:
            current[names.index(w.nodes[1])] += w.value("gain") * known[w.nodes[2]]
        return np.asarray(current / capacitance)

    wanted = solve_ivp(
        rate, (0, DURATION), np.zeros(5), rtol=1e-9, atol=1e-12, max_step=50e-9, t_eval=[6e-6, DURATION]
    )
    for k, name in enumerate(names):
        found = np.interp(wanted.t, waves.time, waves[f"v({name})"])
        np.testing.assert_allclose(found, wanted.y[k], atol=2e-5)


def test_nothing_flows_back_through_a_connection(session: Session) -> None:
    network = directed(1, [1, 1], 1, recurrent=False, seed=1)
    plan = DynamicPlan(network, DURATION, 50e-9)
    signals = DynamicBatch(TIMES, network.drive_values(PULSE), [None]).signals(0)
    before = DynamicPhases(plan, session).free(signals)["v(n0_0)"]
    theta = network.parameters
    place = [t.element for t in network.trainable].index("w_a_n0_0_n1_0")
    theta[place] *= -2
    phases = DynamicPhases(plan, session)
    phases.update(theta)
    after = phases.free(signals)
    np.testing.assert_allclose(after["v(n0_0)"], before, atol=1e-12)
    assert np.abs(after["v(n1_0)"]).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": [0]}, "needs a node"),
        ({"layers": [2], "train": ("gain",)}, "cannot train 'gain'"),
        ({"layers": [2], "nodes": DirectedNodes(spread=0.5)}, "spread"),
    ],
)
def test_wrong_directed_networks_are_refused(options: dict, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        directed(1, options.pop("layers"), 1, **options)


# --- truncation and growth --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running():  # type: ignore[no-untyped-def]
    """A directed network with a batch and a loss over all of its transient."""
    network = small()
    loss = make_waveform_loss("mse", target_times=TIMES)
    batch = DynamicBatch(
        TIMES, network.drive_values(np.concatenate([PULSE, -PULSE])), [np.zeros((201, 1))] * 2
    )
    with Simulator(DynamicPlan(network, DURATION, 25e-9)) as simulator:
        yield simulator, batch, loss


def test_pieces_of_a_full_horizon_add_up_to_the_whole_gradient(running) -> None:  # type: ignore[no-untyped-def]
    simulator, batch, loss = running
    scale = np.abs(simulator.parameters)
    whole = simulator.gradient(batch, loss, AdjointNetwork())
    for stride, tolerance in ((DURATION / 3.3, 1e-3), (DURATION, 1e-9)):
        cut = simulator.gradient(batch, loss, TruncatedAdjoint(DURATION, stride))
        np.testing.assert_array_equal(cut.losses, whole.losses)
        error = np.linalg.norm((cut.gradient - whole.gradient) * scale)
        assert error < tolerance * np.linalg.norm(whole.gradient * scale)


def test_a_truncated_gradient_misses_what_takes_longer(running) -> None:  # type: ignore[no-untyped-def]
    simulator, batch, loss = running
    scale = np.abs(simulator.parameters)
    whole = simulator.gradient(batch, loss, AdjointNetwork()).gradient * scale
    errors = []
    for horizon in (0.2e-6, 1e-6, 5e-6):
        cut = simulator.gradient(batch, loss, TruncatedAdjoint(horizon, 0.5e-6)).gradient * scale
        errors.append(np.linalg.norm(cut - whole) / np.linalg.norm(whole))
    assert errors[0] > 0.2
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_terminal_losses_reach_back_over_the_horizon_only(running) -> None:  # type: ignore[no-untyped-def]
    simulator, batch, _ = running
    loss, scale = make_waveform_loss("terminal_mse"), np.abs(simulator.parameters)
    batch = DynamicBatch(batch.times, batch.drives, [np.array([0.1])] * 2)
    whole = simulator.gradient(batch, loss, AdjointNetwork()).gradient * scale
    same = simulator.gradient(batch, loss, TruncatedAdjoint(DURATION)).gradient * scale
    np.testing.assert_allclose(same, whole, rtol=1e-9, atol=1e-12)
    cut = simulator.gradient(batch, loss, TruncatedAdjoint(1e-6)).gradient * scale
    assert np.linalg.norm(cut - whole) / np.linalg.norm(whole) > 0.1


def test_truncation_that_makes_no_sense_is_refused() -> None:
    for options in ({"horizon": 0.0}, {"horizon": 1.0, "stride": -1.0}):
        with pytest.raises(ValueError, match="must be positive"):
            Truncation(**options)


def unstable(rate: float):  # type: ignore[no-untyped-def]
    """One node whose loop gain lets a deviation grow as `exp(rate t)`."""
    gain = 10e-6 + rate * 10e-12
    network = directed(
        1, [1], 1, bias=0.0, nodes=DirectedNodes(scale=1e6), weights=Weights(initial=0.0), seed=0
    )
    theta = [gain if t.group.endswith("recurrent") else 10e-6 for t in network.trainable]
    return network.with_parameters(theta)


def test_the_gradients_of_an_unstable_loop_grow_at_its_rate_and_truncated_ones_more_slowly() -> None:
    """Errors of one size over time: what they add grows as `exp(rate L)`."""
    network, rate = unstable(1e6), 1e6
    pulse = 1e-6 * np.exp(-0.5 * ((TIMES - 0.5e-6) / 0.1e-6) ** 2)[None, :, None]
    batch = DynamicBatch(TIMES, network.drive_values(pulse), [None])

    class Mean:
        """The mean of the output: its error is constant in time."""

        def evaluate(self, time, outputs, target):  # type: ignore[no-untyped-def]
            from bridge.losses.waveform import WaveformValue
            from bridge.quadrature import trapezoid_weights

            weights = trapezoid_weights(time)[:, None] / DURATION
            return WaveformValue(
                float(np.sum(weights * outputs)), weights * np.ones_like(outputs), np.zeros(1)
            )

    from bridge.validation.growth import GrowthTask

    windows = (4e-6, 5e-6, 6e-6, 7e-6, 8e-6)
    phases = DynamicPhases(DynamicPlan(network, DURATION, 25e-9), Session())
    found = GrowthTask(batch, Mean(), windows, Truncation(1e-6, 0.5e-6)).run(phases)
    places = [k for k, t in enumerate(network.trainable) if t.group == "input"]
    whole, cut = np.abs(found[0][:, places[0]]), np.abs(found[1][:, places[0]])
    assert np.diff(np.log(whole)).mean() == pytest.approx(rate * 1e-6, rel=0.05)
    assert np.ptp(cut) < 1e-6 * whole[-1]  # later errors do not see the pulse
    assert (cut < 0.1 * whole).all()
    assert cut[-1] < 2e-3 * whole[-1]


def test_growth_is_told_and_bad_windows_are_refused(running) -> None:  # type: ignore[no-untyped-def]
    simulator, batch, loss = running
    found = gradient_growth(simulator, batch, loss, 3, Truncation(1e-6))
    whole = simulator.gradient(batch, loss, AdjointNetwork()).gradient * np.abs(simulator.parameters)
    assert found.norms[-1] == pytest.approx(np.linalg.norm(whole), rel=1e-6)
    assert found.to_json()["horizon"] == 1e-6
    assert len(found.lines()) == 6
    with pytest.raises(SpecError, match="windows must increase"):
        gradient_growth(simulator, batch, loss, [2e-6, 1e-6])


# --- neurons ------------------------------------------------------------------------------------------------


def pair(train: bool = True):  # type: ignore[no-untyped-def]
    """Two neurons, the first of which makes the second fire through a synapse, and a gap junction."""
    bounds = Bounds(1e-3, 2.0) if train else None
    populations = [
        Population("a", train={"g_na": Bounds(20, 600)}),
        Population("b", train={"g_leak": Bounds(0.05, 1.5)}),
    ]
    connections = [
        Connection("a", "b", weight=0.5, spread=0.0, bounds=bounds),
        Connection("a", "b", "gap", weight=0.02, spread=0.0, bounds=bounds),
    ]
    return neuron_network(populations, connections, [Input(0, "a")], ["a", "b"])[0]


@pytest.mark.parametrize(
    ("kind", "options", "target"),
    [
        ("spike_times", {"tau": 1e-3}, [[2e-3], [6e-3]]),
        ("spike_times", {"tau": 1e-3}, [[2e-3, 9e-3], []]),
        ("spikes", {"tau": 2e-3, "threshold": 0.0, "width": 5e-3}, [[2e-3], [6e-3]]),
        ("mse", {}, np.array([-0.06, -0.05])),
    ],
    ids=["times", "missing and extra", "van Rossum", "voltage"],
)
def test_gradients_through_spikes_are_those_of_finite_differences(kind, options, target) -> None:  # type: ignore[no-untyped-def]
    network = pair()
    times = np.linspace(0.0, 12e-3, 601)
    stimulus = 20.0 * ((times > 0.5e-3) & (times < 2.5e-3))[None, :, None]
    batch = DynamicBatch(times, network.drive_values(stimulus), [target])
    loss = make_waveform_loss(kind, **options)
    with Simulator(DynamicPlan(network, 12e-3, 5e-6)) as simulator:
        found = simulator.gradient(batch, loss, AdjointNetwork())
        wanted = simulator.gradient(batch, loss, FiniteDifference(1e-5))
        scale = np.abs(simulator.parameters)
    assert found.loss == wanted.loss > 0.0
    error = np.linalg.norm((found.gradient - wanted.gradient) * scale)
    assert error < 2e-3 * np.linalg.norm(wanted.gradient * scale)


def test_a_gap_junction_may_learn_down_to_nothing_as_a_synapse_may() -> None:
    populations = [Population("a"), Population("b")]
    connection = Connection("a", "b", "gap", weight=0.02, spread=0.0, bounds=Bounds(0.0, 1.0))
    network, sites = neuron_network(populations, [connection])
    assert 0.0 < network.trainable[0].lower < 1e-11
    assert sites[network.trainable[0].label].factor == 1e-3
    assert neuron_network(populations, [replace(connection, weight=0.0)])[0].parameters[0] < 1e-11


@pytest.mark.parametrize("kind", ["fitzhugh_nagumo", "integrate_and_fire", "hodgkin_huxley", "morris_lecar"])
def test_every_parameter_of_a_neuron_starts_wrong(kind: str) -> None:
    """Not only those of devices that no synapse has: the conductance of a recovery is a resistor."""
    names = [p.name for p in CELLS[kind].parameters if p.trainable and p.default]
    values = {n: CELLS[kind].parameter(n).default for n in names}
    train = {n: Bounds(*sorted((0.5 * v, 2.0 * v))) for n, v in values.items()}
    cells = Population("c", kind, train=train)
    synapse = Connection(
        "c", "d", weight=0.1, spread=0.0, bounds=Bounds(0, 1), train={"alpha": Bounds(0.1, 3)}
    )
    parts = [cells, Population("d")], [synapse, replace(synapse, kind="gap", train={})]
    right, sites = neuron_network(*parts)
    wrong = neuron_network(*parts, start_error=(0.1, 0.2))[0]
    for entry, a, b in zip(right.trainable, right.parameters, wrong.parameters, strict=True):
        assert (a == b) == sites[entry.label].synaptic
    assert sum(s.synaptic for s in sites.values()) == 3


def test_connections_are_those_asked_for() -> None:
    populations = [Population("a", size=20), Population("b", "integrate_and_fire", 10)]
    network, sites = neuron_network(
        populations,
        [
            Connection("a", "b", probability=0.3, weight=0.2, spread=0.25, bounds=Bounds(0, 1)),
            Connection("a", "a", "gap", weight=0.1),
        ],
        [Input(0, "a", [3], gain=2.0, offset=1.0)],
        ["b", "a0"],
        seed=2,
    )
    synapses = [e for e in network.elements if e.device.kind == "chemical_synapse"]
    gaps = [e for e in network.elements if e.device.kind == "resistor" and e.name.startswith("s1_")]
    assert 35 < len(synapses) < 85
    assert len(gaps) == 190
    assert all(e.nodes[0][0] == "b" and e.nodes[2][0] == "a" for e in synapses)
    weights = np.array([e.value("conductance") for e in synapses])
    assert 0.15e-3 <= weights.min() < weights.max() <= 0.25e-3
    assert len(network.outputs) == 11
    assert len(network.trainable) == len(synapses) == len(sites)
    np.testing.assert_allclose(network.drive_values([[3.0]]), [[7e-6]])
    again = neuron_network(populations, [Connection("a", "b", probability=0.3, weight=0.2)], seed=3)[0]
    assert {e.name for e in again.elements} != {e.name for e in network.elements}


def test_parameters_spread_and_start_wrong_by_what_is_asked_for() -> None:
    population = Population("c", size=200, spread={"g_na": 0.05}, train={"g_k": Bounds(6, 180)})
    nominal, sites = neuron_network([population], seed=5)
    wrong, _ = neuron_network([population], seed=5, start_error=(0.3, 0.4))
    sodium = np.array([nominal.element(f"c{k}_na").value("conductance") for k in range(200)])
    assert sodium.std() == pytest.approx(0.05 * 0.12, rel=0.2)
    assert sodium.mean() == pytest.approx(0.12, rel=0.02)
    ratio = wrong.parameters / nominal.parameters
    off = np.maximum(ratio, 1 / ratio)
    assert off.min() >= 1.3
    assert off.max() <= 1.4
    assert 50 < (ratio > 1).sum() < 150
    site = sites["c0_k.conductance"]
    assert (site.unit, site.value) == ("mS/cm^2", 36.0)
    assert site.factor == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([Population("a", "axon")],), "no neuron 'axon'"),
        (([Population("a"), Population("a")],), "two populations"),
        (([Population("a")], [Connection("a", "b")]), "no population 'b'"),
        (([Population("a")], [], [Input(0, "a", [1])]), "neurons 0 to 0"),
        (([Population("a")], [], [], ["b0"]), "no population 'b0'"),
        (([Population("a", train={"temperature": Bounds(5, 10)})],), "cannot be trained"),
        (([Population("a", size=2)], [Connection("a", "a", "gap", options={"beta": 1.0})]), "has no beta"),
    ],
)
def test_wrong_networks_of_neurons_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        neuron_network(*arguments)
