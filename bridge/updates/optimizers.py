"""Optimizers on a vector of bounded parameters: gradient descent, momentum and Adam.

Spaces, bounds, what happens to a velocity at a bound, and the saved state: see `bounded.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bridge.updates.bounded import FloatArray, Optimizer, State, UpdateError
from bridge.updates.quasi_newton import BFGS
from bridge.updates.rules import RULES

__all__ = ["OPTIMIZERS", "SGD", "Adam", "Momentum", "Optimizer", "UpdateError", "make_optimizer"]


class SGD(Optimizer):
    """Gradient descent: `x <- x - rate * dJ/dx`; in log space an exponentiated update of `G`."""

    def state_dict(self) -> State:
        """No state."""
        return {}

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Check that the saved state is empty."""
        self._saved(state, {})

    def _direction(self, slope: FloatArray) -> FloatArray:
        return slope


class Momentum(Optimizer):
    """Gradient descent with heavy-ball momentum (Polyak 1964).

    `v <- momentum * v + dJ/dx`, `x <- x - rate * v`: the velocity does not contain the learning rate,
    so that a schedule acts at once. In the long run a step is `1 / (1 - momentum)` times that of SGD.
    """

    def __init__(self, size: int, *, momentum: float = 0.9, **options: Any) -> None:
        """Set up for `size` parameters.

        Args:
            size: number of parameters.
            momentum: share of the velocity that is kept, at least 0 and below 1.
            **options: those of `Optimizer`.

        Raises:
            UpdateError: an option is out of range.
        """
        super().__init__(size, **options)
        self.momentum = _share("momentum", momentum)
        self._velocity = np.zeros(size)

    def state_dict(self) -> State:
        """`velocity`, shape `(size,)`."""
        return {"velocity": self._velocity.copy()}

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Continue from a saved `velocity`."""
        self._velocity = self._saved(state, {"velocity": (self.size,)})["velocity"].astype(np.float64)

    def _direction(self, slope: FloatArray) -> FloatArray:
        self._velocity = self.momentum * self._velocity + slope
        return self._velocity

    def _stop(self, blocked: npt.NDArray[np.bool_]) -> None:
        self._velocity = np.where(blocked, 0.0, self._velocity)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1).

    `m <- b1 m + (1 - b1) g`, `s <- b2 s + (1 - b2) g^2`, `x <- x - rate * m' / (sqrt(s') + eps)` with
    `m' = m / (1 - b1^t)` and `s' = s / (1 - b2^t)`. A step is about `rate` in the parameter's own unit, so in
    linear space a learning rate is a conductance [S], in log space a relative change. At a bound
    the first moment is set to zero and the second kept.
    """

    def __init__(
        self, size: int, *, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, **options: Any
    ) -> None:
        """Set up for `size` parameters.

        Args:
            size: number of parameters.
            beta1: share of the first moment that is kept, at least 0 and below 1.
            beta2: share of the second moment that is kept, at least 0 and below 1.
            epsilon: gradient [unit of the gradient] below which steps shrink, above 0; it has to be
                small against the gradients, which in log space are losses [V^2] and may be small.
            **options: those of `Optimizer`.

        Raises:
            UpdateError: an option is out of range.
        """
        super().__init__(size, **options)
        self.beta1, self.beta2 = _share("beta1", beta1), _share("beta2", beta2)
        if not (np.isfinite(epsilon) and epsilon > 0.0):
            raise UpdateError(f"Adam's epsilon is {epsilon}; it must be a finite number above 0")
        self.epsilon = epsilon
        self._first, self._second, self._count = np.zeros(size), np.zeros(size), 0

    def state_dict(self) -> State:
        """`first` and `second` moments, shape `(size,)`, and the `count` of steps, shape `()`."""
        count = np.array(self._count, dtype=np.int64)
        return {"first": self._first.copy(), "second": self._second.copy(), "count": count}

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Continue from saved moments and count."""
        saved = self._saved(state, {"first": (self.size,), "second": (self.size,), "count": ()})
        self._first, self._second = saved["first"].astype(np.float64), saved["second"].astype(np.float64)
        self._count = int(saved["count"])

    def _direction(self, slope: FloatArray) -> FloatArray:
        self._count += 1
        self._first = self.beta1 * self._first + (1.0 - self.beta1) * slope
        self._second = self.beta2 * self._second + (1.0 - self.beta2) * slope * slope
        mean = self._first / (1.0 - self.beta1**self._count)
        square = self._second / (1.0 - self.beta2**self._count)
        return np.asarray(mean / (np.sqrt(square) + self.epsilon), dtype=np.float64)

    def _stop(self, blocked: npt.NDArray[np.bool_]) -> None:
        self._first = np.where(blocked, 0.0, self._first)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "adam": Adam,
    "bfgs": BFGS,
    **RULES,
}


def make_optimizer(kind: str, size: int, **options: Any) -> Optimizer:
    """Make the optimizer that an experiment names.

    Args:
        kind: `sgd`, `momentum`, `adam`, `bfgs`, or a rule of `rules.py`: `manhattan`, `stochastic`,
            `threshold`.
        size: number of parameters.
        **options: those of `Optimizer` and the kind's own.

    Returns:
        The optimizer in its initial state.

    Raises:
        UpdateError: the kind or an option is unknown, or an option's value is out of range.
    """
    if kind not in OPTIMIZERS:
        raise UpdateError(f"unknown optimizer {kind!r}; choose one of: {', '.join(OPTIMIZERS)}")
    try:
        return OPTIMIZERS[kind](size, **options)
    except TypeError as error:
        raise UpdateError(f"optimizer {kind!r}: {error}; correct the optimizer's options") from error


def _share(name: str, value: float) -> float:
    if not 0.0 <= value < 1.0:
        raise UpdateError(f"optimizer: {name} is {value}; it must be at least 0 and below 1")
    return float(value)
