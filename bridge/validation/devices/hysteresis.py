"""A memristive device under its hysteresis cycle: ngspice against the integrated equations, fingerprints.

The fingerprints of a memristor are those of Adhikari, Sah, Kim and Chua, IEEE Trans. Circuits Syst. I 60,
3008 (2013): a loop pinched at the origin, whose lobes shrink as the frequency grows, and a response that is
zero whenever the excitation is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from bridge.dynamics import FIXED_GRID
from bridge.errors import SimulationError
from bridge.ngspice import openvaf
from bridge.ngspice.session import Session
from bridge.report.text import number, quantity
from bridge.validation.devices.bench import Bench, place
from bridge.validation.devices.content import Drawing, Findings, Grid, Text
from bridge.validation.devices.integration import Drive, Trajectory
from bridge.validation.devices.plots import Line, Panel, figure
from bridge.validation.devices.specification import Sheet
from bridge.validation.devices.subjects import STEPS, MemristorSubject
from circuits.devices.memristors.base import Stimulus
from circuits.netlist import compiles

FloatArray = NDArray[np.float64]

SAMPLES = 8000
"""Samples of a period of the stimulus, which is linear between them."""
DECADES = (4, 9)
"""The fingerprints' frequencies: at least and at most so many decades above the stimulus', until the lobes
have shrunk to `SHRUNK` of the largest."""
SHRUNK = 0.1

_WINDOW_POINTS = 4
_COARSE = (250, 1000)


def cycle(stimulus: Stimulus, factor: float = 1.0, height: float = 1.0) -> Drive:
    """The stimulus `factor` times as fast, its peaks multiplied by `height`."""
    times = np.linspace(0.0, stimulus.duration, SAMPLES * stimulus.cycles + 1)
    return Drive(times / factor, height * stimulus.waveform(times))


def difference(found: Trajectory, reference: Trajectory, window: float = 0.0) -> float:
    """Largest difference of the currents, as a share of the reference's peak.

    Args:
        found: in ngspice.
        reference: on the same points.
        window: the smallest difference from any of the reference's currents that are no further away in
            time than this [s]; 0 compares each point with its own.
    """
    if window == 0.0:
        return float(np.abs(found.i - reference.i).max() / reference.peak)
    end = float(reference.time[-1])
    grid = np.linspace(0.0, end, _WINDOW_POINTS * int(np.ceil(end / window)) + 1)
    on_grid = np.interp(grid, reference.time, reference.i)
    size = 2 * _WINDOW_POINTS + 1
    least, most = minimum_filter1d(on_grid, size), maximum_filter1d(on_grid, size)
    below = np.interp(found.time, grid, least) - found.i
    above = found.i - np.interp(found.time, grid, most)
    return float(np.maximum(0.0, np.maximum(below, above)).max() / reference.peak)


def at_zero(found: Trajectory) -> float:
    """Largest current where the voltage crosses zero, by the secant, as a share of the peak."""
    u, i = found.u, found.i
    crossing = np.flatnonzero((u[:-1] * u[1:] < 0.0) | (u[1:] == 0.0))
    step = u[crossing + 1] - u[crossing]
    share = np.where(step != 0.0, -u[crossing] / np.where(step == 0.0, 1.0, step), 1.0)
    there = i[crossing] + share * (i[crossing + 1] - i[crossing])
    return float(np.abs(there).max(initial=0.0) / found.peak)


def lobe(found: Trajectory, sign: int) -> float:
    """Signed area of one lobe, `-integral i du` over the time in which the voltage has that sign [W].

    Positive where the current is larger on the way back than on the way out, in the sense of the voltage's
    magnitude: the conductance rises in that half.
    """
    inside = sign * found.u > 0.0
    u, i = np.abs(np.where(inside, found.u, 0.0)), np.where(inside, sign * found.i, 0.0)
    return float(-np.trapezoid(i, u))


def compare(subject: MemristorSubject, session: Session, sheet: Sheet) -> tuple[Trajectory, Trajectory]:
    """The published cycle in ngspice at default settings, and the reference on the same points."""
    stimulus = subject.published.stimulus
    drive = cycle(stimulus)
    element = place(subject.placed, subject.values)
    bench = Bench(session, element, drive.duration, options=subject.options)
    found = bench.run(drive, subject.steps * stimulus.cycles)
    reference = subject.reference(drive, found.time)
    sheet.add("current against integration", difference(found, reference, subject.window))
    return found, reference


def measure(subject: MemristorSubject, session: Session, findings: Findings) -> Trajectory:
    """All of the above; returns the cycle at default settings."""
    sheet, device = findings.sheet, subject.device
    stimulus = subject.published.stimulus
    drive = cycle(stimulus)
    found, reference = compare(subject, session, sheet)
    error = sheet.found[-1].value
    if subject.window:
        sheet.skip("order in the step", "the steps follow the truncation error")
        words = (
            f"The device switches within a small part of a time step, so the steps follow the truncation "
            f"error, and currents are compared within {quantity(subject.window, 's', 2)} of each other; an "
            "order in the step has no meaning here."
        )
    else:
        order, errors = _order(subject, session, drive)
        sheet.add("order in the step", order)
        words = (
            "With tight Newton tolerances the error is "
            + " and ".join(f"{number(e, 2)} with {n} steps" for n, e in errors)
            + f": order {number(order, 3)} in the step."
        )
    _realisations(subject, session, drive, found, findings)
    peak = reference.peak
    whose = "the declared" if subject.equations is None else "the publication's, written out by hand,"
    units = {s.unit for s in device.states}
    sizes = np.ones(len(device.states)) if len(units) == 1 else np.abs(found.states).max(axis=0) + 1e-300
    shown = ("state", units.pop()) if len(units) == 1 else ("states, each divided by its largest", "1")
    findings.add(
        "Hysteresis cycle",
        Text(
            f"A {stimulus.kind} of +{stimulus.positive:g} V and −{stimulus.negative:g} V with a period of "
            f"{number(stimulus.period)} s. ngspice at the project's default settings with {subject.steps} "
            f"steps a cycle, against LSODA (relative tolerance 1e-9) on {whose} equations: the "
            f"currents differ by {number(error, 2)} of the peak. {words}"
        ),
        Drawing(
            figure(
                "hysteresis",
                "Current over voltage, states over time, and the error over time",
                [
                    Panel(
                        [
                            Line(found.u, found.i, "ngspice"),
                            Line(reference.u[::10], reference.i[::10], "LSODA", "."),
                        ],
                        ("voltage", "V"), ("current", "A"),
                    ),
                    Panel(
                        [
                            Line(found.time, found.states[:, k] / sizes[k], s.name)
                            for k, s in enumerate(device.states)
                        ],
                        ("time", "s"), shown,
                    ),
                    Panel(
                        [Line(found.time, np.abs(found.i - reference.i) / peak + 1e-16)],
                        ("time", "s"), ("difference of the currents / peak", "1"), log_y=True,
                    ),
                ],
            ),
            "Left: the loop in ngspice (line) and by integration (points). Middle: the state. Right: the "
            "difference of the two currents.",
        ),
    )  # fmt: skip
    _fingerprints(subject, session, found, findings)
    return found


def _order(
    subject: MemristorSubject, session: Session, drive: Drive
) -> tuple[float | None, list[tuple[int, float]]]:
    """Order of the error in the step, from a fourfold number of steps; errors by number of steps."""
    options = replace(FIXED_GRID, reltol=1e-9, vntol=1e-12, abstol=1e-15)
    bench = Bench(session, place(subject.placed, subject.values), drive.duration, options=options)
    errors: list[tuple[int, float]] = []
    cycles = subject.published.stimulus.cycles
    for steps in _COARSE:
        try:
            found = bench.run(drive, steps * cycles * subject.steps // STEPS)
        except SimulationError:
            return None, errors
        reference = subject.reference(drive, found.time)
        errors.append(
            (
                steps * subject.steps // STEPS,
                float(np.sqrt(np.mean((found.i - reference.i) ** 2)) / reference.peak),
            )
        )
    ratio = errors[0][1] / errors[1][1] if errors[1][1] else np.inf
    return float(np.log(ratio) / np.log(_COARSE[1] / _COARSE[0])), errors


def _realisations(
    subject: MemristorSubject, session: Session, drive: Drive, found: Trajectory, findings: Findings
) -> None:
    element = place(subject.placed, subject.values)
    bench = Bench(session, element, drive.duration, realisation="behavioural", options=subject.options)
    compiled = compiles(element.device, "auto") and openvaf.usable("auto", bench.flat) != "behavioural"
    if not compiled:
        findings.sheet.skip("B sources against Verilog-A", "no compiled form on this machine")
        return
    other = bench.run(drive, subject.steps * subject.published.stimulus.cycles)
    same = replace(found, i=np.interp(found.time, other.time, other.i))
    findings.sheet.add("B sources against Verilog-A", difference(same, found, subject.window))


def _fingerprints(subject: MemristorSubject, session: Session, found: Trajectory, findings: Findings) -> None:
    sheet, stimulus = findings.sheet, subject.published.stimulus
    element = place(subject.placed, subject.values)
    sheet.add("pinched loop", at_zero(found))
    loops, areas = [], []
    frequencies = []
    for decade in range(DECADES[1] + 1):
        drive = cycle(stimulus, 10.0**decade)
        loop = Bench(session, element, drive.duration, options=subject.options).run(
            drive, subject.steps * stimulus.cycles
        )
        loops.append(loop)
        areas.append(abs(lobe(loop, 1)) + abs(lobe(loop, -1)))
        frequencies.append(10.0**decade / stimulus.period)
        if decade >= DECADES[0] and areas[-1] <= SHRUNK * max(areas):
            break
    first = int(np.argmax(areas))
    sheet.add("loop at high frequency", areas[-1] / areas[first])
    falling = np.array(areas[first:])
    ratio = float((falling[1:] / falling[:-1]).max()) if len(falling) > 1 else None
    sheet.add("loop grows with frequency", ratio)
    sense = subject.polarity
    area = sense * (lobe(found, 1) - lobe(found, -1))
    sheet.add("sense of the loop", area / (np.abs(found.u).max() * found.peak))
    mixed = _two_tones(subject, session)
    sheet.add("two tones", at_zero(mixed))
    shown = [Line(p.u, p.i, f"{number(f, 3)} Hz") for p, f in list(zip(loops, frequencies, strict=True))[:4]]
    findings.add(
        "Fingerprints of a memristor",
        Text(
            "The loop is pinched at the origin, its lobes shrink as the frequency grows, and two tones at "
            "incommensurate frequencies give no current whenever their sum is zero (Adhikari et al., IEEE "
            "Trans. Circuits Syst. I 60, 3008 (2013)). The conductance "
            f"{'rises' if sense > 0 else 'falls'} at positive voltages."
        ),
        Drawing(
            figure(
                "fingerprints",
                "Loops at several frequencies, lobe area over frequency, response to two tones",
                [
                    Panel(shown, ("voltage", "V"), ("current", "A")),
                    Panel([Line(frequencies, areas, "", "o-")], ("frequency", "Hz"), ("lobe area", "W"),
                          log_x=True, log_y=True),
                    Panel([Line(mixed.u, mixed.i)], ("voltage of two tones", "V"), ("current", "A")),
                ],
            ),
            "Left: one cycle at growing frequency. Middle: area of both lobes. Right: response to two tones.",
        ),
        Grid(("frequency [Hz]", "lobe area [W]", "peak current [A]"),
             [(number(f, 3), number(a, 3), number(p.peak, 4))
              for f, a, p in zip(frequencies, areas, loops, strict=True)]),
    )  # fmt: skip


def _two_tones(subject: MemristorSubject, session: Session) -> Trajectory:
    stimulus = subject.published.stimulus
    duration = 2.0 * stimulus.period
    times = np.linspace(0.0, duration, 2 * SAMPLES + 1)
    angle = 2.0 * np.pi * times / stimulus.period
    unit = 0.6 * np.sin(angle) + 0.4 * np.sin(np.sqrt(2.0) * 2.0 * angle)
    volts = np.where(unit >= 0.0, stimulus.positive, stimulus.negative) * unit
    drive = Drive(times, volts)
    bench = Bench(session, place(subject.placed, subject.values), duration, options=subject.options)
    return bench.run(drive, 4 * subject.steps)
