"""Time windows of losses: the weights of a quadrature over part of a transient.

The edges of a window fall between the simulator's time points. The weights are integrals of the window
times each sample's hat function, so they integrate the piecewise linear interpolation of any signal over
exactly the window: they are linear in the samples, and second order in the step whatever the edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.losses.base import FloatArray, LossError
from bridge.quadrature import trapezoid_weights

WindowLike = Sequence[float] | Sequence[Sequence[float]] | None
"""`(start, end)` [s], several such intervals, or None for the whole transient."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Window:
    """A function of time between 0 and 1: where a loss counts.

    Each interval is 1 inside and 0 outside. With a taper it is a Tukey window: it rises within the interval
    as `sin^2(pi/2 (t - start) / taper)` and falls the same way before the end, so that the derivative of
    the loss is continuous in time and vanishes at the end (Harris, Proc. IEEE 66, 51 (1978)).

    Attributes:
        intervals: `(start, end)` [s], ordered and disjoint; an infinite end is that of the transient.
        taper: duration of each rise and fall [s], at most half an interval; 0 for sharp edges.
    """

    intervals: tuple[tuple[float, float], ...] = ((0.0, np.inf),)
    taper: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.taper) and self.taper >= 0.0):
            raise LossError(f"window taper is {self.taper} s; it must be 0 or positive")
        if not self.intervals:
            raise LossError("a window without intervals; give (start, end) in seconds")
        last = 0.0
        for start, end in self.intervals:
            if not (np.isfinite(start) and start >= last and end > start):
                raise LossError(
                    f"window interval ({start}, {end}) s: intervals must begin at 0 s or later, end after "
                    "their start, follow each other in time and not overlap"
                )
            if 2.0 * self.taper > end - start:
                raise LossError(
                    f"window taper {self.taper} s is more than half of the interval ({start}, {end}) s"
                )
            last = end

    @classmethod
    def of(cls, window: WindowLike, taper: float = 0.0) -> Window:
        """A window from how a user writes it.

        Raises:
            LossError: it is neither `(start, end)` nor a list of such, or is out of range.
        """
        if window is None:
            return cls(taper=float(taper))
        given: Any = window
        try:
            pairs = np.array(given, dtype=np.float64)
            if pairs.ndim == 1:
                pairs = pairs[None, :]
            if pairs.ndim != 2 or pairs.shape[1] != 2:
                raise ValueError("wrong shape")
        except (TypeError, ValueError) as error:
            raise LossError(
                f"window {window!r} must be (start, end) in seconds, or a list of such"
            ) from error
        return cls(tuple((float(a), float(b)) for a, b in pairs), float(taper))

    def weights(self, time: FloatArray) -> FloatArray:
        """Weight of each sample in the integral over the window.

        Args:
            time: of the samples, `(n_points,)` [s]; before the first one its value holds.

        Returns:
            `(n_points,)` [s]; the sum is the integral of the window. Without intervals and taper they are
            those of `trapezoid_weights`.

        Raises:
            LossError: the window ends after the transient, or none of it is left.
        """
        if self == Window():
            return trapezoid_weights(time)
        intervals = [self._within(start, end, float(time[-1])) for start, end in self.intervals]
        corners = [(a, a + self.taper, b - self.taper, b) for a, b in intervals]
        edges = np.unique(np.concatenate([[0.0], time, np.ravel(corners)]))
        half = 0.5 * np.diff(edges)
        points = (0.5 * (edges[1:] + edges[:-1]))[:, None] + half[:, None] * _NODES
        shares = self._values(points, intervals) * half[:, None] * _WEIGHTS
        right = np.clip(np.searchsorted(time, points[:, :1], side="right"), 1, len(time) - 1)
        fraction = np.clip((points - time[right - 1]) / (time[right] - time[right - 1]), 0.0, 1.0)
        result = np.zeros(len(time))
        np.add.at(result, right[:, 0] - 1, (shares * (1.0 - fraction)).sum(axis=1))
        np.add.at(result, right[:, 0], (shares * fraction).sum(axis=1))
        return result

    def normalized(self, time: FloatArray) -> FloatArray:
        """Weights of the mean over the window, `(n_points,)`; their sum is 1. Raises as `weights`."""
        weights = self.weights(time)
        return np.asarray(weights / weights.sum(), dtype=np.float64)

    def _values(self, at: FloatArray, intervals: list[tuple[float, float]]) -> FloatArray:
        """The window at times of any shape, none of them on an edge."""
        result = np.zeros_like(at)
        for start, end in intervals:
            inside = (at > start) & (at < end)
            depth = np.minimum(at - start, end - at)[inside]
            if self.taper > 0.0:
                result[inside] = np.sin(0.5 * np.pi * np.minimum(depth / self.taper, 1.0)) ** 2
            else:
                result[inside] = 1.0
        return result

    def _within(self, start: float, end: float, last: float) -> tuple[float, float]:
        """An interval cut to the transient; only an infinite end, or rounding, may exceed it."""
        if np.isfinite(end) and end > last * (1.0 + _ROUNDING):
            raise LossError(f"window interval ({start}, {end}) s ends after the transient, at {last:.9g} s")
        end = min(end, last)
        if end - start <= 2.0 * self.taper * (1.0 - _ROUNDING) or end <= start:
            raise LossError(
                f"window interval from {start} s, taper {self.taper} s: too little is left of a transient "
                f"that ends at {last:.9g} s"
            )
        return start, end
