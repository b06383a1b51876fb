"""Runs of a sweep in processes of their own, seen from the process that gives them out."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import IO, Any

from bridge.experiment.build import Experiment

ATTEMPTS = 2
"""How often a run is begun whose process or simulator dies, before it counts as failed."""

POLL = 0.2
"""Seconds between two looks for a parent, or for a folder that another process has."""


@dataclass(frozen=True)
class Job:
    """A run to do.

    Attributes:
        experiment: what is run.
        folder: the run folder, absolute.
        lock: a file that only one process at a time holds, absolute.
        id: the start of the experiment's hash when the sweep was planned.
        ngspice: version that the sweep began with.
        sweep: names the command that does the sweep; no process serves two.
        report: whether the run gets a report of its own.
    """

    experiment: Experiment
    folder: Path
    lock: Path
    id: str
    ngspice: str
    sweep: str
    report: bool = True


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        results: the run's summary; `None` if it failed.
        error: why it failed, in one line.
    """

    results: dict[str, Any] | None
    error: str = ""


def versions() -> dict[str, str]:
    """Versions here of what decides results.

    Raises:
        LibraryError: there is no ngspice.
    """
    from importlib.metadata import version

    from bridge.ngspice.library import find_library

    return {"tellegen": version("tellegen"), "ngspice": find_library().version}


def one_line(text: str, most: int = 500) -> str:
    """Text on one line, not too long."""
    line = " / ".join(part.strip() for part in text.splitlines() if part.strip())
    return line if len(line) <= most else line[: most - 3] + "..."


class Runner:
    """The parent's end of a process that does runs.

    Attributes:
        connection: readable when there is an outcome, or the process died.
        done: runs finished by this process.
    """

    def __init__(self, idle: float | None = None) -> None:
        """Start the process.

        Args:
            idle: seconds without a run after which it ends by itself; never when left out.
        """
        parent, child = Pipe(duplex=True)
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the runner)
        environment = dict(os.environ, OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive")
        environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        line = [sys.executable, "-m", "bridge.sweep.worker", str(child.fileno()), str(os.getpid())]
        self.process = subprocess.Popen(
            [*line, *([] if idle is None else [str(idle)])],
            pass_fds=[child.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self.errors,
            stderr=self.errors,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the parent, which ends this one
        )
        child.close()
        self.connection: Connection = parent
        self.done = 0

    def begin(self, job: Job) -> None:
        """Hand over a run; a process that is dead already is found by `outcome`."""
        with contextlib.suppress(OSError):
            self.connection.send_bytes(pickle.dumps(job, protocol=5))

    def outcome(self) -> Outcome | None:
        """Wait for the outcome; `None` if the process died."""
        try:
            outcome = pickle.loads(self.connection.recv_bytes())
        except (EOFError, OSError, pickle.UnpicklingError):
            return None
        self.done += 1
        assert isinstance(outcome, Outcome)
        return outcome

    def close(self) -> str:
        """End the process; how it had died if it had, in words."""
        self.connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(POLL)
        self.process.kill()
        code = self.process.wait()
        self.errors.seek(0)
        words = self.errors.read().decode("utf-8", "replace").strip().splitlines()[-3:]
        self.errors.close()
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        return one_line(f"the process of this run died ({how})" + "".join(f"\n{w}" for w in words))


def do(runner: Callable[[], Runner], drop: Callable[[], str], job: Job) -> Outcome:
    """Do one run in a process of its own, again if that dies.

    Args:
        runner: the process, a new one after `drop`.
        drop: ends the process and says how it died.
        job: the run.
    """
    words = ""
    for _ in range(ATTEMPTS):
        runner().begin(job)
        outcome = runner().outcome()
        if outcome is not None:
            return outcome
        words = drop()
    return Outcome(None, f"{words}, also when it was repeated")
