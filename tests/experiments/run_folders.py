"""What the tests of whole experiments share: a small experiment, a command's answer, a run's folder."""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

PROGRAM = Path(sysconfig.get_path("scripts")) / "tellegen"
SHIPPED = Path(__file__).parents[2] / "experiments"
_OPTIONAL = {"basic_motions": "aeon", "transistor_xor": "c4m-pdk-freepdk45"}


def shipped() -> list[Path]:
    """The shipped experiments whose data and cards can be had here: some come with optional packages."""
    missing = {name for name, package in _OPTIONAL.items() if not _installed(package)}
    return [f for f in sorted(SHIPPED.glob("*.yaml")) if f.stem not in missing]


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


TIMES = ["seconds", "ngspice_seconds"]

SMALL = """\
    name: small
    seed: 1

    circuit:
      topology: layered
      hidden: [4]
      bias: 1V
      gain: 4
      conductance: {lower: 100nS, upper: 1mS, initial_lower: 10uS, initial_upper: 100uS}

    data:
      source: xor
      scaling: none
      target: 0.3V

    loss:
      kind: mse

    estimator:
      kind: equilibrium
      beta: 1e-6

    training:
      epochs: 3
      batch_size: 3
      optimizer: {kind: adam, learning_rate: 0.1, space: log}
    """


@dataclass
class Answer:
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]:
        """The JSON object on the last line of standard output."""
        content = json.loads(self.out.splitlines()[-1])
        assert isinstance(content, dict)
        return content


Command = Callable[..., Answer]


def metrics(run: Path) -> pd.DataFrame:
    """The metrics of all epochs without what differs between two equal runs: the times."""
    return pd.read_parquet(run / "metrics.parquet").drop(columns=TIMES)


def parameters(run: Path) -> pd.DataFrame:
    """The table of parameters, before and after."""
    return pd.read_parquet(run / "parameters.parquet")


def checkpoints(run: Path) -> np.ndarray:
    """Parameters after every epoch, `(epochs + 1, n_trainable)`."""
    return np.array([np.load(file)["parameters"] for file in sorted((run / "checkpoints").glob("*.npz"))])


def assert_same(run: Path, other: Path) -> None:
    """Two runs came to the same, to the last bit: parameters, metrics, test numbers, the recorded sample."""
    pd.testing.assert_frame_equal(metrics(run), metrics(other), check_exact=True)
    pd.testing.assert_frame_equal(parameters(run), parameters(other), check_exact=True)
    names = [sorted(p.name for p in (folder / "checkpoints").iterdir()) for folder in (run, other)]
    assert names[0] == names[1]
    files = [f"checkpoints/{name}" for name in names[0]]
    files += ["netlists/initial.cir", "netlists/final.cir", "sample.json", "sample.parquet", "spec.yaml"]
    for name in [*files, "confusion.json", "network.json"]:
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    vary = {"run", "replaced", "recycled", *TIMES}
    results = [json.loads((folder / "results.json").read_text()) for folder in (run, other)]
    assert {k: v for k, v in results[0].items() if k not in vary} == {
        k: v for k, v in results[1].items() if k not in vary
    }
