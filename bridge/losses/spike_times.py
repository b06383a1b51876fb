"""Spike times of output voltages against targets: a loss whose derivative is that of threshold crossings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bridge.losses.base import BoolArray, FloatArray, IntArray, LossError
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
        dips: number of the sample with the smallest voltage between the last spike, or the start, and the
            crossing, `(n_spikes,)`.
    """

    times: FloatArray
    samples: IntArray
    slopes: FloatArray
    peaks: IntArray
    dips: IntArray

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
    a, b, c, d = _powers(nodes, values - threshold)
    for _ in range(_HALVINGS):  # the sign change stays an upward one
        middle = 0.5 * (low + high)
        over = a + middle * (b + middle * (c + middle * d)) >= 0.0
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    weights, rates = _lagrange(nodes, high)
    speed = np.sum(rates * values, axis=1, keepdims=True)
    rise = (voltage[before + 1] - voltage[before])[:, None]
    speed = np.maximum(speed, 1e-3 * rise)  # a cubic may touch the threshold with a level tangent
    downs = np.append(np.flatnonzero(above[:-1] & ~above[1:]) + 1, len(time))
    ends = downs[np.searchsorted(downs, before + 1)]
    peaks = [s + int(np.argmax(voltage[s:e])) for s, e in zip(before + 1, ends, strict=True)]
    starts = np.array([0, *peaks])[: len(before)]
    dips = [s + int(np.argmin(voltage[s : e + 1])) for s, e in zip(starts, before, strict=True)]
    return Crossings(
        time[before] + high * step[:, 0],
        np.asarray(samples, dtype=np.int64),
        -weights * step / speed,
        np.array(peaks, dtype=np.int64),
        np.array(dips, dtype=np.int64),
    )


@dataclass(frozen=True, eq=False)
class Extrema:
    """Largest voltages near some samples, between which they may lie.

    Attributes:
        values: `(n,)` [V].
        samples: numbers of the samples that each depends on, `(n, n_stencil)`.
        slopes: derivative of the value by each of them, `(n, n_stencil)`.
    """

    values: FloatArray
    samples: IntArray
    slopes: FloatArray


