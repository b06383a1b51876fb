"""Integrals, interpolation and derivatives on uneven times: exact where they must be, and their order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.quadrature import derivative, derivative_matrix, interpolation_matrix, trapezoid_weights


def uneven(count: int, seed: int = 0) -> np.ndarray:
    """Times between 0 and 1 whose steps differ by up to a factor of ten, the first after a tiny one."""
    steps = np.random.default_rng(seed).uniform(0.1, 1.0, count)
    times = np.cumsum(steps) / steps.sum()
    times[0] = 1e-5
    return times


def order(errors: list[float]) -> float:
    return float(np.log2(errors[0] / errors[1]))


@given(st.integers(2, 40), st.floats(-3, 3), st.floats(-3, 3))
def test_the_trapezoidal_rule_is_exact_for_straight_lines(count: int, a: float, b: float) -> None:
    times = uneven(count, count)
    weights = trapezoid_weights(times, start=times[0])
    exact = a * (1 - times[0]) + b * (1 - times[0] ** 2) / 2
    assert weights @ (a + b * times) == pytest.approx(exact, rel=1e-12, abs=1e-12)


def test_before_the_first_time_its_value_holds() -> None:
    times = np.array([0.25, 0.5, 1.0])
    assert trapezoid_weights(times).sum() == pytest.approx(1.0)
    assert trapezoid_weights(times)[0] == pytest.approx(0.25 + 0.125)


def test_the_trapezoidal_rule_is_of_second_order() -> None:
    errors = []
    for count in (200, 400):
        times = np.linspace(0, 1, count + 1)
        errors.append(abs(trapezoid_weights(times) @ np.exp(times) - (np.e - 1)))
    assert order(errors) == pytest.approx(2.0, abs=0.02)


@given(st.lists(st.floats(-2, 2), min_size=4, max_size=4), st.integers(0, 20))
def test_interpolation_is_exact_for_cubics_on_uneven_times(c: list[float], seed: int) -> None:
    times = uneven(15, seed)
    at = np.linspace(times[0], 1.0, 33)
    found = interpolation_matrix(times, at) @ np.polyval(c, times)
    np.testing.assert_allclose(found, np.polyval(c, at), atol=1e-10)


def test_interpolation_of_the_samples_themselves_is_the_identity() -> None:
    times = uneven(12)
    np.testing.assert_allclose(interpolation_matrix(times, times).toarray(), np.eye(12), atol=1e-12)


def test_interpolation_holds_the_ends() -> None:
    times = uneven(12)
    values = np.sin(times)
    found = interpolation_matrix(times, np.array([-1.0, 2.0])) @ values
    np.testing.assert_allclose(found, values[[0, -1]], rtol=1e-12)


def test_interpolation_is_of_fourth_order() -> None:
    at = np.linspace(0, 1, 1001)
    errors = []
    for count in (40, 80):
        times = np.linspace(0, 1, count + 1)
        errors.append(np.abs(interpolation_matrix(times, at) @ np.sin(6 * times) - np.sin(6 * at)).max())
    assert order(errors) == pytest.approx(4.0, abs=0.3)


def test_interpolation_needs_four_samples() -> None:
    with pytest.raises(ValueError, match="needs four"):
        interpolation_matrix(np.array([0.0, 1.0, 2.0]), np.array([0.5]))


@given(st.lists(st.floats(-2, 2), min_size=5, max_size=5), st.integers(0, 20))
def test_the_derivative_is_exact_for_quartics_on_uneven_times(c: list[float], seed: int) -> None:
    times = uneven(15, seed)
    exact = np.polyval(np.polyder(np.array(c)), times) if len(c) > 1 else np.zeros(15)
    np.testing.assert_allclose(derivative(times, np.polyval(c, times)), exact, atol=1e-8)


def test_the_derivative_is_of_fourth_order_also_at_the_ends() -> None:
    errors = []
    for count in (40, 80):
        times = np.linspace(0, 1, count + 1)
        errors.append(np.abs(derivative(times, np.sin(6 * times)) - 6 * np.cos(6 * times)).max())
    assert order(errors) == pytest.approx(4.0, abs=0.3)


def test_the_derivative_of_several_signals_is_that_of_each() -> None:
    times = uneven(20)
    signals = np.stack([np.sin(times), times**2], axis=1)
    found = derivative(times, signals)
    assert found.shape == signals.shape
    np.testing.assert_array_equal(found[:, 1], derivative(times, times**2))


def test_the_derivative_of_few_samples() -> None:
    times = np.array([0.0, 1.0, 3.0])
    np.testing.assert_allclose(derivative(times, times**2), 2 * times, atol=1e-12)
    with pytest.raises(ValueError, match="no derivative"):
        derivative_matrix(np.array([1.0]))
