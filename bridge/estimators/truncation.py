"""Truncated adjoints: errors reach back for a limited time, so that gradients of long windows stay bounded.

An adjoint that goes back through spikes, or through any unstable stretch of a trajectory, may grow
exponentially with the time that it goes back. As in truncated backpropagation through time (Williams and
Peng, Neural Comput. 2, 490 (1990)), the error is divided into pieces of `stride`; the adjoint of each piece
runs on its own, over the piece and a further `horizon` before it, and the gradients are added. The adjoint
network is linear, so that with a horizon as long as the transient the sum is the whole gradient but for the
error of the time step, measured 2e-4 to 4e-4 for a dozen to sixty pieces of a spiking network at 20 us.
A shorter one leaves out all effects that take longer: the gradient is then biased,
and bounded by the growth over `horizon + stride`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bridge.losses.waveform import WaveformValue
from bridge.waveforms import Waveforms

FloatArray = NDArray[np.float64]
_LEAD = 6  # samples without error before a piece's: the adjoint phase begins with small, uneven steps
_AFTER = 1e-9  # share of a piece's length in which its adjoint falls to zero where it is cut


@dataclass(frozen=True)
class Truncation:
    """How far errors reach back.

    Attributes:
        horizon: an error reaches back at least this far [s].
        stride: errors of so long a time are cut at once [s]; the horizon when `None`. Adjoint transients take
            `1 + horizon / stride` times the steps of the free one.
    """

    horizon: float
    stride: float | None = None

    def __post_init__(self) -> None:
        for name in ("horizon", "stride"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0.0):
                raise ValueError(f"{name} = {value:g} s: must be positive")

    def pieces(self, time: FloatArray, duration: float) -> list[Piece]:
        """The pieces of a transient, from its end to its start.

        Args:
            time: of the free phase's samples, `(n_points,)` [s].
            duration: of the transient [s].
        """
        stride = self.stride or self.horizon
        found = []
        after = len(time)
        for k in range(1, 2 + int(np.ceil(duration / stride))):
            first = int(np.searchsorted(time, duration - k * stride, side="right"))
            if first < after:
                found.append(piece(time, duration, first, after, max(0.0, float(time[first]) - self.horizon)))
            after = first
        return found


@dataclass(frozen=True)
class Piece:
    """Errors of some samples, and the time over which their adjoint runs.

    Attributes:
        first: number of the first sample whose error counts.
        after: number of the one behind the last.
        end: where the adjoint begins [s], some samples behind the last error or at the end of the transient.
        reach: the earliest time that the adjoint goes back to [s]; 0 for all of the past.
    """

    first: int
    after: int
    end: float
    reach: float

    @property
    def length(self) -> float:
        """Duration of the adjoint transient [s]."""
        return self.end - self.reach

    def error(self, loss: WaveformValue) -> WaveformValue:
        """The loss's derivative by the piece's samples; the terminal part belongs to the last sample."""
        derivative = np.zeros_like(loss.derivative)
        derivative[self.first : self.after] = loss.derivative[self.first : self.after]
        last = self.after == len(derivative)
        return replace(
            loss, derivative=derivative, terminal=loss.terminal if last else np.zeros_like(loss.terminal)
        )

    def padded(self, reply: Waveforms) -> Waveforms:
        """The piece's adjoint signals with zeros after they are cut, up to the time 0 of the free phase."""
        if self.reach == 0.0:
            return reply
        time = np.append(reply.time, [reply.time[-1] + _AFTER * self.length, self.end])
        values = np.vstack([reply.values, np.zeros((2, reply.values.shape[1]))])
        return Waveforms(time, values, reply.names, reply.units, reply.attrs)


def piece(time: FloatArray, duration: float, first: int, after: int, reach: float) -> Piece:
    """The errors of the samples `first` to `after - 1`, whose adjoint goes back to `reach` [s]."""
    end = duration if after + _LEAD >= len(time) else float(time[after + _LEAD])
    return Piece(first, after, end, reach)


def whole(time: FloatArray, duration: float) -> Piece:
    """All errors, all of the past."""
    return piece(time, duration, 0, len(time), 0.0)


Pieces = Callable[[FloatArray, float], list[Piece]]
"""Divides the errors of a transient, from its times and its duration."""
