"""A result is returned only if this run produced it: every failure is a typed error with its evidence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bridge.errors import (
    ConvergenceError,
    IncompleteError,
    LoadError,
    NotFiniteError,
    SimulationError,
    TimestepError,
)
from bridge.ngspice.drives import constant
from bridge.ngspice.session import Circuit, Session
from circuits.deck import Deck

Script = Callable[[str], list[str]]

DIVIDER = ("v1 in 0 dc 1", "r1 in a 1k", "r2 a 0 1k")


def deck(*extra: str, saves: tuple[str, ...] = ("v(a)",), sources: tuple[str, ...] = ()) -> Deck:
    return Deck("failures", (*DIVIDER, *extra), sources, saves)


@pytest.fixture
def good(session: Session) -> Circuit:
    """A circuit that works and must go on working: 0.25 V, unlike every circuit that fails here."""
    circuit = session.load(deck())
    circuit.alter(["r1"], [3e3])
    return circuit


def assert_still_good(good: Circuit) -> None:
    np.testing.assert_allclose(good.operating_point(), [0.25], rtol=1e-12)
    np.testing.assert_allclose(good.transient([], 1e-6, 1e-7).final, [0.25], rtol=1e-12)


REFUSED: dict[str, tuple[str, ...]] = {  # the bad line first
    "a resistor with one node": ("r3 a",),
    "a value that is no number": ("r3 a 0 xyz",),
    "a line that means nothing": ("hello world this is",),
    "an element without a letter": ("123 a 0 1k",),
    "a subcircuit that is not there": ("x1 a 0 nosuch",),
    "a model that is not there": ("d1 a 0 nomodel",),
    "a model of another kind": ("d1 a 0 other", ".model other NMOS(level=1)"),
    "a parameter that the model lacks": (".model dx D(is=1e-8 foo=3)", "d1 a 0 dx"),
    "a parameter that the instance lacks": ("r3 a 0 1k foo=3",),
    "a command that is not there": (".foo bar",),
    "an instance twice": ("r2 a 0 1k",),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_line_is_refused_with_the_line_and_the_netlist(
    session: Session, good: Circuit, case: str
) -> None:
    line, *more = REFUSED[case]
    with pytest.raises(LoadError) as caught:
        session.load(deck(line, *more))
    evidence = caught.value.evidence
    assert evidence.messages
    assert evidence.netlist is not None
    assert line in evidence.netlist.read_text().splitlines()
    assert evidence.line in (line, *more, None)
    assert str(evidence.netlist) in str(caught.value)
    assert_still_good(good)
    session.load(deck("r9 a 0 1k"))
    assert_still_good(good)


def test_the_line_that_ngspice_complains_about_is_quoted(session: Session) -> None:
    with pytest.raises(LoadError) as caught:
        session.load(deck("r3 a 0 1k", "d1 a 0 nomodel", "r4 a 0 1k"))
    assert caught.value.evidence.line == "d1 a 0 nomodel"
    assert "d1 a 0 nomodel" in str(caught.value)


def test_the_old_circuit_answers_after_any_sequence_of_failed_loads(session: Session, good: Circuit) -> None:
    other = session.load(deck("r5 a 0 1k"))
    for lines in [*REFUSED.values(), *reversed(REFUSED.values())]:
        with pytest.raises(LoadError):
            session.load(deck(*lines, "r7 a 0 10"))
        np.testing.assert_allclose(good.operating_point(), [0.25], rtol=1e-12)
        np.testing.assert_allclose(other.operating_point(), [1.0 / 3.0], rtol=1e-12)


UNSOLVABLE = {
    "a loop of voltage sources that contradict": ("v2 in 0 dc 2",),
    "a loop of voltage sources that agree": ("v2 in 0 dc 1",),
    "a node that only capacitors reach": ("c1 b 0 1n", "r5 b c 1k", "c2 c 0 1n"),
    "a current into a node without a way out": ("i1 0 b dc 1m", "c2 b 0 1n"),
    "a comparator that contradicts itself": ("b1 b 0 v=v(b)>0.5?0:1", "r8 b 0 1k"),
    "a root of a negative number": ("b1 b 0 v=sqrt(v(a)-1)", "r8 b 0 1k"),
    "a logarithm of a negative number": ("b1 b 0 v=ln(v(a)-1)", "r8 b 0 1k"),
}


@pytest.mark.parametrize("case", UNSOLVABLE)
def test_no_operating_point_is_an_error_and_never_a_number(
    session: Session, good: Circuit, case: str
) -> None:
    circuit = session.load(deck(*UNSOLVABLE[case]))
    before = session.counts.failures
    with pytest.raises(ConvergenceError) as caught:
        circuit.operating_point()
    assert caught.value.evidence.messages
    assert caught.value.evidence.netlist is not None
    assert session.counts.failures - before == 2  # each rung of the ladder was tried
    assert_still_good(good)


def test_a_floating_node_is_named(session: Session) -> None:
    circuit = session.load(deck("c1 lonely 0 1n", "i1 0 lonely dc 1u"))
    with pytest.raises(ConvergenceError, match="no unique solution at lonely"):
        circuit.operating_point()


@pytest.mark.parametrize(
    "lines",
    [
        ("i1 0 b dc 1e305", "r8 b 0 1e6"),
        ("e1 c 0 a 0 1e308", "e2 b 0 c 0 1e10", "r8 b 0 1k"),
    ],
)
def test_a_result_that_is_not_finite_is_an_error(
    session: Session, good: Circuit, lines: tuple[str, ...]
) -> None:
    circuit = session.load(deck(*lines, saves=("v(a)", "v(b)")))
    with pytest.raises(NotFiniteError) as caught:
        circuit.operating_point()
    assert caught.value.evidence.netlist is not None
    with pytest.raises(NotFiniteError):
        circuit.transient([], 1e-6, 1e-8)
    assert_still_good(good)


TRUNCATED = {
    "an oscillation without an end": ("b1 b 0 v=v(c)>0.5?0:1", "r8 b c 1k", "c8 c 0 1e-24"),
    "a contradiction": ("b1 b 0 v=v(b)>0.5?0:1", "r8 b 0 1k"),
    "a voltage that reaches infinity in finite time": ("b1 0 c i=v(c)*v(c)*1m", "c8 c 0 1n ic=1"),
    "a root that turns negative on the way": ("b1 b 0 v=sqrt(0.5u-time)", "r8 b 0 1k"),
}


@pytest.mark.parametrize("case", TRUNCATED)
def test_a_transient_that_ends_early_is_an_error_and_nothing_of_it_is_returned(
    session: Session, good: Circuit, case: str
) -> None:
    circuit = session.load(deck(*TRUNCATED[case]))
    before = session.counts.failures
    with pytest.raises(TimestepError) as caught:
        circuit.transient([], 2e-6, 1e-8)
    assert caught.value.evidence.messages
    assert session.counts.failures - before == 4
    assert session.counts.transients == 0
    assert_still_good(good)


def test_an_external_source_that_the_deck_does_not_list_is_an_error(session: Session, good: Circuit) -> None:
    circuit = session.load(deck("v2 b 0 external", "r7 b 0 1k", "v3 c 0 external", sources=("v3",)))
    with pytest.raises(IncompleteError, match="is not one of the deck's sources"):
        circuit.operating_point([constant([1.0])])
    with pytest.raises(IncompleteError, match="is not one of the deck's sources"):
        circuit.transient([constant([1.0])], 1e-6, 1e-8)
    assert_still_good(good)


def test_a_saved_vector_that_is_not_there_is_an_error(session: Session, good: Circuit) -> None:
    circuit = session.load(deck(saves=("v(a)", "v(nowhere)")))
    with pytest.raises(IncompleteError, match=r"no vector 'v\(nowhere\)'"):
        circuit.operating_point()
    assert_still_good(good)


def test_the_error_pickles_with_its_evidence(session: Session) -> None:
    import pickle

    with pytest.raises(SimulationError) as caught:
        session.load(deck("r3 a"))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is LoadError
    assert (str(copy), copy.evidence) == (str(caught.value), caught.value.evidence)


@pytest.mark.parametrize("line", ["b1 b 0 v=nosuch(v(a))", "r3 a 0 {nosuch}"])
def test_an_engine_that_asks_for_its_exit_is_dead_for_good_and_says_so(script: Script, line: str) -> None:
    printed = script(f"""
from bridge.errors import LoadError, SimulationError
from bridge.ngspice.session import Session
from circuits.deck import Deck
session = Session()
good = session.load(Deck("good", {DIVIDER!r}, (), ("v(a)",)))
print(good.operating_point()[0])
bad = ({line!r}, "r8 b 0 1k")
for attempt in (lambda: session.load(Deck("bad", {DIVIDER!r} + bad, (), ("v(a)",))),
                good.operating_point,
                lambda: good.transient([], 1e-6, 1e-7),
                lambda: good.alter(["r1"], [5.0]),
                lambda: Session().load(good.deck)):
    try:
        print("returned", attempt())
    except SimulationError as error:
        print(type(error).__name__, error)
print(session.engine.dead)
""")
    assert printed[0] == "0.5"
    assert printed[1].startswith("LoadError ngspice refused the netlist")
    assert all(p.startswith("LoadError ngspice has ended itself") for p in printed[2:6])
    assert all("start a new process" in p for p in printed[2:6])
    assert printed[-1] == "True"
