"""A worker process: one engine, one handler, jobs one after another.

Started as `python -m bridge.ngspice.worker FD PID FOLDER` with one end of a pipe, the parent's process number
and the folder for what ngspice writes by itself.
Messages are tuples; the first word says what they are. Everything the worker runs is code of this project or
of the experiment's own loss.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import Queue, SimpleQueue
from typing import Any, NoReturn, Protocol

import psutil

from bridge.errors import SimulationError, TellegenError
from bridge.ngspice import scratch
from bridge.ngspice.later import Later


class Handler(Protocol):
    """What a worker holds between jobs."""

    def update(self, state: Any) -> None:
        """Take over a new shared state, for example the trainable parameters."""

    def run(self, task: Any) -> Any:
        """Do one job and return a picklable result.

        A handler may have a method `begin` with the same argument, which is called instead and may return
        what is left to do as `Later`.
        """

    def usage(self) -> dict[str, Any]:
        """Counts since the start: simulations, retries, seconds inside the simulator."""


_SWITCH = (
    2e-4  # [s]; a thread that comes back from the simulator waits that long for the interpreter, at most
)

Factory = Callable[[], Handler]


@dataclass(frozen=True)
class _Answer:
    status: str
    result: Any
    usage: dict[str, Any]


def serve(connection: Connection) -> None:
    """Answer messages until the pipe closes.

    Messages: `("start", factory)`, `("update", state)`, `("run", task)`. The first and the last are answered
    in their order by `("ok", result, usage, resident_bytes)` or `("error", exception, usage,
    resident_bytes)`; what goes wrong in an update is the answer to the next task.
    """
    handler: Handler | None = None
    refused: Exception | None = None
    messages: SimpleQueue[bytes | None] = SimpleQueue()
    answers: Queue[_Answer] = Queue()
    threading.Thread(target=_read, args=(connection, messages), daemon=True).start()
    threading.Thread(target=_send, args=(connection, answers), daemon=True).start()
    while (message := messages.get()) is not None:
        kind, payload = pickle.loads(message)
        result: Any = None
        status = "ok"
        if kind == "update":
            answers.join()  # what is left of earlier tasks still needs the old state
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
                result = getattr(handler, "begin", handler.run)(payload)
        except Exception as error:
            if kind == "update":
                refused = error
            status = "error"
            result = _portable(error)
        if kind == "update":
            continue
        answers.put(_Answer(status, result, handler.usage() if handler is not None else {}))
        if not isinstance(result, Later):
            answers.join()  # the next task may kill this process, which must not take the answer with it


def _send(connection: Connection, answers: Queue[_Answer]) -> None:
    """Finish what is left of the tasks and send their results, in order."""
    process = psutil.Process()
    while True:
        answer = answers.get()
        status, result = answer.status, answer.result
        more = answer.usage, process.memory_info().rss
        try:
            if isinstance(result, Later):
                result = result.finish()
            packed = pickle.dumps((status, result, *more), protocol=5)
        except Exception as error:
            packed = pickle.dumps(("error", _portable(error), *more), protocol=5)
        with contextlib.suppress(OSError):  # the parent is gone, and this process with it
            connection.send_bytes(packed)
        answers.task_done()


def _read(connection: Connection, messages: SimpleQueue[bytes | None]) -> None:
    """Take messages off the pipe as they come, so that whoever sends one never waits for a simulation."""
    try:
        while True:
            messages.put(connection.recv_bytes())
    except (EOFError, OSError):
        messages.put(None)


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


def work(connection: Connection, parent: int, folder: str) -> NoReturn:
    """Be a worker until the pipe closes or the parent is gone.

    Args:
        connection: the worker's end of the pipe.
        parent: process number of the parent.
        folder: for what ngspice writes by itself.
    """
    threading.Thread(target=_end_with, args=(parent, folder), daemon=True).start()
    scratch.use(folder)
    sys.setswitchinterval(_SWITCH)
    serve(connection)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # some versions of ngspice crash in their exit handlers; every result is already sent


def main() -> None:
    """Entry point of the process."""
    work(Connection(int(sys.argv[1])), int(sys.argv[2]), sys.argv[3])


if __name__ == "__main__":
    main()
