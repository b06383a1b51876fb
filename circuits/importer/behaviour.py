"""Behavioural sources: those of their own voltage become devices with a symbolic law, others stay native.

The netlist's own expression is simulated, with ngspice's meaning (`v(a)^3` is `|v(a)|^3`); the symbolic law,
with the same meaning (`Abs(u)**3`), gives the derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import sympy as sp

from circuits.devices.base import Element, FloatArray, Parameter, SpiceContext, U
from circuits.devices.behavioural import Behavioural, symbol, voltage_expression
from circuits.importer.arithmetic import SOURCES, check_call, evaluate
from circuits.importer.expressions import Call, ExpressionError, Name, Node, Number, Probe, walk
from circuits.numbers import spice_number

CONSTANTS = {"pi": math.pi, "e": math.e}
VARIABLES = frozenset(("time", "temper"))
_NATIVE_ONLY = frozenset(("ddt", "pwl", "u2"))
_FLAT = frozenset(("nint", "floor", "ceil"))
_MAX_SYMBOLIC = 150
_GROUND = "0"


@dataclass(frozen=True)
class SourceLaw(Behavioural):
    """A current source that depends on its own voltage.

    Attributes:
        pieces: the expression for ngspice; `$name` stands for a parameter, `$+`, `$-`, `$+-`, `$-+` for the
            voltages of the terminals, `$0` for none.
    """

    pieces: tuple[str, ...] = ()
    compilable: ClassVar[bool] = False

    def write(self, law: sp.Expr, element: Element, context: SpiceContext) -> str:
        """The netlist's own expression."""
        p, n = element.nodes
        known = self.symbols(element, context)
        voltages = {
            "$+": voltage_expression(p, _GROUND) if p != _GROUND else "0",
            "$-": voltage_expression(n, _GROUND) if n != _GROUND else "0",
            "$+-": voltage_expression(p, n) if p != n else "0",
            "$-+": voltage_expression(n, p) if p != n else "0",
            "$0": "0",
        }
        values = {f"${k}": v for k, v in known.items()}
        return "".join(voltages.get(t) or values.get(t) or t for t in self.pieces)

    def evaluate(self, expression: sp.Expr, values: Mapping[str, Any]) -> FloatArray:
        """See `Device`; branches that are not taken may overflow, conditions need arrays of one shape."""
        arrays = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in values.values()))
        with np.errstate(all="ignore"):
            return super().evaluate(expression, dict(zip(values, arrays, strict=True)))

    def cocontent_gradient(self, u: FloatArray, parameter: str, values: Mapping[str, Any]) -> FloatArray:
        """See `Device`; integrated with 8 times 16 Gauss points, as not every law has a closed integral."""
        nodes, weights = np.polynomial.legendre.leggauss(16)
        voltage = np.asarray(u, dtype=float)
        total: FloatArray = np.zeros(voltage.shape)
        for part in range(8):
            for node, weight in zip((nodes + 1.0) / 2.0, weights / 2.0, strict=True):
                share = (part + node) / 8.0
                total = total + weight / 8.0 * self.current_gradient(voltage * share, parameter, values)
        return voltage * total


def field_name(parameter: str) -> str:
    """A device's name for a parameter of the netlist; those that mean something else in laws get a `_`."""
    taken = parameter in ("u", "initial_voltage", *CONSTANTS) or hasattr(np, parameter)
    return f"{parameter}_" if taken else parameter


def check_source(node: Node) -> None:
    """Refuse functions that ngspice does not have, and random ones.

    Raises:
        ExpressionError: with the function.
    """
    for part in walk(node):
        if isinstance(part, Call) and part.function not in _NATIVE_ONLY:
            check_call(part, SOURCES)
        if isinstance(part, Call) and part.function == "pwl" and len(part.arguments) < 5:
            raise ExpressionError("pwl takes a variable and at least two pairs of values")
        if isinstance(part, Call) and part.function in ("ddt", "u2") and len(part.arguments) != 1:
            raise ExpressionError(f"{part.function} takes one argument")


