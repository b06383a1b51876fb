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

from bridge.losses import Loss
from bridge.phases import StaticPlan

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
class Gradient:
    """What an estimator returns for a batch.

    Attributes:
        loss: mean over the samples.
        gradient: of that mean, `(n_trainable,)` [1 / unit of the parameter].
        outputs: of the free phase, `(n_samples, n_outputs)` [V].
    """

    loss: float
    gradient: FloatArray
    outputs: FloatArray


def chunk_size(plan: StaticPlan, samples: int) -> int:
    """Samples a task: long enough for its transport not to count; it must not depend on the workers."""
    if plan.settling is not None:
        return max(1, min(8, -(-samples // 8)))
    return max(4, min(32, -(-samples // 4)))


class Estimator(ABC):
    """A way to a gradient.

    Attributes:
        name: as in the experiment file.
    """

    name: ClassVar[str]

    @abstractmethod
    def check(self, plan: StaticPlan) -> None:
        """Refuse a network that the estimator does not cover.

        Raises:
            UnsupportedElementError: with the element's name and the reason.
        """

    @abstractmethod
    def tasks(self, plan: StaticPlan, batch: Batch, loss: Loss) -> Sequence[Any]:
        """Split the work into picklable tasks (`bridge.phases.Task`)."""

    @abstractmethod
    def combine(self, plan: StaticPlan, batch: Batch, results: Sequence[Any]) -> Gradient:
        """Make the batch's gradient of the tasks' results, in the tasks' order."""
