"""Tellegen: analog networks that learn in ngspice from gradients local to each device.

The names below are imported when they are first used: `import bridge` loads neither ngspice nor anything
else. `circuits` describes networks, `bridge` simulates and trains them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.errors import TellegenError
    from bridge.estimators import Batch, Equilibrium, FiniteDifference, Gradient
    from bridge.experiment.build import Experiment
    from bridge.experiment.training import run_experiment
    from bridge.losses import make_loss
    from bridge.ngspice.drives import Signals, constant, sampled
    from bridge.ngspice.session import Session
    from bridge.phases import Settling, StaticPhases, StaticPlan
    from bridge.simulator import Simulator
    from bridge.updates.optimizers import make_optimizer
    from bridge.waveforms import Waveforms
    from circuits.netlist import build_deck
    from circuits.network import Drive, Network, Output, Trainable
    from circuits.topologies.graph import graph
    from circuits.topologies.layered import Conductances, layered

__all__ = [
    "Batch",
    "Conductances",
    "Drive",
    "Equilibrium",
    "Experiment",
    "FiniteDifference",
    "Gradient",
    "Network",
    "Output",
    "Session",
    "Settling",
    "Signals",
    "Simulator",
    "StaticPhases",
    "StaticPlan",
    "TellegenError",
    "Trainable",
    "Waveforms",
    "build_deck",
    "constant",
    "graph",
    "layered",
    "make_loss",
    "make_optimizer",
    "run_experiment",
    "sampled",
]

_HOMES = {
    "bridge.errors": ("TellegenError",),
    "bridge.estimators": ("Batch", "Equilibrium", "FiniteDifference", "Gradient"),
    "bridge.experiment.build": ("Experiment",),
    "bridge.experiment.training": ("run_experiment",),
    "bridge.losses": ("make_loss",),
    "bridge.ngspice.drives": ("Signals", "constant", "sampled"),
    "bridge.ngspice.session": ("Session",),
    "bridge.phases": ("Settling", "StaticPhases", "StaticPlan"),
    "bridge.simulator": ("Simulator",),
    "bridge.updates.optimizers": ("make_optimizer",),
    "bridge.waveforms": ("Waveforms",),
    "circuits.netlist": ("build_deck",),
    "circuits.network": ("Drive", "Network", "Output", "Trainable"),
    "circuits.topologies.graph": ("graph",),
    "circuits.topologies.layered": ("Conductances", "layered"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import one of the public names from the module that holds it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
