"""The netlist importer: what it reads, what it refuses and how it says so; it never runs anything."""

from __future__ import annotations

import os
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.errors import NetworkError, SpecError
from circuits.importer import ImportedNetwork, import_netlist
from circuits.importer.arithmetic import evaluate
from circuits.importer.expressions import ExpressionError, parse, parse_source, spice_value
from circuits.netlist import build_deck

BASE = "V1 in 0 1\nR1 in out 1k\nR2 out 0 1k\n"


def read(
    folder: Path,
    text: str,
    inputs: Mapping[str, str] | None = None,
    outputs: Sequence[str] = (),
    trainable: Sequence[str | Mapping[str, Any]] = (),
) -> ImportedNetwork:
    path = folder / "deck.cir"
    path.write_text("title\n" + text)
    network = import_netlist(path, inputs=inputs or {}, outputs=outputs, trainable=trainable)
    assert isinstance(network, ImportedNetwork)
    return network


def lines(network: ImportedNetwork) -> list[str]:
    return list(build_deck(network, nudges=False).lines)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1M", 1e-3), ("1F", 1e-15), ("1Meg", 1e6), ("2.5MEGohm", 2.5e6), ("10uF", 1e-5), ("1e3k", 1e6),
        (".5", 0.5), ("5.", 5.0), ("-3n", -3e-9), ("+1G", 1e9), ("1a", 1e-18), ("1T", 1e12), ("2V", 2.0),
        ("1e-3m", 1e-6),
        ("4.7kOhm", 4700.0), ("3pico", 3e-12), ("1 ", None), ("1k5", None), ("1d3", None), ("mil", None),
        ("1mil", None), ("1e999999999", None), ("1e400", None), ("0x10", None), ("1µ", None), ("", None),
        ("-", None),
    ],
)  # fmt: skip
def test_numbers_are_those_of_spice(text: str, value: float | None) -> None:
    if value is None:
        with pytest.raises(ExpressionError):
            spice_value(text)
    else:
        assert spice_value(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2^3^2", 64.0), ("-2^2", -4.0), ("(-2)^3", 8.0), ("pow(-2,3)", -8.0), ("2**-1", 0.5), ("8/4/2", 1.0),
        ("2-3-4", -5.0), ("3>2 ? 1 : 5", 1.0), ("1>2 ? 1 : 3>2 ? 7 : 5", 7.0), ("5%3+7\\2", 5.0),
        ("- -3", 3.0),
        ("!(3>2)||1&&0", 0.0), ("3<>3", 0.0), ("nint(2.5)+int(-2.7)", 0.0), ("2--3", 5.0),
        ("1k+1Meg", 1.001e6),
        ("{1+2}*3", 9.0), ("max(1,min(5,k))", 4.0), ("K*2", 8.0), ("ternary_fcn(0,2,3)", 3.0),
    ],
)  # fmt: skip
def test_expressions_have_the_values_that_ngspice_gives(text: str, value: float) -> None:
    assert evaluate(parse(text), lambda name: {"k": 4.0}[name]) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sqrt(-1)", "sqrt of -1 is not a finite number"),
        ("1/0", "/ of 1, 0 is not a finite number"),
        ("exp(1000)", "not a finite number"),
        ("gauss(1,2,3)", "draws random numbers"),
        ("__import__(1)", "no function __import__"),
        ("max(1)", "max takes 2 arguments, not 1"),
        ("1+", "unexpected end"),
        ("2 3", "unexpected '3'"),
        ("v(a)", "write a behavioural source"),
        ("a.b", "cannot read the expression"),
        ("(" * 60 + "1" + ")" * 60, "nested deeper than 40"),
        ("1" + "+1" * 400, "more than 300 parts"),
        ("9^9^9^9^9", "not a finite number"),
    ],
)
def test_bad_expressions_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=r"^(.*)$") as caught:
        evaluate(parse(text), lambda _: 1.0)
    assert message in str(caught.value)


def test_dropped_braces_are_refused_only_where_they_change_the_value() -> None:
    assert parse_source("({a-b})*v(1)") == parse_source("(a-b)*v(1)")
    assert parse_source("v(1)*{2*a}+{b-1}") == parse_source("v(1)*2*a+b-1")
    for text in ("{a-b}*v(1)", "{2*a}^2", "v(1)/{2*a}", "v(1)-{a-b}"):
        with pytest.raises(ExpressionError, match="drops the braces"):
            parse_source(text)


