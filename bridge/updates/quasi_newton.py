"""A quasi-Newton rule for few parameters and gradients without sampling noise, as in fits of a device."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bridge.updates.bounded import FloatArray, Optimizer, State

_CURVED = 1e-6  # least cosine between a step and the gradient's change that tells a curvature
_LARGEST = 1000


class BFGS(Optimizer):
    """Broyden, Fletcher, Goldfarb and Shanno's rule with steps of limited length, without a line search.

    The inverse Hessian follows from successive gradients (Nocedal and Wright, Numerical Optimization (2006),
    6.1); where a step has not met a positive curvature it stays as it is. A step is `-H g`, shortened to the
    learning rate where it is longer: in log space the rate is the largest relative change, and a falling
    schedule bounds what a wrong curvature can do. The first step goes down the gradient and has that length.

    Losses of a narrow valley, in which gradient descent and Adam crawl, take some ten steps. Every gradient
    must be of the same samples: give the whole data set as one batch. The memory is the number of parameters
    squared.
    """

    def __init__(self, size: int, **options: object) -> None:
        """Set up for `size` parameters, with the options of `Optimizer`.

        Raises:
            UpdateError: an option is out of range, or there are too many parameters for a dense Hessian.
        """
        from bridge.updates.bounded import UpdateError

        if size > _LARGEST:
            raise UpdateError(
                f"bfgs keeps a matrix of all pairs; {size} parameters are more than {_LARGEST}; use adam"
            )
        super().__init__(size, **options)  # type: ignore[arg-type]
        self._inverse = np.eye(size)
        self._place, self._slope, self._count = np.zeros(size), np.zeros(size), 0
        self._here, self._rate = np.zeros(size), 0.0

    def state_dict(self) -> State:
        """The `inverse` Hessian `(size, size)`, `place` and `slope` of the last step `(size,)`, `count`."""
        return {
            "inverse": self._inverse.copy(),
            "place": self._place.copy(),
            "slope": self._slope.copy(),
            "count": np.array(self._count, dtype=np.int64),
        }

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Continue from a saved state."""
        n = self.size
        saved = self._saved(state, {"inverse": (n, n), "place": (n,), "slope": (n,), "count": ()})
        self._inverse = saved["inverse"].astype(np.float64)
        self._place, self._slope = saved["place"].astype(np.float64), saved["slope"].astype(np.float64)
        self._count = int(saved["count"])

    def step(self, parameters: npt.ArrayLike, gradient: npt.ArrayLike, learning_rate: float) -> FloatArray:
        """See `Optimizer`; `learning_rate` is the largest length of the step."""
        values = np.asarray(parameters, dtype=np.float64)
        logarithmic = self.space == "log" and bool(np.all(values > 0.0))
        self._here, self._rate = np.log(values) if logarithmic else values.copy(), learning_rate
        return super().step(parameters, gradient, learning_rate)

    def _direction(self, slope: FloatArray) -> FloatArray:
        moved, change = self._here - self._place, slope - self._slope
        curvature = float(moved @ change)
        if self._count and curvature > _CURVED * np.linalg.norm(moved) * np.linalg.norm(change):
            if self._count == 1:
                self._inverse = np.eye(self.size) * curvature / float(change @ change)
            left = np.eye(self.size) - np.outer(moved, change) / curvature
            self._inverse = left @ self._inverse @ left.T + np.outer(moved, moved) / curvature
            self._count += 1
        self._count = max(self._count, 1)
        self._place, self._slope = self._here.copy(), slope.copy()
        wanted = self._inverse @ slope if self._count > 1 else slope
        length = float(np.linalg.norm(wanted))
        longest = 1.0 if self._count > 1 else 0.0
        if length == 0.0 or self._rate == 0.0:
            return np.zeros(self.size)
        scale = min(longest, self._rate / length) if longest else self._rate / length
        return np.asarray(wanted * (scale / self._rate), dtype=np.float64)
