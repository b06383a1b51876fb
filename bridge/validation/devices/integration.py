"""A device's equations integrated without ngspice, by scipy's integrators.

The equations are those written by hand (`references`), or else the declaration, compiled from sympy straight
to Python's floats. Nothing of the netlist, the generated Verilog-A or the adjoint enters here, and the drive
is interpolated linearly, as the simulator's sources are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from bridge.errors import SimulationError
from bridge.validation.devices.references.memristors import Equations
from circuits.devices.base import Device, U

FloatArray = NDArray[np.float64]

RTOL = 1e-9
"""Relative tolerance of the reference."""

MOST_CALLS = 300_000
"""Evaluations of the rates after which an integration is given up."""

_MODULES = [{"Heaviside": lambda x, at=0.5: at if x == 0 else float(x > 0), "sign": np.sign}, "math"]


@dataclass(frozen=True)
class Drive:
    """A voltage over time, linear between its samples.

    Attributes:
        times: `(n,)` [s], increasing from 0.
        volts: `(n,)` [V].
    """

    times: FloatArray
    volts: FloatArray

    @property
    def duration(self) -> float:
        """End [s]."""
        return float(self.times[-1])

    def __call__(self, time: Any) -> Any:
        """The voltage [V] at times [s], same shape."""
        return np.interp(time, self.times, self.volts)


@dataclass(frozen=True)
class Trajectory:
    """A device on a voltage source.

    Attributes:
        time: `(n,)` [s].
        u: branch voltage `(n,)` [V].
        i: branch current `(n,)` [A].
        states: `(n, n_states)`, in the device's own units.
    """

    time: FloatArray
    u: FloatArray
    i: FloatArray
    states: FloatArray

    @property
    def peak(self) -> float:
        """Largest magnitude of the current [A]."""
        return float(np.abs(self.i).max())


@lru_cache(maxsize=256)
def _scalar(device: Device, expression: sp.Expr) -> Callable[..., float]:
    symbols = [U, *(s.symbol for s in device.states), *(p.symbol for p in device.parameters)]
    found: Callable[..., float] = sp.lambdify(symbols, expression, modules=_MODULES, cse=True)
    return found


def rates(
    device: Device, values: Mapping[str, float], equations: Equations | None = None
) -> Callable[..., list[float]]:
    """`f(u, *states)`: the rates of the states [their units / s]; see `integrate`."""
    if equations is not None:
        return lambda u, *x: equations(u, x, values)[1]
    laws = [_scalar(device, s.rate) for s in device.states]
    fixed = [float(values[p.name]) for p in device.parameters]

    def evaluate(u: float, *x: float) -> list[float]:
        return [law(u, *x, *fixed) for law in laws]

    return evaluate


def starts(device: Device, values: Mapping[str, float]) -> list[float]:
    """The states at t = 0."""
    return [float(values[s.initial]) for s in device.states]


def integrate(
    device: Device,
    values: Mapping[str, float],
    drive: Drive,
    times: FloatArray,
    *,
    rtol: float = RTOL,
    largest_step: float | None = None,
    equations: Equations | None = None,
) -> Trajectory:
    """The device on a voltage source, by LSODA, or by Radau where that fails.

    Args:
        device: with a law and states, or a law alone.
        values: every parameter.
        drive: the voltage.
        times: where the result is wanted, `(n,)` [s], increasing.
        rtol: relative tolerance; the absolute one is a thousandth of it of every state's scale.
        largest_step: of the integrator [s]; a two-hundredth of the duration when left out.
        equations: instead of the device's own laws and rates; its states, their scales and starts stay.

    Raises:
        SimulationError: neither integrator reached the end.
    """
    u = np.asarray(drive(times), dtype=float)
    states = np.zeros((len(times), len(device.states)))
    if device.states:
        step = largest_step or drive.duration / 200.0
        states = _states(device, rates(device, values, equations), values, drive, times, rtol, step)
    if equations is not None:
        current = [equations(float(v), list(x), values)[0] for v, x in zip(u, states, strict=True)]
        return Trajectory(times, u, np.array(current), states)
    known: dict[str, Any] = {p.name: values[p.name] for p in device.parameters}
    known.update({s.name: states[:, k] for k, s in enumerate(device.states)})
    assert device.law is not None
    return Trajectory(times, u, device.evaluate(device.law, {"u": u, **known}), states)


def _states(
    device: Device,
    evaluate: Callable[..., list[float]],
    values: Mapping[str, float],
    drive: Drive,
    times: FloatArray,
    rtol: float,
    step: float,
) -> FloatArray:
    scale = np.array([s.scale for s in device.states])
    reason, calls = "", 0

    def slope(t: float, x: FloatArray) -> list[float]:
        nonlocal calls
        calls += 1
        if calls > MOST_CALLS:
            raise ValueError(f"more than {MOST_CALLS} evaluations")
        return [r / k for r, k in zip(evaluate(float(drive(t)), *(x * scale)), scale, strict=True)]

    start = np.array(starts(device, values)) / scale
    end = max(drive.duration, float(times[-1]))  # which rounding may have moved
    for method in ("LSODA", "Radau"):
        calls = 0
        try:
            done = solve_ivp(
                slope, (0.0, end), start, method=method, t_eval=times, rtol=rtol,
                atol=1e-3 * rtol, max_step=step,
            )  # fmt: skip
        except (OverflowError, ZeroDivisionError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            continue
        if done.success and done.y.shape[1] == len(times):
            return np.asarray(done.y.T * scale)
        reason = str(done.message)
    raise SimulationError(f"the reference integration of {device.kind} failed: {reason}")
