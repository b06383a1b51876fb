"""Finite differences that know their own error, and how gradients are compared.

Parameters of one network have different units and sizes, so a norm over the plain gradient sees only those of
the largest derivative. Gradients are compared with respect to the *logarithm* of the parameters, `g_k |p_k|`,
with the parameter's typical size in place of a value of zero: all components then have the loss's unit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.dynamics import DynamicPlan
from bridge.estimators.base import Batch, DynamicBatch, FloatArray
from bridge.estimators.finite_difference import DifferenceTask
from bridge.families import typical_sizes
from bridge.plans import StaticPlan
from bridge.simulator import Simulator


def scales(plan: StaticPlan | DynamicPlan) -> FloatArray:
    """The size of every trainable parameter: `|value|`, or its typical size where the value is zero."""
    flat = plan.network.flat()
    values = np.abs(flat.parameters)
    return np.where(values > 0.0, values, typical_sizes(flat))


def relative_error(gradient: FloatArray, reference: FloatArray, scale: FloatArray | float = 1.0) -> float:
    """`||(g - r) s|| / ||r s||`, Euclidean norms over the parameters; 0 where both are zero."""
    difference = float(np.linalg.norm((gradient - reference) * scale))
    size = float(np.linalg.norm(reference * scale))
    if size == 0.0:
        return 0.0 if difference == 0.0 else float("inf")
    return difference / size


def cosine(gradient: FloatArray, reference: FloatArray, scale: FloatArray | float = 1.0) -> float:
    """Cosine of the angle between `g s` and `r s`; 0 where one of them is zero."""
    a, b = gradient * scale, reference * scale
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0.0 else 0.0


@dataclass(frozen=True)
class Reference:
    """A gradient by central differences of two step sizes.

    Attributes:
        gradient: extrapolated from both, `(n_parameters,)` [1 / unit of the parameter].
        error: of every component: the difference of the two step sizes, which is more than the error of
            the extrapolation, be it of truncation or of rounding, same shape and unit.
        relative_error: norm of `error` over that of `gradient`, with respect to logarithms.
        losses: of the samples, `(n_samples,)`.
        simulations: transients or operating points used.
        seconds: wall time [s].
    """

    gradient: FloatArray
    error: FloatArray
    relative_error: float
    losses: FloatArray
    simulations: int
    seconds: float


def finite_differences(
    simulator: Simulator,
    batch: Batch | DynamicBatch,
    loss: Any,
    places: Sequence[int],
    scale: FloatArray,
    step: float,
    tolerance: float,
) -> Reference:
    """The reference: differences of relative steps `step` and `2 step`, and an estimate of their error.

    Where that error is more than a tenth of the tolerance, steps ten times smaller and larger are tried
    too, and every parameter keeps the best.
    """
    begun, before = time.perf_counter(), simulator.usage()
    losses, _ = simulator.evaluate(batch, loss)

    def differences(relative_step: float) -> FloatArray:
        simulator_tasks = [DifferenceTask(batch, loss, (k,), relative_step) for k in places]
        return np.concatenate([np.zeros(0), *simulator.pool.map(simulator_tasks)])

    gradient, error = np.zeros(len(places)), np.full(len(places), np.inf)
    for size in (step, 0.1 * step, 10.0 * step):
        near, far = differences(size), differences(2.0 * size)
        better = np.abs(near - far) < error
        gradient = np.where(better, (4.0 * near - far) / 3.0, gradient)
        error = np.where(better, np.abs(near - far), error)
        own = relative_error(gradient + error, gradient, scale)
        if own <= 0.1 * tolerance:
            break
    return Reference(
        gradient, error, own, losses, _simulations(simulator, before), time.perf_counter() - begun
    )


def _simulations(simulator: Simulator, before: Mapping[str, Any]) -> int:
    after = simulator.usage()
    keys = ("transients", "operating_points")
    return int(sum(after.get(k, 0) - before.get(k, 0) for k in keys))
