"""Specifications, files of parameters and data, names of devices, reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sympy as sp

from bridge.errors import SpecError
from bridge.validation.devices.command import read_parameters, validate_devices
from bridge.validation.devices.content import Code, Grid, Outcome, Section, Text
from bridge.validation.devices.equations import formula
from bridge.validation.devices.fit import read_data
from bridge.validation.devices.hysteresis import at_zero, difference, lobe
from bridge.validation.devices.integration import Drive, Trajectory
from bridge.validation.devices.pulses import nonlinearity, pulse_drive
from bridge.validation.devices.registry import names, subject
from bridge.validation.devices.report import markdown, page, row
from bridge.validation.devices.specification import Limit, Specification, sheet_for
from circuits.devices.memristors import MEMRISTORS


def test_a_specification_holds_within_its_limits() -> None:
    limit = Limit(1.0, 1.5, 2.0, "V")
    assert [Specification("x", v, limit).passed for v in (0.9, 1.0, 2.0, 2.1)] == [False, True, True, False]
    assert not Specification("x", None, Limit()).passed
    assert not Specification("x", float("nan"), Limit()).passed
    assert Specification("x", float("inf"), Limit()).to_json()["value"] is None


def test_the_users_limits_replace_the_own() -> None:
    sheet = sheet_for("memristor", "yakopcic:oblea", {"order in the step": {"minimum": 0.5, "maximum": None}})
    assert sheet.add("order in the step", 0.7).passed
    assert "order in the step" not in sheet.unmeasured()
    sheet.skip("asymmetry", "why")
    assert "asymmetry" not in sheet.unmeasured()
    assert "pinched loop" in sheet.unmeasured()  # a limit that nothing has measured fails
    with pytest.raises(SpecError, match="above the maximum"):
        sheet_for("memristor", "x", {"asymmetry": {"minimum": 2.0, "maximum": 1.0}})


def test_every_shipped_device_has_a_name() -> None:
    known = names()
    assert len(set(known)) == len(known)
    for kind, device in MEMRISTORS.items():
        assert subject(kind).name == f"{kind}:{device.published[0].name}"
    for name in known:
        assert subject(name).name == name
    assert not [name for name in known if " " in name or "_" in name.partition(":")[2]]
    for spelling in ("dc-sweep", "dc_sweep", "dc sweep"):
        assert subject(f"stanford_pku:{spelling}").name == "stanford_pku:dc-sweep"
    with pytest.raises(SpecError, match="no device 'diod'"):
        subject("diod")
    with pytest.raises(SpecError, match="published parameters"):
        subject("yakopcic:nobody")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a9: 1\n", r":1: a9: .*no parameter 'a9'"),
        ("a1: 0.2\nvp: 3 Ohm\n", r":2: vp: .*ohms"),
        ("a1: 0.2\n# far off\nx0: 3\n", r"p.yaml:3: x0: 3 is outside of \[0, 1\]"),
        ("vp: -1V\n", r"p.yaml:1: vp: -1 V is outside of \[0, inf\] V"),
        ("base: nobody\n", "nobody"),
        ("base: miao\n", "the command line asks for 'oblea'"),
        ("- 1\n", ":1: must be a mapping"),
        ("specifications: {nothing: {maximum: 1}}\n", "is not measured"),
        ("specifications: {asymmetry: {most: 1}}\n", "must give minimum, maximum or both"),
        ("specifications: {asymmetry: {maximum: much}}\n", "must be a number"),
        ("a1: 1\na1: 2\n", "given twice"),
    ],
)
def test_a_wrong_file_of_parameters(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(text)
    with pytest.raises(SpecError, match=message) as caught:
        read_parameters(file, "yakopcic:oblea")
    assert "\n" not in str(caught.value)


def test_a_file_of_parameters(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("base: miao\na1: 200mA\nvp: 0.1V\nspecifications:\n  asymmetry: {maximum: 0.5}\n")
    given = read_parameters(file, "yakopcic")
    assert (given.base, given.values) == ("miao", {"a1": 0.2, "vp": 0.1})
    assert given.limits == {"asymmetry": {"maximum": 0.5}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("u,i\n1,2\n", ":1: the header is 'u,i'"),
        ("", "missing"),
        ("voltage,current\n" + "1,2\n" * 5, "5 points"),
        ("voltage,current\n1,2,3\n", ":2: 3 values for 2 columns"),
        ("voltage,current\n1,two\n", ":2: .*not numbers"),
        ("voltage,current\n1,nan\n", ":2: .*not finite"),
        ("time,voltage,current\n" + "0,1,2\n" * 12, ":3: the time does not increase"),
        ("voltage,current\n" + "1,0\n" * 12, "zero everywhere"),
    ],
)
def test_a_wrong_file_of_data(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "d.csv"
    file.write_text(text)
    with pytest.raises(SpecError, match=message):
        read_data(file)


def test_data_without_times_is_a_uniform_sweep(tmp_path: Path) -> None:
    file = tmp_path / "d.csv"
    file.write_text("Voltage, Current\n" + "".join(f"{k},{2 * k}\n" for k in range(11)))
    data = read_data(file)
    assert data.time is None
    assert data.drive(5.0)(2.5) == pytest.approx(5.0)


def test_wrong_commands_are_refused(tmp_path: Path) -> None:
    for arguments in (
        {"device": None},
        {"device": "diode", "everything": True},
        {"device": None, "everything": True, "data": tmp_path / "d.csv"},
        {"device": "diode", "parameters": tmp_path / "missing.yaml"},
        {"device": "diode", "data": tmp_path / "d.csv"},
    ):
        with pytest.raises(SpecError):
            validate_devices(**arguments)  # type: ignore[arg-type]


def test_equations_are_mathml_and_latex() -> None:
    x, vp = sp.Symbol("x", real=True), sp.Symbol("vp", real=True)
    found = formula("dx/dt", sp.Piecewise((vp * x, x > vp), (0, True)))
    assert "<mfrac>" in found.mathml
    assert "otherwise" in found.mathml
    assert "<msub><mi>v</mi><mi>p</mi></msub>" in found.mathml
    assert "v_{p}" in found.latex


def test_loops_have_a_sense_and_a_pinch() -> None:
    angle = np.linspace(0.0, 2.0 * np.pi, 4001)
    u = np.sin(angle)
    x = 0.5 - 0.4 * np.cos(angle)  # rises while u > 0
    loop = Trajectory(angle, u, x * u, x[:, None])
    assert lobe(loop, 1) > 0.1
    assert lobe(loop, -1) < -0.1
    assert at_zero(loop) < 1e-12
    open_loop = Trajectory(angle, u, x * u + 0.1, x[:, None])
    assert at_zero(open_loop) > 0.05
    late = Trajectory(angle, u, np.interp(angle - 0.01, angle, loop.i), x[:, None])
    assert difference(late, loop) > 5e-3
    assert difference(late, loop, 0.02) < 1e-6


def test_pulses_and_their_nonlinearity() -> None:
    drive = pulse_drive(0.7, 1e-3)
    inside = drive(np.linspace(0.0, drive.duration, 60001))
    assert np.trapezoid(inside, dx=drive.duration / 60000) == pytest.approx(30 * 0.7e-3, rel=1e-3)
    assert nonlinearity(np.linspace(2.0, 1.0, 11)) == pytest.approx(0.0, abs=1e-12)
    assert nonlinearity(np.array([0.0, 1.0, 1.0])) == pytest.approx(0.5)
    assert Drive(np.array([0.0, 1.0]), np.array([0.0, 2.0]))(0.25) == 0.5


def test_a_report_escapes_and_shows_failures() -> None:
    blocks = (Text("a <b>"), Code("x & y", "spice"), Grid(("h",), [("1|2",)]))
    limit = Limit(None, None, 1.0, "V", "of <x>")
    outcome = Outcome("d", "D", "about", (Specification("s", 2.0, limit),), (Section("T", blocks),))
    html, text = page(outcome, "ngspice 46"), markdown(outcome, "ngspice 46")
    assert "a &lt;b&gt;" in html
    assert "FAIL" in html
    assert "1 of 1 specifications fail: s" in html
    assert "1\\|2" in text
    assert row(outcome.specifications[0])[6] == "FAIL"
    assert not outcome.passed
