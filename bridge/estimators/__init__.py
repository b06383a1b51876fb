"""Gradient estimators, one file a method."""

from bridge.estimators.base import Batch, Estimator, Gradient
from bridge.estimators.equilibrium import Equilibrium
from bridge.estimators.finite_difference import FiniteDifference

__all__ = ["ESTIMATORS", "Batch", "Equilibrium", "Estimator", "FiniteDifference", "Gradient"]

ESTIMATORS: dict[str, type[Estimator]] = {e.name: e for e in (Equilibrium, FiniteDifference)}
"""Estimators by the name that the experiment file uses."""
