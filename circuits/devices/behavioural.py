"""Branches that are defined by their symbolic law: any current, charge and internal states.

The branch obeys `i = law(u, x; p) + d/dt charge(u; p)` with `dx/dt = rate(u, x; p)`. A device with the four
terminals `p n cp cn` also has a control port: `law(u, uc, x; p)` and `rate(u, uc, x; p)` may contain its
voltage `uc = v(cp) - v(cn)`, and no current flows there. In the netlist the
current is a `B` source; the charge is the voltage of a capacitor, whose current is copied into the branch;
each state is the voltage of a capacitor with a `B` source as its current. Where the device is compiled, one
instance of a generated Verilog-A module takes the place of all its `B` sources; capacitors, nodes and starts
stay the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import sympy as sp

from circuits.deck import VerilogModule
from circuits.devices.base import (
    STANDALONE,
    Device,
    Element,
    FloatArray,
    ModelCard,
    Parameter,
    SpiceContext,
    SpiceLine,
    State,
    U,
)
from circuits.devices.diode import THERMAL_VOLTAGE
from circuits.devices.expressions import spice_expression
from circuits.devices.veriloga import generated_body, generated_card, generated_module, parameter_names
from circuits.numbers import spice_number

GROUND = "0"
CONTROL = sp.Symbol("uc", real=True)
"""The voltage of the control port [V] in the laws of devices that have one."""
LEAST_SLOPE = 1e-8
"""Share of its own size that every capacitance is larger by: a node with charges alone must have a pivot."""


def voltage_expression(p: str, n: str) -> str:
    """The voltage between two nodes in a `B` source."""
    if n == GROUND:
        return f"v({p})"
    if p == GROUND:
        return f"(-v({n}))"
    return f"(v({p})-v({n}))"


def state_node(element: str, state: str) -> str:
    """Name of the node that holds a state, divided by its scale."""
    return f"{element}_{state}"


@dataclass(frozen=True)
class Behavioural(Device):
    """A branch whose netlist, linearisation and gradients all follow from its laws.

    Its terminals are `p n`, or `p n cp cn` with a control port; the charge depends on the branch's own
    voltage only.
    """

    compilable: ClassVar[bool] = True

    @property
    def controlled(self) -> bool:
        """Whether it has a control port."""
        return len(self.terminals) == 4

    def symbols(self, element: Element, context: SpiceContext) -> dict[str, str]:
        """What the laws' symbols are called in the netlist."""
        names = {"u": voltage_expression(*element.nodes[:2])}
        if self.controlled:
            names[CONTROL.name] = voltage_expression(*element.nodes[2:])
        for state in self.states:
            node = state_node(element.name, state.name)
            names[state.name] = f"({spice_number(state.scale)}*v({node}))"
        for name, value in element.parameters.items():
            live = name in context.live
            names[name] = f"v(par_{element.name}_{name})" if live else f"({spice_number(value)})"
        return names

    def write(self, law: sp.Expr, element: Element, context: SpiceContext) -> str:
        """One of the device's expressions for a `B` source; fixed parameters become numbers first."""
        fixed = {
            symbol(name): sp.Float(value, 17)
            for name, value in element.parameters.items()
            if name not in context.live
        }
        return spice_expression(law.xreplace(fixed), self.symbols(element, context))

    def charge_scale(self, element: Element) -> float:
        """A capacitance [F] of the element's size: its charge is held as `charge / scale` volts."""
        if self.charge is None:
            return 1.0
        slope = float(self.evaluate(sp.diff(self.charge, U), {"u": 0.0, **element.parameters}))
        return abs(slope) if slope else 1e-12

    def module(self, context: SpiceContext) -> VerilogModule | None:
        """See `Device`."""
        return generated_module(self, LEAST_SLOPE) if context.compiled else None

    def card(self, element: Element, context: SpiceContext) -> ModelCard | None:
        """See `Device`."""
        module = self.module(context)
        return generated_card(module, context) if module is not None else element.model

    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        """See `Device`."""
        p, n = element.nodes[:2]
        name = element.name
        values = element.parameters
        lines = []
        module = self.module(context)
        if module is not None:
            inner = [state_node(name, s.name) for s in self.states]
            inner += [f"{name}_q"] if self.charge is not None else []
            body = generated_body(self, element, module, self.charge_scale(element))
            lines.append(SpiceLine("N", name, (*element.nodes, *inner), body))
        for parameter in self.parameters:
            if module is None and parameter.name in context.live:
                node = f"par_{name}_{parameter.name}"
                lines.append(
                    SpiceLine("V", node, (node, GROUND), f"dc {spice_number(values[parameter.name])}")
                )
        if module is None and self.law is not None:
            lines.append(SpiceLine("B", name, (p, n), f"i={self.write(self.law, element, context)}"))
        if self.charge is not None:
            scale = self.charge_scale(element)
            start = float(self.evaluate(self.charge, {"u": self._initial_voltage(element), **values}))
            held, sensed = f"{name}_q", f"{name}_qs"
            if module is None:
                # Live parameters are node voltages, zero in the first iteration: the slope must not vanish.
                slope = f"{spice_number(LEAST_SLOPE)}*{voltage_expression(p, n)}"
                charge = f"v={self.write(self.charge, element, context)}/{spice_number(scale)}+{slope}"
                lines.append(SpiceLine("B", held, (held, GROUND), charge))
            lines += [
                SpiceLine(
                    "C", held, (held, sensed), f"{spice_number(scale)} ic={spice_number(start / scale)}"
                ),
                SpiceLine("V", held, (sensed, GROUND), "dc 0"),
                SpiceLine("F", held, (p, n), f"V{held} 1"),
            ]
        for state in self.states:
            node = state_node(name, state.name)
            size = context.time_scale * 1e-3
            begin = values[state.initial] / state.scale
            held = f"{spice_number(size)} ic={spice_number(begin)}"
            lines.append(SpiceLine("C", node, (node, GROUND), held))
            if module is None:
                rate = self.write(state.rate, element, context)
                factor = spice_number(size / state.scale)
                lines.append(SpiceLine("B", node, (GROUND, node), f"i={factor}*{rate}"))
        return lines

    def _initial_voltage(self, element: Element) -> float:
        return element.parameters.get("initial_voltage", 0.0)

    def alter_target(self, element: Element, parameter: str, context: SpiceContext = STANDALONE) -> str:
        """See `Device`."""
        self.index(parameter)
        for state in self.states:
            if state.initial == parameter:
                return f"@c{state_node(element.name, state.name)}[ic]".lower()
        if parameter == "initial_voltage":
            return f"@c{element.name}_q[ic]".lower()
        if context.compiled:
            return f"@n{element.name}[{parameter_names(self)[parameter]}]".lower()
        return f"@vpar_{element.name}_{parameter}[dc]".lower()

    def alter_value(self, parameter: str, values: FloatArray) -> FloatArray:
        """See `Device`."""
        for state in self.states:
            if state.initial == parameter:
                return values / state.scale
        return values