REFUSED = [
    (".control\nshell touch X\n.endc", "deck.cir:5: .control is refused: a netlist is data"),
    (".endc", "deck.cir:5: .endc is refused"),
    (".exec ls", "deck.cir:5: .exec is refused"),
    (".lib x.lib tt", "deck.cir:5: .lib is refused"),
    (".csparam a=1", "deck.cir:5: .csparam is refused"),
    (".codemodel x.cm", "deck.cir:5: .codemodel is refused"),
    (".osdi x.osdi", "deck.cir:5: .osdi is refused"),
    (".if (1)\n.endif", "deck.cir:5: .if is refused"),
    ("shell touch X", "deck.cir:5: the command shell is refused"),
    ("source x", "deck.cir:5: the command source is refused"),
    (".foo", "deck.cir:5: the card '.foo' is not known"),
    (".func f(x) {x}", "deck.cir:5: .func is not read"),
    ("A1 in out mod", "deck.cir:5: 'a1': elements of type 'A' are not read"),
    (".model x d_source(input_file=1)", "deck.cir:5: .model 'x': the type 'd_source' is not read"),
    ('V3 a 0 "file"', "deck.cir:5: a quoted text"),
    ("R3 out", "deck.cir:5: 'R3' needs 2 nodes"),
    ("R3 out 0", "deck.cir:5: R3 needs a value"),
    ("R3 out 0 0", "deck.cir:5: R3: a value of 0 cannot be simulated"),
    ("R3 out 0 rr", "deck.cir:5: R3: 'rr' is neither a number nor a parameter; did you mean 'r0'?"),
    ("R3 out 0 2k7", "deck.cir:5: R3: '2k7' is no value"),
    ("R3 out 0 1mil", "deck.cir:5: R3 '1mil': mil means"),
    ("R3 out 0 1k temp=50", "deck.cir:5: R3: 'temp' is not read here"),
    ("R3 out 0 {1/0}", "deck.cir:5: R3: / of 1, 0 is not a finite number"),
    ("R3 out 0 {v(in)}", "deck.cir:5: R3: 'v(in)' is no value"),
    ("r1 out 0 1k", "deck.cir:5: the name 'r1' is used twice (first in line 3)"),
    ("X1 out 0 fil", "deck.cir:5: 'X1': there is no subcircuit 'fil'; did you mean 'filt'?"),
    ("X1 out filt", "deck.cir:5: 'X1': the subcircuit 'filt' has 2 nodes, not 1"),
    ("X1 out 0 filt s=1", "deck.cir:5: 'X1': the subcircuit 'filt' has no parameter 's'"),
    ("X1 out 0 filt m=2", "deck.cir:5: 'X1': m= on a subcircuit is not read"),
    ("D1 out 0 dd", "deck.cir:5: D1: there is no model 'dd' of type D; did you mean 'dm'?"),
    ("M1 out in 0 0 nm", "deck.cir:5: M1: there is no model '0' of type NMOS"),
    ("F1 out 0 V2 1", "deck.cir:5: 'F1': there is no voltage source 'V2' here; did you mean 'V1'?"),
    ("E1 out 0 POLY(1) in 0 1 2", "deck.cir:5: E1: poly is not read here"),
    ("V2 a 0 pulse(0 1)", "deck.cir:5: V2: a pulse needs its rise, fall, width and period"),
    ("V2 a 0 pwl(0 0 0 1)", "deck.cir:5: V2: the times of pwl must increase"),
    ("V2 a 0 external", "deck.cir:5: V2: 'external' is neither a number"),
    ("V2 a 0 1 trnoise(1 2)", "deck.cir:5: V2: 'trnoise' is not read here"),
    ("B1 out 0 i=v(nowhere)", "deck.cir:5: B1: the netlist has no node 'nowhere'"),
    ("B1 out 0 i=zz*v(out)", "deck.cir:5: B1: there is no parameter 'zz'"),
    ("B1 out 0 i=limit(1,2,3)", "deck.cir:5: B1: limit() draws random numbers"),
    ("B1 out 0 i=sin(v(out)", "deck.cir:5: B1: expected ')', found the end"),
    ("B1 out 0 i={r0-1}*v(out)", "deck.cir:5: B1: ngspice drops the braces"),
    ("B1 out 0 i=v(out)+pwl(v(out),0,0,1,r0)", "deck.cir:5: B1: ngspice misreads parameters beside pwl()"),
    ("K1 L1 L2 0.5", "deck.cir:5: K1: there is no inductor 'L1' here"),
    (".param a={b} b={a}\nR3 out 0 {a}", "deck.cir:5: the parameter 'a' depends on itself"),
    (".param", "deck.cir:5: expected name=value pairs"),
    (".subckt a b", "deck.cir:5: .subckt 'a' has no .ends"),
    (".ends", "deck.cir:5: .ends without a .subckt"),
    (
        ".subckt loop a\nX1 a loop\n.ends\nX9 out loop",
        "deck.cir:6: 'X1': subcircuits are nested deeper than 30",
    ),
    (".temp 50", "deck.cir:5: networks are simulated at 27 degrees Celsius"),
    (".options temp=85", "deck.cir:5: networks are simulated at 27 degrees Celsius"),
    (".options rshunt=1k", "deck.cir:5: the option 'rshunt' is not read"),
    (".ic v(nowhere)=1", "deck.cir:5: .ic: the netlist has no node 'nowhere'"),
    ("C1 out 0 {", "deck.cir:5: cannot read '{'"),
    ("R3 out 0 1k\n+ \x07", "deck.cir:6: the line holds control characters"),
    (".include models", "deck.cir:5: models is a folder, not a netlist"),
    (".include none.lib", "deck.cir:5: there is no file none.lib"),
    (".include /etc/passwd", "deck.cir:5: .include '/etc/passwd': the path must be relative"),
    (".include ../out.lib", "deck.cir:5: .include '../out.lib': the file lies outside"),
    (".include link.lib", "deck.cir:5: .include 'link.lib': the file lies outside"),
    (".include secret.txt", "secret.txt:1: an included file may hold .model, .subckt, .param"),
    (".include control.lib", "control.lib:2: .control is refused"),
    (".include self.lib", ".include is nested deeper than 8 files"),
    (".include pipe", "deck.cir:5: pipe is not a plain file"),
    (".include binary", "deck.cir:5: binary is not a text file"),
]
TAIL = "\n.param r0=1k\n.subckt filt a b r=1\nR1 a b {r}\n.ends\n.model dm D\n"


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[t.split("\n")[0][:40] for t, _ in REFUSED])
def test_refusals_name_the_line_and_run_nothing(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "decks"
    (folder / "models").mkdir(parents=True)
    monkeypatch.chdir(folder)
    (tmp_path / "out.lib").write_text(".param a=1\n")
    (folder / "link.lib").symlink_to(tmp_path / "out.lib")
    (folder / "secret.txt").write_text("root:hunter2:0:0\n")
    (folder / "control.lib").write_text(".param a=1\n.control\nshell touch X\n.endc\n")
    (folder / "self.lib").write_text(".include self.lib\n")
    (folder / "binary").write_bytes(b".param a=1\0\n")
    os.mkfifo(folder / "pipe")
    (folder / "deck.cir").write_text("title\n" + BASE + text + TAIL)
    with pytest.raises(SpecError) as caught:
        import_netlist(Path("deck.cir"), inputs={"x": "V1"}, outputs=["out"], trainable=["R*"])
    shown = str(caught.value)
    assert shown.startswith(message) or message in shown
    assert shown.splitlines() == [shown]
    assert "hunter2" not in shown
    assert not (folder / "X").exists()


def test_refusals_of_whole_files(tmp_path: Path) -> None:
    def refused(path: Path) -> str:
        with pytest.raises(SpecError) as caught:
            import_netlist(path, inputs={}, outputs=[], trainable=[])
        return str(caught.value)

    (tmp_path / "empty.cir").write_text("")
    (tmp_path / "large.cir").write_bytes(b"*" * (4 * 1024 * 1024 + 1))
    assert "there is no file" in refused(tmp_path / "none.cir")
    assert "is a folder" in refused(tmp_path)
    assert "has no elements" in refused(tmp_path / "empty.cir")
    assert "at most 4194304 are read" in refused(tmp_path / "large.cir")


def test_what_is_ignored_is_noted_and_comments_do_nothing(tmp_path: Path) -> None:
    network = read(
        tmp_path,
        "*# shell touch X\n$ comment\n# comment\nV1 in 0 1 ; shell touch X\n\nR1 in out\n* between\n\n"
        "+ 1k // more\n"
        ".options reltol=1e-4 method=gear klu\n.tran 1n 1u\n.op\n.print v(1)\n.nodeset v(out)=1\n"
        "R2 out 0 1k $ x\n"
        ".end\nshell touch X\n",
    )
    assert lines(network) == ["VV1 in 0 dc 1", "RR1 in out 1e3", "RR2 out 0 1e3"]
    assert [n.partition("deck.cir:")[2] for n in network.notes] == [
        "11: options reltol method klu are ignored: the experiment sets its own",
        "15: .nodeset is ignored",
    ]


def test_names_of_the_netlist_stay_the_users(tmp_path: Path) -> None:
    network = read(
        tmp_path,
        "V-in +5V gnd 1\nR1 +5v net-1 1k\nR2 NET-1 net_1 1k\nr.a net_1 GND 1k\nX1 net_1 time s\n"
        ".subckt s a b\n"
        "R1 a mid 1k\nR2 mid b 1k\n.ends\nR9 time 0 1\n",
        {"x": "v-IN"},
        ["net-1", "+5V, net_1", "X1.MID", "time"],
        ["R?"],
    )
    assert [o.label for o in network.outputs] == ["net-1", "+5V,net_1", "X1.MID", "time"]
    assert [(o.plus, o.minus) for o in network.outputs][:2] == [("net_1_2", "0"), ("_5V", "net_1")]
    assert network.written_node("net_1_2") == "net-1"
    assert network.written_element(network.drives[0].source) == "V-in"
    assert {t.element for t in network.trainable} == {"R1", "R2", "R9"}
    assert network.with_parameters(network.parameters * 2).written_node("net_1_2") == "net-1"


def test_initial_conditions_become_those_of_capacitors(tmp_path: Path) -> None:
    network = read(
        tmp_path,
        "R1 a b 1k\nC1 a b 1p\nC2 b 0 1p ic=0.5\nC3 0 a 1p\nL1 a 0 1u ic=1m\nC4 a 0 0\n"
        ".ic v(a)=2 V(B)={1/2} v(d)=1\nR2 d 0 1\n",
    )
    assert network.element("C1").value("initial_voltage") == 1.5
    assert network.element("C2").value("initial_voltage") == 0.5
    assert network.element("C3").value("initial_voltage") == -2.0
    assert network.element("L1").value("initial_current") == 1e-3
    assert "C4 of 0 F is left out" in network.notes[0]
    assert ".ic of node d does nothing" in network.notes[1]


def test_models_of_one_name_do_not_collide(tmp_path: Path) -> None:
    network = read(
        tmp_path,
        "V1 a 0 1\nX1 a 0 s\nX2 a 0 s i=3f\nX3 a 0 s\nD1 a 0 d\nD2 a 0 1n4148\n.model D D(is=1f)\n"
        ".model 1N4148 d is=5n\n"
        ".subckt s p q i=2f\nD1 p q d area=2\n.model d D(is={i} n=1.5)\n.ends\n",
    )
    cards = {e.name: e.model for e in network.elements if e.model}
    assert [cards[n].get("is", 0.0) for n in ("X1_D1", "X2_D1", "X3_D1", "D1", "D2")] == [
        2e-15,
        3e-15,
        2e-15,
        1e-15,
        5e-9,
    ]
    assert cards["X1_D1"] is cards["X3_D1"]
    assert len({c.name.lower() for c in cards.values()}) == 4
    assert not any(c.name[0].isdigit() for c in cards.values())
    assert network.element("X1_D1").parameters == {"area": 2.0, "saturation_current": 2e-15, "emission": 1.5}


DECK = BASE + (
    "C1 out 0 1p\nL1 out a 1u\nG1 0 a in 0 -1m\nE1 b 0 in 0 2\nRb b a 1m\nD1 a 0 d\n.model d D\n"
    "B1 a 0 i=k*v(a)^3\n"
    "Vb c 0 0.5\nRc c a 1k\nX1 a 0 s\n.subckt s p q\nR1 p q 2k\nC1 p q 1p\n.ends\n.param k=1m\n"
    "M1 a in 0 0 n\n"
    ".model n nmos\n"
)


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (["R1"], {"R1.conductance": (1e-6, 1.0)}),
        (
            ["r?"],
            ["R1.conductance", "R2.conductance", "Rb.conductance", "Rc.conductance"],
        ),
        (["x1.*"], ["X1_R1.conductance", "X1_C1.capacitance"]),
        (["r.x1.*", "R1", "r1"], ["X1_R1.conductance", "R1.conductance"]),
        (["G1"], {"G1.gain": (-1.0, -1e-6)}),
        (["D*", "E1", "l1", "c1"], ["D1.area", "E1.gain", "L1.inductance", "C1.capacitance"]),
        ([{"element": "B1", "parameter": "k"}], {"B1.k": (1e-6, 1.0)}),
        ([{"element": "Vb", "parameter": "dc", "lower": "-1V", "upper": "1"}], {"Vb.dc": (-1.0, 1.0)}),
        ([{"element": "R2", "lower": "10uS"}], {"R2.conductance": (1e-5, 1.0)}),
        ([{"element": "C1", "parameter": "initial_voltage", "lower": 0, "upper": 1}], ["C1.initial_voltage"]),
    ],
)
def test_trainable_parameters(tmp_path: Path, wish: list[Any], expected: Any) -> None:
    network = read(tmp_path, DECK, {"x": "V1"}, ["out"], wish)
    assert [t.label for t in network.trainable] == list(expected)
    if isinstance(expected, dict):
        for entry in network.trainable:
            np.testing.assert_allclose((entry.lower, entry.upper), expected[entry.label], rtol=1e-12)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (["R11"], "the netlist has no element 'R11'; did you mean 'R1'?"),
        (["Q*"], "the pattern 'Q*' fits no element"),
        (["M*"], "the pattern 'M*' fits only elements without such a parameter"),
        (["B1"], "trainable: B1: name its parameter, {element: B1, parameter: ...}; it has: k"),
        (["M1"], "it has: none"),
        ([{"element": "B1", "parameter": "q"}], "B1.q: behavioural_source_B1 has no parameter 'q'; it has"),
        ([{"element": "C1", "parameter": "initial_voltage"}], "C1.initial_voltage is 0: its training bounds"),
        ([{"element": "R1", "uper": 1}], "unknown key 'uper'"),
        ([{"element": "R1", "lower": "10V"}], "trainable: R1.conductance: lower: '10V' is in volts"),
        ([{"element": "R1", "lower": 1}], "R1.conductance = 0.001 S is outside of its bounds [1, 1] S;"),
        ([{"element": "R1", "lower": 100, "upper": "1Meg"}],
         "= 0.001 S is outside of its bounds [100, 1e+06] S; what is trained of a resistor is its cond"),
        ([{"element": "R1", "upper": "1MegS"}], "conductance: upper: 1e+06 S is outside of what a resistor"),
        ([{"element": "R1", "upper": "1kOhm"}], "is in ohms (Ohm), expected a number in siemens (S); what"),
        ([{"element": "V1", "parameter": "dc", "lower": 0, "upper": 1}], "an input cannot be trained"),
        (["R1", {"element": "R1", "upper": 1}], "R1.conductance is named twice"),
    ],
)  # fmt: skip
def test_wrong_trainable_parameters(tmp_path: Path, wish: list[Any], message: str) -> None:
    with pytest.raises(NetworkError) as caught:
        read(tmp_path, DECK, {"x": "V1"}, ["out"], wish)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ({"x": "Vin"}, ["out"], "inputs: x: the netlist has no source 'Vin'; it has: V1, Vb"),
        ({"x": "R1"}, ["out"], "inputs: x: R1 is no voltage or current source"),
        ({"x": "V1", "y": "v1"}, ["out"], "inputs: y: v1 is an input already"),
        ({"x": "V1"}, ["outt"], "outputs: the netlist has no node 'outt'; did you mean 'out'?"),
        ({"x": "V1"}, ["a,b,c"], "outputs: 'a,b,c' is no node"),
    ],
)
def test_wrong_inputs_and_outputs(
    tmp_path: Path, inputs: dict[str, str], outputs: list[str], message: str
) -> None:
    with pytest.raises(NetworkError) as caught:
        read(tmp_path, DECK, inputs, outputs)
    assert message in str(caught.value)


