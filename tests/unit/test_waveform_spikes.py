import itertools

import numpy as np
import pytest
from scipy.integrate import quad
from waveform_signals import END, differences, grid, total, uniform

from bridge.losses import LossError, VanRossum
from bridge.quadrature import trapezoid_weights


def pulse(time: np.ndarray, at: float, rise: float = 0.01) -> np.ndarray:
    """A spike from -1 V to 1 V that crosses 0 V upwards at a given time and falls slowly."""
    return np.where(
        time < at + 3 * rise, np.tanh((time - at) / rise), 1 - 2 * (time - at - 3 * rise) / 0.3
    ).clip(-1.0, 1.0)


SHARP = VanRossum(tau=0.2, threshold=0.0, width=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_a_spike_too_many_or_too_few_is_a_half(seed):
    time = grid(3000, seed)
    quiet, spike = -np.ones((3000, 1)), pulse(time, 1.1)[:, None]
    assert SHARP.evaluate(time, quiet, [[0.4]]).value == pytest.approx(0.5, rel=1e-9)
    assert SHARP.evaluate(time, quiet, [[END]]).value == pytest.approx(0.5, rel=1e-9)
    assert SHARP.evaluate(time, quiet, [[0.0]]).value == pytest.approx(0.5, rel=1e-9)
    assert SHARP.evaluate(time, quiet, [[]]).value < 1e-30
    assert SHARP.evaluate(time, spike, [[]]).value == pytest.approx(0.5, rel=5e-3)
    assert SHARP.evaluate(time, quiet, [[0.4, 0.4]]).value == pytest.approx(2.0, rel=1e-9)


@pytest.mark.parametrize("shift", [-0.5, -0.1, 0.05, 0.3])
def test_a_shifted_spike_is_as_far_as_the_filter_says(shift):
    time = uniform(8001)
    found = SHARP.evaluate(time, pulse(time, 1.0, 1e-3)[:, None], [[1.0 + shift]]).value
    assert found == pytest.approx(1.0 - np.exp(-abs(shift) / SHARP.tau), rel=2e-3)


def test_the_derivative_moves_a_spike_to_its_target():
    time, step = uniform(8001), 1e-4
    loss = VanRossum(tau=0.2, threshold=0.0, width=0.08)  # the rise takes a few of the time steps
    later = (pulse(time, 1.0 + step, 0.03) - pulse(time, 1.0 - step, 0.03)) / (2 * step)
    for shift in (-0.2, 0.2):
        found = loss.evaluate(time, pulse(time, 1.0, 0.03)[:, None], [[1.0 + shift]])
        wanted = -np.sign(shift) * np.exp(-abs(shift) / loss.tau) / loss.tau
        assert total(found)[:, 0] @ later == pytest.approx(wanted, rel=5e-3)


def test_spike_distance_is_the_integral_of_the_filtered_difference():
    """Against a brute-force integral: the filter's response summed piece by piece, on a fine grid."""
    time, loss = grid(12, 4, start=0.05), VanRossum(0.3, 0.1, 0.4)
    volts, spikes = np.random.default_rng(1).normal(size=12), np.array([0.02, 0.91, 1.3])
    level = 1 / (1 + np.exp(-(volts - 0.1) / 0.4))
    rates = np.maximum(np.diff(level), 0.0) / np.diff(time)

    def difference(t):
        began = np.clip(t - time[:-1], 0.0, None)
        ended = np.clip(t - time[1:], 0.0, None)
        filtered = np.sum(rates * 0.3 * (np.exp(-ended / 0.3) - np.exp(-began / 0.3)))
        return filtered - np.sum(np.exp(-(t - spikes[spikes <= t]) / 0.3))

    edges = np.unique(np.concatenate([[0.0], time, spikes, [END + 12.0]]))
    wanted = sum(quad(lambda t: difference(t) ** 2, a, b)[0] for a, b in itertools.pairwise(edges))
    assert loss.evaluate(time, volts[:, None], [spikes]).value == pytest.approx(wanted / 0.3, rel=1e-9)


def test_a_long_filter_counts_spikes_and_stays_exact():
    time = grid(2000, 0)
    outputs = (pulse(time, 0.4) + pulse(time, 1.2) + 1.0)[:, None]
    for tau in (1e3, 1e6, 1e9):  # pieces down to 1e-13 of the time constant
        found = VanRossum(tau, 0.0, 0.02).evaluate(time, outputs, [[0.2, 0.5, 0.9, 1.0, 1.5]])
        assert found.value == pytest.approx(0.5 * 3**2, rel=4 / tau)


def test_only_an_output_that_rises_at_the_end_has_a_terminal_part():
    time, loss = uniform(50), VanRossum(0.2, 0.5, 0.2)
    rising, falling = time[:, None] / END, 1.0 - time[:, None] / END
    assert loss.evaluate(time, rising, [[]]).terminal[0] > 0.0
    found = loss.evaluate(time, falling, [[0.5]])
    assert not found.terminal.any()
    assert not found.derivative.any()
    densities = [
        np.abs(loss.evaluate(t, t[:, None] / END, [[]]).derivative[1:] / trapezoid_weights(t)[1:, None]).max()
        for t in (uniform(50), uniform(500))
    ]
    assert densities[1] == pytest.approx(densities[0], rel=0.1)  # a density: it does not grow with the points


def test_at_rest_the_derivative_is_the_mean_of_both_sides():
    time, outputs = grid(9, 0), np.full((9, 1), 0.1)
    found = VanRossum(0.2, 0.0, 0.3).evaluate(time, outputs, [[1.0]])
    wanted = differences(VanRossum(0.2, 0.0, 0.3), time, outputs, [[1.0]], step=1e-6)
    np.testing.assert_allclose(total(found), wanted, rtol=1e-4)


@pytest.mark.parametrize(
    "target", [[[0.1]], [[0.1], [0.2], [2.1]], [[0.1], [-0.1], []], [0.1, 0.2, 0.3], None, [["a"], [], []]]
)
def test_impossible_spike_targets_are_refused(target):
    with pytest.raises(LossError, match="spike"):
        SHARP.evaluate(grid(9, 0), np.zeros((9, 3)), target)


@pytest.mark.parametrize(
    "options", [(0.0, 0.0, 1.0), (1.0, 0.0, -1.0), (1.0, np.nan, 1.0), (np.inf, 0.0, 1.0)]
)
def test_impossible_spike_filters_are_refused(options):
    with pytest.raises(LossError, match="spike distance"):
        VanRossum(*options)
