"""Elements of one device together: their signals along a trajectory and what their adjoints play back.

Everything here works on arrays with a column an element. Names are looked up once, when a group is made: no
step of a training run goes through elements one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bridge.identity import kept
from bridge.waveforms import Waveforms
from circuits.adjoint import Adjoint, AdjointBranch, playback_source
from circuits.devices.base import Device, Element
from circuits.devices.behavioural import CONTROL, Behavioural, state_node
from circuits.network import GROUND

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Names = tuple[str, ...]

_GROUND = f"v({GROUND})"


def branch(waves: Waveforms, p: str, n: str) -> FloatArray:
    """Voltage between two nodes over time, `(n_points,)` [V]."""
    zero = np.zeros(len(waves))
    plus = zero if p == GROUND else waves[f"v({p})".lower()]
    return plus - (zero if n == GROUND else waves[f"v({n})".lower()])


@kept
def columns(names: Names, wanted: Names, held: Names = ()) -> IntArray:
    """The column of every wanted signal, `(len(wanted),)`; ground's is the one behind the last.

    Args:
        names: of the signals.
        wanted: names of some of them.
        held: names of signals that are zero, as ground is.

    Raises:
        KeyError: a signal is not among the names.
    """
    places = {name: k for k, name in enumerate(names)}
    places |= dict.fromkeys((_GROUND, *held), len(names))
    found = np.array([places[w] for w in wanted], dtype=np.int64)
    found.flags.writeable = False
    return found


def pick(values: FloatArray, places: IntArray) -> FloatArray:
    """Columns of `values` `(n, k)`, where the column `k` is zero: `(n, len(places))`."""
    last = values.shape[1]
    found: FloatArray = np.take(values, np.minimum(places, last - 1), axis=1)
    if (places == last).any():
        found[:, places == last] = 0.0
    return found


def with_ground(values: FloatArray) -> FloatArray:
    """Signals `(n, k)` with ground's behind the last, `(n, k + 1)`."""
    found = np.zeros((values.shape[0], values.shape[1] + 1))
    found[:, :-1] = values
    return found


@dataclass(frozen=True)
class Group:
    """Elements of one device whose laws are evaluated together.

    Attributes:
        device: their family.
        elements: the elements, with the parameter values that were loaded.
        values: present parameter values by name, `(n_elements,)` each.
    """

    device: Device
    elements: tuple[Element, ...]
    values: dict[str, FloatArray] = field(default_factory=dict)

    @cached_property
    def names(self) -> Names:
        """The elements' names."""
        return tuple(e.name for e in self.elements)

    def ends(self, first: int = 0, second: int = 1) -> tuple[Names, Names]:
        """The node voltages of two terminals, as signals are named."""
        known = self._ends
        for place in (first, second):
            if place not in known:
                known[place] = tuple(f"v({e.nodes[place]})".lower() for e in self.elements)
        return known[first], known[second]

    @cached_property
    def _ends(self) -> dict[int, Names]:
        return {}

    @cached_property
    def _states(self) -> dict[str, Names]:
        return {
            s.name: tuple(f"v({state_node(e.name, s.name)})".lower() for e in self.elements)
            for s in self.device.states
        }

    @cached_property
    def _named(self) -> dict[str, Names]:
        return {}

    def named(self, pattern: str) -> Names:
        """Signals with the elements' names in a pattern such as `i(l{})`."""
        if pattern not in self._named:
            self._named[pattern] = tuple(pattern.format(e.name).lower() for e in self.elements)
        return self._named[pattern]

    def across(self, waves: Waveforms, first: int = 0, second: int = 1) -> FloatArray:
        """Voltages between two terminals, `(n_points, n_elements)` [V]."""
        plus, minus = (columns(waves.names, names) for names in self.ends(first, second))
        return pick(waves.values, plus) - pick(waves.values, minus)

    def signals(self, waves: Waveforms) -> dict[str, FloatArray]:
        """Every symbol of the laws along a trajectory: voltages and states `(n_points, n_elements)`."""
        ports = {"u": (0, 1)}
        if len(self.device.terminals) == 4:
            if isinstance(self.device, Behavioural):
                ports[CONTROL.name] = (2, 3)
            else:  # a transfer, whose law has the voltage of its control port only
                ports["u"] = (2, 3)
        found = {name: self.across(waves, *ends) for name, ends in ports.items()}
        for state in self.device.states:
            found[state.name] = state.scale * pick(
                waves.values, columns(waves.names, self._states[state.name])
            )
        return {**found, **self.values}


