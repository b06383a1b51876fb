"""Figures of a sweep: the metric against each key, a map of two, parallel coordinates of more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray
from scipy.stats import t as student

from bridge.report.style import (
    BLUE,
    INK,
    MUTED,
    PAPER,
    SERIES,
    log_axis,
    log_limits,
    render,
)
from bridge.report.text import number

FloatArray = NDArray[np.float64]

MOST_LINES = 6
"""Lines in one panel; of more combinations only the best is drawn."""

_ANNOTATED = 120  # cells of a map that still have room for their number
# From good to bad; the page's dark and light paper both show all of it.
_COLOURS = LinearSegmentedColormap.from_list(
    "metric", ["#1d4e89", "#3f8fb5", "#9cc9c1", "#ecd9a0", "#d98c4a"]
)


@dataclass(frozen=True)
class Scale:
    """How the values of one key are placed on an axis.

    Attributes:
        path: the key.
        numeric: whether they are numbers; else they stand side by side in their order.
        log: whether the axis is logarithmic.
        labels: the different values in their order, as text.
        places: where each of them stands, `(n_values,)`.
    """

    path: str
    numeric: bool
    log: bool
    labels: tuple[str, ...]
    places: FloatArray

    @classmethod
    def of(cls, path: str, values: pd.Series, log: bool) -> Scale:
        """The scale of a column."""
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            kept = np.unique(values.dropna().to_numpy(dtype=float))
            log = log and bool((kept > 0).all())
            return cls(path, True, log, tuple(number(v, 3) for v in kept), kept)
        texts = list(dict.fromkeys(map(str, values)))
        return cls(path, False, False, tuple(texts), np.arange(len(texts), dtype=float))

    def place(self, values: pd.Series) -> FloatArray:
        """Where values stand on the axis."""
        if self.numeric:
            return values.to_numpy(dtype=float)
        return np.array([self.labels.index(str(v)) for v in values], dtype=float)

    def unit(self, values: pd.Series) -> FloatArray:
        """Where values stand between 0 (first) and 1 (last)."""
        places, own = self.place(values), self.places
        if self.log:
            places, own = np.log(places), np.log(own)
        low, high = float(own.min()), float(own.max())
        return (places - low) / (high - low) if high > low else np.full(len(places), 0.5)

    def dress(self, axes: Axes) -> None:
        """Give the x axis its ticks and its name."""
        axes.set_xlabel(self.path)
        limits = log_limits(self.places) if self.log else None
        if limits is not None:
            log_axis(axes.xaxis, *limits)
        elif not self.numeric:
            axes.set_xticks(self.places, [_short(label) for label in self.labels])
            axes.set_xlim(-0.5, len(self.labels) - 0.5)
        else:
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 3)))


def half_width(deviation: FloatArray, n: FloatArray, level: float = 0.95) -> FloatArray:
    """Half the confidence interval of a mean by Student's t: `t s / sqrt(n)`; NaN for one value.

    Args:
        deviation: of the sample, any shape.
        n: size of the sample, same shape.
        level: of confidence.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = student.ppf(0.5 + level / 2, np.maximum(n - 1, 1)) / np.sqrt(n)
        found: FloatArray = np.where(n > 1, factor * deviation, np.nan)
    return found


def against(points: pd.DataFrame, scales: Sequence[Scale], metric: str, rising: bool) -> Markup:
    """The metric against each key, a panel a key.

    A line for every combination of the other keys while they are few, with the confidence band of the mean
    over the seeds; of more combinations the points and a line through the best ones.

    Args:
        points: one row a point, see `Sweep.points`.
        scales: of the swept keys.
        metric: its name.
        rising: whether more is better.
    """
    columns = min(2, len(scales))
    rows = -(-len(scales) // columns)

    def draw(figure: Figure) -> None:
        first: Axes | None = None
        for index, scale in enumerate(scales):
            axes = figure.add_subplot(rows, columns, index + 1, sharey=first)
            first = first or axes
            _panel(axes, points, scale, [s for s in scales if s is not scale], rising)
            scale.dress(axes)
            if index % columns == 0:
                axes.set_ylabel(metric)
        assert first is not None
        _dress_metric(first, points)

    return render("against", f"{metric} against {', '.join(s.path for s in scales)}", 2.6 * rows, draw)


def crowded(points: pd.DataFrame, scale: Scale, others: Sequence[Scale]) -> bool:
    """Whether a key's panel shows points instead of a line for each combination of the other keys."""
    if not others:
        return False
    sizes = points.groupby([other.path for other in others], dropna=False).size()
    return len(sizes) > MOST_LINES or bool((sizes == 1).all() and len(scale.labels) > 1)


def _dress_metric(axes: Axes, points: pd.DataFrame) -> None:
    means = points["mean"].to_numpy(dtype=float)
    limits = log_limits(means)
    if limits is not None and means.max() / means.min() > 20:
        log_axis(axes.yaxis, *limits)
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 3)))


