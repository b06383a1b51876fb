"""The classes of the exactness report, see `circuits.py`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import networkx as nx
import numpy as np
import sympy as sp

from bridge.validation.circuits import (
    GalleryCircuit,
    Names,
    capacitors,
    circuit,
    skeleton,
    terminal,
    windowed,
)
from circuits.devices.base import Element, Parameter, State, U
from circuits.devices.behavioural import (
    EXPONENTIAL_DIODE,
    JUNCTION_CAPACITOR,
    MOS_CAPACITOR,
    POLYNOMIAL_CAPACITOR,
    POLYNOMIAL_INDUCTOR,
    TANH_INDUCTOR,
    TANH_RESISTOR,
    Behavioural,
    symbol,
)
from circuits.devices.diode import diode
from circuits.devices.fractional import (
    CUBIC_FRACTIONAL_MEMRISTOR,
    TANH_FRACTIONAL_MEMRISTOR,
    foster_sections,
    ladder,
)
from circuits.devices.passive import capacitor, inductor, resistor
from circuits.devices.sources import cccs, ccvs, current_source, vccs, vcvs, voltage_source

BAND = (1e5, 1e9)
"""Band of the ladders [rad/s]."""

MEMRISTOR = Behavioural(
    "bounded_memristor",
    ("p", "n"),
    (Parameter("g", "S"), Parameter("k", "1/Vs"), Parameter("x0", "1", 0.5)),
    law=symbol("g") * (1 + symbol("x")) * sp.sinh(2 * U),
    states=(State("x", symbol("k") * U * symbol("x") * (1 - symbol("x")), "x0"),),
    description="current g (1 + x) sinh(2 u), state between 0 and 1",
)
RELAXING = Behavioural(
    "relaxing_memristor",
    ("p", "n"),
    (Parameter("g", "S"), Parameter("k", "1/s"), Parameter("a", "1/V"), Parameter("x0", "1", 0.0)),
    law=symbol("g") * (1 + symbol("x") ** 2) * U,
    states=(State("x", symbol("k") * (symbol("a") * U - symbol("x")), "x0"),),
    description="current g (1 + x^2) u, state that follows a u",
)
CAPACITANCES: Names = [(f"c{n}", "capacitance") for n in "abc"]


def cubic_capacitors() -> list[Element]:
    """An odd nonlinear capacitor from each node of the skeleton to ground."""
    return [POLYNOMIAL_CAPACITOR.element(f"c{n}", n, "0", c0=1e-10, c3=1e-10) for n in "abc"]


def cubic_inductor(name: str, p: str, n: str) -> Element:
    """An inductor whose cubic current is of the linear one's size."""
    return POLYNOMIAL_INDUCTOR.element(name, p, n, l0=1e-4, a3=1e17)


CUBIC: Names = [*((f"c{n}", p) for n in "abc" for p in ("c0", "c3")), ("l1", "l0"), ("l1", "a3")]


def linear() -> list[GalleryCircuit]:
    """Linear networks, and the losses and starts that a time-varying network can have."""
    coil = inductor("la", "a", "c", inductance=1e-4)
    bias = [voltage_source("vb", "q", dc=0.3), resistor("rq", "q", "a", conductance=1e-3)]
    charged = [
        capacitor("ca", "a", "0", capacitance=1e-10, initial_voltage=0.2),
        capacitor("cb", "b", "0", capacitance=8e-11),
        capacitor("cc", "c", "0", capacitance=1.2e-10, initial_voltage=-0.1),
        inductor("la", "a", "c", inductance=1e-4, initial_current=1e-4),
    ]
    starts = [*((f"c{n}", "initial_voltage") for n in "abc"), ("la", "initial_current")]
    whole = [*CAPACITANCES, ("la", "inductance")]
    rc, rlc = capacitors(), [*capacitors(), coil]
    return [
        circuit("rc", "linear RC", rc, CAPACITANCES, retraced=True),
        circuit("rlc", "linear RLC", rlc, whole, retraced=True),
        circuit(
            "sources", "constant sources", [*rc, *bias, current_source("ib", "0", "c", dc=1e-4)],
            [*CAPACITANCES, ("vb", "dc"), ("ib", "dc")], retraced=True,
        ),
        circuit("initial", "initial states", charged, [*whole, *starts], retraced=True),
        circuit("terminal", "terminal loss", rlc, whole, **terminal(0.1, -0.1)),
        circuit("windows", "loss in two smooth windows", rlc, whole, retraced=True, **windowed(5e-8)),
        circuit("edges", "loss in two sharp windows", rlc, whole, retraced=True, **windowed(0.0)),
    ]  # fmt: skip


