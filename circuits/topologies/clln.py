"""The contrastive local learning network (CLLN): transistors as adjustable resistors, in two copies.

Sources: Dillavou, Beyer, Stern, Liu, Miskin and Durian, PNAS 121, e2319718121 (2024), arXiv:2311.00537;
coupled learning: Stern, Hexner, Rocks and Liu, Phys. Rev. X 11, 021045 (2021).

Every edge of a graph is an n-channel transistor between two nodes. The network exists twice, and the twin
transistors of an edge share the voltage of their gates, which is what learns. Inputs and rails hold the same
nodes of both copies. The outputs of the clamped copy are held at

    V_C = V_F + eta (label - V_F)

by controlled sources, which read the free copy without loading it, and the driven source of the label. A
differential output `O = O+ - O-` is clamped at both nodes, `O+-_C = O+-_F +- (eta / 2) (label - O)`.

As published: 4 x 4 nodes on a square lattice with periodic boundaries, hence 32 edges; ALD1106 transistors
with their bulk at ground; two inputs of 0 or 0.45 V, rails at 0.11 V and 0.33 V, a differential output, and
the places of these six nodes for XOR. The article itself was read through its abstract only; these details
are those of its public reproduction in SPICE (github.com/Ma-Lab-Cal/pyclln, validation_tasks/xor), and so
are the range of the gates, 0.4 V to 8 V, and their initial values, uniform between 0.5 V and 3 V.

Deviations: labels are symmetric about 0 V and positive for true, where the reproduction has 0 for false and
-87 mV for true, so that plus and minus of its output are exchanged here; the gates are ideal sources that the
update sets, not capacitors that a multiplier's current charges; the clamp is ideal and acts at once;
transistors are identical and follow a card fitted to their data sheet (`circuits.devices.ald1106`); no
measurement has noise or offset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import networkx as nx
import numpy as np

from bridge.errors import NetworkError
from circuits.devices.ald1106 import SIDE, ald1106
from circuits.devices.base import Element, ModelCard
from circuits.devices.mosfet import mosfet
from circuits.devices.native import native
from circuits.devices.sources import vcvs, voltage_source
from circuits.network import GROUND, Drive, Network, Output, Trainable
from circuits.numbers import spice_number

COPIES = ("free", "clamped")
EDGES = ("transistor", "linear")
CLAMPS = ("nodes", "difference")

_PUBLISHED = {"inputs": (15, 13), "rails": (5, 7), "outputs": (0, 10)}  # row i, column j: node 4 i + j


@dataclass(frozen=True)
class Gates:
    """Initial values and training bounds of the gate voltages [V].

    Attributes:
        lower: least voltage.
        upper: greatest voltage.
        initial_lower: lower end of the initial values, which are uniform.
        initial_upper: upper end of the initial values.
    """

    lower: float = 0.4
    upper: float = 8.0
    initial_lower: float = 0.5
    initial_upper: float = 3.0


def lattice(rows: int, columns: int) -> list[tuple[int, int]]:
    """Edges of a square lattice with periodic boundaries; node `columns * i + j` is in row i, column j."""
    found = set()
    for i in range(rows):
        for j in range(columns):
            here = columns * i + j
            for there in (columns * i + (j + 1) % columns, columns * ((i + 1) % rows) + j):
                if there != here:
                    found.add((min(here, there), max(here, there)))
    return sorted(found)


@dataclass
class _Build:
    """The elements so far, and what an edge is made of."""

    edge: str
    card: ModelCard
    elements: list[Element] = field(default_factory=list)
    drives: list[Drive] = field(default_factory=list)

    def drive(self, name: str, node: str, feature: int | None, offset: float = 0.0) -> None:
        self.elements.append(voltage_source(name, node, GROUND, driven=True))
        self.drives.append(Drive(name, feature, 0.0 if feature is None else 1.0, offset))

    def branch(self, name: str, a: str, b: str, gate: str) -> Element:
        if self.edge == "transistor":
            return mosfet(name, a, gate, b, GROUND, model=self.card, w=SIDE, l=SIDE)
        k, vt = (spice_number(self.card.get(key, 0.0)) for key in ("kp", "vto"))
        return native(name, "B", (a, b), f"i={k}*max(v({gate})-({vt}),0)*v({a},{b})")


def clln(
    n_features: int = 2,
    n_outputs: int = 1,
    *,
    rows: int = 4,
    columns: int = 4,
    edges: Sequence[tuple[int, int]] | None = None,
    inputs: Sequence[int] | None = None,
    rails: Sequence[float] = (0.11, 0.33),
    rail_nodes: Sequence[int] | None = None,
    outputs: Sequence[int] | None = None,
    differential_outputs: bool = True,
    eta: float = 0.5,
    clamp: str = "nodes",
    edge: str = "transistor",
    card: ModelCard | None = None,
    gates: Gates | None = None,
    seed: int | np.random.Generator = 0,
    name: str = "clln",
) -> Network:
    """Build a contrastive local learning network with its twin.

    Args:
        n_features: features of a sample; each holds one node.
        n_outputs: outputs.
        rows: rows of the periodic square lattice.
        columns: its columns.
        edges: pairs of node numbers instead of the lattice.
        inputs: node of each feature.
        rails: constant voltages [V] that hold one node each; their columns among the drives can be varied.
        rail_nodes: node of each rail.
        outputs: node of each output, or its nodes O+ and O- in turn where outputs are differential.
        differential_outputs: an output is the difference of two nodes.
        eta: how far the clamp moves an output towards its label, above 0 and at most 1.
        clamp: `nodes`: each node of a differential output is held, as published; `difference`: only their
            difference is.
        edge: `transistor`; `linear`: an ideal conductance `KP W/L (V_G - VTO)`, the control that cannot learn
            what is not linear.
        card: of the transistors, with equal width and length; the fitted ALD1106 when left out.
        gates: initial values and bounds.
        seed: seed of the initial gate voltages, or a generator.
        name: of the network.

    Inputs, rails and outputs that are left out take the published nodes where there are two features, two
    rails, one differential output and 4 x 4 nodes, and nodes spread over the graph otherwise.

    Returns:
        The network: `free_k` and `clamped_k` are the twins of edge `k`, `gate_k` the source of their gates,
        whose `dc` is trained; nodes are `f0`, `f1`, ... and `c0`, `c1`, ...; sources that the drives hold are
        `in_k`, `rail_k` and `label_k`. The outputs are those of the free copy.

    Raises:
        NetworkError: the nodes do not fit the graph or each other, or an argument is out of range.
    """
    if edge not in EDGES or clamp not in CLAMPS:
        raise NetworkError(f"{name}: edge {edge!r} of {EDGES}, clamp {clamp!r} of {CLAMPS}")
    if not 0.0 < eta <= 1.0:
        raise NetworkError(f"{name}: eta = {eta:g} must be above 0 and at most 1")
    pairs = lattice(rows, columns) if edges is None else [(min(e), max(e)) for e in edges]
    size = rows * columns if edges is None else 1 + max((n for e in pairs for n in e), default=0)
    sides = 2 if differential_outputs else 1
    counts = (n_features, len(rails), sides * n_outputs)
    usual = edges is None and (rows, columns) == (4, 4) and counts == (2, 2, 2) and differential_outputs
    ins, fixed, outs = _places(name, size, counts, (inputs, rail_nodes, outputs), published=usual)
    _check(name, size, pairs, [*ins, *fixed])
    bounds = gates or Gates()
    rng = np.random.default_rng(seed)
    build = _Build(edge, card or ald1106())
    for k, node in enumerate(ins):
        build.drive(f"in_{k}", f"f{node}", k)
    for k, (node, voltage) in enumerate(zip(fixed, rails, strict=True)):
        build.drive(f"rail_{k}", f"f{node}", None, voltage)
    for node in (*ins, *fixed):
        build.elements.append(vcvs(f"same_{node}", f"c{node}", GROUND, f"f{node}", GROUND, gain=1.0))
    for k, voltage in enumerate(rng.uniform(bounds.initial_lower, bounds.initial_upper, len(pairs))):
        build.elements.append(voltage_source(f"gate_{k}", f"g{k}", GROUND, dc=float(voltage)))
    for copy in COPIES:
        letter = copy[0]
        for k, (a, b) in enumerate(pairs):
            build.elements.append(build.branch(f"{copy}_{k}", f"{letter}{a}", f"{letter}{b}", f"g{k}"))
    ports = [tuple(outs[sides * k : sides * (k + 1)]) for k in range(n_outputs)]
    for k, port in enumerate(ports):
        _clamp(build, k, port, eta, clamp)
    return Network(
        name,
        tuple(build.elements),
        tuple(build.drives),
        tuple(Output(*(f"f{node}" for node in port)) for port in ports),
        tuple(Trainable(f"gate_{k}", "dc", bounds.lower, bounds.upper, "gates") for k in range(len(pairs))),
        _positions(size, columns if edges is None else round(size**0.5)),
    )


def _clamp(build: _Build, k: int, port: tuple[int, ...], eta: float, clamp: str) -> None:
    """The sources that hold output `k` of the clamped copy."""
    label, error = f"label_{k}", f"error_{k}"
    plus = f"f{port[0]}"
    minus = f"f{port[1]}" if len(port) == 2 else GROUND
    build.drive(label, label, None)
    build.elements.append(vcvs(error, error, label, minus, plus, gain=1.0))  # label - (plus - minus)
    floating = len(port) == 2 and clamp == "difference"
    ends = [(port[0], eta)] if len(port) == 1 or floating else [(port[0], eta / 2), (port[1], -eta / 2)]
    for side, (node, share) in zip("pn", ends, strict=False):
        base = f"c{port[1]}" if floating else GROUND
        inner = f"copy_{k}{side}"
        build.elements.append(vcvs(inner, inner, base, f"f{node}", minus if floating else GROUND, gain=1.0))
        build.elements.append(vcvs(f"nudge_{k}{side}", f"c{node}", inner, error, GROUND, gain=share))


def _places(
    name: str, size: int, counts: tuple[int, ...], given: tuple[Sequence[int] | None, ...], *, published: bool
) -> list[list[int]]:
    """Nodes of inputs, rails and outputs."""
    spread = iter([k * size // max(1, sum(counts)) for k in range(sum(counts))])
    places = []
    for key, count, nodes in zip(_PUBLISHED, counts, given, strict=True):
        default = [next(spread) for _ in range(count)]
        places.append(list(nodes) if nodes is not None else list(_PUBLISHED[key]) if published else default)
        if len(places[-1]) != count:
            raise NetworkError(f"{name}: {key} are {count}, but nodes are given for {len(places[-1])}")
    flat = [n for part in places for n in part]
    if len(set(flat)) != len(flat) or not all(0 <= n < size for n in flat):
        raise NetworkError(
            f"{name}: inputs {places[0]}, rails {places[1]} and outputs {places[2]} need different nodes of "
            f"0..{size - 1}"
        )
    return places


def _check(name: str, size: int, pairs: Sequence[tuple[int, int]], held: Sequence[int]) -> None:
    """Refuse graphs without a unique solution."""
    plan = nx.Graph()
    plan.add_nodes_from(range(size))
    plan.add_edges_from(pairs)
    if not nx.is_connected(plan) or plan.number_of_edges() != len(pairs) or any(a == b for a, b in pairs):
        raise NetworkError(f"{name}: the graph is not connected, or an edge is double or a loop")
    if not held:
        raise NetworkError(f"{name}: no input and no rail holds a node; give at least one")


def _positions(size: int, columns: int) -> tuple[tuple[str, float, float], ...]:
    """The copies side by side, each on its lattice."""
    return tuple(
        (f"{letter}{n}", n % columns + shift * (columns + 1.0), -float(n // columns))
        for shift, letter in enumerate("fc")
        for n in range(size)
    )
