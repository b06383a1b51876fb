"""Devices as Verilog-A: modules generated from symbolic laws, and modules of a user's own file.

A generated module has the device's terminals and one terminal for each state and for the charge. The state's
capacitor, with its start, stays a line of the netlist; the module gives the branch current and the current
into that capacitor, so that everything that knows the nodes of the `B` sources' form knows this one too.
A kind of device has one module, whatever the values of its parameters: they are parameters of the instance
and can be altered in a loaded circuit.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import sympy as sp
from sympy.logic.boolalg import Boolean

from bridge.errors import NetworkError
from circuits.deck import VerilogModule
from circuits.devices.base import (
    STANDALONE,
    Device,
    Element,
    ModelCard,
    Parameter,
    SpiceContext,
    SpiceLine,
)
from circuits.devices.native import NativeElement
from circuits.devices.veriloga_expressions import FUNCTIONS, verilog_expression
from circuits.devices.veriloga_source import read_sources
from circuits.numbers import spice_number

SIZE = "tg_size"
"""Model parameter of generated modules: capacitance of the capacitors that hold states [F]."""

CHARGE_SCALE = "tg_charge_scale"
"""Instance parameter of generated modules with a charge: the charge is held as `charge / scale` [F]."""

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True)
class VerilogCard(ModelCard):
    """A model card of a Verilog-A module: ngspice loses the first parameter of such a card in parentheses."""

    def line(self) -> str:
        """The card as a line of SPICE."""
        body = "".join(f" {key}={spice_number(value)}" for key, value in self.parameters)
        return f".model {self.name} {self.kind}{body}"


@lru_cache(maxsize=256)
def parameter_names(device: Device) -> Mapping[str, str]:
    """The module's name of every parameter that its laws can see; ngspice does not know upper case."""
    starts = {s.initial for s in device.states} | {"initial_voltage"}
    used = {s.name for law in _laws(device) for s in law.free_symbols}
    names: dict[str, str] = {}
    for parameter in device.parameters:
        if parameter.name in starts - used:
            continue
        plain = f"p_{parameter.name.lower()}"
        names[parameter.name] = f"{plain}_{len(names)}" if plain in names.values() else plain
    return names


def _laws(device: Device) -> list[sp.Expr]:
    found = [device.law, device.charge, *(s.rate for s in device.states)]
    return [sp.sympify(law) for law in found if law is not None]


def _without_repetition(laws: list[sp.Expr]) -> tuple[list[tuple[sp.Symbol, sp.Expr]], list[sp.Expr]]:
    """Common parts of laws, and the laws in terms of them; conditions stay where they are."""
    symbols = (sp.Symbol(f"<{k}>", real=True) for k in itertools.count())  # no parameter's name
    parts, reduced = sp.cse(laws, symbols=symbols, order="canonical")
    conditions: dict[sp.Basic, sp.Basic] = {}
    shared = []
    for name, value in parts:
        written = value.xreplace(conditions)
        if isinstance(written, Boolean):
            conditions[name] = written
        else:
            shared.append((name, written))
    return shared, [law.xreplace(conditions) for law in reduced]


@lru_cache(maxsize=256)
def generated_module(device: Device, least_slope: float = 0.0, transfer: bool = False) -> VerilogModule:
    """The Verilog-A module of a device with symbolic laws.

    Its terminals are `p n`, the control port `cp cn` where there is one, the states, the charge.

    Args:
        device: with a law, charge or states.
        least_slope: capacitance that is added to the charge's, as a share of its scale.
        transfer: the law is the voltage between `p` and `n`, and its `u` that of the control port.

    Raises:
        NetworkError: a law has what is not written for Verilog-A.
    """
    names = parameter_names(device)
    states = [f"s_{k}" for k in range(len(device.states))]
    charge = ["q"] if device.charge is not None else []
    known = {"u": "u", "uc": "uc", **names, **{s.name: f"x_{k}" for k, s in enumerate(device.states)}}
    control = list(device.terminals[2:])
    shared, laws = _without_repetition(_laws(device))
    parts = [f"t_{k}" for k in range(len(shared))]
    known.update({s.name: part for (s, _), part in zip(shared, parts, strict=True)})
    written = [verilog_expression(law, known) for law in laws]
    ports = ", ".join(["p", "n", *control, *states, *charge])
    variables = [
        "u",
        *(["uc"] if control and not transfer else []),
        *(f"x_{k}" for k in range(len(states))),
        *parts,
    ]
    body = [f"inout {ports};", f"electrical {ports};", f"parameter real {SIZE} = 1.0;"]
    instance = [*names.values(), *([CHARGE_SCALE] if charge else [])]
    body += [f'(* type="instance" *) parameter real {name} = 1.0;' for name in instance]
    own = f"V({', '.join(control)})" if transfer else "V(p, n)"
    body += [f"real {', '.join(variables)};", FUNCTIONS + "analog begin", f"u = {own};"]
    if control and not transfer:
        body.append(f"uc = V({', '.join(control)});")
    for k, state in enumerate(device.states):
        body.append(f"x_{k} = {state.scale:.17g}*V({states[k]});")
    body += [f"{known[s.name]} = {verilog_expression(value, known)};" for s, value in shared]
    if device.law is not None:
        body.append(f"{'V' if transfer else 'I'}(p, n) <+ {written.pop(0)};")
    if charge:
        body.append(f"V(q) <+ {written.pop(0)}/{CHARGE_SCALE} + {least_slope:.17g}*u;")
    for k, state in enumerate(device.states):
        body.append(f"I({states[k]}) <+ -({SIZE}/{state.scale:.17g}*{written[k]});")
    text = "\n".join([*body, "end", "endmodule", ""])
    digest = hashlib.sha256(f"{ports}\n{text}".encode()).hexdigest()[:8]
    name = f"tg_{re.sub(r'[^a-z0-9]', '_', device.kind.lower())}_{digest}"
    head = f'`include "disciplines.vams"\nmodule {name}({ports});\n'
    return VerilogModule(
        name,
        ((f"{name}.va", head + text),),
        terminals=len(device.terminals) + len(states) + len(charge),
        instance=tuple(instance),
        model=(SIZE,),
    )


