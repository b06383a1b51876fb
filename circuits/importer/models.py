"""Model cards of the flat netlist: evaluated, and named so that no two collide."""

from __future__ import annotations

import re
from dataclasses import replace

from circuits.devices.base import ModelCard
from circuits.devices.native import NativeCard
from circuits.importer.cards import Model, Token
from circuits.importer.expressions import ExpressionError, spice_value
from circuits.importer.flatten import Environment
from circuits.importer.lines import shown
from circuits.importer.names import Names

_KEY = re.compile(r"[a-z_]\w*", re.ASCII)
_VERSION = re.compile(r"[0-9]+(\.[0-9]+)+")
_WORDS = frozenset((
    "nchan", "pchan", "npn", "pnp", "nolevel", "off", "quad", "linear", "cubic", "fulltrap",
))  # fmt: skip


class Cards:
    """The model cards that a netlist needs."""

    def __init__(self) -> None:
        self._names = Names()
        self._known: dict[tuple[str, ModelCard], ModelCard] = {}

    def card(self, model: Model, where: Environment) -> ModelCard:
        """The card of a model as it is seen from one place; equal cards are one."""
        words, numbers = _parameters(model, where)
        kind = model.kind.upper()
        made = NativeCard("", kind, numbers, words) if words else ModelCard("", kind, numbers)
        key = (model.name.lower(), made)
        if key not in self._known:
            base = model.name if model.name[:1].isalpha() else f"m_{model.name}"
            self._known[key] = replace(made, name=self._names.fresh(base))
        return self._known[key]


def _parameters(model: Model, where: Environment) -> tuple[tuple[str, ...], tuple[tuple[str, float], ...]]:
    """Flags and texts, and the numbers of a card."""
    words: list[str] = []
    numbers: dict[str, float] = {}
    tokens = model.tokens
    at = 0
    while at < len(tokens):
        key = tokens[at].lower
        if at + 2 < len(tokens) and tokens[at + 1] == Token("="):
            value = tokens[at + 2]
            if not _KEY.fullmatch(key) or tokens[at].braced:
                model.place.fail(f".model {shown(model.name)}: {shown(key)} is no name of a parameter")
            if key == "version" and _VERSION.fullmatch(value.text):
                words.append(f"{key}={value.text}")
            else:
                numbers[key] = where.scope.number(value, model.place, f".model {model.name}: {key}")
            at += 3
            continue
        if key not in _WORDS or tokens[at].braced:
            model.place.fail(
                f".model {shown(model.name)}: expected name=value, found {shown(tokens[at].text)}"
            )
        words.append(key)
        at += 1
    return tuple(words), tuple(numbers.items())


def is_number(token: Token) -> bool:
    """Whether a word is a number or an expression rather than a name."""
    if token.braced:
        return True
    try:
        spice_value(token.text)
    except ExpressionError:
        return False
    return True
