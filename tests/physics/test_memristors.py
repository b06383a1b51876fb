"""Memristive devices in ngspice against LSODA, with their equations written out once more."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy as sp
from memristor_equations import hard_stanford_voltage, integrated

from bridge.dynamics import FIXED_GRID, DynamicPhases, DynamicPlan
from bridge.errors import BoundsError, SimulationError, TerminalStateError
from bridge.estimators.adjoint import AdjointTask
from bridge.estimators.base import DynamicBatch
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice import ladder, openvaf
from bridge.ngspice.drives import sampled
from bridge.ngspice.limits import check_limits
from bridge.ngspice.session import Session
from bridge.validation.devices.references.memristors import EQUATIONS
from bridge.waveforms import Waveforms
from circuits.deck import Limit
from circuits.devices.expressions import spice_expression
from circuits.devices.memristors import MEMRISTORS, Memristor
from circuits.devices.memristors.base import Figure, Published
from circuits.devices.memristors.linear_drift import LINEAR_DRIFT
from circuits.devices.memristors.stanford_pku import GAP, STANFORD_PKU
from circuits.devices.memristors.team import TEAM
from circuits.devices.memristors.vteam import VTEAM
from circuits.devices.passive import capacitor, resistor
from circuits.devices.sources import voltage_source
from circuits.devices.veriloga_expressions import verilog_expression
from circuits.netlist import Realisation
from circuits.network import Drive, Network, Output, Trainable

ABRUPT = "dc-sweep"
"""The set whose state jumps within less than a step of its cycle."""
SETS = [(d, p) for d in MEMRISTORS.values() for p in d.published]
SMOOTH = [(d, p) for d, p in SETS if p.name != ABRUPT]
Writer = Callable[[sp.Expr, Mapping[str, str]], str]
REALISATIONS: list[Realisation] = ["behavioural", "veriloga"]


def named(value: object) -> str | None:
    if isinstance(value, Memristor):
        return value.kind
    return value.name if isinstance(value, Published | Figure) else None


def cycle(
    device: Memristor,
    published: Published,
    session: Session,
    realisation: Realisation = "auto",
    method: str = "trap",
) -> Waveforms:
    """The published cycle, the source right across the device, in steps of a 2000th of the period."""
    if realisation == "veriloga" and not openvaf.available():
        pytest.skip("no Verilog-A compiler")
    stimulus = published.stimulus
    elements = (
        voltage_source("s", "a", driven=True),
        device.place("m", "a", "0", published=published.name),
    )
    plan = DynamicPlan(
        Network("cycle", elements, (Drive("s", 0),), (Output("a"),)),
        stimulus.duration,
        stimulus.period / 2000,
        options=replace(FIXED_GRID, method=method),
        realisation=realisation,
    )
    times = np.linspace(0.0, stimulus.duration, 8000 * stimulus.cycles + 1)
    return DynamicPhases(plan, session).free(sampled(times, stimulus.waveform(times)[:, None]))


def states(device: Memristor, waves: Waveforms) -> np.ndarray:
    return np.stack([s.scale * waves[f"v(m_{s.name})"] for s in device.states], axis=1)


def error(device: Memristor, published: Published, waves: Waveforms) -> float:
    """Largest difference of the current from LSODA's, as a share of its peak."""
    exact = integrated(device, device.values(published.name), published.stimulus, waves.time)[1]
    return float(np.abs(-waves["i(vs)"] - exact).max() / np.abs(exact).max())


@pytest.mark.parametrize("realisation", REALISATIONS)
@pytest.mark.parametrize(("device", "published"), SMOOTH, ids=named)
def test_a_cycle_is_the_publications_equations(
    device: Memristor, published: Published, realisation: Realisation, session: Session
) -> None:
    waves = cycle(device, published, session, realisation)
    assert error(device, published, waves) < 2e-4
    u, current = waves["v(a)"], -waves["i(vs)"]
    near = np.abs(u) < 0.01 * published.stimulus.positive
    ends = {device.states[0].name: np.array(device.bounds[0])}
    most = device.read_conductance({**device.values(published.name), **ends}, 0.01).max()
    assert near.sum() > 10
    assert (np.abs(current[near]) <= 1.01 * most * np.abs(u[near]) + 1e-8 * np.abs(current).max()).all()
    found = states(device, waves)
    for k, (low, high) in enumerate(device.bounds):
        assert low - 1e-3 * (high - low) <= found[:, k].min()
        assert found[:, k].max() <= high + 1e-3 * (high - low)
    assert np.ptp(found[:, 0]) > 0.02 * np.ptp(device.bounds[0])


