"""Two-terminals that are not memristive: ngspice against their formula, written here once more by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import constants

from bridge.dynamics import FIXED_GRID
from bridge.errors import SimulationError
from bridge.ngspice import openvaf
from bridge.ngspice.session import Session
from bridge.report.text import number, quantity
from bridge.validation.devices import figures, gradient
from bridge.validation.devices.bench import Bench
from bridge.validation.devices.content import Drawing, Findings, Grid, Text
from bridge.validation.devices.integration import Drive, Trajectory
from bridge.validation.devices.memristor import CIRCUIT, describe
from bridge.validation.devices.plots import Line, Panel, figure
from bridge.validation.devices.subjects import STEPS, Formula, TwoTerminalSubject
from circuits.netlist import Realisation

FloatArray = NDArray[np.float64]
Values = Mapping[str, float]

CELSIUS = (-40.0, 0.0, 85.0, 125.0)
"""Temperatures [degC] besides the simulator's own, 27."""
_KELVIN = 300.15
_THERMAL = constants.Boltzmann * _KELVIN / constants.elementary_charge
_COARSE = (400, 1600)


def _junction(v: Values, u: FloatArray, du: FloatArray, _: FloatArray) -> FloatArray:
    """Depletion capacitance below half the built-in voltage, its tangent above."""
    m, vj, c0 = v["grading"], v["vj"], v["c0"]
    below = c0 * (1.0 - np.minimum(u, vj / 2) / vj) ** -m
    above = c0 * 0.5**-m * (1.0 + 2.0 * m * (u - vj / 2) / vj)
    return np.asarray(np.where(u < vj / 2, below, above) * du)


def _varactor(v: Values, u: FloatArray, du: FloatArray, _: FloatArray) -> FloatArray:
    rise = 0.5 * (1.0 + np.tanh((u - v["threshold"]) / v["width"]))
    return np.asarray((v["cmin"] + (v["cmax"] - v["cmin"]) * rise) * du)


FORMULAS: Mapping[str, Formula] = {
    "resistor": lambda v, u, du, flux: v["conductance"] * u,
    "capacitor": lambda v, u, du, flux: v["capacitance"] * du,
    "inductor": lambda v, u, du, flux: v["initial_current"] + flux / v["inductance"],
    "diode": lambda v, u, du, flux: (
        v["area"] * v["saturation_current"] * np.expm1(u / (v["emission"] * _THERMAL))
    ),
    "polynomial_capacitor": lambda v, u, du, flux: (v["c0"] + 3.0 * v["c3"] * u**2) * du,
    "junction_capacitor": _junction,
    "mos_capacitor": _varactor,
    "polynomial_inductor": lambda v, u, du, flux: flux / v["l0"] + v["a3"] * flux**3,
    "tanh_inductor": lambda v, u, du, flux: v["saturation"] * np.tanh(flux / (v["l0"] * v["saturation"])),
    "tanh_resistor": lambda v, u, du, flux: v["conductance"] * v["scale"] * np.tanh(u / v["scale"]),
    "selector": lambda v, u, du, flux: (
        0.5 * v["current"] * (np.exp(u / v["slope"]) - np.exp(-u / v["slope"]))
    ),
    "exponential_diode": lambda v, u, du, flux: (
        v["saturation_current"] * np.expm1(u / (v["emission"] * _THERMAL))
    ),
}
"""Currents as functions of the parameters, `u`, `du/dt` and the integral of `u`."""


def drive_of(subject: TwoTerminalSubject) -> tuple[Drive, Callable[[FloatArray], tuple[FloatArray, ...]]]:
    """One period of an offset cosine that starts at zero, and its exact `u`, `du/dt` and integral."""
    omega = 2.0 * np.pi * subject.frequency
    a, b = subject.amplitude, subject.offset

    def exact(t: FloatArray) -> tuple[FloatArray, ...]:
        u = b * (1.0 - np.cos(omega * t)) + a * np.sin(omega * t)
        du = omega * (b * np.sin(omega * t) + a * np.cos(omega * t))
        flux = b * (t - np.sin(omega * t) / omega) + a * (1.0 - np.cos(omega * t)) / omega
        return u, du, flux

    times = np.linspace(0.0, 1.0 / subject.frequency, 8001)
    return Drive(times, exact(times)[0]), exact


