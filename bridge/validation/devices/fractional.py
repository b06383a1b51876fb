"""Fractional elements: ngspice against an integration of their ladders and against the ideal law."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bridge.dynamics import FIXED_GRID
from bridge.errors import SimulationError
from bridge.ngspice import openvaf
from bridge.ngspice.session import Session
from bridge.report.text import number, quantity
from bridge.validation.devices import gradient
from bridge.validation.devices.bench import Bench
from bridge.validation.devices.content import Drawing, Findings, Grid, Text
from bridge.validation.devices.integration import Drive, Trajectory
from bridge.validation.devices.memristor import CIRCUIT, describe
from bridge.validation.devices.plots import Line, Panel, figure
from bridge.validation.devices.references.fractional import current
from bridge.validation.devices.subjects import FractionalSubject

FloatArray = NDArray[np.float64]

PERIODS = 4
CELSIUS = (-40.0, 125.0)
"""Temperatures [degC] besides the simulator's own, 27."""
SHARE = 0.1
"""How far a parameter goes up and down."""
_STEPS = 2000
_COARSE = (500, 2000)
_FIXED = ("sections", "ladder_scale")


def reference(subject: FractionalSubject, drive: Drive, times: FloatArray) -> FloatArray:
    """The current [A] of the ladders, integrated."""
    return current(subject.element.parameters, drive, times)


def sine(subject: FractionalSubject) -> Drive:
    """Some periods of the sine that drives the element."""
    times = np.linspace(0.0, PERIODS / subject.frequency, 4000 * PERIODS + 1)
    return Drive(times, subject.amplitude * np.sin(2.0 * np.pi * subject.frequency * times))


def _apart(found: Trajectory, other: FloatArray) -> float:
    return float(np.abs(found.i - other).max() / np.abs(other).max())


def validate(subject: FractionalSubject, session: Session, findings: Findings) -> None:
    """Measure everything."""
    sheet, element = findings.sheet, subject.element
    drive = sine(subject)
    describe(subject.device, element, subject.device.source, drive.duration, findings)
    bench = Bench(session, subject.placed, drive.duration)
    found = bench.run(drive, _STEPS * PERIODS)
    expected = reference(subject, drive, found.time)
    error = sheet.add("current against integration", _apart(found, expected)).value
    if "coefficient" in element.parameters:
        sheet.skip("linear limit", "the element is linear")
        words = _admittance(subject, found, findings)
    else:
        for name in ("magnitude within the band", "phase within the band"):
            sheet.skip(name, "the law is not linear")
        words = _linear_limit(subject, session, drive, findings)
    order, errors = _order(subject, session, drive)
    sheet.add("order in the step", order)
    words += (
        " Over the last period, with tight Newton tolerances, the error is "
        + " and ".join(f"{number(e, 2)} with {n} steps" for n, e in zip(_COARSE, errors, strict=True))
        + f" in all: order {number(order, 3)} in the step."
    )
    _realisations(subject, session, drive, found, findings)
    power = found.u * found.i
    energy = np.concatenate([[0.0], np.cumsum(0.5 * (power[1:] + power[:-1]) * np.diff(found.time))])
    sheet.add("energy of a cycle", float(energy[-1]))
    findings.add(
        "Current",
        Text(
            f"{PERIODS} periods of {subject.amplitude:g} V at {quantity(subject.frequency, 'Hz', 3)}. "
            f"From rest, ngspice differs from the integrated ladders by {number(error, 2)} of the peak. "
            f"{words} The transient takes up {quantity(energy[-1], 'J', 4)}; the element "
            "stores some of it in between."
        ),
        Drawing(
            figure(
                "current", "Current over voltage and time, and energy",
                [
                    Panel([
                            Line(found.u, found.i, "ngspice"),
                            Line(found.u[::50], expected[::50], "LSODA", "."),
                        ],
                          ("voltage", "V"), ("current", "A")),
                    Panel([Line(found.time, np.abs(found.i - expected) / np.abs(expected).max() + 1e-16)],
                          ("time", "s"), ("difference / peak", "1"), log_y=True),
                    Panel([Line(found.time, energy)], ("time", "s"), ("energy taken up", "J")),
                ],
            ),
            "Left: the current in ngspice (line) and by integration (points). Middle: their difference. "
            "Right: the energy taken up.",
        ),
    )  # fmt: skip
    _temperatures(subject, session, drive, expected, found, findings)
    _corners(subject, session, drive, findings)
    unit = np.linspace(0.0, 1.0 / subject.frequency, 4001)
    conductance = float(np.abs(found.i).max() / np.abs(found.u).max())
    flat = gradient_names(subject)
    result = gradient.check(element, conductance, drive(unit), float(unit[-1]), names=flat)
    gradient.report(result, findings, CIRCUIT)


def _realisations(
    subject: FractionalSubject, session: Session, drive: Drive, found: Trajectory, findings: Findings
) -> None:
    """The law between the ladders as a `B` source against the same as a Verilog-A module."""
    name = "B sources against Verilog-A"
    if not any(e.device.compilable for e in subject.device.expand(subject.element)):
        findings.sheet.skip(name, "the ladders are native in SPICE")
    elif openvaf.available():
        try:
            other = Bench(session, subject.placed, drive.duration, realisation="veriloga")
            waves = other.run(drive, _STEPS * PERIODS)
        except SimulationError as error:
            findings.sheet.add(name, None)
            findings.add("Verilog-A", Text(str(error)))
            return
        same = np.interp(found.time, waves.time, waves.i)
        findings.sheet.add(name, float(np.abs(same - found.i).max() / found.peak))


