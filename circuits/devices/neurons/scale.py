"""Units of the field and of the circuit: the one place that converts between them."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.errors import NetworkError

_FIXED = {"1": 1.0, "mV": 1e-3, "ms": 1e-3, "1/ms": 1e3, "mV/ms": 1.0, "degC": 1.0}
_DENSITIES = {"uA/cm^2": 1e-6, "mS/cm^2": 1e-3, "uF/cm^2": 1e-6}


@dataclass(frozen=True)
class Scale:
    """How a patch of membrane becomes a circuit.

    Voltages and times are the membrane's own, in volts and seconds. Currents, conductances and capacitances
    are densities times the area. The default area of 1 cm^2 gives microfarads, millisiemens and
    milliamperes; measured, the spike times of a Hodgkin-Huxley neuron are the same to 1e-12 s for 1, 1e-3 and
    1e-6 cm^2, so the area matters only for what else is in the circuit.

    Attributes:
        area: of the membrane [cm^2].
    """

    area: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.area < float("inf"):
            raise NetworkError(f"the area of a membrane is {self.area} cm^2; it must be positive")

    def factor(self, unit: str) -> float:
        """What a value in a unit of the field is multiplied by to become SI units in the circuit.

        Raises:
            NetworkError: an unknown unit.
        """
        if unit in _DENSITIES:
            return _DENSITIES[unit] * self.area
        if unit in _FIXED:
            return _FIXED[unit]
        known = ", ".join([*_FIXED, *_DENSITIES])
        raise NetworkError(f"the unit {unit!r} is not one of a membrane's: {known}")

    def to_circuit(self, value: float, unit: str) -> float:
        """A value in a unit of the field (`mV`, `ms`, `uA/cm^2`, `mS/cm^2`, `uF/cm^2`, ...), in SI units."""
        return value * self.factor(unit)

    def to_field(self, value: float, unit: str) -> float:
        """A value of the circuit in SI units, in a unit of the field."""
        return value / self.factor(unit)


SCALE = Scale()
"""The default scale."""
