"""Estimators of static networks with plans of time-varying ones, and the other way round."""

import numpy as np
import pytest

from bridge.dynamics import DynamicPlan
from bridge.errors import UnsupportedElementError
from bridge.estimators import (
    AdjointNetwork,
    Causal,
    CoupledLearning,
    DynamicBatch,
    Equilibrium,
    Estimator,
    FiniteDifference,
    Lagrangian,
    OperatingPointAdjoint,
)
from bridge.losses import MeanSquaredError
from bridge.plans import StaticPlan
from bridge.simulator import Simulator
from circuits.topologies.layered import layered

NETWORK = layered(2, [3], 1)
STATIC, DYNAMIC = StaticPlan(NETWORK), DynamicPlan(NETWORK, 1e-3, 1e-5)


@pytest.mark.parametrize(
    ("estimator", "plan", "advice"),
    [
        (AdjointNetwork(), STATIC, "use OperatingPointAdjoint"),
        (Lagrangian(), STATIC, "use OperatingPointAdjoint"),
        (Causal(), STATIC, "use OperatingPointAdjoint"),
        (OperatingPointAdjoint(), DYNAMIC, "use AdjointNetwork"),
        (Equilibrium(), DYNAMIC, "use AdjointNetwork"),
        (CoupledLearning(), DYNAMIC, "use AdjointNetwork"),
    ],
)
def test_the_other_kind_of_plan_is_refused(estimator: Estimator, plan: object, advice: str) -> None:
    with pytest.raises(UnsupportedElementError, match=advice) as error:
        estimator.check(plan)
    assert type(plan).__name__ in str(error.value)
    assert type(estimator).__name__ in str(error.value)


def test_finite_differences_take_both() -> None:
    for plan in (STATIC, DYNAMIC):
        FiniteDifference().check(plan)


def test_the_simulator_asks_before_a_worker_does() -> None:
    batch = DynamicBatch(np.linspace(0.0, 1e-3, 5), np.zeros((1, 5, len(NETWORK.drives))), np.zeros((1, 1)))
    with Simulator(DYNAMIC) as simulator, pytest.raises(UnsupportedElementError, match="a StaticPlan"):
        simulator.gradient(batch, MeanSquaredError(), Equilibrium())
