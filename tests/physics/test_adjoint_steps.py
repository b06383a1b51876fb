"""The steps of adjoint phases: longer where the error is smooth, the free phase's own where it is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.estimators import reverse as module
from bridge.estimators.adjoint import AdjointNetwork
from bridge.estimators.base import DynamicBatch
from bridge.estimators.finite_difference import FiniteDifference
from bridge.losses.waveform import TerminalMSE, WaveformMSE
from bridge.ngspice.session import Session
from circuits.topologies.rlc import Reactances, rlc

T = 1e-6
NETWORK = rlc(6, 1, 1, fan=3, seed=2, reactances=Reactances(5e-11, inductors=1, inductance=1e-4, diodes=0.5))


def phases(steps: int) -> DynamicPhases:
    return DynamicPhases(DynamicPlan(NETWORK, T, T / steps), Session())


def batch(target: Any = None) -> DynamicBatch:
    times = np.linspace(0.0, T, 101)
    drive = np.sin(6.0 * times / T)[:, None]
    wanted = 0.2 * np.sin(9.0 * times / T)[:, None] if target is None else target
    return DynamicBatch(times, NETWORK.drive_values(drive[None]), [wanted])


def gradient(here: DynamicPhases, data: DynamicBatch, loss: Any, estimator: Any = None) -> np.ndarray:
    chosen = estimator or AdjointNetwork()
    results = [task.run(here) for task in chosen.tasks(here.plan, data, loss)]
    return np.asarray(chosen.combine(here.plan, data, results).gradient)


def adjoint_points(here: DynamicPhases, data: DynamicBatch, loss: Any) -> tuple[int, float]:
    """Time points of the free and of the adjoint phase, as a ratio; the adjoint's first step."""
    seen = []
    original = here.adjoint

    def kept(phase: Any) -> Any:
        seen.append(original(phase))
        return seen[-1]

    here.adjoint = kept  # type: ignore[method-assign]
    gradient(here, data, loss)
    free = here.free(data.signals(0))
    assert seen[0].time[0] == pytest.approx(free.time[0])
    return len(free), len(free) / len(seen[0])


LOSSES = {
    "smooth": (WaveformMSE(batch().times), None, 1.25),
    "an impulse at the end": (TerminalMSE(), np.array([0.1]), 1.0),
    "the edges of a window": (WaveformMSE(batch().times, window=(0.4 * T, 0.8 * T)), None, 1.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_smooth_errors_alone_have_longer_steps(name: str) -> None:
    loss, target, longer = LOSSES[name]
    _, ratio = adjoint_points(phases(500), batch(target), loss)
    assert ratio == pytest.approx(longer, abs=0.03)


def test_longer_steps_cost_no_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of second order with and without, and about as near to the differences of a fine grid."""
    data, loss = batch(), WaveformMSE(batch().times)
    exact = gradient(phases(4000), data, loss, FiniteDifference())
    errors = {}
    for longer in (1.25, 1.0):
        monkeypatch.setattr(module, "_LONGER", longer)
        found = [gradient(phases(steps), data, loss) for steps in (200, 400)]
        errors[longer] = [np.linalg.norm(f - exact) / np.linalg.norm(exact) for f in found]
    assert errors[1.25][0] < 1.5 * errors[1.0][0]
    assert errors[1.25][1] < 1e-3
    assert 1.7 < np.log2(errors[1.25][0] / errors[1.25][1]) < 2.3
