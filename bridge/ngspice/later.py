"""What a task leaves to be done while the simulator works on the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Later:
    """What is left of a task when the simulator is free again.

    Attributes:
        finish: computes the result; it must not use the simulator.
    """

    finish: Callable[[], Any]
