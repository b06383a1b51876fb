"""Time of a training sample in the ideal-diode solver of Scellier (ICML 2024) on a 784-100-10 network.

    python -m benchmarks.peer FOLDER --python PYTHON

`FOLDER` is a checkout of the public repository rain-neuromorphics/energy-based-learning, `PYTHON` an
interpreter that has PyTorch; both are the user's and neither is a dependency. The network, the iterations and
the nudging are those of the repository's model `drn-xs`, by equilibrium propagation. It is timed with
minibatches of 1, 4 (the repository's own choice) and 64, in turns with Tellegen's training of a network of
the same size (`benchmarks.scale`), with updates in both.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.common import Settings, Table, command, median, ratio
from benchmarks.scale import EPOCH, Images, plan_of, train

# Runs in PYTHON, from FOLDER; prints milliseconds a sample.
SCRIPT = """
import json, sys, time
import torch
from model.function.cost import SquaredError
from model.function.network import Network
from model.resistive.minimizer import QuadraticMinimizer
from model.resistive.network import DeepResistiveEnergy
from training.epoch import Trainer
from training.sgd import AugmentedFunction, EquilibriumProp

samples, batch = int(sys.argv[1]), int(sys.argv[2])
torch.manual_seed(0)
images, labels = torch.rand(samples + 2 * batch, 1, 28, 28), torch.randint(10, (samples + 2 * batch,))
pairs = [(images[k:k + batch], labels[k:k + batch]) for k in range(0, samples + 2 * batch, batch)]
energy = DeepResistiveEnergy([(2, 28, 28), (100,), (10,)], [1.0, 1.0], 100.0)
energy.set_device("cpu")
cost, network = SquaredError(energy.layers()[-1]), Network(energy)
nudged = AugmentedFunction(energy, cost)
training = QuadraticMinimizer(nudged, network.free_layers())
free = QuadraticMinimizer(energy, network.free_layers())
for minimizer in (training, free):
    minimizer.num_iterations, minimizer.mode = 4, "asynchronous"
estimator = EquilibriumProp(energy.params(), energy.layers(), nudged, cost, training)
estimator.nudging, estimator.variant = 1.0, "centered"
groups = [{"params": p.state, "lr": 0.006} for p in energy.params()]
optimizer = torch.optim.SGD(groups, lr=0.006)
make = lambda part: Trainer(network, cost, energy.params(), part, estimator, optimizer, free)
make(pairs[:2]).run()
start = time.perf_counter()
make(pairs[2:]).run()
print(json.dumps(1e3 * (time.perf_counter() - start) / sum(len(x) for x, _ in pairs[2:])))
"""


def peer(folder: Path, python: str, samples: int, batch: int) -> float:
    """Milliseconds a sample of the other solver.

    Raises:
        SystemExit: it could not run.
    """
    done = subprocess.run(
        [python, "-c", SCRIPT, str(samples), str(batch)], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(folder)}, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{folder}: {done.stderr.strip().splitlines()[-1]}")
    return float(json.loads(done.stdout))


def tables(settings: Settings) -> list[Table]:
    """Both in turns."""
    own = settings.more
    plan, images = plan_of(28, 100, None), Images.of(28)
    times: dict[str, list[float]] = {}
    for _ in range(settings.rounds):
        found = train(plan, images, own["ours"], 64, 2)
        ours = times.setdefault("Tellegen in ngspice, 2 workers, 64", [])
        ours.append(float(found["ms a sample"]))  # type: ignore[arg-type]
        for batch in (1, 4, 64):
            each = peer(own["folder"].resolve(), own["python"], own["samples"], batch)
            times.setdefault(f"ideal diodes in PyTorch, {batch}", []).append(each)
    rows = [
        {
            "solver, samples a minibatch": name,
            "ms a sample": median(each),
            "minutes for 60,000": median(each) * EPOCH / 6e4,
            "as many times Tellegen's": ratio(each, next(iter(times.values()))),
        }
        for name, each in times.items()
    ]
    caption = (
        "Training of a 784-100-10 network, updates included, in turns: ngspice with exponential diodes, and "
        "the ideal-diode solver of Scellier (ICML 2024) in its public implementation, 4 iterations a phase."
    )
    return [Table("peer", caption, rows)]


def extend(made: argparse.ArgumentParser) -> None:
    """The module's own arguments."""
    made.add_argument("folder", type=Path, help="a checkout of rain-neuromorphics/energy-based-learning")
    made.add_argument("--python", default=sys.executable, help="an interpreter that has PyTorch")
    made.add_argument("--samples", type=int, default=256, help="the other solver's, a round")
    made.add_argument("--ours", type=int, default=2048, help="Tellegen's, a round")


if __name__ == "__main__":
    command(__doc__, tables, extend)
