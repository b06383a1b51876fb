import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.updates.schedules import ScheduleError, make_schedule

OPTIONS = {
    "constant": {},
    "exponential": {"decay": 0.9},
    "step": {"every": 5, "decay": 0.5},
    "cosine": {"epochs": 30, "final": 0.1},
}


@pytest.mark.parametrize("kind", OPTIONS)
@given(st.floats(0, 100), st.floats(0, 10))
def test_rates_stay_between_zero_and_the_given_rate(kind, epoch, warmup):
    schedule = make_schedule(kind, rate=0.3, warmup=warmup, **OPTIONS[kind])
    assert 0.0 < schedule(epoch) <= 0.3


@pytest.mark.parametrize("kind", OPTIONS)
def test_rates_never_rise_without_warm_up(kind):
    schedule = make_schedule(kind, rate=0.3, **OPTIONS[kind])
    rates = [schedule(0.1 * step) for step in range(400)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 0.3


@pytest.mark.parametrize("kind", OPTIONS)
def test_schedules_are_pure_and_can_be_pickled(kind):
    schedule = make_schedule(kind, rate=0.3, warmup=2, **OPTIONS[kind])
    copy = pickle.loads(pickle.dumps(schedule))
    assert [copy(epoch) for epoch in (7, 3, 3.5)] == [schedule(epoch) for epoch in (7, 3, 3.5)]
    assert schedule(7) == schedule(7)


def test_exponential():
    schedule = make_schedule("exponential", rate=2.0, decay=0.5)
    assert [schedule(epoch) for epoch in (0, 1, 3)] == [2.0, 1.0, 0.25]
    assert schedule(0.5) == pytest.approx(math.sqrt(2.0))


def test_step():
    schedule = make_schedule("step", rate=1.0, every=10, decay=0.5)
    assert [schedule(epoch) for epoch in (0, 9.99, 10, 19, 20)] == [1.0, 1.0, 0.5, 0.5, 0.25]


def test_cosine():
    schedule = make_schedule("cosine", rate=1.0, epochs=14, warmup=4, final=0.2)
    assert schedule(4) == 1.0
    assert schedule(9) == pytest.approx(0.6)
    assert schedule(6.5) == pytest.approx(0.6 + 0.4 * math.sqrt(0.5))
    assert schedule(14) == schedule(1000) == pytest.approx(0.2)


@pytest.mark.parametrize("kind", OPTIONS)
def test_warm_up_rises_from_above_zero_and_then_leaves_no_trace(kind):
    plain = make_schedule(kind, rate=1.0, **OPTIONS[kind])
    warm = make_schedule(kind, rate=1.0, warmup=3, **OPTIONS[kind])
    assert warm(0) == pytest.approx(0.25)
    assert warm(2.9999) == pytest.approx(warm(3), rel=1e-3)
    if kind != "cosine":
        assert [warm(epoch) for epoch in (3, 4, 17)] == [plain(epoch) for epoch in (3, 4, 17)]


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("linear", {"rate": 1.0}, "constant, exponential, step, cosine"),
        ("constant", {}, "rate"),
        ("constant", {"rate": 1.0, "decay": 0.5}, "decay"),
        ("constant", {"rate": -1.0}, "rate is -1.0; it must be finite and at least 0"),
        ("constant", {"rate": math.nan}, "rate is nan"),
        ("constant", {"rate": 1.0, "warmup": -1}, "warmup"),
        ("exponential", {"rate": 1.0, "decay": 1.5}, "decay is 1.5.*above 0 and at most 1"),
        ("step", {"rate": 1.0, "every": 0}, "every"),
        ("cosine", {"rate": 1.0, "epochs": 5, "warmup": 5}, "epochs is 5.*above 5"),
        ("cosine", {"rate": 1.0, "epochs": 5, "final": 1.1}, "final"),
    ],
)
def test_wrong_options_are_refused(kind, options, said):
    with pytest.raises(ScheduleError, match=said):
        make_schedule(kind, **options)


def test_a_negative_epoch_is_refused():
    with pytest.raises(ScheduleError, match="epoch"):
        make_schedule("constant", rate=1.0)(-1)
