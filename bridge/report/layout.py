"""Places of nodes in a drawing: those of the network, or a deterministic layout of the graph."""

from __future__ import annotations

from collections import defaultdict

import networkx as nx
import numpy as np

from bridge.report.data import Link, Wiring

SOURCES = frozenset({"voltage_source", "current_source"})
_SIDE = {"input": -1.0, "bias": -1.0, "output": 1.0}


def places(wiring: Wiring) -> dict[str, tuple[float, float]]:
    """Where to draw nodes, in a unit square with y upwards.

    Ground has no place. Nodes without coordinates that only carry sources and diodes (the inside of a
    clamp) have none either: what hangs there is drawn at the node it hangs on.
    """
    inner = _inner(wiring)
    nodes = [
        node for node in wiring.nodes if node.name != "0" and (node.x is not None or node.name not in inner)
    ]
    if all(node.x is not None and node.y is not None for node in nodes):
        raw = {node.name: (float(node.x or 0.0), float(node.y or 0.0)) for node in nodes}
    else:
        raw = _spread(wiring, [node.name for node in nodes])
    return _unit_square(raw)


def _inner(wiring: Wiring) -> set[str]:
    """Internal nodes that no weight touches."""
    passive = SOURCES | {"diode", "capacitor"}
    busy = {n for e in wiring.elements if e.trainable or e.kind not in passive for n in e.ends}
    return {node.name for node in wiring.nodes if node.role == "internal" and node.name not in busy}


def _spread(wiring: Wiring, names: list[str]) -> dict[str, tuple[float, float]]:
    """Lay the graph out, then turn it so that inputs are left and outputs right."""
    graph = nx.Graph()
    graph.add_nodes_from(names)
    graph.add_edges_from(pair for pair in (link.ends for link in wiring.elements) if {*pair} <= {*names})
    if len(names) <= 120:
        laid = nx.kamada_kawai_layout(graph, pos=nx.circular_layout(graph))
    else:
        laid = nx.spring_layout(graph, seed=0)
    points = np.array([laid[name] for name in names], dtype=float)
    side = np.array([_SIDE.get(wiring.roles[name], 0.0) for name in names])
    if (side < 0).any() and (side > 0).any():
        axis = points[side > 0].mean(axis=0) - points[side < 0].mean(axis=0)
        turn = -np.arctan2(axis[1], axis[0])
        cosine, sine = np.cos(turn), np.sin(turn)
        points = points @ np.array([[cosine, sine], [-sine, cosine]])
    return {name: (float(x), float(y)) for name, (x, y) in zip(names, points, strict=True)}


def _unit_square(raw: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    if not raw:
        return {}
    points = np.array(list(raw.values()), dtype=float)
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    middle = np.where(high > low, 0.0, 0.5)
    return {name: tuple((p - low) / span + middle) for name, p in zip(raw, points, strict=True)}


def crowd(where: dict[str, tuple[float, float]]) -> tuple[int, float]:
    """How dense a layout is.

    Returns:
        The number of nodes in the fullest column, and the smallest distance of two neighbours in a
        column (1 where there are none).
    """
    columns: dict[float, list[float]] = defaultdict(list)
    for x, y in where.values():
        columns[round(x, 2)].append(y)
    gaps = [float(np.diff(sorted(ys)).min()) for ys in columns.values() if len(ys) > 1]
    return max((len(ys) for ys in columns.values()), default=0), min(gaps, default=1.0)


def hooks(wiring: Wiring, where: dict[str, tuple[float, float]]) -> dict[str, list[Link]]:
    """Diodes by the node they hang on: the other end is ground or has no place."""
    found: dict[str, list[Link]] = defaultdict(list)
    for link in wiring.elements:
        if link.kind == "diode":
            placed = [node for node in link.ends if node in where]
            if len(placed) == 1:
                found[placed[0]].append(link)
    return dict(found)
