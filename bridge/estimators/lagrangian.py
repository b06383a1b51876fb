"""The echo phase: exact gradients from the same circuit, run backwards and nudged.

After the free phase the circuit is made to retrace its trajectory (`bridge.estimators.echo`), twice, with the
currents `-+beta de/dtau` injected at the outputs, `e(tau)` being the loss's derivative reversed in time. The
difference of the two echoes, integrated to a flux, is minus the adjoint signal at every element. It follows
from the action of Kendall, arXiv:2103.05636, when the pairing of trajectories reverses one of them in time;
the error is of second order in `beta`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.integrate import cumulative_trapezoid

from bridge.dynamics import DynamicPhases, DynamicPlan, score
from bridge.errors import UnsupportedElementError
from bridge.estimators.adjoint import Found, NudgedEstimator
from bridge.estimators.base import DynamicBatch, FloatArray
from bridge.estimators.echo import check_echo, echo_network, initial_state
from bridge.estimators.sensitivities import Trajectories, gradients, meet
from bridge.losses.waveform import WaveformLoss, WaveformValue
from bridge.ngspice.drives import Signals
from bridge.ngspice.session import Circuit
from bridge.quadrature import derivative, interpolation_matrix, reversed_times, trapezoid_weights
from bridge.waveforms import Waveforms
from circuits.network import Network


@dataclass(frozen=True)
class LagrangianTask:
    """One sample: its loss and gradient from two nudged echoes."""

    batch: DynamicBatch
    sample: int
    loss: WaveformLoss
    relative_beta: float

    def run(self, phases: DynamicPhases) -> Found:
        """Loss, gradient `(n_trainable,)` and score of the sample."""
        plan = phases.plan
        waves = phases.free(self.batch.signals(self.sample))
        outputs = phases.outputs(waves)
        found = self.loss.evaluate(waves.time, outputs, self.batch.targets[self.sample])
        shown = score(self.loss, waves.time, outputs)
        if found.terminal.any():
            raise UnsupportedElementError(
                "loss",
                "a terminal loss needs a nudge that is the derivative of an impulse",
                "use the estimator adjoint, or a loss over a short window",
            )
        circuit, network = echo_circuit(phases)
        currents = compensation(phases, waves)
        largest = max(float(np.abs(currents.values).max()) / 2.0, 1e-15)
        nudge = nudge_shape(waves, found, plan.duration)
        peak = float(np.abs(nudge.values[2:]).max())
        if peak == 0.0:
            return found.value, np.zeros(len(phases.targets)), shown
        beta = self.relative_beta * largest / peak
        echoes = [self._echo(phases, circuit, network, waves, currents, nudge, s * beta) for s in (1.0, -1.0)]
        plus, minus = echoes
        response = (plus.values - on_grid(minus, plus.time)) / (2.0 * beta)
        flux = cumulative_trapezoid(response, plus.time, axis=0, initial=0.0) + response[0] * plus.time[0]
        reply = Waveforms(plus.time, -flux, plus.names, plus.units)
        tail = np.zeros(len(reply.names))
        paths = Trajectories(**meet(waves, reply, plan.duration, scales={}, tail=tail))
        return found.value, gradients(phases, paths), shown

    def _echo(
        self,
        phases: DynamicPhases,
        circuit: Circuit,
        network: Network,
        waves: Waveforms,
        currents: Signals,
        nudge: Signals,
        beta: float,
    ) -> Waveforms:
        plan = phases.plan
        targets, values = initial_state(network, waves)
        circuit.alter(targets, values)
        signs = np.array(
            [
                -1.0 if network.element(d.source).device.kind == "voltage_source" else 1.0
                for d in network.drives
            ]
        )
        drives = self.batch.drives[self.sample]
        times = reversed_times(self.batch.times, plan.duration)
        count = len(network.drives)
        played = [Signals(tuple(range(count)), (drives * signs)[::-1].copy(), times)] if count else []
        first = count + len(currents.sources)
        sources = tuple(range(first, first + nudge.values.shape[1]))
        played += [currents, Signals(sources, -beta * nudge.values, nudge.times)]
        return circuit.transient(played, plan.duration, plan.step, uic=True)


def on_grid(waves: Waveforms, times: FloatArray) -> FloatArray:
    """Signals at another run's time points, which differ where the simulator had to repeat a step."""
    if np.array_equal(waves.time, times):
        return waves.values
    return np.asarray(interpolation_matrix(waves.time, times) @ waves.values)


def echo_circuit(phases: DynamicPhases) -> tuple[Circuit, Network]:
    """The loaded echo circuit with the present parameters, and the flat free network."""
    plan = phases.plan
    kept = phases.extra.get("echo")
    if kept is None:
        echo = echo_network(plan.flat)
        kept = phases.extra["echo"] = phases.session.load(plan.deck(echo))
    circuit: Circuit = kept
    told = phases.alter_values(phases.parameters)
    for k, entry in enumerate(plan.flat.trainable):
        if entry.parameter == "dc" and plan.flat.element(entry.element).device.kind == "voltage_source":
            told[k] = -told[k]
    circuit.alter(phases.targets, told)
    return circuit, phases.valued


def compensation(phases: DynamicPhases, waves: Waveforms) -> Signals:
    """The currents `2 G u(T - tau)` beside every resistor, over reversed time."""
    names = tuple(e.name for e in phases.plan.flat.elements if e.device.kind == "resistor")
    resistors = phases.group(names)
    values = 2.0 * resistors.values["conductance"] * resistors.across(waves)
    first = len(phases.plan.flat.drives)
    times = reversed_times(waves.time, waves.time[-1])
    return Signals(tuple(range(first, first + len(names))), values[::-1].copy(), times, order=3)


def nudge_shape(waves: Waveforms, loss: WaveformValue, duration: float) -> Signals:
    """`de/dtau` over reversed time, with the charge `e(T)` of its start in the first time step."""
    density = (loss.derivative / trapezoid_weights(waves.time)[:, None])[::-1]
    times = reversed_times(waves.time, duration)
    slope = derivative(times, density)
    first, second = waves.time[0], waves.time[1]
    grid = np.union1d(times, [0.0, first, second])
    values = np.stack([np.interp(grid, times, c) for c in slope.T], axis=1)
    values[np.searchsorted(grid, first)] += density[0] / first
    return Signals(tuple(range(values.shape[1])), values, grid)


class Lagrangian(NudgedEstimator):
    """Exact gradients from nudged echoes, for odd reactances, linear resistors and sources."""

    name: ClassVar[str] = "lagrangian"

    def check(self, plan: DynamicPlan) -> None:
        """Refuse networks and parameters outside the class, with the element's name and the reason."""
        super().check(plan)
        check_echo(plan.network)
        if not plan.from_rest:
            raise UnsupportedElementError(
                plan.network.name,
                "the free phase starts from an operating point, which an echo does not retrace",
                "start it from rest, or use the estimator adjoint",
            )
        for entry in plan.flat.trainable:
            if entry.parameter.startswith("initial_flux"):
                raise UnsupportedElementError(
                    entry.element, "its initial flux has no signal in the echo", "use the estimator adjoint"
                )

    def tasks(self, plan: DynamicPlan, batch: DynamicBatch, loss: WaveformLoss) -> Sequence[LagrangianTask]:
        """One task a sample."""
        return [LagrangianTask(one, 0, loss, self.relative_beta) for one in batch.chunks(1)]
