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
from bridge.validation.devices.references.published import expected
from bridge.validation.devices.subjects import MemristorSubject
from circuits.devices.base import Device, Element, SpiceContext

CIRCUIT = "The device behind a resistor, its node the output."


def describe(
    device: Device, element: Element, source: str, duration: float, findings: Findings, quantity: str = "i"
) -> None:
    """Equations, parameters, and what the simulator is given; the law gives `quantity`."""
    blocks = []
    if device.law is not None:
        blocks.append(formula(quantity, device.law))
    if device.charge is not None:
        blocks.append(formula("q", device.charge))
    blocks += [formula(f"d{s.name}/dt", s.rate) for s in device.states]
    if blocks:
        findings.add("Equations", *blocks)
    rows = [
        (p.name, number(element.value(p.name), 5), p.unit, p.description or "–", source)
        for p in device.parameters
    ]
    if element.model is not None and not rows:
        rows = [(k, number(v, 5), "", "of the model card", source) for k, v in element.model.parameters]
    findings.add("Parameters", Grid(("parameter", "value", "unit", "meaning", "source"), rows, False))
    lines = []
    for e in device.expand(element):
        context = SpiceContext(time_scale=duration)
        lines += [f"{line.letter}{line.name} {' '.join(line.nodes)} {line.body}" for line in e.spice(context)]
        card = e.device.card(e, context)
        if card is not None and card.line() not in lines:
            lines.append(card.line())
    findings.add("Subcircuit", Text("As the simulator gets it."), Code("\n".join(lines), "spice"))
    for e in device.expand(element):
        module = None
        if e.device.compilable:
            module = e.device.module(SpiceContext(time_scale=duration, compiled=True))
        if module is not None:
            findings.add(
                "Verilog-A",
                Text("Generated from the same declaration, compiled where the machine can."),
                Code(module.sources[0][1], "verilog"),
            )


def published(subject: MemristorSubject, findings: Findings) -> None:
    """The parameters against a table that is written without the declaration."""
    table, own = expected(subject.name)
    if not table:
        findings.sheet.skip("parameters of the publication", "the set is not one that ships")
        return
    rows, wrong = [], 0
    for p in subject.device.parameters:
        value, wanted = subject.values[p.name], table.get(p.name)
        if p.name in subject.given:
            verdict = "given by the user"
        elif wanted is not None and abs(value - wanted) <= 1e-9 * abs(wanted):
            verdict = "of this implementation" if p.name in own else "as published"
        else:
            verdict, wrong = "DIFFERS", wrong + 1
        rows.append((p.name, "–" if wanted is None else number(wanted, 6), number(value, 6), verdict))
    findings.sheet.add("parameters of the publication", wrong)
    findings.add(
        "Parameters of the publication",
        Text("A table that was typed from the publication a second time, and what the device has."),
        Grid(("parameter", "table", "device", "verdict"), rows, False),
    )


def validate(
    subject: MemristorSubject, session: Session, findings: Findings, measured: Measured | None = None
) -> None:
    """Measure everything; a simulation that gives no result fails what depends on it."""
    stimulus = subject.published.stimulus
    element = place(subject.placed, subject.values)
    source = subject.note or subject.published.source
    describe(subject.device, element, source, stimulus.duration, findings)
    published(subject, findings)
    found = hysteresis.measure(subject, session, findings)
    figures.measure(subject, found, findings)
    figures.declared(found, findings, subject)
    if measured is None:
        findings.sheet.skip("measured current", "there is no measured data (--data)")
    else:
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
