"""A pool of worker processes, one ngspice each, that loses no job.

A worker that dies or passes its time limit is killed and replaced, and its job is repeated once; the jobs
that a worker had when it died run with none behind them from then on, so that none is blamed for another. A
worker whose memory has grown past the limit is replaced between two jobs. Results come back in the order of
the tasks, whatever the number of workers.
"""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe, wait
from typing import IO, Any, Protocol

from bridge.errors import Evidence, WorkerError
from bridge.ngspice.worker import Factory

_START_LIMIT = 180.0
_ATTEMPTS = 2
_AHEAD = 2  # tasks a worker has, so that the next one is there when it has finished one


class Process(Protocol):
    """What the pool needs of a process."""

    pid: int

    def kill(self) -> None:
        """End it at once."""

    def wait(self) -> int | None:
        """Wait for its end."""


ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""Environment of a worker: products of matrices have the same last digits on any number of cores."""

Launch = Callable[[Connection, str, IO[bytes]], Process]
"""Starts a worker: its end of the pipe, its folder, where its output goes."""


def spawn(child: Connection, folder: str, errors: IO[bytes]) -> Process:
    """Start a worker as a new program."""
    environment = dict(os.environ, **ONE_THREAD)
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "bridge.ngspice.worker"),
            *(str(child.fileno()), str(os.getpid()), folder),
        ],
        pass_fds=[child.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=errors,
        stderr=errors,
        env=environment,
    )


_launch: Launch = spawn


def launch_with(launch: Launch) -> None:
    """Start the workers of this process's pools in another way."""
    global _launch
    _launch = launch


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, factory: bytes) -> None:
        parent, child = Pipe(duplex=True)
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        self.scratch = tempfile.TemporaryDirectory(prefix="tellegen-", ignore_cleanup_errors=True)
        self.process = _launch(child, self.scratch.name, self.errors)
        child.close()
        self.connection: Connection = parent
        self.jobs: deque[int] = deque()  # the first one runs
        self.limit = 0.0
        self.deadline = 0.0
        self.version = -1
        self.baseline: int | None = None
        self.usage: dict[str, Any] = {}
        with contextlib.suppress(OSError):  # a worker that is dead already is found at its first answer
            self.send_raw(factory, _START_LIMIT)

    def send_raw(self, message: bytes, limit: float) -> None:
        self.limit = limit
        if len(self.jobs) < _AHEAD:  # otherwise the time of another job runs
            self.deadline = time.monotonic() + limit
        self.connection.send_bytes(message)

    def receive(self) -> tuple[str, Any, int]:
        status, result, self.usage, resident = pickle.loads(self.connection.recv_bytes())
        self.deadline = time.monotonic() + self.limit
        return status, result, resident

    def answer(self) -> Any:
        """Wait for the answer to a message that is no job; raise what went wrong."""
        remaining = max(0.0, self.deadline - time.monotonic())
        if not self.connection.poll(remaining):
            raise TimeoutError
        status, result, _ = self.receive()
        if status == "error":
            raise result

    def last_words(self) -> tuple[str, ...]:
        try:
            self.errors.seek(0)
            text = self.errors.read().decode("utf-8", "replace")
        except (OSError, ValueError):
            return ()
        return tuple(line for line in text.splitlines() if line.strip())[-5:]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.connection.close()
        self.errors.close()
        self.scratch.cleanup()


