"""The state equation of a device inverted: which pulse takes it from one state to another.

A pulse rises and falls as half a cosine within `edge`, with a flat top of length `width` between. Pulses
that would move a device too far even without a flat top are lowered instead. On a shared row a pulse falls to
the voltage that the row leaves on a cell whose column is done (`rest`). All devices are integrated
together by the classical Runge-Kutta rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray
from scipy.optimize.elementwise import find_root
from sympy.printing.numpy import NumPyPrinter

from circuits.devices.memristors.base import Memristor

FloatArray = NDArray[np.float64]

_EDGE_STEPS = 8  # of an edge or a flat top
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


class _Printer(NumPyPrinter):  # type: ignore[misc]
    """Numpy's functions, branches as nested `where`: a `select` takes ten times as long for small arrays."""

    def __init__(self) -> None:
        super().__init__({"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True})

    def _print_Piecewise(self, expr: sp.Piecewise) -> str:  # noqa: N802 (sympy looks for this name)
        text = "nan"
        for value, condition in reversed(expr.args):
            inner = self._print(value)
            text = inner if condition == sp.true else f"where({self._print(condition)}, {inner}, {text})"
        return text


_SPEEDS: dict[int, tuple[Memristor, Callable[..., Any]]] = {}


def _speeds(device: Memristor) -> Callable[..., Any]:
    """`f(u, *states, *parameters)`: the speeds of all states."""
    known = _SPEEDS.get(id(device))  # the hash of a declaration goes through all of its expressions
    if known is None:
        known = _SPEEDS.setdefault(id(device), (device, _compiled(device)))
    return known[1]


_RISE = edge_shape(np.linspace(0.0, 1.0, 2 * _EDGE_STEPS + 1))[:, None]


@lru_cache(maxsize=64)
def _compiled(device: Memristor) -> Callable[..., Any]:
    names = ["u", *(s.name for s in device.states), *(p.name for p in device.parameters)]
    symbols = [sp.Symbol(n, real=True) for n in names]
    laws = [s.rate for s in device.states]
    return cast(Callable[..., Any], sp.lambdify(symbols, laws, modules="numpy", printer=_Printer(), cse=True))


def rates(device: Memristor, u: ArrayLike, states: FloatArray, values: Mapping[str, Any]) -> FloatArray:
    """Speed of all states, `(..., n_states)` [1/s], at voltages [V] and states `(..., n_states)`."""
    at = np.broadcast_to(np.asarray(u, dtype=float), states.shape[:-1])
    given = (values[p.name] for p in device.parameters)
    found = _speeds(device)(at, *(states[..., k] for k in range(states.shape[-1])), *given)
    return np.stack([np.broadcast_to(f, at.shape) for f in found], axis=-1)


def integrate(
    device: Memristor, levels: FloatArray, step: FloatArray, states: FloatArray, values: Mapping[str, Any]
) -> FloatArray:
    """States at the end of a voltage that is given at the start, middle and end of every step.

    Args:
        device: the device.
        levels: `(2 n_steps + 1, ...)` [V].
        step: time step, broadcasting against a device array [s].
        states: at the start, `(..., n_states)`.
        values: parameters by name.

    Returns:
        `(..., n_states)`.
    """
    law, given = _speeds(device), [values[p.name] for p in device.parameters]
    columns = range(states.shape[-1])

    def moved(x: list[FloatArray], share: Any, slopes: Any) -> list[FloatArray]:
        return [
            np.minimum(np.maximum(x[k] + share * slopes[k], device.bounds[k][0]), device.bounds[k][1])
            for k in columns
        ]

    h = np.asarray(step)
    half = 0.5 * h
    x = [np.asarray(states[..., k]) for k in columns]
    for n in range(0, len(levels) - 1, 2):
        a = law(levels[n], *x, *given)
        b = law(levels[n + 1], *moved(x, half, a), *given)
        c = law(levels[n + 1], *moved(x, half, b), *given)
        d = law(levels[n + 2], *moved(x, h, c), *given)
        x = moved(x, h / 6.0, [a[k] + 2.0 * (b[k] + c[k]) + d[k] for k in columns])
    return np.stack([np.broadcast_to(v, states.shape[:-1]) for v in x], axis=-1)


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
    width, height = np.zeros(len(start)), np.zeros(len(start))
    todo = np.flatnonzero(target != start[:, 0])
    if not len(todo):
        return width, height
    known = _Pulsed.of(device, voltage, edge, longest, start, target, values, rest, todo)
    lowered = known.excess(np.ones(len(todo)), np.arange(len(todo))) >= 0.0
    ends = np.where(lowered, 0.0, 2.0)
    beyond = known.excess(ends, np.arange(len(todo)))
    # The resting level alone goes far enough, or the longest pulse does not.
    settled = np.where(lowered, beyond >= 0.0, beyond <= 0.0)
    knob = ends.copy()
    left = np.flatnonzero(~settled)
    if len(left):
        low, high = np.where(lowered, 0.0, 1.0)[left], np.where(lowered, 1.0, 2.0)[left]
        found = find_root(
            lambda k, at: known.excess(k, at.astype(int)), (low, high), args=(left.astype(float),),
            tolerances={"fatol": _ACCURACY}, maxiter=_ITERATIONS,
        )  # fmt: skip
        knob[left] = np.asarray(found.x)
    width[todo], height[todo] = _settings(knob, longest[todo])
    return width, height


@dataclass(frozen=True)
class _Pulsed:
    """Devices that pulses of any strength start from; one integration for all strengths of a pulse.

    A lowered pulse is a rise and a fall; a longer one is the rise of a full pulse, the same for all widths, a
    flat top and a fall. So every setting takes two integrations, whichever it is.

    Attributes:
        device: the device.
        voltage: of full pulses, `(n,)` [V].
        edge: duration of a rise or fall, `(n,)` [s].
        longest: greatest width, `(n,)` [s].
        start: states, `(n, n_states)`.
        up: states after the rise of a full pulse, `(n, n_states)`.
        way: of the first state, `(n,)`.
        values: parameters by name, numbers or `(n,)`.
        rest: share of the voltage to which a pulse falls.
    """

    device: Memristor
    voltage: FloatArray
    edge: FloatArray
    longest: FloatArray
    start: FloatArray
    up: FloatArray
    way: FloatArray
    values: Mapping[str, Any]
    rest: float

    @classmethod
    def of(
        cls,
        device: Memristor,
        voltage: FloatArray,
        edge: FloatArray,
        longest: FloatArray,
        start: FloatArray,
        target: FloatArray,
        values: Mapping[str, Any],
        rest: float,
        todo: NDArray[np.int64],
    ) -> _Pulsed:
        """The chosen devices of `pulse_for`."""
        own = {k: np.broadcast_to(v, len(start))[todo] if np.ndim(v) else v for k, v in values.items()}
        v, e, x = voltage[todo], edge[todo], start[todo]
        up = integrate(device, _RISE * v, e / _EDGE_STEPS, x, own)
        return cls(device, v, e, longest[todo], x, up, target[todo] - x[:, 0], own, rest)

    def excess(self, knob: FloatArray, at: NDArray[np.int64]) -> FloatArray:
        """Share of the way gone beyond all of it, for settings of the pulses of devices `at`, 0 to 2."""
        width, height = _settings(knob, self.longest[at])
        own = {k: v[at] if np.ndim(v) else v for k, v in self.values.items()}
        v, edge, longer = self.voltage[at], self.edge[at], knob > 1.0
        levels = np.where(longer, 1.0, _RISE * height) * v
        first = np.where(longer[:, None], self.up[at], self.start[at])
        top = integrate(self.device, levels, np.where(longer, width, edge) / _EDGE_STEPS, first, own)
        end = _fallen(self.device, v, height, edge, top, own, self.rest)
        return np.asarray((end[:, 0] - self.start[at, 0]) / self.way[at] - 1.0)


def _fallen(
    device: Memristor, voltage: FloatArray, height: FloatArray, edge: FloatArray, states: FloatArray,
    values: Mapping[str, Any], rest: float,
) -> FloatArray:  # fmt: skip
    """States after the fall of pulses to the resting level."""
    fall = (height + _RISE * (rest - height)) * voltage
    return integrate(device, fall, edge / _EDGE_STEPS, states, values)


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
    up = integrate(device, _RISE * height * voltage, edge / _EDGE_STEPS, states, values)
    top = np.broadcast_to(voltage * height, _RISE.shape[:1] + np.shape(voltage))
    held = integrate(device, top, width / _EDGE_STEPS, up, values)
    return _fallen(device, voltage, height, edge, held, values, rest)


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
