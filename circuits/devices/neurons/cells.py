"""Neurons as circuits: a capacitance and the branches of its membrane, by kind."""

from __future__ import annotations

from math import tanh
from typing import Any

from bridge.errors import NetworkError
from circuits.devices.base import Device, Element
from circuits.devices.neurons import channels
from circuits.devices.neurons.base import Cell, CellParameter, Values
from circuits.devices.neurons.kinetics import q10, steady_state
from circuits.devices.neurons.scale import SCALE, Scale
from circuits.devices.passive import capacitor, inductor, resistor
from circuits.devices.sources import voltage_source

_LIMITS = {
    "mV": (-1e3, 1e3),
    "mS/cm^2": (0.0, 1e6),
    "uF/cm^2": (1e-3, 1e4),
    "ms": (1e-5, 1e6),
    "1/ms": (0.0, 1e3),
    "degC": (-50.0, 60.0),
    "1": (0.0, 1.0),
}
"""Bounds of parameters by their unit; plain numbers are shares of gates unless they say otherwise."""


def _p(
    name: str,
    unit: str,
    default: float | None,
    target: str,
    description: str,
    lower: float | None = None,
    upper: float | None = None,
) -> CellParameter:
    place = tuple(target.split(".")) if target else None
    low, high = _LIMITS[unit]
    low, high = low if lower is None else lower, high if upper is None else upper
    return CellParameter(name, unit, default, place, description, low, high)  # type: ignore[arg-type]


def _membrane(name: str, node: str, ground: str, v: Values, scale: Scale) -> Element:
    return capacitor(
        f"{name}_cm",
        node,
        ground,
        capacitance=scale.to_circuit(v["capacitance"], "uF/cm^2"),
        initial_voltage=scale.to_circuit(v["v0"], "mV"),
    )


def _place(device: Device, name: str, node: str, ground: str, values: Values) -> Element:
    given: dict[str, Any] = dict(values)
    return device.element(name, node, ground, **given)


def _branch(v: Values, ion: str, scale: Scale) -> dict[str, float]:
    return {
        "conductance": scale.to_circuit(v[f"g_{ion}"], "mS/cm^2"),
        "reversal": scale.to_circuit(v[f"e_{ion}"], "mV"),
    }


def _capacitance(default: float = 1.0) -> CellParameter:
    return _p("capacitance", "uF/cm^2", default, "cm.capacitance", "of the membrane")


def _v0(default: float) -> CellParameter:
    return _p("v0", "mV", default, "cm.initial_voltage", "voltage at t = 0 of a phase that starts from rest")


def _hodgkin_huxley(name: str, node: str, ground: str, v: Values, scale: Scale) -> list[Element]:
    warm = q10(v["temperature"])
    start = {f"{g}0": v[f"{g}0"] if f"{g}0" in v else steady_state(g, v["v0"]) for g in "mhn"}
    speed = {f"speed_{g}": warm * v[f"speed_{g}"] for g in "mhn"}

    def channel(device: Device, ion: str, gates: str) -> Element:
        kinetics = {
            key: known[key] for g in gates for known, key in ((start, f"{g}0"), (speed, f"speed_{g}"))
        }
        return _place(device, f"{name}_{ion}", node, ground, {**_branch(v, ion, scale), **kinetics})

    return [
        _membrane(name, node, ground, v, scale),
        channel(channels.LEAK, "leak", ""),
        channel(channels.SODIUM, "na", "mh"),
        channel(channels.POTASSIUM, "k", "n"),
    ]


def _morris_lecar(name: str, node: str, ground: str, v: Values, scale: Scale) -> list[Element]:
    mv = scale.factor("mV")
    w0 = v.get("w0", 0.5 * (1.0 + tanh((v["v0"] - v["v3"]) / v["v4"])))
    calcium = {**_branch(v, "ca", scale), "half": v["v1"] * mv, "width": v["v2"] * mv}
    potassium = {**_branch(v, "k", scale), "half": v["v3"] * mv, "width": v["v4"] * mv}
    potassium.update(rate=scale.to_circuit(v["phi"], "1/ms"), w0=w0)
    return [
        _membrane(name, node, ground, v, scale),
        _place(channels.LEAK, f"{name}_leak", node, ground, _branch(v, "leak", scale)),
        _place(channels.CALCIUM, f"{name}_ca", node, ground, calcium),
        _place(channels.RECOVERY, f"{name}_k", node, ground, potassium),
    ]


