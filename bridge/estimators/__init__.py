"""Gradient estimators, one file a method."""

from bridge.estimators.adjoint import AdjointNetwork
from bridge.estimators.base import Batch, DynamicBatch, Estimator, Gradient
from bridge.estimators.causal import Causal
from bridge.estimators.equilibrium import Equilibrium
from bridge.estimators.finite_difference import FiniteDifference
from bridge.estimators.lagrangian import Lagrangian

__all__ = [
    "ESTIMATORS",
    "AdjointNetwork",
    "Batch",
    "Causal",
    "DynamicBatch",
    "Equilibrium",
    "Estimator",
    "FiniteDifference",
    "Gradient",
    "Lagrangian",
]

ESTIMATORS: dict[str, type[Estimator]] = {
    e.name: e for e in (Equilibrium, FiniteDifference, AdjointNetwork, Lagrangian, Causal)
}
"""Estimators by the name that the experiment file uses."""
