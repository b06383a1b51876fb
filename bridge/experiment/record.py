"""Recording one sample's phases for the report and writing its netlists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bridge.experiment.store import write_atomic, write_json_atomic, write_parquet_atomic
from bridge.losses import Loss
from bridge.phases import Solution, StaticPhases, StaticPlan
from circuits.netlist import build_deck
from circuits.network import Network

FloatArray = NDArray[np.float64]
PHASES = ("free", "nudged_plus", "nudged_minus")


@dataclass(frozen=True)
class SampleTask:
    """The free and both nudged phases of one sample, with everything kept."""

    drives: FloatArray
    target: FloatArray
    loss: Loss
    beta: float

    def run(self, phases: StaticPhases) -> tuple[list[Solution], FloatArray]:
        """Solutions of the three phases and the current injected in the first nudged one [A]."""
        free = phases.free(self.drives)
        current = -self.beta * np.asarray(self.loss.derivative(free.outputs, self.target))
        return [free, *phases.nudged_pair(self.drives, current, free)], current


def write_sample(
    folder: Path,
    plan: StaticPlan,
    features: FloatArray,
    task: SampleTask,
    recorded: tuple[list[Solution], FloatArray],
    label: int | None,
) -> None:
    """Write `sample.parquet`, `sample.json` and, for transients, `waveforms.parquet`."""
    solutions, current = recorded
    table = pd.DataFrame({"node": list(plan.network.nodes)})
    for phase, solution in zip(PHASES, solutions, strict=True):
        table[phase] = solution.nodes[:-1]
    write_parquet_atomic(folder / "sample.parquet", table)
    about: dict[str, Any] = {
        "features": features.tolist(),
        "target": task.target.tolist(),
        "outputs_free": solutions[0].outputs.tolist(),
        "beta": task.beta,
        "nudge_current": current.tolist(),
        "label": label,
        "analysis": "operating_point" if plan.settling is None else "transient",
    }
    write_json_atomic(folder / "sample.json", about)
    frames = []
    for phase, solution in zip(PHASES, solutions, strict=True):
        if solution.waveforms is not None:
            frame = pd.DataFrame(solution.waveforms.values, columns=list(plan.network.nodes))
            frame.insert(0, "phase", phase)
            frame.insert(0, "time", solution.waveforms.time)
            frames.append(frame)
    if frames:
        write_parquet_atomic(folder / "waveforms.parquet", pd.concat(frames, ignore_index=True))


def plain_netlist(plan: StaticPlan, network: Network, drives: FloatArray) -> str:
    """A deck for `ngspice -b` with one sample's inputs, in the free phase."""
    here = StaticPlan(network, plan.settling, plan.options)
    deck = build_deck(here.circuit(), plan.options, nudges=False)
    return deck.plain(dict(zip(deck.sources, map(float, drives), strict=True)), here.analysis())


def write_netlist(folder: Path, name: str, plan: StaticPlan, network: Network, drives: FloatArray) -> None:
    """Write a sample's deck into the run folder's `netlists`."""
    (folder / "netlists").mkdir(exist_ok=True)
    write_atomic(folder / "netlists" / f"{name}.cir", plain_netlist(plan, network, drives))
