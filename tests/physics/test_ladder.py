"""The ladder of retries: what fails on the first rung succeeds on a later one, with the same physics."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.errors import ConvergenceError, TimestepError
from bridge.ngspice import ladder
from bridge.ngspice.drives import Signals, sampled
from bridge.ngspice.session import Session
from circuits.deck import Deck, SolverOptions

NO_STEPPING = (("gminsteps", 0.0), ("srcsteps", 0.0))


def slow_newton(
    current: float, scale: float = 0.1, extra: tuple[tuple[str, float], ...] = NO_STEPPING
) -> Deck:
    """An exponential far from its solution: Newton's method comes down by `scale` volts an iteration."""
    lines = (f"i1 0 a dc {current:g}", f"b1 a 0 i=1m*(exp(v(a)/{scale:g})-1)", "r1 a 0 1e12")
    return Deck("slow", lines, (), ("v(a)",), SolverOptions(extra=extra))


def test_an_operating_point_that_needs_more_iterations_gets_them_and_says_so(session: Session) -> None:
    easy, hard = session.load(slow_newton(0.3)), session.load(slow_newton(0.6))
    assert easy.operating_point()[0] == pytest.approx(0.1 * np.log(301.0), rel=1e-8)
    assert (easy.rung, session.counts.retries, session.counts.failures) == ("as given", 0, 0)
    assert hard.operating_point()[0] == pytest.approx(0.1 * np.log(601.0), rel=1e-8)
    assert hard.rung == "more iterations"
    assert (session.counts.retries, session.counts.failures) == (1, 1)
    assert session.counts.rungs == {"more iterations": 1}
    assert session.counts.operating_points == 2


def test_altered_values_reach_the_circuit_of_a_later_rung(session: Session) -> None:
    circuit = session.load(slow_newton(0.6))
    for current in (0.65, 0.55, 0.01, 0.62):  # before the rung's circuit is loaded, and after
        circuit.alter(["@i1[dc]"], [current])
        value = circuit.operating_point()[0]
        assert value == pytest.approx(0.1 * np.log(1.0 + current / 1e-3), rel=1e-8)
        fresh = session.load(slow_newton(current))
        assert value == fresh.operating_point()[0]
        assert circuit.rung == fresh.rung
    assert session.counts.rungs["more iterations"] >= 4


def test_a_rung_keeps_the_decks_own_options() -> None:
    deck = slow_newton(0.1, extra=(("gminsteps", 0.0), ("temp", 50.0)))
    deck = deck.with_options(reltol=1e-5)
    for rung in (*ladder.OPERATING_POINT, *ladder.TRANSIENT):
        options = rung.deck(deck).options
        assert dict(options.extra)["temp"] == 50.0
        assert options.reltol == 1e-5
    raised = ladder.OPERATING_POINT[1].deck(deck).options
    assert dict(raised.extra)["gminsteps"] > 0
    assert raised.line().count("gminsteps") == 1


def test_an_unsolvable_circuit_climbs_to_the_top_and_fails(session: Session) -> None:
    circuit = session.load(Deck("contradiction", ("b1 b 0 v=v(b)>0.5?0:1", "r8 b 0 1k"), (), ("v(b)",)))
    with pytest.raises(ConvergenceError):
        circuit.operating_point()
    assert session.counts.failures == len(ladder.OPERATING_POINT)
    with pytest.raises(TimestepError):
        circuit.transient([], 1e-6, 1e-8, first_rung=2)
    assert session.counts.failures == len(ladder.OPERATING_POINT) + 2
    assert (session.counts.operating_points, session.counts.transients, session.counts.retries) == (0, 0, 0)


DURATION, JUMP = 1e-8, 5e-9
DAMPED = ("vin a 0 external", "c1 a b 1n", "l1 b 0 1n", "r1 b 0 1")


def jump(width: float) -> list[Signals]:
    """A step from 0 to 1 V that takes `width` seconds."""
    return [sampled([0.0, JUMP, JUMP + width, 1.0], [[0.0], [0.0], [1.0], [1.0]])]


def response(time: np.ndarray) -> np.ndarray:
    """A step through 1 nF into 1 nH parallel to 1 ohm: v'' + v'/(R C) + v/(L C) = 0, v(0) = 1."""
    alpha, w0 = 0.5e9, 1e9
    w = np.sqrt(w0**2 - alpha**2)
    t = np.maximum(time - JUMP, 0.0)
    ringing = np.exp(-alpha * t) * (np.cos(w * t) - alpha / w * np.sin(w * t))
    return np.where(time > JUMP, ringing, 0.0)


def test_a_jump_too_steep_for_the_first_step_succeeds_on_a_later_rung(session: Session) -> None:
    circuit = session.load(Deck("jump", DAMPED, ("vin",), ("v(b)",)))
    gentle = circuit.transient(jump(1e-16), DURATION, 1e-9)
    assert circuit.rung == gentle.attrs["rung"] == "as given"
    steep = circuit.transient(jump(1e-19), DURATION, 1e-9)
    assert circuit.rung != "as given"
    assert steep.attrs["rung"] == circuit.rung
    assert session.counts.rungs == {circuit.rung: 1}
    assert session.counts.retries == 1
    assert session.counts.failures >= 1
    assert steep.attrs["step"] < 1e-9
    for w in (gentle, steep):
        settled = (w.time < JUMP) | (w.time > JUMP * (1 + 1e-7))
        np.testing.assert_allclose(w.values[settled, 0], response(w.time)[settled], atol=2e-4)


@pytest.mark.parametrize("place", range(len(ladder.TRANSIENT)))
def test_the_first_rung_is_honoured_and_its_circuit_has_the_altered_values(
    session: Session, place: int
) -> None:
    lines = ("vin a 0 external", "r1 a b 1k", "c1 b 0 1n")
    signals = [sampled([0.0, 1.0], [[1.0], [1.0]])]
    circuit = session.load(Deck("rc", lines, ("vin",), ("v(b)",)))
    circuit.transient(signals, 1e-6, 1e-8)
    circuit.alter(["r1", "c1"], [2e3, 3e-10])
    w = circuit.transient(signals, 1e-6, 1e-8, first_rung=place)
    rung = ladder.TRANSIENT[place]
    assert circuit.rung == w.attrs["rung"] == rung.name
    assert w.attrs["step"] == pytest.approx(1e-8 * rung.step_factor)
    assert np.diff(w.time).max() <= 1e-8 * rung.step_factor * (1 + 1e-9)
    np.testing.assert_allclose(w.values[:, 0], 1.0 - np.exp(-w.time / 6e-7), atol=1e-4)
    fresh = session.load(Deck("rc", ("vin a 0 external", "r1 a b 2k", "c1 b 0 0.3n"), ("vin",), ("v(b)",)))
    again = fresh.transient(signals, 1e-6, 1e-8, first_rung=place)
    assert np.array_equal(w.values, again.values)


def test_gear_differs_from_the_trapezoidal_rule(session: Session) -> None:
    circuit = session.load(Deck("rc", ("vin a 0 external", "r1 a b 1k", "c1 b 0 1n"), ("vin",), ("v(b)",)))
    signals = [sampled([0.0, 1.0], [[1.0], [1.0]])]
    worst = [
        np.abs(w.values[:, 0] - 1.0 + np.exp(-w.time / 1e-6)).max()
        for w in (circuit.transient(signals, 1e-6, 1e-8, first_rung=k) for k in (1, 2))
    ]
    assert worst[1] > 1.5 * worst[0]
