"""Faults put into every shipped device: its report fails, whichever law, sign or parameter is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bridge.errors import SimulationError
from bridge.ngspice.session import Session
from bridge.validation.devices import fractional, hysteresis, memristor, transistor, two_terminals
from bridge.validation.devices import transistor_temperature as over_temperature
from bridge.validation.devices.bench import Bench
from bridge.validation.devices.content import Findings
from bridge.validation.devices.pins import Pins
from bridge.validation.devices.references import transistors as level1
from bridge.validation.devices.references.fractional import current
from bridge.validation.devices.references.memristors import EQUATIONS
from bridge.validation.devices.registry import names, subject
from bridge.validation.devices.run import validate
from bridge.validation.devices.specification import CLASSES, Limit, sheet_for
from bridge.validation.devices.subjects import (
    FractionalSubject,
    MemristorSubject,
    TransistorSubject,
    TwoTerminalSubject,
)
from circuits.devices.base import Element
from circuits.devices.memristors.base import Memristor

SHIPPED = {name: subject(name) for name in names()}
MEMRISTORS = [n for n, s in SHIPPED.items() if isinstance(s, MemristorSubject)]
TWO_TERMINALS = [n for n, s in SHIPPED.items() if isinstance(s, TwoTerminalSubject)]
FRACTIONAL = [n for n, s in SHIPPED.items() if isinstance(s, FractionalSubject)]
TRANSISTORS = [n for n, s in SHIPPED.items() if isinstance(s, TransistorSubject)]
LEVEL1 = [n for n in TRANSISTORS if n in level1.LEVEL1]


def failed(findings: Findings) -> set[str]:
    return {s.name for s in findings.sheet.found if not s.passed}


def findings_for(name: str) -> Findings:
    return Findings(sheet_for(SHIPPED[name].family, name))


# --- memristors --------------------------------------------------------------------------------------


def shipped(name: str) -> MemristorSubject:
    found = SHIPPED[name]
    assert isinstance(found, MemristorSubject)
    return found


def with_rate(device: Memristor, factor: float) -> Memristor:
    first, *others = device.states
    return replace(device, states=(replace(first, rate=factor * first.rate), *others))


def moved(tested: MemristorSubject) -> MemristorSubject:
    """Away from the ends of its range, where a state that moves the wrong way cannot move at all."""
    low, high = tested.device.bounds[0]
    start = tested.device.states[0].initial
    inside = float(np.clip(tested.values[start], 0.9 * low + 0.1 * high, 0.1 * low + 0.9 * high))
    return replace(tested, values={**tested.values, start: inside})


@pytest.mark.parametrize("fault", ["none", "law", "speed", "sign"])
@pytest.mark.parametrize("name", MEMRISTORS)
def test_a_wrong_declaration_of_a_memristor_fails(name: str, fault: str, session: Session) -> None:
    """The reference does not come from the declaration that ngspice simulates."""
    good = shipped(name) if fault != "sign" else moved(shipped(name))
    device = good.device
    assert device.law is not None
    assert good.equations is EQUATIONS[device.kind]
    wrong = {
        "none": device,
        "law": replace(device, law=2 * device.law),
        "speed": with_rate(device, 0.5),
        "sign": with_rate(device, -1.0),
    }[fault]
    findings = findings_for(name)
    try:
        hysteresis.compare(replace(good, device=wrong), session, findings.sheet)
    except SimulationError:
        assert fault != "none"  # the state runs away: no result, which fails the report
        return
    assert failed(findings) == (set() if fault == "none" else {"current against integration"})


@pytest.mark.parametrize("name", MEMRISTORS)
def test_every_changed_parameter_of_a_published_set_fails(name: str) -> None:
    good = shipped(name)
    findings = findings_for(name)
    memristor.published(good, findings)
    assert failed(findings) == set()
    for parameter, value in good.values.items():
        for changed in (1.1 * value if value else 0.1, value + 1e-6 * (abs(value) or 1.0)):
            other = findings_for(name)
            values = {**good.values, parameter: changed}
            memristor.published(replace(good, values=values), other)
            assert failed(other) == {"parameters of the publication"}, parameter
            given = findings_for(name)
            memristor.published(replace(good, values=values, given=frozenset([parameter])), given)
            assert failed(given) == set()  # the user's own value is compared with the equations alone


@pytest.mark.parametrize("name", ["filament:chen", "yakopcic:jo", "knowm_mms:knowm"])
def test_the_users_values_are_compared_with_the_equations(name: str, session: Session) -> None:
    parameter = {"filament:chen": "ear", "yakopcic:jo": "vn", "knowm_mms:knowm": "von"}[name]
    mine = subject(name, {parameter: 0.9 * shipped(name).values[parameter]})
    assert isinstance(mine, MemristorSubject)
    findings = findings_for(name)
    hysteresis.compare(mine, session, findings.sheet)
    memristor.published(mine, findings)
    assert failed(findings) == set()
    wrong = replace(mine, device=with_rate(mine.device, 1.1))
    other = findings_for(name)
    hysteresis.compare(wrong, session, other.sheet)
    assert failed(other) == {"current against integration"}


def test_a_whole_report_fails_on_a_wrong_declaration(session: Session) -> None:
    good = SHIPPED["exponential_diode"]
    assert isinstance(good, TwoTerminalSubject)
    law = good.device.law
    assert law is not None
    wrong = replace(good.element, device=replace(good.device, law=2 * law))
    outcome = validate(replace(good, element=wrong), session)
    missed = {s.name for s in outcome.specifications if not s.passed}
    assert missed == {f"{n} against formula" for n in ("current", "corners", "temperatures")}
    assert not outcome.passed


# --- two-terminals and fractional elements -------------------------------------------------------------


@pytest.mark.parametrize("name", TWO_TERMINALS)
def test_a_wrong_two_terminal_fails(name: str, session: Session) -> None:
    """In each of its parameters that the drive reaches, in the sign and in the size of its law."""
    good = SHIPPED[name]
    assert isinstance(good, TwoTerminalSubject)

    def error(placed: Element) -> float:
        drive, exact = two_terminals.drive_of(good)
        found = Bench(session, placed, drive.duration).run(drive, 2000, order=3)
        values = good.element.parameters
        return two_terminals._apart(found, lambda t: np.asarray(good.formula(values, *exact(t)), dtype=float))

    limit = CLASSES["two-terminal"]["current against formula"].maximum
    assert limit is not None
    assert error(good.element) < limit
    for p in good.element.device.parameters:
        value = good.element.value(p.name)
        if value and not (good.element.model is not None and not p.trainable):
            assert error(good.element.replace(**{p.name: 1.1 * value})) > limit, p.name
    if good.element.model is not None:  # the card that ngspice gets, not the values that the law has
        card = good.element.model
        twice = replace(card, parameters=tuple((k, 2 * v) for k, v in card.parameters))
        assert error(replace(good.element, model=twice)) > limit
    device = good.element.device
    for key in ("law", "charge"):
        expression = getattr(device, key)
        if device.compilable and expression is not None:
            for factor in (2, -1):
                wrong = replace(device, **{key: factor * expression})
                assert error(replace(good.element, device=wrong)) > limit, (key, factor)


@pytest.mark.parametrize("name", FRACTIONAL)
def test_a_wrong_fractional_element_fails(name: str, session: Session) -> None:
    """The simulated ladder, the law between two ladders, and each parameter."""
    good = SHIPPED[name]
    assert isinstance(good, FractionalSubject)
    drive = fractional.sine(good)
    bench = Bench(session, good.element, drive.duration)
    found = bench.run(drive, 4000)
    expected = fractional.reference(good, drive, found.time)
    assert fractional._apart(found, expected) < 1e-3
    element = good.element
    faults = [element.replace(**{p: 1.1 * v}) for p, v in element.parameters.items()
              if v and p not in ("sections", "low", "high")]  # fmt: skip
    device = element.device
    if isinstance(device, type(SHIPPED["cubic_fractional_memristor"].device)):
        assert device.transfer is not None
        assert device.transfer.law is not None
        for factor in (2, -1):
            transfer = replace(device.transfer, law=factor * device.transfer.law)
            faults.append(replace(element, device=replace(device, transfer=transfer)))
    faults.append(element.replace(sections=round(element.value("sections") / 2)))
    for wrong in faults:
        try:
            other = Bench(session, wrong, drive.duration).run(drive, 4000)
        except SimulationError:
            continue  # with the wrong sign it takes up energy without bound
        assert fractional._apart(other, fractional.reference(good, drive, other.time)) > 1e-3


def test_a_ladder_with_a_wrong_section_fails(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """One capacitance of the simulated ladder three tenths too large."""
    from circuits.devices import fractional as devices

    good = SHIPPED["fractional_element"]
    assert isinstance(good, FractionalSubject)
    right = devices.foster_sections

    def wrong(*band: float, **more: float) -> tuple[np.ndarray, np.ndarray]:
        resistances, capacitances = right(*band, **more)  # type: ignore[arg-type]
        capacitances[len(capacitances) // 2] *= 1.3
        return resistances, capacitances

    monkeypatch.setattr(devices, "foster_sections", wrong)
    drive = fractional.sine(good)
    found = Bench(session, good.element, drive.duration).run(drive, 8000)
    assert fractional._apart(found, fractional.reference(good, drive, found.time)) > 2e-3


def test_the_exact_solution_of_a_ladder_is_that_of_an_integrator() -> None:
    """Against LSODA, which a ladder of few sections allows."""
    from scipy.integrate import solve_ivp

    from bridge.validation.devices.integration import Drive
    from bridge.validation.devices.references.fractional import sections

    values = {"coefficient": 1e-6, "order": 0.4, "low": 1e5, "high": 1e8, "sections": 5.0}
    poles, residues, series = sections(1e5, 1e8, 5, 0.4)
    times = np.linspace(0.0, 1e-6, 401)
    drive = Drive(times, np.sin(2e6 * np.pi * times))

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        return -poles * y + residues * (float(drive(t)) - y.sum()) / series

    done = solve_ivp(slope, (0.0, 1e-6), np.zeros(5), method="LSODA", t_eval=times, rtol=1e-10, atol=1e-14,
                     max_step=2.5e-9)  # fmt: skip
    wanted = 1e-6 * (drive(times) - done.y.sum(axis=0)) / series
    np.testing.assert_allclose(current(values, drive, times), wanted, atol=1e-7 * np.abs(wanted).max())


# --- transistors -----------------------------------------------------------------------------------------


def transistor_subject(name: str) -> TransistorSubject:
    found = SHIPPED[name]
    assert isinstance(found, TransistorSubject)
    return found


def with_card(good: TransistorSubject, **factors: float) -> TransistorSubject:
    """A declared card of which some numbers are wrong by factors."""
    card = good.element.model
    assert card is not None
    numbers = tuple((k, v * factors.get(k, 1.0)) for k, v in card.parameters)
    return replace(good, element=replace(good.element, model=replace(card, parameters=numbers)))


@pytest.mark.parametrize("name", TRANSISTORS)
def test_every_changed_number_of_a_card_fails(name: str) -> None:
    good = transistor_subject(name)
    findings = findings_for(name)
    transistor.published(good, findings)
    assert failed(findings) == set()
    table = {**level1.LEVEL1.get(name, {}), **level1.CARDS.get(name, {})}
    assert len(table) > 4
    for key in (k for k, v in table.items() if k != "sign" and v):
        other = findings_for(name)
        transistor.published(with_card(good, **{key: 1.001}), other)
        assert failed(other) == {"parameters of the publication"}, key


def test_a_card_of_another_version_fails() -> None:
    for name in (n for n in TRANSISTORS if n in level1.VERSIONS):
        good = transistor_subject(name)
        card = replace(good.element.model, words=("version=4.8",))  # type: ignore[type-var, arg-type]
        findings = findings_for(name)
        transistor.published(replace(good, element=replace(good.element, model=card)), findings)
        assert failed(findings) == {"parameters of the publication"}


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (n, f) for n in LEVEL1 for f in ("none", "kp", "vto", "lambda", "gamma", "w")
        if level1.LEVEL1[n].get(f) != 0.0
    ],
)  # fmt: skip
def test_a_wrong_card_of_level_1_misses_the_equations(name: str, fault: str, session: Session) -> None:
    """Their numbers are written without the card."""
    good = transistor_subject(name)
    wrong = with_card(good, **{fault: 1.05})
    if fault == "w":
        wrong = replace(good, simulated=good.element.replace(w=1.05 * good.element.value("w")))
    findings = findings_for(name)
    transistor.compare(wrong, Pins(session, wrong.placed), findings.sheet)
    assert failed(findings) == (set() if fault == "none" else {"drain current against formula"})


def test_the_data_sheet_of_the_ald1106_is_measured(session: Session) -> None:
    good = transistor_subject("ald1106")
    for factors, missed in (
        ({}, set()),
        ({"kp": 1.05}, {"published on-resistance"}),
        ({"vto": 1.05}, {"published threshold"}),
        ({"lambda": 1.05}, {"published output conductance over current"}),
    ):
        findings = findings_for("ald1106")
        transistor._data_sheet(Pins(session, with_card(good, **factors).element), findings)
        assert failed(findings) >= missed
        assert bool(failed(findings)) == bool(missed)


@pytest.mark.parametrize("name", TRANSISTORS)
def test_a_transistor_without_its_temperature_fails(name: str, session: Session) -> None:
    """At the wrong nominal temperature, or at one temperature only, and with its corners exchanged."""
    good = transistor_subject(name)
    if name in level1.LEVEL1:
        card = good.element.model
        assert card is not None
        cold = replace(card, parameters=(*card.parameters, ("tnom", 60.0)))
        findings = findings_for(name)
        wrong = replace(good, simulated=replace(good.element, model=cold))
        over_temperature.measure(wrong, session, findings)
        assert "temperatures against formula" in failed(findings)
    if good.corners:
        swapped = {"ff": good.corners["ss"], "ss": good.corners["ff"]}
        findings = findings_for(name)
        over_temperature.corners(replace(good, corners=swapped), session, findings)
        assert failed(findings) == {"ff over tt over ss"}


def test_a_bsim_card_without_temperature_coefficients_fails(session: Session) -> None:
    for name in (n for n in TRANSISTORS if n in level1.CARDS):
        good = transistor_subject(name)
        still = with_card(good, ute=0.0, kt1=0.0, kt2=0.0, at=0.0, ua1=0.0, ub1=0.0, uc1=0.0, prt=0.0)
        findings = findings_for(name)
        over_temperature.measure(still, session, findings)
        assert "exponent of the gain over temperature" in failed(findings), name


# --- what is not measured ----------------------------------------------------------------------------------


def test_a_limit_that_nothing_measures_fails(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.validation.devices import specification

    limits = {**CLASSES["two-terminal"], "colour": Limit(0.0, None, 1.0)}
    monkeypatch.setitem(specification.CLASSES, "two-terminal", limits)  # type: ignore[arg-type]
    outcome = validate(subject("resistor"), session)
    assert [s.name for s in outcome.specifications if not s.passed] == ["colour"]
    sheet = sheet_for("two-terminal", "resistor")
    sheet.skip("colour", "it has none")
    assert "colour" not in sheet.unmeasured()