LAWS: list[tuple[str, Callable[[np.ndarray], np.ndarray]]] = [
    ("k*v(a)^3", lambda u: 1e-3 * np.abs(u) ** 3),
    ("k*v(a,0)**2", lambda u: 1e-3 * u**2),
    ("-v(0,a)*k", lambda u: 1e-3 * u),
    ("k*exp(v(a)/25m)-k", lambda u: 1e-3 * np.expm1(u / 0.025)),
    ("v(a)>0 ? k*v(a) : 0", lambda u: 1e-3 * np.maximum(u, 0)),
    ("pwr(v(a),3)+pwr(v(a),0.5)", lambda u: u**3 + np.sign(u) * np.sqrt(np.abs(u))),
    (
        "u*v(a)+pi*0+max(v(a),k)-min(v(a),u(v(a)))",
        lambda u: 2 * u + np.maximum(u, 1e-3) - np.minimum(u, u > 0),
    ),
    ("!(v(a)>0 && v(a)<0.3)*tanh(v(a))-2^v(a)", lambda u: ~((u > 0) & (u < 0.3)) * np.tanh(u) - 2**u),
    ("abs(log10(uramp(v(a))+k))^k", lambda u: np.abs(np.log10(np.maximum(u, 0) + 1e-3)) ** 1e-3),
]


