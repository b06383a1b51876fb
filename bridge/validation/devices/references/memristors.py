"""The memristors' equations, written out by hand from their publications for plain floats.

Each function gives the current [A] and the rates of the states [their unit / s] for a voltage [V], the states
and the parameter values, all in SI units; sources are named at the functions. States that leave their bounds
by rounding, or in a trial step of the integrator, move back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import exp, log, pow, sinh, tanh

BOLTZMANN = 8.617333262e-5
"""Boltzmann's constant [eV/K], CODATA 2018."""

Values = Mapping[str, float]
Equations = Callable[[float, Sequence[float], Values], tuple[float, list[float]]]
"""`f(u, states, values)`: the current and the states' rates."""


def yakopcic(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    """Yakopcic et al., IEEE Trans. CAD 32(8), 1201 (2013)."""
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


def _within(x: float) -> float:
    return min(max(x, 0.0), 1.0)


def _threshold(value: float, x: float, on: float, off: float, p: Values) -> float:
    """The rate of `x = w / d` beyond a threshold, Biolek's window towards each end."""
    if value > off:
        return p["koff"] / p["d"] * pow(value / off - 1, p["aoff"]) * (1 - pow(abs(x), 2 * p["window"]))
    if value < on:
        return p["kon"] / p["d"] * pow(value / on - 1, p["aon"]) * (1 - pow(abs(1 - x), 2 * p["window"]))
    return 0.0


def vteam(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    """Kvatinsky et al., IEEE Trans. Circuits Syst. II 62(8), 786 (2015), linear resistance."""
    x = _within(state[0])
    resistance = p["roff"] * x + p["ron"] * (1 - x)
    return u / resistance, [_threshold(u, state[0], p["von"], p["voff"], p)]


def vteam_exponential(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    """The same with the publication's exponential resistance, `ron exp(lambda x)`."""
    x = _within(state[0])
    grown = exp(-log(p["roff"] / p["ron"]) * x)
    return grown * u / p["ron"], [_threshold(u, state[0], p["von"], p["voff"], p)]


def team(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    """Kvatinsky et al., IEEE Trans. Circuits Syst. I 60(1), 211 (2013), with thresholds of the current."""
    x = _within(state[0])
    i = u / (p["roff"] * x + p["ron"] * (1 - x))
    return i, [_threshold(i, state[0], p["ion"], p["ioff"], p)]


def _drift(u: float, x: float, p: Values) -> tuple[float, float]:
    """Current, and rate without a window: Strukov et al., Nature 453, 80 (2008)."""
    doped = _within(x)
    i = u / (p["ron"] * doped + p["roff"] * (1 - doped))
    return i, p["mobility"] * p["ron"] / p["d"] ** 2 * i


def linear_drift(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    """With the window of Joglekar and Wolf, Eur. J. Phys. 30, 661 (2009)."""
    x = state[0]
    i, speed = _drift(u, x, p)
    window = 1 - abs(2 * x - 1) ** (2 * p["window"])
    inwards = (x > 1 and i < 0) or (x < 0 and i > 0)
    return i, [speed * (abs(window) if inwards else window)]


def linear_drift_biolek(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    """With the window of Biolek et al., Radioengineering 18(2), 210 (2009)."""
    x = state[0]
    i, speed = _drift(u, x, p)
    away = x if i > 0 else x - 1
    return i, [speed * (1 - abs(away) ** (2 * p["window"]))]


def _gap(state: float, low: float, high: float) -> float:
    """A gap [m], of which exponentials see no more than 50 pm outside of its bounds."""
    return min(max(state, low - 5e-11), high + 5e-11)


def stanford_pku(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    """Jiang et al., SISPAD 2014, 41, version 1.0.0, with a smooth threshold and smooth ends."""
    gap = _gap(state[0], 0.2e-9, 1.7e-9)
    i = p["i0"] * exp(-gap / p["g0"]) * sinh(u / p["v0"])
    temperature = p["ambient"] + p["rth"] * abs(u * i)
    gamma = p["gamma0"] - p["beta"] * (gap / 1e-9) ** 3
    field = gamma * abs(u) / p["tox"]
    gamma *= 0.5 * (1 + tanh((field / p["fmin"] - 1) / p["smoothing"]))
    speed = p["vel0"] * exp(-p["ea"] / (BOLTZMANN * temperature))
    speed *= sinh(gamma * p["a0"] / p["tox"] * u / (BOLTZMANN * temperature))
    room = state[0] - 0.2e-9 if u > 0 else 1.7e-9 - state[0]
    return i, [-speed * tanh(room / p["stop"])]


def filament(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    """Chen and Yu, IEEE Trans. Electron Devices 62(12), 4022 (2015)."""
    gap, rise = _gap(state[0], 0.1e-9, 1.7e-9), min(max(state[1], -50.0), 1e4)
    i = p["i0"] * exp(-gap / p["g0"]) * sinh(u / p["v0"])
    thermal = BOLTZMANN * (p["ambient"] + rise)
    gamma = p["gamma0"] - p["beta"] * (gap / 1e-9) ** 3
    work = gamma * p["a0"] / p["thickness"] * u
    closing = exp((work - p["eag"]) / thermal) * tanh((state[0] - 0.1e-9) / p["stop"])
    opening = exp((-work - p["ear"]) / thermal) * tanh((1.7e-9 - state[0]) / p["stop"])
    return i, [-p["vel0"] * (closing - opening), abs(u * i) / p["cth"] - state[1] / p["tau_th"]]


def knowm_mms(u: float, state: Sequence[float], p: Values) -> tuple[float, list[float]]:
    """Nugent and Molter, PLoS ONE 9(2), e85175 (2014), as rates (Knowm's SPICE subcircuit)."""
    x = state[0]
    thermal = BOLTZMANN * p["temperature"]
    on = 0.5 * (1 + tanh((u - p["von"]) / (2 * thermal)))
    off = 0.5 * (1 - tanh((u + p["voff"]) / (2 * thermal)))
    return u * (x / p["ron"] + (1 - x) / p["roff"]), [(on * (1 - x) - off * x) / p["tau"]]


EQUATIONS: Mapping[str, Equations] = {
    f.__name__: f
    for f in (
        yakopcic, vteam, vteam_exponential, team, linear_drift, linear_drift_biolek, stanford_pku, filament,
        knowm_mms,
    )
}  # fmt: skip
"""By kind."""
