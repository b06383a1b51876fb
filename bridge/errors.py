"""The errors that the bridge raises on purpose: each says what is wrong, where, and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


class TellegenError(Exception):
    """Base class: anything that Tellegen reports in one clear line."""


class SpecError(TellegenError):
    """A user's file is wrong; the message is one line `file:line: key: what is wrong; what to do`."""


class NetworkError(TellegenError):
    """A network description contradicts itself (unknown node, name used twice, value out of range)."""


class UnsupportedElementError(TellegenError):
    """An estimator does not cover an element of the network.

    Attributes:
        element: name of the element.
        reason: why the estimator does not cover it.
        advice: what to do instead, may be empty.
    """

    def __init__(self, element: str, reason: str, advice: str = "") -> None:
        self.element = element
        self.reason = reason
        self.advice = advice
        super().__init__(f"{element}: {reason}" + (f"; {advice}" if advice else ""))

    def __reduce__(self) -> tuple[type[UnsupportedElementError], tuple[str, str, str]]:
        return type(self), (self.element, self.reason, self.advice)


class LibraryError(TellegenError):
    """No usable ngspice shared library was found; the message says how to get one."""


@dataclass(frozen=True)
class Evidence:
    """What is known about a simulation that failed.

    Attributes:
        messages: the last lines that ngspice printed.
        line: the netlist line that ngspice complained about, if it named one.
        netlist: path of the dumped netlist, if it was written.
    """

    messages: tuple[str, ...] = ()
    line: str | None = None
    netlist: Path | None = None


@dataclass
class SimulationError(TellegenError):
    """A simulation did not produce a result; base of the typed failures below.

    Attributes:
        summary: what happened, in one line.
        evidence: ngspice's last messages, the netlist line and the dumped netlist.
    """

    summary: str
    evidence: Evidence = field(default_factory=Evidence)

    def __str__(self) -> str:
        text = self.summary
        if self.evidence.line:
            text += f" (line: {self.evidence.line.strip()})"
        if self.evidence.messages:
            text += " | ngspice: " + " / ".join(m.strip() for m in self.evidence.messages[-3:])
        if self.evidence.netlist:
            text += f" | netlist: {self.evidence.netlist}"
        return text

    def __reduce__(self) -> tuple[type[SimulationError], tuple[str, Evidence]]:
        return type(self), (self.summary, self.evidence)


class LoadError(SimulationError):
    """ngspice refused the netlist."""


class ConvergenceError(SimulationError):
    """No operating point, or Newton iterations that did not converge, on every rung of the ladder."""


class TimestepError(ConvergenceError):
    """The transient's time step became too small."""


class BoundsError(ConvergenceError):
    """A state of a device left its bounds: the steps or the integration rule do not fit its equations."""


class TerminalStateError(SimulationError):
    """A state came so near to a bound that holds it that rounding decides whether it ever leaves again."""


class IncompleteError(SimulationError):
    """The run ended early or its vectors are not those of this circuit; nothing of it is returned."""


class NotFiniteError(SimulationError):
    """A result holds a value that is not a finite number."""


class WorkerError(SimulationError):
    """A worker process died or passed its time limit, again after the job was repeated."""
