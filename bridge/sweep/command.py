"""What `tellegen sweep` and `tellegen results` print."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from bridge.errors import SpecError
from bridge.experiment.progress import progress_bars
from bridge.report.text import number
from bridge.sweep.plan import Plan
from bridge.sweep.results import Sweep
from bridge.sweep.sweeping import Progress, run_sweep

_SHOWN = ("seed", "status", "test_loss", "test_accuracy", "epochs", "error")


def sweep_command(
    file: Path,
    *,
    out: Path | None,
    workers: int,
    resume: bool,
    retry_failed: bool,
    dask: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Do a sweep or show its runs.

    Returns:
        The exit status: 0 if every run finished, 1 if some failed, 130 if it was interrupted.

    Raises:
        SpecError: a wrong file or option.
    """
    if retry_failed and not resume:
        raise SpecError("--retry-failed: is for a sweep that is continued; add --resume")
    plan = Plan.load(file)
    if dry_run:
        return _show_plan(plan, as_json)
    started = time.monotonic()
    try:
        with _progress(plan) as progress:
            sweep = run_sweep(
                plan, out=out, workers=workers, resume=resume, retry_failed=retry_failed, dask=dask,
                progress=progress, tell=_tell,
            )  # fmt: skip
    except KeyboardInterrupt:
        print("interrupted; the same command with --resume continues the sweep", file=sys.stderr)
        return 130
    best = sweep.best()
    finished, failed = sweep.count("finished"), sweep.count("failed")
    if as_json:
        content = {
            "sweep": str(sweep.path),
            "runs": len(sweep.table),
            "finished": finished,
            "failed": failed,
            "metric": sweep.metric,
            "best": None if best is None else {k: json_value(v) for k, v in best.items()},
            "seconds": time.monotonic() - started,
        }
        print(json.dumps(content, allow_nan=False))
        return int(failed > 0)
    print(f"{sweep.plan['name']}: {finished} runs finished, {failed} failed")
    if best is not None:
        shown = ", ".join(f"{p} = {_text(best[p])}" for p in sweep.parameters)
        print(f"best {sweep.metric} {best[sweep.metric]:.4g}: {shown}, seed {best['seed']}")
    unequal = sweep.unequal()
    if unequal:
        print(f"repetitions that differ: {' '.join(unequal)}", file=sys.stderr)
    print(f"report: {sweep.path / 'report.html'}")
    return int(failed > 0)


def results_command(
    folder: Path, *, condition: str | None, sort: str | None, as_json: bool, as_csv: bool
) -> None:
    """Print a sweep's table.

    Raises:
        SpecError: no sweep's folder, a wrong condition or column.
    """
    sweep = Sweep.load(folder)
    _tell(sweep.damage)
    table = sweep.select(condition, sort)
    if as_json:
        rows = [{k: json_value(v) for k, v in row.items()} for row in table.to_dict("records")]
        print(json.dumps(rows, allow_nan=False))
    elif as_csv:
        print(table.to_csv(index=False), end="")
    else:
        shown = list(dict.fromkeys(["run", *sweep.parameters, *_SHOWN[:2], sweep.metric, *_SHOWN[2:]]))
        empty = [c for c in shown if c == "error" and not table["error"].any()]
        empty += [c for c in shown if c == "test_accuracy" and table[c].isna().all()]
        _print(table[[c for c in shown if c not in empty]])
        print(f"{len(table)} of {len(sweep.table)} runs")


def _tell(words: str) -> None:
    if words:
        print(words, file=sys.stderr)


def json_value(value: Any) -> Any:
    """A cell as JSON has it: plain, and nothing for what is missing."""
    if pd.isna(value):
        return None
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def _show_plan(plan: Plan, as_json: bool) -> int:
    rows = [
        {"run": run.id, "point": run.point, **run.parameters, "seed": run.seed, "repeat": run.repeat}
        for run in plan.runs
    ]
    number_of_runs = len(rows) or (plan.spec.samples or 0) * plan.multiplicity
    if as_json:
        print(json.dumps({"runs": number_of_runs, "plan": rows}, allow_nan=False))
        return 0
    if rows:
        _print(pd.DataFrame(rows))
    print(f"{plan.name}: {number_of_runs} runs; nothing was started")
    return 0


def _print(table: pd.DataFrame) -> None:
    """A table on standard output, as wide as it needs to be where that is no terminal."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for name in table.columns:
        right = pd.api.types.is_numeric_dtype(table[name])
        drawn.add_column(str(name), justify="right" if right else "left", overflow="fold")
    for row in table.itertuples(index=False):
        drawn.add_row(*map(_text, row))
    console = Console(width=None if sys.stdout.isatty() else 10_000, markup=False, highlight=False)
    console.print(drawn)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NA:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@contextmanager
def _progress(plan: Plan) -> Iterator[Progress]:
    """A bar on standard error, and nothing where that is no terminal."""
    metric, rising = plan.spec.metric.name, plan.spec.metric.rising
    best: list[float] = []
    with progress_bars() as bars:
        if bars is None:
            yield lambda *_: None
            return
        task = bars.add_task(plan.name, total=len(plan.runs) or None, remark="")

        def update(done: int, total: int, failed: int, value: float | None) -> None:
            if value is not None:
                best[:] = [(max if rising else min)([*best, value])]
            parts = [f"best {metric} {number(best[0])}"] if best else []
            parts += [f"{failed} failed"] if failed else []
            bars.update(task, completed=done, total=total, remark=", ".join(parts))

        yield update
