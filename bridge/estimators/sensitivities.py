"""Each parameter's gradient from signals at its own element: `-integral lambda^T dF/dp`.

`F` is the row of the network's equations that the element writes into; all integrals run over reversed time,
the free signals are taken at `T - tau`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy import sparse

from bridge.dynamics import DynamicPhases
from bridge.errors import UnsupportedElementError
from bridge.groups import Group, Names, columns, pick, with_ground
from bridge.identity import kept
from bridge.quadrature import derivative, interpolation_matrix, products, trapezoid_weights
from bridge.waveforms import Waveforms
from circuits.adjoint import adjoint_state
from circuits.devices.base import Element
from circuits.devices.fractional import Transfer
from circuits.devices.mosfet_linear import polarity, vector

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Port = tuple[Names, Names]

_TABLE = 20
"""Pairs of signals, in one matrix product, that cost as much as one branch by itself."""


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
        held: names of adjoint signals that are zero and not among the others.
    """

    free: Waveforms
    adjoint: Waveforms
    reverse: sparse.csr_array
    weights: FloatArray
    scales: dict[tuple[str, str], float]
    tail: FloatArray
    from_rest: bool = True
    held: Names = ()

    def inner(self, free: FloatArray, signal: FloatArray, tail: FloatArray | float = 0.0) -> FloatArray:
        """`integral free(T - tau) signal(tau)` for signals `(n, k)`, `(k,)`, with its tail."""
        total = np.einsum("t,tk,tk->k", self.weights, self.reverse @ free, signal)
        return np.asarray(total + free[0] * tail)

    def _reversed(self, signals: FloatArray) -> FloatArray:
        """Weighted free signals `(n_free, k)` at the adjoint's time points."""
        return np.asarray(self.weights[:, None] * (self.reverse @ signals))

    def branches(self, free_ends: Port, adjoint_ends: Port, rate: bool = False) -> FloatArray:
        """`integral u(T - tau) lambda(tau)` for many pairs of branches, with the tails, `(n_branches,)`.

        Args:
            free_ends: signals at the ends of each free branch.
            adjoint_ends: signals at the ends of each adjoint branch.
            rate: take `du/dt` instead of `u`; it is zero before the start of the transient.
        """
        used, (p, n) = _used(self.free.names, *free_ends)
        replying, (q, m) = _used(self.adjoint.names, *adjoint_ends, self.held)
        signal = self.free.values[:, used]
        signal = self._reversed(derivative(self.free.time, signal) if rate else signal)
        reply = self.adjoint.values[:, replying]
        if signal.shape[1] * reply.shape[1] < _TABLE * len(p):  # all pairs of signals cost less
            table = np.zeros((signal.shape[1] + 1, reply.shape[1] + 1))
            table[:-1, :-1] = signal.T @ reply
            total = table[p, q] - table[p, m] - table[n, q] + table[n, m]
        else:
            total = products(with_ground(signal), with_ground(reply), p, n, q, m)
        if not rate and self.tail.any():
            start = np.append(self.free.values[0][used], 0.0)
            tail = np.append(self.tail[replying], 0.0)
            total = total + (start[p] - start[n]) * (tail[q] - tail[m])
        return np.asarray(total)

    def replies(self, names: Names) -> tuple[FloatArray, FloatArray]:
        """Adjoint signals `(n_points, k)`, and their integrals after the end `(k,)`."""
        places = columns(self.adjoint.names, names, self.held)
        return pick(self.adjoint.values, places), np.append(self.tail, 0.0)[places]

    def across(self, ends: Port) -> tuple[FloatArray, FloatArray]:
        """Adjoint voltages of branches `(n_points, k)`, and their integrals after the end `(k,)`."""
        (plus, more), (minus, less) = (self.replies(names) for names in ends)
        return plus - minus, more - less

    def column(self, name: str) -> tuple[FloatArray, float]:
        """An adjoint signal over time and its integral after the end."""
        value, tail = self.replies((name.lower(),))
        return value[:, 0], float(tail[0])

    def between(self, p: str, n: str) -> tuple[FloatArray, float]:
        """The adjoint voltage between two nodes and its integral after the end."""
        value, tail = self.across(((f"v({p})".lower(),), (f"v({n})".lower(),)))
        return value[:, 0], float(tail[0])


@kept
def _used(
    names: Names, one: Names, other: Names, held: Names = ()
) -> tuple[IntArray, tuple[IntArray, IntArray]]:
    """The columns that branches end at, and each end as a position among them, behind the last for ground."""
    plus, minus = columns(names, one, held), columns(names, other, held)
    every, place = np.unique(np.concatenate([plus, minus]), return_inverse=True)
    return every[every < len(names)], (place[: len(plus)], place[len(plus) :])


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
    for (device, parameter, places), names in zip(phases.families, phases.family_names, strict=True):
        starts = {"initial_voltage", "initial_current", *(s.initial for s in device.states)}
        if parameter in starts and not paths.from_rest:
            continue  # an operating point does not depend on what a start from rest begins with
        result[places] = _family(phases.group(names), parameter, paths)
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


