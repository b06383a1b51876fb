"""What is altered in loaded circuits, by number, and the commands that alter many elements at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_COMMAND = 400  # letters a command; ngspice drops what is behind some 1,000 of them without a word
_NUMBER = 21  # letters of a number, at most
_LISTS = 8  # tuples of targets that are kept


class Values:
    """A value for each number, `nan` where none is known; grows as numbers are given."""

    def __init__(self) -> None:
        self._values = np.full(0, np.nan)

    def _reach(self, places: IntArray) -> None:
        needed = int(places.max(initial=-1)) + 1
        if needed > len(self._values):
            fresh = np.full(max(needed, 2 * len(self._values)), np.nan)
            fresh[: len(self._values)] = self._values
            self._values = fresh

    def read(self, places: IntArray) -> FloatArray:
        """The values at numbers `(n,)`."""
        self._reach(places)
        return self._values[places]

    def write(self, places: IntArray, values: FloatArray | float) -> None:
        """Set the values at numbers `(n,)`."""
        self._reach(places)
        self._values[places] = values


@dataclass
class TargetList:
    """Targets that are altered together.

    Attributes:
        targets: the list itself.
        places: their numbers, `(n,)`.
    """

    targets: Sequence[str]
    places: IntArray
    _texts: list[bytes] | None = None
    _whole: list[tuple[slice, bytes]] = field(default_factory=list)

    def commands(self, which: IntArray, numbers: Sequence[bytes]) -> Iterator[tuple[slice, bytes]]:
        """Commands that set some of the targets, and which of those each one sets.

        Several alterations share a command: most of a command's time does not depend on its length.

        Args:
            which: positions in the list, increasing.
            numbers: their new values as ngspice reads them.
        """
        if self._texts is None:
            self._texts = [b"alter %b = %%b" % t.replace("%", "%%").encode() for t in self.targets]
            self._whole = _forms(self._texts)
        forms = self._whole
        if len(which) < len(self.targets):
            forms = _forms([self._texts[k] for k in which.tolist()])
        for part, form in forms:
            yield part, form % tuple(numbers[part])


def _forms(texts: Sequence[bytes]) -> list[tuple[slice, bytes]]:
    """Commands with a place for every number, of those of single targets."""
    found: list[tuple[slice, bytes]] = []
    start, length = 0, 0
    for k, text in enumerate(texts):
        size = len(text) + _NUMBER
        if k > start and length + size > _COMMAND:
            found.append((slice(start, k), b";".join(texts[start:k])))
            start, length = k, 0
        length += size
    if texts:
        found.append((slice(start, len(texts)), b";".join(texts[start:])))
    return found


class Targets:
    """The numbers of a circuit's targets.

    Attributes:
        names: of the targets, by number.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._lists: dict[int, TargetList] = {}

    def of(self, targets: Sequence[str]) -> TargetList:
        """The numbers of targets; those of a tuple are remembered, a list may have changed."""
        known = self._lists.get(id(targets))
        if known is not None and known.targets is targets:
            return known
        for name in targets:
            if name not in self._numbers:
                self._numbers[name] = len(self.names)
                self.names.append(name)
        made = TargetList(targets, np.array([self._numbers[n] for n in targets], dtype=np.int64))
        if isinstance(targets, tuple):
            if len(self._lists) >= _LISTS:
                self._lists.pop(next(iter(self._lists)))
            self._lists[id(targets)] = made  # holds the tuple: its id stays its own
        return made
