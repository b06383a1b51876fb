"""Figures of the training: curves, parameters before and after, confusion matrix, timings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bridge.report.style import (
    BLUE,
    GREEN,
    GRID,
    INK,
    MUTED,
    ORANGE,
    log_axis,
    log_limits,
    render,
    whole_numbers,
)
from bridge.report.text import number, scaled

MANY_POINTS = 1500
_GROUPS = 6


def column(frame: pd.DataFrame, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A column as numbers, `(n_rows,)`; NaN where it is missing or null."""
    if name not in frame:
        return np.full(len(frame), np.nan)
    return pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=float)


def curves(metrics: pd.DataFrame, loss_label: str, gradient_label: str = "gradient norm") -> Markup:
    """Loss, accuracy, gradient norm and learning rate against the epoch; panels without data are left out.

    So is a learning rate that does not change.

    Args:
        metrics: one row an epoch.
        loss_label: name and unit of the loss.
        gradient_label: name and unit of the gradient's norm.
    """
    panels: list[tuple[str, list[tuple[str, str, str]]]] = [
        (loss_label, [("train_loss", "train", BLUE), ("test_loss", "test", ORANGE)]),
        ("accuracy [%]", [("train_accuracy", "train", BLUE), ("test_accuracy", "test", ORANGE)]),
        (gradient_label, [("gradient_norm", "", INK)]),
        ("learning rate", [("learning_rate", "", INK)]),
    ]
    panels = [(t, s) for t, s in panels if any(np.isfinite(column(metrics, c)).any() for c, _, _ in s)]
    if np.ptp(column(metrics, "learning_rate")) == 0:
        panels = [panel for panel in panels if panel[0] != "learning rate"]
    columns = 2 if len(panels) in (2, 4) else max(1, len(panels))
    rows = -(-len(panels) // columns)

    def draw(figure: Figure) -> None:
        for index, (title, series) in enumerate(panels):
            axes = figure.add_subplot(rows, columns, index + 1)
            _curve_panel(axes, metrics, title, series)

    return render("curves", "Loss, accuracy, gradient norm and learning rate per epoch", 2.3 * rows, draw)


def _curve_panel(axes: Axes, metrics: pd.DataFrame, title: str, series: list[tuple[str, str, str]]) -> None:
    epoch = column(metrics, "epoch")
    factor = 100.0 if title.startswith("accuracy") else 1.0
    values = [column(metrics, name) * factor for name, _, _ in series]
    for data, (_, label, colour) in zip(values, series, strict=True):
        there = np.isfinite(data)
        marker = "." if there.sum() <= 40 else ""
        if there.any():
            axes.plot(epoch[there], data[there], marker=marker, markersize=4, color=colour, label=label)
    everything = np.concatenate(values)
    if factor == 100.0:
        low = max(0.0, float(np.nanmin(everything)) - 4)
        axes.set_ylim(low, 102)
    else:
        limits = log_limits(everything)
        if limits:
            log_axis(axes.yaxis, *limits)
        else:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 3)))
    axes.set(xlabel="epoch", ylabel=title)
    whole_numbers(axes)
    if len(axes.lines) > 1:
        axes.legend(loc="lower right" if factor == 100.0 else "upper right")