def _fitzhugh_nagumo(name: str, node: str, ground: str, v: Values, scale: Scale) -> list[Element]:
    unit = scale.to_circuit(v["voltage_unit"], "mV")
    g = scale.to_circuit(v["conductance"], "mS/cm^2")
    second = scale.to_circuit(v["capacitance"], "uF/cm^2") / g  # duration of one unit of time [s]
    w0 = v.get("w0", (v["v0"] / v["voltage_unit"] + v["a"]) / v["b"])
    return [
        _membrane(name, node, ground, v, scale),
        channels.CUBIC.element(f"{name}_cubic", node, ground, conductance=g, voltage_unit=unit),
        inductor(
            f"{name}_l", node, f"{name}_r", inductance=v["tau"] * second / g, initial_current=w0 * g * unit
        ),
        resistor(f"{name}_b", f"{name}_r", f"{name}_a", conductance=g / v["b"]),
        voltage_source(f"{name}_e", f"{name}_a", ground, dc=-v["a"] * unit),
    ]


def _integrate_and_fire(name: str, node: str, ground: str, v: Values, scale: Scale) -> list[Element]:
    mv = scale.factor("mV")
    density = scale.factor("mS/cm^2")
    return [
        _membrane(name, node, ground, v, scale),
        channels.LEAK.element(
            f"{name}_leak", node, ground, conductance=v["g_leak"] * density, reversal=v["e_leak"] * mv
        ),
        channels.CALCIUM.element(
            f"{name}_spike", node, ground, conductance=v["g_spike"] * density, reversal=v["e_spike"] * mv,
            half=(v["threshold"] + 7.0 * v["sharpness"]) * mv, width=2.0 * v["sharpness"] * mv,
        ),
        channels.RESET.element(
            f"{name}_reset", node, ground, conductance=v["g_reset"] * density, reversal=v["reset"] * mv,
            peak=v["peak"] * mv, release=v["release"] * mv, width=v["peak_width"] * mv,
            opening=1e3 / v["tau_rise"], closing=1e3 / v["tau_fall"], r0=v["r0"],
        ),
    ]  # fmt: skip


