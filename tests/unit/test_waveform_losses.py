import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from waveform_signals import END, ONE_HOT, differences, grid, smooth, total, uniform

from bridge.losses import (
    AveragedLoss,
    CrossEntropy,
    EnergyLoss,
    LossError,
    MeanSquaredError,
    OnOutputs,
    TerminalLoss,
    TerminalMSE,
    VanRossum,
    WaveformMSE,
    WeightedSum,
    Window,
)
from bridge.quadrature import trapezoid_weights

SPIKES = [[0.3, 1.234], [], [0.0, 0.7, 0.7001]]


def order(errors: list[float], factor: float = 2.0) -> float:
    """Order of convergence from errors at steps that shrink by a factor."""
    return float(-np.polyfit(np.arange(len(errors)) * np.log(factor), np.log(errors), 1)[0])


TARGET_TIMES = np.array([0.0, 0.31, 0.9, 1.7, 2.0])
TARGET = np.random.default_rng(5).normal(size=(5, 3))
SEVERAL = [(0.1234, 0.61), (0.61, 0.777), (1.5, 1.9)]
CASES = {
    "mse": (WaveformMSE(), np.zeros(3)),
    "mse target waveform": (WaveformMSE(TARGET_TIMES), TARGET),
    "mse window": (WaveformMSE(TARGET_TIMES, (0.4321, 1.2345)), TARGET),
    "mse several windows": (WaveformMSE(TARGET_TIMES, SEVERAL), TARGET),
    "mse taper": (WaveformMSE(TARGET_TIMES, (0.1, np.inf), taper=0.3), TARGET),
    "mse taper within a step": (WaveformMSE(TARGET_TIMES, (0.5, 0.52), taper=0.01), TARGET),
    "mse output weights": (WaveformMSE(output_weights=[0.0, 2.0, 0.5]), np.ones(3)),
    "average cross-entropy": (AveragedLoss(CrossEntropy(3.0)), ONE_HOT),
    "average cross-entropy window": (AveragedLoss(CrossEntropy(3.0), (1.05, 1.91)), ONE_HOT),
    "average mse": (AveragedLoss(MeanSquaredError(), SEVERAL, taper=0.05), ONE_HOT),
    "terminal cross-entropy": (TerminalLoss(CrossEntropy(2.0)), ONE_HOT),
    "terminal mse": (TerminalMSE(), ONE_HOT),
    "energy": (EnergyLoss(TARGET_TIMES, TARGET, (0.2, 1.1)), None),
    "energy of the target's voltages": (EnergyLoss(TARGET_TIMES), TARGET),
    "spikes": (VanRossum(0.2, 0.1, 0.3), SPIKES),
    "spikes, short filter": (VanRossum(3e-3, 0.1, 0.3), SPIKES),
    "spikes, long filter": (VanRossum(50.0, 0.1, 0.3), SPIKES),
    "one output": (OnOutputs(WaveformMSE(window=(0.3, 0.9)), [2]), np.zeros(1)),
    "sum": (
        WeightedSum(
            [
                (0.3, WaveformMSE(window=(0.2, 1.3))),
                (-2.0, TerminalLoss(CrossEntropy())),
                (1.5, OnOutputs(EnergyLoss(voltages=[1.0, -0.4]), (2, 0))),
            ]
        ),
        ONE_HOT,
    ),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CASES)
def test_derivative_is_that_of_the_value_in_every_sample(name, seed):
    loss, target = CASES[name]
    time = grid(25, seed)
    outputs = smooth(time) + 0.3 * np.random.default_rng(seed).normal(size=(25, 3))
    found = loss.evaluate(time, outputs, target)
    wanted = differences(loss, time, outputs, target)
    assert np.abs(wanted).max() > 1e-4
    np.testing.assert_allclose(total(found), wanted, atol=1e-8 * np.abs(wanted).max() + 1e-11)


@pytest.mark.parametrize("name", CASES)
def test_losses_survive_pickling(name):
    loss, target = CASES[name]
    time = grid(9, 0)
    again = pickle.loads(pickle.dumps(loss)).evaluate(time, smooth(time), target)
    found = loss.evaluate(time, smooth(time), target)
    assert again.value == found.value
    np.testing.assert_array_equal(again.derivative, found.derivative)


# windows


