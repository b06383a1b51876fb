"""The adjoint network's gradients: against finite differences, an independent integrator and themselves."""

from __future__ import annotations

from dataclasses import replace

import gallery_checks as gc
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.errors import UnsupportedElementError
from bridge.estimators.adjoint import AdjointNetwork, AdjointTask
from bridge.estimators.base import DynamicBatch
from bridge.losses.spikes import VanRossum
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice.session import Session
from bridge.simulator import Simulator
from bridge.validation.circuits import DURATION, terminal, times, waves
from bridge.validation.circuits import circuit as gallery_circuit
from circuits.devices.base import ModelCard
from circuits.devices.diode import diode
from circuits.devices.passive import capacitor, resistor
from circuits.devices.sources import switch, voltage_source
from circuits.network import Drive, Network, Output, Trainable


@pytest.mark.parametrize("name", gc.SMALL)
def test_the_gradient_is_that_of_finite_differences(name: str, session: Session) -> None:
    """Every device and parameter: a wrong sign or factor of one moves its component by its own size."""
    circuit = gc.CIRCUITS[name]
    found, wanted = gc.adjoint(circuit, session), gc.differences(name)
    assert gc.error(found, wanted) < 2e-4
    gc.assert_each(found, wanted, [t.label for t in circuit.network.trainable])


@pytest.mark.parametrize(
    "name", ["rc", "nonlinear_lc", "diodes", "directed", "memristor", "terminal", "operating_point"]
)
def test_the_gradient_converges_with_the_square_of_the_step(name: str, session: Session) -> None:
    circuit = gc.CIRCUITS[name]
    coarse, half, quarter = (gc.adjoint(circuit, session, n) for n in (500, 1000, 2000))
    order = np.log2(np.linalg.norm(coarse - half) / np.linalg.norm(half - quarter))
    assert 1.7 < order < 2.3
    free = quarter + (quarter - half) / 3.0
    assert gc.error(quarter, free) < 5e-5


def rc(**changes: float) -> Network:
    values = {"conductance": 1e-3, "capacitance": 1e-10, **changes}
    elements = (
        voltage_source("s", "x", driven=True),
        resistor("r", "x", "a", conductance=values["conductance"]),
        capacitor("c", "a", "0", capacitance=values["capacitance"]),
    )
    trained = (Trainable("r", "conductance", 1e-6, 1.0), Trainable("c", "capacitance", 1e-12, 1e-6))
    return Network("rc", elements, (Drive("s", 0),), (Output("a"),), trained)


def test_the_step_free_gradient_is_that_of_another_integrator(session: Session) -> None:
    """The sensitivity equations of an RC low-pass, integrated by LSODA: no circuit, no simulator."""
    drive, target = waves(1, 5, 0.8), waves(1, 6, 0.5)
    batch, loss = DynamicBatch(times(), drive[None], [target]), WaveformMSE(times())
    found = []
    for steps in (1000, 2000, 4000):
        plan = DynamicPlan(rc(), DURATION, DURATION / steps)
        found.append(AdjointTask(batch, 0, loss).run(DynamicPhases(plan, session))[1])
    free = found[2] + (found[2] - found[1]) / 3.0

    g, c = 1e-3, 1e-10

    def rates(t: float, y: np.ndarray) -> list[float]:
        s, wanted = np.interp(t, times(), drive[:, 0]), np.interp(t, times(), target[:, 0])
        v, dv_dg, dv_dc = y[:3]
        flow = g * (s - v)
        error = 2.0 * (v - wanted) / DURATION
        return [flow / c, (s - v - g * dv_dg) / c, (-g * dv_dc - flow / c) / c, error * dv_dg, error * dv_dc]

    solution = solve_ivp(
        rates, (0, DURATION), np.zeros(5), method="LSODA", rtol=1e-9, atol=[1e-12, 1e-9, 1e-3, 1e-9, 1e-3],
        max_step=DURATION / 4000,
    )  # fmt: skip
    np.testing.assert_allclose(free, solution.y[3:, -1], rtol=1e-5)


def test_an_impulse_of_the_loss_at_the_start_reaches_the_initial_voltage(session: Session) -> None:
    """The distance of spike trains depends on the first sample by itself, not only through an integral."""
    elements = (
        voltage_source("s", "x", driven=True),
        resistor("r", "x", "a", conductance=1e-3),
        capacitor("c", "a", "0", capacitance=1e-3 * DURATION, initial_voltage=0.4),
    )
    trained = (Trainable("c", "initial_voltage", -1.0, 1.0), Trainable("r", "conductance", 1e-6, 1.0))
    network = Network("start", elements, (Drive("s", 0),), (Output("a"),), trained)
    loaded = DynamicPhases(DynamicPlan(network, DURATION, DURATION / 1000), session)
    batch = DynamicBatch(times(), np.ones((1, len(times()), 1)), [[[0.5 * DURATION]]])
    loss = VanRossum(tau=DURATION, threshold=0.5, width=0.2)

    def value(values: np.ndarray) -> float:
        loaded.update(values)
        waves = loaded.free(batch.signals(0))
        return loss.evaluate(waves.time, loaded.outputs(waves), batch.targets[0]).value

    start = network.parameters
    step = 1e-4 * np.diag(start)
    wanted = [(value(start + s) - value(start - s)) / (2 * s.max()) for s in step]
    loaded.update(start)
    np.testing.assert_allclose(AdjointTask(batch, 0, loss).run(loaded)[1], wanted, rtol=3e-3)


