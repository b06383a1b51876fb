"""From element lines to elements: the linear ones, diodes and sources; the rest stays native."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bridge.errors import NetworkError
from circuits.devices.base import Device, Element
from circuits.devices.diode import DIODE
from circuits.devices.passive import CAPACITOR, INDUCTOR, RESISTOR
from circuits.devices.sources import CCCS, CCVS, CURRENT_SOURCE, VCCS, VCVS, VOLTAGE_SOURCE
from circuits.importer import native, waveforms
from circuits.importer.cards import Deck, Token
from circuits.importer.flatten import GROUND, Condition, Instance, pairs
from circuits.importer.lines import shown
from circuits.importer.models import Cards, is_number
from circuits.importer.names import Names
from circuits.importer.sources import behavioural, is_expression

_WIDE = 1e15


def _wide(device: Device, lower: float) -> Device:
    """The same device with bounds that any netlist stays in."""
    main = replace(device.parameters[0], lower=lower, upper=_WIDE)
    return replace(device, parameters=(main, *device.parameters[1:]))


_ANY = {"R": _wide(RESISTOR, -_WIDE), "C": _wide(CAPACITOR, -_WIDE), "L": _wide(INDUCTOR, -_WIDE)}
_USUAL = {"R": RESISTOR, "C": CAPACITOR, "L": INDUCTOR}
_CONTROLLED = {"E": VCVS, "G": VCCS, "F": CCCS, "H": CCVS}
_NO_EFFECT = frozenset(("tc", "tc1", "tc2", "noisy", "noise", "ac"))
_LAWFUL = frozenset((
    "is", "js", "n", "rs", "cjo", "cj0", "tt", "bv", "ibv", "m", "mj", "vj", "pb", "fc", "eg",
    "xti", "kf", "af", "level", "trs", "trs1", "trs2", "tnom", "tref", "cta", "ctc", "tbv1",
))  # fmt: skip


class Importer:
    """Makes the elements of a flat netlist.

    Attributes:
        instances: the netlist's elements.
        names: plain names of elements.
        nodes: plain names of nodes.
        cards: model cards.
        notes: what is ignored.
        driven: lower-case names of the sources that become inputs.
    """

    def __init__(self, deck: Deck, instances: list[Instance], conditions: list[Condition]) -> None:
        self.deck, self.instances = deck, instances
        self.names, self.nodes, self.cards = Names(), Names(), Cards()
        self.notes = deck.notes
        self.names.avoid = {i.name.lower() for i in instances}
        self.nodes.avoid = {t.lower for i in instances for t in i.item.tokens}
        self.by_name = {i.name.lower(): i for i in instances}
        self.driven: set[str] = set()
        self.nodes.add(GROUND)
        self.initial = {c.node.lower(): c for c in conditions}
        self.senses: dict[str, list[str]] = {}

    def elements(self) -> dict[str, list[Element]]:
        """The elements by the netlist's names, lower case.

        Raises:
            SpecError: an element is wrong.
        """
        for instance in self.instances:
            self._sensed(instance)
        with_expressions = [i for i in self.instances if is_expression(i)]
        made = {i.name.lower(): self._make(i) for i in self.instances if not is_expression(i)}
        for instance in with_expressions:  # they may name nodes of any other element
            self.terminals(instance, 2)
        made |= {i.name.lower(): self._make(i) for i in with_expressions}
        capacitors = [e for parts in made.values() for e in parts if e.device.kind == "capacitor"]
        self._check_conditions({n for e in capacitors for n in e.nodes})
        return {i.name.lower(): made[i.name.lower()] for i in self.instances}

    def _make(self, instance: Instance) -> list[Element]:
        try:
            return _MAKERS[instance.letter](self, instance)
        except NetworkError as error:
            instance.place.fail(str(error))

    def plain(self, instance: Instance) -> str:
        """The plain name of an element."""
        return self.names.add(instance.name)

    def terminals(self, instance: Instance, count: int) -> tuple[str, ...]:
        """The plain names of an element's first nodes."""
        tokens = instance.item.tokens[:count]
        if len(tokens) < count or any(t.braced or t.text == "=" for t in tokens):
            instance.place.fail(f"{shown(instance.name)} needs {count} nodes")
        return tuple(self.nodes.add(instance.where.node(t.text)) for t in tokens)

    def _sensed(self, instance: Instance) -> None:
        """Note that an F or H senses the current of a voltage source."""
        if instance.letter not in "FH" or len(instance.item.tokens) < 3:
            return
        name = native.source_name(instance, instance.item.tokens[2].text, self.by_name)
        self.senses.setdefault(name.lower(), []).append(instance.name.lower())

    def chain(self, source: Instance, p: str, n: str) -> tuple[str, str]:
        """Terminals of a voltage source whose current others sense, in series behind it."""
        if source.name.lower() not in self.senses:
            return p, n
        return p, self.sense_nodes(source, n)[0]

    def sense_nodes(self, source: Instance, n: str) -> list[str]:
        """Nodes from a voltage source to its own negative node, one more than there are sensors."""
        sensors = self.senses[source.name.lower()]
        inner = [self.nodes.add(f"{source.name}#{k}") for k in range(len(sensors))]
        return [*inner, n]

    def _check_conditions(self, held: set[str]) -> None:
        for condition in self.initial.values():
            plain, place = self.nodes.plain.get(condition.node.lower()), condition.place
            if plain is None:
                near = self.nodes.near(condition.node)
                place.fail(f".ic: the netlist has no node {shown(condition.node)}{near}")
            if plain not in held:
                note = f".ic of node {condition.node} does nothing: it has no capacitor"
                self.notes.append(f"{place.file}:{place.line}: {note}")

    def initial_voltage(self, p: str, n: str) -> float:
        """What `.ic` makes of the voltage between two plain nodes at the start [V]."""
        values = [
            self.initial[key].value if (key := self.nodes.written[node].lower()) in self.initial else 0.0
            for node in (p, n)
        ]
        return values[0] - values[1]


