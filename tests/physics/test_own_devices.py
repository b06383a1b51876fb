"""The user's own devices from files: the same waveforms and gradients as shipped ones, and honest reports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bridge.dynamics import DynamicPlan
from bridge.errors import UnsupportedElementError
from bridge.estimators import AdjointNetwork, DynamicBatch, Equilibrium, OperatingPointAdjoint
from bridge.experiment.build import Experiment
from bridge.experiment.device_file import load_device
from bridge.experiment.record import DynamicSampleTask
from bridge.losses import WaveformMSE, make_loss
from bridge.ngspice import openvaf
from bridge.ngspice.library import search
from bridge.ngspice.session import Session
from bridge.plans import StaticPlan
from bridge.validation.devices import figures, gradient, hysteresis, opaque
from bridge.validation.devices.bench import Bench
from bridge.validation.devices.command import validate_devices
from bridge.validation.devices.content import Findings
from bridge.validation.devices.gradient import InProcess
from bridge.validation.devices.hysteresis import cycle
from bridge.validation.devices.registry import subject
from bridge.validation.devices.run import validate
from bridge.validation.devices.specification import sheet_for
from bridge.validation.devices.subjects import MemristorSubject, OpaqueSubject
from circuits.devices.base import Element
from circuits.devices.memristors import MEMRISTORS
from circuits.devices.passive import resistor
from circuits.devices.sources import voltage_source
from circuits.network import Drive, Network, Output, Trainable

_LIBRARY = search().library
compiled = pytest.mark.skipif(
    not openvaf.available() or _LIBRARY is None or not _LIBRARY.features.osdi,
    reason="no Verilog-A compiler, or an ngspice without OSDI",
)

# The law of Yakopcic et al., typed from the publication once more, with the values of Oblea's device.
OBLEA = """\
device: own_oblea
source: Yakopcic et al., IEEE Trans. CAD 32(8), 1201 (2013)
parameters:
  a1: {value: 0.17, unit: A, lower: 1e-15}
  a2: {value: 0.17, unit: A, lower: 1e-15}
  b: {value: 0.05, unit: 1/V, lower: 1e-6}
  vp: {value: 160mV, unit: V, lower: 0}
  vn: {value: 150mV, unit: V, lower: 0}
  ap: {value: 4000, unit: 1/s, lower: 0}
  an: {value: 4000, unit: 1/s, lower: 0}
  xp: {value: 0.3, lower: 0.01, upper: 0.99}
  xn: {value: 0.5, lower: 0.01, upper: 0.99}
  alphap: {value: 1, lower: 0}
  alphan: {value: 5, lower: 0}
  x0: {value: 0.11, lower: 0, upper: 1}
law:
  current: (a1 if u >= 0 else a2) * x * sinh(b * u)
  states:
    x:
      initial: x0
      rate: >-
        ap * (exp(u) - exp(vp))
        * (exp(-alphap * (x - xp)) * ((xp - x) / (1 - xp) + 1) if x > xp else 1) if u > vp
        else -an * (exp(-u) - exp(vn))
        * (exp(alphan * (x + xn - 1)) * x / (1 - xn) if x < 1 - xn else 1) if u < -vn
        else 0
cycle: {kind: sine, positive: 0.45V, period: 10ms}
specifications:
  peak current: {minimum: 3.39mA, typical: 3.42mA, maximum: 3.45mA, unit: A}
"""
BISTABLE = """\
device: bistable
parameters:
  gmin: {value: 1uS, unit: S, lower: 0}
  gmax: {value: 100uS, unit: S, lower: 0}
  rate: {value: 2000, unit: 1/s}
  x0: {value: 0.2, lower: 0, upper: 1}
law:
  current: (gmin + (gmax - gmin) * x) * sinh(3 * u) / 3
  states:
    x: {rate: rate * sinh(3 * u) * x * (1 - x), initial: x0}
