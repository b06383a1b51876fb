"""The echo phase: it retraces, its gradients are exact on its class, and it refuses what is outside."""

from __future__ import annotations

from dataclasses import replace

import gallery_checks as gc
import numpy as np
import pytest

from bridge.dynamics import DynamicPhases
from bridge.errors import UnsupportedElementError
from bridge.estimators.adjoint import AdjointTask
from bridge.estimators.causal import Causal, CausalTask
from bridge.estimators.lagrangian import (
    Lagrangian,
    LagrangianTask,
    compensation,
    echo_circuit,
    nudge_shape,
    on_grid,
)
from bridge.groups import branch
from bridge.ngspice.drives import Signals
from bridge.ngspice.session import Session
from bridge.validation.circuits import GalleryCircuit, circuit
from bridge.validation.reference import scales
from bridge.waveforms import Waveforms
from circuits.devices.base import Element, Parameter, U
from circuits.devices.behavioural import JUNCTION_CAPACITOR, TANH_RESISTOR, Behavioural, symbol
from circuits.devices.diode import diode
from circuits.devices.fractional import CUBIC_FRACTIONAL_MEMRISTOR
from circuits.devices.passive import capacitor
from circuits.devices.sources import current_source, vccs
from circuits.network import Drive


def echo(name: str, session: Session, beta: float) -> np.ndarray:
    one = gc.CIRCUITS[name]
    task = LagrangianTask(one.batch(), 0, one.loss, beta)
    return np.asarray(task.run(gc.phases(one, session))[1] * scales(one.plan(gc.STEPS)))


@pytest.mark.parametrize("name", gc.ECHOED)
def test_the_gradient_is_exact_for_nudges_over_two_decades(name: str, session: Session) -> None:
    wanted, exact = gc.differences(name), gc.adjoint(gc.CIRCUITS[name], session)
    labels = [t.label for t in gc.CIRCUITS[name].network.trainable]
    for beta in (5e-4, 5e-3, 5e-2):
        found = echo(name, session, beta)
        assert gc.error(found, wanted) < 5e-4
        assert gc.error(found, exact) < 5e-4
        gc.assert_each(found, wanted, labels, share=3e-2)


def test_the_error_grows_with_the_square_of_the_nudge(session: Session) -> None:
    small, one, two = (echo("nonlinear_lc", session, b) for b in (1e-3, 0.1, 0.2))
    assert np.linalg.norm(two - small) / np.linalg.norm(one - small) == pytest.approx(4.0, rel=0.15)


def echoed(one: GalleryCircuit, session: Session, compensated: float) -> float:
    """Largest deviation of an echo without nudge from the reversed free phase, as a share of its peak."""
    loaded = gc.phases(one, session)
    batch, plan = one.batch(), loaded.plan
    waves = loaded.free(batch.signals(0))
    found = one.loss.evaluate(waves.time, loaded.outputs(waves), one.target)
    path, network = echo_circuit(loaded)
    currents = compensation(loaded, waves)
    currents = Signals(currents.sources, currents.values * compensated, currents.times, currents.order)
    task = LagrangianTask(batch, 0, one.loss, 1e-2)
    shape = nudge_shape(waves, found, plan.duration)
    back = task._echo(loaded, path, network, waves, currents, shape, 0.0)
    worst = 0.0
    for node in ("a", "b", "c"):
        forth = branch(waves, node, "0")
        reverse = -np.interp(plan.duration - back.time, waves.time, forth)
        worst = max(worst, float(np.abs(branch(back, node, "0") - reverse).max() / np.abs(forth).max()))
    return worst


@pytest.mark.parametrize("name", ["rlc", "nonlinear_rlc", "sources", "fractional_linear"])
def test_an_echo_retraces_the_free_phase(name: str, session: Session) -> None:
    assert echoed(gc.CIRCUITS[name], session, 1.0) < 2e-4


def test_an_echo_without_the_resistors_currents_does_not(session: Session) -> None:
    assert echoed(gc.CIRCUITS["nonlinear_rlc"], session, 0.0) > 0.1


def with_element(element: Element) -> GalleryCircuit:
    parts = [capacitor(f"c{n}", n, "0", capacitance=1e-10) for n in "abc"]
    return circuit("odd_one", "odd one out", [*parts, element], [])


EVEN = Behavioural(
    "even_capacitor",
    ("p", "n"),
    (Parameter("c0", "F"), Parameter("c2", "F/V")),
    charge=symbol("c0") * U + symbol("c2") * U**2,
)
OUTSIDE = [
    (JUNCTION_CAPACITOR.element("odd1", "a", "0", c0=1e-10), "charge of a junction_capacitor is not odd"),
    (EVEN.element("odd1", "a", "0", c0=1e-10, c2=1e-11), "charge of a even_capacitor is not odd"),
    (diode("odd1", "a", "0"), "a diode is neither"),
    (TANH_RESISTOR.element("odd1", "a", "0", conductance=1e-3), "a tanh_resistor dissipates nonlinearly"),
    (vccs("odd1", "c", "0", "a", "0", gain=1e-3), "a vccs is neither"),
    (
        CUBIC_FRACTIONAL_MEMRISTOR.element("odd1", "a", "c", conductance=1e-3, low=1e5, high=1e9),
        "a cubic_fractional_memristor is neither",
    ),
]


