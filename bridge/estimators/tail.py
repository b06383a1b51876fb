"""What an adjoint phase still owes when the free phase started from an operating point.

An operating point at t = 0 is an infinite past with constant inputs. The adjoint goes on after
`tau = T` with the playback frozen at t = 0; the integral of what follows is one linear solve.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.dynamics import DynamicPhases
from bridge.groups import make_group
from bridge.transistors import linearisation
from bridge.waveforms import Waveforms
from circuits.adjoint import adjoint_state
from circuits.devices.base import Element
from circuits.mna import linearise

FloatArray = NDArray[np.float64]


def adjoint_tail(
    phases: DynamicPhases,
    free: Waveforms,
    adjoint: Waveforms,
    scales: dict[tuple[str, str], float],
) -> FloatArray:
    """Integral of every adjoint signal after `tau = T`, `(n_adjoint_signals,)`."""
    network = phases.valued
    start = Waveforms(free.time[:1], free.values[:1], free.names, free.units)

    # ngspice reports no charges of transistors at an operating point: those of the first step stand for them.
    after = Waveforms(free.time[1:2], free.values[1:2], free.names, free.units)
    transistors, g, c = linearisation(phases, after)

    def values(element: Element) -> dict[str, Any]:
        if element.name in transistors:
            place = transistors[element.name]
            return {"g": g[0, place], "c": c[0, place]}
        signals = make_group(element.device, [element]).signals(start)
        return {name: np.ravel(v)[0] for name, v in signals.items()}

    factor = {}
    for (name, state), k in scales.items():
        device = network.element(name).device
        scale = next(s.scale for s in device.states if s.name == state)
        factor[f"v({adjoint_state(name, state)})".lower()] = k / scale
    now = dict.fromkeys(phases.held, 0.0) | {
        name: float(value) * factor.get(name, 1.0)
        for name, value in zip(adjoint.names, adjoint.final, strict=True)
    }
    found = linearise(network, values).adjoint_tail(now)
    return np.array([found.get(name, 0.0) / factor.get(name, 1.0) for name in adjoint.names])
