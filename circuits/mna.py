"""The linearised equations of a network at one instant: `C dz/dt + G z`, in modified nodal form.

The unknowns carry the names that the adjoint network's signals have (`v(a)`, `i(vx)`, ...), because the
transposed equations are solved for adjoint signals: after the end of a free phase that started from an
operating point, and nowhere where a simulation can do it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from bridge.errors import NetworkError
from circuits.adjoint import adjoint_state, coefficients
from circuits.devices.base import Element
from circuits.devices.fractional import Transfer
from circuits.network import GROUND, Network


@dataclass
class Linearisation:
    """Matrices of the linearised equations.

    Attributes:
        names: of the unknowns, as the adjoint network's signals are called.
        capacitance: entries `(row, column, value)` of `C`.
        conductance: entries of `G`.
    """

    names: list[str] = field(default_factory=list)
    capacitance: list[tuple[int, int, float]] = field(default_factory=list)
    conductance: list[tuple[int, int, float]] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    def place(self, name: str) -> int:
        """Number of an unknown, -1 for ground."""
        if name == f"v({GROUND})":
            return -1
        key = name.lower()
        if key not in self._places:
            self._places[key] = len(self.names)
            self.names.append(key)
        return self._places[key]

    def node(self, node: str) -> int:
        """Number of a node's voltage."""
        return self.place(f"v({node})")

    def add(self, entries: list[tuple[int, int, float]], row: int, column: int, value: float) -> None:
        """Add to an entry; ground's rows and columns are left out."""
        if row >= 0 and column >= 0 and value != 0.0:
            entries.append((row, column, value))

    def current(self, p: str, n: str, column: int, value: float) -> None:
        """A current `value * z[column]` that leaves node `p` through an element and enters `n`."""
        self.add(self.conductance, self.node(p), column, value)
        self.add(self.conductance, self.node(n), column, -value)

    def two_port(
        self, out: tuple[str, str], control: tuple[str, str], value: float, charge: bool = False
    ) -> None:
        """A current `value * v(control)`, or its charge, from `out[0]` to `out[1]`."""
        entries = self.capacitance if charge else self.conductance
        for row, sign in ((self.node(out[0]), 1.0), (self.node(out[1]), -1.0)):
            self.add(entries, row, self.node(control[0]), sign * value)
            self.add(entries, row, self.node(control[1]), -sign * value)

    def voltage(self, row: int, p: str, n: str, value: float = 1.0) -> None:
        """`value * v(p, n)` in the equation of a branch current."""
        self.add(self.conductance, row, self.node(p), value)
        self.add(self.conductance, row, self.node(n), -value)

    def matrix(self, entries: list[tuple[int, int, float]]) -> sparse.csc_array:
        """Entries as a sparse matrix."""
        n = len(self.names)
        rows, columns, values = zip(*entries, strict=True) if entries else ((), (), ())
        return sparse.csc_array((values, (rows, columns)), shape=(n, n))

    def adjoint_tail(self, final: Mapping[str, float]) -> dict[str, float]:
        """Integral of the adjoint signals from now until they have died out, by name.

        Solves `G^T tail = C^T final`.

        Args:
            final: adjoint signals now.

        Raises:
            NetworkError: `G` is singular; the network has no operating point to settle to.
        """
        now = np.array([final[name] for name in self.names])
        right = self.matrix(self.capacitance).T @ now
        try:
            solved = splu(sparse.csc_matrix(self.matrix(self.conductance).T)).solve(right)
        except RuntimeError as error:
            raise NetworkError(
                f"the linearised network is singular at its operating point ({error})"
            ) from None
        return dict(zip(self.names, map(float, solved), strict=True))


def linearise(network: Network, values: Callable[[Element], Mapping[str, Any]]) -> Linearisation:
    """Assemble the linearised equations of a flat network.

    Args:
        network: without composite elements.
        values: every symbol of an element's laws at the instant (`u`, states, parameters), for elements
            with symbolic laws; for a MOSFET its matrices `g` [S] and `c` [F] (`bridge.transistors`).

    Raises:
        NetworkError: an element's derivative is not known.
    """
    found = Linearisation()
    for element in network.elements:
        _stamp(found, element, values)
    return found