def make_group(device: Device, elements: Sequence[Element]) -> Group:
    """A group with its parameter values as arrays."""
    values = {p.name: np.array([e.value(p.name) for e in elements]) for p in device.parameters}
    return Group(device, tuple(elements), values)


@dataclass(frozen=True)
class Playback:
    """What the adjoints of a group play back.

    Attributes:
        group: the elements.
        made: the adjoint network.
        sources: positions of the sources, `(n_coefficients * n_elements,)`: all elements' first coefficients,
            then all second ones.
        references: capacitances that `cu` is a multiple of, `(n_elements,)` [F].
    """

    group: Group
    made: Adjoint
    sources: tuple[int, ...]
    references: FloatArray

    @classmethod
    def of(cls, group: Group, made: Adjoint, places: Mapping[str, int]) -> Playback:
        """The playback of a group; `places` has the positions of the sources by instance name."""
        coefficients = made.playback[group.elements[0].name]
        sources = tuple(
            places[f"v{playback_source(e.name, c.key)}".lower()] for c in coefficients for e in group.elements
        )
        references = np.ones(len(group.elements))
        if any(c.key == "cu" for c in coefficients):
            devices = [made.network.element(e.name).device for e in group.elements]
            references = np.array([d.reference for d in devices if isinstance(d, AdjointBranch)])
        return cls(group, made, sources, references)

    def values(self, waves: Waveforms, duration: float, scales: dict[tuple[str, str], float]) -> FloatArray:
        """What the sources play over the free phase's time, `(n_points, n_sources)`.

        The scales of the adjoint states are chosen here and added to `scales`.
        """
        group, device = self.group, self.group.device
        signals = group.signals(waves)
        found = {
            c.key: device.evaluate(c.expression, signals) for c in self.made.playback[group.elements[0].name]
        }
        chosen: dict[str, FloatArray] = {}
        for state in device.states:
            drive = found.get(f"fx_{state.name}", np.zeros((1, len(group.elements)))) * state.scale
            size = duration * np.abs(drive).max(axis=0)
            chosen[state.name] = np.where(size > 0.0, size, 1.0)
            scales.update(
                ((e.name, state.name), float(k))
                for e, k in zip(group.elements, chosen[state.name], strict=True)
            )
        for state in device.states:
            k = chosen[state.name]
            if f"fx_{state.name}" in found:
                found[f"fx_{state.name}"] *= state.scale / k
            for key in (f"hu_{state.name}", f"hc_{state.name}"):
                if key in found:
                    found[key] *= k / state.scale
            for other in device.states:
                key = f"hx_{state.name}_{other.name}"
                if key in found:  # d rate(state) / d other, seen by the adjoint of other
                    found[key] *= k / chosen[other.name] * other.scale / state.scale
        if "cu" in found and isinstance(device, Behavioural):
            found["cu"] /= self.references
        return np.hstack(list(found.values()))


@dataclass(frozen=True)
class Columns:
    """Sources that are played once each, though several elements may share one.

    Attributes:
        sources: their positions.
        sums: which columns each is the sum of, `(n_sources, n_columns)`; `None` where it is one each.
    """

    sources: tuple[int, ...]
    sums: sparse.csr_array | None

    @classmethod
    def of(cls, sources: Sequence[int]) -> Columns:
        """Of the source of every column."""
        once, place = np.unique(np.array(sources, dtype=np.int64), return_inverse=True)
        if len(once) == len(sources):
            return cls(tuple(sources), None)
        ones = sparse.csr_array((np.ones(len(place)), (place, np.arange(len(place)))))
        return cls(tuple(once.tolist()), ones)

    def summed(self, values: FloatArray) -> FloatArray:
        """What the sources play, `(n_points, n_sources)`, of columns `(n_points, n_columns)`."""
        if self.sums is None:
            return values
        return np.add.reduceat(values[:, self.sums.indices], self.sums.indptr[:-1], axis=1)
