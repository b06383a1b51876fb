"""Files of the user's own devices: equations, what is refused, identity, limits."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import sympy as sp

from bridge import cli
from bridge.errors import NetworkError, SpecError
from bridge.experiment.build import Experiment
from bridge.experiment.device_file import load_device
from bridge.experiment.spec_own import SHIPPED
from bridge.ngspice import openvaf
from bridge.updates.programming.spec import load_program
from bridge.validation.devices.registry import names, subject
from bridge.validation.devices.subjects import MemristorSubject, OpaqueSubject, TwoTerminalSubject
from circuits.devices.equations import read_equation
from circuits.devices.memristors.base import Memristor
from circuits.network import Network

SYMBOLS = {n: sp.Symbol(n, real=True) for n in ("u", "g", "v0", "x")}
VALUES = {"u": 0.7, "g": 2.5, "v0": 0.3, "x": -1.25}

LAW = """\
device: mine
parameters:
  g: {value: 100uS, unit: S, lower: 0, source: measured}
  v0: {value: 0.2V, unit: V, lower: 1mV}
law: {current: g * v0 * sinh(u / v0)}
cycle: {positive: 0.5V, period: 1us}
"""
DRIFT = """\
device: drift
parameters:
  ron: {value: 100, unit: Ohm, lower: 1}
  roff: {value: 16k, unit: Ohm, lower: 1}
  speed: {value: 1e4, unit: 1/(V s)}
  x0: {value: 0.3, lower: 0, upper: 1}
law:
  current: u / (ron * x + roff * (1 - x))
  states:
    x: {rate: speed * u * x * (1 - x), initial: x0}