def validate(subject: TwoTerminalSubject, session: Session, findings: Findings) -> None:
    """Measure everything."""
    drive, exact = drive_of(subject)
    element, device, sheet = subject.element, subject.device, findings.sheet
    describe(device, element, device.source, drive.duration, findings)
    bench = Bench(session, subject.placed, drive.duration)
    found = bench.run(drive, STEPS, order=3)

    def expected(t: FloatArray) -> FloatArray:
        return np.asarray(subject.formula(element.parameters, *exact(t)), dtype=float)

    error = sheet.add("current against formula", _apart(found, expected)).value
    words = f"A sine of {subject.amplitude:g} V at {quantity(subject.frequency, 'Hz', 3)} in {STEPS} steps. "
    if subject.offset:
        words = words.replace("A sine", f"An offset of up to {2 * subject.offset:g} V and a sine")
    mixed = device.law is not None and device.charge is not None
    moving = device.law is None or mixed or bool(device.states)  # has a charge, a flux or an initial value
    if moving:
        errors = [_refined(subject, session, drive, expected, n) for n in _COARSE]
        order = float(np.log(errors[0] / errors[1]) / np.log(_COARSE[1] / _COARSE[0]))
        sheet.add("order in the step", order)
        words += f"Order of the error in the step: {number(order, 3)}. "
    else:
        sheet.skip("order in the step", "the law has neither a charge nor a state")
    _realisations(subject, session, drive, found, findings)
    power = found.u * found.i
    energy = np.concatenate([[0.0], np.cumsum(0.5 * (power[1:] + power[:-1]) * np.diff(found.time))])
    if subject.lossless:
        for name in ("least power", "energy of a cycle"):
            sheet.skip(name, "the element stores energy and gives it back")
        sheet.add("energy not returned", float(abs(energy[-1]) / np.abs(energy).max()))
    else:
        why = "the element also dissipates energy" if mixed else "the element stores no energy"
        sheet.skip("energy not returned", why)
        if mixed:
            sheet.skip("least power", "the element also stores energy and gives it back")
        else:
            sheet.add("least power", float(power.min() / np.abs(power).max()))
        sheet.add("energy of a cycle", float(energy[-1]))
    figures.declared(found, findings)
    reference = expected(found.time)
    findings.add(
        "Current",
        Text(
            f"{words}ngspice against a formula that is written without the declaration, with the exact "
            f"derivative and integral of the sine: {number(error, 2)} of the peak."
        ),
        Drawing(
            figure(
                "current", "Current in ngspice and by formula, and energy",
                [
                    Panel(
                        [
                            Line(found.u, found.i, "ngspice"),
                            Line(found.u[::40], reference[::40], "formula", "o"),
                        ],
                        ("voltage", "V"), ("current", "A"),
                    ),
                    Panel(
                        [Line(found.time, np.abs(found.i - reference) / np.abs(reference).max() + 1e-16)],
                        ("time", "s"), ("difference / peak", "1"), log_y=True,
                    ),
                    Panel([Line(found.time, energy)], ("time", "s"), ("energy taken up", "J")),
                ],
            ),
            "Left: the current in ngspice (line) and by formula (points). Middle: their difference. Right: "
            "the energy that the device has taken up.",
        ),
    )  # fmt: skip
    _corners(subject, session, drive, exact, findings)
    _temperatures(subject, session, drive, exact, findings)
    unit = np.linspace(0.0, drive.duration, 4001)
    conductance = float(np.abs(found.i).max() / np.abs(found.u).max()) or 1e-3
    try:
        gradient.report(
            gradient.check(element, conductance, 1.5 * drive(unit), drive.duration), findings, CIRCUIT
        )
    except SimulationError as failure:
        sheet.add("gradient error", None)
        findings.add("Gradient", Text(str(failure)))


def _apart(found: Trajectory, expected: Callable[[FloatArray], FloatArray]) -> float:
    """Largest difference of the currents, as a share of the peak; the first steps settle the start."""
    reference = expected(found.time)
    settled = found.time > 2e-3 * found.time[-1]
    return float(np.abs(found.i - reference)[settled].max() / np.abs(reference).max())


def _refined(
    subject: TwoTerminalSubject,
    session: Session,
    drive: Drive,
    expected: Callable[[FloatArray], FloatArray],
    steps: int,
) -> float:
    options = replace(FIXED_GRID, reltol=1e-9, vntol=1e-13, abstol=1e-16)
    found = Bench(session, subject.placed, drive.duration, options=options).run(drive, steps, order=3)
    late = found.time > 0.1 * found.time[-1]
    return float(np.sqrt(np.mean((found.i - expected(found.time))[late] ** 2)))


