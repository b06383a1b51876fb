"""Lines sorted into what they define: subcircuits with their parameters, models and instances."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from circuits.importer.expressions import ExpressionError, Node, parse
from circuits.importer.lines import Line, Place, shown

_WORD = re.compile(r"[\s(),]*(?:(?P<braced>\{[^{}]*\}|'[^']*')|(?P<equal>=)|(?P<word>[^\s(),={}']+)|$)")
_ASSIGNMENT = re.compile(r"[\s,]*([A-Za-z_]\w*)\s*=(?!=)\s*", re.ASCII)
_MAX_ASSIGNMENTS = 10_000
_ANALYSES = frozenset((
    ".op", ".dc", ".ac", ".noise", ".disto", ".pz", ".sens", ".tf", ".sp", ".print", ".plot", ".save",
    ".probe", ".four", ".fourier", ".meas", ".measure", ".width", ".title", ".backanno", ".global",
    ".ends", ".end",
))  # fmt: skip
_LETTERS = frozenset("RCLVIEGFHBDMQJZSWTOUKX")
KINDS = frozenset((
    "r", "res", "c", "l", "d", "npn", "pnp", "nmos", "pmos", "njf", "pjf", "nmf", "pmf", "vdmos",
    "vdmosn", "vdmosp", "sw", "csw", "ltra", "urc",
))  # fmt: skip
"""Model types that are read; others can load code or files."""


@dataclass(frozen=True)
class Token:
    """A word, an expression in braces or quotes, or `=`."""

    text: str
    braced: bool = False

    @property
    def lower(self) -> str:
        """In lower case."""
        return self.text.lower()


@dataclass(frozen=True)
class Item:
    """An element line.

    Attributes:
        name: as written.
        tokens: what follows the name; parentheses and commas are separators.
        text: the whole line.
        place: where it stands.
    """

    name: str
    tokens: tuple[Token, ...]
    text: str
    place: Place


@dataclass(frozen=True)
class Model:
    """A `.model` card before its parameters have values."""

    name: str
    kind: str
    tokens: tuple[Token, ...]
    place: Place


@dataclass
class Definition:
    """A subcircuit, or the whole netlist.

    Attributes:
        name: lower case; empty for the netlist.
        place: where it starts.
        outer: where it is defined.
        ports: its nodes, lower case.
        defaults: parameters that an instance may set.
        parameters: its own `.param`.
        models: by lower-case name.
        subckts: defined inside of it, by lower-case name.
        items: element lines.
        conditions: `.ic` lines.
    """

    name: str
    place: Place
    outer: Definition | None = None
    ports: tuple[str, ...] = ()
    defaults: dict[str, tuple[Node, Place]] = field(default_factory=dict)
    parameters: dict[str, tuple[Node, Place]] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    subckts: dict[str, Definition] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    conditions: list[Item] = field(default_factory=list)

    def enclosing(self) -> Iterator[Definition]:
        """Itself and what it is defined in, from the inside out."""
        at: Definition | None = self
        while at is not None:
            yield at
            at = at.outer


@dataclass
class Deck:
    """A netlist sorted.

    Attributes:
        root: what stands outside of subcircuits.
        globals: nodes that are the same everywhere, lower case.
        transient: the `.tran` line's tokens.
        notes: what was ignored, one line each.
    """

    root: Definition
    globals: set[str] = field(default_factory=set)
    transient: Item | None = None
    notes: list[str] = field(default_factory=list)


def tokenize(text: str, place: Place) -> tuple[Token, ...]:
    """The words of a line."""
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None or match.end() == at:
            place.fail(f"cannot read {shown(text[at:].strip()[:20])}: a brace or quote that is not closed?")
        if match["braced"]:
            tokens.append(Token(match["braced"][1:-1], True))
        elif match["equal"] or match["word"]:
            tokens.append(Token(match["equal"] or match["word"]))
        at = match.end()
    return tuple(tokens)


def assignments(text: str, place: Place) -> dict[str, tuple[Node, Place]]:
    """The expressions of `a=1 b={2*a}` by name in lower case."""
    found: dict[str, tuple[Node, Place]] = {}
    if len(text) > _MAX_ASSIGNMENTS:
        place.fail(f"the line is longer than {_MAX_ASSIGNMENTS} characters; split it")
    starts = [m for m in _ASSIGNMENT.finditer(text) if _outside(text, m.start(1))]
    if not starts or text[: starts[0].start()].strip(" \t,"):
        place.fail("expected name=value pairs, for example: .param r=1k")
    ends = [m.start() for m in starts[1:]] + [len(text)]
    for match, end in zip(starts, ends, strict=True):
        name = match[1].lower()
        value = text[match.end() : end].strip(" \t,")
        found[name] = (expression(value, place, name), place)
    return found


def expression(text: str, place: Place, name: str) -> Node:
    """An expression with or without braces or quotes around it."""
    if len(text) > 1 and text[0] == text[-1] == "'":
        text = text[1:-1]
    try:
        return parse(text)
    except ExpressionError as error:
        place.fail(f"{name}: {error}")


def _outside(text: str, at: int) -> bool:
    before = text[:at]
    return (
        before.count("(") <= before.count(")")
        and before.count("{") <= before.count("}")
        and before.count("'") % 2 == 0
        and (at == 0 or before[-1] in " \t,}')")
    )


def sort_lines(lines: Sequence[Line], file: str, types: frozenset[str] = frozenset()) -> Deck:
    """Sort lines into definitions.

    Args:
        lines: of the file.
        file: its name, for messages.
        types: of models that are read besides ngspice's own ones.

    Raises:
        SpecError: a line is not understood, or a subcircuit does not end.
    """
    deck = Deck(Definition("", Place(file, 1)))
    at = deck.root
    for line in lines:
        card, place = line.card, line.place
        if card == ".subckt":
            at = _open(line, at)
        elif card == ".ends":
            if at.outer is None:
                place.fail(".ends without a .subckt before it")
            at = at.outer
        elif card == ".param":
            at.parameters.update(assignments(line.text[len(card) :], place))
        elif card == ".model":
            _model(line, at, KINDS | types)
        elif card.startswith("."):
            _card(line, deck, at)
        elif card[0].upper() in _LETTERS:
            name = line.text.split(maxsplit=1)[0]
            at.items.append(Item(name, tokenize(line.text[len(name) :], place), line.text, place))
        else:
            place.fail(
                f"{shown(card)}: elements of type {shown(card[0].upper())} are not read "
                f"(known: {' '.join(sorted(_LETTERS))})"
            )
    if at.outer is not None:
        at.place.fail(f".subckt {shown(at.name)} has no .ends")
    return deck


def _open(line: Line, outer: Definition) -> Definition:
    place = line.place
    tokens = tokenize(line.text.split(maxsplit=1)[1] if " " in line.text else "", place)
    names = [t.lower for t in tokens]
    first = next((k for k, t in enumerate(tokens) if t.text == "=" and not t.braced), len(tokens) + 1) - 1
    ports = tuple(n for n in names[1:first] if n != "params:")
    if not names or any(t.braced for t in tokens[:first]):
        place.fail(".subckt needs a name and its nodes")
    if len(set(ports)) != len(ports):
        place.fail(f".subckt {shown(names[0])}: a node is named twice")
    definition = Definition(names[0], place, outer, ports)
    if first < len(tokens):
        start = re.search(rf"(?<![^\s,(]){re.escape(tokens[first].text)}\s*=", line.text)
        definition.defaults = assignments(line.text[start.start() if start else 0 :], place)
    if sum(1 for _ in definition.enclosing()) > 20:
        place.fail(".subckt is nested deeper than 20 levels")
    if names[0] in outer.subckts:
        place.fail(
            f".subckt {shown(names[0])} is defined twice (first at {outer.subckts[names[0]].place.line})"
        )
    outer.subckts[names[0]] = definition
    return definition


def _model(line: Line, at: Definition, kinds: frozenset[str]) -> None:
    tokens = tokenize(line.text[len(".model") :], line.place)
    if len(tokens) < 2 or any(t.braced or t.text == "=" for t in tokens[:2]):
        line.place.fail(".model needs a name and a type, for example: .model d1 D(is=1e-14)")
    name, kind = tokens[0].lower, tokens[1].lower
    if kind not in kinds:
        line.place.fail(
            f".model {shown(name)}: the type {shown(kind)} is not read (known: {' '.join(sorted(kinds))})"
        )
    if name in at.models:
        line.place.fail(f".model {shown(name)} is defined twice (first in line {at.models[name].place.line})")
    at.models[name] = Model(tokens[0].text, kind, tokens[2:], line.place)


def _card(line: Line, deck: Deck, at: Definition) -> None:
    card, place = line.card, line.place
    item = Item(card, tokenize(line.text[len(card) :], place), line.text, place)
    if card == ".ic":
        at.conditions.append(item)
    elif card == ".global":
        deck.globals |= {t.lower for t in item.tokens}
    elif card == ".tran":
        deck.transient = item
    elif card in (".options", ".option", ".opt"):
        _options(item, deck)
    elif card in (".temp", ".temperature"):
        _temperature(item.tokens[0].text if item.tokens else "", place)
    elif card == ".nodeset":
        deck.notes.append(f"{place.file}:{place.line}: .nodeset is ignored")
    elif card == ".func":
        place.fail(".func is not read; write the expression in place, or a .param")
    elif card not in _ANALYSES:
        place.fail(f"the card {shown(card)} is not known; remove it")


_NEUTRAL = frozenset((
    "reltol", "abstol", "vntol", "chgtol", "trtol", "gmin", "itl1", "itl2", "itl3", "itl4", "itl5",
    "itl6", "pivtol", "pivrel", "method", "maxord", "klu", "sparse", "noacct", "acct", "list", "node",
    "nomod", "nopage", "post", "probe", "savecurrents", "interp", "numdgt", "ingold", "noopiter",
    "opts", "gminsteps", "srcsteps", "keepopinfo", "noinit", "autostop", "xmu", "warn", "seed",
    "altshow", "wnflag",
))  # fmt: skip


def _options(item: Item, deck: Deck) -> None:
    """Tolerances are the experiment's; options that would change the circuit are refused."""
    names = []
    tokens = item.tokens
    for k, token in enumerate(tokens):
        before = tokens[k - 1].text if k else ""
        if token.text == "=" or before == "=":
            continue
        name = token.lower
        value = tokens[k + 2].text if k + 2 < len(tokens) and tokens[k + 1].text == "=" else ""
        if name in ("temp", "tnom"):
            _temperature(value, item.place)
        elif name not in _NEUTRAL:
            item.place.fail(
                f"the option {shown(name)} is not read: it may change the circuit; remove it, "
                "or write what it does into the elements"
            )
        names.append(name)
    if names:
        where = f"{item.place.file}:{item.place.line}"
        deck.notes.append(f"{where}: options {' '.join(names)} are ignored: the experiment sets its own")


def _temperature(text: str, place: Place) -> None:
    if text.strip() not in ("27", "27.0", "27."):
        place.fail("networks are simulated at 27 degrees Celsius; another temperature is not supported")