cycle: {positive: 1V, period: 1ms}
"""
TUNNEL = """\
`include "disciplines.vams"
`include "constants/own.vams"
module tunnel(p, n);
  inout p, n;
  electrical p, n;
  (* type="instance" *) parameter real g = 1e-4 from (0:inf);
  parameter real v0 = 0.2 from (0:inf);
  analog I(p, n) <+ `SIGN * g * v0 * sinh(V(p, n) / v0);
endmodule
"""
FILES = {
    "mine.yaml": LAW,
    "drift.yaml": DRIFT,
    "tunnel.va": TUNNEL,
    "constants/own.vams": "`define SIGN 1\n",
    "tunnel.yaml": LAW.replace("mine", "tunnel") + "verilog_a: {file: tunnel.va}\n",
    "clamp.sub": ".include diodes.inc\n.subckt clamp a b r=10k\nR1 a m {r}\nD1 m b small\n.ends\n",
    "diodes.inc": ".model small d(is=1e-9 n=1.5)\n",
    "deck.cir": "title\nVin in 0 0\nR1 out 0 1k\nR2 mid 0 1k\n",
    "signals.csv": "time,x,target:out\n0,0,0\n1e-6,1,1\n",
    "waves.yaml": """\
name: waves
circuit:
  netlist: deck.cir
  inputs: {x: Vin}
  outputs: [out]
  elements:
    M1: {device: mine.yaml, nodes: [in, out], parameters: {g: 2e-4}}
    M2: {device: tunnel.yaml, nodes: [in, mid]}
    M3: {device: clamp.sub, nodes: [in, mid]}
  trainable: [R1, {element: M1, parameter: g}, M3.r1]
data: {waveforms: signals.csv}
loss: {kind: mse}
analysis: {kind: transient, duration: 1us, step: 1ns}
""",
    "static.yaml": """\
name: static
circuit: {topology: layered, hidden: [2], synapse: {kind: memristor, device: drift.yaml}}
data: {source: xor}
loss: {kind: mse}
""",
    "clamped.yaml": """\
name: clamped
circuit: {topology: layered, hidden: [2], diode: {device: clamp.sub, offset: 0.1}}
data: {source: xor}
loss: {kind: mse}
""",
    "program.yaml": "name: p\ndevice: {device: drift.yaml}\narray: {rows: 2, columns: 2}\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with devices of all kinds and experiments that use them."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("g * sinh(u / v0)", 2.5 * math.sinh(0.7 / 0.3)),
        ("-u**2", -(0.7**2)),
        ("2**3**2 + u", 512.7),
        ("x**3", -(1.25**3)),
        ("g if u > v0 else x", 2.5),
        ("g if u < v0 else (x if x >= 0 else -x)", 1.25),
        ("max(u, x) + min(u, x)", 0.7 - 1.25),
        ("abs(x) * sqrt(g) * log(g) * exp(-u)", 1.25 * math.sqrt(2.5) * math.log(2.5) * math.exp(-0.7)),
        ("sin(pi * u) + 1e-3 * atan(cosh(u)) + tanh(cos(u))",
         math.sin(math.pi * 0.7) + 1e-3 * math.atan(math.cosh(0.7)) + math.tanh(math.cos(0.7))),
        ("sqrt(2) * exp(1) * u", math.sqrt(2) * math.e * 0.7),
    ],
)  # fmt: skip
def test_equations_mean_what_they_say(text: str, value: float) -> None:
    found = read_equation(text, SYMBOLS).subs({SYMBOLS[k]: v for k, v in VALUES.items()})
    assert float(found) == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('touch X')", "functions are exp, log"),
        ("u.__class__", "this has no place in an equation"),
        ("[u for u in (1, 2)]", "this has no place"),
        ("(lambda: 1)()", "functions are"),
        ("exp(*g)", "functions are"),
        ("'u'", "only numbers and names"),
        ("u ^ 2", "write [*][*] for a power"),
        ("u // 2", "operators are"),
        ("u > 1", "a condition stands in"),
        ("1 if u else 2", "a condition compares two values"),
        ("1 if 0 < u < 1 else 2", "a condition compares two values"),
        ("exp(u, g)", "exp takes 1 argument"),
        ("gg * u", "'gg' is neither a parameter nor a state; did you mean 'g'?"),
        ("10k * u", "is no equation at column"),
        ("u +", "is no equation"),
        ("9**9**9**9 * u", "cannot be read"),
        ("sqrt(-1) * u", "math domain error|nonnegative"),
        ("u / 0", "cannot be read|no real number"),
        ("u**1e9", "exponents are at most"),
        ("(" * 60 + "u" + ")" * 60 + "+u" * 300, "at most 400 parts"),
        ("-" * 100 + "u", "nested deeper"),
        ("u" * 3000, "at most 2000 characters"),
    ],
)
def test_other_text_is_refused_and_never_run(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=message) as refused:
        read_equation(text, SYMBOLS)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "X").exists()
    assert not Path("X").exists()


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("mine", "sinh(u", "sinh(w", "mine.yaml:5: law.current: 'g * v0 * sinh(w / v0)': 'w' is neither"),
        ("mine", "law:", "laws:", "mine.yaml:5: laws: unknown key; did you mean 'law'?"),
        ("mine", "100uS", "100uV", "mine.yaml:3: parameters.g.value: '100uV' is in volts"),
        ("mine", "lower: 0,", "lower: 1,", "mine.yaml:3: parameters.g.value: 0.0001 S is outside"),
        ("mine", "device: mine", "device: yakopcic", "mine.yaml:1: device: 'yakopcic' is a device that"),
        ("mine", "law: {current: g * v0 * sinh(u / v0)}", "", "needs law, verilog_a or subcircuit"),
        ("mine", "sinh(u / v0)", "u", None),
        ("mine", "* v0 * sinh(u / v0)", "* u", "mine.yaml:4: parameters.v0: is in no equation; leave it out"),
        ("mine", "v0:", "exp:", "mine.yaml:4: parameters.exp: the name means something else"),
        ("mine", "v0:", "G:", "mine.yaml:4: parameters.G: is there already as 'g'"),
        ("mine", "period", "periods", "mine.yaml:6: cycle.periods: unknown key"),
        ("mine", "{positive", "{kind: triangle, positive", "mine.yaml:6: cycle: devices without states get"),
        ("mine", "period", "negative: 1V, period", "cycle.negative: laws without states get a sine with"),
        ("mine", "cycle", "memristive: true\ncycle", "mine.yaml:6: memristive: has no effect beside law"),
        ("mine", "cycle", "bias: {q: 1V}\ncycle", "mine.yaml:6: bias.q: is no terminal behind the first two"),
        ("drift", "initial: x0", "initial: y0", "drift.yaml:10: law.states.x.initial: 'y0' is no parameter"),
        ("drift", "cycle: {positive: 1V, period: 1ms}", "", "cycle: needs a period in which the states move"),
        ("drift", "  states", "  charge: u * ron\n  states", "law.charge: beside states there can be no"),
        ("tunnel", "file: tunnel.va", "file: none.va", "tunnel.yaml:7: verilog_a.file: file not found"),
        ("tunnel", "file: tunnel.va", "file: tunnel.va, module: t", "there is no module 't'; the file has"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_line_and_key(
    folder: Path, name: str, old: str, new: str, message: str | None
) -> None:
    file = folder / f"{name}.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    if message is None:
        load_device(file)
        return
    with pytest.raises(SpecError) as refused:
        load_device(file)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (".control\nshell touch X\n.endc", "clamp.sub:2: .control is refused"),
        ("shell touch X", "clamp.sub:2: the command shell is refused"),
        (".include /etc/hosts", "clamp.sub:2"),
        (".include ../outside.inc", "clamp.sub:2"),
        (".lib x.lib tt", "clamp.sub:2: .lib is refused"),
        (".model q d_source(input_file=/etc/hosts)", "clamp.sub:2"),
        (".osdi x.osdi", "clamp.sub:2: .osdi is refused"),
    ],
)
def test_nothing_in_a_subcircuit_runs(
    folder: Path, line: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder.parent / "outside.inc").write_text(".model small d(is=1e-9)\n")
    file = folder / "clamp.sub"
    file.write_text(file.read_text().replace("\n", f"\n{line}\n", 1))
    monkeypatch.chdir(folder)
    for arguments in (["validate", "clamp.sub"], ["netlist", "waves.yaml"]):
        monkeypatch.setattr(sys, "argv", ["tellegen", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr().err.strip()
        assert end.value.code == 2
        assert message in said
        assert "\n" not in said
    assert not (folder / "X").exists()
    assert not (folder / "validation").exists()


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("tunnel.va", "V(p, n)", "V(p, q)", "tunnel.va:8: 'q' was not found"),
        ("tunnel.va", "parameter real v0", "parameter real v1", "tunnel.va:8: 'v0' was not found"),
        ("tunnel.yaml", "  v0:", "  v1: {value: 1}\n  v0:", "tunnel.yaml:4: parameters.v1: is in no"),
        ("clamp.sub", "R1 a m {r}", "R1 a m {q}", "clamp.sub:3"),
        ("clamp.sub", ".ends", "", "clamp.sub:2"),
    ],
)  # fmt: skip
def test_a_wrong_file_ends_with_status_2_and_leaves_nothing(
    folder: Path, name: str, old: str, new: str, message: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if name == "tunnel.va" and not openvaf.available():
        pytest.skip("no Verilog-A compiler")
    file = folder / name
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    monkeypatch.chdir(folder)
    asked = "clamp.sub" if name == "clamp.sub" else "tunnel.yaml"
    monkeypatch.setattr(sys, "argv", ["tellegen", "validate", asked])
    with pytest.raises(SystemExit) as end:
        cli.main()
    told = capsys.readouterr()
    assert end.value.code == 2
    assert message in told.err
    assert "\n" not in told.err.strip()
    assert not told.out
    assert not (folder / "validation").exists()


def test_verilog_a_reads_nothing_outside_of_its_folder(folder: Path) -> None:
    (folder / "tunnel.va").write_text(TUNNEL.replace("constants/own.vams", "/etc/hosts"))
    with pytest.raises(SpecError, match=r"tunnel.va:2: `include .*must be relative"):
        load_device(folder / "tunnel.yaml")


def test_what_a_file_is_decides_what_is_validated(folder: Path) -> None:
    kinds = {
        "mine.yaml": TwoTerminalSubject, "drift.yaml": MemristorSubject, "tunnel.yaml": OpaqueSubject,
        "tunnel.va": OpaqueSubject, "clamp.sub": OpaqueSubject,
    }  # fmt: skip
    for name, kind in kinds.items():
        assert isinstance(subject(str(folder / name)), kind)
    ports = load_device(folder / "tunnel.yaml").place("t", ("a", "b"))[0]
    assert [p.name for p in ports.device.parameters] == ["g"]  # v0 is the model's
    assert ports.model is not None
    assert ports.model.get("v0", 0.0) == 0.2
    changed = subject(str(folder / "mine.yaml"), {"g": 2e-4})
    assert isinstance(changed, TwoTerminalSubject)
    assert changed.element.value("g") == 2e-4
    with pytest.raises(SpecError, match="has no parameter 'h'"):
        subject(str(folder / "mine.yaml"), {"h": 1.0})


def test_no_own_device_takes_the_name_of_one_that_ships() -> None:
    assert {name.partition(":")[0] for name in names()} <= SHIPPED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("peak: {maximum: 1}", "specifications.peak: is not measured; choose from: peak current"),
        ("peak current: {maximum: 5V}", "specifications.peak current.maximum: '5V' is in volts"),
        ("peak current: {maximum: 5mA, unit: V}", "specifications.peak current.unit: is 'V'; the quantity"),
        ("peak current: {minimum: 5mA, maximum: 1mA}", "minimum: 0.005 is above the maximum 0.001"),
        ("peak current: {}", "needs minimum, typical or maximum"),
        ("set voltage: {maximum: 1V}", "is not measured"),  # without states
    ],
)
def test_limits_are_checked(folder: Path, text: str, message: str) -> None:
    file = folder / "mine.yaml"
    file.write_text(file.read_text() + f"specifications:\n  {text}\n")
    with pytest.raises(SpecError) as refused:
        subject(str(file))
    assert f"{file}:8: specifications" in str(refused.value)
    assert message in str(refused.value)


