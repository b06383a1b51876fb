"""The simulator: a network in a pool of workers; outputs and gradients of batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bridge.dynamics import DynamicPlan
from bridge.estimators.base import Batch, Estimator, EvaluateTask, Gradient, gather
from bridge.ngspice.pool import Pool
from bridge.plans import StaticPlan

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class NoLoss:
    """Stands for a loss where only outputs are asked for."""

    def value(self, outputs: FloatArray, target: FloatArray) -> FloatArray:
        """Zero for every sample."""
        return np.zeros(len(outputs))


class Simulator:
    """A network simulated by worker processes; results do not depend on their number, to the last bit.

    Use it as a context manager, or call `close`: it holds processes.
    """

    def __init__(
        self,
        plan: StaticPlan | DynamicPlan,
        *,
        workers: int = 1,
        time_limit: float = 120.0,
        memory_growth: int = 256 << 20,
    ) -> None:
        """Start the workers; each loads the network.

        Args:
            plan: the network and how it is simulated.
            workers: number of processes.
            time_limit: of one task before its worker is replaced [s].
            memory_growth: of a worker before it is replaced [bytes].
        """
        self.plan = plan
        self.network = plan.network
        self._checked: Estimator | None = None
        self._parameters = plan.network.parameters
        trained = [(self.network.element(t.element).device, t.parameter) for t in self.network.trainable]
        limits = [device.parameters[device.index(name)] for device, name in trained]
        self._allowed = np.array([p.lower for p in limits]), np.array([p.upper for p in limits])
        self.pool = Pool(plan, workers, time_limit=time_limit, memory_growth=memory_growth)

    @property
    def parameters(self) -> FloatArray:
        """Values of the trainable parameters, `(n_trainable,)`."""
        return self._parameters.copy()

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        new = np.array(values, dtype=float)
        lower, upper = self._allowed
        if new.shape != lower.shape or not ((new >= lower) & (new <= upper) & np.isfinite(new)).all():
            new = self.network.with_parameters(values).parameters  # tells which value is not allowed
        self._parameters = new
        self.pool.update(new)

    def batch(self, features: ArrayLike, targets: ArrayLike) -> Batch:
        """Samples as the network sees them.

        Args:
            features: `(n_samples, n_features)`.
            targets: `(n_samples, n_outputs)`.
        """
        return Batch(self.network.drive_values(np.atleast_2d(features)), np.atleast_2d(targets).astype(float))

    def outputs(self, features: ArrayLike) -> FloatArray:
        """Outputs of the free phase, `(n_samples, n_outputs)` [V], for features `(n_samples, n_features)`."""
        x = np.atleast_2d(np.asarray(features, dtype=float))
        if not len(x):
            return np.zeros((0, len(self.network.outputs)))
        return self.evaluate(self.batch(x, np.zeros((len(x), len(self.network.outputs)))), NoLoss())[1]

    def evaluate(self, batch: Any, loss: Any) -> tuple[FloatArray, FloatArray]:
        """Losses `(n_samples,)` and outputs `(n_samples, n_outputs)` of the free phases of a batch."""
        tasks = [EvaluateTask(part, loss) for part in batch.chunks(self.plan.task_size(len(batch)))]
        return gather(self.pool.map(tasks))

    def gradient(self, batch: Any, loss: Any, estimator: Estimator) -> Gradient:
        """Losses, the gradient of their mean and the outputs of a batch.

        Raises:
            UnsupportedElementError: the estimator does not cover the network.
            SimulationError: a simulation gave no result that can be trusted.
        """
        if estimator is not self._checked:
            estimator.check(self.plan)
            self._checked = estimator
        results = self.pool.map(estimator.tasks(self.plan, batch, loss))
        return estimator.combine(self.plan, batch, results)

    def usage(self) -> dict[str, Any]:
        """Simulations, retries and seconds inside ngspice of all workers, and workers replaced."""
        total = self.pool.usage()
        total["replaced"] = self.pool.replaced
        total["recycled"] = self.pool.recycled
        return total

    def close(self) -> None:
        """End the workers."""
        self.pool.close()

    def __enter__(self) -> Simulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