def groups_of(parameters: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Parameters by group and unit: `(group, unit, rows)`; beyond a few groups the rest is one."""
    parts = [
        (str(group) or "parameters", str(unit), rows)
        for (group, unit), rows in parameters.fillna({"group": "", "unit": ""}).groupby(
            ["group", "unit"], sort=False
        )
    ]
    if len(parts) <= _GROUPS:
        return parts
    kept, rest = parts[: _GROUPS - 1], parts[_GROUPS - 1 :]
    for unit in dict.fromkeys(unit for _, unit, _ in rest):
        same = [rows for _, other, rows in rest if other == unit]
        kept.append((f"{len(same)} other groups", unit, pd.concat(same)))
    return kept


def parameters_before_after(parameters: pd.DataFrame) -> Markup:
    """For each group a histogram before and after training, and final against initial values."""
    groups = groups_of(parameters)

    def draw(figure: Figure) -> None:
        grid = figure.add_gridspec(len(groups), 2, width_ratios=(1.75, 1))
        for row, (group, unit, part) in enumerate(groups):
            name = _quantity_name(part)
            factor, prefixed = scaled(part["final"], unit, logarithmic=True)
            label = f"{name} [{prefixed}]" if prefixed else name
            columns = ("initial", "final", "lower", "upper")
            initial, final, lower, upper = (column(part, c) * factor for c in columns)
            bounds = [b for b in (np.nanmin(lower), np.nanmax(upper)) if np.isfinite(b)]
            limits = log_limits(np.concatenate([initial, final, bounds]), 0.04)
            left, right = figure.add_subplot(grid[row, 0]), figure.add_subplot(grid[row, 1])
            left.set_title(f"{group}: {len(part):,} parameter{'s' if len(part) > 1 else ''}")
            _histogram(left, initial, final, limits)
            _scatter(right, initial, final, limits)
            for bound in bounds:
                style: dict[str, Any] = {
                    "color": MUTED,
                    "linewidth": 0.8,
                    "linestyle": (0, (4, 3)),
                    "zorder": 1.5,
                }
                left.axvline(bound, **style)
                right.axhline(bound, **style)
            left.set(xlabel=label, ylabel="number")
            written = f" [{prefixed}]" if prefixed else ""
            right.set(xlabel=f"initial{written}", ylabel=f"final{written}")
            if row == 0:
                left.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)

    alt = "Distribution of the trainable parameters before and after training"
    return render("weights", alt, 2.1 * len(groups), draw)


def _quantity_name(part: pd.DataFrame) -> str:
    names = list(dict.fromkeys(str(name) for name in part["parameter"]))
    return names[0].replace("_", " ") if len(names) == 1 else "value"


def _histogram(axes: Axes, initial: Any, final: Any, limits: tuple[float, float] | None) -> None:
    number = int(np.clip(6 * len(initial) ** (1 / 3), 12, 60))
    if limits:
        bins = np.geomspace(*limits, number + 1).tolist()
        log_axis(axes.xaxis, *limits)
    else:
        bins = np.histogram_bin_edges(np.concatenate([initial, final]), number).tolist()
    axes.hist(initial, bins=bins, histtype="stepfilled", color=MUTED, alpha=0.35, label="before")
    axes.hist(final, bins=bins, histtype="step", color=BLUE, linewidth=1.2, label="after")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def _scatter(axes: Axes, initial: Any, final: Any, limits: tuple[float, float] | None) -> None:
    many = len(initial) > MANY_POINTS
    size, alpha = (1.5, 0.25) if many else (6.0, 0.55)
    axes.scatter(initial, final, s=size, color=BLUE, alpha=alpha, linewidths=0, rasterized=many)
    ends = limits or (float(np.nanmin(initial)), float(np.nanmax(initial)))
    axes.plot(ends, ends, color=INK, linewidth=0.6, zorder=1)
    if limits:
        log_axis(axes.yaxis, *limits)
        log_axis(axes.xaxis, *(log_limits(initial, 0.08) or limits))


def confusion(content: Mapping[str, Any]) -> Markup:
    """The confusion matrix: rows are true classes, coloured by their share of the row."""
    matrix = np.asarray(content["matrix"], dtype=float)
    classes = [str(name) for name in content["classes"]]
    total = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, total, out=np.zeros_like(matrix), where=total > 0)
    size = min(6.0, max(2.9, 1.6 + 0.34 * len(classes)))
    shades = LinearSegmentedColormap.from_list("share", [GRID, "#2464a5"])
    step = 1 + len(classes) // 30

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        image = axes.imshow(share, cmap=shades, vmin=0, vmax=1)
        axes.grid(visible=False)
        names = classes[::step]
        turn = 90 if len(classes) > 4 and max(map(len, names)) > 3 else 0
        axes.set_xticks(range(0, len(classes), step), names, rotation=turn)
        axes.set_yticks(range(0, len(classes), step), names)
        axes.tick_params(length=0)
        axes.set(xlabel="predicted class", ylabel="true class")
        if len(classes) <= 20:
            for (row, col), value in np.ndenumerate(matrix):
                dark = share[row, col] > 0.45
                if value:
                    axes.text(
                        col, row, f"{value:g}", ha="center", va="center", fontsize=7.5,
                        color="#ffffff" if dark else "#1b1e25",
                    )  # fmt: skip
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=18, label="share of the true class")
        bar.outline.set_visible(False)

    return render("confusion", "Confusion matrix on the test split", size, draw, width=size + 0.8)


def timings(metrics: pd.DataFrame, workers: int = 1) -> Markup:
    """Wall time of each epoch [s], the part inside ngspice and the rest.

    With several workers their times inside ngspice add up and are a line instead.

    Args:
        metrics: one row an epoch.
        workers: number of simulator processes.
    """
    epoch, total, inside = (column(metrics, c) for c in ("epoch", "seconds", "ngspice_seconds"))
    there = np.isfinite(total)
    epoch, total, inside = epoch[there], total[there], np.nan_to_num(inside[there])
    factor, unit = scaled(total, "s")

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        width = 0.8 if len(epoch) <= 80 else 1.0
        if workers > 1 or (inside > total * (1 + 1e-6)).any():
            axes.bar(epoch, total * factor, width, color=GREEN, alpha=0.55, label="wall time", linewidth=0)
            label = "inside ngspice, all workers together"
            axes.plot(epoch, inside * factor, ".-", color=BLUE, markersize=4, label=label)
        else:
            axes.bar(epoch, inside * factor, width, color=BLUE, label="inside ngspice", linewidth=0)
            rest = (total - inside) * factor
            axes.bar(epoch, rest, width, inside * factor, color=GREEN, alpha=0.55, label="rest", linewidth=0)
        axes.set(xlabel="epoch", ylabel=f"time [{unit}]", ylim=(0, None))
        axes.margins(x=0.01)
        whole_numbers(axes)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)

    return render("timings", "Wall time of each epoch, inside ngspice and outside", 2.1, draw)
