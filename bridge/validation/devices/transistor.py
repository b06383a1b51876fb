"""Transistors: currents against the equations of level 1, reported small-signal parameters, power."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bridge.dynamics import DynamicPlan
from bridge.estimators.base import DynamicBatch
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice.session import Session
from bridge.report.text import number, quantity
from bridge.validation.devices import gradient, transistor_temperature
from bridge.validation.devices.content import Code, Drawing, Findings, Grid, Text
from bridge.validation.devices.pins import ACROSS, DRAINS, GATES, PINS, Pins, grid, sign_of
from bridge.validation.devices.plots import Line, Panel, figure
from bridge.validation.devices.references.transistors import CARDS, LEVEL1, VERSIONS, level1_current
from bridge.validation.devices.specification import Limit, Sheet
from bridge.validation.devices.subjects import TransistorSubject
from bridge.validation.gradcheck import GradcheckResult
from circuits.devices.mosfet_linear import level
from circuits.devices.passive import capacitor, resistor
from circuits.devices.sources import voltage_source
from circuits.network import Drive as Driven
from circuits.network import Network, Output

FloatArray = NDArray[np.float64]

STEP = 1e-4
"""How far a terminal is moved for the differences of the current [V]."""
FLOOR = 1e-3
"""Derivatives below this share of the largest one are compared with that share."""
LEAST = 1e-4
"""The same as a share of the largest transconductance, for transistors without body effect."""


def validate(subject: TransistorSubject, session: Session, findings: Findings) -> None:
    """Measure everything."""
    element, placed, sheet = subject.element, subject.placed, findings.sheet
    assert element.model is not None
    findings.add("Card", Text(subject.source), Code(element.model.line(), "spice"))
    published(subject, findings)
    pins = Pins(session, placed)
    volts, drain, reference = compare(subject, pins, sheet)
    largest = float(np.abs(drain).max())
    if subject.name == "ald1106":
        _data_sheet(pins, findings)
    _small_signal(subject, pins, findings)
    _symmetry(pins, volts, drain, findings)
    on = np.abs(drain).reshape(GATES, DRAINS)
    sheet.add("current falls with gate voltage", float(max(0.0, -(np.diff(on, axis=0)).min()) / largest))
    sheet.add("on-off ratio", float(on[-1, -1] / max(on[0, -1], 1e-30)))
    power = (volts * pins.at(volts)[0]).sum(axis=1)
    sheet.add("least power", float(power.min() / np.abs(power).max()))
    _families(subject, volts, drain, reference, findings)
    transistor_temperature.measure(subject, session, findings)
    transistor_temperature.corners(subject, session, findings)
    gradient.report(
        _gradient(subject), findings, "A common-source stage with a resistive and capacitive load."
    )


def compare(
    subject: TransistorSubject, pins: Pins, sheet: Sheet
) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Families of curves: voltages `(n, 4)` [V], drain currents `(n,)` [A] and those of level 1 by hand."""
    volts, body = grid(subject), grid(subject, 0.2 * subject.supply)
    drain = pins.at(volts)[0][:, 0]
    numbers = LEVEL1.get(subject.name)
    if numbers is None:
        sheet.skip("drain current against formula", "the card's equations have no closed form")
        return volts, drain, None
    shape = subject.element.value("w") / subject.element.value("l") * subject.element.value("m")
    reference = level1_current(numbers, shape, volts)
    off = [drain - reference, pins.at(body)[0][:, 0] - level1_current(numbers, shape, body)]
    error = max(float(np.abs(o).max()) for o in off) / float(np.abs(reference).max())
    sheet.add("drain current against formula", error)
    return volts, drain, reference


