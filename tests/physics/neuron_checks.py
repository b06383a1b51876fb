"""What the tests of neurons and of control ports share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bridge.dynamics import FIXED_GRID, DynamicPhases, DynamicPlan
from bridge.estimators.adjoint import AdjointNetwork, AdjointTask
from bridge.estimators.base import DynamicBatch
from bridge.estimators.finite_difference import DifferenceTask
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice import openvaf
from bridge.ngspice.session import Session
from circuits.devices.base import Device, Element, Parameter
from circuits.netlist import Realisation
from circuits.network import Network, Trainable

REALISATIONS: list[Realisation] = ["behavioural", "veriloga"]
TIGHT = replace(FIXED_GRID, reltol=1e-8, vntol=1e-10, trtol=1e9)


def available(realisation: Realisation) -> Realisation:
    if realisation == "veriloga" and not openvaf.available():
        pytest.skip("no Verilog-A compiler")
    return realisation


def compared(
    network: Network,
    session: Session,
    duration: float,
    step: float,
    drives: np.ndarray,
    target: np.ndarray,
    **plan: Any,
) -> float:
    """Relative error of the adjoint's gradient, in units of each parameter's size."""
    times = np.linspace(0.0, duration, len(drives))
    phases = DynamicPhases(DynamicPlan(network, duration, step, options=TIGHT, **plan), session)
    batch = DynamicBatch(times, drives[None], [target])
    loss = WaveformMSE(times)
    AdjointNetwork().check(phases.plan)
    _, mine, _ = AdjointTask(batch, 0, loss).run(phases)
    places = tuple(range(len(network.trainable)))
    theirs = DifferenceTask(batch, loss, places, 1e-5).run(phases)
    size = np.where(network.parameters == 0.0, phases.typical, np.abs(network.parameters))
    return float(np.linalg.norm((mine - theirs) * size) / np.linalg.norm(theirs * size))


def trained(elements: Sequence[Element], wanted: dict[str, tuple[str, ...]]) -> tuple[Trainable, ...]:
    device = {e.name: e.device for e in elements}

    def bounds(d: Device, name: str) -> Parameter:
        return d.parameters[d.index(name)]

    return tuple(
        Trainable(e, p, bounds(device[e], p).lower, bounds(device[e], p).upper)
        for e, ps in wanted.items()
        for p in ps
    )
