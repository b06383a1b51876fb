"""What is computed while the simulator works: what a task leaves, and what its next phases need."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

Found = TypeVar("Found")


@dataclass(frozen=True)
class Later:
    """What is left of a task when the simulator is free again.

    Attributes:
        finish: computes the result; it must not use the simulator.
    """

    finish: Callable[[], Any]


class Beside:
    """One thread for what does not need the simulator, which leaves the interpreter free while it works."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: list[Future[Any]] = []

    def start(self, compute: Callable[[], Found]) -> Callable[[], Found]:
        """Compute something in its turn; what is returned waits for the result, or raises what went wrong."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "tellegen-beside")
        future = self._thread.submit(compute)
        self._waiting.append(future)
        return future.result

    def join(self) -> None:
        """Wait until nothing is computed any more."""
        wait(self._waiting)
        self._waiting.clear()


def at_once(compute: Callable[[], Found]) -> Callable[[], Found]:
    """The same for what needs the simulator: computed here and now."""
    found = compute()
    return lambda: found
