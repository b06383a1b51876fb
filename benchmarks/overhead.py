"""What the bridge costs on top of ngspice, from hundreds of elements to a hundred thousand.

    python -m benchmarks.overhead [--full] [--rounds 5] [--json FILE] [--write]

A step is the gradient of a minibatch by equilibrium propagation (a free and two nudged phases a sample)
and the update of all conductances in the loaded circuit. `reduced, streamed` is an experiment's own step;
`plain` loads the whole network and finds every operating point from scratch, so that it can be compared with
ngspice's own `op` command on the same deck, as often as the step simulates. For transients the share of the
step's wall time that is spent inside ngspice is shown, for settling networks and for recurrent ones with the
adjoint network, whole and reduced: what is left outside is nearly the same for both.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.common import Idle, Settings, Table, command, exponent, interleaved, median, ratio, timed
from bridge.dynamics import DynamicPlan
from bridge.estimators import DynamicBatch, Equilibrium
from bridge.estimators.adjoint import AdjointNetwork
from bridge.estimators.base import Batch
from bridge.losses import make_loss
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice.drives import constant
from bridge.ngspice.pool import Pool
from bridge.phases import StaticPhases
from bridge.plans import Settling, StaticPlan
from bridge.simulator import Simulator
from bridge.updates.optimizers import make_optimizer
from circuits.network import Network
from circuits.reduction import reduce_network
from circuits.topologies.layered import layered
from circuits.topologies.rlc import Reactances, rlc

STATIC = ((4, 10, 3), (16, 20, 4), (64, 50, 10), (250, 200, 10))  # features, hidden nodes, outputs
SETTLING = ((4, 10, 3), (30, 30, 10), (64, 64, 10))
RECURRENT = ((8, 2, 4), (20, 5, 16), (48, 20, 45), (100, 40, 100))  # nodes, channels, conductances a source

MINIBATCH = 32  # samples a step of transients


@dataclass(frozen=True)
class Op:
    """The `op` command of a loaded circuit, in a worker."""

    plan: StaticPlan

    def __call__(self) -> OpWorker:
        """Load it."""
        return OpWorker(StaticPhases(self.plan))


@dataclass
class OpWorker(Idle):
    """Times ngspice's own `op`, without anything of the bridge around it."""

    phases: StaticPhases

    def run(self, drives: np.ndarray) -> float:
        """Time of one operating point a row [s]."""
        loaded = next(iter(self.phases.circuit._variants.values()))
        engine, total = self.phases.session.engine, 0.0
        self.phases.session.select(loaded)
        for row in drives:
            loaded.table.play([constant(row)])
            engine.control.begin(loaded.table)
            total += timed(lambda: engine.command("op"))
            engine.command("destroy all")
        return total