cycle: {positive: 0.8V, period: 1ms}
"""
MODULE = """\
`include "disciplines.vams"
module bistable(p, n);
  inout p, n;
  electrical p, n, moved;
  (* type="instance" *) parameter real gmin = 1e-6;
  (* type="instance" *) parameter real gmax = 1e-4;
  (* type="instance" *) parameter real rate = 2e3;
  (* type="instance" *) parameter real x0 = 0.2;
  real x;
  analog begin
    x = x0 + V(moved);
    I(moved) <+ 1e-6 * (ddt(V(moved)) - rate * sinh(3 * V(p, n)) * x * (1 - x));
    I(p, n) <+ (gmin + (gmax - gmin) * x) * sinh(3 * V(p, n)) / 3;
  end
endmodule
"""
CLAMP = """\
.subckt clamp a b r=10k
R1 a m {r}
D1 m b small
D2 b m small
.model small d(is=1e-8 n=1.5)
.ends
"""


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


def found(file: Path, session: Session) -> dict[str, tuple[float | None, bool]]:
    outcome = validate(subject(str(file)), session)
    return {s.name: (s.value, s.passed) for s in outcome.specifications}


def divider(element: Element) -> tuple[DynamicPlan, DynamicBatch, WaveformMSE]:
    """A device behind a resistor, three of its parameters trained."""
    network = Network(
        "divider",
        (
            voltage_source("in", "a", driven=True),
            element,
            resistor("load", "b", "0", conductance=0.01),
        ),
        (Drive("in", feature=0),),
        (Output("b"),),
        (
            Trainable("m", "a1", 1e-2, 1.0),
            Trainable("m", "ap", 1e2, 1e5),
            Trainable("m", "x0", 0.01, 0.9),
        ),
    )  # fmt: skip
    time = np.linspace(0.0, 0.01, 201)
    volts = 0.6 * np.sin(2 * np.pi * time / 0.01)
    batch = DynamicBatch(time, volts[None, :, None], [0.3 * volts[:, None]])
    return DynamicPlan(network, 0.01, 1e-5), batch, WaveformMSE(time)


def test_an_own_law_is_the_shipped_device_of_the_same_equations(tmp_path: Path, session: Session) -> None:
    own = load_device(written(tmp_path, own__yaml=OBLEA) / "own.yaml")
    shipped = MEMRISTORS["yakopcic"].place("m", "a", "b", published="oblea")
    (mine,) = own.place("m", ("a", "b"))
    known = subject("yakopcic:oblea")
    assert isinstance(known, MemristorSubject)
    drive = cycle(known.published.stimulus)
    loops = []
    for element in (shipped, mine):
        grounded = Element("x", element.device, ("a", "0"), element.values)
        for realisation in ("behavioural", "auto"):
            loops.append(Bench(session, grounded, drive.duration, realisation=realisation).run(drive))  # type: ignore[arg-type]
    for loop in loops[1:]:
        np.testing.assert_allclose(loop.i, loops[0].i, atol=1e-9 * loops[0].peak)
        np.testing.assert_allclose(loop.states, loops[0].states, atol=1e-9)
    gradients = []
    for element in (shipped, mine):
        plan, batch, loss = divider(element)
        gradients.append(InProcess(plan).gradient(batch, loss, AdjointNetwork()).gradient)
    assert np.abs(gradients[0]).min() > 0.0
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-7)


def test_the_cycle_of_an_own_law_is_integrated_and_its_limits_are_tested(
    tmp_path: Path, session: Session
) -> None:
    file = written(tmp_path, own__yaml=OBLEA) / "own.yaml"
    for old, new, passes in (("", "", True), ("maximum: 3.45mA", "maximum: 3.4mA", False)):
        file.write_text(OBLEA.replace(old, new))
        own = subject(str(file))
        assert isinstance(own, MemristorSubject)
        findings = Findings(sheet_for(own.family, own.name, own.limits))
        loop, _ = hysteresis.compare(own, session, findings.sheet)
        figures.declared(loop, findings, own)
        error, peak = findings.sheet.found
        assert error.name == "current against integration"
        assert error.value is not None
        assert error.value < 1e-3
        assert peak.name == "peak current"
        assert peak.passed is passes
        assert peak.limit.typical == 3.42e-3


def test_a_law_without_states_is_compared_with_its_own_formula(tmp_path: Path, session: Session) -> None:
    """A current and a charge: the report is complete, and no claim is made that such a device cannot hold."""
    text = (
        "device: leaky\nparameters:\n"
        "  g: {value: 1uS, unit: S, lower: 0}\n  c: {value: 10p, unit: F, lower: 0}\n"
        "  k: {value: 3, unit: 1/V^2}\n"
        "law: {current: g * sinh(u), charge: c * (u + k * u**3 / 3)}\ncycle: {positive: 1V, period: 10us}\n"
    )
    outcome = validate(subject(str(written(tmp_path, own__yaml=text) / "own.yaml")), session)
    values = {s.name: s.value for s in outcome.specifications}
    assert outcome.passed, [s for s in outcome.specifications if not s.passed]
    assert "least power" not in values
    assert "energy not returned" not in values
    # What the conductance takes up: the integral of g u sinh(u) over a period; the charge gives all back.
    u = np.sin(2 * np.pi * np.linspace(0.0, 1.0, 100_001))
    assert values["energy of a cycle"] == pytest.approx(1e-6 * 1e-5 * np.mean(u * np.sinh(u)), rel=1e-3)
    assert values["order in the step"] is not None
    assert values["order in the step"] > 1.5


EVERYTHING = """\
device: everything
parameters:
  a: {value: 1e-4, unit: S, lower: 0}
  b: {value: 0.3, unit: V, lower: 0.01}
law:
  current: >-
    a * b * (sinh(u / b) + tanh(u) + atan(u / b) + sin(u) + u * cos(u) + u * cosh(u) + u * exp(-abs(u))
    + u * log(1 + u**2) + u * sqrt(b**2 + u**2) + max(u, 0) - max(-u, 0) * 0.5 + min(u, b) - min(0, b)
    + (u**3 if u > b else b**2 * u) + u**5 / pi)
cycle: {positive: 0.8V, period: 1us}
"""
MEMORY = """\
device: memory
parameters:
  gon: {value: 1e-4, unit: S, lower: 0}
  goff: {value: 1e-6, unit: S, lower: 0}
  k: {value: 900, unit: 1/s, lower: 0}
  vt: {value: 0.1, unit: V, lower: 0}
  x0: {value: 0.4, lower: 0, upper: 1}
  w0: {value: 0.1, lower: 0, upper: 1}
law:
  current: (gon * x + goff * (1 - x)) * u * (1 + 0.1 * sqrt(1 + u**2)) * (1 + 0.2 * w)
  states:
    x: {rate: "k * (max(u - vt, 0) + min(u + vt, 0)) * x * (1 - x) * exp(abs(u)) / vt", initial: x0}
    w: {rate: "k * (abs(u) * (1 - w) - w * (1 + tanh(u)))", initial: w0}
cycle: {positive: 0.8V, negative: 0.6V, period: 2ms}
"""


def test_every_function_of_equations_reaches_the_simulator_and_the_gradient(
    tmp_path: Path, session: Session
) -> None:
    own = found(written(tmp_path, own__yaml=EVERYTHING) / "own.yaml", session)
    assert all(passed for _, passed in own.values()), own
    assert own["current against formula"][0] < 1e-5  # type: ignore[operator]
    file = written(tmp_path, memory__yaml=MEMORY) / "memory.yaml"
    memory = subject(str(file))
    assert isinstance(memory, MemristorSubject)
    sheet = sheet_for(memory.family, memory.name)
    hysteresis.compare(memory, session, sheet)
    assert (sheet.found[0].value or 0.0) < 1e-4
    check = gradient.memristor(memory)["adjoint"]
    assert check.passed, check
    assert check.gradient is not None
    assert np.abs(check.gradient).min() > 0.0


@compiled
def test_own_verilog_a_is_compared_with_the_declared_equations(tmp_path: Path, session: Session) -> None:
    folder = written(tmp_path, own__yaml=BISTABLE + "verilog_a: {file: own.va}\n", own__va=MODULE)
    own = found(folder / "own.yaml", session)
    assert all(passed for _, passed in own.values()), own
    assert own["current against declared equations"][0] < 1e-4  # type: ignore[operator]
    assert {"two tones", "loop at high frequency", "least power"} <= set(own)
    assert "gradient error" not in own  # nobody knows the module's derivatives


@compiled
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("- rate * sinh", "+ rate * sinh"),  # the state goes the wrong way
        ("<+ (gmin", "<+ -(gmin"),  # the current too, and it gives power
        ("(gmax - gmin) * x)", "(gmax + gmin) * x)"),
        ("x * (1 - x))", "x * (1 - x * x))"),
    ],
)
def test_a_wrong_sign_in_own_verilog_a_fails(
    tmp_path: Path, session: Session, old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert old in MODULE
    name = f"bistable_{sum(new.encode())}"  # ngspice keeps the first module of a name
    module = MODULE.replace(old, new).replace("bistable", name)
    folder = written(tmp_path, own__yaml=BISTABLE + "verilog_a: {file: own.va}\n", own__va=module)
    monkeypatch.setattr(opaque, "_fingerprints", lambda *_: None)  # many cycles, of which none is needed
    own = subject(str(folder / "own.yaml"))
    assert isinstance(own, OpaqueSubject)
    findings = Findings(sheet_for(own.family, own.name, own.limits))
    opaque.validate(own, session, findings)
    failed = {s.name for s in findings.sheet.found if not s.passed}
    assert "current against declared equations" in failed
    assert ("least energy" in failed) == (old == "<+ (gmin")


@compiled
def test_a_parameter_that_the_module_uses_otherwise_is_found_at_the_corners(
    tmp_path: Path, session: Session
) -> None:
    """At the values of the file both say the same; a tenth away the module has a constant of its own."""
    text = (
        "device: tunnel\nparameters:\n  g: {value: 1e-4, lower: 0}\n  v0: {value: 0.2, lower: 0.01}\n"
        "law: {current: g * v0 * sinh(u / v0)}\nverilog_a: {file: own.va}\n"
        "cycle: {positive: 0.5V, period: 1us}\n"
    )
    module = (
        '`include "disciplines.vams"\nmodule stubborn(p, n);\ninout p, n;\nelectrical p, n;\n'
        "parameter real g = 1;\nparameter real v0 = 1;\n"
        "analog I(p, n) <+ g * v0 * sinh(V(p, n) / 0.2);\nendmodule\n"
    )
    own = found(written(tmp_path, own__yaml=text, own__va=module) / "own.yaml", session)
    assert {name for name, (_, passed) in own.items() if not passed} == {"corners against declared equations"}


