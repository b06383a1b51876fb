"""The naive estimator: nudge as time goes forward. Biased; kept to be compared with.

The free network runs again with the currents `-+beta e(t)` at its outputs, `e` being the loss's derivative at
the same instant, and `u^2` is compared at every resistor at the same instant. This is equilibrium propagation
and right for a network without memory. The response to a nudge comes after it, the gradient needs what went
before: with memory the result can have the wrong sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bridge.dynamics import DynamicPhases, DynamicPlan, score
from bridge.errors import UnsupportedElementError
from bridge.estimators.adjoint import Found, NudgedEstimator
from bridge.estimators.base import DynamicBatch
from bridge.losses.waveform import WaveformLoss
from bridge.quadrature import trapezoid_weights


@dataclass(frozen=True)
class CausalTask:
    """One sample: its loss and the biased estimate."""

    batch: DynamicBatch
    sample: int
    loss: WaveformLoss
    relative_beta: float

    def run(self, phases: DynamicPhases) -> Found:
        """Loss, estimate `(n_trainable,)` and score of the sample."""
        plan = phases.plan
        drives = self.batch.signals(self.sample)
        waves = phases.free(drives)
        outputs = phases.outputs(waves)
        found = self.loss.evaluate(waves.time, outputs, self.batch.targets[self.sample])
        shown = score(self.loss, waves.time, outputs)
        error = found.derivative / trapezoid_weights(waves.time)[:, None]
        conductances = phases.group(tuple(t.element for t in plan.flat.trainable))
        free = conductances.across(waves)
        peak = float(np.abs(error).max())
        if peak == 0.0:
            return found.value, np.zeros(len(phases.targets)), shown
        beta = self.relative_beta * float(np.abs(free * phases.parameters).max()) / peak
        squares = []
        for sign in (1.0, -1.0):
            reply = phases.nudged(drives, waves.time, -sign * beta * error)
            squares.append(trapezoid_weights(reply.time) @ conductances.across(reply) ** 2)
        return found.value, np.asarray((squares[0] - squares[1]) / (4.0 * beta)), shown


class Causal(NudgedEstimator):
    """Equilibrium propagation instant by instant: biased for every network with memory."""

    name: ClassVar[str] = "causal"
    exact: ClassVar[bool] = False

    def check(self, plan: DynamicPlan) -> None:
        """Refuse parameters that are not conductances of resistors."""
        super().check(plan)
        for entry in plan.flat.trainable:
            kind = plan.flat.element(entry.element).device.kind
            if kind != "resistor":
                raise UnsupportedElementError(
                    entry.element,
                    f"{entry.parameter} of a {kind}: the causal estimate knows conductances only",
                    "use the estimator adjoint",
                )

    def tasks(self, plan: DynamicPlan, batch: DynamicBatch, loss: WaveformLoss) -> Sequence[CausalTask]:
        """One task a sample."""
        return [CausalTask(one, 0, loss, self.relative_beta) for one in batch.chunks(1)]
