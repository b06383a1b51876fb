"""What ngspice prints, classified."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ERROR = re.compile(
    r"^(error\b|fatal\b|.*\berror on line\b|.*\berror in netlist\b|.*is not a valid .* line, ignored"
    r"|.*can'?t find model|.*could not find a valid modelname|.*unknown (subckt|parameter|model)"
    r"|.*unrecognized parameter|.*undefined parameter|.*no such (device|function|vector|parameter)"
    r"|.*parameter \S+ is out of bounds|.*circuit not parsed"
    r"|.*cannot recover|.*simulation\(s\) aborted|.*run simulation.* aborted)",
    re.IGNORECASE,
)
_SUSPICIOUS = re.compile(
    "error|fatal|not a valid|find model|find a valid|unknown|unrecognized|undefined|no such|out of bounds"
    "|not parsed|cannot recover|aborted|transient op",
    re.IGNORECASE,
)
_TIMESTEP = re.compile(r"timestep too small", re.IGNORECASE)
_CONVERGENCE = re.compile(
    r"(no convergence|failed to converge|iteration limit|dc solution failed|singular matrix"
    r"|operating point could not be simulated|transient op)",
    re.IGNORECASE,
)
_PSEUDO = re.compile(r"transient op finished", re.IGNORECASE)
_SINGULAR = re.compile(r"singular matrix:\s+check nodes? (.+)", re.IGNORECASE)
_STEPPING = (
    (re.compile(r"(dynamic|true) gmin stepping completed", re.IGNORECASE), "gmin stepping"),
    (re.compile(r"source stepping completed", re.IGNORECASE), "source stepping"),
)


def strip(message: str) -> str:
    """A message without the stream's name that ngspice puts in front."""
    for prefix in ("stdout ", "stderr "):
        if message.startswith(prefix):
            return message[len(prefix) :]
    return message


def suspicious(messages: Iterable[str]) -> bool:
    """Whether any message could be one of `errors` or of `pseudo_transient`: a quick look at all of them."""
    return _SUSPICIOUS.search("\n".join(messages)) is not None


def errors(messages: Iterable[str]) -> list[str]:
    """The messages that report an error, also those that ngspice calls warnings but that lose an element."""
    return [m for m in messages if _ERROR.search(m)]


def timestep_too_small(messages: Iterable[str]) -> bool:
    """Whether the simulator gave up because its time step became too small."""
    return any(_TIMESTEP.search(m) for m in messages)


def no_convergence(messages: Iterable[str]) -> bool:
    """Whether the messages speak of Newton iterations that did not converge."""
    return any(_CONVERGENCE.search(m) for m in messages)


def pseudo_transient(messages: Iterable[str]) -> bool:
    """Whether an operating point is only the end of a pseudo-transient, settled or not."""
    return any(_PSEUDO.search(m) for m in messages)


def singular(messages: Iterable[str]) -> str:
    """Where the circuit's matrix is singular, as far as the simulator told; empty where it is not."""
    for message in messages:
        if found := _SINGULAR.search(message):
            return found[1].strip()
    return ""


def stepping(messages: Iterable[str]) -> str:
    """How ngspice itself found the operating point: `direct`, `gmin stepping` or `source stepping`."""
    found = "direct"
    for message in messages:
        for pattern, name in _STEPPING:
            if pattern.search(message):
                found = name
    return found


def offending_line(messages: Iterable[str], lines: Iterable[str]) -> str | None:
    """The netlist line that the messages quote, if one is quoted."""
    text = "\n".join(messages).lower()
    best: str | None = None
    for line in lines:
        if len(line) > 3 and line.lower() in text and (best is None or len(line) > len(best)):
            best = line
    return best
