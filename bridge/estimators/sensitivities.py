"""Each parameter's gradient from signals at its own element: `-integral lambda^T dF/dp`.

`F` is the row of the network's equations that the element writes into; all integrals run over reversed time,
the free signals are taken at `T - tau`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy import sparse

from bridge.dynamics import DynamicPhases, branch, make_group
from bridge.errors import UnsupportedElementError
from bridge.quadrature import derivative, interpolation_matrix, trapezoid_weights
from bridge.waveforms import Waveforms
from circuits.adjoint import adjoint_state
from circuits.devices.base import Device, Element
from circuits.devices.fractional import Transfer
from circuits.devices.mosfet_linear import polarity, reported, vector
from circuits.network import GROUND

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Trajectories:
    """A free and an adjoint trajectory, and how they meet.

    Attributes:
        free: signals of the free phase.
        adjoint: signals of the adjoint phase.
        reverse: `(n_adjoint, n_free)`, takes free signals to the adjoint's reversed time points.
        weights: of the integrals over the adjoint's time points, `(n_adjoint,)` [s].
        scales: scale of every adjoint state, by element and state.
        tail: integral of every adjoint signal after the end (free phases that start from an operating
            point), `(n_adjoint_signals,)`; zero for those from rest.
        from_rest: whether the free phase started from the elements' initial conditions.
    """

    free: Waveforms
    adjoint: Waveforms
    reverse: sparse.csr_array
    weights: FloatArray
    scales: dict[tuple[str, str], float]
    tail: FloatArray
    from_rest: bool = True

    def inner(self, free: FloatArray, signal: FloatArray, tail: FloatArray | float = 0.0) -> FloatArray:
        """`integral free(T - tau) signal(tau)` for signals `(n, k)`, `(k,)`, with its tail."""
        total = np.einsum("t,tk,tk->k", self.weights, self.reverse @ free, signal)
        return np.asarray(total + free[0] * tail)

    @cached_property
    def free_places(self) -> dict[str, int]:
        """Column of every free signal; ground is the one behind the last."""
        places = {n: k for k, n in enumerate(self.free.names)}
        return {**places, f"v({GROUND})": len(places)}

    @cached_property
    def adjoint_places(self) -> dict[str, int]:
        """Column of every adjoint signal; ground is the one behind the last."""
        places = {n: k for k, n in enumerate(self.adjoint.names)}
        return {**places, f"v({GROUND})": len(places)}

    @cached_property
    def _reversed_values(self) -> FloatArray:
        """Weighted free signals at the adjoint's time points, with a column for ground."""
        return self._reversed(self.free.values)

    @cached_property
    def _reversed_rates(self) -> FloatArray:
        """Weighted rates of the free signals at the adjoint's time points, with a column for ground."""
        return self._reversed(derivative(self.free.time, self.free.values))

    def _reversed(self, signals: FloatArray) -> FloatArray:
        weighted = self.weights[:, None] * (self.reverse @ signals)
        return np.hstack([weighted, np.zeros((len(self.adjoint), 1))])

    def branches(
        self,
        free_ends: Sequence[tuple[str, str]],
        adjoint_ends: Sequence[tuple[str, str]],
        rate: bool = False,
    ) -> FloatArray:
        """`integral u(T - tau) lambda(tau)` for many pairs of branches, with the tails, `(n_branches,)`.

        Args:
            free_ends: nodes of each free branch.
            adjoint_ends: nodes of each adjoint branch.
            rate: take `du/dt` instead of `u`; it is zero before the start of the transient.
        """
        f, a = self.free_places, self.adjoint_places
        columns = [
            np.array([where[f"v({e[side]})".lower()] for e in ends], dtype=np.int64)
            for where, ends in ((f, free_ends), (a, adjoint_ends))
            for side in (0, 1)
        ]
        signal = self._reversed_rates if rate else self._reversed_values
        adjoint = np.hstack([self.adjoint.values, np.zeros((len(self.adjoint), 1))])
        if len(free_ends) > signal.shape[1]:  # every pair of nodes at once costs less than every branch
            table = signal.T @ adjoint
            p, n, q, m = columns
            total = table[p, q] - table[p, m] - table[n, q] + table[n, m]
        else:
            u = signal[:, columns[0]] - signal[:, columns[1]]
            total = np.einsum("tk,tk->k", u, adjoint[:, columns[2]] - adjoint[:, columns[3]])
        if not rate and self.tail.any():
            start, tail = np.append(self.free.values[0], 0.0), np.append(self.tail, 0.0)
            total = total + (start[columns[0]] - start[columns[1]]) * (tail[columns[2]] - tail[columns[3]])
        return np.asarray(total)

    def column(self, name: str) -> tuple[FloatArray, float]:
        """An adjoint signal over time and its integral after the end."""
        place = self.adjoint.names.index(name.lower())
        return self.adjoint.values[:, place], float(self.tail[place])

    def between(self, p: str, n: str) -> tuple[FloatArray, float]:
        """The adjoint voltage between two nodes and its integral after the end."""
        value, tail = np.zeros(len(self.adjoint)), 0.0
        for node, sign in ((p, 1.0), (n, -1.0)):
            if node != GROUND:
                more, rest = self.column(f"v({node})")
                value, tail = value + sign * more, tail + sign * rest
        return value, tail


