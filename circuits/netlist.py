"""From a network to a netlist, through PySpice's `Circuit`: the only writer of SPICE."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, get_args

from bridge.errors import NetworkError
from circuits.deck import Deck, SolverOptions, VerilogModule
from circuits.devices.base import Device, ModelCard, SpiceContext, SpiceLine
from circuits.network import GROUND, Network

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its source has invalid escapes, which newer Pythons report
    from PySpice.Spice.Netlist import Circuit, NPinElement

logging.getLogger("PySpice.Spice.Netlist.Node").setLevel(logging.ERROR)  # it warns of a node named `in`

_FEW = 16  # saved vectors whose search costs nothing
_ADD = {
    "R": "R", "C": "C", "L": "L", "D": "D", "V": "V", "I": "I", "B": "B", "S": "S",
    "E": "VCVS", "G": "VCCS", "F": "CCCS", "H": "CCVS",
}  # fmt: skip

_NATIVE = {
    letter: type(f"Native{letter}", (NPinElement,), {"PREFIX": letter}) for letter in "MQJZKWTOUN"
}  # PySpice's own classes fix the number of nodes, or look up what an element names
"""Elements of any number of nodes whose line is written as it is."""

NUDGE = "nudge_{}"
"""Name of the current source that nudges output k: its current is injected into the output port."""


Realisation = Literal["auto", "behavioural", "veriloga"]
"""How symbolic laws reach the simulator: as `B` sources, as generated Verilog-A, or as the device prefers."""
_REALISATIONS = get_args(Realisation)


def compiles(device: Device, realisation: Realisation) -> bool:
    """Whether a device's laws become a Verilog-A module: `auto` asks the device, `veriloga` takes all it can.

    Raises:
        NetworkError: there is no such realisation.
    """
    if realisation not in _REALISATIONS:
        raise NetworkError(f"realisation {realisation!r}: choose from {', '.join(_REALISATIONS)}")
    wanted = device.compiled_by_default if realisation == "auto" else realisation == "veriloga"
    return device.compilable and wanted


def contexts(
    network: Network, time_scale: float = 1.0, realisation: Realisation = "behavioural"
) -> dict[str, SpiceContext]:
    """What the lines of every element depend on, by its name."""
    live: dict[str, set[str]] = {}
    for entry in network.trainable:
        live.setdefault(entry.element, set()).add(entry.parameter)
    made: dict[tuple[int, frozenset[str]], SpiceContext] = {}
    found = {}
    for e in network.elements:
        key = id(e.device), frozenset(live.get(e.name, ()))
        if key not in made:
            made[key] = SpiceContext(key[1], time_scale, compiles(e.device, realisation))
        found[e.name] = made[key]
    return found


def to_pyspice(
    network: Network,
    nudges: bool = True,
    time_scale: float = 1.0,
    realisation: Realisation = "behavioural",
) -> tuple[Any, list[SpiceLine], list[str]]:
    """Write a network as a PySpice circuit.

    Args:
        network: the network, without composite elements (`Network.flat`).
        nudges: add an external current source at every output, `nudge_0`, `nudge_1`, ... Its positive
            current is injected into the output's plus node and drawn from its minus node.
        time_scale: duration of the transients [s], which sizes the capacitors that hold states.
        realisation: how symbolic laws are written.

    Returns:
        The circuit; its element lines in order; for each line the network element it belongs to.

    Raises:
        NetworkError: names collide in SPICE, or one name stands for two model cards.
    """
    circuit = Circuit(network.name)
    lines: list[SpiceLine] = []
    origins: list[str] = []
    cards: dict[str, ModelCard] = {}
    known = contexts(network, time_scale, realisation)
    for element in network.elements:
        context = known[element.name]
        for line in element.spice(context):
            lines.append(line)
            origins.append(element.name)
        card = element.device.card(element, context)
        if card is not None and cards.setdefault(card.name, card) != card:
            raise NetworkError(f"{element.name}: two different model cards are named {card.name!r}")
    if nudges:
        for k, output in enumerate(network.outputs):
            lines.append(SpiceLine("I", NUDGE.format(k), (output.minus, output.plus), "external", True))
            origins.append("")
    _check_lines(network, lines, origins)
    for line in lines:
        nodes = [circuit.gnd if n == GROUND else n for n in line.nodes]
        if line.letter in _NATIVE:
            _NATIVE[line.letter](circuit, line.name, nodes, raw_spice=line.body)
            continue
        add: Callable[..., Any] = getattr(circuit, _ADD[line.letter])
        add(line.name, *nodes, raw_spice=line.body)
    for card in cards.values():
        circuit.raw_spice += card.line() + "\n"
    return circuit, lines, origins


def _check_lines(network: Network, lines: list[SpiceLine], origins: list[str]) -> None:
    """Refuse names that only collide in SPICE: of an element's inner lines and nodes."""
    instances: dict[str, str] = {}
    nodes = {n.lower() for n in network.nodes}
    for line, origin in zip(lines, origins, strict=True):
        if line.instance in instances:
            raise NetworkError(
                f"{origin or instances[line.instance]}: the SPICE name {line.instance!r} is used twice; "
                "rename the element"
            )
        instances[line.instance] = origin
        if origin:
            inner = {n.lower() for n in line.nodes} - {n.lower() for n in network.element(origin).nodes}
            if clash := sorted(inner & nodes):
                raise NetworkError(
                    f"{origin}: its inner node has the name of node {clash[0]!r}; rename the node"
                )


