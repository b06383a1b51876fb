"""Data sets as a network sees them: input voltages, target voltages, a training and a test part.

`load_data` reads a table (`tables.py`), splits its rows by seed, scales the features by what the
training rows alone say, and encodes classes as target voltages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from bridge.experiment.scaling import Scaler, Scaling
from bridge.experiment.tables import DataError, Table, read_table

__all__ = ["DataError", "DataSet", "Scaler", "Scaling", "Split", "load_data", "minibatches"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Encoding = Literal["auto", "one_hot", "signed"]


@dataclass(frozen=True, eq=False)
class DataSet:
    """Samples with their targets.

    Attributes:
        inputs: input voltages [V], shape `(n, n_features)`.
        targets: target of each output [V] (probabilities for the cross-entropy), shape `(n, n_outputs)`.
        labels: class of each sample, shape `(n,)`; None for regression.
        class_names: name of each class; empty for regression.
        feature_names: name of each feature.
        name: name of the data set.
    """

    inputs: FloatArray
    targets: FloatArray
    labels: IntArray | None
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    name: str

    def __post_init__(self) -> None:
        samples = {len(part) for part in (self.inputs, self.targets, self.labels) if part is not None}
        if len(samples) != 1 or self.inputs.ndim != 2 or self.targets.ndim != 2:
            raise DataError(
                f"data {self.name}: inputs {self.inputs.shape}, targets {self.targets.shape} and labels do "
                "not match; give a row of each a sample"
            )
        if self.inputs.shape[1] != len(self.feature_names):
            raise DataError(
                f"data {self.name}: {self.inputs.shape[1]} features are named {self.feature_names}"
            )
        if not (np.all(np.isfinite(self.inputs)) and np.all(np.isfinite(self.targets))):
            raise DataError(f"data {self.name}: an input or a target is not a finite number")

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, eq=False)
class Split:
    """Training and test part of a data set.

    Attributes:
        train: samples to learn from.
        test: samples to judge by.
        train_rows: rows of the source that `train` holds, in its order, shape `(n_train,)`.
        test_rows: rows of the source that `test` holds.
        held_out: whether `test` has no row of `train`; False where both hold all rows (XOR).
        scaler: what turned features into inputs; it does the same to new samples.
    """

    train: DataSet
    test: DataSet
    train_rows: IntArray
    test_rows: IntArray
    held_out: bool
    scaler: Scaler


def load_data(
    source: str,
    *,
    file: str | Path | None = None,
    label: str | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    scaling: Scaling | None = None,
    target: float = 1.0,
    encoding: Encoding = "auto",
    side: int | None = None,
) -> Split:
    """Load a data set, split it, scale its features and encode its classes.

    Args:
        source: `xor`, `iris`, `digits` or `csv`.
        file: the CSV file, for `csv` only.
        label: column of the class in the CSV file; `label` or `target` if not given.
        test_fraction: share of the rows held out, at least 0 and below 1. With 0, and for `xor`
            always, training and test part both hold all rows.
        seed: of the split, which is scikit-learn's `train_test_split`, stratified by class.
        scaling: how features become voltages; standard with 1 V if not given. Its statistics are those of
            the training rows.
        target: voltage [V] that stands for a class, above 0: 1 for the cross-entropy.
        encoding: `one_hot`: one output a class, `target` at the right one and 0 elsewhere. `signed`:
            one output, `-target` for class 0 and `+target` for class 1. `auto`: `signed` for two
            classes, else `one_hot`. Regression targets are volts as they are in the file.
        side: features are the pixels of square images, which are interpolated to this side.

    Returns:
        The two parts.

    Raises:
        DataError: an option is wrong, or the file is; the message has file, line and column.
    """
    table = read_table(source, None if file is None else Path(file), label)
    if side is not None:
        table = _resampled(table, side)
    train_rows, test_rows = _split(table, 0.0 if source == "xor" else test_fraction, seed)
    scaler = Scaler.fit(scaling or Scaling(), table.features[train_rows])
    targets = _encode(table, target, encoding)

    def part(rows: IntArray) -> DataSet:
        labels = None if table.labels is None else table.labels[rows]
        inputs = scaler(table.features[rows])
        return DataSet(inputs, targets[rows], labels, table.class_names, table.feature_names, table.name)

    held_out = not np.array_equal(train_rows, test_rows)
    return Split(part(train_rows), part(test_rows), train_rows, test_rows, held_out, scaler)


def minibatches(n: int, batch_size: int, rng: np.random.Generator) -> list[IntArray]:
    """Shuffle the samples `0..n-1` and cut them into batches; the last one may be smaller.

    The whole epoch is drawn at once: between epochs `rng.bit_generator.state`, a plain dictionary of
    numbers and names, is all that a checkpoint needs, and setting it continues the same sequence.

    Args:
        n: number of samples, at least 1.
        batch_size: samples a batch, at least 1.
        rng: generator; it is advanced.

    Returns:
        Indices of each batch, each of shape `(batch_size,)` or less.

    Raises:
        DataError: a number is below 1.
    """
    if n < 1 or batch_size < 1:
        raise DataError(f"batches of {batch_size} from {n} samples; both numbers must be at least 1")
    order = rng.permutation(n).astype(np.int64)
    return [order[start : start + batch_size] for start in range(0, n, batch_size)]


def _resampled(table: Table, side: int) -> Table:
    """The same images with `side` times `side` pixels, by linear interpolation between their centres."""
    from scipy.ndimage import zoom

    count, pixels = table.features.shape
    old = round(pixels**0.5)
    if old * old != pixels or side < 1:
        raise DataError(
            f"data {table.name}: side {side} is for square images, the rows have {pixels} features; "
            "leave it out"
        )
    factors = (1, side / old, side / old)
    images = zoom(table.features.reshape(count, old, old), factors, order=1, grid_mode=True, mode="nearest")
    names = tuple(f"pixel_{k // side}_{k % side}" for k in range(side * side))
    return replace(table, features=images.reshape(count, side * side), feature_names=names)


def _split(table: Table, test_fraction: float, seed: int) -> tuple[IntArray, IntArray]:
    """Rows of the training and of the test part."""
    rows = np.arange(len(table.features), dtype=np.int64)
    if not 0.0 <= test_fraction < 1.0:
        raise DataError(f"test_fraction is {test_fraction}; it must be at least 0 and below 1")
    if test_fraction == 0.0:
        return rows, rows
    from sklearn.model_selection import train_test_split

    try:
        train, test = train_test_split(
            rows, test_size=test_fraction, random_state=seed, stratify=table.labels
        )
    except ValueError as error:
        raise DataError(
            f"data {table.name}: {len(rows)} rows cannot be split with test_fraction {test_fraction} "
            f"({error}); give more rows, another fraction, or name numeric target columns target:NAME"
        ) from error
    return train, test


def _encode(table: Table, target: float, encoding: Encoding) -> FloatArray:
    """Target voltages [V] of all rows, shape `(n, n_outputs)`."""
    if encoding not in get_args(Encoding):
        raise DataError(f"unknown encoding {encoding!r}; choose one of: {', '.join(get_args(Encoding))}")
    if not (np.isfinite(target) and target > 0.0):
        raise DataError(f"the target voltage is {target} V; it must be a finite number above 0")
    if table.targets is not None or table.labels is None:
        return np.asarray(table.targets, dtype=np.float64)
    classes = len(table.class_names)
    if encoding == "one_hot" or (encoding == "auto" and classes != 2):
        return np.asarray(target * np.eye(classes)[table.labels], dtype=np.float64)
    if classes != 2:
        raise DataError(f"data {table.name}: signed targets are for 2 classes, not {classes}; use one_hot")
    return np.asarray(target * (2.0 * table.labels[:, np.newaxis] - 1.0), dtype=np.float64)
