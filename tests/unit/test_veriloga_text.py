"""Verilog-A as text: expressions, generated modules, users' files; and the cache of compiled modules."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

from bridge import doctor
from bridge.errors import NetworkError, SpecError
from bridge.ngspice import openvaf
from bridge.ngspice.drives import constant
from bridge.ngspice.engine import Engine
from bridge.ngspice.session import Session
from circuits.deck import VerilogModule
from circuits.devices.base import Parameter, SpiceContext, State, U
from circuits.devices.behavioural import (
    JUNCTION_CAPACITOR,
    TANH_INDUCTOR,
    Behavioural,
    symbol,
    two_terminal,
)
from circuits.devices.diode import diode
from circuits.devices.passive import resistor
from circuits.devices.sources import voltage_source
from circuits.devices.veriloga import VerilogCard, generated_module, parameter_names, verilog_a_element
from circuits.devices.veriloga_expressions import verilog_expression
from circuits.devices.veriloga_source import read_sources, without_comments
from circuits.importer.subcircuit import subcircuit_elements
from circuits.netlist import build_deck, compiles
from circuits.network import Drive, Network

compiler = pytest.mark.skipif(not openvaf.available(), reason="no Verilog-A compiler")
A, B = symbol("a"), symbol("b")
LAWS = {
    "powers": U**3
    + (U + 9) ** -2
    + sp.Abs(U - A) ** 3
    + (U + 9) ** sp.Rational(5, 2)
    + (U + 9) ** -1.5
    - ((U + 9) / 8) ** 15,
    "parameters": (U + 9) ** A / (B * (U - 7)) - A**2 / B,
    "roots": sp.sqrt(U + 9) + 1 / sp.sqrt(U**2 + B),
    "signs": sp.sign(U) + sp.Max(U, A, B) - sp.Min(U, B) + sp.Abs(U),
    "waves": sp.sin(U) + sp.cos(A * U) + sp.atan(U) + sp.tanh(U / B) + sp.cosh(U) - sp.sinh(U),
    "exponentials": sp.exp(U) ** 2 / (1 + sp.exp(U)) + sp.log(U**2 + 1) + sp.exp(-(U**2)),
    "branches": sp.Piecewise((U * A, U > B), (U**2, U <= -B), (B, True))
    + 3 * sp.Piecewise((A, U > B), (0, True)),
    "both": sp.Piecewise((A, sp.And(U > -B, U < B)), (U, sp.Or(U > 1, sp.Ne(A, A + U))), (0, True)),
}
VALUES = {"a": 1.3, "b": 0.4}


@compiler
def test_compiled_laws_have_the_values_of_the_symbolic_ones() -> None:
    """Every function, at either side of every branch; a device of its own each, all in one circuit."""
    if not Engine.get().library.features.osdi:
        pytest.skip("no OSDI")
    elements = [voltage_source("s", "x", driven=True)]
    for name, law in LAWS.items():
        device = two_terminal(f"law_{name}", law, {"a": "1", "b": "1"})
        elements += [
            voltage_source(f"i_{name}", "x", f"n_{name}"),
            device.element(name, f"n_{name}", "0", **VALUES),
        ]
    saves = tuple(f"i(vi_{name})" for name in LAWS)
    deck = build_deck(
        Network("laws", tuple(elements), (Drive("s", 0),)), nudges=False, saves=saves, realisation="veriloga"
    )
    circuit = Session().load(deck)
    for u in (-2.0, -0.7, -0.2, 0.1, 0.5, 2.5):
        found = circuit.operating_point([constant([u])])
        wanted = [float(law.subs({U: u, A: VALUES["a"], B: VALUES["b"]})) for law in LAWS.values()]
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11, err_msg=f"u = {u}")


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(NetworkError, match="gamma"):
        verilog_expression(sp.gamma(U), {"u": "u"})
    with pytest.raises(NetworkError, match="the symbol 'a' of a device's law has no value"):
        verilog_expression(A * U, {"u": "u"})
    with pytest.raises(NetworkError, match="condition"):
        verilog_expression(sp.Piecewise((U, sp.Xor(U > A, U > B)), (0, True)), {"u": "u", "a": "a", "b": "b"})


def test_numbers_and_signs_are_safe() -> None:
    written = verilog_expression(-2 * U - 3 / (1 - U), {"u": "u"})
    assert "--" not in written
    assert "+-" not in written
    assert verilog_expression(sp.Rational(1, 3), {}) == "0.33333333333333331"
    assert verilog_expression(sp.Integer(-2), {}) == "(-2.0)"
    assert verilog_expression(U**3, {"u": "u"}) == "(u*u*u)"


def test_the_text_is_the_same_every_time() -> None:
    """Another process, another order of hashes: the module and its name must be found in the cache again."""
    code = (
        "from circuits.devices.behavioural import JUNCTION_CAPACITOR as j\n"
        "from circuits.devices.veriloga import generated_module as g\n"
        "import hashlib; print(hashlib.sha256(repr(g(j, 1e-8)).encode()).hexdigest())\n"
    )
    found = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        found.add(done.stdout)
    assert len(found) == 1


def test_one_module_a_family_with_its_terminals_and_parameters() -> None:
    device = Behavioural(
        "Two States!", ("p", "n"),
        (Parameter("Ron", "Ohm", 1.0), Parameter("ron", "Ohm", 1.0), Parameter("x0", "1", 0.5),
         Parameter("flow", "1", 1.0), Parameter("y0", "1", 0.5)),
        law=U / symbol("Ron") + symbol("ron") * symbol("y") + symbol("y0"),
        states=(State("x", U * symbol("flow"), "x0", 2.0), State("y", -symbol("x"), "y0")),
    )  # fmt: skip
    names = parameter_names(device)
    assert names == {"Ron": "p_ron", "ron": "p_ron_1", "flow": "p_flow", "y0": "p_y0"}
    module = generated_module(device)
    assert module.name.startswith("tg_two_states__")
    assert module.terminals == 4
    assert set(module.instance) == set(names.values())
    lines = device.element("m", "a", "0").spice(SpiceContext(compiled=True, time_scale=1e-6))
    assert [(li.letter, li.nodes) for li in lines] == [
        ("N", ("a", "0", "m_x", "m_y")), ("C", ("m_x", "0")), ("C", ("m_y", "0"))
    ]  # fmt: skip
    assert lines[1].body == "1e-9 ic=25e-2"
    compiled, sources = SpiceContext(compiled=True), SpiceContext()
    element = device.element("m", "a", "0")
    assert device.alter_target(element, "ron", compiled) == "@nm[p_ron_1]"
    assert device.alter_target(element, "x0", compiled) == device.alter_target(element, "x0", sources)
    assert device.alter_target(element, "ron", sources) == "@vpar_m_ron[dc]"


def test_a_deck_has_each_module_once_and_pickles() -> None:
    coils = [TANH_INDUCTOR.element(f"l{k}", "a", "0", l0=1e-6, saturation=1e-3 * (k + 1)) for k in range(3)]
    net = Network("coils", (resistor("r", "a", "0", conductance=1.0), diode("d", "a", "0"), *coils))
    deck = build_deck(net, realisation="veriloga")
    assert [m.name for m in deck.modules] == [generated_module(TANH_INDUCTOR, 1e-8).name]
    assert pickle.loads(pickle.dumps(deck)) == deck
    assert build_deck(net).modules == build_deck(net, realisation="auto").modules == ()
    assert not compiles(diode("d", "a", "0").device, "veriloga")
    with pytest.raises(NetworkError, match="realisation 'osdi': choose from auto, behavioural, veriloga"):
        build_deck(net, realisation="osdi")  # type: ignore[arg-type]


def test_a_card_has_no_parentheses() -> None:
    """ngspice loses the first parameter of `.model m kind(a=1 b=2)` where the kind is compiled Verilog-A."""
    assert VerilogCard("m", "kind", (("a", 1.0), ("b", 2.0))).line() == ".model m kind a=1 b=2"


# Users' files.


def test_a_file_is_read_with_what_it_includes(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.inc").write_text('`include "c.inc"\n')
    (tmp_path / "in" / "c.inc").write_text("real x;")
    file = tmp_path / "a.va"
    file.write_text(
        '`include "disciplines.vams"\n// `include "/etc/passwd"\n/* `include "../x" */`include "in/b.inc"'
    )
    assert [name for name, _ in read_sources(file)] == ["a.va", "in/b.inc", "in/c.inc"]
    assert without_comments('a // b\n"//c" /* d\ne */ f').split() == ["a", '"//c"', "f"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('\n`include "/etc/passwd"', r'a.va:2: `include "/etc/passwd": the path must be relative'),
        ('`include "../other.va"', r'a.va:1: `include "../other.va": the file lies outside of the folder'),
        ('`include "in/../../x.va"', r"the file lies outside"),
        ('`include "link.va"', r"the file lies outside"),
        ("\n\n`include `NAME", r"a.va:3: `include: write the file's name in quotes"),
        ('`include "in"', r'a.va:1: `include "in": this is not a plain file'),
    ],
)
def test_an_include_stays_in_the_files_folder(tmp_path: Path, text: str, message: str) -> None:
    own = tmp_path / "own"
    (own / "in").mkdir(parents=True)
    (tmp_path / "other.va").write_text("secret")
    (own / "link.va").symlink_to(tmp_path / "other.va")
    (own / "a.va").write_text(text)
    with pytest.raises(SpecError, match=message):
        read_sources(own / "a.va")


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"absent.va: there is no such file"):
        verilog_a_element("m", tmp_path / "absent.va", "m", ("a", "0"))
    (tmp_path / "b.va").write_bytes(b"a\0b")
    with pytest.raises(SpecError, match=r"b.va: this is not a text file"):
        verilog_a_element("m", tmp_path / "b.va", "m", ("a", "0"))
    (tmp_path / "c.va").write_text("module c(p, n); endmodule")
    for wrong in ({"module": "c; quit"}, {"parameters": {"a b": 1.0}}, {"model_parameters": {"a": np.inf}},
                  {"parameters": {"a": 1.0, "A": 2.0}}, {"parameters": {"a": np.nan}}):  # fmt: skip
        with pytest.raises(NetworkError):
            verilog_a_element("m", tmp_path / "c.va", **{"module": "c", "nodes": ("a", "0"), **wrong})  # type: ignore[arg-type]


def test_two_files_with_a_module_of_one_name(tmp_path: Path) -> None:
    elements = []
    for k in range(2):
        (tmp_path / f"{k}.va").write_text(f"module c(p, n); // {k}\nendmodule")
        elements.append(verilog_a_element(f"m{k}", tmp_path / f"{k}.va", "c", ("a", "0")))
    with pytest.raises(NetworkError, match="m1: two different Verilog-A modules are named 'c'"):
        build_deck(Network("n", tuple(elements)))


def test_all_that_elements_use_of_a_module_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "c.va"
    file.write_text("module c(p, n);\nendmodule")
    one = verilog_a_element("m1", file, "c", ("a", "0"), {"r": 1.0}, {"k": 2.0})
    two = verilog_a_element("m2", file, "c", ("a", "0"), {"s": 1.0}, {"k": 3.0, "l": 1.0})
    deck = build_deck(Network("n", (one, two)))
    (module,) = deck.modules
    assert (module.instance, module.model) == (("r", "s"), ("k", "l"))
    assert len([line for line in deck.lines if line.startswith(".model")]) == 2
    three = verilog_a_element("m3", file, "c", ("a", "0", "0"))
    with pytest.raises(NetworkError, match="m3: c is placed with different numbers of nodes"):
        build_deck(Network("n", (one, three)))


SUBCIRCUIT = """\
.model dd D(is=1e-12)
.subckt amp in out ref gain=10 rout=1k
E1 mid ref in ref {gain}
R1 mid out {rout}
D1 out ref dd
.ends
"""


def test_a_subcircuit_becomes_simple_elements(tmp_path: Path) -> None:
    (tmp_path / "amp.sub").write_text(SUBCIRCUIT)
    found = subcircuit_elements("x1", tmp_path / "amp.sub", "AMP", ("a", "b", "0"), {"gain": 3.0})
    assert [(e.name, e.device.kind, e.nodes) for e in found] == [
        ("x1_E1", "vcvs", ("x1_mid", "0", "a", "0")),
        ("x1_R1", "resistor", ("x1_mid", "b")),
        ("x1_D1", "diode", ("b", "0")),
    ]
    assert (found[0].value("gain"), found[1].value("conductance")) == (3.0, 1e-3)
    network = Network("amp", (voltage_source("s", "a", dc=0.1), *found))
    value = Session().load(build_deck(network, saves=("v(b)",))).operating_point()[0]
    flow = (0.3 - value) / 1e3
    assert flow == pytest.approx(1e-12 * np.expm1(value / 0.02586491), rel=1e-4, abs=1e-11)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"subcircuit": "amq"}, r"amp.sub: there is no .subckt 'amq'; did you mean 'amp'"),
        ({"nodes": ("a", "b")}, r"amp.sub:2: 'x1': the subcircuit 'amp' has 3 nodes, not 2"),
        ({"parameters": {"gian": 1.0}}, r"amp.sub:2: .* no parameter 'gian'; did you mean 'gain'"),
        ({"name": "amp"}, r"starts with x"),
        ({"nodes": ("a b", "b", "0")}, r"x1: node 'a b': letters, digits"),
        ({"file": "absent.sub"}, r"absent.sub"),
    ],
)
def test_an_instance_that_does_not_fit(tmp_path: Path, wish: dict[str, object], message: str) -> None:
    (tmp_path / "amp.sub").write_text(SUBCIRCUIT)
    given = {"name": "x1", "subcircuit": "amp", "nodes": ("a", "b", "0"), "file": "amp.sub", **wish}
    with pytest.raises((NetworkError, SpecError), match=message):
        subcircuit_elements(**{**given, "file": tmp_path / str(given["file"])})  # type: ignore[arg-type]


# The compiler and its cache.


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tellegen" / "osdi"


def a_module() -> VerilogModule:
    return generated_module(JUNCTION_CAPACITOR, 1e-8)


@compiler
def test_a_module_is_compiled_once(cache: Path) -> None:
    first = openvaf.compile_module(a_module())
    written = first.path.stat().st_mtime_ns
    assert first.terminals == {a_module().name: 3}
    assert openvaf.compile_module(a_module()) == first
    assert first.path.stat().st_mtime_ns == written
    assert sorted(p.suffix for p in cache.iterdir()) == [".json", ".osdi"]
    other = openvaf.compile_module(generated_module(TANH_INDUCTOR, 1e-8))
    assert other.key != first.key


@compiler
@pytest.mark.parametrize("damage", ["cut", "changed", "record", "gone"])
def test_a_damaged_entry_is_compiled_again(cache: Path, damage: str) -> None:
    found = openvaf.compile_module(a_module()).path
    whole = found.read_bytes()
    record = next(cache.glob("*.json"))
    if damage == "cut":
        found.write_bytes(whole[:1000])
    elif damage == "changed":
        found.write_bytes(whole[:5000] + b"\0\1\2\3" + whole[5004:])
    elif damage == "record":
        record.write_text('{"sha256": 3}')
    else:
        found.unlink()
    again = openvaf.compile_module(a_module()).path.read_bytes()
    assert len(again) == len(whole)
    assert again[:4] == b"\x7fELF"
    assert openvaf.compile_module(a_module()).path.read_bytes() == again


@compiler
def test_processes_that_compile_the_same_at_once(cache: Path) -> None:
    code = (
        "from bridge.ngspice import openvaf\n"
        "from circuits.devices.behavioural import JUNCTION_CAPACITOR as j\n"
        "from circuits.devices.veriloga import generated_module as g\n"
        "print(openvaf.compile_module(g(j, 1e-8)).path.stat().st_size)\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    sizes = {process.communicate(timeout=60)[0] for process in running}
    assert [process.returncode for process in running] == [0] * 4
    assert len(sizes) == 1
    assert openvaf.compile_module(a_module()).path.exists()
    assert not list(cache.glob(".build-*"))


@compiler
def test_a_compiler_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = openvaf.find_compiler().path
    fake = tmp_path / "openvaf-r"
    fake.write_text("#!/bin/sh\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setenv(openvaf.VARIABLE, str(fake))
    with pytest.raises(openvaf.OpenVafError, match="does not tell its version"):
        openvaf.find_compiler()
    assert not openvaf.available()
    assert "does not tell its version" in doctor.report()["verilog_a"]["message"]
    monkeypatch.setenv(openvaf.VARIABLE, str(real))
    assert openvaf.find_compiler().source == openvaf.VARIABLE
    assert doctor.report()["verilog_a"]["path"] == str(real)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(openvaf.OpenVafError, match="no linker `ld`"):
        openvaf.find_compiler()


@compiler
def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(openvaf.OpenVafError, match="set XDG_CACHE_HOME to a folder that can"):
        openvaf.compile_module(a_module())


@compiler
def test_what_the_compiler_says_about_generated_text(cache: Path) -> None:
    broken = VerilogModule("tg_x", (("tg_x.va", "module tg_x(p;\nendmodule\n"),))
    with pytest.raises(SpecError, match=r"tg_x \(generated\):1: "):
        openvaf.compile_module(broken)
    assert not list(cache.iterdir())
