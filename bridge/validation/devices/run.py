"""Validate one device, in the process that holds the simulator; the pool's workers run this."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bridge.errors import SimulationError, SpecError, TellegenError
from bridge.ngspice import openvaf
from bridge.ngspice.session import Session
from bridge.validation.devices import (
    fractional,
    memristor,
    neuron,
    opaque,
    transistor,
    two_ports,
    two_terminals,
)
from bridge.validation.devices.content import Findings, Grid, Outcome, Section, Text
from bridge.validation.devices.fit import Measured
from bridge.validation.devices.references.two_ports import EQUATIONS
from bridge.validation.devices.registry import subject as named
from bridge.validation.devices.specification import Limit, sheet_for
from bridge.validation.devices.subjects import (
    FractionalSubject,
    MemristorSubject,
    NeuronSubject,
    OpaqueSubject,
    Subject,
    TransistorSubject,
    TwoPortSubject,
    TwoTerminalSubject,
)

COMPILED = "B sources against Verilog-A"
SIMULATED = "simulations that gave a result"
_ALL = Limit(1.0, 1.0, None, "1", "1 where every measurement was possible")


def validate(subject: Subject, session: Session, measured: Measured | None = None) -> Outcome:
    """Measure everything that applies to a device.

    A simulation without a result ends the measurements and fails the device; what was measured until then
    is reported.

    Args:
        subject: the device.
        session: of this process.
        measured: the user's data, for memristors.
    """
    begun = time.perf_counter()
    findings = Findings(sheet_for(subject.family, subject.name, subject.limits))
    try:
        if isinstance(subject, MemristorSubject):
            memristor.validate(subject, session, findings, measured)
        elif isinstance(subject, TwoTerminalSubject):
            two_terminals.validate(subject, session, findings)
        elif isinstance(subject, TwoPortSubject):
            two_ports.validate(subject, session, findings)
        elif isinstance(subject, FractionalSubject):
            fractional.validate(subject, session, findings)
        elif isinstance(subject, OpaqueSubject):
            opaque.validate(subject, session, findings)
        elif isinstance(subject, NeuronSubject):
            neuron.validate(subject, session, findings)
        else:
            transistor.validate(subject, session, findings)
    except SimulationError as error:
        findings.sheet.add(SIMULATED, 0.0, _ALL)
        findings.add("No result", Text(str(error)))
        for name in findings.sheet.unmeasured():
            findings.sheet.skip(name, "the simulation before it gave no result")
    if not openvaf.available() and COMPILED in findings.sheet.limits:
        findings.sheet.skip(COMPILED, "there is no Verilog-A compiler on this machine")
    for name in findings.sheet.unmeasured():
        findings.sheet.add(name, None, findings.sheet.limits.get(name, Limit()))
    if findings.sheet.skipped:
        rows = list(findings.sheet.skipped.items())
        findings.add("Not applicable", Grid(("quantity of the class", "why it is not measured"), rows, False))
    seconds = time.perf_counter() - begun
    return Outcome(
        subject.name,
        title(subject),
        description(subject),
        tuple(findings.sheet.found),
        tuple(findings.sections),
        seconds,
    )


def title(subject: Subject) -> str:
    """Heading of the report."""
    if isinstance(subject, TransistorSubject):
        return subject.title
    words = subject.device.kind.replace("_", " ")
    return f"{words}, {subject.published.name}" if isinstance(subject, MemristorSubject) else words


def description(subject: Subject) -> str:
    """One sentence on what it is and where it comes from."""
    if isinstance(subject, TransistorSubject):
        return subject.source
    text = subject.device.description
    source = subject.device.source
    if isinstance(subject, MemristorSubject):
        source = subject.note or subject.published.source
    if isinstance(subject, TwoPortSubject):
        text, source = text or EQUATIONS[subject.name], source or subject.source
    return f"{text[:1].upper()}{text[1:]}. {source}."


@dataclass(frozen=True)
class ValidateTask:
    """One device, by name; plain data for a worker.

    Attributes:
        name: of the device.
        values: the user's parameters.
        limits: the user's specifications.
        measured: the user's data.
    """

    name: str
    values: Mapping[str, float]
    limits: Mapping[str, Any]
    measured: Measured | None = None


class Handler:
    """What a worker holds: its session."""

    def __init__(self) -> None:
        self.session = Session()

    def update(self, state: Any) -> None:
        """Nothing is shared."""

    def run(self, task: ValidateTask) -> Outcome:
        """Validate one device; one that cannot be measured fails without ending the others."""
        try:
            found = validate(named(task.name, task.values, task.limits), self.session, task.measured)
            return replace(found, asked=task.name)
        except SpecError:  # the user's file is wrong, for example for the compiler
            raise
        except TellegenError as error:
            return failed(task.name, str(error))

    def usage(self) -> dict[str, Any]:
        """Counts since the start."""
        return self.session.usage()


def failed(name: str, reason: str) -> Outcome:
    """A device that could not be measured."""
    sheet = sheet_for("memristor", name)
    sheet.add(SIMULATED, 0.0, _ALL)
    return Outcome(name, name, "", tuple(sheet.found), (Section("No result", (Text(reason),)),))
