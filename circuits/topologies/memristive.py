"""Memristive synapses: what a topology places where it would place a trainable resistor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from bridge.errors import NetworkError
from circuits.devices.base import Element, FloatArray
from circuits.devices.memristors.base import Memristor
from circuits.devices.passive import resistor
from circuits.network import Trainable


@dataclass(frozen=True)
class MemristiveSynapses:
    """Bounds, initial values and elements of memristive synapses.

    A state of 0 may be no conductance at all; `lower` keeps synapses away from it.

    Attributes:
        device: the memristive device.
        values: its parameters by name (`Memristor.values`).
        fidelity: `static` for its law at a frozen state, which is trained, or `ideal` for the resistor of its
            conductance at the read voltage.
        lower: least state.
        upper: greatest state.
        initial_lower: lower end of the initial states.
        initial_upper: upper end of the initial states.
        conductance: whether the four ends are conductances at the read voltage [S] instead of states.
        distribution: `uniform` or `log_uniform`, of what the ends are.
    """

    device: Memristor
    values: Mapping[str, float] = field(default_factory=dict)
    fidelity: Literal["ideal", "static"] = "static"
    lower: float = 0.01
    upper: float = 1.0
    initial_lower: float = 0.1
    initial_upper: float = 0.5
    conductance: bool = False
    distribution: str = "uniform"

    def __post_init__(self) -> None:
        low, high = self.device.bounds[0]
        ends = (self.lower, self.initial_lower, self.initial_upper, self.upper)
        if list(ends) != sorted(ends):
            raise NetworkError(
                f"{self.device.kind}: lower {ends[0]:g}, initial {ends[1]:g} to {ends[2]:g} and upper "
                f"{ends[3]:g} are not in this order"
            )
        unit = ""
        if self.conductance:
            name, unit = self.device.states[0].name, " S"
            reached = (float(self.device.read_conductance({**self.values, name: x})) for x in (low, high))
            low, high = sorted(reached)
        slack = 1e-9 * (high - low)
        if not low - slack <= self.lower <= self.upper <= high + slack:
            what = "conductances" if self.conductance else "states"
            raise NetworkError(
                f"{self.device.kind}: {what} from {self.lower:g} to {self.upper:g}{unit} leave what the "
                f"device reaches, {low:.4g} to {high:.4g}{unit}"
            )

    @property
    def parameter(self) -> str:
        """Name of the trainable parameter."""
        return "conductance" if self.fidelity == "ideal" else self.device.states[0].name

    def _trained(self, ends: FloatArray) -> FloatArray:
        """States or conductances as the file gives them, as values of the trainable parameter."""
        if self.conductance == (self.fidelity == "ideal"):
            return ends
        if self.conductance:
            return self.device.state_for(ends, self.values)
        return self.device.read_conductance({**self.values, self.device.states[0].name: ends})

    def draw(self, count: int, rng: np.random.Generator) -> list[float]:
        """Initial values of the trainable parameter, from a seeded generator."""
        low, high = self.initial_lower, self.initial_upper
        if self.distribution == "log_uniform":
            drawn = np.exp(rng.uniform(np.log(low), np.log(high), count))
        else:
            drawn = rng.uniform(low, high, count)
        lower, upper = self._bounds()
        return [float(v) for v in np.clip(self._trained(drawn), lower, upper)]

    def _bounds(self) -> tuple[float, float]:
        low, high = np.sort(self._trained(np.array([self.lower, self.upper])))
        return float(low), float(high)

    def place(self, name: str, start: str, end: str, value: float) -> Element:
        """The element of one synapse with its initial value."""
        if self.fidelity == "ideal":
            return resistor(name, start, end, conductance=value)
        frozen = self.device.static()
        own = {p.name: self.values[p.name] for p in frozen.parameters if p.name in self.values}
        states = {s.name: self.values[s.initial] for s in self.device.states if s.initial in self.values}
        given: dict[str, Any] = {**own, **states, self.parameter: value}
        return frozen.element(name, start, end, **given)

    def trainable(self, name: str, group: str) -> Trainable:
        """Its trainable parameter with its bounds."""
        return Trainable(name, self.parameter, *self._bounds(), group)
