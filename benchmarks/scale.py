"""Time of an epoch of 60,000 images of 28x28 pixels on a 784-100-10 network, and its growth with the network.

    python -m benchmarks.scale [--samples 2000] [--workers 2] [--batch 64]

The images are scikit-learn's handwritten digits (8x8) enlarged to 28x28 pixels and drawn again and again:
they have the size of larger images, not their content, and serve to measure time only. Every feature drives
two sources, so the network has 158,020 conductances. The samples are really trained: a free and two nudged
phases each, and an update of all conductances after every minibatch. The first minibatch does not count: it
warms up. For comparison some samples are done by separate operating points, and without the reduction; one
of the whole network is extrapolated from its free phase, an update from a few alters.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.common import Settings, Table, command
from bridge.estimators import Equilibrium
from bridge.estimators.base import Batch
from bridge.experiment.data import load_data
from bridge.experiment.scaling import Scaling
from bridge.losses import make_loss
from bridge.phases import StaticPhases
from bridge.plans import StaticPlan
from bridge.simulator import Simulator
from bridge.updates.optimizers import make_optimizer
from circuits.deck import SolverOptions
from circuits.network import Network
from circuits.topologies.layered import Conductances, layered

EPOCH = 60_000
ONCE = "measured once"
LOSS = make_loss("cross_entropy", scale=40.0)
CONDUCTANCES = Conductances(1e-9, 1e-3, 1e-7, 2e-6)
TIGHT = SolverOptions(reltol=1e-12, vntol=1e-14)


@dataclass(frozen=True)
class Images:
    """Images of one size, `(n, side * side)` [V], and one-hot targets `(n, 10)`."""

    inputs: np.ndarray
    targets: np.ndarray

    @classmethod
    def of(cls, side: int) -> Images:
        """The training part of the digits, enlarged to `side` pixels."""
        train = load_data("digits", scaling=Scaling("min_max", shared=True), side=side).train
        return cls(train.inputs, train.targets)

    def draw(self, network: Network, count: int, rng: np.random.Generator) -> Batch:
        """Some of them, with repetition."""
        rows = rng.integers(len(self.inputs), size=count)
        return Batch(network.drive_values(self.inputs[rows]), self.targets[rows])


def train(
    plan: StaticPlan, images: Images, samples: int, batch: int, workers: int
) -> dict[str, float | list[float]]:
    """Train on some samples and measure."""
    rng = np.random.default_rng(0)
    lower, upper = plan.network.bounds
    optimizer = make_optimizer("adam", len(lower), lower=lower, upper=upper, space="log")
    losses, start, before, estimator = [], 0.0, {}, Equilibrium(1e-7)
    steps = -(-samples // batch)
    with Simulator(plan, workers=workers, time_limit=600.0) as simulator:
        for step in range(steps + 1):
            if step == 1:
                start, before = time.perf_counter(), simulator.usage()
            found = simulator.gradient(images.draw(plan.network, batch, rng), LOSS, estimator)
            simulator.parameters = optimizer.step(simulator.parameters, found.gradient, 0.03)
            losses.append(found.loss)
        wall, after = time.perf_counter() - start, simulator.usage()
    inside = after["ngspice_seconds"] - before["ngspice_seconds"]
    return {
        "samples": steps * batch,
        "ms a sample": 1e3 * wall / (steps * batch),
        "minutes an epoch": wall / (steps * batch) * EPOCH / 60.0,
        "share inside ngspice": inside / wall / workers,
        "losses": [float(np.mean(losses[: 1 + steps // 4])), float(np.mean(losses[-1 - steps // 4 :]))],
        "apart": float(sum(after["rungs"].values())),
    }


def gradient_error(plan: StaticPlan, images: Images, count: int = 4, parameters: int = 6) -> float:
    """Error of the largest derivatives against central differences of operating points."""
    batch = images.draw(plan.network, count, np.random.default_rng(1))
    phases, estimator = StaticPhases(plan), Equilibrium(1e-7)
    tasks = estimator.tasks(plan, batch, LOSS)
    found = estimator.combine(plan, batch, [t.run(phases) for t in tasks]).gradient
    exact = StaticPhases(replace(plan, options=TIGHT, stream=False))
    base = exact.parameters
    rows: list[int] = []
    rng = np.random.default_rng(2)
    groups = np.array([t.group for t in plan.network.trainable])
    for group in sorted(set(groups)):
        strong = np.flatnonzero(
            (groups == group) & (np.abs(found) > 0.1 * np.abs(found[groups == group]).max())
        )
        rows.extend(rng.choice(strong, parameters // 2, replace=False))
    wanted: list[float] = []
    for row in rows:
        ends, step = [], 1e-3 * base[row]
        for sign in (1.0, -1.0):
            moved = base.copy()
            moved[row] += sign * step
            exact.update(moved)
            ends.append(float(np.mean(exact.evaluate(batch, LOSS)[0])))
        wanted.append((ends[0] - ends[1]) / (2.0 * step))
    return float(np.max(np.abs(found[rows] / np.array(wanted) - 1.0)))


def apart(plan: StaticPlan, images: Images, samples: int) -> dict[str, float]:
    """Milliseconds of a sample and of an update in this process, after one sample that warms up."""
    phases, estimator = StaticPhases(plan), Equilibrium(1e-7)
    batch = images.draw(plan.network, samples + 2, np.random.default_rng(0))
    estimator.tasks(plan, Batch(batch.drives[:2], batch.targets[:2]), LOSS)[0].run(phases)
    start = time.perf_counter()
    for task in estimator.tasks(plan, Batch(batch.drives[2:], batch.targets[2:]), LOSS):
        task.run(phases)
    each = (time.perf_counter() - start) / samples
    start = time.perf_counter()
    phases.update(1.01 * phases.parameters)
    return {"ms a sample": 1e3 * each, "ms an update": 1e3 * (time.perf_counter() - start)}


def whole(plan: StaticPlan, images: Images, points: int, alters: int) -> dict[str, float]:
    """The same without the reduction: three times an operating point, after one that warms up; alters."""
    phases = StaticPhases(replace(plan, stream=False, reduce=False))
    batch = images.draw(plan.network, points + 1, np.random.default_rng(0))
    phases.free(batch.drives[0])
    start = time.perf_counter()
    for drives in batch.drives[1:]:
        phases.free(drives)
    each = 3.0 * (time.perf_counter() - start) / points
    moved = phases.parameters.copy()
    moved[0] *= 1.01  # what is made once for all later alterations
    phases.update(moved)
    moved[:alters] *= 1.01
    start = time.perf_counter()
    phases.update(moved)
    update = (time.perf_counter() - start) * len(moved) / alters
    return {"ms a sample": 1e3 * each, "ms an update": 1e3 * update}


def plan_of(side: int, hidden: int, klu: bool | None) -> StaticPlan:
    """The network for images of one size."""
    network = layered(side * side, [hidden], 10, conductances=CONDUCTANCES)
    return StaticPlan(network, options=SolverOptions(klu=klu))


def measure(samples: int, workers: int, batch: int, klu: bool | None, points: int) -> dict[str, Any]:
    """All figures of the report."""
    plan, images = plan_of(28, 100, klu), Images.of(28)
    found: dict[str, Any] = {"parameters": len(plan.network.trainable)}
    found["trained"] = train(plan, images, samples, batch, workers)
    found["gradient error"] = gradient_error(plan, images)
    found["in sequence"] = apart(plan, images, 64)
    found["reduced, apart"] = apart(replace(plan, stream=False), images, 16)
    if points:
        found["whole, apart"] = whole(plan, images, points, 2000)
    growth = []
    for side, hidden in ((8, 50), (8, 100), (14, 100), (28, 50)):
        row = train(plan_of(side, hidden, klu), Images.of(side), max(4 * batch, samples // 4), batch, workers)
        growth.append({"side": side, "hidden": hidden, **row})
    found["growth"] = growth
    return found


def tables(settings: Settings) -> list[Table]:
    """The figures as tables."""
    own = settings.more
    found = measure(own["samples"], own["workers"], own["batch"], own["klu"], own["whole"])
    trained = [{"side": 28, "hidden": 100, **found["trained"]}, *found["growth"]]
    first, last = found["trained"]["losses"]
    caption = (
        f"Training, a free and two nudged phases a sample and the updates, {own['workers']} workers, "
        f"minibatches of {own['batch']}. 784-100-10: mean loss {first:.3f} at first, {last:.3f} at last; "
        f"largest error of six derivatives against central differences {found['gradient error']:.1e}; "
        f"samples done by separate operating points: {found['trained']['apart']:.0f}."
    )
    names = {"in sequence": "reduced, in sequence", "reduced, apart": "reduced, operating points apart",
             "whole, apart": "not reduced, operating points apart"}  # fmt: skip
    growth = [
        {
            "network": f"{r['side'] ** 2}-{r['hidden']}-10",
            "samples": r["samples"],
            "ms a sample": r["ms a sample"],
            "minutes for 60,000": r["minutes an epoch"],
            "share inside ngspice": r["share inside ngspice"],
        }
        for r in trained
    ]
    ways = [
        {
            "way": name,
            "ms a sample": found[key]["ms a sample"],
            "ms an update": found[key]["ms an update"],
            "minutes for 60,000": (found[key]["ms a sample"] + found[key]["ms an update"] / own["batch"])
            * EPOCH / 6e4,
        }
        for key, name in names.items()
        if key in found
    ]  # fmt: skip
    return [
        Table("scale", caption, growth, ONCE),
        Table("scale-ways", "784-100-10 in one process, three phases a sample.", ways, ONCE),
    ]


def extend(made: argparse.ArgumentParser) -> None:
    """The module's own arguments."""
    made.add_argument("--samples", type=int, default=2000, help="really trained")
    made.add_argument("--workers", type=int, default=2)
    made.add_argument("--batch", type=int, default=64)
    made.add_argument("--whole", type=int, default=3, help="operating points without the reduction; 0: none")
    made.add_argument("--klu", action="store_true", default=None, help="in all; chosen by size when left out")


if __name__ == "__main__":
    command(__doc__, tables, extend)
