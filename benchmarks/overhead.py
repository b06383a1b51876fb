"""Share of a training step's wall time that is spent inside ngspice.

    python -m benchmarks.overhead [--rounds 5] [--json]

Two networks: 30-30-10 as settling transients, and an Iris-size one (8-10-3 conductances) as operating
points. A step is the gradient of a minibatch by equilibrium propagation (a free and two nudged phases a
sample) and the update of all conductances in the loaded circuit. For operating points the step's time is
also compared with what ngspice alone needs for the same number of `op` commands on the same circuit,
measured in the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from dataclasses import dataclass

import numpy as np

from bridge.estimators import Equilibrium
from bridge.estimators.base import Batch
from bridge.losses import make_loss
from bridge.ngspice.drives import constant
from bridge.ngspice.library import find_library
from bridge.ngspice.session import Session
from bridge.phases import Settling, StaticPlan
from bridge.simulator import Simulator
from bridge.updates.optimizers import make_optimizer
from circuits.network import Network
from circuits.topologies.layered import layered


@dataclass(frozen=True)
class Case:
    """One network and how it is trained."""

    name: str
    plan: StaticPlan
    batch: int
    steps: int


def cases() -> list[Case]:
    """The networks of the table."""
    settling = Settling(400e-9, 2e-9, 1e-12)
    return [
        Case("30-30-10, transients", StaticPlan(layered(30, [30], 10, gain=4.0), settling), 8, 2),
        Case("Iris-size, operating points", StaticPlan(layered(4, [10], 3, gain=4.0)), 30, 20),
    ]


def samples(network: Network, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random features and one-hot targets."""
    rng = np.random.default_rng(0)
    targets = np.eye(len(network.outputs))[rng.integers(len(network.outputs), size=count)]
    return rng.uniform(-1, 1, (count, network.n_features)), targets


def training_step(case: Case, simulator: Simulator) -> tuple[float, float, int]:
    """Wall time, time inside ngspice [s] and number of simulations of a few training steps."""
    network = case.plan.network
    features, targets = samples(network, case.batch)
    loss = make_loss("cross_entropy", scale=10.0)
    lower, upper = network.bounds
    optimizer = make_optimizer("adam", len(lower), lower=lower, upper=upper, space="log")
    batch = simulator.batch(features, targets)
    before = simulator.usage()
    start = time.perf_counter()
    for _ in range(case.steps):
        found = simulator.gradient(batch, loss, Equilibrium(1e-7))
        simulator.parameters = optimizer.step(simulator.parameters, found.gradient, 0.01)
    wall = time.perf_counter() - start
    after = simulator.usage()
    runs = sum(after[k] - before[k] for k in ("operating_points", "transients"))
    return wall, after["ngspice_seconds"] - before["ngspice_seconds"], runs


def plain_op(case: Case, session: Session, circuit: object, count: int) -> float:
    """Time [s] of ngspice's own `op` command, `count` times on the same samples."""
    features, targets = samples(case.plan.network, case.batch)
    batch = Batch(case.plan.network.drive_values(features), targets)
    loaded = circuit._variants[()]  # type: ignore[attr-defined]
    engine = session.engine
    total = 0.0
    for k in range(count):
        loaded.table.play([constant(batch.drives[k % len(batch)])])
        engine.control.begin(loaded.table)
        start = time.perf_counter()
        engine.command("op")
        total += time.perf_counter() - start
        engine.command("destroy all")
    return total


def measure(rounds: int) -> list[dict[str, object]]:
    """One row a case: medians over the rounds."""
    rows = []
    session = Session()
    for case in cases():
        circuit = session.load(case.plan.deck())
        with Simulator(case.plan) as simulator:
            training_step(case, simulator)  # warm-up
            shares, ratios, walls = [], [], []
            for _ in range(rounds):
                wall, inside, runs = training_step(case, simulator)
                shares.append(inside / wall)
                walls.append(wall / runs)
                if case.plan.settling is None:
                    ratios.append(wall / plain_op(case, session, circuit, runs))
        rows.append(
            {
                "case": case.name,
                "elements": len(case.plan.network.elements),
                "share inside ngspice": statistics.median(shares),
                "times ngspice's own op": statistics.median(ratios) if ratios else None,
                "ms a simulation": 1e3 * statistics.median(walls),
            }
        )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = measure(arguments.rounds)
    if arguments.json:
        print(json.dumps(rows))
        return
    library = find_library()
    print(f"ngspice {library.version}, Python {platform.python_version()}, {os.cpu_count()} cores, ")
    print(f"median of {arguments.rounds} rounds, 1 worker\n")
    print("| network | elements | share of a step inside ngspice | step / ngspice's op | ms a simulation |")
    print("|---|---:|---:|---:|---:|")
    for row in rows:
        ratio = row["times ngspice's own op"]
        shown = "-" if ratio is None else f"{ratio:.2f}"
        print(
            f"| {row['case']} | {row['elements']} | {row['share inside ngspice']:.3f} | {shown} "
            f"| {row['ms a simulation']:.3f} |"
        )


if __name__ == "__main__":
    main()