def _branch(found: Linearisation, name: str, p: str, n: str) -> int:
    """A branch current that leaves `p` and enters `n`."""
    row = found.place(name)
    found.current(p, n, row, 1.0)
    return row


def _stamp(found: Linearisation, element: Element, values: Callable[[Element], Mapping[str, Any]]) -> None:
    kind, name, nodes = element.device.kind, element.name, element.nodes
    out, control = (nodes[0], nodes[1]), (nodes[-2], nodes[-1])
    if kind == "resistor":
        found.two_port(out, out, element.value("conductance"))
    elif kind == "capacitor":
        found.two_port(out, out, element.value("capacitance"), charge=True)
    elif kind == "inductor":
        row = _branch(found, f"i(l{name})", *out)
        found.voltage(row, *out)
        found.add(found.capacitance, row, row, -element.value("inductance"))
    elif kind == "voltage_source":
        found.voltage(_branch(found, f"i(v{name})", *out), *out)
    elif kind == "current_source":
        return
    elif kind == "vccs":
        found.two_port(out, control, element.value("gain"))
    elif kind == "vcvs":
        row = _branch(found, f"i(vsense_{name})", *out)
        found.voltage(row, *out)
        found.voltage(row, *control, value=-element.value("gain"))
    elif kind == "cccs":
        sense = _branch(found, f"i(e{name})", *control)
        found.voltage(sense, *control)
        found.current(*out, sense, element.value("gain"))
    elif kind == "ccvs":
        row = _branch(found, f"i(vsense_{name})", *out)
        sense = _branch(found, f"i(h{name})", *control)
        found.voltage(row, *out)
        found.add(found.conductance, row, sense, -element.value("gain"))
        found.voltage(sense, *control)
    elif kind == "mosfet":
        here = values(element)
        source = nodes[2]
        for row, p in enumerate((nodes[0], nodes[1], nodes[3])):
            for column, control_node in enumerate((nodes[0], nodes[1], nodes[3])):
                ends = ((p, source), (control_node, source))
                found.two_port(*ends, float(here["g"][row, column]))
                found.two_port(*ends, float(here["c"][row, column]), charge=True)
    elif isinstance(element.device, Transfer):
        here = values(element)
        row = _branch(found, f"i(vsense_{name})", *out)
        found.voltage(row, *out)
        for part in coefficients(element.device):
            gain = float(element.device.evaluate(part.expression, here))
            found.voltage(row, *control, value=-gain)
    elif element.device.law is not None or element.device.charge is not None:
        _stamp_law(found, element, values(element))
    else:
        raise NetworkError(f"{name}: the derivative of a {kind} is not known")


def _stamp_law(found: Linearisation, element: Element, here: Mapping[str, Any]) -> None:
    device, p, n = element.device, element.nodes[0], element.nodes[1]
    rows = {s.name: found.place(f"v({adjoint_state(element.name, s.name)})") for s in device.states}
    for state in device.states:
        found.add(found.capacitance, rows[state.name], rows[state.name], 1.0)
    for part in coefficients(device):
        value = float(device.evaluate(part.expression, here))
        what, _, names = part.key.partition("_")
        if what in ("gu", "cu", "gc"):
            port = (element.nodes[-2], element.nodes[-1]) if what == "gc" else (p, n)
            found.two_port((p, n), port, value, charge=what == "cu")
            continue
        first = next(s for s in device.states if names == s.name or names.startswith(f"{s.name}_"))
        if what == "fx":
            found.current(p, n, rows[first.name], value)
        elif what in ("hu", "hc"):
            port = (element.nodes[-2], element.nodes[-1]) if what == "hc" else (p, n)
            found.voltage(rows[first.name], *port, -value)
        else:
            other = names.removeprefix(f"{first.name}_")
            found.add(found.conductance, rows[first.name], rows[other], -value)
