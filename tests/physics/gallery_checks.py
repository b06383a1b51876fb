"""What the tests of the estimators share: gallery circuits in this process, and their finite differences."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from bridge.dynamics import DynamicPhases
from bridge.estimators.adjoint import AdjointTask
from bridge.ngspice.session import Session
from bridge.validation.circuits import GalleryCircuit
from bridge.validation.classes import all_circuits
from bridge.validation.reference import scales

CIRCUITS = {c.name: c for c in all_circuits()}
SMALL = [name for name in CIRCUITS if not name.startswith("random")]
ECHOED = [name for name in SMALL if CIRCUITS[name].retraced]
STEPS = 1000


def phases(circuit: GalleryCircuit, session: Session, steps: int = STEPS) -> DynamicPhases:
    return DynamicPhases(circuit.plan(steps), session)


def adjoint(circuit: GalleryCircuit, session: Session, steps: int = STEPS) -> np.ndarray:
    """Gradient with respect to the parameters' logarithms."""
    task = AdjointTask(circuit.batch(), 0, circuit.loss)
    return np.asarray(task.run(phases(circuit, session, steps))[1] * scales(circuit.plan(steps)))


@cache
def differences(name: str) -> np.ndarray:
    """Those of a gallery circuit."""
    return differences_of(CIRCUITS[name])


def differences_of(circuit: GalleryCircuit) -> np.ndarray:
    """Central differences with respect to the parameters' logarithms, independent of the estimators."""
    loaded = phases(circuit, Session())
    start, size = circuit.network.parameters, scales(circuit.plan(STEPS))

    def loss(values: np.ndarray) -> float:
        loaded.update(values)
        waves = loaded.free(circuit.batch().signals(0))
        found: Any = circuit.loss.evaluate(waves.time, loaded.outputs(waves), circuit.target)
        return float(found.value)

    steps = 1e-3 * np.diag(size)
    return np.array([(loss(start + s) - loss(start - s)) / 2e-3 for s in steps])


def error(gradient: np.ndarray, reference: np.ndarray) -> float:
    return float(np.linalg.norm(gradient - reference) / np.linalg.norm(reference))


def assert_each(gradient: np.ndarray, reference: np.ndarray, labels: list[str], share: float = 1e-2) -> None:
    """No component is wrong by a sign or factor, however small it is beside the others."""
    floor = 1e-6 * np.linalg.norm(reference)
    wrong = np.abs(gradient - reference) > share * np.abs(reference) + floor
    assert not wrong.any(), [
        f"{n}: {g:.4g} for {r:.4g}"
        for n, g, r, w in zip(labels, gradient, reference, wrong, strict=True)
        if w
    ]
