"""Cost of a gradient against one free transient and against finite differences.

    python -m benchmarks.gradient [--full] [--rounds 5] [--json FILE] [--write]

Recurrent RLC networks of growing size, all conductances trainable. A gradient is the free phase, the adjoint
phase and all parameters' integrals; it is compared with the free phase alone, in the same process and round.
Central differences take two free transients a parameter; they are run for the smallest network and counted as
so many free transients for the others. `update` writes all conductances into both loaded circuits.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from benchmarks.common import Idle, Settings, Table, command, exponent, median, ratio, timed
from benchmarks.overhead import DURATION, recurrent
from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.estimators.adjoint import AdjointTask
from bridge.estimators.base import DynamicBatch
from bridge.estimators.finite_difference import FiniteDifference
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice.pool import Pool

STEPS = 500
SIZES = ((3, 1, 2), (8, 2, 4), (20, 5, 16), (48, 20, 45), (60, 40, 60), (100, 48, 100))
"""Nodes, channels and conductances a source: 10 to 10,000 parameters."""
_ENOUGH = 0.05  # seconds that short transients are repeated for
SPARSE = (250, 4, 20)
"""A network of nodes with few neighbours: the adjoint network is nearly as large as the free one."""


@dataclass(frozen=True)
class Sized:
    """Makes a network of one size in a worker."""

    size: tuple[int, int, int]

    def __call__(self) -> SizedWorker:
        """Load it."""
        network, batch = recurrent(*self.size)
        plan = DynamicPlan(network, DURATION, DURATION / STEPS)
        return SizedWorker(DynamicPhases(plan), batch)


@dataclass
class SizedWorker(Idle):
    """Times the free phase, the gradient and an update, one round a task."""

    phases: DynamicPhases
    batch: DynamicBatch

    def run(self, differences: bool) -> dict[str, float]:
        """Seconds of each, and the share of the gradient that is spent inside ngspice."""
        phases, engine = self.phases, self.phases.session.engine
        loss = WaveformMSE(self.batch.times)
        task = AdjointTask(self.batch, 0, loss)
        signals = self.batch.signals(0)
        repeat = max(1, int(_ENOUGH / timed(lambda: phases.free(signals))))
        free = timed(lambda: [phases.free(signals) for _ in range(repeat)]) / repeat
        inside = engine.seconds
        gradient = timed(lambda: [task.run(phases) for _ in range(repeat)]) / repeat
        inside = (engine.seconds - inside) / repeat
        marks = [time.perf_counter()]
        phases.update(phases.parameters * 1.0001)
        phases.adjoint_circuit()
        marks.append(time.perf_counter())
        if differences:
            estimator = FiniteDifference()
            for one in estimator.tasks(phases.plan, self.batch, loss):
                one.run(phases)
        marks.append(time.perf_counter())
        return {
            "free": free,
            "gradient": gradient,
            "share": inside / gradient,
            "update": marks[1] - marks[0],
            "differences": marks[2] - marks[1],
        }


def measure(size: tuple[int, int, int], settings: Settings) -> dict[str, Any]:
    """One row."""
    network = recurrent(*size)[0]
    parameters = len(network.trainable)
    few = parameters <= 20
    with Pool(Sized(size), time_limit=900.0) as pool:
        pool.map([few])
        found = [pool.map([few])[0] for _ in range(settings.rounds)]
    column = {name: [f[name] for f in found] for name in found[0]}
    free, gradient = median(column["free"]), median(column["gradient"])
    against = median(column["differences"]) if few else 2 * parameters * free
    return {
        "nodes": size[0],
        "elements": len(network.elements),
        "parameters": parameters,
        "free transient [ms]": 1e3 * free,
        "gradient [ms]": 1e3 * gradient,
        "gradient / free transient": ratio(column["gradient"], column["free"]),
        "share inside ngspice": median(column["share"]),
        "finite differences / gradient": against / gradient,
        "update of all [ms]": 1e3 * median(column["update"]),
    }


def tables(settings: Settings) -> list[Table]:
    """The table."""
    sizes = (*SIZES, SPARSE) if settings.full else (*SIZES[:4],)
    rows = [measure(size, settings) for size in sizes]
    large = [r for r in rows if r["parameters"] >= 200 and r["nodes"] <= 100]
    grows = exponent([r["parameters"] for r in large], [r["gradient [ms]"] for r in large])
    return [
        Table(
            "gradient",
            f"A gradient of all conductances by the adjoint network, {STEPS} steps a transient. Finite "
            "differences are central ones: measured in the first row, counted as two free transients a "
            f"parameter in the others. The gradient's time grows as the {grows:.2g}th power of the number of "
            "parameters in the rows from 200 on that gain parameters faster than nodes.",
            rows,
        )
    ]


if __name__ == "__main__":
    from benchmarks.gradient import tables as importable  # workers cannot import __main__

    command(__doc__, importable)
