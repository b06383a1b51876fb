import errno
import fcntl
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from bridge.experiment.store import (
    RunLock,
    RunLockedError,
    content_hash,
    manifest,
    remove_leftovers,
    write_atomic,
    write_json_atomic,
    write_npz_atomic,
    write_parquet_atomic,
)

SIZE = 1_000_000
ROOT = Path(__file__).parents[2]


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start Python code in a process of its own and wait for its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    assert process.wait(timeout=30) == -signal.SIGKILL
    assert process.stdout is not None
    process.stdout.close()


WRITER = f"""
import sys
from bridge.experiment.store import write_atomic
print("ready", flush=True)
while True:
    for byte in range(256):
        write_atomic(sys.argv[1], bytes([byte]) * {SIZE})
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(b"\0" * SIZE)
    killed_while_writing, deadline = 0, time.monotonic() + 120
    for attempt in itertools.count():
        before = path.stat().st_ino
        process = start(WRITER, path)
        while path.stat().st_ino == before and time.monotonic() < deadline:
            time.sleep(0.001)
        if attempt % 2:  # random moments seldom meet a write where another step takes longer
            while len(os.listdir(tmp_path)) == 1 and time.monotonic() < deadline:
                pass
        else:
            time.sleep(random.uniform(0.0, 0.03))
        kill(process)
        content = path.read_bytes()
        assert len(content) == SIZE
        assert content == content[:1] * SIZE
        killed_while_writing += remove_leftovers(tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"]
        if attempt >= 7 and killed_while_writing:
            break
        assert time.monotonic() < deadline, "no kill met a write"


SUICIDE = """
import os, signal, sys
from bridge.experiment import store
original = getattr(os, sys.argv[2])
def die(*arguments):
    if sys.argv[3] == "after":
        original(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(os, sys.argv[2], die)
store.write_atomic(sys.argv[1], "new")
"""


@pytest.mark.parametrize(
    ("call", "moment", "content"),
    [("fsync", "before", "old"), ("replace", "before", "old"), ("replace", "after", "new")],
)
def test_killed_at_a_chosen_call(tmp_path: Path, call: str, moment: str, content: str) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", SUICIDE, str(path), call, moment], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == content


def test_content_reaches_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda f: (calls.append(("fsync", os.fstat(f).st_ino)), fsync(f)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append(("replace", 0)), replace(a, b)))
    path = tmp_path / "file"
    write_atomic(path, "x")
    assert calls == [("fsync", path.stat().st_ino), ("replace", 0), ("fsync", tmp_path.stat().st_ino)]


def test_a_failed_write_keeps_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_new_files_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_atomic(tmp_path / "file", b"x")
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


class Spec(BaseModel):
    folder: Path = Path("a/b")
    rate: float = 0.1


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    write_json_atomic(path, {"spec": Spec(), "n": np.int64(3), "v": np.array([1.5, 2]), "t": (1, "ä")})
    expected = {"spec": {"folder": "a/b", "rate": 0.1}, "n": 3, "v": [1.5, 2.0], "t": [1, "ä"]}
    assert json.loads(path.read_text(encoding="utf-8")) == expected
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_atomic(path, {"x": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8")) == expected


def test_parquet(tmp_path: Path) -> None:
    table = pd.DataFrame({"loss": [0.5, np.nan], "name": ["a", "b"]}, index=pd.Index([1, 2], name="epoch"))
    table.attrs["unit"] = "V"
    write_parquet_atomic(tmp_path / "t.parquet", table)
    read = pd.read_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read, table)
    assert read.attrs == {"unit": "V"}


def test_npz(tmp_path: Path) -> None:
    arrays = {"file": np.arange(6.0).reshape(2, 3), "path": np.array(["a", "bc"]), "n": np.float64(2)}
    write_npz_atomic(tmp_path / "a.npz", **arrays)
    write_npz_atomic(tmp_path / "b.npz", **arrays)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as read:
        assert sorted(read.files) == sorted(arrays)
        for name, values in arrays.items():
            np.testing.assert_array_equal(read[name], values)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        write_npz_atomic(tmp_path / "a.npz", x=np.array([object()]))


def test_hash_depends_on_content_only() -> None:
    assert content_hash({"a": 1, "b": [1.5, None]}) == content_hash({"b": (1.5, None), "a": 1})
    assert content_hash(Spec()) == content_hash({"rate": np.float64(0.1), "folder": "a/b"})
    different = [{"a": 1}, {"a": 2}, {"a": "1"}, {"a": True}, {"a": [1]}, {"b": 1}, {}, None]
    assert len({content_hash(d) for d in different}) == len(different)
    # Frozen: ids of runs must outlive versions of the program.
    assert (
        content_hash({"ä": [1, 2.5e-9]}) == "a357d4650d3f6a677c282d42a0d6be9dd89fc596501ca1e244d7c139e3624554"
    )


def test_hash_refuses_what_has_no_canonical_form() -> None:
    for wrong in ({1: 2}, {"a": float("nan")}):
        with pytest.raises(ValueError, match=r"key|JSON"):
            content_hash(wrong)
    with pytest.raises(TypeError, match="set"):
        content_hash({"a": {1, 2}})


def test_manifest_names_versions_and_survives_json(tmp_path: Path) -> None:
    content = manifest(ngspice="44.2", seed=3, hashes={"spec": "ab"}, workers=2)
    write_json_atomic(tmp_path / "m.json", content)
    assert json.loads((tmp_path / "m.json").read_text()) == content
    assert content["versions"]["ngspice"] == "44.2"
    assert content["versions"]["numpy"] == np.__version__
    assert content["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"tellegen", "PySpice", "pandas", "numba"} <= set(content["versions"])
    assert (content["seed"], content["hashes"], content["workers"]) == (3, {"spec": "ab"}, 2)
    assert manifest(ngspice="44.2") == manifest(ngspice="44.2")


HOLDER = """
import sys, time
from bridge.experiment.store import RunLock
with RunLock(sys.argv[1]):
    print("ready", flush=True)
    sys.stdin.read() if len(sys.argv) > 2 else time.sleep(60)
"""


def test_a_second_process_is_refused_and_a_killed_one_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(HOLDER, folder)
    with pytest.raises(RunLockedError, match=f"process {process.pid} on ") as caught:
        RunLock(folder).acquire()
    assert caught.value.holder == process.pid
    litter = folder / "checkpoints" / ".c.npz.0123456789ab.tellegen-tmp"
    litter.parent.mkdir()
    litter.write_text("half")
    kill(process)
    assert (folder / ".lock").exists()
    with RunLock(folder) as lock:
        assert lock.taken_over == process.pid
        assert not litter.exists()
        with pytest.raises(RunLockedError, match=f"process {os.getpid()} on "):
            RunLock(folder).acquire()
    assert list(folder.iterdir()) == [litter.parent]


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    for _ in range(2):
        with lock:
            assert lock.taken_over is None
            with pytest.raises(RunLockedError, match="already held"):
                lock.acquire()
        lock.release()
    with pytest.raises(KeyError), RunLock(tmp_path):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_the_pid_of_a_living_process_does_not_hold_a_folder(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text(json.dumps({"pid": os.getppid(), "host": "elsewhere"}))
    with RunLock(tmp_path) as lock:
        assert lock.taken_over == os.getppid()


def test_a_file_removed_before_it_was_locked_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, files = fcntl.flock, []

    def late(file: int, operation: int) -> None:
        if not files:
            (tmp_path / ".lock").unlink()  # the holder releases between our open and our lock
        files.append(file)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with RunLock(tmp_path), pytest.raises(RunLockedError):
        RunLock(tmp_path).acquire()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EIO])
def test_a_file_system_without_locks_gets_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(file: int, operation: int) -> None:
        raise OSError(number, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    if number == errno.EIO:
        with pytest.raises(OSError, match="no locks"):
            RunLock(tmp_path).acquire()
    else:
        with pytest.warns(RuntimeWarning, match="has no locks"), RunLock(tmp_path):
            assert (tmp_path / ".lock").exists()


CONTENDER = """
import sys
from pathlib import Path
from bridge.experiment.store import RunLock, RunLockedError
print("ready", flush=True)
folder, counter, done = Path(sys.argv[1]), Path(sys.argv[2]), 0
while done < 100:
    try:
        with RunLock(folder):
            value = int(counter.read_text())
            counter.write_text(str(value + 1))
            done += 1
    except RunLockedError:
        pass
"""


def test_no_two_processes_are_inside_at_once(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    processes = [start(CONTENDER, tmp_path / "run", counter) for _ in range(3)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert counter.read_text() == "300"
