"""Symbolic laws written as Verilog-A expressions, with the same values as `expressions` gives to `B` sources.

Integer powers are products, other powers are `exp(exponent * ln(base))` of positive bases, as there. Newton's
method begins with all voltages at zero, states among them, and a value or slope there that is not finite
would spoil every later iteration. So generated modules carry functions that are finite at zero
(`FUNCTIONS`), with the values of ngspice's behavioural sources and no slope in that one point: `0/0` is 0,
`1/0` is 1e32, `ln(0)` is -1e99. `exp` is finite for every argument: where a `B` source stays at 1e99, it
goes on along a straight line, so that Newton's method finds back from there. Roots and logarithms of
negative numbers are not finite: such a run fails.
"""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from bridge.errors import NetworkError
from circuits.devices.expressions import LARGEST_POWER, exact_exponent, function_text, symbol_text

LARGEST_EXPONENT = 227.9559242
"""`exp` of it is 1e99, where ngspice's behavioural sources stop."""

FUNCTIONS = f"""\
analog function real tg_exp;
input a;
real a;
tg_exp = a < {LARGEST_EXPONENT} ? exp(a) : 1e99*(1.0+a-{LARGEST_EXPONENT});
endfunction
analog function real tg_ln;
input a;
real a;
tg_ln = a == 0.0 ? -1e99 : ln(a);
endfunction
analog function real tg_sqrt;
input a;
real a;
tg_sqrt = a == 0.0 ? 0.0 : sqrt(a);
endfunction
analog function real tg_over;
input a, b;
real a, b;
tg_over = b != 0.0 ? a/b : (a > 0.0 ? 1e32 : (a < 0.0 ? -1e32 : 0.0));
endfunction
"""

_CALLS = {
    sp.exp: "tg_exp", sp.log: "tg_ln", sp.tanh: "tanh", sp.sinh: "sinh", sp.cosh: "cosh", sp.sin: "sin",
    sp.cos: "cos", sp.atan: "atan", sp.Abs: "abs", sp.Max: "max", sp.Min: "min",
}  # fmt: skip
_RELATIONS = {
    sp.StrictGreaterThan: ">", sp.GreaterThan: ">=", sp.StrictLessThan: "<", sp.LessThan: "<=",
    sp.Equality: "==", sp.Unequality: "!=",
}  # fmt: skip


def verilog_expression(expression: sp.Expr, symbols: Mapping[str, str]) -> str:
    """Write an expression for an analog block.

    Args:
        expression: the law.
        symbols: what stands for each symbol, for example `{"u": "u", "conductance": "p_conductance"}`.

    Raises:
        NetworkError: a function that is not written for Verilog-A, or a symbol without meaning.
    """
    expr = sp.sympify(expression)
    if expr.is_Number or expr.is_NumberSymbol:
        return _number(float(expr))
    if expr.is_Symbol:
        return symbol_text(expr, symbols)

    def write(e: sp.Basic) -> str:
        return verilog_expression(e, symbols)

    if expr.is_Add:
        return "(" + "+".join(write(a) for a in expr.args) + ")"
    if expr.is_Mul:
        return _product(expr, symbols)
    if expr.is_Pow:
        return _power(expr.args[0], expr.args[1], symbols)
    if isinstance(expr, sp.Piecewise):
        return _piecewise(expr, symbols)
    if isinstance(expr, sp.sign):
        text = write(expr.args[0])
        return f"({text} > 0.0 ? 1.0 : ({text} < 0.0 ? -1.0 : 0.0))"
    if (called := function_text(expr, _CALLS, write)) is not None:
        return called
    raise NetworkError(f"a device's law uses {expr.func}, which is not written for Verilog-A")


def _number(value: float) -> str:
    text = f"{value:.17g}"
    text = text if any(c in text for c in ".e") else text + ".0"
    return f"({text})" if value < 0 else text


def _product(expr: sp.Expr, symbols: Mapping[str, str]) -> str:
    above, below = [], []
    for factor in expr.args:
        if factor.is_Pow and factor.args[1].is_number and factor.args[1].is_negative:
            below.append(_power(factor.args[0], -factor.args[1], symbols))
        else:
            above.append(verilog_expression(factor, symbols))
    top = "*".join(above) or "1.0"
    return f"({top})" if not below else f"tg_over({top},{'*'.join(below)})"


def _power(base: sp.Expr, exponent: sp.Expr, symbols: Mapping[str, str]) -> str:
    text = verilog_expression(base, symbols)
    exponent = exact_exponent(exponent)
    if exponent == 0:
        return "1.0"
    if exponent.is_number and exponent.is_negative:
        return f"tg_over(1.0,{_power(base, -exponent, symbols)})"
    if exponent == 1:
        return text
    if exponent == sp.Rational(1, 2):
        return f"tg_sqrt({text})"
    if exponent.is_Integer and int(exponent) <= LARGEST_POWER:
        return "(" + "*".join([text] * int(exponent)) + ")"
    return f"tg_exp({verilog_expression(exponent, symbols)}*tg_ln({text}))"  # positive bases only


def _piecewise(expr: sp.Piecewise, symbols: Mapping[str, str]) -> str:
    text = "0.0"
    for value, condition in reversed(expr.args):
        chosen = verilog_expression(value, symbols)
        text = chosen if condition == sp.true else f"({_condition(condition, symbols)} ? {chosen} : {text})"
    return text


def _condition(condition: sp.Basic, symbols: Mapping[str, str]) -> str:
    for kind, sign in _RELATIONS.items():
        if isinstance(condition, kind):
            left, right = (verilog_expression(a, symbols) for a in condition.args)
            return f"({left} {sign} {right})"
    if isinstance(condition, sp.Not):
        return f"(!{_condition(condition.args[0], symbols)})"
    for kind, sign in ((sp.And, "&&"), (sp.Or, "||")):
        if isinstance(condition, kind):
            return "(" + sign.join(_condition(a, symbols) for a in condition.args) + ")"
    raise NetworkError(f"the condition {condition} of a device's law cannot be written for Verilog-A")