CELLS: dict[str, Cell] = {
    c.kind: c
    for c in (
        Cell(
            "hodgkin_huxley",
            (
                _capacitance(),
                _p("g_na", "mS/cm^2", 120.0, "na.conductance", "sodium conductance, all gates open"),
                _p("g_k", "mS/cm^2", 36.0, "k.conductance", "potassium conductance, all gates open"),
                _p("g_leak", "mS/cm^2", 0.3, "leak.conductance", "leak conductance"),
                _p("e_na", "mV", 50.0, "na.reversal", "reversal potential of sodium"),
                _p("e_k", "mV", -77.0, "k.reversal", "reversal potential of potassium"),
                _p("e_leak", "mV", -54.387, "leak.reversal", "reversal potential of the leak"),
                _p("speed_m", "1", 1.0, "na.speed_m", "factor on the rates of m, times that of temperature",
                   1e-3, 1e3),
                _p("speed_h", "1", 1.0, "na.speed_h", "factor on the rates of h, times that of temperature",
                   1e-3, 1e3),
                _p("speed_n", "1", 1.0, "k.speed_n", "factor on the rates of n, times that of temperature",
                   1e-3, 1e3),
                _p("temperature", "degC", 6.3, "", "all rates grow by 3^((temperature - 6.3) / 10)"),
                _v0(-65.0),
                _p("m0", "1", None, "na.m0", "gates m at t = 0; their steady state at v0 by default"),
                _p("h0", "1", None, "na.h0", "gates h at t = 0; their steady state at v0 by default"),
                _p("n0", "1", None, "k.n0", "gates n at t = 0; their steady state at v0 by default"),
            ),
            _hodgkin_huxley,
            0.0,
            0.01,
            "squid axon: sodium and potassium channels and a leak beside the membrane's capacitance",
            channels.HODGKIN_HUXLEY,
        ),
        Cell(
            "fitzhugh_nagumo",
            (
                _capacitance(),
                _p("conductance", "mS/cm^2", 1.0, "cubic.conductance", "of the cubic; capacitance / "
                   "conductance is the unit of time, conductance times voltage_unit that of currents", 1e-6),
                _p("voltage_unit", "mV", 50.0, "cubic.voltage_unit", "voltage of the equations' 1", 0.1, 1e5),
                _p("a", "1", 0.7, "e.dc", "trained as the voltage -a voltage_unit [V] of the battery",
                   -100.0, 100.0),
                _p("b", "1", 0.8, "b.conductance", "trained as the conductance / b [S] in the recovery",
                   1e-3, 1e3),
                _p("tau", "1", 12.5, "l.inductance", "time constant of the recovery, in units of time; "
                   "trained as the inductance tau capacitance / conductance^2 [H]", 1e-3, 1e6),
                _v0(-60.0),
                _p("w0", "1", None, "l.initial_current", "recovery at t = 0; (v0 + a) / b by default",
                   -1e3, 1e3),
            ),
            _fitzhugh_nagumo,
            0.0,
            0.05,
            "two variables: a conductance with a falling part, and an inductor whose current recovers",
            f"{channels.FITZHUGH_NAGUMO}; a = 0.7, b = 0.8, 1 / tau = 0.08",
        ),
        Cell(
            "morris_lecar",
            (
                _capacitance(20.0),
                _p("g_ca", "mS/cm^2", 4.4, "ca.conductance", "calcium conductance"),
                _p("g_k", "mS/cm^2", 8.0, "k.conductance", "potassium conductance"),
                _p("g_leak", "mS/cm^2", 2.0, "leak.conductance", "leak conductance"),
                _p("e_ca", "mV", 120.0, "ca.reversal", "reversal potential of calcium"),
                _p("e_k", "mV", -84.0, "k.reversal", "reversal potential of potassium"),
                _p("e_leak", "mV", -60.0, "leak.reversal", "reversal potential of the leak"),
                _p("v1", "mV", -1.2, "ca.half", "half of the calcium channels are open"),
                _p("v2", "mV", 18.0, "ca.width", "width of that rise", 0.1),
                _p("v3", "mV", 2.0, "k.half", "half of the potassium channels are open in the end"),
                _p("v4", "mV", 30.0, "k.width", "width of that rise", 0.1),
                _p("phi", "1/ms", 0.04, "k.rate", "slowest rate of the potassium channels"),
                _v0(-60.0),
                _p("w0", "1", None, "k.w0", "open potassium channels at t = 0; steady state by default"),
            ),
            _morris_lecar,
            0.0,
            0.05,
            "barnacle muscle fibre: instantaneous calcium and delayed potassium channels",
            f"{channels.MORRIS_LECAR}; values of Rinzel and Ermentrout, in Methods in Neuronal Modeling "
            "(Koch and Segev, 1989), type II: g_ca = 4.4, v3 = 2, v4 = 30, phi = 0.04",
        ),
        Cell(
            "integrate_and_fire",
            (
                _capacitance(),
                _p("g_leak", "mS/cm^2", 0.1, "leak.conductance", "with the capacitance, 10 ms"),
                _p("e_leak", "mV", -65.0, "leak.reversal", "voltage at rest"),
                _p("threshold", "mV", -50.0, "spike.half", "about where it fires; trained as the voltage "
                   "threshold + 7 sharpness at which half of the spike's conductance is open"),
                _p("sharpness", "mV", 1.5, "", "slope of the smooth threshold; 0 would be the hard one",
                   0.05),
                _p("g_spike", "mS/cm^2", 1.0, "spike.conductance", "conductance of the upstroke"),
                _p("e_spike", "mV", 30.0, "spike.reversal", "where the upstroke goes"),
                _p("g_reset", "mS/cm^2", 10.0, "reset.conductance", "conductance of the reset"),
                _p("reset", "mV", -65.0, "reset.reversal", "voltage after a spike"),
                _p("peak", "mV", -10.0, "reset.peak", "voltage at which the reset opens"),
                _p("peak_width", "mV", 4.0, "reset.width", "of the steps at peak and release", 0.01),
                _p("release", "mV", -55.0, "reset.release", "voltage below which the reset closes again"),
                _p("tau_rise", "ms", 0.1, "reset.opening", "of the reset's opening; trained as "
                   "its inverse [1/s]"),
                _p("tau_fall", "ms", 1.0, "reset.closing", "of its closing, which the absolute refractory "
                   "time and the slow start after it follow; trained as its inverse [1/s]"),
                _v0(-65.0),
                _p("r0", "1", 0.0, "reset.r0", "open share of the reset at t = 0"),
            ),
            _integrate_and_fire,
            -40.0,
            0.005,
            "leaky integrator whose threshold and reset are smooth conductances; it has unstable points of "
            "rest besides the stable one, so start its phases from rest, not from an operating point",
            "Gerstner, Kistler, Naud and Paninski, Neuronal Dynamics (2014), chapter 1; the smooth threshold "
            "and reset and their values are this project's own",
        ),
    )
}  # fmt: skip
"""Every kind of neuron."""


def cell(
    kind: str, name: str, node: str, ground: str = "0", *, scale: Scale = SCALE, **values: float
) -> list[Element]:
    """The elements of a neuron between its membrane's node and ground; a current into `node` excites it.

    Args:
        kind: one of `CELLS`.
        name: prefix of the elements' names.
        node: inside of the membrane; its voltage is the membrane's.
        ground: outside.
        scale: area of the membrane.
        values: parameters in the units of the field, see `CELLS`; those left out take their defaults.

    Raises:
        NetworkError: an unknown kind or parameter, a value out of bounds.
    """
    if kind not in CELLS:
        raise NetworkError(f"there is no neuron {kind!r}; choose from: {', '.join(CELLS)}")
    found = CELLS[kind]
    try:
        return found.build(name, node, ground, found.values(values), scale)
    except NetworkError as error:
        raise NetworkError(f"neuron {name}: {error}") from None
