"""The echo network: the same circuit, made to retrace its trajectory backwards.

Class: capacitors with odd charge, inductors with odd current, linear resistors, independent sources. In the
echo phase every voltage is the negative of its time-reverse. Constant voltage sources change sign, and each
resistor gets a parallel current source, because it alone does not dissipate backwards.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import sympy as sp

from bridge.errors import UnsupportedElementError
from bridge.groups import branch
from bridge.waveforms import Waveforms
from circuits.devices.base import Element, U
from circuits.devices.behavioural import Behavioural, state_node
from circuits.devices.sources import CURRENT_SOURCE
from circuits.network import Drive, Network

COMPENSATION = "comp_{}"
_ADVICE = "use the estimator adjoint, which needs no such symmetry"
_LINEAR = ("resistor", "capacitor", "inductor", "voltage_source", "current_source")


def check_echo(network: Network) -> None:
    """Refuse networks that an echo phase cannot retrace.

    Raises:
        UnsupportedElementError: with the element's name and the reason.
    """
    whole = {part.name: e for e in network.elements for part in e.device.expand(e)}
    for element in network.flat().elements:
        device, name = element.device, whole[element.name].name
        if device.kind in _LINEAR:
            if device.kind.endswith("_source") and not element.driven and not device.parameters:
                raise UnsupportedElementError(
                    name, "a source with a waveform of its own is not played backwards", _ADVICE
                )
            continue
        shown = whole[element.name].device.kind
        if not isinstance(device, Behavioural) or whole[element.name] != element:
            raise UnsupportedElementError(
                name,
                f"a {shown} is neither an odd capacitor, an odd inductor, a linear resistor nor a source",
                _ADVICE,
            )
        law, charge, states = device.law, device.charge, device.states
        if charge is not None and not _odd(charge, U, element):
            raise UnsupportedElementError(name, f"the charge of a {shown} is not odd in its voltage", _ADVICE)
        if law is None:
            continue
        inductor = len(states) == 1 and states[0].rate == U and not law.has(U)
        if not inductor:
            raise UnsupportedElementError(
                name, f"a {shown} dissipates nonlinearly: only linear resistors can be retraced", _ADVICE
            )
        if not _odd(law, states[0].symbol, element):
            raise UnsupportedElementError(name, f"the current of a {shown} is not odd in its flux", _ADVICE)


def _odd(law: sp.Expr, by: sp.Symbol, element: Element) -> bool:
    """Whether a law is odd in one symbol at the element's parameter values."""
    fixed = {sp.Symbol(k, real=True): v for k, v in element.parameters.items()}
    at = sp.lambdify(by, law.xreplace(fixed), modules="numpy")
    points = np.array([1e-9, 1e-6, 1e-3, 0.1, 0.3, 0.7, 1.0, 2.0])
    with np.errstate(all="ignore"):
        forth, back = np.array([at(p) for p in points]), np.array([at(-p) for p in points])
    known = np.isfinite(forth) & np.isfinite(back)
    return bool(np.all(np.abs(forth + back)[known] <= 1e-9 * np.abs(forth)[known] + 1e-300))


def echo_network(network: Network) -> Network:
    """The network of the echo phase: its drives are the free network's, then the compensation currents."""
    elements: list[Element] = []
    drives = list(network.drives)
    for element in network.elements:
        if element.device.kind == "voltage_source" and not element.driven:
            element = element.replace(dc=-element.value("dc"))
        elements.append(element)
        if element.device.kind == "resistor":
            name = COMPENSATION.format(element.name)
            elements.append(CURRENT_SOURCE.element(name, *element.nodes, driven=True))
            drives.append(Drive(name))
    return replace(network, elements=tuple(elements), drives=tuple(drives))


def initial_state(network: Network, waves: Waveforms) -> tuple[list[str], list[float]]:
    """Targets and values that start the echo from the reversed end of the free phase."""
    targets, values = [], []
    for element in network.elements:
        name, device = element.name.lower(), element.device
        if device.kind == "capacitor":
            targets.append(f"@c{name}[ic]")
            values.append(-float(branch(waves, *element.nodes)[-1]))
        elif device.kind == "inductor":
            targets.append(f"@l{name}[ic]")
            values.append(float(waves[f"i(l{name})"][-1]))
        elif isinstance(device, Behavioural):
            if device.charge is not None:
                u = -float(branch(waves, *element.nodes)[-1])
                charge = float(device.evaluate(device.charge, {"u": u, **element.parameters}))
                targets.append(f"@c{name}_q[ic]")
                values.append(charge / device.charge_scale(element))
            for state in device.states:
                node = state_node(element.name, state.name).lower()
                targets.append(f"@c{node}[ic]")
                values.append(float(waves[f"v({node})"][-1]))
    return targets, values
