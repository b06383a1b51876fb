"""What a kind of neuron declares: its parameters in the units of the field, and its circuit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf

from bridge.errors import NetworkError
from circuits.devices.base import Element
from circuits.devices.neurons.scale import Scale

Values = Mapping[str, float]


@dataclass(frozen=True)
class CellParameter:
    """A parameter of a neuron, in the units of the field.

    Attributes:
        name: as `cell` takes it.
        unit: of the field.
        default: `None` where it follows from others.
        target: suffix of the element and its parameter that hold it, so that `name_suffix` and the parameter
            can be trained; `None` for parameters that cannot.
        description: what it is.
        lower: smallest value, in its unit.
        upper: largest value, in its unit.
    """

    name: str
    unit: str
    default: float | None
    target: tuple[str, str] | None = None
    description: str = ""
    lower: float = -inf
    upper: float = inf

    @property
    def trainable(self) -> bool:
        """Whether an estimator may ask for its gradient."""
        return self.target is not None

    def check(self, value: float) -> None:
        """Refuse a value out of bounds.

        Raises:
            NetworkError: it is, or is no number.
        """
        if not self.lower <= value <= self.upper:
            unit = "" if self.unit == "1" else f" {self.unit}"
            raise NetworkError(
                f"{self.name} = {value:g}{unit} is outside {self.lower:g}..{self.upper:g}{unit}"
            )


Builder = Callable[[str, str, str, Values, Scale], list[Element]]


@dataclass(frozen=True)
class Cell:
    """A kind of neuron.

    Attributes:
        kind: its name.
        parameters: in the units of the field.
        build: makes the elements of a name, between two nodes, from all values by name.
        spike: voltage that counts as a spike where it is crossed upwards [mV].
        step: largest time step [ms] of accurate simulations: spike times within 10 us of the exact ones over
            100 ms, gradients within 1e-3.
        description: one line.
        source: of the equations and the parameters.
    """

    kind: str
    parameters: tuple[CellParameter, ...]
    build: Builder
    spike: float
    step: float
    description: str
    source: str

    def index(self, name: str) -> int:
        """Position of a parameter.

        Raises:
            NetworkError: there is none of that name.
        """
        names = [p.name for p in self.parameters]
        if name not in names:
            raise NetworkError(f"{self.kind} has no parameter {name!r}; it has: {', '.join(names)}")
        return names.index(name)

    def parameter(self, name: str) -> CellParameter:
        """A parameter by name.

        Raises:
            NetworkError: there is none.
        """
        return self.parameters[self.index(name)]

    def values(self, given: Values) -> dict[str, float]:
        """The values of all parameters that have one, in the units of the field.

        Raises:
            NetworkError: an unknown parameter, or a value out of bounds.
        """
        for name, value in given.items():
            self.parameter(name).check(float(value))
        found = {p.name: p.default for p in self.parameters if p.default is not None}
        return {**found, **{k: float(v) for k, v in given.items()}}

    def trainable(self, name: str, parameter: str) -> tuple[str, str]:
        """The element of the neuron `name` and its parameter that hold a parameter.

        Raises:
            NetworkError: there is no such parameter, or it cannot be trained.
        """
        target = self.parameter(parameter).target
        if target is None:
            raise NetworkError(f"{name}: {parameter} of a {self.kind} cannot be trained")
        return f"{name}_{target[0]}", target[1]
