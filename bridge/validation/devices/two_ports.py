"""Two-ports: controlled sources, transfers, amplifiers, gyrators and switches against closed forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bridge.dynamics import FIXED_GRID, DynamicPlan
from bridge.errors import SimulationError
from bridge.estimators.base import DynamicBatch
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice import openvaf
from bridge.ngspice.drives import Signals
from bridge.ngspice.session import Session
from bridge.report.text import number, quantity
from bridge.validation.devices import gradient
from bridge.validation.devices.content import Drawing, Findings, Grid, Text
from bridge.validation.devices.memristor import describe
from bridge.validation.devices.plots import Line, Panel, figure
from bridge.validation.devices.references.two_ports import EQUATIONS, TWO_PORTS, Setting, closed
from bridge.validation.devices.subjects import TwoPortSubject
from circuits.deck import SolverOptions
from circuits.devices.base import Element
from circuits.devices.passive import resistor
from circuits.devices.sources import voltage_source
from circuits.netlist import Realisation, build_deck
from circuits.network import Drive, Network, Output

FloatArray = NDArray[np.float64]

STEPS = 2000
CELSIUS = (-40.0, 125.0)
"""Temperatures [degC] besides the simulator's own, 27."""
_NEAR = 2.0  # steps around the instants at which a switch switches
_CIRCUIT = "The device between two resistors with sources, the second port the output."


def values_of(element: Element) -> dict[str, float]:
    """Parameters of an element and the numbers of its model card."""
    card = {} if element.model is None else dict(element.model.parameters)
    return {**card, **element.parameters}


def moved(element: Element, name: str, value: float) -> Element:
    """The element with another value of a parameter or of a number of its card."""
    if name in element.parameters:
        return element.replace(**{name: value})
    assert element.model is not None
    card = tuple((k, value if k == name else v) for k, v in element.model.parameters)
    return replace(element, model=replace(element.model, parameters=card))


@dataclass(frozen=True)
class Seen:
    """What a transient has found.

    Attributes:
        time: `(n_points,)` [s].
        ports: `v1, i1, v2, i2`, currents into the device, `(4, n_points)`.
    """

    time: FloatArray
    ports: FloatArray

    @property
    def power(self) -> FloatArray:
        """Taken up at both ports, `(n_points,)` [W]."""
        v1, i1, v2, i2 = self.ports
        return np.asarray(v1 * i1 + v2 * i2)


def sources(subject: TwoPortSubject, time: FloatArray) -> FloatArray:
    """Voltages of the two sources, `(n, 2)` [V]: a sine, and one of twice its frequency and another phase."""
    phase = 2.0 * np.pi * subject.frequency * time
    return np.stack(
        [subject.amplitudes[0] * np.sin(phase), subject.amplitudes[1] * np.sin(2.0 * phase + 0.5)], axis=1
    )


def setting(subject: TwoPortSubject, time: FloatArray) -> Setting:
    """What the ports are connected to at times."""
    e = sources(subject, time)
    return Setting(e[:, 0], e[:, 1], *subject.resistances)


def simulate(
    subject: TwoPortSubject,
    session: Session,
    element: Element,
    options: SolverOptions = FIXED_GRID,
    realisation: Realisation = "behavioural",
) -> Seen:
    """One period in ngspice.

    Raises:
        SimulationError: no result that can be trusted.
    """
    network = Network("bench", (*_front(subject), element), (Drive("e1", 0), Drive("e2", 1)))
    saves = ("v(i)", "i(ve1)", "v(o)", "i(ve2)")
    deck = build_deck(network, options, nudges=False, saves=saves, realisation=realisation)
    duration = 1.0 / subject.frequency
    times = np.linspace(0.0, duration, 8001)
    signals = Signals((0, 1), sources(subject, times), times, 3)
    waves = session.load(deck).transient([signals], duration, duration / STEPS)
    return Seen(waves.time, waves.values.T * np.array([1.0, -1.0, 1.0, -1.0])[:, None])


