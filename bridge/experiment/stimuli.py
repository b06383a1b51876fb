"""Waveforms made from the experiment file: the delayed XOR and stimuli written out part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from bridge.experiment.spec_neurons import DelayedXorSpec, StimulusSpec
from bridge.experiment.tables import DataError
from bridge.experiment.waves import WaveSet

FloatArray = NDArray[np.float64]

EDGE = 4.0  # widths between a pulse's centre and what does not feel it


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], deviation: float, width: float
) -> FloatArray:
    """Gaussian noise that is smooth over `width` samples of the last axis, with that standard deviation."""
    if deviation == 0.0:
        return np.zeros(shape)
    raw = gaussian_filter1d(rng.normal(size=shape), max(width, 1e-3), axis=-1, mode="wrap")
    power = gaussian_filter1d(np.eye(1, 4096, 2048)[0], max(width, 1e-3), mode="wrap")
    return np.asarray(raw * (deviation / np.sqrt(np.sum(power**2))))


def delayed_xor(spec: DelayedXorSpec, samples: int, duration: float, seed: Any) -> WaveSet:
    """One channel with two Gaussian pulses, one after the other; the class is the XOR of their bits.

    All four combinations are equally frequent. The first pulse comes four widths after the start and up to
    `jitter` later, the second `delay` after it, up to `jitter` earlier or later. The noise starts at zero, as
    the pulses do, and has a pulse's width. Neither pulse alone tells anything about the class.

    Raises:
        DataError: the pulses do not fit into the transient.
    """
    rng = np.random.default_rng(seed)
    times = np.linspace(0.0, duration, spec.points)
    width, step = spec.width, duration / (spec.points - 1)
    last = EDGE * width + spec.jitter + spec.delay + spec.jitter + EDGE * width
    if last > duration:
        raise DataError(
            f"delayed_xor: the second pulse ends at {last:g} s at most, the transient at {duration:g} s; "
            "lengthen analysis.duration or shorten the delay"
        )
    if spec.delay - spec.jitter < 2 * EDGE * width:
        raise DataError(f"delayed_xor: a delay of {spec.delay:g} s lets pulses of width {width:g} s overlap")
    bits = np.stack([np.arange(samples) % 2, np.arange(samples) // 2 % 2], axis=1)
    first = EDGE * width + spec.jitter * rng.uniform(0, 1, samples)
    second = first + spec.delay + spec.jitter * rng.uniform(-1, 1, samples)
    levels = (2 * bits - 1 if spec.zero == "negative" else bits).astype(float)
    peaks = spec.amplitude * levels * (1.0 + spec.spread * rng.normal(size=bits.shape))
    distance = (times[None, :, None] - np.stack([first, second], axis=1)[:, None, :]) / width
    waves = np.einsum("sp,stp->st", peaks, np.exp(-0.5 * distance**2))
    noise = smooth_noise(rng, waves.shape, spec.noise, width / step)
    waves += noise * -np.expm1(-times / width)
    labels = bits[:, 0] ^ bits[:, 1]
    names = ("same", "different")
    return WaveSet(times, waves[:, :, None], np.eye(2)[labels], labels, names, "delayed_xor")


def stimuli(
    samples: Sequence[Sequence[StimulusSpec]], channels: int, duration: float, points: int, seed: Any
) -> tuple[FloatArray, FloatArray]:
    """Waveforms of samples that are written out.

    Returns:
        Times `(points,)` [s] and waveforms `(samples, points, channels)` in the channels' units.

    Raises:
        DataError: a part names a channel that the circuit has no input for, or begins after the end.
    """
    rng = np.random.default_rng(seed)
    times = np.linspace(0.0, duration, points)
    waves = np.zeros((len(samples), points, channels))
    for number, parts in enumerate(samples):
        for part in parts:
            if part.channel >= channels:
                raise DataError(
                    f"sample {number}: channel {part.channel}, the circuit's inputs use 0 to {channels - 1}"
                )
            stop = duration if part.stop is None else part.stop
            if part.start >= duration or stop > duration * (1 + 1e-9):
                raise DataError(
                    f"sample {number}: a stimulus from {part.start:g} s to {stop:g} s does not lie in the "
                    f"transient of {duration:g} s"
                )
            waves[number, :, part.channel] += _shape(part, times, stop, rng)
    return times, waves


def _shape(part: StimulusSpec, times: FloatArray, stop: float, rng: np.random.Generator) -> FloatArray:
    step = times[1] - times[0]
    inside = (times >= part.start - 1e-9 * step) & (times < stop - 1e-9 * step)
    if stop >= times[-1]:
        inside |= times >= times[-1]
    local = times - part.start
    if part.shape == "ramp":
        wave = local / (stop - part.start)
    elif part.shape == "sine":
        assert part.period is not None
        wave = np.sin(2 * np.pi * local / part.period)
    elif part.shape == "noise":
        assert part.period is not None
        wave = smooth_noise(rng, times.shape, 1.0, part.period / step)
        wave = wave * -np.expm1(-np.maximum(local, 0.0) / part.period)
    elif part.rise > 0.0:
        return part.amplitude * np.clip(np.minimum(local, stop - times) / part.rise, 0.0, 1.0)
    else:
        wave = np.ones_like(times)
    return np.asarray(part.amplitude * np.where(inside, wave, 0.0))
