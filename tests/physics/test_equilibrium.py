"""Equilibrium propagation on static networks: against finite differences and gradients by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bridge.errors import IncompleteError, UnsupportedElementError
from bridge.estimators.base import Batch, Estimator
from bridge.estimators.equilibrium import Equilibrium
from bridge.estimators.finite_difference import FiniteDifference
from bridge.losses import CrossEntropy, Loss, MeanSquaredError
from bridge.ngspice.session import Session
from bridge.phases import StaticPhases
from bridge.plans import Settling, StaticPlan
from bridge.simulator import Simulator
from circuits.devices.base import Element
from circuits.devices.diode import diode
from circuits.devices.passive import resistor
from circuits.devices.sources import amplifier, vccs, voltage_source
from circuits.network import Drive, Network, Output, Trainable
from circuits.topologies.graph import graph
from circuits.topologies.layered import layered

MSE = MeanSquaredError()
SMALL = Equilibrium(beta=1e-8)
"""So small a nudge that only the solver's noise is left of its error."""


def gradient(
    network: Network | StaticPlan, estimator: Estimator, batch: Batch, loss: Loss = MSE
) -> np.ndarray:
    """The gradient of a batch, computed in this process."""
    plan = network if isinstance(network, StaticPlan) else StaticPlan(network)
    estimator.check(plan)
    phases = StaticPhases(plan, Session())
    results = [task.run(phases) for task in estimator.tasks(plan, batch, loss)]
    return estimator.combine(plan, batch, results).gradient


def samples(network: Network, count: int, seed: int = 0, one_hot: bool = False) -> Batch:
    rng = np.random.default_rng(seed)
    n = len(network.outputs)
    targets = np.eye(n)[rng.integers(n, size=count)] if one_hot else rng.normal(0.0, 0.5, (count, n))
    return Batch(network.drive_values(rng.normal(0.0, 1.0, (count, network.n_features))), targets)


def error(found: np.ndarray, reference: np.ndarray) -> float:
    assert np.linalg.norm(reference) > 0
    return float(np.linalg.norm(found - reference) / np.linalg.norm(reference))


TWENTY = graph(20, 4, 3, seed=5)


@pytest.mark.parametrize("loss", [MSE, CrossEntropy(scale=5.0)], ids=["mse", "cross-entropy"])
def test_a_random_diode_network_of_twenty_nodes_matches_finite_differences(loss: Loss) -> None:
    assert sum(e.device.kind == "diode" for e in TWENTY.elements) >= 20
    assert len(TWENTY.nodes) == 20
    batch = samples(TWENTY, 3, one_hot=loss is not MSE)
    reference = gradient(TWENTY, FiniteDifference(), batch, loss)
    assert error(gradient(TWENTY, SMALL, batch, loss), reference) < 1e-6
    assert error(gradient(TWENTY, Equilibrium(), batch, loss), reference) < 1e-3
    straight = gradient(replace(TWENTY, elements=without_diodes(TWENTY)), FiniteDifference(), batch, loss)
    assert error(straight, reference) > 0.05  # the diodes matter


def without_diodes(network: Network) -> tuple[Element, ...]:
    return tuple(e for e in network.elements if e.device.kind != "diode")


@pytest.mark.parametrize("differential", [False, True])
def test_layers_with_amplifiers_match_finite_differences(differential: bool) -> None:
    network = layered(3, [4, 3], 2, gain=4.0, seed=2, differential_outputs=differential)
    batch = samples(network, 2)
    reference = gradient(network, FiniteDifference(), batch)
    found = gradient(network, SMALL, batch)
    assert error(found, reference) < 1e-6
    for group in ("w1", "w2", "w3"):  # every layer by itself: a wrong weight spoils one of them
        rows = [k for k, t in enumerate(network.trainable) if t.group == group]
        assert error(found[rows], reference[rows]) < 1e-6


