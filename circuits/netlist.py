"""From a network to a netlist, through PySpice's `Circuit`: the only writer of SPICE."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from circuits.deck import Deck, SolverOptions
from circuits.devices.base import ModelCard, SpiceLine
from circuits.network import GROUND, Network

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its source has invalid escapes, which newer Pythons report
    from PySpice.Spice.Netlist import Circuit

_ADD = {
    "R": "R", "C": "C", "L": "L", "D": "D", "V": "V", "I": "I", "B": "B", "S": "S",
    "E": "VCVS", "G": "VCCS", "F": "CCCS", "H": "CCVS",
}  # fmt: skip

NUDGE = "nudge_{}"
"""Name of the current source that nudges output k: its current is injected into the output port."""


def to_pyspice(network: Network, nudges: bool = True) -> tuple[Any, list[SpiceLine], list[str]]:
    """Write a network as a PySpice circuit.

    Args:
        network: the network.
        nudges: add an external current source at every output, `nudge_0`, `nudge_1`, ... Its positive
            current is injected into the output's plus node and drawn from its minus node.

    Returns:
        The circuit; its element lines in order; for each line the network element it belongs to.
    """
    circuit = Circuit(network.name)
    lines: list[SpiceLine] = []
    origins: list[str] = []
    cards: dict[str, ModelCard] = {}
    for element in network.elements:
        for line in element.spice():
            lines.append(line)
            origins.append(element.name)
        if element.model is not None and cards.setdefault(element.model.name, element.model) != element.model:
            raise ValueError(f"{element.name}: two different model cards are named {element.model.name!r}")
    if nudges:
        for k, output in enumerate(network.outputs):
            lines.append(SpiceLine("I", NUDGE.format(k), (output.minus, output.plus), "external", True))
            origins.append("")
    for line in lines:
        add: Callable[..., Any] = getattr(circuit, _ADD[line.letter])
        add(line.name, *(circuit.gnd if n == GROUND else n for n in line.nodes), raw_spice=line.body)
    for card in cards.values():
        circuit.raw_spice += card.line() + "\n"
    return circuit, lines, origins


def build_deck(
    network: Network,
    options: SolverOptions | None = None,
    *,
    nudges: bool = True,
    saves: tuple[str, ...] | None = None,
) -> Deck:
    """Write a network as a deck for a session.

    Args:
        network: the network.
        options: tolerances and methods of the simulator.
        nudges: add a current source at every output (see `to_pyspice`).
        saves: vectors to keep; all node voltages in the order of `network.nodes` by default.

    Returns:
        The deck; its sources are the network's drives in their order, then the nudges.
    """
    circuit, lines, origins = to_pyspice(network, nudges)
    cards = circuit.raw_spice.splitlines()
    text = [line for line in str(circuit).splitlines() if line and not line.startswith(".title")]
    instances = [line for line in text if line not in set(cards)]
    if len(instances) != len(lines):
        raise RuntimeError("PySpice wrote another number of lines than there are elements")
    drive_names = [network.element(d.source).spice()[0].instance for d in network.drives]
    nudge_names = [f"i{NUDGE.format(k)}" for k in range(len(network.outputs))] if nudges else []
    return Deck(
        title=f"tellegen {network.name}",
        lines=(*cards, *instances),
        sources=(*drive_names, *nudge_names),
        saves=saves if saves is not None else tuple(f"v({n})".lower() for n in network.nodes),
        options=options or SolverOptions(),
        origins=(*([""] * len(cards)), *origins),
    )
