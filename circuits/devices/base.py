"""What a device states about itself, once: terminals, parameters, and the law of its branch.

Everything else is derived from that declaration: the SPICE lines (`spice`), the target that alters a
parameter in a loaded circuit (`alter_target`), and the functions that the estimators use, which come from the
symbolic law by differentiation (`current`, `conductance`, `cocontent_gradient`).

The branch voltage is `u = v(first terminal) - v(second terminal)` [V]; a positive current flows from the
first terminal through the element to the second [A].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, cast

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from bridge.errors import NetworkError
from circuits.deck import Limit, VerilogModule
from circuits.numbers import spice_number

FloatArray = NDArray[np.float64]
Law = Callable[..., FloatArray]

U = sp.Symbol("u", real=True)
"""The branch voltage [V] in every symbolic law."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a device.

    Attributes:
        name: the field's term, for example `conductance`; also its symbol in the device's law.
        unit: SI unit as text.
        default: value where none is given; `None` when it must be given.
        lower: smallest value allowed (inclusive).
        upper: largest value allowed (inclusive).
        trainable: whether an estimator may ask for its gradient.
        typical: a typical size, the unit of steps away from zero.
        description: what it is, and where its default comes from.
    """

    name: str
    unit: str
    default: float | None = None
    lower: float = -math.inf
    upper: float = math.inf
    trainable: bool = True
    description: str = ""
    typical: float = 1.0

    @property
    def symbol(self) -> sp.Symbol:
        """The parameter in symbolic laws."""
        return sp.Symbol(self.name, real=True)


@dataclass(frozen=True)
class ModelCard:
    """A SPICE `.model` card.

    Attributes:
        name: the card's name.
        kind: SPICE model type, for example `D`.
        parameters: names and values in the simulator's own units.
    """

    name: str
    kind: str
    parameters: tuple[tuple[str, float], ...] = ()

    def line(self) -> str:
        """The card as a line of SPICE."""
        body = " ".join(f"{key}={spice_number(value)}" for key, value in self.parameters)
        return f".model {self.name} {self.kind}({body})"

    def get(self, key: str, default: float) -> float:
        """The value of parameter `key`, or `default` where the card does not set it."""
        return dict(self.parameters).get(key, default)


@dataclass(frozen=True)
class SpiceLine:
    """One instance line: `element` names it without its type letter, `body` follows the nodes.

    Attributes:
        letter: SPICE element letter, for example `R`.
        name: the instance's name without the letter.
        nodes: nodes in SPICE's order.
        body: everything after the nodes.
        external: whether the line is a source that the drives serve.
    """

    letter: str
    name: str
    nodes: tuple[str, ...]
    body: str
    external: bool = False

    @property
    def instance(self) -> str:
        """The instance's full name as ngspice knows it (lower case)."""
        return f"{self.letter}{self.name}".lower()


@dataclass(frozen=True)
class State:
    """One internal state of a device: `dx/dt = rate`.

    Attributes:
        name: also its symbol in the device's laws.
        rate: symbolic, in `u`, the states and the parameters [unit of the state / s].
        initial: name of the parameter that holds its value at t = 0 of a transient from rest.
        scale: a typical size of the state; the simulator holds `x / scale` on a node.
        unit: SI unit as text.
    """

    name: str
    rate: sp.Expr
    initial: str
    scale: float = 1.0
    unit: str = "1"

    @property
    def symbol(self) -> sp.Symbol:
        """The state in symbolic laws."""
        return sp.Symbol(self.name, real=True)


@dataclass(frozen=True)
class SpiceContext:
    """What the writer of a netlist knows and a device does not.

    Attributes:
        live: parameters of this element that must be alterable in the loaded circuit.
        time_scale: duration of the transients [s]; sizes the capacitors that hold states.
        compiled: whether the device's laws are a Verilog-A module instead of `B` sources.
    """

    live: frozenset[str] = frozenset()
    time_scale: float = 1.0
    compiled: bool = False


STANDALONE = SpiceContext()


