"""The adjoint network, simulated in ngspice: exact gradients of any transient.

After a free phase, the adjoint network (`circuits.adjoint`) runs once with the derivative of the loss,
reversed in time, injected at the outputs. Every parameter's gradient is then an integral of two signals at
its own element (`bridge.estimators.sensitivities`): one free and one adjoint transient whatever the number
of parameters. Source: Director and Rohrer, IEEE Trans. Circuit Theory 16, 318 (1969).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from bridge.dynamics import DynamicPhases, DynamicPlan, score
from bridge.errors import UnsupportedElementError
from bridge.estimators.base import DynamicBatch, Estimator, FloatArray, Gradient
from bridge.estimators.reverse import Job, Prepared, prepare, reverse_phases
from bridge.estimators.sensitivities import Trajectories, gradients, source_gradient
from bridge.estimators.truncation import Piece, Truncation, whole
from bridge.losses.waveform import WaveformLoss, WaveformValue
from bridge.ngspice.later import Later
from bridge.transistors import check_transistors, checked_way
from bridge.waveforms import Waveforms
from circuits.adjoint import adjoint

Found = tuple[float, FloatArray, FloatArray]
"""A sample's loss, gradient `(n_trainable,)` and score."""
Free = tuple[Waveforms, WaveformValue, FloatArray]
"""A sample's free phase, its loss and its score."""


def pieces_gradient(
    phases: DynamicPhases, waves: Waveforms, loss: WaveformValue, pieces: Sequence[Piece]
) -> FloatArray:
    """The gradient `(n_trainable,)` of pieces of the error; those without error cost nothing."""
    total = np.zeros(len(phases.plan.flat.trainable))
    for part in pieces:
        error = part.error(loss)
        if error.derivative.any() or error.terminal.any():
            total += gradients(
                phases, reverse_phases(phases, [partial(prepare, phases, Job(waves, loss, part))])()[0]
            )
    return total


@dataclass(frozen=True)
class AdjointSamples:
    """Some samples: their losses, gradients and scores."""

    batch: DynamicBatch
    loss: WaveformLoss
    transistors: str = "auto"
    truncation: Truncation | None = None

    def run(self, phases: DynamicPhases) -> list[Found]:
        """Loss, gradient `(n_trainable,)` and score of every sample."""
        found: list[Found] = self.begin(phases).finish()
        return found

    def begin(self, phases: DynamicPhases) -> Later:
        """Simulate; the sums of the gradients are left."""
        if self.truncation is None:
            frees, finish = self.simulated(phases)
            return Later(
                lambda: [
                    (f.value, gradients(phases, p), s) for (_, f, s), p in zip(frees, finish(), strict=True)
                ]
            )
        duration, results = phases.plan.duration, []
        for waves, found, shown in self.free(phases):
            pieces = self.truncation.pieces(waves.time, duration)
            results.append((found.value, pieces_gradient(phases, waves, found, pieces), shown))
        return Later(lambda: results)

    def free(self, phases: DynamicPhases) -> list[Free]:
        """Free phase, loss and score of every sample."""
        phases.transistors = self.transistors
        every = [phases.free(self.batch.signals(k)) for k in range(len(self.batch))]
        return [
            self._valued(phases, waves, target)
            for waves, target in zip(every, self.batch.targets, strict=True)
        ]

    def _valued(self, phases: DynamicPhases, waves: Waveforms, target: Any) -> Free:
        outputs = phases.outputs(waves)
        found = self.loss.evaluate(waves.time, outputs, target)
        return waves, found, score(self.loss, waves.time, outputs)

    def simulated(self, phases: DynamicPhases) -> tuple[list[Free], Callable[[], list[Trajectories]]]:
        """Simulate the free and the adjoint phase of every sample.

        Returns:
            The free phases, and what makes both trajectories of every sample without the simulator.
        """
        phases.transistors = self.transistors
        phases.adjoint_circuit()  # loaded here: what is computed beside must not use the simulator

        def prepared(free: Callable[[], Waveforms], target: Any) -> tuple[Free, Prepared]:
            found = self._valued(phases, free(), target)
            return found, prepare(phases, Job(*found[:2], whole(found[0].time, phases.plan.duration)))

        def played(k: int) -> Callable[[], Any]:
            return lambda: phases.free_played(self.batch.signals(k))

        ready, coming = [], played(0)
        try:
            for k, target in enumerate(self.batch.targets, start=1):
                here = coming()
                if k < len(self.batch):
                    coming = phases.computes(played(k))
                ready.append(phases.computes(partial(prepared, phases.free_later(here), target)))
            finish = reverse_phases(phases, [partial(_second, one) for one in ready])
            return [one()[0] for one in ready], finish
        finally:
            phases.beside.join()


def _second(found: Callable[[], tuple[Free, Prepared]]) -> Prepared:
    return found()[1]


