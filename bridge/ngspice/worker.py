"""A worker process: one engine, one handler, jobs one after another.

Started as `python -m bridge.ngspice.worker FD PID FOLDER` with one end of a pipe, the parent's process number
and the folder for what ngspice writes by itself.
Messages are tuples; the first word says what they are. Everything the worker runs is code of this project or
of the experiment's own loss.
"""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Protocol

import psutil

from bridge.errors import SimulationError, TellegenError
from bridge.ngspice import scratch


class Handler(Protocol):
    """What a worker holds between jobs."""

    def update(self, state: Any) -> None:
        """Take over a new shared state, for example the trainable parameters."""

    def run(self, task: Any) -> Any:
        """Do one job and return a picklable result."""

    def usage(self) -> dict[str, Any]:
        """Counts since the start: simulations, retries, seconds inside the simulator."""


Factory = Callable[[], Handler]


def serve(connection: Connection) -> None:
    """Answer messages until the pipe closes.

    Messages: `("start", factory)`, `("update", state)`, `("run", task)`. The first and the last are answered
    by `("ok", result, usage, resident_bytes)` or `("error", exception, usage, resident_bytes)`; what goes
    wrong in an update is the answer to the next task.
    """
    process = psutil.Process()
    handler: Handler | None = None
    refused: Exception | None = None
    while True:
        try:
            kind, payload = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        result: Any = None
        status = "ok"
        try:
            if kind == "start":
                handler = payload()
            elif handler is None:
                raise SimulationError("the worker was not started")
            elif kind == "update":
                refused = None
                handler.update(payload)
            elif refused is not None:
                raise refused
            else:
                result = handler.run(payload)
        except Exception as error:
            if kind == "update":
                refused = error
            status = "error"
            result = _portable(error)
        if kind == "update":
            continue
        usage = handler.usage() if handler is not None else {}
        answer = pickle.dumps((status, result, usage, process.memory_info().rss), protocol=5)
        try:
            connection.send_bytes(answer)
        except OSError:
            return


def _portable(error: Exception) -> Exception:
    """The error as it can be sent: itself when it is one of ours and pickles, otherwise its text."""
    if isinstance(error, TellegenError):
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return SimulationError(f"{type(error).__name__}: {error}")
        return error
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{last.filename.rsplit('/', 1)[-1]}:{last.lineno}"
    return SimulationError(f"{type(error).__name__} in a worker ({where}): {error}")


def _end_with(parent: int, folder: str) -> None:
    """End this process when its parent is gone, also from inside a simulation that takes hours."""
    while os.getppid() == parent:
        time.sleep(1.0)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def main() -> None:
    """Entry point of the process."""
    parent, folder = int(sys.argv[2]), sys.argv[3]
    threading.Thread(target=_end_with, args=(parent, folder), daemon=True).start()
    scratch.use(folder)
    connection = Connection(int(sys.argv[1]))
    serve(connection)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # some versions of ngspice crash in their exit handlers; every result is already sent


if __name__ == "__main__":
    main()
