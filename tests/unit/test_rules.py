"""Update rules of devices that take pulses: sizes and signs of steps, statistics, saved state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from bridge.updates.optimizers import UpdateError, make_optimizer

OPTIONS: dict[str, dict[str, Any]] = {
    "manhattan": {},
    "stochastic": {"scale": 2.0, "seed": 3},
    "threshold": {"threshold": 2.5},
}
KINDS = list(OPTIONS)


def gradients(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(count, size))


def test_manhattan_steps_by_the_learning_rate_against_the_sign() -> None:
    new = make_optimizer("manhattan", 4, dead=0.1).step([1.0, 1.0, 1.0, 1.0], [3.0, -1e-1, 0.2, -40.0], 0.25)
    np.testing.assert_array_equal(new, [0.75, 1.0, 0.75, 1.25])


def test_manhattan_in_log_space_is_a_relative_change() -> None:
    optimizer = make_optimizer("manhattan", 2, lower=1e-9, upper=1.0, space="log")
    np.testing.assert_allclose(
        optimizer.step([1e-3, 1e-6], [5.0, -5.0], 0.1), [1e-3 * np.exp(-0.1), 1e-6 * np.exp(0.1)], rtol=1e-14
    )


def test_stochastic_steps_have_one_size_and_the_mean_of_gradient_descent() -> None:
    size, steps, scale, rate = 500, 40, 2.0, 0.1
    slope = np.linspace(-1.5, 1.5, size)
    optimizer = make_optimizer("stochastic", size, scale=scale, seed=1)
    value = np.zeros(size)
    hits = np.zeros(size)
    for _ in range(steps):
        new = optimizer.step(value, slope, rate)
        moved = new - value
        hit = np.abs(moved) > 1e-9
        np.testing.assert_allclose(moved[hit], -rate * np.sign(slope[hit]), rtol=1e-9)
        hits += hit
        value = new
    # The number of steps is binomial with the probability |g| / scale: a sum of squares over parameters.
    probability = np.abs(slope) / scale
    spread = steps * probability * (1 - probability)
    chi = float(((hits - steps * probability) ** 2 / spread).sum())
    assert stats.chi2(size).ppf(1e-4) < chi < stats.chi2(size).ppf(1 - 1e-4)


def test_stochastic_always_steps_where_the_gradient_passes_the_scale() -> None:
    optimizer = make_optimizer("stochastic", 3, scale=1.0)
    for _ in range(20):
        np.testing.assert_allclose(optimizer.step([0.0] * 3, [1.0, -7.0, 0.0], 0.5), [-0.5, 0.5, 0.0])


def test_threshold_updates_add_up_to_gradient_descent() -> None:
    optimizer = make_optimizer("threshold", 50, threshold=2.5)
    value, updates = np.zeros(50), 0
    found = gradients(300, 50)
    for slope in found:
        new = optimizer.step(value, slope, 0.1)
        updates += int((new != value).sum())
        value = new
    rest = optimizer.state_dict()["sum"]
    assert np.all(np.abs(rest) < 2.5)
    np.testing.assert_allclose(value, -0.1 * (found.sum(axis=0) - rest), atol=1e-12)
    assert 0 < updates < 0.25 * found.size


def test_threshold_steps_exactly_when_the_sum_reaches_it() -> None:
    optimizer = make_optimizer("threshold", 1, threshold=1.0)
    values = [float(optimizer.step([0.0], [g], 1.0)[0]) for g in (0.5, 0.25, 0.25, 0.5, -0.5, -1.0)]
    assert values == [0.0, 0.0, -1.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_state_resumes_bit_for_bit(kind: str) -> None:
    found = gradients(12, 6)
    whole, first = (make_optimizer(kind, 6, **OPTIONS[kind]) for _ in range(2))
    a = b = np.zeros(6)
    for slope in found:
        a = whole.step(a, slope, 0.1)
    for slope in found[:5]:
        b = first.step(b, slope, 0.1)
    second = make_optimizer(kind, 6, **(OPTIONS[kind] | ({"seed": 99} if kind == "stochastic" else {})))
    second.load_state_dict(first.state_dict())
    for slope in found[5:]:
        b = second.step(b, slope, 0.1)
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_and_multipliers_hold(kind: str) -> None:
    optimizer = make_optimizer(kind, 3, lower=-0.2, upper=0.2, multipliers=[1.0, 0.0, 2.0], **OPTIONS[kind])
    value = np.zeros(3)
    for slope in 10 * np.ones((8, 3)):
        value = optimizer.step(value, slope, 0.15)
    np.testing.assert_array_equal(value, [-0.2, 0.0, -0.2])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("manhattan", {"dead": -1.0}),
        ("stochastic", {"scale": 0.0}),
        ("stochastic", {"scale": 1.0, "seed": -1}),
        ("stochastic", {}),
        ("threshold", {"threshold": float("nan")}),
        ("threshold", {"treshold": 1.0}),
    ],
)
def test_wrong_options_are_refused(kind: str, options: dict[str, Any]) -> None:
    with pytest.raises(UpdateError):
        make_optimizer(kind, 2, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_of_another_rule_is_refused(kind: str) -> None:
    with pytest.raises(UpdateError, match="saved state"):
        make_optimizer(kind, 2, **OPTIONS[kind]).load_state_dict({"velocity": np.zeros(2)})
