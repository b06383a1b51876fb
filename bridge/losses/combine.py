"""Losses made of losses: weighted sums, and losses on some of the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.losses.base import FloatArray, LossError
from bridge.losses.sampling import as_transient
from bridge.losses.waveform import WaveformLoss, WaveformValue


@dataclass(frozen=True)
class WeightedSum:
    """Sum of losses, each times a number.

    Attributes:
        terms: `(weight, loss)`; the weight turns the loss's unit into that of the sum.
        separate_targets: the target is a sequence with one target a term; otherwise every term gets it.
    """

    terms: Sequence[tuple[float, WaveformLoss]]
    separate_targets: bool = False

    def __post_init__(self) -> None:
        terms = tuple((float(weight), loss) for weight, loss in self.terms)
        if not terms or not np.all(np.isfinite([weight for weight, _ in terms])):
            raise LossError("a sum of losses needs one or more terms (weight, loss) with finite weights")
        object.__setattr__(self, "terms", terms)

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """See `WaveformLoss`."""
        time, outputs = as_transient(time, outputs)
        if self.separate_targets and len(target) != len(self.terms):
            raise LossError(f"{len(target)} targets for a sum of {len(self.terms)} losses; give one for each")
        targets = list(target) if self.separate_targets else [target] * len(self.terms)
        value, derivative, terminal = 0.0, np.zeros_like(outputs), np.zeros(outputs.shape[1])
        for (weight, loss), wanted in zip(self.terms, targets, strict=True):
            part = loss.evaluate(time, outputs, wanted)
            value += weight * part.value
            derivative += weight * part.derivative
            terminal += weight * part.terminal
        return WaveformValue(value, derivative, terminal)


@dataclass(frozen=True)
class OnOutputs:
    """A loss on some of the outputs; the derivative with respect to the others is 0.

    Attributes:
        loss: gets these columns only, in this order, and the whole target.
        outputs: different column numbers, from 0.
    """

    loss: WaveformLoss
    outputs: Sequence[int]

    def __post_init__(self) -> None:
        columns = tuple(int(c) for c in self.outputs)
        if not columns or len(set(columns)) < len(columns) or min(columns) < 0:
            raise LossError(f"outputs {self.outputs!r} must be one or more different numbers, from 0")
        object.__setattr__(self, "outputs", columns)

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """See `WaveformLoss`."""
        time, outputs = as_transient(time, outputs)
        if max(self.outputs) >= outputs.shape[1]:
            raise LossError(f"output {max(self.outputs)} of {outputs.shape[1]}; they are counted from 0")
        part = self.loss.evaluate(time, outputs[:, list(self.outputs)], target)
        derivative, terminal = np.zeros_like(outputs), np.zeros(outputs.shape[1])
        derivative[:, list(self.outputs)] = part.derivative
        terminal[list(self.outputs)] = part.terminal
        return WaveformValue(part.value, derivative, terminal)


@dataclass(frozen=True)
class FinalTarget:
    """A loss on the last sample, whose target is the last sample of a target waveform.

    Attributes:
        loss: gets the target `(n_outputs,)`.
    """

    loss: WaveformLoss

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """See `WaveformLoss`; the target is a waveform `(n_target_times, n_outputs)`."""
        return self.loss.evaluate(time, outputs, np.asarray(target, dtype=float)[-1])


@dataclass(frozen=True)
class FixedTarget:
    """A loss with the same target for every sample.

    Attributes:
        loss: gets the target.
        target: whatever the loss takes; the sample's own is ignored.
    """

    loss: WaveformLoss
    target: Any

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """See `WaveformLoss`."""
        return self.loss.evaluate(time, outputs, self.target)
