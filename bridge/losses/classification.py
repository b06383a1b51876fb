"""Static losses on outputs averaged over time, among them cross-entropy: classes read off a transient."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bridge.losses.base import BoolArray, FloatArray, IntArray, Loss
from bridge.losses.sampling import as_transient
from bridge.losses.static import CrossEntropy
from bridge.losses.waveform import WaveformValue
from bridge.losses.window import Window, WindowLike


@dataclass(frozen=True)
class AveragedLoss:
    """A static loss on the mean of each output over a window.

    `J = l(m)` with `m_k = integral W v_k dt / integral W dt`; every sample's derivative is its share of the
    mean times `dl/dm_k`. Classes are those of the static loss at `m`.

    Attributes:
        static: the loss on one set of output voltages.
        window: start and end [s] of the part that counts, or several such; everything when left out.
        taper: duration of the window's cosine edges [s]; see `Window`.
    """

    static: Loss = field(default_factory=CrossEntropy)
    window: WindowLike = None
    taper: float = 0.0

    def __post_init__(self) -> None:
        Window.of(self.window, self.taper)

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """See `WaveformLoss`; the target is the static loss's, `(n_outputs,)`."""
        time, outputs = as_transient(time, outputs)
        weights = Window.of(self.window, self.taper).normalized(time)
        mean = weights @ outputs
        derivative = weights[:, None] * self.static.derivative(mean, target)
        return WaveformValue(float(self.static.value(mean, target)), derivative, np.zeros(len(mean)))

    def averages(self, time: FloatArray, outputs: FloatArray) -> FloatArray:
        """Mean of each output over the window, `(n_outputs,)` [V]; arguments as for `evaluate`."""
        time, outputs = as_transient(time, outputs)
        return np.asarray(Window.of(self.window, self.taper).normalized(time) @ outputs, dtype=np.float64)

    def predict(self, time: FloatArray, outputs: FloatArray) -> IntArray:
        """See `WaveformClassifier`."""
        return self.static.predict(self.averages(time, outputs))

    def correct(self, time: FloatArray, outputs: FloatArray, target: Any) -> BoolArray:
        """See `WaveformClassifier`."""
        return self.static.correct(self.averages(time, outputs), target)
