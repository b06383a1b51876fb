"""What every write by pulses left: pulses, rounds, and the devices outside of the tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

COLUMNS = ("update", "epoch", "pulses", "rounds", "missed", "beyond_reach", "worst_miss", "worst_device")
"""Of the table of writes; `update` 0 writes the initial values."""
LISTED = 20
"""Most devices that a summary names."""


class WriteLog:
    """One row a write, and the devices that the last one missed.

    Attributes:
        rows: `(n_writes, len(COLUMNS))`; the worst device by its number, -1 without a miss.
        errors: relative error of what was read of each device that the last write missed, not a number for
            all others, `(n_cells,)`.
        beyond: of these devices, those that no state brings within the tolerance, `(n_cells,)`.
    """

    def __init__(self, count: int) -> None:
        self.rows = np.zeros((0, len(COLUMNS)))
        self.errors = np.full(count, np.nan)
        self.beyond = np.zeros(count, dtype=bool)

    def add(self, epoch: int, pulses: int, rounds: int, errors: FloatArray, beyond: BoolArray) -> None:
        """Add a write; see the attributes."""
        missed = np.isfinite(errors)
        worst = int(np.argmax(np.where(missed, np.abs(errors), -1.0))) if missed.any() else -1
        size = float(abs(errors[worst])) if worst >= 0 else 0.0
        row = (len(self.rows), epoch, pulses, rounds, missed.sum(), (missed & beyond).sum(), size, worst)
        self.rows = np.vstack([self.rows, np.array([row], dtype=float)])
        self.errors, self.beyond = errors, missed & beyond

    def column(self, name: str, since: int = 0) -> FloatArray:
        """A column from a write on."""
        return np.asarray(self.rows[since:, COLUMNS.index(name)])

    @property
    def missed(self) -> int:
        """Devices that the last write left outside of the tolerance."""
        return int(np.isfinite(self.errors).sum())

    def table(self, names: Sequence[str]) -> pd.DataFrame:
        """All writes; `names` are those of the devices."""
        found = {c: self.column(c) if c == "worst_miss" else self.column(c).astype(int) for c in COLUMNS}
        worst = [names[k] if k >= 0 else "" for k in found["worst_device"]]
        return pd.DataFrame({**found, "worst_device": worst})

    @property
    def worst(self) -> float:
        """Largest relative error of a device that the last write missed, 0 without."""
        return float(np.max(np.abs(self.errors), initial=0.0, where=np.isfinite(self.errors)))

    def summary(self, names: Sequence[str], asked: FloatArray) -> dict[str, Any]:
        """Of all writes, the worst miss, and the devices that the last one missed, the worst first.

        Args:
            names: of the devices.
            asked: conductances that the last write asked for [S], `(n_cells,)`.
        """
        missed, sizes = self.column("missed"), self.column("worst_miss")
        found: dict[str, Any] = {"writes": len(self.rows), "with_misses": int((missed > 0).sum())}
        if (missed > 0).any():
            at = int(np.argmax(sizes))
            row = dict(zip(COLUMNS, self.rows[at], strict=True))
            found["worst"] = {
                "update": at, "epoch": int(row["epoch"]), "device": names[int(row["worst_device"])],
                "error": float(sizes[at]),
            }  # fmt: skip
        order = [int(k) for k in np.argsort(-np.abs(self.errors)) if np.isfinite(self.errors[k])]
        found["last"] = [
            {"device": names[k], "target": float(asked[k]), "error": float(self.errors[k]),
             "beyond_reach": bool(self.beyond[k])}
            for k in order[:LISTED]
        ]  # fmt: skip
        return found

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {"writes": self.rows, "misses": self.errors, "beyond": self.beyond}

    @classmethod
    def of(cls, state: dict[str, Any], count: int) -> Self:
        """What `state_dict` gave.

        Raises:
            KeyError: a part is missing.
            ValueError: the parts are not those of that many devices.
        """
        found = cls(count)
        rows, errors, beyond = (np.array(state[k]) for k in found.state_dict())
        if rows.shape[1:] != found.rows.shape[1:] or {errors.shape, beyond.shape} != {(count,)}:
            raise ValueError("other devices")
        found.rows, found.errors, found.beyond = rows, errors, beyond.astype(bool)
        return found