@pytest.mark.parametrize(("gain", "backward"), [(4.0, 0.25), (4.0, 4.0), (4.0, 1.0), (0.5, 3.0)])
def test_the_weight_of_a_layer_is_the_ratio_of_the_gains(gain: float, backward: float) -> None:
    network = Network(
        "amplified",
        (
            voltage_source("in", "a", driven=True),
            resistor("g1", "a", "h", conductance=2e-4),
            resistor("g2", "h", "0", conductance=1e-4),
            diode("d1", "h", "0"),
            amplifier("m", "h", "q", gain=gain, backward_gain=backward),
            resistor("g3", "q", "o", conductance=3e-4),
            resistor("g4", "o", "0", conductance=2e-4),
            diode("d2", "0", "o"),
        ),
        (Drive("in", 0),),
        (Output("o"),),
        tuple(Trainable(f"g{k}", "conductance", 1e-6, 1e-2) for k in (1, 2, 3, 4)),
    )
    batch = samples(network, 2, seed=3)
    reference = gradient(network, FiniteDifference(), batch)
    found = gradient(network, SMALL, batch)
    assert error(found[:2], reference[:2]) < 1e-6
    assert error(found[2:], reference[2:]) < 1e-6


def divider(up: float, down: float) -> Network:
    return Network(
        "divider",
        (
            voltage_source("in", "a", driven=True),
            resistor("up", "a", "b", conductance=up),
            resistor("down", "b", "0", conductance=down),
            resistor("idle", "a", "0", conductance=1e-3),
        ),
        (Drive("in", 0),),
        (Output("b"),),
        tuple(Trainable(n, "conductance", 1e-6, 1e-1) for n in ("up", "down", "idle")),
    )


@pytest.mark.parametrize("estimator", [Equilibrium(), FiniteDifference()], ids=lambda e: e.name)
def test_the_gradient_of_a_divider_by_hand(estimator: Estimator) -> None:
    up, down, volts, target = 1e-3, 3e-3, 2.0, 0.8
    out = volts * up / (up + down)
    slope = 2.0 * (out - target)
    wanted = [slope * volts * down / (up + down) ** 2, -slope * volts * up / (up + down) ** 2]
    found = gradient(divider(up, down), estimator, Batch(np.array([[volts]]), np.array([[target]])))
    np.testing.assert_allclose(found[:2], wanted, rtol=1e-6)
    assert wanted[0] < 0 < wanted[1]


def test_an_element_between_held_nodes_has_no_gradient() -> None:
    batch = Batch(np.array([[2.0], [-1.0]]), np.array([[0.8], [0.1]]))
    assert gradient(divider(1e-3, 3e-3), Equilibrium(), batch)[2] == 0.0


def test_a_batchs_gradient_is_the_mean_of_its_samples() -> None:
    batch = samples(TWENTY, 5, seed=7)
    whole = gradient(TWENTY, Equilibrium(), batch)
    each = [gradient(TWENTY, Equilibrium(), part) for part in batch.chunks(1)]
    wanted = np.mean(each, axis=0)  # each from scratch, the whole in sequence: equal up to the tolerances
    np.testing.assert_allclose(whole, wanted, rtol=1e-8, atol=1e-10 * np.abs(whole).max())


