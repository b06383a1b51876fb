"""Conditions over named values, for constraints and filters: `a.b < 2 * a.c and kind == 'adam'`.

A name is the whole one or its end from a dot on, where that is clear; one that Python would not read stands
between backticks.

The text is parsed by Python's own parser and then only walked: comparisons, arithmetic, `and`, `or`, `not`,
numbers, texts and names are known, everything else (calls, indexing by anything but a number, ...) is
refused. Numbers are floats throughout, so that no expression can grow without bounds.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.errors import TellegenError
from bridge.experiment.problems import suggest

MAX_LENGTH = 500
Value = float | str | bool | None

_ARITHMETIC: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: math.pow,
}
_COMPARISONS: dict[type[ast.AST], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_WORDS = {"true": True, "false": False, "True": True, "False": False}


class ExpressionError(TellegenError):
    """A condition that cannot be read, or not be evaluated with the values at hand."""


@dataclass(frozen=True)
class Condition:
    """A condition that was read.

    Attributes:
        text: as it was written.
        names: the names in it, dotted, in their order.
    """

    text: str
    names: tuple[str, ...]
    _tree: ast.expr

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition.

        Raises:
            ExpressionError: it is no condition, or holds something that is not allowed.
        """
        if len(text) > MAX_LENGTH:
            raise ExpressionError(f"a condition has at most {MAX_LENGTH} characters")
        quoted, plain = _unquoted(text.strip())
        try:
            tree = ast.parse(plain, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ExpressionError(f"{text!r} is no condition; write one like 'a.b < 2 * a.c'") from error
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in quoted:
                node.id = quoted[node.id]
        names: dict[str, None] = {}
        _check(tree, names, plain)
        if not _is_condition(tree):
            raise ExpressionError(f"{text!r} compares nothing; write a condition like 'a.b < 2 * a.c'")
        return cls(text, tuple(names), tree)

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Whether the condition is true.

        Comparisons with a value that is missing (None or NaN) are false.

        Args:
            values: a value for every name.

        Raises:
            ExpressionError: a name without a value, or an operation that the values do not allow.
        """
        try:
            return bool(_evaluate(self._tree, values))
        except (ArithmeticError, ValueError) as error:
            raise ExpressionError(f"{self.text!r} cannot be computed: {error}") from error


def resolve(name: str, known: Iterable[str], what: str) -> str:
    """The known name that is meant: that one, or the only one that ends with `.name`.

    Args:
        name: as it stands in a condition.
        known: all names.
        what: they are, for the message.

    Raises:
        ExpressionError: there is none, or more than one.
    """
    every = list(dict.fromkeys(known))
    if name in every:
        return name
    found = [other for other in every if other.endswith(f".{name}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise ExpressionError(f"{name} could be {' or '.join(found)}")
    offer = f"there are {', '.join(every)}" if len(every) <= 40 else "see the reference of experiment files"
    raise ExpressionError(f"{name} is no {what}; {suggest(name, every, offer)}")


def _unquoted(text: str) -> tuple[dict[str, str], str]:
    """Names between backticks by the names that stand for them, and the text with those.

    Raises:
        ExpressionError: a backtick without its second one.
    """
    parts = text.split("`")
    if len(parts) % 2 == 0 or not all(parts[1::2]):
        raise ExpressionError(f"{text!r}: names stand between two backticks, like `a.b=1.c`")
    quoted = {f"quoted_{k}_{'_' * len(text)}": name for k, name in enumerate(parts[1::2])}
    parts[1::2] = quoted  # what no text of this length can hold
    return quoted, " ".join(parts).strip()


def _is_condition(node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp):
        return all(map(_is_condition, node.values))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _is_condition(node.operand)
    return isinstance(node, ast.Compare | ast.Name | ast.Attribute)


def _check(node: ast.expr, names: dict[str, None], text: str) -> None:
    """Refuse whatever is not known; gather the names."""
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
        name = _name(node, text)
        if name not in _WORDS:
            names[name] = None
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            _check(value, names, text)
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        _check(node.left, names, text)
        _check(node.right, names, text)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.UAdd):
        _check(node.operand, names, text)
    elif isinstance(node, ast.Compare) and all(type(op) in _COMPARISONS for op in node.ops):
        for value in (node.left, *node.comparators):
            _check(value, names, text)
    elif not (isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str)):
        found = ast.get_source_segment(text.strip(), node) or type(node).__name__
        raise ExpressionError(
            f"{found[:60]!r} is not allowed in a condition; names, numbers, texts, + - * / % **, "
            "comparisons, and, or, not are"
        )


def _name(node: ast.expr, text: str) -> str:
    """`a.b` of names and attributes, `a.0` of `a[0]`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value, text)}.{node.attr}"
    if (
        isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and type(node.slice.value) is int
    ):
        return f"{_name(node.value, text)}.{node.slice.value}"
    raise ExpressionError(f"{text!r}: a name is letters, digits and dots, or ends in [number]")


def _evaluate(node: ast.expr, values: Mapping[str, Value]) -> Value:
    if isinstance(node, ast.Constant):
        value = node.value
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value  # type: ignore[return-value]
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
        name = _name(node, "")
        if name in _WORDS:
            return _WORDS[name]
        if name not in values:
            raise ExpressionError(f"{name} is not known here")
        found = values[name]
        return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else found
    if isinstance(node, ast.BoolOp):
        every = isinstance(node.op, ast.And)
        parts = (bool(_evaluate(v, values)) for v in node.values)
        return all(parts) if every else any(parts)
    if isinstance(node, ast.BinOp):
        left, right = _number(node.left, values), _number(node.right, values)
        return float(_ARITHMETIC[type(node.op)](left, right))
    if isinstance(node, ast.UnaryOp):
        if isinstance(node.op, ast.Not):
            return not _evaluate(node.operand, values)
        number = _number(node.operand, values)
        return -number if isinstance(node.op, ast.USub) else number
    assert isinstance(node, ast.Compare)
    sides = [_evaluate(side, values) for side in (node.left, *node.comparators)]
    return all(_compare(op, a, b) for op, a, b in zip(node.ops, sides[:-1], sides[1:], strict=True))


def _number(node: ast.expr, values: Mapping[str, Value]) -> float:
    value = _evaluate(node, values)
    if value is None:
        return math.nan
    if isinstance(value, str):
        raise ExpressionError(f"{value!r} is a text; arithmetic needs numbers")
    return float(value)


def _compare(op: ast.cmpop, left: Value, right: Value) -> bool:
    if any(v is None or v != v for v in (left, right)):
        return False
    if isinstance(left, str) != isinstance(right, str):
        if isinstance(op, ast.Eq | ast.NotEq):
            return isinstance(op, ast.NotEq)
        raise ExpressionError(f"{left!r} and {right!r} cannot be ordered: one is a text")
    return _COMPARISONS[type(op)](left, right)