def _front(subject: TwoPortSubject) -> tuple[Element, ...]:
    r1, r2 = subject.resistances
    return (
        voltage_source("e1", "s1", driven=True), resistor("r1", "s1", "i", conductance=1.0 / r1),
        voltage_source("e2", "s2", driven=True), resistor("r2", "s2", "o", conductance=1.0 / r2),
    )  # fmt: skip


def apart(subject: TwoPortSubject, found: Seen, element: Element | None = None) -> tuple[float, float]:
    """Largest difference of the voltages and of the currents from the closed form.

    Args:
        subject: the device.
        found: in ngspice.
        element: whose values the closed form takes; the subject's by default.

    Returns:
        Shares of each port's peak, or of what its source could give where the port has none.
    """
    values, at = values_of(element or subject.element), setting(subject, found.time)
    expected = TWO_PORTS[subject.name](values, at)
    alone = np.array([(a, a / r) for a, r in zip(subject.amplitudes, subject.resistances, strict=True)])
    peaks = np.abs(expected).max(axis=1)
    scale = np.where(peaks > 1e-9 * alone.ravel(), peaks, alone.ravel())
    errors = np.abs(found.ports - expected)[:, _settled(values, at, found.time)].max(axis=1) / scale
    return float(errors[[0, 2]].max()), float(errors[[1, 3]].max())


def _settled(values: Mapping[str, float], at: Setting, time: FloatArray) -> NDArray[np.bool_]:
    """Time points away from those at which a switch changes."""
    if "vt" not in values:
        return np.ones(len(time), dtype=bool)
    changes = time[1:][np.diff(closed(at.e1, values))]
    reach = _NEAR * time[-1] / STEPS
    return np.asarray((np.abs(time[:, None] - changes[None, :]) > reach).all(axis=1))


def validate(subject: TwoPortSubject, session: Session, findings: Findings) -> None:
    """Measure everything."""
    element, device, sheet = subject.element, subject.device, findings.sheet
    describe(device, element, device.source or subject.source, 1.0 / subject.frequency, findings, "v")
    found = simulate(subject, session, subject.placed)
    volts, amperes = apart(subject, found)
    sheet.add("voltages against formula", volts)
    sheet.add("currents against formula", amperes)
    _realisations(subject, session, found, findings)
    _power(subject, found, findings)
    _show(subject, found, volts, amperes, findings)
    _temperatures(subject, session, findings)
    _corners(subject, session, findings)
    _gradient(subject, findings)


def _realisations(subject: TwoPortSubject, session: Session, found: Seen, findings: Findings) -> None:
    name = "B sources against Verilog-A"
    if not subject.device.compilable:
        findings.sheet.skip(name, "the device is native in SPICE")
    elif openvaf.available():
        try:
            other = simulate(subject, session, subject.placed, realisation="veriloga")
        except SimulationError as error:
            findings.sheet.add(name, None)
            findings.add("Verilog-A", Text(str(error)))
            return
        peaks = np.abs(found.ports).max(axis=1)
        differences = np.abs(other.ports - found.ports).max(axis=1)
        findings.sheet.add(name, float((differences / np.where(peaks > 0.0, peaks, 1.0)).max()))


def _power(subject: TwoPortSubject, found: Seen, findings: Findings) -> None:
    sheet, power = findings.sheet, found.power
    v1, i1, v2, i2 = found.ports
    exchanged = float(max(np.abs(v1 * i1).max(), np.abs(v2 * i2).max()))
    if subject.energy == "active":
        for name in ("least power", "power of a lossless two-port"):
            sheet.skip(name, "an active element: it can deliver power")
        return
    sheet.add("least power", float(power.min() / exchanged))
    if subject.energy == "lossless":
        sheet.add("power of a lossless two-port", float(np.abs(power).max() / exchanged))
    else:
        sheet.skip("power of a lossless two-port", "it dissipates")


