"""Names: those of the netlist, and the plain ones that a network uses for them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from circuits.importer.flatten import GROUND
from circuits.importer.lines import did_you_mean
from circuits.network import Network, Output

_RESERVED = frozenset(("gnd", "time", "temper", "hertz", "all", "allv", "alli"))


@dataclass
class Names:
    """Plain names (letters, digits, underscores) for those of a netlist, unique in any case.

    Attributes:
        plain: plain name by the netlist's name in lower case.
        written: the netlist's spelling by its plain name.
        avoid: words of the netlist in lower case, which no made-up name may take.
    """

    plain: dict[str, str] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    avoid: set[str] = field(default_factory=set)
    _used: set[str] = field(default_factory=set)
    _counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str) -> str:
        """The plain name for a netlist's name; the same one for every spelling."""
        key = name.lower()
        if key not in self.plain:
            self.plain[key] = plain = self.fresh(name)
            self.written[plain] = name
        return self.plain[key]

    def fresh(self, name: str) -> str:
        """A plain name like `name` that nothing uses yet."""
        base = re.sub(r"[^A-Za-z0-9_]", "_", name) or "n"
        if base.lower() in _RESERVED or (base != name and base == GROUND):
            base = f"n_{base}"
        plain, count = base, self._counts.get(base.lower(), 1)
        while plain.lower() in self._used or (plain != name and plain.lower() in self.avoid):
            count += 1
            plain = f"{base}_{count}"
        self._counts[base.lower()] = count
        self._used.add(plain.lower())
        return plain

    def near(self, name: str) -> str:
        """`; did you mean ...?` for an unknown name, or nothing."""
        return did_you_mean(name, self.written.values())


@dataclass(frozen=True)
class ImportedOutput(Output):
    """An output that is shown under the netlist's names.

    Attributes:
        text: as the experiment names it.
    """

    text: str = ""

    @property
    def label(self) -> str:
        """Name for tables and plots."""
        return self.text or super().label


@dataclass(frozen=True)
class ImportedNetwork(Network):
    """A network from a netlist, with the netlist's own names.

    Attributes:
        node_names: plain and written name of every node whose names differ.
        element_names: the same for elements.
        notes: what the importer ignored, one line each.
    """

    node_names: tuple[tuple[str, str], ...] = ()
    element_names: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def written_node(self, plain: str) -> str:
        """The netlist's name of a node."""
        return dict(self.node_names).get(plain, plain)

    def written_element(self, plain: str) -> str:
        """The netlist's name of an element."""
        return dict(self.element_names).get(plain, plain)
