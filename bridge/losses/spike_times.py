"""Spike times of output voltages against targets: a loss whose derivative is that of threshold crossings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.losses.base import FloatArray, IntArray, LossError
from bridge.losses.sampling import as_transient
from bridge.losses.spikes import target_trains
from bridge.losses.waveform import WaveformValue
from bridge.quadrature import trapezoid_weights

_REACH = 2.0  # widths in tau of the neighbourhood of a target in which a missing spike is looked for
_HALVINGS = 60


@dataclass(frozen=True, eq=False)
class Crossings:
    """Upward crossings of a threshold by one sampled voltage.

    Attributes:
        times: `(n_spikes,)` [s].
        samples: numbers of the samples that each time depends on, `(n_spikes, n_stencil)`.
        slopes: derivative of the time by each of them, `(n_spikes, n_stencil)` [s/V]; a row's sum is
            `-1 / (dv/dt)` at the crossing.
        peaks: number of the sample with the largest voltage before the voltage falls below the threshold
            again, `(n_spikes,)`.
    """

    times: FloatArray
    samples: IntArray
    slopes: FloatArray
    peaks: IntArray

    def __len__(self) -> int:
        return len(self.times)


def crossings(time: FloatArray, voltage: FloatArray, threshold: float) -> Crossings:
    """When a voltage crosses a threshold upwards, and how these times depend on the samples.

    Between two samples the voltage is the cubic polynomial through the four nearest ones (the line through
    two where there are fewer), `p(t) = sum_i w_i(t) v_i`. From `p(t) = threshold` follows `dt/dv_i = -w_i(t)
    / p'(t)`: the derivative is that of the times returned, not of an ideal crossing.

    Args:
        time: `(n_points,)` [s], increasing.
        voltage: `(n_points,)` [V].
        threshold: [V]; a voltage that starts above it has not crossed it.
    """
    above = voltage >= threshold
    before = np.flatnonzero(~above[:-1] & above[1:])
    width = 4 if len(time) >= 4 else 2
    first = np.clip(before - width // 2 + 1, 0, len(time) - width)
    samples = first[:, None] + np.arange(width)
    step = (time[before + 1] - time[before])[:, None]
    nodes, values = (time[samples] - time[before][:, None]) / step, voltage[samples]
    low, high = np.zeros(len(before)), np.ones(len(before))
    for _ in range(_HALVINGS):  # the sign change stays an upward one
        middle = 0.5 * (low + high)
        over = np.sum(_lagrange(nodes, middle)[0] * values, axis=1) >= threshold
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    weights, rates = _lagrange(nodes, high)
    speed = np.sum(rates * values, axis=1, keepdims=True)
    rise = (voltage[before + 1] - voltage[before])[:, None]
    speed = np.maximum(speed, 1e-3 * rise)  # a cubic may touch the threshold with a level tangent
    downs = np.append(np.flatnonzero(above[:-1] & ~above[1:]) + 1, len(time))
    ends = downs[np.searchsorted(downs, before + 1)]
    peaks = [s + int(np.argmax(voltage[s:e])) for s, e in zip(before + 1, ends, strict=True)]
    return Crossings(
        time[before] + high * step[:, 0],
        np.asarray(samples, dtype=np.int64),
        -weights * step / speed,
        np.array(peaks, dtype=np.int64),
    )


def _lagrange(nodes: FloatArray, at: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weights `(n, k)` of the values at `nodes` in their polynomial at `at` `(n,)`, and their derivatives."""
    width = nodes.shape[1]
    weights, rates = np.ones_like(nodes), np.zeros_like(nodes)
    for i in range(width):
        for j in range(width):
            if i != j:
                distance = nodes[:, i] - nodes[:, j]
                rates[:, i] = (rates[:, i] * (at - nodes[:, j]) + weights[:, i]) / distance
                weights[:, i] *= (at - nodes[:, j]) / distance
    return weights, rates


