"""A subcircuit of a user's own model file as elements of a network.

elements = subcircuit_elements("x1", "opamp.sub", "opamp", ("inp", "inn", "out"), {"gain": 1e5})
network = Network("amplifier", (*elements, resistor(...)))
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bridge.errors import NetworkError, SpecError
from circuits.devices.base import Element
from circuits.importer.cards import Deck, Definition, Item, Token, sort_lines
from circuits.importer.elements import Importer
from circuits.importer.flatten import GROUND, flatten
from circuits.importer.lines import Place, did_you_mean, read_models, shown
from circuits.numbers import spice_number


def ports_of(file: str | Path, subcircuit: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The name of a subcircuit and those of its ports, in their order.

    Args:
        file: see `subcircuit_elements`.
        subcircuit: its name; the file's only one when left out.

    Raises:
        SpecError: the file is wrong, has no such subcircuit, or several and none is named.
    """
    definition = _definition(Path(file), subcircuit)[1]
    return definition.name, definition.ports


def _definition(path: Path, subcircuit: str | None) -> tuple[Deck, Definition]:
    """The file's lines, and the subcircuit that is meant."""
    deck = sort_lines(read_models(path), str(path))
    known = ", ".join(deck.root.subckts) or "none"
    if subcircuit is None:
        if len(deck.root.subckts) != 1:
            raise SpecError(f"{path}: name the .subckt that is meant; the file has: {known}")
        return deck, next(iter(deck.root.subckts.values()))
    definition = deck.root.subckts.get(subcircuit.lower())
    if definition is None:
        hint = did_you_mean(subcircuit, deck.root.subckts, "")
        raise SpecError(f"{path}: there is no .subckt {shown(subcircuit)}{hint}; the file has: {known}")
    return deck, definition


def subcircuit_elements(
    name: str,
    file: str | Path,
    subcircuit: str,
    nodes: tuple[str, ...],
    parameters: Mapping[str, float] | None = None,
) -> tuple[Element, ...]:
    """The simple elements that one instance of a subcircuit consists of.

    Linear elements, diodes and behavioural currents have derivatives and can be trained; transistors and
    whatever else only ngspice knows stay native (see `circuits.importer`).

    Args:
        name: of the instance; starts with `x`. Elements and inner nodes are called `name_...`.
        file: a model file: `.subckt`, `.model`, `.param` and `.include` of files below its folder.
        subcircuit: name of the `.subckt`.
        nodes: one for each of its ports, in their order.
        parameters: values of its parameters; its own defaults for the others.

    Raises:
        SpecError: the file is wrong or holds what is refused: `file:line: what is wrong; what to do`.
        NetworkError: the instance does not fit the subcircuit.
    """
    path = Path(file)
    if not name.lower().startswith("x"):
        raise NetworkError(f"{name}: the name of a subcircuit's instance starts with x, for example x{name}")
    deck, definition = _definition(path, subcircuit)
    tokens = [Token(str(node)) for node in nodes] + [Token(subcircuit)]
    for key, value in (parameters or {}).items():
        try:
            tokens += [Token(str(key)), Token("="), Token(spice_number(float(value)))]
        except ValueError:
            raise NetworkError(f"{name}: {key} = {value} is no finite number") from None
    place = Place(str(path), definition.place.line)
    deck.root.items = [Item(name, tuple(tokens), name, place)]
    instances, conditions = flatten(deck)
    if not instances:
        place.fail(f".subckt {shown(subcircuit)} has no elements")
    importer = Importer(deck, instances, conditions)
    for node in nodes:
        plain = GROUND if node.lower() == "gnd" else importer.nodes.add(str(node))
        if plain != str(node):
            raise NetworkError(
                f"{name}: node {node!r}: letters, digits and underscores; ground is {GROUND!r}"
            )
    return tuple(e for parts in importer.elements().values() for e in parts)
