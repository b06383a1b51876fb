"""Generated Verilog-A against `B` sources, another integrator and finite differences; users' own files."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from scipy.integrate import solve_ivp

from bridge.dynamics import DynamicPhases, DynamicPlan
from bridge.errors import (
    ConvergenceError,
    LibraryError,
    SimulationError,
    SpecError,
    UnsupportedElementError,
)
from bridge.estimators.adjoint import AdjointTask
from bridge.estimators.base import DynamicBatch
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice import openvaf
from bridge.ngspice.drives import constant, sampled
from bridge.ngspice.engine import Engine
from bridge.ngspice.library import search
from bridge.ngspice.session import Session
from bridge.simulator import Simulator
from bridge.waveforms import Waveforms
from circuits.adjoint import adjoint
from circuits.devices.base import Element, Parameter, State, U
from circuits.devices.behavioural import (
    EXPONENTIAL_DIODE,
    JUNCTION_CAPACITOR,
    POLYNOMIAL_INDUCTOR,
    Behavioural,
    symbol,
)
from circuits.devices.passive import capacitor, resistor
from circuits.devices.sources import voltage_source
from circuits.devices.veriloga import generated_module, verilog_a_element
from circuits.netlist import Realisation, build_deck
from circuits.network import Drive, Network, Output, Trainable

_LIBRARY = search().library
pytestmark = pytest.mark.skipif(
    not openvaf.available() or _LIBRARY is None or not _LIBRARY.features.osdi,
    reason="no Verilog-A compiler, or an ngspice without OSDI",
)


@dataclass(frozen=True)
class Compiling(Behavioural):
    """A device that prefers to be compiled."""

    compiled_by_default = True


def _device(kind: str, law: sp.Expr, rate: sp.Expr, **values: float) -> Behavioural:
    fields = tuple(Parameter(k, "1", v) for k, v in values.items())
    return Compiling(kind, ("p", "n"), fields, law=law, states=(State("x", rate, "x0"),))


X = symbol("x")
_P = {n: symbol(n) for n in ("ron", "Roff", "kon", "koff", "aon", "aoff", "von", "voff", "g", "Vt", "k")}
THRESHOLDS = _device(
    "thresholds",
    U / (_P["ron"] + (_P["Roff"] - _P["ron"]) * X),
    4 * X * (1 - X) * sp.Piecewise(
        (_P["koff"] * (U / _P["voff"] - 1) ** _P["aoff"], sp.Gt(U, _P["voff"])),
        (_P["kon"] * (U / _P["von"] - 1) ** _P["aon"], sp.Lt(U, _P["von"])),
        (0, True),
    ),
    ron=50.0, Roff=1000.0, kon=-3.3e8, koff=1.7e6, aon=2.5, aoff=1.0, von=-0.2, voff=0.02, x0=0.4,
)  # fmt: skip
"""Voltage thresholds and powers, like VTEAM."""
SINHES = _device(
    "sinhes",
    _P["g"] * X * sp.sinh(3 * U),
    _P["k"] * X * (1 - X) * sp.Piecewise(
        (sp.exp(U / _P["Vt"]) - sp.exp(sp.Rational(1, 2)), sp.Gt(2 * U, _P["Vt"])),
        (-sp.exp(-U / _P["Vt"]) + sp.exp(sp.Rational(1, 2)), sp.Lt(2 * U, -_P["Vt"])),
        (0, True),
    ),
    g=1e-3, Vt=0.3, k=1e7, x0=0.3,
)  # fmt: skip
"""Exponential thresholds and a hyperbolic current, like Yakopcic's."""
DEVICES = {"thresholds": THRESHOLDS, "sinhes": SINHES}
T = {"thresholds": 2e-8, "sinhes": 1e-6}


def network(*elements: Element, trained: tuple[Trainable, ...] = (), series: float = 1e-2) -> Network:
    """Elements between node `a` and ground, behind a resistor and a driven source."""
    front = (voltage_source("s", "in", driven=True), resistor("r", "in", "a", conductance=series))
    return Network("loop", (*front, *elements), (Drive("s", 0),), (Output("a"),), trained)


