"""Published figures of a memristive device's cycle, measured in ngspice."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bridge.report.text import percent, quantity
from bridge.validation.devices.content import Findings, Grid, Text
from bridge.validation.devices.integration import Trajectory
from bridge.validation.devices.specification import Limit
from bridge.validation.devices.subjects import MemristorSubject
from circuits.devices.base import Device

MOVED = 0.1
"""Share of its range by which the first state has moved where the device counts as switched."""


def _switching_voltage(subject: MemristorSubject, found: Trajectory, sign: int) -> float:
    """Voltage at which the first state has moved by `MOVED` in one half of the cycle [V]."""
    low, high = subject.device.bounds[0]
    half = np.flatnonzero(sign * found.u > 0.0)
    x = found.states[half, 0]
    begin = subject.values[subject.device.states[0].initial] if half[0] == 0 else x[0]
    moved = np.abs(x - begin) - MOVED * (high - low)
    after = np.flatnonzero(moved >= 0.0)
    if not len(after):
        return float("nan")
    k = int(after[0])
    if k == 0:
        return float(found.u[half[0]])
    share = moved[k - 1] / (moved[k - 1] - moved[k])
    u = found.u[half]
    return float(u[k - 1] + share * (u[k] - u[k - 1]))


Measure = Callable[[MemristorSubject, Trajectory], float]
MEASURES: Mapping[str, Measure] = {
    "peak current": lambda _, t: t.peak,
    "positive peak current": lambda _, t: float(t.i.max()),
    "negative peak current": lambda _, t: float(t.i.min()),
    "largest state": lambda _, t: float(t.states[:, 0].max()),
    "smallest state": lambda _, t: float(t.states[:, 0].min()),
    "energy": lambda _, t: float(np.trapezoid(t.u * t.i, t.time)),
    "largest conductance": lambda _, t: float((t.i / t.u)[np.abs(t.u) > 0.01 * np.abs(t.u).max()].max()),
    "smallest conductance": lambda _, t: float((t.i / t.u)[np.abs(t.u) > 0.01 * np.abs(t.u).max()].min()),
    "set voltage": lambda s, t: _switching_voltage(s, t, 1),
    "reset voltage": lambda s, t: _switching_voltage(s, t, -1),
}
"""What is known to measure, by the name of the published figure."""


UNITS: Mapping[str, str] = {
    "peak current": "A",
    "positive peak current": "A",
    "negative peak current": "A",
    "energy": "J",
    "largest conductance": "S",
    "smallest conductance": "S",
}
"""Units of the figures that any two-terminal has; those of the others follow from its states."""


def unit_of(name: str, device: Device) -> str | None:
    """The unit of a figure of a device; `None` for one that it does not have."""
    if name in UNITS:
        return UNITS[name]
    if name not in MEASURES or not device.states:
        return None
    return "V" if name.endswith("voltage") else device.states[0].unit


def declared(found: Trajectory, findings: Findings, subject: MemristorSubject | None = None) -> None:
    """Measure the figures of the cycle for which the user gave limits.

    Args:
        found: the cycle in ngspice.
        findings: whose sheet has the limits.
        subject: of figures of states.
    """
    sheet, rows = findings.sheet, []
    for name in sheet.changes:
        if name not in MEASURES or name in sheet.limits:
            continue
        device = None if subject is None else subject.device
        unit = UNITS.get(name) if device is None else unit_of(name, device)
        value = None if unit is None else MEASURES[name](subject, found)  # type: ignore[arg-type]
        made = sheet.add(name, value, Limit(unit=unit or "1", meaning="of the cycle, limits by the user"))
        low, high = made.limit.minimum, made.limit.maximum
        rows.append((name, *("–" if v is None else quantity(v, unit or "") for v in (low, made.value, high))))
    if rows:
        findings.add(
            "Declared figures",
            Text("Figures of the cycle in ngspice, and the limits that the user gave."),
            Grid(("figure", "minimum", "simulated", "maximum"), rows, False),
        )


def measure(subject: MemristorSubject, found: Trajectory, findings: Findings) -> None:
    """Compare every published figure of the set with the simulated cycle; an unknown one fails."""
    if not subject.published.figures:
        findings.add(
            "Published figures",
            Text(
                "No figure of the cycle is known for this set. Its parameters are from "
                f"{subject.published.source}."
            ),
        )
        return
    rows = []
    for published in subject.published.figures:
        ask = MEASURES.get(published.name)
        value = None if ask is None else ask(subject, found)
        spread = abs(published.value) * published.tolerance
        limit = Limit(
            published.value - spread, published.value, published.value + spread, published.unit,
            f"published: {published.source}",
        )  # fmt: skip
        findings.sheet.add(f"published {published.name}", value, limit)
        off = None if value is None else value / published.value - 1.0
        rows.append(
            (
                published.name, quantity(published.value, published.unit), quantity(value, published.unit),
                percent(off).replace("-", "−"), percent(published.tolerance), published.source,
            )
        )  # fmt: skip
    findings.add(
        "Published figures",
        Text("Figures of the cycle as published, and in ngspice."),
        Grid(("figure", "published", "simulated", "difference", "allowed", "source"), rows, False),
    )
