"""What the external sources play, through ngspice: interpolation, constants, names, refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.ngspice import callbacks as cb
from bridge.ngspice.drives import Signals, SourceTable, constant, sampled
from bridge.ngspice.session import Circuit, Session
from circuits.deck import Deck

DURATION = 1e-6


def sources(session: Session, *names: str) -> Circuit:
    """A circuit in which each external voltage source feeds a resistor of its own; all are saved."""
    lines = [line for k, n in enumerate(names) for line in (f"{n} n{k} 0 external", f"r{k} n{k} 0 1k")]
    saves = tuple(f"v(n{k})" for k in range(len(names)))
    return session.load(Deck("sources", tuple(lines), tuple(n.lower() for n in names), saves))


def wave(t: np.ndarray) -> np.ndarray:
    """A smooth signal with two frequencies and no symmetry."""
    return np.sin(2e6 * np.pi * t) + 0.3 * np.cos(5e6 * np.pi * t + 1.0)


def worst_error(circuit: Circuit, points: int, order: int) -> float:
    times = np.linspace(0.0, DURATION, points)
    times[1:-1] += 0.2 * DURATION / points * np.sin(np.arange(1, points - 1))  # uneven samples
    played = circuit.transient([sampled(times, wave(times)[:, None], order=order)], DURATION, DURATION / 500)
    return float(np.abs(played.values[:, 0] - wave(played.time)).max())


@pytest.mark.parametrize(("order", "expected"), [(1, 2.0), (3, 4.0)])
def test_interpolation_converges_at_its_order(session: Session, order: int, expected: float) -> None:
    circuit = sources(session, "vin")
    points = np.array([21, 41, 81, 161])
    errors = [worst_error(circuit, n, order) for n in points]
    slopes = -np.diff(np.log(errors)) / np.diff(np.log(points - 1))
    assert slopes[-1] == pytest.approx(expected, abs=0.35)
    assert slopes.mean() == pytest.approx(expected, abs=0.35)


def test_cubic_is_exact_for_a_cubic_and_linear_is_not(session: Session) -> None:
    circuit = sources(session, "vin")

    def cubic(t: np.ndarray) -> np.ndarray:
        x = t / DURATION
        return 1.0 - 2.0 * x + 3.0 * x**2 - 4.0 * x**3

    times = DURATION * np.array([0.0, 0.1, 0.35, 0.5, 0.8, 1.0])
    errors = []
    for order in (3, 1):
        w = circuit.transient([sampled(times, cubic(times)[:, None], order=order)], DURATION, 1e-8)
        errors.append(np.abs(w.values[:, 0] - cubic(w.time)).max())
    assert errors[0] < 1e-12
    assert errors[1] > 1e-2


def test_values_hold_before_the_first_and_after_the_last_sample(session: Session) -> None:
    circuit = sources(session, "vin")
    times = DURATION * np.array([0.4, 0.5, 0.6])
    w = circuit.transient([sampled(times, np.array([[1.0], [5.0], [2.0]]))], DURATION, 1e-8)
    assert (w.values[w.time < times[0], 0] == 1.0).all()
    assert (w.values[w.time > times[-1], 0] == 2.0).all()
    assert w.values.max() > 4.5


@st.composite
def searches(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    gaps = draw(st.lists(st.integers(1, 30), min_size=1, max_size=60))
    times = 1e-9 * np.concatenate([[0.0], np.cumsum(gaps)])
    shares = draw(st.lists(st.floats(-0.1, 1.1), min_size=1, max_size=40))
    wanted = np.array([*(times[-1] * s for s in shares), *times])
    order = draw(st.permutations(range(len(wanted))))
    return times, wanted[list(order)]


@settings(max_examples=200, deadline=None)
@given(searches(), st.integers(-5, 80))
def test_the_search_finds_every_interval_in_any_order_of_requests(
    search: tuple[np.ndarray, np.ndarray], start: int
) -> None:
    times, wanted = search
    values = np.sin(1e9 * times)
    state = np.zeros(cb.GROUP_STATE)
    state[cb.S_FIRST] = start
    for time in wanted:
        cb.interpolation_weights(time, times, 1, state)
        first, count = int(state[cb.S_FIRST]), int(state[cb.S_COUNT])
        found = state[cb.S_WEIGHTS : cb.S_WEIGHTS + count] @ values[first : first + count]
        assert found == pytest.approx(np.interp(time, times, values), abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(searches())
def test_cubic_weights_are_those_of_the_four_samples_around(search: tuple[np.ndarray, np.ndarray]) -> None:
    times, wanted = search
    state = np.zeros(cb.GROUP_STATE)
    for time in wanted:
        cb.interpolation_weights(time, times, 3, state)
        first, count = int(state[cb.S_FIRST]), int(state[cb.S_COUNT])
        weights = state[cb.S_WEIGHTS : cb.S_WEIGHTS + count]
        inside = times[0] < time < times[-1]
        assert count == ((4 if len(times) >= 4 else 2) if inside else 1)
        clipped = np.clip(time, times[0], times[-1])
        x = (times[first : first + count] - clipped) * 1e9
        for power in range(count):  # exact for every power up to the order, about the time asked for
            scale = (np.abs(weights) * np.abs(x) ** power).sum() + 1.0
            assert weights @ x**power == pytest.approx(float(power == 0), abs=1e-10 * scale)
        if count == 4:
            k = int(np.searchsorted(times, time, side="right")) - 1
            assert first <= k < first + 3
            assert first == min(max(k - 1, 0), len(times) - 4)


def test_sources_play_their_own_column_also_from_several_groups(session: Session) -> None:
    circuit = sources(session, "va", "vb", "vc", "vd")
    times = np.array([0.0, DURATION])
    ramps = Signals((3, 0), np.array([[0.0, 1.0], [2.0, -1.0]]), times)
    w = circuit.transient([ramps, constant([0.7], first=2)], DURATION, 1e-8)
    x = w.time / DURATION
    expected = np.stack([1 - 2 * x, 0 * x, 0 * x + 0.7, 2 * x], axis=1)
    np.testing.assert_allclose(w.values, expected, atol=1e-12)


def test_arrays_with_gaps_and_of_integers_play_what_they_hold(session: Session) -> None:
    circuit = sources(session, "va", "vb")
    times = np.linspace(0.0, DURATION, 7)
    values = np.arange(28).reshape(7, 4)
    packed = circuit.transient([sampled(times[::2], values[::2, ::2])], DURATION, 1e-8)
    loose = circuit.transient([Signals((0, 1), values[::2, ::2], times[::2])], DURATION, 1e-8)  # type: ignore[arg-type]
    assert np.array_equal(packed.values, loose.values)
    np.testing.assert_allclose(loose.values[:, 1], 2.0 + 24.0 * loose.time / DURATION, rtol=1e-12)


def test_sources_left_out_are_zero_also_after_they_played_something(session: Session) -> None:
    circuit = sources(session, "va", "vb")
    np.testing.assert_array_equal(circuit.operating_point([constant([3.0, 4.0])]), [3.0, 4.0])
    np.testing.assert_array_equal(circuit.operating_point([constant([5.0], first=1)]), [0.0, 5.0])
    np.testing.assert_array_equal(circuit.operating_point(), [0.0, 0.0])


def test_an_operating_point_takes_a_signals_value_at_time_zero(session: Session) -> None:
    circuit = sources(session, "va")
    signal = sampled([-1.0, 1.0], [[2.0], [6.0]])
    np.testing.assert_allclose(circuit.operating_point([signal]), [4.0])


def test_names_that_share_a_place_in_the_table_keep_their_own_values(session: Session) -> None:
    names = [n for n in (f"v{k}" for k in range(200)) if cb.name_hash(n) % 16 == 5][:4]
    assert len(names) == 4  # a table of 16 places: all four want the same one
    assert len(SourceTable(names)._slots) == 16
    circuit = sources(session, *names)
    np.testing.assert_array_equal(circuit.operating_point([constant([1.0, 2.0, 3.0, 4.0])]), [1, 2, 3, 4])


def test_a_thousand_sources_are_told_apart(session: Session) -> None:
    names = [f"vsource_{k}_{k * k % 97}" for k in range(1000)]
    values = np.random.default_rng(0).normal(size=1000)
    np.testing.assert_array_equal(sources(session, *names).operating_point([constant(values)]), values)


@pytest.mark.parametrize("names", [("vin", "vin"), ("vin", "VIN")])
def test_a_name_used_twice_is_refused(names: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="used twice"):
        SourceTable(names)


def test_the_hash_is_the_published_one() -> None:
    assert cb.name_hash("") == 0xCBF29CE484222325  # test vectors of Fowler, Noll and Vo
    assert cb.name_hash("a") == 0xAF63DC4C8601EC8C
    assert cb.name_hash("foobar") == 0x85944171F73967E8


REFUSED: list[tuple[Callable[[], Signals], str]] = [
    (lambda: constant([1.0, np.nan]), "not finite"),
    (lambda: constant([np.inf]), "not finite"),
    (lambda: sampled([0.0, 1.0], [[0.0], [np.nan]]), "not finite"),
    (lambda: sampled([0.0, 1.0, 1.0], np.zeros((3, 1))), "strictly increasing"),
    (lambda: sampled([0.0, np.nan], np.zeros((2, 1))), "strictly increasing"),
    (lambda: sampled([0.0, 1.0], np.zeros((3, 1))), "one a row"),
    (lambda: sampled([0.0, 1.0], np.zeros((2, 1)), order=2), "interpolation order 2"),
    (lambda: Signals((0, 1), np.zeros((1, 3))), r"\(1, 3\) for 2 sources"),
    (lambda: Signals((0,), np.zeros((2, 1))), "one a row"),
    (lambda: Signals((0,), np.zeros((0, 1))), r"\(0, 1\) for 1 sources"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[str(k) for k in range(len(REFUSED))])
def test_signals_that_cannot_be_played_are_refused(make: Callable[[], Signals], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_signals_for_sources_that_the_circuit_lacks_are_refused(session: Session) -> None:
    circuit = sources(session, "va", "vb")
    with pytest.raises(ValueError, match="source 2, the circuit has 2"):
        circuit.operating_point([constant([1.0, 2.0, 3.0])])
    with pytest.raises(ValueError, match="source -1, the circuit has 2"):
        circuit.operating_point([constant([1.0], first=-1)])
    np.testing.assert_array_equal(circuit.operating_point([constant([1.0, 2.0])]), [1.0, 2.0])
