"""Parallel efficiency: the same minibatch of transients with one and with two workers.

    python -m benchmarks.workers [--full] [--rounds 5] [--json FILE] [--write]

The network of the digits (128-50-20, or 128-20-10 without `--full`) settles in transients; a step is the
gradient of a minibatch by equilibrium propagation and the update. Results are the same to the last bit. How
much two processes without any work in common get out of the machine is measured in the same rounds.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from benchmarks.common import Settings, Table, command, interleaved, median, ratio
from benchmarks.overhead import Step
from benchmarks.scale import Images
from bridge.estimators import Equilibrium
from bridge.losses import make_loss
from bridge.plans import Settling, StaticPlan
from bridge.simulator import Simulator
from circuits.topologies.layered import layered

_SPIN = "for k in range(10_000_000): pass"


def spin(processes: int) -> None:
    """Keep that many processes busy with nothing."""
    started = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(processes)]
    for process in started:
        process.wait()


def tables(settings: Settings) -> list[Table]:
    """The table."""
    hidden, differential = (50, True) if settings.full else (20, False)
    network = layered(64, [hidden], 10, differential_outputs=differential)
    plan = StaticPlan(network, Settling(400e-9, 4e-9, 1e-12))
    loss = make_loss("cross_entropy", scale=10.0)
    with Simulator(plan, workers=1) as one, Simulator(plan, workers=2) as two:
        images = Images.of(8)
        inputs, labels = images.inputs[:16], images.targets[:16]
        batch = one.batch(inputs, labels)
        steps = {n: Step(s, batch, loss, Equilibrium(1e-6)) for n, s in (("one", one), ("two", two))}
        spins = {"one loop": lambda: spin(1), "two loops": lambda: spin(2)}
        found = interleaved({**steps, **spins}, settings.rounds)
        same = bool(np.array_equal(one.parameters, two.parameters))
    speed = ratio(found["one"], found["two"])
    row = {
        "network": f"128-{hidden}-{20 if differential else 10}",
        "samples a step": len(batch),
        "1 worker [s]": median(found["one"]),
        "2 workers [s]": median(found["two"]),
        "speed-up": speed,
        "what two busy loops get": 2.0 * ratio(found["one loop"], found["two loops"]),
        "efficiency": speed / 2.0,
        "same bits": "yes" if same else "NO",
    }
    caption = (
        "One and two workers on transients. Two processes that only count, measured in the same rounds, show "
        "how many of its cores the machine had to give: no speed-up can be larger."
    )
    return [Table("workers", caption, [row])]


if __name__ == "__main__":
    from benchmarks.workers import tables as importable  # workers cannot import __main__

    command(__doc__, importable)
