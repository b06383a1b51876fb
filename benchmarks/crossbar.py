"""Time and memory of crossbar arrays: programming of 32 x 32 x 2 devices, read-out of 128 x 128.

    python -m benchmarks.crossbar [--rows 32] [--size 128] [--json FILE]

`experiments/programming/crossbar_32.yaml` is programmed as `tellegen program` does, with ideal and resistive
lines. The read-out drives every row of a 128 x 128 array with resistive lines at once. Currents are compared
with a sparse nodal solve written out here: resistors must agree; devices, whose law bends, see a little less
than the read voltage behind the lines and differ by that.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.linalg import spsolve

from benchmarks.common import Idle, Settings, Table, command
from bridge.ngspice.drives import constant
from bridge.ngspice.openvaf import usable
from bridge.ngspice.pool import Pool
from bridge.ngspice.session import Session
from bridge.updates.programming import Programmed, make_programmer
from bridge.updates.programming.service import Programming, peak_memory
from bridge.updates.programming.spec import load_program
from circuits.deck import SolverOptions
from circuits.devices.memristors import MEMRISTORS
from circuits.netlist import build_deck
from circuits.topologies.crossbar import Lines, crossbar

FILE = Path(__file__).parents[1] / "experiments" / "programming" / "crossbar_32.yaml"
GOAL = 0.01
"""Error of a conductance that counts as programmed."""
WIRE, DRIVER, SENSE = 2.0, 50.0, 50.0


def programming(rows: int) -> list[dict[str, Any]]:
    """One row for ideal and one for resistive lines."""
    found = []
    sizes = (f"array.rows={rows}", f"array.columns={rows}")
    for lines, more in (
        ("ideal", ("array.wire_resistance=0", "array.driver_resistance=0")),
        ("resistive", ()),
    ):
        spec = load_program(FILE, (*sizes, *more))
        array, settings = spec.build()
        targets = spec.targets(array)
        start = time.perf_counter()
        with Programming(make_programmer(spec.programmer.kind, array, settings)) as worker:
            result = worker.program(targets, 0.5, 0)
            wall = time.perf_counter() - start
            inside, memory = worker.usage()["ngspice_seconds"], worker.memory
        found.append(
            {
                "lines": lines,
                "devices": targets.size,
                **precision(result, targets),
                "pulses": int(result.pulses.sum()),
                "rounds": result.rounds,
                "seconds": wall,
                "seconds in ngspice": inside,
                "MiB": memory / 2**20,
            }
        )
    return found


def precision(result: Programmed, targets: np.ndarray) -> dict[str, float]:
    """How near devices are to their targets, as read in the array and by their own conductances."""
    read, own = (np.abs(v / targets - 1.0) for v in (result.measured, result.conductances))
    return {
        "read within 1 %": float((read <= GOAL).mean()),
        "worst as read": float(read.max()),
        "devices within 1 %": float((own <= GOAL).mean()),
        "median error": float(np.median(own)),
        "worst error": float(own.max()),
    }


def nodal(g: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Column currents [A] of an array of resistors by a sparse nodal solve; columns are held at 0 V."""
    m, n = g.shape
    row = np.arange(m * n).reshape(m, n)
    column = row + m * n
    wire = np.full(1, 1.0 / WIRE)
    pairs = [
        (row.ravel(), column.ravel(), g.ravel()),
        (row[:, :-1].ravel(), row[:, 1:].ravel(), np.broadcast_to(wire, m * (n - 1))),
        (column[:-1].ravel(), column[1:].ravel(), np.broadcast_to(wire, (m - 1) * n)),
    ]
    p, q, s = (np.concatenate(part) for part in zip(*pairs, strict=True))
    ends = np.concatenate([row[:, 0], column[-1]])
    near = np.concatenate([np.full(m, 1 / (DRIVER + WIRE)), np.full(n, 1 / (SENSE + WIRE))])
    places = (np.concatenate([p, q, p, q, ends]), np.concatenate([p, q, q, p, ends]))
    matrix = coo_array((np.concatenate([s, s, -s, -s, near]), places), shape=(2 * m * n, 2 * m * n))
    right = np.zeros(2 * m * n)
    right[row[:, 0]] = rows / (DRIVER + WIRE)
    return np.asarray(spsolve(matrix.tocsc(), right)[column[-1]] / (SENSE + WIRE))