def published(subject: TransistorSubject, findings: Findings) -> None:
    """The card against numbers that are written without it."""
    card = subject.element.model
    assert card is not None
    table = {k: v for k, v in LEVEL1.get(subject.name, CARDS.get(subject.name, {})).items() if k != "sign"}
    rows, wrong = [], 0
    for name, wanted in table.items():
        value = card.get(name, float("nan"))
        same = abs(value - wanted) <= 1e-9 * abs(wanted)
        wrong += not same
        rows.append((name, number(wanted, 8), number(value, 8), "as published" if same else "DIFFERS"))
    version = VERSIONS.get(subject.name)
    if version is not None:
        same = version in getattr(card, "words", ())
        wrong += not same
        rows.append(("version", version, " ".join(getattr(card, "words", ())) or "–",
                     "as published" if same else "DIFFERS"))  # fmt: skip
    findings.sheet.add("parameters of the publication", wrong)
    findings.add(
        "Parameters of the publication",
        Text("Numbers that were typed from the source a second time, and what the card has."),
        Grid(("parameter", "table", "card", "verdict"), rows, False),
    )


def _data_sheet(pins: Pins, findings: Findings) -> None:
    """Typical values of the ALD1106's data sheet, measured as it does."""

    def at(drain: float, gate: float) -> float:
        return float(pins.at(np.array([[drain, gate, 0.0, 0.0]]))[0][0, 0])

    resistance = 0.1 / at(0.1, 5.0)
    low, high = np.sqrt(at(2.0, 2.0)), np.sqrt(at(2.0, 2.5))
    threshold = 2.0 - 0.5 * low / (high - low)
    slope = (at(5.0 + STEP, 3.0) - at(5.0 - STEP, 3.0)) / (2 * STEP) / at(5.0, 3.0)
    rows = []
    for name, value, wanted, unit, where in (
        ("on-resistance", resistance, 350.0, "Ohm", "5 V on the gate, 0.1 V on the drain"),
        ("threshold", threshold, 0.7, "V", "root of the saturated current, extrapolated"),
        ("output conductance over current", slope, 200e-6 / 10e-3, "1/V", "5 V, 200 uS at 10 mA"),
    ):
        limit = Limit(0.99 * wanted, wanted, 1.01 * wanted, unit, f"data sheet, typical: {where}")
        findings.sheet.add(f"published {name}", value, limit)
        rows.append((name, quantity(wanted, unit), quantity(value, unit), where))
    findings.add(
        "Data sheet",
        Text("Typical values of the ALD1106/ALD1116 data sheet, and the same measurements in ngspice."),
        Grid(("quantity", "data sheet", "ngspice", "at"), rows, False),
    )


def _small_signal(subject: TransistorSubject, pins: Pins, findings: Findings) -> None:
    sign = sign_of(subject.element)
    shares = np.array([(d, g, b) for d in (0.3, 0.6, 0.95) for g in (0.35, 0.6, 0.9) for b in (0.0, 0.2)])
    volts = np.zeros((len(shares), 4))
    volts[:, 0], volts[:, 1], volts[:, 3] = (shares * subject.supply * np.array([1.0, 1.0, -1.0])).T * sign
    _, reported = pins.at(volts)
    rows, largest = [], 0.0
    for k, (name, pin) in enumerate(ACROSS.items()):
        moved = np.zeros(4)
        moved[PINS.index(pin)] = STEP
        measured = (pins.at(volts + moved)[0][:, 0] - pins.at(volts - moved)[0][:, 0]) / (2 * STEP)
        size = float(np.abs(measured).max())
        largest = max(largest, size)  # gm comes first
        floor = np.maximum(np.abs(measured), max(FLOOR * size, LEAST * largest))
        error = float((np.abs(reported[:, k] - measured) / floor).max())
        findings.sheet.add(name, error)
        rows.append((name, number(measured.min(), 4), number(measured.max(), 4), number(error, 2)))
    findings.add(
        "Small-signal parameters",
        Text(
            f"What ngspice reports at {len(volts)} biases against central differences of the drain current "
            f"with {STEP:g} V; the largest relative difference, where values below {FLOOR:g} of the largest "
            "one count as that."
        ),
        Grid(("parameter", "smallest [S]", "largest [S]", "difference"), rows),
    )


