"""Losses on one set of output voltages: an operating point, or the end of a settled transient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bridge.losses.base import ClassDecision, FloatArray, LossError, as_pair, as_signals

_PROBABILITY_TOLERANCE = 1e-6


@dataclass(frozen=True)
class MeanSquaredError(ClassDecision):
    """Mean over a sample's outputs of the squared difference to the target, without a factor 1/2.

    `J = (1/n) sum_k (v_k - t_k)^2` [V^2] and `dJ/dv_k = 2 (v_k - t_k) / n` [V], `n` the number of
    outputs, `t` in volts. Classes are decided as `ClassDecision` says.
    """

    def value(self, outputs: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
        """Loss [V^2] of each sample, shape `(...)`; outputs and target [V], shape `(..., n_outputs)`."""
        voltages, wanted = as_pair(outputs, target)
        return np.asarray(np.mean((voltages - wanted) ** 2, axis=-1), dtype=np.float64)

    def derivative(self, outputs: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
        """Derivative [V] of each sample's loss, shape `(..., n_outputs)` as outputs and target [V]."""
        voltages, wanted = as_pair(outputs, target)
        return np.asarray(2.0 * (voltages - wanted) / voltages.shape[-1], dtype=np.float64)


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy of the softmax of scaled output voltages against target probabilities.

    `J = -sum_k t_k ln p_k` with `p = softmax(scale * v)`, and `dJ/dv = scale (p - t)` [1/V]. Evaluated
    through `ln p = z - max z - ln sum exp(z - max z)`, which neither overflows nor takes the
    logarithm of 0. The class is the largest output.

    Attributes:
        scale: how many units of the softmax's argument a volt is [1/V], positive. Small output
            voltages need a large one: with 0.1 V between outputs and 1/V the classes stay at even odds.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.scale) and self.scale > 0.0):
            raise LossError(f"cross-entropy scale is {self.scale}; it must be a positive number [1/V]")

    def value(self, outputs: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
        """Loss [nat] of each sample, shape `(...)`.

        Args:
            outputs: output voltages [V], shape `(..., n_outputs)`, two or more outputs.
            target: probabilities of the classes, one-hot or not, same shape.

        Raises:
            LossError: a single output, or a target that is no probability distribution.
        """
        voltages, wanted = self._pair(outputs, target)
        return np.asarray(-np.sum(wanted * self._log_softmax(voltages), axis=-1), dtype=np.float64)

    def derivative(self, outputs: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
        """Derivative [1/V] of each sample's loss, shape `(..., n_outputs)`; arguments as for `value`."""
        voltages, wanted = self._pair(outputs, target)
        return np.asarray(self.scale * (np.exp(self._log_softmax(voltages)) - wanted), dtype=np.float64)

    def probabilities(self, outputs: npt.ArrayLike) -> FloatArray:
        """Softmax of the scaled outputs, shape `(..., n_outputs)`, from voltages [V] of that shape."""
        return np.exp(self._log_softmax(as_signals(outputs, "outputs")))

    def predict(self, outputs: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Class of each sample, shape `(...)`: the index of its largest output."""
        return ClassDecision().predict(self._several(as_signals(outputs, "outputs")))

    def correct(self, outputs: npt.ArrayLike, target: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether the largest output is the most probable class of the target, shape `(...)`."""
        voltages, wanted = self._pair(outputs, target)
        return ClassDecision().correct(voltages, wanted)

    def _log_softmax(self, voltages: FloatArray) -> FloatArray:
        below = self.scale * (voltages - np.max(voltages, axis=-1, keepdims=True))
        return np.asarray(below - np.log(np.sum(np.exp(below), axis=-1, keepdims=True)), dtype=np.float64)

    @staticmethod
    def _several(voltages: FloatArray) -> FloatArray:
        if voltages.shape[-1] < 2:
            raise LossError(
                "cross-entropy needs one output a class, this network has a single output; "
                "encode the targets as one-hot, or use the mean squared error"
            )
        return voltages

    def _pair(self, outputs: npt.ArrayLike, target: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        voltages, wanted = as_pair(outputs, target)
        self._several(voltages)
        total = np.sum(wanted, axis=-1)
        if not (np.all(wanted >= 0.0) and np.all(np.abs(total - 1.0) <= _PROBABILITY_TOLERANCE)):
            raise LossError(
                f"cross-entropy target (least value {np.min(wanted):g}, sums from {np.min(total):g} to "
                f"{np.max(total):g}) is no probability distribution; use one-hot targets of amplitude 1"
            )
        return voltages, wanted
