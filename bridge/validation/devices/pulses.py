"""Potentiation and depression of a memristive device by identical pulses.

The conductance is read after every pulse. Nonlinearity and asymmetry are distances of the curves as Chen et
al. plot them (IEEE Trans. CAD 37, 3067 (2018)), here without a fit: the largest distance of a normalised
curve from a straight line, and the mean distance of the two curves from each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.ngspice.session import Session
from bridge.report.text import number, quantity
from bridge.validation.devices.bench import Bench, place
from bridge.validation.devices.content import Drawing, Findings, Text
from bridge.validation.devices.integration import Drive, Trajectory
from bridge.validation.devices.plots import Line, Panel, figure
from bridge.validation.devices.subjects import MemristorSubject
from bridge.validation.devices.switching import ends, integrated_time, started, voltage

FloatArray = NDArray[np.float64]

PULSES = 30
"""Pulses in each direction."""
EDGE = 0.1
"""Rise and fall of a pulse, as shares of its width."""
_STEPS = 1000
_TRIALS, _MOVED = 6, 0.3
_INSIDE = 0.02  # of its range a state is kept away from its ends, where a window may hold it for ever


@dataclass(frozen=True)
class Train:
    """The answer to identical pulses.

    Attributes:
        volts: height of the pulses [V].
        width: at half height [s]; the pause between two is as long.
        simulated: conductance before the first and after every pulse in ngspice, `(PULSES + 1,)` [S].
        integrated: the same by integration.
        final: states at the end.
    """

    volts: float
    width: float
    simulated: FloatArray
    integrated: FloatArray
    final: FloatArray


def pulse_drive(volts: float, width: float) -> Drive:
    """Identical pulses with pauses, `2 PULSES` widths long."""
    edge = EDGE * width
    corners = np.array([0.0, edge, width, width + edge])
    starts = 2.0 * width * np.arange(PULSES)
    times = (starts[:, None] + 0.25 * width + corners).ravel()
    volts_there = np.tile([0.0, volts, volts, 0.0], PULSES)
    return Drive(
        np.concatenate([[0.0], times, [2.0 * width * PULSES]]), np.concatenate([[0.0], volts_there, [0.0]])
    )


def width_for(subject: MemristorSubject, values: Mapping[str, float], raising: bool) -> float:
    """A width [s] with which the pulses take the state across a large part of its range.

    It starts from the switching time at a constant voltage and grows where pulses do less than that, for
    example because each begins with a cold filament.
    """
    volts = voltage(subject, raising)
    half = integrated_time(subject, started(subject, raising), volts)
    if half is None:  # it stays on this side of the middle: a quarter of a period in all
        half = subject.published.stimulus.period / 8.0
    low, high = sorted(ends(subject))
    width = float(f"{2.0 * half / PULSES:.1e}")  # of two digits, so that rounding moves no pulse
    for _ in range(_TRIALS):
        drive = pulse_drive(volts, width)
        end = np.array([drive.duration])
        done = subject.reference(drive, end, values, rtol=1e-6, largest_step=width / 5.0)
        moved = abs(done.states[-1, 0] - values[subject.device.states[0].initial]) / (high - low)
        if moved >= _MOVED:
            break
        width *= 4.0
    return width


def train(subject: MemristorSubject, session: Session, values: Mapping[str, float], raising: bool) -> Train:
    """Pulses in one direction from the given initial states."""
    volts = voltage(subject, raising)
    width = width_for(subject, values, raising)
    drive = pulse_drive(volts, width)
    bench = Bench(session, place(subject.placed, values), drive.duration)
    found = bench.run(drive, _STEPS * PULSES)
    between = np.linspace(0.0, drive.duration, PULSES + 1)[1:]
    reference = subject.reference(drive, between, values, largest_step=width / 20.0)
    states = [_between(subject, values, t, drive) for t in (found, reference)]
    names = [s.name for s in subject.device.states]
    own = {**values, **dict(zip(names, states[0].T, strict=True))}
    return Train(
        volts, width, subject.placed.read_conductance(own), subject.conductance(values, states[1]),
        found.states[-1],
    )  # fmt: skip


def _between(
    subject: MemristorSubject, values: Mapping[str, float], found: Trajectory, drive: Drive
) -> FloatArray:
    """States before the first and after every pulse, `(PULSES + 1, n_states)`."""
    when = drive.duration / PULSES * np.arange(PULSES + 1)
    times = np.concatenate([[0.0], found.time])
    starts = [values[s.initial] for s in subject.device.states]
    states = np.concatenate([[starts], found.states])
    return np.stack([np.interp(when, times, column) for column in states.T], axis=1)


def nonlinearity(curve: FloatArray) -> float:
    """Largest distance of a curve, normalised to its ends, from a straight line."""
    span = curve[-1] - curve[0]
    if span == 0.0:
        return 1.0
    return float(np.abs((curve - curve[0]) / span - np.linspace(0.0, 1.0, len(curve))).max())


def measure(subject: MemristorSubject, session: Session, findings: Findings) -> None:
    """Potentiation from near the smaller conductance, then depression from about where it ended."""
    sheet, device = findings.sheet, subject.device
    up = train(subject, session, started(subject, True), True)
    reached = {**started(subject, True)}
    for s, (low, high), value in zip(device.states, device.bounds, up.final, strict=True):
        inside = _INSIDE * (high - low) if s is device.states[0] else 0.0
        reached[s.initial] = float(np.clip(value, low + inside, high - inside))
    down = train(subject, session, reached, False)
    everything = np.concatenate([up.integrated, down.integrated])
    span = float(np.ptp(everything))
    sheet.add("potentiation", up.simulated[-1] / up.simulated[0] - 1.0)
    sheet.add("depression", down.simulated[0] / down.simulated[-1] - 1.0)
    apart = max(np.abs(t.simulated - t.integrated).max() for t in (up, down))
    sheet.add("pulses against integration", float(apart) / span if span else None)
    sheet.add("nonlinearity of potentiation", nonlinearity(up.simulated))
    sheet.add("nonlinearity of depression", nonlinearity(down.simulated))
    base, top = float(everything.min()), float(everything.max())
    both = [(c - base) / (top - base) for c in (up.simulated, down.simulated[::-1])]
    asymmetry = float(np.mean(np.abs(both[0] - both[1])))
    sheet.add("asymmetry", asymmetry)
    count = np.arange(PULSES + 1)
    findings.add(
        "Potentiation and depression",
        Text(
            f"{PULSES} pulses of {quantity(up.volts, 'V', 3)} and {quantity(up.width, 's', 3)}, then "
            f"{PULSES} of {quantity(down.volts, 'V', 3)} and {quantity(down.width, 's', 3)}; the conductance "
            f"at {device.read_voltage:g} V after each. Largest distance from a straight line: "
            f"{number(nonlinearity(up.simulated), 2)} up, {number(nonlinearity(down.simulated), 2)} down; "
            f"mean distance of the two curves, one read backwards: {number(asymmetry, 2)}, all as shares of "
            "the range."
        ),
        Drawing(
            figure(
                "pulses", "Conductance after each pulse",
                [
                    Panel(
                        [
                            Line(count, up.integrated, "potentiation, LSODA", "-", 0),
                            Line(count, up.simulated, "ngspice", "o", 0),
                            Line(count + PULSES, down.integrated, "depression, LSODA", "-", 1),
                            Line(count + PULSES, down.simulated, "ngspice", "s", 1),
                        ],
                        ("pulses", "1"), ("conductance", "S"),
                    ),
                    Panel(
                        [
                            Line(count, both[0], "potentiation", "-", 0),
                            Line(count, both[1], "depression, read backwards", "-", 1),
                            Line(count, count / PULSES, "linear", ":", 2),
                        ],
                        ("pulses", "1"), ("share of the range", "1"),
                    ),
                ],
            ),
            "Left: conductance after each pulse, in ngspice (marks) and by integration (lines). Right: both "
            "curves over one another.",
        ),
    )  # fmt: skip
