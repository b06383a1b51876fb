"""Alterations of many elements at once: only what changed is sent, and what is sent is what was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.errors import SimulationError
from bridge.ngspice.circuit import Circuit
from bridge.ngspice.engine import Engine
from bridge.ngspice.session import Session
from circuits.deck import Deck

COUNT = 60


@pytest.fixture
def circuit(session: Session) -> Circuit:
    """Resistors beside each other, each with its own current sensed."""
    lines = [f"r{k} a n{k} 1e3" for k in range(COUNT)] + [f"v{k} n{k} 0 dc 0" for k in range(COUNT)]
    return session.load(
        Deck("parallel", ("va a 0 dc 1", *lines), (), tuple(f"i(v{k})" for k in range(COUNT)))
    )


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The alterations that ngspice was told."""
    found: list[str] = []
    original = Engine.command

    def command(self: Engine, text: str | bytes) -> list[str]:
        plain = text.decode() if isinstance(text, bytes) else text
        found.extend(t for t in plain.split(";") if t.startswith("alter"))
        return original(self, text)

    monkeypatch.setattr(Engine, "command", command)
    return found


TARGETS = tuple(f"r{k}" for k in range(COUNT))


def test_only_what_changed_is_sent(circuit: Circuit, sent: list[str]) -> None:
    values = np.linspace(1.0, 2.0, COUNT) * 1e3 / 3.0
    circuit.alter(TARGETS, values)
    assert len(sent) == COUNT
    sent.clear()
    circuit.alter(TARGETS, values)
    assert not sent
    values[[3, 17, 59]] *= 1.1
    circuit.alter(TARGETS, values)
    assert [t.split()[1] for t in sent] == ["r3", "r17", "r59"]
    np.testing.assert_allclose(circuit.operating_point(), 1.0 / values, rtol=1e-12)


@pytest.mark.parametrize("kind", [tuple, list])
def test_other_targets_between_do_not_mix_values_up(circuit: Circuit, kind: type) -> None:
    rng = np.random.default_rng(1)
    known = np.full(COUNT, 1e3)
    lists = [kind(TARGETS), kind(TARGETS[::-1]), kind(TARGETS[10:20]), kind(TARGETS[15:40:3])]
    places = [np.array([int(t[1:]) for t in names]) for names in lists]
    for turn in range(20):
        which = turn % len(lists)
        told = np.where(rng.random(len(places[which])) < 0.5, known[places[which]], rng.uniform(1e3, 2e3))
        circuit.alter(lists[which], told)
        known[places[which]] = told
        np.testing.assert_allclose(circuit.operating_point(), 1.0 / known, rtol=1e-12)


def test_a_list_that_was_changed_is_read_again(circuit: Circuit) -> None:
    names = ["r0", "r1"]
    circuit.alter(names, [2e3, 3e3])
    names[0] = "r5"
    circuit.alter(names, [7e3, 3e3])
    found = 1.0 / circuit.operating_point()
    np.testing.assert_allclose(found[[0, 1, 5]], [2e3, 3e3, 7e3], rtol=1e-12)


def test_a_value_that_is_not_finite_changes_nothing(circuit: Circuit) -> None:
    circuit.alter(TARGETS, np.full(COUNT, 2e3))
    with pytest.raises(ValueError, match="cannot be written"):
        circuit.alter(TARGETS, np.where(np.arange(COUNT) == 30, np.nan, 4e3))
    np.testing.assert_allclose(circuit.operating_point(), 1.0 / 2e3, rtol=1e-12)
    with pytest.raises(ValueError, match="59 values for 60 targets"):
        circuit.alter(TARGETS, np.full(COUNT - 1, 1e3))


def test_after_a_failure_in_the_middle_every_value_is_sent_again(circuit: Circuit) -> None:
    wrong = (*TARGETS[:30], "r999", *TARGETS[30:])
    with pytest.raises(SimulationError, match="alter r999 = 5000 failed"):
        circuit.alter(wrong, np.full(COUNT + 1, 5e3))
    circuit.alter(TARGETS, np.full(COUNT, 1e3))
    np.testing.assert_allclose(circuit.operating_point(), 1e-3, rtol=1e-12)
