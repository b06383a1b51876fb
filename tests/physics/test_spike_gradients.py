"""Gradients through three spikes and more, each parameter by itself, for every loss on spiking outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from neuron_checks import TIGHT, trained

from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.estimators.adjoint import AdjointTask
from bridge.estimators.base import DynamicBatch
from bridge.estimators.finite_difference import DifferenceTask
from bridge.estimators.truncation import Truncation
from bridge.losses import make_waveform_loss
from bridge.losses.spike_times import crossings
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice.drives import sampled
from bridge.ngspice.session import Session
from bridge.validation.devices.neuron_bench import circuit
from circuits.devices.neurons import CELLS, cell, chemical_synapse, gap_junction
from circuits.devices.sources import current_source
from circuits.network import Drive, Network, Output

PAIR = "two neurons"
RUNS = {
    "hodgkin_huxley": (10.0, 50.0),
    "fitzhugh_nagumo": (25.0, 160.0),
    "morris_lecar": (100.0, 300.0),
    "integrate_and_fire": (5.0, 20.0),
    PAIR: (12.0, 50.0),
}
"""Injected current [uA/cm^2] and duration [ms]."""
FINER = {("integrate_and_fire", "spikes"): 0.2, ("integrate_and_fire", "spike_times"): 0.2}
"""Time step in units of the kind's own: the smooth reset is abrupt, and so are errors at spikes behind it."""
LOSSES = ("mse", "spikes", "spike_times")


def pair() -> Network:
    """Two neurons, an exciting and an inhibiting synapse, a gap junction; the second one is the output."""
    elements = [
        *cell("hodgkin_huxley", "a", "va"),
        *cell("hodgkin_huxley", "b", "vb"),
        chemical_synapse("ab", "va", "vb", weight=0.4),
        chemical_synapse("ba", "vb", "va", weight=0.2, reversal=-80.0, alpha=5.0, beta=0.18, s0=0.01),
        gap_junction("g", "va", "vb", 0.02),
        current_source("i", "0", "va", driven=True),
    ]
    wanted = {
        "ab": ("conductance", "reversal", "opening", "closing", "half", "width"),
        "ba": ("conductance", "reversal", "opening", "closing", "s0"), "g": ("conductance",),
        "a_na": ("conductance", "reversal", "speed_m", "speed_h", "m0", "h0"),
        "b_k": ("conductance", "reversal", "speed_n", "n0"), "b_leak": ("conductance", "reversal"),
        "b_cm": ("capacitance", "initial_voltage"),
    }  # fmt: skip
    return Network("pair", tuple(elements), (Drive("i", 0),), (Output("vb"),), trained(elements, wanted))


def network_of(kind: str) -> Network:
    if kind == PAIR:
        return pair()
    if kind == "integrate_and_fire":  # its step is small
        return circuit(kind, {}, ("capacitance", "g_leak", "e_leak", "threshold", "g_reset", "tau_fall"))
    return circuit(kind, {}, tuple(p.name for p in CELLS[kind].parameters if p.trainable))


def loss_of(name: str, kind: str, times: np.ndarray, spikes: np.ndarray) -> tuple[Any, Any]:
    """A loss and its target, which no spike meets."""
    threshold = 1e-3 * CELLS.get(kind, CELLS["hodgkin_huxley"]).spike
    apart = float(np.diff(spikes).mean())
    shifted = [(spikes[:3] + apart * np.array([0.03, -0.04, 0.05])).tolist()]
    if name == "mse":
        return WaveformMSE(times), (-0.04 + 0.03 * np.sin(19.0 * times / times[-1]))[:, None]
    if name == "spikes":
        return make_waveform_loss("spikes", tau=0.3 * apart, threshold=threshold, width=2e-3), shifted
    return make_waveform_loss("spike_times", tau=0.1 * apart, threshold=threshold), shifted


def converged(batch: DynamicBatch, loss: Any, phases: DynamicPhases) -> np.ndarray:
    """Central differences with a step whose double must give the same."""
    places = tuple(range(len(phases.plan.flat.trainable)))
    step = 1e-6 if phases.plan.step < 6e-6 else 1e-5
    coarse, fine = (DifferenceTask(batch, loss, places, s).run(phases) for s in (2.0 * step, step))
    size = sizes(phases)
    allowed = 5e-4 * (np.abs(fine * size) + 1e-3 * np.linalg.norm(fine * size))
    assert (np.abs(coarse - fine) * size <= allowed).all()
    return np.asarray(fine)


