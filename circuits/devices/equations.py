"""Equations that a user writes as text, read into symbolic laws without running anything.

The grammar is Python's: `+ - * / **`, `a if b < c else d`, numbers, and the functions below. The text is
parsed by Python's own parser and then only walked; whatever else Python would read (attributes, subscripts,
other calls, ...) is refused. Parts that hold numbers only are computed in floating point, so that no
expression can grow without bounds.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import sympy as sp

from bridge.errors import NetworkError

MAX_LENGTH = 2000
MAX_PARTS = 400
MAX_DEPTH = 40
LARGEST_POWER = 1000.0
CONSTANTS = {"pi": math.pi}

_WHOLE = 1e6  # whole numbers below it are exact
_ONE: Mapping[str, tuple[Callable[[Any], Any], Callable[[float], float]]] = {
    "exp": (sp.exp, math.exp),
    "log": (sp.log, math.log),
    "sqrt": (sp.sqrt, math.sqrt),
    "sin": (sp.sin, math.sin),
    "cos": (sp.cos, math.cos),
    "atan": (sp.atan, math.atan),
    "sinh": (sp.sinh, math.sinh),
    "cosh": (sp.cosh, math.cosh),
    "tanh": (sp.tanh, math.tanh),
    "abs": (sp.Abs, abs),
}
_TWO: Mapping[str, Callable[[Any, Any], Any]] = {
    "min": lambda a, b: sp.Piecewise((a, a <= b), (b, True)),
    "max": lambda a, b: sp.Piecewise((a, a >= b), (b, True)),
}
FUNCTIONS = (*_ONE, *_TWO)
"""Names of the functions that equations may call."""
_ARITHMETIC: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_COMPARISONS: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def read_equation(text: str, names: Mapping[str, sp.Symbol]) -> sp.Expr:
    """The symbolic expression that a text stands for.

    Args:
        text: the right side of an equation.
        names: symbols by the names that the text may use.

    Raises:
        NetworkError: what in the text is wrong and what to write; one line.
    """
    if len(text) > MAX_LENGTH:
        raise NetworkError(f"an equation has at most {MAX_LENGTH} characters; split it into parameters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python's parser, about Python
            tree = ast.parse(text.strip().replace("\n", " "), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        column = getattr(error, "offset", None)
        place = f" at column {column}" if column else ""
        raise NetworkError(
            f"{_short(text)} is no equation{place}; write one such as 'g * sinh(u / v0)', numbers without "
            "suffixes"
        ) from None
    if sum(1 for _ in ast.walk(tree)) > MAX_PARTS:
        raise NetworkError(f"an equation has at most {MAX_PARTS} parts")
    try:
        found = sp.sympify(_Reader(names, text).value(tree, 0))
    except (ArithmeticError, TypeError, RecursionError) as error:
        raise NetworkError(f"{_short(text)} cannot be read: {error}") from None
    except ValueError as error:
        raise NetworkError(f"{_short(text)}: {error}") from None
    if not isinstance(found, sp.Expr) or found.has(sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I):
        raise NetworkError(f"{_short(text)} is no real number wherever it is evaluated")
    return found


class _Reader:
    def __init__(self, names: Mapping[str, sp.Symbol], text: str) -> None:
        self.names, self.text = names, text

    def refuse(self, node: ast.AST, what: str) -> NetworkError:
        part = ast.get_source_segment(self.text.strip().replace("\n", " "), node) or ""
        return NetworkError(f"{_short(self.text)}: {what}" + (f" ({_short(part)})" if part else ""))

    def value(self, node: ast.expr, depth: int) -> Any:
        """A number (`float`) where no name is in it, else a symbolic expression."""
        if depth > MAX_DEPTH:
            raise self.refuse(node, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(node, ast.Constant):
            if isinstance(node.value, bool) or not isinstance(node.value, int | float):
                raise self.refuse(node, "only numbers and names can stand here")
            return float(node.value)
        if isinstance(node, ast.Name):
            return self.name(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            inner = self.value(node.operand, depth + 1)
            return -inner if isinstance(node.op, ast.USub) else inner
        if isinstance(node, ast.BinOp):
            return self.arithmetic(node, depth)
        if isinstance(node, ast.Call):
            return self.call(node, depth)
        if isinstance(node, ast.IfExp):
            yes, no = (exact(self.value(part, depth + 1)) for part in (node.body, node.orelse))
            return sp.Piecewise((yes, self.condition(node.test, depth + 1)), (no, True))
        if isinstance(node, ast.Compare | ast.BoolOp):
            raise self.refuse(node, "a condition stands in 'a if condition else b' only")
        raise self.refuse(node, "this has no place in an equation")

    def name(self, node: ast.Name) -> Any:
        if node.id in self.names:
            return self.names[node.id]
        if node.id in CONSTANTS:
            return CONSTANTS[node.id]
        near = difflib.get_close_matches(node.id, [*self.names, *FUNCTIONS], n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(self.names)}"
        raise NetworkError(f"{_short(self.text)}: {node.id!r} is neither a parameter nor a state; {hint}")

    def arithmetic(self, node: ast.BinOp, depth: int) -> Any:
        if isinstance(node.op, ast.BitXor):
            raise self.refuse(node, "write ** for a power")
        function = _ARITHMETIC.get(type(node.op))
        if function is None:
            raise self.refuse(node, "operators are + - * / **")
        left, right = self.value(node.left, depth + 1), self.value(node.right, depth + 1)
        if isinstance(left, float) and isinstance(right, float):
            return finite(math.pow(left, right) if isinstance(node.op, ast.Pow) else function(left, right))
        if isinstance(node.op, ast.Pow) and isinstance(right, float) and abs(right) > LARGEST_POWER:
            raise self.refuse(node, f"exponents are at most {LARGEST_POWER:g}")
        return function(exact(left), exact(right))

    def call(self, node: ast.Call, depth: int) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in FUNCTIONS or node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
            raise self.refuse(node, f"functions are {', '.join(FUNCTIONS)}")
        wanted = 1 if name in _ONE else 2
        if len(node.args) != wanted:
            raise self.refuse(node, f"{name} takes {wanted} argument{'s' if wanted > 1 else ''}")
        values = [self.value(a, depth + 1) for a in node.args]
        if name in _ONE:
            symbolic, plain = _ONE[name]
            return finite(plain(values[0])) if isinstance(values[0], float) else symbolic(values[0])
        if all(isinstance(v, float) for v in values):
            return min(values) if name == "min" else max(values)
        return _TWO[name](*(exact(v) for v in values))

    def condition(self, node: ast.expr, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise self.refuse(node, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS:
            left, right = (exact(self.value(p, depth + 1)) for p in (node.left, node.comparators[0]))
            return _COMPARISONS[type(node.ops[0])](left, right)
        raise self.refuse(node, "a condition compares two values with <, <=, > or >=")


def exact(value: Any) -> Any:
    """A number as sympy has it, small whole ones exact; expressions as they are."""
    if not isinstance(value, float):
        return value
    return sp.Integer(int(value)) if value.is_integer() and abs(value) < _WHOLE else sp.Float(value, 17)


def finite(value: float) -> float:
    """The value.

    Raises:
        ValueError: it is not finite.
    """
    if not math.isfinite(value):
        raise ValueError("a number in it is not finite")
    return value


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return repr(plain if len(plain) <= 60 else plain[:57] + "...")