def _modules(network: Network, realisation: Realisation) -> tuple[VerilogModule, ...]:
    """The Verilog-A modules of a network, each once, with all that its elements use of it."""
    found: dict[str, VerilogModule] = {}
    for name, context in contexts(network, 1.0, realisation).items():
        module = network.element(name).device.module(context)
        if module is None:
            continue
        known = found.setdefault(module.name.lower(), module)
        if known is module:
            continue
        if (known.name, known.sources) != (module.name, module.sources):
            raise NetworkError(f"{name}: two different Verilog-A modules are named {module.name!r}")
        if known.terminals != module.terminals:
            raise NetworkError(f"{name}: {module.name} is placed with different numbers of nodes")
        found[module.name.lower()] = replace(
            known,
            instance=tuple(dict.fromkeys((*known.instance, *module.instance))),
            model=tuple(dict.fromkeys((*known.model, *module.model))),
        )
    return tuple(found.values())


def build_deck(
    network: Network,
    options: SolverOptions | None = None,
    *,
    nudges: bool = True,
    saves: tuple[str, ...] | None = None,
    time_scale: float = 1.0,
    realisation: Realisation = "behavioural",
) -> Deck:
    """Write a network as a deck for a session.

    Args:
        network: the network.
        options: tolerances and methods of the simulator.
        nudges: add a current source at every output (see `to_pyspice`).
        saves: vectors to keep; all node voltages in the order of `network.nodes` by default.
        time_scale: duration of the transients [s], which sizes the capacitors that hold states.
        realisation: how symbolic laws are written: `behavioural` (`B` sources, everywhere), `veriloga`
            (generated modules, which need a compiler and an ngspice with OSDI), `auto` (as each device
            prefers). `bridge.ngspice.openvaf.usable` tells which this machine can do.

    Returns:
        The deck; its sources are the network's drives in their order, then the nudges, then other
        external sources in the order of the netlist.
    """
    flat = network.flat()
    circuit, lines, origins = to_pyspice(flat, nudges, time_scale, realisation)
    cards = circuit.raw_spice.splitlines()
    text = [line for line in str(circuit).splitlines() if line and not line.startswith(".title")]
    own = set(cards)
    instances = [line for line in text if line not in own]
    if len(instances) != len(lines):
        raise RuntimeError("PySpice wrote another number of lines than there are elements")
    drive_names = [network.element(d.source).spice()[0].instance for d in network.drives]
    nudge_names = [f"i{NUDGE.format(k)}" for k in range(len(network.outputs))] if nudges else []
    known = {*drive_names, *nudge_names}
    others = [line.instance for line in lines if line.external and line.instance not in known]
    kept = saves if saves is not None else tuple(f"v({n})".lower() for n in network.nodes)
    held = set(kept)
    limits = (limit for e in flat.elements for limit in e.device.limits(e))
    return Deck(
        title=f"tellegen {network.name}",
        lines=(*cards, *instances),
        sources=(*drive_names, *nudge_names, *others),
        saves=kept,
        keeps_all=len(kept) > max(_FEW, len(network.nodes) // 2) and not any("@" in name for name in kept),
        options=options or SolverOptions(),
        origins=(*([""] * len(cards)), *origins),
        modules=_modules(flat, realisation),
        limits=tuple(limit for limit in limits if limit.vector in held),
    )
