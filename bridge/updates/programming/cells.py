"""The sections of files about the cells and lines of an array: those of programs and of experiments."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from bridge.experiment.section import Section
from bridge.units import Amperes, Metres, Ohms, Volts
from bridge.updates.programming.array import Array
from bridge.updates.programming.readout import selector_current
from circuits.topologies.crossbar import Cell, Lines


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


CELLS = ("1r", "1t1r", "selector")


def _named(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    if cell not in CELLS:
        raise ValueError(f"unknown cell {cell!r}; choose one of: {', '.join(CELLS)}")
    return {"kind": cell}


CellSpec = Annotated[
    Annotated[BareCellSpec | TransistorCellSpec | SelectorCellSpec, Field(discriminator="kind")],
    BeforeValidator(_named),
]


class LinesSpec(Section):
    """What lies between a device and the sources of its lines."""

    cell: Annotated[
        CellSpec,
        Field(description="of a crossing: `1r`, `1t1r`, `selector`, or a mapping with `kind` and its keys"),
    ] = BareCellSpec()
    wire_resistance: Annotated[Ohms, Field(ge=0, description="of a line between two neighbouring cells")] = (
        0.0
    )
    driver_resistance: Annotated[Ohms, Field(ge=0, description="of the source of a row")] = 0.0
    sense_resistance: Annotated[Ohms, Field(ge=0, description="of the source of a column")] = 0.0

    def wired(self, array: Array) -> Array:
        """An array with these cells and lines."""
        cell = Cell(**self.cell.model_dump(exclude_none=True))
        lines = Lines(self.wire_resistance, self.driver_resistance, self.sense_resistance)
        found = replace(array, cell=cell, lines=lines)
        if isinstance(self.cell, SelectorCellSpec) and self.cell.current is None:
            found = replace(found, cell=replace(cell, current=selector_current(found)))
        return found