def reactive() -> list[GalleryCircuit]:
    """Nonlinear capacitors and inductors."""
    inductors = [cubic_inductor("l1", "a", "c"), cubic_inductor("l2", "b", "0")]
    saturating = TANH_INDUCTOR.element("l2", "b", "0", l0=1e-4, saturation=3e-4)
    varactors = [
        capacitor("ca", "a", "0", capacitance=1e-10),
        JUNCTION_CAPACITOR.element("cb", "0", "b", c0=2e-10),
        MOS_CAPACITOR.element("cc", "c", "0", cmin=5e-11, cmax=2e-10, threshold=0.05),
    ]
    return [
        circuit(
            "nonlinear_lc", "nonlinear LC", [*cubic_capacitors(), *inductors],
            [*CUBIC, ("l2", "l0"), ("l2", "a3")], base=skeleton()[:4], retraced=True,
        ),
        circuit(
            "nonlinear_rlc", "nonlinear RLC", [*cubic_capacitors(), inductors[0], saturating],
            [*CUBIC, ("l2", "l0"), ("l2", "saturation")], retraced=True,
        ),
        circuit(
            "flux", "initial flux", [*capacitors(), inductors[0], saturating],
            [("l1", "initial_flux"), ("l2", "initial_flux"), ("l1", "l0")],
        ),
        circuit(
            "varactors", "varactors", varactors,
            [("ca", "capacitance"), ("cb", "c0"), ("cb", "vj"), ("cb", "grading"), ("cc", "cmin"),
             ("cc", "cmax"), ("cc", "threshold"), ("cc", "width")],
        ),
    ]  # fmt: skip


def dissipative() -> list[GalleryCircuit]:
    """Nonlinear resistors, diodes, memristors and fractional elements."""
    low, high = BAND
    diodes = [diode("d1", "b", "0"), diode("d2", "0", "b", area=2.0), diode("d3", "a", "c", area=0.5)]
    saturating = [
        TANH_RESISTOR.element("t1", "a", "0", conductance=1e-3),
        EXPONENTIAL_DIODE.element("d1", "b", "0", saturation_current=1e-6, emission=2.0),
    ]
    cubic = CUBIC_FRACTIONAL_MEMRISTOR.element(
        "m1", "a", "c", conductance=1e-3, cubic=1e7, low=low, high=high
    )
    bounded = MEMRISTOR.element("m1", "a", "c", g=1e-3, k=1e7)
    tanh = TANH_FRACTIONAL_MEMRISTOR.element(
        "m2", "b", "0", conductance=1e-3, saturation=2e-4, low=low, high=high
    )
    fractional = ladder("z", "b", "c", 1e7, foster_sections(low, high, 10))
    sections = [e.name for e in fractional if e.device.kind == "capacitor"]
    return [
        circuit("diodes", "diodes", [*capacitors(), *diodes],
                [*CAPACITANCES, *((d.name, "area") for d in diodes)]),
        circuit("resistors", "nonlinear resistors", [*capacitors(), *saturating],
                [*CAPACITANCES, ("t1", "conductance"), ("t1", "scale"), ("d1", "saturation_current"),
                 ("d1", "emission")]),
        circuit("memristor", "memristor with a state", [*capacitors(), bounded],
                [*CAPACITANCES, ("m1", "g"), ("m1", "k"), ("m1", "x0")]),
        circuit("fractional_memristors", "fractional memristors", [*capacitors(), cubic, tanh],
                [*CAPACITANCES, ("m1", "conductance"), ("m1", "cubic"), ("m2", "conductance"),
                 ("m2", "saturation")]),
        circuit("fractional_linear", "linear fractional element", [*capacitors(), *fractional],
                [*CAPACITANCES, *((s, "capacitance") for s in sections)], retraced=True),
    ]  # fmt: skip


def directed_couplings() -> list[Element]:
    """One controlled source of each kind, with the resistors that it needs."""
    return [
        vccs("g1", "c", "0", "a", "0", gain=1e-3),
        vcvs("e1", "y", "0", "b", "0", gain=2.0),
        resistor("ry", "y", "c", conductance=1e-3),
        cccs("f1", "a", "0", "c", "z", gain=0.5),
        resistor("rz", "z", "0", conductance=1e-3),
        ccvs("h1", "w", "0", "b", "w2", gain=500.0),
        resistor("rw", "w2", "0", conductance=1e-3),
        resistor("rx", "w", "a", conductance=5e-4),
    ]


GAINS: Names = [(e, "gain") for e in ("g1", "e1", "f1", "h1")]


