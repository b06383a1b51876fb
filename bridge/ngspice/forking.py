"""Simulator processes that begin as copies of a prepared one, for programs that need many in turn.

A worker that is started anew imports for seconds what a short run uses for a fraction of one. Here a process
that has imported everything, and has never loaded ngspice, is copied instead: every worker still has a
simulator of its own that nothing was simulated in before. The prepared process has one thread and does
nothing but copy itself (`multiprocessing`'s fork server); it ends with the process that asked for it.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.connection import Connection
from typing import IO

from bridge.ngspice import pool, worker

_PREPARED = (
    "bridge.ngspice.worker", "bridge.ngspice.session", "bridge.phases", "bridge.dynamics", "bridge.simulator",
    "bridge.losses", "bridge.estimators", "bridge.updates.programming.array", "scipy.interpolate",
)  # fmt: skip


class Forked:
    """A process that began as a copy: what the pool needs of it."""

    def __init__(self, child: Connection, folder: str, errors: IO[bytes]) -> None:
        output = Connection(os.dup(errors.fileno()))  # which carries the descriptor over
        self._process = multiprocessing.get_context("forkserver").Process(
            target=_work, args=(child, folder, output)
        )
        self._process.start()
        output.close()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def kill(self) -> None:
        """End the process."""
        self._process.kill()

    def wait(self) -> int | None:
        """Wait for its end."""
        self._process.join()
        return self._process.exitcode


def _work(connection: Connection, folder: str, output: Connection) -> None:
    for target in (1, 2):
        os.dup2(output.fileno(), target)
    output.close()
    worker.work(connection, os.getppid(), folder)


def use() -> None:
    """Let the pools of this process have such workers from now on."""
    main = sys.modules["__main__"]  # which the copies would run again
    main.__spec__ = None
    if hasattr(main, "__file__"):
        del main.__file__
    os.environ.update(pool.ONE_THREAD)  # for the prepared process, which is not there yet
    multiprocessing.set_forkserver_preload(list(_PREPARED))
    pool.launch_with(Forked)
