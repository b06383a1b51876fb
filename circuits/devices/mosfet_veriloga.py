"""MOSFETs whose model is compiled Verilog-A (PSP103 and others, through OSDI), with a card of its own.

The card names the module and knows its source, so that such a transistor stands wherever one with a native
card does. Nothing about the model's equations is known here: its derivatives are measured
(`bridge.transistors`), the currents' by differences, the charges' by the simulator's small-signal analysis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

from circuits.deck import VerilogModule
from circuits.devices.base import SpiceContext
from circuits.devices.mosfet import MOSFET, Mosfet
from circuits.devices.veriloga import VerilogCard
from circuits.numbers import spice_number

TERMINALS = 4


@dataclass(frozen=True)
class CompiledCard(VerilogCard):
    """A model card of a MOSFET in Verilog-A, whose terminals are d, g, s, b in this order.

    Attributes:
        module: the module, with the text of its files.
        channel: `nmos` or `pmos`.
        width: the module's instance parameter for the channel width [m].
        length: the same for the channel length [m].
        instance: instance parameters of every transistor with this card that sets none of its own.
    """

    module: VerilogModule | None = None
    channel: str = "nmos"
    width: str = "w"
    length: str = "l"
    instance: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class CompiledMosfet(Mosfet):
    """A MOSFET of a module in Verilog-A.

    Attributes:
        verilog: the module.
        names: its instance parameters for width and length.
    """

    verilog: VerilogModule | None = None
    names: tuple[str, str] = ("w", "l")
    instance_letter: ClassVar[str] = "N"

    def module(self, context: SpiceContext) -> VerilogModule | None:
        """See `Device`."""
        return self.verilog

    @property
    def sizes(self) -> tuple[str, str]:
        """See `Mosfet`."""
        return self.names


def compiled_device(card: CompiledCard, given: dict[str, float]) -> CompiledMosfet:
    """The device of a card's transistors; one object for all that have the same instance parameters."""
    return _device(card, tuple({**dict(card.instance), **given}.items()))


@lru_cache(maxsize=256)
def _device(card: CompiledCard, instance: tuple[tuple[str, float], ...]) -> CompiledMosfet:
    assert card.module is not None
    names = (card.width, card.length)
    used = tuple(dict.fromkeys((*names, *(key for key, _ in instance))))
    return CompiledMosfet(
        MOSFET.kind,
        MOSFET.terminals,
        MOSFET.parameters,
        reciprocal=False,
        description="MOSFET with a model in Verilog-A",
        source="the module's",
        options="".join(f" {key}={spice_number(value)}" for key, value in instance),
        verilog=replace(card.module, instance=used, model=tuple(key for key, _ in card.parameters)),
        names=names,
    )
