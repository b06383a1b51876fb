"""Two-ports by hand: voltages and currents between two sources with resistances, in closed form.

Port 1 (the input, or what controls) is on a source `e1` behind `r1`, port 2 on `e2` behind `r2`; currents
flow into the device. Written from the definitions of the ideal elements (for example Desoer and Kuh, "Basic
Circuit Theory" (1969)), without the devices' declarations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Values = Mapping[str, float]


@dataclass(frozen=True)
class Setting:
    """What two ports are connected to.

    Attributes:
        e1: source of port 1, `(n,)` [V].
        e2: source of port 2, `(n,)` [V].
        r1: resistance in series with it [Ohm].
        r2: resistance in series with it [Ohm].
    """

    e1: FloatArray
    e2: FloatArray
    r1: float
    r2: float

    def at(self, v1: Any, v2: Any) -> FloatArray:
        """`v1, i1, v2, i2` as rows, `(4, n)`, for voltages of the ports."""
        return np.array([v1, (self.e1 - v1) / self.r1, v2, (self.e2 - v2) / self.r2])

    def drawing(self, v1: Any, i2: Any) -> FloatArray:
        """The same for a current into port 2."""
        return self.at(v1, self.e2 - self.r2 * i2)


TwoPort = Callable[[Values, Setting], FloatArray]


def _amplifier(v: Values, s: Setting) -> FloatArray:
    """The output is `gain` times the input; of the current that it delivers a share comes from the input."""
    back = v["backward_gain"] / s.r2
    v1 = (s.e1 + s.r1 * back * s.e2) / (1.0 + s.r1 * back * v["gain"])
    return s.at(v1, v["gain"] * v1)


def _gyrator(v: Values, s: Setting) -> FloatArray:
    """`i1 = forward v2`, `i2 = -backward v1`."""
    v1 = (s.e1 - s.r1 * v["forward"] * s.e2) / (1.0 + s.r1 * v["forward"] * s.r2 * v["backward"])
    return s.at(v1, s.e2 + s.r2 * v["backward"] * v1)


def closed(control: FloatArray, values: Values) -> NDArray[np.bool_]:
    """Whether a switch is closed at successive values of its control voltage [V]; open at first."""
    found, state = np.zeros(len(control), dtype=bool), False
    for k, u in enumerate(control):
        if u > values["vt"] + values["vh"]:
            state = True
        elif u < values["vt"] - values["vh"]:
            state = False
        found[k] = state
    return found


def _switch(v: Values, s: Setting) -> FloatArray:
    through = np.where(closed(s.e1, v), v["ron"], v["roff"])
    return s.at(s.e1, s.e2 * through / (through + s.r2))


TWO_PORTS: Mapping[str, TwoPort] = {
    "vcvs": lambda v, s: s.at(s.e1, v["gain"] * s.e1),
    "vccs": lambda v, s: s.drawing(s.e1, v["gain"] * s.e1),
    "ccvs": lambda v, s: s.at(0.0 * s.e1, v["gain"] * s.e1 / s.r1),
    "cccs": lambda v, s: s.drawing(0.0 * s.e1, v["gain"] * s.e1 / s.r1),
    "tanh_transfer": lambda v, s: s.at(s.e1, v["scale"] * np.tanh(v["gain"] * s.e1 / v["scale"])),
    "amplifier": _amplifier,
    "gyrator": _gyrator,
    "switch": _switch,
}
"""Voltages and currents of the ports, by the kind of device."""

EQUATIONS: Mapping[str, str] = {
    "vcvs": "v2 = gain v1, i1 = 0",
    "vccs": "i2 = gain v1, i1 = 0",
    "ccvs": "v2 = gain i1, v1 = 0",
    "cccs": "i2 = gain i1, v1 = 0",
    "tanh_transfer": "v2 = scale tanh(gain v1 / scale), i1 = 0",
    "amplifier": "v2 = gain v1, i1 = -backward_gain i2",
    "gyrator": "i1 = forward v2, i2 = -backward v1",
    "switch": "i2 = v2 / ron from v1 > vt + vh on, v2 / roff from v1 < vt - vh on, i1 = 0",
}
"""The same as text."""
