"""Gradient estimators against central finite differences on one network.

Errors and cosines are of gradients with respect to the logarithm of the parameters (`reference.py`), because
parameters of one network have different units; the error of the plain gradient is kept beside it. The
reference carries an estimate of its own error: no tolerance is compared with a reference that is worse.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.dynamics import DynamicPlan
from bridge.errors import UnsupportedElementError
from bridge.estimators.base import Batch, DynamicBatch, Estimator, FloatArray
from bridge.estimators.finite_difference import FiniteDifference
from bridge.plans import StaticPlan
from bridge.simulator import Simulator
from bridge.validation.reference import (
    Reference,
    cosine,
    finite_differences,
    relative_error,
    scales,
)

_STEP = 1e-3


@dataclass(frozen=True)
class EstimatorCheck:
    """One estimator compared with the reference.

    Attributes:
        name: of the estimator.
        exact: whether it claims the exact gradient here.
        gradient: `(n_parameters,)`; `None` when the estimator does not cover the network.
        relative_error: with respect to the logarithms of the parameters.
        plain_relative_error: of the gradient as it is; parameters with large derivatives decide it.
        cosine: with respect to the logarithms of the parameters.
        transients: number of transients used.
        operating_points: number of operating points used.
        seconds: wall time [s], with loading the circuits that the estimator needs.
        passed: whether the error is within the tolerance; `None` where that cannot be said, or exactness
            is not claimed.
        reason: why it does not cover the network, or why nothing can be said.
    """

    name: str
    exact: bool
    gradient: FloatArray | None = None
    relative_error: float | None = None
    plain_relative_error: float | None = None
    cosine: float | None = None
    transients: int = 0
    operating_points: int = 0
    seconds: float = 0.0
    passed: bool | None = None
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "gradient": None if self.gradient is None else self.gradient.tolist(),
            "relative_error": _finite(self.relative_error),
            "plain_relative_error": _finite(self.plain_relative_error),
            "cosine": self.cosine,
            "transients": self.transients,
            "operating_points": self.operating_points,
            "seconds": self.seconds,
            "exact": self.exact,
            "covered": self.gradient is not None,
            "pass": self.passed,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class GradcheckResult:
    """Estimators compared with finite differences.

    Attributes:
        loss: mean over the batch.
        parameters: labels `element.parameter` of the parameters compared.
        scale: their sizes, in their units: what turns a gradient into one with respect to logarithms.
        reference: finite differences of them.
        tolerance: largest relative error of an estimator that claims exactness.
        estimators: in the order asked for.
    """

    loss: float
    parameters: tuple[str, ...]
    scale: FloatArray
    reference: Reference
    tolerance: float
    estimators: tuple[EstimatorCheck, ...]

    def __getitem__(self, name: str) -> EstimatorCheck:
        """The comparison of one estimator by its name."""
        return next(e for e in self.estimators if e.name == name)

    @property
    def exit_status(self) -> int:
        """1 when an estimator that claims exactness for this network misses the tolerance, otherwise 0."""
        return int(any(e.exact and e.passed is False for e in self.estimators))

    def to_json(self) -> dict[str, Any]:
        """As one JSON object; numbers that are not finite are `None`."""
        return {
            "loss": self.loss,
            "parameters": list(self.parameters),
            "reference": self.reference.gradient.tolist(),
            "reference_error": self.reference.error.tolist(),
            "reference_relative_error": _finite(self.reference.relative_error),
            "reference_simulations": self.reference.simulations,
            "tolerance": self.tolerance,
            "pass": self.exit_status == 0,
            "estimators": {e.name: e.to_json() for e in self.estimators},
        }


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else value


def gradcheck(
    plan: StaticPlan | DynamicPlan,
    batch: Batch | DynamicBatch,
    loss: Any,
    estimators: Sequence[Estimator] | Mapping[str, Estimator],
    *,
    reference: FiniteDifference | None = None,
    workers: int = 1,
    tolerance: float = 1e-3,
    places: Sequence[int] | None = None,
) -> GradcheckResult:
    """Compare estimators with central finite differences.

    Args:
        plan: the network and how it is simulated.
        batch: samples.
        loss: on outputs for a static plan, on waveforms for a time-varying one.
        estimators: to compare; a mapping gives them names of its own.
        reference: sets the relative step of the finite differences; a thousandth when left out.
        workers: simulator processes.
        tolerance: largest relative error of an estimator that claims exactness.
        places: numbers of the trainable parameters to compare; all when left out. The estimators compute
            every parameter whatever is compared.

    Raises:
        SimulationError: a simulation gave no result that can be trusted.
        ValueError: two estimators of one name, or nothing to compare.
    """
    with Simulator(plan, workers=workers) as simulator:
        return check_with(
            simulator, batch, loss, estimators, reference=reference, tolerance=tolerance, places=places
        )


def check_with(
    simulator: Simulator,
    batch: Batch | DynamicBatch,
    loss: Any,
    estimators: Sequence[Estimator] | Mapping[str, Estimator],
    *,
    reference: FiniteDifference | None = None,
    tolerance: float = 1e-3,
    places: Sequence[int] | None = None,
) -> GradcheckResult:
    """Like `gradcheck`, on a simulator that is running."""
    named = estimators if isinstance(estimators, Mapping) else {e.name: e for e in estimators}
    if len(named) != len(estimators):
        raise ValueError("two estimators have the same name; give a mapping from names to estimators")
    labels = [t.label for t in simulator.network.trainable]
    if not labels:
        raise ValueError(f"{simulator.network.name}: the network has no trainable parameters to compare")
    chosen = tuple(range(len(labels))) if places is None else tuple(places)
    scale = scales(simulator.plan)[list(chosen)]
    step = _STEP if reference is None else reference.relative_step
    found = finite_differences(simulator, batch, loss, chosen, scale, step, tolerance)
    checks = [
        _check(simulator, batch, loss, name, estimator, chosen, scale, found, tolerance)
        for name, estimator in named.items()
    ]
    return GradcheckResult(
        float(np.mean(found.losses)),
        tuple(labels[k] for k in chosen),
        scale,
        found,
        tolerance,
        tuple(checks),
    )


def _check(
    simulator: Simulator,
    batch: Batch | DynamicBatch,
    loss: Any,
    name: str,
    estimator: Estimator,
    places: Sequence[int],
    scale: FloatArray,
    reference: Reference,
    tolerance: float,
) -> EstimatorCheck:
    static = isinstance(simulator.plan, StaticPlan)
    if estimator.static is not None and static != estimator.static:
        kind = "time-varying" if static else "static"
        return EstimatorCheck(name, estimator.exact, reason=f"{estimator.name} is for {kind} networks")
    begun, before = time.perf_counter(), simulator.usage()
    try:
        full = simulator.gradient(batch, loss, estimator)
    except UnsupportedElementError as refused:
        return EstimatorCheck(name, estimator.exact, reason=str(refused))
    seconds, after = time.perf_counter() - begun, simulator.usage()
    gradient = full.gradient[list(places)]
    error = relative_error(gradient, reference.gradient, scale)
    passed, reason = judge(error, reference.relative_error, tolerance)
    return EstimatorCheck(
        name,
        estimator.exact,
        gradient,
        error,
        relative_error(gradient, reference.gradient),
        cosine(gradient, reference.gradient, scale),
        after.get("transients", 0) - before.get("transients", 0),
        after.get("operating_points", 0) - before.get("operating_points", 0),
        seconds,
        passed if estimator.exact else None,
        reason if estimator.exact else "",
    )


def judge(error: float, reference_error: float, tolerance: float) -> tuple[bool | None, str]:
    """Whether an error is within the tolerance, as far as the reference can tell; and what it cannot."""
    if reference_error <= tolerance:
        return bool(error <= tolerance), ""
    if error > tolerance + reference_error or not np.isfinite(error):
        return False, ""
    return None, (
        f"the finite differences are themselves uncertain by {reference_error:.1e}, more than the tolerance "
        f"{tolerance:g}; simulate with a smaller step or tighter tolerances"
    )
