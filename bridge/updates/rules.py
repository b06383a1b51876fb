"""Update rules of devices that take pulses: sign, stochastic and threshold updates.

They are optimizers (`bounded.py`) that follow what pulses can do. The steps of `Manhattan` and `Stochastic`
have a fixed size, as a pulse moves a device by about the same way whatever the gradient is; those of
`Threshold` are as large as the accumulated gradient, but rare. In `log` space a step is a relative change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bridge.updates.bounded import FloatArray, Optimizer, State, UpdateError

__all__ = ["RULES", "Manhattan", "Stochastic", "Threshold"]


def _positive(name: str, value: float) -> float:
    if not (np.isfinite(value) and value > 0.0):
        raise UpdateError(f"update rule: {name} is {value}; it must be a finite number above 0")
    return float(value)


class Manhattan(Optimizer):
    """The sign of the gradient alone: `x <- x - rate * sign(dJ/dx)`; the learning rate is the step.

    Zamanidoost et al., "Manhattan rule training for memristive crossbar circuit pattern classifiers",
    IEEE WISP (2015). Gradients of at most `dead` in magnitude make no step.
    """

    def __init__(self, size: int, *, dead: float = 0.0, **options: Any) -> None:
        """Set up for `size` parameters.

        Args:
            size: number of parameters.
            dead: gradient up to which a parameter stays, at least 0.
            **options: those of `Optimizer`.

        Raises:
            UpdateError: an option is out of range.
        """
        super().__init__(size, **options)
        if not (np.isfinite(dead) and dead >= 0.0):
            raise UpdateError(f"update rule: dead is {dead}; it must be a finite number of at least 0")
        self.dead = float(dead)

    def state_dict(self) -> State:
        """No state."""
        return {}

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Check that the saved state is empty."""
        self._saved(state, {})

    def _direction(self, slope: FloatArray) -> FloatArray:
        return np.where(np.abs(slope) > self.dead, np.sign(slope), 0.0)


class Stochastic(Optimizer):
    """Steps of one size at random, with a probability proportional to the gradient's magnitude.

    A parameter steps by `rate * sign(dJ/dx)` with the probability `min(1, |dJ/dx| / scale)`. Below `scale`
    the mean step is that of gradient descent with the learning rate `rate / scale` (the principle of
    stochastic pulse updates: Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016)).
    """

    def __init__(self, size: int, *, scale: float, seed: int = 0, **options: Any) -> None:
        """Set up for `size` parameters.

        Args:
            size: number of parameters.
            scale: gradient that always makes a step, above 0 [unit of the gradient].
            seed: of the draws.
            **options: those of `Optimizer`.

        Raises:
            UpdateError: an option is out of range.
        """
        super().__init__(size, **options)
        self.scale = _positive("scale", scale)
        if seed < 0:
            raise UpdateError(f"update rule: seed is {seed}; it must be at least 0")
        self.seed = int(seed)
        self._count = 0

    def state_dict(self) -> State:
        """The `seed` and the `count` of steps, shape `()`: every step has a generator of its own."""
        return {"seed": np.array(self.seed, dtype=np.int64), "count": np.array(self._count, dtype=np.int64)}

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Continue from a saved seed and count."""
        saved = self._saved(state, {"seed": (), "count": ()})
        self.seed, self._count = int(saved["seed"]), int(saved["count"])

    def _direction(self, slope: FloatArray) -> FloatArray:
        draw = np.random.default_rng([self.seed, self._count]).random(self.size)
        self._count += 1
        return np.where(draw < np.abs(slope) / self.scale, np.sign(slope), 0.0)


class Threshold(Optimizer):
    """Accumulates gradients and steps only where the sum has become large.

    `a <- a + dJ/dx`; where `|a| >= threshold` the parameter steps by `-rate * a` and `a` becomes 0: the sum
    of all steps is that of gradient descent, in fewer and larger updates of the devices (the accumulation of
    small updates in digital memory: Nandakumar et al., Front. Neurosci. 14, 406 (2020)). At a bound
    the sum is set to zero with the step.
    """

    def __init__(self, size: int, *, threshold: float, **options: Any) -> None:
        """Set up for `size` parameters.

        Args:
            size: number of parameters.
            threshold: of the accumulated gradient, above 0 [unit of the gradient].
            **options: those of `Optimizer`.

        Raises:
            UpdateError: an option is out of range.
        """
        super().__init__(size, **options)
        self.threshold = _positive("threshold", threshold)
        self._sum = np.zeros(size)

    def state_dict(self) -> State:
        """`sum`, shape `(size,)`."""
        return {"sum": self._sum.copy()}

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Continue from a saved `sum`."""
        self._sum = self._saved(state, {"sum": (self.size,)})["sum"].astype(np.float64)

    def _direction(self, slope: FloatArray) -> FloatArray:
        total = self._sum + slope
        due = np.abs(total) >= self.threshold
        self._sum = np.where(due, 0.0, total)
        return np.where(due, total, 0.0)


RULES: dict[str, type[Optimizer]] = {
    "manhattan": Manhattan,
    "stochastic": Stochastic,
    "threshold": Threshold,
}
