"""What a sweep came to: one row a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bridge.errors import SpecError
from bridge.experiment.folder import is_summary
from bridge.sweep.expressions import Condition, ExpressionError, resolve
from bridge.sweep.metrics import METRICS, numbers

STATE = "state"
PLAN = f"{STATE}/plan.json"
FAILURES = "failures"
RESULTS = "results.json"
DAMAGED = "results.json is damaged; --resume does the run again"
TIMES = ("seconds", "ngspice_seconds")
"""Columns in which two equal sweeps differ."""

_COUNTS = ("epochs", "operating_points", "transients", "retries", "failures")
_LAST = ("stopped", "error", "folder")


@dataclass(frozen=True)
class Sweep:
    """A sweep's folder that was read, also of one that is not finished.

    Attributes:
        path: the folder.
        plan: its name, method, metric, axes, as `state/plan.json` holds them.
        table: one row a run, in the order of the sweep; see `to_pandas`.
    """

    path: Path
    plan: Mapping[str, Any]
    table: pd.DataFrame

    @classmethod
    def load(cls, path: str | Path) -> Sweep:
        """Read a sweep's folder.

        Args:
            path: the folder.

        Raises:
            SpecError: it holds no sweep, or a file in it cannot be read.
        """
        path = Path(path)
        file = path / PLAN
        try:
            plan = json.loads(file.read_text(encoding="utf-8"))
            rows = [_row(path, run) for run in plan["runs"]]
            names = [axis["path"] for axis in plan["axes"]]
        except (FileNotFoundError, NotADirectoryError) as error:
            what = "a file" if path.is_file() else "not a folder of a sweep" if path.exists() else "not found"
            advice = f"give the folder of a sweep, which has {PLAN}"
            raise SpecError(f"{path}: {what}; {advice}") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SpecError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error
        return cls(path, plan, _table(rows, names))

    @property
    def parameters(self) -> list[str]:
        """The swept keys."""
        return [str(axis["path"]) for axis in self.plan["axes"]]

    @property
    def metric(self) -> str:
        """The column by which the sweep is judged."""
        return str(self.plan["metric"])

    def to_pandas(self) -> pd.DataFrame:
        """One row a run, in the order of the sweep.

        Columns: `run` (identity), `point`, the swept keys (numbers in SI units; JSON for lists and
        mappings), `seed`, `repeat`, `status` (finished, failed, missing), the metrics (also those that only
        some experiments have, such as `robustness.QUANTITY=VALUE.METRIC`), `stopped`, `error`, `folder`.
        """
        return self.table.copy()

    @property
    def damage(self) -> str:
        """A line about files of results that cannot be read, whose runs count as missing; empty without."""
        rows = self.table[self.table["error"] == DAMAGED]
        files = [str(self.path / folder / RESULTS) for folder in rows["folder"]]
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        return f"{files[0]}{more}: damaged; the run is missing, --resume does it again" if files else ""

    def count(self, status: str) -> int:
        """How many runs are `finished`, `failed` or `missing`."""
        return int((self.table["status"] == status).sum())

    def points(self) -> pd.DataFrame:
        """One row a point with a finished run: swept keys, `n`, `mean`, `deviation` of the metric.

        Repetitions count once; the deviation is that of a sample over the seeds, NaN for one seed.
        """
        rows = self.table[(self.table["status"] == "finished") & (self.table["repeat"] == 0)]
        rows = rows[rows[self.metric].notna()]
        columns = {p: (p, "first") for p in self.parameters}
        numbers = {
            "n": (self.metric, "size"),
            "mean": (self.metric, "mean"),
            "deviation": (self.metric, "std"),
        }
        found: pd.DataFrame = rows.groupby("point", sort=True).agg(**columns, **numbers)
        return found.reset_index()

    def best(self) -> dict[str, Any] | None:
        """The run with the best metric; the first one of equals, `None` while there is none."""
        rows = self.table[self.table["status"] == "finished"]
        values = rows[self.metric].dropna()
        if values.empty:
            return None
        place = int(values.argmax() if self.plan["rising"] else values.argmin())
        row = rows[rows[self.metric].notna()].iloc[place]
        return {str(k): v for k, v in row.items()}

    def unequal(self) -> list[str]:
        """Runs whose repetitions did not come to the same metrics: there should be none."""
        rows = self.table[self.table["status"] == "finished"]
        columns = list(self.table.columns)
        names = [c for c in columns[columns.index("status") + 1 : -len(_LAST)] if c not in TIMES]
        different = rows.groupby("run", sort=False)[names].nunique(dropna=False).max(axis=1) > 1
        return [str(run) for run in different.index[different]]

    def select(self, condition: str | None = None, sort: str | None = None) -> pd.DataFrame:
        """Rows that meet a condition, sorted by a column.

        Args:
            condition: such as `test_loss < 0.1 and learning_rate > 0.01`; columns go by their name, or
                the end of one where that is clear. Names with other characters stand between backticks.
            sort: a column, with `-` before it for falling values; rows without a value come last.

        Raises:
            SpecError: the condition cannot be read or computed, or there is no such column.
        """
        table, known = self.table, [str(c) for c in self.table.columns]
        if condition is not None:
            try:
                read = Condition.parse(condition)
                columns = {name: resolve(name, known, "column") for name in read.names}
                rows = table[list(dict.fromkeys(columns.values()))].to_dict("records")
                kept = [read.holds({n: _plain(row[c]) for n, c in columns.items()}) for row in rows]
            except ExpressionError as error:
                raise SpecError(f"--filter: {error}") from error
            table = table[pd.Series(kept, index=table.index, dtype=bool)]
        if sort is not None:
            name = sort.removeprefix("-")
            try:
                column = resolve(name.strip("`"), known, "column")
            except ExpressionError as error:
                raise SpecError(f"--sort: {error}") from error
            table = table.sort_values(column, ascending=name == sort, kind="stable", na_position="last")
        return table.copy()


def read_summary(file: Path) -> dict[str, Any] | None:
    """A run's `results.json`; `None` if there is none, or it is damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content if is_summary(content) else None


