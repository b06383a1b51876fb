"""Results kept by the identity of their arguments: long tuples of names, whose hashes would take longer."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

T = TypeVar("T")
Names = tuple[str, ...]

_KEPT = 4096  # results of a function


def kept(function: Callable[..., T]) -> Callable[..., T]:
    """Remember the results of a function of tuples.

    The tuples are kept with the result, so no other one can get their identity. Equal tuples that are not the
    same are computed again: pass the same ones where speed matters.
    """
    known: dict[tuple[int, ...], tuple[tuple[Names, ...], T]] = {}

    @wraps(function)
    def found(*names: Names) -> T:
        key = tuple(map(id, names))
        entry = known.get(key)
        if entry is None:
            if len(known) >= _KEPT:
                known.clear()
            entry = known[key] = names, function(*names)
        return entry[1]

    return found
