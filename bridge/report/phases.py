"""Figures of one sample: node voltages in the free phase, and what the nudge changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from bridge.report.data import Wiring
from bridge.report.figures import column
from bridge.report.style import BLUE, GRID, INK, MUTED, ORANGE, SERIES, render
from bridge.report.text import number, scaled

MOST_ROWS = 36
TRACES = 5
_ORDER = {"input": 0, "bias": 1, "internal": 2, "hidden": 3, "output": 4}
FREE, PLUS, MINUS = "free", "nudged_plus", "nudged_minus"


def chosen_nodes(voltages: pd.DataFrame, wiring: Wiring | None) -> pd.DataFrame:
    """The nodes to show: all of a small network; else the outputs and those that the nudge moved most.

    Args:
        voltages: columns node, free, nudged_plus, nudged_minus [V].
        wiring: the network, for the nodes' roles.

    Returns:
        Some of the rows, inputs first and outputs last, with their role in column `role`.
    """
    roles = wiring.roles if wiring else {}
    frame = voltages.assign(role=[roles.get(str(node), "hidden") for node in voltages["node"]])
    if len(frame) > MOST_ROWS:
        frame = frame[~frame["role"].isin(["input", "bias", "internal"])]
    if len(frame) > MOST_ROWS:
        moved = np.abs(column(frame, PLUS) - column(frame, MINUS))
        rank = np.lexsort((-moved, frame["role"] != "output"))
        frame = frame.iloc[np.sort(rank[:MOST_ROWS])]
    order = np.argsort([_ORDER.get(role, 3) for role in frame["role"]], kind="stable")
    return frame.iloc[order].reset_index(drop=True)


def operating_points(frame: pd.DataFrame) -> Markup:
    """Node voltages in the free phase, and beside them the displacement of both nudged phases.

    Args:
        frame: rows of `chosen_nodes`.
    """
    free, plus, minus = (column(frame, name) for name in (FREE, PLUS, MINUS))
    rows = np.arange(len(frame))

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        factor, unit = scaled(free, "V")
        colours = [INK if role == "output" else MUTED for role in frame["role"]]
        left.hlines(rows, 0, free * factor, color=GRID, linewidth=1.6)
        left.scatter(free * factor, rows, s=14, color=colours, zorder=3)
        left.set(xlabel=f"free phase [{unit}]")
        moved = np.stack([plus - free, minus - free])
        factor, unit = scaled(moved, "V")
        right.hlines(rows, *(moved * factor), color=GRID, linewidth=1.6)
        right.scatter(moved[0] * factor, rows, s=16, color=BLUE, zorder=3, label="nudged by +β")
        right.scatter(
            moved[1] * factor, rows, s=14, facecolor="none", edgecolor=ORANGE, zorder=3, label="nudged by −β"
        )
        right.set(xlabel=f"nudged − free [{unit}]")
        small = linear_below(moved)
        if small:
            _signed_log(right, small * factor, float(np.nanmax(np.abs(moved))) * factor)
        right.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, handletextpad=0.2)
        left.set_yticks(rows, [f"v({node})" for node in frame["node"]])
        left.set_ylim(len(frame) - 0.4, -0.6)
        left.tick_params(axis="y", length=0)
        right.tick_params(axis="y", length=0, labelleft=False)
        ends = np.flatnonzero([a != b for a, b in zip(frame["role"], frame["role"][1:], strict=False)])
        for axes in (left, right):
            axes.grid(visible=False, axis="y")
            axes.axvline(0, color=MUTED, linewidth=0.6)
            axes.spines["left"].set_visible(False)
            for end in ends:
                axes.axhline(end + 0.5, color=MUTED, linewidth=0.5, linestyle=(0, (1, 3)))

    alt = "Node voltages of one sample in the free phase and their displacement by the nudge"
    return render("phases", alt, 0.75 + 0.165 * len(frame), draw)


def linear_below(moved: NDArray[np.float64]) -> float | None:
    """Displacement [V] below which a scale is linear and above logarithmic, if one is needed.

    Args:
        moved: displacements of any shape [V].

    Returns:
        A power of ten, or `None` where a linear scale shows most of the displacements.
    """
    sizes = np.abs(moved[np.isfinite(moved) & (moved != 0)])
    if not sizes.size or sizes.max() < 15 * np.median(sizes):
        return None
    lowest = max(float(np.percentile(sizes, 25)), 1e-4 * float(sizes.max()))
    return float(10.0 ** np.floor(np.log10(lowest)))


def _signed_log(axes: Axes, small: float, most: float) -> None:
    """A logarithmic x axis in both directions, linear between `-small` and `small`."""
    axes.set_xscale("symlog", linthresh=small, linscale=0.4)
    powers = [small * 10.0**k for k in range(6) if small * 10.0**k <= most * 1.001]
    axes.xaxis.set_major_locator(FixedLocator([*(-p for p in powers), 0.0, *powers]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 3)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(-1.6 * most, 1.6 * most)


@dataclass(frozen=True)
class Traces:
    """Signals of three phases on the time points of the free phase.

    Attributes:
        time: `(n_times,)` [s] from the start of the phase.
        names: names of the signals.
        free: `(n_signals, n_times)` [V].
        moved: nudged minus free, `(2, n_signals, n_times)` [V], nudged by +beta first.
        interpolated: whether the nudged phases had other time points.
    """

    time: NDArray[np.float64]
    names: tuple[str, ...]
    free: NDArray[np.float64]
    moved: NDArray[np.float64]
    interpolated: bool

    def strongest(self, most: int) -> Traces:
        """The signals that the nudge moved most, in their order."""
        size = np.abs(self.moved).mean(axis=(0, 2))
        keep = np.sort(np.argsort(-size, kind="stable")[:most])
        names = tuple(self.names[k] for k in keep)
        return Traces(self.time, names, self.free[keep], self.moved[:, keep], self.interpolated)


def traces(waveforms: pd.DataFrame, signals: Mapping[str, tuple[str, str]]) -> Traces | None:
    """Take signals out of a table of waveforms.

    Args:
        waveforms: columns time [s], phase and one a node [V].
        signals: for each name the plus and the minus node; ground is `0`.

    Returns:
        The signals, or `None` where a phase or every signal is missing.
    """
    phases = {str(name): rows for name, rows in waveforms.groupby("phase", sort=False)}
    pairs = {
        name: pair
        for name, pair in signals.items()
        if pair[0] in waveforms and (pair[1] == "0" or pair[1] in waveforms)
    }
    if not {FREE, PLUS, MINUS} <= set(phases) or not pairs:
        return None

    def values(phase: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows = phases[phase]
        time = column(rows, "time")
        data = [column(rows, p) - (0.0 if m == "0" else column(rows, m)) for p, m in pairs.values()]
        return time - time[0], np.stack(data)

    time, free = values(FREE)
    moved, interpolated = [], False
    for phase in (PLUS, MINUS):
        own, nudged = values(phase)
        if not np.array_equal(own, time):
            interpolated = True
            nudged = np.stack([np.interp(time, own, row) for row in nudged])
        moved.append(nudged - free)
    return Traces(time, tuple(pairs), free, np.stack(moved), interpolated)


def transients(outputs: Traces, hidden: Traces | None) -> Markup:
    """Waveforms of outputs and some hidden nodes; below them what the nudge changed, on its own scale."""
    parts = [("outputs", outputs.strongest(TRACES))]
    if hidden is not None:
        parts.append(("hidden nodes", hidden.strongest(TRACES)))

    def draw(figure: Figure) -> None:
        grid = figure.subplots(2, len(parts), sharex=True, squeeze=False)
        for index, (title, part) in enumerate(parts):
            _pair(grid[0, index], grid[1, index], part, title)

    return render("phases", "Waveforms of one sample in the free and the nudged phases", 4.2, draw)


def _pair(above: Axes, below: Axes, part: Traces, title: str) -> None:
    per_second, time_unit = scaled(part.time, "s")
    per_volt, unit = scaled(part.free, "V")
    small, small_unit = scaled(part.moved, "V")
    handles: list[Any] = []
    for k, name in enumerate(part.names):
        colour = SERIES[k % len(SERIES)]
        time = part.time * per_second
        handles += above.plot(time, part.free[k] * per_volt, color=colour, linewidth=1.1, label=name)
        above.plot(
            time, (part.free[k] + part.moved[0, k]) * per_volt,
            color=INK, linewidth=0.7, linestyle=(0, (2, 4)),
        )  # fmt: skip
        below.plot(time, part.moved[0, k] * small, color=colour, linewidth=1.1)
        below.plot(time, part.moved[1, k] * small, color=colour, linewidth=1.1, linestyle=(0, (4, 2)))
    above.set_title(title, pad=6 + 11 * -(-len(handles) // 3))
    above.legend(
        handles, list(part.names), loc="lower left", bbox_to_anchor=(0, 1), ncols=3,
        columnspacing=1.0, handletextpad=0.4,
    )  # fmt: skip
    below.legend(
        [Line2D([], [], color=INK), Line2D([], [], color=INK, linestyle=(0, (4, 2)))],
        ["nudged by +β", "nudged by −β"], loc="lower left", bbox_to_anchor=(0, 1), ncols=2,
    )  # fmt: skip
    above.set(ylabel=f"voltage [{unit}]")
    below.set(xlabel=f"time [{time_unit}]", ylabel=f"nudged − free [{small_unit}]")
    for axes in (above, below):
        axes.margins(x=0)
        axes.axhline(0, color=MUTED, linewidth=0.5, zorder=1)