def sizes(phases: DynamicPhases) -> np.ndarray:
    parameters = phases.plan.flat.parameters
    return np.where(parameters == 0.0, phases.typical, np.abs(parameters))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", RUNS)
def test_each_parameters_gradient_is_exact_over_three_spikes(kind: str, name: str, session: Session) -> None:
    """Within a thousandth of itself; of a thousandth of all of them where it is less than that."""
    network = network_of(kind)
    current, milliseconds = RUNS[kind]
    duration, step = 1e-3 * milliseconds, 1e-3 * CELLS.get(kind, CELLS["hodgkin_huxley"]).step
    step *= FINER.get((kind, name), 1.0)
    times = np.linspace(0.0, duration, 2001)
    drives = np.full((len(times), 1), 1e-6 * current)
    phases = DynamicPhases(DynamicPlan(network, duration, step, options=TIGHT), session)
    waves = phases.free(sampled(times, drives))
    threshold = 1e-3 * CELLS.get(kind, CELLS["hodgkin_huxley"]).spike
    spikes = crossings(waves.time, phases.outputs(waves)[:, 0], threshold).times
    assert len(spikes) >= 3
    loss, target = loss_of(name, kind, times, spikes)
    batch = DynamicBatch(times, drives[None], [target])
    _, mine, _ = AdjointTask(batch, 0, loss).run(phases)
    wanted, size = converged(batch, loss, phases) * sizes(phases), sizes(phases)
    error = np.abs(mine * size - wanted)
    allowed = 1e-3 * np.maximum(np.abs(wanted), 1e-3 * np.linalg.norm(wanted))
    worst = {t.label: f"{e:.2g} of {w:.2g}" for t, e, w, a in
             zip(network.trainable, error, wanted, allowed, strict=True) if e > a}  # fmt: skip
    assert not worst, f"norm {np.linalg.norm(wanted):.3g}"
    assert np.count_nonzero(np.abs(wanted) > 1e-3 * np.linalg.norm(wanted)) >= 4


def test_the_error_of_impulses_is_of_higher_order_than_the_step(session: Session) -> None:
    """Spike times at twice the kind's own step and more; a wider impulse would miss tenfold."""
    network = pair()
    duration = 24e-3
    times = np.linspace(0.0, duration, 1001)
    drives = np.full((len(times), 1), 12e-6)
    loss = make_waveform_loss("spike_times", tau=1e-3)
    batch = DynamicBatch(times, drives[None], [[[4e-3, 20e-3]]])
    for step in (20e-6, 24.3e-6, 30e-6):  # the grids of both phases are shifted differently
        phases = DynamicPhases(DynamicPlan(network, duration, step, options=TIGHT), session)
        _, mine, _ = AdjointTask(batch, 0, loss).run(phases)
        places = tuple(range(0, len(network.trainable), 5))
        theirs = DifferenceTask(batch, loss, places, 1e-5).run(phases)
        np.testing.assert_allclose(mine[list(places)], theirs, rtol=4e-4 * (step / 20e-6) ** 2)


@pytest.mark.parametrize("name", ["mse", "spike_times"])
def test_many_short_pieces_add_up_to_the_whole_gradient(name: str, session: Session) -> None:
    """With the horizon of the whole transient, errors cut every millisecond."""
    network, duration = pair(), 30e-3
    times = np.linspace(0.0, duration, 1001)
    phases = DynamicPhases(DynamicPlan(network, duration, 20e-6), session)
    loss, target = loss_of(name, PAIR, times, np.array([4e-3, 18e-3, 32e-3]))
    target = [[4.5e-3, 17e-3]] if name == "spike_times" else target
    batch = DynamicBatch(times, np.full((1, len(times), 1), 12e-6), [target])
    whole = AdjointTask(batch, 0, loss).run(phases)[1] * sizes(phases)
    pieces = AdjointTask(batch, 0, loss, truncation=Truncation(duration, 1e-3)).run(phases)[1] * sizes(phases)
    assert np.linalg.norm(pieces - whole) < 8e-4 * np.linalg.norm(whole)
