"""A smaller network with the same solution, for networks whose sources are short circuits.

In an adjoint network an independent voltage source to ground is a short circuit. A node that such a source
holds, and that has no other neighbours than resistors, is ground; resistors side by side are one, and so are
conductances that are played back, such as those of two antiparallel diodes. Where the free network has a
conductance from every source to every node, the folded adjoint network has one from every node to ground.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from circuits.adjoint import AdjointBranch
from circuits.devices.base import Element
from circuits.network import GROUND, Network

FloatArray = NDArray[np.float64]

_DENSE = 1_000_000  # entries up to which a matrix is kept with its zeros


@dataclass(frozen=True)
class Folded:
    """A folded network and the way back to the one that it stands for.

    Attributes:
        network: the smaller network.
        nodes: that became ground.
        sources: voltage sources that held them, in the same order.
        signs: of the sources, 1 where the positive terminal was the node, `(n_nodes,)`.
        resistors: names of the folded network's resistors.
        parts: names of the resistors that were there before.
        sums: which of them each folded resistor consists of, `(n_resistors, n_parts)`, zeros and ones.
        ends: nodes at the other end of resistors to a folded node.
        links: which `parts` lie between each folded node and each of these `ends`: rows, columns and the
            positions in `parts`.
        played: for every conductance that is played back by another one's source, the name of that one.
    """

    network: Network
    nodes: tuple[str, ...]
    sources: tuple[str, ...]
    signs: FloatArray
    resistors: tuple[str, ...]
    parts: tuple[str, ...]
    sums: sparse.csr_array
    ends: tuple[str, ...]
    links: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    played: Mapping[str, str] = field(default_factory=dict)

    def currents(self, voltages: FloatArray, conductances: FloatArray) -> FloatArray:
        """The currents of the sources that were folded away, positive into their first terminal.

        Args:
            voltages: of `ends`, `(n_points, n_ends)` [V].
            conductances: of `parts`, `(n_parts,)` [S].

        Returns:
            `(n_points, n_nodes)` [A].
        """
        rows, columns, places = self.links
        shape = (len(self.ends), len(self.nodes))
        if shape[0] * shape[1] <= _DENSE:
            flat = np.bincount(columns * shape[1] + rows, conductances[places], shape[0] * shape[1])
            return np.asarray(voltages @ (self.signs * flat.reshape(shape)))
        matrix = sparse.coo_array((conductances[places], (rows, columns)), shape=shape[::-1]).tocsr()
        return np.asarray(self.signs * (matrix @ voltages.T).T)


def fold(network: Network, keep: Collection[str] = ()) -> Folded:
    """Let nodes held at zero become ground, and resistors side by side one.

    Args:
        network: flat; its independent voltage sources that are not driven are short circuits.
        keep: nodes, voltage sources and conductances that must stay.
    """
    kept = {*keep, *(n for o in network.outputs for n in (o.plus, o.minus))}
    holders: dict[str, list[Element]] = {}
    others: set[str] = set()
    for e in network.elements:
        if e.device.kind == "voltage_source" and not e.driven and e.name not in kept:
            for node in e.nodes:
                if node != GROUND:
                    holders.setdefault(node, []).append(e)
        elif e.device.kind != "resistor":
            others |= set(e.nodes)
    held = {
        node: found[0]
        for node, found in holders.items()
        if len(found) == 1 and GROUND in found[0].nodes and node not in others and node not in kept
    }
    gone = {e.name for e in held.values()}
    elements: list[Element] = []
    parts: list[str] = []
    together: dict[tuple[str, str], list[int]] = {}
    first: dict[tuple[str, str], Element] = {}
    ends: dict[str, int] = {}
    number = {node: k for k, node in enumerate(held)}
    links: list[tuple[int, int, int]] = []
    beside: dict[frozenset[str], str] = {}
    played: dict[str, str] = {}
    for e in network.elements:
        if e.name in gone:
            continue
        if isinstance(e.device, AdjointBranch) and e.device.keys == ("gu",) and e.name not in kept:
            one = beside.setdefault(frozenset(e.nodes[:2]), e.name)
            if one != e.name:
                played[e.name] = one
                continue
        if e.device.kind != "resistor":
            elements.append(e)
            continue
        place = len(parts)
        parts.append(e.name)
        for here, there in (e.nodes, e.nodes[::-1]):
            if here in held and there not in held and there != GROUND:
                links.append((number[here], ends.setdefault(there, len(ends)), place))
        p, n = sorted(GROUND if node in held else node for node in e.nodes)
        if p == n:
            continue
        if (p, n) not in first:
            first[p, n] = replace(e, nodes=(p, n))
        together.setdefault((p, n), []).append(place)
    values = np.array([network.element(name).value("conductance") for name in parts])
    rows = np.concatenate([np.full(len(t), k) for k, t in enumerate(together.values())] or [np.zeros(0, int)])
    columns = np.concatenate([np.array(t) for t in together.values()] or [np.zeros(0, int)])
    sums = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(together), len(parts)))
    for e, total in zip(first.values(), sums @ values, strict=True):
        elements.append(replace(e, values=(float(total),)))
    found = np.array(links, dtype=np.int64).reshape(-1, 3)
    return Folded(
        network=replace(network, elements=tuple(elements), positions=()),
        nodes=tuple(held),
        sources=tuple(e.name for e in held.values()),
        signs=np.array([1.0 if e.nodes[0] != GROUND else -1.0 for e in held.values()]),
        resistors=tuple(e.name for e in first.values()),
        parts=tuple(parts),
        sums=sums,
        ends=tuple(ends),
        links=(found[:, 0], found[:, 1], found[:, 2]),
        played=played,
    )
