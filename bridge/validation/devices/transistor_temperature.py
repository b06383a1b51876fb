"""Transistors over temperature and at the corners of their process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from bridge.ngspice.session import Session
from bridge.report.text import number
from bridge.validation.devices.content import Drawing, Findings, Grid, Text
from bridge.validation.devices.pins import Pins, grid, sign_of
from bridge.validation.devices.plots import Line, Panel, figure
from bridge.validation.devices.references.transistors import LEVEL1, at_temperature, level1_current
from bridge.validation.devices.subjects import TransistorSubject
from circuits.devices.base import Element

FloatArray = NDArray[np.float64]

CELSIUS = (-40.0, 0.0, 27.0, 85.0, 125.0)
"""Temperatures [degC]."""
OHMIC = 0.05
"""Drain voltage of the transfer curves [V]."""
THRESHOLD = 1e-8
"""Current that defines the threshold, for equal width and length [A]."""
_POINTS = 61
_ZERO_CELSIUS = 273.15
_CORNER = "ff over tt over ss"


@dataclass(frozen=True)
class Transfer:
    """A transfer curve at a small drain voltage.

    Attributes:
        gate: magnitude of the gate voltage `(n,)` [V].
        current: magnitude of the drain current `(n,)` [A].
        threshold: gate voltage at which the current is `THRESHOLD` times width over length, magnitude [V].
    """

    gate: FloatArray
    current: FloatArray
    threshold: float

    @property
    def gain(self) -> float:
        """Largest transconductance [S]."""
        return float(np.gradient(self.current, self.gate).max())

    @property
    def leakage(self) -> float:
        """Current at zero gate voltage [A]."""
        return float(self.current[0])


def transfer(subject: TransistorSubject, pins: Pins) -> Transfer:
    """The transfer curve at the drain voltage `OHMIC`."""
    sign = sign_of(subject.placed)

    def current(gate: FloatArray) -> FloatArray:
        volts = np.zeros((len(gate), 4))
        volts[:, 0], volts[:, 1] = OHMIC, gate
        return np.abs(pins.at(sign * volts)[0][:, 0])

    gate = np.linspace(0.0, subject.supply, _POINTS)
    found = current(gate)
    wanted = THRESHOLD * subject.element.value("w") / subject.element.value("l")
    k = int(np.argmax(found > wanted))
    if k == 0:  # on already without a gate voltage, or never
        return Transfer(gate, found, float("nan"))
    at = brentq(lambda v: float(current(np.array([v]))[0]) - wanted, gate[k - 1], gate[k], xtol=1e-6)
    return Transfer(gate, found, float(at))


def measure(subject: TransistorSubject, session: Session, findings: Findings) -> None:
    """Transfer curves from -40 to 125 degC, against level 1 by hand where the card is of level 1."""
    curves, errors = {}, {}
    body = grid(subject, 0.2 * subject.supply)
    shape = subject.element.value("w") / subject.element.value("l") * subject.element.value("m")
    for celsius in CELSIUS:
        pins = Pins(session, subject.placed, celsius)
        curves[celsius] = transfer(subject, pins)
        if subject.name in LEVEL1:
            numbers = at_temperature(LEVEL1[subject.name], celsius + _ZERO_CELSIUS)
            wanted = level1_current(numbers, shape, body)
            errors[celsius] = float(np.abs(pins.at(body)[0][:, 0] - wanted).max() / np.abs(wanted).max())
    sheet = findings.sheet
    if errors:
        sheet.add("temperatures against formula", max(errors.values()))
    else:
        sheet.skip("temperatures against formula", "the card's equations have no closed form")
    thresholds = np.array([curves[c].threshold for c in CELSIUS])
    kelvin = np.array(CELSIUS) + _ZERO_CELSIUS
    sheet.add("threshold over temperature", float((np.diff(thresholds) / np.diff(kelvin)).max()))
    gains = np.array([curves[c].gain for c in CELSIUS])
    sheet.add("exponent of the gain over temperature", float(np.polyfit(np.log(kelvin), np.log(gains), 1)[0]))
    sheet.add("leakage at 125 over that at -40 degC", curves[125.0].leakage / curves[-40.0].leakage)
    rows = [
        (f"{c:g}".replace("-", "−"), number(curves[c].threshold, 4), number(curves[c].gain, 4),
         number(curves[c].leakage, 3), number(errors[c], 2) if c in errors else "–")
        for c in CELSIUS
    ]  # fmt: skip
    lines = [Line(t.gate, t.current, f"{c:g} °C".replace("-", "−")) for c, t in curves.items()]
    floored = [Line(t.gate, t.current + 1e-15, "") for t in curves.values()]
    axes = ("magnitude of the gate voltage", "V"), ("drain current", "A")
    findings.add(
        "Temperature",
        Text(
            f"Transfer curves at a drain voltage of {OHMIC:g} V. As the temperature rises, the threshold "
            f"({THRESHOLD:g} A times width over length) falls, the gain falls with the mobility, and the "
            "current at zero gate voltage grows: the largest slope of the first, the exponent of the second "
            "and the ratio of the third are specified. The last column is the largest difference of the "
            "families of curves from the equations of level 1."
        ),
        Drawing(
            figure("temperature", "Transfer curves at several temperatures",
                   [Panel(lines, *axes), Panel(floored, *axes, log_y=True)], 2.9),
            "Drain current over gate voltage at several temperatures, linear and logarithmic.",
        ),
        Grid(("temperature [°C]", "threshold [V]", "gain [S]", "leakage [A]", "from the formula"), rows),
    )  # fmt: skip


def corners(subject: TransistorSubject, session: Session, findings: Findings) -> None:
    """Currents at the slow, the nominal and the fast corner of the process, in this order."""
    if not subject.corners:
        findings.sheet.skip(_CORNER, "the card has no corners")
        return
    element = subject.placed
    cards: Mapping[str, Element] = {
        "ss": replace(element, model=subject.corners["ss"]), "tt": element,
        "ff": replace(element, model=subject.corners["ff"]),
    }  # fmt: skip
    full = sign_of(element) * subject.supply * np.array([[1.0, 1.0, 0.0, 0.0]])
    rows, currents, lines = [], [], []
    for name, placed in cards.items():
        pins = Pins(session, placed)
        curve = transfer(subject, pins)
        currents.append(float(np.abs(pins.at(full)[0][0, 0])))
        rows.append((name, number(currents[-1], 4), number(curve.threshold, 4), number(curve.leakage, 3)))
        lines.append(Line(curve.gate, curve.current, name))
    findings.sheet.add(_CORNER, min(currents[1] / currents[0], currents[2] / currents[1]))
    findings.add(
        "Corners",
        Text(
            "The slow, the nominal and the fast corner of the process. Specified is the smallest ratio of "
            "the on-currents of two successive ones."
        ),
        Drawing(
            figure("corners", "Transfer curves at the corners",
                   [Panel(lines, ("magnitude of the gate voltage", "V"), ("drain current", "A"))], 2.7),
            f"Drain current over gate voltage at a drain voltage of {OHMIC:g} V.",
        ),
        Grid(("corner", "on-current [A]", "threshold [V]", "leakage [A]"), rows),
    )  # fmt: skip
