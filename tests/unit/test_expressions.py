"""Symbolic laws as ngspice evaluates them, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bridge.errors import NetworkError
from bridge.ngspice.drives import constant
from bridge.ngspice.session import Session
from circuits.deck import Deck
from circuits.devices.base import Parameter, U
from circuits.devices.behavioural import symbol
from circuits.devices.expressions import spice_expression
from circuits.devices.fractional import Transfer
from circuits.devices.passive import resistor
from circuits.devices.sources import voltage_source
from circuits.netlist import build_deck
from circuits.network import Drive, Network

POINTS = np.array([-2.0, -1.3, -0.5, -1e-3, 0.0, 2e-3, 0.4, 1.0, 1.7])
P = symbol("p")


def in_ngspice(law: sp.Expr, p: float, points: np.ndarray = POINTS) -> np.ndarray:
    """The law at branch voltages as a behavioural source gives it."""
    device = Transfer("law", ("p", "n", "cp", "cn"), (Parameter("p", "1"),), law=law)
    network = Network(
        "law",
        (
            voltage_source("in", "a", driven=True),
            device.element("b", "out", "0", "a", "0", p=p),
            resistor("load", "out", "0", conductance=1e-3),
        ),
        (Drive("in", 0),),
    )
    circuit = Session().load(build_deck(network, nudges=False, saves=("v(out)",)))
    return np.array([circuit.operating_point([constant([u])])[0] for u in points])


def in_numpy(law: sp.Expr, p: float, points: np.ndarray = POINTS) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(sp.lambdify([U, P], law, "numpy")(points, p) + 0 * points, dtype=float)


def assert_same(law: sp.Expr, p: float = 0.7, points: np.ndarray = POINTS) -> None:
    wanted = in_numpy(law, p, points)
    np.testing.assert_allclose(in_ngspice(law, p, points), wanted, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize(
    "law",
    [
        U**3,
        U**5 - 2 * U**2,
        (U - P) ** 3,
        -(U**3),
        (U**2 + 1) ** -2,
        1 / (3 + U),
        P - U / 3,
        2 - (U - P),
        (U - 1) * (P - 2) / (U**2 + P),
        sp.sqrt(U**2 + P),
        1 / sp.sqrt(U**2 + P),
        (U**2 + P) ** sp.Rational(3, 2),
        (U**2 + P) ** P,
        sp.exp(-U),
        sp.log(U**2 + P),
        sp.tanh(U / P),
        sp.sinh(U) / sp.cosh(U),
        sp.sin(3 * U) + sp.cos(U),
        sp.atan(U),
        sp.Abs(U - P),
        sp.sign(U - P) * U,
        sp.Max(U, P, 0),
        sp.Min(U, P, 1),
        sp.Piecewise((U**3, U < P), (P**3 + 2 * (U - P), True)),
        sp.Piecewise((-1, U <= -1), (U, U < 1), (1, True)),
        sp.pi * U + sp.E,
        sp.Float(1e-30) * U * 1e30,
        sp.diff(sp.log(sp.cosh((U - P) / 3)), U),
    ],
    ids=str,
)
def test_laws_are_what_numpy_makes_of_them(law: sp.Expr) -> None:
    assert_same(law)


def test_the_trap_that_powers_avoid_is_there() -> None:
    """`x^3` is `|x|^3` in a behavioural source, so a cube must not be written so."""
    deck = Deck("trap", ("va a 0 dc -2", "b1 b 0 v=v(a)^3", "r1 b 0 1k"), (), ("v(b)",))
    assert Session().load(deck).operating_point([])[0] == pytest.approx(8.0)
    assert in_ngspice(U**3, 0.0, np.array([-2.0]))[0] == pytest.approx(-8.0)
    assert "^" not in spice_expression(U**3 + (U**2 + 1) ** P, {"u": "v(a)", "p": "2"})


leaves = st.one_of(
    st.just(U),
    st.just(P),
    st.floats(-3, 3).map(lambda v: sp.Float(round(v, 3))),
    st.integers(-4, 4).map(sp.Integer),
)


def grown(inner: st.SearchStrategy[sp.Expr]) -> st.SearchStrategy[sp.Expr]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        pair.map(lambda p: p[0] + p[1]),
        pair.map(lambda p: p[0] - p[1]),
        pair.map(lambda p: p[0] * p[1]),
        pair.map(lambda p: p[0] / (1 + p[1] ** 2)),
        st.tuples(inner, st.integers(2, 5)).map(lambda p: p[0] ** p[1]),
        inner.map(sp.tanh),
        inner.map(lambda e: sp.exp(-(e**2))),
        inner.map(lambda e: sp.sqrt(1 + e**2)),
        inner.map(sp.sin),
        pair.map(lambda p: sp.Piecewise((p[0], U < P), (p[1], True))),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.recursive(leaves, grown, max_leaves=8), st.sampled_from([-1.25, 0.3, 2.0]))
def test_random_laws_are_what_numpy_makes_of_them(law: sp.Expr, p: float) -> None:
    try:
        wanted = in_numpy(law, p)
    except (TypeError, ZeroDivisionError, OverflowError):
        assume(False)
    assume(np.all(np.isfinite(wanted)) and np.abs(wanted).max() < 1e4)
    assume(np.all(np.abs(POINTS - p) > 0))
    np.testing.assert_allclose(in_ngspice(law, p), wanted, rtol=1e-7, atol=1e-9)


def test_what_ngspice_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(NetworkError, match="gamma"):
        spice_expression(sp.gamma(U), {"u": "v(a)"})
    with pytest.raises(NetworkError, match="'q' of a device's law has no value"):
        spice_expression(U * symbol("q"), {"u": "v(a)"})
    with pytest.raises(NetworkError, match="condition"):
        spice_expression(sp.Piecewise((U, sp.Eq(U, 1)), (0, True)), {"u": "v(a)"})
