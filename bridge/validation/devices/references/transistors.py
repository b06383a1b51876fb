"""Level 1 by hand, at any temperature, and what data sheets and cards say of the shipped transistors.

Equations: Shichman and Hodges, IEEE J. Solid-State Circuits 3, 285 (1968); temperatures as in SPICE 2
(Vladimirescu and Liu, "The simulation of MOS integrated circuits using SPICE2", UCB/ERL M80/7 (1980)): the
mobility falls as `T^-3/2`, the surface potential and the threshold follow the gap of silicon and the
intrinsic density.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Numbers = Mapping[str, float]

BOLTZMANN = 1.380649e-23
CHARGE = 1.602176634e-19
NOMINAL = 300.15
"""Temperature [K] at which the numbers of level 1 hold."""

_TEXTBOOK = {"vto": 0.5, "kp": 1e-4, "gamma": 0.4, "phi": 0.7, "lambda": 0.05}
_DRIVE = 5.0 - 0.7 - 0.05  # V, of the ALD1106 at 5 V on the gate and 0.1 V on the drain
_MODULATION = 200e-6 / (10e-3 - 200e-6 * 5.0)
LEVEL1: Mapping[str, Numbers] = {
    "nmos_level1": {"sign": 1.0, **_TEXTBOOK},
    "pmos_level1": {"sign": -1.0, **_TEXTBOOK, "vto": -0.5},
    # 0.7 V, 350 ohms at 5 V and 0.1 V, 200 uS at 10 mA and 5 V.
    "ald1106": {
        "sign": 1.0, "vto": 0.7, "kp": 1.0 / (350.0 * _DRIVE * (1.0 + 0.1 * _MODULATION)), "gamma": 0.0,
        "phi": 0.9, "lambda": _MODULATION,
    },
}  # fmt: skip
"""Numbers of level 1, by device: those of `nmos_level1` and `pmos_level1` are a textbook's size, those of the
ALD1106 solve the equations for three typical values of its data sheet."""

CARDS: Mapping[str, Numbers] = {
    "freepdk45_nmos": {
        "level": 54, "vth0": 0.4106, "u0": 0.045, "toxe": 1.14e-9, "k1": 0.4, "vsat": 123e3, "ute": -1.5,
        "kt1": -0.11, "nfactor": 2.1, "ndep": 3.4e18, "rdsw": 155, "eta0": 0.006, "voff": -0.13,
    },
    "freepdk45_pmos": {
        "level": 54, "vth0": -0.3842, "u0": 0.02, "toxe": 1.26e-9, "k1": 0.4, "vsat": 62e3, "ute": -1.5,
        "kt1": -0.11, "nfactor": 2.22, "ndep": 2.44e18, "rdsw": 155, "eta0": 0.0055, "voff": -0.126,
    },
    "gf180mcu_nmos": {
        "level": 54, "vth0": 0.72356597, "u0": 0.033011551, "toxe": 8e-9, "k1": 0.95938091,
        "vsat": 71618.182, "ute": -1.4342857, "kt1": -0.37773746, "nfactor": 1.0, "ndep": 3e17,
        "rdsw": 530.0, "eta0": 0.75, "voff": -0.079311948,
    },
}  # fmt: skip
"""Leading parameters of the BSIM4 cards as their files have them: nominal corner, shipped size."""

VERSIONS: Mapping[str, str] = {
    "freepdk45_nmos": "version=4.0", "freepdk45_pmos": "version=4.0", "gf180mcu_nmos": "version=4.5",
}  # fmt: skip
"""Version of BSIM4 that the cards are for."""


def at_temperature(numbers: Numbers, kelvin: float) -> dict[str, float]:
    """The numbers of level 1 at another temperature [K]."""

    def gap(t: float) -> float:
        return 1.16 - 7.02e-4 * t * t / (t + 1108.0)

    def shift(t: float) -> float:
        """The part of the surface potential that is not proportional to the temperature [V]."""
        half = 0.5 * CHARGE / BOLTZMANN
        exponent = 1.1150877 * half / NOMINAL - gap(t) * half / t
        return -2.0 * BOLTZMANN * t / CHARGE * (1.5 * log(t / NOMINAL) + exponent)

    sign, ratio = numbers["sign"], kelvin / NOMINAL
    phi = ratio * (numbers["phi"] - shift(NOMINAL)) + shift(kelvin)
    flat = numbers["vto"] - sign * numbers["gamma"] * np.sqrt(numbers["phi"])
    flat += 0.5 * (gap(NOMINAL) - gap(kelvin)) + sign * 0.5 * (phi - numbers["phi"])
    vto = flat + sign * numbers["gamma"] * np.sqrt(phi)
    return {**numbers, "phi": float(phi), "vto": float(vto), "kp": numbers["kp"] * ratio**-1.5}


def level1_current(numbers: Numbers, shape: float, volts: FloatArray) -> FloatArray:
    """Drain current [A] of a transistor of level 1, with drain and source exchanged if needed.

    Args:
        numbers: `sign` (-1 for a p channel), `vto` [V], `kp` [A/V^2], `gamma` [V^0.5], `phi` [V],
            `lambda` [1/V].
        shape: width over length, times the number in parallel.
        volts: of d, g, s, b, `(n, 4)` [V].
    """
    sign = numbers["sign"]
    d, g, s, b = sign * volts.T
    vds, flip = np.abs(d - s), np.where(d >= s, 1.0, -1.0)
    low = np.minimum(d, s)
    phi, gamma = numbers["phi"], numbers["gamma"]
    vbs = b - low
    root = np.where(vbs <= 0.0, np.sqrt(np.maximum(phi - vbs, 0.0)), np.sqrt(phi) - vbs / (2 * np.sqrt(phi)))
    threshold = sign * numbers["vto"] + gamma * (np.maximum(root, 0.0) - np.sqrt(phi))
    over = g - low - threshold
    ohmic = np.minimum(vds, over)
    current = numbers["kp"] * shape * ohmic * (over - ohmic / 2) * (1.0 + numbers["lambda"] * vds)
    return np.asarray(sign * flip * np.where(over > 0.0, current, 0.0))
