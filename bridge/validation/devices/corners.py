"""A memristive device with each parameter 10 % off, and at several temperatures; its power and energy."""

from __future__ import annotations

import numpy as np

from bridge.errors import SimulationError
from bridge.ngspice.session import Session
from bridge.report.text import number, percent, quantity
from bridge.validation.devices.bench import Bench, place
from bridge.validation.devices.content import Drawing, Findings, Grid, Text
from bridge.validation.devices.hysteresis import cycle, difference
from bridge.validation.devices.integration import Trajectory
from bridge.validation.devices.plots import Line, Panel, figure
from bridge.validation.devices.subjects import MemristorSubject
from circuits.devices.base import Parameter

SHARE = 0.1
"""How far a parameter goes up and down."""
TEMPERATURES = (273.15, 300.0, 325.0, 358.15)
"""Temperatures of the ambient [K]."""


def power(found: Trajectory, findings: Findings) -> None:
    """Power and energy of the cycle: a device without sources takes up power at every instant."""
    p = found.u * found.i
    taken = np.concatenate([[0.0], np.cumsum(0.5 * (p[1:] + p[:-1]) * np.diff(found.time))])
    findings.sheet.add("least power", float(p.min() / np.abs(p).max()))
    findings.sheet.add("energy of a cycle", float(taken[-1]))
    findings.add(
        "Passivity and energy",
        Text(
            "The product of voltage and current is never negative, so the device holds no energy that it "
            f"could give back; the cycle takes up {quantity(taken[-1], 'J', 4)}."
        ),
        Drawing(
            figure(
                "power", "Power and energy over time",
                [
                    Panel([Line(found.time, p)], ("time", "s"), ("power", "W")),
                    Panel([Line(found.time, taken)], ("time", "s"), ("energy", "J")),
                ],
                2.2,
            ),
            "Left: power. Right: energy taken up since the start.",
        ),
    )  # fmt: skip


def measure(subject: MemristorSubject, session: Session, nominal: Trajectory, findings: Findings) -> None:
    """The cycle with each parameter a tenth larger and smaller."""
    device, values = subject.placed, subject.values
    drive = cycle(subject.published.stimulus)
    steps = subject.steps * subject.published.stimulus.cycles
    varied = [p for p in device.parameters if values[p.name] != 0.0]
    live = [p.name for p in varied if p.trainable]
    bench = Bench(session, place(device, values), drive.duration, live=live, options=subject.options)
    failed, beyond, rows = 0, 0.0, []
    loops: list[tuple[float, str, Trajectory]] = []
    for parameter in varied:
        cells = [parameter.name]
        for sign in (-1.0, 1.0):
            changed = {**values, parameter.name: _moved(parameter, values[parameter.name], sign)}
            try:
                if parameter.trainable:
                    bench.set(changed)
                    found = bench.run(drive, steps)
                else:
                    again = Bench(session, place(device, changed), drive.duration, options=subject.options)
                    found = again.run(drive, steps)
            except SimulationError:
                failed += 1
                cells += ["–", "–"]
                continue
            beyond = max(beyond, _beyond(subject, found))
            change = found.peak / nominal.peak - 1.0
            cells += [number(found.peak, 4), percent(change).replace("-", "−")]
            loops.append((abs(change), f"{parameter.name} {'+' if sign > 0 else '−'}10 %", found))
        rows.append(tuple(cells))
    findings.sheet.add("corners without convergence", failed)
    findings.sheet.add("state beyond its bounds", max(beyond, _beyond(subject, nominal)))
    still = [p.name for p in device.parameters if values[p.name] == 0.0]
    most = sorted(loops, key=lambda entry: -entry[0])[:3]
    lines = [Line(nominal.u, nominal.i, "nominal", "-", 0)]
    lines += [Line(f.u, f.i, label, "-", k + 1) for k, (_, label, f) in enumerate(most)]
    findings.add(
        "Corners",
        Text(
            "The cycle with one parameter a tenth smaller and larger, within its bounds: ngspice converges, "
            "the states stay within their bounds."
            + (f" Parameters of value zero stay as they are: {', '.join(still)}." if still else "")
        ),
        Drawing(
            figure("corners", "Loops at the corners",
                   [Panel(lines, ("voltage", "V"), ("current", "A"))], 2.9),
            "The three corners that change the peak current most.",
        ),
        Grid(("parameter", "peak current at −10 % [A]", "change", "at +10 % [A]", "change"), rows),
    )  # fmt: skip


def _moved(parameter: Parameter, value: float, sign: float) -> float:
    return float(np.clip(value * (1.0 + sign * SHARE), parameter.lower, parameter.upper))


def _beyond(subject: MemristorSubject, found: Trajectory) -> float:
    """How far a state leaves its bounds, as a share of their distance."""
    worst = 0.0
    for k, (low, high) in enumerate(subject.device.bounds):
        x = found.states[:, k]
        worst = max(worst, float(max(low - x.min(), x.max() - high)) / (high - low))
    return worst


def at_rest(subject: MemristorSubject, kelvin: float) -> dict[str, float]:
    """The parameters of a device that has been at a temperature for long, without a voltage.

    A state in kelvins is the temperature itself or a rise above the ambient: it starts at whichever of
    `kelvin` and 0 changes more slowly by its own equation.
    """
    device = subject.device
    parameter = device.ambient
    assert parameter is not None
    found = {**subject.values, parameter.name: kelvin}
    for state in device.states:
        if state.unit == "K":
            starts = np.array([0.0, kelvin])
            known = {**device.at_rest(found), "u": 0.0, state.name: starts}
            found[state.initial] = float(starts[np.abs(device.evaluate(state.rate, known)).argmin()])
    return found


def temperatures(subject: MemristorSubject, session: Session, findings: Findings) -> None:
    """The cycle at several temperatures of the ambient."""
    parameter = subject.device.ambient
    if parameter is None:
        findings.sheet.skip("temperatures against integration", "the model has no temperature")
        findings.add(
            "Temperature",
            Text("The model has no temperature: its parameters hold at the one at which they were fitted."),
        )
        return
    drive = cycle(subject.published.stimulus)
    steps = subject.steps * subject.published.stimulus.cycles
    lines, rows, worst = [], [], 0.0
    for kelvin in TEMPERATURES:
        values = at_rest(subject, kelvin)
        element = place(subject.placed, values)
        found = Bench(session, element, drive.duration, options=subject.options).run(drive, steps)
        reference = subject.reference(drive, found.time, values)
        error = difference(found, reference, subject.window)
        worst = max(worst, error)
        lines.append(Line(found.u, found.i, f"{kelvin:g} K"))
        rows.append((f"{kelvin:g}", number(found.i.max(), 4), number(found.i.min(), 4), number(error, 2)))
    findings.sheet.add("temperatures against integration", worst)
    findings.add(
        "Temperature",
        Text(f"The cycle with the parameter {parameter.name} at several values."),
        Drawing(
            figure("temperature", "Loops at several temperatures",
                   [Panel(lines, ("voltage", "V"), ("current", "A"))], 2.9),
            "The loop at several temperatures of the ambient.",
        ),
        Grid(("temperature [K]", "largest current [A]", "smallest current [A]", "from integration"), rows),
    )  # fmt: skip
