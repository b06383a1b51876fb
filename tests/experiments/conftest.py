"""Fixtures of the tests of whole experiments: the command and a small experiment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from run_folders import PROGRAM, SMALL, Answer, Command

from bridge import cli
from bridge.experiment import training


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small experiment: XOR with four hidden nodes, whose minibatches depend on the order of samples."""
    file = tmp_path / "small.yaml"
    file.write_text(dedent(SMALL), encoding="utf-8")
    return file


@pytest.fixture
def tellegen(tmp_path: Path) -> Command:
    """Run the installed command in a process of its own, in the test's folder."""

    def run(*arguments: object) -> Answer:
        line = [str(PROGRAM), *map(str, arguments)]
        done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, timeout=300)
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command's entry point in this process: the same without its start."""

    def run(*arguments: object) -> Answer:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["tellegen", *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        captured = capsys.readouterr()
        return Answer(status, captured.out, captured.err)

    return run


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process write no report: its drawings cost more than a small run."""
    monkeypatch.setattr(training, "write_report", lambda run: None)
