"""Exact reduction of a network: its linear synapses at known nodes as one Norton equivalent a node.

A conductance `g_k` between a node and an ideal voltage source `e_k` whose voltage is known draws the current
`g_k (v - e_k)`. All those of a node together are one conductance `sum g_k` to ground and one current source
`sum g_k e_k`: the same equation, so the same node voltages, at every time if the sources vary. The voltage
across each folded conductance is `e_k - v`, exactly. Sources that nothing else hangs on are not loaded.
Source of the equivalence: Norton's theorem; Mayer, Telegraphen- und Fernsprech-Technik 15, 335 (1926).

Not folded: synapses at nodes behind amplifiers (their voltage depends on other nodes), at sources whose
voltage is trained or whose current is an output, and devices that are not linear conductances.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from circuits.devices.base import Device, Element
from circuits.devices.native import NativeElement
from circuits.devices.passive import resistor
from circuits.devices.sources import current_source
from circuits.network import GROUND, Drive, Network

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_DENSE = 8  # a matrix with fewer places than this many times its entries is kept dense


@dataclass(frozen=True)
class Known:
    """Nodes that ideal sources hold at a voltage that does not depend on the network.

    Attributes:
        nodes: their names, ground last.
        levels: volts a unit of each drive, `(n_drives, n_known)`, sparse.
        offsets: constant part [V], `(n_known,)`.
        held_by: the source that holds each node, and the node that it starts from.
    """

    nodes: tuple[str, ...]
    levels: Any
    offsets: FloatArray
    held_by: dict[str, tuple[Element, str]]

    @classmethod
    def of(cls, network: Network) -> Known:
        """Follow the voltage sources from ground."""
        left_out = {t.element for t in network.trainable} | set(network.probes)
        told = _named(network.elements)
        left_out |= {e.name for e in network.elements if f"v{e.name.lower()}" in told}  # its current counts
        drives = {d.source: k for k, d in enumerate(network.drives)}
        sources: dict[str, list[Element]] = {}
        for element in network.elements:
            steady = element.driven or bool(element.device.parameters)  # no waveform of its own
            if element.device.kind == "voltage_source" and steady and element.name not in left_out:
                for node in element.nodes:
                    sources.setdefault(node, []).append(element)
        terms: dict[str, tuple[dict[int, float], float]] = {GROUND: ({}, 0.0)}
        held_by: dict[str, tuple[Element, str]] = {}
        frontier = [GROUND]
        while frontier:
            here = frontier.pop()
            for source in sources.get(here, []):
                plus, minus = source.nodes
                other, sign = (plus, 1.0) if here == minus else (minus, -1.0)
                if other in terms:
                    continue
                parts, offset = dict(terms[here][0]), terms[here][1]
                if source.driven:
                    column = drives[source.name]
                    parts[column] = parts.get(column, 0.0) + sign
                else:
                    offset += sign * source.value("dc")
                terms[other] = parts, offset
                held_by[other] = source, here
                frontier.append(other)
        names = (*(n for n in terms if n != GROUND), GROUND)
        entries = [(d, k, v) for k, n in enumerate(names) for d, v in terms[n][0].items()]
        rows, columns, values = (np.array(x) for x in zip(*entries, strict=True)) if entries else ([], [], [])
        shape = (len(network.drives), len(names))
        levels = (
            sparse.csr_array((values, (rows, columns)), shape=shape) if entries else sparse.csr_array(shape)
        )
        return cls(names, levels, np.array([terms[n][1] for n in names]), held_by)

    def voltages(self, drives: FloatArray) -> FloatArray:
        """Their voltages `(n_samples, n_known)` [V] for drives `(n_samples, n_drives)`."""
        if self._one_each is None:
            return np.asarray((self._by_node @ drives.T).T + self.offsets)
        columns, factors = self._one_each
        return np.take(drives, columns, axis=1) * factors + self.offsets

    @cached_property
    def _by_node(self) -> Any:
        return self.levels.T.tocsr()

    @cached_property
    def _one_each(self) -> tuple[IntArray, FloatArray] | None:
        """The only drive that each node follows and its factor (0 for none); `None` where one has several."""
        by_node = self._by_node
        counts = np.diff(by_node.indptr)
        if not self.levels.shape[0] or counts.max(initial=0) > 1:
            return None
        columns, factors = np.zeros(len(counts), dtype=np.int64), np.zeros(len(counts))
        columns[counts == 1], factors[counts == 1] = by_node.indices, by_node.data
        return columns, factors


@dataclass(frozen=True)
class Reduction:
    """A network and what is loaded in its place.

    Attributes:
        full: the network as it is described.
        network: the one with the same voltages that is loaded; its drives are those of `full` that are left,
            then one current source for every folded node.
        known: the nodes whose voltage is known beforehand.
        starts: of every folded conductance, its known node, `(n_folded,)`.
        ends: its other node, as a position in `folded_nodes`.
        folded_nodes: columns in `full.node_index` of the nodes with a Norton equivalent, `(n_nodes,)`.
        values: the conductances as described [S], `(n_folded,)`.
        places: of those that are trained, their places among the folded ones, `(n_places,)`.
        trained: and their places in the vector of trainable parameters, `(n_places,)`.
        left: places in that vector of the parameters of the loaded network, in its order.
        drives_left: columns of the drives that are left.
        equivalents: names of the conductances of the Norton equivalents, in the order of `folded_nodes`.
    """

    full: Network
    network: Network
    known: Known
    starts: IntArray
    ends: IntArray
    folded_nodes: IntArray
    values: FloatArray
    places: IntArray
    trained: IntArray
    left: IntArray
    drives_left: IntArray
    equivalents: tuple[str, ...]

    @property
    def note(self) -> str:
        """What was done, for a netlist."""
        dropped = len(self.full.elements) - len(self.network.elements)
        return (
            f"reduced: {len(self.starts)} conductances at nodes of known voltage are folded into "
            f"{len(self.equivalents)} Norton equivalents ({dropped} elements fewer; the same node voltages)"
        )

    def conductances(self, parameters: FloatArray) -> FloatArray:
        """The folded conductances [S], `(n_folded,)`, for trainable parameters `(n_trainable,)`."""
        found = self.values.copy()
        found[self.places] = parameters[self.trained]
        return found

    def node_conductances(self, conductances: FloatArray) -> FloatArray:
        """Conductances of the Norton equivalents [S], `(n_nodes,)`."""
        return np.asarray(np.bincount(self.ends, conductances, len(self.folded_nodes)), dtype=float)

    def matrix(self, conductances: FloatArray) -> Any:
        """From known voltages to source currents: `(n_known, n_nodes)` [S], dense or sparse."""
        shape = (len(self.known.nodes), len(self.folded_nodes))
        if self._dense:
            return np.bincount(self._flat, conductances, shape[0] * shape[1]).reshape(shape)
        return sparse.csr_array((conductances, (self.starts, self.ends)), shape=shape)

    @cached_property
    def _flat(self) -> IntArray:
        """Places of the folded conductances in a dense matrix of known nodes by folded ones."""
        return self.starts * len(self.folded_nodes) + self.ends

    @cached_property
    def _trained_flat(self) -> IntArray:
        return self._flat[self.places]

    @property
    def _dense(self) -> bool:
        return len(self.known.nodes) * len(self.folded_nodes) <= _DENSE * len(self.starts)

    def sources(self, drives: FloatArray, matrix: Any, known: FloatArray | None = None) -> FloatArray:
        """Values of the loaded network's drives.

        Args:
            drives: of the full network, `(n_samples, n_drives)` [V or A].
            matrix: see `matrix`.
            known: the known voltages of these drives, `(n_samples, n_known)` [V]; found when left out.

        Returns:
            `(n_samples, n_loaded_drives)`, C-contiguous.
        """
        known = self.known.voltages(drives) if known is None else known
        currents = known @ matrix if self._dense else (matrix.T @ known.T).T
        return np.ascontiguousarray(np.concatenate([drives[:, self.drives_left], currents], axis=1))

    def expand(self, loaded: FloatArray, known: FloatArray) -> FloatArray:
        """Node voltages of the full network.

        Args:
            loaded: those of the loaded one, `(n_samples, n_loaded_nodes)` [V].
            known: the known voltages, `(n_samples, n_known)` [V]; or one row for all.

        Returns:
            `(n_samples, n_nodes + 1)` [V] in the order of `full.nodes`, ground last.
        """
        found = np.empty((len(loaded), len(self.full.node_index)))
        found[:, self._known_columns] = known
        found[:, self._loaded_columns] = loaded
        return found

    @cached_property
    def _known_columns(self) -> IntArray:
        return np.array([self.full.node_index[n] for n in self.known.nodes], dtype=np.int64)

    @cached_property
    def _loaded_columns(self) -> IntArray:
        return np.array([self.full.node_index[n] for n in self.network.nodes], dtype=np.int64)

    def contrasts(self, plus: FloatArray, minus: FloatArray) -> FloatArray:
        """Sums over samples of `(u_plus^2 - u_minus^2) / 2` of the trained folded conductances.

        With `u = e - v` it is the sum of `(v_plus - v_minus) ((v_plus + v_minus) / 2 - e)`: one product of
        matrices for all of them.

        Args:
            plus: node voltages of the full network, `(n_samples, n_nodes + 1)` [V].
            minus: those of the phase nudged the other way.

        Returns:
            `(n_places,)` [V^2].
        """
        held = plus[:, self._known_columns]
        a, b = plus[:, self.folded_nodes], minus[:, self.folded_nodes]
        difference, mean = a - b, 0.5 * (a + b)
        own = np.einsum("sn,sn->n", difference, mean)
        if self._dense:
            return np.take(own - held.T @ difference, self._trained_flat)
        ends, starts = self.ends[self.places], self.starts[self.places]
        crossed = np.zeros(len(starts))
        for e, d in zip(held, difference, strict=True):
            crossed += e[starts] * d[ends]
        return np.asarray(own[ends] - crossed)


def reduce_network(network: Network) -> Reduction | None:
    """Fold what can be folded; `None` where that is nothing.

    Args:
        network: composite elements stay as they are.
    """
    known = Known.of(network)
    numbers = {n: k for k, n in enumerate(known.nodes)}
    places = {t.element: k for k, t in enumerate(network.trainable) if t.parameter == "conductance"}
    inside = [
        (e, numbers.get(e.nodes[0]), numbers.get(e.nodes[1]))
        for e in network.elements
        if e.device.kind == "resistor"
    ]
    ground = numbers[GROUND]
    fed = {e.nodes[1 if p is not None else 0] for e, p, n in inside if _fed(p, n, ground)}
    folded: list[tuple[Element, int, str]] = []
    gone: set[str] = set()
    for element, p, n in inside:
        if p is not None and n is not None:
            gone.add(element.name)  # between two known nodes: no node feels it
        elif p is not None and element.nodes[1] in fed:
            folded.append((element, p, element.nodes[1]))
        elif n is not None and element.nodes[0] in fed:
            folded.append((element, n, element.nodes[0]))
    if not folded:
        return None
    gone |= {e.name for e, _, _ in folded}
    nodes = tuple(dict.fromkeys(node for _, _, node in folded))
    numbers_of = {node: k for k, node in enumerate(nodes)}
    values = np.array([e.value("conductance") for e, _, _ in folded])
    ends = np.array([numbers_of[node] for _, _, node in folded], dtype=np.int64)
    rest = [e for e in network.elements if e.name not in gone]
    gone |= _idle(known, network, rest)
    rest = [e for e in rest if e.name not in gone]
    prefix = _free_prefix(network)
    sums = np.bincount(ends, values, len(nodes))
    equivalents = [
        resistor(f"{prefix}{n}", n, GROUND, conductance=g) for n, g in zip(nodes, sums, strict=True)
    ]
    feeds = [current_source(f"{prefix}{n}_feed", GROUND, n, driven=True) for n in nodes]
    drives_left = [k for k, d in enumerate(network.drives) if d.source not in gone]
    left = [k for k, t in enumerate(network.trainable) if t.element not in gone]
    trained = [(k, places[e.name]) for k, (e, _, _) in enumerate(folded) if e.name in places]
    remaining = {n for e in (*rest, *equivalents) for n in e.nodes}
    loaded = replace(
        network,
        elements=(*rest, *equivalents, *feeds),
        drives=(*(network.drives[k] for k in drives_left), *(Drive(f.name) for f in feeds)),
        trainable=tuple(network.trainable[k] for k in left),
        positions=tuple(p for p in network.positions if p[0] in remaining),
    )
    pairs = np.array(trained, dtype=np.int64).reshape(-1, 2)
    return Reduction(
        full=network,
        network=loaded,
        known=known,
        starts=np.array([start for _, start, _ in folded], dtype=np.int64),
        ends=ends,
        folded_nodes=np.array([network.node_index[n] for n in nodes], dtype=np.int64),
        values=values,
        places=pairs[:, 0],
        trained=pairs[:, 1],
        left=np.array(left, dtype=np.int64),
        drives_left=np.array(drives_left, dtype=np.int64),
        equivalents=tuple(e.name for e in equivalents),
    )


def _fed(p: int | None, n: int | None, ground: int) -> bool:
    """Whether a conductance leads from a source to a node that is not known."""
    return (p is None) != (n is None) and (n if p is None else p) != ground


def _named(elements: Sequence[Element]) -> set[str]:
    """Words in lower case of the lines that only ngspice knows: they may name nodes and sources."""
    lines = {text for e in elements for text in _lines(e.device)}
    return {word for text in lines for word in re.findall(r"\w+", text.lower())}


def _lines(device: Device) -> tuple[str, ...]:
    return (device.body,) if isinstance(device, NativeElement) else ()


def _idle(known: Known, network: Network, rest: list[Element]) -> set[str]:
    """Sources that hold no node which anything else hangs on."""
    holding = {source.name for source, _ in known.held_by.values()}
    wanted = {n for e in rest if e.name not in holding for n in e.nodes}
    told = _named(rest)
    wanted |= {node for node in known.held_by if node.lower() in told}
    wanted |= {n for o in network.outputs for n in (o.plus, o.minus)}
    needed: set[str] = set()
    for node in wanted:
        while node in known.held_by and known.held_by[node][0].name not in needed:
            needed.add(known.held_by[node][0].name)
            node = known.held_by[node][1]
    return holding - needed


def _free_prefix(network: Network) -> str:
    """A beginning of names that no element has."""
    prefix = "norton_"
    while any(e.name.lower().startswith(prefix) for e in network.elements):
        prefix = f"x{prefix}"
    return prefix
