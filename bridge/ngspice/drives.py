"""What the `EXTERNAL` sources play: constants and sampled signals, handed to the compiled callback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bridge.ngspice import callbacks as cb
from bridge.quadrature import interpolation_matrix

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Signals:
    """Values of some sources over time, on one time axis.

    Attributes:
        sources: the positions of these sources in the deck's `sources`.
        values: `(n_points, n_sources)` [V or A]; one row means constant.
        times: `(n_points,)` [s], strictly increasing; empty for constants and for rows that play in turn.
        order: 1 for linear interpolation between the samples, 3 for cubic, 0 for a row of values for each
            row of a sweep's results.
    """

    sources: tuple[int, ...]
    values: FloatArray
    times: FloatArray = field(default_factory=lambda: np.zeros(0))
    order: int = 1

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or not len(self.values) or self.values.shape[1] != len(self.sources):
            raise ValueError(f"values {self.values.shape} for {len(self.sources)} sources")
        if not np.isfinite(self.values).all():
            raise ValueError("a source was given a value that is not finite")
        if not len(self.times) and (len(self.values) == 1 or self.order == cb.BY_ROW):
            return
        if self.times.shape != (len(self.values),) or not (np.diff(self.times) > 0).all():
            raise ValueError("times must be strictly increasing, one a row of values")
        if self.order not in (1, 3):
            raise ValueError(f"interpolation order {self.order}: 1 or 3")

    def at(self, times: FloatArray) -> FloatArray:
        """What the sources play at times `(n,)` [s], `(n, n_sources)`; the first and last samples hold.

        Raises:
            ValueError: the rows play in turn, not at times.
        """
        if len(self.values) == 1:
            return np.broadcast_to(self.values, (len(times), len(self.sources)))
        if not len(self.times):
            raise ValueError("rows that play in turn have no times")
        if self.order == 3 and len(self.times) >= 4:
            return np.asarray(interpolation_matrix(self.times, times) @ self.values)
        inside = np.clip(times, self.times[0], self.times[-1])
        low = np.clip(np.searchsorted(self.times, inside, side="right") - 1, 0, len(self.times) - 2)
        share = ((inside - self.times[low]) / (self.times[low + 1] - self.times[low]))[:, None]
        return np.asarray((1.0 - share) * self.values[low] + share * self.values[low + 1])


def constant(values: ArrayLike, first: int = 0) -> Signals:
    """Constant values of consecutive sources, starting with source number `first`."""
    row = np.atleast_2d(np.asarray(values, dtype=float))
    return Signals(tuple(range(first, first + row.shape[1])), row)


def sampled(times: ArrayLike, values: ArrayLike, first: int = 0, order: int = 1) -> Signals:
    """Sampled signals of consecutive sources: `values` is `(n_points, n_sources)`."""
    data = np.asarray(values, dtype=float)
    return Signals(tuple(range(first, first + data.shape[1])), data, np.asarray(times, dtype=float), order)


def in_turn(values: ArrayLike, first: int = 0) -> Signals:
    """Values of consecutive sources, `(n_rows, n_sources)`, of which a sweep plays row after row."""
    data = np.asarray(values, dtype=float)
    return Signals(tuple(range(first, first + data.shape[1])), data, order=cb.BY_ROW)


def _packed(values: FloatArray) -> FloatArray:
    """The same numbers as the callback reads them: doubles without gaps."""
    return np.ascontiguousarray(values, dtype=np.float64)


@lru_cache(maxsize=256)
def _places(sources: tuple[int, ...]) -> tuple[IntArray, IntArray, int, int]:
    """The positions of sources, their numbers, the lowest and the highest position."""
    found = np.array(sources, dtype=np.int64)
    return found, np.arange(len(sources)), min(sources, default=0), max(sources, default=-1)


class SourceTable:
    """The external sources of one circuit and what they play, in the layout of the callbacks."""

    def __init__(self, names: Sequence[str]) -> None:
        """Fill the name table; all sources play zero.

        Args:
            names: instance names of the sources; their order numbers them.

        Raises:
            ValueError: two names have the same hash, or a name is used twice.
        """
        size = 8
        while size < 4 * len(names):
            size *= 2
        self._keys = np.zeros(size, dtype=np.uint64)
        self._slots = np.full(size, -1, dtype=np.int64)
        for number, name in enumerate(names):
            value = cb.name_hash(name.lower())
            place = value & (size - 1)
            while self._slots[place] >= 0:
                if int(self._keys[place]) == value:
                    raise ValueError(f"source {name!r}: the name or its hash is used twice")
                place = (place + 1) & (size - 1)
            self._keys[place] = value
            self._slots[place] = number
        self._group_of = np.zeros(len(names), dtype=np.int64)
        self._column_of = np.zeros(len(names), dtype=np.int64)
        self.play(())

    def play(self, signals: Sequence[Signals]) -> None:
        """Set what the sources play; those that no signal names are zero.

        Raises:
            ValueError: a signal for a source that the circuit does not have.
        """
        n = len(self._group_of)
        rest = (np.zeros(1), np.zeros((1, 1)))
        self._kept = [rest, *((_packed(s.times), _packed(s.values)) for s in signals)]
        self._group_of[:] = 0
        self._column_of[:] = 0
        self._groups = np.zeros((len(self._kept), cb.GROUP_WORDS), dtype=np.int64)
        for g, (times, values) in enumerate(self._kept):
            order = 1 if g == 0 else signals[g - 1].order
            self._groups[g] = (times.ctypes.data, values.ctypes.data, len(values), values.shape[1], order)
        for g, signal in enumerate(signals, start=1):
            places, numbers, low, high = _places(signal.sources)
            if low < 0 or high >= n:
                raise ValueError(f"signals for source {low if low < 0 else high}, the circuit has {n}")
            self._group_of[places] = g
            self._column_of[places] = numbers
        self._states = np.zeros((len(self._kept), cb.GROUP_STATE))
        self._states[:, cb.S_TIME] = np.nan

    def write(self, words: IntArray) -> None:
        """Point the control block at this table."""
        words[cb.MASK] = len(self._keys) - 1
        words[cb.KEYS] = self._keys.ctypes.data
        words[cb.SLOTS] = self._slots.ctypes.data
        words[cb.N_SOURCES] = len(self._group_of)
        words[cb.GROUP_OF] = self._group_of.ctypes.data
        words[cb.COLUMN_OF] = self._column_of.ctypes.data
        words[cb.GROUPS] = self._groups.ctypes.data
        words[cb.STATES] = self._states.ctypes.data


_NAMES = 1 << 26  # bytes for the names of a run's vectors; memory that is not used is not taken


class ControlBlock:
    """The memory that the callbacks share with Python; it outlives every circuit of its engine."""

    def __init__(self) -> None:
        self.words: IntArray = np.zeros(cb.WORDS, dtype=np.int64)
        self._names: NDArray[np.uint8] = np.zeros(_NAMES, dtype=np.uint8)
        self.words[cb.NAMES] = self._names.ctypes.data
        self.words[cb.NAMES_SIZE] = len(self._names)
        self.buffer: FloatArray = np.zeros((0, 0))
        self._table = SourceTable(())
        self.begin(self._table)
        self.reserve(1, 1)

    @property
    def address(self) -> int:
        """Address of the control block, ngspice's user data."""
        return int(self.words.ctypes.data)

    def begin(self, table: SourceTable) -> None:
        """Serve the sources of `table` and forget what earlier runs announced and sent."""
        self._table = table  # the callbacks read its memory
        table.write(self.words)
        for word in (cb.ROWS, cb.N_VECTORS, cb.PLOTS, cb.UNKNOWN):
            self.words[word] = 0

    def reserve(self, rows: int, columns: int) -> None:
        """Make room for a run's results: time points times vectors."""
        if self.buffer.shape[1] != columns or self.buffer.shape[0] < rows:
            self.buffer = np.zeros((rows, columns))
            self.words[cb.BUFFER] = self.buffer.ctypes.data
            self.words[cb.COLUMNS] = columns
            self.words[cb.CAPACITY] = rows

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the vectors that the last run announced, in the buffer's column order."""
        used = int(self.words[cb.NAMES_USED])
        return tuple(self._names[:used].tobytes().decode("utf-8", "replace").split("\0")[:-1])