@given(st.integers(0, 999), st.floats(0.0, 1.9), st.floats(1e-3, 2.0))
def test_window_integrates_linear_signals_exactly(seed, start, width):
    end = min(start + width, END)
    time = grid(12, seed)
    weights = Window(((start, end),)).weights(time)
    line = np.maximum(time, time[0])
    held = max(0.0, time[0] - start) * time[0] if start < time[0] else 0.0  # the first sample holds before it
    wanted = held + 0.5 * (end**2 - max(start, time[0]) ** 2)
    assert weights.sum() == pytest.approx(end - start, rel=1e-12)
    assert weights @ line == pytest.approx(wanted, rel=1e-12)


def test_window_of_everything_is_the_trapezoidal_rule():
    time = grid(20, 0, start=0.3)
    np.testing.assert_array_equal(Window.of(None).weights(time), trapezoid_weights(time))
    np.testing.assert_allclose(Window.of((0.0, END)).weights(time), trapezoid_weights(time), rtol=1e-12)


def test_window_before_the_first_time_point_counts_the_first_sample():
    np.testing.assert_allclose(Window(((0.1, 0.2),)).weights(grid(6, 0, start=0.3)), [0.1, 0, 0, 0, 0, 0])


def test_several_intervals_add_up():
    time = grid(30, 1)
    parts = [Window((interval,)).weights(time) for interval in SEVERAL]
    np.testing.assert_allclose(Window.of(SEVERAL).weights(time), np.sum(parts, axis=0), atol=1e-15)


@pytest.mark.parametrize("points", [3, 40])
def test_tapered_window_has_its_own_integral(points):
    weights = Window(((0.3, 1.7),), taper=0.4).weights(grid(points, 2))
    assert weights.sum() == pytest.approx(1.4 - 0.4, rel=1e-9)


def test_tapered_derivative_is_smooth_and_vanishes_at_the_end():
    time = uniform(401)
    loss = WaveformMSE(window=(0.5, np.inf), taper=0.4)
    density = loss.evaluate(time, np.ones((401, 1)), [0.0]).derivative[:, 0] / trapezoid_weights(time)
    assert density[-1] < 1e-4 * density.max()
    assert np.abs(np.diff(density)).max() < 1.1 * density.max() * 0.5 * np.pi / 0.4 * 0.005
    sharp = WaveformMSE(window=(0.5, np.inf)).evaluate(time, np.ones((401, 1)), [0.0]).derivative[:, 0]
    sharp = sharp / trapezoid_weights(time)
    assert np.abs(np.diff(sharp)).max() > 0.4 * sharp.max()
    assert sharp[-1] == pytest.approx(sharp.max())


@pytest.mark.parametrize(
    ("window", "taper"),
    [
        ((0.5, 0.5), 0.0),
        ((0.7, 0.5), 0.0),
        ((-0.1, 0.5), 0.0),
        ((np.nan, 0.5), 0.0),
        ([(0.1, 0.5), (0.4, 0.6)], 0.0),
        ([(0.5, 0.6), (0.1, 0.2)], 0.0),
        ([], 0.0),
        ((0.1, 0.2, 0.3), 0.0),
        ("ab", 0.0),
        ((0.1, 0.5), 0.21),
        ((0.1, 0.5), -0.1),
    ],
)
def test_impossible_windows_are_refused_when_the_loss_is_made(window, taper):
    for make in (WaveformMSE, EnergyLoss):
        with pytest.raises(LossError, match="window"):
            make(window=window, taper=taper)


@pytest.mark.parametrize("window", [(1.0, 2.1), (3.0, 4.0), (2.5, np.inf)])
def test_windows_beyond_the_transient_are_refused(window):
    time = grid(9, 0)
    with pytest.raises(LossError, match="transient"):
        WaveformMSE(window=window).evaluate(time, smooth(time), np.zeros(3))


# squared error


