"""Sweeps on this machine: what kills, failures and resumption leave of them."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import random
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pandas as pd
import psutil
import pytest
from run_folders import PROGRAM, Command, assert_same
from sweep_folders import rows, undisturbed, write_sweep

from bridge.sweep import Sweep
from bridge.sweep.plan import Plan
from bridge.sweep.sweeping import run_sweep

LIMIT = 240.0  # seconds: of waiting for something that has to happen


@contextmanager
def started(file: Path, out: Path) -> Iterator[subprocess.Popen[str]]:
    """The command that starts or continues a sweep."""
    line = [str(PROGRAM), "sweep", str(file), "--out", str(out), "--resume", "--workers", "2"]
    pipe = subprocess.PIPE
    with subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def finished(folder: Path) -> dict[str, int]:
    """Runs that are finished, and when each wrote its results [ns]."""
    return {f.parent.name: f.stat().st_mtime_ns for f in folder.glob("runs/*/results.json")}


def wait_for(folder: Path, number: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many runs are finished."""
    end = time.monotonic() + LIMIT
    while len(finished(folder)) < number:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.002)


def run_process(child: psutil.Process) -> bool:
    """Whether a process does the runs of a sweep, one after another."""
    return "bridge.sweep.worker" in child.cmdline()


def simulator(child: psutil.Process) -> bool:
    """Whether a process has an ngspice: a copy of the one that prepares them, or one of its own."""
    prepared = "forkserver" in " ".join((child.parent() or child).cmdline())
    return prepared or "bridge.ngspice.worker" in child.cmdline()


