"""Ionic channels and their like as branches: `i = g gates (u - E)`, with gates that are internal states.

A channel is a memristive system of Chua and Kang, Proc. IEEE 64, 209 (1976). The laws are in volts, seconds
and siemens; the kinetics inside them are in millivolts and milliseconds, as published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import sympy as sp

from circuits.devices.base import Parameter, State, U
from circuits.devices.behavioural import Behavioural, symbol
from circuits.devices.neurons.kinetics import (
    alpha_h,
    alpha_m,
    alpha_n,
    beta_h,
    beta_m,
    beta_n,
    exponential,
    logistic,
)

HODGKIN_HUXLEY = "Hodgkin and Huxley, J. Physiol. 117, 500 (1952)"
MORRIS_LECAR = "Morris and Lecar, Biophys. J. 35, 193 (1981)"
FITZHUGH_NAGUMO = (
    "FitzHugh, Biophys. J. 1, 445 (1961); Nagumo, Arimoto and Yoshizawa, Proc. IRE 50, 2061 (1962)"
)

MV = 1000.0 * U
"""The branch voltage [mV]."""
PER_S = 1000.0
"""1/ms in 1/s."""


@dataclass(frozen=True)
class Channel(Behavioural):
    """A branch of a membrane; compiled wherever that is possible, because networks have many."""

    compiled_by_default: ClassVar[bool] = True


def _gate(name: str, opening: sp.Expr, closing: sp.Expr) -> State:
    x, speed = symbol(name), symbol(f"speed_{name}")
    return State(name, PER_S * speed * (opening * (1.0 - x) - closing * x), f"{name}0")


def _speed(gate: str) -> Parameter:
    text = f"factor on the rates of the gates {gate}, of temperature or of other kinetics"
    return Parameter(f"speed_{gate}", "1", 1.0, lower=1e-3, upper=1e3, description=text)


def _start(gate: str, default: float) -> Parameter:
    text = f"share of open gates {gate} at t = 0; the default is the steady state at -65 mV"
    return Parameter(f"{gate}0", "1", default, lower=0.0, upper=1.0, description=text)


def _conductance(text: str = "with all gates open") -> Parameter:
    return Parameter("conductance", "S", lower=0.0, upper=1e3, typical=1e-3, description=text)


def _voltage(name: str, default: float, text: str, lower: float = -1.0, upper: float = 1.0) -> Parameter:
    return Parameter(name, "V", default, lower, upper, typical=1e-2, description=text)


_G, _E = symbol("conductance"), symbol("reversal")
_REVERSAL = "voltage at which its current is zero"

LEAK = Channel(
    "leak_channel",
    ("p", "n"),
    (_conductance("of the membrane at rest"), _voltage("reversal", -54.387e-3, _REVERSAL)),
    law=_G * (U - _E),
    description="leak of a membrane, i = conductance (u - reversal)",
    source=HODGKIN_HUXLEY,
)
SODIUM = Channel(
    "sodium_channel",
    ("p", "n"),
    (
        _conductance(),
        _voltage("reversal", 50e-3, _REVERSAL),
        _speed("m"),
        _speed("h"),
        _start("m", 0.05293248525724958),
        _start("h", 0.5961207535084603),
    ),
    law=_G * symbol("m") ** 3 * symbol("h") * (U - _E),
    states=(_gate("m", alpha_m(MV), beta_m(MV)), _gate("h", alpha_h(MV), beta_h(MV))),
    reciprocal=False,
    description="sodium channel of the squid axon, i = conductance m^3 h (u - reversal)",
    source=HODGKIN_HUXLEY,
)
POTASSIUM = Channel(
    "potassium_channel",
    ("p", "n"),
    (_conductance(), _voltage("reversal", -77e-3, _REVERSAL), _speed("n"), _start("n", 0.3176769140606974)),
    law=_G * symbol("n") ** 4 * (U - _E),
    states=(_gate("n", alpha_n(MV), beta_n(MV)),),
    reciprocal=False,
    description="potassium channel of the squid axon, i = conductance n^4 (u - reversal)",
    source=HODGKIN_HUXLEY,
)

_HALF, _WIDTH, _W = symbol("half"), symbol("width"), symbol("w")
_HALF_TEXT, _WIDTH_TEXT = "voltage at which half of it is open", "of the rise around that voltage"
CALCIUM = Channel(
    "instantaneous_channel",
    ("p", "n"),
    (
        _conductance(),
        _voltage("reversal", 120e-3, _REVERSAL),
        _voltage("half", -1.2e-3, _HALF_TEXT),
        _voltage("width", 18e-3, _WIDTH_TEXT, lower=1e-4),
    ),
    law=_G * logistic(2.0 * (U - _HALF) / _WIDTH) * (U - _E),
    description="channel that follows the voltage at once, "
    "i = conductance (1 + tanh((u - half) / width)) / 2 (u - reversal)",
    source=MORRIS_LECAR,
)
RECOVERY = Channel(
    "recovery_channel",
    ("p", "n"),
    (
        _conductance(),
        _voltage("reversal", -84e-3, _REVERSAL),
        _voltage("half", 2e-3, _HALF_TEXT),
        _voltage("width", 30e-3, _WIDTH_TEXT, lower=1e-4),
        Parameter("rate", "1/s", 40.0, lower=0.0, upper=1e6, typical=10.0, description="slowest, at `half`"),
        Parameter("w0", "1", 0.015, lower=0.0, upper=1.0, description="share of open channels at t = 0"),
    ),
    law=_G * _W * (U - _E),
    states=(
        State(
            "w",
            symbol("rate")
            * 0.5
            * (exponential((U - _HALF) / (2.0 * _WIDTH)) + exponential(-(U - _HALF) / (2.0 * _WIDTH)))
            * (logistic(2.0 * (U - _HALF) / _WIDTH) - _W),
            "w0",
        ),
    ),
    reciprocal=False,
    description="delayed potassium channel, i = conductance w (u - reversal)",
    source=MORRIS_LECAR,
)
_UNIT = symbol("voltage_unit")
CUBIC = Channel(
    "cubic_conductance",
    ("p", "n"),
    (
        _conductance("negative of the slope at zero"),
        Parameter("voltage_unit", "V", 50e-3, lower=1e-4, upper=1e2, description="voltage of the cubic's 1"),
    ),
    law=_G * (U**3 / (3.0 * _UNIT**2) - U),
    description="nonlinear conductance with a falling part, i = conductance (u^3 / (3 voltage_unit^2) - u)",
    source=FITZHUGH_NAGUMO,
)
_R = symbol("r")
RESET = Channel(
    "reset_conductance",
    ("p", "n"),
    (
        _conductance(),
        _voltage("reversal", -65e-3, "voltage that it resets to"),
        _voltage("peak", 0.0, "voltage of the branch at which it opens"),
        _voltage("release", -55e-3, "voltage below which it closes again"),
        _voltage("width", 2e-3, "of the steps around these voltages", lower=1e-5),
        Parameter(
            "opening", "1/s", 2e4, lower=0.0, upper=1e8, typical=1e4, description="rate above the peak"
        ),
        Parameter("closing", "1/s", 1e3, lower=0.0, upper=1e8, typical=1e3, description="rate of closing"),
        Parameter("r0", "1", 0.0, lower=0.0, upper=1.0, description="share that is open at t = 0"),
    ),
    law=_G * _R**4 * (U - _E),
    states=(
        State(
            "r",
            symbol("opening")
            * logistic((U - symbol("peak") + (symbol("peak") - symbol("release")) * _R) / symbol("width"))
            * (1.0 - _R)
            - symbol("closing") * _R,
            "r0",
        ),
    ),
    reciprocal=False,
    description="conductance that opens at the peak of a spike and, once open, stays so until the voltage "
    "has fallen to another one, i = conductance r^4 (u - reversal)",
    source="a smooth form of the reset of an integrate-and-fire neuron; Gerstner, Kistler, Naud and "
    "Paninski, Neuronal Dynamics (2014), chapters 1 and 5",
)