@pytest.mark.parametrize(("device", "published"), SMOOTH, ids=named)
def test_both_realisations_agree(device: Memristor, published: Published, session: Session) -> None:
    sources, compiled = (cycle(device, published, session, r) for r in REALISATIONS)
    np.testing.assert_allclose(sources.time, compiled.time, rtol=1e-12)
    peak = np.abs(compiled["i(vs)"]).max()
    assert np.abs(sources["i(vs)"] - compiled["i(vs)"]).max() < 1e-6 * peak


@pytest.mark.parametrize(("device", "published"), SMOOTH, ids=named)
def test_a_flipped_rate_is_noticed(device: Memristor, published: Published, session: Session) -> None:
    first, *others = device.states
    wrong = replace(device, states=(replace(first, rate=-first.rate), *others))
    start, (low, high) = device.states[0].initial, device.bounds[0]
    begin = float(np.clip(device.values(published.name)[start], 0.9 * low + 0.1 * high, high))
    moved = Published("moved", {**published.values, start: begin}, "", published.stimulus)
    right = replace(device, published=(moved,))
    wrong = replace(wrong, published=(moved,))
    assert error(right, moved, cycle(right, moved, session)) < 4e-3
    try:
        waves = cycle(wrong, moved, session)
    except SimulationError:
        return  # its window drives the state away from the bounds
    assert error(right, moved, waves) > 0.04


FIGURES = [(d, p, f) for d, p in SETS for f in p.figures]


def measured(device: Memristor, name: str, waves: Waveforms) -> float:
    """A figure of a cycle by its name."""
    current, u, x = -waves["i(vs)"], waves["v(a)"], states(device, waves)[:, 0]
    if name in ("peak current", "positive peak current"):
        return float(current.max())
    if name == "negative peak current":
        return float(current.min())
    half = len(u) // 2 if name == "reset voltage" else 0
    tenth = 0.1 * np.ptp(device.bounds[0])
    moved = np.abs(x[half:] - x[half]) > tenth
    assert moved.any()
    return float(u[half:][np.argmax(moved)])


@pytest.mark.parametrize(("device", "published", "figure"), FIGURES, ids=named)
def test_published_figures_are_reached(
    device: Memristor, published: Published, figure: Figure, session: Session
) -> None:
    method = "gear" if published.name == ABRUPT else "trap"
    waves = cycle(device, published, session, method=method)
    assert measured(device, figure.name, waves) == pytest.approx(figure.value, rel=figure.tolerance)


