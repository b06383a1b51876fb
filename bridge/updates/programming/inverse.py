"""The state equation of a device inverted: which pulse takes it from one state to another.

A pulse rises and falls as half a cosine within `edge`, with a flat top of length `width` between. Pulses
that would move a device too far even without a flat top are lowered instead. On a shared row a pulse falls to
the voltage that the row leaves on a cell whose column is done (`rest`). All devices are integrated
together by the classical Runge-Kutta rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, cast

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray
from scipy.optimize.elementwise import find_root

from circuits.devices.memristors.base import Memristor

FloatArray = NDArray[np.float64]

_EDGE_STEPS, _TOP_STEPS = 8, 8
_ACCURACY, _ITERATIONS = 3e-3, 30  # of the way to go
HALF_SELECT = 1e-6
"""Speed at half the amplitude over that at the amplitude, below which a default amplitude is accepted."""


def edge_shape(phase: ArrayLike) -> FloatArray:
    """A rise from 0 to 1 as half a cosine, for phases 0 to 1."""
    x = np.clip(np.asarray(phase, dtype=float), 0.0, 1.0)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * x))


def pulse_shape(time: ArrayLike, width: ArrayLike, edge: float) -> FloatArray:
    """A pulse of height 1 that begins at time 0: `edge` up, `width` flat, `edge` down [s]."""
    t = np.asarray(time, dtype=float)
    end = 2.0 * edge + np.asarray(width, dtype=float)
    return np.asarray(edge_shape(t / edge) * edge_shape((end - t) / edge))


@lru_cache(maxsize=64)
def _speeds(device: Memristor) -> Callable[..., Any]:
    names = ["u", *(s.name for s in device.states), *(p.name for p in device.parameters)]
    symbols = [sp.Symbol(n, real=True) for n in names]
    return cast(
        Callable[..., Any], sp.lambdify(symbols, [s.rate for s in device.states], modules="numpy", cse=True)
    )


def rates(device: Memristor, u: ArrayLike, states: FloatArray, values: Mapping[str, Any]) -> FloatArray:
    """Speed of all states, `(..., n_states)` [1/s], at voltages [V] and states `(..., n_states)`."""
    at = np.broadcast_to(np.asarray(u, dtype=float), states.shape[:-1])
    given = (values[p.name] for p in device.parameters)
    found = _speeds(device)(at, *(states[..., k] for k in range(states.shape[-1])), *given)
    return np.stack([np.broadcast_to(f, at.shape) for f in found], axis=-1)


def integrate(
    device: Memristor, levels: FloatArray, step: FloatArray, states: FloatArray, values: Mapping[str, Any]
) -> FloatArray:
    """States along a voltage that is given at the start, middle and end of every step.

    Args:
        device: the device.
        levels: `(2 n_steps + 1, ...)` [V].
        step: time step, broadcasting against a device array [s].
        states: at the start, `(..., n_states)`.
        values: parameters by name.

    Returns:
        `(n_steps + 1, ..., n_states)`.
    """
    h = np.asarray(step)[..., None]
    low = np.array([b[0] for b in device.bounds])
    high = np.array([b[1] for b in device.bounds])
    found = [states]
    x = states
    for k in range(0, len(levels) - 1, 2):
        a = rates(device, levels[k], x, values)
        b = rates(device, levels[k + 1], np.clip(x + h / 2 * a, low, high), values)
        c = rates(device, levels[k + 1], np.clip(x + h / 2 * b, low, high), values)
        d = rates(device, levels[k + 2], np.clip(x + h * c, low, high), values)
        x = np.clip(x + h / 6 * (a + 2 * b + 2 * c + d), low, high)
        found.append(x)
    return np.stack(found)


def pulse_for(
    device: Memristor,
    voltage: FloatArray,
    edge: FloatArray,
    longest: FloatArray,
    start: FloatArray,
    target: FloatArray,
    values: Mapping[str, Any],
    rest: float = 0.0,
) -> tuple[FloatArray, FloatArray]:
    """The pulses that take devices to a first state, by the device's model.

    Args:
        device: the device.
        voltage: height of full pulses, of the sign that moves each device towards its target, `(n,)` [V].
        edge: duration of a rise or fall, `(n,)` [s].
        longest: greatest width, `(n,)` [s]; devices that need more get this.
        start: states, `(n, n_states)`.
        target: first states, `(n,)`.
        values: parameters by name, numbers or `(n,)`.
        rest: share of the voltage to which a pulse falls.

    Returns:
        Widths `(n,)` [s] and heights `(n,)` as shares of the voltage; a height is below 1 only where the
        width is 0, and 0 where nothing is to be done. Found to a few thousandths of the way to go.
    """
    n = len(start)
    width, height = np.zeros(n), np.zeros(n)
    way = target - start[:, 0]
    todo = np.flatnonzero(way)

    def excess(knob: FloatArray, at: FloatArray) -> FloatArray:
        """Share of the way gone beyond all of it, for settings of the pulse from 0 to 2."""
        k = at.astype(int)
        w, h = _settings(knob, longest[k])
        own = {name: np.broadcast_to(v, n)[k] if np.ndim(v) else v for name, v in values.items()}
        end = after(device, voltage[k], w, h, edge[k], start[k], own, rest)
        return np.asarray((end[:, 0] - start[k, 0]) / way[k] - 1.0)

    if len(todo):
        low, high = np.zeros(len(todo)), np.full(len(todo), 2.0)
        much = excess(low, todo.astype(float)) >= 0.0  # the resting level alone goes far enough
        little = excess(high, todo.astype(float)) <= 0.0
        width[todo[little]], height[todo[little]] = longest[todo[little]], 1.0
        height[todo[much]] = 0.0
        left = ~(much | little)
        todo = todo[left]
    if len(todo):
        found = find_root(
            excess, (low[left], high[left]), args=(todo.astype(float),), tolerances={"fatol": _ACCURACY},
            maxiter=_ITERATIONS,
        )  # fmt: skip
        width[todo], height[todo] = _settings(np.asarray(found.x), longest[todo])
    return width, height


def _settings(knob: FloatArray, longest: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Width and height of pulses of growing strength: lowered ones up to 1, longer ones up to 2."""
    return longest * np.clip(knob - 1.0, 0.0, 1.0) ** 2, np.clip(knob, 0.0, 1.0)


