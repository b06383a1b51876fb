"""A training step against the same step written with PySpice alone (`benchmarks.naive`).

    python -m benchmarks.yardstick [--full] [--rounds 5] [--json FILE] [--write]

The networks and settings are those of Iris (8-10-3) and of the digits (128-50-20), real samples of both. A
step is the gradient of a minibatch, free and two nudged phases a sample, and the update of all conductances;
times are those of a sample, the yardstick's minibatch is smaller, since its cost does not depend on its size.
Both sides take one process, and their gradients are compared. `plain` loads the whole network and finds every
operating point from scratch; `default` folds what hangs on known voltages and finds operating points in
sequence, as an experiment does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.common import Settings, Table, command, interleaved, median, ratio
from benchmarks.naive import NaivePlan
from benchmarks.overhead import Step
from bridge.estimators import Equilibrium
from bridge.experiment.data import Scaling, load_data
from bridge.losses import make_loss
from bridge.ngspice.pool import Pool
from bridge.plans import StaticPlan
from bridge.simulator import Simulator
from circuits.network import Network
from circuits.topologies.layered import Conductances, layered


@dataclass(frozen=True)
class Case:
    """A data set, its network and the sizes of the minibatches.

    Attributes:
        name: of the row.
        source: of the data.
        scaling: of its features.
        network: makes it.
        scale: of the cross-entropy [1/V].
        beta: nudging strength [A V].
        naive: samples of the yardstick's minibatch.
        samples: of ours.
    """

    name: str
    source: str
    scaling: Scaling
    network: Callable[[], Network]
    scale: float
    beta: float
    naive: int
    samples: int


_BOUNDS = Conductances(1e-8, 1e-3, 1e-6, 2e-5)
CASES = (
    Case(
        "Iris, 8-10-3", "iris", Scaling("standard", amplitude=0.5), lambda: layered(4, [10], 3, gain=4.0),
        10.0, 1e-7, 10, 40,
    ),
    Case(
        "digits, 128-50-20", "digits", Scaling("min_max", amplitude=1.0, shared=True),
        lambda: layered(64, [50], 10, differential_outputs=True, conductances=_BOUNDS), 40.0, 1e-7, 2, 32,
    ),
)  # fmt: skip


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """One row."""
    split = load_data(
        case.source, test_fraction=0.2, seed=1, scaling=case.scaling, target=1.0, encoding="one_hot"
    )
    network, loss = case.network(), make_loss("cross_entropy", scale=case.scale)
    whole, default = StaticPlan(network, reduce=False, stream=False), StaticPlan(network)
    naive_plan = NaivePlan(network, loss, case.beta, whole.options)
    with (
        Simulator(whole) as plain,
        Simulator(default) as best,
        Pool(naive_plan, time_limit=600.0) as yardstick,
    ):
        x, t = split.train.inputs[: case.samples], split.train.targets[: case.samples]
        batch, few = plain.batch(x, t), plain.batch(x[: case.naive], t[: case.naive])
        estimator = Equilibrium(case.beta)
        theirs = yardstick.map([(few.drives, few.targets)])[0][1]
        ours = best.gradient(few, loss, estimator).gradient
        deviation = float(np.abs(theirs - ours).max() / np.abs(theirs).max())

        def naive_step() -> None:
            yardstick.update(network.parameters)
            yardstick.map([(few.drives, few.targets)])

        steps = {"plain": Step(plain, batch, loss, estimator), "default": Step(best, batch, loss, estimator)}
        found = interleaved({"naive": naive_step, **steps}, rounds)
    less = case.samples / case.naive
    return {
        "network": case.name,
        "elements": len(network.elements),
        "yardstick [ms a sample]": 1e3 * median(found["naive"]) / case.naive,
        "plain [ms a sample]": 1e3 * median(found["plain"]) / case.samples,
        "default [ms a sample]": 1e3 * median(found["default"]) / case.samples,
        "yardstick / plain": less * ratio(found["naive"], found["plain"]),
        "yardstick / default": less * ratio(found["naive"], found["default"]),
        "gradients differ by": deviation,
    }


def tables(settings: Settings) -> list[Table]:
    """The table."""
    rows = [measure(case, settings.rounds) for case in CASES]
    caption = (
        "A training step a sample (three phases and its share of the update), against a bridge that builds "
        "every circuit anew with PySpice. The last column is the largest difference of the two gradients as "
        "a share of the largest derivative."
    )
    return [Table("yardstick", caption, rows)]


if __name__ == "__main__":
    from benchmarks.yardstick import tables as importable  # workers cannot import __main__

    command(__doc__, importable)
