"""A run that is killed, interrupted or refused: what its folder holds, and that it ends the same."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import psutil
import pytest
from run_folders import PROGRAM, SMALL, Command, assert_same

from bridge.errors import SpecError
from bridge.experiment.build import Experiment
from bridge.experiment.training import run_experiment

EPOCHS = 150
OVERRIDES = (f"training.epochs={EPOCHS}", "training.schedule.kind=cosine", "training.batch_size=3")
FLAGS = [part for text in OVERRIDES for part in ("-s", text)]
OTHER = "holds a run of another experiment, or of files that have changed; give another folder"
LIMIT = 120.0  # seconds: of waiting for something that has to happen


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.yaml").write_text(dedent(SMALL), encoding="utf-8")
    run_experiment(Experiment.load(folder / "small.yaml", OVERRIDES), out=folder / "run")
    return folder / "run"


@contextmanager
def started(small: Path, out: Path, workers: int) -> Iterator[subprocess.Popen[str]]:
    """The command that starts or continues a run, in a process group of its own."""
    line = [str(PROGRAM), "run", str(small), *FLAGS, "--out", str(out), "--resume", "--workers", str(workers)]
    pipe = subprocess.PIPE
    with subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str]) -> bool:
    """Wait until something is so; False if the process ended before."""
    end = time.monotonic() + LIMIT
    while not what():
        if process.poll() is not None:
            return False
        assert time.monotonic() < end
        time.sleep(0.0005)
    return True


def epochs(run: Path) -> int:
    """Epochs whose checkpoint is there, and one more while the next is being written."""
    try:
        return sum(not name.startswith(".") for name in os.listdir(run / "checkpoints"))
    except FileNotFoundError:
        return 0


def writing(run: Path) -> bool:
    """Whether a file is being written right now."""
    try:
        return any(n.endswith("tmp") for f in (run, run / "checkpoints") for n in os.listdir(f))
    except FileNotFoundError:
        return False


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_run_killed_many_times_ends_as_if_nothing_had_been(
    small: Path, tmp_path: Path, finished: Path
) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    run = tmp_path / "run"
    reached = 0
    # The first kill is before the first epoch; of the others some hit a file that is being written.
    moments = [
        lambda: run.exists() and any(run.iterdir()),
        lambda: epochs(run) > reached + chance.randint(2, 20) and writing(run),
        lambda: epochs(run) > reached + 10 + chance.randint(0, 20),
        lambda: epochs(run) > reached + 2 and writing(run),
    ]
    for number, moment in enumerate(moments):
        with started(small, run, workers=1 + number % 2) as process:
            assert wait_for(moment, process), process.communicate()
            time.sleep(chance.uniform(0, 0.03) if number == 2 else 0)
            workers = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            output = process.communicate(timeout=LIMIT)
            assert process.returncode == -signal.SIGKILL, output
            assert psutil.wait_procs(workers, timeout=LIMIT)[1] == []
        assert not (run / "results.json").exists()
        reached = epochs(run)
    with started(small, run, workers=2) as process:
        out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, err) == (0, ""), out
    assert_same(run, finished)
    assert {str(p.relative_to(run)) for p in run.rglob("*")} == {
        str(p.relative_to(finished)) for p in finished.rglob("*")
    }
    assert (run / "log.txt").read_text().count("resumed after epoch") >= 2


def test_a_running_folder_is_refused_to_others_and_ctrl_c_leaves_it_resumable(
    small: Path, tmp_path: Path, finished: Path, command: Command
) -> None:
    run = tmp_path / "run"
    with started(small, run, workers=2) as process:
        assert wait_for(lambda: epochs(run) > 3, process), process.communicate()
        workers = psutil.Process(process.pid).children(recursive=True)
        assert len(workers) == 2

        answer = command("run", small, *FLAGS, "--out", run, "--resume")
        assert (answer.status, answer.out) == (1, "")
        assert len(answer.err.splitlines()) == 1
        assert f"process {process.pid} on" in answer.err
        assert "is writing this run" in answer.err
        assert process.poll() is None

        os.killpg(process.pid, signal.SIGINT)  # what a terminal does: to the workers also
        out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, out) == (130, "")
    assert err == "interrupted; the same command with --resume continues the run\n"
    assert psutil.wait_procs(workers, timeout=LIMIT)[1] == []
    assert not (run / "results.json").exists()
    assert not (run / ".lock").exists()

    done = command("run", small, *FLAGS, "--out", run, "--resume", "--json")
    assert (done.status, done.err) == (0, "")
    assert_same(run, finished)


def test_resuming_a_finished_run_gives_its_results_without_a_simulator(
    small: Path, tmp_path: Path, finished: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    before = contents(run)
    monkeypatch.setenv("TELLEGEN_NGSPICE", "/there/is/no/library.so")
    answer = command("run", small, *FLAGS, "--out", run, "--resume", "--json")
    assert (answer.status, answer.err) == (0, "")
    assert answer.object == json.loads((run / "results.json").read_text()) | {"run": str(run)}
    assert contents(run) == before

    # Killed after the results and before the report, a run gets its report.
    (run / "report.html").unlink()
    assert command("run", small, *FLAGS, "--out", run, "--resume").status == 0
    assert (run / "report.html").stat().st_size > 10_000


def test_a_run_killed_while_it_wrote_its_results_makes_them_again(
    small: Path, tmp_path: Path, finished: Path
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    for name in ("results.json", "report.html", "sample.json", "metrics.parquet", "netlists/final.cir"):
        (run / name).unlink()
    run_experiment(Experiment.load(small, OVERRIDES), out=run, resume=True)
    assert_same(run, finished)
    assert (run / "report.html").exists()


def test_without_a_folder_each_run_gets_its_own_and_resume_takes_the_last(
    small: Path, tmp_path: Path, command: Command
) -> None:
    flags = ["-s", "training.epochs=1", "--json"]
    runs = [command("run", small, *flags).object["run"] for _ in range(2)]
    assert runs[1] == f"{runs[0]}-2"
    assert runs[0].startswith("runs/small-")
    again = command("run", small, *flags, "--resume")
    assert again.object["run"] == runs[1]
    assert len(list((tmp_path / "runs").iterdir())) == 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "holds a run already; add --resume or give another folder"),
        (["-s", "seed=2"], OTHER),
        (["-s", "seed=2", "--resume"], OTHER),
    ],
    ids=["without --resume", "another experiment", "another experiment with --resume"],
)
def test_a_folder_with_a_run_is_refused(
    flags: list[str], said: str, small: Path, finished: Path, command: Command
) -> None:
    before = contents(finished)
    answer = command("run", small, *FLAGS, *flags, "--out", finished)
    assert (answer.status, answer.out, answer.err) == (2, "", f"--out {finished}: {said}\n")
    assert contents(finished) == before


@pytest.mark.parametrize("resume", [[], ["--resume"]], ids=["new", "resume"])
def test_a_folder_that_is_not_a_runs_is_refused(
    resume: list[str], small: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "draft.txt").write_text("precious")
    before = contents(tmp_path)
    for name, said in [
        ("papers", "the folder is not empty and holds no run; give another folder"),
        ("papers/draft.txt", "there is a file of that name; give a folder"),
    ]:
        answer = command("run", small, "--out", name, *resume)
        assert (answer.status, answer.out, answer.err) == (2, "", f"--out {name}: {said}\n")
    answer = command("run", small, "--out", "papers/draft.txt/run", *resume)
    assert (answer.status, len(answer.err.splitlines())) == (2, 1)
    assert "papers/draft.txt/run" in answer.err
    assert contents(tmp_path) == before


@pytest.mark.parametrize("program", ["tellegen", "ngspice"])
def test_a_run_is_not_continued_with_another_version(
    program: str, small: Path, tmp_path: Path, finished: Path, command: Command
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    (run / "results.json").unlink()
    manifest = json.loads((run / "manifest.json").read_text())
    version = manifest["versions"][program]
    manifest["versions"][program] = "1.2.3"
    (run / "manifest.json").write_text(json.dumps(manifest))
    before = contents(run)
    answer = command("run", small, *FLAGS, "--out", run, "--resume")
    assert (answer.status, answer.out) == (2, "")
    assert answer.err == (
        f"{run}: this run began with {program} 1.2.3, here is {version}; "
        "continue with that version, or give another folder\n"
    )
    assert contents(run) == before


@pytest.mark.parametrize("damage", ["", "{}", '{"test_loss": 0.1', "[1]"])
def test_damaged_results_are_made_again(damage: str, small: Path, tmp_path: Path, finished: Path) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    (run / "results.json").write_text(damage)
    run_experiment(Experiment.load(small, OVERRIDES), out=run, resume=True, report=False)
    assert_same(run, finished)


def test_a_run_goes_on_under_another_name_and_in_another_folder(
    small: Path, tmp_path: Path, finished: Path, command: Command
) -> None:
    moved = tmp_path / "moved" / "renamed.yaml"
    moved.parent.mkdir()
    moved.write_text("description: now with one\n" + small.read_text().replace("name: small", "name: other"))
    shutil.copytree(finished, tmp_path / "copy")
    (tmp_path / "copy" / "results.json").unlink()
    answer = command("run", moved, *FLAGS, "--out", tmp_path / "copy", "--resume", "--json")
    assert (answer.status, answer.err) == (0, "")
    assert answer.object["test_loss"] == json.loads((finished / "results.json").read_text())["test_loss"]


def test_an_empty_folder_is_taken(small: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "empty").mkdir()
    answer = command("run", small, "-s", "training.epochs=0", "--out", "empty", "--json")
    assert (answer.status, answer.err) == (0, "")
    assert answer.object["epochs"] == 0
    assert (tmp_path / "empty" / "report.html").exists()


def test_a_manifest_that_is_none_and_a_checkpoint_that_is_damaged(
    small: Path, tmp_path: Path, finished: Path, command: Command
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    (run / "results.json").unlink()
    (run / "checkpoint.npz").write_bytes((run / "checkpoint.npz").read_bytes()[:100])
    answer = command("run", small, *FLAGS, "--out", run, "--resume")
    assert (answer.status, answer.out, len(answer.err.splitlines())) == (2, "", 1)
    assert f"{run / 'checkpoint.npz'}: not a checkpoint that can be resumed" in answer.err
    (run / "manifest.json").write_text("[1]")
    answer = command("run", small, *FLAGS, "--out", run, "--resume")
    assert answer.status == 2
    assert answer.err == f"{run / 'manifest.json'}: not a run's manifest; give another folder\n"


def test_other_data_under_the_same_name_do_not_continue_a_run(
    small: Path, tmp_path: Path, no_report: None
) -> None:
    rows = ["a,b,label", *(f"{k},{k * k % 7},{'low' if k < 6 else 'high'}" for k in range(12))]
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    overrides = ("data={source: csv, file: rows.csv}", "training.epochs=4")
    experiment = Experiment.load(small, overrides)

    def stop(stage: str, done: int, *_: object) -> None:
        if (stage, done) == ("epoch", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_experiment(experiment, out=tmp_path / "run", progress=stop)
    assert not (tmp_path / "run" / "results.json").exists()
    (tmp_path / "rows.csv").write_text("\n".join(rows).replace("5,4,", "5,3,"))
    with pytest.raises(SpecError, match="of files that have changed; give another folder"):
        run_experiment(experiment, out=tmp_path / "run", resume=True)
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    assert run_experiment(experiment, out=tmp_path / "run", resume=True)["epochs"] == 4