def write_expression(
    node: Node, probe: Callable[[Probe], tuple[str, ...]], parameter: Callable[[str], str]
) -> tuple[str, ...]:
    """An expression as text for ngspice, every operand in parentheses.

    Args:
        node: the expression.
        probe: text of a voltage or current.
        parameter: text of a name.

    Returns:
        Pieces to be joined.
    """
    if isinstance(node, Number):
        return (f"({spice_number(node.value)})",)
    if isinstance(node, Name):
        return (node.name if node.name in VARIABLES | set(CONSTANTS) else parameter(node.name),)
    if isinstance(node, Probe):
        return probe(node)
    written = [write_expression(a, probe, parameter) for a in node.arguments]
    if node.function == "neg":
        return ("(-", *written[0], ")")
    if node.function == "!":
        return ("(!", *written[0], ")")
    if node.function == "?":
        return ("(", *written[0], " ? ", *written[1], " : ", *written[2], ")")
    if not node.function[0].isalpha():
        return ("(", *written[0], node.function, *written[1], ")")
    pieces: list[str] = [node.function, "("]
    for k, argument in enumerate(written):
        pieces += [",", *argument] if k else argument
    return (*pieces, ")")


def source_law(
    name: str,
    node: Node,
    nodes: tuple[str, str],
    resolve: Callable[[str], str],
    parameters: Mapping[str, float],
) -> Element | None:
    """A current source as a device with a law, where it depends on its own voltage only.

    Args:
        name: plain name of the element.
        node: its current [A].
        nodes: plain names of its terminals.
        resolve: plain name of a node of the expression.
        parameters: values of the parameters in the expression.

    Returns:
        The element, or `None` where its derivative is not known.
    """
    parts = walk(node)
    if len(parts) > _MAX_SYMBOLIC or any(isinstance(p, Name) and p.name in VARIABLES for p in parts):
        return None
    if any(isinstance(p, Call) and p.function in _NATIVE_ONLY | _FLAT for p in parts):
        return None
    probes = [p for p in parts if isinstance(p, Probe)]
    if any(p.kind != "v" for p in probes):
        return None
    own = {p: tuple(map(resolve, p.names)) for p in probes}
    if any(not {*found} <= {*nodes, _GROUND} for found in own.values()):
        return None
    fields = {n: field_name(n) for n in sorted(parameters)}
    try:
        law = _law(node, nodes, own, fields)
    except (ExpressionError, ArithmeticError, ValueError, TypeError, RecursionError):
        return None
    if law is None:
        return None
    device = SourceLaw(
        f"behavioural_source_{name}",
        ("p", "n"),
        tuple(Parameter(f, "1", description="parameter of the netlist") for f in fields.values()),
        law=law,
        description="current source of the netlist that depends on its own voltage",
        pieces=write_expression(
            node, lambda p: _terminal(own[p], nodes), lambda n: f"${fields[n]}" if n in fields else n
        ),
    )
    values: dict[str, Any] = {fields[n]: v for n, v in parameters.items()}
    return device.element(name, *nodes, **values)


def _terminal(found: Sequence[str], nodes: tuple[str, str]) -> tuple[str, ...]:
    """The placeholder of a voltage between terminals or to ground."""
    p, n = nodes
    plus, minus = found[0], found[1] if len(found) == 2 else _GROUND
    if plus == minus:
        return ("$0",)
    if (plus, minus) in ((p, n), (n, p)):
        return ("$+-" if plus == p else "$-+",)
    if minus == _GROUND:
        return ("$+" if plus == p else "$-",)
    return "(-", "$+" if minus == p else "$-", ")"


