"""Transistors whose model is compiled Verilog-A: a user's own against its equations, PSP103 of SG13G2."""

from __future__ import annotations

import re
from pathlib import Path

import ekv
import numpy as np
import pytest
import transistor_checks as tc

from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.errors import NetworkError, SpecError, UnsupportedElementError
from bridge.estimators.adjoint import AdjointNetwork, AdjointTask
from bridge.estimators.base import Batch, DynamicBatch
from bridge.estimators.finite_difference import DifferenceTask
from bridge.estimators.operating_point import OperatingPointAdjoint, OperatingPointTask
from bridge.losses import MeanSquaredError
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice.drives import Signals, constant
from bridge.ngspice.session import Session
from bridge.phases import StaticPhases
from bridge.plans import StaticPlan
from bridge.transistors import linearisation
from bridge.waveforms import Waveforms
from circuits.deck import Deck, SolverOptions
from circuits.devices import cards, cards_veriloga
from circuits.devices.base import ModelCard
from circuits.devices.mosfet import mosfet
from circuits.devices.passive import capacitor, resistor
from circuits.devices.sources import voltage_source
from circuits.network import Drive, Network, Output, Trainable
from circuits.topologies import technology as te
from circuits.topologies.transistor import transistor_network

pytestmark = tc.needs_compiler
VOLT, SLOPE, CURRENT, CHARGE = 0.0258, 1.3, 2e-6, 3e-15


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The user's Verilog-A and his cards."""
    code, models = tmp_path / "ekv.va", tmp_path / "ekv.sp"
    code.write_text(ekv.MODULE)
    models.write_text(ekv.CARDS)
    return models, code


def user_card(files: tuple[Path, Path], channel: str) -> ModelCard:
    return cards_veriloga.load_compiled(
        files[0], f"{channel[0]}ekv", files[1], channel=channel, width="width", length="span"
    )


def bench(model: ModelCard, w: float, l: float) -> Network:  # noqa: E741
    device = mosfet("m", *tc.ENDS, model=model, w=w, l=l)
    sources = [voltage_source(f"v{t}", t, driven=True) for t in tc.ENDS]
    return Network("one", (device, *sources), tuple(Drive(s.name, k) for k, s in enumerate(sources)))


