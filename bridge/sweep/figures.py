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
    ORANGE,
    PAPER,
    SERIES,
    log_axis,
    log_limits,
    render,
)
from bridge.report.text import number, quantity

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MOST_LINES = 6
"""Lines in one panel; of more combinations the mean is drawn."""

_ANNOTATED = 120  # cells of a map that still have room for their number
_BINNED = 12  # different numbers on an axis; of more the means are those of bins
_IN_BIN, _BINS = 6, 8  # points in a bin, and bins at most
# From good to bad; the page's dark and light paper both show all of it.
_COLOURS = LinearSegmentedColormap.from_list(
    "metric", ["#2f62a8", "#2389a0", "#3f9a62", "#a9962a", "#cf7a2b", "#c2502c"]
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
        name: of the key for a reader: its end, and the unit.
        unit: of the numbers.
    """

    path: str
    numeric: bool
    log: bool
    labels: tuple[str, ...]
    places: FloatArray
    name: str = ""
    unit: str = ""

    @classmethod
    def of(cls, path: str, values: pd.Series, log: bool, name: str = "", unit: str = "") -> Scale:
        """The scale of a column."""
        name = name or path
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            kept = np.unique(values.dropna().to_numpy(dtype=float))
            log = log and bool((kept > 0).all())
            return cls(path, True, log, tuple(shown(v, unit, 3) for v in kept), kept, name, unit)
        texts = list(dict.fromkeys(map(str, values)))
        return cls(path, False, False, tuple(texts), np.arange(len(texts), dtype=float), name)

    def place(self, values: pd.Series) -> FloatArray:
        """Where values stand on the axis."""
        if self.numeric:
            return values.to_numpy(dtype=float)
        return np.array([self.labels.index(str(v)) for v in values], dtype=float)

    def share(self, values: pd.Series) -> FloatArray:
        """Where values stand between 0 (first) and 1 (last)."""
        places, own = self.place(values), self.places
        if self.log:
            places, own = np.log(places), np.log(own)
        low, high = float(own.min()), float(own.max())
        return (places - low) / (high - low) if high > low else np.full(len(places), 0.5)

    def dress(self, axes: Axes) -> None:
        """Give the x axis its ticks and its name."""
        axes.set_xlabel(f"{self.name} [{self.unit}]" if self.unit else self.name)
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
    """The metric against each key, a panel a key, with the 95 % confidence band of the mean.

    A line for every combination of the other keys while they are few; its band is over the seeds. Of more
    combinations the points, the best of each value, and the mean over the points of each value (or of each
    bin of values), whose band is over these points.

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
            others = [s for s in scales if s is not scale]
            if crowded(points, scale, others):
                _crowd(axes, points, scale, rising)
            else:
                _lines(axes, points, scale, others)
            scale.dress(axes)
            if index % columns == 0:
                axes.set_ylabel(metric)
        assert first is not None
        _dress_metric(first, points)

    return render("against", f"{metric} against {', '.join(s.path for s in scales)}", 2.8 * rows, draw)


def crowded(points: pd.DataFrame, scale: Scale, others: Sequence[Scale]) -> bool:
    """Whether a key's panel shows points and their mean instead of a line for each combination."""
    if not others:
        return _bins(points, scale) is not None
    sizes = points.groupby([other.path for other in others], dropna=False).size()
    return len(sizes) > MOST_LINES or bool((sizes == 1).all() and len(scale.labels) > 1)


def binned(points: pd.DataFrame, scale: Scale) -> bool:
    """Whether the means of a crowded panel are those of bins."""
    return _bins(points, scale) is not None


def _bins(points: pd.DataFrame, scale: Scale) -> IntArray | None:
    """The bin of each point on an axis with too many numbers, of equal widths on it; else `None`."""
    if not scale.numeric or len(scale.labels) <= _BINNED or len(points) >= 3 * len(scale.labels):
        return None
    many = int(np.clip(len(points) // _IN_BIN, 1, _BINS))
    found: IntArray = np.minimum((scale.share(points[scale.path]) * many).astype(np.int64), many - 1)
    return found


def means(points: pd.DataFrame, scale: Scale) -> pd.DataFrame:
    """The mean over the points of each value of a key, or of each bin of values.

    A point counts as the mean over its seeds. So points with other values of the other keys are the sample,
    and not the runs, which are alike within a point.

    Args:
        points: one row a point.
        scale: of the key.

    Returns:
        One row a value, in their order: `place` on the axis, `mean`, `half` (of the 95 % confidence interval;
        NaN for one point), `n` points.
    """
    place = scale.place(points[scale.path])
    bins = _bins(points, scale)
    middle = np.log(place) if scale.log else place
    found = pd.DataFrame({"place": middle, "mean": points["mean"].to_numpy(dtype=float)})
    grouped = found.groupby(place if bins is None else bins, sort=True)
    table = grouped.agg(
        place=("place", "mean"), mean=("mean", "mean"), deviation=("mean", "std"), n=("mean", "size")
    )
    if scale.log:
        table["place"] = np.exp(table["place"])
    half = half_width(table["deviation"].to_numpy(dtype=float), table["n"].to_numpy(dtype=float))
    return table.assign(half=half).drop(columns="deviation").reset_index(drop=True)


def _dress_metric(axes: Axes, points: pd.DataFrame) -> None:
    means = points["mean"].to_numpy(dtype=float)
    limits = log_limits(means)
    if limits is not None and means.max() / means.min() > 20:
        log_axis(axes.yaxis, *limits)
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 3)))