def maxima(time: FloatArray, voltage: FloatArray, at: IntArray) -> Extrema:
    """The largest voltages within one interval of the samples `at`, on the cubics of `crossings`.

    The largest sample alone has kinks where another one takes its place, the one of a polynomial hardly has.
    """
    width = 4 if len(time) >= 4 else 2
    best = Extrema(voltage[at], np.repeat(at[:, None], width, axis=1), np.eye(width)[np.zeros_like(at)])
    for before in (at - 1, at):
        inside = (before >= 0) & (before < len(time) - 1)
        before = np.clip(before, 0, len(time) - 2)
        first = np.clip(before - width // 2 + 1, 0, len(time) - width)
        samples = first[:, None] + np.arange(width)
        nodes = (time[samples] - time[before][:, None]) / (time[before + 1] - time[before])[:, None]
        values = voltage[samples]
        _, b, c, d = _powers(nodes, values)
        root = np.sqrt(np.maximum(c**2 - 3.0 * b * d, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):  # of b + 2 c x + 3 d x^2, where it falls
            place = np.where(c < 0.0, b / (root - c), -(c + root) / (3.0 * d))
        place = np.clip(np.where(np.isfinite(place), place, 0.0), 0.0, 1.0)
        weights = _lagrange(nodes, place)[0]
        found = np.sum(weights * values, axis=1)
        better = inside & (found > best.values)
        best = Extrema(
            np.where(better, found, best.values),
            np.where(better[:, None], samples, best.samples),
            np.where(better[:, None], weights, best.slopes),
        )
    return best


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


def _powers(nodes: FloatArray, values: FloatArray) -> tuple[FloatArray, ...]:
    """Coefficients of 1, x, x^2 and x^3, `(n,)`, of the polynomials through values at nodes `(n, k)`."""
    width = nodes.shape[1]
    newton = values.copy()
    for order in range(1, width):
        newton[:, order:] = np.diff(newton[:, order - 1 :], axis=1) / (nodes[:, order:] - nodes[:, :-order])
    powers = np.zeros((len(values), width + 4))
    for k in range(width - 1, -1, -1):  # Horner's rule on polynomials
        powers[:, 1:] = powers[:, :-1] - nodes[:, k, None] * powers[:, 1:]
        powers[:, 0] = newton[:, k] - nodes[:, k] * powers[:, 0]
    return tuple(powers[:, :4].T)


@dataclass(frozen=True)
class SpikeTimes:
    """Squared spike-time errors, and costs of missing and extra spikes; mean over the outputs.

    A spike is an upward crossing of the threshold (`crossings`) with a strength `r = (1 - j) p`, 1 for every
    proper one. From the excess of its peak over the threshold `p = 1 - exp(-e)`, `e = (excess / height)^2`,
    follows; the share `j` belongs to the spike before. With that one's `e` and `d = (depth / height)^2` of
    the dip between them, below the threshold, `j = e' (1 - (1 - exp(-e)) (1 - exp(-d))) / (e' + d)` where
    `e' = e exp(-d)`: 1 without a dip, 0 without a peak before. Of the first one it is `exp(-d)`. A spike's
    `p` is at least `j p` of the next one. Spikes and targets are paired in their order, each at most once, so
    that the sum is least:

        pair            r ((t - t*) / tau)^2 + (1 - r) M
        missing spike   M = missing (1 + g),    g = sqrt(1 + y^2) - 1,  y = max(0, threshold - s) / height
        extra spike     r extra (1 + (T - t) / T)

    with `s` the smooth maximum of the voltage near the target, `height log mean exp(v / height)` over a
    Gaussian of standard deviation `2 tau` around it: a silent output is pulled up where it should fire. An
    extra spike is pushed towards the end T. A spike that is born or dies through the height of its peak
    changes nothing at once, nor do two that merge, nor one that enters at the start or leaves at the end: the
    loss is continuous. It has kinks where the pairing changes. Its derivative by every sample is exact, and
    in time it consists of impulses at the crossings: take several time steps for a spike's rise.

    Attributes:
        tau: a spike that is off by this costs 1 [s].
        threshold: voltage that a spike crosses upwards [V], or one an output.
        missing: cost of a target without spike.
        extra: cost of a spike without target.
        height: excess of a peak over the threshold that makes a spike count [V].
    """

    tau: float
    threshold: float | Sequence[float] = 0.0
    missing: float = 10.0
    extra: float = 10.0
    height: float = 0.01

    def __post_init__(self) -> None:
        for name in ("tau", "missing", "extra", "height"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0.0):
                raise LossError(f"spike times: {name} is {value}; it must be a positive number")
        if not np.isfinite(self.threshold).all():
            raise LossError(f"spike times: threshold is {self.threshold}; it must be a voltage [V]")

    def level(self, column: int, outputs: int) -> float:
        """The threshold of one of the outputs [V].

        Raises:
            LossError: there are thresholds for another number of outputs.
        """
        if isinstance(self.threshold, int | float):
            return float(self.threshold)
        if len(self.threshold) != outputs:
            raise LossError(f"spike times: {len(self.threshold)} thresholds for {outputs} outputs")
        return float(self.threshold[column])

    def evaluate(self, time: FloatArray, outputs: FloatArray, target: Any) -> WaveformValue:
        """See `WaveformLoss`; the target is one sequence of spike times [s] for each output."""
        time, outputs = as_transient(time, outputs)
        trains = target_trains(target, float(time[-1]), outputs.shape[1])
        total, derivative = 0.0, np.zeros_like(outputs)
        for column, train in enumerate(trains):
            value, slope = self._output(
                time, outputs[:, column], np.sort(train), self.level(column, outputs.shape[1])
            )
            total += value / outputs.shape[1]
            derivative[:, column] = slope / outputs.shape[1]
        terminal = derivative[-1].copy()
        derivative[-1] = 0.0
        return WaveformValue(total, derivative, terminal)

    def _output(
        self, time: FloatArray, voltage: FloatArray, train: FloatArray, level: float
    ) -> tuple[float, FloatArray]:
        """Loss of one output and its derivative by the samples, `(n_points,)`."""
        found = crossings(time, voltage, level)
        spikes = self._strengths(time, voltage, found, level)
        strength = spikes.values
        costs, by_sample = self._missing(time, voltage, train, level)
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
        spikes.add(derivative, by_strength)
        return float(value), derivative + by_cost @ by_sample

    def spikes(self, time: FloatArray, voltage: FloatArray, level: float) -> FloatArray:
        """Times of the crossings of a threshold whose strength is a half or more [s]."""
        found = crossings(time, voltage, level)
        return found.times[self._strengths(time, voltage, found, level).values >= 0.5]

    def _strengths(self, time: FloatArray, voltage: FloatArray, found: Crossings, level: float) -> _Strengths:
        tops, dips = maxima(time, voltage, found.peaks), maxima(time, -voltage, found.dips)
        high = np.maximum(tops.values - level, 0.0) / self.height
        deep = np.maximum(dips.values + level, 0.0) / self.height
        return _Strengths.of(tops, dips, high, deep, self.height)

    def _missing(
        self, time: FloatArray, voltage: FloatArray, train: FloatArray, level: float
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
        lack = np.maximum(0.0, level - peak) / self.height
        root = np.sqrt(1.0 + lack**2)
        slope = -self.missing * lack / root / self.height
        return self.missing * root, slope[:, None] * shares / np.maximum(total, 1e-300)


@dataclass(frozen=True, eq=False)
class _Strengths:
    """Strengths of spikes, and what they depend on.

    Attributes:
        tops: peaks.
        dips: the negative voltages before the spikes.
        high: excess of each peak over the threshold, in heights, `(n_spikes,)`.
        deep: depth of the dip before each below the threshold, in heights.
        height: [V].
        joined: share of each spike that belongs to the one before.
        by_peak: derivative of that share by the squared excess of the spike before.
        by_dip: derivative of that share by the squared depth of its dip.
        peak: derivative of each strength without lending by its squared excess.
        full: strength with what the next spike lends, before a share goes to the one before.
        own: whether that is the spike's own, not lent.
    """

    tops: Extrema
    dips: Extrema
    high: FloatArray
    deep: FloatArray
    height: float
    joined: FloatArray
    by_peak: FloatArray
    by_dip: FloatArray
    peak: FloatArray
    full: FloatArray
    own: BoolArray

    @classmethod
    def of(
        cls, tops: Extrema, dips: Extrema, high: FloatArray, deep: FloatArray, height: float
    ) -> _Strengths:
        """Work out who belongs to whom."""
        excess, depth = high**2, deep**2
        before = np.append(np.inf, excess[:-1])[: len(excess)]  # what comes in at the start is no spike
        flat, weak = np.exp(-depth), np.exp(-before)
        with np.errstate(invalid="ignore"):
            near = before * flat
            total = near + depth
        known = np.isfinite(total) & (total > 0.0)
        near, total = np.where(known, near, 1.0), np.where(known, total, 1.0)
        share, apart = np.where(known, near / total, 1.0), (1.0 - weak) * (1.0 - flat)
        by_before = np.where(known, flat * depth / total**2, 0.0)
        by_depth = np.where(known, -near * (depth + 1.0) / total**2, 0.0)
        joined = share * (1.0 - apart)
        by_peak = by_before * (1.0 - apart) - share * weak * (1.0 - flat)
        by_dip = by_depth * (1.0 - apart) - share * (1.0 - weak) * flat
        full, own = -np.expm1(-excess), np.ones(len(excess), dtype=bool)
        for k in range(len(excess) - 2, -1, -1):
            lent = joined[k + 1] * full[k + 1]
            if lent > full[k]:
                full[k], own[k] = lent, False
        return cls(tops, dips, high, deep, height, joined, by_peak, by_dip, np.exp(-excess), full, own)

    @property
    def values(self) -> FloatArray:
        """The strengths, `(n_spikes,)`."""
        return np.asarray((1.0 - self.joined) * self.full)

    def add(self, derivative: FloatArray, by_strength: FloatArray) -> None:
        """Add to a derivative by samples `(n_points,)` that by strengths `(n_spikes,)`."""
        by_full, by_joined = by_strength * (1.0 - self.joined), -by_strength * self.full
        for k in range(len(self.full) - 1):
            if not self.own[k]:
                by_full[k + 1] += by_full[k] * self.joined[k + 1]
                by_joined[k + 1] += by_full[k] * self.full[k + 1]
        by_excess = by_full * self.own * self.peak
        by_excess[:-1] += (by_joined * self.by_peak)[1:]
        tops = by_excess * 2.0 * self.high / self.height
        np.add.at(derivative, self.tops.samples, tops[:, None] * self.tops.slopes)
        dips = -by_joined * self.by_dip * 2.0 * self.deep / self.height  # of the negative voltage
        np.add.at(derivative, self.dips.samples, dips[:, None] * self.dips.slopes)


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

        A spike counts whose strength in the loss is a half or more. Spikes and targets are paired in their
        order with the least sum of distances, whatever they are. The shift is not a number where a target
        has no spike.
        """
        far = float(time[-1])
        counts, worst = np.zeros(4), 0.0
        for column, train in enumerate(self.times):
            wanted = np.sort(np.asarray(train, dtype=float))
            level = self.loss.level(column, outputs.shape[1])
            spikes = self.loss.spikes(time, outputs[:, column], level)
            distance = np.abs(spikes[:, None] - wanted[None, :])
            pairs = align(distance, np.full(len(spikes), far), np.full(len(wanted), far))
            shifts = [distance[i, j] for i, j in pairs]
            counts += [len(wanted), len(wanted) - len(pairs), len(spikes) - len(pairs), 0]
            counts[3] += sum(s <= self.tolerance for s in shifts)
            worst = max([worst, *shifts]) if len(pairs) == len(wanted) else np.nan
        return np.append(counts, worst)

    def measures(self, scores: FloatArray) -> dict[str, float]:
        """Numbers for the table of metrics from the samples' `averages`, `(n, 5)`."""
        wanted, missing, extra, hit = (float(s) for s in scores[:, :4].sum(axis=0))
        return {
            "missing_spikes": missing,
            "extra_spikes": extra,
            "spikes_on_time": hit / wanted if wanted else 1.0,
            "worst_shift": float(scores[:, 4].max()),  # not a number if one is not
        }
