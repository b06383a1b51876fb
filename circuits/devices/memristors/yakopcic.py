"""The generalised memristor model of Yakopcic et al., with published sets of parameters.

Yakopcic, Taha, Subramanyam and Pino, "Generalized memristive device SPICE model and its application in
circuit design", IEEE Trans. CAD 32(8), 1201 (2013):

    i = a1 x sinh(b u) for u >= 0, a2 x sinh(b u) for u < 0,
    dx/dt = g(u) f(x, u),
    g = Ap (exp(u) - exp(Vp)) for u > Vp, -An (exp(-u) - exp(Vn)) for u < -Vn, 0 between,

and `f` slows the motion exponentially behind `xp` towards 1 and in front of `1 - xn` towards 0.
"""

from __future__ import annotations

import sympy as sp

from circuits.devices.base import Parameter, State, U
from circuits.devices.behavioural import symbol
from circuits.devices.memristors.base import Figure, Memristor, Published, Stimulus, values

SOURCE = "Yakopcic et al., IEEE Trans. CAD 32(8), 1201 (2013)"

_X, _A1, _A2, _B = (symbol(s) for s in ("x", "a1", "a2", "b"))
_VP, _VN, _AP, _AN = (symbol(s) for s in ("vp", "vn", "ap", "an"))
_XP, _XN, _ALP, _ALN = (symbol(s) for s in ("xp", "xn", "alphap", "alphan"))

LAW = sp.Piecewise((_A1, U >= 0), (_A2, True)) * _X * sp.sinh(_B * U)

_TOWARDS_ONE = sp.Piecewise(
    (sp.exp(-_ALP * (_X - _XP)) * ((_XP - _X) / (1 - _XP) + 1), _X > _XP), (sp.Integer(1), True)
)
_TOWARDS_ZERO = sp.Piecewise(
    (sp.exp(_ALN * (_X + _XN - 1)) * _X / (1 - _XN), _X < 1 - _XN), (sp.Integer(1), True)
)
RATE = sp.Piecewise(
    (_AP * (sp.exp(U) - sp.exp(_VP)) * _TOWARDS_ONE, U > _VP),
    (-_AN * (sp.exp(-U) - sp.exp(_VN)) * _TOWARDS_ZERO, U < -_VN),
    (sp.Integer(0), True),
)

OBLEA = Published(
    "oblea",
    values(a1=0.17, a2=0.17, b=0.05, vp=0.16, vn=0.15, ap=4000.0, an=4000.0, xp=0.3, xn=0.5, alphap=1.0,
           alphan=5.0, x0=0.11),
    f"{SOURCE}, fitted to the Ag-chalcogenide device of Oblea et al., IJCNN 2010",
    Stimulus("sine", 0.45, 0.45, 0.01),
    (Figure("peak current", 3.42e-3, 0.01, "A", SOURCE),),
)  # fmt: skip
MIAO = Published(
    "miao",
    values(a1=0.11, a2=0.11, b=0.5, vp=0.09, vn=0.75, ap=7.5, an=2.0, xp=0.3, xn=0.5, alphap=1.0, alphan=5.0,
           x0=0.11),
    f"{SOURCE}, fitted to the TaOx device of Miao et al., Adv. Mater. 23, 5633 (2011)",
    Stimulus("triangle", 0.75, 1.25, 20.0),
)  # fmt: skip
JO = Published(
    "jo",
    values(a1=3.7e-7, a2=4.35e-7, b=0.7, vp=1.5, vn=0.5, ap=0.005, an=0.08, xp=0.2, xn=0.5, alphap=1.2,
           alphan=3.0, x0=0.1),
    f"{SOURCE}, fitted to the Ag/a-Si device of Jo et al., Nano Lett. 10, 1297 (2010)",
    Stimulus("triangle", 4.0, 2.0, 5.0),
)  # fmt: skip

YAKOPCIC = Memristor(
    "yakopcic",
    ("p", "n"),
    (
        Parameter("a1", "A", 0.17, lower=1e-15, description="conduction, positive voltages", typical=0.1),
        Parameter("a2", "A", 0.17, lower=1e-15, description="conduction, negative voltages", typical=0.1),
        Parameter("b", "1/V", 0.05, lower=1e-6, description="curvature of the conduction"),
        Parameter("vp", "V", 0.16, lower=0.0, description="positive threshold"),
        Parameter("vn", "V", 0.15, lower=0.0, description="magnitude of the negative threshold"),
        Parameter("ap", "1/s", 4000.0, lower=0.0, description="speed of the state, positive voltages"),
        Parameter("an", "1/s", 4000.0, lower=0.0, description="speed of the state, negative voltages"),
        Parameter("xp", "1", 0.3, lower=0.01, upper=0.99, description="where the rise slows down"),
        Parameter("xn", "1", 0.5, lower=0.01, upper=0.99, description="1 minus where the fall slows down"),
        Parameter("alphap", "1", 1.0, lower=0.0, description="how fast the rise slows down"),
        Parameter("alphan", "1", 5.0, lower=0.0, description="how fast the fall slows down"),
        Parameter("x0", "1", 0.11, 0.0, 1.0, description="state at t = 0"),
    ),
    law=LAW,
    states=(State("x", RATE, "x0"),),
    reciprocal=True,
    description="generalised memristor with exponential thresholds",
    source=SOURCE,
    read_voltage=0.1,
    bounds=((0.0, 1.0),),
    published=(OBLEA, MIAO, JO),
)
