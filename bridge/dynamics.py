"""Phases of a time-varying network: the free transient and the adjoint network's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bridge.benches import Bench, ChargeBench
from bridge.dynamic_plan import FIXED_GRID, DynamicPlan, adjoint_deck
from bridge.families import device_families, told_values, typical_sizes
from bridge.free import FreeCircuit
from bridge.free import Played as PlayedFree
from bridge.groups import Columns, Group, Names, Playback, columns, make_group, pick
from bridge.ngspice.drives import Signals
from bridge.ngspice.later import Beside, at_once
from bridge.ngspice.session import Circuit, Session
from bridge.quadrature import reversed_times
from bridge.transistors import Played, linearisation, played_by
from bridge.waveforms import Waveforms
from circuits.adjoint import Adjoint, adjoint, playback_source
from circuits.devices.base import Element
from circuits.devices.passive import RESISTOR
from circuits.folding import Folded, fold
from circuits.network import Network

__all__ = ["FIXED_GRID", "AdjointPhase", "DynamicPhases", "DynamicPlan", "score"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
AnyBench = TypeVar("AnyBench", Bench, ChargeBench)
Scales = dict[tuple[str, str], float]
PlayedBack = tuple[tuple[int, ...], FloatArray, Scales]


@dataclass(frozen=True)
class AdjointPhase:
    """An adjoint phase that is ready to run.

    Attributes:
        signals: nudges and playback, reversed in time.
        span: its duration [s].
        scales: the scale of every adjoint state by element and state.
        coarser: how many times longer its steps are than those of the free phase.
    """

    signals: list[Signals]
    span: float
    scales: Scales
    coarser: float = 1.0


@dataclass
class _Kept:
    """A group, the parameters it follows (name, rows in the group, places among all) and those it has."""

    group: Group
    followed: list[tuple[str, IntArray, IntArray]]
    written: FloatArray | None = None


def score(loss: Any, time: FloatArray, outputs: FloatArray) -> FloatArray:
    """What a loss classifies by, `(n_scores,)`; the last sample of the outputs where it does not say."""
    averages = getattr(loss, "averages", None)
    return np.asarray(averages(time, outputs) if averages is not None else outputs[-1])


class DynamicPhases:
    """A time-varying network loaded in this process.

    Attributes:
        plan: what was loaded and how it is simulated.
        parameters: current values of the trainable parameters, `(n_trainable,)`.
        held: adjoint signals that are zero: the nodes that folding made ground.
        transistors: how they are linearised, one of `bridge.transistors.WAYS`.
        charges: whether the adjoint network has the transistors' charges.
        source_currents: whether adjoint signals have the currents of sources that were folded away.
    """

    transistors = "auto"
    charges = True
    source_currents = False

    def __init__(self, plan: DynamicPlan, session: Session | None = None) -> None:
        self.plan = plan
        self.session = session or Session()
        flat = plan.flat
        self.targets = plan.targets()
        self._free = FreeCircuit(plan, self.session, self.targets)
        self.circuit = self._free.circuit
        self.families = device_families(flat)
        kinds = {device.kind for device, _, _ in self.families}
        self.source_currents = not plan.from_rest or "voltage_source" in kinds
        self.typical = typical_sizes(flat)
        self.parameters = flat.parameters
        self._adjoint: tuple[Adjoint, Circuit] | None = None
        self._followed: tuple[Names, IntArray, FloatArray] | None = None
        self._written: FloatArray | None = None  # the parameters that the adjoint circuit has
        self._valued: Network | None = None
        self._groups: dict[Names, _Kept] = {}
        self._near: dict[int, tuple[Names, _Kept]] = {}  # by the identity of the names
        self._playback: list[Playback] | None = None
        self._columns = Columns.of([])
        self._folded: Folded | None = None
        self._resistors: Names = ()
        self.held: Names = ()
        self._unfolded: Names = ()  # all adjoint vectors, with the currents of sources that were folded away
        self.beside = Beside()
        self.extra: dict[str, Circuit] = {}  # circuits that estimators keep loaded
        self._transistors: Played | None = None
        self._benches: dict[tuple[str, ...], Bench | ChargeBench] = {}

    def update(self, state: Any) -> None:
        """Write the trainable parameters `(n_trainable,)` into the loaded circuits."""
        values = np.array(state, dtype=float)
        self._free.update(values, self.alter_values(values))
        self.parameters = values
        self._valued = None

    def run(self, task: Any) -> Any:
        """Do a task on these phases."""
        return task.run(self)

    def begin(self, task: Any) -> Any:
        """Do the simulator's part of a task; what is left, if anything, is returned as `Later`."""
        return getattr(task, "begin", task.run)(self)

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
        return self._free.run(drives)

    def free_played(self, drives: Signals | None) -> PlayedFree:
        """What the loaded sources play in a free phase."""
        return self._free.play(drives)

    def free_later(self, played: PlayedFree) -> Callable[[], Waveforms]:
        """The free phase, simulated; what is returned makes its waveforms without the simulator."""
        return self._free.simulate(played)

    @property
    def computes(self) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
        """How what an adjoint phase needs is computed: beside the simulator, unless transistors need it."""
        return at_once if self._needs_simulator else self.beside.start

    @cached_property
    def _needs_simulator(self) -> bool:
        return any(e.device.kind == "mosfet" for e in self.plan.flat.elements)

    def nudged(self, drives: Signals | None, times: FloatArray, currents: FloatArray) -> Waveforms:
        """The free circuit with currents injected at its outputs as time goes forward.

        Args:
            drives: of the driven sources.
            times: of the currents, `(n_times,)` [s].
            currents: `(n_times, n_outputs)` [A].
        """
        return self._free.run(drives, Signals(tuple(range(currents.shape[1])), currents, times))

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
        plus, minus, probes = (columns(waves.names, names) for names in self._output_names)
        values = waves.values
        return np.hstack([pick(values, plus) - pick(values, minus), pick(values, probes)])

    @cached_property
    def _output_names(self) -> tuple[Names, Names, Names]:
        flat = self.plan.flat
        plus = tuple(f"v({o.plus})".lower() for o in flat.outputs)
        minus = tuple(f"v({o.minus})".lower() for o in flat.outputs)
        return plus, minus, tuple(f"i(v{p})".lower() for p in flat.probes)

    # The adjoint phase.

    def group(self, names: Names) -> Group:
        """Elements of one device with their present parameter values; kept between calls."""
        near = self._near.get(id(names))
        if near is None or near[0] is not names:  # tuples of thousands of names are slow to compare
            near = self._near[id(names)] = names, self._grouped(names)
        kept = near[1]
        now = self.parameters
        if kept.written is not now:
            for parameter, own, places in kept.followed:
                kept.group.values[parameter][own] = now[places]
            kept.written = now  # at last: several threads may be here, and write the same
        return kept.group

    def _grouped(self, names: Names) -> _Kept:
        kept = self._groups.get(names)
        if kept is None:
            flat = self.plan.flat
            elements = [flat.element(name) for name in names]
            rows = {name: k for k, name in enumerate(names)}
            live: dict[str, tuple[list[int], list[int]]] = {}
            for place, entry in enumerate(flat.trainable):
                if entry.element in rows:
                    pair = live.setdefault(entry.parameter, ([], []))
                    pair[0].append(rows[entry.element])
                    pair[1].append(place)
            followed = [(name, np.array(r), np.array(p)) for name, (r, p) in live.items()]
            kept = self._groups[names] = _Kept(make_group(elements[0].device, elements), followed)
        return kept

    @cached_property
    def family_names(self) -> list[Names]:
        """The elements of every family of trainable parameters."""
        trainable = self.plan.flat.trainable
        return [tuple(trainable[k].element for k in places) for _, _, places in self.families]

    @cached_property
    def largest_conductance(self) -> float:
        """Of the resistors at the parameters that were loaded [S]; 1 mS where there is none."""
        resistors = [e for e in self.plan.flat.elements if e.device.kind == "resistor"]
        return max((e.value("conductance") for e in resistors), default=1e-3)

    def adjoint_circuit(self) -> tuple[Adjoint, Circuit]:
        """The adjoint network, loaded, with the present parameters."""
        if self._adjoint is None:
            whole = adjoint(self.plan.flat, self.charges)
            folded = self._folded = fold(whole.network)
            self.held = tuple(f"v({n})".lower() for n in folded.nodes)
            made = replace(whole, network=folded.network)
            circuit = self.session.load(adjoint_deck(self.plan, made))
            self._unfolded = (*circuit.deck.saves, *(f"i(v{s})".lower() for s in folded.sources))
            self._adjoint = made, circuit
            self._resistors = tuple(
                RESISTOR.alter_target(folded.network.element(n), "conductance") for n in folded.resistors
            )
        made, circuit = self._adjoint
        self._write_adjoint_parameters(made, circuit)
        return made, circuit

    def _write_adjoint_parameters(self, made: Adjoint, circuit: Circuit) -> None:
        if self._written is self.parameters:
            return
        if self._followed is None:
            self._followed = _adjoint_targets(self.plan.flat, made)
        targets, places, signs = self._followed
        circuit.alter(targets, signs * self.alter_values(self.parameters)[places])
        if (folded := self._folded) is not None and folded.resistors:
            sums = folded.sums @ self.group(folded.parts).values["conductance"]
            circuit.alter(self._resistors, RESISTOR.alter_value("conductance", sums))
        self._written = self.parameters

    def unfold(self, waves: Waveforms) -> Waveforms:
        """Adjoint signals with the currents of sources that folding took away, where they are needed."""
        folded = self._folded
        if folded is None or not folded.nodes or not self.source_currents:
            return waves
        voltages = pick(waves.values, columns(waves.names, self._folded_ends))
        currents = folded.currents(voltages, self.group(folded.parts).values["conductance"])
        return Waveforms(waves.time, np.hstack([waves.values, currents]), self._unfolded, attrs=waves.attrs)

    @cached_property
    def _folded_ends(self) -> Names:
        assert self._folded is not None
        return tuple(f"v({n})".lower() for n in self._folded.ends)

    @property
    def valued(self) -> Network:
        """The flat network with the present parameters."""
        if self._valued is None:
            self._valued = self.plan.flat.with_parameters(self.parameters)
        return self._valued

    def adjoint_phase(
        self,
        waves: Waveforms,
        nudges: Signals,
        played: PlayedBack,
        end: float | None = None,
        length: float | None = None,
        coarser: float = 1.0,
    ) -> AdjointPhase:
        """What an adjoint phase plays.

        Args:
            waves: the free trajectory.
            nudges: `+e` reversed in time, for the outputs.
            played: see `playback`.
            end: free time at which it begins [s]; the end of the transient when left out.
            length: for how long it runs [s]; to the start of the transient when left out.
            coarser: how many times longer its steps are than those of the free phase.
        """
        sources, values, scales = played
        signals = [nudges]
        if sources:
            reverse = reversed_times(waves.time, self.plan.duration)
            if end is not None:
                reverse = reverse - (self.plan.duration - end)
            signals.append(Signals(sources, values[::-1].copy(), reverse, order=3))
        return AdjointPhase(signals, length or end or self.plan.duration, scales, coarser)

    @cached_property
    def averages(self) -> bool:
        """Whether gradients are integrals over time alone, of elements without internal states.

        Gradients by initial conditions are the adjoint signals' last values, which average nothing.
        """
        flat = self.plan.flat
        starts = any(t.parameter.startswith("initial") for t in flat.trainable)
        return not starts and not any(e.device.states or e.device.kind == "mosfet" for e in flat.elements)

    def adjoint(self, phase: AdjointPhase) -> Waveforms:
        """The adjoint signals over `tau`."""
        circuit = self.adjoint_circuit()[1]
        step = min(phase.coarser * self.plan.step, phase.span)
        found = circuit.transient(phase.signals, phase.span, step, uic=True, coarser=phase.coarser)
        return self.unfold(found)

    def playback(self, waves: Waveforms) -> PlayedBack:
        """What the adjoint network plays back, in the free phase's own time.

        Args:
            waves: the free trajectory, or one operating point.

        Returns:
            The positions of the sources, their values `(n_points, n_sources)`, and the scale of every
            adjoint state by element and state.
        """
        made, circuit = self.adjoint_circuit()
        if self._playback is None or self._transistors is None:
            place = {name: k for k, name in enumerate(circuit.deck.sources)}
            if self._folded is not None:
                place |= {
                    f"v{playback_source(name, 'gu')}".lower(): place[f"v{playback_source(one, 'gu')}".lower()]
                    for name, one in self._folded.played.items()
                }
            alike: dict[int, list[str]] = {}
            for name in made.playback:
                alike.setdefault(id(self.plan.flat.element(name).device), []).append(name)
            groups = [self.group(tuple(names)) for names in alike.values()]
            self._playback = [Playback.of(group, made, place) for group in groups]
            self._transistors = played_by(made.network, place)
            self._columns = Columns.of([s for part in self._playback for s in part.sources])
        blocks: list[FloatArray] = []
        scales: Scales = {}
        for part in self._playback:
            self.group(part.group.names)  # takes over the present parameters
            blocks.append(part.values(waves, self.plan.duration, scales))
        found = self._columns.summed(np.hstack(blocks)) if blocks else np.zeros((len(waves), 0))
        sources = self._columns.sources
        if self._transistors.sources:
            sources = (*sources, *self._transistors.sources)
            found = np.hstack([found, self._transistors.values(*linearisation(self, waves)[1:])])
        return sources, found, scales

    def bench(self, elements: list[Element], kind: type[AnyBench]) -> AnyBench:
        """The circuit that measures these transistors one by one, with their present parameters."""
        key = (kind.__name__, *(e.name for e in elements))
        made = self._benches.get(key)
        if made is None:
            made = self._benches[key] = kind(elements, self.plan.options, self.session)
        assert isinstance(made, kind)
        made.update(elements)
        return made


def _adjoint_targets(flat: Network, made: Adjoint) -> tuple[Names, IntArray, FloatArray]:
    """What to alter in an adjoint circuit, the parameters it follows and their signs."""
    targets, places, signs = [], [], []
    kept = {e.name: e for e in made.network.elements}
    for place, entry in enumerate(flat.trainable):
        element = kept.get(entry.element)
        if element is None or element.name in made.playback or not element.device.parameters:
            continue  # played back, or an independent source
        if element.device.kind == "resistor":
            continue  # folded
        if entry.parameter.startswith("initial") or element.device.kind == "voltage_source":
            continue
        targets.append(element.device.alter_target(element, element.device.parameters[0].name))
        places.append(place)
        signs.append(-1.0 if element.device.kind in ("vcvs", "cccs") else 1.0)
    return tuple(targets), np.array(places, dtype=np.int64), np.array(signs)
