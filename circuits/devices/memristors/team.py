"""The threshold adaptive memristor model TEAM: thresholds of the current, with a linear resistance.

Kvatinsky, Friedman, Kolodny and Weiser, "TEAM: threshold adaptive memristor model", IEEE Trans. Circuits
Syst. I 60(1), 211 (2013): with `x = w / d` from 0 (`ron`) to 1 (`roff`) and `i = u / (ron + (roff - ron) x)`,

    dx/dt = koff / d (i / ioff - 1)^aoff f_off(x) for i > ioff,
            kon / d (i / ion - 1)^aon f_on(x)     for i < ion, 0 between.

The publication leaves the windows open and offers one; here they are Biolek's, as in `vteam`. The published
speeds grow with the tenth power of the current: at a constant voltage a device on its way to `ron` runs away,
as its current grows with every step. Drive it by a current, or through a resistance of its own size; the
cycle here keeps its negative half small for that reason.
"""

from __future__ import annotations

import sympy as sp

from circuits.devices.base import Parameter, State, U
from circuits.devices.behavioural import symbol
from circuits.devices.memristors.base import Memristor, Published, Stimulus, values
from circuits.devices.memristors.windows import biolek, held

SOURCE = "Kvatinsky et al., IEEE Trans. Circuits Syst. I 60(1), 211 (2013)"
XYCE = "values of memristorTEAM_test.cir in the regression suite of Xyce, Sandia National Laboratories"

_X, _WINDOW, _D = symbol("x"), symbol("window"), symbol("d")
_RON, _ROFF, _KON, _KOFF = (symbol(s) for s in ("ron", "roff", "kon", "koff"))
_AON, _AOFF, _ION, _IOFF = (symbol(s) for s in ("aon", "aoff", "ion", "ioff"))
_RISING, _FALLING = biolek(_X, _WINDOW)


def _beyond(ratio: sp.Expr) -> sp.Expr:
    return sp.Piecewise((ratio - 1, ratio > 1), (sp.Integer(0), True))


LAW = U / (_RON + (_ROFF - _RON) * held(_X, 0.0, 1.0))
_RESISTANCE = _RON + (_ROFF - _RON) * _X  # positive until 5 % outside: thresholds must be plain comparisons
_ON, _OFF = U / (_RESISTANCE * _ION), U / (_RESISTANCE * _IOFF)
RATE = sp.Piecewise(
    (_KOFF / _D * _beyond(_OFF) ** _AOFF * _RISING, U > _RESISTANCE * _IOFF),
    (_KON / _D * _beyond(_ON) ** _AON * _FALLING, U < _RESISTANCE * _ION),
    (sp.Integer(0), True),
)

XYCE_SET = Published(
    "xyce",
    values(ron=50.0, roff=1000.0, kon=-4.68e-22, koff=1.46e-18, aon=10.0, aoff=10.0, ion=-8.9e-6,
           ioff=115e-6, d=3e-9, window=10.0, x0=0.5),
    f"{SOURCE}; {XYCE}",
    Stimulus("sine", 1.0, 0.12, 1e-3),
)  # fmt: skip

TEAM = Memristor(
    "team",
    ("p", "n"),
    (
        Parameter("ron", "Ohm", 50.0, lower=1e-3, description="resistance at x = 0", typical=100.0),
        Parameter("roff", "Ohm", 1000.0, lower=1e-3, description="resistance at x = 1", typical=1000.0),
        Parameter("kon", "m/s", -4.68e-22, upper=0.0, description="speed towards x = 0", typical=1e-21),
        Parameter("koff", "m/s", 1.46e-18, lower=0.0, description="speed towards x = 1", typical=1e-18),
        Parameter("aon", "1", 10.0, lower=1.0, description="exponent towards x = 0"),
        Parameter("aoff", "1", 10.0, lower=1.0, description="exponent towards x = 1"),
        Parameter("ion", "A", -8.9e-6, upper=-1e-12, description="threshold towards x = 0", typical=1e-5),
        Parameter("ioff", "A", 115e-6, lower=1e-12, description="threshold towards x = 1", typical=1e-4),
        Parameter("d", "m", 3e-9, lower=1e-12, description="range of the width", typical=1e-9),
        Parameter("window", "1", 10.0, lower=1.0, description="exponent of Biolek's window"),
        Parameter("x0", "1", 0.5, 0.0, 1.0, description="state at t = 0"),
    ),
    law=LAW,
    states=(State("x", RATE, "x0"),),
    reciprocal=True,
    description="current-threshold adaptive memristor with a linear resistance",
    source=SOURCE,
    read_voltage=4e-4,
    bounds=((0.0, 1.0),),
    published=(XYCE_SET,),
)
