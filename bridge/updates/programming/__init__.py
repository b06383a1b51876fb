"""Programming of memristive devices by pulses."""

from bridge.updates.programming.array import Array
from bridge.updates.programming.base import Programmed, Programmer, ProgrammingError, Settings
from bridge.updates.programming.kinds import (
    PROGRAMMERS,
    Ideal,
    OpenLoop,
    WriteVerify,
    make_programmer,
)

__all__ = [
    "PROGRAMMERS",
    "Array",
    "Ideal",
    "OpenLoop",
    "Programmed",
    "Programmer",
    "ProgrammingError",
    "Settings",
    "WriteVerify",
    "make_programmer",
]
