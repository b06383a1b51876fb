"""The gradient check itself: what it reports, what it refuses to say, when it fails."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from bridge import cli
from bridge.errors import UnsupportedElementError
from bridge.estimators import (
    AdjointNetwork,
    Batch,
    Causal,
    Equilibrium,
    Estimator,
    FiniteDifference,
    Gradient,
    Lagrangian,
)
from bridge.losses import MeanSquaredError
from bridge.plans import StaticPlan
from bridge.validation.circuits import circuit
from bridge.validation.classes import all_circuits
from bridge.validation.command import check_gallery
from bridge.validation.gallery import measure
from bridge.validation.gallery_report import markdown, page
from bridge.validation.gradcheck import GradcheckResult, gradcheck, judge
from bridge.validation.reference import cosine, relative_error, scales
from bridge.validation.show import plot, remarks, table, verdict, write_plot
from circuits.devices.passive import capacitor, resistor
from circuits.devices.sources import voltage_source
from circuits.network import Drive, Network, Output, Trainable

ROOT = Path(__file__).resolve().parents[2]
STEPS = 400


class Flipped(AdjointNetwork):
    """Claims exactness, with the wrong sign in one component."""

    name: ClassVar[str] = "flipped"

    def combine(self, plan: Any, batch: Any, results: Sequence[Any]) -> Gradient:
        right = super().combine(plan, batch, results)
        signs = np.ones(len(right.gradient))
        signs[0] = -1.0
        return replace(right, gradient=right.gradient * signs)


class Admitted(Flipped):
    """The same, but it claims nothing."""

    name: ClassVar[str] = "admitted"
    exact: ClassVar[bool] = False


@cache
def checked() -> GradcheckResult:
    """The linear RC circuit without trainable capacitances, all kinds of outcomes."""
    one = circuit("rc", "RC", [capacitor(f"c{n}", n, "0", capacitance=1e-10) for n in "abc"], [])
    estimators: list[Estimator] = [
        AdjointNetwork(), Lagrangian(), Causal(), FiniteDifference(1e-3),
        Equilibrium(), Flipped(), Admitted(),
    ]  # fmt: skip
    return gradcheck(one.plan(STEPS), one.batch(), one.loss, estimators, tolerance=1e-3)


def test_the_json_has_the_keys_that_were_agreed() -> None:
    found = json.loads(json.dumps(checked().to_json(), allow_nan=False))
    assert found["parameters"] == [f"r{k}.conductance" for k in range(1, 7)]
    assert {"loss", "parameters", "reference", "estimators"} <= set(found)
    assert len(found["reference"]) == 6
    for name in ("adjoint", "lagrangian", "causal", "finite_difference"):
        one = found["estimators"][name]
        assert {"gradient", "relative_error", "cosine", "transients", "seconds"} <= set(one)
        assert len(one["gradient"]) == 6
        assert one["seconds"] > 0
    assert found["estimators"]["adjoint"]["gradient"] == pytest.approx(found["reference"], rel=1e-2)


def test_exact_estimators_pass_and_the_numbers_of_their_transients_are_told() -> None:
    result = checked()
    for name, transients in (("adjoint", 2), ("lagrangian", 3), ("causal", 3), ("finite_difference", 13)):
        assert result[name].transients == transients, name
        assert result[name].operating_points == 0
    for name in ("adjoint", "lagrangian", "finite_difference"):
        assert result[name].passed is True
        assert result[name].relative_error is not None
        assert result[name].relative_error < 1e-3
        assert result[name].cosine == pytest.approx(1.0, abs=1e-6)


def test_the_status_is_1_only_when_an_estimator_that_claims_exactness_misses() -> None:
    result = checked()
    assert result["flipped"].passed is False
    assert result["flipped"].relative_error is not None
    assert result["flipped"].relative_error > 0.1
    assert result.exit_status == 1
    for name in ("causal", "admitted"):  # as wrong, but they claim nothing
        assert result[name].relative_error is not None
        assert result[name].relative_error > 0.1
        assert result[name].passed is None
    rest = replace(result, estimators=tuple(e for e in result.estimators if e.name != "flipped"))
    assert rest.exit_status == 0


def test_what_is_not_covered_is_told_with_the_reason() -> None:
    result = checked()
    assert result["equilibrium"].gradient is None
    assert verdict(result["equilibrium"]) == "not covered"
    assert remarks(result) == ["equilibrium: equilibrium is for static networks"]
    diodes = next(c for c in all_circuits() if c.name == "diodes")
    found = gradcheck(diodes.plan(50), diodes.batch(), diodes.loss, [Lagrangian()], places=[0, 3])
    assert found.exit_status == 0
    assert found.parameters == ("r1.conductance", "r4.conductance")
    assert found["lagrangian"].reason.startswith("d1: a diode is neither")
    assert found.to_json()["estimators"]["lagrangian"]["gradient"] is None


def test_a_refusal_inside_a_worker_is_told_too() -> None:
    """A terminal loss is refused by the task, not by the check before it."""
    one = next(c for c in all_circuits() if c.name == "terminal")
    found = gradcheck(one.plan(50), one.batch(), one.loss, [Lagrangian()], places=[0])
    assert "terminal loss" in found["lagrangian"].reason
    error = pickle.loads(pickle.dumps(UnsupportedElementError("d1", "no", "do that")))
    assert (error.element, error.reason, str(error)) == ("d1", "no", "d1: no; do that")


def test_errors_are_of_the_gradient_with_respect_to_logarithms() -> None:
    """A capacitance's derivative is 1e7 times a conductance's: alone it would decide the plain error."""
    gradient, reference = np.array([2.0, 1e7]), np.array([1.0, 1e7])
    scale = np.array([1e-3, 1e-10])
    assert relative_error(gradient, reference) == pytest.approx(1e-7)
    assert relative_error(gradient, reference, scale) == pytest.approx(1e-3 / np.hypot(1e-3, 1e-3))
    assert cosine(gradient, reference, scale) == pytest.approx(3.0 / np.sqrt(10.0))
    assert relative_error(np.zeros(2), np.zeros(2)) == 0.0
    assert relative_error(gradient, np.zeros(2)) == np.inf
    starts = next(c for c in all_circuits() if c.name == "initial")
    sizes = dict(zip([t.label for t in starts.network.trainable], scales(starts.plan(10)), strict=True))
    assert sizes["ca.initial_voltage"] == pytest.approx(0.2)
    assert sizes["cb.initial_voltage"] == pytest.approx(1.0)  # its value is zero


@pytest.mark.parametrize(
    ("error", "uncertain", "outcome"),
    [
        (5e-4, 1e-6, True),
        (2e-3, 1e-6, False),
        (5e-4, 1e-2, None),
        (5e-3, 1e-2, None),
        (5e-2, 1e-2, False),
        (float("nan"), 1e-6, False),
    ],
)
def test_a_tolerance_is_not_compared_with_a_worse_reference(
    error: float, uncertain: float, outcome: bool | None
) -> None:
    passed, reason = judge(error, uncertain, 1e-3)
    assert passed is outcome
    assert ("themselves uncertain" in reason) == (outcome is None)


def divider() -> tuple[StaticPlan, Batch]:
    """A static divider, whose gradient is known: v = 2 up / (up + down), target 0.3 V."""
    network = Network(
        "divider",
        (
            voltage_source("s", "x", driven=True),
            resistor("up", "x", "a", conductance=1e-3),
            resistor("down", "a", "0", conductance=3e-3),
        ),
        (Drive("s", 0),),
        (Output("a"),),
        (Trainable("up", "conductance", 1e-6, 1.0), Trainable("down", "conductance", 1e-6, 1.0)),
    )
    return StaticPlan(network), Batch(np.array([[2.0]]), np.array([[0.3]]))


def test_a_static_network_and_the_references_own_error() -> None:
    plan, batch = divider()
    found = gradcheck(plan, batch, MeanSquaredError(), [Equilibrium(), AdjointNetwork()])
    up, down = 1e-3, 3e-3
    slope = float(MeanSquaredError().derivative([0.5], [0.3])[0])
    exact = slope * 2.0 * np.array([down, -up]) / (up + down) ** 2
    np.testing.assert_allclose(found.reference.gradient, exact, rtol=1e-6)
    assert np.all(np.abs(found.reference.gradient - exact) <= found.reference.error)
    assert found.reference.relative_error < 1e-4
    assert found["equilibrium"].passed is True
    assert found["equilibrium"].operating_points >= 2
    assert found["adjoint"].reason == "adjoint is for time-varying networks"


def test_two_estimators_of_one_name_need_names() -> None:
    plan, batch = divider()
    with pytest.raises(ValueError, match="same name"):
        gradcheck(plan, batch, MeanSquaredError(), [Equilibrium(), Equilibrium()])
    found = gradcheck(plan, batch, MeanSquaredError(), {"one": Equilibrium(), "two": Equilibrium()})
    assert [e.name for e in found.estimators] == ["one", "two"]


def test_the_table_and_the_plot_show_every_estimator(tmp_path: Path) -> None:
    from rich.console import Console

    console = Console(width=140, record=True, file=sys.stderr)
    console.print(table(checked()))
    text = console.export_text()
    for word in ("adjoint", "pass", "MISS", "not exact", "not covered", "flipped"):
        assert word in text
    figure = plot(checked())
    names = [t.get_text() for t in figure.legends[0].get_texts()]
    assert names[:3] == ["adjoint", "lagrangian", "causal"]
    assert write_plot(checked(), tmp_path / "new" / "p.svg").read_text().startswith("<?xml")
    assert write_plot(checked(), tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


# The command.


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    before = sys.argv
    sys.argv = ["tellegen", "gradcheck", *arguments]
    try:
        cli.main()
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        sys.argv = before
    shown = capsys.readouterr()
    return status, shown.out, shown.err


MATCHING = str(ROOT / "experiments" / "waveform_matching.yaml")
FEW = (
    "-s",
    "data.samples=1",
    "-s",
    "data.test_samples=1",
    "-s",
    "circuit.nodes=4",
    "-s",
    "circuit.inductors=1",
)


def test_the_command_prints_one_json_object(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = run(capsys, MATCHING, *FEW, "--json", "--estimators", "adjoint")
    assert status == 0
    found = json.loads(out)
    assert list(found["estimators"]) == ["adjoint"]
    assert found["estimators"]["adjoint"]["relative_error"] < 1e-3
    assert not list(tmp_path.iterdir())
    status, out, _ = run(capsys, MATCHING, *FEW, "--json", "--estimators", "adjoint", "--tolerance", "1e-9")
    assert status == 1
    assert json.loads(out)["pass"] is False


def test_the_command_shows_a_table_and_writes_the_plot(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, out, _ = run(capsys, str(ROOT / "experiments" / "xor.yaml"), "--out", str(tmp_path))
    assert status == 0
    assert "equilibrium" in out
    assert "pass" in out
    assert (tmp_path / "gradcheck.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "either an experiment file or --gallery"),
        ((MATCHING, "--gallery"), "either an experiment file or --gallery"),
        ((MATCHING, "--estimators", "adjoint,wrong"), "wrong is no estimator; choose from"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(capsys, *arguments)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1


# The exactness report.


def test_the_gallery_report_of_two_circuits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = [c for c in all_circuits() if c.name in ("rlc", "diodes")]
    rows = [measure(c, 1, 1000) for c in chosen]
    assert all(row.passed for row in rows)
    linear, diodes = rows
    assert linear.lagrangian is not None
    assert diodes.lagrangian is None
    assert linear.convergence.order == pytest.approx(2.0, abs=0.3)
    assert linear.causal is not None
    assert linear.causal[1] < 0.0
    text, html = markdown(rows, "ngspice"), page(rows, "ngspice")
    for row in rows:
        assert f"| {row.circuit.title} |" in text
        assert row.circuit.title in html
    assert "every circuit passes" in text
    assert "- diodes: `d1: a diode is neither" in text
    assert "<svg" in html
    assert "<script" not in html
    wrong = replace(diodes, circuit=replace(diodes.circuit, retraced=True))
    assert not wrong.passed
    assert "missed by: diodes" in markdown([linear, wrong], "ngspice")


def test_the_page_in_the_documentation_has_every_circuit() -> None:
    text = (ROOT / "docs" / "gradients.md").read_text(encoding="utf-8")
    assert "tellegen gradcheck --gallery" in text
    assert "every circuit passes" in text
    for one in all_circuits():
        assert f"| {one.title} |" in text


def test_the_gallery_command_writes_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = [c for c in all_circuits() if c.name == "terminal"]
    assert check_gallery(workers=1, out=tmp_path, circuits=one) == 0
    assert "every circuit passes" in capsys.readouterr().out
    assert {p.name for p in tmp_path.iterdir()} == {"gradients.html", "gradients.md"}
