"""Lines with an expression: B, and E and G with `vol=`, `cur=` or `value=`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuits.devices.base import Element
from circuits.devices.behavioural import voltage_expression
from circuits.devices.native import native
from circuits.importer.behaviour import CONSTANTS, VARIABLES, check_source, source_law, write_expression
from circuits.importer.expressions import Call, ExpressionError, Name, Node, Probe, parse_source, walk
from circuits.importer.flatten import GROUND, Instance
from circuits.importer.lines import shown
from circuits.importer.native import source_name
from circuits.numbers import spice_number

if TYPE_CHECKING:
    from circuits.importer.elements import Importer

_QUANTITY = {
    "B": {"i": "i", "v": "v"},
    "E": {"vol": "v", "value": "v"},
    "G": {"cur": "i", "value": "i"},
}


def is_expression(instance: Instance) -> bool:
    """Whether an element is given by an expression of voltages and currents."""
    tokens = instance.item.tokens
    return instance.letter == "B" or (
        instance.letter in "EG" and len(tokens) > 3 and tokens[3].text == "=" and not tokens[3].braced
    )


def behavioural(self: Importer, instance: Instance) -> list[Element]:
    """A source given by an expression."""
    place, name = instance.place, instance.name
    keys = _QUANTITY[instance.letter]
    tokens = instance.item.tokens
    wrong = len(tokens) < 5 or any(t.braced for t in tokens[:4]) or tokens[3].text != "="
    if wrong or tokens[2].lower not in keys:
        place.fail(f"{name} is read as: {instance.item.name} node node {'=... or '.join(keys)}=...")
    quantity = keys[tokens[2].lower]
    p, n = self.terminals(instance, 2)
    try:
        node = parse_source(instance.item.text.partition("=")[2])
        check_source(node)
    except ExpressionError as error:
        place.fail(f"{name}: {error}")
    parameters = _parameters(node, instance)
    if parameters and any(isinstance(part, Call) and part.function == "pwl" for part in walk(node)):
        place.fail(f"{name}: ngspice misreads parameters beside pwl(); write their values as numbers")
    plain = self.plain(instance)

    def resolve(text: str) -> str:
        node_name = instance.where.node(text)
        if node_name != GROUND and node_name.lower() not in self.nodes.plain:
            place.fail(f"{name}: the netlist has no node {shown(text)}{self.nodes.near(node_name)}")
        return self.nodes.add(node_name)

    def probe(part: Probe) -> tuple[str, ...]:
        if part.kind == "i":
            source = self.by_name[source_name(instance, part.names[0], self.by_name).lower()]
            return (f"i(V{self.plain(source)})",)
        plus, minus = (*map(resolve, part.names), GROUND)[:2]
        return ("0",) if plus == minus else (voltage_expression(plus, minus),)

    written = write_expression(node, probe, lambda key: f"({spice_number(parameters[key])})")
    if quantity == "i":
        element = source_law(plain, node, (p, n), resolve, parameters)
        if element is not None:
            return [element]
    return [native(plain, "B", (p, n), f"{quantity}={''.join(written)}")]


def _parameters(node: Node, instance: Instance) -> dict[str, float]:
    """Values of the parameters that an expression names."""
    found: dict[str, float] = {}
    for part in walk(node):
        if isinstance(part, Name) and part.name not in found:
            value = instance.where.scope.find(part.name)
            if value is not None:
                found[part.name] = value
            elif part.name not in VARIABLES and part.name not in CONSTANTS:
                instance.place.fail(f"{instance.name}: there is no parameter {shown(part.name)}")
    return found
