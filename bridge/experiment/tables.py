"""Sources of data as plain tables: XOR, scikit-learn's iris and digits, a user's CSV file."""

from __future__ import annotations

import csv
import difflib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bridge.errors import SpecError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
SOURCES = ("xor", "iris", "digits", "csv")
_LABEL_COLUMNS = ("label", "target")
_TARGET_PREFIX = "target:"


class DataError(SpecError):
    """A data set cannot be used; for a user's file the message is `file:line: column: what; what to do`."""


@dataclass(frozen=True, eq=False)
class Table:
    """Rows as the source has them, neither scaled nor encoded.

    Attributes:
        name: name of the data set.
        features: shape `(n, n_features)`, units of the source.
        feature_names: name of each feature.
        labels: class of each row, shape `(n,)`; None for regression.
        class_names: name of each class; empty for regression.
        targets: target voltages [V] of a regression, shape `(n, n_outputs)`; None for classes.
    """

    name: str
    features: FloatArray
    feature_names: tuple[str, ...]
    labels: IntArray | None
    class_names: tuple[str, ...]
    targets: FloatArray | None = None


def read_table(source: str, file: Path | None = None, label: str | None = None) -> Table:
    """Read a data set.

    Args:
        source: `xor` (the four patterns), `iris`, `digits` (the sets in scikit-learn), or `csv`.
        file: the CSV file, for `csv` only.
        label: column of the class in the CSV file.

    Raises:
        DataError: the source is unknown, or the file is missing or wrong.
    """
    if source not in SOURCES:
        raise DataError(f"unknown data source {source!r}; choose one of: {', '.join(SOURCES)}")
    if (source == "csv") != (file is not None):
        raise DataError(f"data source {source!r}: a file is for source csv, and only for it")
    if file is not None:
        return read_csv(file, label)
    if source == "xor":
        patterns = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        return Table("xor", patterns, ("a", "b"), np.array([0, 1, 1, 0], dtype=np.int64), ("0", "1"))
    from sklearn import datasets

    bunch = datasets.load_iris() if source == "iris" else datasets.load_digits()
    return Table(
        source,
        np.asarray(bunch.data, dtype=np.float64),
        tuple(str(name) for name in bunch.feature_names),
        np.asarray(bunch.target, dtype=np.int64),
        tuple(str(name) for name in bunch.target_names),
    )


def read_csv(file: Path, label: str | None = None) -> Table:
    """Read a table with a header line from a file of comma-separated values in UTF-8.

    Columns named `target:NAME` are the target voltages [V] of a regression. Without them the column
    `label` (or, if none is named, the one called `label` or `target`) holds classes; they are
    numbered in the order of their values if all are numbers, else in that of their names. All
    other columns are features and hold finite numbers. Empty lines are skipped.

    Args:
        file: path of the file.
        label: name of the column with the classes.

    Raises:
        DataError: the file, its header or a cell is wrong; the message has file, line and column.
    """
    header, rows, lines = _read_rows(file)
    regression = [name for name in header if name.startswith(_TARGET_PREFIX)]
    if label is not None and label not in header:
        near = difflib.get_close_matches(label, header, 1)
        advice = f"did you mean {near[0]!r}?" if near else f"its columns are: {', '.join(header)}"
        raise DataError(f"{file}:1: there is no column {label!r}; {advice}")
    found = [label] if label is not None else [name for name in header if name in _LABEL_COLUMNS]
    if bool(regression) == bool(found) or len(found) > 1:
        raise DataError(
            f"{file}:1: target columns found: {', '.join(found + regression) or 'none'}; a file needs one "
            "column of classes (label, target, or the one named) or target:NAME columns of voltages"
        )
    features = [name for name in header if name not in found and name not in regression]
    if not features:
        raise DataError(f"{file}:1: there is no column of features; add one")

    def numbers(names: list[str]) -> FloatArray:
        columns = [header.index(name) for name in names]
        cells = [
            [_number(row[column], f"{file}:{line}: {header[column]}") for column in columns]
            for row, line in zip(rows, lines, strict=True)
        ]
        return np.array(cells, dtype=np.float64)

    inputs, names = numbers(features), tuple(features)
    if regression:
        return Table(file.stem, inputs, names, None, (), numbers(regression))
    column = header.index(found[0])
    classes = [row[column].strip() for row in rows]
    if "" in classes:
        raise DataError(f"{file}:{lines[classes.index('')]}: {found[0]}: the cell is empty; name a class")
    class_names = _ordered(set(classes))
    if len(class_names) < 2:
        raise DataError(f"{file}: {found[0]}: all rows are of class {class_names[0]!r}; give two or more")
    labels = np.array([class_names.index(name) for name in classes], dtype=np.int64)
    return Table(file.stem, inputs, names, labels, class_names)


def _read_rows(file: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, rows and the line number of each row."""
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            for row in reader:
                if any(cell.strip() for cell in row):
                    rows.append(row)
                    lines.append(reader.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: cannot be read as comma-separated values ({error})") from error
    if len(rows) < 2:
        raise DataError(f"{file}: there is no row of data; give a header line and a line a sample")
    header = [name.strip() for name in rows[0]]
    for index, name in enumerate(header):
        if not name or name in header[:index]:
            raise DataError(
                f"{file}:{lines[0]}: column {index + 1}: the name {name!r} is empty or used twice"
            )
    for row, line in zip(rows[1:], lines[1:], strict=True):
        if len(row) != len(header):
            raise DataError(
                f"{file}:{line}: the line has {len(row)} cells, the header {len(header)}; correct it"
            )
    return header, rows[1:], lines[1:]


def _number(cell: str, where: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}: {cell.strip()!r} is not a finite number; correct it or drop the line")
    return number


def _ordered(names: set[str]) -> tuple[str, ...]:
    """Names in the order of their values if all are finite numbers, else in that of their letters."""
    try:
        values = {name: float(name) for name in names}
    except ValueError:
        return tuple(sorted(names))
    if not all(math.isfinite(value) for value in values.values()):
        return tuple(sorted(names))
    return tuple(sorted(names, key=lambda name: (values[name], name)))
