"""What the losses on waveforms check and interpolate."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bridge.losses.base import FloatArray, LossError


def as_transient(time: npt.ArrayLike, outputs: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Time points `(n_points,)` [s] and outputs `(n_points, n_outputs)` as floats.

    Raises:
        LossError: the shapes do not fit, there are fewer than two points or no output, or the time does
            not increase from 0 s or later.
    """
    points, signals = np.asarray(time, dtype=np.float64), np.asarray(outputs, dtype=np.float64)
    if points.ndim != 1 or signals.ndim != 2 or len(signals) != len(points) or signals.shape[1] == 0:
        raise LossError(
            f"outputs of shape {signals.shape} on times of shape {points.shape}; give (n_points,) times and "
            "(n_points, n_outputs) outputs"
        )
    if len(points) < 2 or points[0] < 0.0 or not np.all(np.diff(points) > 0.0):
        raise LossError("a transient needs two or more time points that increase, from 0 s or later")
    return points, signals


def as_times(times: npt.ArrayLike, what: str) -> FloatArray:
    """Times `(n,)` [s] as floats; none at all is allowed.

    Raises:
        LossError: they are not finite and strictly increasing.
    """
    try:
        array = np.array(times, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise LossError(f"{what} {times!r} are not numbers") from error
    if array.ndim != 1 or not np.all(np.isfinite(array)) or not np.all(np.diff(array) > 0.0):
        raise LossError(f"{what} must be a list of finite, strictly increasing times [s]")
    return array


def on_times(values: Any, times: FloatArray, time: FloatArray, columns: int, what: str) -> FloatArray:
    """Signals on the simulator's time points.

    Args:
        values: `(columns,)`, constant; or `(n_times, columns)` on `times`, interpolated linearly; or,
            without `times`, `(n_points, columns)` on the simulator's own points.
        times: of the values, `(n_times,)` [s], empty if they are constant or on the simulator's points.
            Beyond the first and the last one the values there hold, for one interval of `times` at most:
            so samples at `k dt` without the end point cover their last `dt`.
        time: `(n_points,)` [s].
        columns: number of signals.
        what: is sampled, for messages.

    Returns:
        `(n_points, columns)`, in the unit of the values.

    Raises:
        LossError: the shape does not fit, a value is not finite, or the transient is longer than `times`.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise LossError(f"{what} {values!r} is not an array of numbers") from error
    rows = len(times) if len(times) else len(time)
    if array.shape not in ((columns,), (rows, columns)):
        raise LossError(
            f"{what} of shape {array.shape}; give ({columns},) for constants or ({rows}, {columns}), "
            f"{'one row for each of its times' if len(times) else 'one row for each time point'}"
        )
    if not np.all(np.isfinite(array)):
        raise LossError(f"{what} holds values that are not finite")
    if array.ndim == 1:
        return np.broadcast_to(array, (len(time), columns)).copy()
    if not len(times):
        return array
    slack = float(np.max(np.diff(times))) * (1.0 + 1e-6) if len(times) > 1 else 0.0
    if time[0] < times[0] - slack or time[-1] > times[-1] + slack:
        raise LossError(
            f"{what} covers {times[0]:.9g} to {times[-1]:.9g} s, the transient {time[0]:.9g} to "
            f"{time[-1]:.9g} s; give values for all of it"
        )
    return np.stack([np.interp(time, times, column) for column in array.T], axis=1)
