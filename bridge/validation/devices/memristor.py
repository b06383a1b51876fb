"""The whole validation of a memristive device."""

from __future__ import annotations

from bridge.errors import SimulationError
from bridge.ngspice.session import Session
from bridge.report.text import number
from bridge.validation.devices import corners, figures, fit, gradient, hysteresis, pulses, switching
from bridge.validation.devices.bench import place
from bridge.validation.devices.content import Code, Findings, Grid, Text
from bridge.validation.devices.equations import formula
from bridge.validation.devices.fit import Measured
from bridge.validation.devices.subjects import MemristorSubject
from circuits.devices.base import Device, Element, SpiceContext

CIRCUIT = "The device behind a resistor, its node the output."


def describe(device: Device, element: Element, source: str, duration: float, findings: Findings) -> None:
    """Equations, parameters, and what the simulator is given."""
    blocks = []
    if device.law is not None:
        blocks.append(formula("i", device.law))
    if device.charge is not None:
        blocks.append(formula("q", device.charge))
    blocks += [formula(f"d{s.name}/dt", s.rate) for s in device.states]
    if blocks:
        findings.add("Equations", *blocks)
    rows = [
        (p.name, number(element.value(p.name), 5), p.unit, p.description or "–", source)
        for p in device.parameters
    ]
    findings.add("Parameters", Grid(("parameter", "value", "unit", "meaning", "source"), rows, False))
    lines = []
    for e in device.expand(element):
        context = SpiceContext(time_scale=duration)
        lines += [f"{line.letter}{line.name} {' '.join(line.nodes)} {line.body}" for line in e.spice(context)]
        card = e.device.card(e, context)
        if card is not None and card.line() not in lines:
            lines.append(card.line())
    findings.add("Subcircuit", Text("As the simulator gets it."), Code("\n".join(lines), "spice"))
    if device.compilable:
        module = device.module(SpiceContext(time_scale=duration, compiled=True))
        if module is not None:
            findings.add(
                "Verilog-A",
                Text("Generated from the same declaration, compiled where the machine can."),
                Code(module.sources[0][1], "verilog"),
            )


def validate(
    subject: MemristorSubject, session: Session, findings: Findings, measured: Measured | None = None
) -> None:
    """Measure everything; a simulation that gives no result fails what depends on it."""
    stimulus = subject.published.stimulus
    element = place(subject.placed, subject.values)
    source = subject.note or subject.published.source
    describe(subject.device, element, source, stimulus.duration, findings)
    found = hysteresis.measure(subject, session, findings)
    figures.measure(subject, found, findings)
    if measured is not None:
        fit.measure(subject, session, measured, findings)
    switching.times(subject, session, findings)
    pulses.measure(subject, session, findings)
    corners.power(found, findings)
    corners.temperatures(subject, session, findings)
    corners.measure(subject, session, found, findings)
    try:
        gradient.report(gradient.memristor(subject), findings, CIRCUIT)
    except SimulationError as error:
        findings.sheet.add("gradient error", None)
        findings.add("Gradient", Text(str(error)))
