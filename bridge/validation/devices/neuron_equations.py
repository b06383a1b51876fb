"""Neurons as their publications write them, in millivolts and milliseconds, integrated without ngspice.

Nothing of the declarations of `circuits.devices.neurons` enters here: every equation is written once more by
hand, with its parameters by the names that `cell` takes, and integrated by scipy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from bridge.errors import SimulationError

FloatArray = NDArray[np.float64]
Values = Mapping[str, float]
Slope = Callable[[list[float], float], list[float]]
"""`f(y, i)`: rates [1/ms] of the state `y`, whose first entry is the voltage, at a current [uA/cm^2]."""

RTOL = 1e-10
"""Relative tolerance of the reference."""
SAMPLING = 0.02
"""Distance of its samples [ms]."""


@dataclass(frozen=True)
class Current:
    """An injected current, linear between its corners and constant after the last one.

    Attributes:
        times: of the corners, the first one 0 [ms].
        levels: the current there [uA/cm^2].
    """

    times: tuple[float, ...]
    levels: tuple[float, ...]

    def pieces(self, duration: float) -> list[tuple[float, float, float, float]]:
        """Start [ms], end [ms], level at the start and slope [uA/cm^2/ms] of every part of `duration`."""
        parts = []
        for k, begin in enumerate(self.times):
            last = k + 1 == len(self.times)
            end = duration if last else self.times[k + 1]
            slope = 0.0 if last else (self.levels[k + 1] - self.levels[k]) / (end - begin)
            if begin < duration:
                parts.append((begin, min(end, duration), self.levels[k], slope))
        return parts


def steady(level: float) -> Current:
    """A current that flows from the start on [uA/cm^2]."""
    return Current((0.0,), (level,))


def pulses(level: float, width: float, starts: Sequence[float], edge: float = 0.1) -> Current:
    """Pulses of a height [uA/cm^2] and a width at half height [ms], with edges of a duration [ms]."""
    times, levels = [0.0], [0.0]
    for start in starts:
        times += [start, start + edge, start + width, start + width + edge]
        levels += [0.0, level, level, 0.0]
    return Current(tuple(times), tuple(levels))


@dataclass(frozen=True)
class Spiking:
    """A membrane voltage over time.

    Attributes:
        time: `(n,)` [ms].
        voltage: `(n,)` [mV].
        spikes: times of the upward crossings `(n_spikes,)` [ms].
    """

    time: FloatArray
    voltage: FloatArray
    spikes: FloatArray


def crossings(time: FloatArray, voltage: FloatArray, level: float) -> FloatArray:
    """Times at which a voltage crosses a level upwards, on the cubic spline through its samples."""
    before = np.flatnonzero((voltage[:-1] < level) & (voltage[1:] >= level))
    if not len(before):
        return np.zeros(0)
    spline = CubicSpline(time, voltage - level)
    return np.array([brentq(spline, time[k], time[k + 1], xtol=1e-12) for k in before])


def edge(happens: Callable[[float], bool], low: float, high: float, precision: float) -> float:
    """Where something begins, by bisection; `nan` where the ends do not bracket it.

    Args:
        happens: whether it happens at a value.
        low: a value at which it does not.
        high: a value at which it does.
        precision: relative.
    """
    if happens(low) or not happens(high):
        return math.nan
    while high - low > precision * high:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if happens(middle) else (middle, high)
    return 0.5 * (low + high)


def _linoid(x: float) -> float:
    """`x / (1 - exp(-x))`."""
    return x / -math.expm1(-x) if abs(x) > 1e-9 else 1.0 + x / 2.0


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x > -700.0 else 0.0


def hodgkin_huxley(p: Values) -> tuple[Slope, list[float]]:
    """Hodgkin and Huxley, J. Physiol. 117, 500 (1952), shifted to -65 mV at rest: rates and start."""
    warm = 3.0 ** ((p["temperature"] - 6.3) / 10.0)

    def rates(v: float) -> tuple[float, ...]:
        return (
            _linoid((v + 40.0) / 10.0), 4.0 * math.exp(-(v + 65.0) / 18.0),
            0.07 * math.exp(-(v + 65.0) / 20.0), 1.0 / (1.0 + math.exp(-(v + 35.0) / 10.0)),
            0.1 * _linoid((v + 55.0) / 10.0), 0.125 * math.exp(-(v + 65.0) / 80.0),
        )  # fmt: skip

    def slope(y: list[float], i: float) -> list[float]:
        v, m, h, n = y
        am, bm, ah, bh, an, bn = rates(v)
        ionic = (
            p["g_na"] * m**3 * h * (v - p["e_na"])
            + p["g_k"] * n**4 * (v - p["e_k"])
            + p["g_leak"] * (v - p["e_leak"])
        )
        return [
            (i - ionic) / p["capacitance"],
            warm * p["speed_m"] * (am * (1.0 - m) - bm * m),
            warm * p["speed_h"] * (ah * (1.0 - h) - bh * h),
            warm * p["speed_n"] * (an * (1.0 - n) - bn * n),
        ]

    am, bm, ah, bh, an, bn = rates(p["v0"])
    start = [
        p["v0"],
        p.get("m0", am / (am + bm)),
        p.get("h0", ah / (ah + bh)),
        p.get("n0", an / (an + bn)),
    ]
    return slope, start


def fitzhugh_nagumo(p: Values) -> tuple[Slope, list[float]]:
    """FitzHugh, Biophys. J. 1, 445 (1961): `v' = v - v^3/3 - w + I`, `tau w' = v + a - b w`."""
    unit, time = p["voltage_unit"], p["capacitance"] / p["conductance"]

    def slope(y: list[float], i: float) -> list[float]:
        v, w = y[0] / unit, y[1]
        current = i / (p["conductance"] * unit)
        return [unit * (v - v**3 / 3.0 - w + current) / time, (v + p["a"] - p["b"] * w) / (p["tau"] * time)]

    return slope, [p["v0"], p.get("w0", (p["v0"] / unit + p["a"]) / p["b"])]


def morris_lecar(p: Values) -> tuple[Slope, list[float]]:
    """Morris and Lecar, Biophys. J. 35, 193 (1981), calcium at its steady state."""

    def steady(v: float) -> float:
        return 0.5 * (1.0 + math.tanh((v - p["v3"]) / p["v4"]))

    def slope(y: list[float], i: float) -> list[float]:
        v, w = y
        opened = 0.5 * (1.0 + math.tanh((v - p["v1"]) / p["v2"]))
        ionic = (
            p["g_ca"] * opened * (v - p["e_ca"])
            + p["g_k"] * w * (v - p["e_k"])
            + p["g_leak"] * (v - p["e_leak"])
        )
        rate = p["phi"] * math.cosh((v - p["v3"]) / (2.0 * p["v4"]))
        return [(i - ionic) / p["capacitance"], rate * (steady(v) - w)]

    return slope, [p["v0"], p.get("w0", steady(p["v0"]))]


def integrate_and_fire(p: Values) -> tuple[Slope, list[float]]:
    """The leaky integrator with a smooth threshold and reset."""
    half = p["threshold"] + 7.0 * p["sharpness"]

    def slope(y: list[float], i: float) -> list[float]:
        v, r = y
        ionic = (
            p["g_leak"] * (v - p["e_leak"])
            + p["g_spike"] * _sigmoid((v - half) / p["sharpness"]) * (v - p["e_spike"])
            + p["g_reset"] * r**4 * (v - p["reset"])
        )
        edge = p["peak"] - (p["peak"] - p["release"]) * r
        opening = _sigmoid((v - edge) / p["peak_width"])
        return [(i - ionic) / p["capacitance"], opening * (1.0 - r) / p["tau_rise"] - r / p["tau_fall"]]

    return slope, [p["v0"], p["r0"]]


EQUATIONS: Mapping[str, Callable[[Values], tuple[Slope, list[float]]]] = {
    "hodgkin_huxley": hodgkin_huxley,
    "fitzhugh_nagumo": fitzhugh_nagumo,
    "morris_lecar": morris_lecar,
    "integrate_and_fire": integrate_and_fire,
}
"""Rates and start by kind of neuron."""


def integrate(kind: str, values: Values, current: Current, duration: float, level: float) -> Spiking:
    """A neuron under an injected current, by the eighth-order method of Dormand and Prince.

    Args:
        kind: of neuron.
        values: all of its parameters in the units of the field.
        current: injected.
        duration: [ms].
        level: voltage whose upward crossings are spikes [mV].

    Raises:
        SimulationError: the integrator did not reach the end.
    """
    slope, y = EQUATIONS[kind](values)
    times, volts, spikes = [], [], []

    def above(_: float, state: FloatArray) -> float:
        return float(state[0]) - level

    above.direction = 1.0  # type: ignore[attr-defined]
    for start, end, amount, rise in current.pieces(duration):
        done = solve_ivp(
            lambda t, state, t0=start, i=amount, k=rise: slope(state.tolist(), i + k * (t - t0)),
            (start, end), y, method="DOP853", rtol=RTOL, atol=1e-3 * RTOL, max_step=0.2, events=above,
            t_eval=np.linspace(start, end, max(2, round((end - start) / SAMPLING) + 1)),
        )  # fmt: skip
        if not done.success:
            raise SimulationError(f"the reference integration of {kind} failed: {done.message}")
        times.append(done.t[int(start > 0.0) :])
        volts.append(done.y[0][int(start > 0.0) :])
        spikes.append(done.t_events[0])
        y = done.y[:, -1].tolist()
    return Spiking(np.concatenate(times), np.concatenate(volts), np.concatenate(spikes))
