"""A user's own loss on waveforms: a Python function named by its path, with a derivative that is checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bridge.losses.base import FloatArray, LossError
from bridge.losses.imports import import_function
from bridge.losses.sampling import as_times, as_transient
from bridge.losses.waveform import WaveformValue

_EPS = float(np.finfo(np.float64).eps)
_STEP = float(np.cbrt(_EPS))
_TOLERANCE = 1e-5
_ROUNDING = 32.0 * _EPS
_RANDOM_SAMPLES = 16
_TRIED_POINTS = 2000
TIMES = "target_times"
"""Parameter of a function that gets the times of target waveforms."""


class UserWaveformLoss:
    """A loss given as a Python function `f(time, outputs, target)` on one transient.

    The function gets times `(n_points,)` [s], outputs `(n_points, n_outputs)` [V] and the target, and
    returns the loss as a number, or `(loss, derivative)` with a derivative of the outputs' shape, or
    `(loss, derivative, terminal)`, as in `WaveformValue`: the derivative of what depends on the last
    sample as such, and not as a part of an integral, belongs into `terminal`, of shape `(n_outputs,)`. It
    must depend on nothing but its arguments, and give an integral its time points' weights. A function with a
    parameter `target_times` gets the times `(n_target_times,)` [s] of target waveforms as well, or `None`
    where targets are classes.

    If it returns a number only, the derivative is a central difference with the step `eps^(1/3) max(1 V,
    |v|)` in every sample, two calls each, and a terminal part is not told apart. That is refused where the
    outputs have more than `limit` samples.

    If it returns a derivative, that is compared with differences on the first use, and again on the 2nd,
    4th, 8th, ..., in 16 random samples, in the last one of each output, and in all samples at once along
    a random direction. A component must lie between the left and the right difference quotient (so that
    any subgradient passes at a kink), give or take 1e-5 of the largest one and the rounding error.

    Pickling keeps the path, not the function: a worker imports it again, once, and checks it again.

    Attributes:
        path: `package.module:function`, or `file.py:function`.
        folder: the folder that a relative file is in, and where modules are looked for last: that
            of the experiment file.
        limit: largest `n_points n_outputs` for which the derivative is found by differences.
        target_times: times of target waveforms, `(n_target_times,)` [s], or `None`.
    """

    def __init__(
        self,
        path: str,
        folder: str | Path | None = None,
        limit: int = 2000,
        target_times: FloatArray | None = None,
    ) -> None:
        """Import the function.

        Args:
            path: `package.module:function`, or `file.py:function`.
            folder: as the attribute; the working directory if not given.
            limit: as the attribute.
            target_times: as the attribute; for functions with a parameter of that name.

        Raises:
            LossError: the path is malformed, or names no function that can be imported.
        """
        self.path = path
        self.folder = (Path.cwd() if folder is None else Path(folder)).resolve()
        self.limit = int(limit)
        self.target_times = None if target_times is None else as_times(target_times, TIMES)
        self._function = import_function(path, self.folder)
        self._told = _takes_times(self._function)
        self._uses = 0

    def __reduce__(
        self,
    ) -> tuple[Callable[..., UserWaveformLoss], tuple[str, Path, int, tuple[float, ...] | None]]:
        times = None if self.target_times is None else tuple(self.target_times.tolist())
        return _restored, (self.path, self.folder, self.limit, times)

    def check(self, time: FloatArray, outputs: int, target: Any) -> None:
        """Try the function on made-up signals, and its derivative if it gives one.

        Signals for which it fails or is not finite count as outside its domain, unless all are.

        Args:
            time: of the simulator's points, `(n_points,)` [s].
            outputs: their number.
            target: that of a sample.

        Raises:
            LossError: see `evaluate`; the function fails everywhere.
        """
        few = time[:: -(-len(time) // _TRIED_POINTS)]
        noise = np.random.default_rng(0).uniform(-0.1, 0.1, (len(few), outputs))
        failures: list[LossError] = []
        for signals in (noise, np.abs(noise) + 0.05):
            try:
                with np.errstate(all="ignore"):
                    value, derivative, terminal = self._call(few, signals, target)
            except LossError as error:
                failures.append(error)
                continue
            if derivative is None:
                self._affordable((len(time), outputs))
                continue
            total = derivative.copy()
            total[-1] += terminal
            self._check(few, signals, target, value, total)
        if len(failures) == 2:
            raise failures[0]

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """See `WaveformLoss`.

        Raises:
            LossError: the function failed, or returned something else than finite numbers of the right
                shapes, or its derivative is not that of its value, or it has none and is too expensive to
                differentiate numerically.
        """
        time, outputs = as_transient(time, outputs)
        value, derivative, terminal = self._call(time, outputs, target)
        if derivative is None:
            return WaveformValue(value, self._differences(time, outputs, target, value), terminal)
        self._uses += 1
        if self._uses & (self._uses - 1) == 0:
            total = derivative.copy()
            total[-1] += terminal
            self._check(time, outputs, target, value, total)
        return WaveformValue(value, derivative, terminal)

    def _differences(self, time: FloatArray, outputs: FloatArray, target: Any, value: float) -> FloatArray:
        """Central differences of the value in every sample, `(n_points, n_outputs)`."""
        self._affordable(outputs.shape)
        result = np.empty_like(outputs)
        for index in np.ndindex(outputs.shape):
            direction = np.zeros_like(outputs)
            direction[index] = 1.0
            left, right, _ = self._quotients(time, outputs, target, value, direction)
            result[index] = 0.5 * (left + right)
        return result

    def _affordable(self, shape: tuple[int, ...]) -> None:
        """Refuse a derivative by differences of too many samples."""
        size = shape[0] * shape[1]
        if size > self.limit:
            raise LossError(
                f"loss {self.path!r} returns no derivative, and {shape[0]} time points of {shape[1]} outputs "
                f"would take {2 * size} calls a transient to find it by differences (limit: {self.limit} "
                "samples); return (loss, derivative)"
            )

    def _check(
        self, time: FloatArray, outputs: FloatArray, target: Any, value: float, total: FloatArray
    ) -> None:
        """Compare the derivative with respect to every sample with difference quotients."""
        rng = np.random.default_rng(self._uses)
        chosen = rng.choice(outputs.size, min(_RANDOM_SAMPLES, outputs.size), replace=False)
        last = np.arange(outputs.size - outputs.shape[1], outputs.size)
        samples = np.unique(np.concatenate([chosen, last]))
        tries = [("of all samples along a random direction", rng.standard_normal(outputs.shape))]
        for sample in samples:
            point, output = divmod(int(sample), outputs.shape[1])
            tries.append((f"by time point {point} of output {output}", np.zeros_like(outputs)))
            tries[-1][1][point, output] = 1.0
        found = [self._quotients(time, outputs, target, value, direction) for _, direction in tries]
        largest = max(max(abs(left), abs(right)) for left, right, _ in found[1:])
        for (what, direction), (left, right, rounding) in zip(tries, found, strict=True):
            claimed = float(np.sum(total * direction))
            slack = _TOLERANCE * max(largest, abs(left), abs(right)) + rounding
            if not min(left, right) - slack <= claimed <= max(left, right) + slack:
                raise LossError(
                    f"loss {self.path!r}: the derivative {what} is {claimed:.9g}, but differences of the "
                    f"value {value:.9g} give {0.5 * (left + right):.9g}; correct the function, or return "
                    "the value only"
                )

    def _quotients(
        self, time: FloatArray, outputs: FloatArray, target: Any, value: float, direction: FloatArray
    ) -> tuple[float, float, float]:
        """Left and right difference quotients along a direction and their rounding error."""
        moved = np.abs(outputs[direction != 0.0])
        step = _STEP * max(1.0, float(np.max(moved))) / max(1.0, float(np.max(np.abs(direction))))
        lower = self._call(time, outputs - step * direction, target)[0]
        upper = self._call(time, outputs + step * direction, target)[0]
        rounding = _ROUNDING * max(abs(lower), abs(value), abs(upper)) / step
        return (value - lower) / step, (upper - value) / step, rounding

    def _call(
        self, time: FloatArray, outputs: FloatArray, target: Any
    ) -> tuple[float, FloatArray | None, FloatArray]:
        """Value, derivative if the function gives one, and terminal part; copies go to the function."""
        try:
            times = None if self.target_times is None else self.target_times.copy()
            more = {TIMES: times} if self._told else {}
            answer = self._function(time.copy(), outputs.copy(), target, **more)
        except Exception as error:
            raise LossError(f"loss {self.path!r} raised {type(error).__name__}: {error}") from error
        parts = answer if isinstance(answer, tuple) else (answer,)
        if not 1 <= len(parts) <= 3:
            raise LossError(f"loss {self.path!r} returned {len(parts)} things; return one to three")
        value = float(self._finite(parts[0], "loss", ()))
        none = np.zeros(outputs.shape[1])
        derivative = self._finite(parts[1], "derivative", outputs.shape) if len(parts) > 1 else None
        return value, derivative, self._finite(parts[2], "terminal", none.shape) if len(parts) > 2 else none

    def _finite(self, answer: Any, what: str, shape: tuple[int, ...]) -> FloatArray:
        """A returned part as floats of the shape that it must have."""
        try:
            array = np.array(answer, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise LossError(f"loss {self.path!r} returned a {what} that is no number: {answer!r}") from error
        if array.shape != shape:
            raise LossError(
                f"loss {self.path!r} returned a {what} of shape {array.shape}; it must have the shape {shape}"
            )
        if not np.all(np.isfinite(array)):
            raise LossError(f"loss {self.path!r} returned a {what} that is not finite")
        return array


def _takes_times(function: Callable[..., Any]) -> bool:
    """Whether a function has a parameter for the times of targets that a keyword can set."""
    try:
        parameter = inspect.signature(function).parameters.get(TIMES)
    except (TypeError, ValueError):  # some built-in functions do not tell
        return False
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return parameter is not None and parameter.kind in named


@cache
def _restored(path: str, folder: Path, limit: int, times: tuple[float, ...] | None) -> UserWaveformLoss:
    """The loss in a process that it was sent to, one for all that is sent: its file runs once."""
    return UserWaveformLoss(path, folder, limit, None if times is None else np.array(times))