def test_limits_with_units_reach_the_sheet(folder: Path) -> None:
    file = folder / "drift.yaml"
    limits = "  peak current: {minimum: 1mA, typical: 2mA, maximum: null}\n  asymmetry: {maximum: 0.3}\n"
    file.write_text(file.read_text() + f"specifications:\n{limits}")
    found = subject(str(file), limits={"asymmetry": {"maximum": 0.4}})
    assert isinstance(found, MemristorSubject)
    assert dict(found.limits["peak current"]) == {"minimum": 1e-3, "typical": 2e-3, "maximum": None}
    assert found.limits["asymmetry"] == {"maximum": 0.4}  # the command's replaces the file's


def test_the_sense_of_a_loop_follows_from_the_equations(folder: Path) -> None:
    rising = subject(str(folder / "drift.yaml"))
    file = folder / "drift.yaml"
    file.write_text(file.read_text().replace("speed * u", "-speed * u"))
    falling = subject(str(file))
    assert isinstance(rising, MemristorSubject)
    assert isinstance(falling, MemristorSubject)
    assert (rising.polarity, falling.polarity) == (1, -1)


def built(file: Path) -> Network:
    loaded = Experiment.load(file)
    return loaded.network(loaded.data())


def test_experiments_and_programming_files_take_them(folder: Path) -> None:
    network = built(folder / "waves.yaml")
    assert [t.label for t in network.trainable] == ["R1.conductance", "M1.g", "xM3_R1.conductance"]
    assert network.element("M1").value("g") == 2e-4
    assert network.element("M2").device.kind == "Verilog-A module tunnel"
    clamped = {e.name: e.nodes for e in built(folder / "clamped.yaml").elements}
    assert clamped["xup_h1_0_R1"][0] == "h1_0"
    assert clamped["xdn_h1_0_R1"][0] == "cn"
    synapse = next(e for e in built(folder / "static.yaml").elements if e.name.startswith("w1_"))
    assert synapse.device.kind == "drift_static"
    array, _ = load_program(folder / "program.yaml").build()
    assert isinstance(array.device, Memristor)
    assert array.device.kind == "drift"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("waves", "[in, out]", "[in, ouf]", "waves.yaml:2: circuit: elements: M1: the netlist has no node"),
        ("waves", "[in, out]", "[in, out, 0]", "waves.yaml:7: circuit.elements.M1.nodes: mine has 2"),
        ("waves", "{g: 2e-4}", "{h: 2e-4}", "waves.yaml:7: circuit.elements.M1.parameters: mine has no"),
        ("waves", "{g: 2e-4}", "{g: -2e-4}", "circuit.elements.M1.parameters: g = -0.0002 S is outside"),
        ("waves", "M2: {", "R1: {", "elements: R1: the netlist has an element of that name"),
        ("waves", "mine.yaml", "deck.cir", "circuit.elements.M1.device: "),
        ("clamped", "clamp.sub", "drift.yaml", "circuit.diode.device: drift has states; give it a place in"),
        ("clamped", "clamp.sub,", "clamp.sub, emission: 1,", "emission: has no effect beside device"),
        ("static", "drift.yaml", "mine.yaml", "circuit.synapse.device: "),
        ("static", "drift.yaml", "tunnel.yaml", "a synapse is a law at a frozen state"),
        ("static", "device: drift.yaml", "device: drift.yaml, model: vteam", "model: has no effect beside"),
        ("static", "device: drift.yaml", "device: drift.yaml, parameters: {x0: 1}", "has no effect"),
        ("static", "kind: memristor, ", "", "circuit.synapse.device: has no effect for resistors"),
    ],
)  # fmt: skip
def test_wrong_uses_are_told_with_line_and_key(
    folder: Path, name: str, old: str, new: str, message: str
) -> None:
    file = folder / f"{name}.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(SpecError) as refused:
        built(file)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("mine.yaml", "# a remark\n"),
        ("tunnel.yaml", "# a remark\n"),
        ("tunnel.va", "// a remark\n"),
        ("constants/own.vams", "// a remark\n"),
        ("clamp.sub", "* a remark\n"),
        ("diodes.inc", "* a remark\n"),
    ],
)
def test_the_content_of_every_file_is_in_the_runs_identity(folder: Path, name: str, change: str) -> None:
    before = Experiment.load(folder / "waves.yaml").hash
    other = Experiment.load(folder / "static.yaml").hash
    clamped = Experiment.load(folder / "clamped.yaml").hash
    (folder / name).write_text((folder / name).read_text() + change)
    assert Experiment.load(folder / "waves.yaml").hash != before
    assert Experiment.load(folder / "static.yaml").hash == other
    used = name in ("clamp.sub", "diodes.inc")
    assert (Experiment.load(folder / "clamped.yaml").hash != clamped) == used


def test_where_devices_lie_is_not_in_the_runs_identity(folder: Path, tmp_path: Path) -> None:
    before = [Experiment.load(folder / n).hash for n in ("waves.yaml", "static.yaml")]
    elsewhere = tmp_path / "elsewhere"
    for name in FILES:
        (elsewhere / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).rename(elsewhere / name)
    assert [Experiment.load(elsewhere / n).hash for n in ("waves.yaml", "static.yaml")] == before
    (elsewhere / "drift.yaml").write_text(DRIFT.replace("16k", "15k"))
    assert Experiment.load(elsewhere / "static.yaml").hash != before[1]