@dataclass(frozen=True)
class Element:
    """A device placed on nodes.

    Attributes:
        name: unique in its network, letters, digits and underscores.
        device: the family that states the physics.
        nodes: one node a terminal, ground is `0`.
        values: parameter values, in the order of `device.parameters`.
        model: the SPICE model card, for devices that use one.
        driven: whether a source takes its value from the drives of a phase instead of its parameter.
    """

    name: str
    device: Device
    nodes: tuple[str, ...]
    values: tuple[float, ...]
    model: ModelCard | None = None
    driven: bool = False

    def value(self, parameter: str) -> float:
        """The value of one parameter, in its unit.

        Raises:
            NetworkError: the device has no such parameter.
        """
        return self.values[self.device.index(parameter)]

    def replace(self, **changes: float) -> Element:
        """The same element with other parameter values (checked against their bounds)."""
        values = list(self.values)
        for key, value in changes.items():
            values[self.device.index(key)] = float(value)
        self.device.check(self.name, values)
        return Element(self.name, self.device, self.nodes, tuple(values), self.model, self.driven)

    def spice(self, context: SpiceContext = STANDALONE) -> list[SpiceLine]:
        """The element's lines of SPICE."""
        return self.device.spice(self, context)

    @property
    def parameters(self) -> dict[str, float]:
        """Parameter values by name."""
        return {p.name: v for p, v in zip(self.device.parameters, self.values, strict=True)}


