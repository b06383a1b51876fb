"""Who does the runs of a sweep: processes on this machine, or the workers of a Dask scheduler."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Protocol, Self

from bridge.errors import SpecError, TellegenError
from bridge.sweep.runner import ATTEMPTS, Job, Outcome, Runner, do, one_line, versions

Lazy = Callable[[], Job]
"""Makes a job when it is its turn: a sweep of many runs does not hold all its experiments."""

_RECYCLE = 50  # runs a process does before a new one takes its place
_AHEAD, _LEAST = 2, 8  # jobs that Dask has for each thread of its workers, and at least
_IDLE = 60.0  # seconds after which a Dask worker's process without work ends


class SchedulerError(TellegenError):
    """The Dask scheduler cannot be reached, has no workers, or was lost."""


class Executor(Protocol):
    """Does runs; a context manager."""

    def versions(self) -> dict[str, str]:
        """Versions of what decides results, where the runs are done."""

    def map(self, jobs: Sequence[Lazy]) -> Iterator[tuple[int, Outcome]]:
        """Do jobs; yields the number and the outcome of each, in the order in which they end."""

    def __enter__(self) -> Self:
        """Start."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End whatever still runs here."""


class LocalExecutor:
    """Processes on this machine, started anew when they die.

    Args:
        workers: how many runs are done at a time.
    """

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        self._runners: list[Runner] = []

    def versions(self) -> dict[str, str]:
        """Versions on this machine."""
        return versions()

    def map(self, jobs: Sequence[Lazy]) -> Iterator[tuple[int, Outcome]]:
        """Do jobs; one whose process dies is begun once more."""
        waiting = deque(range(len(jobs)))
        attempts = [0] * len(jobs)
        busy: dict[int, tuple[Runner, int]] = {}
        free = list(self._runners)
        while waiting or busy:
            while waiting and len(busy) < self._workers:
                number = waiting.popleft()
                runner = free.pop() if free else self._new()
                runner.begin(jobs[number]())
                busy[id(runner)] = runner, number
            ready = set(wait([runner.connection for runner, _ in busy.values()]))
            for runner, number in list(busy.values()):
                if runner.connection not in ready:
                    continue
                del busy[id(runner)]
                outcome = runner.outcome()
                if outcome is not None and runner.done < _RECYCLE:
                    free.append(runner)
                else:
                    self._runners.remove(runner)
                    words = runner.close()
                    attempts[number] += outcome is None
                    if outcome is None and attempts[number] < ATTEMPTS:
                        waiting.appendleft(number)
                        continue
                    outcome = outcome or Outcome(None, f"{words}, also when it was repeated")
                yield number, outcome

    def _new(self) -> Runner:
        runner = Runner()
        self._runners.append(runner)
        return runner

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for runner in self._runners:
            runner.process.kill()
        for runner in self._runners:
            runner.close()
        self._runners = []


class DaskExecutor:
    """The workers of a running Dask scheduler; they share the sweep's folder and its path.

    Args:
        address: of the scheduler, `tcp://host:port`.

    Raises:
        SpecError: the package distributed is not installed.
        SchedulerError: no scheduler there, or no workers that can run this version.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise SpecError("--dask needs the package distributed: pip install 'tellegen[sweep]'") from error
        self._address = address
        try:
            self._client: Any = Client(address, timeout="5s", set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise SchedulerError(
                f"--dask {address}: no scheduler answers ({one_line(str(error), 150)})"
            ) from error
        self._versions: dict[str, str] = {}
        try:
            self._versions = self._same_everywhere()
        except BaseException:
            self._client.close()
            raise

    def _same_everywhere(self) -> dict[str, str]:
        try:
            found: dict[str, dict[str, str]] = self._client.run(versions)
        except Exception as error:  # whatever a worker without this package, or without ngspice, raises
            reason = one_line(str(error), 300)
            raise SchedulerError(
                f"--dask {self._address}: a worker cannot run tellegen ({reason})"
            ) from error
        if not found:
            advice = f"start `dask worker {self._address}` beside it"
            raise SchedulerError(f"--dask {self._address}: the scheduler has no workers; {advice}")
        first = next(iter(found.values()))
        wrong = {w: v for w, v in found.items() if v != first or v["tellegen"] != version()}
        if wrong:
            worker, other = next(iter(wrong.items()))
            shown = " and ".join(f"{name} {number}" for name, number in other.items())
            raise SchedulerError(
                f"--dask {self._address}: other versions: the worker {worker} has {shown}, others or this "
                f"command have ngspice {first['ngspice']} and tellegen {version()}; all need the same"
            )
        return first

    def versions(self) -> dict[str, str]:
        """Versions of the workers."""
        return self._versions

    def map(self, jobs: Sequence[Lazy]) -> Iterator[tuple[int, Outcome]]:
        """Do jobs; those of a worker that is lost are given to another one by the scheduler."""
        from distributed import as_completed

        waiting = deque(range(len(jobs)))
        numbers: dict[Any, int] = {}
        results = as_completed(loop=self._client.loop)
        try:
            while waiting or numbers:
                self._hand_out(jobs, waiting, numbers, results)
                future = next(results)
                number = numbers.pop(future)
                if future.status == "finished":
                    yield number, future.result()
                elif future.status == "error":
                    yield number, Outcome(None, one_line(f"Dask: {future.exception()}"))
                else:
                    raise self._lost()
        finally:
            with contextlib.suppress(Exception):  # there may be no scheduler any more to tell
                self._client.cancel(list(numbers))

    def _hand_out(
        self, jobs: Sequence[Lazy], waiting: deque[int], numbers: dict[Any, int], results: Any
    ) -> None:
        """Give the scheduler as many jobs as its workers can use soon."""
        if len(numbers) >= _LEAST and len(numbers) > self._wanted():
            return
        try:
            while waiting and len(numbers) < max(_LEAST, _AHEAD * self._wanted()):
                job = jobs[waiting[0]]()
                future = self._client.submit(perform_here, job, pure=False)
                numbers[future] = waiting.popleft()
                results.add(future)
        except (OSError, RuntimeError, TimeoutError) as error:
            raise self._lost() from error

    def _wanted(self) -> int:
        """Runs that the workers do at a time."""
        try:
            return sum(self._client.nthreads().values())
        except (OSError, RuntimeError, TimeoutError) as error:
            raise self._lost() from error

    def _lost(self) -> SchedulerError:
        return SchedulerError(f"--dask {self._address}: the scheduler was lost; --resume continues")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            self._client.close()


_LOCAL = threading.local()  # a Dask worker's thread keeps its process for the next run


def perform_here(job: Job) -> Outcome:
    """Do a run in a process beside this one: what a Dask worker executes."""

    def runner() -> Runner:
        if getattr(_LOCAL, "runner", None) is None:
            _LOCAL.runner = Runner(idle=_IDLE)
        found = _LOCAL.runner
        assert isinstance(found, Runner)
        return found

    def drop() -> str:
        words: str = _LOCAL.runner.close()
        _LOCAL.runner = None
        return words

    known: Runner | None = getattr(_LOCAL, "runner", None)
    if known is not None and (known.process.poll() is not None or _LOCAL.sweep != job.sweep):
        drop()  # it was idle and ended, or has a user's code as it was in another sweep
    _LOCAL.sweep = job.sweep
    return do(runner, drop, job)


def version() -> str:
    """The version of tellegen that is installed here."""
    from importlib.metadata import version as installed

    return installed("tellegen")
