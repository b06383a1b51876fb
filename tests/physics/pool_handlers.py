"""Handlers that the pool's tests run in workers: real circuits, and what goes wrong with them on purpose."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bridge.ngspice.drives import constant, sampled
from bridge.ngspice.later import Later
from bridge.ngspice.session import Session
from circuits.deck import Deck

RC = Deck(
    "rc",
    ("vin a 0 external", "r1 a b 1k", "c1 b 0 1n", "d1 b 0 dx", ".model dx D(is=1e-12)"),
    ("vin",),
    ("v(b)",),
)


@dataclass(frozen=True)
class Circuit:
    """Makes the handler: an RC circuit with a diode.

    Attributes:
        ballast: bytes that every task leaves behind in the worker's memory.
    """

    ballast: int = 0

    def __call__(self) -> Handler:
        """Load the circuit in this process."""
        return Handler(self.ballast)


class Handler:
    """Tasks are `(what, argument)`."""

    def __init__(self, ballast: int) -> None:
        self.session = Session()
        self.circuit = self.session.load(RC)
        self.ballast = ballast
        self.kept: list[np.ndarray] = []
        self.tasks = 0
        self.resistance = 1e3

    def update(self, state: Any) -> None:
        """The resistance [ohm]; negative ones are refused."""
        if state < 0:
            raise ValueError(f"resistance {state}")
        self.circuit.alter(["r1"], [state])
        self.resistance = float(state)

    def usage(self) -> dict[str, Any]:
        """Counts, one of them nested as the rungs are."""
        counts = self.session.counts
        nested = {"all": self.tasks}
        return {"operating_points": counts.operating_points, "transients": counts.transients, "tasks": nested}

    def begin(self, task: tuple[str, Any]) -> Any:
        """Do what the task says; of some tasks a part is left for later."""
        what, argument = task
        if what == "later":  # the resistance when it is finished, after a while, with the operating point
            found = float(self.circuit.operating_point([constant([argument])])[0])
            return Later(lambda: (time.sleep(0.05), found, self.resistance)[1:])
        if what == "fail later":
            return Later(lambda: 1 / 0)
        if what == "unsendable":
            return lambda: None
        return self.run(task)

    def run(self, task: tuple[str, Any]) -> Any:
        """Do what the task says."""
        what, argument = task
        self.tasks += 1
        if self.ballast:
            self.kept.append(np.ones(self.ballast // 8))
        if what == "op":
            return float(self.circuit.operating_point([constant([argument])])[0])
        if what == "tran":
            signal_ = sampled([0.0, 1e-6, 1e-5], [[0.0], [argument], [-argument]], order=1)
            return self.circuit.transient([signal_], 1e-5, 1e-8)
        if what == "echo":
            return argument
        if what == "pid":
            return os.getpid()
        if what == "raise":
            raise RuntimeError(argument)
        if what == "busy":  # for a second or so; the file tells that it has begun
            Path(argument).touch()
            return self.circuit.transient([constant([1.0])], 2e-4, 1e-9).final[0]
        if what == "hang" or (what == "hang once" and self._first(argument)):  # a billion points
            if what == "hang":
                Path(argument).touch()
            self.circuit.operating_point([constant([1.0])])  # what the sources go on playing
            return self.session.engine.command("tran 1n 1 0 1n uic")
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "die once" and self._first(argument):
            os.kill(os.getpid(), signal.SIGKILL)
        if what in ("die once", "hang once"):
            return float(self.circuit.operating_point([constant([2.0])])[0])
        raise ValueError(what)

    @staticmethod
    def _first(file: str) -> bool:
        try:
            Path(file).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


@dataclass(frozen=True)
class Transistor:
    """Makes a handler that finds operating points of a BSIM3 transistor, which leaves a log where it runs."""

    def __call__(self) -> TransistorHandler:
        """Load the circuit in this process."""
        return TransistorHandler()


class TransistorHandler:
    """Tasks are gate voltages [V]; the answer is the drain's current [A] and the process's folder."""

    def __init__(self) -> None:
        lines = (
            "vd d 0 dc 1", "vg g 0 external", "m1 d g 0 0 n1 w=1u l=1u",
            ".model n1 nmos(level=8 version=3.3.0)",
        )  # fmt: skip
        self.circuit = Session().load(Deck("bsim3", lines, ("vg",), ("i(vd)",)))

    def update(self, state: Any) -> None:
        """Nothing is shared."""

    def usage(self) -> dict[str, Any]:
        """Nothing is counted."""
        return {}

    def run(self, task: float) -> tuple[float, str]:
        """An operating point."""
        return -float(self.circuit.operating_point([constant([task])])[0]), str(Path.cwd())