def meet(free: Waveforms, adjoint: Waveforms, duration: float, **more: Any) -> dict[str, Any]:
    """The interpolation and weights that pair a free with an adjoint trajectory."""
    return {
        "free": free,
        "adjoint": adjoint,
        "reverse": interpolation_matrix(free.time, duration - adjoint.time),
        "weights": trapezoid_weights(adjoint.time),
        **more,
    }


def gradients(phases: DynamicPhases, paths: Trajectories) -> FloatArray:
    """The gradient with respect to every trainable parameter, `(n_trainable,)`."""
    flat = phases.plan.flat
    result = np.zeros(len(flat.trainable))
    for device, parameter, places in phases.families:
        starts = {"initial_voltage", "initial_current", *(s.initial for s in device.states)}
        if parameter in starts and not paths.from_rest:
            continue  # an operating point does not depend on what a start from rest begins with
        # Linear branches need no values; the others are evaluated at the present parameters.
        network = flat if device.kind in ("resistor", "vccs") else phases.valued
        elements = [network.element(flat.trainable[k].element) for k in places]
        result[places] = _family(device, parameter, elements, paths)
    return result


def source_gradient(element: Element, paths: Trajectories, duration: float) -> tuple[FloatArray, FloatArray]:
    """The gradient with respect to the waveform of an independent source, as a function of time.

    A small change `ds(t)` of the waveform changes the loss by `integral gradient(t) ds(t) dt`.

    Args:
        element: a voltage or current source, driven or not.
        paths: the trajectories of a sample.
        duration: of the transient [s].

    Returns:
        Times `(n_points,)` [s], increasing, and the gradient `(n_points,)` [1 / (source unit s)].

    Raises:
        UnsupportedElementError: the element is no independent source.
    """
    kind = element.device.kind
    if kind == "voltage_source":
        signal = paths.column(f"i(v{element.name})")[0]
    elif kind == "current_source":
        signal = -paths.between(*element.nodes)[0]
    else:
        raise UnsupportedElementError(element.name, f"a {kind} has no waveform of its own")
    return duration - paths.adjoint.time[::-1], signal[::-1]


def _stack(parts: Sequence[tuple[FloatArray, float]]) -> tuple[FloatArray, FloatArray]:
    return np.stack([p[0] for p in parts], axis=1), np.array([p[1] for p in parts])


