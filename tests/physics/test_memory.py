"""Memory: many operating points, every weight altered before each, under a fixed limit."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import psutil

from bridge.ngspice.pool import Pool
from bridge.ngspice.session import Session
from bridge.phases import StaticPhases
from bridge.plans import StaticPlan
from circuits.topologies.layered import layered

MEBIBYTE = 1 << 20
TASKS, POINTS = 40, 500
LEAK = 4 * MEBIBYTE
"""What every task leaves behind on purpose: the library itself leaks next to nothing in this version."""
GROWTH = 30 * MEBIBYTE

PLAN = StaticPlan(layered(4, [8], 3, seed=0))


@dataclass(frozen=True)
class Training:
    """Operating points at random weights, as a training with a batch of one has them."""

    seed: int
    points: int

    def run(self, phases: StaticPhases) -> np.ndarray:
        rng = np.random.default_rng(self.seed)
        lower, upper = phases.network.bounds
        outputs = np.zeros((self.points, len(phases.network.outputs)))
        for k in range(self.points):
            phases.update(np.exp(rng.uniform(np.log(lower), np.log(upper))))
            outputs[k] = phases.free(phases.network.drive_values(rng.normal(size=4))).outputs
        leaked = phases.__dict__.setdefault("leaked", [])
        leaked.append(np.ones(LEAK // 8))
        return outputs


class Watch:
    """The largest resident memory of any worker while it runs."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.peak = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._end.wait(0.02):
            for pid in self.pool.pids():
                try:
                    self.peak = max(self.peak, psutil.Process(pid).memory_info().rss)
                except psutil.NoSuchProcess:
                    continue

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def test_twenty_thousand_operating_points_with_all_weights_altered_stay_under_the_limit() -> None:
    assert len(PLAN.network.trainable) >= 110
    tasks = [Training(k, POINTS) for k in range(TASKS)]
    with Pool(PLAN, 2, memory_growth=GROWTH) as pool:
        results = pool.map(tasks[:2])
        begin = max(psutil.Process(pid).memory_info().rss for pid in pool.pids())
        limit = begin + GROWTH + LEAK + 8 * MEBIBYTE
        with Watch(pool) as watch:
            results += pool.map(tasks[2:])
        assert pool.usage()["operating_points"] == TASKS * POINTS == 20_000
        assert pool.replaced == 0
        assert pool.recycled >= 2
    assert begin - 32 * MEBIBYTE < watch.peak < limit
    here = StaticPhases(PLAN, Session())
    for k in (0, TASKS - 1):  # what recycled workers give is what a fresh engine gives
        assert np.array_equal(Training(k, 20).run(here), results[k][:20])


def test_alterations_and_operating_points_leak_next_to_nothing() -> None:
    here = StaticPhases(PLAN, Session())
    task = Training(0, 300)
    process = psutil.Process()
    resident = []
    for _ in range(6):
        here.__dict__.pop("leaked", None)
        task.run(here)
        here.__dict__.pop("leaked", None)
        resident.append(process.memory_info().rss)
    per_alteration = (resident[-1] - resident[1]) / (4 * 300 * len(PLAN.network.trainable))
    assert per_alteration < 40.0  # bytes; with ngspice's history of commands kept it is about 360
