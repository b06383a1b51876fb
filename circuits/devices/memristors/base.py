"""What every memristive device declares besides its law, and what follows from it.

A memristive two-terminal obeys `i = law(u, x; p)` and `dx/dt = rate(u, x; p)` with bounded states `x` (Chua
and Kang, Proc. IEEE 64, 209 (1976)). Its first state stores the weight. Three fidelities come from the one
declaration: the resistor of its conductance (`ideal`), its law at a frozen state (`static`), and the device
itself, whose states move during a phase (`dynamic`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from bridge.errors import NetworkError
from circuits.deck import Limit
from circuits.devices.base import Element, FloatArray, Parameter
from circuits.devices.behavioural import GROUND, Behavioural, state_node

_BISECTIONS = 60
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


@dataclass(frozen=True)
class Figure:
    """A published figure that a simulation of the device is compared with.

    Attributes:
        name: what it is, for example `peak current`; validation knows how to measure it.
        value: as published, in `unit`.
        tolerance: allowed relative difference.
        unit: SI unit as text.
        source: publication, with the place in it.
    """

    name: str
    value: float
    tolerance: float
    unit: str
    source: str


@dataclass(frozen=True)
class Stimulus:
    """The voltage of a hysteresis cycle: from zero to `+positive`, to `-negative`, and back.

    Attributes:
        kind: `sine` (its halves may differ in height) or `triangle`.
        positive: peak of the positive half [V].
        negative: magnitude of the negative peak [V].
        period: [s].
        cycles: how often it is repeated.
    """

    kind: Literal["sine", "triangle"]
    positive: float
    negative: float
    period: float
    cycles: int = 1

    @property
    def duration(self) -> float:
        """Of all cycles [s]."""
        return self.period * self.cycles

    def waveform(self, time: FloatArray) -> FloatArray:
        """The voltage [V] at times [s], same shape."""
        phase = np.mod(np.asarray(time, dtype=float) / self.period, 1.0)
        if self.kind == "sine":
            unit = np.sin(2.0 * np.pi * phase)
        else:
            unit = np.interp(phase, [0.0, 0.25, 0.75, 1.0], [0.0, 1.0, -1.0, 0.0])
        return np.where(unit >= 0.0, self.positive, self.negative) * unit


@dataclass(frozen=True)
class Published:
    """A published set of parameters.

    Attributes:
        name: of the set, for example the first author of the measured device.
        values: parameters by name; those left out take the device's defaults.
        source: publication.
        stimulus: the cycle that the publication shows, or a usual one.
        figures: published figures of that cycle.
    """

    name: str
    values: Mapping[str, float]
    source: str
    stimulus: Stimulus
    figures: tuple[Figure, ...] = ()


def hyphened(name: str) -> str:
    """The name of a published set with hyphens for spaces and underscores."""
    return name.replace(" ", "-").replace("_", "-")


@dataclass(frozen=True)
class FrozenMemristor(Behavioural):
    """A memristive device at frozen states, which have become its parameters.

    Attributes:
        moving: the device itself.
    """

    moving: Memristor | None = field(default=None, repr=False, compare=False)

    def cocontent_difference(
        self, a: FloatArray, b: FloatArray, parameter: str, values: Mapping[str, Any]
    ) -> FloatArray:
        """See `Device`: Gauss-Legendre quadrature of the current's derivative from `b` to `a`.

        The two voltages of a contrast lie close together, so the integrand is smooth between them.
        """
        half, middle = (a - b) / 2.0, (a + b) / 2.0
        total = np.zeros(np.broadcast_shapes(np.shape(a), np.shape(b)))
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            total += weight * self.current_gradient(middle + node * half, parameter, values)
        return np.asarray(total * half)

    def cocontent_gradient(self, u: FloatArray, parameter: str, values: Mapping[str, Any]) -> FloatArray:
        """See `Device`."""
        return self.cocontent_difference(u, np.zeros_like(u), parameter, values)


@dataclass(frozen=True)
class Memristor(Behavioural):
    """A memristive two-terminal.

    Attributes:
        read_voltage: at which its conductance is quoted [V]; small enough not to move the state.
        bounds: range of each state, in the order of `states`; the first state stores the weight.
        published: published sets of parameters; the first is the default.
        holding: whether the states' rates vanish at their bounds whatever the voltage, so that a state which
            comes too near to one is lost.
    """

    read_voltage: float = 0.1
    bounds: tuple[tuple[float, float], ...] = ()
    published: tuple[Published, ...] = field(default=(), compare=False)
    holding: bool = False

    compiled_by_default = True

    def set_named(self, name: str) -> Published:
        """A published set of parameters; spaces, hyphens and underscores in its name are alike.

        Raises:
            NetworkError: there is none of that name.
        """
        for entry in self.published:
            if hyphened(entry.name) == hyphened(name):
                return entry
        known = ", ".join(p.name for p in self.published) or "none"
        raise NetworkError(f"{self.kind} has no published parameters {name!r}; choose from: {known}")

    def values(self, published: str | None = None, **overrides: float) -> dict[str, float]:
        """Values of all parameters.

        Args:
            published: name of a published set; the first one by default.
            overrides: parameters that differ from it.

        Raises:
            NetworkError: an unknown set or parameter, or one without a value.
        """
        entry = self.published[0] if published is None and self.published else None
        if published is not None:
            entry = self.set_named(published)
        for key in overrides:
            self.index(key)
        given = {**(entry.values if entry is not None else {}), **overrides}
        found = {}
        for parameter in self.parameters:
            value = given.get(parameter.name, parameter.default)
            if value is None:
                raise NetworkError(f"a {self.kind} needs a value for {parameter.name}")
            found[parameter.name] = float(value)
        return found

    def place(
        self, name: str, p: str, n: str, *, published: str | None = None, **overrides: float
    ) -> Element:
        """The device between two nodes; see `values` for its parameters."""
        given: dict[str, Any] = dict(self.values(published, **overrides))
        return self.element(name, p, n, **given)

    def limits(self, element: Element) -> tuple[Limit, ...]:
        """See `Device`: the bounds of all states."""
        plus, minus = (f"v({n})".lower() if n != GROUND else "" for n in element.nodes)
        holding = (plus, minus) if self.holding else None
        return tuple(
            Limit(
                f"v({state_node(element.name, s.name)})".lower(),
                low / s.scale, high / s.scale, element.name, s.name, s.scale, s.unit, holding,
            )
            for s, (low, high) in zip(self.states, self.bounds, strict=bool(self.bounds))
        )  # fmt: skip

    @property
    def initial_names(self) -> tuple[str, ...]:
        """Parameters that hold the states at t = 0, in the order of `states`."""
        return tuple(s.initial for s in self.states)

    def at_rest(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Every symbol of the law but `u`: the parameters, and the states at their initial values."""
        known = {p.name: values[p.name] for p in self.parameters}
        for state in self.states:
            known[state.name] = values.get(state.name, values[state.initial])
        return known

    def read_conductance(self, values: Mapping[str, Any], voltage: float | None = None) -> FloatArray:
        """The conductance `i / u` [S] at the read voltage.

        Args:
            values: parameters by name, and states by name where they differ from their initial values;
                arrays broadcast.
            voltage: instead of `read_voltage` [V].
        """
        assert self.law is not None
        u = self.read_voltage if voltage is None else voltage
        return self.evaluate(self.law, {"u": u, **self.at_rest(values)}) / u

    def state_for(self, conductance: FloatArray | float, values: Mapping[str, Any]) -> FloatArray:
        """The first state at which the device has a conductance at its read voltage.

        Args:
            conductance: [S], any shape; values outside what the device reaches give the nearest end.
            values: parameters by name, scalars or arrays that broadcast; the other states keep theirs.

        Returns:
            States of the broadcast shape, by bisection of the monotonic conductance.
        """
        name = self.states[0].name
        wanted = np.asarray(conductance, dtype=float)
        shape = np.broadcast_shapes(wanted.shape, *(np.shape(v) for v in values.values()))
        low, high = (np.full(shape, end) for end in self.bounds[0])
        rising = self.read_conductance({**values, name: high}) > self.read_conductance({**values, name: low})
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            found = self.read_conductance({**values, name: middle})
            up = (found < wanted) == rising
            low, high = np.where(up, middle, low), np.where(up, high, middle)
        return np.asarray(0.5 * (low + high))

    def static(self) -> FrozenMemristor:
        """The device at frozen states: they become trainable parameters with the states' bounds."""
        return _static(self)


@lru_cache(maxsize=64)
def _static(device: Memristor) -> FrozenMemristor:
    kept = tuple(p for p in device.parameters if p.name not in device.initial_names)
    frozen = []
    for state, (lower, upper) in zip(device.states, device.bounds, strict=True):
        start = device.parameters[device.index(state.initial)]
        frozen.append(
            Parameter(
                state.name, state.unit, start.default, lower, upper, True, f"frozen {state.name}", state.scale
            )
        )
    return FrozenMemristor(
        f"{device.kind}_static",
        device.terminals,
        (*kept, *frozen),
        law=device.law,
        description=f"{device.description}, at a frozen state",
        source=device.source,
        moving=device,
    )


def values(**numbers: float) -> Mapping[str, float]:
    """Parameter values of a published set; a plain mapping, because devices travel to worker processes."""
    return numbers