def test_the_error_is_of_second_order_in_the_nudge() -> None:
    batch = samples(TWENTY, 2, seed=1)
    reference = gradient(TWENTY, FiniteDifference(), batch)
    errors = [error(gradient(TWENTY, Equilibrium(beta), batch), reference) for beta in (4e-5, 2e-5, 1e-5)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert errors[0] > 1e-4
    np.testing.assert_allclose(orders, 2.0, atol=0.2)


def test_a_settled_transient_gives_the_operating_points_gradient() -> None:
    network = layered(2, [3], 2, gain=2.0, seed=4)
    batch = samples(network, 2)
    still = gradient(network, Equilibrium(beta=1e-5), batch)
    plan = StaticPlan(network, Settling(5e-6, 2e-8, 1e-13))
    settled = gradient(plan, Equilibrium(beta=1e-5), batch)
    assert error(settled, still) < 1e-4


def test_a_transient_that_has_not_settled_is_refused_with_the_slowest_nodes_name() -> None:
    network = divider(1e-6, 1e-6)
    plan = StaticPlan(network, Settling(duration=2e-6, step=2e-8, node_capacitance=1e-12))
    phases = StaticPhases(plan, Session())  # its time constant is 0.5 us
    with pytest.raises(
        IncompleteError, match=r"has not settled: v\(b\) moves by .* V in the last tenth of 2e-06 s"
    ):
        phases.free(np.array([2.0]))
    longer = StaticPhases(replace(plan, settling=Settling(10e-6, 2e-8, 1e-12)), Session())
    assert longer.free(np.array([2.0])).outputs[0] == pytest.approx(1.0, abs=1e-6)


def test_trainable_diode_areas_match_finite_differences() -> None:
    base = TWENTY
    areas = [e.name for e in base.elements if e.device.kind == "diode"]
    rng = np.random.default_rng(0)
    network = replace(
        base,
        elements=tuple(
            e.replace(area=rng.uniform(0.3, 3.0)) if e.name in areas else e for e in base.elements
        ),
        trainable=(
            *base.trainable[:3],
            *(Trainable(a, "area", 0.1, 10.0) for a in areas),
            *base.trainable[3:6],
        ),
    )
    batch = samples(network, 2, seed=9)
    reference = gradient(network, FiniteDifference(), batch)
    found = gradient(network, SMALL, batch)
    places = [k for k, t in enumerate(network.trainable) if t.parameter == "area"]
    # ngspice's Boltzmann constant differs by 3.5e-7, and the law's exponent is up to twenty times that
    assert error(found[places], reference[places]) < 2e-5
    assert error(found, reference) < 1e-6


def chain(*extra: Element, outputs: tuple[Output, ...] = (Output("c"),)) -> Network:
    return Network(
        "chain",
        (
            voltage_source("in", "a", driven=True),
            resistor("g1", "a", "b", conductance=1e-3),
            amplifier("m1", "b", "c", gain=2.0),
            resistor("g2", "c", "0", conductance=1e-3),
            *extra,
        ),
        (Drive("in", 0),),
        outputs,
        (Trainable("g1", "conductance", 1e-6, 1e-1),),
    )


REFUSED: dict[str, tuple[Network, str, str]] = {
    "a transconductance": (
        chain(vccs("trans", "c", "0", "b", "0", gain=1e-3)),
        "trans",
        "a vccs is not reciprocal; use the estimator finite_difference",
    ),
    "amplifiers in a loop whose gains contradict": (
        chain(amplifier("m2", "b", "d", gain=3.0), resistor("g3", "d", "c", conductance=1e-3)),
        "m[12]",
        "gains that contradict each other",
    ),
    "an amplifier that is shorted by a resistor": (
        chain(resistor("g3", "b", "c", conductance=1e-3)),
        "m1",
        "gains that contradict each other",
    ),
    "outputs of different weight": (
        chain(outputs=(Output("c"), Output("b"))),
        "b",
        "both sides of an amplifier",
    ),
    "an amplifier with a loose reference": (
        chain(amplifier("m2", "c", "d", gain=2.0, ref="c"), resistor("g3", "d", "0", conductance=1e-3)),
        "m2",
        "reference nodes are not held",
    ),
    "a trainable source": (
        replace(
            chain(voltage_source("bias", "e"), resistor("g3", "e", "c", conductance=1e-3)),
            trainable=(Trainable("bias", "dc", -1.0, 1.0),),
        ),
        "bias",
        "dc of a voltage_source is not a parameter of a branch current; use the estimator finite_difference",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_networks_without_a_co_content_are_refused_with_the_element_and_the_advice(case: str) -> None:
    network, element, reason = REFUSED[case]
    with pytest.raises(UnsupportedElementError, match=f"^{element}: .*{reason}") as caught:
        Equilibrium().check(StaticPlan(network))
    assert "finite_difference" in str(caught.value)


@pytest.mark.parametrize("case", ["a transconductance", "outputs of different weight"])
def test_finite_differences_cover_what_equilibrium_refuses(case: str) -> None:
    network = REFUSED[case][0]
    batch = samples(network, 1)
    found = gradient(network, FiniteDifference(), batch)
    assert error(gradient(network, FiniteDifference(relative_step=1e-2), batch), found) < 1e-3


def test_finite_differences_of_a_parameter_that_is_zero() -> None:
    network = replace(
        divider(1e-3, 3e-3),
        elements=(
            *divider(1e-3, 3e-3).elements[:2],
            resistor("low", "b", "c", conductance=1e-3),
            voltage_source("bias", "c"),
        ),
        trainable=(Trainable("bias", "dc", -1.0, 1.0),),
    )  # out = (a + c) / 2
    found = gradient(network, FiniteDifference(), Batch(np.array([[2.0]]), np.array([[0.4]])))
    np.testing.assert_allclose(found, [2.0 * (1.0 - 0.4) * 0.5], rtol=1e-6)


def test_amplifiers_in_a_loop_whose_gains_agree_are_exact() -> None:
    network = chain(
        amplifier("m2", "b", "d", gain=2.0), resistor("g3", "d", "c", conductance=1e-3), diode("d", "d", "0")
    )
    network = replace(
        network, trainable=tuple(Trainable(f"g{k}", "conductance", 1e-6, 1e-1) for k in (1, 2, 3))
    )
    batch = samples(network, 2)
    assert error(gradient(network, SMALL, batch), gradient(network, FiniteDifference(), batch)) < 1e-6


def test_a_sample_that_is_right_already_costs_one_phase_and_has_no_gradient() -> None:
    plan = StaticPlan(divider(1e-3, 3e-3))
    phases = StaticPhases(plan, Session())
    out = phases.free(np.array([2.0])).outputs
    before = phases.usage()["operating_points"]
    (task,) = Equilibrium().tasks(plan, Batch(np.array([[2.0]]), out[None]), MSE)
    losses, _, total = task.run(phases)
    assert losses[0] == 0.0
    assert not total.any()
    assert phases.usage()["operating_points"] - before == 1


def test_finite_differences_leave_the_circuit_as_it_was() -> None:
    plan = StaticPlan(TWENTY)
    phases = StaticPhases(plan, Session())
    phases.update(TWENTY.parameters * 1.1)
    batch = samples(TWENTY, 1)
    before = phases.free(batch.drives[0]).nodes
    for task in FiniteDifference().tasks(plan, batch, MSE):
        task.run(phases)
    assert np.array_equal(phases.free(batch.drives[0]).nodes, before)


def test_updated_parameters_move_the_gradient_as_in_a_fresh_network() -> None:
    values = TWENTY.parameters * np.random.default_rng(3).uniform(0.5, 2.0, len(TWENTY.trainable))
    batch = samples(TWENTY, 2)
    plan = StaticPlan(TWENTY)
    phases = StaticPhases(plan, Session())
    phases.update(values)
    estimator = Equilibrium()
    results = [task.run(phases) for task in estimator.tasks(plan, batch, MSE)]
    fresh = gradient(TWENTY.with_parameters(values), estimator, batch)
    assert np.array_equal(estimator.combine(plan, batch, results).gradient, fresh)


def test_one_and_two_workers_give_the_same_gradients_to_the_last_bit() -> None:
    network = layered(3, [4], 2, gain=4.0, seed=2)
    batch = samples(network, 7)
    found = []
    for workers in (1, 2):
        with Simulator(StaticPlan(network), workers=workers) as simulator:
            simulator.parameters = network.parameters * 1.3
            found.append([simulator.gradient(batch, MSE, e) for e in (SMALL, FiniteDifference())])
    for a, b in zip(*found, strict=True):
        assert np.array_equal(a.gradient, b.gradient)
        assert np.array_equal(a.outputs, b.outputs)
        assert a.loss == b.loss
    assert error(found[0][0].gradient, found[0][1].gradient) < 1e-6
    assert found[0][1].loss == pytest.approx(found[0][0].loss, rel=1e-12)


@pytest.mark.parametrize("beta", [0.0, -1e-6])
def test_a_nudge_must_be_positive(beta: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Equilibrium(beta)
