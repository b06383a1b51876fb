"""What a neuron's report says of it: its equations as they are printed, its parameters, its circuit."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from bridge.report.text import number
from bridge.validation.devices.content import Code, Findings, Formula, Grid, Text
from bridge.validation.devices.equations import formula
from bridge.validation.devices.neuron_bench import circuit
from circuits.devices.base import SpiceContext
from circuits.devices.neurons import CELLS
from circuits.devices.neurons import kinetics as k

_V, _M, _H, _N, _W, _R = sp.symbols("v m h n w r", real=True)


def _symbols(*names: str) -> list[sp.Symbol]:
    return [sp.Symbol(n, real=True) for n in names]


def _hodgkin_huxley() -> list[Formula]:
    g_na, g_k, g_l, e_na, e_k, e_l = _symbols("g_na", "g_k", "g_leak", "e_na", "e_k", "e_leak")
    rates = [
        ("αₘ", k.textbook_linoid((_V + 40) / 10)),
        ("βₘ", 4 * sp.exp(-(_V + 65) / 18)),
        ("αₕ", sp.Rational(7, 100) * sp.exp(-(_V + 65) / 20)),
        ("βₕ", 1 / (1 + sp.exp(-(_V + 35) / 10))),
        ("αₙ", k.textbook_linoid((_V + 55) / 10) / 10),
        ("βₙ", sp.Rational(1, 8) * sp.exp(-(_V + 65) / 80)),
    ]
    shown = [formula("i", g_na * _M**3 * _H * (_V - e_na) + g_k * _N**4 * (_V - e_k) + g_l * (_V - e_l))]
    for gate in "mhn":
        x, a, b, q = _symbols(gate, f"alpha_{gate}", f"beta_{gate}", f"speed_{gate}")
        shown.append(formula(f"d{gate}/dt", q * sp.Symbol("φ") * (a * (1 - x) - b * x)))
    shown.append(formula("φ", sp.Integer(3) ** ((sp.Symbol("T") - sp.Rational(63, 10)) / 10)))
    return [*shown, *(formula(name, rate) for name, rate in rates)]


def _fitzhugh_nagumo() -> list[Formula]:
    g, unit, a, b, tau, c = _symbols("conductance", "voltage_unit", "a", "b", "tau", "capacitance")
    return [
        formula("i", g * (_V**3 / (3 * unit**2) - _V) + g * unit * _W),
        formula("dw/dt", (_V / unit + a - b * _W) / (tau * c / g)),
    ]


def _morris_lecar() -> list[Formula]:
    g_ca, g_k, g_l, e_ca, e_k, e_l = _symbols("g_ca", "g_k", "g_leak", "e_ca", "e_k", "e_leak")
    v1, v2, v3, v4, phi = _symbols("v1", "v2", "v3", "v4", "phi")
    opened = (1 + sp.tanh((_V - v1) / v2)) / 2
    rest = (1 + sp.tanh((_V - v3) / v4)) / 2
    return [
        formula("i", g_ca * opened * (_V - e_ca) + g_k * _W * (_V - e_k) + g_l * (_V - e_l)),
        formula("dw/dt", phi * sp.cosh((_V - v3) / (2 * v4)) * (rest - _W)),
    ]


def _integrate_and_fire() -> list[Formula]:
    g_l, e_l, g_s, e_s, g_r, back = _symbols("g_leak", "e_leak", "g_spike", "e_spike", "g_reset", "reset")
    threshold, sharp, peak, width, release = _symbols(
        "threshold", "sharpness", "peak", "peak_width", "release"
    )
    rise, fall = _symbols("tau_rise", "tau_fall")
    opened = 1 / (1 + sp.exp(-(_V - threshold - 7 * sharp) / sharp))
    edge = 1 / (1 + sp.exp(-(_V - peak + (peak - release) * _R) / width))
    return [
        formula("i", g_l * (_V - e_l) + g_s * opened * (_V - e_s) + g_r * _R**4 * (_V - back)),
        formula("dr/dt", edge * (1 - _R) / rise - _R / fall),
    ]


_LINOID = ("hodgkin_huxley",)
_SMOOTH = (
    " There x / (1 - exp(-x)) is a product of hyperbolic tangents and a polynomial, without a singularity."
)
_EQUATIONS = {
    "hodgkin_huxley": _hodgkin_huxley,
    "fitzhugh_nagumo": _fitzhugh_nagumo,
    "morris_lecar": _morris_lecar,
    "integrate_and_fire": _integrate_and_fire,
}


def describe(kind: str, given: Mapping[str, float], duration: float, findings: Findings) -> None:
    """Equations, parameters and the netlist of a neuron.

    Args:
        kind: of neuron.
        given: the user's parameters, in the units of the field.
        duration: of the transients [s].
        findings: what the sections are added to.
    """
    found = CELLS[kind]
    findings.add(
        "Equations",
        Text(
            "The membrane's capacitance takes up the injected current less the current i of its branches "
            "(v in mV, time in ms):"
        ),
        *_EQUATIONS[kind](),
    )
    values = found.values(given)
    rows = []
    for p in found.parameters:
        value = number(values[p.name], 6) if p.name in values else "steady state"
        place = "–" if p.target is None else f"x_{p.target[0]}.{p.target[1]}"
        rows.append((p.name, value, p.unit, p.description, place,
                     "the user" if p.name in given else found.source))  # fmt: skip
    head = ("parameter", "value", "unit", "meaning", "trained as", "source")
    findings.add("Parameters", Grid(head, rows, False))
    lines: list[str] = []
    modules: dict[str, str] = {}
    for e in circuit(kind, given).elements:
        context = SpiceContext(time_scale=duration)
        lines += [f"{line.letter}{line.name} {' '.join(line.nodes)} {line.body}" for line in e.spice(context)]
        if e.device.compilable:
            module = e.device.module(SpiceContext(time_scale=duration, compiled=True))
            if module is not None:
                modules[module.name] = module.sources[0][1]
    findings.add(
        "Subcircuit",
        Text(f"As the simulator gets it where nothing can be compiled.{_SMOOTH if kind in _LINOID else ''}"),
        Code("\n".join(lines), "spice"),
    )  # fmt: skip
    if modules:
        findings.add(
            "Verilog-A",
            Text("Generated from the same declarations, compiled where the machine can."),
            Code("\n".join(modules.values()), "verilog"),
        )
