"""Transistors: currents against the equations of level 1, reported small-signal parameters, power."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bridge.dynamics import DynamicPlan
from bridge.estimators.base import DynamicBatch
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice.drives import constant
from bridge.ngspice.session import Circuit, Session
from bridge.report.text import number
from bridge.validation.devices import gradient
from bridge.validation.devices.content import Code, Drawing, Findings, Grid, Text
from bridge.validation.devices.plots import Line, Panel, figure
from bridge.validation.devices.subjects import TransistorSubject
from bridge.validation.gradcheck import GradcheckResult
from circuits.devices.base import Element
from circuits.devices.mosfet_linear import level
from circuits.devices.passive import capacitor, resistor
from circuits.devices.sources import voltage_source
from circuits.netlist import build_deck
from circuits.network import Drive as Driven
from circuits.network import Network, Output

FloatArray = NDArray[np.float64]

GATES, DRAINS = 6, 26
STEP = 1e-4
"""How far a terminal is moved for the differences of the current [V]."""
FLOOR = 1e-3
"""Derivatives below this share of the largest one are compared with that share."""
LEAST = 1e-4
"""The same as a share of the largest transconductance, for transistors without body effect."""
_PINS = "dgsb"
_ACROSS = {"gm": "g", "gds": "d", "gmbs": "b"}


class Pins:
    """A transistor with an ideal voltage source at every terminal, loaded in this process."""

    def __init__(self, session: Session, element: Element) -> None:
        """Load the circuit."""
        sources = [voltage_source(f"pin{t}", t, driven=True) for t in _PINS]
        network = Network(
            "pins", (*sources, element), tuple(Driven(s.name, k) for k, s in enumerate(sources))
        )
        inner = tuple(f"@m{element.name}[{name}]" for name in _ACROSS)
        saves = (*(f"i(vpin{t})" for t in _PINS), *inner)
        self.circuit: Circuit = session.load(build_deck(network, nudges=False, saves=saves))

    def at(self, volts: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Currents into d, g, s, b `(n, 4)` [A] and `gm gds gmbs` `(n, 3)` [S] at voltages `(n, 4)` [V]."""
        rows = np.array([self.circuit.operating_point([constant(v)]) for v in volts])
        return -rows[:, :4], rows[:, 4:]


def level1_current(element: Element, volts: FloatArray) -> FloatArray:
    """Drain current [A] by the equations of Shichman and Hodges, with drain and source exchanged if needed.

    Args:
        element: an n- or p-channel transistor of level 1.
        volts: of d, g, s, b, `(n, 4)` [V].

    Source: IEEE J. Solid-State Circuits 3, 285 (1968).
    """
    assert element.model is not None
    card = element.model
    sign = -1.0 if card.kind.lower() == "pmos" else 1.0
    d, g, s, b = sign * volts.T
    vds, flip = np.abs(d - s), np.where(d >= s, 1.0, -1.0)
    low = np.minimum(d, s)
    phi, gamma = card.get("phi", 0.6), card.get("gamma", 0.0)
    vbs = b - low
    root = np.where(vbs <= 0.0, np.sqrt(np.maximum(phi - vbs, 0.0)), np.sqrt(phi) - vbs / (2 * np.sqrt(phi)))
    threshold = sign * card.get("vto", 0.0) + gamma * (np.maximum(root, 0.0) - np.sqrt(phi))
    over = g - low - threshold
    beta = card.get("kp", 2e-5) * element.value("w") / element.value("l") * element.value("m")
    ohmic = np.minimum(vds, over)
    current = beta * ohmic * (over - ohmic / 2) * (1.0 + card.get("lambda", 0.0) * vds)
    return np.asarray(sign * flip * np.where(over > 0.0, current, 0.0))


def grid(subject: TransistorSubject, bulk: float = 0.0) -> FloatArray:
    """Voltages of d, g, s, b: families of gate voltages over drain voltages, `(GATES DRAINS, 4)` [V]."""
    sign = _sign(subject)
    gates, drains = np.linspace(0.0, subject.supply, GATES), np.linspace(0.0, subject.supply, DRAINS)
    g, d = (m.ravel() for m in np.meshgrid(gates, drains, indexing="ij"))
    zero = np.zeros_like(g)
    return sign * np.stack([d, g, zero, zero - bulk], axis=1)


def _sign(subject: TransistorSubject) -> float:
    assert subject.element.model is not None
    return -1.0 if subject.element.model.kind.lower() == "pmos" else 1.0


def validate(subject: TransistorSubject, session: Session, findings: Findings) -> None:
    """Measure everything."""
    element, sheet = subject.element, findings.sheet
    assert element.model is not None
    findings.add("Card", Text(subject.source), Code(element.model.line(), "spice"))
    pins = Pins(session, element)
    volts = grid(subject)
    currents, _ = pins.at(volts)
    drain = currents[:, 0]
    largest = float(np.abs(drain).max())
    reference: FloatArray | None = None
    body = grid(subject, 0.2 * subject.supply)
    if level(element) == 1:
        reference = level1_current(element, volts)
        with_body = pins.at(body)[0][:, 0]
        error = max(
            float(np.abs(drain - reference).max()),
            float(np.abs(with_body - level1_current(element, body)).max()),
        )
        sheet.add("drain current against formula", error / largest)
    _small_signal(subject, pins, findings)
    _symmetry(pins, volts, drain, findings)
    on = np.abs(drain).reshape(GATES, DRAINS)
    sheet.add("current falls with gate voltage", float(max(0.0, -(np.diff(on, axis=0)).min()) / largest))
    sheet.add("on-off ratio", float(on[-1, -1] / max(on[0, -1], 1e-30)))
    power = (volts * currents).sum(axis=1)
    sheet.add("least power", float(power.min() / np.abs(power).max()))
    _families(subject, volts, drain, reference, findings)
    findings.add("Temperature", Text("The card is used at 27 °C, the simulator's temperature."))
    gradient.report(
        _gradient(subject), findings, "A common-source stage with a resistive and capacitive load."
    )


def _small_signal(subject: TransistorSubject, pins: Pins, findings: Findings) -> None:
    sign = _sign(subject)
    shares = np.array([(d, g, b) for d in (0.3, 0.6, 0.95) for g in (0.35, 0.6, 0.9) for b in (0.0, 0.2)])
    volts = np.zeros((len(shares), 4))
    volts[:, 0], volts[:, 1], volts[:, 3] = (shares * subject.supply * np.array([1.0, 1.0, -1.0])).T * sign
    _, reported = pins.at(volts)
    rows, largest = [], 0.0
    for k, (name, pin) in enumerate(_ACROSS.items()):
        moved = np.zeros(4)
        moved[_PINS.index(pin)] = STEP
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
    element, sign = subject.element, _sign(subject)
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
    sign = _sign(subject)
    point = sign * subject.supply * np.array([[0.6, 0.6, 0.0, 0.0]])
    found = Pins(Session(), subject.element).at(point)[0]
    return float(found[0, 0])