def _passive(self: Importer, instance: Instance) -> list[Element]:
    letter, where, place = instance.letter, instance.where, instance.place
    nodes = self.terminals(instance, 2)
    rest = list(instance.item.tokens[2:])
    if any(not t.braced and where.model(t.text) and not is_number(t) for t in rest[:2]):
        return native.modelled(self, instance, 2)
    value: Token | None = None
    if rest and not (len(rest) > 1 and rest[1] == Token("=")):
        value = rest.pop(0)
    factor, start = 1.0, None
    for key, token in pairs(tuple(rest), place, instance.name):
        if key == letter.lower() and value is None:
            value = token
        elif key == "m":
            factor = where.scope.number(token, place, f"{instance.name}: m")
        elif key == "ic" and letter != "R":
            start = where.scope.number(token, place, f"{instance.name}: ic")
        elif key in _NO_EFFECT:
            continue  # at the nominal temperature
        else:
            place.fail(f"{instance.name}: {shown(key)} is not read here; remove it")
    if value is None:
        place.fail(f"{instance.name} needs a value")
    number = where.scope.number(value, place, instance.name)
    if number == 0.0 or factor <= 0.0:
        if letter == "C" and factor > 0.0:
            self.notes.append(f"{place.file}:{place.line}: {instance.name} of 0 F is left out")
            return []
        advice = "use a voltage source of 0 V" if letter in "RL" else "m= must be above 0"
        place.fail(f"{instance.name}: a value of {number * factor:g} cannot be simulated; {advice}")
    size = {"R": factor / number, "C": number * factor, "L": number / factor}[letter]
    bounds = _USUAL[letter].parameters[0]
    device = _USUAL[letter] if bounds.lower <= size <= bounds.upper else _ANY[letter]
    values: dict[str, Any] = {bounds.name: size}
    if letter == "C":
        values["initial_voltage"] = self.initial_voltage(*nodes) if start is None else start
    elif letter == "L":
        if start and factor != 1.0:
            place.fail(f"{instance.name}: ic= together with m= is not read; write the inductance for all")
        values["initial_current"] = start or 0.0
    return [device.element(self.plain(instance), *nodes, **values)]


