"""Cycles of the memristors' equations, as they are written out by hand for validation, in scipy."""

from __future__ import annotations

from itertools import pairwise
from math import exp, sinh

import numpy as np
from scipy.integrate import solve_ivp

from bridge.validation.devices.references.memristors import BOLTZMANN as KB
from bridge.validation.devices.references.memristors import EQUATIONS, Values
from circuits.devices.memristors.base import Memristor, Stimulus


def integrated(
    device: Memristor, values: Values, stimulus: Stimulus, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """States `(n_points, n_states)` and current `(n_points,)` of a cycle, by LSODA between the corners."""
    equations = EQUATIONS[device.kind]
    scale = np.array([s.scale for s in device.states])

    def rates(t: float, y: np.ndarray) -> np.ndarray:
        found = equations(float(stimulus.waveform(np.array(t))), y * scale, values)[1]
        return np.asarray(found / scale)

    y = np.array([values[s.initial] for s in device.states]) / scale
    found = np.tile(y, (len(times), 1))
    corners = np.linspace(0.0, stimulus.duration, 4 * stimulus.cycles + 1)
    for start, end in pairwise(corners):
        done = solve_ivp(rates, (start, end), y, method="LSODA", rtol=1e-9, atol=1e-12, dense_output=True,
                         max_step=stimulus.period / 200)  # fmt: skip
        assert done.success, done.message
        within = (times > start) & (times <= end * (1 + 1e-12))
        if within.any():
            found[within] = done.sol(np.minimum(times[within], end)).T
        y = done.y[:, -1]
    found *= scale
    voltages = stimulus.waveform(times)
    current = [equations(float(u), x, values)[0] for u, x in zip(voltages, found, strict=True)]
    return found, np.array(current)


def hard_stanford_voltage(values: Values, gap: float, sign: float, moved: float) -> float:
    """Where the gap has moved, in version 1.0.0 with its own hard threshold, on a ramp of 4 ms to 2 V [V]."""
    step = 4e-8
    for k in range(100_000):
        u = sign * 2.0 * k * step / 4e-3
        i = values["i0"] * exp(-gap / values["g0"]) * sinh(u / values["v0"])
        thermal = KB * (values["ambient"] + values["rth"] * abs(u * i))
        gamma = values["gamma0"] - values["beta"] * (gap / 1e-9) ** 3
        if gamma * abs(u) / values["tox"] < values["fmin"]:
            continue
        drive = sinh(gamma * values["a0"] / values["tox"] * u / thermal)
        moved -= abs(step * values["vel0"] * exp(-values["ea"] / thermal) * drive)
        gap -= step * values["vel0"] * exp(-values["ea"] / thermal) * drive
        if moved < 0:
            return u
    raise AssertionError("the gap has not moved")