@pytest.mark.parametrize(("text", "law"), LAWS, ids=[t for t, _ in LAWS])
def test_a_source_of_its_own_voltage_has_a_law_with_derivatives(
    tmp_path: Path, text: str, law: Callable[[np.ndarray], np.ndarray]
) -> None:
    network = read(tmp_path, f"R1 a 0 1k\nB1 a 0 i={text}\n.param k=1m u=2\n")
    element = network.element("B1")
    u, step = np.array([-0.71, -0.2, 0.13, 0.4]), 1e-6
    np.testing.assert_allclose(element.device.current(u, element.parameters), law(u), rtol=1e-12)
    slope = (law(u + step) - law(u - step)) / (2 * step)
    found = element.device.conductance(u, element.parameters)
    np.testing.assert_allclose(found, slope, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("text", ["v(b)", "v(a)*time", "i(V1)", "floor(v(a))", "ddt(v(a))", "v(a,b)"])
def test_other_sources_stay_native(tmp_path: Path, text: str) -> None:
    network = read(tmp_path, f"R1 a 0 1k\nV1 b 0 1\nB1 a 0 i={text}\n")
    device = network.element("B1").device
    assert device.law is None
    assert not device.reciprocal


def test_a_law_between_two_nodes_uses_their_difference_only(tmp_path: Path) -> None:
    head = "R1 a 0 1k\nR2 b 0 1k\n.param k=2\n"
    network = read(tmp_path, head + "B1 a b i=k*(v(a)-v(b))+k*v(a)-k*v(b)\nB2 a b i=v(a)*v(b)\n")
    assert str(network.element("B1").device.law.factor()) == "2*k*u"
    assert network.element("B2").device.law is None
    assert "BB1 a b i=" in lines(network)[2]


WORDS = st.sampled_from([
    "R1", "C1", "V1", "B1", "D1", "X1", "M1", "K1", "F1", "E1", "L1", ".subckt", ".ends", ".param",
    ".model", ".ic", ".include", ".global", ".options", "in", "out", "0", "gnd", "a", "b", "1k", "1u", "2",
    "{a}", "{a*2}", "'a'", "=", "(", ")", ",", "i=", "v=", "v(a)", "pulse(", "pwl(", "sin(", "poly",
    "nmos", "D", "npn", "^", "**", "+", "-", "*", "?", ":", "{", "}", '"', "ic=", "m=", "params:",
    "sqrt(-1)", "1e999", "x=y", "a=1", "a={b}", "b={a}", "dm", "µ", "\\", "%", "$", ";", "//", "\t",
    "\x00", "\x7f", "inf", "nan", "temper", "time", ".end", ".tran", ".lib",
])  # fmt: skip
GARBAGE = st.one_of(
    st.lists(st.lists(WORDS, max_size=9).map(" ".join), max_size=8).map("\n".join),
    st.text(alphabet=string.printable + "µ\x00é", max_size=200),
    st.text(max_size=60).map(lambda t: BASE + "B1 out 0 i=" + t),
    st.lists(WORDS, max_size=12).map(lambda w: BASE + "B1 out 0 i=" + "".join(w)),
    st.lists(WORDS, max_size=12).map(lambda w: ".param a={" + "".join(w) + "}\n" + BASE + "R3 out 0 {a}"),
)


@given(text=GARBAGE)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "deck.cir"
    path.write_bytes(("title\n" + text).encode("utf-8", "surrogatepass"))
    try:
        network = import_netlist(path, inputs={}, outputs=[], trainable=[])
    except (NetworkError, SpecError) as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        assert build_deck(network).lines
