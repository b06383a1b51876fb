"""Technologies: the cards, sizes and operating voltages of learning circuits of transistors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from circuits.devices import cards, cards_veriloga
from circuits.devices.base import ModelCard

Sized = Callable[[float, float], ModelCard]
"""A card for a channel's width and length [m]."""


@dataclass(frozen=True)
class Technology:
    """Transistors and operating voltages of a circuit.

    Attributes:
        nmos: card of the synapses and sinks; or what makes one for a channel's width and length [m].
        pmos: card of the pairs and sources, likewise.
        supply: [V].
        common: common-mode voltage of all signals [V].
        swing: of the inputs around it [V].
        length: of every channel [m].
        synapse_width: [m].
        pair_width: of the transistors of a differential pair [m].
        tail_width: of its tail [m].
        tail_gate: gate voltage of the tails [V]; it sets the tail current.
        load: conductance from every output of a pair to ground [S].
        gate: lower and upper bound of synapses' gate voltages [V].
        gate_start: range of their initial values [V].
    """

    nmos: ModelCard | Sized
    pmos: ModelCard | Sized
    supply: float = 1.0
    common: float = 0.2
    swing: float = 0.2
    length: float = 1e-7
    synapse_width: float = 1e-7
    pair_width: float = 2e-6
    tail_width: float = 1e-6
    tail_gate: float = 0.5
    load: float = 5e-5
    gate: tuple[float, float] = (0.3, 1.0)
    gate_start: tuple[float, float] = (0.5, 0.8)

    def card(self, channel: str, width: float) -> ModelCard:
        """The card of a transistor.

        Args:
            channel: `nmos` or `pmos`.
            width: of its channel [m].
        """
        own = self.nmos if channel == "nmos" else self.pmos
        return own if isinstance(own, ModelCard) else own(width, self.length)


def level1(**changes: Any) -> Technology:
    """Level-1 transistors with thresholds of 0.35 V at 1 V, not those of a process.

    Args:
        changes: fields of `Technology`.
    """
    more = {"gamma": 0.2, "phi": 0.8, "lambda_": 0.1, "tox": 2e-9, "cgso": 1e-10, "cgdo": 1e-10}
    own = Technology(
        cards.level1("nlearn", "nmos", vto=0.35, kp=3e-4, **more),
        cards.level1("plearn", "pmos", vto=-0.35, kp=1e-4, **more),
        load=2.5e-5,
    )
    return replace(own, **changes)


def bsim3(**changes: Any) -> Technology:
    """BSIM3 transistors with thresholds of 0.5 V at 2 V, not those of a process; `changes` as above."""
    own = Technology(
        cards.bsim3("nlearn3", "nmos"),
        cards.bsim3("plearn3", "pmos"),
        supply=2.0,
        common=0.3,
        length=3e-7,
        synapse_width=3e-7,
        pair_width=6e-6,
        tail_width=3e-6,
        tail_gate=1.2,
        load=5e-5,
        gate=(0.5, 2.0),
        gate_start=(1.0, 1.5),
    )
    return replace(own, **changes)


def freepdk45(corner: str = "nom", **changes: Any) -> Technology:
    """The predictive 45 nm process FreePDK45 (BSIM4) at 1 V; `changes` as above."""
    own = Technology(cards.freepdk45("NMOS_VTG", corner), cards.freepdk45("PMOS_VTG", corner))
    return replace(own, **changes)


def gf180mcu(corner: str = "nom", **changes: Any) -> Technology:
    """The 180 nm process gf180mcu (BSIM4) at 3.3 V; `changes` as above."""
    own = Technology(
        _sized(cards.gf180mcu, "nfet_03v3", corner),
        _sized(cards.gf180mcu, "pfet_03v3", corner),
        supply=3.3,
        common=0.5,
        swing=0.4,
        length=5e-7,
        synapse_width=5e-7,
        pair_width=1e-5,
        tail_width=5e-6,
        tail_gate=2.2,
        load=5e-5,
        gate=(0.7, 3.3),
        gate_start=(1.4, 2.2),
    )
    return replace(own, **changes)


def sg13g2(corner: str = "nom", **changes: Any) -> Technology:
    """The 130 nm process SG13G2 (PSP103, compiled from Verilog-A) at 1.2 V; `changes` as above."""
    own = Technology(
        _sized(cards_veriloga.sg13g2, "lv_nmos", corner),
        _sized(cards_veriloga.sg13g2, "lv_pmos", corner),
        supply=1.2,
        common=0.2,
        length=1.3e-7,
        synapse_width=1.5e-7,
        pair_width=4e-6,
        tail_width=2e-6,
        tail_gate=0.6,
        load=5e-5,
        gate=(0.3, 1.2),
        gate_start=(0.5, 0.8),
    )
    return replace(own, **changes)


def from_files(
    file: str | Path,
    nmos: str,
    pmos: str,
    *,
    sections: tuple[str, ...] = (),
    parameters: Mapping[str, float] | None = None,
    verilog_a: str | Path | None = None,
    width: str = "w",
    length: str = "l",
    changes: Mapping[str, Any] | None = None,
) -> Technology:
    """Transistors of a user's own model cards, at the operating voltages of `Technology`.

    Args:
        file: a SPICE file with `.model` lines; it is read as data.
        nmos: name of the n-channel model, or of its bins without their number.
        pmos: name of the p-channel model, likewise.
        sections: the file's `.lib` sections to read.
        parameters: values for parameters that the file's expressions use.
        verilog_a: file of the Verilog-A module that the models' type names; native models when left out.
        width: that module's instance parameter for the channel width.
        length: that module's instance parameter for the channel length.
        changes: fields of `Technology`.

    Raises:
        SpecError: when a card is asked for that the files do not have.
    """
    given = tuple((parameters or {}).items())
    code = None if verilog_a is None else Path(verilog_a)
    made = [
        partial(_from_file, Path(file), name, channel, sections, given, code, width, length)
        for name, channel in ((nmos, "nmos"), (pmos, "pmos"))
    ]
    return Technology(made[0], made[1], **dict(changes or {}))


@lru_cache(maxsize=64)
def _from_file(
    file: Path,
    name: str,
    channel: str,
    sections: tuple[str, ...],
    parameters: tuple[tuple[str, float], ...],
    code: Path | None,
    w_name: str,
    l_name: str,
    w: float,
    l: float,  # noqa: E741
) -> ModelCard:
    given = dict(parameters)
    if code is None:
        return cards.load(file, name, w=w, l=l, sections=sections, parameters=given)
    return cards_veriloga.load_compiled(
        file, name, code, channel=channel, sections=sections, parameters=given, width=w_name, length=l_name
    )


def _sized(make: Callable[..., ModelCard], name: str, corner: str) -> Sized:
    return partial(_card, make, name, corner)


def _card(make: Callable[..., ModelCard], name: str, corner: str, width: float, length: float) -> ModelCard:
    return make(name, w=width, l=length, corner=corner)