def children(process: subprocess.Popen[str], kind: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """Processes below of a kind."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if kind(child):
                found.append(child)
    return found


def kill_one(
    process: subprocess.Popen[str], kind: Callable[[psutil.Process], bool], chance: random.Random
) -> None:
    end = time.monotonic() + LIMIT
    while not (found := children(process, kind)):
        assert time.monotonic() < end
        time.sleep(0.01)
    chance.choice(found).kill()


def test_a_sweep_killed_again_and_again_ends_as_if_nothing_had_been(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    reference = undisturbed(tmp_path_factory)
    file, out = write_sweep(tmp_path), tmp_path / "sweep"
    known: dict[str, int] = {}
    for kill in range(3):
        with started(file, out) as process:
            wait_for(out, len(known) + chance.randint(1, 3), process)
            time.sleep(chance.uniform(0, 0.6))
            if kill == 0:  # the sweep gets over the death of a simulator and of a run's process by itself
                kill_one(process, simulator, chance)
                wait_for(out, len(finished(out)) + 2, process)
                kill_one(process, run_process, chance)
                wait_for(out, len(finished(out)) + 1, process)
            below = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            process.communicate(timeout=LIMIT)
            assert process.returncode == -signal.SIGKILL
            if kill == 1:  # the other times the next sweep finds the folders still locked
                assert psutil.wait_procs(below, timeout=30)[1] == []
        now = finished(out)
        assert known.items() <= now.items(), "a finished run was done again"
        assert len(now) < 24
        known = now
    with started(file, out) as process:
        printed, errors = process.communicate(timeout=LIMIT)
    assert (process.returncode, errors) == (0, ""), printed + str(set(rows(out)["error"]))
    assert known.items() <= finished(out).items()
    pd.testing.assert_frame_equal(rows(out), rows(reference), check_exact=True)
    assert (out / "results.csv").read_text().count("\n") == 25
    for run in sorted(reference.glob("runs/*")):
        assert_same(out / "runs" / run.name, run)
    assert not list(out.rglob(".*tmp"))


def test_resuming_a_finished_sweep_starts_nothing(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = undisturbed(tmp_path_factory)
    file = write_sweep(tmp_path)
    before = finished(folder)
    monkeypatch.setenv("TELLEGEN_NGSPICE", "/there/is/no/library.so")
    answer = command("sweep", file, "--out", folder, "--resume", "--json")
    assert (answer.status, answer.err) == (0, "")
    found = answer.object
    assert (found["runs"], found["finished"], found["failed"]) == (24, 24, 0)
    table = rows(folder)
    assert found["best"]["test_loss"] == table["test_loss"].min()
    assert finished(folder) == before
    assert (folder / found["best"]["folder"] / "report.html").stat().st_size > 10_000
    assert f"{found['best']['folder']}/report.html" in (folder / "report.html").read_text()

    refused = command("sweep", file, "--out", folder)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err == f"--out {folder}: holds a sweep already; add --resume or give another folder\n"
    file.write_text(file.read_text().replace("0.3", "0.4"))
    refused = command("sweep", file, "--out", folder, "--resume")
    assert refused.err.startswith(
        f"--out {folder}: holds a sweep of other runs, or of files that have changed;"
    )

    answer = command("results", folder, "--filter", "learning_rate > 0.05 and seed == 2", "--csv")
    assert answer.status == 0
    assert len(answer.out.splitlines()) == 5
    answer = command("results", folder, "--sort", "test_loss", "--json")
    losses = [row["test_loss"] for row in json.loads(answer.out)]
    assert losses == sorted(table["test_loss"])
    answer = command("results", folder, "--filter", "no_such > 1")
    assert (answer.status, answer.out, len(answer.err.splitlines())) == (2, "", 1)


FAILING = """\
    base: small.yaml
    parameters:
      loss:
        values:
          - {kind: mse}
          - {kind: user, function: "losses.py:deadly"}
          - {kind: user, function: "losses.py:raising"}
    reports: all
    """
LOSSES = """\
    import os, sys
    from pathlib import Path
    import numpy as np

    BROKEN = not Path(__file__).with_name("mended").exists()
    words = " ".join(sys.orig_argv)

    def value(outputs, targets):
        return np.mean((outputs - targets) ** 2, axis=-1), 2 * (outputs - targets) / outputs.shape[-1]

    def deadly(outputs, targets):
        if BROKEN and "bridge.sweep.worker" in " ".join(sys.orig_argv):
            os._exit(7)
        return value(outputs, targets)

    def raising(outputs, targets):
        if BROKEN and ("forkserver" in words or "bridge.ngspice.worker" in words):
            raise RuntimeError("not today\\nnor tomorrow")
        return value(outputs, targets)
    """


def test_a_run_that_fails_is_recorded_and_stops_no_other(tmp_path: Path, command: Command) -> None:
    file, out = write_sweep(tmp_path, FAILING), tmp_path / "sweep"
    (tmp_path / "losses.py").write_text(dedent(LOSSES))
    answer = command("sweep", file, "--out", out, "--json")
    assert (answer.status, answer.err) == (1, "")
    assert (answer.object["finished"], answer.object["failed"]) == (1, 2)
    table = rows(out)
    assert table["status"].tolist() == ["finished", "failed", "failed"]
    assert table["error"][1] == "the process of this run died (exit status 7), also when it was repeated"
    assert "RuntimeError" in table["error"][2]
    assert "not today" in table["error"][2]
    assert len(table["error"][2].splitlines()) == 1
    assert table["test_loss"].notna().tolist() == [True, False, False]
    assert "not today" in (out / "report.html").read_text()

    # Failures stay until they are asked for again.
    again = command("sweep", file, "--out", out, "--resume", "--json")
    assert again.status == 1
    pd.testing.assert_frame_equal(rows(out), table)
    (tmp_path / "mended").touch()
    again = command("sweep", file, "--out", out, "--resume", "--retry-failed", "--json")
    assert (again.status, again.object["finished"]) == (0, 3)
    table = rows(out)
    assert (table["test_loss"] == table["test_loss"][0]).all()
    assert len(list(out.glob("runs/*/report.html"))) == 3
    assert not table["error"].any()


def test_a_sweep_may_grow(tmp_path: Path, command: Command) -> None:
    text = "base: small.yaml\nparameters:\n  training.epochs: {values: [1]}\nrepeat: 2\n"
    file, out = write_sweep(tmp_path, text), tmp_path / "sweep"
    assert command("sweep", file, "--out", out, "--workers", 2).status == 0
    first = rows(out)
    assert first["folder"].str.endswith("-2").sum() == 1
    assert not Sweep.load(out).unequal()
    before = finished(out)
    file.write_text(text.replace("repeat: 2\n", "repeat: 2\nseeds: [1, 4]\n"))
    assert command("sweep", file, "--out", out, "--resume", "--workers", 2).status == 0
    grown = rows(out)
    kept = grown[grown["seed"] == 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, first)
    assert len(grown) == 4
    assert before.items() <= finished(out).items()


def test_an_interrupted_sweep_has_its_table_and_report_and_leaves_no_process(
    tmp_path: Path, command: Command
) -> None:
    text = "base: small.yaml\nparameters:\n  training.epochs: {values: [1, 4000]}\n"
    file, out = write_sweep(tmp_path, text), tmp_path / "sweep"
    with started(file, out) as process:
        wait_for(out, 1, process)
        refused = command("sweep", file, "--out", out, "--resume")  # two sweeps in one folder
        assert refused.status == 1
        said = f"RunLockedError: {out}: process {process.pid} on "
        assert refused.err.startswith(said)
        assert "is writing this sweep; wait for it" in refused.err
        below = psutil.Process(process.pid).children(recursive=True)
        assert below
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, errors
    assert (printed, errors) == ("", "interrupted; the same command with --resume continues the sweep\n")
    assert psutil.wait_procs(below, timeout=30)[1] == []
    assert rows(out)["status"].tolist() == ["finished", "missing"]
    page = (out / "report.html").read_text()
    assert "This sweep is unfinished: 1 of 2 runs are missing" in page
    (out / "report.html").unlink()
    answer = command("report", out)
    assert (answer.status, answer.out, answer.err) == (0, f"{out / 'report.html'}\n", "")
    assert (out / "report.html").read_text() == page


def test_data_that_change_are_another_sweep_and_damage_is_done_again(
    tmp_path: Path, command: Command
) -> None:
    rows_of_data = "a,b,label\n" + "1,2,good\n2,1,bad\n" * 6
    (tmp_path / "rows.csv").write_text(rows_of_data)
    text = "base: small.yaml\nparameters:\n  data: {values: [{source: csv, file: rows.csv}]}\n"
    file, out = write_sweep(tmp_path, text + "  training.epochs: {values: [1, 2]}\n"), tmp_path / "sweep"
    assert command("sweep", file, "--out", out).status == 0
    before = rows(out)
    first = out / before["folder"][0] / "results.json"
    content = first.read_text()

    (tmp_path / "rows.csv").write_text(rows_of_data.replace("2,1,bad", "2,1,good", 2))
    refused = command("sweep", file, "--out", out, "--resume")
    assert (refused.status, refused.out) == (2, "")
    assert "holds a sweep of other runs, or of files that have changed" in refused.err
    (tmp_path / "rows.csv").write_text(rows_of_data)

    first.write_text("{}")
    answer = command("results", out, "--csv")
    assert answer.err == f"{first}: damaged; the run is missing, --resume does it again\n"
    assert [",missing," in line for line in answer.out.splitlines()] == [False, True, False]

    # Not with another ngspice, and if it is the same one, all is as before.
    plan = json.loads((out / "state" / "plan.json").read_text())
    version = plan["versions"]["ngspice"]
    (out / "state" / "plan.json").write_text(
        json.dumps(plan | {"versions": {**plan["versions"], "ngspice": "1"}})
    )
    refused = command("sweep", file, "--out", out, "--resume")
    assert refused.status == 2
    assert refused.err.splitlines()[-1] == (
        f"--out {out}: this sweep began with ngspice 1, here is {version}; "
        "continue with that version, or give another folder"
    )
    (out / "state" / "plan.json").write_text(json.dumps(plan))

    # The project is moved as a whole, its name and remarks are mended: the sweep goes on.
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("small.yaml", "rows.csv", "sweep.yaml"):
        (tmp_path / name).rename(moved / name)
    out.rename(moved / "sweep")
    small = moved / "small.yaml"
    small.write_text("description: mended\n" + small.read_text().replace("name: small", "name: other"))
    answer = command("sweep", moved / "sweep.yaml", "--out", moved / "sweep", "--resume")
    assert answer.status == 0
    assert answer.err.endswith("damaged; the run is missing, --resume does it again\n")
    assert json.loads(content)["test_loss"] == rows(moved / "sweep")["test_loss"][0]
    pd.testing.assert_frame_equal(rows(moved / "sweep"), before)


def test_a_run_that_begins_after_an_edit_fails(tmp_path: Path) -> None:
    """The plan was made with other data: the run must not have their identity."""
    (tmp_path / "rows.csv").write_text("a,b,label\n" + "1,2,good\n2,1,bad\n" * 6)
    text = "base: small.yaml\nparameters:\n  data: {values: [{source: csv, file: rows.csv}]}\n"
    plan = Plan.load(write_sweep(tmp_path, text))
    (tmp_path / "rows.csv").write_text("a,b,label\n" + "1,2,good\n2,1,bad\n" * 7)
    sweep = run_sweep(plan, out=tmp_path / "sweep")
    assert sweep.table["status"].tolist() == ["failed"]
    assert (
        "a file that the experiment reads has changed since the sweep was planned" in sweep.table["error"][0]
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["sweep", "sweep.yaml", "--retry-failed"], "--retry-failed: is for a sweep that is continued; add"),
        (["sweep", "sweep.yaml", "--workers", "0"], "Invalid value for '--workers'"),
        (["results", "gone"], "gone: not found; give the folder of a sweep"),
        (["results", "empty"], "empty: not a folder of a sweep; give the folder of a sweep"),
        (["results", "small.yaml"], "small.yaml: a file; give the folder of a sweep"),
    ],
)
def test_wrong_flags_and_folders_end_with_status_2(
    flags: list[str], said: str, tmp_path: Path, command: Command
) -> None:
    write_sweep(tmp_path)
    (tmp_path / "empty").mkdir()
    answer = command(*flags)
    assert (answer.status, answer.out) == (2, "")
    assert said in answer.err
    assert not (tmp_path / "sweeps").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "base: small.yaml\nparametres: {}\nparameters: {training.epochs: {values: [1]}}\n",
            ":2: parametres: ",
        ),
        (
            "base: small.yaml\nparameters:\n  training.epoks: {values: [1]}\n",
            ":3: parameters.training.epoks: ",
        ),
        ("base: gone.yaml\nparameters: {training.epochs: {values: [1]}}\n", ":1: base: file not found: gone"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_a_wrong_sweep_ends_with_one_line_and_status_2(
    text: str, said: str, flags: list[str], tmp_path: Path, command: Command
) -> None:
    file = write_sweep(tmp_path, text)
    before = sorted(tmp_path.rglob("*"))
    answer = command("sweep", file, *flags)
    assert (answer.status, answer.out, len(answer.err.splitlines())) == (2, "", 1)
    assert answer.err.startswith(f"{file}{said}")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_shows_the_runs_and_writes_nothing(tmp_path: Path, command: Command) -> None:
    file = write_sweep(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    answer = command("sweep", file, "--dry-run", "--json")
    assert (answer.status, answer.err) == (0, "")
    assert answer.object["runs"] == len(answer.object["plan"]) == 24
    answer = command("sweep", file, "--dry-run")
    assert answer.out.splitlines()[-1] == "sweep: 24 runs; nothing was started"
    assert sorted(tmp_path.rglob("*")) == before


OPTUNA = """\
    base: small.yaml
    method: optuna
    samples: 3
    sampler_seed: 3
    parameters:
      training.optimizer.learning_rate: {min: 0.01, max: 0.5, scale: log}
      circuit.hidden: {values: [[2], [3]]}
    constraints: [training.optimizer.learning_rate < 0.4]
    """


@pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="optuna is not installed")
def test_optuna_draws_the_same_points_again(tmp_path: Path, command: Command) -> None:
    file = write_sweep(tmp_path, OPTUNA)
    assert command("sweep", file, "--out", tmp_path / "short").status == 0
    short = rows(tmp_path / "short")
    assert len(short) == 3
    assert (short["training.optimizer.learning_rate"] < 0.4).all()
    # A sweep of fewer points that grows draws what the longer one drew.
    file.write_text(file.read_text().replace("samples: 3", "samples: 1"))
    assert command("sweep", file, "--out", tmp_path / "grown").status == 0
    pd.testing.assert_frame_equal(rows(tmp_path / "grown"), short[:1])
    before = finished(tmp_path / "grown")
    file.write_text(file.read_text().replace("samples: 1", "samples: 3"))
    assert command("sweep", file, "--out", tmp_path / "grown", "--resume").status == 0
    pd.testing.assert_frame_equal(rows(tmp_path / "grown"), short)
    assert before.items() <= finished(tmp_path / "grown").items()
