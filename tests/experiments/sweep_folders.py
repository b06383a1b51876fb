"""What the tests of sweeps share: a small sweep of 24 runs, done once without any disturbance."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pandas as pd
import pytest
from run_folders import SMALL

from bridge.sweep import Sweep
from bridge.sweep.plan import Plan
from bridge.sweep.results import TIMES
from bridge.sweep.sweeping import run_sweep

SWEEP = """\
    base: small.yaml
    parameters:
      training.optimizer.learning_rate: {min: 0.01, max: 0.3, num: 4, scale: log}
      circuit.hidden: {values: [[3], [4]]}
    seeds: 3
    """
_DONE: dict[Path, Path] = {}


def write_sweep(folder: Path, text: str = SWEEP) -> Path:
    """A sweep file beside the small experiment."""
    (folder / "small.yaml").write_text(dedent(SMALL), encoding="utf-8")
    file = folder / "sweep.yaml"
    file.write_text(dedent(text), encoding="utf-8")
    return file


def undisturbed(factory: pytest.TempPathFactory) -> Path:
    """The folder of the sweep that ran through on this machine with two workers; not to be changed."""
    base = factory.getbasetemp()
    if base not in _DONE:
        folder = factory.mktemp("undisturbed")
        run_sweep(Plan.load(write_sweep(folder)), out=folder / "sweep", workers=2)
        _DONE[base] = folder / "sweep"
    return _DONE[base]


def rows(folder: Path) -> pd.DataFrame:
    """The table that was written, without what differs between two equal sweeps: the times."""
    table = pd.read_parquet(folder / "results.parquet")
    pd.testing.assert_frame_equal(table, Sweep.load(folder).to_pandas())
    return table.drop(columns=list(TIMES))