@pytest.mark.parametrize(("window", "taper"), [(None, 0.0), ((0.4321, 1.2345), 0.0), ((0.3, 1.7), 0.25)])
def test_squared_error_and_its_derivative_converge_at_second_order(window, taper):
    def shape(t):
        start, end = window or (0.0, END)
        depth = min(t - start, end - t)
        return 0.0 if depth < 0 else np.sin(0.5 * np.pi * min(depth / taper, 1.0)) ** 2 if taper else 1.0

    def mean(f):
        edges = [0.3, 0.55, 1.45, 1.7] if taper else list(window or ())
        return (
            quad(lambda t: shape(t) * f(t), 0, END, points=edges or None, epsabs=1e-13)[0]
            / (quad(shape, 0, END, points=edges or None, epsabs=1e-13)[0])
        )

    value = mean(lambda t: (np.sin(3 * t) - t) ** 2)
    slope = mean(lambda t: 2 * (np.sin(3 * t) - t) * np.cos(t))
    loss = WaveformMSE([0.0, END], window, taper)
    errors = []
    for points in (51, 101, 201, 401, 801):
        time = uniform(points)
        found = loss.evaluate(time, np.sin(3 * time)[:, None], [[0.0], [END]])
        gap = abs(found.value - value), abs(found.derivative[:, 0] @ np.cos(time) - slope)
        step = time[2] - time[1]
        assert max(gap) < 3.0 * step**2
        errors.append(np.hypot(*gap))
    assert order(errors) > 1.7


def test_squared_error_is_the_weighted_mean_over_time_and_outputs():
    time, outputs = grid(9, 0), np.tile([1.0, 2.0, 5.0], (9, 1))
    assert WaveformMSE().evaluate(time, outputs, np.zeros(3)).value == pytest.approx(10.0)
    assert WaveformMSE(output_weights=(2, 4, 0)).evaluate(time, outputs, np.zeros(3)).value == pytest.approx(
        3
    )
    found = WaveformMSE().evaluate(time, outputs, outputs)
    assert found.value == 0.0
    assert not found.terminal.any()


def test_target_is_interpolated_linearly_and_held_for_one_interval():
    time = grid(50, 3)
    line = np.stack([time, -2 * time], axis=1)
    assert WaveformMSE([0.0, 0.7, 2.0]).evaluate(time, line, [[0, 0], [0.7, -1.4], [2, -4]]).value < 1e-30
    short = WaveformMSE([0.0, 0.5, 1.0, 1.5])
    assert short.evaluate(time, np.ones((50, 1)), np.ones((4, 1))).value == 0.0
    with pytest.raises(LossError, match=r"covers 0 to 1 s, the transient .* to 2 s"):
        WaveformMSE([0.0, 0.5, 1.0]).evaluate(time, np.ones((50, 1)), np.ones((3, 1)))


@pytest.mark.parametrize(
    "target", [np.zeros((4, 3)), np.zeros(2), np.zeros((9, 1)), 0.0, "a", [0, 0, np.nan]]
)
def test_targets_that_do_not_fit_are_refused(target):
    with pytest.raises(LossError, match="target waveform"):
        WaveformMSE().evaluate(grid(9, 0), np.zeros((9, 3)), target)


@pytest.mark.parametrize("options", [{"target_times": [0, 0]}, {"target_times": "ab"}])
def test_target_times_that_do_not_increase_are_refused(options):
    with pytest.raises(LossError, match="target_times"):
        WaveformMSE(**options)


@pytest.mark.parametrize("weights", [[0.0, 0.0], [-1.0, 2.0], [np.inf, 1.0], [[1.0]]])
def test_impossible_output_weights_are_refused(weights):
    with pytest.raises(LossError, match="output_weights"):
        WaveformMSE(output_weights=weights)
    with pytest.raises(LossError, match="2 output_weights for 3 outputs"):
        WaveformMSE(output_weights=[1, 2]).evaluate(grid(9, 0), np.zeros((9, 3)), np.zeros(3))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    ("time", "outputs"),
    [
        ([0.1, 0.2], np.zeros((3, 3))),
        ([0.2, 0.1], np.zeros((2, 3))),
        ([-0.1, 0.2], np.zeros((2, 3))),
        ([1], [[1]]),
    ],
)
def test_signals_that_are_no_transient_are_refused(name, time, outputs):
    with pytest.raises(LossError, match="time"):
        CASES[name][0].evaluate(np.array(time), np.array(outputs), CASES[name][1])


# classification


def test_average_cross_entropy_is_the_static_one_at_the_mean():
    time, static = grid(40, 1), CrossEntropy(4.0)
    loss = AveragedLoss(static, (0.5, 1.5))
    mean = [(np.cos(1.5) - np.cos(4.5)) / 3, 0.2, 0.1]
    outputs = np.stack([np.sin(3 * time), np.full(40, 0.2), np.full(40, 0.1)], axis=1)
    assert loss.evaluate(time, outputs, ONE_HOT).value == pytest.approx(
        float(static.value(mean, ONE_HOT)), rel=0.01
    )
    np.testing.assert_allclose(loss.averages(time, outputs), mean, atol=3e-3)


