"""The adjoint network, simulated in ngspice: exact gradients of any transient.

After a free phase, the adjoint network (`circuits.adjoint`) runs once with the derivative of the loss,
reversed in time, injected at the outputs. Every parameter's gradient is then an integral of two signals at
its own element (`bridge.estimators.sensitivities`): one free and one adjoint transient whatever the number
of parameters. Source: Director and Rohrer, IEEE Trans. Circuit Theory 16, 318 (1969).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from bridge.dynamics import DynamicPhases, DynamicPlan, Scales, score
from bridge.errors import UnsupportedElementError
from bridge.estimators.base import DynamicBatch, Estimator, FloatArray, Gradient
from bridge.estimators.sensitivities import Trajectories, gradients, meet, source_gradient
from bridge.estimators.tail import adjoint_tail
from bridge.estimators.truncation import Piece, Truncation, whole
from bridge.losses.waveform import WaveformLoss, WaveformValue
from bridge.ngspice.drives import Signals
from bridge.ngspice.later import Later
from bridge.quadrature import interpolation_matrix, trapezoid_weights
from bridge.transistors import check_transistors, checked_way
from bridge.waveforms import Waveforms
from circuits.adjoint import adjoint

_LONGER = 1.25  # steps of adjoint phases whose error is smooth
_SMOOTH = 0.2  # change of a smooth error from one time point to the next, as a share of its peak

Found = tuple[float, FloatArray, FloatArray]
"""A sample's loss, gradient `(n_trainable,)` and score."""
_EVEN = 1e-6  # relative difference of steps that count as equal


def error_signal(waves: Waveforms, loss: WaveformValue, part: Piece, step: float, probes: int = 0) -> Signals:
    """The loss's derivative `+e` over reversed time: a current at outputs, a voltage in probed branches.

    The last `probes` columns are those of the probed sources, which are the adjoint circuit's first ones.

    The integral part becomes the density `derivative / weight` at each time point. The adjoint phase takes
    it at time points of its own, between these. There it is interpolated cubically: for a change `dv` of the
    output the charges `e dt` then add up to `sum derivative dv` but for the fourth order in the step, even
    where the derivative is an impulse at a few samples, as that of spike times is. Linear interpolation
    would widen an impulse: `x (1 - x) step^2 dv'' / 2` too much, `x` the offset of the two grids in steps.
    Beside uneven steps, at the transient's ends, it is linear.

    The terminal part is an impulse at `tau = 0`: all of its charge flows in the simulator's first step, a
    ten-thousandth of the others and integrated by the backward Euler rule, which takes the current at its
    end for all of it.

    The first sample of the free phase is much closer to the second than others are: its derivative becomes
    the charge of the last adjoint step, whole, whether it is a density or an impulse at `t = 0`.

    Args:
        waves: the free trajectory.
        loss: its loss and derivative.
        part: the errors that count, and where their adjoint begins.
        step: largest time step of the adjoint phase [s].
        probes: number of probed branches.
    """
    weights = trapezoid_weights(waves.time)[:, None]
    points = adjoint_points(waves.time, step, part.length)
    density = loss.derivative / weights
    excess = loss.derivative[0] - density[1] * weights[0]
    density[0] = density[1] + excess * 2.0 / (points[-1] - points[-2])
    times = part.end - waves.time[::-1]
    if part.after == len(waves.time):
        times = np.maximum(times, 0.0)
    times, values = _between(times, density[::-1], points)
    if loss.terminal.any():
        first, second = waves.time[0], waves.time[1]
        grid = np.union1d(times, [0.0, first, second])
        values = np.stack([np.interp(grid, times, c) for c in values.T], axis=1)
        values[np.searchsorted(grid, first)] += loss.terminal / first
        times = grid
    count = values.shape[1] - probes
    sources = (*range(probes, probes + count), *range(probes))
    return Signals(sources, values.copy(), times)


