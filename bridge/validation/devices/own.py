"""A user's own device as what is validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from bridge.experiment.device_file import DECLARED, OwnDevice
from bridge.experiment.spec_own import DeclaredLimitSpec
from bridge.units import parse_in
from bridge.validation.devices.bench import NAME
from bridge.validation.devices.figures import unit_of
from bridge.validation.devices.specification import CLASSES
from bridge.validation.devices.subjects import MemristorSubject, OpaqueSubject, TwoTerminalSubject
from circuits.devices.base import Device, U
from circuits.devices.memristors.base import Memristor

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class DeclaredFormula:
    """The current of a device without states by its declared equations, straight from sympy to numpy."""

    device: Device

    def __call__(
        self, values: Mapping[str, float], u: FloatArray, du: FloatArray, flux: FloatArray
    ) -> FloatArray:
        """The current [A] at voltages `u` [V] with derivatives `du` [V/s]; see `TwoTerminalSubject`."""
        known = {"u": u, **values}
        found = np.zeros_like(np.asarray(u, dtype=float))
        if self.device.law is not None:
            found = found + self.device.evaluate(self.device.law, known)
        if self.device.charge is not None:
            found = found + self.device.evaluate(sp.diff(self.device.charge, U), known) * du
        return np.asarray(found)


def own_subject(
    own: OwnDevice, given: Mapping[str, float], limits: Mapping[str, Any]
) -> MemristorSubject | TwoTerminalSubject | OpaqueSubject:
    """What is validated of a user's device.

    Args:
        own: the device.
        given: values that replace the file's.
        limits: specifications that replace the file's, by quantity.

    Raises:
        SpecError: the file asks for a limit of what is not measured.
        NetworkError: a value out of bounds, or an unknown parameter.
    """
    own.place(NAME, tuple(f"n{k}" for k in range(len(own.terminals))), given)  # which checks the values
    values = {**own.values, **given}
    changes = {**_declared_limits(own), **limits}
    if own.opaque:
        return OpaqueSubject(own, values, changes)
    device, stimulus = own.declared, own.stimulus
    assert device is not None
    if isinstance(device, Memristor):
        note = f"the user's values for {', '.join(given)}; else {device.source}" if given else ""
        return MemristorSubject(
            own.name, device, device.set_named(DECLARED), values, limits=changes, note=note,
            given=frozenset(given), sense=_sense(device, values, stimulus.positive),
        )  # fmt: skip
    chosen: dict[str, Any] = dict(values)
    return TwoTerminalSubject(
        own.name, device.element(NAME, "a", "0", **chosen), DeclaredFormula(device), stimulus.positive,
        1.0 / stimulus.period, lossless=device.law is None, limits=changes,
    )  # fmt: skip


def _sense(device: Memristor, values: Mapping[str, float], volts: float) -> int:
    """1 if the first state, from its middle, raises the conductance at a voltage, -1 if it lowers it."""
    name, (low, high) = device.states[0].name, device.bounds[0]
    known = {**device.at_rest(values), name: 0.5 * (low + high)}
    rate = float(device.evaluate(device.states[0].rate, {**known, "u": volts}))
    ends = device.read_conductance({**values, name: np.array([low, high])})
    return -1 if rate * float(ends[1] - ends[0]) < 0.0 else 1


def family_of(own: OwnDevice) -> str:
    """The class of specifications that a user's device has."""
    if own.opaque:
        return "opaque"
    return "memristor" if isinstance(own.declared, Memristor) else "two-terminal"


def quantity_unit(own: OwnDevice, name: str) -> str | None:
    """The unit of a quantity that may have limits; `None` for one that is not measured."""
    known = CLASSES[family_of(own)].get(name)
    if known is not None:
        return known.unit
    device = Device("", (), ()) if own.opaque or own.declared is None else own.declared
    return unit_of(name, device)


def quantities(own: OwnDevice) -> list[str]:
    """Names of the quantities that may have limits."""
    from bridge.validation.devices.figures import MEASURES

    return [n for n in (*MEASURES, *CLASSES[family_of(own)]) if quantity_unit(own, n) is not None]


def _declared_limits(own: OwnDevice) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, limit in own.spec.specifications.items():
        key = ("specifications", name)
        unit = quantity_unit(own, name)
        if unit is None:
            own.fail(key, f"is not measured; choose from: {', '.join(quantities(own))}")
        if limit.unit is not None and limit.unit != unit:
            own.fail((*key, "unit"), f"is {limit.unit!r}; the quantity is in {unit}")
        found[name] = _numbers(own, key, limit, unit)
        low, high = found[name].get("minimum"), found[name].get("maximum")
        if low is not None and high is not None and low > high:
            own.fail((*key, "minimum"), f"{low:g} is above the maximum {high:g}")
    return found


def _numbers(own: OwnDevice, key: tuple[str, ...], limit: DeclaredLimitSpec, unit: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for end in ("minimum", "typical", "maximum"):
        written = getattr(limit, end)
        try:
            if written is not None:
                found[end] = parse_in(written, unit)
            elif end in limit.model_fields_set:
                found[end] = None  # no limit at this end
        except ValueError as error:
            own.fail((*key, end), str(error))
    if not found:
        own.fail(key, "needs minimum, typical or maximum; null for none")
    return found