@compiled
def test_three_realisations_of_one_device_give_the_same_waveforms(tmp_path: Path) -> None:
    """A law, the same as Verilog-A and as a subcircuit, each in an experiment's netlist."""
    law = (
        "device: own\nparameters:\n"
        "  g: {value: 2e-4, unit: S, lower: 0}\n  v0: {value: 0.2, unit: V, lower: 0.01}\n"
        "law: {current: g * v0 * sinh(u / v0)}\n"
    )
    module = (
        '`include "disciplines.vams"\nmodule own(p, n);\ninout p, n;\nelectrical p, n;\n'
        '(* type="instance" *) parameter real g = 1;\nparameter real v0 = 1;\n'
        "analog I(p, n) <+ g * v0 * sinh(V(p, n) / v0);\nendmodule\n"
    )
    circuit = ".subckt own a b g=1 v0=1\nB1 a b i={g}*{v0}*sinh(v(a,b)/{v0})\n.ends\n"
    written(
        tmp_path, law__yaml=law, module__va=module, circuit__sub=circuit,
        module__yaml=law + "verilog_a: {file: module.va}\n",
        circuit__yaml=law + "subcircuit: {file: circuit.sub}\n",
        deck__cir="title\nVin in 0 0\nR1 out 0 1k\nC1 out 0 1n\n",
        wave__csv="time,x,target:out\n" + "".join(
            f"{t:.3e},{0.6 * np.sin(t * 6e5):.6f},0\n" for t in np.linspace(0.0, 1e-5, 101)),
        run__yaml="name: run\ncircuit:\n  netlist: deck.cir\n  inputs: {x: Vin}\n  outputs: [out]\n"
        "  elements: {M1: {device: law.yaml, nodes: [in, out]}}\n"
        "  trainable: [R1]\ndata: {waveforms: wave.csv}\nloss: {kind: mse}\n"
        "analysis: {kind: transient, duration: 10us, step: 10ns}\n",
    )  # fmt: skip
    losses, gradients = [], []
    for name in ("law", "module", "circuit"):
        loaded = Experiment.load(tmp_path / "run.yaml", (f"circuit.elements.M1.device={name}.yaml",))
        split = loaded.data()
        simulator = InProcess(loaded.plan(loaded.network(split)))  # type: ignore[arg-type]
        batch = DynamicBatch(split.train.times, split.train.inputs, list(split.train.targets))  # type: ignore[union-attr]
        loss = WaveformMSE(split.train.times)  # type: ignore[union-attr]
        losses.append(simulator.evaluate(batch, loss)[0].mean())
        if name != "module":
            gradients.append(simulator.gradient(batch, loss, AdjointNetwork()).gradient)
    assert losses[0] > 1e-3
    np.testing.assert_allclose(losses, losses[0], rtol=1e-8)
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-6)


