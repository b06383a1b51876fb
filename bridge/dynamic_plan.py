"""How a time-varying network is simulated: what is loaded and which vectors are kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from bridge.ngspice import openvaf
from bridge.solver import with_solver
from circuits.adjoint import Adjoint, adjoint_state
from circuits.deck import Deck, SolverOptions
from circuits.devices.behavioural import state_node
from circuits.devices.mosfet_linear import mosfets, vectors
from circuits.netlist import Realisation, build_deck, contexts
from circuits.network import Network
from circuits.reduction import Reduction, reduce_network

if TYPE_CHECKING:
    from bridge.dynamics import DynamicPhases

FIXED_GRID = SolverOptions(trtol=1e6)
"""Options under which the time points depend on the largest step only, not on parameters."""

_SENSED = {"inductor": "i(l{})", "voltage_source": "i(v{})", "cccs": "i(vsense_{})", "ccvs": "i(vsense_{})"}
_ADJOINT_SENSED = {**_SENSED, "vcvs": "i(e{})", "adjoint_transfer": "i(vsense_{})"}
_ADJOINT_BRANCH = {"ccvs": "i(h{})"}


_TIGHTER = 1e-2  # tolerance of Newton's method in a reduced circuit, as a share of the plan's
_TOGETHER = 4  # samples a task of a gradient, at most
_WAITING = 4  # arrays of the size of a free trajectory that a sample keeps meanwhile
_MEMORY = 64e6  # bytes that they may take


@dataclass(frozen=True)
class DynamicPlan:
    """How a time-varying network is simulated; makes the phases in each worker.

    Attributes:
        network: what is built.
        duration: of the transient [s].
        step: largest time step [s].
        from_rest: start from the elements' initial conditions; otherwise from the operating point of the
            drives at t = 0, which depends on the parameters.
        options: tolerances and methods; the default keeps the time points independent of parameters.
        realisation: how symbolic laws are simulated: `behavioural` (`B` sources), `veriloga` (generated
            modules), or `auto`: as the devices prefer and this machine can.
        reduce: load conductances at nodes of known voltage as Norton equivalents, which changes no waveform.
            The currents of the sources at such nodes are not among the vectors then, unless they are the
            network's probes.
    """

    network: Network
    duration: float
    step: float
    from_rest: bool = True
    options: SolverOptions = FIXED_GRID
    realisation: Realisation = "auto"
    reduce: bool = True

    def __call__(self) -> DynamicPhases:
        """Load the network in this process's engine."""
        from bridge.dynamics import DynamicPhases  # which need plans

        return DynamicPhases(self)

    def task_size(self, samples: int) -> int:
        """Samples a task: one transient is work enough."""
        return 1

    def gradient_size(self, samples: int) -> int:
        """Samples a task of a gradient: their free phases run one after another, then their adjoint ones.

        Their waveforms wait in memory; it must not depend on the workers.
        """
        each = 8 * _WAITING * len(self.saves()) * self.duration / self.step
        return max(1, min(_TOGETHER, samples // 8, int(_MEMORY / each)))

    @cached_property
    def flat(self) -> Network:
        """The network of simple elements."""
        return self.network.flat()

    def saves(self, loaded: Reduction | None = None) -> tuple[str, ...]:
        """Vectors to keep: node voltages, branch currents and states that a gradient may need.

        Args:
            loaded: what is loaded in place of the network; the currents of the sources it knows are not
                those of the network, and are left out.
        """
        flat = self.flat if loaded is None else loaded.network
        others = set() if loaded is None else {s.name for s, _ in loaded.known.held_by.values()}
        nodes = [f"v({n})" for n in flat.nodes]
        currents = [
            _SENSED[e.device.kind].format(e.name)
            for e in flat.elements
            if e.device.kind in _SENSED and e.name not in others
        ]
        states = [f"v({state_node(e.name, s.name)})" for e in flat.elements for s in e.device.states]
        inner = [name for e in mosfets(flat.elements) for name in vectors(e)]
        return tuple(n.lower() for n in (*nodes, *currents, *states, *inner))

    @cached_property
    def reduction(self) -> Reduction | None:
        """What is loaded in place of the whole network; `None` where it is the network itself."""
        return reduce_network(self.flat) if self.reduce else None

    @cached_property
    def realised(self) -> Realisation:
        """The realisation that this machine can do."""
        return openvaf.usable(self.realisation, self.network)

    def deck(self, network: Network | None = None) -> Deck:
        """The deck of the whole network, or of one with the same saved vectors."""
        return self._deck(network or self.network, self.options, self.saves())

    def loaded_deck(self) -> Deck:
        """The deck of the free phase, with a current source at every output."""
        found = self.reduction
        network, options = self.network, self.options
        if found is not None:  # the sources' currents, whose convergence is the last, are not loaded
            reltol, trtol = _TIGHTER * options.reltol, options.trtol / _TIGHTER  # the steps stay the same
            network, options = found.network, replace(options, reltol=reltol, trtol=trtol)
        deck = self._deck(network, options, self.saves(found))
        return deck if found is None else replace(deck, notes=(found.note,))

    def _deck(self, network: Network, options: SolverOptions, saves: tuple[str, ...]) -> Deck:
        return build_deck(
            network,
            with_solver(options, network, "transient"),
            saves=saves,
            time_scale=self.duration,
            realisation=self.realised,
        )

    def targets(self) -> tuple[str, ...]:
        """What to alter in the whole network, one for each trainable parameter."""
        known = contexts(self.flat, self.duration, self.realised)
        found = []
        for entry in self.flat.trainable:
            element, context = self.flat.element(entry.element), known[entry.element]
            found.append(element.device.alter_target(element, entry.parameter, context))
        return tuple(found)


def adjoint_deck(plan: DynamicPlan, made: Adjoint) -> Deck:
    """The deck of an adjoint network: its sources are the nudges, then the playback."""
    nodes = [f"v({n})" for n in made.network.nodes]
    currents = [
        _ADJOINT_SENSED[e.device.kind].format(e.name)
        for e in made.network.elements
        if e.device.kind in _ADJOINT_SENSED
    ]
    currents += [
        _ADJOINT_BRANCH[e.device.kind].format(e.name)
        for e in made.network.elements
        if e.device.kind in _ADJOINT_BRANCH
    ]
    states = [
        f"v({adjoint_state(e.name, s)})"
        for e in made.network.elements
        for s in getattr(e.device, "state_names", ())
    ]
    saves = tuple(n.lower() for n in (*nodes, *currents, *states))
    options = with_solver(plan.options, made.network, "transient")
    return build_deck(made.network, options, saves=saves, time_scale=plan.duration)