def test_classes_are_read_in_the_window_or_at_the_end():
    time = uniform(101)
    outputs = np.stack([np.where(time < 1.0, 1.0, 0.0), np.where(time < 1.0, 0.0, 0.6)], axis=1)
    early, late, final = (
        AveragedLoss(window=(0, 0.9)),
        AveragedLoss(window=(1.1, 2)),
        TerminalLoss(CrossEntropy()),
    )
    assert [int(loss.predict(time, outputs)) for loss in (early, late, final, AveragedLoss())] == [0, 1, 1, 0]
    assert early.correct(time, outputs, [1.0, 0.0])
    assert not early.correct(time, outputs, [0.0, 1.0])
    assert final.correct(time, outputs, [0.0, 1.0])
    assert int(TerminalMSE().predict(time, outputs[:, :1] - 0.1)) == 0


def test_terminal_losses_see_the_last_sample_only():
    time = grid(9, 0)
    found = TerminalMSE().evaluate(time, smooth(time), [0.0, 0.0, 0.1])
    assert not found.derivative.any()
    last = smooth(np.array([END]))[0] - [0.0, 0.0, 0.1]
    assert found.value == pytest.approx(np.mean(last**2))
    np.testing.assert_allclose(found.terminal, 2 * last / 3)


# energy


def test_a_source_charging_a_capacitor_delivers_twice_what_is_stored():
    volts, ohms, farads = 2.0, 3.0, 0.05
    errors = []
    for points in (101, 201, 401):
        time = uniform(points)
        current = -volts / ohms * np.exp(-time / (ohms * farads))  # SPICE's sign: into the positive terminal
        energy = EnergyLoss(voltages=[volts]).evaluate(time, current[:, None], None).value
        errors.append(abs(energy - farads * volts**2 * (1 - np.exp(-END / (ohms * farads)))))
    assert errors[-1] < 2e-4 * farads * volts**2
    assert order(errors) == pytest.approx(2.0, abs=0.05)


def test_energy_of_currents_out_of_the_source_has_the_other_sign():
    time, voltages = grid(9, 0), [1.5, -1.0, 0.0]
    into = EnergyLoss(voltages=voltages).evaluate(time, smooth(time), None)
    out = EnergyLoss(voltages=voltages, delivered=True).evaluate(time, smooth(time), None)
    assert out.value == -into.value != 0.0
    np.testing.assert_array_equal(out.derivative, -into.derivative)


def test_energy_refuses_voltages_that_do_not_fit():
    with pytest.raises(LossError, match="source voltages"):
        EnergyLoss(voltages=[1.0, 2.0]).evaluate(grid(9, 0), np.zeros((9, 3)), None)
    with pytest.raises(LossError, match="source voltages"):
        EnergyLoss().evaluate(grid(9, 0), np.zeros((9, 3)), None)


# sums and some outputs


def test_a_sum_gives_each_term_its_target():
    time = grid(9, 0)
    loss = WeightedSum([(2.0, WaveformMSE()), (3.0, TerminalMSE())], separate_targets=True)
    first, second = (
        WaveformMSE().evaluate(time, smooth(time), np.ones(3)),
        TerminalMSE().evaluate(time, smooth(time), ONE_HOT),
    )
    found = loss.evaluate(time, smooth(time), (np.ones(3), ONE_HOT))
    assert found.value == pytest.approx(2 * first.value + 3 * second.value)
    np.testing.assert_allclose(found.terminal, 3 * second.terminal)
    np.testing.assert_allclose(found.derivative, 2 * first.derivative)
    with pytest.raises(LossError, match="1 targets for a sum of 2"):
        loss.evaluate(time, smooth(time), [np.ones(3)])


def test_impossible_sums_and_outputs_are_refused():
    for terms in ([], [(np.nan, TerminalMSE())]):
        with pytest.raises(LossError, match="sum"):
            WeightedSum(terms)
    for outputs in ([], [0, 0], [-1]):
        with pytest.raises(LossError, match="outputs"):
            OnOutputs(TerminalMSE(), outputs)
    with pytest.raises(LossError, match="output 3 of 3"):
        OnOutputs(TerminalMSE(), [3]).evaluate(grid(9, 0), np.zeros((9, 3)), [0.0])
