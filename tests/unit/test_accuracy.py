"""The time step for a wanted accuracy, on gradients whose error is known."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.errors import SpecError, TimestepError
from bridge.experiment.accuracy import Choice, choose_step

EXACT = np.array([3.0, -4.0, 0.0])
WRONG = np.array([0.0, 2.0, 1.0])


def gradient(order: float, size: float = 100.0):  # type: ignore[no-untyped-def]
    """A gradient whose error at step `h` of a duration of 1 is `size h^order` times a fixed vector."""
    return lambda h: EXACT + size * h**order * WRONG


def true_error(choice: Choice, order: float, size: float = 100.0) -> float:
    return float(np.linalg.norm(gradient(order, size)(choice.step) - EXACT) / np.linalg.norm(EXACT))


@pytest.mark.parametrize("asked", [3e-2, 1e-3, 1e-5])
def test_the_step_is_the_coarsest_of_second_order(asked: float) -> None:
    choice = choose_step(gradient(2.0), 1.0, asked)
    error = true_error(choice, 2.0)
    assert error <= asked
    assert true_error(Choice(asked, 1.4 * choice.step, 0.0, 2.0, ()), 2.0) > asked
    assert choice.error == pytest.approx(error, rel=0.1)
    assert Choice.of(choice.data()) == choice


def test_a_first_order_error_is_seen_as_one() -> None:
    choice = choose_step(gradient(1.0, 1.0), 1.0, 1e-3)
    assert choice.order == pytest.approx(1.0, abs=0.05)
    assert true_error(choice, 1.0, 1.0) <= 1.01e-3


def test_an_easy_circuit_takes_the_coarsest_step() -> None:
    assert choose_step(gradient(2.0, 1e-6), 1.0, 1e-3).step == 1.0 / 25


def test_steps_that_cannot_be_simulated_are_passed_over() -> None:
    def fragile(h: float) -> np.ndarray:
        if h > 1.0 / 300:
            raise TimestepError("the time step became too small")
        return gradient(2.0)(h)

    choice = choose_step(fragile, 1.0, 0.5)
    assert choice.step <= 1.0 / 300


def test_an_accuracy_out_of_reach_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(SpecError, match=r"accuracy 1e-08: the gradient reaches"):
        choose_step(lambda h: EXACT + 1e-3 * rng.normal(size=3), 1.0, 1e-8)
    with pytest.raises(SpecError, match="accuracy"):
        choose_step(lambda h: np.zeros(3), 1.0, 1e-2)