def after(
    device: Memristor,
    voltage: FloatArray,
    width: FloatArray,
    height: FloatArray,
    edge: FloatArray,
    states: FloatArray,
    values: Mapping[str, Any],
    rest: float = 0.0,
) -> FloatArray:
    """States after one pulse a device, by the device's model.

    Args:
        device: the device.
        voltage: of full pulses, `(n,)` [V].
        width: of the flat top, `(n,)` [s].
        height: of the flat top as a share of the voltage, `(n,)`.
        edge: duration of a rise or fall, `(n,)` [s].
        states: before, `(n, n_states)`.
        values: parameters by name, numbers or `(n,)`.
        rest: share of the voltage to which the pulse falls.

    Returns:
        `(n, n_states)`.
    """
    shape = edge_shape(np.linspace(0.0, 1.0, 2 * _EDGE_STEPS + 1))[:, None]
    top = np.broadcast_to(voltage * height, (2 * _TOP_STEPS + 1, len(voltage)))
    fine = edge / _EDGE_STEPS
    up = integrate(device, shape * height * voltage, fine, states, values)[-1]
    held = integrate(device, top, width / _TOP_STEPS, up, values)[-1]
    fall = (height + shape * (rest - height)) * voltage
    return np.asarray(integrate(device, fall, fine, held, values)[-1])


def middle_states(device: Memristor, values: Mapping[str, float]) -> FloatArray:
    """The first state in the middle of its range, the others at rest: `(n_states,)`."""
    found = [values[s.initial] for s in device.states]
    found[0] = 0.5 * sum(device.bounds[0])
    return np.array(found, dtype=float)


def default_amplitude(device: Memristor, values: Mapping[str, float], peak: float) -> float:
    """An amplitude for pulses of one sign [V, > 0].

    The largest up to 1.25 times the peak of a published cycle at whose half the device stands still against
    its speed (`HALF_SELECT`), so that half-selected neighbours stay; the peak where there is none.

    Args:
        device: the device.
        values: parameters by name.
        peak: of the cycle, with its sign [V].
    """
    tried = np.linspace(0.0, 1.25 * peak, 1001)[1:]
    states = np.broadcast_to(middle_states(device, values), (len(tried), len(device.states)))
    full = np.abs(rates(device, tried, states, values)[:, 0])
    half = np.abs(rates(device, tried / 2, states, values)[:, 0])
    good = np.flatnonzero((full > 0.0) & (half <= HALF_SELECT * full))
    return float(abs(tried[good[-1]])) if len(good) else abs(peak)


def disturbance(
    device: Memristor, values: Mapping[str, float], voltages: tuple[float, float], shares: tuple[float, ...]
) -> float:
    """Greatest speed at shares of two voltages over the speed at the voltages."""
    found = []
    for v in voltages:
        tried = v * np.array([1.0, *shares])
        states = np.broadcast_to(middle_states(device, values), (len(tried), len(device.states)))
        full, *parts = np.abs(rates(device, tried, states, values)[:, 0])
        found.append(max(parts) / full if full > 0.0 else np.inf)
    return float(max(found))


def crossing_time(device: Memristor, values: Mapping[str, float], voltage: float) -> float:
    """Range of the first state over its speed in the middle, at a voltage [s]; infinite where it stands."""
    speed = abs(float(rates(device, np.asarray(voltage), middle_states(device, values), values)[0]))
    low, high = device.bounds[0]
    return (high - low) / speed if speed > 0.0 else float("inf")
