"""Draws `learning.svg`: XOR before and after training, its loss and its outputs, from a run in ngspice.

Run it as `python docs/images/make_picture.py`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bridge import Experiment, Simulator, run_experiment
from bridge.report import style
from bridge.report.data import load
from bridge.report.drawing import sketch
from bridge.report.figures import column

HERE = Path(__file__).resolve().parent
EXPERIMENT = HERE.parents[1] / "experiments" / "xor.yaml"
PIXELS = 110  # an inch
MARGIN = 16


def outputs_of_epochs(experiment: Experiment, run: Path) -> np.ndarray:
    """Output voltages of the four patterns at every checkpoint, `(n_epochs, 4)` [V]."""
    split = experiment.data()
    with Simulator(experiment.plan(experiment.network(split))) as simulator:
        rows = []
        for file in sorted((run / "checkpoints").glob("epoch_*.npz")):
            simulator.parameters = np.load(file)["parameters"]
            rows.append(simulator.outputs(split.test.inputs)[:, 0])
    return np.array(rows)


def learning_curves(metrics: pd.DataFrame, outputs: np.ndarray, target: float) -> Callable[[Figure], None]:
    """What draws the loss and the outputs against the epoch."""

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        loss = column(metrics, "train_loss")
        left.plot(column(metrics, "epoch"), loss, color=style.BLUE)
        style.log_axis(left.yaxis, *(style.log_limits(loss) or (1e-3, 1.0)))
        left.set(xlabel="epoch", ylabel="loss [V²]")
        for pattern, series, colour in zip(("00", "01", "10", "11"), outputs.T, style.SERIES, strict=False):
            right.plot(series, color=colour, label=pattern)
        for level in (-target, target):
            right.axhline(level, color=style.MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        right.set(xlabel="epoch", ylabel="output [V]")
        right.legend(title="input", ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
        for axes in (left, right):
            style.whole_numbers(axes)

    return draw


def stack(parts: list[str]) -> str:
    """One stand-alone SVG of the report's figures, one below the other, in the report's light colours."""
    colours = "".join(f"--{name}: {colour}; " for colour, name in style.VARIABLES.items())
    width, y, body = style.WIDTH * PIXELS, float(MARGIN), []
    for part in parts:
        box = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', part)
        assert box is not None
        height = width * float(box[2]) / float(box[1])
        head = f'<svg x="{MARGIN}" y="{y:.1f}" width="{width:.0f}" height="{height:.1f}" {box[0]}>'
        body.append(head + part[part.index(">") + 1 :])
        y += height + MARGIN
    whole = width + 2 * MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole:.0f} {y:.0f}" role="img" '
        'aria-label="A resistive network before and after learning XOR, its loss and its outputs">\n'
        f"<style>svg {{ {colours}}} text {{ font-family: 'DejaVu Sans', Verdana, sans-serif; }} "
        "*{stroke-linejoin: round; stroke-linecap: butt}</style>\n"
        f'<rect width="100%" height="100%" fill="{style.PAPER}"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def main() -> None:
    """Train, then draw."""
    experiment = Experiment.load(EXPERIMENT)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "xor"
        print(run_experiment(experiment, out=run)["test_accuracy"])
        data = load(run)
        assert data.wiring is not None
        assert data.parameters is not None
        assert data.metrics is not None
        network = sketch(data.wiring, data.parameters)
        draw = learning_curves(data.metrics, outputs_of_epochs(experiment, run), experiment.spec.data.target)
    curves = style.render("learning", "Loss and outputs while learning", 2.3, draw)
    (HERE / "learning.svg").write_text(stack([str(network), str(curves)]), encoding="utf-8")


if __name__ == "__main__":
    main()
