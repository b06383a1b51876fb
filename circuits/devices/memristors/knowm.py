"""The mean metastable switch: the mean of many two-state switches that flip by thermal activation.

Nugent and Molter, "AHaH computing: from metastable switches to attractors to machine learning", PLoS ONE
9(2), e85175 (2014). Its probabilities per step, as rates, are

    dx/dt = ((1 - x) s(u - von) - x (1 - s(u + voff))) / tau,   s(v) = 1 / (1 + exp(-q v / (k T))),

and the conductance is `x / ron + (1 - x) / roff`. The state stays in [0, 1] by itself. The publication's
second current, through a Schottky barrier, is left out, as in the model that Knowm gives for SPICE.
"""

from __future__ import annotations

import sympy as sp

from circuits.devices.base import Parameter, State, U
from circuits.devices.behavioural import symbol
from circuits.devices.memristors.base import Memristor, Published, Stimulus, values
from circuits.devices.memristors.windows import ELECTRONVOLT_PER_KELVIN

SOURCE = "Nugent and Molter, PLoS ONE 9(2), e85175 (2014)"

_X, _RON, _ROFF = (symbol(s) for s in ("x", "ron", "roff"))
_VON, _VOFF, _TAU, _T = (symbol(s) for s in ("von", "voff", "tau", "temperature"))


def _switched(voltage: sp.Expr) -> sp.Expr:
    """The logistic function of a voltage over the thermal voltage."""
    return (1 + sp.tanh(voltage / (2 * ELECTRONVOLT_PER_KELVIN * _T))) / 2


RATE = ((1 - _X) * _switched(U - _VON) - _X * (1 - _switched(U + _VOFF))) / _TAU

SPICE = Published(
    "knowm",
    values(ron=500.0, roff=1500.0, von=0.27, voff=0.27, tau=1e-4, temperature=298.5, x0=0.0),
    f"{SOURCE}; values of Knowm's own SPICE subcircuit (memristor-models-4-all, 2017)",
    Stimulus("sine", 0.5, 0.5, 0.01),
)

KNOWM_MMS = Memristor(
    "knowm_mms",
    ("p", "n"),
    (
        Parameter("ron", "Ohm", 500.0, lower=1e-3, description="resistance at x = 1", typical=1000.0),
        Parameter("roff", "Ohm", 1500.0, lower=1e-3, description="resistance at x = 0", typical=1000.0),
        Parameter("von", "V", 0.27, lower=0.0, description="where switches turn on"),
        Parameter("voff", "V", 0.27, lower=0.0, description="magnitude of where switches turn off"),
        Parameter("tau", "s", 1e-4, lower=1e-15, description="time scale of the switches", typical=1e-4),
        Parameter("temperature", "K", 298.5, lower=1.0, description="of the switches", typical=300.0),
        Parameter("x0", "1", 0.0, 0.0, 1.0, description="share of switches that are on at t = 0"),
    ),
    law=U * (_X / _RON + (1 - _X) / _ROFF),
    states=(State("x", RATE, "x0"),),
    reciprocal=True,
    description="mean metastable switch",
    source=SOURCE,
    read_voltage=0.05,
    bounds=((0.0, 1.0),),
    published=(SPICE,),
)
