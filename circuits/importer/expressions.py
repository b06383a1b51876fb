"""Expressions of a netlist, read with ngspice's own rules into a small tree.

Measured with ngspice 46 and kept here, for `.param`, braces and behavioural sources alike: `^` and `**` are
`|x|^y`, both associate from the left, a sign binds weaker than they do (`-2^2` is -4), and names are the same
in any case. Numbers have SPICE's suffixes in any case: `1M` is milli, `1F` is femto; what follows is a unit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_TOKENS = 300
MAX_NESTING = 40

_SCALE = {"t": 12, "g": 9, "meg": 6, "k": 3, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18}
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?"
_QUANTITY = re.compile(rf"([+-]?{_NUMBER})([a-z]*)", re.IGNORECASE)
_TOKEN = re.compile(
    rf"\s*(?:(?P<number>{_NUMBER}[a-z]*)(?![\w.])"
    r"|(?P<probe>[vi]\s*\(\s*(?P<inner>[^(){}]*)\))"
    r"|(?P<name>[a-z_]\w*)"
    r"|(?P<op>\*\*|\|\||&&|==|!=|<>|<=|>=|[-+*/^<>!?:(),{}%\\]))",
    re.IGNORECASE | re.ASCII,
)


class ExpressionError(Exception):
    """The text is no expression; the caller knows the place."""


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True)
class Name:
    """A parameter, or `time` and `temper` in a source; lower case."""

    name: str


@dataclass(frozen=True)
class Probe:
    """`v(a)`, `v(a,b)` or `i(v1)`, names as written."""

    kind: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Call:
    """A function, `!`, an operator or `?:` applied to operands."""

    function: str
    arguments: tuple[Node, ...]


Node = Number | Name | Probe | Call


def spice_value(text: str) -> float:
    """A number of a netlist.

    Raises:
        ExpressionError: it is none; the message says what to write where that is known.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None or len(text) > 60:
        raise ExpressionError("expected a number")
    digits, letters = match[1].lower(), match[2].lower()
    if letters.startswith("mil"):
        raise ExpressionError("mil means 25.4u in elements and milli in .param; write it in metres")
    key = "meg" if letters.startswith("meg") else letters[:1]
    mantissa, _, power = digits.partition("e")
    if len(power) > 6:
        raise ExpressionError("the exponent is too large")
    value = float(f"{mantissa}e{int(power or 0) + _SCALE.get(key, 0)}")
    if value in (float("inf"), float("-inf")):
        raise ExpressionError("the number is too large")
    return value


def parse(text: str, *, probes: bool = False, braces: bool = True) -> Node:
    """Read an expression.

    Args:
        text: the expression.
        probes: allow `v()` and `i()`.
        braces: `{}` group like parentheses; otherwise they are skipped, as ngspice does in sources.

    Raises:
        ExpressionError: what is wrong with it.
    """
    return _Parser(text, probes, braces).read()


def parse_source(text: str) -> Node:
    """Read the expression of a behavioural source, where ngspice drops braces and their grouping.

    Raises:
        ExpressionError: also where the dropped braces would change the value.
    """
    pieces = text.split("'")
    if len(pieces) % 2 == 0:
        raise ExpressionError("a quote (') is not closed")
    text = "".join("{" + p + "}" if k % 2 else p for k, p in enumerate(pieces))
    meant, read = (parse(text, probes=True, braces=b) for b in (True, False))
    if _flat(meant) != _flat(read):
        raise ExpressionError(
            "ngspice drops the braces of a source, which changes the value here; write ({...}) for {...}"
        )
    return read


def walk(node: Node) -> list[Node]:
    """The node and all below it."""
    found, stack = [], [node]
    while stack:
        found.append(top := stack.pop())
        if isinstance(top, Call):
            stack.extend(top.arguments)
    return found


