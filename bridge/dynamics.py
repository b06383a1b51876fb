"""Phases of a time-varying network: the free transient and the adjoint network's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.ngspice import openvaf
from bridge.ngspice.drives import Signals
from bridge.ngspice.session import Circuit, Session
from bridge.phases import device_families, told_values, typical_sizes
from bridge.quadrature import reversed_times
from bridge.transistors import Bench, Played, linearisation, played_by
from bridge.waveforms import Waveforms
from circuits.adjoint import Adjoint, Coefficient, adjoint, adjoint_state, playback_source
from circuits.deck import Deck, SolverOptions
from circuits.devices.base import Device, Element
from circuits.devices.behavioural import Behavioural, state_node
from circuits.devices.mosfet_linear import mosfets, vectors
from circuits.netlist import Realisation, build_deck, contexts
from circuits.network import GROUND, Network

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FIXED_GRID = SolverOptions(trtol=1e6)
"""Options under which the time points depend on the largest step only, not on parameters."""

_SENSED = {"inductor": "i(l{})", "voltage_source": "i(v{})", "cccs": "i(vsense_{})", "ccvs": "i(vsense_{})"}
_ADJOINT_SENSED = {**_SENSED, "vcvs": "i(e{})", "adjoint_transfer": "i(vsense_{})"}
_ADJOINT_BRANCH = {"ccvs": "i(h{})"}


def nodes_of(network: Network, deck_saves: Sequence[str]) -> tuple[str, ...]:
    """Nodes among the saved vectors, in their order."""
    known = set(network.nodes)
    return tuple(s[2:-1] for s in deck_saves if s.startswith("v(") and s[2:-1] in known)


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
    """

    network: Network
    duration: float
    step: float
    from_rest: bool = True
    options: SolverOptions = FIXED_GRID
    realisation: Realisation = "auto"

    def __call__(self) -> DynamicPhases:
        """Load the network in this process's engine."""
        return DynamicPhases(self)

    def task_size(self, samples: int) -> int:
        """Samples a task: one transient is work enough."""
        return 1

    @cached_property
    def flat(self) -> Network:
        """The network of simple elements."""
        return self.network.flat()

    def saves(self) -> tuple[str, ...]:
        """Vectors to keep: node voltages, branch currents and states that a gradient may need."""
        nodes = [f"v({n})" for n in self.flat.nodes]
        currents = [
            _SENSED[e.device.kind].format(e.name) for e in self.flat.elements if e.device.kind in _SENSED
        ]
        states = [f"v({state_node(e.name, s.name)})" for e in self.flat.elements for s in e.device.states]
        inner = [name for e in mosfets(self.flat.elements) for name in vectors(e)]
        return tuple(n.lower() for n in (*nodes, *currents, *states, *inner))

    @cached_property
    def realised(self) -> Realisation:
        """The realisation that this machine can do."""
        return openvaf.usable(self.realisation, self.network)

    def deck(self, network: Network | None = None) -> Deck:
        """The deck of the free phase, or of a network with the same saved vectors."""
        return build_deck(
            network or self.network,
            self.options,
            saves=self.saves(),
            time_scale=self.duration,
            realisation=self.realised,
        )

    def targets(self) -> tuple[str, ...]:
        """What to alter in the loaded circuit, one for each trainable parameter."""
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
    return build_deck(made.network, plan.options, saves=saves, time_scale=plan.duration)


@dataclass(frozen=True)
class Group:
    """Elements of one device whose laws are evaluated together.

    Attributes:
        device: their family.
        elements: the elements.
        values: parameter values by name, `(n_elements,)` each.
    """

    device: Device
    elements: tuple[Element, ...]
    values: dict[str, FloatArray] = field(default_factory=dict)

    def signals(self, waves: Waveforms) -> dict[str, FloatArray]:
        """Every symbol of the laws along a trajectory: `u` and states `(n_points, n_elements)`."""
        controls = slice(2, 4) if len(self.device.terminals) == 4 else slice(0, 2)
        found: dict[str, FloatArray] = {
            "u": np.stack([branch(waves, *e.nodes[controls]) for e in self.elements], axis=1)
        }
        for state in self.device.states:
            columns = [waves[f"v({state_node(e.name, state.name)})".lower()] for e in self.elements]
            found[state.name] = state.scale * np.stack(columns, axis=1)
        return {**found, **self.values}


def score(loss: Any, time: FloatArray, outputs: FloatArray) -> FloatArray:
    """What a loss classifies by, `(n_scores,)`; the last sample of the outputs where it does not say."""
    averages = getattr(loss, "averages", None)
    return np.asarray(averages(time, outputs) if averages is not None else outputs[-1])


def branch(waves: Waveforms, p: str, n: str) -> FloatArray:
    """Voltage between two nodes over time, `(n_points,)` [V]."""
    zero = np.zeros(len(waves))
    plus = zero if p == GROUND else waves[f"v({p})".lower()]
    return plus - (zero if n == GROUND else waves[f"v({n})".lower()])


