"""Learning circuits of transistors: their parts against ideal ones, gradients of both kinds, training."""

from __future__ import annotations

import numpy as np
import pytest
import transistor_checks as tc
from scipy.optimize import curve_fit

from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.errors import NetworkError
from bridge.estimators.adjoint import AdjointTask
from bridge.estimators.base import Batch, DynamicBatch
from bridge.estimators.finite_difference import DifferenceTask
from bridge.estimators.operating_point import OperatingPointAdjoint, OperatingPointTask
from bridge.losses import MeanSquaredError
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice.session import Session
from bridge.phases import StaticPhases
from bridge.plans import StaticPlan
from bridge.simulator import Simulator
from bridge.updates.optimizers import Adam
from circuits.devices.base import Element
from circuits.devices.diode import THERMAL_VOLTAGE
from circuits.devices.mosfet import mosfet
from circuits.devices.passive import capacitor, resistor
from circuits.devices.sources import voltage_source
from circuits.network import Drive, Network, Output, Trainable
from circuits.topologies import transistor as tr

LOSS = MeanSquaredError()
TECHNOLOGIES = ["level1", pytest.param("freepdk45", marks=tc.needs_freepdk45)]


def technology(name: str, **changes: float) -> tr.Technology:
    return getattr(tr, name)(**changes)


def outputs(network: Network, drives: np.ndarray, session: Session) -> np.ndarray:
    """Outputs at operating points, `(n_samples, n_outputs)` [V]."""
    phases = StaticPhases(StaticPlan(network), session)
    return np.array([phases.free(d).outputs for d in drives])


def driven(
    name: str, elements: list[Element], t: tr.Technology, nodes: list[str], seen: list[str]
) -> Network:
    """A circuit with its supply, driven nodes and outputs."""
    sources = [voltage_source(f"in_{n}", n, driven=True) for n in nodes]
    supply = voltage_source("supply", tr.SUPPLY, dc=t.supply)
    drives = tuple(Drive(s.name, k) for k, s in enumerate(sources))
    return Network(name, (supply, *sources, *elements), drives, tuple(Output(n) for n in seen))


@tc.needs_freepdk45
def test_a_pair_in_weak_inversion_steers_its_current_by_a_tanh(session: Session) -> None:
    t = technology("freepdk45", tail_gate=0.75, load=1e-6, pair_width=4e-6, length=2e-7)
    network = driven(
        "n", tr.neuron("n", ("a", "b"), ("p", "q"), "tail", t), t, ["a", "b", "tail"], ["p", "q"]
    )
    x = np.linspace(-0.15, 0.15, 31)
    common = 0.2
    found = outputs(network, np.stack([common + x / 2, common - x / 2, 0 * x + t.tail_gate], axis=1), session)
    difference, total = found[:, 0] - found[:, 1], found.sum(axis=1)

    def steer(u: np.ndarray, size: float, kappa: float) -> np.ndarray:
        return size * np.tanh(kappa * u / (2 * THERMAL_VOLTAGE))

    (size, kappa), _ = curve_fit(steer, x, difference, (total.mean(), 0.7))
    assert np.abs(difference - steer(x, size, kappa)).max() < 0.01 * size
    assert 0.5 < kappa < 1.0
    assert size == pytest.approx(total.mean(), rel=0.02)  # the whole tail current is steered
    np.testing.assert_allclose(difference, -difference[::-1], atol=1e-6 * size)


@pytest.mark.parametrize("name", TECHNOLOGIES)
def test_a_synapse_conducts_more_with_its_gate(name: str, session: Session) -> None:
    t = technology(name)
    gates = np.linspace(*t.gate, 8)
    found = []
    for gate in gates:
        elements, weight = tr.synapse("w", "a", "o", t, float(gate))
        assert (weight.element, weight.parameter, weight.lower, weight.upper) == ("w_v", "dc", *t.gate)
        elements.append(resistor("r", "o", "ref", conductance=5e-5))
        network = driven("w", elements, t, ["a", "ref"], ["o"])
        ends = outputs(network, np.array([[0.201, 0.2], [0.199, 0.2]]), session)[:, 0]
        share = (ends[0] - ends[1]) / 0.002
        found.append(5e-5 * share / (1 - share))
    conductance = np.array(found)
    assert (np.diff(conductance) >= 0).all()
    assert conductance[-1] > 50 * conductance[0]
    assert conductance[-1] > 2 * conductance[4] > 4 * conductance[3]
    if name == "level1":
        threshold = t.nmos.get("vto", 0) + t.nmos.get("gamma", 0) * (
            np.sqrt(t.nmos.get("phi", 0) + 0.2) - np.sqrt(t.nmos.get("phi", 0))
        )
        wanted = t.nmos.get("kp", 0) * t.synapse_width / t.length * (gates[5:] - 0.2 - threshold)
        np.testing.assert_allclose(conductance[5:], wanted, rtol=3e-4)