def symbol(name: str) -> sp.Symbol:
    """The symbol of a parameter or state."""
    return sp.Symbol(name, real=True)


_C0, _C3, _VJ, _M, _CMIN, _CMAX, _VT, _VW = (
    symbol(s)
    for s in ("c0", "c3", "vj", "grading", "cmin", "cmax", "threshold", "width")
)  # fmt: skip
_V0 = Parameter("initial_voltage", "V", 0.0, trainable=False, description="branch voltage at t = 0")

POLYNOMIAL_CAPACITOR = Behavioural(
    "polynomial_capacitor",
    ("p", "n"),
    (Parameter("c0", "F", lower=0.0), Parameter("c3", "F/V^2", 0.0), _V0),
    charge=_C0 * U + _C3 * U**3,
    description="odd nonlinear capacitor, q = c0 u + c3 u^3",
    source="cubic charge, the smallest odd nonlinearity",
)
_REVERSE = 1 - U / _VJ
JUNCTION_CAPACITOR = Behavioural(
    "junction_capacitor",
    ("p", "n"),
    (
        Parameter("c0", "F", lower=0.0),
        Parameter("vj", "V", 0.7, lower=0.1),
        Parameter("grading", "1", 0.5, lower=0.05, upper=0.95),
        _V0,
    ),
    charge=sp.Piecewise(
        (_C0 * _VJ / (1 - _M) * (1 - _REVERSE ** (1 - _M)), U < _VJ / 2),
        (
            _C0 * _VJ / (1 - _M) * (1 - sp.Rational(1, 2) ** (1 - _M))
            + _C0 * sp.Rational(1, 2) ** (-_M) * ((U - _VJ / 2) + _M / _VJ * (U - _VJ / 2) ** 2),
            True,
        ),
    ),
    description="depletion charge of a junction, continued linearly in the capacitance above vj / 2",
    source="Sze and Ng, Physics of Semiconductor Devices (2007); SPICE's FC = 0.5",
)
MOS_CAPACITOR = Behavioural(
    "mos_capacitor",
    ("p", "n"),
    (
        Parameter("cmin", "F", lower=0.0),
        Parameter("cmax", "F", lower=0.0),
        Parameter("threshold", "V", 0.0),
        Parameter("width", "V", 0.2, lower=1e-3),
        _V0,
    ),
    charge=_CMIN * U
    + (_CMAX - _CMIN) / 2 * (U + _VW * (sp.log(sp.cosh((U - _VT) / _VW)) - sp.log(sp.cosh(_VT / _VW)))),
    description="MOS-like varactor: the capacitance goes from cmin to cmax as a tanh around the threshold",
    source="Bunch and Raman, IEEE J. Solid-State Circuits 38, 1325 (2003)",
)

