import pickle
from pathlib import Path

import numpy as np
import pytest
from waveform_signals import ONE_HOT, differences, grid, smooth, total

from bridge.losses import (
    WAVEFORM_LOSSES,
    AveragedLoss,
    CrossEntropy,
    LossError,
    UserWaveformLoss,
    WaveformMSE,
    make_waveform_loss,
)

CODE = """
import numpy as np

CALLS = [0]

def weights(time):
    w = np.gradient(time)
    w[0] = 0.5 * (time[1] - time[0])
    w[-1] = 0.5 * (time[-1] - time[-2])
    return w[:, None]

def quartic(time, outputs, target):
    CALLS[0] += 1
    e = outputs - target
    return np.sum(weights(time) * e**4), 4 * weights(time) * e**3

def number(time, outputs, target):
    return quartic(time, outputs, target)[0]

def with_end(time, outputs, target):
    value, derivative = quartic(time, outputs, target)
    return value + np.sum(outputs[-1] ** 2), derivative, 2 * outputs[-1]

def absolute(time, outputs, target):
    e = outputs - target
    return np.sum(weights(time) * np.abs(e)), weights(time) * np.sign(e)

def wrong_factor(time, outputs, target):
    value, derivative = quartic(time, outputs, target)
    return value, 1.001 * derivative

def wrong_middle(time, outputs, target):
    value, derivative = quartic(time, outputs, target)
    derivative[len(time) // 2, 0] += 0.01
    return value, derivative

def wrong_end(time, outputs, target):
    value, derivative, terminal = with_end(time, outputs, target)
    return value, derivative, 0.5 * terminal

def late(time, outputs, target):
    value, derivative = quartic(time, outputs, target)
    return value, derivative if np.max(outputs) < 5.0 else 2 * derivative

def fails(time, outputs, target):
    raise KeyError("no such thing")

def shape(time, outputs, target):
    return 1.0, outputs[0]

def four(time, outputs, target):
    return 1.0, outputs, outputs[0], None

def nan(time, outputs, target):
    return float("nan")

def told(time, outputs, target, target_times):
    if target_times is None:
        return 0.0, 0.0 * outputs
    rows = np.stack([np.interp(time, target_times, c) for c in target.T], axis=1)
    return quartic(time, outputs, rows)

def root(time, outputs, target):
    return np.sum(weights(time) * outputs**1.5), 1.5 * weights(time) * outputs**0.5

def text(time, outputs, target):
    return "a"
"""


@pytest.fixture
def own(tmp_path: Path):
    (tmp_path / "own.py").write_text(CODE, encoding="utf-8")
    return lambda name, **options: UserWaveformLoss(f"own.py:{name}", tmp_path, **options)


def test_a_function_that_asks_for_them_gets_the_times_of_the_targets(own):
    time, rows = grid(40, 0), np.array([0.0, 0.3, 0.35, 1.0]) * grid(40, 0)[-1]
    target = np.array([[0.0, 1.0, 2.0], [0.5, 0.0, 1.0], [0.2, 0.1, 0.0], [1.0, 1.0, 1.0]])
    wanted = np.stack([np.interp(time, rows, column) for column in target.T], axis=1)
    expected = own("quartic").evaluate(time, smooth(time), wanted)
    loss = own("told", target_times=rows)
    for one in (loss, pickle.loads(pickle.dumps(loss))):  # as in a worker
        found = one.evaluate(time, smooth(time), target)
        assert found.value == expected.value
        np.testing.assert_array_equal(found.derivative, expected.derivative)
    assert own("told").evaluate(time, smooth(time), ONE_HOT).value == 0.0  # no waveforms, no times
    assert own("quartic", target_times=rows).evaluate(time, smooth(time), wanted).value == expected.value


@pytest.mark.parametrize("name", ["wrong_factor", "wrong_end", "fails", "shape", "four", "nan", "text"])
def test_a_wrong_function_is_refused_before_anything_is_simulated(own, name):
    with pytest.raises(LossError, match=name):
        own(name).check(grid(50, 0), 3, ONE_HOT)


def test_a_right_function_is_accepted_before_anything_is_simulated(own):
    for name in ("quartic", "with_end", "number", "absolute", "root"):
        own(name).check(grid(50, 0), 3, ONE_HOT)
    with pytest.raises(LossError, match=r"6000 calls"):
        own("number").check(grid(1000, 0), 3, ONE_HOT)


@pytest.mark.parametrize("name", ["quartic", "with_end", "number"])
def test_a_users_derivative_is_passed_on(own, name):
    time = grid(20, 0)
    found = own(name).evaluate(time, smooth(time), ONE_HOT)
    wanted = differences(own("with_end" if name == "with_end" else "number"), time, smooth(time), ONE_HOT)
    np.testing.assert_allclose(total(found), wanted, atol=1e-9)
    assert found.terminal.any() == (name == "with_end")


@pytest.mark.parametrize(("name", "where"), [("wrong_factor", "time point"), ("wrong_end", "time point 299")])
def test_a_users_wrong_derivative_is_refused_with_numbers(own, name, where):
    time = grid(300, 0)
    with pytest.raises(LossError, match=rf"own\.py:{name}.* is -?\d.*differences .* give -?\d"):
        own(name).evaluate(time, smooth(time), ONE_HOT)


