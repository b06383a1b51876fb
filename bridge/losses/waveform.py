"""Losses on output waveforms; the derivative with respect to every sample is exact.

A waveform loss is an integral over the time points that the simulator chose, by the trapezoidal rule or
the window's weights, plus a terminal part that depends on the last sample. The two derivatives are kept
apart, because the terminal one is an impulse in time: the sample's share of the integral, divided by the
weight of its time point, is a density; the terminal part has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from bridge.losses.base import BoolArray, FloatArray, IntArray, Loss, LossError
from bridge.losses.sampling import as_times, as_transient, on_times
from bridge.losses.static import MeanSquaredError
from bridge.losses.window import Window, WindowLike


@dataclass(frozen=True, eq=False)
class WaveformValue:
    """A loss on waveforms and its derivative.

    The derivative of the value with respect to the last sample is `derivative[-1] + terminal`.

    Attributes:
        value: of the loss.
        derivative: with respect to every sample of the integral part, `(n_points, n_outputs)` [unit of
            the loss per V, or per A where the output is a current].
        terminal: with respect to the last sample of the terminal part, `(n_outputs,)` [the same].
    """

    value: float
    derivative: FloatArray
    terminal: FloatArray


class WaveformLoss(Protocol):
    """A loss on the outputs of a transient."""

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """The loss of one sample.

        Args:
            time: `(n_points,)` [s], increasing; before the first point its outputs hold from 0 s.
            outputs: `(n_points, n_outputs)` [V].
            target: what the loss compares with.

        Raises:
            LossError: the loss cannot work with these signals or this target.
        """
        ...


class WaveformClassifier(WaveformLoss, Protocol):
    """A loss on the outputs of a transient that stand for a class."""

    def predict(self, time: FloatArray, outputs: FloatArray) -> IntArray:
        """Class that the outputs of one sample stand for, shape `()`; arguments as for `evaluate`."""
        ...

    def correct(self, time: FloatArray, outputs: FloatArray, target: Any) -> BoolArray:
        """Whether outputs and target stand for the same class, shape `()`; arguments as for `evaluate`."""
        ...


@dataclass(frozen=True, eq=False)
class WaveformMSE:
    """Mean over a window and the outputs of the squared difference from a target waveform.

    `J = integral W(t) sum_k c_k (v_k - y_k)^2 dt / (integral W dt  sum_k c_k)` [V^2], with `W` the window
    and `c` the outputs' weights. The target is an array `(n_target_times, n_outputs)` [V] on
    `target_times`, interpolated linearly; without target times, `(n_points, n_outputs)` on the simulator's
    time points; or a constant `(n_outputs,)`.

    Attributes:
        target_times: `(n_target_times,)` [s].
        window: start and end [s] of the part that counts, or several such; everything when left out.
        taper: duration of the window's cosine edges [s]; see `Window`. With a taper the derivative is 0 at
            the window's ends.
        output_weights: `(n_outputs,)`, not negative; the same for all when left out.
    """

    target_times: FloatArray = field(default_factory=lambda: np.zeros(0))
    window: WindowLike = None
    taper: float = 0.0
    output_weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "target_times", as_times(self.target_times, "target_times"))
        Window.of(self.window, self.taper)
        if self.output_weights is not None:
            given = np.array(self.output_weights, dtype=np.float64)
            if given.ndim != 1 or not (np.all(given >= 0.0) and 0.0 < given.sum() < np.inf):
                raise LossError(
                    f"output_weights {self.output_weights!r} must be 0 or positive, and not all 0"
                )
            object.__setattr__(self, "output_weights", tuple(given.tolist()))

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """See `WaveformLoss`."""
        time, outputs = as_transient(time, outputs)
        count = outputs.shape[1]
        shares = np.ones(count) if self.output_weights is None else np.array(self.output_weights)
        if len(shares) != count:
            raise LossError(f"{len(shares)} output_weights for {count} outputs; give one for each")
        weights = Window.of(self.window, self.taper).normalized(time)[:, None] * (shares / shares.sum())
        error = outputs - on_times(target, self.target_times, time, count, "target waveform")
        return WaveformValue(float(np.sum(weights * error**2)), 2.0 * weights * error, np.zeros(count))


@dataclass(frozen=True)
class TerminalLoss:
    """A static loss on the last sample of the outputs: all of its derivative is an impulse at the end.

    Attributes:
        static: the loss on one set of output voltages, such as `CrossEntropy`.
    """

    static: Loss = field(default_factory=MeanSquaredError)

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """See `WaveformLoss`; the target is the static loss's, `(n_outputs,)`."""
        time, outputs = as_transient(time, outputs)
        value = float(self.static.value(outputs[-1], target))
        return WaveformValue(value, np.zeros_like(outputs), self.static.derivative(outputs[-1], target))

    def predict(self, time: FloatArray, outputs: FloatArray) -> IntArray:
        """See `WaveformClassifier`."""
        return self.static.predict(as_transient(time, outputs)[1][-1])

    def correct(self, time: FloatArray, outputs: FloatArray, target: Any) -> BoolArray:
        """See `WaveformClassifier`."""
        return self.static.correct(as_transient(time, outputs)[1][-1], target)


class TerminalMSE(TerminalLoss):
    """Mean over the outputs of the squared difference of the last sample from a target `(n_outputs,)` [V]."""
