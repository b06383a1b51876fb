"""A filament's gap and its temperature: two states.

Chen and Yu, "Compact modeling of RRAM devices and its applications in 1T1R and 1S1R array design", IEEE
Trans. Electron Devices 62(12), 4022 (2015), with the equations and values of its Verilog-A code:

    i = i0 exp(-gap / g0) sinh(u / v0),
    dgap/dt = -vel0 (exp((w - eag) q / (k T)) - exp((-w - ear) q / (k T))),   w = gamma a0 u / thickness,
    gamma = gamma0 - beta (gap / 1 nm)^3,   cth dT/dt = u i - cth (T - ambient) / tau_th.

The second state here is `rise = T - ambient`. The code cuts the gap off at its bounds, 0.1 and 1.7 nm: here
its speed ends as a tanh within some `stop` of them. Thresholds follow from the activation energies.
"""

from __future__ import annotations

import sympy as sp

from circuits.devices.base import Parameter, State, U
from circuits.devices.behavioural import symbol
from circuits.devices.memristors.base import Memristor, Published, Stimulus, values
from circuits.devices.memristors.windows import ELECTRONVOLT_PER_KELVIN, held, stops

SOURCE = "Chen and Yu, IEEE Trans. Electron Devices 62(12), 4022 (2015)"
GAP = (0.1e-9, 1.7e-9)
"""Bounds of the gap [m]."""
MARGIN = 5e-11
"""How far outside of its bounds the gap still counts [m]."""
RISE = (0.0, 5000.0)
"""Bounds of the temperature above the ambient [K]."""

_GAP, _RISE, _G0, _V0, _I0 = (symbol(s) for s in ("gap", "rise", "g0", "v0", "i0"))
_VEL0, _EAG, _EAR, _A0, _L = (symbol(s) for s in ("vel0", "eag", "ear", "a0", "thickness"))
_GAMMA0, _BETA, _STOP = (symbol(s) for s in ("gamma0", "beta", "stop"))
_CTH, _TAU, _AMBIENT = (symbol(s) for s in ("cth", "tau_th", "ambient"))

_HELD = held(_GAP, GAP[0] - MARGIN, GAP[1] + MARGIN)
LAW = _I0 * sp.exp(-_HELD / _G0) * sp.sinh(U / _V0)
_THERMAL = ELECTRONVOLT_PER_KELVIN * (_AMBIENT + held(_RISE, -50.0, 2 * RISE[1]))
_LOWERED = (_GAMMA0 - _BETA * (sp.Float(1e9) * _HELD) ** 3) * _A0 / _L * U
_WIDER, _NARROWER = stops(_GAP, *GAP, _STOP)
GAP_RATE = _VEL0 * (
    sp.exp((-_LOWERED - _EAR) / _THERMAL) * _WIDER - sp.exp((_LOWERED - _EAG) / _THERMAL) * _NARROWER
)
RISE_RATE = U * LAW / _CTH - _RISE / _TAU

_VALUES = values(g0=2.7505e-10, v0=0.43, i0=6.14e-5, vel0=150.0, eag=1.501, ear=1.5, a0=0.25e-9,
                 thickness=5e-9, gamma0=16.5, beta=1.25, cth=3.1825e-16, tau_th=2.3e-10,
                 ambient=298.0)  # fmt: skip

FILAMENT = Memristor(
    "filament",
    ("p", "n"),
    (
        Parameter("g0", "m", 2.7505e-10, lower=1e-12, description="decay length of current", typical=1e-10),
        Parameter("v0", "V", 0.43, lower=1e-3, description="curvature of the current"),
        Parameter("i0", "A", 6.14e-5, lower=0.0, description="size of the current", typical=1e-4),
        Parameter("vel0", "m/s", 150.0, lower=0.0, description="speed of the gap", typical=100.0),
        Parameter("eag", "eV", 1.501, lower=0.0, description="activation energy, generation of vacancies"),
        Parameter("ear", "eV", 1.5, lower=0.0, description="activation energy, their recombination"),
        Parameter("a0", "m", 0.25e-9, lower=1e-12, description="distance of atoms", typical=1e-10),
        Parameter("thickness", "m", 5e-9, lower=1e-10, description="of the oxide", typical=1e-8),
        Parameter("gamma0", "1", 16.5, lower=0.0, description="field enhancement without a gap"),
        Parameter("beta", "1", 1.25, lower=0.0, description="its loss with the gap in nm, cubed"),
        Parameter("cth", "J/K", 3.1825e-16, lower=1e-24, description="thermal capacitance", typical=1e-16),
        Parameter("tau_th", "s", 2.3e-10, lower=1e-15, description="thermal time constant", typical=1e-10),
        Parameter("ambient", "K", 298.0, lower=100.0, description="temperature around", typical=300.0),
        Parameter("stop", "m", 1e-11, lower=1e-14, description="width of the ends", typical=1e-11),
        Parameter("gap0", "m", GAP[0], *GAP, description="gap at t = 0", typical=1e-9),
        Parameter("rise0", "K", 0.0, *RISE, description="temperature above ambient at t = 0", typical=100.0),
    ),
    law=LAW,
    states=(State("gap", GAP_RATE, "gap0", 1e-9, "m"), State("rise", RISE_RATE, "rise0", 100.0, "K")),
    reciprocal=True,
    description="oxide RRAM: the gap of a filament and its temperature",
    source=SOURCE,
    read_voltage=0.1,
    bounds=(GAP, RISE),
    published=(Published("chen", _VALUES, SOURCE, Stimulus("sine", 1.5, 1.5, 2e-7)),),
)
