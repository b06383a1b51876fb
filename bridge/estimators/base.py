"""The contract of gradient estimators.

An estimator turns the waveforms or operating points of a network's phases into the gradient of a loss with
respect to the trainable parameters. It splits a batch into tasks that run in workers, and combines their
results in a fixed order, so that the gradient does not depend on the number of workers, to the last bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bridge.dynamics import DynamicPlan
from bridge.errors import UnsupportedElementError
from bridge.ngspice.drives import Signals
from bridge.plans import StaticPlan

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Batch:
    """Samples as the network sees them.

    Attributes:
        drives: values of the driven sources, `(n_samples, n_drives)` [V or A].
        targets: `(n_samples, n_outputs)`, in the loss's unit.
    """

    drives: FloatArray
    targets: FloatArray

    def __post_init__(self) -> None:
        if len(self.drives) != len(self.targets):
            raise ValueError(f"{len(self.drives)} samples but {len(self.targets)} targets")

    def __len__(self) -> int:
        return len(self.drives)

    def chunks(self, size: int) -> list[Batch]:
        """The batch in pieces of at most `size` samples, in order."""
        return [
            Batch(self.drives[k : k + size], self.targets[k : k + size]) for k in range(0, len(self), size)
        ]


@dataclass(frozen=True)
class DynamicBatch:
    """Samples of a time-varying network.

    Attributes:
        times: of the drives, `(n_times,)` [s].
        drives: `(n_samples, n_times, n_drives)` [V or A].
        targets: one a sample, whatever the loss takes.
    """

    times: FloatArray
    drives: FloatArray
    targets: Any

    def __len__(self) -> int:
        return len(self.drives)

    def chunks(self, size: int) -> list[DynamicBatch]:
        """The batch in pieces of at most `size` samples, in order."""
        return [
            DynamicBatch(self.times, self.drives[k : k + size], self.targets[k : k + size])
            for k in range(0, len(self), size)
        ]

    def signals(self, sample: int) -> Signals:
        """What the driven sources play in a sample."""
        values = self.drives[sample]
        return Signals(tuple(range(values.shape[1])), values, self.times)


@dataclass(frozen=True)
class Gradient:
    """What an estimator returns for a batch.

    Attributes:
        losses: of every sample, `(n_samples,)`.
        gradient: of their mean, `(n_trainable,)` [1 / unit of the parameter].
        outputs: of the free phase: `(n_samples, n_outputs)` [V] for static networks, what the loss makes
            of each sample's waveforms for time-varying ones.
    """

    losses: FloatArray
    gradient: FloatArray
    outputs: FloatArray

    @property
    def loss(self) -> float:
        """Mean over the samples."""
        return float(np.mean(self.losses))


@dataclass(frozen=True)
class EvaluateTask:
    """Free phases of some samples: their losses and outputs."""

    batch: Any
    loss: Any

    def run(self, phases: Any) -> tuple[FloatArray, FloatArray]:
        """Losses `(n,)` and outputs `(n, n_outputs)`."""
        losses, outputs = phases.evaluate(self.batch, self.loss)
        return losses, outputs


def gather(results: Sequence[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """Losses and outputs of several tasks as arrays over all samples."""
    return np.concatenate([r[0] for r in results]), np.concatenate([r[1] for r in results])


class Estimator(ABC):
    """A way to a gradient.

    The contract is the same for static networks (`StaticPlan`, `Batch`, a loss on output voltages) and for
    time-varying ones (`DynamicPlan`, `DynamicBatch`, a loss on waveforms).

    Attributes:
        name: as in the experiment file.
        exact: whether it claims the exact gradient, up to the simulator's accuracy, where `check` passes.
        static: whether it is for static networks or for time-varying ones; `None` for both.
    """

    name: ClassVar[str]
    exact: ClassVar[bool] = True
    static: ClassVar[bool | None] = None

    @abstractmethod
    def check(self, plan: Any) -> None:
        """Refuse a network that the estimator does not cover; estimators call this one first.

        Raises:
            UnsupportedElementError: with the element's name and the reason, or the plan is of the other kind.
        """
        if self.static is None or isinstance(plan, StaticPlan if self.static else DynamicPlan):
            return
        mine, other = ("static", "time-varying") if self.static else ("time-varying", "static")
        needed, instead = ("StaticPlan", "AdjointNetwork") if self.static else (
            "DynamicPlan", "OperatingPointAdjoint")  # fmt: skip
        raise UnsupportedElementError(
            plan.network.name,
            f"{type(self).__name__} is for {mine} networks (a {needed}), and this is a {type(plan).__name__}",
            f"use {instead}, or FiniteDifference, for {other} networks",
        )

    @abstractmethod
    def tasks(self, plan: Any, batch: Any, loss: Any) -> Sequence[Any]:
        """Split the work into picklable tasks, whose `run(phases)` is called in a worker."""

    @abstractmethod
    def combine(self, plan: Any, batch: Any, results: Sequence[Any]) -> Gradient:
        """Make the batch's gradient of the tasks' results, in the tasks' order."""