@dataclass(frozen=True)
class Device:
    """A family of elements and its physics.

    Attributes:
        kind: name of the family, for example `resistor`.
        terminals: names of the terminals, the branch's two first.
        parameters: the parameters in the order that elements store them.
        law: branch current [A] as a function of the symbols of `u`, the states and the parameters;
            `None` for devices without one.
        charge: branch charge [C] as a function of `u` and the parameters; `None` for devices without.
        states: internal states of the branch.
        reciprocal: whether the linearised device is reciprocal, so that it has a (pseudo-)co-content and
            equilibrium propagation covers it.
        description: one line for the documentation.
        source: publication or definition of the law.
    """

    kind: str
    terminals: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    law: sp.Expr | None = None
    reciprocal: bool = True
    description: str = ""
    source: str = ""
    charge: sp.Expr | None = None
    states: tuple[State, ...] = ()
    compilable: ClassVar[bool] = False
    """Whether its laws can be a Verilog-A module."""
    compiled_by_default: ClassVar[bool] = False
    """Whether they are one wherever that is possible (`circuits.netlist.compiles`)."""
    _positions: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_positions", {p.name: k for k, p in enumerate(self.parameters)})

    def index(self, parameter: str) -> int:
        """Position of a parameter.

        Raises:
            NetworkError: the device has no such parameter.
        """
        try:
            return self._positions[parameter]
        except KeyError:
            known = ", ".join(self._positions) or "none"
            raise NetworkError(f"{self.kind} has no parameter {parameter!r}; it has: {known}") from None

    def check(self, name: str, values: list[float]) -> None:
        """Refuse values that are not finite or out of bounds.

        Raises:
            NetworkError: with the element, the parameter, the value and the bounds.
        """
        for parameter, value in zip(self.parameters, values, strict=True):
            if not (math.isfinite(value) and parameter.lower <= value <= parameter.upper):
                raise NetworkError(
                    f"{name}: {parameter.name} = {value:g} {parameter.unit} is outside "
                    f"[{parameter.lower:g}, {parameter.upper:g}]"
                )

    def element(
        self, name: str, *nodes: str, model: ModelCard | None = None, driven: bool = False, **values: float
    ) -> Element:
        """Place the device on nodes.

        Args:
            name: unique name of the element.
            nodes: one node a terminal.
            model: SPICE model card, for devices that use one.
            driven: a source whose value comes from the drives of a phase.
            values: parameter values by name; those left out take their default.

        Raises:
            NetworkError: wrong number of nodes, an unknown or missing parameter, a value out of bounds.
        """
        if len(nodes) != len(self.terminals):
            raise NetworkError(
                f"{name}: a {self.kind} has {len(self.terminals)} terminals "
                f"({', '.join(self.terminals)}), not {len(nodes)}"
            )
        for key in values:
            self.index(key)
        filled = []
        for parameter in self.parameters:
            value = values.get(parameter.name, parameter.default)
            if value is None:
                raise NetworkError(f"{name}: a {self.kind} needs a value for {parameter.name}")
            filled.append(float(value))
        self.check(name, filled)
        return Element(name, self, tuple(str(n) for n in nodes), tuple(filled), model, driven)

    @property
    def ambient(self) -> Parameter | None:
        """The parameter that holds the temperature around the device [K]; `None` where its law has none.

        Its unit is K and its name begins with `temp`, `t_amb` or `tamb`, or holds `ambient`; the start of a
        state is none.
        """
        starts = {s.initial for s in self.states}
        for p in self.parameters:
            known = "ambient" in p.name or p.name.startswith(("temp", "t_amb", "tamb"))
            if p.unit == "K" and known and p.name not in starts:
                return p
        return None

    # What families override.

    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        """The element's lines of SPICE."""
        raise NotImplementedError

    def module(self, context: SpiceContext) -> VerilogModule | None:
        """The Verilog-A module that the element's lines need; `None` for most devices."""
        return None

    def card(self, element: Element, context: SpiceContext) -> ModelCard | None:
        """The model card that the element's lines name."""
        return element.model

    def limits(self, element: Element) -> tuple[Limit, ...]:
        """Bounds that the element's states must not leave in a transient."""
        return ()

    def expand(self, element: Element) -> tuple[Element, ...]:
        """The simple elements that a composite device consists of; the element itself for others."""
        return (element,)

    def expand_parameter(self, element: Element, parameter: str) -> tuple[str, str]:
        """The simple element and its parameter that a composite's parameter is; itself for others."""
        self.index(parameter)
        return element.name, parameter

    def alter_target(self, element: Element, parameter: str, context: SpiceContext = STANDALONE) -> str:
        """The target of ngspice's `alter` that sets one parameter in a loaded circuit.

        Args:
            element: the element.
            parameter: its name.
            context: as the circuit was written with; only `compiled` matters.

        Raises:
            NetworkError: the parameter cannot be changed without loading the circuit again.
        """
        raise NetworkError(f"{element.name}: {parameter} of a {self.kind} cannot be altered")

    def alter_value(self, parameter: str, values: FloatArray) -> FloatArray:
        """The numbers to write to that target for values of the parameter, same shape."""
        self.index(parameter)
        return values

    # What follows from the law.

    def current(self, u: FloatArray, values: Mapping[str, Any]) -> FloatArray:
        """Branch current [A] at branch voltages `u` [V]; shapes broadcast."""
        return self._evaluate(lambda law: law, u, values)

    def conductance(self, u: FloatArray, values: Mapping[str, Any]) -> FloatArray:
        """Derivative of the branch current with respect to the branch voltage [S]."""
        return self._evaluate(lambda law: sp.diff(law, U), u, values)

    def current_gradient(self, u: FloatArray, parameter: str, values: Mapping[str, Any]) -> FloatArray:
        """Derivative of the branch current with respect to one parameter [A per unit]."""
        self.index(parameter)
        symbol = sp.Symbol(parameter, real=True)
        return self._evaluate(lambda law: sp.diff(law, symbol), u, values)

    def cocontent_gradient(self, u: FloatArray, parameter: str, values: Mapping[str, Any]) -> FloatArray:
        """Derivative of the co-content with respect to one parameter [W per unit].

        The co-content is the integral of the branch current from 0 to `u` (Millar, Phil. Mag. 42, 1951).

        Args:
            u: branch voltages [V], any shape.
            parameter: its name.
            values: parameter values by name, scalars or arrays that broadcast against `u`.

        Returns:
            Array of the broadcast shape.
        """
        self.index(parameter)
        symbol = sp.Symbol(parameter, real=True)
        return self._evaluate(lambda law: sp.integrate(sp.diff(law, symbol), (U, 0, U)), u, values)

    def evaluate(self, expression: sp.Expr, values: Mapping[str, Any]) -> FloatArray:
        """A symbolic expression of the device at given values.

        Args:
            expression: in `u`, the states and the parameters.
            values: every symbol's value by name; arrays broadcast.

        Returns:
            Array of the broadcast shape.
        """
        names = tuple(sorted(values))
        shape = np.broadcast_shapes(*(np.shape(v) for v in values.values()))
        function = _lambdify(expression, names)
        with np.errstate(all="ignore"):  # branches of a `Piecewise` that are not taken are evaluated too
            result = function(*(np.asarray(values[n], dtype=float) for n in names))
        return np.broadcast_to(np.asarray(result, dtype=float), shape).astype(float)

    def cocontent_difference(
        self, a: FloatArray, b: FloatArray, parameter: str, values: Mapping[str, Any]
    ) -> FloatArray:
        """`cocontent_gradient` at voltages `a` less that at `b` [W per unit]; shapes broadcast."""
        at_a = self.cocontent_gradient(a, parameter, values)
        return np.asarray(at_a - self.cocontent_gradient(b, parameter, values))

    def _evaluate(
        self, derive: Callable[[sp.Expr], sp.Expr], u: FloatArray, values: Mapping[str, Any]
    ) -> FloatArray:
        if self.law is None:
            raise NetworkError(f"a {self.kind} is not a two-terminal with a current law")
        known = {p.name: values[p.name] for p in self.parameters}
        return self.evaluate(derive(self.law), {"u": u, **known})


@lru_cache(maxsize=512)
def _lambdify(expression: sp.Expr, names: tuple[str, ...]) -> Law:
    symbols = [sp.Symbol(n, real=True) for n in names]
    return cast(Law, sp.lambdify(symbols, expression, modules="numpy"))
