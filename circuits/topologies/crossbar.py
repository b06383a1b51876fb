"""Crossbar arrays: a device where every row line crosses every column line.

Row `i` is driven by the source `row{i}`, column `j` by `col{j}`; the device of a crossing is `d{i}_{j}`, with
its first terminal towards the row. The current of a column's source is the column's read-out, positive from
the rows into the source. Lines have a resistance for each segment: one between neighbouring cells and one
between the first cell and the driver. Rows are driven from column 0, columns are sensed behind the last row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike

from bridge.errors import NetworkError
from circuits.devices.base import Element, FloatArray, ModelCard, Parameter, U
from circuits.devices.behavioural import Behavioural, symbol
from circuits.devices.cards import level1
from circuits.devices.memristors.base import Memristor
from circuits.devices.mosfet import mosfet
from circuits.devices.passive import resistor
from circuits.devices.sources import switch, voltage_source
from circuits.network import GROUND, Drive, Network, Trainable

Fidelity = Literal["ideal", "static", "dynamic"]
LEAST = 1e-2
"""Least resistance of a line that is not ideal [Ohm]; a resistor's conductance has an upper bound."""
ACCESS_CARD = level1("xbar_access", "nmos", vto=0.5, kp=2e-4)


@dataclass(frozen=True)
class Selector(Behavioural):
    """A two-terminal whose current grows as a hyperbolic sine, in series with every device."""

    compiled_by_default: ClassVar[bool] = True


SELECTOR = Selector(
    "selector",
    ("p", "n"),
    (
        Parameter("current", "A", 1e-9, lower=1e-18, description="i = current * sinh(u / slope)"),
        Parameter("slope", "V", 0.1, lower=1e-3),
    ),
    law=symbol("current") * sp.sinh(U / symbol("slope")),
    description="bidirectional selector, i = current sinh(u / slope)",
    source="an exponential current in both directions, the form of a symmetric barrier at high fields",
)


@dataclass(frozen=True)
class Cell:
    """What lies between a row and a column.

    Attributes:
        kind: `1r` the device alone, `1t1r` with an n-channel transistor towards the column, whose gate line
            belongs to the row, `selector` with a `SELECTOR` towards the column.
        card: model card of the transistor.
        width: of its channel [m].
        length: of its channel [m].
        gate: voltage of a gate line that is on [V].
        bulk: voltage of the common bulk and of gate lines that are off [V]; below every line's.
        current: of the selector [A].
        slope: of the selector [V].
    """

    kind: Literal["1r", "1t1r", "selector"] = "1r"
    card: ModelCard = ACCESS_CARD
    width: float = 1e-5
    length: float = 1e-6
    gate: float = 5.0
    bulk: float = -5.0
    current: float = 1e-9
    slope: float = 0.1


@dataclass(frozen=True)
class Lines:
    """Resistances of the lines [Ohm]; 0 leaves a resistor out.

    Attributes:
        wire: of a segment.
        driver: of every row's source.
        sense: of every column's source.
        switches: every line's source is behind a switch, driven by a further source: closed at 1 V, open at
            0 V, so that lines can float.
    """

    wire: float = 0.0
    driver: float = 0.0
    sense: float = 0.0
    switches: bool = False

    def __post_init__(self) -> None:
        for key in ("wire", "driver", "sense"):
            value = getattr(self, key)
            if not (np.isfinite(value) and (value == 0.0 or value >= LEAST)):
                raise NetworkError(f"crossbar lines: {key} = {value:g} Ohm; give 0, or at least {LEAST:g}")


@dataclass
class _Builder:
    rows: int
    columns: int
    lines: Lines
    cell: Cell
    elements: list[Element] = field(default_factory=list)
    enables: list[str] = field(default_factory=list)

    def line(self, source: str, letter: str, count: int, near: float) -> list[str]:
        """A line's elements; its nodes at the cells, in order from the driver."""
        self.elements.append(voltage_source(source, source, GROUND, driven=True))
        node = source
        if self.lines.switches:
            name = f"en_{source}"
            self.enables.append(name)
            self.elements.append(switch(f"sw_{source}", node, f"{source}_s", name, GROUND, on_resistance=1e-3,
                                        off_resistance=1e13))  # fmt: skip
            node = f"{source}_s"
        if near:
            self.elements.append(
                resistor(f"{letter}near_{source}", node, f"{source}_n", conductance=1 / near)
            )
            node = f"{source}_n"
        if not self.lines.wire:
            return [node] * count
        nodes = []
        for k in range(count):
            there = f"{source}_{k}"
            self.elements.append(resistor(f"w_{there}", node, there, conductance=1 / self.lines.wire))
            nodes.append(there)
            node = there
        return nodes

    def inner(self, i: int, j: int, row: str, column: str) -> tuple[str, str]:
        """The nodes of a cell's device; adds what lies in series with it."""
        cell = self.cell
        if cell.kind == "1r":
            return row, column
        middle = f"m{i}_{j}"
        if cell.kind == "selector":
            self.elements.append(
                SELECTOR.element(f"s{i}_{j}", middle, column, current=cell.current, slope=cell.slope)
            )
        else:
            self.elements.append(
                mosfet(f"t{i}_{j}", middle, f"gate{i}", column, "bulk", model=cell.card, w=cell.width,
                       l=cell.length)
            )  # fmt: skip
        return row, middle


