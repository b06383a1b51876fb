"""Devices that are no part of a netlist, between its nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bridge.errors import NetworkError
from circuits.devices.base import Element
from circuits.importer.flatten import GROUND
from circuits.importer.lines import shown
from circuits.importer.names import Names


@dataclass(frozen=True)
class Extra:
    """A device beside the netlist's elements.

    Attributes:
        name: of its element, or of the whole whose parts are called `name.part`.
        nodes: of the netlist, one a terminal.
        place: makes its elements from a plain name and plain nodes.
    """

    name: str
    nodes: tuple[str, ...]
    place: Callable[[str, tuple[str, ...]], tuple[Element, ...]]


def placed(
    extra: Sequence[Extra], made: Mapping[str, Sequence[Element]], names: Names, nodes: Names
) -> dict[str, list[Element]]:
    """The elements of such devices, by the names that `trainable` may use, lower case.

    A node is one of the netlist's, or one that at least two of these devices share.

    Args:
        extra: the devices.
        made: the netlist's elements by its names, lower case.
        names: of elements.
        nodes: of the netlist.

    Raises:
        NetworkError: a name that is there already, or a node that is not there.
    """
    uses = Counter(n.lower() for e in extra for n in set(e.nodes))
    for entry in extra:
        for node in entry.nodes:
            key = node.lower()
            if key not in (GROUND, "gnd") and key not in nodes.plain and uses[key] < 2:
                raise NetworkError(
                    f"elements: {entry.name}: the netlist has no node {shown(node)}{nodes.near(node)}"
                )
    found: dict[str, list[Element]] = {}
    for entry in extra:
        key = entry.name.lower()
        if key in made or key in found:
            raise NetworkError(f"elements: {entry.name}: the netlist has an element of that name")
        plain = tuple(GROUND if n.lower() in (GROUND, "gnd") else nodes.add(n) for n in entry.nodes)
        parts = entry.place(names.add(entry.name), plain)
        inner = {n for e in parts for n in e.nodes} - {*plain, GROUND}
        if clash := sorted({n.lower() for n in inner} & {n.lower() for n in nodes.plain.values()}):
            raise NetworkError(
                f"elements: {entry.name}: its inner node has the name of node {clash[0]!r}; rename it"
            )
        if len(parts) == 1 and parts[0].name.lower() == names.plain[key].lower():
            found[key] = list(parts)
            continue
        for part in parts:  # `xname_part` of a subcircuit
            own = part.name.lower().removeprefix("x" if not key.startswith("x") else "")
            found[f"{key}.{own.removeprefix(names.plain[key].lower() + '_')}"] = [part]
    return found
