"""Time and memory of large crossbar arrays with wire resistance: read-out and gradient of every conductance.

    python -m benchmarks.array [--sizes 100 200 316]

Every row is driven, every column ends in a sense resistor, whose voltage is an output. The gradient of a
squared error is that of equilibrium propagation, a free and two nudged phases; it is compared with the
adjoint of a sparse nodal solve written out here. Each size has a process and so a memory of its own.
"""

from __future__ import annotations

import argparse
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

from benchmarks.common import Settings, Table, command, exponent
from bridge.estimators import Equilibrium
from bridge.estimators.base import Batch
from bridge.losses import make_loss
from bridge.phases import StaticPhases
from bridge.plans import StaticPlan
from circuits.network import Network, Output
from circuits.topologies.crossbar import Lines, crossbar

WIRE, DRIVER, SENSE = 2.0, 50.0, 50.0


def array(size: int) -> tuple[Network, np.ndarray]:
    """A square array of resistors from 1 to 10 uS, its sense resistors' upper ends as outputs."""
    g = np.random.default_rng(0).uniform(1e-6, 1e-5, (size, size))
    network = crossbar(size, size, values=g, fidelity="ideal", lines=Lines(WIRE, DRIVER, SENSE))
    outputs = tuple(Output(f"col{j}_n") for j in range(size))
    return replace(network, outputs=outputs, probes=()), g


def exact(g: np.ndarray, rows: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outputs [V] `(n,)`; derivative of their mean squared error by each conductance `(n, n)` [V^2/S]."""
    n = len(g)
    row = np.arange(n * n).reshape(n, n)
    column = row + n * n
    pairs = [
        (row.ravel(), column.ravel(), g.ravel()),
        (row[:, :-1].ravel(), row[:, 1:].ravel(), np.full(n * (n - 1), 1 / WIRE)),
        (column[:-1].ravel(), column[1:].ravel(), np.full(n * (n - 1), 1 / WIRE)),
    ]
    p, q, s = (np.concatenate(part) for part in zip(*pairs, strict=True))
    ends = np.concatenate([row[:, 0], column[-1]])
    near = np.concatenate([np.full(n, 1 / (DRIVER + WIRE)), np.full(n, 1 / (SENSE + WIRE))])
    places = (np.concatenate([p, q, p, q, ends]), np.concatenate([p, q, q, p, ends]))
    matrix = coo_array((np.concatenate([s, s, -s, -s, near]), places), shape=(2 * n * n, 2 * n * n))
    solve = splu(matrix.tocsc()).solve
    right = np.zeros(2 * n * n)
    right[row[:, 0]] = rows / (DRIVER + WIRE)
    v = solve(right)
    share = SENSE / (SENSE + WIRE)
    outputs = share * v[column[-1]]
    error = np.zeros(2 * n * n)
    error[column[-1]] = share * 2.0 * (outputs - target) / n
    adjoint = solve(error)
    return outputs, -(v[row] - v[column]) * (adjoint[row] - adjoint[column])


def measured(size: int) -> dict[str, Any]:
    """One row of the table."""
    rng = np.random.default_rng(1)
    drives, target = rng.uniform(0.0, 0.2, size), np.full(size, 0.002)
    start = time.perf_counter()
    network, g = array(size)
    plan = StaticPlan(network)
    built = time.perf_counter()
    phases = StaticPhases(plan)
    row = network.drive_values(drives[None])
    phases.free(row[0])
    loaded = time.perf_counter()
    phases.free(row[0])
    read = time.perf_counter()
    batch, loss, estimator = Batch(row, target[None]), make_loss("mse"), Equilibrium(1e-5)
    tasks = estimator.tasks(plan, batch, loss)
    prepared = time.perf_counter()
    found = estimator.combine(plan, batch, [t.run(phases) for t in tasks]).gradient
    done = time.perf_counter()
    wanted = exact(g, drives, target)[1].ravel()
    return {
        "array": f"{size} x {size}",
        "devices": size * size,
        "network [s]": built - start,
        "load and first read-out [s]": loaded - built,
        "read-out [s]": read - loaded,
        "gradient [s]": done - prepared,
        "gradient / read-out": (done - prepared) / (read - loaded),
        "error of the gradient": float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted)),
        "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
    }


def tables(settings: Settings) -> list[Table]:
    """One row a size."""
    rows = []
    for size in settings.more["sizes"]:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows.append(pool.submit(measured, size).result())
    counts = [r["devices"] for r in rows]
    powers = {k: exponent(counts, [r[k] for r in rows]) for k in ("read-out [s]", "gradient [s]", "MiB")}
    caption = (
        "Crossbar arrays with wire resistance. With the number of devices the read-out grows as the "
        f"{powers['read-out [s]']:.2g}th power, the gradient as the {powers['gradient [s]']:.2g}th, "
        f"the memory as the {powers['MiB']:.2g}th."
    )
    return [Table("array", caption, rows, "each size measured once")]


def extend(made: argparse.ArgumentParser) -> None:
    """The module's own arguments."""
    made.add_argument("--sizes", type=int, nargs="+", default=[100, 200, 316])


if __name__ == "__main__":
    command(__doc__, tables, extend)
