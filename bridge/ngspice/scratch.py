"""Where the simulator runs in a worker: what ngspice writes by itself must not land in the user's folder.

BSIM3 leaves its check log in the current folder at every run. Everything else in a worker, a user's own loss
among it, keeps the folder in which the command was started, so that relative paths mean what they say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_folder: str | None = None


def use(folder: str) -> None:
    """Let ngspice run in a folder from now on; for worker processes."""
    global _folder
    _folder = folder


@contextmanager
def scratch() -> Iterator[None]:
    """The current folder while ngspice runs: that of `use`, or the process's own."""
    if _folder is None:
        yield
        return
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(_folder)
        yield
    finally:
        os.fchdir(here)
        os.close(here)