def _law(
    node: Node, nodes: tuple[str, str], own: Mapping[Probe, tuple[str, ...]], fields: Mapping[str, str]
) -> sp.Expr | None:
    common = sp.Symbol("common_", real=True)
    p, n = nodes
    at = {p: U + common, n: common, _GROUND: sp.Integer(0)}
    if p == _GROUND:
        at = {p: sp.Integer(0), n: -U}
    elif n == _GROUND:
        at = {p: U, n: sp.Integer(0)}
    elif p == n:
        return None

    def convert(part: Node) -> sp.Expr:
        if isinstance(part, Probe):
            found = own[part]
            return at[found[0]] - (at[found[1]] if len(found) == 2 else 0)
        if isinstance(part, Name):
            return symbol(fields[part.name]) if part.name in fields else _number(CONSTANTS[part.name])
        if isinstance(part, Number):
            return _number(part.value)
        if not any(isinstance(x, Name | Probe) for x in walk(part)):
            return _number(evaluate(part, lambda name: CONSTANTS[name], SOURCES))
        if part.function == "?":
            return _chosen(condition(part.arguments[0]), *(convert(a) for a in part.arguments[1:]))
        if part.function in _LOGICAL:
            return _chosen(condition(part), sp.Integer(1), sp.Integer(0))
        return _SYMBOLIC[part.function](*(convert(a) for a in part.arguments))

    def condition(part: Node) -> Any:
        if isinstance(part, Call) and part.function in _LOGICAL:
            inner = condition if part.function in ("!", "&&", "||") else convert
            return _LOGICAL[part.function](*(inner(a) for a in part.arguments))
        return sp.Ne(convert(part), 0)

    law = sp.sympify(convert(node))
    if law.has(common):
        law = sp.expand_mul(law)
    if law.has(common) or law.has(sp.nan, sp.zoo, sp.oo, sp.I):
        return None
    for by in (U, *(symbol(f) for f in fields.values())):
        slope = sp.diff(law, by)
        if slope.has(sp.Derivative, sp.Subs, sp.DiracDelta, sp.Heaviside, sp.re, sp.im, sp.nan, sp.zoo):
            return None
    return law


def _number(value: float) -> sp.Expr:
    return sp.Integer(int(value)) if value == int(value) and abs(value) < 1e6 else sp.Float(value, 17)


def _absolute(x: sp.Expr) -> sp.Expr:
    return sp.Abs(x) if x.is_extended_real else sp.Piecewise((x, x >= 0), (-x, True))


def _chosen(condition: Any, yes: sp.Expr, no: sp.Expr) -> sp.Expr:
    return sp.Piecewise((yes, condition), (no, True))


def _power(x: sp.Expr, y: sp.Expr) -> sp.Expr:
    even = y.is_Integer and int(y) % 2 == 0
    return x**y if even else _absolute(x) ** y


_LOGICAL: dict[str, Callable[..., Any]] = {
    "!": sp.Not,
    "&&": sp.And,
    "||": sp.Or,
    "==": lambda x, y: sp.Eq(sp.expand_mul(x - y), 0),
    "!=": lambda x, y: sp.Ne(sp.expand_mul(x - y), 0),
    "<": lambda x, y: sp.expand_mul(x - y) < 0,
    ">": lambda x, y: sp.expand_mul(x - y) > 0,
    "<=": lambda x, y: sp.expand_mul(x - y) <= 0,
    ">=": lambda x, y: sp.expand_mul(x - y) >= 0,
    "eq0": lambda x: sp.Eq(x, 0),
    "ne0": lambda x: sp.Ne(x, 0),
    "gt0": lambda x: x > 0,
    "lt0": lambda x: x < 0,
    "ge0": lambda x: x >= 0,
    "le0": lambda x: x <= 0,
}
_SYMBOLIC: dict[str, Callable[..., sp.Expr]] = {
    "neg": lambda x: -x,
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "^": _power,
    "**": _power,
    "pow": _power,
    "pwr": lambda x, y: sp.Piecewise((_power(x, y), x >= 0), (-_power(x, y), True)),
    "abs": _absolute,
    "sgn": lambda x: sp.Piecewise((1, x > 0), (-1, x < 0), (0, True)),
    "log10": lambda x: sp.log(x) / math.log(10.0),
    "log": sp.log,
    "ln": sp.log,
    "max": lambda x, y: _chosen(sp.expand_mul(x - y) >= 0, x, y),
    "min": lambda x, y: _chosen(sp.expand_mul(x - y) <= 0, x, y),
    "u": lambda x: sp.Piecewise((1, x > 0), (0, x < 0), (0.5, True)),
    "uramp": lambda x: sp.Piecewise((x, x > 0), (0, True)),
    **{
        name: getattr(sp, name)
        for name in (
            "sqrt", "exp", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh",
            "acosh", "atanh",
        )
    },
}  # fmt: skip
