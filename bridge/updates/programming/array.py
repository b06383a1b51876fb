"""The array whose devices are programmed: a crossbar, or devices that share no line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bridge.errors import NetworkError
from circuits.devices.base import Element
from circuits.devices.memristors.base import Memristor
from circuits.devices.passive import resistor
from circuits.devices.sources import voltage_source
from circuits.network import GROUND, Drive, Network, Trainable
from circuits.topologies.crossbar import Cell, Lines, crossbar, grid

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Array:
    """Memristive devices in rows and columns.

    Attributes:
        device: of every cell.
        rows: number of rows.
        columns: number of column lines.
        parameters: values by name that the programmer believes in; those left out are the published ones.
        deviations: the devices' own values by name where they differ from these, `(rows, columns)` each.
        published: name of the published set; the first one by default.
        cell: what a crossing consists of.
        lines: resistances of the lines.
        stuck: conductances of stuck cells [S], not a number for all others.
        separate: every device has a source of its own and shares no line; `cell` and `lines` do not count.
    """

    device: Memristor
    rows: int
    columns: int
    parameters: Mapping[str, float] = field(default_factory=dict)
    deviations: Mapping[str, ArrayLike] = field(default_factory=dict)
    published: str | None = None
    cell: Cell = field(default_factory=Cell)
    lines: Lines = field(default_factory=Lines)
    stuck: ArrayLike | None = None
    separate: bool = False

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise NetworkError(f"an array of {self.rows} x {self.columns} devices has none")
        if not self.device.states or not self.device.bounds:
            raise NetworkError(f"{self.device.kind}: a device to program needs a bounded state")
        for key in self.deviations:
            self.device.index(key)
            if key in self.device.initial_names:
                raise NetworkError(f"deviations: {key} is a state at t = 0; give it with the states")
        _ = self.own  # refuses wrong shapes
        if self.lines.switches:
            raise NetworkError("an array to program has no switches in its lines")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.columns

    @cached_property
    def believed(self) -> dict[str, float]:
        """The parameter values that a programmer computes with."""
        return self.device.values(self.published, **self.parameters)

    @cached_property
    def own(self) -> dict[str, Any]:
        """The devices' parameter values, numbers or `(rows, columns)`."""
        found: dict[str, Any] = dict(self.believed)
        for key, value in self.deviations.items():
            found[key] = grid(value, *self.shape, what=key)
        return found

    @cached_property
    def stuck_at(self) -> FloatArray:
        """Conductances of stuck cells, not a number elsewhere, `(rows, columns)`."""
        return grid(np.nan if self.stuck is None else self.stuck, *self.shape, what="stuck")

    @cached_property
    def conductance_range(self) -> tuple[float, float]:
        """Least and greatest conductance at the read voltage by the believed parameters [S]."""
        ends = np.array(self.device.bounds[0])
        both = self.device.read_conductance({**self.believed, self.device.states[0].name: ends})
        return float(both.min()), float(both.max())

    @cached_property
    def own_range(self) -> tuple[FloatArray, FloatArray]:
        """Least and greatest conductance of each device by its own parameters, `(rows, columns)` each [S]."""
        name = self.device.states[0].name
        ends = [
            np.broadcast_to(self.device.read_conductance({**self.own, name: end}), self.shape)
            for end in self.device.bounds[0]
        ]
        return np.minimum(*ends), np.maximum(*ends)

    def all_states(self, states: ArrayLike) -> FloatArray:
        """States `(rows, columns, n_states)` from those or from first states `(rows, columns)`.

        Raises:
            NetworkError: the shape does not fit, or a state leaves its bounds.
        """
        given = np.asarray(states, dtype=float)
        count = len(self.device.states)
        if given.shape in ((), self.shape):
            full = np.empty((*self.shape, count))
            for k, name in enumerate(self.device.initial_names):
                full[..., k] = self.own[name]
            full[..., 0] = given
        elif given.shape == (*self.shape, count):
            full = given.copy()
        else:
            raise NetworkError(f"states of shape {given.shape} for an array of {self.rows} x {self.columns} "
                               f"devices with {count} states")  # fmt: skip
        low, high = np.array(self.device.bounds).T
        if not (np.isfinite(full).all() and (full >= low - 1e-9).all() and (full <= high + 1e-9).all()):
            raise NetworkError("a state to start from is not finite or leaves the bounds of the device")
        return np.clip(full, low, high)

    def conductances(self, states: FloatArray) -> FloatArray:
        """The devices' conductances at the read voltage [S], `(rows, columns)`; stuck cells have theirs."""
        known = {s.name: states[..., k] for k, s in enumerate(self.device.states)}
        found = self.device.read_conductance({**self.own, **known})
        return np.where(np.isfinite(self.stuck_at), self.stuck_at, np.broadcast_to(found, self.shape))

    def network(self, live: tuple[str, ...] = ()) -> Network:
        """The network of dynamic devices; parameters `live` of every device can be altered when loaded."""
        if not self.separate:
            start = grid(self.own[self.device.initial_names[0]], *self.shape, what="states")
            return crossbar(
                self.rows, self.columns, self.device, start, parameters=self.own, cell=self.cell,
                lines=self.lines, stuck=self.stuck, trainable=live, name="programming",
            )  # fmt: skip
        elements: list[Element] = []
        drives, free = [], []
        values = {k: grid(v, *self.shape, what=k) for k, v in self.own.items()}
        for i, j in np.ndindex(*self.shape):
            source, name = f"p{i}_{j}", f"d{i}_{j}"
            elements.append(voltage_source(source, source, GROUND, driven=True))
            drives.append(Drive(source))
            if np.isfinite(self.stuck_at[i, j]):
                elements.append(resistor(name, source, GROUND, conductance=float(self.stuck_at[i, j])))
                continue
            own: dict[str, Any] = {k: float(v[i, j]) for k, v in values.items()}
            elements.append(self.device.element(name, source, GROUND, **own))
            for key in live:
                entry = self.device.parameters[self.device.index(key)]
                free.append(Trainable(name, key, entry.lower, entry.upper))
        return Network("programming", tuple(elements), tuple(drives), trainable=tuple(free))
