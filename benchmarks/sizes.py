"""Netlists, sessions and updates of all weights, by the network's size.

    python -m benchmarks.sizes [--full] [--rounds 5] [--json FILE] [--write]

For layered networks without reduction: the time to build the netlist and to load it, the memory that the
session takes in its worker, the time to `alter` all conductances, and an operating point. The exponents are
of power laws through the rows from 800 elements on. The second table trains for a while in one worker
and shows how its memory grows.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil

from benchmarks.common import Idle, Settings, Table, command, exponent, median
from benchmarks.overhead import samples
from bridge.estimators import Equilibrium
from bridge.losses import make_loss
from bridge.ngspice.drives import constant
from bridge.ngspice.pool import Pool
from bridge.ngspice.session import Session
from bridge.phases import StaticPhases
from bridge.plans import StaticPlan
from bridge.simulator import Simulator
from circuits.topologies.layered import layered

SIZES = ((4, 10, 3), (16, 20, 4), (64, 50, 10), (200, 200, 10))


@dataclass(frozen=True)
class Sized(Idle):
    """Measures one network in a worker of its own."""

    size: tuple[int, int, int]
    rounds: int

    def __call__(self) -> Sized:
        """Nothing is loaded yet."""
        return self

    def run(self, task: int) -> dict[str, Any]:
        """The row of the table."""
        features, hidden, outputs = self.size
        network = layered(features, [hidden], outputs)
        plan = StaticPlan(network, reduce=False, stream=False)
        process, session = psutil.Process(), Session()
        warm = StaticPhases(StaticPlan(layered(1, [1], 1)), session)
        warm.circuit.operating_point([])
        start = time.perf_counter()
        deck = plan.deck()
        built = time.perf_counter()
        resident = process.memory_info().rss
        phases = StaticPhases(plan, session)

        drives = samples(network, 1)[0]
        signals = [constant(np.append(network.drive_values(drives)[0], np.zeros(outputs)))]
        phases.circuit.operating_point(signals)
        resident = process.memory_info().rss - resident
        again = time.perf_counter()
        session.load(deck)
        loading = time.perf_counter() - again
        alters, points, kept = [], [], phases.parameters
        for k in range(self.rounds):
            start_alter = time.perf_counter()
            phases.update(kept * (1.0 + 0.01 * (k + 1)))
            middle = time.perf_counter()
            phases.circuit.operating_point(signals)
            alters.append(middle - start_alter)
            points.append(time.perf_counter() - middle)
        return {
            "elements": len(network.elements),
            "weights": len(network.trainable),
            "netlist [ms]": 1e3 * (built - start),
            "loading [ms]": 1e3 * loading,
            "session [MiB]": resident / 2**20,
            "alter all [ms]": 1e3 * median(alters),
            "alter one [us]": 1e6 * median(alters) / len(network.trainable),
            "operating point [ms]": 1e3 * median(points),
        }


def by_size(settings: Settings) -> Table:
    """The first table."""
    rows = []
    for size in SIZES if settings.full else SIZES[:3]:
        with Pool(Sized(size, settings.rounds), time_limit=900.0) as pool:
            rows.append(pool.map([0])[0])
    large = rows[1:]
    power = {
        key: exponent([r["elements"] for r in large], [r[key] for r in large])
        for key in ("netlist [ms]", "loading [ms]", "alter all [ms]", "operating point [ms]")
    }
    return Table(
        "sizes",
        "Layered networks, whole and without reduction. The memory is that of loading the circuit and of one "
        "operating point. Exponents in the number of elements: netlist "
        f"{power['netlist [ms]']:.2f}, loading {power['loading [ms]']:.2f}, `alter` of all "
        f"{power['alter all [ms]']:.2f}, operating point {power['operating point [ms]']:.2f}.",
        rows,
    )


def growth(settings: Settings) -> Table:
    """Memory of one worker over many updates."""
    network = layered(16, [20], 4)
    loss, estimator = make_loss("cross_entropy", scale=10.0), Equilibrium(1e-7)
    rows = []
    updates = 2000 if settings.full else 300
    with Simulator(StaticPlan(network), memory_growth=1 << 40) as simulator:
        batch = simulator.batch(*samples(network, 8))
        process = psutil.Process(simulator.pool.pids()[0])
        rng = np.random.default_rng(0)
        lower, upper = network.bounds
        start = simulator.parameters
        for k in range(updates + 1):
            simulator.gradient(batch, loss, estimator)
            simulator.parameters = np.clip(start * rng.uniform(0.9, 1.1, len(start)), lower, upper)
            if k in (0, updates // 4, updates // 2, updates):
                alters = k * len(network.trainable)
                rows.append(
                    {
                        "updates": k,
                        "alterations": alters,
                        "resident [MiB]": process.memory_info().rss / 2**20,
                    }
                )
    grown = 1024 * (rows[-1]["resident [MiB]"] - rows[1]["resident [MiB]"])
    each = grown / (rows[-1]["alterations"] - rows[1]["alterations"])
    return Table(
        "memory",
        f"Memory of one worker that is never replaced, {len(network.trainable)} weights and 24 operating "
        f"points an update: {each:.2g} kB an alteration, ngspice's own. A worker is replaced when it has "
        "grown by `engine.memory_limit`.",
        rows,
    )


def tables(settings: Settings) -> list[Table]:
    """Both tables."""
    return [by_size(settings), growth(settings)]


if __name__ == "__main__":
    from benchmarks.sizes import tables as importable  # workers cannot import __main__

    command(__doc__, importable)