def generated_card(module: VerilogModule, context: SpiceContext) -> ModelCard:
    """The model card of a generated module."""
    return VerilogCard(f"{module.name}_card", module.name, ((SIZE, context.time_scale * 1e-3),))


def generated_body(device: Device, element: Element, module: VerilogModule, charge_scale: float) -> str:
    """What follows the nodes of a generated module's instance: its model and parameters."""
    values = element.parameters
    pairs = [(written, values[name]) for name, written in parameter_names(device).items()]
    if CHARGE_SCALE in module.instance:
        pairs.append((CHARGE_SCALE, charge_scale))
    text = " ".join(f"{key}={spice_number(value)}" for key, value in pairs)
    return f"{module.name}_card {text}".rstrip()


@dataclass(frozen=True)
class VerilogElement(NativeElement):
    """An element of a user's own Verilog-A module; its law is not known here, so it has no derivative.

    Its parameters are the instance parameters that were given; they can be altered in a loaded circuit.

    Attributes:
        verilog: the module, with the text of its files.
    """

    verilog: VerilogModule | None = None

    def module(self, context: SpiceContext) -> VerilogModule | None:
        """See `Device`."""
        return self.verilog

    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        """See `Device`."""
        assert element.model is not None
        given = "".join(f" {key}={spice_number(value)}" for key, value in element.parameters.items())
        return [SpiceLine("N", element.name, element.nodes, element.model.name + given)]

    def alter_target(self, element: Element, parameter: str, context: SpiceContext = STANDALONE) -> str:
        """See `Device`."""
        self.index(parameter)
        return f"@n{element.name}[{parameter}]".lower()


def verilog_a_element(
    name: str,
    file: str | Path,
    module: str,
    nodes: tuple[str, ...],
    parameters: Mapping[str, float] | None = None,
    model_parameters: Mapping[str, float] | None = None,
) -> Element:
    """An element of a module in a user's own Verilog-A file, which is compiled when it is loaded.

    Args:
        name: unique in its network.
        file: the Verilog-A file; files that it includes lie in its folder or below.
        module: name of the module in that file.
        nodes: one for each of the module's terminals, in their order.
        parameters: instance parameters by name; the module's own defaults for the others.
        model_parameters: model parameters by name; elements whose values differ get model cards of their own.

    Raises:
        SpecError: the file cannot be read, or includes what it must not.
        NetworkError: a name that cannot be one, or a value that is not finite.
        What only the compiler can tell (no such module or parameter, a syntax error, a wrong number of
        terminals) is raised when the circuit is loaded.
    """
    parameters, card = dict(parameters or {}), dict(model_parameters or {})
    for key in (module, *parameters, *card):
        if not _NAME.fullmatch(key):
            raise NetworkError(f"{name}: {key!r} is no name in Verilog-A")
    for given in (parameters, card):
        if len({key.lower() for key in given}) != len(given):
            raise NetworkError(f"{name}: a parameter is given twice; ngspice does not know upper case")
    path = Path(file)
    source = VerilogModule(
        module,
        read_sources(path),
        str(path),
        terminals=len(nodes),
        instance=tuple(parameters),
        model=tuple(card),
    )
    device = _user_device(source, tuple(parameters))
    values = tuple((key, float(value)) for key, value in card.items())
    try:
        described = " ".join(f"{key}={spice_number(value)}" for key, value in sorted(values))
    except ValueError as error:
        raise NetworkError(f"{name}: model_parameters: {error}") from None
    digest = hashlib.sha256(f"{module} {described}".encode()).hexdigest()[:8]
    model = VerilogCard(f"{module.lower()}_{digest}", module, values)
    chosen = [float(v) for v in parameters.values()]
    device.check(name, chosen)
    return Element(name, device, tuple(str(n) for n in nodes), tuple(chosen), model)


def _user_device(source: VerilogModule, parameters: tuple[str, ...]) -> VerilogElement:
    terminals = tuple(f"t{k}" for k in range(1, source.terminals + 1))
    fields = tuple(Parameter(key, "1") for key in parameters)
    kind = f"Verilog-A module {source.name}"
    return VerilogElement(kind, terminals, fields, reciprocal=False, letter="N", verilog=source)
