"""Device validation finds faults: in parameters, in what ngspice simulates, and in the declaration itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bridge.errors import SimulationError
from bridge.ngspice.session import Session
from bridge.validation.devices import (
    corners,
    figures,
    fit,
    fractional,
    gradient,
    hysteresis,
    transistor,
    two_terminals,
)
from bridge.validation.devices.command import validate_devices
from bridge.validation.devices.content import Findings
from bridge.validation.devices.integration import Drive, integrate
from bridge.validation.devices.references import transistors as level1
from bridge.validation.devices.registry import subject
from bridge.validation.devices.run import validate
from bridge.validation.devices.specification import sheet_for
from bridge.validation.devices.subjects import (
    FractionalSubject,
    MemristorSubject,
    TransistorSubject,
    TwoTerminalSubject,
)
from circuits.devices.base import State
from circuits.devices.memristors.base import Memristor


def oblea(**values: float) -> MemristorSubject:
    found = subject("yakopcic:oblea", values)
    assert isinstance(found, MemristorSubject)
    return found


def reversed_rate(device: Memristor) -> Memristor:
    """The device with the sign of its first state's rate wrong."""
    first, *rest = device.states
    return replace(device, states=(State(first.name, -first.rate, first.initial, first.scale), *rest))


def misses(tested: MemristorSubject, session: Session) -> set[str]:
    """Specifications of the cycle that fail."""
    findings = Findings(sheet_for("memristor", tested.name))
    try:
        found = hysteresis.measure(tested, session, findings)
    except SimulationError:
        return {"no result"}
    figures.measure(tested, found, findings)
    corners.power(found, findings)
    return {s.name for s in findings.sheet.found if not s.passed}


def test_the_published_device_passes(session: Session) -> None:
    outcome = validate(oblea(), session)
    assert outcome.passed, [s for s in outcome.specifications if not s.passed]
    found = {s.name: s.value for s in outcome.specifications}
    assert found["published peak current"] == pytest.approx(3.42e-3, rel=0.01)
    assert found["current against integration"] < 1e-4
    assert found["gradient error"] < 5e-4


def test_a_wrong_parameter_misses_the_published_peak(session: Session) -> None:
    assert "published peak current" in misses(oblea(a1=0.8 * 0.17), session)


@pytest.mark.parametrize("fault", ["rate", "law", "factor"])
def test_a_fault_in_the_simulated_device_is_found(session: Session, fault: str) -> None:
    """The reference integrates its own equations, whatever ngspice was given."""
    good = oblea()
    law = good.device.law
    assert law is not None
    wrong = {
        "rate": reversed_rate(good.device),
        "law": replace(good.device, law=-law),
        "factor": replace(good.device, law=1.01 * law),
    }[fault]
    found = misses(replace(good, simulated=wrong), session)
    assert "current against integration" in found or found == {"no result"}


def test_a_wrong_sign_in_the_declaration_is_found(session: Session) -> None:
    """Simulation and reference then agree: the published sense of the loop and the peak do not."""
    for name in ("yakopcic:oblea", "vteam:memtorch"):
        good = subject(name)
        assert isinstance(good, MemristorSubject)
        found = misses(replace(good, device=reversed_rate(good.device)), session)
        assert "sense of the loop" in found or found == {"no result"}, name
    flipped = oblea()
    assert flipped.device.law is not None
    negative = replace(flipped.device, law=-flipped.device.law)
    assert {"least power", "energy of a cycle"} <= misses(replace(flipped, device=negative), session)


def test_a_device_at_another_temperature_starts_in_balance_with_it() -> None:
    """The filament's second state is a rise above the ambient; a device may as well state its temperature."""
    found = subject("filament")
    assert isinstance(found, MemristorSubject)
    assert corners.at_rest(found, 350.0) == {**found.values, "ambient": 350.0, "rise0": 0.0}
    gap, rise = found.device.states
    ambient = found.device.parameters[found.device.index("ambient")].symbol
    whole = replace(rise, rate=rise.rate.xreplace({rise.symbol: rise.symbol - ambient}))
    absolute = replace(found, device=replace(found.device, states=(gap, whole)))
    assert corners.at_rest(absolute, 350.0)["rise0"] == 350.0


def test_measured_data_is_fitted(session: Session) -> None:
    """Data of other parameters: the fit returns to them within its own standard errors."""
    true = oblea(a1=0.2, vp=0.18, ap=3000.0)
    drive = hysteresis.cycle(true.published.stimulus)
    times = drive.times[::40]
    exact = integrate(true.device, true.values, drive, times)
    noise = np.random.default_rng(0).normal(0.0, 0.002 * exact.peak, len(times))
    data = fit.Measured("made", times, drive(times), exact.i + noise)
    tested = replace(oblea(), values={**oblea().values})
    result = fit.fit(tested, data)
    assert result.after < 0.01 < 0.05 < result.before
    errors = dict(zip(result.names, result.errors, strict=True))
    for name in ("ap", "vp"):
        assert abs(result.values[name] - true.values[name]) < max(5 * errors[name], 0.02 * true.values[name])
    product = result.values["a1"] * result.values["b"]  # sinh is nearly linear here: only this is known
    assert product == pytest.approx(0.2 * 0.05, rel=0.02)


def knowm_data(
    timed: bool = True, **values: float
) -> tuple[MemristorSubject, fit.Measured, dict[str, float]]:
    """Exact currents of Knowm's device with some other values, over its published cycle."""
    found = subject("knowm_mms")
    assert isinstance(found, MemristorSubject)
    true = {**found.values, **values}
    time = np.linspace(0.0, 0.01, 81)
    drive = Drive(time, 0.5 * np.sin(2 * np.pi * time / 0.01))
    exact = found.reference(drive, time, true)
    return found, fit.Measured("made", time if timed else None, drive(time), exact.i), true


