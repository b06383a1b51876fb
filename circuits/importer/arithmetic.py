"""Values of expressions: ngspice's functions as numbers; nothing but this table can be called."""

from __future__ import annotations

import math
from collections.abc import Callable

from circuits.importer.expressions import Call, ExpressionError, Name, Node, Number, Probe

_Function = Callable[..., float]


def _power(x: float, y: float) -> float:
    return math.pow(abs(x), y)


def _signed(x: float, y: float) -> float:
    return math.copysign(math.pow(abs(x), y), x) if x else 0.0


def _sign(x: float) -> float:
    return float((x > 0) - (x < 0))


_BOTH: dict[str, tuple[int, _Function]] = {
    "neg": (1, lambda x: -x),
    "+": (2, lambda x, y: x + y),
    "-": (2, lambda x, y: x - y),
    "*": (2, lambda x, y: x * y),
    "/": (2, lambda x, y: x / y),
    "^": (2, _power),
    "**": (2, _power),
    "!": (1, lambda x: float(not x)),
    "&&": (2, lambda x, y: float(bool(x) and bool(y))),
    "||": (2, lambda x, y: float(bool(x) or bool(y))),
    "==": (2, lambda x, y: float(x == y)),
    "!=": (2, lambda x, y: float(x != y)),
    "<": (2, lambda x, y: float(x < y)),
    ">": (2, lambda x, y: float(x > y)),
    "<=": (2, lambda x, y: float(x <= y)),
    ">=": (2, lambda x, y: float(x >= y)),
    "?": (3, lambda c, x, y: x if c else y),
    "abs": (1, abs),
    "sqrt": (1, math.sqrt),
    "exp": (1, math.exp),
    "ln": (1, math.log),
    "log": (1, math.log),
    "log10": (1, math.log10),
    "sgn": (1, _sign),
    "nint": (1, round),
    "floor": (1, math.floor),
    "ceil": (1, math.ceil),
    "max": (2, max),
    "min": (2, min),
    **{
        name: (1, getattr(math, name))
        for name in (
            "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"
        )
    },
}  # fmt: skip

PARAMETERS: dict[str, tuple[int, _Function]] = {
    **_BOTH,
    "%": (2, math.fmod),
    "\\": (2, lambda x, y: float(math.trunc(x / y))),
    "int": (1, math.trunc),
    "arctan": (1, math.atan),
    "pow": (2, math.pow),
    "pwr": (2, _power),
    "ternary_fcn": (3, lambda c, x, y: x if c else y),
}
"""Functions of `.param` and of braces: argument count and value."""

SOURCES: dict[str, tuple[int, _Function]] = {
    **_BOTH,
    "pow": (2, _power),
    "pwr": (2, _signed),
    "u": (1, lambda x: 0.5 * (1.0 + _sign(x))),
    "uramp": (1, lambda x: max(x, 0.0)),
    "eq0": (1, lambda x: float(x == 0)),
    "ne0": (1, lambda x: float(x != 0)),
    "gt0": (1, lambda x: float(x > 0)),
    "lt0": (1, lambda x: float(x < 0)),
    "ge0": (1, lambda x: float(x >= 0)),
    "le0": (1, lambda x: float(x <= 0)),
}
"""Functions of behavioural sources."""

_RANDOM = frozenset((
    "gauss", "agauss", "unif", "aunif", "limit", "random", "sgauss", "sunif", "rnd", "poisson",
    "exponential",
))  # fmt: skip


def check_call(node: Call, table: dict[str, tuple[int, _Function]]) -> _Function:
    """The function of a call.

    Raises:
        ExpressionError: there is no such function, or it takes another number of arguments.
    """
    if node.function in _RANDOM:
        raise ExpressionError(f"{node.function}() draws random numbers; write the value")
    if node.function not in table:
        raise ExpressionError(f"ngspice has no function {node.function[:40]}() here")
    count, function = table[node.function]
    if len(node.arguments) != count:
        raise ExpressionError(f"{node.function} takes {count} arguments, not {len(node.arguments)}")
    return function


def evaluate(
    node: Node, lookup: Callable[[str], float], table: dict[str, tuple[int, _Function]] = PARAMETERS
) -> float:
    """The value of an expression.

    Args:
        node: the expression.
        lookup: value of a parameter by its name in lower case; raises what the caller wants.
        table: the functions allowed.

    Raises:
        ExpressionError: an unknown function, or no finite value.
    """
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Name):
        return lookup(node.name)
    if isinstance(node, Probe):
        raise ExpressionError("a voltage or current has no fixed value; write a behavioural source (B)")
    function = check_call(node, table)
    values = [evaluate(a, lookup, table) for a in node.arguments]
    try:
        value = float(function(*values))
    except (ValueError, ZeroDivisionError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        written = ", ".join(f"{v:g}" for v in values)
        raise ExpressionError(f"{node.function} of {written} is not a finite number")
    return value