def _crowd(axes: Axes, points: pd.DataFrame, scale: Scale, rising: bool) -> None:
    placed = points.assign(place=scale.place(points[scale.path]))
    aside = np.zeros(len(points)) if scale.numeric else 0.05 * (np.arange(len(points)) % 7 - 3)
    axes.scatter(placed["place"] + aside, points["mean"], s=9, color=MUTED, alpha=0.5, lw=0)
    table = means(points, scale)
    x, mean, half = (table[c].to_numpy(dtype=float) for c in ("place", "mean", "half"))
    _band(axes, scale, x, mean, half, BLUE, "mean")
    groups = placed.groupby("place")["mean"]
    best = placed.loc[groups.idxmax() if rising else groups.idxmin()]
    if _bins(points, scale) is None:
        style = "--" if scale.numeric else "none"
        axes.plot(
            best["place"], best["mean"], ls=style, marker="o", ms=2.5, lw=0.8, color=ORANGE, label="best"
        )
    _legend(axes)


def _lines(axes: Axes, points: pd.DataFrame, scale: Scale, others: Sequence[Scale]) -> None:
    groups: list[tuple[Any, pd.DataFrame]] = [((), points)]
    if others:
        groups = list(points.groupby([other.path for other in others], sort=False, dropna=False))
    for k, ((key, part), colour) in enumerate(zip(groups, SERIES, strict=False)):
        x = scale.place(part[scale.path])
        order = np.argsort(x, kind="stable")
        mean, n = part["mean"].to_numpy(dtype=float)[order], part["n"].to_numpy(dtype=float)[order]
        half = half_width(part["deviation"].to_numpy(dtype=float)[order], n)
        label = ", ".join(f"{s.name} {_shown(v, s.unit)}" for s, v in zip(others, key, strict=True))
        _band(axes, scale, x[order], mean, half, colour, label, (k, len(groups)))
    if others:
        _legend(axes)


def _band(
    axes: Axes, scale: Scale, x: FloatArray, mean: FloatArray, half: FloatArray, colour: str, label: str,
    of: tuple[int, int] = (0, 1),
) -> None:  # fmt: skip
    """A mean and its interval: a line with a band over numbers, bars side by side over words."""
    if scale.numeric:
        axes.plot(x, mean, marker="o", markersize=3.5, color=colour, label=label or None)
        axes.fill_between(x, mean - half, mean + half, color=colour, alpha=0.18, lw=0)
        if len(x) == 1:
            axes.errorbar(x, mean, np.nan_to_num(half), color=colour, lw=0.9)
        return
    place, many = of
    width = 0.7 / many
    middle = x + width * (place - (many - 1) / 2)
    axes.bar(
        middle, 2 * np.nan_to_num(half), 0.9 * width, mean - np.nan_to_num(half), color=colour, alpha=0.18
    )
    reach = 0.45 * width
    axes.hlines(mean, middle - reach, middle + reach, color=colour, lw=1.4, label=label)