@pytest.mark.parametrize(("element", "reason"), OUTSIDE, ids=lambda v: v if isinstance(v, str) else "")
def test_what_an_echo_cannot_retrace_is_refused_by_name(element: Element, reason: str) -> None:
    with pytest.raises(UnsupportedElementError, match=f"odd1: .*{reason}.*estimator adjoint") as caught:
        Lagrangian().check(with_element(element).plan(100))
    assert caught.value.element == "odd1"


def test_an_operating_point_start_and_a_terminal_loss_are_refused(session: Session) -> None:
    plan = replace(gc.CIRCUITS["rc"].plan(100), from_rest=False)
    with pytest.raises(UnsupportedElementError, match=r"operating point.*estimator adjoint"):
        Lagrangian().check(plan)
    with pytest.raises(UnsupportedElementError, match=r"l1: its initial flux.*estimator adjoint"):
        Lagrangian().check(gc.CIRCUITS["flux"].plan(100))
    one = gc.CIRCUITS["terminal"]
    with pytest.raises(UnsupportedElementError, match=r"terminal loss.*estimator adjoint"):
        LagrangianTask(one.batch(), 0, one.loss, 1e-2).run(gc.phases(one, session, 100))


# The naive estimator.


def resistors_only(scale: float) -> GalleryCircuit:
    """The linear RC circuit with its capacitances scaled, conductances trainable only."""
    parts = [capacitor(f"c{n}", n, "0", capacitance=1e-10 * scale) for n in "abc"]
    return circuit("plain", "RC", parts, [])


def naive(one: GalleryCircuit, session: Session) -> tuple[np.ndarray, np.ndarray]:
    estimate = CausalTask(one.batch(), 0, one.loss, 1e-2).run(gc.phases(one, session))[1]
    return estimate * one.network.parameters, gc.adjoint(one, session)


def test_nudging_forward_in_time_is_wrong_for_a_network_with_memory(session: Session) -> None:
    estimate, exact = naive(resistors_only(1.0), session)
    cosine = estimate @ exact / np.linalg.norm(estimate) / np.linalg.norm(exact)
    assert cosine < 0.0
    assert gc.error(estimate, exact) > 1.0
    assert not Causal.exact


def test_nudging_forward_in_time_is_right_in_the_static_limit(session: Session) -> None:
    """Its error is of first order in the time constants."""
    errors = [gc.error(*naive(resistors_only(scale), session)) for scale in (1e-2, 1e-3)]
    assert errors[0] / errors[1] == pytest.approx(10.0, rel=0.3)
    assert errors[1] < 1e-2


def test_nudging_forward_knows_conductances_only() -> None:
    with pytest.raises(UnsupportedElementError, match=r"ca: .*conductances only.*estimator adjoint"):
        Causal().check(gc.CIRCUITS["rc"].plan(100))


def test_two_echoes_on_different_grids_are_compared_on_one() -> None:
    times = np.linspace(0.1, 1.0, 50)
    signal = Waveforms(times, np.sin(times)[:, None], ("v(a)",))
    assert on_grid(signal, times) is signal.values
    other = np.linspace(0.1, 1.0, 67)
    np.testing.assert_allclose(on_grid(signal, other)[:, 0], np.sin(other), atol=1e-8)


def test_a_drive_of_currents_keeps_its_sign(session: Session) -> None:
    """Voltages change sign in the echo, currents do not."""
    one = gc.CIRCUITS["rc"]
    elements = tuple(
        current_source(e.name, "0", "a", driven=True) if e.name == "s1" else e for e in one.network.elements
        if e.name != "r1"
    )  # fmt: skip
    trained = tuple(t for t in one.network.trainable if t.element != "r1")
    network = replace(
        one.network, elements=elements, trainable=trained, drives=(Drive("s1", 0, 1e-3), Drive("s2", 1))
    )
    driven = replace(one, network=network)
    batch = driven.batch()
    batch = replace(batch, drives=batch.drives * np.array([1e-3, 1.0]))
    loaded = DynamicPhases(driven.plan(gc.STEPS), session)
    found = LagrangianTask(batch, 0, one.loss, 1e-2).run(loaded)[1]
    exact = AdjointTask(batch, 0, one.loss).run(loaded)[1]
    size = scales(driven.plan(gc.STEPS))
    assert gc.error(found * size, exact * size) < 2e-4