def _row(path: Path, run: Mapping[str, Any]) -> dict[str, Any]:
    folder = str(run["folder"])
    row: dict[str, Any] = {"run": run["run"], "point": run["point"], **run["parameters"]}
    row |= {"seed": run["seed"], "repeat": run["repeat"], "status": "missing"}
    row |= dict.fromkeys((*METRICS, *_COUNTS)) | dict.fromkeys(("stopped", "error"), "") | {"folder": folder}
    file, failure = path / folder / RESULTS, path / STATE / FAILURES / f"{Path(folder).name}.json"
    content = read_summary(file)
    if content is not None:
        row["status"] = "finished"
        row |= numbers(content) | {k: content.get(k) for k in _COUNTS}
        row["stopped"] = content.get("stopped") or ""
    elif file.exists():
        row["error"] = DAMAGED
    elif failure.exists():
        row["status"] = "failed"
        row["error"] = json.loads(failure.read_text(encoding="utf-8"))["error"]
    return row


def _table(rows: list[dict[str, Any]], parameters: list[str]) -> pd.DataFrame:
    metrics = [m for m in METRICS if m not in TIMES and m not in _COUNTS]
    known = {"run", "point", *parameters, "seed", "repeat", "status", *METRICS, *_COUNTS, *_LAST}
    metrics += list(dict.fromkeys(k for row in rows for k in row if k not in known))
    columns = ["run", "point", *parameters, "seed", "repeat", "status", *metrics, *_COUNTS, *TIMES, *_LAST]
    table = pd.DataFrame(rows, columns=columns)
    for name in parameters:
        table[name] = _uniform([row[name] for row in rows])
    for name in (*metrics, *TIMES):
        table[name] = pd.to_numeric(table[name]).astype("float64")
    for name in _COUNTS:
        table[name] = pd.to_numeric(table[name]).astype("Int64")
    return table.astype(dict.fromkeys(("point", "seed", "repeat"), "int64")).astype(
        dict.fromkeys(("run", "status", *_LAST), "str")
    )


def _uniform(values: list[Any]) -> pd.Series:
    """A column of one type: whole numbers, numbers, truth values, or else texts."""
    known = [v for v in values if v is not None]
    if known and all(isinstance(v, bool) for v in known) and len(known) == len(values):
        return pd.Series(values, dtype="bool")
    if known and all(isinstance(v, int | float) and not isinstance(v, bool) for v in known):
        whole = len(known) == len(values) and all(isinstance(v, int) for v in known)
        return pd.Series(values, dtype="int64" if whole else "float64")
    texts = [v if isinstance(v, str) else json.dumps(v) for v in values]
    return pd.Series(texts, dtype="str")


def _plain(value: Any) -> Any:
    """A cell as a plain value; `None` for one that is missing."""
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value