def cycle(kind: str, realisation: Realisation, session: Session, steps: int = 2000) -> Waveforms:
    """One cycle of hysteresis."""
    duration = T[kind]
    plan = DynamicPlan(network(DEVICES[kind].element("m", "a", "0")), duration, duration / steps)
    return swept(replace(plan, realisation=realisation), session)


def swept(plan: DynamicPlan, session: Session) -> Waveforms:
    times = np.linspace(0.0, plan.duration, 1001)
    drive = 0.7 * np.sin(2 * np.pi * times / plan.duration)
    return DynamicPhases(plan, session).free(sampled(times, drive[:, None]))


def apart(one: Waveforms, other: Waveforms) -> float:
    """Largest difference of any saved vector as a share of its peak."""
    assert one.names == other.names
    np.testing.assert_array_equal(one.time, other.time)
    return float((np.abs(one.values - other.values).max(axis=0) / np.abs(one.values).max(axis=0)).max())


@pytest.mark.parametrize("kind", DEVICES)
def test_both_realisations_are_the_same_circuit(kind: str, session: Session) -> None:
    sources, compiled = (cycle(kind, r, session) for r in ("behavioural", "veriloga"))
    moved = np.ptp(compiled["v(m_x)"])
    assert moved > 0.2
    assert apart(sources, compiled) < 1e-8


def thresholds(u: float, x: float) -> float:
    """Rate of `THRESHOLDS` [1/s], written out."""
    speed = 0.0
    if u > 0.02:
        speed = 1.7e6 * (u / 0.02 - 1.0)
    elif u < -0.2:
        speed = -3.3e8 * (-u / 0.2 - 1.0) ** 2.5
    return speed * 4 * x * (1 - x)


def sinhes(u: float, x: float) -> float:
    """Rate of `SINHES` [1/s], written out."""
    speed = np.sign(u) * (np.exp(abs(u) / 0.3) - np.exp(0.5)) if abs(u) > 0.15 else 0.0
    return float(1e7 * x * (1 - x) * speed)


EQUATIONS = {
    "thresholds": (lambda u, x: u / (50.0 + 950.0 * x), thresholds, 0.4),
    "sinhes": (lambda u, x: 1e-3 * x * np.sinh(3 * u), sinhes, 0.3),
}


@pytest.mark.parametrize("kind", DEVICES)
def test_the_compiled_device_is_its_equations(kind: str, session: Session) -> None:
    waves = cycle(kind, "veriloga", session)
    law, rate, start, duration = *EQUATIONS[kind], T[kind]
    times = np.linspace(0.0, duration, 1001)

    def across(t: float, x: float) -> float:
        source = np.interp(t, times, 0.7 * np.sin(2 * np.pi * times / duration))
        low, high = -1.0, 1.0
        for _ in range(60):  # 1e-2 (source - u) = law(u, x), monotonic in u
            middle = 0.5 * (low + high)
            low, high = (middle, high) if 1e-2 * (source - middle) > law(middle, x) else (low, middle)
        return low

    exact = solve_ivp(
        lambda t, y: [rate(across(t, y[0]), y[0])], (0, duration), [start], method="LSODA",
        rtol=1e-8, atol=1e-10, dense_output=True, max_step=duration / 200,
    )  # fmt: skip
    assert np.abs(waves["v(m_x)"] - exact.sol(waves.time)[0]).max() < 1e-3


@pytest.mark.parametrize(
    "element",
    [
        JUNCTION_CAPACITOR.element("m", "a", "0", c0=1e-10, initial_voltage=0.1),
        POLYNOMIAL_INDUCTOR.element("m", "a", "0", l0=1e-6, a3=1e17, initial_flux=1e-10),
        EXPONENTIAL_DIODE.element("m", "0", "a", saturation_current=1e-9),
    ],
    ids=lambda e: e.device.kind,
)
def test_charges_fluxes_and_currents_are_the_same(element: Element, session: Session) -> None:
    """A charge has its start, and gives no impulse of current at the first point."""
    beside = capacitor("c", "a", "0", capacitance=1e-11, initial_voltage=0.1)
    loops = [
        swept(DynamicPlan(network(element, beside, series=1e-3), 1e-6, 2e-9, realisation=r), session)
        for r in ("behavioural", "veriloga")
    ]
    assert apart(*loops) < 1e-7


