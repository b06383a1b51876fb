"""Symbolic laws written as expressions of ngspice's behavioural sources.

Two traps of ngspice decide the form: `x^3` means `|x|^3`, so integer powers are written as products, and
parentheses are kept around every operand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sympy as sp

from bridge.errors import NetworkError

_FUNCTIONS = {
    sp.exp: "exp", sp.log: "ln", sp.tanh: "tanh", sp.sinh: "sinh", sp.cosh: "cosh", sp.sin: "sin",
    sp.cos: "cos", sp.atan: "atan", sp.Abs: "abs", sp.sign: "sgn", sp.Max: "max", sp.Min: "min",
}  # fmt: skip
LARGEST_POWER = 12
"""Integer powers up to it are written as products."""


def spice_expression(expression: sp.Expr, symbols: Mapping[str, str]) -> str:
    """Write an expression for a `B` source.

    Args:
        expression: the law.
        symbols: what stands for each symbol, for example `{"u": "v(a,b)", "conductance": "1e-4"}`.

    Raises:
        NetworkError: a function that ngspice does not have, or a symbol without meaning.
    """
    expr = sp.sympify(expression)
    if expr.is_Number or expr.is_NumberSymbol:
        return f"({float(expr):.17g})"
    if expr.is_Symbol:
        return symbol_text(expr, symbols)

    def write(e: sp.Expr) -> str:
        return spice_expression(e, symbols)

    if expr.is_Add:
        return "(" + "+".join(write(a) for a in expr.args) + ")"
    if expr.is_Mul:
        top, bottom = expr.as_numer_denom()
        if bottom != 1:
            return f"({write(top)}/{write(bottom)})"
        return "(" + "*".join(write(a) for a in expr.args) + ")"
    if expr.is_Pow:
        return _power(expr.args[0], expr.args[1], symbols)
    if isinstance(expr, sp.Piecewise):
        text = "0"
        for value, condition in reversed(expr.args):
            text = (
                write(value)
                if condition == sp.true
                else f"({_condition(condition, symbols)} ? {write(value)} : {text})"
            )
        return text
    if (called := function_text(expr, _FUNCTIONS, write)) is not None:
        return called
    raise NetworkError(f"a device's law uses {expr.func}, which ngspice's behavioural sources do not have")


def symbol_text(expr: sp.Symbol, symbols: Mapping[str, str]) -> str:
    """What stands for a symbol.

    Raises:
        NetworkError: it has no meaning.
    """
    try:
        return symbols[expr.name]
    except KeyError:
        raise NetworkError(f"the symbol {expr.name!r} of a device's law has no value") from None


def function_text(
    expr: sp.Expr, names: Mapping[type[sp.Expr], str], write: Callable[[sp.Expr], str]
) -> str | None:
    """A function as a call, several arguments as nested calls of two; `None` for one without a name."""
    for kind, name in names.items():
        if isinstance(expr, kind):
            arguments = [write(a) for a in expr.args]
            text = arguments[0]
            for other in arguments[1:]:
                text = f"{name}({text},{other})"
            return text if len(arguments) > 1 else f"{name}({text})"
    return None


def exact_exponent(exponent: sp.Expr) -> sp.Expr:
    """An exponent as it is written: a floating-point number that is a multiple of 1/2 becomes exact."""
    if exponent.is_Float and (2.0 * float(exponent)).is_integer():
        return sp.Rational(int(2.0 * float(exponent)), 2)
    return exponent


def _power(base: sp.Expr, exponent: sp.Expr, symbols: Mapping[str, str]) -> str:
    text = spice_expression(base, symbols)
    exponent = exact_exponent(exponent)
    if exponent == 0:
        return "(1)"
    if exponent == sp.Rational(1, 2):
        return f"sqrt({text})"
    if exponent == -sp.Rational(1, 2):
        return f"(1/sqrt({text}))"
    if exponent.is_Integer and abs(int(exponent)) <= LARGEST_POWER:
        product = "(" + "*".join([text] * abs(int(exponent))) + ")"
        return product if exponent > 0 else f"(1/{product})"
    return f"exp({spice_expression(exponent, symbols)}*ln({text}))"  # positive bases only


def _condition(condition: sp.Basic, symbols: Mapping[str, str]) -> str:
    operators = {sp.StrictGreaterThan: ">", sp.GreaterThan: ">=", sp.StrictLessThan: "<", sp.LessThan: "<="}
    for kind, sign in operators.items():
        if isinstance(condition, kind):
            left, right = (spice_expression(a, symbols) for a in condition.args)
            return f"{left} {sign} {right}"
    raise NetworkError(f"the condition {condition} of a device's law cannot be written for ngspice")