class DynamicPhases:
    """A time-varying network loaded in this process.

    Attributes:
        plan: what was loaded and how it is simulated.
        parameters: current values of the trainable parameters, `(n_trainable,)`.
        transistors: how they are linearised, one of `bridge.transistors.WAYS`.
        charges: whether the adjoint network has the transistors' charges.
    """

    transistors = "auto"
    charges = True

    def __init__(self, plan: DynamicPlan, session: Session | None = None) -> None:
        self.plan = plan
        self.session = session or Session()
        self.circuit: Circuit = self.session.load(plan.deck())
        flat = plan.flat
        self.targets = plan.targets()
        self.families = device_families(flat)
        self.typical = typical_sizes(flat)
        self.parameters = flat.parameters
        self._adjoint: tuple[Adjoint, Circuit] | None = None
        self._written: tuple[list[str], IntArray, FloatArray] | None = None
        self._valued: Network | None = None
        self.extra: dict[str, Circuit] = {}  # circuits that estimators keep loaded
        self._transistors: Played | None = None
        self._benches: dict[tuple[str, ...], Bench] = {}

    def update(self, state: Any) -> None:
        """Write the trainable parameters `(n_trainable,)` into the loaded circuits."""
        values = np.asarray(state, dtype=float)
        self.circuit.alter(self.targets, self.alter_values(values))
        self.parameters = values
        self._valued = None

    def run(self, task: Any) -> Any:
        """Do a task on these phases."""
        return task.run(self)

    def usage(self) -> dict[str, Any]:
        """Counts since the start and the time spent inside the simulator [s]."""
        return self.session.usage()

    def alter_values(self, parameters: FloatArray) -> FloatArray:
        """What the simulator is told for parameter values, both `(n_trainable,)`."""
        return told_values(self.families, parameters)

    @cached_property
    def network(self) -> Network:
        """The flat network (at the parameters that were loaded)."""
        return self.plan.flat

    def free(self, drives: Signals | None) -> Waveforms:
        """The free phase, with the driven sources playing `drives`."""
        signals = [drives] if drives is not None and len(drives.sources) else []
        return self.circuit.transient(signals, self.plan.duration, self.plan.step, uic=self.plan.from_rest)

    def evaluate(self, batch: Any, loss: Any) -> tuple[FloatArray, FloatArray]:
        """Losses `(n,)` and scores `(n, n_scores)` of the free phases of a batch."""
        losses, scores = [], []
        for k in range(len(batch)):
            waves = self.free(batch.signals(k))
            outputs = self.outputs(waves)
            losses.append(loss.evaluate(waves.time, outputs, batch.targets[k]).value)
            scores.append(score(loss, waves.time, outputs))
        return np.array(losses), np.array(scores)

    def outputs(self, waves: Waveforms) -> FloatArray:
        """Output voltages [V] over time, then the probes' currents [A]: `(n_points, n_outputs)`."""
        network = self.plan.flat
        voltages = [branch(waves, o.plus, o.minus) for o in network.outputs]
        return np.stack([*voltages, *(waves[f"i(v{p})".lower()] for p in network.probes)], axis=1)

    # The adjoint phase.

    def groups(self) -> list[Group]:
        """Elements that play back, grouped by device, with their present parameter values."""
        if self._adjoint is None or not self._adjoint[0].playback:
            return []
        made, network = self._adjoint[0], self.valued
        found: dict[Device, list[Element]] = {}
        for name in made.playback:
            element = network.element(name)
            found.setdefault(element.device, []).append(element)
        return [make_group(device, elements) for device, elements in found.items()]

    def adjoint_circuit(self) -> tuple[Adjoint, Circuit]:
        """The adjoint network, loaded, with the present parameters."""
        if self._adjoint is None:
            made = adjoint(self.plan.flat, self.charges)
            self._adjoint = made, self.session.load(adjoint_deck(self.plan, made))
        made, circuit = self._adjoint
        self._write_adjoint_parameters(made, circuit)
        return made, circuit

    def _write_adjoint_parameters(self, made: Adjoint, circuit: Circuit) -> None:
        if self._written is None:
            self._written = _adjoint_targets(self.plan.flat, made)
        targets, places, signs = self._written
        circuit.alter(targets, signs * self.alter_values(self.parameters)[places])

    @property
    def valued(self) -> Network:
        """The flat network with the present parameters."""
        if self._valued is None:
            self._valued = self.plan.flat.with_parameters(self.parameters)
        return self._valued

    def adjoint(self, waves: Waveforms, nudges: Signals) -> tuple[Waveforms, dict[tuple[str, str], float]]:
        """The adjoint phase.

        Args:
            waves: the free trajectory.
            nudges: `+e` reversed in time, for the outputs.

        Returns:
            The adjoint signals over `tau`, and the scale of every adjoint state by element and state.
        """
        circuit = self.adjoint_circuit()[1]
        sources, values, scales = self.playback(waves)
        signals = [nudges]
        if sources:
            reverse = reversed_times(waves.time, self.plan.duration)
            signals.append(Signals(sources, values[::-1].copy(), reverse, order=3))
        found = circuit.transient(signals, self.plan.duration, self.plan.step, uic=True)
        return found, scales

    def playback(self, waves: Waveforms) -> tuple[tuple[int, ...], FloatArray, dict[tuple[str, str], float]]:
        """What the adjoint network plays back, in the free phase's own time.

        Args:
            waves: the free trajectory, or one operating point.

        Returns:
            The positions of the sources, their values `(n_points, n_sources)`, and the scale of every
            adjoint state by element and state.
        """
        made, circuit = self.adjoint_circuit()
        place = {name: k for k, name in enumerate(circuit.deck.sources)}
        sources: list[int] = []
        columns: list[FloatArray] = []
        scales: dict[tuple[str, str], float] = {}
        for group in self.groups():
            for element, key, values in played(group, waves, made, self.plan.duration, scales):
                sources.append(place[f"v{playback_source(element, key)}".lower()])
                columns.append(values)
        found = np.stack(columns, axis=1) if columns else np.zeros((len(waves), 0))
        if self._transistors is None:
            self._transistors = played_by(made.network, place)
        if self._transistors.sources:
            sources += self._transistors.sources
            found = np.hstack([found, self._transistors.values(*linearisation(self, waves)[1:])])
        return tuple(sources), found, scales

    def bench(self, elements: list[Element]) -> Bench:
        """The circuit that measures these transistors one by one, with their present parameters."""
        names = tuple(e.name for e in elements)
        if names not in self._benches:
            self._benches[names] = Bench(elements, self.plan.options, self.session)
        self._benches[names].update(elements)
        return self._benches[names]