@pytest.mark.parametrize(
    ("law", "rate"),
    [
        (U / (1e3 * X), 1e6 * U),
        (U / 1e3, 1e6 * U / X),
        (1e-3 * U * sp.sqrt(X), 1e6 * U * X ** sp.Rational(1, 3)),
        (1e-3 * sp.sinh(U) / (1 + U**2), 1e6 * U * sp.sqrt(X * (1 - X))),
        (1e-9 * (sp.exp(U / 0.0258) - 1), 1e5 * U),
    ],
    ids=["1/x", "rate 1/x", "roots", "sinh", "exponential"],
)
def test_laws_that_are_singular_where_newtons_method_begins(
    law: sp.Expr, rate: sp.Expr, session: Session
) -> None:
    """All voltages are zero in the first iteration, states among them, whatever their start is."""
    element = _device("singular", law, rate, x0=0.5).element("m", "a", "0")
    plan = DynamicPlan(network(element, series=1e-3), 1e-6, 2e-9)
    loops = [swept(replace(plan, realisation=r), session) for r in ("behavioural", "veriloga")]
    assert np.ptp(loops[1]["v(m_x)"]) > 0.01
    assert apart(*loops) < 1e-8


def test_roots_of_negative_numbers_give_no_result(session: Session) -> None:
    element = _device("negative", 1e-3 * sp.sqrt(U), U, x0=0.5).element("m", "a", "0")
    with pytest.raises(ConvergenceError):
        swept(DynamicPlan(network(element), 1e-6, 1e-8, realisation="veriloga"), session)


