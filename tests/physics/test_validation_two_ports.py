"""Two-ports are validated by closed forms: what is right passes, every fault that is put in fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import fsolve

from bridge.ngspice.session import Session
from bridge.validation.devices import two_ports
from bridge.validation.devices.command import validate_devices
from bridge.validation.devices.references.two_ports import TWO_PORTS, Setting, closed
from bridge.validation.devices.registry import names, subject
from bridge.validation.devices.run import validate
from bridge.validation.devices.specification import CLASSES
from bridge.validation.devices.subjects import TwoPortSubject
from circuits.devices import sources
from circuits.devices.base import Element
from circuits.devices.fractional import Transfer
from circuits.topologies.crossbar import SELECTOR

SHIPPED = {n: s for n in names() if isinstance(s := subject(n), TwoPortSubject)}
LIMIT = CLASSES["two-port"]["voltages against formula"].maximum


def faults(good: TwoPortSubject) -> Iterator[Element]:
    """A tenth more of each number, another sign of gains, exchanged terminals, another kind of source."""
    element = good.element
    for name, value in two_ports.values_of(element).items():
        yield two_ports.moved(element, name, 1.1 * value)
        if element.device.parameters and element.device.parameters[0].lower < 0.0:
            yield two_ports.moved(element, name, -value)
    p, n, cp, cn = element.nodes
    yield (
        replace(element, nodes=(n, p, cp, cn))
        if good.name != "switch"
        else replace(element, nodes=(p, n, cn, cp))
    )
    others = {"vcvs": "VCCS", "vccs": "VCVS", "ccvs": "CCCS", "cccs": "CCVS"}
    if good.name in others:
        yield replace(element, device=getattr(sources, others[good.name]))
    if isinstance(element.device, Transfer):
        assert element.device.law is not None
        for factor in (2, -1):
            yield replace(element, device=replace(element.device, law=factor * element.device.law))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_fault_in_a_two_port_is_found(name: str, session: Session) -> None:
    good = SHIPPED[name]
    assert LIMIT is not None
    assert max(two_ports.apart(good, two_ports.simulate(good, session, good.element))) < LIMIT
    wrong = list(faults(good))
    assert len(wrong) >= 2
    for element in wrong:
        found = two_ports.simulate(good, session, element)
        assert max(two_ports.apart(good, found)) > 10 * LIMIT, element


@pytest.mark.parametrize("name", SHIPPED)
def test_a_whole_report_passes_and_fails_with_a_wrong_device(name: str, session: Session) -> None:
    good = SHIPPED[name]
    outcome = validate(good, session)
    assert outcome.passed, [s for s in outcome.specifications if not s.passed]
    assert {s.name for s in outcome.specifications} >= {
        "voltages against formula",
        "currents against formula",
    }
    wrong = validate(replace(good, simulated=list(faults(good))[-1]), session)
    missed = {s.name for s in wrong.specifications if not s.passed}
    assert not wrong.passed
    assert {f"{q} against formula" for q in ("temperatures", "corners")} <= missed


def test_a_gyrator_that_is_not_lossless_is_found(session: Session) -> None:
    good = SHIPPED["gyrator"]
    lossy = good.element.replace(backward=0.9 * good.element.value("backward"))
    outcome = validate(replace(good, simulated=lossy), session)
    missed = {s.name for s in outcome.specifications if not s.passed}
    assert {"least power", "power of a lossless two-port"} <= missed


@pytest.mark.parametrize("name", [n for n in SHIPPED if n != "switch"])
def test_the_closed_forms_obey_kirchhoffs_laws(name: str) -> None:
    """Against a numeric solution of the definitions and of what the sources give."""
    good = SHIPPED[name]
    v = two_ports.values_of(good.element)
    e1, e2, r1, r2 = 0.7, -0.3, 1e3, 2e3
    laws = {
        "vcvs": lambda v1, i1, v2, i2: (v2 - v["gain"] * v1, i1 * r1),
        "vccs": lambda v1, i1, v2, i2: ((i2 - v["gain"] * v1) * r2, i1 * r1),
        "ccvs": lambda v1, i1, v2, i2: (v2 - v["gain"] * i1, v1),
        "cccs": lambda v1, i1, v2, i2: ((i2 - v["gain"] * i1) * r2, v1),
        "tanh_transfer": lambda v1, i1, v2, i2: (
            v2 - v["scale"] * np.tanh(v["gain"] * v1 / v["scale"]), i1 * r1),
        "amplifier": lambda v1, i1, v2, i2: (v2 - v["gain"] * v1, (i1 + v["backward_gain"] * i2) * r1),
        "gyrator": lambda v1, i1, v2, i2: ((i1 - v["forward"] * v2) * r1, (i2 + v["backward"] * v1) * r2),
    }  # fmt: skip
    solved = fsolve(
        lambda p: laws[name](p[0], (e1 - p[0]) / r1, p[1], (e2 - p[1]) / r2), [0.1, 0.1], xtol=1e-11
    )
    found = TWO_PORTS[name](v, Setting(np.array([e1]), np.array([e2]), r1, r2))[:, 0]
    np.testing.assert_allclose(found[[0, 2]], solved, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[[1, 3]], [(e1 - found[0]) / r1, (e2 - found[2]) / r2], rtol=1e-12)


def test_a_switch_has_hysteresis() -> None:
    up = np.array([0.0, 0.3, 0.39, 0.41, 0.3, 0.21, 0.19, 0.3])
    assert list(closed(up, {"vt": 0.3, "vh": 0.1})) == [False, False, False, True, True, True, False, False]


def test_a_wrong_selector_fails(session: Session) -> None:
    """Its law is compared with a sum of exponentials, in the form that it was not simulated with too."""
    good = subject("selector")
    outcome = validate(good, session)
    assert outcome.passed
    assert SELECTOR.law is not None
    device = replace(SELECTOR, law=2 * SELECTOR.law)
    wrong = validate(replace(good, simulated=replace(good.element, device=device)), session)  # type: ignore[arg-type]
    assert "current against formula" in {s.name for s in wrong.specifications if not s.passed}


def test_the_command_takes_two_ports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gain.yaml"
    file.write_text("gain: 3\nspecifications:\n  least power: {minimum: 0}\n")
    status = validate_devices("vcvs", parameters=file, as_json=True, out=tmp_path / "out")
    told = json.loads(capsys.readouterr().out)
    assert status == 1
    assert {s["name"] for s in told["specifications"] if not s["pass"]} == {"least power"}  # not measured
    assert "v2 = gain v1" in Path(told["report"]).read_text()