def _symmetry(pins: Pins, volts: FloatArray, drain: FloatArray, findings: Findings) -> None:
    """The same voltages with drain and source exchanged give the same channel current."""
    exchanged = pins.at(volts[:, [2, 1, 0, 3]])[0][:, 2]
    value = float(np.abs(exchanged - drain).max() / np.abs(drain).max())
    findings.sheet.add("exchange of drain and source", value)


def _families(
    subject: TransistorSubject,
    volts: FloatArray,
    drain: FloatArray,
    reference: FloatArray | None,
    findings: Findings,
) -> None:
    d, g, i = (a.reshape(GATES, DRAINS) for a in (volts[:, 0], volts[:, 1], drain))
    output = [Line(d[k], i[k], f"{g[k, 0]:.3g} V".replace("-", "−"), "-", k) for k in range(GATES)]
    if reference is not None:
        r = reference.reshape(GATES, DRAINS)
        output += [Line(d[k, ::3], r[k, ::3], "", "o", k) for k in range(GATES)]
    words = "Lines: ngspice." + (" Points: the equations of level 1." if reference is not None else "")
    findings.add(
        "Families of curves",
        Drawing(
            figure(
                "families", "Drain current over drain and gate voltage",
                [
                    Panel(output, ("drain voltage", "V"), ("drain current", "A"), title="by gate voltage"),
                    Panel(
                        [Line(np.abs(g[:, -1]), np.abs(i[:, -1]) + 1e-15, "", "o-")],
                        ("magnitude of the gate voltage", "V"), ("drain current", "A"), log_y=True,
                    ),
                ],
                3.0,
            ),
            words,
        ),
    )  # fmt: skip


def _gradient(subject: TransistorSubject) -> GradcheckResult:
    element, sign = subject.element, sign_of(subject.element)
    assert element.model is not None
    volts = grid(subject)
    current = abs(float(_estimate(subject, volts)))
    supply = sign * subject.supply
    load = resistor("load", "rail", "d", conductance=max(current / subject.supply, 1e-9))
    duration = 1e-6
    names = ["w"] if level(element) == 1 else []
    network = Network(
        "stage",
        (
            voltage_source("drive", "in", driven=True),
            voltage_source("bias", "g", "in", dc=0.6 * supply),
            voltage_source("rail", "rail", dc=supply),
            voltage_source("bulk", "b", dc=0.0),
            voltage_source("source", "s", dc=0.0),
            load,
            capacitor("cl", "d", "0", capacitance=load.value("conductance") * 0.05 * duration),
            element,
        ),
        (Driven("drive", 0),),
        (Output("d"),),
        (
            *gradient.trainable(load, ["conductance"]),
            *gradient.trainable(element, names),
            *gradient.trainable(voltage_source("bias", "g", "in", dc=0.0), ["dc"]),
        ),
    )
    times = np.linspace(0.0, duration, 4001)
    volts_in = 0.2 * subject.supply * np.sin(2.0 * np.pi * times / duration)
    plan = DynamicPlan(network, duration, duration / gradient.STEPS, options=gradient.OPTIONS)
    target = 0.5 * supply * (1.0 + 0.3 * np.cos(2.0 * np.pi * times / duration))
    batch = DynamicBatch(times, volts_in[None, :, None], [target[:, None]])
    return gradient.run(plan, batch, WaveformMSE(times))


def _estimate(subject: TransistorSubject, volts: FloatArray) -> float:
    """A current [A] of the stage's size: the transistor's at 0.6 of the supply at gate and drain."""
    sign = sign_of(subject.element)
    point = sign * subject.supply * np.array([[0.6, 0.6, 0.0, 0.0]])
    found = Pins(Session(), subject.placed).at(point)[0]
    return float(found[0, 0])
