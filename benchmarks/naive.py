"""The yardstick: equilibrium propagation as one would write it with PySpice alone.

For every sample and phase the circuit is built anew with PySpice's own elements, its operating point is
simulated by PySpice's shared ngspice, and node voltages are read from PySpice's analysis. Network, solver
options, nudges and formula are those of `bridge.estimators.equilibrium`, so that both give the same gradient.
Nothing is slowed down on purpose: plots and circuits are removed after each run, which PySpice leaves to its
user and without which every run is slower than the one before, and branch voltages are contrasted with numpy.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bridge.estimators.reciprocity import branch_weights
from bridge.losses import Loss
from bridge.ngspice.library import find_library, library_environment, preload
from circuits.deck import SolverOptions
from circuits.devices.base import Element
from circuits.network import GROUND, Network

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from PySpice.Spice.Netlist import Circuit
    from PySpice.Spice.NgSpice.Shared import NgSpiceShared

FloatArray = NDArray[np.float64]


class Shared(NgSpiceShared):  # type: ignore[misc]
    """PySpice's shared ngspice with the library that the bridge uses, one in a process."""

    _one: ClassVar[Any] = None

    @classmethod
    def one(cls) -> Any:
        """The instance of this process."""
        if cls._one is None:
            library = find_library()
            os.environ.update(library_environment(library))
            preload(library)
            cls.LIBRARY_PATH = str(library.path)
            cls._one = cls.new_instance()
            cls._one.exec_command("set num_threads=1")
        return cls._one


@dataclass
class Naive:
    """A static network trained through PySpice.

    Attributes:
        network: with the present conductances.
        loss: on the output voltages.
        beta: nudging strength [A V].
        options: of the simulator.
    """

    network: Network
    loss: Loss
    beta: float
    options: SolverOptions

    def __post_init__(self) -> None:
        self.conductances = self.network.parameters
        self.places = {t.element: k for k, t in enumerate(self.network.trainable)}
        self.ends = [self.network.element(t.element).nodes[:2] for t in self.network.trainable]
        weights = branch_weights(self.network)
        self.weights = np.array([weights[t.element] for t in self.network.trainable])
        self.flat = self.network.flat()
        self.phases = 0

    def circuit(self, drives: FloatArray, currents: FloatArray) -> Any:
        """The circuit of one phase of one sample.

        Args:
            drives: values of the driven sources, `(n_drives,)` [V].
            currents: injected into the outputs, `(n_outputs,)` [A].
        """
        circuit = Circuit("naive")
        driven = {d.source: float(v) for d, v in zip(self.network.drives, drives, strict=True)}
        cards = {e.model for e in self.flat.elements if e.model is not None}
        for card in cards:
            circuit.model(card.name, card.kind, **{k if k != "is" else "IS": v for k, v in card.parameters})
        for e in self.flat.elements:
            self._place(circuit, e, driven)
        for k, (output, current) in enumerate(zip(self.network.outputs, currents, strict=True)):
            circuit.I(f"nudge_{k}", self._node(output.minus), self._node(output.plus), float(current))
        return circuit

    def _place(self, circuit: Any, e: Element, driven: dict[str, float]) -> None:
        nodes = [self._node(n) for n in e.nodes]
        kind = e.device.kind
        if kind == "resistor":
            place = self.places.get(e.name)
            g = e.value("conductance") if place is None else self.conductances[place]
            circuit.R(e.name, *nodes, 1.0 / float(g))
        elif kind == "diode":
            assert e.model is not None
            circuit.D(e.name, *nodes, model=e.model.name)
        elif kind == "voltage_source":
            circuit.V(e.name, *nodes, driven[e.name] if e.driven else e.value("dc"))
        elif kind == "vcvs":
            circuit.VCVS(e.name, *nodes, voltage_gain=e.value("gain"))
        elif kind == "cccs":
            p, n, cp, cn = nodes
            circuit.V(f"sense_{e.name}", cp, cn, 0.0)
            circuit.CCCS(e.name, p, n, source=f"Vsense_{e.name}", current_gain=e.value("gain"))
        else:
            raise ValueError(f"{e.name}: the yardstick has no {kind}")

    def _node(self, name: str) -> str | int:
        return 0 if name == GROUND else name

    def solve(self, drives: FloatArray, currents: FloatArray) -> dict[str, float]:
        """Node voltages [V] by name at the operating point of a newly built circuit."""
        self.phases += 1
        shared, given = Shared.one(), self.options
        simulator = self.circuit(drives, currents).simulator(
            temperature=27, nominal_temperature=27, simulator="ngspice-shared", ngspice_shared=shared
        )
        simulator.options(
            reltol=given.reltol, abstol=given.abstol, vntol=given.vntol, gmin=given.gmin, itl1=given.itl1
        )
        analysis = simulator.operating_point()
        # float(node) fails with numpy 2: a value of PySpice is an array of one.
        found = {str(name): float(np.asarray(node)[0]) for name, node in analysis.nodes.items()}
        shared.destroy()
        shared.remove_circuit()
        return {**found, GROUND: 0.0}

    def outputs(self, voltages: dict[str, float]) -> FloatArray:
        """Output voltages `(n_outputs,)` [V]."""
        return np.array([voltages[o.plus.lower()] - voltages[o.minus.lower()] for o in self.network.outputs])

    def branches(self, voltages: dict[str, float]) -> FloatArray:
        """Voltages across the trainable conductances, `(n_trainable,)` [V]."""
        return np.array([voltages[p.lower()] - voltages[n.lower()] for p, n in self.ends])

    def sample(self, drives: FloatArray, target: FloatArray) -> tuple[float, FloatArray]:
        """Loss and gradient `(n_trainable,)` [1/S] of one sample: a free and two nudged phases."""
        still = np.zeros(len(self.network.outputs))
        output = self.outputs(self.solve(drives, still))
        current = -self.beta * np.asarray(self.loss.derivative(output, target), dtype=float)
        plus, minus = (self.branches(self.solve(drives, sign * current)) for sign in (1.0, -1.0))
        gradient = (plus**2 - minus**2) / 2.0 * self.weights / (2.0 * self.beta)
        return float(self.loss.value(output, target)), gradient

    def gradient(self, drives: FloatArray, targets: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Losses `(n,)` and the gradient of their mean for drives `(n, n_drives)`."""
        found = [self.sample(d, t) for d, t in zip(drives, targets, strict=True)]
        return np.array([f[0] for f in found]), np.mean([f[1] for f in found], axis=0)


@dataclass(frozen=True)
class NaivePlan:
    """Makes the yardstick in a worker of `bridge.ngspice.pool.Pool`; its tasks are batches."""

    network: Network
    loss: Loss
    beta: float
    options: SolverOptions

    def __call__(self) -> NaiveWorker:
        """Start it."""
        return NaiveWorker(Naive(self.network, self.loss, self.beta, self.options))


@dataclass
class NaiveWorker:
    """The yardstick as a pool's handler."""

    naive: Naive

    def update(self, state: Any) -> None:
        """Take over conductances `(n_trainable,)` [S]."""
        self.naive.conductances = np.asarray(state, dtype=float)

    def run(self, task: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
        """Losses and gradient of a batch's drives and targets."""
        return self.naive.gradient(*task)

    def usage(self) -> dict[str, Any]:
        """Phases simulated so far."""
        return {"operating_points": self.naive.phases}