def _realisations(
    subject: TwoTerminalSubject, session: Session, drive: Drive, found: Trajectory, findings: Findings
) -> None:
    name = "B sources against Verilog-A"
    if not subject.device.compilable:
        findings.sheet.skip(name, "the element is native in SPICE")
    if not subject.device.compilable or not openvaf.available():
        return
    # What `found` was not simulated with.
    realisation: Realisation = "behavioural" if subject.device.compiled_by_default else "veriloga"
    try:
        other = Bench(session, subject.placed, drive.duration, realisation=realisation)
    except SimulationError as error:
        findings.sheet.add(name, None)
        findings.add("Verilog-A", Text(str(error)))
        return
    waves = other.run(drive, STEPS, order=3)
    same = np.interp(found.time, waves.time, waves.i)
    settled = found.time > 2e-3 * found.time[-1]
    worst = float(np.abs(same - found.i)[settled].max() / found.peak)
    findings.sheet.add(name, worst)


def saturation(values: Values, kelvin: float) -> float:
    """What a junction's saturation current grows by from 27 degC: `T^3 exp(-gap / k T)`, for silicon.

    The gap is 1.11 eV and the exponent 3, SPICE's values where a card gives none; both are divided by the
    emission coefficient, as in Vladimirescu, "The SPICE Book" (1994).
    """
    ratio, thermal = kelvin / _KELVIN, constants.Boltzmann * kelvin / constants.elementary_charge
    return float(np.exp(((ratio - 1.0) * 1.11 / thermal + 3.0 * np.log(ratio)) / values["emission"]))


def _temperatures(
    subject: TwoTerminalSubject,
    session: Session,
    drive: Drive,
    exact: Callable[[FloatArray], tuple[FloatArray, ...]],
    findings: Findings,
) -> None:
    """The current at several temperatures: that of a junction by its law, all others' the same."""
    rows, worst, values = [], 0.0, subject.element.parameters
    for celsius in CELSIUS:
        kelvin = celsius + 273.15

        def expected(t: FloatArray, kelvin: float = kelvin) -> FloatArray:
            u, du, flux = exact(t)
            if subject.name != "diode":
                return np.asarray(subject.formula(values, u, du, flux), dtype=float)
            warm = subject.formula(values, u * _KELVIN / kelvin, du, flux)  # over its own thermal voltage
            return np.asarray(saturation(values, kelvin) * warm, dtype=float)

        options = replace(FIXED_GRID, extra=(("temp", celsius),))
        found = Bench(session, subject.placed, drive.duration, options=options).run(drive, STEPS, order=3)
        error = _apart(found, expected)
        worst = max(worst, error)
        rows.append((f"{celsius:g}".replace("-", "−"), number(found.peak, 4), number(error, 2)))
    findings.sheet.add("temperatures against formula", worst)
    junction = (
        "The saturation current grows as T³ exp(−1.11 eV / k T), the emission coefficient dividing both."
    )
    findings.add(
        "Temperature",
        Text(junction if subject.name == "diode" else "The law has no temperature: the current stays."),
        Grid(("temperature [°C]", "peak current [A]", "from the formula"), rows),
    )


def _corners(
    subject: TwoTerminalSubject,
    session: Session,
    drive: Drive,
    exact: Callable[[FloatArray], tuple[FloatArray, ...]],
    findings: Findings,
) -> None:
    rows, failed, worst = [], 0, 0.0
    element = subject.element
    for p in element.device.parameters:
        value = element.value(p.name)
        if value == 0.0 or (element.model is not None and not p.trainable):
            continue
        cells = [p.name]
        for sign in (-1.0, 1.0):
            moved = {p.name: float(np.clip(value * (1 + 0.1 * sign), p.lower, p.upper))}
            changed, placed = element.replace(**moved), subject.placed.replace(**moved)
            try:
                found = Bench(session, placed, drive.duration).run(drive, STEPS, order=3)
            except SimulationError:
                failed += 1
                cells += ["–", "–"]
                continue
            error = _apart(found, lambda t, e=changed: subject.formula(e.parameters, *exact(t)))  # type: ignore[misc]
            worst = max(worst, error)
            cells += [number(found.peak, 4), number(error, 2)]
        rows.append(tuple(cells))
    findings.sheet.add("corners without convergence", failed)
    findings.sheet.add("corners against formula", worst)
    findings.add(
        "Corners",
        Text("One parameter a tenth smaller and larger: peak current, and difference from the formula."),
        Grid(("parameter", "peak at −10 % [A]", "difference", "at +10 % [A]", "difference"), rows),
    )