@dataclass(frozen=True)
class AdjointTask:
    """One sample: its loss, score and gradient."""

    batch: DynamicBatch
    sample: int
    loss: WaveformLoss
    transistors: str = "auto"
    truncation: Truncation | None = None

    @property
    def _alone(self) -> AdjointSamples:
        k = self.sample
        b = self.batch
        one = DynamicBatch(b.times, b.drives[k : k + 1], b.targets[k : k + 1])
        return AdjointSamples(one, self.loss, self.transistors, self.truncation)

    def run(self, phases: DynamicPhases) -> Found:
        """Loss, gradient `(n_trainable,)` and score of the sample."""
        return self._alone.run(phases)[0]

    def free(self, phases: DynamicPhases) -> Free:
        """The sample's free phase, its loss and its score."""
        return self._alone.free(phases)[0]

    def trajectories(self, phases: DynamicPhases) -> tuple[float, FloatArray, Trajectories]:
        """Loss and score of the sample, and its free and adjoint trajectories."""
        frees, finish = self._alone.simulated(phases)
        _, found, shown = frees[0]
        return found.value, shown, finish()[0]


@dataclass(frozen=True)
class SourceGradientTask:
    """One sample: the gradient with respect to the waveform of every driven source."""

    batch: DynamicBatch
    sample: int
    loss: WaveformLoss

    def run(self, phases: DynamicPhases) -> tuple[FloatArray, FloatArray]:
        """Times `(n_points,)` [s] and gradients `(n_points, n_drives)` [1 / (source unit s)]."""
        task = AdjointTask(self.batch, self.sample, self.loss)
        phases.source_currents = True
        paths = task.trajectories(phases)[2]
        network, duration = phases.plan.flat, phases.plan.duration
        found = [source_gradient(network.element(d.source), paths, duration) for d in network.drives]
        return found[0][0], np.stack([g for _, g in found], axis=1)


class AdjointNetwork(Estimator):
    """Exact gradients of transients from the adjoint network.

    Static networks are those of `bridge.estimators.operating_point`.

    Attributes:
        transistors: how transistors are linearised, one of `bridge.transistors.WAYS`: `auto` measures those
            whose reported parameters are not all of the derivative.
        truncation: how far errors reach back; `None` for all of the transient, which alone is exact.
    """

    name: ClassVar[str] = "adjoint"
    static: ClassVar[bool | None] = False
    transistors: str = "auto"
    truncation: Truncation | None = None

    def __init__(self, transistors: str = "auto") -> None:
        """Make the estimator.

        Raises:
            ValueError: `transistors` is not one of `bridge.transistors.WAYS`.
        """
        self.transistors = checked_way(transistors)

    def check(self, plan: DynamicPlan) -> None:
        """Refuse networks with an element whose derivative is not known."""
        super().check(plan)
        adjoint(plan.flat)
        check_transistors(plan.flat, self.transistors, charges=True)

    def tasks(self, plan: DynamicPlan, batch: DynamicBatch, loss: WaveformLoss) -> Sequence[Any]:
        """Some samples a task."""
        pieces = batch.chunks(plan.gradient_size(len(batch)))
        return [AdjointSamples(some, loss, self.transistors, self.truncation) for some in pieces]

    def combine(self, plan: DynamicPlan, batch: DynamicBatch, results: Sequence[Sequence[Found]]) -> Gradient:
        """Mean over the batch."""
        each = [found for some in results for found in some]
        losses = np.array([r[0] for r in each])
        return Gradient(losses, np.mean([r[1] for r in each], axis=0), np.array([r[2] for r in each]))


class TruncatedAdjoint(AdjointNetwork):
    """The adjoint network with errors that reach back for a limited time: biased, and bounded.

    See `bridge.estimators.truncation`; `bridge.validation.growth` measures what it is good for.
    """

    exact: ClassVar[bool] = False

    def __init__(self, horizon: float, stride: float | None = None, transistors: str = "auto") -> None:
        """Make the estimator.

        Args:
            horizon: errors reach back this far at least [s], then are cut.
            stride: errors of so long a time are cut at once [s]; the horizon when left out.
            transistors: how they are linearised.

        Raises:
            ValueError: a time is not positive, or `transistors` is not one of `bridge.transistors.WAYS`.
        """
        super().__init__(transistors)
        self.truncation = Truncation(horizon, stride)


class NudgedEstimator(AdjointNetwork):
    """What estimators share that nudge the free circuit itself by a finite current.

    Attributes:
        relative_beta: nudging strength: the largest nudge current after the first instant, as a share of the
            largest resistor current of the free phase.
    """

    def __init__(self, relative_beta: float = 1e-2) -> None:
        """Make the estimator.

        Raises:
            ValueError: `relative_beta` is not positive.
        """
        if not relative_beta > 0:
            raise ValueError(f"relative_beta = {relative_beta:g}: must be positive")
        self.relative_beta = relative_beta

    def check(self, plan: DynamicPlan) -> None:
        """Refuse outputs that are currents."""
        Estimator.check(self, plan)
        for probe in plan.network.probes:
            raise UnsupportedElementError(
                probe, "its current is an output, which cannot be nudged here", "use the estimator adjoint"
            )

    def combine(self, plan: DynamicPlan, batch: DynamicBatch, results: Sequence[Any]) -> Gradient:
        """Mean over the batch, of one sample a task."""
        return super().combine(plan, batch, [[found] for found in results])
