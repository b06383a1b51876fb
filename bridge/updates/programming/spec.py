"""The programming file: what `tellegen program` reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator, model_validator

from bridge.errors import NetworkError, SpecError
from bridge.experiment.section import Section
from bridge.experiment.source import ExistingFile, apply_overrides, load_yaml, validate
from bridge.units import Amperes, Metres, Number, Ohms, Seconds, Volts
from bridge.updates.programming.array import Array
from bridge.updates.programming.base import Settings
from bridge.updates.programming.kinds import PROGRAMMERS
from bridge.updates.programming.readout import selector_current
from circuits.devices.memristors import MEMRISTORS
from circuits.topologies.crossbar import Cell, Lines

FloatArray = NDArray[np.float64]
LARGEST = 1 << 16  # cells


class DeviceSpec(Section):
    """The device of every cell."""

    model: Annotated[str, Field(description="kind of memristive device")] = "yakopcic"
    published: Annotated[
        str | None, Field(description="published set of parameters; the first if left out")
    ] = None
    parameters: Annotated[dict[str, Number], Field(description="parameters that differ from it")] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _known(self) -> DeviceSpec:
        if self.model not in MEMRISTORS:
            raise ValueError(f"unknown model {self.model!r}; choose one of: {', '.join(MEMRISTORS)}")
        try:
            MEMRISTORS[self.model].place("d", "p", "n", published=self.published, **self.parameters)
        except NetworkError as error:
            raise ValueError(str(error)) from error
        return self


class BareCellSpec(Section):
    """The device alone."""

    kind: Literal["1r"] = "1r"


class TransistorCellSpec(Section):
    """The device with an n-channel transistor, whose gate line belongs to the row."""

    kind: Literal["1t1r"] = "1t1r"
    width: Annotated[Metres, Field(gt=0, description="of the transistor's channel")] = Cell.width
    length: Annotated[Metres, Field(gt=0, description="of the transistor's channel")] = Cell.length
    gate: Annotated[Volts, Field(description="of a gate line that is on")] = Cell.gate
    bulk: Annotated[Volts, Field(description="of the bulk and of gate lines that are off")] = Cell.bulk


class SelectorCellSpec(Section):
    """The device with a selector, `i = current * sinh(u / slope)`, in series."""

    kind: Literal["selector"] = "selector"
    current: Annotated[
        Amperes | None,
        Field(ge=1e-18, description="of the selector; left out: 100 times the device's greatest conductance "
              "times the slope, so that a read sees the device"),
    ] = None  # fmt: skip
    slope: Annotated[Volts, Field(ge=1e-3, description="voltage of an e-fold of the current")] = Cell.slope


CellSpec = Annotated[BareCellSpec | TransistorCellSpec | SelectorCellSpec, Field(discriminator="kind")]
CELLS = ("1r", "1t1r", "selector")


class ArraySpec(Section):
    """Size and lines of the array."""

    rows: Annotated[int, Field(ge=1)]
    columns: Annotated[int, Field(ge=1, description="weights in a row")]
    devices_per_weight: Literal[1, 2] = 1
    cell: CellSpec = BareCellSpec()
    wire_resistance: Annotated[Ohms, Field(ge=0, description="of a segment")] = 0.0
    driver_resistance: Annotated[Ohms, Field(ge=0)] = 0.0
    sense_resistance: Annotated[Ohms, Field(ge=0)] = 0.0

    @field_validator("cell", mode="before")
    @classmethod
    def _named(cls, cell: Any) -> Any:
        if not isinstance(cell, str):
            return cell
        if cell not in CELLS:
            raise ValueError(f"unknown cell {cell!r}; choose one of: {', '.join(CELLS)}")
        return {"kind": cell}

    @model_validator(mode="after")
    def _size(self) -> ArraySpec:
        if self.rows * self.lines > LARGEST:
            raise ValueError(f"{self.rows} x {self.lines} cells; at most {LARGEST} are programmed")
        return self

    @property
    def lines(self) -> int:
        """Column lines."""
        return self.columns * self.devices_per_weight


class ProgrammerSpec(Section):
    """The programmer and its pulses; what is left out follows from the device."""

    kind: Literal["ideal", "open_loop", "write_verify"] = "write_verify"
    tolerance: Annotated[Number, Field(gt=0, lt=1, description="relative error of a conductance")] = 0.01
    raise_voltage: Annotated[Volts | None, Field(description="of pulses that raise the state")] = None
    lower_voltage: Annotated[Volts | None, Field(description="of pulses that lower the state")] = None
    longest: Annotated[Seconds | None, Field(gt=0, description="flat top of a pulse at most")] = None
    edge: Annotated[Number, Field(gt=0, lt=1, description="rise or fall, as a share of the longest")] = 0.1
    points: Annotated[int, Field(ge=8, description="time steps of a slot at least")] = 32
    scheme: Literal["half", "third", "grounded"] | None = None
    max_rounds: Annotated[int, Field(ge=1)] = 20
    max_pulses: Annotated[int, Field(ge=1, description="for one device")] = 100
    patience: Annotated[int, Field(ge=1, description="rounds without a change until a device is left")] = 4

    @field_validator("kind")
    @classmethod
    def _exists(cls, kind: str) -> str:
        assert kind in PROGRAMMERS
        return kind


class TargetSpec(Section):
    """Target conductances: random ones between two fractions of the range, or a CSV file [S]."""

    low: Annotated[Number, Field(ge=0, le=1, description="fraction of the conductance range")] = 0.1
    high: Annotated[Number, Field(ge=0, le=1)] = 0.9
    file: Annotated[ExistingFile | None, Field(description="CSV: rows of conductances, no header")] = None

    @model_validator(mode="after")
    def _ordered(self, info: ValidationInfo) -> TargetSpec:
        if not self.low <= self.high:
            raise ValueError("needs low <= high")
        return self


class ProgramSpec(Section):
    """An array, its programmer and its targets."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
    seed: Annotated[int, Field(ge=0)] = 0
    initial: Annotated[
        Number, Field(ge=0, le=1, description="state to start from, fraction of its range")
    ] = 0.5
    device: DeviceSpec = DeviceSpec()
    array: ArraySpec
    programmer: ProgrammerSpec = ProgrammerSpec()
    target: TargetSpec = TargetSpec()

    def build(self) -> tuple[Array, Settings]:
        """The array and the settings of its programmer."""
        a = self.array
        array = Array(
            MEMRISTORS[self.device.model], a.rows, a.lines, self.device.parameters,
            published=self.device.published, cell=Cell(**a.cell.model_dump(exclude_none=True)),
            lines=Lines(a.wire_resistance, a.driver_resistance, a.sense_resistance),
        )  # fmt: skip
        if isinstance(a.cell, SelectorCellSpec) and a.cell.current is None:
            array = replace(array, cell=replace(array.cell, current=selector_current(array)))
        return array, Settings(**self.programmer.model_dump(exclude={"kind"}))

    def targets(self, array: Array) -> FloatArray:
        """Target conductances `(rows, column lines)` [S].

        Raises:
            SpecError: the file is no table of positive numbers of that shape.
        """
        if self.target.file is None:
            low, high = array.conductance_range
            share = np.random.default_rng(self.seed).uniform(self.target.low, self.target.high, array.shape)
            return low + share * (high - low)
        return read_table(self.target.file, array.shape)


def read_table(path: Path, shape: tuple[int, int]) -> FloatArray:
    """A CSV file of positive numbers without header.

    Raises:
        SpecError: it holds something else, or has another shape.
    """
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read as text ({type(error).__name__})") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = [float(part) for part in line.split(",")]
        except ValueError:
            raise SpecError(f"{path}:{number}: not a row of numbers separated by commas") from None
        if len(row) != shape[1] or not all(np.isfinite(v) and v > 0 for v in row):
            raise SpecError(
                f"{path}:{number}: needs {shape[1]} positive conductances [S], has {len(row)} values"
            )
        rows.append(row)
    if len(rows) != shape[0]:
        raise SpecError(f"{path}: has {len(rows)} rows, the array has {shape[0]}")
    return np.array(rows)


def load_program(path: Path, overrides: tuple[str, ...] = ()) -> ProgramSpec:
    """Read a programming file.

    Raises:
        SpecError: it is wrong; one line `file:line: key: what; what to do` a problem.
    """
    return validate(ProgramSpec, apply_overrides(load_yaml(path), overrides))
