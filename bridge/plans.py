"""How a static network is simulated: what is loaded, by which analysis, in which order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from bridge.errors import UnsupportedElementError
from bridge.solver import with_solver
from circuits.deck import Deck, SolverOptions
from circuits.devices.base import Element
from circuits.netlist import build_deck
from circuits.network import Network
from circuits.reduction import Reduction, reduce_network

if TYPE_CHECKING:
    from bridge.phases import StaticPhases

_WITHOUT_MEMORY = frozenset(
    ("voltage_source", "current_source", "amplifier", "gyrator", "vcvs", "vccs", "ccvs", "cccs", "capacitor")
)
"""Kinds of elements without a law that are found again alike from any starting point."""


@dataclass(frozen=True)
class Settling:
    """A static phase as a transient from rest.

    Attributes:
        duration: length of the transient [s].
        step: largest time step [s].
        node_capacitance: parasitic capacitance of every free node [F].
        tolerance: a node that moves by more than this [V] in the last tenth has not settled.
    """

    duration: float
    step: float
    node_capacitance: float
    tolerance: float = 1e-5


@dataclass(frozen=True)
class StaticPlan:
    """How a static network is simulated; makes the phases in each worker.

    Attributes:
        network: what is built.
        settling: the transient, or `None` for operating points.
        options: tolerances and methods of the simulator.
        reduce: fold conductances at nodes of known voltage into Norton equivalents, which changes no voltage.
        stream: find the operating points of several samples in sequence; `None` where the network allows it.
    """

    network: Network
    settling: Settling | None = None
    options: SolverOptions = field(default_factory=SolverOptions)
    reduce: bool = True
    stream: bool | None = None

    def __call__(self) -> StaticPhases:
        """Load the network in this process's engine."""
        from bridge.phases import StaticPhases  # which need plans

        return StaticPhases(self)

    def task_size(self, samples: int) -> int:
        """Samples a task: enough for its transport not to count; it must not depend on the workers."""
        if self.settling is not None:
            return max(1, min(8, -(-samples // 8)))
        if self.streams:
            pieces = max(2, min(8, samples // 32))  # a sweep sets the circuit up, which costs five points
            return max(1, min(64, -(-samples // pieces)))
        return max(4, min(32, -(-samples // 4)))

    @property
    def streams(self) -> bool:
        """Whether operating points are found in sequence."""
        if self.settling is not None or self.stream is False:
            return False
        return self.stream is True or all(map(_without_memory, self._first))

    @cached_property
    def _first(self) -> tuple[Element, ...]:
        """One element of each device."""
        return tuple({id(e.device): e for e in self.network.elements}.values())

    def check(self) -> None:
        """Refuse operating points in sequence where they are asked for and one could depend on another.

        Raises:
            UnsupportedElementError: an element keeps a state, or switches with hysteresis.
        """
        if self.stream is not True:
            return
        for element in self._first:
            if element.device.states or element.device.kind == "switch":
                raise UnsupportedElementError(
                    element.name,
                    "operating points in sequence need elements without memory, "
                    f"a {element.device.kind} has one",
                    "leave out analysis.stream",
                )

    def circuit(self) -> Network:
        """The network as it is simulated: with its parasitics where phases are transients."""
        if self.settling is None:
            return self.network
        return self.network.with_parasitics(self.settling.node_capacitance)

    def deck(self) -> Deck:
        """The deck of the whole network."""
        network = self.circuit()
        return build_deck(network, self.solved(network))

    def solved(self, network: Network) -> SolverOptions:
        """The options with the sparse solver chosen for what is loaded."""
        if self.settling is not None:
            return with_solver(self.options, network, "transient")
        return with_solver(self.options, network, "sequence" if self.streams else "operating_point")

    def reduction(self) -> Reduction | None:
        """What is loaded in place of the whole network; `None` where it is the network itself."""
        return reduce_network(self.circuit()) if self.reduce else None

    def loaded_deck(self, reduction: Reduction | None, nudges: bool = True) -> Deck:
        """The deck that a worker loads.

        Args:
            reduction: of this plan.
            nudges: with a current source at every output.
        """
        if reduction is None:
            whole = self.circuit()
            return build_deck(whole, self.solved(whole), nudges=nudges)
        options = self.solved(reduction.network)
        return replace(build_deck(reduction.network, options, nudges=nudges), notes=(reduction.note,))

    def analysis(self) -> str:
        """The analysis as a line of SPICE."""
        if self.settling is None:
            return ".op"
        s = self.settling
        return f".tran {s.step:.12g} {s.duration:.12g} 0 {s.step:.12g} uic"


def _without_memory(element: Element) -> bool:
    """Whether nothing in an element remembers what was before."""
    device = element.device
    return device.kind in _WITHOUT_MEMORY or (device.law is not None and not device.states)
