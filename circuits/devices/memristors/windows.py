"""Window functions that keep a state within its bounds, and the constants of thermal activation.

Every window here also drives a state back that lies outside its bounds, where the trapezoidal rule may put
it for one step. The published windows alone do not: Joglekar's changes its sign there, whichever way the
state moves.
"""

from __future__ import annotations

import sympy as sp
from scipy.constants import Boltzmann, elementary_charge

from circuits.devices.base import U

ELECTRONVOLT_PER_KELVIN = Boltzmann / elementary_charge
"""Boltzmann's constant [eV/K]: an energy in eV over it and a temperature is an exponent."""

_ZERO = 1e-30


def even_power(base: sp.Expr, p: sp.Expr) -> sp.Expr:
    """`base ** (2 p)` for `p >= 1`, whose derivatives are finite also where the base is zero."""
    size = sp.Abs(base)
    return sp.Piecewise((size ** (2 * p), size > _ZERO), (sp.Integer(0), True))


def biolek(x: sp.Expr, p: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Factors on the speed of a rising and of a falling state in [0, 1].

    Biolek, Biolek and Biolkova, Radioengineering 18(2), 210 (2009): `1 - x^2p` towards 1 and
    `1 - (x - 1)^2p` towards 0. Unlike Joglekar's it lets the state leave a bound at full speed.
    """
    return 1 - even_power(x, p), 1 - even_power(x - 1, p)


def joglekar(x: sp.Expr, p: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Factors on the speed of a rising and of a falling state in [0, 1].

    Joglekar and Wolf, Eur. J. Phys. 30, 661 (2009): `f = 1 - (2 x - 1)^2p` both ways, so that a state at a
    bound stays there. Outside of the bounds, where `f` is negative, a state that moves inwards gets `|f|`.
    """
    f = 1 - even_power(2 * x - 1, p)
    rising = sp.Piecewise((-f, x < 0), (f, True))
    falling = sp.Piecewise((-f, x > 1), (f, True))
    return rising, falling


def stops(x: sp.Expr, lower: float, upper: float, width: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Factors on the speed of a rising and of a falling state: 1 but within a few `width` of its bound.

    They change their sign at the bound and stay within -1 and 1: exponentials that grow outside of the
    bounds cost Newton's method most of its iterations where the speed is high.
    """
    return sp.tanh((upper - x) / width), sp.tanh((x - lower) / width)


def held(x: sp.Expr, lower: float, upper: float) -> sp.Expr:
    """The state, or the limit that it has left.

    Resistances take their state like this: linear ones change their sign a little outside of the bounds.
    Laws and speeds that are exponentials of a state take it with limits somewhat outside of its bounds: else
    the equation of a time step has a second solution, far out, where Newton's method may end.
    """
    return sp.Piecewise((sp.Float(lower), x < lower), (sp.Float(upper), x > upper), (x, True))


def by_sign(positive: sp.Expr, negative: sp.Expr) -> sp.Expr:
    """One expression for positive branch voltages, another for the others; both vanish at zero."""
    return sp.Piecewise((positive, U > 0), (negative, True))
