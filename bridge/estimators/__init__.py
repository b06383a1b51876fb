"""Gradient estimators, one file a method."""

from bridge.estimators.adjoint import AdjointNetwork, TruncatedAdjoint
from bridge.estimators.base import Batch, DynamicBatch, Estimator, Gradient
from bridge.estimators.causal import Causal
from bridge.estimators.coupled_learning import CoupledLearning
from bridge.estimators.equilibrium import Equilibrium
from bridge.estimators.finite_difference import FiniteDifference
from bridge.estimators.lagrangian import Lagrangian
from bridge.estimators.mirror_equilibrium import MirrorEquilibrium
from bridge.estimators.operating_point import OperatingPointAdjoint

__all__ = [
    "ESTIMATORS",
    "AdjointNetwork",
    "Batch",
    "Causal",
    "CoupledLearning",
    "DynamicBatch",
    "Equilibrium",
    "Estimator",
    "FiniteDifference",
    "Gradient",
    "Lagrangian",
    "MirrorEquilibrium",
    "OperatingPointAdjoint",
    "TruncatedAdjoint",
    "estimator_type",
]

ESTIMATORS: dict[str, type[Estimator]] = {
    e.name: e
    for e in (
        Equilibrium,
        MirrorEquilibrium,
        FiniteDifference,
        AdjointNetwork,
        Lagrangian,
        Causal,
        CoupledLearning,
    )
}
"""Estimators by the name that the experiment file uses."""


def estimator_type(name: str, dynamic: bool) -> type[Estimator]:
    """The estimator of that name for time-varying or for static networks: `adjoint` has one of each."""
    return OperatingPointAdjoint if name == "adjoint" and not dynamic else ESTIMATORS[name]
