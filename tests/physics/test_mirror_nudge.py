"""Nudges by current mirrors: the copied current in closed form, and the gradient that they give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import transistor_checks as tc
from scipy.optimize import brentq

from bridge.errors import NetworkError, UnsupportedElementError
from bridge.estimators.base import Batch, Estimator
from bridge.estimators.equilibrium import Equilibrium
from bridge.estimators.finite_difference import FiniteDifference
from bridge.estimators.mirror_equilibrium import MirrorEquilibrium, with_mirror_nudges
from bridge.experiment.build import Experiment
from bridge.losses import MeanSquaredError
from bridge.ngspice.drives import constant
from bridge.ngspice.session import Session
from bridge.phases import StaticPhases
from bridge.plans import StaticPlan
from circuits.deck import SolverOptions
from circuits.devices import cards
from circuits.devices.mosfet import mosfet
from circuits.devices.sources import voltage_source
from circuits.netlist import build_deck
from circuits.network import Drive, Network, Output
from circuits.topologies import transistor as tr
from circuits.topologies.layered import layered
from circuits.topologies.technology import Technology

LOSS = MeanSquaredError()
SUPPLY, OUT, RATIO = 3.0, 1.2, 2.0
BETAS = np.logspace(-8, -5, 7)
"""Currents that the mirrors copy [A]: nudging strengths times an error of 1 /V."""


def level1(modulation: float = 0.1) -> Technology:
    """Transistors without body effect, so that the mirror has a closed form."""
    made = [
        cards.level1(f"{k}_{modulation * 1e3:.0f}", k, vto=v, kp=kp, lambda_=modulation)
        for k, v, kp in (("nmos", 0.35, 3e-4), ("pmos", -0.35, 1e-4))
    ]
    return Technology(made[0], made[1], supply=SUPPLY, length=1e-6)


def copies(t: Technology, sign: int, session: Session) -> tuple[np.ndarray, np.ndarray]:
    """Currents that flow into a node held at `OUT` [A], and voltages of the driven mirror's reference [V]."""
    elements = (
        voltage_source("supply", tr.SUPPLY, dc=t.supply),
        voltage_source("held", "o", dc=OUT),
        *tr.mirror_nudge("n", "o", t, ratio=RATIO),
    )
    network = Network("m", elements, (Drive("n_up"), Drive("n_down")), (Output("o"),), probes=("held",))
    saves = ("v(n_p)", "v(n_n)", "i(vheld)")
    circuit = session.load(build_deck(network, SolverOptions(reltol=1e-9), nudges=False, saves=saves))
    plus, minus = (BETAS, 0 * BETAS) if sign > 0 else (0 * BETAS, BETAS)
    rows = np.array([circuit.operating_point([constant(np.array(d))]) for d in zip(plus, minus, strict=True)])
    return rows[:, 2], rows[:, 0 if sign > 0 else 1]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_copy_is_the_ideal_current_but_for_the_output_conductance(sign: int, session: Session) -> None:
    """By `(1 + lambda v_out) / (1 + lambda v_ref)`, the reference's voltage from the square law."""
    t = level1()
    found, _ = copies(t, sign, session)
    kp, w = (1e-4, t.pair_width) if sign > 0 else (3e-4, t.tail_width)
    across = SUPPLY - OUT if sign > 0 else OUT
    wanted = []
    for current in BETAS:

        def excess(v: float, current: float = current) -> float:
            return 0.5 * kp * w / t.length * (v - 0.35) ** 2 * (1 + 0.1 * v) - current

        reference = brentq(excess, 0.35, SUPPLY, xtol=1e-14)
        wanted.append(sign * RATIO * current * (1 + 0.1 * across) / (1 + 0.1 * reference))
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-11)  # conductances of 1e-12 S everywhere
    errors = found / (sign * RATIO * BETAS) - 1
    assert (np.diff(errors[2:]) < 0).all()  # the reference's voltage rises with the current
    assert np.abs(errors - 0.1 * (across - 0.4)).max() < 0.04