def _show(subject: TwoPortSubject, found: Seen, volts: float, amperes: float, findings: Findings) -> None:
    expected = TWO_PORTS[subject.name](values_of(subject.element), setting(subject, found.time))
    a, r = subject.amplitudes, subject.resistances

    def panel(rows: tuple[int, int], unit: str) -> Panel:
        lines = []
        for k in rows:
            name = f"{'vi'[k % 2]}{k // 2 + 1}"
            lines.append(Line(found.time, found.ports[k], name))
            lines.append(Line(found.time[::50], expected[k][::50], "", "."))
        return Panel(lines, ("time", "s"), ("voltage" if unit == "V" else "current", unit))

    findings.add(
        "Ports",
        Text(
            f"{EQUATIONS[subject.name]}. Port 1 is on a sine of {a[0]:g} V at "
            f"{quantity(subject.frequency, 'Hz', 3)} behind {quantity(r[0], 'Ohm', 3)}, port 2 on one of "
            f"{a[1]:g} V and twice the frequency behind {quantity(r[1], 'Ohm', 3)}. ngspice against the "
            f"closed form that is written without the declaration: voltages {number(volts, 2)}, currents "
            f"{number(amperes, 2)} of the peak."
        ),
        Drawing(
            figure("ports", "Voltages and currents of the ports", [panel((0, 2), "V"), panel((1, 3), "A")]),
            "Left: voltages of the ports in ngspice (lines) and by formula (points). Right: the currents "
            "into them.",
        ),
    )


def _temperatures(subject: TwoPortSubject, session: Session, findings: Findings) -> None:
    """The laws have no temperature: everything stays."""
    rows, worst = [], 0.0
    for celsius in CELSIUS:
        options = replace(FIXED_GRID, extra=(("temp", celsius),))
        errors = apart(subject, simulate(subject, session, subject.placed, options))
        worst = max(worst, *errors)
        rows.append((f"{celsius:g}".replace("-", "−"), *(number(e, 2) for e in errors)))
    findings.sheet.add("temperatures against formula", worst)
    findings.add(
        "Temperature",
        Text("The law has no temperature: voltages and currents stay."),
        Grid(("temperature [°C]", "voltages from the formula", "currents from the formula"), rows),
    )


def _corners(subject: TwoPortSubject, session: Session, findings: Findings) -> None:
    rows, failed, worst = [], 0, 0.0
    for name, value in values_of(subject.element).items():
        if value == 0.0:
            continue
        cells = [name]
        for factor in (0.9, 1.1):
            changed, placed = (moved(e, name, factor * value) for e in (subject.element, subject.placed))
            try:
                error = max(apart(subject, simulate(subject, session, placed), changed))
            except SimulationError:
                failed += 1
                cells.append("–")
                continue
            worst = max(worst, error)
            cells.append(number(error, 2))
        rows.append(tuple(cells))
    findings.sheet.add("corners without convergence", failed)
    findings.sheet.add("corners against formula", worst)
    findings.add(
        "Corners",
        Text("One parameter a tenth smaller and larger: difference from the formula."),
        Grid(("parameter", "difference at −10 %", "difference at +10 %"), rows),
    )


def _gradient(subject: TwoPortSubject, findings: Findings) -> None:
    element = subject.element
    if subject.name == "switch":
        findings.sheet.skip("gradient error", "a switch has no derivative; the adjoint network refuses it")
        return
    front = _front(subject)
    own = gradient.trainable(element, [p.name for p in element.device.parameters if p.trainable])
    around = tuple(t for e in front if e.device.kind == "resistor"
                   for t in gradient.trainable(e, ["conductance"]))  # fmt: skip
    duration = 1.0 / subject.frequency
    network = Network(
        "gradient", (*front, element), (Drive("e1", 0), Drive("e2", 1)), (Output("o"),), (*own, *around)
    )
    times = np.linspace(0.0, duration, 4001)
    peak = np.abs(TWO_PORTS[subject.name](values_of(element), setting(subject, times))[2]).max()
    target = 0.3 * peak * np.sin(3.0 * np.pi * times / duration)
    plan = DynamicPlan(network, duration, duration / STEPS, options=gradient.OPTIONS)
    batch = DynamicBatch(times, sources(subject, times)[None], [target[:, None]])
    try:
        gradient.report(gradient.run(plan, batch, WaveformMSE(times)), findings, _CIRCUIT)
    except SimulationError as failure:
        findings.sheet.add("gradient error", None)
        findings.add("Gradient", Text(str(failure)))
