"""Arbitrary graphs of conductances between nodes, with paired diodes to ground."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np

from bridge.errors import NetworkError
from circuits.devices.base import Element, ModelCard
from circuits.devices.diode import STANDARD_CARD, Nonlinearity, rectifier
from circuits.devices.sources import voltage_source
from circuits.network import GROUND, Drive, Network, Output
from circuits.topologies.layered import Conductances
from circuits.topologies.memristive import MemristiveSynapses


def random_edges(nodes: int, degree: float, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Edges of a connected random graph: a random tree, then random pairs until the mean degree is met."""
    order = rng.permutation(nodes)
    edges = {tuple(sorted((int(order[k]), int(order[rng.integers(k)])))) for k in range(1, nodes)}
    wanted = min(max(len(edges), round(degree * nodes / 2)), nodes * (nodes - 1) // 2)
    while len(edges) < wanted:
        a, b = rng.choice(nodes, 2, replace=False)
        edges.add((min(int(a), int(b)), max(int(a), int(b))))
    return sorted((a, b) for a, b in edges)


def graph(
    nodes: int,
    n_features: int,
    n_outputs: int,
    *,
    edges: Sequence[tuple[int, int]] | None = None,
    degree: float = 4.0,
    inputs: Sequence[int] | None = None,
    outputs: Sequence[int] | None = None,
    diodes: float = 1.0,
    bias: float = 1.0,
    seed: int | np.random.Generator = 0,
    diode_card: ModelCard | Nonlinearity = STANDARD_CARD,
    diode_offset: float = 0.0,
    conductances: Conductances | MemristiveSynapses | None = None,
    name: str = "graph",
) -> Network:
    """Build a network on a graph: every edge is a trainable conductance.

    Args:
        nodes: number of nodes, `n0`, `n1`, ...
        n_features: features of a sample; each holds one node.
        n_outputs: outputs; each is the voltage of one node.
        edges: pairs of node numbers; a connected random graph when left out.
        degree: mean degree of the random graph.
        inputs: node of each feature, and of the two biases behind them; the first nodes when left out.
        outputs: node of each output; the last nodes when left out.
        diodes: share of the free nodes that have a pair of antiparallel diodes.
        bias: the two nodes after the inputs are held at `+-bias` [V]; 0 for none.
        seed: of edges, diodes and initial conductances.
        diode_card: model card of the diodes, or what stands in their place.
        diode_offset: voltage [V] of the sources behind the diodes.
        conductances: initial values and bounds of resistors, or memristive synapses.
        name: of the network.

    Raises:
        NetworkError: inputs and outputs do not fit the nodes, or the graph is not connected.
    """
    rng = np.random.default_rng(seed)
    held = n_features + (2 if bias else 0)
    ins = list(range(held)) if inputs is None else list(inputs)
    if bias and len(ins) == n_features:  # the biases take the first nodes that are not used
        used = set(ins) | set(outputs or range(nodes - n_outputs, nodes))
        ins += [k for k in range(nodes) if k not in used][:2]
    outs = list(range(nodes - n_outputs, nodes)) if outputs is None else list(outputs)
    if len(ins) != held or len(outs) != n_outputs or len({*ins, *outs}) != held + n_outputs:
        raise NetworkError(
            f"{name}: {nodes} nodes with inputs {ins} and outputs {outs} do not fit "
            f"{n_features} features, {held - n_features} biases and {n_outputs} outputs"
        )
    pairs = random_edges(nodes, degree, rng) if edges is None else [(min(e), max(e)) for e in edges]
    plan = nx.Graph()
    plan.add_nodes_from(range(nodes))
    plan.add_edges_from(pairs)
    if not nx.is_connected(plan) or plan.number_of_edges() != len(pairs) or any(a == b for a, b in pairs):
        raise NetworkError(f"{name}: the graph is not connected, or an edge is double or a loop")
    elements: list[Element] = []
    drives = []
    for k, node in enumerate(ins):
        elements.append(voltage_source(f"in_{k}", f"n{node}", GROUND, driven=True))
        feature = k if k < n_features else None
        offset = 0.0 if k < n_features else bias if k == n_features else -bias
        drives.append(Drive(f"in_{k}", feature, 1.0 if feature is not None else 0.0, offset))
    bounds = conductances or Conductances()
    for (a, b), value in zip(pairs, bounds.draw(len(pairs), rng), strict=True):
        elements.append(bounds.place(f"g_{a}_{b}", f"n{a}", f"n{b}", value))
    clamps = (GROUND, GROUND)
    if diodes and diode_offset > 0:
        elements.append(voltage_source("clamp_p", "cp", GROUND, dc=diode_offset))
        elements.append(voltage_source("clamp_n", "cn", GROUND, dc=-diode_offset))
        clamps = ("cp", "cn")
    free = [k for k in range(nodes) if k not in ins]
    for k in sorted(rng.choice(free, round(diodes * len(free)), replace=False)) if free else []:
        elements += rectifier(f"up_{k}", f"n{k}", clamps[0], diode_card)
        elements += rectifier(f"dn_{k}", clamps[1], f"n{k}", diode_card)
    return Network(
        name,
        tuple(elements),
        tuple(drives),
        tuple(Output(f"n{k}") for k in outs),
        tuple(bounds.trainable(f"g_{a}_{b}", "edges") for a, b in pairs),
    )