def test_what_devices_prefer_and_what_a_plan_asks_for(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = network(SINHES.element("m", "a", "0"), EXPONENTIAL_DIODE.element("d", "a", "0"))
    plan = DynamicPlan(both, 1e-6, 1e-8)
    letters = {r: _letters(replace(plan, realisation=r)) for r in ("auto", "behavioural", "veriloga")}
    assert letters == {"auto": {"m": "N", "d": "B"}, "behavioural": {"m": "B", "d": "B"},
                       "veriloga": {"m": "N", "d": "N"}}  # fmt: skip
    monkeypatch.setenv(openvaf.VARIABLE, "/nowhere/openvaf-r")
    assert _letters(replace(plan)) == {"m": "B", "d": "B"}
    unknown = replace(plan, network=network(_device("fresh", X * U, U, x0=0.123).element("m", "a", "0")))
    with pytest.raises(openvaf.OpenVafError, match="/nowhere/openvaf-r: there is no such program"):
        session.load(replace(unknown, realisation="veriloga").deck())


def _letters(plan: DynamicPlan) -> dict[str, str]:
    lines = [line.split()[0] for line in plan.deck().lines]
    return {name: next(w[0] for w in lines if w[0] in "BN" and w[1:] == name) for name in ("m", "d")}


TRAINED = tuple(
    Trainable("m", p, -1e12, 1e12) for p in ("ron", "Roff", "kon", "koff", "aon", "aoff", "von", "voff", "x0")
)


def test_altering_a_loaded_circuit_is_building_it_anew(session: Session) -> None:
    start = network(THRESHOLDS.element("m", "a", "0"), trained=TRAINED)
    moved = start.parameters * np.linspace(0.9, 1.1, len(TRAINED))
    plan = DynamicPlan(start, 2e-8, 1e-10, realisation="veriloga")
    loaded = DynamicPhases(plan, session)
    assert loaded.targets[1] == "@nm[p_roff]"
    times = np.linspace(0.0, 2e-8, 201)
    drive = sampled(times, 0.7 * np.sin(2 * np.pi * times / 2e-8)[:, None])
    before = loaded.free(drive)
    loaded.update(moved)
    altered = loaded.free(drive)
    fresh = DynamicPhases(replace(plan, network=start.with_parameters(moved)), session).free(drive)
    assert apart(altered, fresh) == 0.0
    assert apart(altered, before) > 1e-2
    loaded.update(start.parameters)
    assert apart(loaded.free(drive), before) == 0.0


@pytest.mark.parametrize("kind", DEVICES)
def test_adjoint_gradients_of_compiled_devices(kind: str, session: Session) -> None:
    """Against central differences of compiled runs, every parameter by its own size."""
    device, duration = DEVICES[kind], T[kind]
    fixed = {"aon": 3.0, "aoff": 1.0} if kind == "thresholds" else {}
    names = [p.name for p in device.parameters if p.name not in fixed]
    trained = tuple(Trainable(m, p, -1e12, 1e12) for m in ("m", "o") for p in names)
    net = network(
        device.element("m", "a", "b", **fixed), device.element("o", "b", "0", x0=0.6, **fixed),
        capacitor("c", "b", "0", capacitance=duration * 1e-4), trained=trained,
    )  # fmt: skip
    times = np.linspace(0.0, duration, 401)
    drive = (0.9 * np.sin(2 * np.pi * times / duration))[:, None]
    loss = WaveformMSE(times)
    batch = DynamicBatch(times, drive[None], [0.3 * drive])
    phases = DynamicPhases(DynamicPlan(net, duration, duration / 2000, realisation="auto"), session)
    assert _count(phases.circuit.deck.lines, "N") == 2
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
    assert np.linalg.norm((found - wanted) * scale) < 1e-4 * np.linalg.norm(np.array(wanted) * scale)


def _count(lines: tuple[str, ...], letter: str) -> int:
    return sum(line.startswith(letter) for line in lines)


def test_workers_simulate_what_this_process_does() -> None:
    net = network(SINHES.element("m", "a", "0"), trained=(Trainable("m", "g", 1e-6, 1.0),))
    plan = DynamicPlan(net, 1e-6, 2e-9, realisation="auto")
    times = np.linspace(0.0, 1e-6, 101)
    drives = np.stack([a * np.sin(2e6 * np.pi * times)[:, None] for a in (0.4, 0.7)])
    batch = DynamicBatch(times, drives, [0.3 * d for d in drives])
    with Simulator(plan, workers=2) as simulator:
        losses, _ = simulator.evaluate(batch, WaveformMSE(times))
    here, _ = DynamicPhases(plan).evaluate(batch, WaveformMSE(times))
    np.testing.assert_array_equal(losses, here)


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Path, str, str]:
    """The generated text of a device as a user's file, under a name of its own."""
    module = generated_module(SINHES, 1e-8)
    name = f"own_{tmp_path.name.lower()}".replace("-", "_")
    text = module.sources[0][1].replace(module.name, name)
    return tmp_path / "own.va", name, text


@pytest.mark.parametrize(("flipped", "low", "high"), [(False, 0.0, 1e-8), (True, 0.1, 10.0)])
def test_a_wrong_sign_of_the_rate_shows(
    exported: tuple[Path, str, str], session: Session, flipped: bool, low: float, high: float
) -> None:
    """The generated text as a user's own file is the same circuit; with the rate's sign changed it is not."""
    file, name, text = exported
    assert text.count("I(s_0) <+ -(") == 1
    file.write_text(text.replace("I(s_0) <+ -(", "I(s_0) <+ (") if flipped else text)
    element = verilog_a_element(
        "m", file, name, ("a", "0", "m_x"), {"p_g": 1e-3, "p_vt": 0.3, "p_k": 1e7}, {"tg_size": 1e-9}
    )
    held = capacitor("m_x", "m_x", "0", capacitance=1e-9, initial_voltage=0.3)
    own = swept(DynamicPlan(network(element, held), T["sinhes"], T["sinhes"] / 500), session)
    wanted = cycle("sinhes", "behavioural", session, 500)
    assert low <= np.abs(own["v(m_x)"] - wanted["v(m_x)"]).max() <= high


