"""What a gradient check shows a person: a table and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bridge.report.style import BLUE, GREEN, GRID, INK, MUTED, ORANGE, PURPLE, TEAL
from bridge.validation.gradcheck import EstimatorCheck, GradcheckResult

if TYPE_CHECKING:
    from rich.table import Table

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, TEAL)
_MARKS = ("o", "s", "^", "D", "v")


def verdict(check: EstimatorCheck) -> str:
    """One word: `pass`, `MISS`, `not exact`, `not covered` or `undecided`."""
    if check.gradient is None:
        return "not covered"
    if not check.exact:
        return "not exact"
    return {True: "pass", False: "MISS", None: "undecided"}[check.passed]


def table(result: GradcheckResult) -> Table:
    """The comparison as a table for the terminal, and what it is compared with."""
    from rich.table import Table

    reference = result.reference
    found = Table(
        title=f"loss {result.loss:.6g}, {len(result.parameters)} parameters; finite differences "
        f"({reference.simulations} simulations, {reference.seconds:.1f} s) are certain to "
        f"{reference.relative_error:.1e}",
        caption="errors of the gradient with respect to the parameters' logarithms; "
        f"tolerance {result.tolerance:g}",
        title_justify="left",
        caption_justify="left",
    )
    for name in ("estimator", "relative error", "cosine", "simulations", "seconds", "verdict"):
        found.add_column(name, justify="left" if name in ("estimator", "verdict") else "right")
    for check in result.estimators:
        if check.relative_error is None or check.cosine is None:
            found.add_row(check.name, "", "", "", "", verdict(check))
            continue
        found.add_row(
            check.name,
            f"{check.relative_error:.2e}",
            f"{check.cosine:.6f}",
            str(check.transients + check.operating_points),
            f"{check.seconds:.2f}",
            verdict(check),
        )
    return found


def remarks(result: GradcheckResult) -> list[str]:
    """Why estimators do not cover the network, or why nothing can be said: one line each."""
    return [f"{c.name}: {c.reason}" for c in result.estimators if c.reason]


def plot(result: GradcheckResult) -> Figure:
    """Every estimator's gradient against the reference, and each parameter's deviation from it."""
    figure = Figure(figsize=(8.0, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.25))
    reference = result.reference.gradient * result.scale
    uncertain = result.reference.error * result.scale
    size = float(np.linalg.norm(reference)) or 1.0
    least = max(float(np.abs(reference[reference != 0.0]).min(initial=size)), 1e-6 * size)
    span = [-float(np.abs(reference).max()), float(np.abs(reference).max())]
    left.plot(span, span, color=MUTED, linewidth=0.6, zorder=1)
    shown = [c for c in result.estimators if c.gradient is not None]
    count = np.arange(len(reference))
    floor = 1e-12
    for check, colour, mark in zip(shown, _COLOURS * len(shown), _MARKS * len(shown), strict=False):
        assert check.gradient is not None
        own = check.gradient * result.scale
        left.errorbar(
            reference, own, xerr=uncertain, fmt=mark, color=colour, markersize=4, linewidth=0.8,
            markerfacecolor="none", label=check.name,
        )  # fmt: skip
        deviation = np.maximum(np.abs(own - reference) / size, floor)
        right.plot(
            count, deviation, mark, color=colour, markersize=4, markerfacecolor="none", label=check.name
        )
    bars = np.maximum(uncertain / size, floor)
    right.bar(count, bars, color=GRID, width=0.9, bottom=0.0, zorder=0, label="uncertainty of the reference")
    right.axhline(result.tolerance, color=INK, linewidth=0.6, linestyle="--")
    left.set_xscale("symlog", linthresh=least)
    left.set_yscale("symlog", linthresh=least)
    left.set(xlabel="finite differences, d loss / d log p", ylabel="estimator, d loss / d log p")
    right.set(yscale="log", ylabel="deviation / norm of the gradient")
    _name(right, result.parameters)
    for axes in (left, right):
        axes.grid(color=GRID, linewidth=0.5)
        axes.tick_params(labelsize=7)
    left.tick_params(axis="x", rotation=45)
    figure.legend(
        *right.get_legend_handles_labels(), loc="outside upper center", ncols=6, fontsize=7, frameon=False
    )
    return figure


def _name(axes: Axes, labels: tuple[str, ...]) -> None:
    if len(labels) <= 40:
        axes.set_xticks(np.arange(len(labels)), labels, rotation=90, fontsize=6)
    else:
        axes.set_xlabel("parameter")


def write_plot(result: GradcheckResult, path: str | Path) -> Path:
    """Write the plot; the ending of the name decides the format (`.svg`, `.png`)."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    plot(result).savefig(target, dpi=150)
    return target
