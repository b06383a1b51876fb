"""Elements that ngspice simulates as they are: transistors, switches, lines, sources with a waveform.

Their laws are those of ngspice and not known here, so they have no derivative: free and nudged phases run
with them, and `circuits.adjoint.adjoint` names them.
"""

from __future__ import annotations

from dataclasses import dataclass

from circuits.devices.base import Device, Element, ModelCard, SpiceContext, SpiceLine
from circuits.numbers import spice_number

KINDS = {
    "B": "behavioural source", "C": "modelled capacitor", "D": "modelled diode", "J": "JFET",
    "K": "coupling of inductors", "L": "modelled inductor", "M": "MOSFET", "O": "lossy line",
    "Q": "bipolar transistor", "R": "modelled resistor", "S": "switch", "T": "transmission line",
    "U": "distributed RC line", "W": "current-controlled switch", "Z": "MESFET",
}  # fmt: skip
"""What messages call an element, by its SPICE letter."""


@dataclass(frozen=True)
class NativeElement(Device):
    """An element given by its line of SPICE, without a law.

    Attributes:
        letter: SPICE element letter.
        body: what follows the nodes; written from parsed tokens, never copied from a file.
    """

    letter: str = ""
    body: str = ""

    def spice(self, element: Element, context: SpiceContext) -> list[SpiceLine]:
        """See `Device`."""
        return [SpiceLine(self.letter, element.name, element.nodes, self.body)]


@dataclass(frozen=True)
class WaveformSource(NativeElement):
    """A voltage source whose waveform is part of the netlist; in an adjoint network it is a short circuit.

    Its kind is that of a voltage source, without the parameter `dc`.
    """


@dataclass(frozen=True)
class NativeCard(ModelCard):
    """A model card with words and texts besides numbers.

    Attributes:
        words: flags such as `pchan`, and `name=text` such as `version=4.8.2`.
    """

    words: tuple[str, ...] = ()

    def line(self) -> str:
        """The card as a line of SPICE."""
        body = [f"{key}={spice_number(value)}" for key, value in self.parameters]
        return f".model {self.name} {self.kind}({' '.join([*self.words, *body])})"


def native(
    name: str, letter: str, nodes: tuple[str, ...], body: str, model: ModelCard | None = None
) -> Element:
    """An element that only ngspice knows.

    Args:
        name: unique in its network.
        letter: SPICE element letter, one of `KINDS`.
        nodes: in SPICE's order, any number.
        body: what follows the nodes.
        model: its model card, which the body names.
    """
    terminals = tuple(f"t{k}" for k in range(1, len(nodes) + 1))
    device = NativeElement(KINDS[letter], terminals, (), reciprocal=False, letter=letter, body=body)
    return device.element(name, *nodes, model=model)


def waveform_source(name: str, p: str, n: str, body: str) -> Element:
    """A voltage source with ngspice's own waveform, for example `dc 0 pulse(0 1 0 1e-9 1e-9 1e-6 2e-6)`."""
    device = WaveformSource("voltage_source", ("p", "n"), (), letter="V", body=body)
    return device.element(name, p, n)