@compiled
def test_equilibrium_propagation_needs_no_derivative_of_a_nonlinearity(tmp_path: Path) -> None:
    """A Verilog-A module in place of diodes: its declared law says that it has a co-content.

    The simulation does the rest; the adjoint, which needs its derivative, refuses.
    """
    head = "device: soft\nparameters:\n  g: {value: 1e-5, unit: S, lower: 0}\n"
    law = f"{head}law: {{current: g * 0.1 * sinh(u / 0.1)}}\n"
    module = (
        '`include "disciplines.vams"\nmodule soft(p, n);\ninout p, n;\nelectrical p, n;\n'
        "parameter real g = 1;\nanalog I(p, n) <+ g * 0.1 * sinh(V(p, n) / 0.1);\nendmodule\n"
    )
    written(
        tmp_path, law__yaml=law, module__va=module, module__yaml=law + "verilog_a: {file: module.va}\n",
        bare__yaml=head + "verilog_a: {file: module.va}\n",
        run__yaml="name: run\ncircuit: {topology: layered, hidden: [3], gain: 4, diode: {device: law.yaml}}\n"
        "data: {source: xor, target: 0.3V}\nloss: {kind: mse}\n",
    )  # fmt: skip
    found = []
    for name in ("law", "module", "bare"):
        loaded = Experiment.load(tmp_path / "run.yaml", (f"circuit.diode.device={name}.yaml",))
        split = loaded.data()
        plan = loaded.plan(loaded.network(split))
        assert isinstance(plan, StaticPlan)
        simulator = InProcess(plan)  # type: ignore[arg-type]
        batch, loss = simulator.batch(split.train.inputs, split.train.targets), make_loss("mse")
        if name == "bare":
            with pytest.raises(UnsupportedElementError, match="is not reciprocal"):
                simulator.gradient(batch, loss, Equilibrium(beta=1e-7))
            continue
        found.append(simulator.gradient(batch, loss, Equilibrium(beta=1e-7)).gradient)
        if name == "law":
            exact = simulator.gradient(batch, loss, OperatingPointAdjoint()).gradient
        else:
            with pytest.raises(UnsupportedElementError):
                simulator.gradient(batch, loss, OperatingPointAdjoint())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6, atol=1e-9 * np.abs(found[0]).max())
    np.testing.assert_allclose(found[1], exact, rtol=1e-4, atol=1e-6 * np.abs(exact).max())


