"""How long a memristive device takes to switch at a constant voltage, and its answer to identical pulses.

Both are measured in ngspice and integrated independently. Times are those in which the first state goes from
a tenth of its range to the middle, in the direction of the voltage.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from bridge.errors import SimulationError
from bridge.ngspice.session import Session
from bridge.report.text import number
from bridge.validation.devices.bench import Bench, place
from bridge.validation.devices.content import Drawing, Findings, Grid, Text
from bridge.validation.devices.integration import RTOL, Drive, rates, starts
from bridge.validation.devices.plots import Line, Panel, figure
from bridge.validation.devices.subjects import MemristorSubject

FloatArray = NDArray[np.float64]

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Voltages of the switching times, as shares of the stimulus' peaks."""
START = 0.1
"""Where a state starts, as a share of its range from the end that it leaves."""
LONGEST = 1e4
"""Longest switching time that is looked for, in periods of the stimulus."""

_STEPS = 2000


def ends(subject: MemristorSubject) -> tuple[float, float]:
    """The first state of the smaller and of the larger conductance."""
    device = subject.device
    name, (low, high) = device.states[0].name, device.bounds[0]
    g = device.read_conductance({**subject.values, name: np.array([low, high])})
    return (low, high) if g[1] > g[0] else (high, low)


def started(subject: MemristorSubject, raising: bool) -> dict[str, float]:
    """The parameters with the first state a tenth of its range away from the end that it leaves."""
    off, on = ends(subject)
    begin = off + START * (on - off) if raising else on + START * (off - on)
    return {**subject.values, subject.device.states[0].initial: begin}


def voltage(subject: MemristorSubject, raising: bool) -> float:
    """The stimulus' peak [V], signed, that raises or lowers the conductance."""
    sense = subject.polarity * (1 if raising else -1)
    stimulus = subject.published.stimulus
    return stimulus.positive if sense > 0 else -stimulus.negative


def integrated_time(subject: MemristorSubject, values: Mapping[str, float], volts: float) -> float | None:
    """Time [s] at which the first state passes the middle at a constant voltage; `None` if it does not."""
    device = subject.device
    evaluate = rates(device, values, subject.equations)
    scale = np.array([s.scale for s in device.states])
    middle = float(np.mean(device.bounds[0])) / scale[0]

    def slope(_: float, x: FloatArray) -> FloatArray:
        return np.asarray(np.array(evaluate(volts, *(x * scale))) / scale)

    def passes(_: float, x: FloatArray) -> float:
        return float(x[0] - middle)

    passes.terminal = True  # type: ignore[attr-defined]
    start = np.array(starts(device, values)) / scale
    end = LONGEST * subject.published.stimulus.period
    try:
        done = solve_ivp(slope, (0.0, end), start, method="LSODA", events=passes, rtol=RTOL, atol=1e-3 * RTOL)
    except (OverflowError, ZeroDivisionError, ValueError):
        return None
    return float(done.t_events[0][0]) if done.t_events and len(done.t_events[0]) else None


def simulated_time(
    subject: MemristorSubject, session: Session, values: Mapping[str, float], volts: float, expected: float
) -> float | None:
    """The same time [s] in ngspice; `None` where it is more than twice as long as expected."""
    duration = 2.0 * expected
    bench = Bench(session, place(subject.placed, values), duration)
    drive = Drive(np.array([0.0, duration]), np.array([volts, volts]))
    found = bench.run(drive, _STEPS)
    x = found.states[:, 0] - float(np.mean(subject.device.bounds[0]))
    passed = np.flatnonzero(x[:-1] * x[1:] <= 0.0)
    if not len(passed):
        return None
    k = passed[0]
    return float(found.time[k] + (found.time[k + 1] - found.time[k]) * x[k] / (x[k] - x[k + 1]))


def times(subject: MemristorSubject, session: Session, findings: Findings) -> None:
    """Switching time against voltage, in both directions."""
    lines, rows, errors, ratios = [], [], [], []
    for raising, label in ((True, "conductance rises"), (False, "conductance falls")):
        peak, values = voltage(subject, raising), started(subject, raising)
        known = []
        for share in SHARES:
            expected = integrated_time(subject, values, share * peak)
            if expected is None:
                continue
            try:
                found = simulated_time(subject, session, values, share * peak, expected)
            except SimulationError:
                found = None
            known.append((share * peak, expected, found))
            errors.append(np.inf if found is None else abs(found / expected - 1.0))
            shown = "–" if found is None else number(found, 4)
            rows.append((label, f"{share * peak:.4g}".replace("-", "−"), shown, number(expected, 4)))
        reached = [f for _, _, f in known if f is not None]
        ratios += [b / a for a, b in itertools.pairwise(reached)]
        if known:
            volts = [abs(v) for v, _, _ in known]
            lines.append(Line(volts, [e for _, e, _ in known], f"{label}, LSODA", "-", 0 if raising else 1))
            lines.append(
                Line(
                    volts, [np.nan if f is None else f for _, _, f in known], "ngspice", "o",
                    0 if raising else 1,
                )
            )  # fmt: skip
    findings.sheet.add("switching time against integration", max(errors) if errors else None)
    findings.sheet.add("switching time grows with voltage", max(ratios) if ratios else None)
    if not lines:
        findings.add("Switching time", Text("The device does not switch at the voltages of its stimulus."))
        return
    findings.add(
        "Switching time",
        Text(
            "Time at a constant voltage until the first state, started a tenth of its range away from the "
            "end that it leaves, passes the middle. Voltages at which it does not within "
            f"{LONGEST:g} periods of the stimulus are left out."
        ),
        Drawing(
            figure(
                "switching", "Switching time over voltage",
                [Panel(lines, ("magnitude of the voltage", "V"), ("switching time", "s"), log_y=True)],
            ),
            "Switching time against voltage, in ngspice (marks) and by integration (lines).",
        ),
        Grid(("direction", "voltage [V]", "ngspice [s]", "LSODA [s]"), rows),
    )  # fmt: skip
