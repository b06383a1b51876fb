"""The adjoint network of an operating point: exact gradients of any static network, reciprocal or not.

A static network settles freely; then one operating point of its adjoint network, linear and with the
coefficients of the free one, with the derivative `e` of the loss injected at the outputs. Every parameter's
gradient is a product of two signals at its own element: `-u lambda` for a conductance, `-(di/dp) lambda` for
a two-terminal, as in `bridge.estimators.sensitivities` with the integral over time left out. No amplitude of
a nudge enters. Source: Director and Rohrer, IEEE Trans. Circuit Theory 16, 318 (1969).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy import sparse

from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.errors import UnsupportedElementError
from bridge.estimators.base import Batch, Estimator, FloatArray, Gradient
from bridge.estimators.sensitivities import Trajectories, gradients
from bridge.losses import Loss
from bridge.ngspice.drives import Signals, constant
from bridge.phases import StaticPhases, check_settled
from bridge.plans import Settling, StaticPlan
from bridge.solver import Analysis, with_solver
from bridge.transistors import check_transistors, checked_way
from bridge.waveforms import Waveforms
from circuits.adjoint import adjoint

_SMALL = 1e-6  # adjoint currents are scaled to this share of an ampere where no conductance is known


def linear_plan(plan: StaticPlan) -> DynamicPlan:
    """The plan whose phases know every signal that a gradient may need."""
    network = plan.circuit()
    analysis: Analysis = "operating_point" if plan.settling is None else "transient"
    return DynamicPlan(network, 1.0, 1.0, options=with_solver(plan.options, network, analysis), reduce=False)


class LinearisedPhases(DynamicPhases):
    """A static network and its adjoint network, loaded in this process."""

    charges = False

    def __init__(self, plan: StaticPlan, phases: StaticPhases | None = None) -> None:
        super().__init__(linear_plan(plan), phases.session if phases is not None else None)
        self.settling: Settling | None = plan.settling

    def settled(self, drives: FloatArray) -> Waveforms:
        """The operating point, or the end of the transient that settles, as two equal samples."""
        signals = [constant(drives)] if drives.size else []
        if self.settling is None:
            values = self.circuit.operating_point(signals)
        else:
            waves = self.circuit.transient(signals, self.settling.duration, self.settling.step)
            check_settled(waves, self.settling, len(self.plan.flat.nodes))
            values = waves.final
        return Waveforms(np.zeros(1), values[None], self.circuit.deck.saves)

    def respond(self, free: Waveforms, error: FloatArray) -> Waveforms:
        """The adjoint operating point with currents `error` `(n_outputs,)` injected at the outputs."""
        circuit = self.adjoint_circuit()[1]
        sources, values, _ = self.playback(free)
        first = len(self.plan.flat.probes)
        outputs = Signals(tuple(range(first, first + len(error))), error[None])
        played = [Signals(sources, values)] if sources else []
        found = circuit.operating_point([outputs, *played])
        return self.unfold(Waveforms(np.zeros(1), found[None], circuit.deck.saves))


def paired(free: Waveforms, adjoint: Waveforms, held: tuple[str, ...] = ()) -> Trajectories:
    """Two operating points as trajectories: two equal samples, of which the first has the weight one.

    All rates are zero; so are the adjoint signals `held`.
    """
    times = np.array([0.0, 1.0])
    return Trajectories(
        free=replace(free, time=times, values=np.repeat(free.values, 2, axis=0)),
        adjoint=replace(adjoint, time=times, values=np.repeat(adjoint.values, 2, axis=0)),
        reverse=sparse.csr_array(np.eye(2)),
        weights=np.array([1.0, 0.0]),
        scales={},
        tail=np.zeros(len(adjoint.names)),
        from_rest=False,
        held=held,
    )


@dataclass(frozen=True)
class OperatingPointTask:
    """Some samples of a batch: their losses, outputs and the sum of their gradients."""

    batch: Batch
    loss: Loss
    transistors: str

    def run(self, phases: StaticPhases) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Run the free and the adjoint phase of every sample.

        Returns:
            Losses `(n,)`, outputs `(n, n_outputs)` [V], sum of the gradients `(n_trainable,)`.
        """
        here = phases.extra.get("linearised")
        if not isinstance(here, LinearisedPhases):
            here = phases.extra["linearised"] = LinearisedPhases(phases.plan, phases)
        here.transistors = self.transistors
        here.update(phases.parameters)
        losses = np.zeros(len(self.batch))
        outputs = np.zeros(self.batch.targets.shape)
        total = np.zeros(len(phases.targets))
        conductances = [e.value("conductance") for e in here.valued.elements if e.device.kind == "resistor"]
        size = max(conductances, default=_SMALL)
        for k, (drives, target) in enumerate(zip(self.batch.drives, self.batch.targets, strict=True)):
            free = here.settled(np.asarray(drives, dtype=float))
            outputs[k] = here.outputs(free)[0][: len(target)]
            losses[k] = self.loss.value(outputs[k], target)
            error = np.asarray(self.loss.derivative(outputs[k], target), dtype=float)
            if not error.any():
                continue
            factor = size / float(np.abs(error).max())
            reply = here.respond(free, factor * error)
            total += gradients(here, paired(free, reply, here.held)) / factor
        return losses, outputs, total


class OperatingPointAdjoint(Estimator):
    """Exact gradients of static networks from the adjoint network, without reciprocity."""

    name: ClassVar[str] = "adjoint"
    static: ClassVar[bool | None] = True

    def __init__(self, transistors: str = "auto") -> None:
        """Make the estimator.

        Args:
            transistors: how transistors are linearised, one of `bridge.transistors.WAYS`.

        Raises:
            ValueError: `transistors` is another word.
        """
        self.transistors = checked_way(transistors)

    def check(self, plan: StaticPlan) -> None:
        """Refuse networks with an element whose derivative is not known, or with internal states."""
        super().check(plan)
        flat = linear_plan(plan).flat
        adjoint(flat, charges=False)
        check_transistors(flat, self.transistors, charges=False)
        for element in flat.elements:
            if element.device.states:
                raise UnsupportedElementError(
                    element.name,
                    f"a {element.device.kind} has internal states that move until they are at rest",
                    "freeze them, or use waveforms",
                )

    def tasks(self, plan: StaticPlan, batch: Batch, loss: Loss) -> Sequence[OperatingPointTask]:
        """One task for every chunk of samples."""
        parts = batch.chunks(plan.task_size(len(batch)))
        return [OperatingPointTask(part, loss, self.transistors) for part in parts]

    def combine(
        self, plan: StaticPlan, batch: Batch, results: Sequence[tuple[FloatArray, FloatArray, FloatArray]]
    ) -> Gradient:
        """Mean over the batch."""
        losses = np.concatenate([r[0] for r in results])
        outputs = np.concatenate([r[1] for r in results])
        return Gradient(losses, np.sum([r[2] for r in results], axis=0) / len(batch), outputs)
