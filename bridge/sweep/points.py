"""The points of a sweep: all combinations, value by value, or drawn at random."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from bridge.sweep.plan import Plan

Values = dict[str, Any]
"""A point of a sweep: a value for each swept key path."""

_MOST_POINTS = 1_000_000
_TRIES, _MORE = 1000, 20  # draws without a new point, and more for each point there is, before there is none


def listed(plan: Plan) -> Iterator[Values]:
    """The points in their order."""
    if plan.spec.method == "random":
        yield from drawn(plan)
        return
    lengths = {axis.path: len(axis.choices) for axis in plan.axes}
    if plan.spec.method == "zip" and len(set(lengths.values())) > 1:
        shown = ", ".join(f"{n} of {path}" for path, n in lengths.items())
        raise plan.refuse(("parameters",), f"method zip needs as many values of each key, got {shown}")
    if plan.spec.method == "grid" and int(np.prod(list(lengths.values()), dtype=object)) > _MOST_POINTS:
        raise plan.refuse(("parameters",), f"the grid has more than {_MOST_POINTS} points")
    every = itertools.product if plan.spec.method == "grid" else zip
    none = True
    for chosen in every(*(axis.choices for axis in plan.axes)):
        pairs = dict(zip(lengths, chosen, strict=True))
        if plan.meets({path: choice.resolved for path, choice in pairs.items()}):
            none = False
            yield {path: choice.given for path, choice in pairs.items()}
    if none:
        raise plan.refuse(("constraints",), "no point meets them")


def drawn(plan: Plan) -> Iterator[Values]:
    """Different points drawn at random, as many as the sweep asks for."""
    rng = np.random.default_rng(plan.spec.sampler_seed)
    assert plan.spec.samples is not None
    seen: set[str] = set()
    vain = 0
    while vain < _TRIES + _MORE * len(seen):
        vain += 1
        pairs = {axis.path: axis.draw(rng) for axis in plan.axes}
        if not plan.meets({path: choice.resolved for path, choice in pairs.items()}):
            continue
        values = {path: choice.given for path, choice in pairs.items()}
        identity = json.dumps([choice.resolved for choice in pairs.values()])
        if identity not in seen:
            seen.add(identity)
            vain = 0
            yield values
        if len(seen) == plan.spec.samples:
            return
    raise plan.refuse(
        ("samples",),
        f"only {len(seen)} different points were found that meet the constraints; take fewer",
    )


def corners(plan: Plan) -> list[Values]:
    """Points that hold the first and the last value of every key."""
    first = {axis.path: axis.ends[0] for axis in plan.axes}
    tried = [first, *({**first, axis.path: axis.ends[1]} for axis in plan.axes)]
    return [
        {path: choice.given for path, choice in pairs.items()}
        for pairs in tried
        if plan.meets({path: choice.resolved for path, choice in pairs.items()})
    ]


def ends(points: Sequence[Values], path: str) -> list[Values]:
    """Points with the least and the greatest value of a key, or its first and last."""
    if not points:
        return []
    numbers = [p[path] for p in points]
    if all(isinstance(n, int | float) for n in numbers):
        return [points[int(np.argmin(numbers))], points[int(np.argmax(numbers))]]
    different = {json.dumps(n, sort_keys=True, default=str): p for n, p in zip(numbers, points, strict=True)}
    return list(different.values())[:20]