class Reader(Idle):
    """Makes the read-outs in a worker; a task is a fidelity and a solver."""

    def __init__(self, size: int) -> None:
        device = MEMRISTORS["yakopcic"]
        self.size, self.device, self.values = size, device, device.values("miao")
        self.states = np.random.default_rng(0).uniform(0.1, 0.9, (size, size))
        self.g = device.read_conductance({**self.values, "x": self.states}) / 100.0
        self.values = {**self.values, "a1": self.values["a1"] / 100.0, "a2": self.values["a2"] / 100.0}

    def run(self, task: tuple[str, bool]) -> dict[str, Any]:
        """One row of the table, and the currents."""
        fidelity, klu = task
        n, lines = self.size, Lines(WIRE, DRIVER, SENSE)
        begin = time.perf_counter()
        if fidelity == "ideal":
            network = crossbar(n, n, values=self.g, fidelity="ideal", lines=lines)
        else:
            network = crossbar(n, n, self.device, self.states, fidelity=fidelity, parameters=self.values,  # type: ignore[arg-type]
                               lines=lines)  # fmt: skip
        network = replace(network, trainable=())
        saves = tuple(f"i(v{p})" for p in network.probes)
        options = SolverOptions(klu=klu, trtol=1e6, reltol=1e-9, abstol=1e-15)
        deck = build_deck(network, options, nudges=False, saves=saves, time_scale=1e-6,
                          realisation=usable("auto", network))  # fmt: skip
        circuit = Session().load(deck)
        loaded = time.perf_counter()
        drives = [constant(network.drive_values(np.full(n, self.device.read_voltage)))]
        if fidelity == "dynamic":
            currents = circuit.transient(drives, 1e-9, 2e-10).final
            what = "transient, 5 steps"
        else:
            currents, what = circuit.operating_point(drives), "operating point"
        done = time.perf_counter()
        return {"fidelity": fidelity, "what": what, "solver": "KLU" if klu else "SPARSE",
                "elements": len(network.elements), "seconds to load": loaded - begin,
                "seconds to read": done - loaded, "MiB": peak_memory() / 2**20,
                "currents": currents}  # fmt: skip


class ReaderOf:
    """Picklable factory of a reader."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self) -> Reader:
        """Make it."""
        return Reader(self.size)


def reading(size: int) -> list[dict[str, Any]]:
    """One row a fidelity, each in a worker of its own."""
    reader = Reader(size)
    rows = np.full(size, reader.device.read_voltage)
    start = time.perf_counter()
    exact = nodal(reader.g, rows)
    own = time.perf_counter() - start
    from benchmarks.crossbar import ReaderOf as Importable  # workers cannot import __main__

    found: list[dict[str, Any]] = []
    for task in (("ideal", True), ("static", True), ("dynamic", True)):
        with Pool(Importable(size), time_limit=600.0) as pool:
            row = pool.map([task])[0]
        currents = row.pop("currents")
        row["from the nodal solve"] = float(np.abs(currents / exact - 1.0).max())
        row["seconds of the nodal solve"] = own
        found.append(row)
    return found


ONCE = "one run"


def tables(settings: Settings) -> list[Table]:
    """Both tables."""
    rows, size = settings.more["rows"], settings.more["size"]
    return [
        Table(
            "crossbar",
            f"Programming of {rows} x {rows} weights of two devices by write-verify, from one state to "
            "random targets; errors as shares of the target.",
            programming(rows),
            ONCE,
        ),
        Table(
            "crossbar-reading",
            f"Read-out of {size} x {size} devices, {WIRE:g} Ohm a segment.",
            reading(size),
            ONCE,
        ),
    ]


def extend(parser: argparse.ArgumentParser) -> None:
    """The module's own arguments."""
    parser.add_argument("--rows", type=int, default=32, help="rows and weights a row of the programming")
    parser.add_argument("--size", type=int, default=128, help="rows and columns of the read-out")


if __name__ == "__main__":
    command(__doc__, tables, extend)