@dataclass(frozen=True)
class SpikeTimes:
    """Squared spike-time errors, and costs of missing and extra spikes; mean over the outputs.

    A spike is an upward crossing of the threshold (`crossings`). It has a strength `r = 1 - exp(-(x /
    height)^2)` from the excess `x` of its peak over the threshold, which is 0 when the spike is born and 1
    for every proper one. Spikes and targets are paired in their order, each at most once, so that the sum is
    least:

        pair            r ((t - t*) / tau)^2 + (1 - r) M
        missing spike   M = missing (1 + g),    g = sqrt(1 + y^2) - 1,  y = max(0, threshold - s) / height
        extra spike     r extra (1 + (T - t) / T)

    with `s` the smooth maximum of the voltage near the target, `height log mean exp(v / height)` over a
    Gaussian of standard deviation `2 tau` around it: a silent output is pulled up where it should fire. An
    extra spike is pushed towards the end T. A spike that is born or dies through the height of its peak
    changes nothing at once, nor does one that leaves at the end, so the loss is continuous; it has kinks
    where the pairing changes. Its derivative by every sample is exact, and in time it consists of impulses at
    the crossings: take several time steps for a spike's rise.

    Attributes:
        tau: a spike that is off by this costs 1 [s].
        threshold: voltage that a spike crosses upwards [V].
        missing: cost of a target without spike.
        extra: cost of a spike without target.
        height: excess of a peak over the threshold that makes a spike count [V].
    """

    tau: float
    threshold: float = 0.0
    missing: float = 10.0
    extra: float = 10.0
    height: float = 0.01

    def __post_init__(self) -> None:
        for name in ("tau", "missing", "extra", "height"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0.0):
                raise LossError(f"spike times: {name} is {value}; it must be a positive number")
        if not np.isfinite(self.threshold):
            raise LossError(f"spike times: threshold is {self.threshold}; it must be a voltage [V]")

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """See `WaveformLoss`; the target is one sequence of spike times [s] for each output."""
        time, outputs = as_transient(time, outputs)
        trains = target_trains(target, float(time[-1]), outputs.shape[1])
        total, derivative = 0.0, np.zeros_like(outputs)
        for column, train in enumerate(trains):
            value, slope = self._output(time, outputs[:, column], np.sort(train))
            total += value / outputs.shape[1]
            derivative[:, column] = slope / outputs.shape[1]
        terminal = derivative[-1].copy()
        derivative[-1] = 0.0
        return WaveformValue(total, derivative, terminal)

    def _output(self, time: FloatArray, voltage: FloatArray, train: FloatArray) -> tuple[float, FloatArray]:
        """Loss of one output and its derivative by the samples, `(n_points,)`."""
        found = crossings(time, voltage, self.threshold)
        excess = (voltage[found.peaks] - self.threshold) / self.height
        lack = np.exp(-(excess**2))
        strength, by_peak = 1.0 - lack, 2.0 * excess * lack / self.height
        costs, by_sample = self._missing(time, voltage, train)
        late = (found.times[:, None] - train[None, :]) / self.tau
        end = float(time[-1])
        extra = self.extra * (1.0 + (end - found.times) / end)
        pair = strength[:, None] * late**2 + (1.0 - strength[:, None]) * costs[None, :]
        pairs = align(pair, strength * extra, costs)
        derivative = np.zeros(len(time))
        spare, waiting = set(range(len(found))), set(range(len(train)))
        value = 0.0
        by_time, by_strength, by_cost = np.zeros(len(found)), np.zeros(len(found)), np.zeros(len(train))
        for i, j in pairs:
            spare.remove(i)
            waiting.remove(j)
            value += pair[i, j]
            by_time[i] = strength[i] * 2.0 * late[i, j] / self.tau
            by_strength[i] = late[i, j] ** 2 - costs[j]
            by_cost[j] = 1.0 - strength[i]
        for i in spare:
            value += strength[i] * extra[i]
            by_time[i] = -strength[i] * self.extra / end
            by_strength[i] = extra[i]
        for j in waiting:
            value += costs[j]
            by_cost[j] = 1.0
        np.add.at(derivative, found.samples, by_time[:, None] * found.slopes)
        np.add.at(derivative, found.peaks, by_strength * by_peak)
        return float(value), derivative + by_cost @ by_sample

    def _missing(
        self, time: FloatArray, voltage: FloatArray, train: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Cost of each target without spike, `(n_targets,)`, and its derivatives, `(n_targets, n_points)`."""
        near = np.exp(-0.5 * ((time[None, :] - train[:, None]) / (_REACH * self.tau)) ** 2)
        near = near * trapezoid_weights(time)
        near /= near.sum(axis=1, keepdims=True)
        highest = float(voltage.max(initial=-np.inf))
        shares = near * np.exp((voltage - highest) / self.height)
        total = shares.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore"):
            peak = highest + self.height * np.log(total[:, 0])
        lack = np.maximum(0.0, self.threshold - peak) / self.height
        root = np.sqrt(1.0 + lack**2)
        slope = -self.missing * lack / root / self.height
        return self.missing * root, slope[:, None] * shares / np.maximum(total, 1e-300)


def align(pair: FloatArray, extra: FloatArray, missing: FloatArray) -> list[tuple[int, int]]:
    """Pairs of spikes and targets, both in their order and each at most once, of the least total cost.

    Args:
        pair: cost of spike i with target j, `(n_spikes, n_targets)`.
        extra: cost of a spike without target, `(n_spikes,)`.
        missing: cost of a target without spike, `(n_targets,)`.

    Returns:
        The pairs; the recursion is that of an edit distance (Needleman and Wunsch, J. Mol. Biol. 48, 443
        (1970)).
    """
    n, m = pair.shape
    best = np.zeros((n + 1, m + 1))
    best[1:, 0], best[0, 1:] = np.cumsum(extra), np.cumsum(missing)
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            best[i, j] = min(
                best[i - 1, j - 1] + pair[i - 1, j - 1],
                best[i - 1, j] + extra[i - 1],
                best[i, j - 1] + missing[j - 1],
            )
    found: list[tuple[int, int]] = []
    i, j = n, m
    while i and j:
        if best[i, j] == best[i - 1, j - 1] + pair[i - 1, j - 1]:
            i, j = i - 1, j - 1
            found.append((i, j))
        elif best[i, j] == best[i - 1, j] + extra[i - 1]:
            i -= 1
        else:
            j -= 1
    return found[::-1]


@dataclass(frozen=True)
class SpikeTargets:
    """A loss on spike times with the same targets for every sample, and what a report says of them.

    Attributes:
        loss: gets the targets.
        times: target spike times [s], a list an output.
        tolerance: a spike nearer than this to its target is on time [s].
    """

    loss: SpikeTimes
    times: Sequence[Sequence[float]]
    tolerance: float = 5e-4

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """See `WaveformLoss`; the sample's own target is ignored."""
        return self.loss.evaluate(time, outputs, self.times)

    def averages(self, time: FloatArray, outputs: FloatArray) -> FloatArray:
        """Targets, missing spikes, extra spikes, targets hit on time, worst shift [s] of one sample, `(5,)`.

        Spikes and targets are paired in their order with the least sum of distances, whatever they are.
        """
        far = float(time[-1])
        counts, worst = np.zeros(4), 0.0
        for column, train in enumerate(self.times):
            wanted = np.sort(np.asarray(train, dtype=float))
            spikes = crossings(time, outputs[:, column], self.loss.threshold).times
            distance = np.abs(spikes[:, None] - wanted[None, :])
            pairs = align(distance, np.full(len(spikes), far), np.full(len(wanted), far))
            shifts = [distance[i, j] for i, j in pairs]
            counts += [len(wanted), len(wanted) - len(pairs), len(spikes) - len(pairs), 0]
            counts[3] += sum(s <= self.tolerance for s in shifts)
            worst = max([worst, *shifts])
        return np.append(counts, worst)

    def measures(self, scores: FloatArray) -> dict[str, float]:
        """Numbers for the table of metrics from the samples' `averages`, `(n, 5)`."""
        wanted, missing, extra, hit = (float(s) for s in scores[:, :4].sum(axis=0))
        return {
            "missing_spikes": missing,
            "extra_spikes": extra,
            "spikes_on_time": hit / wanted if wanted else 1.0,
            "worst_shift": float(scores[:, 4].max()),
        }
