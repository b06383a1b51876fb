"""The exactness report: estimators on every class of circuits, against finite differences.

For each circuit: the adjoint network's and the echo's error against finite differences, the echo's at three
nudges, the naive estimator's on the conductances, and the adjoint gradient at half and a quarter of the step,
whose Richardson extrapolation is the gradient without a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from bridge.dynamics import DynamicPhases
from bridge.estimators.adjoint import AdjointNetwork
from bridge.estimators.base import Estimator, FloatArray, Gradient
from bridge.estimators.causal import Causal
from bridge.estimators.lagrangian import Lagrangian
from bridge.simulator import Simulator
from bridge.validation.circuits import GalleryCircuit
from bridge.validation.classes import all_circuits
from bridge.validation.gradcheck import GradcheckResult, check_with
from bridge.validation.reference import cosine, relative_error, scales

ADJOINT_BAR, LAGRANGIAN_BAR = 2e-4, 5e-4
"""Largest errors that the report accepts."""
BETAS = (5e-4, 5e-3, 5e-2)
"""Nudging strengths of the echo: two decades, on both sides of half its default."""
STEPS = 2000
"""Time steps of each transient."""


@dataclass(frozen=True)
class Convergence:
    """The adjoint gradient at the step h, h/2 and h/4.

    Attributes:
        order: base-2 logarithm of the ratio of the two changes.
        error: relative distance of the gradient at h from the step-free one.
    """

    order: float
    error: float


@dataclass(frozen=True)
class Row:
    """One circuit of the report.

    Attributes:
        circuit: the circuit.
        steps: time steps of its transients.
        result: the comparison with finite differences.
        spread: relative distance of the adjoint's from the echo's gradient, the largest over the nudges;
            `None` where there is no echo.
        causal: relative error and cosine of the naive estimate, on the conductances only; `None` where it
            knows of no error (losses on the end).
        convergence: of the adjoint gradient.
    """

    circuit: GalleryCircuit
    steps: int
    result: GradcheckResult
    spread: float | None
    causal: tuple[float, float] | None
    convergence: Convergence

    @property
    def adjoint(self) -> float:
        """Relative error of the adjoint gradient."""
        return _known(self.result["adjoint"].relative_error)

    @property
    def lagrangian(self) -> float | None:
        """Relative error of the echo's gradient, the largest over the nudges; `None` if not covered."""
        errors = [self.result[_label(b)].relative_error for b in BETAS]
        return None if errors[0] is None else max(_known(e) for e in errors)

    @property
    def passed(self) -> bool:
        """Whether both reach their bars, and the echo covers what it should."""
        echo = self.lagrangian
        if (echo is not None) != self.circuit.retraced or self.result.reference.relative_error > ADJOINT_BAR:
            return False
        return self.adjoint <= ADJOINT_BAR and (echo is None or echo <= LAGRANGIAN_BAR)


def _known(value: float | None) -> float:
    return float("inf") if value is None else value


def _label(beta: float) -> str:
    return f"lagrangian, beta {beta:g}"


@dataclass(frozen=True)
class _Refined:
    """A task with a smaller time step."""

    task: Any
    factor: int

    def run(self, phases: DynamicPhases) -> Any:
        """Do the task; the phases are as before afterwards."""
        plan = phases.plan
        phases.plan = replace(plan, step=plan.step / self.factor)
        try:
            return self.task.run(phases)
        finally:
            phases.plan = plan


@dataclass(frozen=True)
class _Restricted:
    """A task for some of the trainable parameters only."""

    task: Any
    places: tuple[int, ...]

    def run(self, phases: DynamicPhases) -> Any:
        """Do the task on the same network with fewer trainable parameters."""
        network = phases.plan.network
        kept = tuple(network.trainable[k] for k in self.places)
        plan = replace(phases.plan, network=replace(network, trainable=kept))
        return self.task.run(DynamicPhases(plan, phases.session))


class _Wrapped(Estimator):
    """An estimator whose tasks are changed before they run."""

    name: ClassVar[str] = "wrapped"

    def __init__(self, estimator: Estimator, change: Callable[[Any], Any]) -> None:
        self.estimator, self.change = estimator, change

    def check(self, plan: Any) -> None:
        """Nothing is refused."""

    def tasks(self, plan: Any, batch: Any, loss: Any) -> Sequence[Any]:
        """The estimator's tasks, changed."""
        return [self.change(task) for task in self.estimator.tasks(plan, batch, loss)]

    def combine(self, plan: Any, batch: Any, results: Sequence[Any]) -> Gradient:
        """See the estimator."""
        return self.estimator.combine(plan, batch, results)


def measure(circuit: GalleryCircuit, workers: int = 1, steps: int = STEPS) -> Row:
    """Compare everything on one circuit."""
    plan, batch, loss = circuit.plan(steps), circuit.batch(), circuit.loss
    named: dict[str, Estimator] = {"adjoint": AdjointNetwork()}
    named.update({_label(b): Lagrangian(b) for b in BETAS})
    with Simulator(plan, workers=workers) as simulator:
        result = check_with(simulator, batch, loss, named, tolerance=LAGRANGIAN_BAR, places=circuit.places)
        convergence = _convergence(simulator, batch, loss)
        causal = _causal(simulator, batch, circuit, result)
    exact = result["adjoint"].gradient
    echoes = [g for b in BETAS if (g := result[_label(b)].gradient) is not None]
    spread = None
    if echoes and exact is not None:
        spread = max(relative_error(g, exact, result.scale) for g in echoes)
    return Row(circuit, steps, result, spread, causal, convergence)


def _convergence(simulator: Simulator, batch: Any, loss: Any) -> Convergence:
    scale = scales(simulator.plan)
    found: list[FloatArray] = []
    for factor in (1, 2, 4):
        refined = _Wrapped(AdjointNetwork(), partial(_Refined, factor=factor))
        found.append(scale * simulator.gradient(batch, loss, refined).gradient)
    coarse, half, quarter = found
    order = float(np.log2(np.linalg.norm(coarse - half) / np.linalg.norm(half - quarter)))
    return Convergence(order, relative_error(coarse, quarter + (quarter - half) / 3.0))


def _causal(
    simulator: Simulator, batch: Any, circuit: GalleryCircuit, result: GradcheckResult
) -> tuple[float, float] | None:
    """Error and cosine of the naive estimate; it knows conductances only and no impulse."""
    network = simulator.network
    labels = [t.label for t in network.trainable]
    resistors = {e.name for e in network.elements if e.device.kind == "resistor"}
    places = tuple(
        k
        for k, t in enumerate(network.trainable)
        if t.element in resistors and labels[k] in result.parameters
    )
    kept = [result.parameters.index(labels[k]) for k in places]
    naive = _Wrapped(Causal(), partial(_Restricted, places=places))
    estimate = simulator.gradient(batch, circuit.loss, naive).gradient
    reference, scale = result.reference.gradient[kept], result.scale[kept]
    if not estimate.any():
        return None
    return relative_error(estimate, reference, scale), cosine(estimate, reference, scale)


def run_gallery(
    workers: int = 1,
    steps: int = STEPS,
    circuits: Sequence[GalleryCircuit] | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Row]:
    """Measure all circuits.

    Args:
        workers: simulator processes.
        steps: time steps of each transient.
        circuits: which; the whole gallery when left out.
        progress: told each circuit's title before it is measured.
    """
    rows = []
    for circuit in all_circuits() if circuits is None else circuits:
        if progress is not None:
            progress(circuit.title)
        rows.append(measure(circuit, workers, steps))
    return rows
