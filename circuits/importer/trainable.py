"""Which parameters of an imported network learn: names, patterns, bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from bridge.errors import NetworkError
from bridge.units import parse_quantity
from circuits.devices.base import Element
from circuits.importer.behaviour import SourceLaw, field_name
from circuits.importer.lines import shown
from circuits.importer.names import Names
from circuits.network import Trainable

FACTOR = 1e3
"""Training bounds reach this factor below and above the netlist's value where none are given."""

_DEFAULT = {
    "resistor": "conductance", "capacitor": "capacitance", "inductor": "inductance", "diode": "area",
    "vcvs": "gain", "vccs": "gain", "cccs": "gain", "ccvs": "gain",
}  # fmt: skip
_KEYS = ("element", "parameter", "lower", "upper")


def select(
    asked: Sequence[str | Mapping[str, Any]], elements: Mapping[str, Sequence[Element]], names: Names
) -> tuple[Trainable, ...]:
    """The trainable parameters that an experiment asks for.

    Args:
        asked: names or patterns of elements, or mappings with `element`, `parameter`, `lower`, `upper`.
            Patterns (`*`, `?`, `[]`) take an element under its own name (`x1.r1`) and under ngspice's
            (`r.x1.r1`), in any case: `R*` is every resistor, also those of subcircuits.
        elements: the network's elements by the netlist's names, lower case.
        names: the netlist's names.

    Raises:
        NetworkError: nothing fits, the element has no such parameter, or bounds are wrong.
    """
    found: dict[tuple[str, str], Trainable] = {}
    for entry in asked:
        wish = {"element": entry} if isinstance(entry, str) else dict(entry)
        if unknown := [k for k in wish if k not in _KEYS]:
            raise NetworkError(f"trainable: unknown key {unknown[0]!r}; known: {', '.join(_KEYS)}")
        pattern = str(wish.get("element", ""))
        for element in _matching(pattern, wish, elements, names):
            made = _trainable(element, wish, pattern, names)
            key = (made.element, made.parameter)
            if key in found and ("lower" in wish or "upper" in wish):
                raise NetworkError(f"trainable: {made.label} is named twice, with other bounds")
            found.setdefault(key, made)
    return tuple(found.values())


def _matching(
    pattern: str, wish: Mapping[str, Any], elements: Mapping[str, Sequence[Element]], names: Names
) -> list[Element]:
    key = pattern.lower()
    if parts := elements.get(key):
        element = parts[-1]
        if "parameter" not in wish and element.device.kind not in _DEFAULT:
            known = ", ".join(p.name for p in element.device.parameters if p.trainable) or "none"
            raise NetworkError(
                f"trainable: {pattern}: name its parameter, {{element: {pattern}, parameter: ...}}; "
                f"it has: {known}"
            )
        return [element]
    if not set(key) & set("*?["):
        raise NetworkError(f"trainable: the netlist has no element {shown(pattern)}{names.near(pattern)}")
    fitting = [
        made[-1]
        for name, made in elements.items()
        if made and (fnmatchcase(name, key) or fnmatchcase(_spice_name(name), key))
    ]
    if "parameter" in wish:
        wanted = {str(wish["parameter"]), field_name(str(wish["parameter"]))}
        usable = [e for e in fitting if wanted & {p.name for p in e.device.parameters}]
    else:
        usable = [e for e in fitting if e.device.kind in _DEFAULT]
    if not usable:
        what = "fits no element" if not fitting else "fits only elements without such a parameter"
        raise NetworkError(f"trainable: the pattern {shown(pattern)} {what}{names.near(pattern)}")
    return usable


def _spice_name(name: str) -> str:
    own = name.rpartition(".")[2]
    return f"{own[0]}.{name}" if "." in name else name


def _trainable(element: Element, wish: Mapping[str, Any], pattern: str, names: Names) -> Trainable:
    name = str(wish.get("parameter") or _DEFAULT[element.device.kind])
    if isinstance(element.device, SourceLaw):
        name = field_name(name)
    shown_name = f"trainable: {names.written.get(element.name, element.name)}.{name}"
    try:
        parameter = element.device.parameters[element.device.index(name)]
    except NetworkError as error:
        raise NetworkError(f"{shown_name}: {error}") from None
    if element.driven or not parameter.trainable:
        raise NetworkError(f"{shown_name}: {'an input' if element.driven else 'this'} cannot be trained")
    value = element.value(name)
    bounds = sorted((value / FACTOR, value * FACTOR))
    given = [_bound(wish.get(k), parameter.unit, f"{shown_name}: {k}") for k in ("lower", "upper")]
    if value == 0.0 and None in given:
        raise NetworkError(f"{shown_name} is 0: its training bounds must be given, lower: and upper:")
    lower, upper = (b if g is None else g for b, g in zip(bounds, given, strict=True))
    unit = "" if parameter.unit == "1" else f" {parameter.unit}"
    if not lower <= value <= upper:
        raise NetworkError(
            f"{shown_name} = {value:g}{unit} is outside of its bounds [{lower:g}, {upper:g}]{unit}"
            f"{_note(element)}"
        )
    for key, bound in zip(("lower", "upper"), given, strict=True):
        if bound is not None and not parameter.lower <= bound <= parameter.upper:
            raise NetworkError(
                f"{shown_name}: {key}: {bound:g}{unit} is outside of what a {element.device.kind} may have, "
                f"[{parameter.lower:g}, {parameter.upper:g}]{unit}{_note(element)}"
            )
    return Trainable(element.name, name, max(lower, parameter.lower), min(upper, parameter.upper), pattern)


def _note(element: Element) -> str:
    """What is easily taken for something else."""
    if element.device.kind != "resistor":
        return ""
    return "; what is trained of a resistor is its conductance in S, 1mS for 1kOhm"


def _bound(value: Any, unit: str, what: str) -> float | None:
    if value is None:
        return None
    try:
        return parse_quantity(value, unit if unit != "1" else "")
    except ValueError as error:
        note = "; what is trained of a resistor is its conductance" if unit == "S" else ""
        raise NetworkError(f"{what}: {error}{note}") from None
