"""The memristors' equations once more, written out by hand from their publications, for scipy.

Each entry gives the current and the rates of the states for `(u, states, values)` in SI units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import exp, log, pow, sinh, tanh

import numpy as np
from scipy.integrate import solve_ivp

from circuits.devices.memristors.base import Memristor, Stimulus

KB = 8.617333262e-5
"""Boltzmann's constant [eV/K]."""
Values = Mapping[str, float]
Equations = Callable[[float, Sequence[float], Values], tuple[float, list[float]]]


def yakopcic(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    x = state[0]
    speed = 0.0
    if u > p["vp"]:
        speed = p["ap"] * (exp(u) - exp(p["vp"]))
        if x > p["xp"]:
            speed *= exp(-p["alphap"] * (x - p["xp"])) * (1 - x) / (1 - p["xp"])
    elif u < -p["vn"]:
        speed = -p["an"] * (exp(-u) - exp(p["vn"]))
        if x < 1 - p["xn"]:
            speed *= exp(-p["alphan"] * (1 - p["xn"] - x)) * x / (1 - p["xn"])
    return (p["a1"] if u >= 0 else p["a2"]) * x * sinh(p["b"] * u), [speed]


def _vteam(u: float, x: float, p: Values) -> float:
    if u > p["voff"]:
        return p["koff"] / p["d"] * pow(u / p["voff"] - 1, p["aoff"]) * (1 - pow(abs(x), 2 * p["window"]))
    if u < p["von"]:
        return p["kon"] / p["d"] * pow(u / p["von"] - 1, p["aon"]) * (1 - pow(abs(1 - x), 2 * p["window"]))
    return 0.0


def vteam(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    x = state[0]
    return u / (p["roff"] * x + p["ron"] * (1 - x)), [_vteam(u, x, p)]


def vteam_exponential(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    x = state[0]
    return exp(-log(p["roff"] / p["ron"]) * x) * u / p["ron"], [_vteam(u, x, p)]


def team(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    x = state[0]
    i = u / (p["roff"] * x + p["ron"] * (1 - x))
    if i > p["ioff"]:
        return i, [
            p["koff"] / p["d"] * pow(i / p["ioff"] - 1, p["aoff"]) * (1 - pow(abs(x), 2 * p["window"]))
        ]
    if i < p["ion"]:
        return i, [
            p["kon"] / p["d"] * pow(i / p["ion"] - 1, p["aon"]) * (1 - pow(abs(1 - x), 2 * p["window"]))
        ]
    return i, [0.0]


def linear_drift(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    x = state[0]
    i = u / (p["ron"] * x + p["roff"] * (1 - x))
    return i, [p["mobility"] * p["ron"] / p["d"] ** 2 * i * (1 - abs(2 * x - 1) ** (2 * p["window"]))]


def linear_drift_biolek(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    x = state[0]
    i = u / (p["ron"] * x + p["roff"] * (1 - x))
    away = x if i > 0 else x - 1
    return i, [p["mobility"] * p["ron"] / p["d"] ** 2 * i * (1 - abs(away) ** (2 * p["window"]))]


def stanford_pku(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    gap = state[0]
    i = p["i0"] * exp(-gap / p["g0"]) * sinh(u / p["v0"])
    temperature = p["ambient"] + p["rth"] * abs(u * i)
    gamma = p["gamma0"] - p["beta"] * (gap / 1e-9) ** 3
    field = gamma * abs(u) / p["tox"]
    gamma *= 0.5 * (1 + tanh((field / p["fmin"] - 1) / p["smoothing"]))
    speed = p["vel0"] * exp(-p["ea"] / (KB * temperature))
    speed *= sinh(gamma * p["a0"] / p["tox"] * u / (KB * temperature))
    room = gap - 0.2e-9 if u > 0 else 1.7e-9 - gap
    return i, [-speed * tanh(room / p["stop"])]


def filament(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    gap, rise = state
    i = p["i0"] * exp(-gap / p["g0"]) * sinh(u / p["v0"])
    thermal = KB * (p["ambient"] + rise)
    gamma = p["gamma0"] - p["beta"] * (gap / 1e-9) ** 3
    work = gamma * p["a0"] / p["thickness"] * u
    closing = exp(-p["eag"] / thermal) * exp(work / thermal) * tanh((gap - 0.1e-9) / p["stop"])
    opening = exp(-p["ear"] / thermal) * exp(-work / thermal) * tanh((1.7e-9 - gap) / p["stop"])
    return i, [-p["vel0"] * (closing - opening), abs(u * i) / p["cth"] - rise / p["tau_th"]]


def knowm_mms(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    x = state[0]
    beta = 1 / (KB * p["temperature"])
    on = 1 / (1 + exp(-beta * (u - p["von"])))
    off = 1 - 1 / (1 + exp(-beta * (u + p["voff"])))
    return u * (x / p["ron"] + (1 - x) / p["roff"]), [(on * (1 - x) - off * x) / p["tau"]]


EQUATIONS: dict[str, Equations] = {
    f.__name__: f
    for f in (
        yakopcic, vteam, vteam_exponential, team, linear_drift, linear_drift_biolek, stanford_pku, filament,
        knowm_mms,
    )
}  # fmt: skip


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
