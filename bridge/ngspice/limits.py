"""States that leave their bounds or are lost at one: signs of a simulation that is no result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bridge.errors import BoundsError, TerminalStateError
from circuits.deck import Limit

FloatArray = NDArray[np.float64]

TOLERANCE = 0.02
"""Share of its range by which a state may lie outside of its bounds.

Devices of the project stay within 1e-3 where the integration is sound. The trapezoidal rule that rings at a
stiff bound leaves them by a tenth and more, with currents of the right size.
"""
NEAR = 1e-9
"""Share of its range that a state must stay away from a bound that holds it, unless it never leaves it."""


def check_limits(limits: Sequence[Limit], saves: Sequence[str], time: FloatArray, values: FloatArray) -> None:
    """Refuse a transient in which a state leaves its bounds, or is lost at one that holds it.

    Args:
        limits: of saved vectors.
        saves: names of the vectors.
        time: `(n_points,)` [s].
        values: `(n_points, len(saves))`.

    Raises:
        BoundsError: with the element, the state, its value, the time and what to do.
        TerminalStateError: likewise.
    """
    if not limits:
        return
    place = {name: k for k, name in enumerate(saves)}
    columns = np.array([place[limit.vector] for limit in limits])
    low, high = (np.array([getattr(limit, end) for limit in limits]) for end in ("low", "high"))
    least, most = values.min(axis=0)[columns], values.max(axis=0)[columns]
    span = high - low
    beyond = np.maximum(low - least, most - high) / span
    worst = int(np.argmax(beyond))
    if beyond[worst] > TOLERANCE:
        limit, column = limits[worst], values[:, columns[worst]]
        falls = low[worst] - least[worst] > most[worst] - high[worst]
        at = int(np.argmin(column) if falls else np.argmax(column))
        raise BoundsError(
            f"{_where(limit, column[at], time[at])}, outside of [{limit.scale * limit.low:g}, "
            f"{limit.scale * limit.high:g}] by {beyond[worst]:.1%} of its range: the integration steps over "
            "its bounds; take smaller steps or the integration rule gear",
        )
    for k in map(int, np.flatnonzero(np.minimum(least - low, high - most) < NEAR * span)):
        if limits[k].holding is not None and most[k] - least[k] > NEAR * span[k]:
            _check_held(limits[k], place, time, values)


def _check_held(limit: Limit, place: Mapping[str, int], time: FloatArray, values: FloatArray) -> None:
    """Refuse a state that the voltage should move away from a bound which it has come too near to."""
    column = values[:, place[limit.vector]]
    distance = np.minimum(column - limit.low, limit.high - column) / (limit.high - limit.low)
    at = int(np.argmax(distance < NEAR))
    assert limit.holding is not None
    if all(name in place for name in limit.holding if name):
        plus, minus = (values[:, place[name]] if name else 0.0 for name in limit.holding)
        later = np.asarray(plus - minus)[at:]
        turned = (later * later[0] < 0.0).any()
    else:
        turned = bool((distance[at:] > 2.0 * NEAR).any())
    if turned:
        raise TerminalStateError(
            f"{_where(limit, column[at], time[at])}, nearer than {NEAR:g} of its range to a bound at which "
            "its window vanishes, before the voltage turns: rounding decides whether it returns; use a "
            "device with another window (linear_drift_biolek), or a weaker drive"
        )


def _where(limit: Limit, value: float, time: float) -> str:
    unit = "" if limit.unit == "1" else f" {limit.unit}"
    value *= limit.scale
    return f"{limit.element}: its state {limit.state} is {value:.4g}{unit} at t = {time:.4g} s"
