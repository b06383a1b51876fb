"""What is validated: one class for each family of devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bridge.dynamics import FIXED_GRID
from bridge.experiment.device_file import OwnDevice
from bridge.validation.devices.integration import Drive, Trajectory, integrate
from bridge.validation.devices.references.memristors import Equations
from circuits.deck import SolverOptions
from circuits.devices.base import Device, Element, ModelCard
from circuits.devices.memristors.base import Memristor, Published
from circuits.devices.neurons import CELLS, Cell

FloatArray = NDArray[np.float64]
STEPS = 2000
"""Time steps of a cycle."""
ABRUPT: Mapping[str, float] = {"stanford_pku:dc-sweep": 2e-4}
"""Devices that switch within a small part of a time step. Their steps follow the truncation error, and their
current is compared within a window of time, given here as a share of the cycle."""

POLARITY = {"team": -1, "vteam": -1, "vteam_exponential": -1}
"""Kinds whose conductance falls at positive voltages; for all others that ship it rises there."""

Changes = Mapping[str, Mapping[str, Any]]


class _Placed:
    """A subject that may be simulated as another element: a fault that a test injects."""

    element: Element
    simulated: Element | None

    @property
    def placed(self) -> Element:
        """The element that ngspice simulates."""
        return self.simulated or self.element

    @property
    def device(self) -> Device:
        """Its declaration."""
        return self.element.device


@dataclass(frozen=True)
class MemristorSubject:
    """A memristive device with one set of parameters.

    Attributes:
        name: `kind:set`.
        device: the declaration.
        published: the set whose stimulus and figures are used.
        values: every parameter.
        simulated: what ngspice simulates; the same declaration, unless a test injects a fault.
        limits: the user's specifications.
        note: where the parameters come from when they are not the set's.
        equations: written by hand, which the reference integrates; the declaration where there are none.
        given: names of the parameters whose values are the user's.
        sense: 1 if the conductance rises at positive voltages, -1 if it falls; by the kind when left out.
    """

    name: str
    device: Memristor
    published: Published
    values: Mapping[str, float]
    simulated: Memristor | None = None
    limits: Changes = field(default_factory=dict)
    note: str = ""
    equations: Equations | None = None
    given: frozenset[str] = frozenset()
    sense: int | None = None
    family = "memristor"

    @property
    def polarity(self) -> int:
        """1 if the conductance rises at positive voltages, -1 if it falls there."""
        return POLARITY.get(self.device.kind, 1) if self.sense is None else self.sense

    def reference(
        self, drive: Drive, times: FloatArray, values: Mapping[str, float] | None = None, **options: float
    ) -> Trajectory:
        """The equations integrated at the subject's or at other values; for `options` see `integrate`."""
        return integrate(
            self.device, values or self.values, drive, times, equations=self.equations, **options
        )

    def conductance(self, values: Mapping[str, float], states: FloatArray) -> FloatArray:
        """Conductance at the read voltage [S] by the reference's equations, for states `(n, n_states)`."""
        u = self.device.read_voltage
        if self.equations is None:
            known = {s.name: states[:, k] for k, s in enumerate(self.device.states)}
            return self.device.read_conductance({**values, **known})
        return np.array([self.equations(u, list(x), values)[0] / u for x in states])

    @property
    def steps(self) -> int:
        """Time steps of a cycle."""
        return STEPS

    @property
    def window(self) -> float:
        """Half the width of the window of time [s] within which currents are compared."""
        return ABRUPT.get(self.name, 0.0) * self.published.stimulus.period

    @property
    def options(self) -> SolverOptions:
        """Of the simulations."""
        return SolverOptions() if self.name in ABRUPT else FIXED_GRID

    @property
    def placed(self) -> Memristor:
        """The device that ngspice simulates."""
        return self.simulated or self.device


Formula = Callable[[Mapping[str, float], FloatArray, FloatArray, FloatArray], FloatArray]
"""`f(values, u, du_dt, integral of u dt)`: the branch current, written without the declaration."""


@dataclass(frozen=True)
class TwoTerminalSubject(_Placed):
    """A two-terminal that is not memristive.

    Attributes:
        name: its kind.
        element: between node `a` and ground.
        formula: its current by plain numpy.
        amplitude: of the sine that drives it [V].
        offset: added to the sine [V].
        frequency: [Hz].
        lossless: whether a cycle takes up no energy.
        limits: the user's specifications.
        simulated: what ngspice simulates; the element, unless a test injects a fault.
    """

    name: str
    element: Element
    formula: Formula
    amplitude: float
    frequency: float
    lossless: bool
    offset: float = 0.0
    limits: Changes = field(default_factory=dict)
    simulated: Element | None = None
    family = "two-terminal"


