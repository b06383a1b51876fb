"""The sweep's folder: its plan, the outcomes, and the table of both."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from bridge.errors import SpecError
from bridge.experiment.folder import refuse_mixture
from bridge.experiment.store import (
    RunLock,
    content_hash,
    is_leftover,
    write_atomic,
    write_json_atomic,
    write_parquet_atomic,
)
from bridge.sweep.axes import unit
from bridge.sweep.plan import Plan, PlannedRun
from bridge.sweep.results import FAILURES, PLAN, RESULTS, STATE, Sweep, read_summary
from bridge.sweep.runner import Outcome

_TABLE_EVERY = 5.0  # seconds between two writings of the table while runs go on


class SweepFolder:
    """Writes a sweep's folder; one process at a time.

    The runs' own folders say what is finished; only failures and the plan are written here, so that
    nothing can contradict them after a kill.

    Attributes:
        path: the folder.
        plan: the sweep.
        versions: of what decides results, as soon as a run has to be done.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path = path
        self.plan = plan
        self.versions: dict[str, str] = {}
        self._written = time.monotonic()

    @classmethod
    def choose(cls, plan: Plan, out: Path | None, resume: bool) -> SweepFolder:
        """The folder for a sweep: `sweeps/NAME-HASH` below the current folder where none is given.

        Raises:
            SpecError: it holds another sweep, or one already and `resume` was not asked for.
        """
        if out is None:
            base = Path("sweeps") / f"{plan.name}-{content_hash(_identity(plan))[:8]}"
            newest, free, number = None, base, 1
            while free.exists():
                newest, number = free, number + 1
                free = base.with_name(f"{base.name}-{number}")
            return cls(newest if resume and newest is not None else free, plan)
        if out.exists() and not out.is_dir():
            raise SpecError(f"--out {out}: there is a file of that name; give a folder")
        folder = cls(out, plan)
        if (out / PLAN).exists():
            folder._check_same()
            if not resume:
                raise SpecError(f"--out {out}: holds a sweep already; add --resume or give another folder")
        elif out.is_dir() and any(p.name != STATE and not is_leftover(p) for p in out.iterdir()):
            raise SpecError(f"--out {out}: the folder is not empty and holds no sweep; give another folder")
        return folder

    def lock(self) -> RunLock:
        """Keeps the folder to this process; the runs' folders have locks of their own."""
        try:
            (self.path / STATE / FAILURES).mkdir(parents=True, exist_ok=True)
            (self.path / "runs").mkdir(exist_ok=True)
        except OSError as error:
            raise SpecError(f"the folder {self.path} cannot be made: {error.strerror}") from error
        return RunLock(self.path / STATE, f"{self.path}", "sweep")

    def save_plan(self) -> None:
        """Write the plan: what `Sweep.load` needs to know besides the runs' folders."""
        plan = self.plan
        content: dict[str, Any] = {
            "name": plan.name,
            "description": plan.spec.description,
            "base": plan.base.spec.name,
            "method": plan.spec.method,
            "metric": plan.spec.metric.name,
            "rising": plan.spec.metric.rising,
            "constraints": plan.spec.constraints,
            "axes": [{"path": a.path, "log": a.log, "unit": unit(plan.base.spec, a.path)} for a in plan.axes],
            "versions": self.versions or self._known_versions(),
            "identity": _identity(plan),
            "planned": (plan.spec.samples or 0) * plan.multiplicity
            if plan.spec.method == "optuna"
            else len(plan.runs),
            "runs": [
                {
                    "run": run.id,
                    "folder": run.folder,
                    "point": run.point,
                    "seed": run.seed,
                    "repeat": run.repeat,
                    "parameters": run.parameters,
                }
                for run in plan.runs
            ],
        }
        for leftover in [p for p in self.path.iterdir() if is_leftover(p)]:
            leftover.unlink(missing_ok=True)
        write_json_atomic(self.path / PLAN, content)
        write_atomic(self.path / STATE / "sweep.yaml", self.plan.located.path.read_bytes())

    def begin(self, versions: dict[str, str]) -> None:
        """Note with which versions runs are done.

        Raises:
            SpecError: the sweep began with others.
        """
        known = self._known_versions()
        refuse_mixture(f"--out {self.path}: this sweep", known, versions)
        self.versions = versions
        if known != versions:
            self.save_plan()

    def _known_versions(self) -> dict[str, str]:
        try:
            found = json.loads((self.path / PLAN).read_text(encoding="utf-8")).get("versions", {})
        except FileNotFoundError:
            return {}
        return {str(k): str(v) for k, v in found.items()}

    def outcome(self, run: PlannedRun) -> Outcome | None:
        """How a run ended before; `None` if it has not."""
        results = read_summary(self.path / run.folder / RESULTS)
        if results is not None:
            return Outcome(results)
        failure = self._failure(run)
        if failure.exists():
            return Outcome(None, json.loads(failure.read_text(encoding="utf-8"))["error"])
        return None

    def save(self, run: PlannedRun, outcome: Outcome) -> None:
        """Keep a failure; a success is in the run's folder. Now and then write the table."""
        if outcome.results is None:
            write_json_atomic(self._failure(run), {"run": run.id, "error": outcome.error})
        if time.monotonic() - self._written > _TABLE_EVERY:
            self.save_table()

    def forget(self, run: PlannedRun) -> None:
        """Let a failed run be done again."""
        self._failure(run).unlink(missing_ok=True)

    def save_table(self) -> Sweep:
        """Write the table as parquet and CSV; returns the sweep as it stands."""
        sweep = Sweep.load(self.path)
        table = sweep.to_pandas()
        write_parquet_atomic(self.path / "results.parquet", table)
        write_atomic(self.path / "results.csv", table.to_csv(index=False))
        self._written = time.monotonic()
        return sweep

    def _failure(self, run: PlannedRun) -> Path:
        return self.path / STATE / FAILURES / f"{Path(run.folder).name}.json"

    def _check_same(self) -> None:
        """A sweep that has grown goes on in its folder; another one does not."""
        try:
            known = json.loads((self.path / PLAN).read_text(encoding="utf-8"))["identity"]
            fixed, runs = known["fixed"], set(known["runs"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SpecError(f"{self.path / PLAN}: not a sweep's plan; give another folder") from error
        now = _identity(self.plan)
        if fixed != now["fixed"] or not runs <= set(now["runs"]):
            raise SpecError(
                f"--out {self.path}: holds a sweep of other runs, or of files that have changed; "
                "give another folder"
            )


def _identity(plan: Plan) -> dict[str, Any]:
    """What makes two sweeps the same: the swept keys, and the runs or how they are drawn."""
    fixed: dict[str, Any] = {"parameters": [axis.path for axis in plan.axes]}
    if plan.spec.method == "optuna":
        content = plan.spec.model_dump(
            mode="json", include={"parameters", "sampler_seed", "constraints", "seeds", "metric"}
        )
        fixed["drawn"] = content_hash({"base": plan.base.hash, **content})
        return {"fixed": fixed, "runs": []}
    return {"fixed": fixed, "runs": [Path(run.folder).name for run in plan.runs]}
