"""Sweeps on a Dask scheduler with two workers on the loopback interface, each a process of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from run_folders import PROGRAM, Command, assert_same
from sweep_folders import SWEEP, rows, undisturbed, write_sweep

from bridge.sweep.executors import DaskExecutor

pytest.importorskip("distributed")

LIMIT = 240.0  # seconds: of waiting for something that has to happen


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Address of a scheduler, and its two workers."""
    file = tmp_path / "scheduler.json"
    with contextlib.ExitStack() as stack, (tmp_path / "dask.log").open("wb") as log:

        def start(kind: str, *flags: str) -> subprocess.Popen[bytes]:
            line = [
                sys.executable,
                "-m",
                f"distributed.cli.dask_{kind}",
                "--scheduler-file",
                str(file),
                *flags,
            ]
            process = subprocess.Popen(line, stdout=log, stderr=log, cwd=tmp_path)
            stack.callback(process.wait, LIMIT)
            stack.callback(process.kill)
            return process

        start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        end = time.monotonic() + LIMIT
        address = ""
        while not address:
            with contextlib.suppress(OSError, ValueError):
                address = json.loads(file.read_text())["address"]
            assert time.monotonic() < end
            time.sleep(0.05)
        flags = ("--nthreads", "1", "--death-timeout", "60")  # as the documentation has it
        flags = (*flags, "--host", "127.0.0.1", "--no-nanny", "--no-dashboard")
        workers = [start("worker", *flags) for _ in range(2)]
        wait_for_workers(address, 2)
        yield address, workers


def wait_for_workers(address: str, number: int) -> None:
    code = f"from distributed import Client; Client({address!r}).wait_for_workers({number}, timeout={LIMIT})"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=LIMIT)


def finished(folder: Path) -> set[str]:
    return {f.parent.name for f in folder.glob("runs/*/results.json")}


def test_a_dask_sweep_that_loses_a_worker_equals_the_local_one(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    cluster: tuple[str, list[subprocess.Popen[bytes]]],
) -> None:
    address, workers = cluster
    reference = undisturbed(tmp_path_factory)
    file, out = write_sweep(tmp_path, SWEEP.replace("seeds: 3", "seeds: 1")), tmp_path / "sweep"
    line = [str(PROGRAM), "sweep", str(file), "--out", str(out), "--dask", address, "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            end = time.monotonic() + LIMIT
            while len(finished(out)) < 2:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < end
                time.sleep(0.01)
            below = psutil.Process(workers[0].pid).children(recursive=True)
            assert any("bridge.sweep.worker" in p.cmdline() for p in below)
            workers[0].kill()
            assert psutil.wait_procs(below, timeout=30)[1] == [], "the run's process outlived its worker"
            assert len(finished(out)) < 8
            printed, errors = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert json.loads(printed.splitlines()[-1])["finished"] == 8
    local = rows(reference)
    local = local[local["seed"] == 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows(out), local, check_exact=True)
    for run in local["folder"]:
        assert_same(out / run, reference / run)


def test_a_command_that_is_killed_and_a_scheduler_that_is_lost(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    cluster: tuple[str, list[subprocess.Popen[bytes]]],
) -> None:
    """Each time the sweep is continued; its table is that of one machine."""
    address, workers = cluster
    file = write_sweep(tmp_path, SWEEP.replace("seeds: 3", "seeds: 1"))
    out, pipe = tmp_path / "sweep", subprocess.PIPE
    line = [str(PROGRAM), "sweep", str(file), "--out", str(out), "--resume"]
    with subprocess.Popen([*line, "--dask", address], stdout=pipe, stderr=pipe, text=True) as process:
        wait_until(lambda: len(finished(out)) >= 1, process)
        process.kill()
    before, plan = finished(out), out / "state" / "plan.json"
    began = plan.stat().st_mtime_ns
    with subprocess.Popen([*line, "--dask", address], stdout=pipe, stderr=pipe, text=True) as process:
        wait_until(lambda: plan.stat().st_mtime_ns != began, process)  # it has found the scheduler
        wait_until(lambda: len(finished(out)) > len(before), process)
        if process.poll() is None:
            scheduler = psutil.Process(workers[0].pid).parent()
            assert scheduler is not None
            for child in scheduler.children():
                if any("dask_scheduler" in part for part in child.cmdline()):
                    child.kill()
        printed, errors = process.communicate(timeout=LIMIT)
    if process.returncode != 0:
        assert process.returncode == 1, errors
        assert f"--dask {address}: the scheduler was lost; --resume continues" in errors.splitlines()[-1]
    with subprocess.Popen([*line, "--json"], stdout=pipe, stderr=pipe, text=True) as process:
        printed, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, errors
    assert json.loads(printed.splitlines()[-1])["finished"] == 8
    local = rows(undisturbed(tmp_path_factory))
    local = local[local["run"].isin(rows(out)["run"])].drop(columns="point").reset_index(drop=True)
    pd.testing.assert_frame_equal(rows(out).drop(columns="point"), local, check_exact=True)


def wait_until(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + LIMIT
    while not what() and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_jobs_are_handed_out_as_workers_can_use_them(
    cluster: tuple[str, list[subprocess.Popen[bytes]]],
) -> None:
    """Of many jobs only a few are made at a time; every one is done once."""
    made: list[int] = []
    done: list[int] = []

    def job(number: int) -> Any:
        made.append(number)
        assert len(made) - len(done) <= 9
        return number

    with DaskExecutor(cluster[0]) as executor:
        assert executor.versions()["tellegen"] == version("tellegen")
        for number, outcome in executor.map([partial(job, k) for k in range(40)]):
            assert outcome.error.startswith("Dask: "), "a number is no run"
            done.append(number)
    assert sorted(done) == made == list(range(40))


def test_a_scheduler_that_is_not_there(tmp_path: Path, tellegen: Command) -> None:
    file = write_sweep(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    answer = tellegen("sweep", file, "--dask", "tcp://127.0.0.1:9", "--out", "sweep")
    assert (answer.status, answer.out) == (1, "")
    assert "--dask tcp://127.0.0.1:9: no scheduler answers" in answer.err.splitlines()[-1]
    assert len(answer.err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