@pytest.mark.parametrize("name", TECHNOLOGIES)
def test_a_directed_synapse_acts_in_one_direction(name: str, session: Session) -> None:
    t = technology(name)
    elements, _ = tr.directed_synapse("s", ("a", "b"), ("p", "q"), t, t.tail_gate)
    for k, (inner, held) in enumerate((("ia", "a"), ("ib", "b"), ("ip", "p"), ("iq", "q"))):
        elements.append(resistor(f"r{k}", inner, held, conductance=2e-5))
    network = driven("s", elements, t, ["ia", "ib", "ip", "iq"], ["a", "b", "p", "q"])
    rest = np.array([0.2, 0.2, 0.1, 0.1])
    moves = 0.02 * np.array([[1, -1, 0, 0], [0, 0, 1, -1]])
    base, forward, backward = outputs(network, np.stack([rest, *(rest + moves)]), session)
    ahead = (forward - base)[2] - (forward - base)[3]
    back = (backward - base)[0] - (backward - base)[1]
    assert ahead > 0.01
    assert abs(back) < 1e-3 * ahead


@pytest.mark.parametrize("name", TECHNOLOGIES)
@pytest.mark.parametrize("tails", [False, True])
def test_the_static_gradient_is_that_of_differences(name: str, tails: bool, session: Session) -> None:
    network = tr.transistor_network(2, [3], 1, technology=technology(name), train_tails=tails, seed=4)
    assert {t.group for t in network.trainable} == {"w1", "w2", *(["tails"] if tails else [])}
    features = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1.0]])
    batch = Batch(network.drive_values(features), 0.03 * np.array([[-1], [1], [1], [-1.0]]))
    plan = StaticPlan(network)
    OperatingPointAdjoint().check(plan)
    phases = StaticPhases(plan, session)
    places = tuple(range(0, len(network.trainable), 3))
    wanted = DifferenceTask(batch, LOSS, places, 3e-4).run(phases)
    for way, allowed in (("auto", 1e-5), ("reported", 2e-4)):
        found = OperatingPointTask(batch, LOSS, way).run(phases)[2][list(places)] / len(batch)
        assert tc.error(found, wanted) < allowed


@pytest.mark.parametrize("name", TECHNOLOGIES)
def test_a_network_of_directed_synapses(name: str, session: Session) -> None:
    """Its gradient is that of differences, and what a layer does is not felt by the one before it."""
    network = tr.transistor_network(
        2, [2], 1, technology=technology(name), seed=4, synapses="transconductance"
    )
    assert sum(e.device.kind == "mosfet" for e in network.elements) == 3 * len(network.trainable)
    batch = Batch(network.drive_values(np.array([[-1, 1], [1, 1.0]])), np.array([[0.02], [-0.02]]))
    plan = StaticPlan(network)
    OperatingPointAdjoint().check(plan)
    phases = StaticPhases(plan, session)
    places = tuple(range(0, len(network.trainable), 3))
    wanted = DifferenceTask(batch, LOSS, places, 1e-4).run(phases)
    found = OperatingPointTask(batch, LOSS, "auto").run(phases)[2][list(places)] / len(batch)
    assert tc.error(found, wanted) < 1e-5

    index = network.node_index
    before = phases.free(batch.drives[0]).nodes
    moved = np.array([t.group == "w2" for t in network.trainable])
    phases.update(network.parameters - 0.05 * moved)
    after = phases.free(batch.drives[0]).nodes
    shifts = {
        layer: [abs(after - before)[index[f"{layer}{end}"]] for end in "pn"] for layer in ("h1_0", "o0")
    }
    assert min(shifts["o0"]) > 1e-2
    assert max(shifts["h1_0"]) < 1e-3 * min(shifts["o0"])


