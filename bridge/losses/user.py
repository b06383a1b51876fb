"""A user's own loss: a Python function named by its path, with a derivative that is checked."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bridge.losses.base import BoolArray, ClassDecision, FloatArray, IntArray, LossError, as_pair, as_signals
from bridge.losses.imports import import_function

_EPS = float(np.finfo(np.float64).eps)
_STEP = float(np.cbrt(_EPS))
_TOLERANCE = 1e-5
_RANDOM_POINTS = 8


class UserLoss:
    """A loss given as a Python function `f(outputs, target)` on one sample.

    The function gets two arrays of shape `(n_outputs,)`, voltages [V] and the target, and returns
    the loss as a number, or `(loss, derivative)` with a derivative of shape `(n_outputs,)`. It must
    depend on nothing but its arguments.

    If it returns a number only, the derivative is a central difference with the step
    `h = eps^(1/3) max(1 V, |v|)`, 6 uV at outputs below 1 V. Its error is about
    `h^2 |f'''| / 6 + eps |f| / h`: some 1e-10 of a loss that changes over volts, more for a steeper one.

    If it returns a derivative, that is compared with differences on the first use, at random
    outputs around it, and again at the 2nd, 4th, 8th, ... use. A component must lie between the
    left and the right difference quotient (so that any subgradient passes at a kink), give or take
    1e-5 of the largest component and the rounding error. Random outputs at which the function fails
    or is not finite are outside its domain and left out.

    Pickling keeps the path, not the function: a worker imports it again, once, and checks it again.
    Classes are decided as `ClassDecision` says.

    Attributes:
        path: `package.module:function`, or `file.py:function`.
        folder: the folder that a relative file is in, and where modules are looked for last: that
            of the experiment file.
    """

    def __init__(
        self, path: str, folder: str | Path | None = None, levels: tuple[float, ...] = (-1.0, 1.0)
    ) -> None:
        """Import the function.

        Args:
            path: `package.module:function`, or `file.py:function`.
            folder: as the attribute; the working directory if not given.
            levels: output voltages [V] that stand for the classes, as in `ClassDecision`.

        Raises:
            LossError: the path is malformed, or names no function that can be imported.
        """
        self.path = path
        self.folder = (Path.cwd() if folder is None else Path(folder)).resolve()
        self._decision = ClassDecision(levels)
        self._function = import_function(path, self.folder)
        self._uses = 0

    def __reduce__(self) -> tuple[Callable[..., UserLoss], tuple[str, Path, tuple[float, ...]]]:
        return _restored, (self.path, self.folder, self._decision.levels)

    def value(self, outputs: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
        """Loss of each sample, shape `(...)`; outputs [V] and target of shape `(..., n_outputs)`.

        Raises:
            LossError: the function failed, or returned something else than a finite number.
        """
        voltages, wanted = as_pair(outputs, target)
        result = np.empty(voltages.shape[:-1])
        for sample in np.ndindex(result.shape):
            result[sample] = self._call(voltages[sample], wanted[sample])[0]
        return result

    def derivative(self, outputs: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
        """Derivative [unit of the loss per V], shape `(..., n_outputs)`; arguments as for `value`.

        Raises:
            LossError: as for `value`, or the function's derivative is not that of its value.
        """
        voltages, wanted = as_pair(outputs, target)
        result = np.empty(voltages.shape)
        for sample in np.ndindex(voltages.shape[:-1]):
            result[sample] = self._one(voltages[sample], wanted[sample])
        return result

    def check(self, target: npt.ArrayLike) -> None:
        """Try the function, and its derivative if it gives one, at outputs near 0 V and near a target.

        Outputs at which it fails or is not finite count as outside its domain, unless all are.

        Args:
            target: one sample's target, shape `(n_outputs,)`.

        Raises:
            LossError: the derivative is not that of the value, or the function fails everywhere.
        """
        wanted = as_signals(target, "target")
        noise = np.random.default_rng(0).standard_normal((_RANDOM_POINTS, *wanted.shape))
        failures: list[LossError] = []
        points = [np.zeros_like(wanted), wanted.copy(), *noise, *np.abs(noise)]
        for point in points:
            try:
                with np.errstate(all="ignore"):
                    derivative = self._call(point, wanted)[1]
                    self._quotients(point, wanted)
            except LossError as error:
                failures.append(error)
                continue
            if derivative is not None:
                self._check(point, wanted, derivative)
        if len(failures) == len(points):
            raise failures[0]

    def predict(self, outputs: npt.ArrayLike) -> IntArray:
        """Class of each sample, shape `(...)`, from output voltages [V], shape `(..., n_outputs)`."""
        return self._decision.predict(outputs)

    def correct(self, outputs: npt.ArrayLike, target: npt.ArrayLike) -> BoolArray:
        """Whether outputs and target, both `(..., n_outputs)`, stand for the same class, shape `(...)`."""
        return self._decision.correct(outputs, target)

    def _one(self, voltages: FloatArray, wanted: FloatArray) -> FloatArray:
        derivative = self._call(voltages, wanted)[1]
        if derivative is None:
            left, right, _ = self._quotients(voltages, wanted)
            return np.asarray(0.5 * (left + right), dtype=np.float64)
        self._uses += 1
        if self._uses & (self._uses - 1) == 0:
            self._check(voltages, wanted, derivative)
        if self._uses == 1:
            self._check_around(voltages, wanted)
        return derivative

    def _check_around(self, voltages: FloatArray, wanted: FloatArray) -> None:
        rng = np.random.default_rng(0)
        spread = max(1.0, float(np.max(np.abs(voltages))))
        for _ in range(_RANDOM_POINTS):
            point = voltages + spread * rng.standard_normal(voltages.shape)
            try:
                derivative = self._call(point, wanted)[1]
                self._quotients(point, wanted)
            except LossError:
                continue
            if derivative is not None:
                self._check(point, wanted, derivative)

    def _check(self, voltages: FloatArray, wanted: FloatArray, derivative: FloatArray) -> None:
        left, right, rounding = self._quotients(voltages, wanted)
        scale = float(np.max(np.abs(np.concatenate([left, right]))))
        slack = _TOLERANCE * scale + rounding
        low, high = np.minimum(left, right) - slack, np.maximum(left, right) + slack
        wrong = (derivative < low) | (derivative > high)
        if np.any(wrong):
            index = int(np.argmax(wrong))
            raise LossError(
                f"loss {self.path!r}: derivative {index} is {derivative[index]:.9g}, but differences of the "
                f"value give {0.5 * (left[index] + right[index]):.9g} (outputs {voltages.tolist()}, target "
                f"{wanted.tolist()}); correct the function, or return the value only"
            )

    def _quotients(
        self, voltages: FloatArray, wanted: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Left and right difference quotients and their rounding error, each of shape `(n_outputs,)`."""
        centre = self._call(voltages, wanted)[0]
        left, right, rounding = np.empty_like(voltages), np.empty_like(voltages), np.empty_like(voltages)
        for index, voltage in enumerate(voltages):
            step = _STEP * max(1.0, abs(float(voltage)))
            below, above = voltages.copy(), voltages.copy()
            below[index] -= step
            above[index] += step
            lower, upper = self._call(below, wanted)[0], self._call(above, wanted)[0]
            left[index] = (centre - lower) / (voltage - below[index])
            right[index] = (upper - centre) / (above[index] - voltage)
            rounding[index] = 8.0 * _EPS * max(abs(lower), abs(centre), abs(upper)) / step
        return left, right, rounding

    def _call(self, voltages: FloatArray, wanted: FloatArray) -> tuple[float, FloatArray | None]:
        """Value and, if the function gives it, derivative at one sample; copies go to the function."""
        try:
            answer = self._function(voltages.copy(), wanted.copy())
        except Exception as error:
            raise LossError(
                f"loss {self.path!r} raised {type(error).__name__}: {error} (outputs {voltages.tolist()}, "
                f"target {wanted.tolist()})"
            ) from error
        value, derivative = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, None)
        number = self._finite(value, "value", ())
        if derivative is None:
            return float(number), None
        return float(number), self._finite(derivative, "derivative", voltages.shape)

    def _finite(self, answer: Any, what: str, shape: tuple[int, ...]) -> FloatArray:
        try:
            array = np.array(answer, dtype=np.float64)
        except (TypeError, ValueError):
            array = np.array(np.nan)
        if array.shape != shape or not np.all(np.isfinite(array)):
            wanted = f"finite numbers of shape {shape}" if shape else "a finite number"
            raise LossError(
                f"loss {self.path!r} returned {what} {answer!r}; return the loss or (loss, derivative), "
                f"the {what} being {wanted}"
            )
        return array


@cache
def _restored(path: str, folder: Path, levels: tuple[float, ...]) -> UserLoss:
    """The loss in a process that it was sent to, one for all that is sent: its file runs once."""
    return UserLoss(path, folder, levels)
