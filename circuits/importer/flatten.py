"""Subcircuits written out: every instance with its nodes and parameters, as ngspice would have it."""

from __future__ import annotations

from dataclasses import dataclass

from circuits.importer.cards import Deck, Definition, Item, Model, Token
from circuits.importer.lines import Place, did_you_mean, shown
from circuits.importer.scopes import Scope

MAX_ELEMENTS = 200_000
MAX_DEPTH = 30
GROUND = "0"


@dataclass(frozen=True)
class Environment:
    """Where an element stands: one instance of a subcircuit, or the netlist itself.

    Attributes:
        path: names of the instances around it with a dot behind, `x1.x2.`; empty outside.
        definition: the subcircuit.
        scope: its parameters.
        nodes: what its ports are connected to.
        globals: nodes that are the same everywhere.
    """

    path: str
    definition: Definition
    scope: Scope
    nodes: dict[str, str]
    globals: frozenset[str]

    def node(self, name: str) -> str:
        """The flat netlist's name of a node, lower case but for names outside of subcircuits."""
        key = name.lower()
        if key in (GROUND, "gnd"):
            return GROUND
        if key in self.nodes:
            return self.nodes[key]
        return name if not self.path or key in self.globals else self.path + name

    def model(self, name: str) -> Model | None:
        """The model of that name that is seen here."""
        for definition in self.definition.enclosing():
            if name.lower() in definition.models:
                return definition.models[name.lower()]
        return None


@dataclass(frozen=True)
class Instance:
    """One element of the flat netlist."""

    name: str
    letter: str
    item: Item
    where: Environment

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self.item.place


@dataclass(frozen=True)
class Condition:
    """An initial node voltage `.ic v(node)=value` [V]."""

    node: str
    value: float
    place: Place


def flatten(deck: Deck) -> tuple[list[Instance], list[Condition]]:
    """All elements without subcircuits, and the initial node voltages.

    Raises:
        SpecError: an unknown subcircuit, wrong number of nodes, a subcircuit that contains itself, too many
            elements.
    """
    found: list[Instance] = []
    conditions: list[Condition] = []
    top = Environment("", deck.root, Scope(formulas=dict(deck.root.parameters)), {}, frozenset(deck.globals))
    _expand(top, 0, found, conditions, [MAX_ELEMENTS])
    return found, conditions


def _expand(
    where: Environment, depth: int, found: list[Instance], conditions: list[Condition], budget: list[int]
) -> None:
    seen: dict[str, Place] = {}
    for item in where.definition.items:
        key = item.name.lower()
        if key in seen:
            item.place.fail(f"the name {shown(item.name)} is used twice (first in line {seen[key].line})")
        seen[key] = item.place
        budget[0] -= 1
        if budget[0] < 0:
            item.place.fail(f"the netlist has more than {MAX_ELEMENTS} elements")
        if key[0] == "x":
            _expand(_inner(item, where, depth), depth + 1, found, conditions, budget)
            continue
        found.append(Instance(where.path + item.name, key[0].upper(), item, where))
    for item in where.definition.conditions:
        conditions += _conditions(item, where)


def _inner(item: Item, where: Environment, depth: int) -> Environment:
    """The environment of one instance of a subcircuit."""
    place, name = item.place, shown(item.name)
    tokens = item.tokens
    first = next((k for k, t in enumerate(tokens) if t.text == "=" and not t.braced), len(tokens) + 1) - 1
    words = [t for t in tokens[:first] if t.lower != "params:"]
    if len(words) < 1 or any(t.braced for t in words):
        place.fail(f"{name} needs its nodes and the name of a subcircuit")
    *nodes, kind = (t.text for t in words)
    definition = next(
        (d.subckts[kind.lower()] for d in where.definition.enclosing() if kind.lower() in d.subckts), None
    )
    if definition is None:
        known = {n for d in where.definition.enclosing() for n in d.subckts}
        hint = did_you_mean(kind, known, "; .include the file that defines it")
        place.fail(f"{name}: there is no subcircuit {shown(kind)}{hint}")
    if len(nodes) != len(definition.ports):
        place.fail(
            f"{name}: the subcircuit {shown(kind)} has {len(definition.ports)} nodes, not {len(nodes)}"
        )
    if depth >= MAX_DEPTH:
        place.fail(f"{name}: subcircuits are nested deeper than {MAX_DEPTH}; does one contain itself?")
    given = {}
    for key, value in pairs(tokens[first:], place, name):
        if key in ("m", "mult") and key not in definition.defaults:
            place.fail(f"{name}: m= on a subcircuit is not read; place it {shown(value.text)} times")
        if key not in definition.defaults and key not in definition.parameters:
            hint = did_you_mean(key, definition.defaults)
            place.fail(f"{name}: the subcircuit {shown(kind)} has no parameter {shown(key)}{hint}")
        given[key] = where.scope.number(value, place, f"{item.name}: {key}")
    formulas = {**definition.defaults, **definition.parameters}
    return Environment(
        where.path + item.name + ".",
        definition,
        Scope(given, {k: v for k, v in formulas.items() if k not in given}, where.scope),
        dict(zip(definition.ports, map(where.node, nodes), strict=True)),
        where.globals,
    )


def pairs(tokens: tuple[Token, ...], place: Place, name: str) -> list[tuple[str, Token]]:
    """The `key=value` pairs of tokens, keys in lower case."""
    if len(tokens) % 3:
        place.fail(f"{name}: expected key=value pairs after its nodes")
    found = []
    for k in range(0, len(tokens), 3):
        key, equal, value = tokens[k : k + 3]
        if equal.text != "=" or key.braced or (value.text == "=" and not value.braced):
            place.fail(f"{name}: expected key=value, found {shown(key.text)}")
        found.append((key.lower, value))
    return found


def _conditions(item: Item, where: Environment) -> list[Condition]:
    """The node voltages of an `.ic` line: `v ( a ) = 1`, where parentheses are gone."""
    tokens, found = item.tokens, []
    for k in range(0, len(tokens), 4):
        part = tokens[k : k + 4]
        if len(part) != 4 or part[0].lower != "v" or part[2].text != "=":
            item.place.fail(".ic is read as: .ic v(node)=value ...")
        value = where.scope.number(part[3], item.place, f".ic v({part[1].text})")
        found.append(Condition(where.node(part[1].text), value, item.place))
    return found
