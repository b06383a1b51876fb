"""Heat maps of the parameters between nodes, for networks with too many elements to draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from bridge.report.data import Link, Wiring
from bridge.report.drawing import Values
from bridge.report.style import GRID, WIDTH, render
from bridge.report.text import number, scaled

MOST_GROUPS = 8
_NAMED = 12


@dataclass(frozen=True)
class Block:
    """The elements of one group as a matrix.

    Attributes:
        group: name of the group.
        rows: names of the nodes of the rows.
        columns: names of the nodes of the columns.
        initial: `(n_rows, n_columns)` in the values' unit, NaN where there is no element.
        final: the same after training.
    """

    group: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    initial: NDArray[np.float64]
    final: NDArray[np.float64]


def blocks(wiring: Wiring, values: Values) -> list[Block]:
    """One matrix a group: columns are the left nodes of the group's elements, rows the right ones.

    Where a group's elements do not go from one set of nodes to another (a graph), the matrix is the
    symmetric one of all its nodes. Elements in parallel add up.
    """
    order = {node.name: k for k, node in enumerate(wiring.nodes)}
    order.setdefault("0", len(order))
    x = {node.name: node.x for node in wiring.nodes}
    groups: dict[str, list[tuple[str, str, Link]]] = {}
    for link in wiring.elements:
        if link.name in values.final:
            first, last = link.ends
            left, right = x.get(first), x.get(last)
            if left is not None and right is not None and left > right:
                first, last = last, first
            groups.setdefault(link.group, []).append((first, last, link))
    found = []
    for group, links in groups.items():
        columns, rows = {f for f, _, _ in links}, {t for _, t, _ in links}
        symmetric = bool(columns & rows)
        if symmetric:
            columns = rows = columns | rows
        across, down = sorted(columns, key=order.__getitem__), sorted(rows, key=order.__getitem__)
        row, col = ({name: k for k, name in enumerate(names)} for names in (down, across))
        state = []
        for source in (values.initial, values.final):
            matrix = np.full((len(down), len(across)), np.nan)
            for first, last, link in links:
                for a, b in ((first, last), (last, first)) if symmetric else ((first, last),):
                    cell = row[b], col[a]
                    matrix[cell] = np.nan_to_num(matrix[cell]) + source[link.name]
            state.append(matrix)
        found.append(Block(group or "parameters", tuple(down), tuple(across), *state))
    return found


def heat_maps(wiring: Wiring, parameters: pd.DataFrame) -> Markup:
    """For each group the values before and after training, and their ratio.

    Args:
        wiring: the network.
        parameters: one row a trainable parameter.
    """
    values = Values.of(parameters)
    shown = blocks(wiring, values)[:MOST_GROUPS]
    factor, unit = scaled(list(values.final.values()), values.unit, logarithmic=True)
    low, high = (limit * factor for limit in values.limits)
    scale: Normalize = LogNorm(low, high) if 0 < low < high else Normalize(low, high)
    change = _changes(shown)
    width = (WIDTH - 1.0) / 3
    heights = [float(np.clip(width * len(b.rows) / len(b.columns), 0.8, 2.2)) for b in shown]

    def draw(figure: Figure) -> None:
        grid = figure.subplots(len(shown), 3, squeeze=False, height_ratios=heights)
        for line, block in zip(grid, shown, strict=True):
            for axes, matrix in zip(line, (block.initial, block.final), strict=False):
                _image(axes, matrix * factor, scale, "viridis", block)
            with np.errstate(divide="ignore", invalid="ignore"):
                _image(line[2], np.log10(block.final / block.initial), change, "RdBu_r", block)
            line[0].set_ylabel(f"{block.group}\nto node")
        for axes, title in zip(grid[0], ("before", "after", "change"), strict=True):
            axes.set_title(title)
        for axes in grid[-1]:
            axes.set_xlabel("from node")
        label = f"{values.name} [{unit}]" if unit else values.name
        bar = _bar(figure, grid[:, :2], ScalarMappable(scale, "viridis"), label)
        bar.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 3)))
        bar.xaxis.set_minor_formatter(NullFormatter())
        bar = _bar(figure, grid[:, 2:], ScalarMappable(change, "RdBu_r"), "after / before")
        bar.xaxis.set_major_locator(MaxNLocator(3))
        bar.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "×" + number(10**value, 2)))

    alt = "Matrices of the parameters of each group before and after training"
    return render("network", alt, sum(heights) + 0.35 * len(shown) + 1.0, draw)


def _changes(shown: list[Block]) -> Normalize:
    """A symmetric scale for decimal logarithms of the ratio."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.concatenate([np.log10(b.final / b.initial).ravel() for b in shown])
    ratios = np.abs(ratios[np.isfinite(ratios)])
    largest = float(np.percentile(ratios, 99.5)) if ratios.size else 0.0
    return Normalize(-(largest or 1.0), largest or 1.0)


def _image(axes: Axes, matrix: NDArray[np.float64], scale: Normalize, colours: str, block: Block) -> None:
    axes.set_facecolor(GRID)
    axes.imshow(matrix, norm=scale, cmap=colours, aspect="auto", interpolation="nearest")
    axes.grid(visible=False)
    axes.tick_params(length=2)
    for axis, names in ((axes.xaxis, block.columns), (axes.yaxis, block.rows)):
        if len(names) <= _NAMED:
            axis.set_ticks(range(len(names)), names, rotation=90 if axis is axes.xaxis else 0)
        else:
            axis.set_major_locator(MaxNLocator(5, integer=True))


def _bar(figure: Figure, grid: Any, colours: ScalarMappable, label: str) -> Axes:
    bar = figure.colorbar(
        colours, ax=list(np.ravel(grid)), location="bottom", aspect=40, fraction=0.05, shrink=0.7, label=label
    )
    bar.outline.set_visible(False)
    return bar.ax