def moving(network: Network, duration: float) -> tuple[DynamicBatch, WaveformMSE]:
    """A sine as the feature and a cosine as the target."""
    times = np.linspace(0.0, duration, 201)
    x = 0.8 * np.sin(2 * np.pi * 1.7 * times / duration)
    target = 0.03 * np.cos(2 * np.pi * 2.2 * times / duration)[:, None]
    return DynamicBatch(times, network.drive_values(x[:, None])[None], [target]), WaveformMSE(times)


def both(
    phases: DynamicPhases, batch: DynamicBatch, loss: WaveformMSE, way: str = "auto"
) -> tuple[np.ndarray, np.ndarray]:
    """The gradient by the adjoint network and by differences extrapolated to step zero."""
    places = tuple(range(len(phases.plan.network.trainable)))
    near, far = (DifferenceTask(batch, loss, places, step).run(phases) for step in (1e-3, 2e-3))
    return AdjointTask(batch, 0, loss, way).run(phases)[1], (4 * near - far) / 3


@tc.needs_freepdk45
@pytest.mark.parametrize(
    ("hold", "way", "allowed"),
    [("source", "auto", 1e-5), ("source", "reported", 1e-3), ("capacitor", "auto", 1e-3)],
)
def test_the_gradient_of_a_transient_is_that_of_differences(
    hold: str, way: str, allowed: float, session: Session
) -> None:
    """2 ns and node capacitances of 2 fF: the transistors' own charges move a share of the current.

    On capacitors the gates start uncharged inside, so that the first instants are faster than the steps.
    """
    t = technology("freepdk45", gate_start=(0.35, 0.55))
    network = tr.transistor_network(
        1, [1], 1, technology=t, hold=hold, hold_capacitance=2e-14, node_capacitance=2e-15
    )
    duration = 2e-9
    plan = DynamicPlan(network, duration, duration / 500, from_rest=hold == "capacitor")
    batch, loss = moving(network, duration)
    found, wanted = both(DynamicPhases(plan, session), batch, loss, way)
    assert tc.error(found, wanted) < allowed
    if (hold, way) == ("source", "auto"):
        still = DynamicPhases(plan, session)
        still.charges = False
        assert tc.error(AdjointTask(batch, 0, loss, way).run(still)[1], wanted) > 1e-2


def amplifier(name: str, from_rest: bool) -> Network:
    """A pass transistor into the gate of a loaded one; node capacitances of 50 fF."""
    (n, w, l, supply), (p, *_) = tc.card(name), tc.card(name, "pmos")  # noqa: E741
    size = {"w": w, "l": l, "pd": 3 * w, "ps": 3 * w}
    start = 0.2 * supply if from_rest else 0.0
    elements = (
        voltage_source("x", "x", driven=True),
        voltage_source("vd", "vd", dc=supply),
        voltage_source("vg1", "g1", dc=0.8 * supply),
        voltage_source("vb", "bb", dc=-0.1 * supply),
        mosfet("m1", "x", "g1", "a", "bb", model=n, **size),
        mosfet("m2", "o", "a", "0", "bb", model=n, **size),
        mosfet("m3", "o", "o", "vd", "vd", model=p, **size),
        resistor("ra", "a", "0", conductance=2e-6),
        capacitor("ca", "a", "0", capacitance=5e-14, initial_voltage=start),
        capacitor("co", "o", "0", capacitance=5e-14, initial_voltage=2 * start),
    )
    trained = [Trainable(s, "dc", -5.0, 5.0) for s in ("vg1", "vb", "vd")]
    trained += [Trainable("ra", "conductance", 1e-9, 1e-3), Trainable("ca", "capacitance", 1e-16, 1e-9)]
    trained += [Trainable("m1", "w", 1e-7, 1e-4), Trainable("m2", "w", 1e-7, 1e-4)] if name != "bsim3" else []
    return Network("amp", elements, (Drive("x", 0),), (Output("o"), Output("a")), tuple(trained))