@tc.needs_freepdk45
@pytest.mark.parametrize("sign", [1, -1])
def test_a_copy_of_a_process_is_the_current_of_its_output_transistor(sign: int, session: Session) -> None:
    t = replace(tr.freepdk45(length=5e-7), supply=2.4)
    found, reference = copies(t, sign, session)
    kind, w = ("pmos", t.pair_width) if sign > 0 else ("nmos", t.tail_width)
    rail = t.supply if sign > 0 else 0.0
    device = mosfet("m", *tc.ENDS, model=t.card(kind, RATIO * w), w=RATIO * w, l=t.length)
    sources = [voltage_source(f"v{e}", e, driven=True) for e in tc.ENDS]
    alone = Network("one", (device, *sources), tuple(Drive(s.name, k) for k, s in enumerate(sources)))
    circuit = tc.load(session, alone)
    drains = np.array([-tc.currents(circuit, np.array([OUT, v, rail, rail]))[0] for v in reference])
    other = found - drains  # what the mirror that is off leaks
    assert np.ptp(other) < 1e-6 * np.abs(found).max()
    assert np.abs(other).max() < 2e-8
    assert (np.sign(found[2:]) == sign).all()


# --- gradients ----------------------------------------------------------------------------------------


def problem(mirrors: Technology | None = None) -> tuple[Network, Batch]:
    """A resistive network with diodes and a differential output, with or without mirrors."""
    network = layered(2, [3], 1, differential_outputs=True, seed=1, bias=0.5)
    if mirrors is not None:
        network = with_mirror_nudges(network, mirrors, ratio=RATIO)
    features = np.array([[-0.5, 0.5], [0.5, 0.5]])
    return network, Batch(network.drive_values(features), np.array([[0.1], [-0.1]]))


def gradient(estimator: Estimator, network: Network, batch: Batch, session: Session) -> np.ndarray:
    phases = StaticPhases(StaticPlan(network), session)
    estimator.check(phases.plan)
    results = [task.run(phases) for task in estimator.tasks(phases.plan, batch, LOSS)]
    return estimator.combine(phases.plan, batch, results).gradient


def test_the_gradient_is_scaled_by_the_mirrors_error(session: Session) -> None:
    """Outputs near 0 V between rails at +-1.5 V: by `(1 + 1.5 lambda) / (1 + lambda v_ref)`."""
    wanted = gradient(FiniteDifference(), *problem(), session)
    ideal = gradient(Equilibrium(1e-7), *problem(), session)
    assert tc.error(ideal, wanted) < 1e-6
    for modulation in (0.1, 0.01):
        for beta, reference in ((1e-7, 0.36), (1e-5, 0.43)):
            estimator = MirrorEquilibrium(beta)
            found = gradient(estimator, *problem(level1(modulation)), session)
            scale = float(found @ wanted / (wanted @ wanted))
            error = modulation * (1.5 - reference) / (1 + modulation * reference)
            assert scale - 1 == pytest.approx(error, rel=0.1)
            assert tc.error(found, scale * wanted) < 0.05 * modulation


def test_mirrors_do_nothing_when_they_are_not_driven(session: Session) -> None:
    plain, batch = problem()
    made, more = problem(level1())
    outputs = [
        StaticPhases(StaticPlan(n), session).free_all(b.drives).outputs
        for n, b in ((plain, batch), (made, more))
    ]
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-7)


def test_what_has_no_mirrors_or_two_is_refused() -> None:
    plain, _ = problem()
    with pytest.raises(UnsupportedElementError, match="this output has no current mirrors"):
        MirrorEquilibrium().check(StaticPlan(plain))
    with pytest.raises(NetworkError, match="it has mirrors already"):
        with_mirror_nudges(problem(level1())[0], level1())
    inner = tr.transistor_network(2, [2], 1)
    with pytest.raises(UnsupportedElementError, match="not reciprocal"):
        MirrorEquilibrium().check(StaticPlan(with_mirror_nudges(inner, level1())))


def test_an_experiment_nudges_by_mirrors(tmp_path: Path, session: Session) -> None:
    """The same with ideal nudges and with mirrors: gradients differ by the mirrors' error."""
    text = (
        "name: nudged\nseed: 2\ncircuit: {topology: layered, hidden: [3]}\n"
        "data: {source: xor, target: 0.2V}\n"
        "loss: {kind: mse}\nestimator: {kind: mirror_equilibrium, supply: 4V, beta: 1e-7}\n"
    )
    file = tmp_path / "a.yaml"
    file.write_text(text)
    found = []
    for overrides in ((), ("estimator={kind: equilibrium}",)):
        experiment = Experiment.load(file, overrides)
        plan, batch, loss = experiment.problem()
        estimator, phases = experiment.estimator(), plan()
        estimator.check(plan)
        results = [task.run(phases) for task in estimator.tasks(plan, batch, loss)]
        found.append(estimator.combine(plan, batch, results).gradient)
    scale = float(found[0] @ found[1] / (found[1] @ found[1]))
    assert 1.1 < scale < 1.25  # lambda = 0.1, 2 V across the outputs, 0.4 V across the references
    assert tc.error(found[0], scale * found[1]) < 0.05
