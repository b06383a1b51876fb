"""What a read sees of a device through what lies in series with it in its cell.

A read puts the read voltage on the series connection, so it sees less than the device has. Where it sees too
little, no state reads as the target, and write-verify would pulse until its budget is spent.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from bridge.updates.programming.array import Array, FloatArray
from circuits.topologies.crossbar import Cell

SEEN = 100.0
"""Conductance of a selector at 0 V over the greatest of its device, where nothing else is asked for."""


def selector_current(array: Array) -> float:
    """The selector's current [A] at which it conducts `SEEN` times as well at 0 V as the device at best."""
    return SEEN * array.conductance_range[1] * array.cell.slope


def seen_conductance(array: Array) -> float:
    """What a read sees of a lone device at its greatest conductance by the believed parameters [S].

    Lines count for nothing. A transistor whose card is not of level 1 counts as a short.
    """
    device, cell, u = array.device, array.cell, array.device.read_voltage
    ends = np.array(device.bounds[0])
    both = device.read_conductance({**array.believed, device.states[0].name: ends})
    top = {**array.believed, device.states[0].name: float(ends[np.argmax(both)])}
    if array.separate or cell.kind == "1r" or _series(cell, 0.5 * u) is None:
        return float(both.max())

    def surplus(across: float) -> float:
        inside = float(device.read_conductance(top, voltage=across)) * across if across else 0.0
        return inside - float(_series(cell, u - across) or 0.0)

    across = float(brentq(surplus, 0.0, u, xtol=1e-15, rtol=1e-12))
    return float(_series(cell, u - across) or 0.0) / u


def _series(cell: Cell, drop: float) -> float | None:
    """Current [A] of a cell's series element at a drop [V], the column at 0 V; `None` if it is not known."""
    if cell.kind == "selector":
        return float(cell.current * np.sinh(drop / cell.slope))
    card = dict(cell.card.parameters)
    if card.get("level") != 1.0:
        return None
    phi = card["phi"]
    threshold = card["vto"] + card["gamma"] * (np.sqrt(phi + max(0.0, -cell.bulk)) - np.sqrt(phi))
    over = max(0.0, cell.gate - threshold)
    at = min(drop, over)
    return float(card["kp"] * cell.width / cell.length * (over - 0.5 * at) * at)


def hidden(array: Array, targets: FloatArray, tolerance: float) -> str:
    """Why a read cannot find devices at their targets; empty if it can.

    Args:
        array: the devices.
        targets: conductances `(rows, columns)` [S]; those that the device does not reach do not count.
        tolerance: allowed relative error of what is read.
    """
    reached = targets[targets <= array.conductance_range[1]]
    seen = seen_conductance(array)
    if not reached.size or reached.max() * (1.0 - tolerance) <= seen:
        return ""
    cell, u = array.cell, array.device.read_voltage
    advice = (
        f"give the selector (array.cell) a current of {selector_current(array):.2g} A, "
        f"now {cell.current:.2g} A"
        if cell.kind == "selector"
        else "give the transistor (array.cell) a greater width or gate voltage"
    )
    return (
        f"cell {cell.kind}: a read at {u:g} V sees at most {seen:.3g} S of a device through its "
        f"{'selector' if cell.kind == 'selector' else 'transistor'}, but a target is {reached.max():.3g} S; "
        f"{advice}, or lower targets"
    )