def _panel(axes: Axes, points: pd.DataFrame, scale: Scale, others: Sequence[Scale], rising: bool) -> None:
    names = [other.path for other in others]
    groups: list[tuple[Any, pd.DataFrame]] = [((), points)]
    if names:
        groups = list(points.groupby(names, sort=False, dropna=False))
    if crowded(points, scale, others):
        axes.scatter(scale.place(points[scale.path]), points["mean"], s=9, color=MUTED, alpha=0.6, lw=0)
        placed = points.assign(place=scale.place(points[scale.path]))
        groups_at = placed.groupby("place")["mean"]
        best = placed.loc[groups_at.idxmax() if rising else groups_at.idxmin()]
        if len(best) <= max(len(points) // 2, 1):
            x, mean = best["place"].to_numpy(dtype=float), best["mean"].to_numpy(dtype=float)
            half = half_width(best["deviation"].to_numpy(dtype=float), best["n"].to_numpy(dtype=float))
            axes.errorbar(
                x, mean, np.nan_to_num(half), color=BLUE, label="best", fmt="-o", ms=3, elinewidth=0.9
            )
            axes.legend(loc="best")
        return
    for k, ((key, part), colour) in enumerate(zip(groups, SERIES, strict=False)):
        x = scale.place(part[scale.path])
        order = np.argsort(x, kind="stable")
        mean, n = part["mean"].to_numpy(dtype=float)[order], part["n"].to_numpy(dtype=float)[order]
        half = half_width(part["deviation"].to_numpy(dtype=float)[order], n)
        label = ", ".join(f"{_last(s.path)} {_shown(v)}" for s, v in zip(others, key, strict=True))
        if scale.numeric:
            axes.plot(x[order], mean, marker="o", markersize=3.5, color=colour, label=label or None)
            axes.fill_between(x[order], mean - half, mean + half, color=colour, alpha=0.16, lw=0)
        else:  # side by side, so that the intervals do not hide each other
            beside = x[order] + 0.1 * (k - (len(groups) - 1) / 2)
            half = np.nan_to_num(half)
            axes.errorbar(beside, mean, half, fmt="o", ms=3.5, color=colour, lw=0.9, label=label or None)
    if names:
        axes.legend(loc="best")


def heat_map(points: pd.DataFrame, scales: Sequence[Scale], metric: str, rising: bool) -> Markup:
    """The mean of the metric over two keys: cells of a grid, or coloured points where it is none.

    Args:
        points: one row a point.
        scales: of the two keys.
        metric: its name.
        rising: whether more is better.
    """
    across, up = scales
    cells = len(across.labels) * len(up.labels)
    colours, norm = _colours(rising), _norm(points["mean"])

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        if 2 * len(points) >= cells:
            _cells(axes, points, across, up, norm, colours)
        else:
            axes.scatter(
                across.place(points[across.path]), up.place(points[up.path]), c=points["mean"], cmap=colours,
                norm=norm, s=42, edgecolors=INK, linewidths=0.4,
            )  # fmt: skip
            across.dress(axes)
            if up.log and (limits := log_limits(up.places)):
                log_axis(axes.yaxis, *limits)
            elif not up.numeric:
                axes.set_yticks(up.places, [_short(label) for label in up.labels])
        axes.set_ylabel(up.path)
        _bar(figure, axes, norm, colours, metric)

    height = 3.2 if 2 * len(points) < cells else min(5.0, 1.3 + 0.42 * len(up.labels))
    return render("map", f"{metric} over {across.path} and {up.path}", height, draw)


def _cells(axes: Axes, points: pd.DataFrame, across: Scale, up: Scale, norm: Normalize, colours: Any) -> None:
    grid = np.full((len(up.labels), len(across.labels)), np.nan)
    column = np.searchsorted(across.places, across.place(points[across.path]))
    row = np.searchsorted(up.places, up.place(points[up.path]))
    grid[row, column] = points["mean"]
    axes.imshow(np.ma.masked_invalid(grid), cmap=colours, norm=norm, aspect="auto", origin="lower")
    axes.grid(False)
    axes.set_xticks(range(len(across.labels)), [_short(label) for label in across.labels])
    axes.set_yticks(range(len(up.labels)), [_short(label) for label in up.labels])
    axes.set_xlabel(across.path)
    if grid.size <= _ANNOTATED:
        for (y, x), value in np.ndenumerate(grid):
            if np.isfinite(value):
                dark = float(norm(value)) < 0.35 if colours.name == "metric" else float(norm(value)) > 0.65
                text = number(value, 3)
                axes.text(
                    x, y, text, ha="center", va="center", fontsize=7, color="#ffffff" if dark else "#111111"
                )


def parallel(points: pd.DataFrame, scales: Sequence[Scale], metric: str, rising: bool) -> Markup:
    """Parallel coordinates: an axis a key, a line a point, coloured by the mean of the metric.

    Args:
        points: one row a point.
        scales: of the swept keys.
        metric: its name.
        rising: whether more is better.
    """
    colours, norm = _colours(rising), _norm(points["mean"])
    ordered = points.sort_values("mean", ascending=rising, kind="stable")  # the best ones on top
    heights = np.stack([scale.unit(ordered[scale.path]) for scale in scales], axis=1)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        places = np.arange(len(scales), dtype=float)
        lines = [np.column_stack([places, line]) for line in heights]
        width = 1.6 if len(lines) < 100 else 0.7
        found = LineCollection(lines, colors=colours(norm(ordered["mean"])), linewidths=width, alpha=0.9)
        axes.add_collection(found)
        axes.set(xlim=(-0.35, len(scales) - 0.55), ylim=(-0.06, 1.06), yticks=[])
        axes.set_xticks(places, [_short(scale.path, 30) for scale in scales])
        axes.grid(False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        for place, scale in zip(places, scales, strict=True):
            axes.axvline(place, color=MUTED, lw=0.8)
            values = pd.Series(scale.places if scale.numeric else list(scale.labels))
            step = max(1, -(-len(values) // 8))
            for label, height in list(zip(scale.labels, scale.unit(values), strict=True))[::step]:
                box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
                text = axes.text(place - 0.025, height, _short(label), ha="right", va="center", bbox=box)
                text.set(fontsize=7, color=INK, zorder=3)
        _bar(figure, axes, norm, colours, metric)

    return render("parallel", f"{metric} of each point over all keys", 3.4, draw)


def _colours(rising: bool) -> Any:
    return _COLOURS.reversed() if rising else _COLOURS


def _norm(means: pd.Series) -> Normalize:
    low, high = float(means.min()), float(means.max())
    return (
        LogNorm(low, high) if low > 0 and high / low > 20 else Normalize(low, high if high > low else low + 1)
    )


def _bar(figure: Figure, axes: Axes, norm: Normalize, colours: Any, metric: str) -> None:
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, fraction=0.035, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label(metric)
    if isinstance(norm, LogNorm):
        assert norm.vmin is not None
        assert norm.vmax is not None
        log_axis(bar.ax.yaxis, norm.vmin, norm.vmax)
    else:
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 3)))
    bar.ax.grid(False)


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _shown(value: Any) -> str:
    return _short(value if isinstance(value, str) else number(value, 3))


def _short(text: str, most: int = 18) -> str:
    return text if len(text) <= most else "…" + text[1 - most :]


def scales(plan: Mapping[str, Any], table: pd.DataFrame) -> list[Scale]:
    """The scales of the keys that take more than one value."""
    found = [Scale.of(axis["path"], table[axis["path"]], bool(axis["log"])) for axis in plan["axes"]]
    return [scale for scale in found if len(scale.labels) > 1]
