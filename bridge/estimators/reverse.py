"""Adjoint phases of free trajectories: what is injected, what is played back, at which time points.

What has to be computed before an adjoint phase is computed beside the free phases of the next samples where
nothing of it needs the simulator, so that the simulator does not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bridge.dynamics import AdjointPhase, DynamicPhases
from bridge.estimators.base import FloatArray
from bridge.estimators.sensitivities import Trajectories, meet
from bridge.estimators.tail import adjoint_tail
from bridge.estimators.truncation import Piece
from bridge.losses.waveform import WaveformValue
from bridge.ngspice.drives import Signals
from bridge.quadrature import interpolation_matrix, trapezoid_weights
from bridge.waveforms import Waveforms

_LONGER = 1.25  # steps of adjoint phases whose error is smooth
_SMOOTH = 0.2  # change of a smooth error from one time point to the next, as a share of its peak
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


@dataclass(frozen=True)
class Prepared:
    """An adjoint phase that can be simulated.

    Attributes:
        job: what it is for.
        loss: the errors that count.
        factor: what they were multiplied by.
        phase: what it plays.
    """

    job: Job
    loss: WaveformValue
    factor: float
    phase: AdjointPhase


def prepare(phases: DynamicPhases, job: Job) -> Prepared:
    """All that is computed before the adjoint phase of a job; needs the simulator for transistors alone."""
    loss, part = job.part.error(job.loss), job.part
    played = phases.playback(job.waves)
    longer = coarser(phases, job.waves, loss, played[1])
    nudges = error_signal(job.waves, loss, part, longer * phases.plan.step, len(phases.plan.network.probes))
    factor = nudge_factor(phases, job.waves, loss)
    small = Signals(nudges.sources, nudges.values * factor, nudges.times)
    phase = phases.adjoint_phase(job.waves, small, played, part.end, part.length, longer)
    return Prepared(job, loss, factor, phase)


def reverse_phases(
    phases: DynamicPhases, ready: Sequence[Callable[[], Prepared]]
) -> Callable[[], list[Trajectories]]:
    """Simulate adjoint phases; what is returned pairs each with its free trajectory, beside the simulator.

    The phases run one after another: between two of them nothing else pushes the simulator's data out of
    the processor's caches.
    """
    found = []
    for one in ready:
        prepared = one()
        found.append((prepared, phases.adjoint(prepared.phase)))
    tails = [_tail(phases, *pair) for pair in found]
    return lambda: [_pairing(phases, *pair, tail) for pair, tail in zip(found, tails, strict=True)]


def _unscaled(prepared: Prepared, reply: Waveforms) -> Waveforms:
    return replace(reply, values=reply.values / prepared.factor)


def _tail(phases: DynamicPhases, prepared: Prepared, reply: Waveforms) -> FloatArray:
    job = prepared.job
    if phases.plan.from_rest or job.part.reach > 0.0:
        return np.zeros(len(reply.names))
    return adjoint_tail(phases, job.waves, _unscaled(prepared, reply), prepared.phase.scales)


def _pairing(phases: DynamicPhases, prepared: Prepared, reply: Waveforms, tail: FloatArray) -> Trajectories:
    rest, part = phases.plan.from_rest, prepared.job.part
    reply = part.padded(_unscaled(prepared, reply))
    more = {"scales": prepared.phase.scales, "tail": tail, "from_rest": rest, "held": phases.held}
    pairing = meet(prepared.job.waves, reply, part.end, **more)
    if prepared.loss.terminal.any():  # the first interval's integral is the backward Euler step's
        pairing["weights"][0] = reply.time[0]
    return Trajectories(**pairing)
