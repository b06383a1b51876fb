"""Energy that a transient draws from its sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bridge.losses.base import FloatArray
from bridge.losses.sampling import as_times, as_transient, on_times
from bridge.losses.waveform import WaveformValue
from bridge.losses.window import Window, WindowLike


@dataclass(frozen=True, eq=False)
class EnergyLoss:
    """Energy [J] that voltage sources deliver; the outputs are their currents.

    `J = -integral W(t) sum_s v_s(t) i_s(t) dt`, the current taken as SPICE reports it in `i(source)`: into
    the positive terminal, so that it is negative in a source that delivers power. The integral is not
    divided by the window. The derivative with respect to a current is `-v_s` times the sample's weight.

    Not modelled: the explicit dependence on the sources' voltages, which matters where they are trained.

    Attributes:
        times: of the voltages, `(n_times,)` [s]; empty where they are constant.
        voltages: `(n_times, n_sources)` [V], interpolated linearly, or constant `(n_sources,)`. When left
            out the target holds them, one a sample: `(n_times, n_sources)` or `(n_sources,)`.
        window: start and end [s] of the part that counts, or several such; everything when left out.
        taper: duration of the window's cosine edges [s]; see `Window`.
        delivered: the currents flow out of the positive terminal instead: `J = +integral ...`.
    """

    times: FloatArray = field(default_factory=lambda: np.zeros(0))
    voltages: npt.ArrayLike | None = None
    window: WindowLike = None
    taper: float = 0.0
    delivered: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", as_times(self.times, "times of the source voltages"))
        Window.of(self.window, self.taper)

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """See `WaveformLoss`; outputs are currents `(n_points, n_sources)` [A], the derivative is in V s.

        The target is ignored, unless it holds the voltages.
        """
        time, currents = as_transient(time, outputs)
        given = target if self.voltages is None else self.voltages
        voltages = on_times(given, self.times, time, currents.shape[1], "source voltages")
        sign = 1.0 if self.delivered else -1.0
        derivative = sign * Window.of(self.window, self.taper).weights(time)[:, None] * voltages
        return WaveformValue(float(np.sum(derivative * currents)), derivative, np.zeros(currents.shape[1]))


@dataclass(frozen=True, eq=False)
class WithEnergy:
    """A loss on output voltages plus the energy drawn from probed sources, times a weight.

    The outputs are voltages, then the sources' currents; a sample's target is a pair: the loss's own, and
    the sources' voltages `(n_times, n_sources)` [V].

    Attributes:
        loss: gets the voltages.
        weight: of the energy [1/J].
        voltages: number of voltage columns.
        times: of the sources' voltages, `(n_times,)` [s].
    """

    loss: Any
    weight: float
    voltages: int
    times: FloatArray

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """See `WaveformLoss`."""
        own, sources = target
        first = self.loss.evaluate(time, outputs[:, : self.voltages], own)
        drawn = EnergyLoss(times=self.times).evaluate(time, outputs[:, self.voltages :], sources)
        return WaveformValue(
            first.value + self.weight * drawn.value,
            np.hstack([first.derivative, self.weight * drawn.derivative]),
            np.concatenate([first.terminal, drawn.terminal]),
        )

    def averages(self, time: FloatArray, outputs: FloatArray) -> FloatArray:
        """What the loss classifies by: its own averages, or the last voltages."""
        voltages = outputs[:, : self.voltages]
        own = getattr(self.loss, "averages", None)
        return np.asarray(own(time, voltages) if own is not None else voltages[-1])

    @property
    def static(self) -> Any:
        """The static loss inside the loss, which reads classes."""
        return self.loss.static
