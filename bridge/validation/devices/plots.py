"""Figures of the device reports, in the look of the run reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from bridge.report.style import SERIES, WIDTH, log_axis, log_limits, render
from bridge.report.text import scaled


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        x: `(n,)`.
        y: `(n,)`.
        label: in the legend; empty for none.
        style: of matplotlib: `-`, `--`, `:`, or a mark such as `o`.
        colour: number of the colour; the next one when negative.
        axis: 1 for a curve on the right axis.
    """

    x: ArrayLike
    y: ArrayLike
    label: str = ""
    style: str = "-"
    colour: int = -1


@dataclass(frozen=True)
class Panel:
    """Axes with curves; values get SI prefixes by their units.

    Attributes:
        lines: the curves.
        x: label and unit of the horizontal axis.
        y: label and unit of the vertical axis.
        log_x: whether the horizontal axis is logarithmic.
        log_y: whether the vertical axis is logarithmic.
        title: above the axes.
    """

    lines: Sequence[Line]
    x: tuple[str, str]
    y: tuple[str, str]
    log_x: bool = False
    log_y: bool = False
    title: str = ""


def figure(name: str, alt: str, panels: Sequence[Panel], height: float = 2.7) -> Markup:
    """Panels side by side.

    Args:
        name: prefix of identifiers, unique on the page.
        alt: what is shown, for readers who do not see it.
        panels: one to three.
        height: [inch].
    """

    def draw(canvas: Figure) -> None:
        axes = canvas.subplots(1, len(panels), squeeze=False)[0]
        for place, panel in zip(axes, panels, strict=True):
            _draw(place, panel)

    return render(name, alt, height, draw, WIDTH if len(panels) > 1 else 0.6 * WIDTH)


def _draw(axes: object, panel: Panel) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    units = []
    values = []
    for pick, (label, unit) in (("x", panel.x), ("y", panel.y)):
        whole = [np.asarray(getattr(line, pick), dtype=float).ravel() for line in panel.lines]
        together = np.concatenate([np.zeros(0), *whole])
        factor, prefixed = scaled(together, unit)
        values.append([w * factor for w in whole])
        units.append(f"{label} [{prefixed}]" if prefixed else label)
    for number, line in enumerate(panel.lines):
        colour = SERIES[(number if line.colour < 0 else line.colour) % len(SERIES)]
        axes.plot(
            values[0][number], values[1][number], line.style, color=colour, markersize=3.5,
            label=line.label or None,
        )  # fmt: skip
    for axis, log, own in ((axes.xaxis, panel.log_x, values[0]), (axes.yaxis, panel.log_y, values[1])):
        limits = log_limits(np.concatenate([np.zeros(0), *own])) if log else None
        if limits is not None:
            log_axis(axis, *limits)
    axes.set(xlabel=units[0], ylabel=units[1], title=panel.title)
    if any(line.label for line in panel.lines):
        axes.legend()
