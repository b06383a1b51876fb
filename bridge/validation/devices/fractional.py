"""Fractional elements: ngspice against an integration of their ladders and against the ideal law.

The reference builds the ladder's sections from the band and the order with its own formula, as the partial
fractions of Oustaloup's rational function, and integrates the sections' voltages with scipy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.signal import residue

from bridge.errors import SimulationError
from bridge.ngspice.session import Session
from bridge.report.text import number, quantity
from bridge.validation.devices import gradient
from bridge.validation.devices.bench import Bench
from bridge.validation.devices.content import Drawing, Findings, Text
from bridge.validation.devices.integration import Drive, Trajectory
from bridge.validation.devices.memristor import CIRCUIT, describe
from bridge.validation.devices.plots import Line, Panel, figure
from bridge.validation.devices.subjects import FractionalSubject

FloatArray = NDArray[np.float64]

PERIODS = 4
_STEPS = 2000


def sections(low: float, high: float, count: int, order: float) -> tuple[FloatArray, FloatArray, float]:
    """Poles [rad/s], residues and the series resistance of a ladder close to `s^-order`."""
    k = np.arange(count)
    span = high / low
    zeros = low * span ** ((2 * k + 1 + order) / (2 * count))
    poles = low * span ** ((2 * k + 1 - order) / (2 * count))
    level = high**-order
    scale = np.sqrt(low * high)  # the polynomials' coefficients stay of one size
    top = level * np.poly(-zeros / scale)
    found, at, rest = residue(top, np.poly(-poles / scale))
    by = np.argsort(-at.real)
    return -at.real[by] * scale, found.real[by] * scale, float(rest[-1].real)


def reference(subject: FractionalSubject, drive: Drive, times: FloatArray) -> FloatArray:
    """The current [A] of the ladders, integrated."""
    v = subject.element.parameters
    order = v.get("order", 0.5)
    poles, residues, series = sections(v["low"], v["high"], round(v["sections"]), order)
    count = len(poles)
    # Sections of the ladder 1 / s^order: dy/dt = -pole y + residue * current.

    if "coefficient" in v:

        def slope(t: float, y: FloatArray) -> FloatArray:
            return np.asarray(-poles * y + residues * (float(drive(t)) - y.sum()) / series)

        y = _integrated(slope, count, drive, times)
        return np.asarray(v["coefficient"] * (drive(times) - y.sum(axis=0)) / series)
    law = _law(subject)

    def chain(t: float, y: FloatArray) -> FloatArray:
        u = float(drive(t))
        inner = y[:count].sum() + series * u
        current = (law(inner) - y[count:].sum()) / series
        return np.concatenate([-poles * y[:count] + residues * u, -poles * y[count:] + residues * current])

    y = _integrated(chain, 2 * count, drive, times)
    inner = y[:count].sum(axis=0) + series * drive(times)
    return np.asarray((law(inner) - y[count:].sum(axis=0)) / series)


def _law(subject: FractionalSubject) -> Callable[[FloatArray | float], FloatArray]:
    v = subject.element.parameters
    if "cubic" in v:
        return lambda u: np.asarray(v["conductance"] * (u + v["cubic"] * u**3))
    return lambda u: np.asarray(v["conductance"] * v["saturation"] * np.tanh(u / v["saturation"]))


def _integrated(
    slope: Callable[[float, FloatArray], FloatArray], count: int, drive: Drive, times: FloatArray
) -> FloatArray:
    end = max(drive.duration, float(times[-1]))
    done = solve_ivp(
        slope, (0.0, end), np.zeros(count), method="BDF" if count > 60 else "LSODA", t_eval=times, rtol=1e-8,
        atol=1e-14, max_step=end / 200,
    )  # fmt: skip
    if not done.success:
        raise SimulationError(f"the reference integration failed: {done.message}")
    return np.asarray(done.y)


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
    bench = Bench(session, element, drive.duration)
    found = bench.run(drive, _STEPS * PERIODS)
    expected = reference(subject, drive, found.time)
    error = sheet.add("current against integration", _apart(found, expected)).value
    if "coefficient" in element.parameters:
        words = _admittance(subject, found, findings)
    else:
        words = _linear_limit(subject, session, drive, findings)
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
    unit = np.linspace(0.0, 1.0 / subject.frequency, 4001)
    conductance = float(np.abs(found.i).max() / np.abs(found.u).max())
    flat = gradient_names(subject)
    result = gradient.check(element, conductance, drive(unit), float(unit[-1]), names=flat)
    gradient.report(result, findings, CIRCUIT)


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
    linear = element.replace(**({"cubic": 0.0} if "cubic" in element.parameters else {"saturation": 1e6}))
    found = Bench(session, linear, drive.duration).run(drive, _STEPS * PERIODS)
    resistor = element.value("conductance") * found.u
    value = findings.sheet.add("linear limit", _apart(found, resistor)).value
    return f"With a linear law the two ladders cancel: {number(value, 2)} from a resistor."
