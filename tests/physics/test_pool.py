"""The pool: the same results whatever the number of workers, and whatever happens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from pool_handlers import RC, Circuit, Transistor

from bridge.errors import SimulationError, WorkerError
from bridge.ngspice.drives import constant
from bridge.ngspice.pool import Pool
from bridge.ngspice.session import Session

OPS = [("op", v) for v in np.linspace(-2.0, 3.0, 23)]


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Until something is so; the limit only ends a test that is broken."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def right(volts: float, ohms: float = 1e3) -> float:
    """The operating point in this process."""
    circuit = Session().load(RC)
    circuit.alter(["r1"], [ohms])
    return float(circuit.operating_point([constant([volts])])[0])


def assert_works(pool: Pool) -> None:
    """Every worker gives this call's answers, not those of an earlier one."""
    assert pool.map(OPS) == [right(v) for _, v in OPS]
    assert pool.map(OPS[::-1]) == [right(v) for _, v in OPS[::-1]]


def when_begun(file: Path, action: Callable[[], None]) -> threading.Thread:
    def run() -> None:
        wait_for(file.exists)
        action()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_one_and_three_workers_give_the_same_bits_in_the_order_of_the_tasks() -> None:
    tasks: list[tuple[str, Any]] = [(("op", "tran")[k % 2], 0.1 * k) for k in range(16)]
    results = []
    for workers in (1, 3):
        with Pool(Circuit(), workers) as pool:
            answers = []
            for ohms in (1e3, 330.0, 4.7e3):
                pool.update(ohms)
                answers.append(pool.map(tasks))
            if workers == 3:
                assert len(set(pool.map([("pid", None)] * 30)) & set(pool.pids())) > 1
            assert pool.map([]) == []
            pids = pool.pids()
        assert not any(psutil.pid_exists(pid) for pid in pids)  # leaving the pool ends its workers
        results.append(answers)
    for one, three, ohms in zip(*results, (1e3, 330.0, 4.7e3), strict=True):
        for (what, volts), a, b in zip(tasks, one, three, strict=True):
            if what == "op":
                assert a == b == right(volts, ohms)
            else:
                assert np.array_equal(a.values, b.values)
                assert np.array_equal(a.time, b.time)
                assert np.abs(a.values).max() > 0 or volts == 0.0


def test_a_worker_killed_in_the_middle_of_a_job_is_replaced_and_the_job_repeated(tmp_path: Path) -> None:
    with Pool(Circuit(), 1) as pool:
        pool.update(2e3)
        before = pool.pids()
        file = tmp_path / "begun"
        thread = when_begun(file, lambda: os.kill(before[0], signal.SIGKILL))
        found = pool.map([("op", 1.0), ("busy", str(file)), ("op", 2.0)])
        thread.join()
        assert (found[0], found[2]) == (right(1.0, 2e3), right(2.0, 2e3))
        assert found[1] == pytest.approx(right(1.0, 2e3), abs=1e-6)  # the new worker has the state
        assert pool.replaced == 1
        assert pool.pids() != before
        assert not psutil.pid_exists(before[0])
        assert pool.usage()["transients"] == 1


def test_jobs_behind_one_that_kills_its_worker_are_done_and_not_blamed(tmp_path: Path) -> None:
    """A worker has its next job before it has finished one; those go to another worker, once."""
    tasks: list[tuple[str, Any]] = []
    for k, volts in enumerate(np.linspace(0.0, 2.0, 8)):
        tasks += [("die once", str(tmp_path / str(k))), ("op", volts)]
    with Pool(Circuit(), 1) as pool:
        assert pool.map(tasks) == [right(2.0 if what != "op" else v) for what, v in tasks]
        assert pool.replaced == 8


def test_a_job_that_is_finished_beside_one_that_kills_the_worker_is_not_blamed() -> None:
    """What was left for later dies with the worker; it is done again, by itself."""
    done: dict[int, Any] = {}
    with Pool(Circuit(), 1) as pool:
        with pytest.raises(WorkerError, match="died in the middle of a job, also when the job was repeated"):
            pool.map([("later", 1.0), ("die", None)], lambda k, result: done.update({k: result}))
        assert done == {0: (right(1.0), 1e3)}
        assert_works(pool)


def test_large_tasks_and_answers_do_not_wait_for_each_other() -> None:
    """Megabytes both ways, while the worker is busy with the job before."""
    blocks = [np.full(1 << 18, float(k)) for k in range(12)]
    with Pool(Circuit(), 1, time_limit=20.0) as pool:
        found = pool.map([("echo", b) for b in blocks])
        assert all(np.array_equal(f, b) for f, b in zip(found, blocks, strict=True))
        assert pool.replaced == 0


def test_what_is_left_for_later_is_finished_in_order_and_before_an_update() -> None:
    tasks = [("later", 0.5), ("op", 1.0), ("later", 1.5), ("later", 2.0), ("op", 0.25)]
    with Pool(Circuit(), 2) as pool:
        for ohms in (1e3, 2e3, 3e3):
            pool.update(ohms)
            found = pool.map(tasks)
            wanted = [right(v, ohms) for _, v in tasks]
            assert [f[0] if isinstance(f, tuple) else f for f in found] == wanted
            assert [f[1] for f in found if isinstance(f, tuple)] == [ohms] * 3


@pytest.mark.parametrize(
    ("task", "match"), [("fail later", "ZeroDivisionError in a worker"), ("unsendable", "in a worker")]
)
def test_an_error_after_the_simulation_is_told_and_the_worker_goes_on(task: str, match: str) -> None:
    with Pool(Circuit(), 1) as pool:
        with pytest.raises(SimulationError, match=match):
            pool.map([("op", 1.0), (task, None), ("op", 2.0)])
        assert_works(pool)
        assert pool.replaced == 0


