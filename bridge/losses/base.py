"""The contract of a loss on output voltages, and how outputs are turned into a class.

Every method takes one sample, shape `(n_outputs,)`, or any number of leading axes before the last,
such as a batch `(n, n_outputs)`. Results then have these leading axes: shape `()` for one sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bridge.errors import SpecError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class LossError(SpecError):
    """A loss was given options or signals that it cannot work with, or a user's function is wrong."""


class Loss(Protocol):
    """Value and derivative of a loss on output voltages."""

    def value(self, outputs: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
        """Loss of each sample.

        Args:
            outputs: output voltages [V], shape `(..., n_outputs)`.
            target: what the outputs should be, same shape; the unit is the loss's.

        Returns:
            The loss, shape `(...)`: `()` for one sample, which `float()` takes.
        """
        ...

    def derivative(self, outputs: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
        """Derivative of each sample's loss with respect to its outputs.

        Args:
            outputs: output voltages [V], shape `(..., n_outputs)`.
            target: same shape.

        Returns:
            The derivative [unit of the loss per V], shape `(..., n_outputs)`; not divided by the
            number of samples.
        """
        ...

    def predict(self, outputs: npt.ArrayLike) -> IntArray:
        """Class that the outputs stand for, shape `(...)`."""
        ...

    def correct(self, outputs: npt.ArrayLike, target: npt.ArrayLike) -> BoolArray:
        """Whether outputs and target stand for the same class, shape `(...)`.

        It has a meaning for classification only: a data set without labels has no classes to hit.
        """
        ...


@dataclass(frozen=True)
class ClassDecision:
    """The class that outputs stand for.

    With several outputs it is the index of the largest. With a single output it is the index of the
    nearest of `levels`, the voltages that stand for class 0, 1, ...; with the default `(-1, 1)` that is
    the output's sign, whatever the amplitude of targets that are symmetric about 0 V. A tie goes to
    the class of the lower index. The same rule reads the class off a target.

    Attributes:
        levels: output voltages [V] that stand for the classes; used with a single output only.
    """

    levels: tuple[float, ...] = (-1.0, 1.0)

    def __post_init__(self) -> None:
        try:
            levels = tuple(float(level) for level in self.levels)
        except (TypeError, ValueError) as error:
            raise LossError(f"levels {self.levels!r} are not numbers; give one voltage a class") from error
        if len(set(levels)) < max(2, len(levels)) or not np.all(np.isfinite(levels)):
            raise LossError(f"levels {levels} must be two or more different finite voltages, one a class")
        object.__setattr__(self, "levels", levels)

    def predict(self, outputs: npt.ArrayLike) -> IntArray:
        """Class of each sample, shape `(...)`, from output voltages [V], shape `(..., n_outputs)`."""
        voltages = as_signals(outputs, "outputs")
        if voltages.shape[-1] > 1:
            return np.asarray(np.argmax(voltages, axis=-1), dtype=np.int64)
        distance = np.abs(voltages - np.array(self.levels))
        return np.asarray(np.argmin(distance, axis=-1), dtype=np.int64)

    def correct(self, outputs: npt.ArrayLike, target: npt.ArrayLike) -> BoolArray:
        """Whether outputs and target, both `(..., n_outputs)`, stand for the same class, shape `(...)`."""
        voltages, wanted = as_pair(outputs, target)
        return np.asarray(self.predict(voltages) == self.predict(wanted), dtype=np.bool_)


def as_signals(values: npt.ArrayLike, what: str) -> FloatArray:
    """Values as floats, shape `(..., n_outputs)` with at least one output.

    Raises:
        LossError: there is no axis of outputs, or it is empty.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise LossError(f"{what} of shape {array.shape} hold no output; the last axis is one value an output")
    return array


def as_pair(outputs: npt.ArrayLike, target: Any) -> tuple[FloatArray, FloatArray]:
    """Outputs and target as floats of one shape `(..., n_outputs)`.

    Raises:
        LossError: the shapes differ (nothing is broadcast: that would hide a mistake).
    """
    voltages, wanted = as_signals(outputs, "outputs"), as_signals(target, "target")
    if voltages.shape != wanted.shape:
        raise LossError(
            f"outputs of shape {voltages.shape} against a target of shape {wanted.shape}; "
            "give one target value for each output"
        )
    return voltages, wanted