def directed() -> list[GalleryCircuit]:
    """Networks that are not reciprocal."""
    gyrator = [vccs("g1", "c", "0", "a", "0", gain=8e-4), vccs("g2", "a", "0", "c", "0", gain=-8e-4)]
    return [
        circuit("directed", "directed couplings", [*capacitors(), *directed_couplings()],
                [*CAPACITANCES, *GAINS]),
        circuit("gyrator", "gyrator", [*capacitors(), *gyrator],
                [*CAPACITANCES, ("g1", "gain"), ("g2", "gain")]),
    ]  # fmt: skip


def everything() -> list[GalleryCircuit]:
    """All elements in one network, from rest and from an operating point."""
    low, high = BAND
    shared: Sequence[Element] = [
        *directed_couplings(),
        inductor("la", "a", "c", inductance=1e-4),
        diode("d1", "b", "0"),
        voltage_source("vb", "q", dc=0.3),
        resistor("rq", "q", "a", conductance=1e-3),
        POLYNOMIAL_CAPACITOR.element("ca", "a", "0", c0=1e-10, c3=1e-10),
        JUNCTION_CAPACITOR.element("cb", "0", "b", c0=1e-10),
        capacitor("cc", "c", "0", capacitance=1e-10),
    ]
    names: Names = [*GAINS, ("la", "inductance"), ("d1", "area"), ("vb", "dc"), ("ca", "c0"), ("ca", "c3"),
                    ("cb", "c0"), ("cb", "vj"), ("cc", "capacitance")]  # fmt: skip
    rest = [
        cubic_inductor("l1", "b", "c"),
        MEMRISTOR.element("m1", "a", "c", g=5e-4, k=1e7),
        CUBIC_FRACTIONAL_MEMRISTOR.element("m2", "b", "0", conductance=5e-4, cubic=1e7, low=low, high=high),
    ]
    relaxing = RELAXING.element("m1", "a", "c", g=5e-4, k=3e6, a=5.0)
    return [
        circuit("mixed", "everything in one network", [*shared, *rest],
                [*names, ("l1", "l0"), ("l1", "a3"), ("m1", "g"), ("m1", "k"), ("m1", "x0"),
                 ("m2", "conductance"), ("m2", "cubic")]),
        circuit("operating_point", "start from the operating point", [*shared, relaxing],
                [*names, ("m1", "g"), ("m1", "k"), ("m1", "a")], from_rest=False),
    ]  # fmt: skip


def random_network(nodes: int = 200, conductances: int = 500, seed: int = 7) -> GalleryCircuit:
    """A random connected RLC network with diodes, four inputs and four outputs."""
    random = np.random.default_rng(seed)
    wires = nx.gnm_random_graph(nodes, conductances - nodes // 4, seed=seed)
    parts = [min(part) for part in nx.connected_components(wires)]
    edges = [*wires.edges, *pairwise(parts)]
    sizes = 1e-4 * 10.0 ** random.uniform(0.0, 1.0, conductances)
    elements = [voltage_source(f"s{k}", f"n{k}", driven=True) for k in range(4)]
    elements += [resistor(f"r{k}", f"n{a}", f"n{b}", conductance=sizes[k]) for k, (a, b) in enumerate(edges)]
    places = random.choice(np.arange(4, nodes), conductances - len(edges), replace=False)
    elements += [
        resistor(f"r{len(edges) + k}", f"n{n}", "0", conductance=sizes[len(edges) + k])
        for k, n in enumerate(places)
    ]
    elements += [
        capacitor(f"c{n}", f"n{n}", "0", capacitance=1e-10 * 10.0 ** random.uniform(0.0, 1.0))
        for n in range(4, nodes)
    ]
    pairs = random.choice(np.arange(4, nodes), (2, 20), replace=False).T
    elements += [inductor(f"l{k}", f"n{a}", f"n{b}", inductance=1e-4) for k, (a, b) in enumerate(pairs)]
    elements += [
        diode(f"d{k}", f"n{n}", "0") for k, n in enumerate(random.choice(np.arange(4, nodes), 40, False))
    ]
    names = [(e.name, "capacitance") for e in elements if e.device.kind == "capacitor"]
    names += [(e.name, "inductance") for e in elements if e.device.kind == "inductor"]
    return circuit(
        f"random_{nodes}", f"random RLC network with diodes, {nodes} nodes", [], names, base=elements,
        outputs=[f"n{n}" for n in range(nodes - 4, nodes)], compared=40, seed=seed,
    )  # fmt: skip


def all_circuits() -> list[GalleryCircuit]:
    """The gallery."""
    return [*linear(), *reactive(), *dissipative(), *directed(), *everything(), random_network()]
