"""Every device that ships, by its name on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

from bridge.errors import NetworkError, SpecError
from bridge.experiment.device_file import is_device_file, load_device
from bridge.validation.devices.bench import NAME
from bridge.validation.devices.own import own_subject
from bridge.validation.devices.references.memristors import EQUATIONS
from bridge.validation.devices.subjects import (
    FractionalSubject,
    MemristorSubject,
    NeuronSubject,
    Subject,
    TransistorSubject,
    TwoPortSubject,
    TwoTerminalSubject,
)
from bridge.validation.devices.two_terminals import FORMULAS
from circuits.devices import behavioural, fractional, passive, sources
from circuits.devices.ald1106 import SIDE, ald1106
from circuits.devices.base import Element, ModelCard
from circuits.devices.cards import freepdk45, gf180mcu, level1
from circuits.devices.diode import diode
from circuits.devices.memristors import MEMRISTORS
from circuits.devices.mosfet import mosfet
from circuits.devices.neurons import cell
from circuits.topologies.crossbar import SELECTOR
from circuits.topologies.directed import TANH_TRANSFER

_LEVEL1 = "parameters of a textbook's size; level 1, Shichman and Hodges (1968)"
_FREEPDK = "FreePDK45, Stine et al., IEEE Int. Conf. Microelectronic Systems Education, 173 (2007)"
_ALD1106 = "level 1 fitted to three typical values of the ALD1106/ALD1116 data sheet, Advanced Linear Devices"
_BAND: dict[str, Any] = {"low": 1e4, "high": 1e10, "sections": 18.0}


def _simple() -> dict[str, tuple[Element, float, float, bool, float]]:
    """Two-terminals: element, amplitude [V], frequency [Hz], whether lossless, offset [V]."""
    b = behavioural
    place = (NAME, "a", "0")
    return {
        "resistor": (passive.resistor(*place, conductance=1e-3), 1.0, 1e6, False, 0.0),
        "capacitor": (passive.capacitor(*place, capacitance=1e-10), 1.0, 1e6, True, 0.0),
        "inductor": (passive.inductor(*place, inductance=1e-4), 1.0, 1e6, True, 0.0),
        "diode": (diode(*place), 0.5, 1e6, False, 0.0),
        "polynomial_capacitor": (
            b.POLYNOMIAL_CAPACITOR.element(*place, c0=1e-10, c3=1e-10), 1.0, 1e6, True, 0.0),
        "junction_capacitor": (b.JUNCTION_CAPACITOR.element(*place, c0=2e-10), 0.6, 1e6, True, 0.0),
        "mos_capacitor": (
            b.MOS_CAPACITOR.element(*place, cmin=5e-11, cmax=2e-10, threshold=0.05), 0.8, 1e6, True, 0.0),
        "polynomial_inductor": (
            b.POLYNOMIAL_INDUCTOR.element(*place, l0=1e-4, a3=1e17), 1.0, 1e6, True, 0.0),
        "tanh_inductor": (
            b.TANH_INDUCTOR.element(*place, l0=1e-4, saturation=3e-3), 1.0, 1e6, True, 0.0),
        "tanh_resistor": (b.TANH_RESISTOR.element(*place, conductance=1e-3), 0.4, 1e6, False, 0.0),
        "exponential_diode": (
            b.EXPONENTIAL_DIODE.element(*place, saturation_current=1e-9, emission=1.5), 0.5, 1e6, False, 0.0),
        "selector": (SELECTOR.element(*place, current=1e-7, slope=0.1), 0.5, 1e6, False, 0.0),
    }  # fmt: skip


def _two_ports() -> dict[str, TwoPortSubject]:
    """Two-ports; those controlled by a voltage or current have its port first."""
    output, control = ("o", "0"), ("i", "0")
    switched = sources.switch(NAME, *output, *control, threshold=0.3, hysteresis=0.1, on_resistance=100.0,
                              off_resistance=1e5)  # fmt: skip
    made = (
        TwoPortSubject("vcvs", sources.vcvs(NAME, *output, *control, gain=2.5), "active"),
        TwoPortSubject("vccs", sources.vccs(NAME, *output, *control, gain=1e-3), "active"),
        TwoPortSubject("ccvs", sources.ccvs(NAME, *output, *control, gain=1.5e3), "active"),
        TwoPortSubject("cccs", sources.cccs(NAME, *output, *control, gain=0.8), "active"),
        TwoPortSubject("amplifier", sources.amplifier(NAME, "i", "o", gain=4.0), "active"),
        TwoPortSubject("gyrator", sources.gyrator(NAME, *control, *output, gain=5e-4), "lossless"),
        TwoPortSubject(
            "tanh_transfer", TANH_TRANSFER.element(NAME, *output, *control, scale=0.5, gain=2.0), "active"
        ),
        TwoPortSubject("switch", switched, "passive"),
    )
    return {s.name: s for s in made}


def _fractional() -> dict[str, tuple[Element, float, float]]:
    """Fractional elements: element, amplitude [V], frequency [Hz]."""
    f = fractional
    place = (NAME, "a", "0")
    cubic = f.CUBIC_FRACTIONAL_MEMRISTOR.element(*place, conductance=1e-3, cubic=1e7, low=1e5, high=1e9)
    tanh = f.TANH_FRACTIONAL_MEMRISTOR.element(*place, conductance=1e-3, saturation=2e-4, low=1e5, high=1e9)
    linear = f.FRACTIONAL_ELEMENT.element(*place, coefficient=1e-6, order=0.5, **_BAND)
    return {
        "fractional_element": (linear, 1.0, 2e6),
        "cubic_fractional_memristor": (cubic, 1.0, 2e6),
        "tanh_fractional_memristor": (tanh, 1.0, 2e6),
    }


def _transistor(model: ModelCard, w: float, l: float) -> Element:  # noqa: E741
    return mosfet(NAME, "d", "g", "s", "b", model=model, w=w, l=l)


@lru_cache(maxsize=1)
def _transistors() -> dict[str, TransistorSubject]:
    """Transistors whose cards are there: those of packages that are not installed are left out."""
    body: dict[str, Any] = {"vto": 0.5, "kp": 1e-4, "gamma": 0.4, "phi": 0.7, "lambda_": 0.05}
    known: list[tuple[str, ModelCard, float, float, float, str, str, Mapping[str, ModelCard]]] = [
        ("nmos_level1", level1("nlevel1", **body), 10e-6, 1e-6, 3.0,
         "n-channel MOSFET, level 1", _LEVEL1, {}),
        ("pmos_level1", level1("plevel1", "pmos", **{**body, "vto": -0.5}), 10e-6, 1e-6, 3.0,
         "p-channel MOSFET, level 1", _LEVEL1, {}),
        ("ald1106", ald1106(), SIDE, SIDE, 5.0, "ALD1106, fitted to its data sheet", _ALD1106, {}),
    ]  # fmt: skip
    with suppress(NetworkError):
        for name, card, words in (("freepdk45_nmos", "NMOS_VTG", "n"), ("freepdk45_pmos", "PMOS_VTG", "p")):
            ends = {corner: freepdk45(card, corner) for corner in ("ff", "ss")}
            title = f"FreePDK45 {words}-channel, BSIM4"
            known.append((name, freepdk45(card), 1e-6, 5e-8, 1.0, title, _FREEPDK, ends))
    with suppress(NetworkError):
        ends = {corner: gf180mcu(w=1e-6, corner=corner) for corner in ("ff", "ss")}
        known.append(
            ("gf180mcu_nmos", gf180mcu(w=1e-6), 1e-6, 2.8e-7, 3.3, "gf180mcu n-channel, BSIM4",
             "gf180mcu, nfet_03v3", ends)
        )  # fmt: skip
    return {
        name: TransistorSubject(
            name, _transistor(card, width, length), supply, title, source, corners=corners
        )
        for name, card, width, length, supply, title, source, corners in known
    }


_NEURONS: dict[str, NeuronSubject] = {
    s.name: s
    for s in (
        NeuronSubject("hodgkin_huxley", 10.0, (7.0, 8.0, 10.0, 15.0, 20.0, 30.0, 40.0), (4.0, 8.0), 105.0),
        NeuronSubject("fitzhugh_nagumo", 25.0, (18.0, 20.0, 25.0, 40.0, 60.0), (10.0, 20.0), 200.0),
        NeuronSubject("morris_lecar", 100.0, (95.0, 100.0, 120.0, 150.0, 180.0), (70.0, 110.0), 400.0),
        NeuronSubject("integrate_and_fire", 3.0, (1.6, 2.0, 3.0, 5.0, 8.0), (1.0, 3.0), 100.0),
    )
}


def names() -> list[str]:
    """Every device that can be validated, memristors with each of their published sets."""
    sets = [f"{kind}:{p.name}" for kind, device in MEMRISTORS.items() for p in device.published]
    return [*sets, *_simple(), *_two_ports(), *_fractional(), *_transistors(), *_NEURONS]


def subject(
    name: str, values: Mapping[str, float] | None = None, limits: Mapping[str, Any] | None = None
) -> Subject:
    """A device by name.

    Args:
        name: `kind`, or `kind:set` for a memristor; a kind alone means its first set. Or the path of a file
            with the user's own device.
        values: parameters that replace the set's or the element's.
        limits: specifications that replace the class's, by quantity.

    Raises:
        SpecError: no such device, set or parameter, or a value out of bounds.
    """
    changes, given = dict(limits or {}), dict(values or {})
    if is_device_file(name):
        try:
            return own_subject(load_device(name), given, changes)
        except NetworkError as error:
            raise SpecError(f"{name}: {str(error).removeprefix(f'{NAME}: ')}") from None
    kind, _, chosen = name.partition(":")
    try:
        if kind in MEMRISTORS:
            return _memristor(kind, chosen, given, changes)
        if not chosen and kind in _simple():
            element, amplitude, frequency, lossless, offset = _simple()[kind]
            element = element.replace(**given)
            return TwoTerminalSubject(
                kind, element, FORMULAS[kind], amplitude, frequency, lossless, offset, changes
            )
        if not chosen and kind in _two_ports():
            port = _two_ports()[kind]
            return replace(port, element=port.element.replace(**given), limits=changes)
        if not chosen and kind in _fractional():
            element, amplitude, frequency = _fractional()[kind]
            return FractionalSubject(kind, element.replace(**given), amplitude, frequency, changes)
        if not chosen and kind in _transistors():
            known = _transistors()[kind]
            return replace(known, element=known.element.replace(**given), limits=changes)
        if not chosen and kind in _NEURONS:
            cell(kind, NAME, "a", **dict[str, Any](given))  # checks every value
            return replace(_NEURONS[kind], values=given, limits=changes)
    except NetworkError as error:
        raise SpecError(f"{name}: {str(error).removeprefix('neuron ').removeprefix(f'{NAME}: ')}") from None
    raise SpecError(
        f"there is no device {name!r} to validate; choose from: {', '.join(names())}; or the path "
        "of a device file"
    )


def _memristor(
    kind: str, chosen: str, given: Mapping[str, float], changes: Mapping[str, Any]
) -> MemristorSubject:
    device = MEMRISTORS[kind]
    published = device.set_named(chosen) if chosen else device.published[0]
    values = device.values(published.name, **given)
    device.element(NAME, "a", "0", **dict[str, Any](values))  # checks every value
    note = f"the user's values for {', '.join(given)}; else {published.source}" if given else ""
    return MemristorSubject(
        f"{kind}:{published.name}", device, published, values, limits=changes, note=note,
        equations=EQUATIONS.get(kind), given=frozenset(given),
    )  # fmt: skip


def expected_unit(found: Subject, parameter: str) -> str:
    """The unit of a parameter.

    Raises:
        SpecError: the device has none of that name.
    """
    try:
        return found.device.parameters[found.device.index(parameter)].unit
    except NetworkError as error:
        raise SpecError(str(error)) from None
