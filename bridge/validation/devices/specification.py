"""Specifications as data sheets write them: minimum, typical value, maximum, unit; and whether they hold.

The limits are declared here once a class of devices, with exceptions by device. A value that could not be
measured fails.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.errors import SpecError


@dataclass(frozen=True)
class Limit:
    """The limits of one quantity.

    Attributes:
        minimum: smallest value allowed; `None` for none.
        typical: what is usual or published; `None` where nothing is.
        maximum: largest value allowed; `None` for none.
        unit: SI unit, `1` for a plain number.
        meaning: what the quantity is, in one line.
    """

    minimum: float | None = None
    typical: float | None = None
    maximum: float | None = None
    unit: str = "1"
    meaning: str = ""


@dataclass(frozen=True)
class Specification:
    """A measured value with its limits.

    Attributes:
        name: of the quantity.
        value: as measured; `None` where it could not be.
        limit: what is allowed.
    """

    name: str
    value: float | None
    limit: Limit

    @property
    def passed(self) -> bool:
        """Whether there is a finite value within the limits."""
        if self.value is None or not math.isfinite(self.value):
            return False
        low, high = self.limit.minimum, self.limit.maximum
        return (low is None or self.value >= low) and (high is None or self.value <= high)

    def to_json(self) -> dict[str, Any]:
        """As one JSON object; a value that is not finite is `None`."""
        known = self.value is not None and math.isfinite(self.value)
        return {
            "name": self.name,
            "value": self.value if known else None,
            "minimum": self.limit.minimum,
            "maximum": self.limit.maximum,
            "unit": self.limit.unit,
            "pass": self.passed,
        }


def _most(maximum: float, meaning: str, unit: str = "1", typical: float | None = None) -> Limit:
    return Limit(None, typical, maximum, unit, meaning)


def _least(minimum: float, meaning: str, unit: str = "1", typical: float | None = None) -> Limit:
    return Limit(minimum, typical, None, unit, meaning)


GRADIENT = _most(1e-3, "adjoint gradient against finite differences, one-device circuit", typical=1e-4)
SIMULATION = _most(1e-3, "largest difference of ngspice's current from the reference, share of the peak")
ORDER = _least(1.5, "order of the error in the time step, from halving it", typical=2.0)
POWER = _least(-1e-6, "smallest power taken up, share of the largest: never negative")

MEMRISTOR: Mapping[str, Limit] = {
    "parameters of the publication": _most(0.0, "parameters that differ from the published table"),
    "current against integration": SIMULATION,
    "order in the step": ORDER,
    "B sources against Verilog-A": _most(1e-4, "largest difference of the current, share of the peak"),
    "pinched loop": _most(1e-4, "current where the voltage is zero, share of the peak"),
    "two tones": _most(1e-4, "current where the voltage of two tones is zero, share of the peak"),
    "loop at high frequency": _most(0.1, "lobe area at the highest frequency, share of the largest"),
    "loop grows with frequency": _most(
        1.0, "largest ratio of the lobe areas of successive decades from the largest one on"
    ),
    "sense of the loop": _least(1e-6, "area of the lobes, positive in the published sense, normalised"),
    "switching time against integration": _most(0.02, "largest relative difference"),
    "switching time grows with voltage": _most(1.0, "largest ratio of the times of successive voltages"),
    "potentiation": _least(1e-3, "rise of the conductance by identical pulses, share of the start"),
    "depression": _least(1e-3, "fall of the conductance by identical pulses, share of the end"),
    "pulses against integration": _most(0.01, "largest difference of the conductance, share of its range"),
    "nonlinearity of potentiation": _most(1.0, "distance of the curve from a straight line"),
    "nonlinearity of depression": _most(1.0, "distance of the curve from a straight line"),
    "asymmetry": _most(1.0, "distance of the curves of potentiation and depression"),
    "least power": POWER,
    "energy of a cycle": _least(0.0, "taken up in one cycle", "J"),
    "corners without convergence": _most(0.0, "runs with one parameter 10 % off that give no result"),
    "state beyond its bounds": _most(1e-3, "at the corners, share of the range"),
    "temperatures against integration": SIMULATION,
    "gradient error": GRADIENT,
    "measured current": _most(0.25, "RMS residual of the fit, share of the measured RMS", typical=0.2),
}
TWO_TERMINAL: Mapping[str, Limit] = {
    "current against formula": SIMULATION,
    "order in the step": ORDER,
    "B sources against Verilog-A": MEMRISTOR["B sources against Verilog-A"],
    "least power": POWER,
    "energy of a cycle": _least(0.0, "taken up in one cycle", "J"),
    "temperatures against formula": _most(1e-3, "largest difference from -40 to 125 °C, share of the peak"),
    "corners against formula": _most(
        1e-3, "largest difference with one parameter 10 % off, share of the peak"
    ),
    "energy not returned": _most(1e-3, "net energy of a cycle, share of what is stored: a lossless element"),
    "corners without convergence": MEMRISTOR["corners without convergence"],
    "gradient error": GRADIENT,
}
_CLOSED = "largest difference from the closed form, share of each port's peak"
TWO_PORT: Mapping[str, Limit] = {
    "voltages against formula": _most(1e-4, _CLOSED),
    "currents against formula": _most(1e-4, _CLOSED),
    "B sources against Verilog-A": MEMRISTOR["B sources against Verilog-A"],
    "least power": _least(-1e-6, "smallest power taken up at both ports, share of what is exchanged"),
    "power of a lossless two-port": _most(1e-6, "largest sum of both ports, share of what is exchanged"),
    "temperatures against formula": _most(1e-4, "at -40 and 125 °C, share of the peak"),
    "corners without convergence": MEMRISTOR["corners without convergence"],
    "corners against formula": _most(1e-4, "with one parameter 10 % off, share of the peak"),
    "gradient error": GRADIENT,
}
FRACTIONAL: Mapping[str, Limit] = {
    "current against integration": SIMULATION,
    "order in the step": ORDER,
    "magnitude within the band": _most(0.05, "of the admittance, relative difference from the ideal law"),
    "phase within the band": _most(0.05, "of the admittance, difference from the ideal law", "rad"),
    "B sources against Verilog-A": MEMRISTOR["B sources against Verilog-A"],
    "temperatures against integration": SIMULATION,
    "corners without convergence": MEMRISTOR["corners without convergence"],
    "corners against integration": SIMULATION,
    "linear limit": _most(1e-3, "current with a linear law against a resistor's, share of the peak"),
    "energy of a cycle": _least(0.0, "taken up from rest in the whole transient", "J"),
    "gradient error": GRADIENT,
}
TRANSISTOR: Mapping[str, Limit] = {
    "parameters of the publication": _most(0.0, "numbers of the card that differ from the published ones"),
    "drain current against formula": _most(1e-3, "largest difference, share of the largest current"),
    "gm": _most(1e-3, "reported transconductance against differences of the current"),
    "gds": _most(1e-3, "reported output conductance against differences of the current"),
    "gmbs": _most(1e-3, "reported bulk transconductance against differences of the current"),
    "exchange of drain and source": _most(1e-6, "current after exchange, share of the largest"),
    "current falls with gate voltage": _most(1e-9, "largest fall of the current, share of the largest"),
    "on-off ratio": _least(1e3, "of the drain currents at full and at zero gate voltage"),
    "least power": POWER,
    "temperatures against formula": _most(
        1e-3, "largest difference from -40 to 125 °C, share of the largest"
    ),
    "threshold over temperature": Limit(
        -5e-3, -1e-3, -2e-5, "V/K", "largest slope of the threshold from -40 to 125 °C: it falls"
    ),
    "exponent of the gain over temperature": Limit(
        -3.5, -1.5, -0.8, "1", "of the absolute temperature, from -40 to 125 °C: the mobility falls"
    ),
    "leakage at 125 over that at -40 degC": _least(10.0, "of the currents at zero gate voltage"),
    "ff over tt over ss": _least(1.005, "smallest ratio of the on-currents of two successive corners"),
    "gradient error": GRADIENT,
}
NEURON: Mapping[str, Limit] = {
    "spikes compared": _least(3.0, "in the spike train"),
    "spike times against integration": _most(10.0, "largest difference at the kind's own step", "µs", 1.0),
    "B sources against Verilog-A": _most(1e-4, "largest difference of the voltage, share of its range"),
    "firing rate against integration": _most(1e-3, "largest relative difference over the currents"),
    "onset of repetitive firing": Limit(None, None, None, "µA/cm²", "by a current that begins at t = 0"),
    "onset bracketed by integration": _least(
        1.0, "1 where the equations are silent 0.2 % below the onset and fire 0.2 % above it"
    ),
    "corners without convergence": _most(0.0, "runs with one parameter 10 % off that give no result"),
    "spike times at the corners": _most(100.0, "largest difference with one parameter 10 % off", "µs"),
    "gradient error": GRADIENT,
}
_FIGURE_12 = "Hodgkin and Huxley, J. Physiol. 117, 500 (1952), figure 12: 6 mV do not suffice, 7 mV do"
_SPIKE = "after a displacement by 15 mV at 6.3 °C; a range of plausibility, the integration decides"
SQUID_AXON: Mapping[str, Limit] = {
    "peak of the action potential": Limit(35.0, 40.0, 45.0, "mV", _SPIKE),
    "height of the action potential": Limit(100.0, 105.0, 110.0, "mV", _SPIKE),
    "undershoot": Limit(8.0, 10.0, 12.0, "mV", f"below rest, {_SPIKE}"),
    "width at half height": Limit(1.0, 1.5, 2.0, "ms", _SPIKE),
    "shape against integration": _most(1e-3, "largest relative difference of the four above"),
    "threshold of a displacement": Limit(6.0, None, 7.0, "mV", _FIGURE_12),
    "current of a single spike": Limit(2.1, 2.3, 2.4, "µA/cm²", "smallest step from rest that gives a spike"),
    "refractory period": Limit(None, None, None, "ms", "smallest distance of two equal pulses, two spikes"),
    "refractory period bracketed by integration": _least(
        1.0, "1 where the equations give one spike 0.2 % below it and two 0.2 % above"
    ),
    "spike times at 18.5 degC": _most(10.0, "largest difference from integration", "µs"),
}
OPAQUE: Mapping[str, Limit] = {
    "current against declared equations": SIMULATION,
    "change when the step is halved": _most(1e-3, "largest change of the current, share of the peak"),
    "sum of the terminal currents": _most(
        1e-6, "share of the peak; another value means that current leaves through ground"
    ),
    "pinched loop": MEMRISTOR["pinched loop"],
    "two tones": MEMRISTOR["two tones"],
    "loop at high frequency": MEMRISTOR["loop at high frequency"],
    "loop grows with frequency": MEMRISTOR["loop grows with frequency"],
    "least power": POWER,
    "least energy": _least(
        -1e-6, "smallest energy taken up since the start at rest, share of the largest: passivity"
    ),
    "energy of a cycle": _least(0.0, "taken up in the cycle", "J"),
    "corners without convergence": MEMRISTOR["corners without convergence"],
    "corners against declared equations": _most(
        1e-3, "largest difference with one parameter 10 % off, share of the peak"
    ),
    "temperatures without convergence": _most(0.0, "runs from -40 to 125 °C that give no result"),
    "gradient error": GRADIENT,
}
CLASSES = {
    "opaque": OPAQUE,
    "memristor": MEMRISTOR,
    "two-terminal": TWO_TERMINAL,
    "fractional": FRACTIONAL,
    "transistor": TRANSISTOR,
    "two-port": TWO_PORT,
    "neuron": {**NEURON, **SQUID_AXON},
}
_SUBSTRATE = (
    "reported against differences of the current: the substrate current is not in it; gradients measure it"
)
EXCEPTIONS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "gf180mcu_nmos": {
        "gm": {"maximum": 0.01, "meaning": _SUBSTRATE},
        "gds": {"maximum": 0.3, "meaning": _SUBSTRATE},
        "gmbs": {"maximum": 0.01, "meaning": _SUBSTRATE},
    },
    "hodgkin_huxley": {
        "onset of repetitive firing": {
            "minimum": 6.2,
            "typical": 6.25,
            "maximum": 6.35,
            "meaning": "where rest is still stable; on their coexistence: Rinzel, Fed. Proc. 37, 2793 (1978)",
        }
    },
    "integrate_and_fire": {
        "onset of repetitive firing": {
            "minimum": 1.35,
            "typical": 1.5,
            "maximum": 1.65,
            "meaning": "g_leak (threshold - e_leak) of the hard threshold, within 10 %",
        }
    },
}
"""Limits that differ, by device and quantity."""


@dataclass
class Sheet:
    """The specifications of one device, filled while it is measured.

    Attributes:
        limits: by quantity.
        changes: limits that the user gave, by quantity.
        found: the specifications in the order in which they were measured.
        skipped: why quantities do not apply to this device, by quantity.
    """

    limits: Mapping[str, Limit]
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    found: list[Specification] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def skip(self, name: str, reason: str) -> None:
        """Say that a quantity of the class does not apply to this device, and why."""
        assert name in self.limits
        self.skipped[name] = reason

    def add(self, name: str, value: float | None, limit: Limit | None = None) -> Specification:
        """A measured value; its limits are the class's, unless some are given here or by the user."""
        own = limit or self.limits[name]
        made = Specification(name, None if value is None else float(value), _changed(own, self.changes, name))
        self.found.append(made)
        return made

    def unmeasured(self) -> list[str]:
        """Quantities of the class neither measured nor skipped, and the user's that were not measured.

        They fail: a limit that no measurement reaches says nothing about the device.
        """
        found = {s.name for s in self.found}
        known = [n for n in self.limits if n not in found and n not in self.skipped]
        return [*known, *sorted(set(self.changes) - found - set(known))]


def _changed(limit: Limit, changes: Mapping[str, Mapping[str, Any]], name: str) -> Limit:
    return replace(limit, **changes.get(name, {}))


def sheet_for(family: str, device: str, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Sheet:
    """An empty sheet.

    Args:
        family: one of `CLASSES`.
        device: its name, `kind` or `kind:set`; exceptions of the kind come before those of the set.
        changes: the user's limits by quantity.

    Raises:
        SpecError: limits that contradict each other.
    """
    limits = dict(CLASSES[family])
    if family == "neuron" and device != "hodgkin_huxley":
        limits = dict(NEURON)
    for key in (device.partition(":")[0], device):
        for name, values in EXCEPTIONS.get(key, {}).items():
            limits[name] = replace(limits[name], **values)
    for name, values in (changes or {}).items():
        low, high = values.get("minimum"), values.get("maximum")
        if low is not None and high is not None and low > high:
            raise SpecError(f"specifications: {name}: the minimum {low:g} is above the maximum {high:g}")
    return Sheet(limits, dict(changes or {}))