def test_a_third_terminal_is_held_at_its_bias(tmp_path: Path, session: Session) -> None:
    sub = ".subckt three d s g\nR1 d s 10k\nB1 d s i=1e-4*v(g,s)*tanh(v(d,s))\n.ends\n"
    peaks = []
    for bias in (0.0, 0.5):
        text = f"device: three\nsubcircuit: {{file: own.sub}}\nbias: {{g: {bias}}}\ncycle: {{period: 1us}}\n"
        outcome = validate(
            subject(str(written(tmp_path, own__sub=sub, own__yaml=text) / "own.yaml"),
                    limits={"peak current": {}}),
            session,
        )  # fmt: skip
        assert outcome.passed, [s for s in outcome.specifications if not s.passed]
        peaks.append(next(s.value for s in outcome.specifications if s.name == "peak current"))
        assert "gradient error" not in {s.name for s in outcome.specifications}
    assert peaks == [pytest.approx(1e-4), pytest.approx(1e-4 + 5e-5 * np.tanh(1.0))]


def test_a_subcircuit_is_measured_at_its_terminals(tmp_path: Path, session: Session) -> None:
    own = found(written(tmp_path, clamp__sub=CLAMP) / "clamp.sub", session)
    assert all(passed for _, passed in own.values()), own
    assert own["gradient error"][0] < 1e-4  # type: ignore[operator]
    assert "current against declared equations" not in own


