"""Elements of a netlist that only ngspice knows: their lines are written anew from checked tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from circuits.devices.base import Element
from circuits.devices.mosfet import mosfet
from circuits.devices.native import native, waveform_source
from circuits.importer.cards import Token
from circuits.importer.flatten import Instance
from circuits.importer.lines import did_you_mean, shown
from circuits.importer.models import is_number
from circuits.numbers import spice_number

if TYPE_CHECKING:
    from circuits.importer.elements import Importer

__all__ = ["coupling", "current_switch", "line", "modelled", "no_model", "source_name", "transistor",
           "waveform_source"]  # fmt: skip

_KEY = re.compile(r"[a-z]\w*", re.ASCII)
_FLAGS = frozenset(("off", "on"))
_HOT = frozenset(("temp", "dtemp"))
_TERMINALS = {"M": (3, 7), "Q": (3, 5), "J": (3, 3), "Z": (3, 3), "S": (4, 4), "O": (4, 4), "U": (3, 3)}
_KINDS = {
    "M": {"nmos", "pmos", "vdmos", "vdmosn", "vdmosp"}, "Q": {"npn", "pnp"}, "J": {"njf", "pjf"},
    "Z": {"nmf", "pmf"}, "S": {"sw"}, "W": {"csw"}, "O": {"ltra"}, "U": {"urc"}, "D": {"d"},
    "R": {"r", "res"}, "C": {"c"}, "L": {"l"},
}  # fmt: skip


def source_name(instance: Instance, text: str, known: Mapping[str, Instance]) -> str:
    """The flat netlist's name of the voltage source that an element names.

    Raises:
        SpecError: there is no such voltage source.
    """
    name = instance.where.path + text
    if name.lower() not in known or known[name.lower()].letter != "V":
        sources = [i.item.name for i in known.values() if i.letter == "V" and i.where == instance.where]
        instance.place.fail(
            f"{shown(instance.name)}: there is no voltage source {shown(text)} here"
            + did_you_mean(text, sources, "; currents are sensed in voltage sources (V)")
        )
    return name


def no_model(instance: Instance, text: str, kind: str) -> NoReturn:
    """Refuse an element whose model is not there.

    Raises:
        SpecError: always.
    """
    known = [m.name for d in instance.where.definition.enclosing() for m in d.models.values()]
    hint = did_you_mean(text, known, "; add its .model, or .include the file that has it")
    instance.place.fail(f"{instance.name}: there is no model {shown(text)} of type {kind.upper()}{hint}")


def options(instance: Instance, tokens: tuple[Token, ...]) -> str:
    """The words and `key=value` pairs behind an element's model, written anew."""
    where, place, name = instance.where, instance.place, instance.name
    written: list[str] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        key = token.lower
        paired = at + 2 < len(tokens) and tokens[at + 1] == Token("=")
        if paired and _KEY.fullmatch(key) and not token.braced:
            if key in _HOT:
                place.fail(f"{name}: {key}= is not read: networks are simulated at 27 degrees Celsius")
            values = [spice_number(where.scope.number(tokens[at + 2], place, f"{name}: {key}"))]
            at += 3
            while key == "ic" and at < len(tokens) and is_number(tokens[at]):
                values.append(spice_number(where.scope.number(tokens[at], place, f"{name}: ic")))
                at += 1
            written.append(f"{key}={','.join(values)}")
        elif key in _FLAGS and not token.braced:
            written.append(key)
            at += 1
        elif is_number(token) and not written:
            written.append(spice_number(where.scope.number(token, place, name)))
            at += 1
        else:
            place.fail(f"{name}: {shown(token.text)} is not read here")
    return "".join(f" {w}" for w in written)


def modelled(self: Importer, instance: Instance, count: int) -> list[Element]:
    """An element with `count` nodes and a model card; a value may stand before the model."""
    where, tokens = instance.where, instance.item.tokens
    nodes, rest = self.terminals(instance, count), tokens[count:]
    before = ""
    if rest and instance.letter in "RCL" and is_number(rest[0]):
        before = spice_number(where.scope.number(rest[0], instance.place, instance.name)) + " "
        rest = rest[1:]
    text = rest[0].text if rest else ""
    model = where.model(text)
    kinds = _KINDS[instance.letter]
    if model is None or model.kind not in kinds:
        no_model(instance, text, min(kinds))
    card = self.cards.card(model, where)
    written = options(instance, rest[1:])
    if instance.letter == "M" and count == 4:
        sizes = dict(part.split("=") for part in written.split() if part.count("=") == 1 and "," not in part)
        if {"w", "l"} <= set(sizes) and len(sizes) == len(written.split()):
            values = {key: float(value) for key, value in sizes.items()}
            return [mosfet(self.plain(instance), *nodes, model=card, **values)]  # type: ignore[arg-type]
    body = f"{before}{card.name}{written}"
    return [native(self.plain(instance), instance.letter, nodes, body, card)]


def transistor(self: Importer, instance: Instance) -> list[Element]:
    """M, Q, J, Z, S, O and U: nodes up to the first word that names a model of the right type."""
    least, most = _TERMINALS[instance.letter]
    tokens, kinds = instance.item.tokens, _KINDS[instance.letter]
    for count in range(least, most + 1):
        if count < len(tokens) and not tokens[count].braced:
            model = instance.where.model(tokens[count].text)
            if model is not None and model.kind in kinds:
                return modelled(self, instance, count)
    no_model(instance, tokens[least].text if len(tokens) > least else "", min(kinds))


def coupling(self: Importer, instance: Instance) -> list[Element]:
    """K: two inductors and a factor."""
    place, tokens = instance.place, instance.item.tokens
    if len(tokens) != 3:
        place.fail(f"{instance.name} is read as: {instance.item.name} L1 L2 factor")
    names = []
    for token in tokens[:2]:
        key = (instance.where.path + token.text).lower()
        found = self.by_name.get(key)
        if found is None or found.letter != "L":
            place.fail(f"{instance.name}: there is no inductor {shown(token.text)} here")
        names.append(f"L{self.plain(found)}")
    factor = instance.where.scope.number(tokens[2], place, instance.name)
    if not 0.0 < abs(factor) <= 1.0:
        place.fail(f"{instance.name}: a coupling of {factor:g} is not between 0 and 1")
    return [native(self.plain(instance), "K", (), f"{names[0]} {names[1]} {spice_number(factor)}")]


def line(self: Importer, instance: Instance) -> list[Element]:
    """T: four nodes, z0= and td= or f= and nl=."""
    nodes = self.terminals(instance, 4)
    body = options(instance, instance.item.tokens[4:]).strip()
    if "z0=" not in body and "zo=" not in body:
        instance.place.fail(f"{instance.name} needs z0=")
    return [native(self.plain(instance), "T", nodes, body)]


def current_switch(self: Importer, instance: Instance) -> list[Element]:
    """W: two nodes, the source that controls it, a model."""
    tokens = instance.item.tokens
    if len(tokens) < 4:
        instance.place.fail(f"{instance.name} needs two nodes, a voltage source and a model")
    source = self.by_name[source_name(instance, tokens[2].text, self.by_name).lower()]
    model = instance.where.model(tokens[3].text)
    if model is None or model.kind != "csw":
        no_model(instance, tokens[3].text, "csw")
    card = self.cards.card(model, instance.where)
    body = f"V{self.plain(source)} {card.name}{options(instance, tokens[4:])}"
    return [native(self.plain(instance), "W", self.terminals(instance, 2), body, card)]
