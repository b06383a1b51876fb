"""A programmer in a worker process: with a time limit, replaced and asked again when it dies."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from bridge.ngspice.pool import Pool
from bridge.updates.programming.base import Programmed, Programmer


@dataclass(frozen=True)
class _Task:
    targets: ArrayLike
    states: ArrayLike
    rng: np.random.Generator


@dataclass(frozen=True)
class _Factory:
    """Makes the handler in the worker; the programmer has loaded nothing yet."""

    programmer: Programmer

    def __call__(self) -> _Handler:
        return _Handler(self.programmer)


class _Handler:
    def __init__(self, programmer: Programmer) -> None:
        self.programmer = programmer

    def update(self, state: Any) -> None:
        raise NotImplementedError("a programmer has no shared state")

    def run(self, task: _Task) -> tuple[Programmed, Any, int]:
        found = self.programmer.program(task.targets, task.states, task.rng)
        return found, task.rng.bit_generator.state, peak_memory()

    def usage(self) -> dict[str, Any]:
        return self.programmer.usage()


def peak_memory() -> int:
    """Greatest resident memory of this process so far [bytes]."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


class Programming:
    """A programmer in a process of its own.

    Attributes:
        memory: greatest resident memory of the worker at the end of the last call [bytes].
    """

    def __init__(self, programmer: Programmer, *, time_limit: float = 600.0) -> None:
        """Start the worker.

        Args:
            programmer: picklable, with everything that it calls; it must not have been used here.
            time_limit: of one call [s].
        """
        self.programmer = programmer
        self.memory = 0
        self._pool = Pool(_Factory(programmer), time_limit=time_limit)

    def program(
        self, targets: ArrayLike, states: ArrayLike, rng: np.random.Generator | int | None = None
    ) -> Programmed:
        """See `Programmer.program`; a generator is advanced as if it had been used here.

        Raises:
            WorkerError: the worker died or passed its time limit twice.
        """
        generator = np.random.default_rng(rng)
        found, state, self.memory = self._pool.map([_Task(targets, states, generator)])[0]
        generator.bit_generator.state = state
        assert isinstance(found, Programmed)
        return found

    def usage(self) -> dict[str, Any]:
        """Counts since the start and the time spent inside the simulator [s]."""
        return self._pool.usage()

    def close(self) -> None:
        """End the worker."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
