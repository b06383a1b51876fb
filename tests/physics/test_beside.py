"""What is computed beside the simulator: the same numbers, the same errors, nothing left behind."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.errors import TellegenError
from bridge.estimators.adjoint import AdjointNetwork
from bridge.estimators.base import DynamicBatch
from bridge.losses.base import LossError
from bridge.losses.waveform import WaveformMSE, WaveformValue
from bridge.ngspice.later import Beside, at_once
from bridge.ngspice.session import Session
from circuits.topologies.rlc import Reactances, rlc

T = 1e-6
NETWORK = rlc(6, 1, 1, fan=3, seed=2, reactances=Reactances(5e-11, inductors=1, inductance=1e-4, diodes=0.5))
TIMES = np.linspace(0.0, T, 101)


def batch(count: int) -> DynamicBatch:
    drives = [NETWORK.drive_values(np.sin((4.0 + k) * TIMES / T)[:, None]) for k in range(count)]
    wanted = [0.2 * np.sin((7.0 + k) * TIMES / T)[:, None] for k in range(count)]
    return DynamicBatch(TIMES, np.array(drives), wanted)


def gradient(phases: DynamicPhases, data: DynamicBatch, loss: Any) -> np.ndarray:
    estimator = AdjointNetwork()
    results = [task.run(phases) for task in estimator.tasks(phases.plan, data, loss)]
    return np.asarray(estimator.combine(phases.plan, data, results).gradient)


class Watched(WaveformMSE):
    """Says on which thread it was evaluated; refuses the sample whose target starts at 1."""

    seen: list[str]

    def evaluate(self, time: Any, outputs: Any, target: Any) -> WaveformValue:
        self.seen.append(threading.current_thread().name)
        if target[0, 0] == 1.0:
            raise LossError("no such sample")
        return super().evaluate(time, outputs, target)


def watched() -> Watched:
    loss = Watched(TIMES)
    object.__setattr__(loss, "seen", [])
    return loss


def test_the_gradient_is_the_same_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    phases, data = DynamicPhases(DynamicPlan(NETWORK, T, T / 200), Session()), batch(24)
    loss = watched()
    found = gradient(phases, data, loss)
    assert {name.startswith("tellegen-beside") for name in loss.seen} == {True}
    moved = 1.1 * phases.parameters
    phases.update(moved)
    later = gradient(phases, data, loss)
    assert np.abs(later - found).max() > 1e-3 * np.abs(found).max()
    monkeypatch.setattr(DynamicPhases, "computes", property(lambda _: at_once))
    loss.seen.clear()
    np.testing.assert_array_equal(gradient(phases, data, loss), later)
    assert {name.startswith("tellegen-beside") for name in loss.seen} == {False}
    phases.update(moved / 1.1)
    np.testing.assert_allclose(
        gradient(phases, data, loss), found, rtol=1e-6, atol=1e-9 * np.abs(found).max()
    )


def test_an_error_beside_the_simulator_is_the_task_s_own_and_leaves_nothing_running() -> None:
    phases, data = DynamicPhases(DynamicPlan(NETWORK, T, T / 200), Session()), batch(16)
    wanted = gradient(phases, data, watched())
    spoiled = DynamicBatch(data.times, data.drives, [np.ones_like(data.targets[0]), *data.targets[1:]])
    with pytest.raises(TellegenError, match="no such sample"):
        gradient(phases, spoiled, watched())
    assert not phases.beside._waiting
    np.testing.assert_array_equal(gradient(phases, data, watched()), wanted)


def test_computations_beside_run_in_their_turn_and_can_be_waited_for() -> None:
    beside, order = Beside(), []
    gate = threading.Event()
    first = beside.start(lambda: (gate.wait(30), order.append(1)))
    second = beside.start(lambda: order.append(2) or len(order))
    assert order == []
    gate.set()
    beside.join()
    assert order == [1, 2]
    assert second() == 2
    first()
