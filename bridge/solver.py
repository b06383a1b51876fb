"""Which sparse solver a circuit is simulated with, where the options leave it open.

ngspice has two: SPARSE, which reorders the matrix again for every operating point, and KLU (Davis and
Palamadai Natarajan, ACM Trans. Math. Softw. 37(3), 36, 2010). KLU costs more for the first factorisation and
less for each further one, so where it begins to pay depends on the analysis: `python -m benchmarks.solvers`
measures it. The choice depends on the network's size and the library alone, never on a clock: a run that is
resumed makes the same one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from bridge.ngspice.engine import Engine
from bridge.ngspice.library import find_library
from circuits.deck import SolverOptions
from circuits.network import Network

Analysis = Literal["operating_point", "sequence", "transient"]

LEAST_NODES: dict[Analysis, int] = {"operating_point": 180, "sequence": 80, "transient": 50}
"""Nodes from which KLU is the faster one: for single operating points, for those found each from the one
before, and for transients."""


def with_solver(options: SolverOptions, network: Network, analysis: Analysis) -> SolverOptions:
    """The options with the solver chosen, where they leave it open.

    Args:
        options: with `klu` true, false, or `None` to have it chosen.
        network: as it is loaded.
        analysis: what it is loaded for.
    """
    if options.klu is not None:
        return options
    least = LEAST_NODES[analysis]
    large = len(network.nodes) >= least or len(network.flat().nodes) >= least
    return replace(options, klu=large and _available())


def _available() -> bool:
    """Whether the library that this process uses, or would use, has KLU."""
    engine = Engine.loaded()
    library = engine.library if engine is not None else find_library()
    return library.features.klu