def grid(values: ArrayLike, rows: int, columns: int, what: str) -> FloatArray:
    """Values of all cells `(rows, columns)` from a number or an array.

    Raises:
        NetworkError: the shape does not fit.
    """
    array = np.asarray(values, dtype=float)
    if array.shape not in ((), (rows, columns)):
        raise NetworkError(
            f"crossbar: {what} has the shape {array.shape}; give a number or ({rows}, {columns}) values"
        )
    return np.array(np.broadcast_to(array, (rows, columns)))


def crossbar(
    rows: int,
    columns: int,
    device: Memristor | None = None,
    values: ArrayLike = 0.5,
    *,
    fidelity: Fidelity = "dynamic",
    parameters: Mapping[str, ArrayLike] | None = None,
    cell: Cell | None = None,
    lines: Lines | None = None,
    stuck: ArrayLike | None = None,
    devices_per_weight: int = 1,
    trainable: Sequence[str] | None = None,
    bounds: tuple[float, float] | None = None,
    name: str = "crossbar",
) -> Network:
    """Build a crossbar array.

    Args:
        rows: number of row lines.
        columns: number of column lines; of weights with two devices each, whose columns are `2j` (plus) and
            `2j + 1` (minus).
        device: the memristive device; none for `ideal`.
        values: of every cell, `(rows, column lines)` or a number: its conductance [S] for `ideal`, the first
            state otherwise.
        fidelity: `ideal` resistors, `static` devices at frozen states, `dynamic` devices.
        parameters: of the devices, numbers or `(rows, column lines)`; `device.values(..)` by default.
        cell: what a crossing consists of.
        lines: resistances and switches of the lines.
        stuck: conductances of cells that are stuck [S], not a number for all others.
        devices_per_weight: 1 or 2.
        trainable: parameters that learning may change; the value of every cell by default.
        bounds: training bounds of the value; those of the device by default.
        name: of the network.

    Returns:
        The network. Its drives are the rows (feature `i`), the columns (0 V), the gate lines of `1t1r` cells
        (on), then the switches of rows and columns (closed); its probes are the columns' sources.

    Raises:
        NetworkError: a shape or a value does not fit, or a device is missing.
    """
    if rows < 1 or columns < 1 or devices_per_weight not in (1, 2):
        raise NetworkError("crossbar: needs rows and columns of at least 1, and 1 or 2 devices per weight")
    if fidelity not in ("ideal", "static", "dynamic") or (device is None) != (fidelity == "ideal"):
        raise NetworkError(f"crossbar: fidelity {fidelity!r} with{'out' if device is None else ''} a device; "
                           "ideal takes none, static and dynamic take one")  # fmt: skip
    width = columns * devices_per_weight
    cell, lines = cell or Cell(), lines or Lines()
    main = grid(values, rows, width, "values")
    fixed = grid(np.nan if stuck is None else stuck, rows, width, "stuck")
    build = _Builder(rows, width, lines, cell)
    row_nodes = [build.line(f"row{i}", "d", width, lines.driver) for i in range(rows)]
    column_nodes = [build.line(f"col{j}", "s", rows, lines.sense)[::-1] for j in range(width)]
    drives = [Drive(f"row{i}", i) for i in range(rows)] + [Drive(f"col{j}") for j in range(width)]
    if cell.kind == "1t1r":
        build.elements.append(voltage_source("bulk", "bulk", GROUND, dc=cell.bulk))
        for i in range(rows):
            build.elements.append(voltage_source(f"gate{i}", f"gate{i}", GROUND, driven=True))
            drives.append(Drive(f"gate{i}", None, 0.0, cell.gate))
    for enable in build.enables:
        build.elements.append(voltage_source(enable, enable, GROUND, driven=True))
        drives.append(Drive(enable, None, 0.0, 1.0))
    placed, key = _devices(device, fidelity, main, parameters)
    names = (key,) if trainable is None else tuple(trainable)
    free: list[Trainable] = []
    for i in range(rows):
        for j in range(width):
            nodes = build.inner(i, j, row_nodes[i][j], column_nodes[j][i])
            element = f"d{i}_{j}"
            if np.isfinite(fixed[i, j]):
                build.elements.append(resistor(element, *nodes, conductance=float(fixed[i, j])))
                continue
            made = placed(i, j, element, nodes)
            build.elements.append(made)
            for parameter in names:
                entry = made.device.parameters[made.device.index(parameter)]
                limits = (entry.lower, entry.upper)
                if parameter == key:
                    limits = bounds or (device.bounds[0] if device is not None and device.bounds else limits)
                free.append(Trainable(element, parameter, *limits, group="crossbar"))
    return Network(
        name,
        tuple(build.elements),
        tuple(drives),
        trainable=tuple(free),
        probes=tuple(f"col{j}" for j in range(width)),
    )


def _devices(
    device: Memristor | None, fidelity: Fidelity, main: FloatArray, parameters: Mapping[str, ArrayLike] | None
) -> tuple[Any, str]:
    """A function that makes the device of a cell, and the name of the parameter that holds its value."""
    if device is None:
        return lambda i, j, name, nodes: resistor(name, *nodes, conductance=float(main[i, j])), "conductance"
    given = dict(parameters if parameters is not None else device.values())
    family: Behavioural = device
    key = device.initial_names[0]
    if fidelity == "static":
        family = device.static()
        for state in device.states:
            given[state.name] = given.pop(state.initial)
        key = device.states[0].name
    given[key] = main
    arrays = {p: grid(v, main.shape[0], main.shape[1], p) for p, v in given.items()}

    def place(i: int, j: int, name: str, nodes: tuple[str, str]) -> Element:
        own: dict[str, Any] = {p: float(v[i, j]) for p, v in arrays.items()}
        return family.element(name, *nodes, **own)

    return place, key
