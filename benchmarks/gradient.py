"""Cost of a gradient against one free transient of the same network.

    python -m benchmarks.gradient [--rounds 5] [--json]

Recurrent RLC networks of growing size, all conductances trainable. A gradient is the free phase, the adjoint
phase and all parameters' integrals; it is compared with the free phase alone, in the same process and round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time

import numpy as np

from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.estimators import DynamicBatch
from bridge.estimators.adjoint import AdjointTask
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice.library import find_library
from bridge.ngspice.session import Session
from circuits.topologies.rlc import Reactances, rlc

DURATION, STEPS = 1e-6, 500
SIZES = ((10, 2, 4), (20, 5, 16), (48, 20, 45), (60, 40, 60))  # nodes, channels, conductances a source


def measure(rounds: int) -> list[dict[str, float]]:
    """One row a size: medians over the rounds."""
    session = Session()
    times = np.linspace(0.0, DURATION, 201)
    target = 0.1 * np.sin(2 * np.pi * 1.7 * times / DURATION)[:, None]
    loss = WaveformMSE(times)
    rows = []
    for nodes, channels, fan in SIZES:
        drives = 0.5 * np.sin(2 * np.pi * np.outer(times / DURATION, np.linspace(1.0, 4.0, channels)))
        reactances = Reactances(capacitance=1e-11, inductors=nodes // 10, inductance=1e-5, diodes=0.1)
        network = rlc(nodes, channels, 1, degree=6.0, fan=fan, reactances=reactances)
        phases = DynamicPhases(DynamicPlan(network, DURATION, DURATION / STEPS), session)
        batch = DynamicBatch(times, network.drive_values(drives)[None], [target])
        task = AdjointTask(batch, 0, loss)
        task.run(phases)
        free, whole = [], []
        for _ in range(rounds):
            start = time.perf_counter()
            phases.free(batch.signals(0))
            middle = time.perf_counter()
            task.run(phases)
            free.append(middle - start)
            whole.append(time.perf_counter() - middle)
        ratios = [w / f for w, f in zip(whole, free, strict=True)]
        rows.append(
            {
                "nodes": nodes,
                "parameters": len(network.trainable),
                "free ms": 1e3 * statistics.median(free),
                "gradient ms": 1e3 * statistics.median(whole),
                "ratio": statistics.median(ratios),
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
    print(f"ngspice {library.version}, Python {platform.python_version()}, {os.cpu_count()} cores,")
    print(f"median of {arguments.rounds} rounds, {STEPS} steps a transient\n")
    print("| nodes | parameters | free transient [ms] | gradient [ms] | gradient / free transient |")
    print("|---:|---:|---:|---:|---:|")
    for row in rows:
        print(
            f"| {row['nodes']} | {row['parameters']} | {row['free ms']:.1f} | {row['gradient ms']:.1f} "
            f"| {row['ratio']:.2f} |"
        )


if __name__ == "__main__":
    main()
