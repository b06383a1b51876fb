"""Fractional elements by hand: ladders from the band and the order, and their currents by integration.

The sections are the partial fractions of Oustaloup's rational function (Oustaloup et al., IEEE Trans.
Circuits Syst. I 47, 25 (2000)), by scipy's `residue`. A linear ladder is solved mode by mode with exact
exponentials between the samples of the drive; a nonlinear one by scipy's integrators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.signal import residue

from bridge.errors import SimulationError
from bridge.validation.devices.integration import Drive

FloatArray = NDArray[np.float64]
Values = Mapping[str, float]


def sections(low: float, high: float, count: int, order: float) -> tuple[FloatArray, FloatArray, float]:
    """Poles [rad/s], residues and the series resistance of a ladder close to `s^-order`."""
    k = np.arange(count)
    span = high / low
    zeros = low * span ** ((2 * k + 1 + order) / (2 * count))
    poles = low * span ** ((2 * k + 1 - order) / (2 * count))
    level = high**-order
    scale = np.sqrt(low * high)  # the polynomials' coefficients stay of one size
    top = level * np.poly(-zeros / scale)
    found, at, rest = residue(top, np.poly(-poles / scale))
    by = np.argsort(-at.real)
    return -at.real[by] * scale, found.real[by] * scale, float(rest[-1].real)


def current(values: Values, drive: Drive, times: FloatArray) -> FloatArray:
    """The current [A] at times `(n,)` [s] of an element that starts from rest.

    Args:
        values: of a linear element (`coefficient`, `order`) or a fractional memristor (`conductance` with
            `cubic` or `saturation`), with the band `low`, `high`, `sections`.
        drive: the voltage.
        times: where the current is wanted, increasing.
    """
    order = values.get("order", 0.5)
    poles, residues, series = sections(values["low"], values["high"], round(values["sections"]), order)
    if "coefficient" in values:
        return values["coefficient"] * _linear(poles, residues, series, drive, times)
    # Sections of the ladder s^-1/2: dy/dt = -pole y + residue * input. The first ladder's input is the
    # voltage, the second one's the element's current.
    count, law = len(poles), _law(values)

    def chain(t: float, y: FloatArray) -> FloatArray:
        u = float(drive(t))
        inner = y[:count].sum() + series * u
        through = (law(inner) - y[count:].sum()) / series
        return np.concatenate([-poles * y[:count] + residues * u, -poles * y[count:] + residues * through])

    y = _integrated(chain, 2 * count, drive, times)
    inner = y[:count].sum(axis=0) + series * drive(times)
    return np.asarray((law(inner) - y[count:].sum(axis=0)) / series)


def _linear(
    poles: FloatArray, residues: FloatArray, series: float, drive: Drive, times: FloatArray
) -> FloatArray:
    """The current of one ladder across the voltage, exact for a drive that is linear between its samples.

    `dy/dt = -(P + r 1' / series) y + r u / series`; with `y = sqrt(r) z` the matrix is symmetric.
    """
    root = np.sqrt(residues)
    rates, modes = np.linalg.eigh(np.diag(poles) + np.outer(root, root) / series)
    into, out = modes.T @ root / series, modes.T @ root
    grid = np.union1d(np.concatenate([[0.0], times]), drive.times)
    u, step = drive(grid), np.diff(grid)
    x = rates * step[:, None]
    decay = np.exp(-x)
    held = -np.expm1(-x) / x  # integral of exp(-x (1 - s)) over s from 0 to 1
    ramp = np.where(x > 1e-3, (1.0 - held) / np.maximum(x, 1e-3), 0.5 - x / 6.0 + x**2 / 24.0)
    push = step[:, None] * into * (held * u[:-1, None] + ramp * np.diff(u)[:, None])
    z, sums = np.zeros(len(rates)), np.zeros(len(grid))
    for k in range(len(step)):
        z = decay[k] * z + push[k]
        sums[k + 1] = out @ z
    inside = sums[np.searchsorted(grid, times)]
    return np.asarray((drive(times) - inside) / series)


def _law(v: Values) -> Callable[[FloatArray | float], FloatArray]:
    if "cubic" in v:
        return lambda u: np.asarray(v["conductance"] * (u + v["cubic"] * u**3))
    return lambda u: np.asarray(v["conductance"] * v["saturation"] * np.tanh(u / v["saturation"]))


def _integrated(
    slope: Callable[[float, FloatArray], FloatArray], count: int, drive: Drive, times: FloatArray
) -> FloatArray:
    end = max(drive.duration, float(times[-1]))
    done = solve_ivp(
        slope, (0.0, end), np.zeros(count), method="BDF" if count > 60 else "LSODA", t_eval=times, rtol=1e-8,
        atol=1e-14, max_step=end / 200,
    )  # fmt: skip
    if not done.success:
        raise SimulationError(f"the reference integration failed: {done.message}")
    return np.asarray(done.y)
