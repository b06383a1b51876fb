"""Tellegen: analog networks that learn in ngspice from gradients local to each device.

The names below are imported when they are first used: `import bridge` loads neither ngspice nor anything
else. `circuits` describes networks, `bridge` simulates and trains them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.dynamic_plan import DynamicPlan
    from bridge.errors import TellegenError
    from bridge.estimators import (
        AdjointNetwork,
        Batch,
        CoupledLearning,
        DynamicBatch,
        Equilibrium,
        FiniteDifference,
        Gradient,
        Lagrangian,
        OperatingPointAdjoint,
    )
    from bridge.experiment.build import Experiment
    from bridge.experiment.training import run_experiment
    from bridge.losses import make_loss, make_waveform_loss
    from bridge.ngspice.drives import Signals, constant, sampled
    from bridge.ngspice.session import Session
    from bridge.phases import StaticPhases
    from bridge.plans import Settling, StaticPlan
    from bridge.simulator import Simulator
    from bridge.sweep.results import Sweep
    from bridge.sweep.sweeping import run_sweep
    from bridge.updates.optimizers import make_optimizer
    from bridge.validation.gradcheck import gradcheck
    from bridge.waveforms import Waveforms
    from circuits.devices.memristors import MEMRISTORS
    from circuits.importer import import_netlist
    from circuits.netlist import build_deck
    from circuits.network import Drive, Network, Output, Trainable
    from circuits.topologies.clln import clln
    from circuits.topologies.crossbar import crossbar
    from circuits.topologies.graph import graph
    from circuits.topologies.layered import Conductances, layered
    from circuits.topologies.rlc import rlc
    from circuits.topologies.transistor import transistor_network

__all__ = [
    "MEMRISTORS",
    "AdjointNetwork",
    "Batch",
    "Conductances",
    "CoupledLearning",
    "Drive",
    "DynamicBatch",
    "DynamicPlan",
    "Equilibrium",
    "Experiment",
    "FiniteDifference",
    "Gradient",
    "Lagrangian",
    "Network",
    "OperatingPointAdjoint",
    "Output",
    "Session",
    "Settling",
    "Signals",
    "Simulator",
    "StaticPhases",
    "StaticPlan",
    "Sweep",
    "TellegenError",
    "Trainable",
    "Waveforms",
    "build_deck",
    "clln",
    "constant",
    "crossbar",
    "gradcheck",
    "graph",
    "import_netlist",
    "layered",
    "make_loss",
    "make_optimizer",
    "make_waveform_loss",
    "rlc",
    "run_experiment",
    "run_sweep",
    "sampled",
    "transistor_network",
]

_HOMES = {
    "bridge.dynamic_plan": ("DynamicPlan",),
    "bridge.errors": ("TellegenError",),
    "bridge.estimators": (
        "AdjointNetwork",
        "Batch",
        "CoupledLearning",
        "DynamicBatch",
        "Equilibrium",
        "FiniteDifference",
        "Gradient",
        "Lagrangian",
        "OperatingPointAdjoint",
    ),
    "bridge.experiment.build": ("Experiment",),
    "bridge.experiment.training": ("run_experiment",),
    "bridge.losses": ("make_loss", "make_waveform_loss"),
    "bridge.ngspice.drives": ("Signals", "constant", "sampled"),
    "bridge.ngspice.session": ("Session",),
    "bridge.phases": ("StaticPhases",),
    "bridge.plans": ("Settling", "StaticPlan"),
    "bridge.simulator": ("Simulator",),
    "bridge.sweep.results": ("Sweep",),
    "bridge.sweep.sweeping": ("run_sweep",),
    "bridge.updates.optimizers": ("make_optimizer",),
    "bridge.validation.gradcheck": ("gradcheck",),
    "bridge.waveforms": ("Waveforms",),
    "circuits.devices.memristors": ("MEMRISTORS",),
    "circuits.importer": ("import_netlist",),
    "circuits.netlist": ("build_deck",),
    "circuits.network": ("Drive", "Network", "Output", "Trainable"),
    "circuits.topologies.clln": ("clln",),
    "circuits.topologies.crossbar": ("crossbar",),
    "circuits.topologies.graph": ("graph",),
    "circuits.topologies.layered": ("Conductances", "layered"),
    "circuits.topologies.rlc": ("rlc",),
    "circuits.topologies.transistor": ("transistor_network",),
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