@pytest.mark.parametrize("from_rest", [False, True])
@pytest.mark.parametrize(("name", "allowed"), [("level1", 1e-3), ("overlaps", 1e-4), ("bsim3", 1e-4)])
def test_other_models_in_a_transient(name: str, allowed: float, from_rest: bool, session: Session) -> None:
    """Level 1's charges are Meyer's, which are no functions of the voltages: its gradient is approximate.

    Without TOX it has overlap capacitances only, and none of that error.
    """
    network = amplifier(name, from_rest)
    duration, supply = 3e-7, 1.5
    times = np.linspace(0, duration, 301)
    x = supply * (0.4 + 0.4 * np.sin(2 * np.pi * 2.3 * times / duration))
    target = supply * np.stack([0.5 + 0.2 * np.sin(9 * times / duration), 0.3 + 0 * times], axis=1)
    batch, loss = DynamicBatch(times, x[None, :, None], [target]), WaveformMSE(times)
    phases = DynamicPhases(DynamicPlan(network, duration, duration / 1500, from_rest), session)
    found, wanted = both(phases, batch, loss)
    assert tc.error(found, wanted, np.abs(network.parameters)) < allowed


@tc.needs_freepdk45
def test_a_network_of_45_nm_transistors_learns_xor() -> None:
    """43 transistors, 34 gate voltages: the loss falls below a fiftieth of the targets' mean square."""
    features = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1.0]])
    size = 0.03
    targets = size * np.array([[-1], [1], [1], [-1.0]])
    network = tr.transistor_network(2, [3], 1, technology=technology("freepdk45"), seed=0)
    lower, upper = network.bounds
    optimizer = Adam(len(network.trainable), lower=lower, upper=upper)
    with Simulator(StaticPlan(network)) as simulator:
        batch = simulator.batch(features, targets)
        losses = []
        for _ in range(50):
            found = simulator.gradient(batch, LOSS, OperatingPointAdjoint("reported"))
            losses.append(found.loss / size**2)
            simulator.parameters = optimizer.step(simulator.parameters, found.gradient, 0.02)
    assert losses[0] > 1.0
    assert losses[-1] < 0.02
    assert (np.sign(found.outputs) == np.sign(targets)).all()


@pytest.mark.parametrize("from_rest", [False, True])
def test_parallel_capacitors_share_their_charge_at_the_start(from_rest: bool, session: Session) -> None:
    """As a gate's own capacitance does with the capacitor that holds it; against the exact solution.

    A start from rest has `v = q / (c1 + c2) exp(-t g / (c1 + c2))`, `q = c1 v0`; one from an operating point
    forgets `v0`.
    """
    g, c1, c2, v0, duration = 1e-4, 1e-12, 3e-12, 0.8, 5e-8
    elements = (
        voltage_source("x", "x", driven=True),
        resistor("r", "x", "a", conductance=g),
        capacitor("c1", "a", "0", capacitance=c1, initial_voltage=v0),
        capacitor("c2", "a", "0", capacitance=c2),
    )
    trained = (Trainable("c1", "capacitance", 1e-15, 1e-9), Trainable("c1", "initial_voltage", -2.0, 2.0))
    trained += (Trainable("c2", "capacitance", 1e-15, 1e-9),)
    network = Network("share", elements, (Drive("x", 0),), (Output("a"),), trained)
    times = np.linspace(0.0, duration, 11)
    batch = DynamicBatch(times, np.zeros((1, 11, 1)), [np.zeros((11, 1))])
    plan = DynamicPlan(network, duration, duration / 1000, from_rest)
    found = AdjointTask(batch, 0, WaveformMSE(times)).run(DynamicPhases(plan, session))[1]

    def loss(p: np.ndarray) -> float:
        total = p[0] + p[2]
        return float(
            (p[0] * p[1] / total) ** 2 * total / (2 * g * duration) * -np.expm1(-2 * g * duration / total)
        )

    p = np.array([c1, v0, c2])
    steps = [1e-5 * p[k] * np.eye(3)[k] for k in range(3)]
    wanted = np.array([(loss(p + s) - loss(p - s)) / (2 * s.max()) for s in steps])
    if from_rest:
        np.testing.assert_allclose(found, wanted, rtol=1e-4)
    else:
        np.testing.assert_allclose(found * p, 0.0, atol=1e-12)


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(NetworkError, match="w: hold 'battery' is not one of: source, capacitor"):
        tr.synapse("w", "a", "b", technology("level1"), 0.5, hold="battery")
    with pytest.raises(NetworkError, match="synapses 'wire' are not one of: channel, transconductance"):
        tr.transistor_network(1, [1], 1, synapses="wire")
    with pytest.raises(NetworkError, match="directed synapses have sources at their gates"):
        tr.transistor_network(1, [1], 1, synapses="transconductance", hold="capacitor")