def _order(subject: FractionalSubject, session: Session, drive: Drive) -> tuple[float, list[float]]:
    """Order of the error in the step, and the RMS errors over the last period as shares of the peak."""
    options = replace(FIXED_GRID, reltol=1e-9, vntol=1e-13, abstol=1e-16)
    bench = Bench(session, subject.placed, drive.duration, options=options)
    errors = []
    for steps in _COARSE:
        found = bench.run(drive, steps)
        apart = found.i - reference(subject, drive, found.time)
        late = found.time > (PERIODS - 1) / PERIODS * found.time[-1]
        errors.append(float(np.sqrt(np.mean(apart[late] ** 2)) / found.peak))
    return float(np.log(errors[0] / errors[1]) / np.log(_COARSE[1] / _COARSE[0])), errors


def _temperatures(
    subject: FractionalSubject,
    session: Session,
    drive: Drive,
    expected: FloatArray,
    nominal: Trajectory,
    findings: Findings,
) -> None:
    rows, worst = [], 0.0
    for celsius in CELSIUS:
        options = replace(FIXED_GRID, extra=(("temp", celsius),))
        found = Bench(session, subject.placed, drive.duration, options=options).run(drive, _STEPS * PERIODS)
        same = np.array_equal(found.time, nominal.time)
        error = _apart(found, expected if same else reference(subject, drive, found.time))
        worst = max(worst, error)
        rows.append((f"{celsius:g}".replace("-", "−"), number(found.peak, 5), number(error, 2)))
    findings.sheet.add("temperatures against integration", worst)
    findings.add(
        "Temperature",
        Text("The law has no temperature: the current is the same at all."),
        Grid(("temperature [°C]", "peak current [A]", "from integration"), rows),
    )


def _corners(subject: FractionalSubject, session: Session, drive: Drive, findings: Findings) -> None:
    """The current with one parameter a tenth smaller and larger, against the reference at that value."""
    rows, failed, worst = [], 0, 0.0
    for p in subject.device.parameters:
        value = subject.element.value(p.name)
        if p.name in _FIXED or value == 0.0:
            continue
        cells = [p.name]
        for sign in (-1.0, 1.0):
            moved = {p.name: float(np.clip(value * (1.0 + sign * SHARE), p.lower, p.upper))}
            try:
                bench = Bench(session, subject.placed.replace(**moved), drive.duration)
                found = bench.run(drive, _STEPS * PERIODS)
            except SimulationError:
                failed += 1
                cells += ["–", "–"]
                continue
            own = current({**subject.element.parameters, **moved}, drive, found.time)
            worst = max(worst, _apart(found, own))
            cells += [number(found.peak, 4), number(_apart(found, own), 2)]
        rows.append(tuple(cells))
    findings.sheet.add("corners without convergence", failed)
    findings.sheet.add("corners against integration", worst)
    findings.add(
        "Corners",
        Text("One parameter a tenth smaller and larger: peak current, and difference from the integration."),
        Grid(("parameter", "peak at −10 % [A]", "difference", "at +10 % [A]", "difference"), rows),
    )


def gradient_names(subject: FractionalSubject) -> list[str]:
    """Parameters of the element that can be trained."""
    return [p.name for p in subject.device.parameters if p.trainable]


def _admittance(subject: FractionalSubject, found: Trajectory, findings: Findings) -> str:
    """Magnitude and phase of the last period against `coefficient (j omega)^order`."""
    v = subject.element.parameters
    omega = 2.0 * np.pi * subject.frequency
    late = np.linspace((PERIODS - 1) / subject.frequency, PERIODS / subject.frequency, 2001)[:-1]
    turn = np.exp(-1j * omega * late)
    ratio = (np.interp(late, found.time, found.i) @ turn) / (np.interp(late, found.time, found.u) @ turn)
    ideal = v["coefficient"] * (1j * omega) ** v["order"]
    size, phase = abs(ratio / ideal) - 1.0, float(np.angle(ratio / ideal))
    findings.sheet.add("magnitude within the band", abs(size))
    findings.sheet.add("phase within the band", abs(phase))
    return (
        f"Its admittance is {number(100 * size, 2)} % larger than the ideal one, its phase "
        f"{number(phase, 2)} rad ahead."
    )


def _linear_limit(subject: FractionalSubject, session: Session, drive: Drive, findings: Findings) -> str:
    """With a linear law both ladders cancel: the element is a resistor, whatever the band."""
    element = subject.element
    linear = subject.placed.replace(
        **({"cubic": 0.0} if "cubic" in element.parameters else {"saturation": 1e6})
    )
    found = Bench(session, linear, drive.duration).run(drive, _STEPS * PERIODS)
    resistor = element.value("conductance") * found.u
    value = findings.sheet.add("linear limit", _apart(found, resistor)).value
    return f"With a linear law the two ladders cancel: {number(value, 2)} from a resistor."
