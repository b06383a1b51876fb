"""A netlist as a network with inputs, outputs and trainable parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bridge.errors import NetworkError, SpecError
from circuits.importer.cards import sort_lines
from circuits.importer.elements import Importer
from circuits.importer.extra import Extra, placed
from circuits.importer.flatten import flatten
from circuits.importer.lines import did_you_mean, read_deck, shown
from circuits.importer.names import ImportedNetwork, ImportedOutput, Names
from circuits.importer.trainable import select
from circuits.network import GROUND, Drive, Network


def import_netlist(
    path: Path,
    *,
    inputs: Mapping[str, str],
    outputs: Sequence[str],
    trainable: Sequence[str | Mapping[str, Any]],
    name: str | None = None,
    extra: Sequence[Extra] = (),
) -> Network:
    """Read a SPICE netlist as a network.

    Args:
        path: the netlist; its first line is its title.
        inputs: for each feature, in their order, the V or I source that plays it [V or A].
        outputs: nodes, or `"a,b"` for `v(a) - v(b)` [V].
        trainable: elements, patterns or mappings (see `circuits.importer.trainable.select`).
        name: the network's name; the file's by default.
        extra: devices that are no part of the netlist, between its nodes.

    Returns:
        An `ImportedNetwork`, which knows the netlist's own names and what was ignored.

    Raises:
        SpecError: the netlist is wrong or holds what is refused: `file:line: what is wrong; what to do`.
        NetworkError: `inputs`, `outputs` or `trainable` name what the netlist does not have.
    """
    path = Path(path)
    deck = sort_lines(read_deck(path), str(path))
    instances, conditions = flatten(deck)
    if not instances:
        raise SpecError(f"{path}:1: the netlist has no elements")
    importer = Importer(deck, instances, conditions)
    importer.driven = _inputs(inputs, importer)
    made = importer.elements()
    nodes = importer.nodes
    made = {**made, **placed(extra, made, importer.names, nodes)}
    drives = tuple(Drive(made[source.lower()][0].name, feature=k) for k, source in enumerate(inputs.values()))
    elements = tuple(e for parts in made.values() for e in parts)
    try:
        return ImportedNetwork(
            name or re.sub(r"[^\w.-]", "_", path.stem),
            elements,
            drives,
            tuple(_output(text, nodes) for text in outputs),
            select(trainable, made, importer.names),
            node_names=_changed(nodes),
            element_names=_changed(importer.names),
            notes=tuple(dict.fromkeys(deck.notes)),
        )
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None


def _inputs(inputs: Mapping[str, str], importer: Importer) -> set[str]:
    driven: set[str] = set()
    for feature, source in inputs.items():
        found = importer.by_name.get(str(source).lower())
        if found is None:
            known = [i.name for i in importer.instances if i.letter in "VI"]
            near = did_you_mean(str(source), known, f"; it has: {', '.join(known[:8]) or 'none'}")
            raise NetworkError(f"inputs: {feature}: the netlist has no source {shown(str(source))}{near}")
        if found.letter not in "VI":
            raise NetworkError(f"inputs: {feature}: {source} is no voltage or current source")
        if source.lower() in driven:
            raise NetworkError(f"inputs: {feature}: {source} is an input already")
        driven.add(source.lower())
    return driven


def _output(text: str, nodes: Names) -> ImportedOutput:
    parts = [part.strip() for part in str(text).split(",")]
    if not 1 <= len(parts) <= 2 or not all(parts):
        raise NetworkError(f'outputs: {shown(str(text))} is no node; write a node, or "a,b" for a difference')
    plain = []
    for part in parts:
        key = GROUND if part.lower() == "gnd" else part.lower()
        if key not in nodes.plain:
            raise NetworkError(f"outputs: the netlist has no node {shown(part)}{nodes.near(part)}")
        plain.append(nodes.plain[key])
    return ImportedOutput(plain[0], plain[1] if len(plain) == 2 else GROUND, text=",".join(parts))


def _changed(names: Names) -> tuple[tuple[str, str], ...]:
    return tuple((plain, written) for plain, written in names.written.items() if plain != written)
