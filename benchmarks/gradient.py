"""Cost of a gradient against one free transient and against finite differences.

    python -m benchmarks.gradient [--full] [--rounds 5] [--json FILE] [--write]

Recurrent RLC networks of growing size, all conductances trainable. The gradient of a minibatch, in a worker
as in training, is the free and the adjoint phase of every sample, all parameters' integrals, and the way to
the worker and back. It is compared with the free transients alone, timed inside the same worker in the same
round. Central differences take two free transients a parameter; they are run for the smallest network and
counted as so many free transients for the others. `update` writes all conductances into both loaded circuits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.common import Settings, Table, command, exponent, interleaved, median, ratio, timed
from benchmarks.overhead import DURATION, recurrent
from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.estimators.adjoint import AdjointNetwork
from bridge.estimators.base import DynamicBatch
from bridge.estimators.finite_difference import FiniteDifference
from bridge.losses.waveform import WaveformMSE
from bridge.simulator import Simulator

STEPS = 500
SAMPLES = 16
SIZES = ((3, 1, 2), (8, 2, 4), (20, 5, 16), (48, 20, 45), (60, 40, 60), (100, 48, 100))
"""Nodes, channels and conductances a source: 10 to 10,000 parameters."""
SPARSE = (250, 4, 20)
"""A network of nodes with few neighbours: the adjoint network is nearly as large as the free one."""


@dataclass(frozen=True)
class FreeTransients:
    """The free transients of a batch and nothing else."""

    batch: DynamicBatch

    def run(self, phases: DynamicPhases) -> float:
        """Their time [s]."""
        signals = [self.batch.signals(k) for k in range(len(self.batch))]
        return timed(lambda: [phases.free(s) for s in signals])


@dataclass(frozen=True)
class Update:
    """All parameters written into both circuits."""

    def run(self, phases: DynamicPhases) -> float:
        """The time that takes [s]."""
        changed = phases.parameters * 1.0001

        def write() -> None:
            phases.update(changed)
            phases.adjoint_circuit()

        return timed(write)


def measure(size: tuple[int, int, int], settings: Settings) -> dict[str, Any]:
    """One row."""
    network, one = recurrent(*size)
    parameters = len(network.trainable)
    batch = DynamicBatch(one.times, np.repeat(one.drives, SAMPLES, axis=0), list(one.targets) * SAMPLES)
    loss = WaveformMSE(one.times)
    plan = DynamicPlan(network, DURATION, DURATION / STEPS)
    with Simulator(plan, time_limit=900.0) as simulator:
        free: list[float] = []
        update: list[float] = []
        share: list[float] = []

        def gradient() -> None:
            before = simulator.usage()["ngspice_seconds"]
            seconds = timed(lambda: simulator.gradient(batch, loss, AdjointNetwork()))
            share.append((simulator.usage()["ngspice_seconds"] - before) / seconds)

        simulator.pool.map([Update()])
        work: dict[str, Callable[[], Any]] = {
            "free": lambda: free.append(simulator.pool.map([FreeTransients(batch)])[0]),
            "gradient": gradient,
            "update": lambda: update.append(simulator.pool.map([Update()])[0]),
        }
        if few := parameters <= 20:
            work["differences"] = lambda: simulator.gradient(batch, loss, FiniteDifference())
        found = interleaved(work, settings.rounds)
    free, update, share = free[1:], update[1:], share[1:]
    against = median(found["differences"]) if few else 2 * parameters * median(free)
    return {
        "nodes": size[0],
        "elements": len(network.elements),
        "parameters": parameters,
        "free transient [ms]": 1e3 * median(free) / SAMPLES,
        "gradient [ms]": 1e3 * median(found["gradient"]) / SAMPLES,
        "gradient / free transient": ratio(found["gradient"], free),
        "share inside ngspice": median(share),
        "finite differences / gradient": against / median(found["gradient"]),
        "update of all [ms]": 1e3 * median(update),
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
            f"A gradient of all conductances by the adjoint network, {STEPS} steps a transient; times a "
            f"sample of a minibatch of {SAMPLES}. Finite differences are central ones: measured in the first "
            "row, counted as two free transients a parameter in the others. The gradient's time grows as the "
            f"{grows:.2g}th power of the number of parameters in the rows from 200 on that gain parameters "
            "faster than nodes.",
            rows,
        )
    ]


if __name__ == "__main__":
    from benchmarks.gradient import tables as importable  # workers cannot import __main__

    command(__doc__, importable)
