"""Netlists: the line of every device, the golden text of a deck, and the same values from `ngspice -b`."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from bridge.errors import NetworkError
from bridge.ngspice.drives import constant
from bridge.ngspice.library import find_library, library_environment
from bridge.ngspice.session import Session
from circuits.deck import Deck, SolverOptions
from circuits.devices.base import Element, ModelCard
from circuits.devices.diode import STANDARD_CARD, diode
from circuits.devices.passive import capacitor, inductor, resistor
from circuits.devices.sources import (
    amplifier,
    cccs,
    ccvs,
    current_source,
    switch,
    vccs,
    vcvs,
    voltage_source,
)  # fmt: skip
from circuits.netlist import build_deck
from circuits.network import Drive, Network, Output
from circuits.topologies.layered import layered

LINES: list[tuple[Element, list[str]]] = [
    (resistor("r", "a", "b", conductance=2.5e-4), ["Rr a b 4e3"]),
    (capacitor("c", "a", "b", capacitance=1.5e-12), ["Cc a b 15e-13"]),
    (capacitor("c", "a", "b", capacitance=1e-12, initial_voltage=-0.5), ["Cc a b 1e-12 ic=-5e-1"]),
    (inductor("l", "a", "b", inductance=1e-6), ["Ll a b 1e-6"]),
    (inductor("l", "a", "b", inductance=1e-6, initial_current=1e-3), ["Ll a b 1e-6 ic=1e-3"]),
    (voltage_source("v", "a", "b", dc=-1.5), ["Vv a b dc -15e-1"]),
    (voltage_source("v", "a", "b", dc=7.0, driven=True), ["Vv a b external"]),
    (current_source("i", "a", "b", dc=2e-3), ["Ii a b dc 2e-3"]),
    (current_source("i", "a", "b", driven=True), ["Ii a b external"]),
    (diode("d", "a", "b"), ["Dd a b dlearn"]),
    (diode("d", "a", "b", area=2.5), ["Dd a b dlearn area=25e-1"]),
    (vcvs("e", "a", "b", "c", "d", gain=3.0), ["Ee a b c d 3"]),
    (vccs("g", "a", "b", "c", "d", gain=1e-3), ["Gg a b c d 1e-3"]),
    (ccvs("h", "a", "b", "c", "d", gain=50.0), ["Vsense_h c d dc 0", "Hh a b Vsense_h 5e1"]),
    (cccs("f", "a", "b", "c", "d", gain=3.0), ["Vsense_f c d dc 0", "Ff a b Vsense_f 3"]),
    (
        amplifier("m", "a", "b", gain=4.0),
        ["Em_fwd m_amp 0 a 0 4", "Vsense_m_bwd m_amp b dc 0", "Fm_bwd a 0 Vsense_m_bwd 25e-2"],
    ),
    (switch("s", "a", "b", "c", "0"), ["Ss a b c 0 sw_s"]),
]


@pytest.mark.parametrize(
    ("element", "expected"), LINES, ids=[f"{e.device.kind}{k}" for k, (e, _) in enumerate(LINES)]
)
def test_the_lines_of_every_device(element: Element, expected: list[str]) -> None:
    drives = (Drive(element.name, 0),) if element.driven else ()
    load = resistor("load", element.nodes[0], "0", conductance=1.0)
    deck = build_deck(Network("one", (element, load), drives))
    found = [line for line in deck.lines if not line.startswith((".model", "Rload"))]
    assert found == expected
    origins = [o for o in deck.origins if o not in ("", "load")]
    assert len(origins) == len(expected)
    assert all(o.startswith(element.name) for o in origins)


def test_golden_deck() -> None:
    network = Network(
        "golden",
        (voltage_source("in", "A", driven=True), resistor("up", "A", "mid", conductance=1e-3),
         diode("clamp", "mid", "0"), diode("wide", "0", "mid", area=3.0),
         switch("s", "mid", "0", "A", "0", threshold=2.0)),
        (Drive("in", 0),),
        (Output("mid"), Output("A", "mid")),
    )  # fmt: skip
    assert build_deck(network).text() == [
        "tellegen golden",
        ".model dlearn D(is=1e-8 n=15e-1)",
        ".model sw_s SW(vt=2 vh=0 ron=1 roff=1e9)",
        "Vin A 0 external",
        "Rup A mid 1e3",
        "Dclamp mid 0 dlearn",
        "Dwide 0 mid dlearn area=3",
        "Ss mid 0 A 0 sw_s",
        "Inudge_0 0 mid external",
        "Inudge_1 mid A external",
        ".options reltol=1e-6 abstol=1e-12 vntol=1e-9 chgtol=1e-18 trtol=1 gmin=1e-12 itl1=5e2 itl4=5e1 "
        "method=trap sparse",
        ".save v(a)",
        ".save v(mid)",
        ".end",
    ]
    deck = build_deck(network)
    assert deck.sources == ("vin", "inudge_0", "inudge_1")
    assert deck.origins == ("", "", "in", "up", "clamp", "wide", "s", "", "")
    assert build_deck(network, nudges=False).sources == ("vin",)


def test_sources_follow_the_drives_not_the_elements() -> None:
    network = Network(
        "order",
        (voltage_source("first", "a", driven=True), current_source("second", "b", driven=True),
         resistor("r", "a", "b", conductance=1.0)),
        (Drive("second", 0), Drive("first", 1)),
    )  # fmt: skip
    assert build_deck(network).sources == ("isecond", "vfirst")


def test_names_that_only_collide_in_spice_are_refused() -> None:
    amplified = (amplifier("m", "a", "b", gain=2.0), resistor("r", "b", "0", conductance=1.0))
    with pytest.raises(NetworkError, match=r"m: its inner node .* 'm_amp'"):
        build_deck(Network("node", (*amplified, resistor("s", "m_amp", "0", conductance=1.0))))
    with pytest.raises(NetworkError, match="'vsense_m_bwd' is used twice"):
        build_deck(Network("source", (*amplified, voltage_source("sense_m_bwd", "c"))))
    with pytest.raises(NetworkError, match="'inudge_0' is used twice"):
        build_deck(Network("nudge", (*amplified, current_source("nudge_0", "a")), outputs=(Output("b"),)))
    other = ModelCard(STANDARD_CARD.name, "D", (("is", 1e-14),))
    with pytest.raises(NetworkError, match="two different model cards are named 'dlearn'"):
        build_deck(Network("cards", (diode("d", "a", "0"), diode("e", "a", "0", model=other))))


def plain_values(deck: Deck, drives: Mapping[str, float], analysis: str, folder: Path) -> dict[str, float]:
    """What `ngspice -b` prints for a deck."""
    library = find_library()
    assert library.binary is not None
    file = folder / "plain.cir"
    file.write_text(deck.plain(drives, analysis), encoding="utf-8")
    environment = {**os.environ, **library_environment(library)}
    done = subprocess.run(
        [str(library.binary), "-b", str(file)], env=environment, capture_output=True, text=True, timeout=60
    )
    rows = re.findall(r"^(v\(\w+\))(?:\[.*\])? = (\S+)$", done.stdout, re.MULTILINE)
    assert rows, done.stdout + done.stderr
    return {name: float(value) for name, value in rows}


def wanted() -> tuple[Network, np.ndarray]:
    network = layered(2, [3], 2, gain=4.0, diode_offset=0.2, seed=3)
    return network, network.drive_values([0.7, -0.4])


def test_the_plain_deck_gives_the_sessions_operating_point(session: Session, tmp_path: Path) -> None:
    network, drives = wanted()
    deck = build_deck(network)
    found = plain_values(deck, dict(zip(deck.sources, drives, strict=False)), ".op", tmp_path)
    here = session.load(deck).operating_point([constant(drives)])
    assert list(found) == list(deck.saves)
    np.testing.assert_allclose(list(found.values()), here, rtol=1e-9, atol=1e-9)
    assert np.abs(here).max() > 0.5


def test_the_plain_deck_gives_the_sessions_settled_transient(session: Session, tmp_path: Path) -> None:
    network, drives = wanted()
    deck = build_deck(network.with_parasitics(1e-12), SolverOptions())
    analysis = ".tran 5e-9 2e-6 0 5e-9 uic"
    found = plain_values(deck, dict(zip(deck.sources, drives, strict=False)), analysis, tmp_path)
    here = session.load(deck).transient([constant(drives)], 2e-6, 5e-9).final
    np.testing.assert_allclose(list(found.values()), here, rtol=1e-9, atol=1e-9)
    still = session.load(build_deck(network)).operating_point([constant(drives)])
    np.testing.assert_allclose(here, still, atol=1e-6)
