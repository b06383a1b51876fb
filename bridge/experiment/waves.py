"""Data sets of waveforms: inputs over time, with a class or a target waveform a sample."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.experiment.tables import DataError
from circuits.network import Network
from circuits.topologies.neurons import Site

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class WaveSet:
    """Samples of input waveforms with their targets.

    Attributes:
        times: of all waveforms, `(n_times,)` [s].
        inputs: `(n, n_times, n_channels)` [V].
        targets: target waveforms `(n, n_times, n_outputs)` [V], or one-hot classes `(n, n_outputs)`.
        labels: class of each sample, `(n,)`; None for target waveforms.
        class_names: name of each class.
        name: name of the data set.
    """

    times: FloatArray
    inputs: FloatArray
    targets: FloatArray
    labels: IntArray | None
    class_names: tuple[str, ...]
    name: str

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, eq=False)
class Truth:
    """The parameters behind target waveforms, with which a fit is compared and which it never sees.

    Attributes:
        values: by label, in the circuit's SI units.
        sites: where each lies in the circuit, by label.
    """

    values: Mapping[str, float]
    sites: Mapping[str, Site]

    def errors(self, network: Network, parameters: FloatArray) -> FloatArray:
        """Relative errors of found parameters, `(n_trainable,)`."""
        true = np.array([self.values[t.label] for t in network.trainable])
        return np.asarray(parameters / true - 1.0)

    def table(self, network: Network, initial: FloatArray, found: FloatArray) -> dict[str, dict[str, Any]]:
        """True, initial and found values by label, in the units of the field, and the relative error."""
        rows: dict[str, dict[str, Any]] = {}
        errors = self.errors(network, found)
        for entry, start, value, error in zip(network.trainable, initial, found, errors, strict=True):
            site = self.sites[entry.label]
            unit, factor = (site.unit, site.factor) if site.factor else ("SI", 1.0)
            rows[entry.label] = {
                "unit": unit,
                "true": self.values[entry.label] / factor,
                "initial": float(start) / factor,
                "found": float(value) / factor,
                "relative_error": float(error),
            }
        return rows


@dataclass(frozen=True, eq=False)
class WaveSplit:
    """Training and test part; `held_out` tells whether they differ, `truth` what targets were made with."""

    train: WaveSet
    test: WaveSet
    held_out: bool
    truth: Truth | None = None


def read_waveforms(files: Sequence[Path]) -> tuple[WaveSplit, tuple[str, ...], tuple[str, ...]]:
    """Read samples from CSV files: columns `time` [s], one per input, `target:NODE` per output.

    Args:
        files: one file a sample, all with the same columns and times.

    Returns:
        The samples (training and test part are the same), the names of the inputs and of the outputs.

    Raises:
        DataError: with file, line and column.
    """
    tables = [_read(file) for file in files]
    header, first = tables[0]
    for file, (other, rows) in zip(files, tables, strict=True):
        if other != header or rows.shape != first.shape or not np.allclose(rows[:, 0], first[:, 0]):
            raise DataError(f"{file}: columns and times differ from those of {files[0]}")
    targets = [k for k, n in enumerate(header) if n.startswith("target:")]
    inputs = [k for k in range(1, len(header)) if k not in targets]
    data = np.stack([rows for _, rows in tables])
    part = WaveSet(first[:, 0], data[:, :, inputs], data[:, :, targets], None, (), files[0].stem)
    names = tuple(header[k] for k in inputs), tuple(header[k].removeprefix("target:") for k in targets)
    return WaveSplit(part, part, False), *names


def _read(file: Path) -> tuple[list[str], FloatArray]:
    with file.open(newline="", encoding="utf-8") as text:
        rows = list(csv.reader(text))
    header = [h.strip() for h in rows[0]] if rows else []
    if not header or header[0] != "time":
        raise DataError(f"{file}:1: the first column must be called 'time' (in seconds)")
    if len(set(header)) != len(header):
        raise DataError(f"{file}:1: a column name stands twice")
    values = []
    for line, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) != len(header):
            raise DataError(f"{file}:{line}: {len(row)} cells, the header has {len(header)}")
        try:
            values.append([float(cell) for cell in row])
        except ValueError:
            bad = next(h for h, c in zip(header, row, strict=True) if not _is_number(c))
            raise DataError(f"{file}:{line}: {bad}: not a number") from None
    data = np.array(values)
    if len(data) < 2 or not np.isfinite(data).all() or not (np.diff(data[:, 0]) > 0).all():
        raise DataError(f"{file}: needs at least two rows of finite numbers with increasing times")
    return header, data


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def multi_sine(
    samples: int,
    channels: int,
    duration: float,
    points: int,
    lowest: int,
    highest: int,
    amplitude: float,
    seed: Any,
) -> tuple[FloatArray, FloatArray]:
    """Smooth random inputs that start at zero: sums of sines of whole periods with random amplitudes.

    Returns:
        Times `(points,)` [s] and waveforms `(samples, points, channels)` [V] with that peak value.
    """
    rng = np.random.default_rng(seed)
    times = np.linspace(0.0, duration, points)
    orders = np.arange(lowest, highest + 1)
    weights = rng.normal(size=(samples, channels, len(orders)))
    waves = np.einsum("sck,tk->stc", weights, np.sin(np.pi * np.outer(times / duration, orders)))
    return times, amplitude * waves / np.abs(waves).max(axis=1, keepdims=True)


def pulse_order(
    samples: int, duration: float, points: int, width: float, amplitude: float, seed: Any
) -> WaveSet:
    """Two channels with one pulse each; the class says which came first.

    Pulses are Gaussian with standard deviation `width` [s], at least four widths apart; both lie in the first
    three quarters of the transient. For a network without memory the end of the transient tells nothing.
    """
    rng = np.random.default_rng(seed)
    times = np.linspace(0.0, duration, points)
    room = 0.75 * duration - 8 * width
    if room <= 4 * width:
        raise DataError(f"pulse_order: pulses of width {width:g} s do not fit into {duration:g} s")
    labels = np.arange(samples) % 2
    first = 4 * width + rng.uniform(0, room - 4 * width, samples)
    second = (
        first + 4 * width + rng.uniform(0, 1, samples) * (0.75 * duration - 4 * width - first - 4 * width)
    )
    centres = np.where(labels[:, None] == 0, np.stack([first, second], 1), np.stack([second, first], 1))
    waves = amplitude * np.exp(-0.5 * ((times[None, :, None] - centres[:, None, :]) / width) ** 2)
    return WaveSet(times, waves, np.eye(2)[labels], labels, ("A before B", "B before A"), "pulse_order")


def time_series(name: str, duration: float, amplitude: float) -> WaveSplit:
    """A classification set that the package `aeon` ships, as waveforms.

    The published split is kept. Series are standardised with the statistics of the training part, held
    linearly between their points, and begin with a ramp from zero over one interval.

    Raises:
        DataError: `aeon` is not installed or ships no such set.
    """
    try:
        from aeon.datasets import load_classification
    except ImportError:
        raise DataError(
            "data source aeon: the package is not installed; pip install 'tellegen[timeseries]'"
        ) from None
    try:
        parts = [load_classification(name, split=s) for s in ("train", "test")]
    except Exception as error:
        raise DataError(
            f"data source aeon: no set {name!r} in the package ({type(error).__name__})"
        ) from None
    train = np.asarray(parts[0][0], dtype=float)
    centre, size = train.mean(axis=(0, 2), keepdims=True), train.std(axis=(0, 2), keepdims=True)
    classes = sorted(set(map(str, parts[0][1])))
    made = []
    for series, names in parts:
        scaled = amplitude * (np.asarray(series, dtype=float) - centre) / size
        waves = np.concatenate(
            [np.zeros((len(scaled), 1, scaled.shape[1])), scaled.transpose(0, 2, 1)], axis=1
        )
        times = np.linspace(0.0, duration, waves.shape[1])
        labels = np.array([classes.index(str(n)) for n in names])
        made.append(WaveSet(times, waves, np.eye(len(classes))[labels], labels, tuple(classes), name))
    return WaveSplit(made[0], made[1], True)