def test_a_state_that_leaves_its_bounds_is_no_result(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trapezoidal rule rings at the stops of an abrupt device: refused, and repeated in smaller steps."""
    sweep = STANFORD_PKU.set_named(ABRUPT)
    waves = cycle(STANFORD_PKU, sweep, session)
    assert waves.attrs["rung"] != "as given"
    for figure in sweep.figures:
        assert measured(STANFORD_PKU, figure.name, waves) == pytest.approx(figure.value, rel=0.01)
    monkeypatch.setattr(ladder, "TRANSIENT", ladder.TRANSIENT[:1])
    with pytest.raises(
        BoundsError, match=r"m: its state gap is .* m at t = .* s, .* smaller steps or .*gear"
    ):
        cycle(STANFORD_PKU, sweep, session)


@pytest.mark.parametrize(("start", "lost"), [(0.0, False), (0.4, False), (0.5, True), (0.6, True)])
def test_a_state_lost_at_a_bound_is_no_result(session: Session, start: float, lost: bool) -> None:
    """The charge of a whole cycle is zero, so that a state of linear drift returns to where it started.

    From 0.5 it comes within 1e-17 of the bound where Joglekar's window is zero: no floating-point number.
    """
    usual = LINEAR_DRIFT.published[0]
    published = Published("moved", {**usual.values, "x0": start}, "", usual.stimulus)
    device = replace(LINEAR_DRIFT, published=(published,))
    if lost:
        with pytest.raises(TerminalStateError, match="linear_drift_biolek"):
            cycle(device, published, session)
        half = replace(published, stimulus=replace(usual.stimulus, negative=0.0))
        x = states(device, cycle(replace(device, published=(half,)), half, session))[:, 0]
        assert 1.0 - 1e-9 < x[-1] <= 1.0 + 1e-9  # nothing drives it back
        return
    waves = cycle(device, published, session)
    x = states(device, waves)[:, 0]
    assert x[-1] == pytest.approx(start, abs=1e-6)
    assert np.ptp(x) == 0.0 if start == 0.0 else error(device, published, waves) < 1e-4


@pytest.mark.parametrize(("value", "refused"), [(-0.03, True), (-0.01, False), (2.01, False), (2.1, True)])
def test_bounds_have_a_tolerance_of_their_range(value: float, refused: bool) -> None:
    limit = Limit("v(m_x)", 0.0, 2.0, "m", "x", 1e-9, "m")
    values = np.array([[0.0, 1.0], [9.0, 2.0 * value if value < 0 else value], [0.0, 0.5]])
    time = np.array([0.0, 1e-3, 2e-3])
    if not refused:
        check_limits([limit], ("v(a)", "v(m_x)"), time, values)
        return
    with pytest.raises(BoundsError, match=r"at t = 0.001 s, outside of \[0, 2e-09\] by [35]"):
        check_limits([limit], ("v(a)", "v(m_x)"), time, values)


XYCE = {4.62677186e-5: 8.26886067e-2, 5.08912862e-5: 0.119763621, 1.04062314e-4: 0.535998354,
        2.24275073e-4: 1.17882401}  # fmt: skip
"""Width [nm] over time [s] in the reference output of Xyce's `memristorTEAM_test.cir`: 1 V, 1 kHz, 50 Ohm."""


def test_team_is_that_of_xyce(session: Session) -> None:
    values = TEAM.values("xyce", x0=0.0)
    elements = (
        voltage_source("s", "in", driven=True),
        TEAM.element("m", "in", "a", **dict[str, Any](values)),
        resistor("r", "a", "0", conductance=0.02),
    )
    network = Network("xyce", elements, (Drive("s", 0),), (Output("a"),))
    end = max(XYCE)
    times = np.linspace(0.0, end, 4001)
    drive = sampled(times, np.sin(2e3 * np.pi * times)[:, None])
    waves = DynamicPhases(DynamicPlan(network, end, end / 4000), session).free(drive)
    found = np.interp(list(XYCE), waves.time, waves["v(m_x)"]) * values["d"] * 1e9
    np.testing.assert_allclose(found, list(XYCE.values()), rtol=5e-4)


def test_the_figures_of_the_stanford_model_are_those_of_its_own_threshold() -> None:
    """Version 1.0.0 with a hard threshold and hard bounds, in small explicit steps."""
    values = STANFORD_PKU.values()
    sweep = STANFORD_PKU.set_named(ABRUPT).figures
    for figure, sign, gap in zip(sweep, (1.0, -1.0), (GAP[1], GAP[0]), strict=True):
        found = hard_stanford_voltage(values, gap, sign, 0.1 * (GAP[1] - GAP[0]))
        assert found == pytest.approx(figure.value, rel=1e-3)


@pytest.mark.parametrize(("device", "published"), SETS, ids=named)
def test_conductances_and_states_belong_together(device: Memristor, published: Published) -> None:
    values = device.values(published.name)
    name, (low, high) = device.states[0].name, device.bounds[0]
    wanted = np.linspace(low + 0.01 * (high - low), high - 0.01 * (high - low), 41)
    conductance = device.read_conductance({**values, name: wanted})
    by_hand = [
        EQUATIONS[device.kind](device.read_voltage, [x, 0.0][: len(device.states)], values)[0] for x in wanted
    ]
    np.testing.assert_allclose(conductance, np.array(by_hand) / device.read_voltage, rtol=1e-12)
    assert (np.diff(conductance) > 0).all() or (np.diff(conductance) < 0).all()
    np.testing.assert_allclose(device.state_for(conductance, values), wanted, rtol=1e-9)
    frozen = device.static()
    u = np.full(wanted.shape, device.read_voltage)
    held = {n: v for n, v in values.items() if n not in device.initial_names}
    held.update({s.name: values[s.initial] for s in device.states})
    found = frozen.current(u, {**held, name: wanted}) / u
    np.testing.assert_allclose(found, conductance, rtol=1e-14)


@pytest.mark.parametrize("device", MEMRISTORS.values(), ids=named)
def test_outside_of_its_bounds_a_state_moves_back(device: Memristor) -> None:
    values = device.values()
    name, (low, high) = device.states[0].name, device.bounds[0]
    others = {s.name: 400.0 for s in device.states[1:]}
    u = np.linspace(-2.0, 2.0, 401)
    outside = 0.02 * (high - low)
    for x, sign in ((low - outside, 1.0), (high + outside, -1.0)):
        rate = device.evaluate(device.states[0].rate, {"u": u, **values, **others, name: x})
        assert np.isfinite(rate).all()
        assert (sign * rate >= 0).all()


@pytest.mark.parametrize("device", MEMRISTORS.values(), ids=named)
def test_derivatives_are_finite_and_right_everywhere(device: Memristor) -> None:
    """With exponents, thresholds and windows among them; at round numbers, where powers have zero bases."""
    values = device.values()
    rng = np.random.default_rng(5)
    n = 400
    at: dict[str, np.ndarray] = {k: np.full(n, v) for k, v in values.items()}
    at["u"] = rng.uniform(-1.2, 1.2, n)
    at["u"][:5] = 0.0
    for state, (low, high) in zip(device.states, device.bounds, strict=True):
        at[state.name] = rng.uniform(low, min(high, 800.0), n)
        at[state.name][5:20] = np.tile([low, 0.5 * (low + min(high, 800.0)), min(high, 800.0)], 5)
    assert device.law is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for expression in (device.law, *(s.rate for s in device.states)):
            for name in sorted(str(s) for s in expression.free_symbols):
                slope = device.evaluate(sp.diff(expression, sp.Symbol(name, real=True)), at)
                assert np.isfinite(slope).all(), (device.kind, name)
                step = 1e-6 * (np.abs(at[name]) + 1e-3 * np.abs(at[name]).max())
                ends = [device.evaluate(expression, {**at, name: at[name] + s * step}) for s in (1, -1)]
                wanted = (ends[0] - ends[1]) / (2 * step)
                scale = np.abs(wanted[20:]).max()
                close = np.abs(slope - wanted)[20:] <= 1e-4 * np.abs(wanted[20:]) + 1e-7 * scale
                assert close.mean() > 0.985, (device.kind, name)  # but for corners that a step crosses


@pytest.mark.parametrize("write", [spice_expression, verilog_expression])
def test_exponents_that_have_become_numbers_are_written_as_products(write: Writer) -> None:
    base, exponent = sp.symbols("b a", real=True)
    text = write((base**exponent).xreplace({exponent: sp.Float(3.0, 17)}), {"b": "v(x)"})
    assert text == "(v(x)*v(x)*v(x))"
    assert "sqrt" in write((base**exponent).xreplace({exponent: sp.Float(0.5, 17)}), {"b": "v(x)"})
    assert "ln" in write((base**exponent).xreplace({exponent: sp.Float(2.7, 17)}), {"b": "v(x)"})


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_gradients_of_exponents_and_thresholds(realisation: Realisation, session: Session) -> None:
    if realisation == "veriloga" and not openvaf.available():
        pytest.skip("no Verilog-A compiler")
    names = ("ron", "roff", "kon", "koff", "aon", "aoff", "von", "voff", "window", "x0")
    bounds = {p.name: (p.lower, p.upper) for p in VTEAM.parameters}
    trained = tuple(Trainable("m", n, *bounds[n]) for n in names)
    elements = (
        voltage_source("s", "in", driven=True),
        resistor("r", "in", "a", conductance=1e-2),
        VTEAM.place("m", "a", "0", window=1.5, aon=2.5, koff=5e-3, kon=-0.5, x0=0.4),
        capacitor("c", "a", "0", capacitance=1e-12),
    )
    net = Network("trained", elements, (Drive("s", 0),), (Output("a"),), trained)
    duration = 2e-8
    times = np.linspace(0.0, duration, 401)
    drive = (0.7 * np.sin(2 * np.pi * times / duration))[:, None]
    loss = WaveformMSE(times)
    batch = DynamicBatch(times, drive[None], [0.3 * drive])
    plan = DynamicPlan(net, duration, duration / 2000, realisation=realisation)
    phases = DynamicPhases(plan, session)
    found = AdjointTask(batch, 0, loss).run(phases)[1]
    wanted = []
    for k, value in enumerate(net.parameters):
        ends = []
        for sign in (1, -1):
            moved = net.parameters.copy()
            moved[k] = value * (1 + sign * 1e-4)
            phases.update(moved)
            ends.append(phases.evaluate(batch, loss)[0][0])
        wanted.append((ends[0] - ends[1]) / (2e-4 * value))
    scale = np.abs(net.parameters)
    assert np.linalg.norm((found - wanted) * scale) < 3e-4 * np.linalg.norm(np.array(wanted) * scale)
    assert (np.abs(np.array(wanted) * scale) > 0).all()
