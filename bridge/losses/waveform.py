"""Losses on output waveforms; the derivative with respect to every sample is exact.

A waveform loss is an integral over the time points that the simulator chose, by the trapezoidal rule, plus
a terminal part that depends on the last sample. The two derivatives are kept apart, because the terminal
one is an impulse in time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.quadrature import trapezoid_weights

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class WaveformValue:
    """A loss on waveforms and its derivative.

    Attributes:
        value: of the loss.
        derivative: with respect to every sample of the integral part, `(n_points, n_outputs)` [1/V].
        terminal: with respect to the last sample of the terminal part, `(n_outputs,)` [1/V].
    """

    value: float
    derivative: FloatArray
    terminal: FloatArray


class WaveformLoss(Protocol):
    """A loss on the outputs of a transient."""

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """The loss of one sample.

        Args:
            time: `(n_points,)` [s].
            outputs: `(n_points, n_outputs)` [V].
            target: what the loss compares with.
        """
        ...


@dataclass(frozen=True)
class WaveformMSE:
    """Mean over time and outputs of the squared difference from a target waveform.

    The target is an array `(n_target_times, n_outputs)` on the times `target_times`, interpolated linearly.

    Attributes:
        target_times: `(n_target_times,)` [s].
        window: start and end [s] of the part that counts; everything when left out.
    """

    target_times: FloatArray = field(default_factory=lambda: np.zeros(0))
    window: tuple[float, float] | None = None

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """See `WaveformLoss`."""
        wanted = np.asarray(target, dtype=float)
        if wanted.ndim == 2 and len(wanted) == len(self.target_times):
            wanted = np.stack([np.interp(time, self.target_times, c) for c in wanted.T], axis=1)
        weights = trapezoid_weights(time)
        if self.window is not None:
            weights = weights * ((time >= self.window[0]) & (time <= self.window[1]))
        weights = weights / (weights.sum() * outputs.shape[1])
        error = outputs - wanted
        value = float(np.sum(weights[:, None] * error**2))
        return WaveformValue(value, 2.0 * weights[:, None] * error, np.zeros(outputs.shape[1]))


@dataclass(frozen=True)
class TerminalMSE:
    """Mean over the outputs of the squared difference of the last sample from a target `(n_outputs,)`."""

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """See `WaveformLoss`."""
        error = outputs[-1] - np.asarray(target, dtype=float)
        return WaveformValue(float(np.mean(error**2)), np.zeros_like(outputs), 2.0 * error / len(error))