def _family(group: Group, parameter: str, paths: Trajectories) -> FloatArray:
    free, kind = paths.free, group.device.kind

    def currents(pattern: str) -> FloatArray:
        return pick(free.values, columns(free.names, group.named(pattern)))

    def replies(pattern: str) -> tuple[FloatArray, FloatArray]:
        return paths.replies(group.named(pattern))

    if kind == "resistor":
        return -paths.branches(group.ends(), group.ends())
    if kind == "capacitor":
        if parameter == "initial_voltage":
            return np.asarray(group.values["capacitance"] * paths.across(group.ends())[0][-1])
        found = -paths.branches(group.ends(), group.ends(), rate=True)
        if paths.from_rest:  # parallel charges share a charge at once where their initial voltages differ
            start = group.across(free)[:2]
            slope = (start[1] - start[0]) / (free.time[1] - free.time[0])
            jump = group.values["initial_voltage"] - (start[0] - slope * free.time[0])
            found += jump * paths.across(group.ends())[0][-1]
        return found
    if kind == "inductor":
        signal, _ = replies("i(l{})")
        if parameter == "initial_current":
            return np.asarray(-group.values["inductance"] * signal[-1])
        return paths.inner(derivative(free.time, currents("i(l{})")), signal)
    if kind == "vccs":
        return -paths.branches(group.ends(2, 3), group.ends())
    if kind == "vcvs":
        return paths.inner(group.across(free, 2, 3), *replies("i(vsense_{})"))
    if kind == "cccs":
        return -paths.inner(currents("i(vsense_{})"), *paths.across(group.ends()))
    if kind == "ccvs":
        return paths.inner(currents("i(vsense_{})"), *replies("i(vsense_{})"))
    if kind == "mosfet":
        return _widths(group, paths)
    if kind in ("voltage_source", "current_source"):
        ones = np.ones((len(free), len(group.names)))
        if kind == "current_source":
            return -paths.inner(ones, *paths.across(group.ends()))
        return paths.inner(ones, *replies("i(v{})"))
    return _symbolic(group, parameter, paths)


def _widths(group: Group, paths: Trajectories) -> FloatArray:
    """The gradient with respect to the widths of level-1 transistors: currents are proportional to them."""
    free, w = paths.free, group.values["w"]
    here = {
        name: pick(free.values, columns(free.names, tuple(vector(e, name) for e in group.elements)))
        for name in ("id", "ibd", "cgs", "cgd")
    }
    signs = np.array([polarity(e) for e in group.elements])
    total = -paths.inner(signs * (here["id"] + here["ibd"]) / w, *paths.across(group.ends(0, 2)))
    for node, name in ((2, "cgs"), (0, "cgd")):
        rate = derivative(free.time, group.across(free, 1, node))
        total -= paths.inner(here[name] * rate / w, paths.across(group.ends(1, node))[0])
    return np.asarray(total)


@lru_cache(maxsize=512)
def _slope(expression: sp.Expr, parameter: str) -> sp.Expr | None:
    """The derivative of a law by a parameter; `None` where it does not have it."""
    by = sp.Symbol(parameter, real=True)
    return sp.diff(expression, by) if expression.has(by) else None


def _symbolic(group: Group, parameter: str, paths: Trajectories) -> FloatArray:
    device = group.device
    signals = group.signals(paths.free)
    result = np.zeros(len(group.names))
    across = paths.across(group.ends())
    law = _slope(device.law, parameter) if device.law is not None else None
    if isinstance(device, Transfer):
        assert law is not None
        return paths.inner(device.evaluate(law, signals), *paths.replies(group.named("i(vsense_{})")))
    if law is not None:
        result -= paths.inner(device.evaluate(law, signals), *across)
    if device.charge is not None and (charge := _slope(device.charge, parameter)) is not None:
        slope = device.evaluate(charge, signals)
        result -= paths.inner(derivative(paths.free.time, slope), across[0])
    for state in device.states:
        rate = _slope(state.rate, parameter)
        if state.initial != parameter and rate is None:
            continue
        scales = np.array([paths.scales[name, state.name] for name in group.names]) / state.scale
        held, tail = paths.replies(group.named(f"v({adjoint_state('{}', state.name)})"))
        if rate is not None:
            result += paths.inner(device.evaluate(rate, signals), held * scales, tail * scales)
        if state.initial == parameter:
            result += scales * held[-1]
    if parameter == "initial_voltage":
        raise UnsupportedElementError(group.names[0], "initial_voltage of a nonlinear capacitor")
    return result
