"""Which networks have a (weighted) co-content, so that equilibrium propagation is exact on them.

A network of reciprocal two-terminals is a stationary point of its co-content (Millar 1951). Bidirectional
amplifiers with a forward voltage gain `A` and a backward current gain `b` are not reciprocal, but the
network has a weighted co-content when every layer behind such an amplifier weighs `b / A` times the one
before it: the derivative of `w_next * cocontent_next` with respect to the amplifier's input voltage is
`w_next * A * i`, and Kirchhoff's law at the input has `w * b * i`.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from bridge.errors import UnsupportedElementError
from circuits.network import GROUND, Network

_ADVICE = "use the estimator finite_difference for this network"


def branch_weights(network: Network) -> dict[str, float]:
    """Weight of every element's co-content, relative to the outputs' part of the network.

    Returns:
        A weight for each element with a branch between nodes that are not held by sources; elements
        between held nodes have weight 1 (their voltage never changes).

    Raises:
        UnsupportedElementError: an element is neither reciprocal nor a bidirectional amplifier, or
            amplifiers form a loop whose gains contradict each other, or the outputs lie in parts of
            different weight.
    """
    held = network.source_nodes
    parent: dict[str, str] = {n: n for n in network.nodes}

    def find(node: str) -> str:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    amplifiers = []
    for element in network.elements:
        if element.device.kind == "amplifier":
            p, pref, q, qref = element.nodes
            if pref not in held or qref not in held:
                raise UnsupportedElementError(
                    element.name, "the amplifier's reference nodes are not held by sources", _ADVICE
                )
            amplifiers.append((element.name, p, q, element.value("backward_gain") / element.value("gain")))
        elif not element.device.reciprocal:
            raise UnsupportedElementError(element.name, f"a {element.device.kind} is not reciprocal", _ADVICE)
        else:
            free = [n for n in element.nodes if n not in held]
            for a, b in pairwise(free):
                parent[find(a)] = find(b)

    links: dict[str, list[tuple[str, float, str]]] = {}
    for name, p, q, ratio in amplifiers:
        if p in held:
            continue  # drives a part of the network but hears nothing back: another held node
        links.setdefault(find(p), []).append((find(q), ratio, name))
        links.setdefault(find(q), []).append((find(p), 1.0 / ratio, name))

    outputs = [n for o in network.outputs for n in (o.plus, o.minus) if n not in held and n != GROUND]
    weights: dict[str, float] = {}
    starts = [find(n) for n in outputs[:1]] + sorted({find(n) for n in network.nodes if n not in held})
    for start in starts:
        if start in weights:
            continue
        weights[start] = 1.0
        queue = deque([start])
        while queue:
            part = queue.popleft()
            for other, ratio, name in links.get(part, []):
                weight = weights[part] * ratio
                if other not in weights:
                    weights[other] = weight
                    queue.append(other)
                elif abs(weights[other] - weight) > 1e-9 * weight:
                    raise UnsupportedElementError(
                        name, "amplifiers in a loop with gains that contradict each other", _ADVICE
                    )
    for output in network.outputs:
        for node in (output.plus, output.minus):
            if node not in held and abs(weights[find(node)] - 1.0) > 1e-9:
                raise UnsupportedElementError(
                    node, "outputs lie on both sides of an amplifier with different gains", _ADVICE
                )
    result = {}
    for element in network.elements:
        free = [n for n in element.nodes if n not in held]
        result[element.name] = weights[find(free[0])] if free else 1.0
    return result
