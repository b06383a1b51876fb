"""Doing a sweep: what is done already is kept, the rest is done, the table and the report are written."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from bridge.experiment.store import write_atomic
from bridge.sweep.adaptive import require, search
from bridge.sweep.executors import DaskExecutor, Executor, LocalExecutor
from bridge.sweep.folder import SweepFolder
from bridge.sweep.metrics import numbers
from bridge.sweep.plan import Plan, PlannedRun
from bridge.sweep.results import PLAN, STATE, Sweep
from bridge.sweep.runner import Job, Outcome

Progress = Callable[[int, int, int, float | None], None]
"""Called with the runs that are done, planned and failed, and the last run's metric."""


def run_sweep(
    plan: Plan,
    *,
    out: str | Path | None = None,
    workers: int = 1,
    resume: bool = False,
    retry_failed: bool = False,
    dask: str | None = None,
    progress: Progress = lambda *_: None,
    tell: Callable[[str], None] = lambda _: None,
) -> Sweep:
    """Do the runs of a sweep.

    Each run has a process of its own with one simulator; one that fails is recorded with its error and
    stops no other. Whatever is killed, at most the epoch in flight of each run is lost.

    Args:
        plan: the validated sweep.
        out: the sweep's folder; a new one below `sweeps/` by default.
        workers: runs at a time on this machine.
        resume: continue an unfinished sweep in that folder (or the newest of this sweep).
        retry_failed: also do runs again that failed before.
        dask: address of a Dask scheduler whose workers do the runs instead.
        progress: called after every run.
        tell: called with a line about what was found in the folder and is done again.

    Returns:
        The sweep with its table.

    Raises:
        SpecError: a wrong option, or a folder that holds something else.
        RunLockedError: another process does this sweep.
        SchedulerError: no scheduler, or it was lost.
    """
    if plan.spec.method == "optuna":
        require()
    folder = SweepFolder.choose(plan, None if out is None else Path(out), resume)
    executor: Executor = LocalExecutor(workers) if dask is None else DaskExecutor(dask)
    with executor, folder.lock():
        if (folder.path / PLAN).exists() and (words := Sweep.load(folder.path).damage):
            tell(words)
        work = _Work(folder, executor, retry_failed, progress)
        try:
            if plan.spec.method == "optuna":
                search(plan, work.do_point)
            else:
                folder.save_plan()
                work.do(plan.runs)
        except BaseException:  # interrupted, or without a scheduler: what is done is in table and report
            if (folder.path / PLAN).exists():
                executor.__exit__(None, None, None)  # no process writes while they are made
                write_reports(folder.save_table())
            raise
        sweep = folder.save_table()
        write_reports(sweep)
    return sweep


def write_reports(sweep: Sweep) -> Path:
    """Write the report of a sweep, also of an unfinished one, and that of its best run if there is none.

    Returns:
        Path of the sweep's report.
    """
    from bridge.report import write_report
    from bridge.sweep.report import page

    best = sweep.best()
    if best is not None and not (sweep.path / str(best["folder"]) / "report.html").exists():
        write_report(sweep.path / str(best["folder"]))
    target = sweep.path / "report.html"
    write_atomic(target, page(sweep))
    return target


class _Work:
    """Does runs that are not done, and counts."""

    def __init__(
        self, folder: SweepFolder, executor: Executor, retry_failed: bool, progress: Progress
    ) -> None:
        self.folder, self.executor = folder, executor
        self.retry_failed, self.progress = retry_failed, progress
        plan = folder.plan
        drawn = plan.spec.method == "optuna"
        self.total = (plan.spec.samples or 0) * plan.multiplicity if drawn else len(plan.runs)
        self.name = secrets.token_hex(8)
        self.done = self.failed = 0

    def do_point(self, runs: list[PlannedRun]) -> list[Outcome]:
        """Do the runs of one point; the plan is written first, as it has grown."""
        self.folder.save_plan()
        return self.do(runs)

    def do(self, runs: list[PlannedRun]) -> list[Outcome]:
        """Do those runs that are not done; their outcomes in the order of the runs."""
        outcomes: dict[int, Outcome] = {}
        left: list[int] = []
        for number, run in enumerate(runs):
            known = self.folder.outcome(run)
            if known is not None and known.results is None and self.retry_failed:
                self.folder.forget(run)
                known = None
            if known is None:
                left.append(number)
            else:
                outcomes[number] = known
                self._count(known)
        if left:
            self.folder.begin(self.executor.versions())
        jobs = [lambda number=number: self._job(runs[number]) for number in left]
        for place, outcome in self.executor.map(jobs):
            self.folder.save(runs[left[place]], outcome)
            outcomes[left[place]] = outcome
            self._count(outcome)
        return [outcomes[number] for number in range(len(runs))]

    def _job(self, run: PlannedRun) -> Job:
        plan = self.folder.plan
        path = self.folder.path.resolve()
        return Job(
            plan.experiment(run.values, run.seed),
            path / run.folder,
            path / STATE / "locks" / Path(run.folder).name,
            run.id,
            self.folder.versions["ngspice"],
            self.name,
            plan.spec.reports == "all",
        )

    def _count(self, outcome: Outcome) -> None:
        self.done += 1
        self.failed += outcome.results is None
        metric = numbers(outcome.results or {}).get(self.folder.plan.spec.metric.name)
        self.progress(self.done, self.total, self.failed, metric)
