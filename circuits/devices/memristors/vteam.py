"""The voltage-threshold adaptive memristor model VTEAM, with a linear and an exponential resistance.

Kvatinsky, Ramadan, Friedman and Kolodny, "VTEAM: a general model for voltage-controlled memristors", IEEE
Trans. Circuits Syst. II 62(8), 786 (2015): with `x = w / d` from 0 (`ron`) to 1 (`roff`),

    dx/dt = koff / d (u / voff - 1)^aoff f_off(x) for u > voff,
            kon / d (u / von - 1)^aon f_on(x)     for u < von, 0 between,

and the resistance is `ron + (roff - ron) x`, or `ron (roff / ron)^x` for the exponential kind. The
publication leaves the windows open; here they are Biolek's, `f_off = 1 - x^2p` and
`f_on = 1 - (x - 1)^2p` with `p = window`; the larger `p`, the closer to hard bounds.
"""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from circuits.devices.base import Parameter, State, U
from circuits.devices.behavioural import symbol
from circuits.devices.memristors.base import Figure, Memristor, Published, Stimulus, values
from circuits.devices.memristors.windows import biolek, held

SOURCE = "Kvatinsky et al., IEEE Trans. Circuits Syst. II 62(8), 786 (2015)"
MEMTORCH = "MemTorch, Lammie et al., Neurocomputing 485, 124 (2022): default values of its VTEAM model"

_X, _WINDOW, _D = symbol("x"), symbol("window"), symbol("d")
_RON, _ROFF, _KON, _KOFF = (symbol(s) for s in ("ron", "roff", "kon", "koff"))
_AON, _AOFF, _VON, _VOFF = (symbol(s) for s in ("aon", "aoff", "von", "voff"))
_RISING, _FALLING = biolek(_X, _WINDOW)


def _beyond(ratio: sp.Expr) -> sp.Expr:
    return sp.Piecewise((ratio - 1, ratio > 1), (sp.Integer(0), True))


_HELD = held(_X, 0.0, 1.0)
LINEAR = U / (_RON + (_ROFF - _RON) * _HELD)
EXPONENTIAL = U / _RON * sp.exp(-_HELD * sp.log(_ROFF / _RON))
RATE = sp.Piecewise(
    (_KOFF / _D * _beyond(U / _VOFF) ** _AOFF * _RISING, U > _VOFF),
    (_KON / _D * _beyond(U / _VON) ** _AON * _FALLING, U < _VON),
    (sp.Integer(0), True),
)

_SET = values(ron=50.0, roff=1000.0, kon=-10.0, koff=5e-4, aon=3.0, aoff=1.0, von=-0.2, voff=0.02, d=3e-9,
              window=10.0, x0=0.0)  # fmt: skip
_CYCLE = Stimulus("sine", 0.6, 0.6, 2e-8)
LINEAR_SET = Published(
    "memtorch",
    _SET,
    MEMTORCH,
    _CYCLE,
    (
        Figure("positive peak current", 9.6e-3, 0.005, "A", "MemTorch's VTEAM at 0.6 V and 50 MHz"),
        Figure("negative peak current", -12.0e-3, 0.005, "A", "MemTorch's VTEAM at 0.6 V and 50 MHz"),
    ),
)
EXPONENTIAL_SET = Published("memtorch", _SET, f"{MEMTORCH}, with the exponential resistance", _CYCLE)

VTEAM = Memristor(
    "vteam",
    ("p", "n"),
    (
        Parameter("ron", "Ohm", 50.0, lower=1e-3, description="resistance at x = 0", typical=100.0),
        Parameter("roff", "Ohm", 1000.0, lower=1e-3, description="resistance at x = 1", typical=1000.0),
        Parameter("kon", "m/s", -10.0, upper=0.0, description="speed towards x = 0"),
        Parameter("koff", "m/s", 5e-4, lower=0.0, description="speed towards x = 1", typical=1e-3),
        Parameter("aon", "1", 3.0, lower=1.0, description="exponent towards x = 0"),
        Parameter("aoff", "1", 1.0, lower=1.0, description="exponent towards x = 1"),
        Parameter("von", "V", -0.2, upper=-1e-6, description="threshold towards x = 0"),
        Parameter("voff", "V", 0.02, lower=1e-6, description="threshold towards x = 1", typical=0.1),
        Parameter("d", "m", 3e-9, lower=1e-12, description="thickness of the device", typical=1e-9),
        Parameter("window", "1", 10.0, lower=1.0, description="exponent of Biolek's window"),
        Parameter("x0", "1", 0.0, 0.0, 1.0, description="state at t = 0"),
    ),
    law=LINEAR,
    states=(State("x", RATE, "x0"),),
    reciprocal=True,
    description="voltage-threshold adaptive memristor with a linear resistance",
    source=SOURCE,
    read_voltage=0.01,
    bounds=((0.0, 1.0),),
    published=(LINEAR_SET,),
)
VTEAM_EXPONENTIAL = replace(
    VTEAM,
    kind="vteam_exponential",
    law=EXPONENTIAL,
    description="voltage-threshold adaptive memristor with an exponential resistance",
    published=(EXPONENTIAL_SET,),
)