_L0, _L3, _ISAT, _PHI, _PHI0 = (symbol(s) for s in ("l0", "a3", "saturation", "flux", "flux0"))


def _flux(scale: float) -> tuple[State, ...]:
    return (State("flux", U, "initial_flux", scale, "Wb"),)


_F0 = Parameter("initial_flux", "Wb", 0.0, typical=1e-9, description="flux at t = 0")
POLYNOMIAL_INDUCTOR = Behavioural(
    "polynomial_inductor",
    ("p", "n"),
    (Parameter("l0", "H", lower=1e-18), Parameter("a3", "A/Wb^3", 0.0), _F0),
    law=_PHI / _L0 + _L3 * _PHI**3,
    states=_flux(1e-9),
    description="odd nonlinear inductor, i = flux / l0 + a3 flux^3",
    source="cubic current, the smallest odd nonlinearity",
)
TANH_INDUCTOR = Behavioural(
    "tanh_inductor",
    ("p", "n"),
    (Parameter("l0", "H", lower=1e-18), Parameter("saturation", "A", lower=0.0), _F0),
    law=_ISAT * sp.tanh(_PHI / (_L0 * _ISAT)),
    states=_flux(1e-9),
    description="inductor whose current saturates, i = saturation tanh(flux / (l0 saturation))",
    source="current of a saturating flux-controlled inductor, odd and smooth",
)
_G, _VS = symbol("conductance"), symbol("scale")
TANH_RESISTOR = Behavioural(
    "tanh_resistor",
    ("p", "n"),
    (Parameter("conductance", "S", lower=0.0), Parameter("scale", "V", 0.1, lower=1e-4)),
    law=_G * _VS * sp.tanh(U / _VS),
    description="odd saturating resistor, i = conductance scale tanh(u / scale)",
    source="differential pair's transfer in weak inversion",
)
_IS, _N = symbol("saturation_current"), symbol("emission")
EXPONENTIAL_DIODE = Behavioural(
    "exponential_diode",
    ("anode", "cathode"),
    (Parameter("saturation_current", "A", 1e-12, lower=1e-30), Parameter("emission", "1", 1.0, lower=0.1)),
    law=_IS * (sp.exp(U / (_N * THERMAL_VOLTAGE)) - 1),
    description="the diode's exponential law with trainable parameters",
    source="Shockley, Bell Syst. Tech. J. 28, 435 (1949)",
)


def two_terminal(kind: str, law: sp.Expr | str, parameters: dict[str, str], **more: object) -> Behavioural:
    """A device from the user's own law.

    Args:
        kind: its name.
        law: branch current in `u`, the states and the parameters; text is parsed without names other
            than these and sympy's functions.
        parameters: unit of each parameter by name.
        more: further fields of `Behavioural`: `charge`, `states`.
    """
    names = {"u": U, **{n: symbol(n) for n in parameters}}
    expression = sp.sympify(law, locals=names) if isinstance(law, str) else law
    fields = tuple(Parameter(n, unit) for n, unit in parameters.items())
    return Behavioural(kind, ("p", "n"), fields, law=expression, **more)  # type: ignore[arg-type]
