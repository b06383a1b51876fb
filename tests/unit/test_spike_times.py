"""Spike times of sampled voltages, and the loss on them: values, derivatives, continuity."""

from __future__ import annotations

import numpy as np
import pytest
from waveform_signals import END, differences, grid, total, uniform

from bridge.losses import LossError, SpikeTargets, SpikeTimes
from bridge.losses.spike_times import align, crossings, maxima


def spikes(time: np.ndarray, *at: float, rise: float = 0.05, height: float = 1.0) -> np.ndarray:
    """Spikes that rise from -1 through 0 V at given times to `height` and fall again."""
    bumps = [(1.0 + height) * np.exp(-(((time - t - _lag(rise, height)) / rise) ** 2)) for t in at]
    return np.asarray(-1.0 + sum(bumps, np.zeros_like(time)))


def _lag(rise: float, height: float) -> float:
    return float(rise * np.sqrt(max(0.0, np.log(1.0 + height))))


LOSS = SpikeTimes(tau=0.2, threshold=0.0, missing=3.0, extra=2.0, height=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_a_crossing_is_where_the_voltage_crosses(seed: int) -> None:
    time = grid(800, seed)
    found = crossings(time, spikes(time, 0.4, 1.3), 0.0)
    np.testing.assert_allclose(found.times, [0.4, 1.3], atol=2e-6)
    assert (spikes(time, 0.4, 1.3)[found.peaks] > 0.99).all()


def test_the_derivatives_of_a_crossing_add_up_to_the_inverse_speed() -> None:
    time = uniform(1500)
    voltage = spikes(time, 0.7)
    found = crossings(time, voltage, 0.0)
    speed = (spikes(np.array([0.7 + 1e-6]), 0.7) - spikes(np.array([0.7 - 1e-6]), 0.7))[0] / 2e-6
    assert found.slopes.sum() == pytest.approx(-1.0 / speed, rel=1e-4)


def test_crossings_at_the_ends_and_on_samples() -> None:
    time = np.array([1.0, 2.0, 3.0])
    found = crossings(time, np.array([-1.0, 1.0, 2.0]), 0.0)
    np.testing.assert_allclose(found.times, [1.5])
    assert len(crossings(time, np.array([1.0, 1.0, 2.0]), 0.0)) == 0
    np.testing.assert_allclose(crossings(time, np.array([-2.0, -1.0, 0.0]), 0.0).times, [3.0])


CASES = {
    "on both": ([0.5, 1.2], [[0.45, 1.3]]),
    "missing": ([0.5], [[0.52, 1.4]]),
    "extra": ([0.3, 0.9, 1.5], [[1.0]]),
    "silent": ([], [[0.8]]),
    "nothing wanted": ([0.6], [[]]),
    "cut at the end": ([0.5, END - 0.03], [[0.5]]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("height", [1.0, 0.08])
def test_the_derivative_is_that_of_the_value(case: str, height: float) -> None:
    at, target = CASES[case]
    time = grid(120, 7)
    outputs = spikes(time, *at, rise=0.12, height=height)[:, None] * np.ones((1, len(target)))
    found = LOSS.evaluate(time, outputs, target)
    wanted = differences(LOSS, time, outputs, target, step=1e-7)
    np.testing.assert_allclose(total(found), wanted, atol=2e-6 * max(1.0, np.abs(wanted).max()))


def test_costs_of_shifted_missing_and_extra_spikes() -> None:
    time = uniform(6000)
    one = spikes(time, 1.0)[:, None]
    assert LOSS.evaluate(time, one, [[1.0]]).value == pytest.approx(0.0, abs=1e-9)
    assert LOSS.evaluate(time, one, [[1.1]]).value == pytest.approx((0.1 / 0.2) ** 2, rel=1e-4)
    assert LOSS.evaluate(time, one, [[]]).value == pytest.approx(2.0 * (1 + (END - 1.0) / END), rel=1e-3)
    quiet = np.full((6000, 1), -0.5)
    assert LOSS.evaluate(time, quiet, [[1.0]]).value == pytest.approx(3.0 * np.sqrt(1 + 5.0**2), rel=1e-6)


def test_a_step_down_the_derivative_moves_a_spike_towards_its_target() -> None:
    time = uniform(4000)
    later = (spikes(time, 1.0 + 1e-5) - spikes(time, 1.0 - 1e-5)) / 2e-5
    for target, sign in ((0.9, 1.0), (1.1, -1.0)):
        found = total(LOSS.evaluate(time, spikes(time, 1.0)[:, None], [[target]]))[:, 0] @ later
        assert found == pytest.approx(sign * 2 * 0.1 / 0.2**2, rel=1e-3)


def test_a_silent_output_is_pulled_up_near_its_target() -> None:
    time = uniform(400)
    slope = LOSS.evaluate(time, np.full((400, 1), -0.5), [[1.5]]).derivative[:, 0]
    assert (slope <= 0).all()
    assert abs(time[np.argmin(slope)] - 1.5) < 0.02


def test_the_loss_is_continuous_where_spikes_are_born_and_leave() -> None:
    time = uniform(2000)
    for target in ([[0.9]], [[]]):
        values = [
            LOSS.evaluate(time, spikes(time, 1.0, height=h)[:, None], target).value
            for h in np.linspace(-0.02, 0.02, 81)
        ]
        assert np.abs(np.diff(values)).max() < 0.05
    leaving = [
        LOSS.evaluate(time, spikes(time, at)[:, None], [[]]).value for at in np.linspace(END - 0.05, END, 400)
    ]
    assert leaving[0] > 1.0
    assert leaving[-1] < 0.05
    assert np.abs(np.diff(leaving)).max() < 0.1


def two(time: np.ndarray, dip: float, first: float = 0.5) -> np.ndarray:
    """Two peaks, and a dip between them that reaches so far above the threshold."""
    bumps = first * np.exp(-(((time - 0.9) / 0.06) ** 2)) + 1.0 * np.exp(-(((time - 1.1) / 0.06) ** 2))
    low = bumps[(time > 0.9) & (time < 1.1)].min()
    edge = 0.5 * (np.tanh((time - 0.8) / 0.02) - np.tanh((time - 1.25) / 0.02))
    return np.asarray(np.where(edge > 0.01, (bumps - low + dip + 0.7) * edge - 0.7, -0.7))


@pytest.mark.parametrize("first", [0.5, 0.1])
@pytest.mark.parametrize("target", [[[]], [[0.85]], [[0.85, 1.2]]])
def test_the_loss_is_continuous_where_two_spikes_merge(target: list[list[float]], first: float) -> None:
    """The dip between them crosses the threshold; the first may be a proper spike or a faint one."""
    time = uniform(1500)
    dips = np.linspace(-0.01, 0.01, 101)
    counts = {len(crossings(time, two(time, d, first), 0.0)) for d in dips}
    assert counts == {1, 2}
    values = [LOSS.evaluate(time, two(time, d, first)[:, None], target).value for d in dips]
    assert np.abs(np.diff(values)).max() < 0.2  # one for the other would be 3
    apart = two(time, -0.4, 1.0)
    wanted = sum(2.0 * (2 - t / END) for t in crossings(time, apart, 0.0).times)
    assert LOSS.evaluate(time, apart[:, None], [[]]).value == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("dip", "first"), [(-0.05, 0.5), (-0.03, 0.1), (-0.15, 0.3)])
@pytest.mark.parametrize("target", [[[]], [[0.85, 1.2]]])
def test_the_derivative_by_a_dip_between_two_spikes(dip: float, first: float, target: list) -> None:
    time = grid(70, 3)
    outputs = two(time, dip, first)[:, None]
    assert len(crossings(time, outputs[:, 0], 0.0)) == 2
    found = LOSS.evaluate(time, outputs, target)
    wanted = differences(LOSS, time, outputs, target, step=1e-7)
    np.testing.assert_allclose(total(found), wanted, atol=2e-6 * max(1.0, np.abs(wanted).max()))


def test_the_loss_is_continuous_where_a_spike_enters_at_the_start() -> None:
    time = uniform(2000)
    body = 0.4 - 1.4 / (1.0 + np.exp(-(time - 0.3) / 0.02))
    starts = np.linspace(-0.02, 0.02, 41)
    waves = [body + (s - body[0]) * np.exp(-time / 0.01) for s in starts]
    values = [LOSS.evaluate(time, wave[:, None], [[]]).value for wave in waves]
    assert values[0] > 0.01
    assert values[-1] == 0.0
    assert np.abs(np.diff(values)).max() < 0.05


def test_a_peaks_height_is_not_that_of_the_largest_sample() -> None:
    """A spike moves by a sample: the smooth maximum stays, that of the samples goes up and down."""
    time = uniform(400)
    at = 1.0 + np.linspace(0.0, time[1] - time[0], 12)
    tops, largest = [], []
    for t in at:
        voltage = spikes(time, t)
        found = crossings(time, voltage, 0.0)
        tops.append(maxima(time, voltage, found.peaks).values[0])
        largest.append(voltage[found.peaks[0]])
    assert np.ptp(tops) < 0.1 * np.ptp(largest)


def test_pairs_are_the_cheapest_in_order() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        n, m = rng.integers(0, 4, 2)
        pair, extra, missing = rng.uniform(0, 3, (n, m)), rng.uniform(0, 2, n), rng.uniform(0, 2, m)
        found = align(pair, extra, missing)
        cost = _cost(found, pair, extra, missing)
        assert cost == pytest.approx(_cheapest(pair, extra, missing))


def _cost(pairs, pair, extra, missing):  # type: ignore[no-untyped-def]
    left = set(range(len(extra))) - {i for i, _ in pairs}
    right = set(range(len(missing))) - {j for _, j in pairs}
    return sum(pair[i, j] for i, j in pairs) + sum(extra[list(left)]) + sum(missing[list(right)])


def _cheapest(pair, extra, missing):  # type: ignore[no-untyped-def]
    n, m = pair.shape
    if n == 0 or m == 0:
        return extra.sum() + missing.sum()
    return min(
        pair[0, 0] + _cheapest(pair[1:, 1:], extra[1:], missing[1:]),
        extra[0] + _cheapest(pair[1:], extra[1:], missing),
        missing[0] + _cheapest(pair[:, 1:], extra, missing[1:]),
    )


def test_what_a_report_says() -> None:
    time = uniform(3000)
    outputs = np.stack([spikes(time, 0.4, 1.2), spikes(time, 0.9)], axis=1)
    targets = SpikeTargets(LOSS, [[0.45, 1.0, 1.2], []], tolerance=0.06)
    scores = targets.averages(time, outputs)[None]
    found = targets.measures(scores)
    assert (found["missing_spikes"], found["extra_spikes"]) == (1, 1)
    assert found["spikes_on_time"] == pytest.approx(2 / 3)
    assert np.isnan(found["worst_shift"])  # of a target without a spike
    hit = SpikeTargets(LOSS, [[0.45, 1.2], []], tolerance=0.06)
    assert hit.measures(hit.averages(time, outputs)[None])["worst_shift"] == pytest.approx(0.05, rel=1e-3)


def test_silence_is_not_reported_as_a_perfect_shift() -> None:
    time = uniform(500)
    targets = SpikeTargets(LOSS, [[0.5, 1.2]])
    found = targets.measures(targets.averages(time, np.full((500, 1), -0.5))[None])
    assert (found["missing_spikes"], found["spikes_on_time"]) == (2, 0.0)
    assert np.isnan(found["worst_shift"])


def test_a_report_counts_spikes_as_the_loss_does() -> None:
    """A peak that hardly rises above the threshold and a wiggle on the way up are no spikes."""
    time = uniform(3000)
    targets = SpikeTargets(LOSS, [[]])
    faint = spikes(time, 0.7, height=1e-6)[:, None]
    assert targets.averages(time, faint)[2] == 0
    assert targets.averages(time, spikes(time, 0.7, height=0.3)[:, None])[2] == 1
    proper = spikes(time, 0.7)
    wiggled = proper.copy()
    first = int(np.flatnonzero((proper[:-1] < 0) & (proper[1:] >= 0))[0])
    wiggled[first + 1 : first + 3] = [1e-6, -1e-6]
    assert len(crossings(time, wiggled, 0.0)) == 2
    assert targets.averages(time, wiggled[:, None])[2] == 1


def test_each_output_may_have_its_own_threshold() -> None:
    time = uniform(2000)
    both = np.stack([spikes(time, 0.5), spikes(time, 0.5) - 0.3], axis=1)
    loss = SpikeTimes(tau=0.2, threshold=(0.0, -0.3))
    one = SpikeTimes(tau=0.2).evaluate(time, both[:, :1], [[0.6]])
    found = loss.evaluate(time, both, [[0.6], [0.6]])
    assert found.value == pytest.approx(one.value)
    np.testing.assert_allclose(found.derivative, 0.5 * one.derivative * np.ones(2), atol=1e-6)
    with pytest.raises(LossError, match="2 thresholds for 1 outputs"):
        loss.evaluate(time, both[:, :1], [[0.6]])


@pytest.mark.parametrize("options", [{"tau": 0.0}, {"missing": -1.0}, {"height": 0.0}, {"threshold": np.nan}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(LossError, match=next(iter(options))):
        SpikeTimes(**{"tau": 1.0, **options})


def test_wrong_targets_are_refused() -> None:
    time = uniform(100)
    with pytest.raises(LossError, match="one list of spike times"):
        LOSS.evaluate(time, np.zeros((100, 2)), [[0.1]])
    with pytest.raises(LossError, match="not within the transient"):
        LOSS.evaluate(time, np.zeros((100, 1)), [[3.0]])
