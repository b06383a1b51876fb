"""Distance between the spikes of output voltages and target spike times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve_banded
from scipy.special import expit

from bridge.losses.base import FloatArray, IntArray, LossError
from bridge.losses.sampling import as_transient
from bridge.losses.waveform import WaveformValue

_SERIES = np.array(
    [0.0] * 3 + [(-1.0) ** n * (2.0 - 2.0 ** (n - 1)) / math.factorial(n) for n in range(3, 22)]
)


@dataclass(frozen=True)
class VanRossum:
    """Mean over the outputs of the squared van Rossum distance from target spike times.

    A target's spikes are `sum_j delta(t - t_j)`. An output's spikes are the density of its upward
    crossings of a threshold,

        s(t) = max(0, d/dt logistic((v(t) - threshold) / width)),

    that is Rice's `delta(v - threshold) max(0, dv/dt)` (Bell Syst. Tech. J. 24, 46 (1945)) with the impulse
    smoothed to the logistic density: a rise from far below to far above the threshold integrates to exactly
    1, whatever its shape and the time points; a fall counts nothing; a rise that stops short counts in
    part, which is what lets a missing spike be learned. Both trains pass the causal filter
    `exp(-t / tau)`, and

        J = (1 / tau) integral_0^inf (f - g)^2 dt                [1, a number of spikes]

    (van Rossum, Neural Computation 13, 751 (2001)): 1/2 for one spike too many or too few, and
    `1 - exp(-|shift| / tau)` for one that is shifted. Evaluated without a further error: between time points
    the density is constant (the logistic interpolated linearly), and the filter, its jumps at the target's
    spikes, the square and the decay after the last point are integrated in closed form. The derivative is
    the adjoint of that recursion, backwards in time.

    The derivative is an impulse where a rise turns into a fall: at the output's maxima (small if they are
    many widths above the threshold), and at the end if the output rises there, which is the terminal part.
    Where the logistic is constant between two samples the value has a kink, and the derivative is that of
    the mean of both sides.

    Attributes:
        tau: time constant of the filter [s]; short ones compare times, long ones numbers of spikes.
        threshold: voltage that a spike crosses [V].
        width: of the logistic [V]; a spike should rise from several widths below to several above, and
            take several time steps for one width: otherwise its time is known to a step only and the
            derivative hangs on the one sample that happens to fall into the rise.
    """

    tau: float
    threshold: float
    width: float

    def __post_init__(self) -> None:
        for name, value in (("tau", self.tau), ("width", self.width)):
            if not (np.isfinite(value) and value > 0.0):
                raise LossError(f"spike distance: {name} is {value}; it must be a positive number")
        if not np.isfinite(self.threshold):
            raise LossError(f"spike distance: threshold is {self.threshold}; it must be a voltage [V]")

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """See `WaveformLoss`; the target is one sequence of spike times [s] for each output."""
        time, outputs = as_transient(time, outputs)
        trains = target_trains(target, float(time[-1]), outputs.shape[1])
        level = np.asarray(expit((outputs - self.threshold) / self.width), dtype=np.float64)
        steps, rise = np.diff(time)[:, None], np.diff(level, axis=0)
        value, by_input, step_of = self._distance(time, np.maximum(rise, 0.0) / steps, trains)
        by_rise = np.zeros_like(rise)
        np.add.at(by_rise, step_of, by_input)
        by_rise *= np.heaviside(rise, 0.5) * self.tau / steps
        slope = level * (1.0 - level) / (self.width * outputs.shape[1])
        derivative = np.zeros_like(outputs)
        derivative[1:-1] = (by_rise[:-1] - by_rise[1:]) * slope[1:-1]
        derivative[0] = -by_rise[0] * slope[0]
        return WaveformValue(value / outputs.shape[1], derivative, by_rise[-1] * slope[-1])

    def _distance(
        self, time: FloatArray, density: FloatArray, trains: Sequence[FloatArray]
    ) -> tuple[float, FloatArray, IntArray]:
        """Sum of the outputs' squared distances.

        With `d = f - g` and `x` the length of a piece in `tau`, and `c = tau s` constant in it,
        `d -> d E + c (1 - E)` with `E = exp(-x)`, less the target's spikes at its end, and the integral of
        its square is `d^2 A + 2 d c B + c^2 C`.

        Args:
            time: `(n_points,)` [s].
            density: of the spikes after each time point but the last, `(n_points - 1, n_outputs)` [1/s].
            trains: target spike times [s] of each output.

        Returns:
            The sum; its derivative with respect to `c` of each piece, `(n_pieces, n_outputs)`; and which
            row of the density belongs to a piece, `(n_pieces,)`. Pieces end at time points and spikes.
        """
        edges = np.unique(np.concatenate([[0.0], time, *trains]))
        step_of = np.asarray(np.searchsorted(time, edges[:-1], side="right") - 1, dtype=np.int64)
        inputs = self.tau * np.where(step_of[:, None] >= 0, density[np.maximum(step_of, 0)], 0.0)
        x = (np.diff(edges) / self.tau)[:, None]
        lost = -np.expm1(-x)
        a, b = -0.5 * np.expm1(-2.0 * x), 0.5 * lost**2
        series = np.polynomial.polynomial.polyval(np.minimum(x, 0.5), _SERIES)
        c = np.where(x < 0.5, series, x - lost - b)

        jumps = np.zeros((len(edges), len(trains)))
        for column, train in enumerate(trains):
            np.add.at(jumps[:, column], np.searchsorted(edges, train), -1.0)
        jumps[1:] += inputs * lost
        bands = np.ones((2, len(edges)))
        bands[1, :-1] = -np.exp(-x[:, 0])
        difference = solve_banded((1, 0), bands, jumps)
        start, end = difference[:-1], difference[-1]
        value = np.sum(start**2 * a + 2.0 * start * inputs * b + inputs**2 * c) + 0.5 * np.sum(end**2)

        sources = np.concatenate([2.0 * (start * a + inputs * b), end[None, :]])
        transposed = np.ones((2, len(edges)))
        transposed[0, 1:] = bands[1, :-1]
        adjoint = solve_banded((0, 1), transposed, sources)
        by_input = 2.0 * (start * b + inputs * c) + lost * adjoint[1:]
        inside = step_of >= 0
        return float(value), by_input[inside], step_of[inside]


def target_trains(target: Any, end: float, count: int) -> list[FloatArray]:
    """Target spike times [s], one array for each output.

    Raises:
        LossError: their number is wrong, or a time is not within the transient.
    """
    try:
        trains = [np.array(train, dtype=np.float64) for train in target]
    except (TypeError, ValueError) as error:
        raise LossError(f"target {target!r} is not one list of spike times [s] for each output") from error
    if len(trains) != count or any(train.ndim != 1 for train in trains):
        raise LossError(f"target {target!r} is not one list of spike times [s] for each of {count} outputs")
    for number, train in enumerate(trains):
        if not np.all((train >= 0.0) & (train <= end * (1.0 + 1e-9))):
            raise LossError(
                f"target spikes of output {number} are not within the transient, 0 to {end:.9g} s"
            )
    return [np.minimum(train, end) for train in trains]