_LEVELS = (("||",), ("&&",), ("==", "!=", "<>"), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%", "\\"))


class _Parser:
    def __init__(self, text: str, probes: bool, braces: bool) -> None:
        self.probes, self.depth = probes, 0
        self.tokens: list[tuple[str, str]] = []
        place, text = 0, text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise ExpressionError(f"cannot read the expression from {_part(text[place:])} on")
            kind = match.lastgroup if match.lastgroup != "inner" else "probe"
            if match["probe"]:
                self.tokens.append(("probe", match["probe"][0].lower() + " " + match["inner"]))
            elif braces or match[0].strip() not in ("{", "}"):
                self.tokens.append((str(kind), match[0].strip().lower()))
            place = match.end()
        if len(self.tokens) > MAX_TOKENS:
            raise ExpressionError(f"the expression has more than {MAX_TOKENS} parts; split it")
        self.tokens.append(("end", ""))
        self.at = 0

    def read(self) -> Node:
        node = self.choice()
        if self.tokens[self.at][0] != "end":
            raise ExpressionError(f"unexpected {_part(self.tokens[self.at][1])} in the expression")
        return node

    def accept(self, *operators: str) -> str:
        kind, text = self.tokens[self.at]
        if kind == "op" and text in operators:
            self.at += 1
            return text
        return ""

    def expect(self, operator: str) -> None:
        if not self.accept(operator):
            found = self.tokens[self.at][1]
            raise ExpressionError(
                f"expected {operator!r}, found {_part(found) if found else 'the end of the expression'}"
            )

    def choice(self) -> Node:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise ExpressionError(f"the expression is nested deeper than {MAX_NESTING} levels")
        node = self.binary(0)
        if self.accept("?"):
            yes = self.choice()
            self.expect(":")
            node = Call("?", (node, yes, self.choice()))
        self.depth -= 1
        return node

    def binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self.unary()
        node = self.binary(level + 1)
        while operator := self.accept(*_LEVELS[level]):
            name = "!=" if operator == "<>" else operator
            node = Call(name, (node, self.binary(level + 1)))
        return node

    def unary(self) -> Node:
        signs = []
        while sign := self.accept("-", "+", "!"):
            signs.append(sign)
        node = self.power()
        for sign in reversed(signs):
            if sign != "+":
                node = Call("neg" if sign == "-" else "!", (node,))
        return node

    def power(self) -> Node:
        node = self.primary()
        while operator := self.accept("^", "**"):
            signed = self.tokens[self.at] in (("op", "-"), ("op", "+"))
            node = Call(operator, (node, self.unary() if signed else self.primary()))
        return node

    def primary(self) -> Node:
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return Number(spice_value(text))
        if kind == "probe":
            return self.probe(text[0], text[1:])
        if kind == "name":
            if self.accept("("):
                arguments = [self.choice()]
                while self.accept(","):
                    arguments.append(self.choice())
                self.expect(")")
                return Call(text, tuple(arguments))
            return Name(text)
        if kind == "op" and text in ("(", "{"):
            node = self.choice()
            self.expect(")" if text == "(" else "}")
            return node
        raise ExpressionError(f"unexpected {_part(text) if text else 'end'} in the expression")

    def probe(self, kind: str, inner: str) -> Node:
        names = tuple(p.strip() for p in inner.split(","))
        if not self.probes:
            raise ExpressionError("a voltage or current cannot stand here; write a behavioural source (B)")
        if (
            not all(names)
            or any(len(n.split()) != 1 for n in names)
            or len(names) > (2 if kind == "v" else 1)
        ):
            raise ExpressionError(f"{kind}({_part(inner)}) is no {'voltage' if kind == 'v' else 'current'}")
        return Probe(kind, names)


def _part(text: str) -> str:
    return repr("".join(c if c.isprintable() else "?" for c in text[:20]))


def _flat(node: Node) -> object:
    """The tree with sums and products as lists, in which grouping that changes no value is gone."""
    if not isinstance(node, Call):
        return node
    for kind, inverse in (("+", "-"), ("*", "/")):
        if node.function in (kind, inverse):
            left, right = (_terms(a, kind) for a in node.arguments)
            turned = [(s != (node.function == inverse), t) for s, t in right]
            return kind, tuple(left + turned)
    return node.function, tuple(_flat(a) for a in node.arguments)


def _terms(node: Node, kind: str) -> list[tuple[bool, object]]:
    flat = _flat(node)
    if isinstance(flat, tuple) and flat[0] == kind:
        return list(flat[1])
    return [(False, flat)]