def _adjoint_targets(flat: Network, made: Adjoint) -> tuple[list[str], IntArray, FloatArray]:
    """What to alter in an adjoint circuit, the parameters it follows and their signs."""
    targets, places, signs = [], [], []
    kept = {e.name: e for e in made.network.elements}
    for place, entry in enumerate(flat.trainable):
        element = kept.get(entry.element)
        if element is None or element.name in made.playback or not element.device.parameters:
            continue  # played back, or an independent source
        if entry.parameter.startswith("initial") or element.device.kind == "voltage_source":
            continue
        targets.append(element.device.alter_target(element, element.device.parameters[0].name))
        places.append(place)
        signs.append(-1.0 if element.device.kind in ("vcvs", "cccs") else 1.0)
    return targets, np.array(places, dtype=np.int64), np.array(signs)


def make_group(device: Device, elements: Sequence[Element]) -> Group:
    """A group with its parameter values as arrays."""
    values = {p.name: np.array([e.value(p.name) for e in elements]) for p in device.parameters}
    return Group(device, tuple(elements), values)


def played(
    group: Group,
    waves: Waveforms,
    made: Adjoint,
    duration: float,
    scales: dict[tuple[str, str], float],
) -> list[tuple[str, str, FloatArray]]:
    """What the sources of a group play over the free phase's time: element, key, values `(n_points,)`.

    The scales of the adjoint states are chosen here and added to `scales`.
    """
    signals = group.signals(waves)
    device = group.device
    keys: tuple[Coefficient, ...] = made.playback[group.elements[0].name]
    raw = {k.key: device.evaluate(k.expression, signals) for k in keys}
    rows = []
    for column, element in enumerate(group.elements):
        one = {key: values[:, column] for key, values in raw.items()}
        for state in device.states:
            drive = one.get(f"fx_{state.name}", np.zeros(1)) * state.scale
            scales[element.name, state.name] = duration * float(np.abs(drive).max()) or 1.0
        for state in device.states:
            k = scales[element.name, state.name]
            if f"fx_{state.name}" in one:
                one[f"fx_{state.name}"] = one[f"fx_{state.name}"] * state.scale / k
            if f"hu_{state.name}" in one:
                one[f"hu_{state.name}"] = one[f"hu_{state.name}"] * k / state.scale
            for other in device.states:
                key = f"hx_{state.name}_{other.name}"
                if key in one:  # d rate(state) / d other, seen by the adjoint of other
                    ratio = k / scales[element.name, other.name] * other.scale / state.scale
                    one[key] = one[key] * ratio
        if "cu" in one and isinstance(device, Behavioural):
            reference = next(e for e in made.network.elements if e.name == element.name).device
            one["cu"] = one["cu"] / reference.reference  # type: ignore[attr-defined]
        rows += [(element.name, key, values) for key, values in one.items()]
    return rows
