"""Integrals and interpolation on a simulator's own time points."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Matrix = Callable[..., sparse.csr_array]

_KEPT = 16  # matrices of each kind


def trapezoid_weights(times: FloatArray, start: float = 0.0) -> FloatArray:
    """Weights `(n,)` [s] of the trapezoidal rule on `times`, from `start` to the last time.

    Between `start` and the first time point the first value holds (the simulator stores none at t = 0 when
    it starts from initial conditions).
    """
    weights = np.zeros(len(times))
    steps = np.diff(times)
    weights[:-1] += 0.5 * steps
    weights[1:] += 0.5 * steps
    weights[0] += times[0] - start
    return weights


def reversed_times(times: FloatArray, duration: float) -> FloatArray:
    """The times `duration - t` in increasing order [s]; rounding never makes the first one negative."""
    return np.maximum(duration - times[::-1], 0.0)


def _kept(make: Matrix) -> Matrix:
    """Keep the last matrices: most transients of a network have the same time points."""
    kept: OrderedDict[tuple[Any, ...], sparse.csr_array] = OrderedDict()

    @wraps(make)
    def made(times: FloatArray, *more: Any) -> sparse.csr_array:
        key = (times.tobytes(), *(m.tobytes() if isinstance(m, np.ndarray) else m for m in more))
        if key not in kept:
            kept[key] = make(times, *more)
            if len(kept) > _KEPT:
                kept.popitem(last=False)
        return kept[key]

    return made


@_kept
def interpolation_matrix(times: FloatArray, at: FloatArray) -> sparse.csr_array:
    """Cubic interpolation from samples at `times` to the points `at`, `(len(at), len(times))`.

    Each row holds the weights of the four samples around its point; points beyond the first or last sample
    take that sample's value.
    """
    n, m = len(times), len(at)
    if n < 4:
        raise ValueError(f"{n} samples: cubic interpolation needs four")
    inside = np.clip(at, times[0], times[-1])
    first = np.clip(np.searchsorted(times, inside, side="right") - 2, 0, n - 4)
    nodes = times[first[:, None] + np.arange(4)]
    weights = np.ones((m, 4))
    for i in range(4):
        for j in range(4):
            if i != j:
                weights[:, i] *= (inside - nodes[:, j]) / (nodes[:, i] - nodes[:, j])
    rows = np.repeat(np.arange(m), 4)
    columns = (first[:, None] + np.arange(4)).ravel()
    return sparse.csr_array((weights.ravel(), (rows, columns)), shape=(m, n))


@_kept
def derivative_matrix(times: FloatArray, points: int = 5) -> sparse.csr_array:
    """Derivatives at `times` of signals sampled there, `(n, n)`: fourth order with five points.

    Each row differentiates the polynomial through the `points` nearest samples, on times of any spacing.
    """
    n, width = len(times), min(points, len(times))
    if n < 2:
        raise ValueError(f"{n} samples have no derivative")
    first = np.clip(np.arange(n) - width // 2, 0, n - width)
    nodes = times[first[:, None] + np.arange(width)]
    weights = np.zeros((n, width))
    for i in range(width):
        others = [j for j in range(width) if j != i]
        size = np.prod([nodes[:, i] - nodes[:, j] for j in others], axis=0)
        for k in others:
            rest = [times - nodes[:, j] for j in others if j != k]
            weights[:, i] += np.prod(rest, axis=0) / size
    rows = np.repeat(np.arange(n), width)
    columns = (first[:, None] + np.arange(width)).ravel()
    return sparse.csr_array((weights.ravel(), (rows, columns)), shape=(n, n))


def derivative(times: FloatArray, values: FloatArray) -> FloatArray:
    """Time derivative of signals `(n, ...)` on non-uniform times, same shape; see `derivative_matrix`."""
    flat = derivative_matrix(times) @ values.reshape(len(times), -1)
    return np.asarray(flat.reshape(values.shape))


def _compiled(function: Callable[..., FloatArray]) -> Callable[..., FloatArray]:
    try:
        made = nb.njit(cache=True)(function)
    except RuntimeError:  # no folder where the compiled code could be kept
        made = nb.njit(function)
    return cast(Callable[..., FloatArray], made)


@_compiled
def products(
    first: FloatArray, second: FloatArray, p: IntArray, n: IntArray, q: IntArray, m: IntArray
) -> FloatArray:
    """Sums over rows of `(first[:, p] - first[:, n]) (second[:, q] - second[:, m])`, `(len(p),)`.

    Args:
        first: `(n_rows, k)`.
        second: `(n_rows, l)`.
        p: columns of `first`, `(n_sums,)`, like `n`.
        n: those that are taken off.
        q: columns of `second`, `(n_sums,)`, like `m`.
        m: those that are taken off.
    """
    total = np.zeros(len(p))
    for row in range(first.shape[0]):
        for k in range(len(p)):
            total[k] += (first[row, p[k]] - first[row, n[k]]) * (second[row, q[k]] - second[row, m[k]])
    return total