def linearised(network: Network, volts: np.ndarray, session: Session) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of currents [S] and charges [F] by d, g, b at one bias."""
    plan = DynamicPlan(network, 1.0, 1.0, options=SolverOptions(reltol=1e-9))
    phases = DynamicPhases(plan, session)
    free = Waveforms(
        np.zeros(1), phases.circuit.operating_point([constant(volts)])[None], phases.circuit.deck.saves
    )
    _, g, c = linearisation(phases, free)
    return g[0, 0], c[0, 0]


@pytest.mark.parametrize("channel", ["nmos", "pmos"])
@pytest.mark.parametrize("volts", [(0.3, 0.75, 0.0, -0.1), (0.05, 0.8, 0.45, -0.1), (0.5, 0.25, 0.02, 0.0)])
def test_the_linearisation_of_a_users_module_is_that_of_its_equations(
    files: tuple[Path, Path], channel: str, volts: tuple[float, ...], session: Session
) -> None:
    sign = 1.0 if channel == "nmos" else -1.0
    size = CURRENT if channel == "nmos" else CURRENT / 2
    network = bench(user_card(files, channel), 2e-6, 1e-6)
    found_g, found_c = linearised(network, sign * np.array(volts), session)

    d, g, s, b = volts  # derivatives do not change with the sign of all voltages and currents
    pinch = (g - b - 0.4) / SLOPE
    exponents = [np.exp((pinch - (v - b)) / (2 * VOLT)) for v in (s, d)]
    f, r = (np.log1p(e) for e in exponents)
    df, dr = (2 * x * e / (1 + e) / (2 * VOLT) for x, e in zip((f, r), exponents, strict=True))
    k = size * 2.0
    by_d, by_g, by_b = k * dr, k * (df - dr) / SLOPE, k * (df - dr) * (1 - 1 / SLOPE)
    wanted = np.array([[by_d, by_g, by_b], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(found_g, wanted, atol=1e-5 * np.abs(wanted).max())

    own, side = CHARGE * (1 + g - b), 0.3 * CHARGE
    wanted = np.array([[side, -side, 0], [-side, own + side, -own], [0, -own, own]])
    np.testing.assert_allclose(found_c, wanted, atol=1e-7 * own)


def test_transistors_in_parallel_and_a_width_that_is_altered(
    files: tuple[Path, Path], session: Session
) -> None:
    model = user_card(files, "nmos")
    network = bench(model, 2e-6, 1e-6)
    device = network.element("m")
    volts = np.array([0.5, 0.8, 0.0, 0.0])
    circuit = tc.load(session, network)
    once = tc.currents(circuit, volts)[0]
    circuit.alter([device.device.alter_target(device, "w")], [6e-6])
    assert tc.currents(circuit, volts)[0] == pytest.approx(3 * once, rel=1e-7)
    several = Network("m3", (device.replace(m=3.0), *network.elements[1:]), network.drives)
    assert tc.currents(tc.load(session, several), volts)[0] == pytest.approx(3 * once, rel=1e-7)


def test_wrong_files_and_uses_are_named(files: tuple[Path, Path], session: Session, tmp_path: Path) -> None:
    models, code = files
    with pytest.raises(SpecError, match=r"ekv.sp: there is no model 'nekw' of a module in ekv.va; did you"):
        cards_veriloga.load_compiled(models, "nekw", code, channel="nmos")
    with pytest.raises(SpecError, match="nekv: the card sets no type=1 or type=-1; tell the channel"):
        cards_veriloga.load_compiled(models, "nekv", code)
    with pytest.raises(SpecError, match=r"no.va: there is no such file"):
        cards_veriloga.load_compiled(models, "nekv", tmp_path / "no.va", channel="nmos")
    with pytest.raises(NetworkError, match="'a b' is no name in Verilog-A"):
        cards_veriloga.compiled_card(code, "ekv", channel="nmos", parameters={"a b": 1.0})
    wrong = cards_veriloga.compiled_card(code, "ekv", channel="nmos", width="weite")
    with pytest.raises(SpecError, match=r"ekv.va: 'ekv' has no instance parameter 'weite'"):
        tc.load(session, bench(wrong, 1e-6, 1e-6))
    network = bench(user_card(files, "nmos"), 1e-6, 1e-6)
    gates = (Trainable("m", "w", 1e-7, 1e-5),)
    trained = Network("n", network.elements, network.drives, (Output("d"),), gates)
    with pytest.raises(UnsupportedElementError, match="a model in Verilog-A is not proportional to w"):
        OperatingPointAdjoint().check(StaticPlan(trained))
    plain = StaticPlan(Network("n", network.elements, network.drives, (Output("d"),)))
    with pytest.raises(UnsupportedElementError, match="m: its model is compiled Verilog-A, of which no rep"):
        OperatingPointAdjoint("reported").check(plain)


# --- networks -----------------------------------------------------------------------------------------


def user_technology(files: tuple[Path, Path]) -> te.Technology:
    own = (user_card(files, "nmos"), user_card(files, "pmos"))
    return te.Technology(*own, length=1e-6, synapse_width=2e-6, pair_width=2e-5, tail_width=1e-5)


def static_error(technology: te.Technology, session: Session) -> float:
    """The adjoint gradient of a small network against differences."""
    network = transistor_network(2, [2], 1, technology=technology, seed=4)
    batch = Batch(network.drive_values(np.array([[-1, 1], [1, 1.0]])), np.array([[0.03], [-0.03]]))
    plan = StaticPlan(network)
    OperatingPointAdjoint().check(plan)
    phases = StaticPhases(plan, session)
    places = tuple(range(0, len(network.trainable), 3))
    wanted = DifferenceTask(batch, MeanSquaredError(), places, 3e-4).run(phases)
    found = OperatingPointTask(batch, MeanSquaredError(), "auto").run(phases)[2][list(places)] / len(batch)
    assert np.abs(wanted).min() > 0
    return tc.error(found, wanted)


def amplifier(n: ModelCard, p: ModelCard, w: float, l: float, supply: float) -> Network:  # noqa: E741
    """A pass transistor, its gate on a capacitor, into the gate of an amplifier with a p-channel load."""
    size = {"w": w, "l": l}
    elements = (
        voltage_source("x", "x", driven=True),
        voltage_source("vd", "vd", dc=supply),
        voltage_source("vb", "bb", dc=-0.1 * supply),
        capacitor("cg", "g1", "0", capacitance=2e-14, initial_voltage=0.8 * supply),
        mosfet("m1", "x", "g1", "a", "bb", model=n, **size),
        mosfet("m2", "o", "a", "0", "bb", model=n, **size),
        mosfet("m3", "o", "o", "vd", "vd", model=p, **size),
        resistor("ra", "a", "0", conductance=2e-5),
        capacitor("ca", "a", "0", capacitance=5e-15),
        capacitor("co", "o", "0", capacitance=5e-15),
    )
    trained = [Trainable(s, "dc", -5.0, 5.0) for s in ("vb", "vd")]
    trained += [Trainable("cg", "initial_voltage", 0.0, 5.0), Trainable("ra", "conductance", 1e-9, 1e-3)]
    return Network("amp", elements, (Drive("x", 0),), (Output("o"), Output("a")), tuple(trained))


def transient_errors(network: Network, supply: float, session: Session) -> tuple[float, float]:
    """The adjoint gradient of a transient against extrapolated differences, with and without charges."""
    duration = 4e-9
    times = np.linspace(0, duration, 101)
    x = supply * (0.4 + 0.4 * np.sin(2 * np.pi * 2.3 * times / duration))
    target = supply * np.stack([0.5 + 0.2 * np.sin(9 * times / duration), 0.3 + 0 * times], axis=1)
    batch, loss = DynamicBatch(times, x[None, :, None], [target]), WaveformMSE(times)
    plan = DynamicPlan(network, duration, duration / 400, from_rest=True)
    AdjointNetwork().check(plan)
    phases, places = DynamicPhases(plan, session), tuple(range(len(network.trainable)))
    near, far = (DifferenceTask(batch, loss, places, step).run(phases) for step in (1e-3, 2e-3))
    found = AdjointTask(batch, 0, loss).run(phases)[1]
    phases.charges = False
    phases._adjoint = phases._playback = phases._transistors = None
    still = AdjointTask(batch, 0, loss).run(phases)[1]
    wanted, scale = (4 * near - far) / 3, np.abs(network.parameters)
    return tc.error(found, wanted, scale), tc.error(still, wanted, scale)


def test_the_gradient_of_a_users_module(files: tuple[Path, Path], session: Session) -> None:
    assert static_error(user_technology(files), session) < 1e-5
    network = amplifier(user_card(files, "nmos"), user_card(files, "pmos"), 4e-6, 1e-6, 1.0)
    found, without = transient_errors(network, 1.0, session)
    assert found < 1e-3
    assert without > 1e-2


@tc.needs_sg13g2
def test_the_gradient_of_psp(session: Session) -> None:
    """PSP103 as the process SG13G2 has it: operating points of a network, a transient."""
    assert static_error(te.sg13g2(), session) < 1e-5
    (n, w, l, supply), (p, *_) = tc.card("sg13g2"), tc.card("sg13g2", "pmos")  # noqa: E741
    found, without = transient_errors(amplifier(n, p, w, l, supply), supply, session)
    assert found < 1e-3
    assert without > 1e-2


@tc.needs_sg13g2
@pytest.mark.parametrize("kind", ["nmos", "pmos"])
def test_psps_linearisation_is_that_of_its_terminal_currents(kind: str, session: Session) -> None:
    """Conductances against differences of fourth order, charges against the current of a ramp."""
    network = tc.alone("sg13g2", kind)
    circuit = tc.load(session, network)
    for shares in ((0.3, 0.75, 0.0, -0.1), (0.05, 0.8, 0.45, -0.1), (0.5, 0.25, 0.02, 0.0)):
        volts = 1.2 * np.array(shares)
        volts = volts if kind == "nmos" else 1.2 - volts
        g, c = linearised(network, volts, session)
        wanted = tc.derivatives(circuit, volts)[np.ix_([0, 1, 3], [0, 1, 3])]
        assert np.abs(g - wanted).max() < 2e-6 * np.abs(wanted).max()
    times, middle, rate = np.array([0.0, 1e-10]), 5e-11, 1e9
    phases = DynamicPhases(DynamicPlan(network, 1e-10, 2.5e-13, from_rest=False), session)
    wanted = np.zeros((3, 3))
    for column, k in enumerate((0, 1, 3)):
        into = []
        for sign in (1.0, -1.0):
            ramp = volts + sign * rate * np.eye(4)[k] * (times[:, None] - middle)
            waves = phases.free(Signals((0, 1, 2, 3), ramp, times))
            into.append([-np.interp(middle, waves.time, waves[f"i(vv{t})"]) for t in ("d", "g", "b")])
        wanted[:, column] = (np.array(into[0]) - np.array(into[1])) / (2 * rate)
    assert np.abs(c - wanted).max() < 1e-3 * np.abs(wanted).max()


@tc.needs_sg13g2
@pytest.mark.parametrize("corner", ["nom", "ss"])
@pytest.mark.parametrize("kind", ["nmos", "pmos"])
def test_a_card_of_sg13g2_is_that_of_the_packages_own_subcircuit(
    kind: str, corner: str, session: Session, tmp_path: Path
) -> None:
    """The files as ngspice reads them, without the models of another module, for radio frequencies."""
    w, l = 2e-6, 2.5e-7  # noqa: E741
    own = cards_veriloga.sg13g2(f"lv_{kind}", w=w, l=l, corner=corner)
    sign = 1.0 if kind == "nmos" else -1.0
    volts = sign * np.array([0.5, 0.8, 0.0, -0.1])
    found = tc.currents(tc.load(session, bench(own, w, l)), volts)
    folder = cards.installed("ihp-gdsfactory", "psp103.va").parents[2] / "models"
    for name in [p.name for p in folder.glob("*MOSlv.lib")] + [p.name for p in folder.glob("*moslv_*.lib")]:
        text = (folder / name).read_text()
        (tmp_path / name).write_text(re.sub(r"(?m)^\.model \S+ pspnqs103va.*\n(\+.*\n)*", "", text))
    section = {"nom": "mos_tt", "ss": "mos_ss"}[corner]
    sources = tuple(f"V{t} {t} 0 {v}" for t, v in zip(tc.ENDS, volts, strict=True))
    lines = (f".lib {tmp_path / 'cornerMOSlv.lib'} {section}", f"X1 d g s b sg13_lv_{kind} w={w} l={l}")
    saves = tuple(f"i(v{t})" for t in tc.ENDS)
    theirs = session.load(Deck("t", (*lines, *sources), (), saves)).operating_point()
    assert abs(found[0]) > 1e-5
    np.testing.assert_allclose(found, -theirs, rtol=1e-6, atol=1e-15)


@tc.needs_sg13g2
def test_sizes_and_corners_outside_of_the_process() -> None:
    for wrong, message in (
        ({"w": 1e-6, "l": 1e-7}, "l = 1e-07 m is outside the model's 1.3e-07 to 1e-05 m"),
        ({"w": 2e-5}, "w = 2e-05 m is outside"),
        ({"w": 1e-6, "corner": "tt"}, "there is no corner 'tt'; choose one of: nom, ff"),
        ({"w": 1e-6, "name": "hv_nmos"}, "'hv_nmos' is not read"),
    ):
        with pytest.raises(SpecError, match=message):
            cards_veriloga.sg13g2(**wrong)  # type: ignore[arg-type]