def _legend(axes: Axes) -> None:
    """Above the axes, where it covers nothing."""
    labels = axes.get_legend_handles_labels()[1]
    longest = max(map(len, labels), default=0)
    columns = int(np.clip(60 // (longest + 6), 1, 3))
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, columnspacing=1.2)


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
        axes.set_ylabel(f"{up.name} [{up.unit}]" if up.unit else up.name)
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
    axes.set_xlabel(across.name)
    if grid.size <= _ANNOTATED:
        for (y, x), value in np.ndenumerate(grid):
            if np.isfinite(value):
                dark = float(norm(value)) < 0.35 if colours.name == "metric" else float(norm(value)) > 0.65
                text = number(value, 3)
                axes.text(
                    x, y, text, ha="center", va="center", fontsize=7, color="#ffffff" if dark else "#111111"
                )


def parallel(points: pd.DataFrame, scales: Sequence[Scale], metric: str, rising: bool) -> Markup:
    """Parallel coordinates: an axis a key and one for the metric, a line a point, coloured by its mean.

    Lines through the same value stand beside each other there, in the order of the metric.

    Args:
        points: one row a point.
        scales: of the swept keys.
        metric: its name.
        rising: whether more is better.
    """
    colours, norm = _colours(rising), _norm(points["mean"])
    ordered = points.sort_values("mean", ascending=rising, kind="stable")  # the best ones on top
    ends = np.array([norm.vmin, norm.vmax], dtype=float)
    label = f"mean {metric}" if (points["n"] > 1).any() else metric
    last = Scale(metric, True, isinstance(norm, LogNorm), (), ends, label)
    heights = np.stack([*(_apart(s, ordered[s.path]) for s in scales), last.share(ordered["mean"])], axis=1)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        every = [*scales, last]
        places = np.arange(len(every), dtype=float)
        lines = [np.column_stack([places, line]) for line in heights]
        width, alpha = (1.4, 0.9) if len(lines) < 60 else (0.9, 0.7) if len(lines) < 300 else (0.6, 0.45)
        found = LineCollection(lines, colors=colours(norm(ordered["mean"])), linewidths=width, alpha=alpha)
        axes.add_collection(found)
        axes.set(xlim=(-0.35, len(every) - 0.75), ylim=(-0.06, 1.06), yticks=[])
        axes.set_xticks(places, [_short(scale.name, 30) for scale in every])
        axes.grid(False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        for place, scale in zip(places, every, strict=True):
            axes.axvline(place, color=MUTED, lw=0.8)
            right = scale is last
            for label, height in _marks(scale):
                box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
                aside, align = (0.025, "left") if right else (-0.025, "right")
                text = axes.text(place + aside, height, _short(label), ha=align, va="center", bbox=box)
                text.set(fontsize=7, color=INK, zorder=3)

    return render("parallel", f"{metric} of each point over all keys", 3.6, draw)


def _apart(scale: Scale, values: pd.Series) -> FloatArray:
    """Heights on an axis of parallel coordinates; equal values spread a little, in their order."""
    height = scale.share(values)
    if len(scale.labels) > _BINNED:
        return height
    every = scale.share(pd.Series(scale.places if scale.numeric else list(scale.labels)))
    reach = min(0.12, 0.35 * float(np.diff(np.sort(every)).min(initial=1.0)))
    place = pd.Series(height)
    turn = place.groupby(place).cumcount().to_numpy(dtype=float)
    many = place.groupby(place).transform("size").to_numpy(dtype=float)
    moved: FloatArray = height + reach * np.where(many > 1, turn / np.maximum(many - 1, 1) - 0.5, 0.0)
    return moved


def _marks(scale: Scale) -> list[tuple[str, float]]:
    """Labels of an axis of parallel coordinates and their heights."""
    if scale.labels and len(scale.labels) <= _BINNED:
        values = pd.Series(scale.places if scale.numeric else list(scale.labels))
        return list(zip(scale.labels, scale.share(values), strict=True))
    low, high = float(scale.places.min()), float(scale.places.max())
    ticks = np.geomspace(low, high, 5) if scale.log else np.linspace(low, high, 5)
    return [
        (shown(v, scale.unit, 3), float(h)) for v, h in zip(ticks, scale.share(pd.Series(ticks)), strict=True)
    ]


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


def shown(value: Any, unit: str, digits: int = 4) -> str:
    """A value of a key: with a prefix where it has a unit."""
    return quantity(value, unit, digits) if unit else number(value, digits)


def _shown(value: Any, unit: str) -> str:
    return _short(value if isinstance(value, str) else str(value) if _truth(value) else shown(value, unit, 3))


def _truth(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


def _short(text: str, most: int = 18) -> str:
    return text if len(text) <= most else "…" + text[1 - most :]


def names(paths: Sequence[str]) -> dict[str, str]:
    """The shortest ends of keys by which they differ."""
    found = {}
    for path in paths:
        parts = path.split(".")
        ends = (".".join(parts[-k:]) for k in range(1, len(parts) + 1))
        found[path] = next(e for e in ends if sum(f".{p}".endswith(f".{e}") for p in paths) == 1)
    return found


def scales(plan: Mapping[str, Any], table: pd.DataFrame) -> list[Scale]:
    """The scales of the keys that take more than one value."""
    called = names([axis["path"] for axis in plan["axes"]])
    found = [
        Scale.of(path, table[path], bool(axis["log"]), called[path], axis.get("unit", ""))
        for axis in plan["axes"]
        for path in [axis["path"]]
    ]
    return [scale for scale in found if len(scale.labels) > 1]
