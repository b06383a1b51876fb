"""How the gradient grows with the window: what longer and longer parts of a loss contribute.

Through spikes, or any unstable stretch of a trajectory, the adjoint grows as it goes back in time. The report
takes the errors of the first part of a transient, `t <= L`, for several windows `L`, lets each reach back to
the start, and compares it with what a truncated adjoint makes of the same errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.errors import SpecError
from bridge.estimators.adjoint import AdjointTask, pieces_gradient
from bridge.estimators.base import DynamicBatch
from bridge.estimators.truncation import Truncation, piece
from bridge.losses.waveform import WaveformLoss
from bridge.simulator import Simulator
from bridge.validation.reference import cosine, scales

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Growth:
    """Gradients of growing windows, with respect to the logarithms of the parameters.

    Attributes:
        windows: ends of the windows `(n,)` [s].
        norms: of the whole gradient of each window's errors, `(n,)`.
        truncated: of the truncated ones, `(n,)`; `None` without a horizon.
        cosines: between both, `(n,)`.
        horizon: of the truncation [s].
    """

    windows: FloatArray
    norms: FloatArray
    truncated: FloatArray | None = None
    cosines: FloatArray | None = None
    horizon: float | None = None

    @property
    def rate(self) -> float:
        """Slope of the logarithm of the norm over the window [1/s]; NaN where fewer than two have errors."""
        return _rate(self.windows, self.norms)

    @property
    def truncated_rate(self) -> float:
        """The same of the truncated gradient [1/s]."""
        return float("nan") if self.truncated is None else _rate(self.windows, self.truncated)

    def to_json(self) -> dict[str, Any]:
        """As one JSON object; numbers that are not finite are `None`."""

        def numbers(values: FloatArray | None) -> list[float | None] | None:
            return None if values is None else [float(v) if np.isfinite(v) else None for v in values]

        rates = [r if np.isfinite(r) else None for r in (self.rate, self.truncated_rate)]
        return {
            "windows": numbers(self.windows),
            "norms": numbers(self.norms),
            "rate": rates[0],
            "horizon": self.horizon,
            "truncated_norms": numbers(self.truncated),
            "truncated_rate": rates[1],
            "cosines": numbers(self.cosines),
        }

    def lines(self) -> list[str]:
        """The table in markdown, and what it comes to."""
        head = ["window [s]", "gradient", *([] if self.truncated is None else ["truncated", "cosine"])]
        rows = [head, ["---:"] * len(head)]
        for k, window in enumerate(self.windows):
            row = [f"{window:.3g}", f"{self.norms[k]:.3g}"]
            if self.truncated is not None and self.cosines is not None:
                row += [f"{self.truncated[k]:.3g}", f"{self.cosines[k]:.4f}"]
            rows.append(row)
        text = [f"| {' | '.join(row)} |" for row in rows]
        if np.isfinite(self.rate):
            text.append(
                f"growth: a factor of {np.exp(self.rate * self.windows[-1]):.3g} over the longest window"
            )
        return text


def _rate(windows: FloatArray, norms: FloatArray) -> float:
    kept = norms > 0.0
    if np.count_nonzero(kept) < 2:
        return float("nan")
    return float(np.polyfit(windows[kept], np.log(norms[kept]), 1)[0])


@dataclass(frozen=True)
class GrowthTask:
    """One sample: its gradients of all windows, whole and truncated."""

    batch: DynamicBatch
    loss: WaveformLoss
    windows: tuple[float, ...]
    truncation: Truncation | None

    def run(self, phases: DynamicPhases) -> FloatArray:
        """Gradients `(1 or 2, n_windows, n_trainable)`."""
        waves, found, _ = AdjointTask(self.batch, 0, self.loss).free(phases)
        time, duration = waves.time, phases.plan.duration
        whole, cut = [], []
        for window in self.windows:
            after = int(np.searchsorted(time, window * (1 + 1e-9), side="right"))
            whole.append(pieces_gradient(phases, waves, found, [piece(time, duration, 0, after, 0.0)]))
            if self.truncation is not None:
                parts = [
                    piece(time, duration, p.first, min(p.after, after), p.reach)
                    for p in self.truncation.pieces(time, duration)
                    if p.first < after
                ]
                cut.append(pieces_gradient(phases, waves, found, parts))
        return np.array([whole, cut] if cut else [whole])


def gradient_growth(
    simulator: Simulator,
    batch: DynamicBatch,
    loss: WaveformLoss,
    windows: Sequence[float] | int = 8,
    truncation: Truncation | None = None,
) -> Growth:
    """Measure how the gradient grows with the window's length.

    Args:
        simulator: with a time-varying network.
        batch: samples; gradients are means over them.
        loss: on waveforms. A part that looks at the last value only belongs to the whole transient.
        windows: ends of the windows [s], increasing; or how many, equally spaced up to the whole transient.
        truncation: to compare with.

    Raises:
        SpecError: the network is static, or a window does not lie within the transient.
    """
    plan = simulator.plan
    if not isinstance(plan, DynamicPlan):
        raise SpecError("the growth of gradients is that of waveforms; a static network has none")
    if isinstance(windows, int):
        ends = np.linspace(0.0, plan.duration, windows + 1)[1:]
    else:
        ends = np.asarray(windows, dtype=float)
    if not len(ends) or ends[0] <= 0 or ends[-1] > plan.duration * (1 + 1e-9) or (np.diff(ends) <= 0).any():
        raise SpecError(f"windows must increase and lie within the transient of {plan.duration:g} s")
    tasks = [GrowthTask(one, loss, tuple(ends), truncation) for one in batch.chunks(1)]
    found = np.mean(simulator.pool.map(tasks), axis=0) * scales(plan)
    norms = np.linalg.norm(found, axis=-1)
    if truncation is None:
        return Growth(ends, norms[0])
    cosines = [cosine(a, b) for a, b in zip(found[0], found[1], strict=True)]
    return Growth(ends, norms[0], norms[1], np.array(cosines), truncation.horizon)