@dataclass(frozen=True)
class FractionalSubject(_Placed):
    """A fractional element or fractional memristor.

    Attributes:
        name: its kind.
        element: between node `a` and ground.
        amplitude: of the sine that drives it [V].
        frequency: within its band [Hz].
        limits: the user's specifications.
        simulated: what ngspice simulates; the element, unless a test injects a fault.
    """

    name: str
    element: Element
    amplitude: float
    frequency: float
    limits: Changes = field(default_factory=dict)
    simulated: Element | None = None
    family = "fractional"


@dataclass(frozen=True)
class TransistorSubject(_Placed):
    """A transistor with its model card.

    Attributes:
        name: on the command line.
        element: between nodes `d g s b`.
        supply: largest magnitude of its voltages [V].
        title: heading of the report.
        source: of the card.
        limits: the user's specifications.
        corners: cards of the process' corners `ff` and `ss`; empty where there are none.
        simulated: what ngspice simulates; the element, unless a test injects a fault.
    """

    name: str
    element: Element
    supply: float
    title: str
    source: str
    limits: Changes = field(default_factory=dict)
    corners: Mapping[str, ModelCard] = field(default_factory=dict)
    simulated: Element | None = None
    family = "transistor"


@dataclass(frozen=True)
class NeuronSubject:
    """A neuron under injected currents; units of the field.

    Attributes:
        name: its kind.
        current: step that gives a spike train [uA/cm^2].
        currents: steps at which the firing rate is compared [uA/cm^2].
        onset: a current without and one with repetitive firing [uA/cm^2].
        duration: of the transients [ms].
        values: parameters that differ from their defaults.
        limits: the user's specifications.
    """

    name: str
    current: float
    currents: tuple[float, ...]
    onset: tuple[float, float]
    duration: float
    values: Mapping[str, float] = field(default_factory=dict)
    limits: Changes = field(default_factory=dict)
    family = "neuron"

    @property
    def device(self) -> Cell:
        """Its declaration."""
        return CELLS[self.name]

    @property
    def all_values(self) -> dict[str, float]:
        """Every parameter that has a value."""
        return self.device.values(self.values)


@dataclass(frozen=True)
class TwoPortSubject(_Placed):
    """A device with two ports: node `i` and ground, node `o` and ground.

    Attributes:
        name: its kind.
        element: between these nodes.
        energy: `active`, `passive`, or `lossless`.
        amplitudes: of the sources of the two ports [V].
        resistances: in series with them [Ohm].
        frequency: of the first source; the second has twice that [Hz].
        limits: the user's specifications.
        simulated: what ngspice simulates; the element, unless a test injects a fault.
        source: of the law where the declaration names none.
    """

    name: str
    element: Element
    energy: Literal["active", "passive", "lossless"]
    amplitudes: tuple[float, float] = (1.0, 0.5)
    resistances: tuple[float, float] = (1e3, 2e3)
    frequency: float = 1e6
    limits: Changes = field(default_factory=dict)
    simulated: Element | None = None
    source: str = "Ideal element"
    family = "two-port"


@dataclass(frozen=True)
class OpaqueSubject:
    """A user's Verilog-A module or subcircuit, of which only the terminals are seen.

    Attributes:
        own: the device.
        values: every parameter.
        limits: specifications of the device file and of the user.
    """

    own: OwnDevice
    values: Mapping[str, float]
    limits: Changes = field(default_factory=dict)
    family = "opaque"

    @property
    def name(self) -> str:
        """Of the device."""
        return self.own.name

    @property
    def device(self) -> Device:
        """Its terminals and parameters."""
        spec = self.own.spec
        text = spec.description or "the user's own device, seen from its terminals"
        return Device(
            self.name, self.own.terminals, self.own.parameters,
            description=text, source=spec.source or f"{self.own.located.path.name}",
        )  # fmt: skip

    @property
    def memristive(self) -> bool:
        """Whether it must show a memristor's fingerprints."""
        return self.own.spec.memristive or isinstance(self.own.declared, Memristor)


Subject = (
    MemristorSubject
    | TwoTerminalSubject
    | FractionalSubject
    | TransistorSubject
    | NeuronSubject
    | OpaqueSubject
    | TwoPortSubject
)