def samples(network: Network, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random features and one-hot targets."""
    rng = np.random.default_rng(0)
    targets = np.eye(len(network.outputs))[rng.integers(len(network.outputs), size=count)]
    return rng.uniform(-1, 1, (count, network.n_features)), targets


class Step:
    """A training step through a simulator; counts where its time goes."""

    def __init__(self, simulator: Simulator, batch: Any, loss: Any, estimator: Any) -> None:
        lower, upper = simulator.network.bounds
        self.simulator, self.batch, self.loss, self.estimator = simulator, batch, loss, estimator
        self.optimizer = make_optimizer("adam", len(lower), lower=lower, upper=upper, space="log")
        self.shares: list[float] = []

    def __call__(self) -> None:
        """Make one."""
        before, start = self.simulator.usage(), time.perf_counter()
        found = self.simulator.gradient(self.batch, self.loss, self.estimator)
        new = self.optimizer.step(self.simulator.parameters, found.gradient, 0.01)
        self.simulator.parameters = new
        wall = time.perf_counter() - start
        after = self.simulator.usage()
        self.shares.append((after["ngspice_seconds"] - before.get("ngspice_seconds", 0.0)) / wall)


def static(settings: Settings) -> list[dict[str, Any]]:
    """Operating points: the step as it is, the plain one, and ngspice's own command."""
    rows = []
    loss = make_loss("cross_entropy", scale=10.0)
    for features, hidden, outputs in STATIC if settings.full else STATIC[:3]:
        network = layered(features, [hidden], outputs)
        count = 32 if features < 100 else 8
        whole = StaticPlan(network, reduce=False, stream=False)
        with Simulator(whole) as plain, Simulator(StaticPlan(network)) as best, Pool(Op(whole)) as op:
            x, t = samples(network, count)
            batch = plain.batch(x, t)
            steps = {
                n: Step(s, batch, loss, Equilibrium(1e-7)) for n, s in (("plain", plain), ("best", best))
            }
            own: list[float] = []
            drives = np.repeat(batch.drives, 3, axis=0)
            found = interleaved(
                {**steps, "op": lambda: own.append(op.map([drives])[0])},  # noqa: B023
                settings.rounds,
            )
            own = own[1:]
        rows.append(
            {
                "network": f"{2 * features}-{hidden}-{outputs}",
                "elements": len(network.elements),
                "ngspice's op [ms a phase]": 1e3 * median(own) / len(drives),
                "plain step / ngspice's op": ratio(found["plain"], own),
                "share inside ngspice, plain": median(steps["plain"].shares[1:]),
                "reduced, streamed / ngspice's op": ratio(found["best"], own),
                "share inside ngspice": median(steps["best"].shares[1:]),
            }
        )
    return rows


def transient(settings: Settings) -> list[dict[str, Any]]:
    """Transients: settling networks, then recurrent ones with the adjoint network."""
    rows = []
    loss = make_loss("cross_entropy", scale=10.0)
    for features, hidden, outputs in SETTLING if settings.full else SETTLING[:2]:
        network = layered(features, [hidden], outputs, gain=4.0)
        plan = StaticPlan(network, Settling(400e-9, 4e-9, 1e-12))
        x, t = samples(network, MINIBATCH)
        name = f"{2 * features}-{hidden}-{outputs}, settling"
        data = Batch(network.drive_values(x), t)
        rows.append(_both(name, plan, data, loss, Equilibrium(1e-7), 3 * MINIBATCH, settings))
    for size in RECURRENT if settings.full else RECURRENT[1:3]:
        network, waves = recurrent(*size)
        batch = DynamicBatch(
            waves.times, np.repeat(waves.drives, MINIBATCH, axis=0), waves.targets * MINIBATCH
        )
        moving = DynamicPlan(network, DURATION, DURATION / 300)
        name = f"recurrent, {size[0]} nodes"
        error = WaveformMSE(waves.times)
        rows.append(_both(name, moving, batch, error, AdjointNetwork(), 2 * MINIBATCH, settings))
    return rows


def _both(
    name: str,
    plan: StaticPlan | DynamicPlan,
    batch: Any,
    loss: Any,
    estimator: Any,
    phases: int,
    settings: Settings,
) -> dict[str, Any]:
    """A row: the step of the whole network, and the one of the network as it is loaded by default."""
    with Simulator(replace(plan, reduce=False)) as whole, Simulator(plan) as best:
        steps = {n: Step(s, batch, loss, estimator) for n, s in (("whole", whole), ("reduced", best))}
        found = interleaved(steps, settings.rounds)
    circuit = plan.circuit() if isinstance(plan, StaticPlan) else plan.flat
    reduction = reduce_network(circuit)
    return {
        "network": name,
        "elements": len(plan.network.elements),
        "parameters": len(plan.network.trainable),
        "ms a transient": 1e3 * median(found["whole"]) / phases,
        "share inside ngspice": median(steps["whole"].shares[1:]),
        "elements, reduced": len((circuit if reduction is None else reduction.network).elements),
        "ms a transient, reduced": 1e3 * median(found["reduced"]) / phases,
        "share inside ngspice, reduced": median(steps["reduced"].shares[1:]),
    }


DURATION = 1e-6


def recurrent(nodes: int, channels: int, fan: int, seed: int = 0) -> tuple[Network, DynamicBatch]:
    """A recurrent RLC network with diodes, and one sample for it."""
    times = np.linspace(0.0, DURATION, 201)
    phase = 2 * np.pi * times / DURATION
    reactances = Reactances(capacitance=1e-11, inductors=nodes // 10, inductance=1e-5, diodes=0.1)
    network = rlc(nodes, channels, 1, degree=6.0, fan=fan, seed=seed, reactances=reactances)
    drives = 0.5 * np.sin(np.outer(phase, np.linspace(1.0, 4.0, channels)))
    target = 0.1 * np.sin(1.7 * phase)[:, None]
    return network, DynamicBatch(times, network.drive_values(drives)[None], [target])


def tables(settings: Settings) -> list[Table]:
    """Both tables."""
    points = static(settings)
    sizes = [r["elements"] for r in points]
    grows = exponent(sizes[1:], [r["ngspice's op [ms a phase]"] for r in points][1:])
    return [
        Table(
            "overhead-operating-points",
            "A training step of operating points, against ngspice's own `op` command on the whole network. "
            f"The time of `op` grows as the {grows:.2g}th power of the number of elements.",
            points,
        ),
        Table(
            "overhead-transients",
            "A training step of transients: equilibrium propagation on settling networks, the adjoint "
            f"network on recurrent ones; {MINIBATCH} samples a step, 100 and 300 "
            "time steps; of the whole network, and of what is loaded by default in its place.",
            transient(settings),
        ),
    ]


if __name__ == "__main__":
    from benchmarks.overhead import tables as importable  # workers cannot import __main__

    command(__doc__, importable)
