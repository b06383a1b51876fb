"""The Stanford-PKU model of oxide RRAM: the gap between a filament's tip and the electrode.

Guan, Yu and Wong, IEEE Electron Device Lett. 33(10), 1405 (2012); Jiang et al., SISPAD 2014, 41, and the
Verilog-A version 1.0.0 (doi:10.4231/D37H1DN48), whose equations these are, without its random term:

    i = i0 exp(-gap / g0) sinh(u / v0),   T = ambient + rth u i,
    dgap/dt = -vel0 exp(-q ea / (k T)) sinh(gamma a0 q u / (tox k T)),   gamma = gamma0 - beta (gap / 1 nm)^3.

Two of its steps are smooth here. Version 1.0.0 sets `gamma` to zero where the field `gamma |u| / tox` is
below `fmin`: here it is multiplied by `(1 + tanh((field / fmin - 1) / smoothing)) / 2`. It cuts the gap off
at its bounds, 0.2 and 1.7 nm: here its speed ends as a tanh within some `stop` of them.

A SET without a current limit is a runaway of nanoseconds. Where a step of the transient is far longer than
that (the published sweep of milliseconds), the trapezoidal rule rings about the bound and may leave it: use
the integration rule `gear` there.
"""

from __future__ import annotations

import sympy as sp

from circuits.devices.base import Parameter, State, U
from circuits.devices.behavioural import symbol
from circuits.devices.memristors.base import Figure, Memristor, Published, Stimulus, values
from circuits.devices.memristors.windows import ELECTRONVOLT_PER_KELVIN, by_sign, held, stops

SOURCE = "Jiang et al., SISPAD 2014, 41; Stanford RRAM model 1.0.0, doi:10.4231/D37H1DN48"
GAP = (0.2e-9, 1.7e-9)
"""Bounds of the gap [m]."""
MARGIN = 5e-11
"""How far outside of its bounds the gap still counts [m]."""

_GAP, _G0, _V0, _I0 = (symbol(s) for s in ("gap", "g0", "v0", "i0"))
_VEL0, _EA, _A0, _TOX = (symbol(s) for s in ("vel0", "ea", "a0", "tox"))
_GAMMA0, _BETA, _FMIN, _SMOOTH = (symbol(s) for s in ("gamma0", "beta", "fmin", "smoothing"))
_RTH, _AMBIENT, _STOP = (symbol(s) for s in ("rth", "ambient", "stop"))

_HELD = held(_GAP, GAP[0] - MARGIN, GAP[1] + MARGIN)
LAW = _I0 * sp.exp(-_HELD / _G0) * sp.sinh(U / _V0)
_THERMAL = ELECTRONVOLT_PER_KELVIN * (_AMBIENT + _RTH * U * LAW)
_GAMMA = _GAMMA0 - _BETA * (sp.Float(1e9) * _HELD) ** 3
_ENHANCED = _GAMMA * (1 + sp.tanh((_GAMMA * sp.Abs(U) / (_TOX * _FMIN) - 1) / _SMOOTH)) / 2
_WIDER, _NARROWER = stops(_GAP, *GAP, _STOP)
RATE = (
    -_VEL0
    * sp.exp(-_EA / _THERMAL)
    * sp.sinh(_ENHANCED * _A0 / _TOX * U / _THERMAL)
    * by_sign(_NARROWER, _WIDER)
)

_HARD = (
    "version 1.0.0 with its own threshold and bounds, integrated in steps of 10 ns: "
    "where the gap has moved by a tenth of its range"
)
_VALUES = values(g0=0.25e-9, v0=0.25, i0=1e-3, vel0=10.0, ea=0.6, a0=0.25e-9, tox=12e-9, gamma0=16.0,
                 beta=0.8, fmin=1.4e9, rth=2.1e3, ambient=298.0)  # fmt: skip

STANFORD_PKU = Memristor(
    "stanford_pku",
    ("p", "n"),
    (
        Parameter("g0", "m", 0.25e-9, lower=1e-12, description="decay length of the current", typical=1e-10),
        Parameter("v0", "V", 0.25, lower=1e-3, description="curvature of the current"),
        Parameter("i0", "A", 1e-3, lower=0.0, description="size of the current", typical=1e-3),
        Parameter("vel0", "m/s", 10.0, lower=0.0, description="speed of the gap", typical=10.0),
        Parameter("ea", "eV", 0.6, lower=0.0, description="activation energy of vacancies"),
        Parameter("a0", "m", 0.25e-9, lower=1e-12, description="distance of atoms", typical=1e-10),
        Parameter("tox", "m", 12e-9, lower=1e-10, description="thickness of the oxide", typical=1e-8),
        Parameter("gamma0", "1", 16.0, lower=0.0, description="field enhancement without a gap"),
        Parameter("beta", "1", 0.8, lower=0.0, description="its loss with the gap in nm, cubed"),
        Parameter("fmin", "V/m", 1.4e9, lower=1e3, description="field that moves the gap", typical=1e9),
        Parameter("smoothing", "1", 0.01, lower=1e-4, description="width of that threshold, as a share"),
        Parameter("rth", "K/W", 2.1e3, lower=0.0, description="thermal resistance", typical=1e3),
        Parameter("ambient", "K", 298.0, lower=100.0, description="temperature around", typical=300.0),
        Parameter("stop", "m", 1e-11, lower=1e-14, description="width of the ends", typical=1e-11),
        Parameter("gap0", "m", GAP[0], *GAP, description="gap at t = 0", typical=1e-9),
    ),
    law=LAW,
    states=(State("gap", RATE, "gap0", 1e-9, "m"),),
    reciprocal=True,
    description="oxide RRAM: the gap of a filament, Joule heating without inertia",
    source=SOURCE,
    read_voltage=0.1,
    bounds=(GAP,),
    published=(
        Published("version-1.0.0", _VALUES, SOURCE, Stimulus("sine", 1.3, 1.3, 1e-5)),
        Published(
            "dc-sweep",
            values(**{**_VALUES, "gap0": GAP[1]}),
            f"{SOURCE}, benchmark DCSweep: ramps of 4 ms to 2 V",
            Stimulus("triangle", 2.0, 2.0, 16e-3),
            (
                Figure("set voltage", 1.392, 0.01, "V", _HARD),
                Figure("reset voltage", -1.052, 0.01, "V", _HARD),
            ),
        ),
    ),
)
