"""The MOSFET: native in SPICE, described by its model card; its linearisation comes from the simulation.

Laws are ngspice's own (level 1, BSIM3, BSIM4, ...), so nothing here is symbolic. What the adjoint network
needs of a transistor comes from the simulation: `circuits.devices.mosfet_linear`, `bridge.transistors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bridge.errors import NetworkError
from circuits.devices.base import STANDALONE, Device, Element, ModelCard, Parameter, SpiceContext, SpiceLine
from circuits.numbers import spice_number

KINDS = ("nmos", "pmos")

_W = Parameter("w", "m", 1e-6, lower=1e-9, upper=1.0, typical=1e-6, description="channel width")
_L = Parameter("l", "m", 1e-6, lower=1e-9, upper=1.0, trainable=False, description="channel length")
_M = Parameter("m", "1", 1.0, lower=1e-3, upper=1e6, trainable=False, description="transistors in parallel")


@dataclass(frozen=True)
class Mosfet(Device):
    """A MOSFET with a model card.

    Attributes:
        options: further instance parameters such as `ad=1e-12`; written from checked values, never copied.
    """

    options: str = ""
    instance_letter: ClassVar[str] = "M"

    @property
    def sizes(self) -> tuple[str, str]:
        """Instance parameters for the channel's width and length."""
        return "w", "l"

    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        """See `Device`."""
        if element.model is None:
            raise NetworkError(f"{element.name}: a MOSFET needs a model card")
        w, l = self.sizes  # noqa: E741
        body = f"{element.model.name} {w}={spice_number(element.value('w'))}"
        body += f" {l}={spice_number(element.value('l'))}"
        if element.value("m") != 1.0:
            body += f" m={spice_number(element.value('m'))}"
        return [SpiceLine(self.instance_letter, element.name, element.nodes, body + self.options)]

    def alter_target(self, element: Element, parameter: str, context: SpiceContext = STANDALONE) -> str:
        """See `Device`: the width only."""
        if parameter != "w":
            return super().alter_target(element, parameter, context)
        return f"@{self.instance_letter}{element.name}[{self.sizes[0]}]".lower()


MOSFET = Mosfet(
    "mosfet",
    ("d", "g", "s", "b"),
    (_W, _L, _M),
    reciprocal=False,
    description="MOSFET with a SPICE model card",
    source="the model card's: level 1 Shichman and Hodges, IEEE J. Solid-State Circuits 3, 285 (1968); BSIM",
)


def mosfet(
    name: str,
    d: str,
    g: str,
    s: str,
    b: str,
    *,
    model: ModelCard,
    w: float = 1e-6,
    l: float = 1e-6,  # noqa: E741
    m: float = 1.0,
    **instance: float,
) -> Element:
    """A MOSFET.

    Args:
        name: unique name.
        d: drain.
        g: gate.
        s: source.
        b: bulk.
        model: card of type `nmos` or `pmos` (`circuits.devices.cards`), or of a module in Verilog-A
            (`circuits.devices.cards_veriloga`).
        w: channel width [m].
        l: channel length [m].
        m: transistors in parallel.
        instance: further instance parameters of the model, such as `ad`, `pd` [m^2, m]; `as_` is `as`.

    Raises:
        NetworkError: the card is of another type, or a value is out of bounds.
    """
    from circuits.devices.mosfet_veriloga import CompiledCard, compiled_device

    given = {key.rstrip("_"): value for key, value in instance.items()}
    if isinstance(model, CompiledCard):
        return compiled_device(model, given).element(name, d, g, s, b, model=model, w=w, l=l, m=m)
    if model.kind.lower() not in KINDS:
        raise NetworkError(f"{name}: model card {model.name!r} is of type {model.kind}, not nmos or pmos")
    written = "".join(f" {key}={spice_number(value)}" for key, value in given.items())
    device = MOSFET if not written else _with_options(written)
    return device.element(name, d, g, s, b, model=model, w=w, l=l, m=m)


def _with_options(written: str) -> Mosfet:
    return Mosfet(
        MOSFET.kind,
        MOSFET.terminals,
        MOSFET.parameters,
        reciprocal=False,
        description=MOSFET.description,
        source=MOSFET.source,
        options=written,
    )