def _source(self: Importer, instance: Instance) -> list[Element]:
    """V and I: driven, constant, or with ngspice's own waveform."""
    letter, name = instance.letter, self.plain(instance)
    p, n = self.terminals(instance, 2)
    device = VOLTAGE_SOURCE if letter == "V" else CURRENT_SOURCE
    if letter == "V":
        p, n = self.chain(instance, p, n)
    if instance.name.lower() in self.driven:
        return [device.element(name, p, n, driven=True)]
    dc, body = waveforms.read_source(instance, self.deck.transient)
    if not body:
        return [device.element(name, p, n, dc=dc or 0.0)]
    if letter == "V":
        return [native.waveform_source(name, p, n, body)]
    wave = self.nodes.fresh(f"{name}_wave")
    return [
        native.waveform_source(self.names.fresh(f"{name}_wave"), wave, GROUND, body),
        VCCS.element(name, p, n, wave, GROUND, gain=1.0),
    ]


def _controlled(self: Importer, instance: Instance) -> list[Element]:
    letter, where, place = instance.letter, instance.where, instance.place
    tokens = instance.item.tokens
    keys = {t.lower for t in tokens}
    if is_expression(instance):
        return behavioural(self, instance)
    if bad := keys & {"poly", "table", "laplace", "freq", "vol", "cur", "value", "and", "or", "nand", "nor"}:
        place.fail(f"{instance.name}: {min(bad)} is not read here; write it as a behavioural source (B)")
    count = 4 if letter in "EG" else 3
    nodes = self.terminals(instance, count if letter in "EG" else 2)
    if len(tokens) <= count or tokens[count].text == "=":
        place.fail(f"{instance.name} needs {'four nodes' if count == 4 else 'a voltage source'} and a gain")
    gain = where.scope.number(tokens[count], place, f"{instance.name}: gain")
    for key, token in pairs(tokens[count + 1 :], place, instance.name):
        if key != "m" or letter not in "GF":
            place.fail(f"{instance.name}: {shown(key)} is not read here; remove it")
        gain *= where.scope.number(token, place, f"{instance.name}: m")
    if letter in "FH":
        source = self.by_name[native.source_name(instance, tokens[2].text, self.by_name).lower()]
        path = self.sense_nodes(source, self.terminals(source, 2)[1])
        at = self.senses[source.name.lower()].index(instance.name.lower())
        nodes = (*nodes, path[at], path[at + 1])
    return [_CONTROLLED[letter].element(self.plain(instance), *nodes, gain=gain)]


def _diode(self: Importer, instance: Instance) -> list[Element]:
    where, place = instance.where, instance.place
    nodes, rest = self.terminals(instance, 2), instance.item.tokens[2:]
    model = where.model(rest[0].text) if rest else None
    if model is None or model.kind != "d":
        native.no_model(instance, rest[0].text if rest else "", "d")
    card = self.cards.card(model, where)
    options = tuple(t for t in rest[1:] if t.lower != "off")
    area = 1.0
    for key, token in pairs(options, place, instance.name):
        if key not in ("area", "m"):
            return native.modelled(self, instance, 2)
        area *= where.scope.number(token, place, f"{instance.name}: {key}")
    if not {k for k, _ in card.parameters} <= _LAWFUL or card.get("level", 1.0) != 1.0:
        return native.modelled(self, instance, 2)
    if card.get("tnom", 27.0) != 27.0 or card.get("tref", 27.0) != 27.0:
        return native.modelled(self, instance, 2)
    saturation = card.get("is", card.get("js", 1e-14))
    law: dict[str, Any] = {"saturation_current": saturation, "emission": card.get("n", 1.0)}
    return [DIODE.element(self.plain(instance), *nodes, model=card, area=area, **law)]


Maker = Callable[[Importer, Instance], list[Element]]
_MAKERS: Mapping[str, Maker] = {
    "R": _passive,
    "C": _passive,
    "L": _passive,
    "V": _source,
    "I": _source,
    "E": _controlled,
    "G": _controlled,
    "F": _controlled,
    "H": _controlled,
    "B": behavioural,
    "D": _diode,
    **dict.fromkeys("MQJZSOU", native.transistor),
    "K": native.coupling,
    "T": native.line,
    "W": native.current_switch,
}
