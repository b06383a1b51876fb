"""Transfers as generated Verilog-A: fractional memristors and directed networks against `B` sources."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.estimators.adjoint import AdjointTask
from bridge.estimators.base import DynamicBatch
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice import openvaf
from bridge.ngspice.drives import constant, sampled
from bridge.ngspice.library import search
from bridge.ngspice.session import Session
from bridge.waveforms import Waveforms
from circuits.devices.base import Element
from circuits.devices.fractional import CUBIC_FRACTIONAL_MEMRISTOR, TANH_FRACTIONAL_MEMRISTOR
from circuits.devices.passive import resistor
from circuits.devices.sources import voltage_source
from circuits.netlist import build_deck
from circuits.network import Drive, Network, Output, Trainable
from circuits.topologies.directed import TANH_TRANSFER

_LIBRARY = search().library
pytestmark = pytest.mark.skipif(
    not openvaf.available() or _LIBRARY is None or not _LIBRARY.features.osdi,
    reason="no Verilog-A compiler, or an ngspice without OSDI",
)
DURATION, BAND = 1e-6, {"low": 1e5, "high": 1e9}
CUBIC = CUBIC_FRACTIONAL_MEMRISTOR.element("m", "a", "0", conductance=1e-3, cubic=1e7, **BAND)
TANH = TANH_FRACTIONAL_MEMRISTOR.element("m", "a", "0", conductance=1e-3, saturation=2e-4, **BAND)
ELEMENTS = {e.device.kind: e for e in (CUBIC, TANH)}
NAMES = {CUBIC.device.kind: ("conductance", "cubic"), TANH.device.kind: ("conductance", "saturation")}


def plan(element: Element, veriloga: bool = True) -> DynamicPlan:
    """An element behind a resistor and a driven source; its law's parameters are trained."""
    front = (voltage_source("s", "in", driven=True), resistor("r", "in", "a", conductance=1e-2))
    trained = tuple(Trainable("m", p, 1e-9, 1e12) for p in NAMES[element.device.kind])
    made = Network("loop", (*front, element), (Drive("s", 0),), (Output("a"),), trained)
    return DynamicPlan(made, DURATION, DURATION / 2000, realisation="veriloga" if veriloga else "behavioural")


def drive(amplitude: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    times = np.linspace(0.0, DURATION, 1001)
    return times, (amplitude * np.sin(2 * np.pi * 2 * times / DURATION))[:, None]


def free(phases: DynamicPhases) -> Waveforms:
    return phases.free(sampled(*drive()))


def apart(one: Waveforms, other: Waveforms) -> float:
    """Largest difference of any saved vector as a share of its peak."""
    assert one.names == other.names
    np.testing.assert_array_equal(one.time, other.time)
    peaks = np.abs(one.values).max(axis=0)
    differences = np.abs(one.values - other.values).max(axis=0)
    assert (differences[peaks == 0.0] == 0.0).all()  # of the node at which the current is sensed
    return float((differences[peaks > 0.0] / peaks[peaks > 0.0]).max())


@pytest.mark.parametrize("kind", ELEMENTS)
def test_both_realisations_are_the_same_fractional_memristor(kind: str, session: Session) -> None:
    """Voltages and ladder states over two periods in which the law is far from linear."""
    linear = ELEMENTS[kind].replace(**({"cubic": 0.0} if kind == CUBIC.device.kind else {"saturation": 1e3}))
    waves = []
    for element, veriloga in ((ELEMENTS[kind], False), (ELEMENTS[kind], True), (linear, True)):
        phases = DynamicPhases(plan(element, veriloga), session)
        lines = phases.circuit.deck.lines
        assert [line.lower().split()[0] for line in lines if line[0] in "BN"] == [f"{'bn'[veriloga]}m_law"]
        waves.append(free(phases))
    sources, compiled, straight = waves
    assert apart(sources, compiled) < 1e-8
    assert apart(straight, compiled) > 0.05


@pytest.mark.parametrize("kind", ELEMENTS)
def test_altering_a_compiled_transfer_is_building_it_anew(kind: str, session: Session) -> None:
    made = plan(ELEMENTS[kind])
    loaded = DynamicPhases(made, session)
    assert loaded.targets == tuple(f"@nm_law[p_{p}]" for p in NAMES[kind])
    before = free(loaded)
    moved = made.network.parameters * np.array([1.1, 0.8])
    loaded.update(moved)
    altered = free(loaded)
    fresh = free(DynamicPhases(replace(made, network=made.network.with_parameters(moved)), session))
    assert apart(altered, fresh) == 0.0
    assert apart(altered, before) > 1e-2


@pytest.mark.parametrize("kind", ELEMENTS)
def test_adjoint_gradients_of_compiled_transfers(kind: str, session: Session) -> None:
    """Against central differences of compiled runs."""
    times, wave = drive()
    batch, loss = DynamicBatch(times, wave[None], [0.3 * wave]), WaveformMSE(times)
    phases = DynamicPhases(plan(ELEMENTS[kind]), session)
    found = AdjointTask(batch, 0, loss).run(phases)[1]
    start = phases.network.parameters
    wanted = []
    for k, value in enumerate(start):
        ends = []
        for sign in (1, -1):
            phases.update(np.where(np.arange(len(start)) == k, value * (1 + sign * 1e-4), start))
            ends.append(phases.evaluate(batch, loss)[0][0])
        wanted.append((ends[0] - ends[1]) / 2e-4)
    assert np.linalg.norm(found * start - wanted) < 1e-3 * np.linalg.norm(wanted)


def test_a_compiled_transfer_is_its_law_and_takes_no_current(session: Session) -> None:
    """`v = 0.5 tanh(2 u / 0.5)` at operating points, whatever it is loaded with, behind 1 MOhm."""
    network = Network(
        "loop",
        (
            voltage_source("s", "in", driven=True), resistor("r", "in", "a", conductance=1e-6),
            TANH_TRANSFER.element("m", "o", "0", "a", "0", scale=0.5, gain=2.0),
            resistor("l", "o", "0", conductance=1e-2),
        ),
        (Drive("s", 0),), (Output("o"),),
    )  # fmt: skip
    circuit = session.load(build_deck(network, nudges=False, realisation="veriloga", saves=("v(o)", "v(a)")))
    for u in (-0.7, 0.0, 0.05, 0.3):
        found = circuit.operating_point([constant(np.array([u]))])
        np.testing.assert_allclose(found, [0.5 * np.tanh(4.0 * u), u], rtol=1e-6, atol=1e-9)