def test_an_idle_worker_that_was_killed_is_replaced_at_the_next_call() -> None:
    with Pool(Circuit(), 2) as pool:
        assert_works(pool)
        os.kill(pool.pids()[0], signal.SIGKILL)
        assert_works(pool)
        assert pool.replaced == 1


def test_a_job_that_kills_its_worker_once_is_repeated_and_twice_is_an_error(tmp_path: Path) -> None:
    with Pool(Circuit(), 2) as pool:
        assert pool.map([*OPS, ("die once", str(tmp_path / "once"))])[-1] == right(2.0)
        assert pool.replaced == 1
        with pytest.raises(WorkerError, match="died in the middle of a job, also when the job was repeated"):
            pool.map([*OPS[:5], ("die", None), *OPS])
        assert pool.replaced == 3
        assert_works(pool)


def test_a_job_that_passes_its_time_limit_is_killed_and_repeated(tmp_path: Path) -> None:
    with Pool(Circuit(), 2, time_limit=1.5) as pool:
        found = pool.map([*OPS, ("hang once", str(tmp_path / "once")), *OPS])
        assert found == [right(v) for _, v in OPS] + [right(2.0)] + [right(v) for _, v in OPS]
        assert pool.replaced == 1
        hung = pool.pids()
        with pytest.raises(WorkerError, match=r"time limit of 1\.5 s"):
            pool.map([("hang", str(tmp_path / "hung")), *OPS])
        assert pool.replaced == 3
        assert sum(psutil.pid_exists(pid) for pid in hung) == 1
        assert_works(pool)


def test_an_exception_in_a_task_leaves_no_stale_answer(tmp_path: Path) -> None:
    with Pool(Circuit(), 2) as pool:
        busy = ("busy", str(tmp_path / "begun"))
        with pytest.raises(
            SimulationError, match=r"RuntimeError in a worker \(pool_handlers.py:\d+\): on purpose"
        ):
            pool.map([busy, busy, ("raise", "on purpose"), *OPS])
        assert_works(pool)
        with pytest.raises(SimulationError, match="first"):
            pool.map([("raise", "first"), *OPS])
        assert_works(pool)
        assert pool.replaced == 0


def test_a_state_that_is_refused_is_an_error_and_the_next_state_is_taken_over() -> None:
    with Pool(Circuit(), 2) as pool:
        pool.update(-1.0)
        for _ in range(2):
            with pytest.raises(SimulationError, match=r"resistance -1\.0"):
                pool.map(OPS)
        pool.update(5e3)
        assert pool.map(OPS) == [right(v, 5e3) for _, v in OPS]


class Unpicklable:
    def __reduce__(self) -> Any:
        raise KeyError("not to be pickled")


def test_an_interruption_leaves_no_stale_answer(tmp_path: Path) -> None:
    with Pool(Circuit(), 2) as pool:
        file = tmp_path / "begun"
        thread = when_begun(file, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            pool.map([("busy", str(file)), *OPS[:3]])
        thread.join()
        assert_works(pool)
        with pytest.raises(KeyError, match="not to be pickled"):
            pool.map([*OPS[:1], ("op", Unpicklable()), *OPS])
        assert_works(pool)


def test_recycling_keeps_results_and_counts() -> None:
    tasks = [*OPS[:10], ("tran", 1.0)]
    with Pool(Circuit(ballast=8 << 20), 2, memory_growth=20 << 20) as pool:
        for ohms in (1e3, 2e3):
            pool.update(ohms)
            *found, _ = pool.map(tasks)
            assert found == [right(v, ohms) for _, v in OPS[:10]]
        assert pool.recycled >= 4
        assert pool.replaced == 0
        for _ in range(3):  # asking must not change what is counted
            assert pool.usage() == {"operating_points": 20, "transients": 2, "tasks": {"all": 22}}


ORPHANS = """
import sys
from pathlib import Path
from pool_handlers import Circuit
from bridge.ngspice.pool import Pool
pool = Pool(Circuit(), 2)
print(*pool.pids(), flush=True)
pool.map([("hang", sys.argv[1]), ("op", 1.0)])
"""


def test_what_ngspice_writes_by_itself_is_not_left_in_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Pool(Transistor()) as pool:
        (current, folder), _ = pool.map([1.0, 1.2])
        scratch = Path(psutil.Process(pool.pids()[0]).cmdline()[-1])
        assert [p.name for p in scratch.iterdir()] == ["b3v33check.log"]
    assert current > 0.0
    assert folder == str(tmp_path)  # relative paths of users' own code mean what they did
    assert list(tmp_path.iterdir()) == []
    assert not scratch.exists()


def test_a_parent_that_is_killed_leaves_no_worker_behind(tmp_path: Path) -> None:
    file = tmp_path / "begun"
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHANS, str(file)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
    try:
        assert len(workers) == 2
        wait_for(file.exists)  # one worker idles, the other is inside a transient that takes hours
        parent.kill()
        parent.wait()
        wait_for(lambda: not any(w.is_running() and w.status() != psutil.STATUS_ZOMBIE for w in workers))
    finally:
        parent.stdout.close()
        for worker in workers:
            if worker.is_running():
                worker.kill()


class Broken:
    def __call__(self) -> Any:
        raise LookupError("no circuit today")


def test_a_handler_that_cannot_be_made_is_an_error() -> None:
    with pytest.raises(SimulationError, match=r"LookupError in a worker.*no circuit today"):
        Pool(Broken(), 1)