RESISTOR = """\
`include "disciplines.vams"
`include "parts/law.inc"
module {name}(A, B);
inout A, B;
electrical A, B;
(* type="instance" *) parameter real Rho = 1e3 from (0:inf);
parameter real Gain = 1.0;
analog I(A, B) <+ `LAW;
endmodule
"""


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "law.inc").write_text("`define LAW Gain*V(A, B)/Rho\n")
    file = tmp_path / "resistor.va"
    file.write_text(RESISTOR.format(name="own_resistor"))
    return file


def test_a_users_own_module(user_file: Path, session: Session) -> None:
    """Both kinds of parameters arrive, and those of the instance can be altered."""
    element = verilog_a_element("m", user_file, "own_resistor", ("a", "0"), {"Rho": 300.0}, {"Gain": 2.0})
    other = verilog_a_element("o", user_file, "own_resistor", ("a", "0"), {}, {"Gain": 0.5})
    net = network(element, other, trained=(Trainable("m", "Rho", 1.0, 1e6),))
    circuit = session.load(build_deck(net, saves=("v(a)",)))

    def divider(rho: float) -> float:
        return 1e-2 / (1e-2 + 2.0 / rho + 0.5 / 1e3)

    assert circuit.operating_point([constant([1.0])])[0] == pytest.approx(divider(300.0), rel=1e-9)
    circuit.alter([element.device.alter_target(element, "Rho")], [150.0])
    assert circuit.operating_point([constant([1.0])])[0] == pytest.approx(divider(150.0), rel=1e-9)
    circuit.alter(["@nm[rho]"], [-1.0])
    with pytest.raises(SimulationError, match="out of bounds"):
        circuit.operating_point([constant([1.0])])
    with pytest.raises(UnsupportedElementError, match="m: the derivative of a Verilog-A module own_resistor"):
        adjoint(net)


@pytest.mark.parametrize(
    ("change", "wish", "message"),
    [
        (
            ("", ""),
            {"parameters": {"Rhoo": 1.0}},
            r"resistor.va: .* no instance parameter 'Rhoo'; has: m, rho",
        ),
        (("", ""), {"model_parameters": {"Gian": 1.0}}, r"no model parameter 'Gian'; has: gain"),
        (("", ""), {"parameters": {"Gain": 1.0}}, r"'Gain'; it is a parameter of the model"),
        (("", ""), {"nodes": ("a",)}, r"resistor.va: the module '\w+' has 2 terminals, not 1"),
        (
            ("", ""),
            {"module": "own_nothing"},
            r"resistor.va: there is no module 'own_nothing'; the file has: own",
        ),
        (("inout A, B;", "inout A, B"), {}, r"resistor.va:5: unexpected token"),
        (("`LAW", "`NOLAW"), {}, r"resistor.va:8: "),
        (("parts/law.inc", "parts/absent.inc"), {}, r"resistor.va:2: failed to read 'parts/absent.inc'"),
    ],
)
def test_what_is_wrong_in_a_users_file_is_one_line(
    user_file: Path, session: Session, change: tuple[str, str], wish: dict[str, object], message: str
) -> None:
    name = "own_wrong"
    text = RESISTOR.format(name=name)
    user_file.write_text(text.replace(*change) if change[0] else text)
    given = {"module": name, "nodes": ("a", "0"), **wish}
    element = verilog_a_element("m", user_file, **given)  # type: ignore[arg-type]
    rest = () if len(element.nodes) == 2 else (resistor("g", "a", "0", conductance=1.0),)
    with pytest.raises(SpecError, match=message) as caught:
        session.load(build_deck(network(element, *rest)))
    assert "\n" not in str(caught.value)