def adjoint_points(time: FloatArray, step: float, length: float) -> FloatArray:
    """The time points of an adjoint phase [s], as the simulator chooses them where no step fails.

    They begin as those of the free phase, with steps that grow up to the largest one. The simulator halves
    the last stretch.

    Args:
        time: of the free phase, from rest or not, `(n_points,)` [s].
        step: largest step [s].
        length: of the adjoint phase [s].
    """
    grown = np.flatnonzero(np.diff(time) > step * (1.0 - _EVEN))
    start = time[: grown[0] + 1] if len(grown) else time[:1]
    start = start[(start > 0.0) & (start < length)]
    last = float(start[-1]) if len(start) else 0.0
    count = max(0, int(np.ceil((length - last) / step - 1.9)))
    body = last + step * np.arange(1, count + 1)
    rest = float(body[-1]) if count else last
    return np.concatenate([start, body, [0.5 * (rest + length), length]])


def _between(times: FloatArray, values: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A signal `(n, k)` with samples at `points` where steps are even, and its own ones elsewhere."""
    steps = np.diff(times)
    even = np.isclose(steps, np.median(steps), rtol=_EVEN, atol=0.0)
    even[1:-1] &= even[:-2] & even[2:]
    even[[0, -1]] = False
    place = np.clip(np.searchsorted(times, points, side="right") - 1, 0, len(steps) - 1)
    own = np.diff(points, prepend=points[0], append=points[-1])
    alike = np.isclose(own, np.median(steps), rtol=_EVEN, atol=0.0)
    chosen = even[place] & alike[:-1] & alike[1:]
    if not chosen.any():
        return times, values
    covered = np.zeros(len(steps), dtype=bool)
    covered[place[chosen]] = True
    kept = ~(np.append(covered, False) & np.append(False, covered))
    grid = np.concatenate([times[kept], points[chosen]])
    found = np.vstack([values[kept], interpolation_matrix(times, points[chosen]) @ values])
    grid, order = np.unique(grid, return_index=True)
    return grid, found[order]


def nudge_factor(phases: DynamicPhases, waves: Waveforms, loss: WaveformValue) -> float:
    """What the error is multiplied by so that adjoint voltages are about a volt.

    The adjoint network is linear. The error of a short transient is a huge number of amperes, at which the
    simulator's first iterations, with the playback still at zero, may overflow.
    """
    density = np.abs(loss.derivative / trapezoid_weights(waves.time)[:, None]).max()
    peak = max(float(density), float(np.abs(loss.terminal).max()) / phases.plan.duration)
    return phases.largest_conductance / peak if peak > 0.0 else 1.0


def coarser(phases: DynamicPhases, waves: Waveforms, loss: WaveformValue, played: FloatArray) -> float:
    """How many times longer the steps of an adjoint phase may be than those of the free one.

    Where nothing changes fast, most of a gradient's error is the free phase's. Impulses, jumps and peaks of
    the error or of what is played back need the adjoint phase's own small steps; so do internal states, whose
    two phases' errors cancel on equal steps, and initial conditions.

    Args:
        phases: of the network.
        waves: the free trajectory.
        loss: its loss and derivative.
        played: what the adjoint network plays back, `(n_points, n_sources)`.
    """
    if loss.terminal.any() or not phases.averages:
        return 1.0
    density = loss.derivative / trapezoid_weights(waves.time)[:, None]
    smooth = np.abs(np.diff(density, axis=0)).max(initial=0.0) <= _SMOOTH * np.abs(density).max(initial=0.0)
    if smooth and played.shape[1]:
        jumps = np.abs(np.diff(played, axis=0)).max(axis=0)
        smooth = bool((jumps <= _SMOOTH * np.abs(played).max(axis=0)).all())
    return _LONGER if smooth else 1.0


@dataclass(frozen=True)
class Job:
    """A piece of a sample's error that an adjoint phase carries back.

    Attributes:
        waves: the free trajectory.
        loss: the loss and its derivative.
        part: which errors count, and how far they reach back.
    """

    waves: Waveforms
    loss: WaveformValue
    part: Piece


def reverse_phases(phases: DynamicPhases, jobs: Sequence[Job]) -> Callable[[], list[Trajectories]]:
    """Simulate the adjoint phase of each job; what is returned pairs it with the free trajectory.

    All that is computed before the adjoint phases is computed for all jobs, then the phases run one after
    another: between two of them nothing else pushes the simulator's data out of the processor's caches.
    """
    probes = len(phases.plan.network.probes)
    found, factors, ready = [], [], []
    for job in jobs:
        loss, part = job.part.error(job.loss), job.part
        played = phases.playback(job.waves)
        longer = coarser(phases, job.waves, loss, played[1])
        nudges = error_signal(job.waves, loss, part, longer * phases.plan.step, probes)
        factor = nudge_factor(phases, job.waves, loss)
        small = Signals(nudges.sources, nudges.values * factor, nudges.times)
        ready.append(phases.adjoint_phase(job.waves, small, played, part.end, part.length, longer))
        found.append(loss)
        factors.append(factor)
    replies = [phases.adjoint(one) for one in ready]
    scaled = [replace(r, values=r.values / factor) for r, factor in zip(replies, factors, strict=True)]
    tails = [_tail(phases, *some) for some in zip(jobs, scaled, (one.scales for one in ready), strict=True)]
    return lambda: [
        _pairing(phases, *some)
        for some in zip(jobs, found, scaled, (one.scales for one in ready), tails, strict=True)
    ]


def _tail(phases: DynamicPhases, job: Job, reply: Waveforms, scales: Scales) -> FloatArray:
    if phases.plan.from_rest or job.part.reach > 0.0:
        return np.zeros(len(reply.names))
    return adjoint_tail(phases, job.waves, reply, scales)


def _pairing(
    phases: DynamicPhases, job: Job, loss: WaveformValue, reply: Waveforms, scales: Scales, tail: FloatArray
) -> Trajectories:
    rest, part = phases.plan.from_rest, job.part
    reply = part.padded(reply)
    more = {"scales": scales, "tail": tail, "from_rest": rest, "held": phases.held}
    pairing = meet(job.waves, reply, part.end, **more)
    if loss.terminal.any():  # the first interval's integral is the backward Euler step's
        pairing["weights"][0] = reply.time[0]
    return Trajectories(**pairing)


def pieces_gradient(
    phases: DynamicPhases, waves: Waveforms, loss: WaveformValue, pieces: Sequence[Piece]
) -> FloatArray:
    """The gradient `(n_trainable,)` of pieces of the error; those without error cost nothing."""
    total = np.zeros(len(phases.plan.flat.trainable))
    for part in pieces:
        error = part.error(loss)
        if error.derivative.any() or error.terminal.any():
            total += gradients(phases, reverse_phases(phases, [Job(waves, loss, part)])()[0])
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
        frees = self.free(phases)
        if self.truncation is None:
            finish = self._prepared(phases, frees)
            return Later(
                lambda: [
                    (f.value, gradients(phases, p), s) for (_, f, s), p in zip(frees, finish(), strict=True)
                ]
            )
        duration, results = phases.plan.duration, []
        for waves, found, shown in frees:
            pieces = self.truncation.pieces(waves.time, duration)
            results.append((found.value, pieces_gradient(phases, waves, found, pieces), shown))
        return Later(lambda: results)

    def free(self, phases: DynamicPhases) -> list[tuple[Waveforms, WaveformValue, FloatArray]]:
        """Free phase, loss and score of every sample."""
        phases.transistors = self.transistors
        results = []
        every = [phases.free(self.batch.signals(k)) for k in range(len(self.batch))]
        for waves, target in zip(every, self.batch.targets, strict=True):
            outputs = phases.outputs(waves)
            found = self.loss.evaluate(waves.time, outputs, target)
            results.append((waves, found, score(self.loss, waves.time, outputs)))
        return results

    def trajectories(
        self, phases: DynamicPhases, frees: Sequence[tuple[Waveforms, WaveformValue, FloatArray]]
    ) -> list[Trajectories]:
        """The free and the adjoint trajectory of every sample."""
        return self._prepared(phases, frees)()

    def _prepared(
        self, phases: DynamicPhases, frees: Sequence[tuple[Waveforms, WaveformValue, FloatArray]]
    ) -> Callable[[], list[Trajectories]]:
        duration = phases.plan.duration
        return reverse_phases(phases, [Job(w, found, whole(w.time, duration)) for w, found, _ in frees])


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

    def free(self, phases: DynamicPhases) -> tuple[Waveforms, WaveformValue, FloatArray]:
        """The sample's free phase, its loss and its score."""
        return self._alone.free(phases)[0]

    def trajectories(self, phases: DynamicPhases) -> tuple[float, FloatArray, Trajectories]:
        """Loss and score of the sample, and its free and adjoint trajectories."""
        frees = self._alone.free(phases)
        _, found, shown = frees[0]
        return found.value, shown, self._alone.trajectories(phases, frees)[0]


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