@pytest.mark.parametrize("timed", [True, False])
def test_a_start_of_value_zero_is_fitted(timed: bool) -> None:
    """Held at zero it would take the temperature and the thresholds with it."""
    found, data, true = knowm_data(timed, x0=0.5)
    assert found.values["x0"] == 0.0
    result = fit.fit(found, data)
    assert set(result.names) == set(true)
    for name, value in true.items():
        assert result.values[name] == pytest.approx(value, rel=1e-3), name
    assert result.after < 1e-5 < result.before
    assert np.isfinite(result.errors).all()
    assert not result.bound
    assert not result.held


def test_a_parameter_at_its_bound_is_named() -> None:
    """Data of a state that starts at its end, and of a temperature below the device's least."""
    found, data, _ = knowm_data(x0=1.0, temperature=300.0)
    lowest = [replace(p, lower=320.0) if p.name == "temperature" else p for p in found.device.parameters]
    tested = replace(found, device=replace(found.device, parameters=tuple(lowest)),
                     values={**found.values, "temperature": 330.0})  # fmt: skip
    result = fit.fit(tested, data)
    assert "temperature" in result.bound
    assert result.bound["temperature"] == pytest.approx(320.0, rel=1e-3)


def test_parameters_that_undo_each_other_are_named() -> None:
    """`sinh` is nearly linear at 0.45 V: only the product of size and curvature shows."""
    columns = np.array([[1.0, 1.0, 0.0], [2.0, 2.001, 1.0], [3.0, 3.0, -2.0]])
    ((one, other, cosine),) = fit._alike(("a1", "b", "vp"), columns)
    assert {one, other} == {"a1", "b"}
    assert cosine > 0.999
    dead = fit._errors(np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 0.0]]), np.array([0.1, -0.1, 0.1]))
    assert np.isfinite(dead[0])
    assert np.isinf(dead[1])


@pytest.mark.parametrize("name", ["capacitor", "tanh_inductor", "diode"])
def test_a_two_terminal_against_its_formula(session: Session, name: str) -> None:
    good = subject(name)
    assert isinstance(good, TwoTerminalSubject)
    findings = Findings(sheet_for("two-terminal", name))
    two_terminals.validate(good, session, findings)
    assert all(s.passed for s in findings.sheet.found), findings.sheet.found
    wrong = replace(good, formula=lambda v, u, du, flux: -good.formula(v, u, du, flux))
    failed = Findings(sheet_for("two-terminal", name))
    two_terminals.validate(wrong, session, failed)
    assert not failed.sheet.found[0].passed


def test_a_fractional_memristor_against_its_ladders(session: Session) -> None:
    good = subject("cubic_fractional_memristor")
    assert isinstance(good, FractionalSubject)
    drive = fractional.sine(good)
    times = np.linspace(0.0, drive.duration, 400)[1:]
    right = fractional.reference(good, drive, times)
    bent = replace(good, element=good.element.replace(cubic=-1e7))
    assert np.abs(right - fractional.reference(bent, drive, times)).max() > 0.05 * np.abs(right).max()
    findings = Findings(sheet_for("fractional", good.name))
    fractional.validate(good, session, findings)
    assert all(s.passed for s in findings.sheet.found), findings.sheet.found


@pytest.mark.parametrize("name", ["nmos_level1", "pmos_level1"])
def test_level_1_against_its_equations(session: Session, name: str) -> None:
    good = subject(name)
    assert isinstance(good, TransistorSubject)
    sign = 1.0 if name.startswith("n") else -1.0
    numbers, shape = level1.LEVEL1[name], good.element.value("w") / good.element.value("l")
    saturated = level1.level1_current(numbers, shape, sign * np.array([[3.0, 2.0, 0.0, 0.0]]))
    assert saturated[0] == pytest.approx(sign * 0.5e-3 * 1.5**2 * (1 + 0.05 * 3.0))
    findings = Findings(sheet_for("transistor", name))
    transistor.validate(good, session, findings)
    assert all(s.passed for s in findings.sheet.found), findings.sheet.found


def test_the_gradient_check_covers_every_parameter_of_the_laws() -> None:
    result = gradient.memristor(oblea())
    named = {p.removeprefix("x.") for p in result.parameters}
    assert set(oblea().values) <= named
    assert result.exit_status == 0
    assert result["adjoint"].passed


def test_the_command_writes_reports_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("conductance: 2mS\nspecifications:\n  energy of a cycle: {maximum: 1e-12}\n")
    status = validate_devices("resistor", parameters=file, as_json=True, out=tmp_path / "out")
    printed = json.loads(capsys.readouterr().out)
    assert status == 1
    assert set(printed) == {"device", "specifications", "pass", "report"}
    failed = [s for s in printed["specifications"] if not s["pass"]]
    assert [s["name"] for s in failed] == ["energy of a cycle"]
    assert set(failed[0]) == {"name", "value", "minimum", "maximum", "unit", "pass"}
    assert failed[0]["value"] == pytest.approx(0.5 * 2e-3 * 1e-6, rel=1e-3)
    report = Path(printed["report"])
    assert "FAIL" in report.read_text()
    assert "| energy of a cycle |" in report.with_suffix(".md").read_text()
    some = validate_devices(
        None, everything=True, as_json=True, out=tmp_path / "out", chosen=["resistor", "diode"]
    )
    assert some == 0
    printed = capsys.readouterr()
    assert [d["pass"] for d in json.loads(printed.out)] == [True, True]
    told = sorted(line.split("] ")[1] for line in printed.err.splitlines())
    assert told == ["diode: pass", "resistor: pass"]
    assert printed.err.startswith("[1/2] ")
    assert (tmp_path / "out" / "index.html").exists()