class Pool:
    """Workers that run tasks on a handler each.

    Attributes:
        replaced: workers replaced because they died or passed the time limit.
        recycled: workers replaced because their memory had grown past the limit.
    """

    def __init__(
        self,
        factory: Factory,
        workers: int = 1,
        *,
        time_limit: float = 120.0,
        memory_growth: int = 256 << 20,
    ) -> None:
        """Start the workers.

        Args:
            factory: picklable; makes the handler in the worker.
            workers: number of processes.
            time_limit: of one task [s].
            memory_growth: growth of a worker's resident memory after its first task [bytes] at which it
                is replaced.
        """
        self.replaced = 0
        self.recycled = 0
        self._factory = pickle.dumps(("start", factory), protocol=5)
        self._time_limit = time_limit
        self._memory_growth = memory_growth
        self._state: bytes | None = None
        self._version = 0
        self._past: dict[str, Any] = {}
        self._workers: list[_Worker] = []
        try:
            self._workers = [_Worker(self._factory) for _ in range(workers)]
            for worker in self._workers:
                self._started(worker)
        except BaseException:
            self.close()
            raise

    def update(self, state: Any) -> None:
        """Set the state that every worker takes over before its next task."""
        self._state = pickle.dumps(("update", state), protocol=5)
        self._version += 1

    def usage(self) -> dict[str, Any]:
        """Counts of all workers, also of those that were replaced."""
        total = copy.deepcopy(self._past)
        for worker in self._workers:
            _add(total, worker.usage)
        return total

    def map(self, tasks: Sequence[Any], finished: Callable[[int, Any], None] | None = None) -> list[Any]:
        """Run tasks.

        Args:
            tasks: picklable, see the handler.
            finished: called with the number and the result of each task that is done, in any order.

        Returns:
            One result a task, in their order.

        Raises:
            TellegenError: what a task raised; tasks already begun are finished first.
            WorkerError: a worker died or passed its time limit with the same task twice.
        """
        try:
            return self._map(tasks, finished)
        finally:  # an answer that is still on its way must never pass for one of a later call
            for worker in [w for w in self._workers if w.jobs]:
                self._replace(worker)

    def _map(self, tasks: Sequence[Any], finished: Callable[[int, Any], None] | None) -> list[Any]:
        results: list[Any] = [None] * len(tasks)
        waiting = deque(range(len(tasks)))
        attempts = [0] * len(tasks)
        alone: set[int] = set()  # what a worker had when it died
        failure: BaseException | None = None
        while True:
            for k in self._places(len(waiting) if failure is None else 0):
                if (before := self._workers[k].jobs) and not alone.isdisjoint((*before, waiting[0])):
                    continue
                first = waiting.popleft()
                self._begin(k, first, tasks[first])
            busy = [w for w in self._workers if w.jobs]
            if not busy:
                break
            timeout = max(0.0, min(w.deadline for w in busy) - time.monotonic())
            ready = set(wait([w.connection for w in busy], timeout))
            for worker in busy:
                if worker.connection not in ready and time.monotonic() < worker.deadline:
                    continue
                job, behind = worker.jobs[0], list(worker.jobs)[:0:-1]
                try:
                    if worker.connection not in ready:
                        raise TimeoutError
                    status, result, resident = worker.receive()
                except (EOFError, OSError, TimeoutError, pickle.UnpicklingError) as error:
                    attempts[job] += 1
                    alone.update(worker.jobs)
                    lost = self._lost(worker, error)
                    waiting.extendleft(behind)
                    if attempts[job] >= _ATTEMPTS:
                        failure = failure or lost
                    else:
                        waiting.appendleft(job)
                    continue
                worker.jobs.popleft()
                if status == "error":
                    failure = failure or result
                results[job] = result
                if finished is not None and status != "error":
                    finished(job, result)
                if self._recycle(worker, resident):
                    waiting.extendleft(behind)
        if failure is not None:
            raise failure
        return results

    def _places(self, waiting: int) -> list[int]:
        """Places of the workers that get the next tasks, one each.

        A worker gets a second one only while there are enough for everybody: none waits behind a long one
        when another worker has nothing to do.
        """
        found: list[int] = []
        for depth in range(_AHEAD):
            for k, worker in enumerate(self._workers):
                enough = len(found) < waiting if depth == 0 else waiting - len(found) >= len(self._workers)
                if len(worker.jobs) + found.count(k) == depth and enough:
                    found.append(k)
        return found

    def _begin(self, place: int, job: int, task: Any) -> None:
        """Send a task; a worker that is dead is found when its answer is waited for."""
        worker = self._workers[place]
        message = pickle.dumps(("run", task), protocol=5)
        worker.jobs.append(job)  # before anything is sent: an interruption must find it busy
        with contextlib.suppress(OSError):
            if worker.version != self._version and self._state is not None:
                worker.send_raw(self._state, self._time_limit)
            worker.version = self._version
            worker.send_raw(message, self._time_limit)

    def _started(self, worker: _Worker) -> None:
        try:
            worker.answer()
        except (EOFError, OSError, TimeoutError) as error:
            raise WorkerError(
                f"a worker could not be started ({type(error).__name__})", Evidence(worker.last_words())
            ) from None

    def _lost(self, worker: _Worker, error: BaseException) -> WorkerError:
        what = (
            f"passed its time limit of {self._time_limit:g} s"
            if isinstance(error, TimeoutError)
            else "died in the middle of a job"
        )
        evidence = Evidence(worker.last_words())
        self._replace(worker)
        self.replaced += 1
        return WorkerError(f"a worker {what}, also when the job was repeated", evidence)

    def _recycle(self, worker: _Worker, resident: int) -> bool:
        """Replace a worker whose memory has grown too much; whether it was."""
        if worker.baseline is None:
            worker.baseline = resident
        elif resident - worker.baseline > self._memory_growth:
            self._replace(worker)
            self.recycled += 1
            return True
        return False

    def _replace(self, worker: _Worker) -> None:
        _add(self._past, worker.usage)
        worker.kill()
        fresh = _Worker(self._factory)
        self._workers[self._workers.index(worker)] = fresh
        self._started(fresh)

    def pids(self) -> list[int]:
        """Process numbers of the workers."""
        return [w.process.pid for w in self._workers]

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.kill()
        self._workers = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _add(total: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict):
            _add(total.setdefault(key, {}), value)
        else:
            total[key] = total.get(key, 0) + value