def test_another_module_of_the_same_name_is_refused(user_file: Path, session: Session) -> None:
    """ngspice would go on with the first one."""
    name = "own_twice"
    for value, refused in (("1e3", False), ("2e3", True)):
        user_file.write_text(RESISTOR.format(name=name).replace("1e3", value))
        deck = build_deck(network(verilog_a_element("m", user_file, name, ("a", "0"))))
        if refused:
            with pytest.raises(LibraryError, match="another Verilog-A module 'own_twice'"):
                session.load(deck)
        else:
            session.load(deck)


def test_a_cache_in_a_folder_with_blanks(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And parameters called like names in the module's text."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "my own cache"))
    flow = symbol("t_0") * X * U
    fresh = _device("blanks", flow / (1 + flow), 1e6 * flow * U, t_0=2e-3, x0=0.5)
    net = network(fresh.element("m", "a", "0"), capacitor("c", "a", "0", capacitance=1e-9))
    loops = [swept(DynamicPlan(net, 1e-6, 1e-8, realisation=r), session) for r in ("behavioural", "veriloga")]
    assert apart(*loops) < 1e-8


def test_an_ngspice_without_osdi_says_so(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    library = session.engine.library
    features = replace(library.features, osdi=False)
    monkeypatch.setattr(session.engine, "library", replace(library, version="39", features=features))
    fresh = _device("without_osdi", X * U, U, x0=0.5)
    deck = build_deck(network(fresh.element("m", "a", "0")), realisation="veriloga")
    with pytest.raises(LibraryError, match=r"ngspice 39 .* loads no compiled Verilog-A"):
        session.load(deck)


def test_a_plain_deck_runs_beside_its_compiled_module(user_file: Path, tmp_path: Path) -> None:
    binary = Engine.get().library.binary
    if binary is None:
        pytest.skip("no ngspice program")
    element = verilog_a_element("m", user_file, "own_resistor", ("a", "0"), {"Rho": 300.0}, {"Gain": 2.0})
    deck = build_deck(network(element), nudges=False, saves=("v(a)",))
    (tmp_path / "deck.cir").write_text(deck.plain({"vs": 1.0}, ".op"))
    compiled = openvaf.compile_module(deck.modules[0])
    (tmp_path / "resistor.osdi").write_bytes(compiled.path.read_bytes())
    done = subprocess.run(
        [str(binary), "-b", "deck.cir"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={**os.environ},
    )  # fmt: skip
    value = next(line for line in done.stdout.splitlines() if line.startswith("v(a) ="))
    assert float(value.split("=")[1]) == pytest.approx(1e-2 / (1e-2 + 2.0 / 300.0), rel=1e-9)


def test_a_foundrys_transistor_model(session: Session) -> None:
    """PSP 103.6 of IHP's open kit: its n-channel current follows the gate, and is that of its width."""
    kit = importlib.util.find_spec("ihp")
    places = kit.submodule_search_locations if kit is not None else None
    file = Path(next(iter(places or ("",)))) / "models" / "ngspice" / "va" / "psp103" / "psp103.va"
    if not file.is_file():
        pytest.skip("the package ihp-gdsfactory is not installed")
    card = {"TYPE": 1.0, "VFBO": -0.9, "TOXO": 2e-9, "UO": 0.035}
    currents = []
    for width in (1e-6, 2e-6):
        element = verilog_a_element(
            "m", file, "PSP103VA", ("d", "g", "0", "0"), {"W": width, "L": 1e-6}, card
        )
        sources = (voltage_source("g", "g", driven=True), voltage_source("d", "d", dc=1.0))
        net = Network("mos", (*sources, element), (Drive("g", 0),))
        circuit = session.load(build_deck(net, saves=("i(vd)",)))
        currents.append([-circuit.operating_point([constant([v])])[0] for v in (0.0, 0.6, 1.2)])
    narrow, wide = np.array(currents)
    assert (np.diff(narrow) > 0).all()
    assert narrow[2] > 1e3 * max(narrow[0], 1e-15)
    np.testing.assert_allclose(wide[2] / narrow[2], 2.0, rtol=0.02)