def _family(device: Device, parameter: str, elements: Sequence[Element], paths: Trajectories) -> FloatArray:
    free = paths.free

    def voltages(first: int) -> FloatArray:
        return np.stack([branch(free, *e.nodes[first : first + 2]) for e in elements], axis=1)

    def adjoints(first: int) -> tuple[FloatArray, FloatArray]:
        return _stack([paths.between(*e.nodes[first : first + 2]) for e in elements])

    def currents(pattern: str) -> FloatArray:
        return np.stack([free[pattern.format(e.name).lower()] for e in elements], axis=1)

    def adjoint_currents(pattern: str) -> tuple[FloatArray, FloatArray]:
        return _stack([paths.column(pattern.format(e.name)) for e in elements])

    kind = device.kind
    if kind == "resistor":
        ends = [(e.nodes[0], e.nodes[1]) for e in elements]
        return -paths.branches(ends, ends)
    if kind == "capacitor":
        if parameter == "initial_voltage":
            return np.asarray([e.value("capacitance") for e in elements] * adjoints(0)[0][-1])
        ends = [(e.nodes[0], e.nodes[1]) for e in elements]
        found = -paths.branches(ends, ends, rate=True)
        if paths.from_rest:  # parallel charges share a charge at once where their initial voltages differ
            start = voltages(0)[:2]
            slope = (start[1] - start[0]) / (free.time[1] - free.time[0])
            wanted = np.array([e.value("initial_voltage") for e in elements])
            found += (wanted - (start[0] - slope * free.time[0])) * adjoints(0)[0][-1]
        return found
    if kind == "inductor":
        signal, _ = adjoint_currents("i(l{})")
        if parameter == "initial_current":
            return np.asarray([-e.value("inductance") for e in elements] * signal[-1])
        return paths.inner(derivative(free.time, currents("i(l{})")), signal)
    if kind == "vccs":
        controls = [(e.nodes[2], e.nodes[3]) for e in elements]
        return -paths.branches(controls, [(e.nodes[0], e.nodes[1]) for e in elements])
    if kind == "vcvs":
        return paths.inner(voltages(2), *adjoint_currents("i(vsense_{})"))
    if kind == "cccs":
        return -paths.inner(currents("i(vsense_{})"), *adjoints(0))
    if kind == "ccvs":
        return paths.inner(currents("i(vsense_{})"), *adjoint_currents("i(vsense_{})"))
    if kind == "mosfet":
        return np.array([width_gradient(e, paths) for e in elements])
    if kind in ("voltage_source", "current_source"):
        ones = np.ones((len(free), len(elements)))
        if kind == "current_source":
            return -paths.inner(ones, *adjoints(0))
        return paths.inner(ones, *adjoint_currents("i(v{})"))
    return _symbolic(device, parameter, elements, paths, adjoints(0))


def width_gradient(element: Element, paths: Trajectories) -> float:
    """The gradient with respect to the width of a level-1 transistor: its currents are proportional to it."""
    free, w = paths.free, element.value("w")
    d, g, s, _ = element.nodes
    here = {name: free[vector(element, name)] for name in reported(element)}
    signal, tail = paths.between(d, s)
    channel = polarity(element) * (here["id"] + here["ibd"])[:, None] / w
    total = -paths.inner(channel, signal[:, None], np.array([tail]))
    for node, name in ((s, "cgs"), (d, "cgd")):
        rate = derivative(free.time, branch(free, g, node))
        total -= paths.inner((here[name] * rate / w)[:, None], paths.between(g, node)[0][:, None])
    return float(total[0])


def _symbolic(
    device: Device,
    parameter: str,
    elements: Sequence[Element],
    paths: Trajectories,
    across: tuple[FloatArray, FloatArray],
) -> FloatArray:
    group = make_group(device, elements)
    signals = group.signals(paths.free)
    by = sp.Symbol(parameter, real=True)
    result = np.zeros(len(elements))
    if isinstance(device, Transfer):
        slope = device.evaluate(sp.diff(device.law, by), signals)
        parts = [paths.column(f"i(vsense_{e.name})") for e in elements]
        return paths.inner(slope, *_stack(parts))
    if device.law is not None and device.law.has(by):
        result -= paths.inner(device.evaluate(sp.diff(device.law, by), signals), *across)
    if device.charge is not None and device.charge.has(by):
        slope = device.evaluate(sp.diff(device.charge, by), signals)
        result -= paths.inner(derivative(paths.free.time, slope), across[0])
    for state in device.states:
        if state.initial != parameter and not state.rate.has(by):
            continue
        scales = np.array([paths.scales[e.name, state.name] for e in elements]) / state.scale
        held, tail = _stack([paths.column(f"v({adjoint_state(e.name, state.name)})") for e in elements])
        if state.rate.has(by):
            slope = device.evaluate(sp.diff(state.rate, by), signals)
            result += paths.inner(slope, held * scales, tail * scales)
        if state.initial == parameter:
            result += scales * held[-1]
    if parameter == "initial_voltage":
        raise UnsupportedElementError(elements[0].name, "initial_voltage of a nonlinear capacitor")
    return result
