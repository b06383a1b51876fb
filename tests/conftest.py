"""What several test files share: sessions in this process's engine, scripts in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.ngspice.session import Session

Script = Callable[[str], list[str]]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A new session in this process's engine; failed netlists go to the test's folder."""
    return Session(dump_folder=tmp_path / "failed")


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Run Python code in a new process, for tests that spoil the engine; the lines that it prints."""

    def run(code: str) -> list[str]:
        file = tmp_path / "script.py"
        file.write_text(code, encoding="utf-8")
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
        done = subprocess.run(
            [sys.executable, str(file)], env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


@pytest.fixture(autouse=True, scope="session")
def _interrupts() -> None:
    """Ctrl-C interrupts this process and its children, also where the tests were started in the background.

    A shell starts background commands with SIGINT ignored, which children inherit.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
