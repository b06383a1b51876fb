"""Features of a table as voltages, with the statistics of the rows that a scaler was fitted to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from bridge.experiment.tables import DataError

FloatArray = npt.NDArray[np.float64]
ScalingKind = Literal["standard", "min_max", "none"]


@dataclass(frozen=True)
class Scaling:
    """How features become voltages.

    `standard` puts a feature's mean at `offset` and a standard deviation `amplitude` away from it;
    `min_max` puts its least and greatest value at `offset - amplitude` and `offset + amplitude`;
    `none` takes features as volts. A feature that is constant in the training rows is put at `offset`.

    Attributes:
        kind: `standard`, `min_max` or `none`.
        amplitude: see above [V], above 0.
        offset: see above [V].
        clip: greatest distance from `offset` [V] that a scaled feature keeps; None for no limit. Rows
            of the test split can lie beyond the range of the training rows.
        shared: one mean and range for all features together, as for the pixels of an image.
    """

    kind: ScalingKind = "standard"
    amplitude: float = 1.0
    offset: float = 0.0
    clip: float | None = None
    shared: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(ScalingKind):
            known = ", ".join(get_args(ScalingKind))
            raise DataError(f"unknown scaling {self.kind!r}; choose one of: {known}")
        if not (np.isfinite(self.amplitude) and self.amplitude > 0.0 and np.isfinite(self.offset)):
            raise DataError(
                f"features are scaled to {self.offset} +- {self.amplitude} V; both must be finite, and the "
                "amplitude above 0"
            )
        if self.clip is not None and not self.clip > 0.0:
            raise DataError(f"scaled features are clipped at {self.clip} V; the limit must be above 0")


@dataclass(frozen=True, eq=False)
class Scaler:
    """A scaling with the statistics of the rows that it was fitted to.

    Attributes:
        scaling: what is done.
        centre: value of each feature that goes to the offset [unit of the feature], shape `(n_features,)`.
        gain: volts per unit of each feature, shape `(n_features,)`; 0 for a constant one.
    """

    scaling: Scaling
    centre: FloatArray
    gain: FloatArray

    @classmethod
    def fit(cls, scaling: Scaling, features: FloatArray) -> Scaler:
        """Take the statistics of `features`, shape `(n, n_features)`, the training rows."""
        axis = None if scaling.shared else 0
        if scaling.kind == "standard":
            centre, spread = np.mean(features, axis=axis), np.std(features, axis=axis)
        else:
            low, high = np.min(features, axis=axis), np.max(features, axis=axis)
            centre, spread = 0.5 * (low + high), 0.5 * (high - low)
        centre, spread = (np.array(np.broadcast_to(part, features.shape[1:])) for part in (centre, spread))
        # A constant feature's mean is off by rounding, its deviation then is a rounding error and no spread.
        varies = spread > 1e-12 * np.max(np.abs(features), axis=0)
        gain = np.where(varies, scaling.amplitude / np.where(varies, spread, 1.0), 0.0)
        return cls(scaling, centre, gain)

    def __call__(self, features: FloatArray) -> FloatArray:
        """Scaled features [V], shape `(n, n_features)`, from features of that shape."""
        scaling = self.scaling
        scaled = features if scaling.kind == "none" else scaling.offset + self.gain * (features - self.centre)
        if scaling.clip is None:
            return np.array(scaled, dtype=np.float64)
        return np.clip(scaled, scaling.offset - scaling.clip, scaling.offset + scaling.clip)
