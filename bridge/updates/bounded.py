"""The step that a gradient asks of a vector of bounded parameters: what all optimizers share.

They work in one of two spaces. `linear` steps the parameters themselves (conductances). `log` steps
their logarithms `x = ln(G / unit)`: the gradient becomes `dJ/dx = G dJ/dG` and a step `dx` multiplies
`G` by `exp(dx)`, so that a learning rate has the same meaning over the decades of a conductance.

After its step a parameter is clipped to its bounds. A velocity (momentum, Adam's first moment) that
has pushed a parameter against its bound is set to zero there, so that the parameter leaves the bound
with the first gradient that points inwards and not after the velocity has been worn down.

State is a dictionary of arrays: a checkpoint that holds it and the parameters resumes bit for bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bridge.errors import TellegenError

FloatArray = npt.NDArray[np.float64]
State = dict[str, npt.NDArray[Any]]
Space = Literal["linear", "log"]


_FARTHEST = 300.0  # change of a logarithm: past every bound of a parameter, and no overflow


class UpdateError(TellegenError):
    """An update cannot be made: an option, a gradient or a saved state is wrong. Nothing was changed."""


class Optimizer(ABC):
    """A rule that turns gradients into steps, within bounds.

    Attributes:
        lower: least values, shape `(size,)`, in the parameters' unit.
        upper: greatest values, shape `(size,)`.
        space: `linear` or `log`.
        multipliers: factors on the learning rate of each parameter, shape `(size,)`.
    """

    def __init__(
        self,
        size: int,
        lower: npt.ArrayLike = -np.inf,
        upper: npt.ArrayLike = np.inf,
        space: Space = "linear",
        multipliers: npt.ArrayLike = 1.0,
    ) -> None:
        """Set up for `size` parameters.

        Args:
            size: number of parameters.
            lower: least value of each, or of all; positive in `log` space.
            upper: greatest value of each, or of all; finite in `log` space.
            space: `linear` or `log`.
            multipliers: factor on the learning rate of each, or of all; 0 freezes a parameter.

        Raises:
            UpdateError: an option is out of range or of the wrong shape.
        """
        self.size = size
        self.lower = self._vector(lower, "lower bounds")
        self.upper = self._vector(upper, "upper bounds")
        self.multipliers = self._vector(multipliers, "learning-rate multipliers")
        self.space = space
        if space not in ("linear", "log"):
            raise UpdateError(f"unknown space {space!r}; choose linear or log")
        if not np.all(self.lower <= self.upper):
            raise UpdateError("a lower bound is above its upper bound, or no number; exchange the bounds")
        if not np.all(np.isfinite(self.multipliers) & (self.multipliers >= 0.0)):
            raise UpdateError("learning-rate multipliers must be finite numbers of at least 0")
        if space == "log" and not (np.all(self.lower > 0.0) and np.all(np.isfinite(self.upper))):
            raise UpdateError("log space needs positive lower and finite upper bounds; or use linear space")

    def step(self, parameters: npt.ArrayLike, gradient: npt.ArrayLike, learning_rate: float) -> FloatArray:
        """Make one step against the gradient.

        Args:
            parameters: values, shape `(size,)`.
            gradient: derivative of the loss by each [loss per unit of the parameter], shape `(size,)`.
            learning_rate: size of the step, finite, at least 0.

        Returns:
            New values within the bounds, shape `(size,)`; `parameters` is left alone.

        Raises:
            UpdateError: something is not finite or of the wrong shape. The state has not changed then.
        """
        values = self._checked(parameters, "parameter")
        slope = self._checked(gradient, "gradient")
        if not (np.isfinite(learning_rate) and learning_rate >= 0.0):
            raise UpdateError(f"learning rate is {learning_rate}; it must be a finite number of at least 0")
        if self.space == "log" and not np.all(values > 0.0):
            raise UpdateError(f"parameter {int(np.argmin(values))} is not positive; use linear space")
        state = self.state_dict()
        try:
            with np.errstate(over="raise", invalid="raise"):
                slope = slope * values if self.space == "log" else slope
                return self._move(values, -learning_rate * self.multipliers * self._direction(slope))
        except FloatingPointError as error:
            self.load_state_dict(state)
            raise UpdateError(
                f"the step overflows: the greatest gradient is {np.max(np.abs(slope)):g}, the learning rate "
                f"{learning_rate:g}; reduce the scale of the loss or the learning rate"
            ) from error

    @abstractmethod
    def state_dict(self) -> State:
        """Copies of the arrays that the next step depends on, by name."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Continue from a saved state.

        Raises:
            UpdateError: it is not the state of this kind of optimizer for this number of parameters.
        """

    @abstractmethod
    def _direction(self, slope: FloatArray) -> FloatArray:
        """Advance the state by one gradient and return what the learning rate multiplies."""

    def _stop(self, blocked: npt.NDArray[np.bool_]) -> None:  # noqa: B027 - nothing to stop without velocity
        """Take the velocity from the parameters that their bound has stopped."""

    def _move(self, values: FloatArray, change: FloatArray) -> FloatArray:
        if self.space == "log":
            moved = values * np.exp(np.clip(change, -_FARTHEST, _FARTHEST))
        else:
            moved = values + change
        self._stop((moved < self.lower) | (moved > self.upper))
        return np.asarray(np.clip(moved, self.lower, self.upper), dtype=np.float64)

    def _vector(self, values: npt.ArrayLike, what: str) -> FloatArray:
        array = np.asarray(values, dtype=np.float64)
        if array.shape not in ((), (self.size,)):
            raise UpdateError(f"{what} have shape {array.shape}; give one number, or {self.size} numbers")
        return np.array(np.broadcast_to(array, (self.size,)))

    def _checked(self, values: npt.ArrayLike, what: str) -> FloatArray:
        array = np.asarray(values, dtype=np.float64)
        if array.shape != (self.size,):
            raise UpdateError(f"{what}s have shape {array.shape}; the optimizer was made for ({self.size},)")
        bad = np.flatnonzero(~np.isfinite(array))
        if bad.size:
            raise UpdateError(
                f"{what} {bad[0]} is {array[bad[0]]} ({bad.size} of {self.size} are not finite); "
                "no parameter was changed"
            )
        return array

    def _saved(self, state: Mapping[str, npt.ArrayLike], shapes: Mapping[str, tuple[int, ...]]) -> State:
        if set(state) != set(shapes):
            raise UpdateError(
                f"saved state holds {sorted(state)}, {type(self).__name__} needs {sorted(shapes)}; "
                "resume with the optimizer that the checkpoint was made with"
            )
        arrays = {name: np.array(state[name]) for name in shapes}
        for name, shape in shapes.items():
            if arrays[name].shape != shape or not np.all(np.isfinite(arrays[name])):
                raise UpdateError(
                    f"saved {name!r} of shape {arrays[name].shape} does not hold finite numbers of shape "
                    f"{shape}; the checkpoint is damaged, or of another network"
                )
        return arrays