@pytest.mark.parametrize(
    ("lines", "failing"),
    [
        ("R1 a b 10k\nR2 a 0 10k", {"sum of the terminal currents"}),
        ("R1 a b 10k\nB1 a b i=-1m*v(a,b)", {"least energy", "energy of a cycle"}),
        ("R1 a m 10k\nC1 m b 100n", set()),  # stores energy and gives it back: passive all the same
    ],
)
def test_leaks_to_ground_and_sources_of_power_are_found(
    tmp_path: Path, session: Session, lines: str, failing: set[str]
) -> None:
    own = found(written(tmp_path, own__sub=f".subckt own a b\n{lines}\n.ends\n") / "own.sub", session)
    assert {name for name, (_, passed) in own.items() if not passed} == failing


def test_a_loop_that_is_not_pinched_is_no_memristors(tmp_path: Path, session: Session) -> None:
    sub = ".subckt own a b\nR1 a m 10k\nC1 m b 10n\n.ends\n"
    text = "device: rc\nmemristive: true\nsubcircuit: {file: own.sub}\ncycle: {period: 1ms}\n"
    folder = written(tmp_path, own__sub=sub, own__yaml=text)
    assert not found(folder / "own.yaml", session)["pinched loop"][1]
    assert found(folder / "own.sub", session)["pinched loop"] == (pytest.approx(0.85, abs=0.15), True)


def test_the_command_validates_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "device: clamp\nsubcircuit: {file: clamp.sub}\nparameters:\n  r: {value: 5k, unit: Ohm, lower: 1}\n"
    )
    changed = "r: 20k\nspecifications:\n  peak current: {maximum: 1e-6}\n"
    written(tmp_path, clamp__sub=CLAMP, clamp__yaml=text, mine__yaml=changed)
    monkeypatch.chdir(tmp_path)
    assert validate_devices("clamp.yaml", parameters=Path("mine.yaml"), as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["device"] == "clamp"
    assert [s["name"] for s in told["specifications"] if not s["pass"]] == ["peak current"]
    peak = next(s["value"] for s in told["specifications"] if s["name"] == "peak current")
    assert 0.3 * 1.0 / 20e3 < peak < 1.0 / 20e3  # 1 V across 20 kOhm and a diode
    assert "tellegen validate clamp.yaml" in Path(told["report"]).read_text(encoding="utf-8")


def test_the_recorded_nudge_is_small_where_no_conductance_is_trained(tmp_path: Path) -> None:
    """Speeds are no conductances: of 2000 1/s, no current of kiloamperes follows."""
    own = load_device(written(tmp_path, own__yaml=BISTABLE) / "own.yaml")
    network = Network(
        "divider",
        (
            voltage_source("in", "a", driven=True),
            *own.place("m", ("a", "b")),
            resistor("load", "b", "0", conductance=1e-4),
        ),
        (Drive("in", feature=0),),
        (Output("b"),),
        (Trainable("m", "rate", 1e2, 1e5),),
    )
    time = np.linspace(0.0, 1e-3, 201)
    volts = 0.8 * np.sin(2 * np.pi * time / 1e-3)
    batch = DynamicBatch(time, volts[None, :, None], [0.3 * volts[:, None]])
    simulator = InProcess(DynamicPlan(network, 1e-3, 2e-6))
    found = simulator.pool.map([DynamicSampleTask(batch, WaveformMSE(time))])[0]
    assert 0.0 < found.current.max() < 0.01 * 0.8 * 1e-4
    free, up, down = (w["v(b)"] for w in found.waveforms)
    assert 0.0 < np.abs(up - free).max() < 0.1 * np.abs(free).max()
    assert 0.0 < np.abs(down - free).max() < 0.1 * np.abs(free).max()
