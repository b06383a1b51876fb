"""A process that does the runs of a sweep, one after another; if it dies, only its run is lost.

Started as `python -m bridge.sweep.worker FD PID` with one end of a pipe and the parent's process number. It
ends when the pipe closes and, also from inside a simulation, when its parent is gone: the operating system
then frees the lock of the run folder, and the next sweep continues the run from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from bridge.errors import SpecError, TellegenError, WorkerError
from bridge.experiment.store import RunLockedError
from bridge.experiment.training import run_experiment
from bridge.ngspice import forking
from bridge.sweep.runner import ATTEMPTS, POLL, Job, Outcome, one_line, versions


def perform(job: Job) -> Outcome:
    """Do a run, or continue it, with one simulator process; wait while another process does the same run.

    A simulator that dies is replaced, and the run continued, once. Whatever goes wrong becomes the outcome.
    """
    lost = 0
    with _alone(job.lock):
        while True:
            try:
                _refuse_other(job)
                return Outcome(
                    run_experiment(job.experiment, out=job.folder, resume=True, workers=1, report=job.report)
                )
            except RunLockedError:  # somebody continues this run by hand
                time.sleep(POLL)
            except WorkerError as error:
                lost += 1
                if lost == ATTEMPTS:
                    return Outcome(None, one_line(f"{type(error).__name__}: {error}"))
            except TellegenError as error:
                return Outcome(None, one_line(f"{type(error).__name__}: {error}"))
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{Path(last.filename).name}:{last.lineno}"
                return Outcome(None, one_line(f"{type(error).__name__} ({where}): {error}"))


def _refuse_other(job: Job) -> None:
    """Refuse a run that would not be the one that was planned.

    Raises:
        SpecError: a file that the experiment reads has changed, or ngspice is another one here.
    """
    if job.experiment.hash[: len(job.id)] != job.id:
        raise SpecError("a file that the experiment reads has changed since the sweep was planned")
    here = versions()["ngspice"]
    if here != job.ngspice:
        raise SpecError(f"the sweep began with ngspice {job.ngspice}, this worker has {here}")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process holds a file; it ends holding it with its life, however that ends.

    A process whose sweep was killed lives on for a moment, in which the next sweep may reach the same run.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: the run folder's own warns of it
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def serve(connection: Connection, idle: float | None) -> None:
    """Do runs until the pipe closes, or nothing has come for `idle` seconds."""
    while connection.poll(idle):
        try:
            job = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        outcome = perform(job)
        try:
            connection.send_bytes(pickle.dumps(outcome, protocol=5))
        except OSError:
            return


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL)
    os._exit(1)


def main() -> None:
    """Entry point of the process."""
    threading.Thread(target=_end_with, args=(int(sys.argv[2]),), daemon=True).start()
    if sys.platform == "linux":  # elsewhere the system's own libraries may not be copied
        forking.use()
    serve(Connection(int(sys.argv[1])), float(sys.argv[3]) if len(sys.argv) > 3 else None)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