def test_a_derivative_that_is_wrong_in_one_of_many_samples_is_found(own):
    time = grid(3000, 0)
    with pytest.raises(LossError, match=r"random direction is .* give"):
        own("wrong_middle").evaluate(time, smooth(time), ONE_HOT)


def test_a_users_derivative_is_checked_again_and_seldom(own):
    loss, time = own("late"), grid(30, 0)
    loss.evaluate(time, smooth(time), ONE_HOT)
    with pytest.raises(LossError, match="differences"):
        loss.evaluate(time, smooth(time) + 6.0, ONE_HOT)
    loss = own("quartic")
    calls = loss._function.__globals__["CALLS"]
    for _ in range(100):
        loss.evaluate(time, smooth(time), ONE_HOT)
    assert 100 < calls[0] < 100 + 7 * 2 * 20 + 1


def test_a_kink_is_no_mistake(own):
    time = grid(300, 0)
    outputs = smooth(time)
    outputs[::2] = ONE_HOT
    found = own("absolute").evaluate(time, outputs, ONE_HOT)
    assert not found.derivative[::2].any()


def test_too_many_samples_without_a_derivative_are_refused(own):
    time = grid(1000, 0)
    with pytest.raises(LossError, match=r"6000 calls .*2000 samples.*return \(loss, derivative\)"):
        own("number").evaluate(time, smooth(time), ONE_HOT)
    assert own("number", limit=3000).evaluate(time, smooth(time), ONE_HOT).derivative.any()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fails", "KeyError"),
        ("shape", r"derivative of shape \(3,\).*\(9, 3\)"),
        ("four", "4 things"),
        ("nan", "not finite"),
        ("text", "no number"),
    ],
)
def test_a_users_bad_answer_is_refused(own, name, message):
    with pytest.raises(LossError, match=message):
        own(name).evaluate(grid(9, 0), np.ones((9, 3)), ONE_HOT)


def test_a_users_loss_survives_pickling(own):
    time, loss = grid(9, 0), own("quartic")
    again = pickle.loads(pickle.dumps(loss))
    assert (again.path, again.folder, again.limit) == (loss.path, loss.folder, loss.limit)
    assert (
        again.evaluate(time, smooth(time), ONE_HOT).value == loss.evaluate(time, smooth(time), ONE_HOT).value
    )


# by name


def test_every_kind_is_made_by_its_name(tmp_path):
    (tmp_path / "own.py").write_text(CODE, encoding="utf-8")
    options = {
        "mse": {"window": [[0.1, 0.5], [0.7, 0.9]], "taper": 0.05, "output_weights": [1, 2, 3]},
        "average_mse": {"window": [0.1, 0.5]},
        "average_cross_entropy": {"scale": 5.0, "taper": 0.1},
        "terminal_mse": {},
        "terminal_cross_entropy": {"scale": 2.0},
        "energy": {"voltages": [1.0, 2.0, 3.0], "delivered": True},
        "spikes": {"tau": 0.1, "threshold": 0.0, "width": 0.1},
        "spike_times": {"tau": 0.1, "threshold": 0.0},
        "user": {"path": "own.py:quartic", "folder": tmp_path},
        "sum": {"terms": [{"kind": "mse", "weight": 2}, {"kind": "terminal_mse"}]},
    }
    assert set(options) == set(WAVEFORM_LOSSES)
    time = grid(30, 0)
    for kind, own in options.items():
        loss = make_waveform_loss(kind, **own)
        found = loss.evaluate(time, smooth(time), [[0.1], [], []] if "spike" in kind else ONE_HOT)
        assert np.isfinite(found.value)
        assert found.derivative.shape == (30, 3)
        assert pickle.loads(pickle.dumps(loss)).evaluate is not None


def test_options_reach_the_loss():
    time = grid(30, 0)
    outputs = smooth(time)
    made = make_waveform_loss("average_cross_entropy", scale=5.0, window=[0.5, 1.0], outputs=[2, 0])
    wanted = AveragedLoss(CrossEntropy(5.0), (0.5, 1.0)).evaluate(time, outputs[:, [2, 0]], [0.0, 1.0])
    assert made.evaluate(time, outputs, [0.0, 1.0]).value == wanted.value
    terms = [{"kind": "mse", "weight": 2, "outputs": [1]}, {"kind": "terminal_mse", "outputs": [0]}]
    found = make_waveform_loss("sum", terms=terms).evaluate(time, outputs, [0.5])
    value = 2 * WaveformMSE().evaluate(time, outputs[:, 1:2], [0.5]).value + (outputs[-1, 0] - 0.5) ** 2
    assert found.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("mean", {}, "unknown loss 'mean'.*terminal_mse"),
        ("mse", {"windows": (0, 1)}, "windows"),
        ("mse", {"taper": "wide"}, "wide"),
        ("spikes", {"tau": 1.0}, "threshold"),
        ("average_cross_entropy", {"scale": -1}, "scale"),
        ("sum", {"terms": [{"weight": 1}]}, "no kind"),
        ("sum", {"terms": [{"kind": "mean"}]}, "unknown loss 'mean'"),
        ("user", {"path": "nothing"}, "path"),
    ],
)
def test_unknown_kinds_and_options_are_refused(kind, options, message):
    with pytest.raises(LossError, match=message):
        make_waveform_loss(kind, **options)
