"""SPARSE against KLU: what the choice in `bridge.solver` rests on.

    python -m benchmarks.solvers [--full] [--rounds 5] [--json FILE] [--write]

Layered and random networks as they are loaded, their synapses at inputs folded; single operating points,
operating points found each from the one before, and transients. Both solvers run in the same rounds; the
table shows how much faster KLU is, and what is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.common import Idle, Settings, Table, command, interleaved, ratio
from bridge.ngspice.drives import constant
from bridge.ngspice.pool import Pool
from bridge.ngspice.session import Session
from bridge.plans import Settling, StaticPlan
from bridge.solver import LEAST_NODES, Analysis
from circuits.deck import SolverOptions
from circuits.netlist import build_deck
from circuits.network import Network
from circuits.topologies.graph import graph
from circuits.topologies.layered import layered

NETWORKS: dict[str, Callable[[], Network]] = {
    "graph, 20": lambda: graph(20, 4, 2, degree=4.0),
    "8-10-3": lambda: layered(4, [10], 3, gain=4.0),
    "graph, 50": lambda: graph(50, 4, 2, degree=4.0),
    "60-30-10": lambda: layered(30, [30], 10, gain=4.0),
    "graph, 100": lambda: graph(100, 4, 2, degree=4.0),
    "128-100-10, no amplifiers": lambda: layered(64, [100], 10),
    "graph, 150": lambda: graph(150, 4, 2, degree=4.0),
    "64-60-10": lambda: layered(32, [60], 10, gain=4.0),
    "graph, 200": lambda: graph(200, 4, 2, degree=4.0),
    "64-200-10, no amplifiers": lambda: layered(32, [200], 10),
    "128-100-10": lambda: layered(64, [100], 10, gain=4.0),
    "graph, 300": lambda: graph(300, 4, 2, degree=4.0),
    "graph, 600": lambda: graph(600, 4, 2, degree=4.0),
}
_FEW, _POINTS = 7, 16
_SETTLING = Settling(400e-9, 8e-9, 1e-12)


@dataclass(frozen=True)
class Compared(Idle):
    """Measures one network in a worker."""

    name: str
    rounds: int

    def __call__(self) -> Compared:
        """Nothing is loaded yet."""
        return self

    def run(self, task: int) -> dict[str, Any]:
        """The row of the table."""
        network, session = NETWORKS[self.name](), Session()
        rng = np.random.default_rng(0)
        drives = network.drive_values(rng.uniform(-1, 1, (_POINTS, network.n_features)))
        reduction = StaticPlan(network).reduction()
        loaded = network if reduction is None else reduction.network
        if reduction is not None:
            drives = reduction.sources(drives, reduction.matrix(reduction.values))
        values = np.hstack([drives, np.zeros((_POINTS, len(network.outputs)))])
        work: dict[str, Callable[[], Any]] = {}
        for klu in (False, True):
            options = SolverOptions(klu=klu)
            static = session.load(build_deck(loaded, options))
            settling = StaticPlan(network, _SETTLING, options)
            moving = session.load(settling.loaded_deck(settling.reduction()))
            work[f"operating_point {klu}"] = lambda c=static: [
                c.operating_point([constant(v)]) for v in values
            ]
            work[f"sequence {klu}"] = lambda c=static: c.operating_points(values)
            work[f"transient {klu}"] = lambda c=moving: c.transient(
                [constant(values[0])], _SETTLING.duration, _SETTLING.step
            )
        found = interleaved(work, self.rounds)
        nodes = len(loaded.flat().nodes)
        row: dict[str, Any] = {"network": self.name, "nodes": nodes, "elements": len(loaded.elements)}
        for analysis, least in LEAST_NODES.items():
            faster = ratio(found[f"{analysis} False"], found[f"{analysis} True"])
            row[_TITLES[analysis]] = faster
            row[f"chosen, {_TITLES[analysis]}"] = "KLU" if nodes >= least else "SPARSE"
        return row


_TITLES: dict[Analysis, str] = {
    "operating_point": "operating points",
    "sequence": "in sequence",
    "transient": "transients",
}


def tables(settings: Settings) -> list[Table]:
    """The table."""
    names = list(NETWORKS) if settings.full else list(NETWORKS)[:_FEW]
    rows = []
    for name in names:
        with Pool(Compared(name, settings.rounds), time_limit=900.0) as pool:
            rows.append(pool.map([0])[0])
    caption = (
        "Time with SPARSE over time with KLU: above 1, KLU is the faster one. Where `engine.klu` is left "
        "out, KLU is used from "
        + ", ".join(f"{least} nodes ({_TITLES[a]})" for a, least in LEAST_NODES.items())
        + " on."
    )
    return [Table("solvers", caption, rows)]


if __name__ == "__main__":
    from benchmarks.solvers import tables as importable  # workers cannot import __main__

    command(__doc__, importable)