def test_the_gradient_of_a_batch_does_not_depend_on_the_workers() -> None:
    circuit = gc.CIRCUITS["nonlinear_rlc"]
    drives = np.stack([waves(2, k, 0.8) for k in range(3)])
    batch = DynamicBatch(times(), drives, [circuit.target * (k + 1) for k in range(3)])
    found = []
    for workers in (1, 2):
        with Simulator(circuit.plan(200), workers=workers) as simulator:
            found.append(simulator.gradient(batch, circuit.loss, AdjointNetwork()))
    assert found[0].gradient.tobytes() == found[1].gradient.tobytes()
    assert found[0].losses.tobytes() == found[1].losses.tobytes()
    assert len(set(found[0].losses)) == 3


def test_two_transients_whatever_the_number_of_parameters(session: Session) -> None:
    circuit = gc.CIRCUITS["mixed"]
    loaded = gc.phases(circuit, session, 200)
    task = AdjointTask(circuit.batch(), 0, circuit.loss)
    for kept in (1, len(circuit.network.trainable)):
        plan = circuit.plan(200)
        few = replace(plan, network=replace(plan.network, trainable=plan.network.trainable[:kept]))
        loaded = DynamicPhases(few, session)
        before = loaded.usage()["transients"]
        assert len(task.run(loaded)[1]) == kept
        assert loaded.usage()["transients"] - before == 2


def test_parameters_that_changed_are_those_of_the_adjoint_network(session: Session) -> None:
    """The loaded circuits are altered, not built again: both must follow every kind of parameter."""
    circuit = gc.CIRCUITS["mixed"]
    task = AdjointTask(circuit.batch(), 0, circuit.loss)
    loaded = gc.phases(circuit, session, 200)
    task.run(loaded)
    moved = circuit.network.parameters * np.linspace(0.8, 1.2, len(circuit.network.trainable))
    loaded.update(moved)
    altered = task.run(loaded)
    plan = replace(circuit.plan(200), network=circuit.network.with_parameters(moved))
    fresh = task.run(DynamicPhases(plan, session))
    assert altered[0] == pytest.approx(fresh[0], rel=1e-9)
    np.testing.assert_allclose(altered[1], fresh[1], rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["mixed", "directed", "operating_point", "fractional_memristors", "nonlinear_rlc"]
)
def test_what_is_not_trained_is_in_the_adjoint_network_all_the_same(name: str, session: Session) -> None:
    """Fixed parameters are numbers in the netlists, trained ones are altered: both must mean the same."""
    circuit = gc.CIRCUITS[name]
    places = [k for k, t in enumerate(circuit.network.trainable) if t.parameter == "conductance"]
    fixed = replace(circuit.network, trainable=tuple(circuit.network.trainable[k] for k in places))
    found = gc.adjoint(replace(circuit, network=fixed), session)
    np.testing.assert_allclose(found, gc.adjoint(circuit, session)[places], rtol=1e-6)


def test_a_terminal_loss_on_a_node_without_memory(session: Session) -> None:
    """The adjoint signal itself has the impulse there, and the first interval's weight counts."""
    parts = [capacitor(f"c{n}", n, "0", capacitance=1e-10) for n in "ab"]
    one = gallery_circuit(
        "memoryless", "no memory", parts, [("ca", "capacitance")], outputs=("c",), **terminal(0.1)
    )
    assert gc.error(gc.adjoint(one, session), gc.differences_of(one)) < 2e-4


def test_an_operating_point_start_needs_its_tail(session: Session) -> None:
    """Started from rest, the same network has another gradient: the start depends on the parameters."""
    circuit = gc.CIRCUITS["operating_point"]
    from_rest = replace(circuit, from_rest=True)
    assert gc.error(gc.adjoint(from_rest, session), gc.differences("operating_point")) > 1e-2


def test_an_element_without_a_derivative_is_named() -> None:
    extra = (switch("sw1", "a", "0", "x", "0"),)
    network = replace(rc(), elements=(*rc().elements, *extra))
    plan = DynamicPlan(network, DURATION, DURATION / 100)
    with pytest.raises(UnsupportedElementError, match=r"sw1: .*switch.*finite_difference") as caught:
        AdjointNetwork().check(plan)
    assert caught.value.element == "sw1"


def test_a_model_card_with_charge_is_named() -> None:
    card = ModelCard("dc", "D", (("is", 1e-9), ("cjo", 1e-12)))
    network = replace(rc(), elements=(*rc().elements, diode("d7", "a", "0", model=card)))
    with pytest.raises(UnsupportedElementError, match=r"d7: .*CJO.*junction_capacitor"):
        AdjointNetwork().check(DynamicPlan(network, DURATION, DURATION / 100))
