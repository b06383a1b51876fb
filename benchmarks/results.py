"""The accuracy of the shipped experiments, mean of three seeds, as a table in markdown.

    python -m benchmarks.results [--seeds 3] [--workers 2] [--json FILE] [EXPERIMENT ...]

Each run is the command `tellegen run experiments/NAME.yaml -s seed=K`; the table is what stands in
`docs/results.md`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.common import Settings, Table, command
from bridge.experiment.build import Experiment
from bridge.experiment.training import run_experiment

FOLDER = Path(__file__).resolve().parent.parent / "experiments"
SHIPPED = ("xor", "iris", "digits", "iris_transient", "pulse_order", "waveform_matching")
"""`basic_motions` needs the optional package aeon: name it to run it."""


def row(name: str, seeds: int, workers: int) -> dict[str, Any]:
    """Run one experiment with each seed; its line of the table."""
    runs, cuts = [], []
    for seed in range(1, seeds + 1):
        experiment = Experiment.load(FOLDER / f"{name}.yaml", (f"seed={seed}",))
        with tempfile.TemporaryDirectory() as folder:
            runs.append(run_experiment(experiment, out=Path(folder) / "run", workers=workers))
            losses = pd.read_parquet(Path(folder) / "run" / "metrics.parquet")["train_loss"]
        cuts.append(1.0 - runs[-1]["train_loss"] / losses.iloc[0])
    accuracy = [
        c if r["test_accuracy"] is None else r["test_accuracy"] for r, c in zip(runs, cuts, strict=True)
    ]
    what = "" if runs[0]["test_accuracy"] is not None else " of the loss gone"
    simulations = int(statistics.mean(r["operating_points"] + r["transients"] for r in runs))
    kind = "transients" if runs[0]["transients"] else "operating points"
    return {
        "experiment": f"`{name}.yaml`",
        "conductances": runs[0]["parameters"],
        "test accuracy": f"{statistics.mean(accuracy):.3f}{what}",
        "each seed": ", ".join(f"{a:.4g}" for a in accuracy),
        "epochs": runs[0]["epochs"],
        "simulations": f"{simulations:,} {kind}",
        "time a run": f"{statistics.mean(r['seconds'] for r in runs):.0f} s",
    }


def baseline() -> str:
    """Test accuracy of a logistic regression on the raw series of BasicMotions."""
    import numpy as np
    from aeon.datasets import load_classification
    from sklearn.linear_model import LogisticRegression

    (x, y), (u, v) = (load_classification("BasicMotions", split=s) for s in ("train", "test"))
    model = LogisticRegression(max_iter=5000).fit(np.reshape(x, (len(x), -1)), y)
    score = model.score(np.reshape(u, (len(u), -1)), v)
    return f"logistic regression on the raw series of BasicMotions: {score:.3f}"


def tables(settings: Settings) -> list[Table]:
    """The table."""
    more = settings.more
    names = more["experiments"] or SHIPPED
    caption = f"Mean of the seeds 1 to {more['seeds']}, {more['workers']} workers."
    if "basic_motions" in names:
        caption += f" {baseline().capitalize()}."
    return [Table("results", caption, [row(name, more["seeds"], more["workers"]) for name in names])]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(repeated="mean of the seeds")
    parser.add_argument("experiments", nargs="*")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)


if __name__ == "__main__":
    command(__doc__, tables, _arguments)
