"""Drawing of the network as a person would sketch it, before and after training."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from bridge.report import symbols
from bridge.report.data import Link, Wiring
from bridge.report.figures import column
from bridge.report.layout import SOURCES, crowd, hooks, places
from bridge.report.style import BLUE, MUTED, PAPER, WIDTH, render
from bridge.report.text import number, scaled

MOST_BRANCHES = 400
_GAP = 0.35
_SIDE_MARGIN = 0.62
_KEY = 0.42
_ROLES = (
    ("output", "output", 0.6),
    ("hidden", "node", 0.58),
    ("bias", "bias", 0.54),
    ("input", "input", 0.6),
)


@dataclass(frozen=True)
class Values:
    """Values of the elements that learn, by name, in one unit.

    Attributes:
        name: what the values are, for labels.
        unit: the unit.
        initial: before training.
        final: after training.
    """

    name: str
    unit: str
    initial: dict[str, float]
    final: dict[str, float]

    @classmethod
    def of(cls, parameters: pd.DataFrame) -> Values:
        """The parameters of the unit that most of them have; the first one of each element."""
        unit = str(parameters["unit"].value_counts().index[0])
        rows = parameters[parameters["unit"] == unit].drop_duplicates("element")
        names = [str(name) for name in rows["element"]]
        kinds = list(dict.fromkeys(str(name) for name in rows["parameter"]))
        return cls(
            kinds[0].replace("_", " ") if len(kinds) == 1 else "value",
            unit,
            dict(zip(names, column(rows, "initial").tolist(), strict=True)),
            dict(zip(names, column(rows, "final").tolist(), strict=True)),
        )

    def level(self, value: float) -> float:
        """Where a value is between the smallest and the largest, 0 to 1, in their logarithms if positive."""
        low, high = self.limits
        if low > 0:
            value, low, high = np.log10([value, low, high])
        return float(np.clip((value - low) / (high - low), 0, 1)) if high > low else 0.5

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest value before or after training, without the outermost percent."""
        everything = np.array([*self.initial.values(), *self.final.values()])
        low, high = np.percentile(everything[np.isfinite(everything)], [0.5, 99.5])
        return float(low), float(high)


def branches(wiring: Wiring, where: dict[str, tuple[float, float]]) -> list[Link]:
    """Elements between two nodes that have a place, sources left out."""
    return [
        link for link in wiring.elements
        if link.kind not in SOURCES and len({*link.ends} & where.keys()) == 2
    ]  # fmt: skip


def left_out(wiring: Wiring) -> str:
    """What the drawing does not show, in words; empty if it shows everything but the sources."""
    where = places(wiring)
    shown = {link.name for link in branches(wiring, where)}
    shown |= {link.name for links in hooks(wiring, where).values() for link in links}
    kinds = Counter(e.kind for e in wiring.elements if e.name not in shown and e.kind not in SOURCES)
    return ", ".join(f"{n} {kind.replace('_', ' ')}{'s' if n > 1 else ''}" for kind, n in kinds.items())


def sketch(wiring: Wiring, parameters: pd.DataFrame) -> Markup:
    """The network twice, before and after training: width and strength of a line show its value.

    Args:
        wiring: the network, of at most `MOST_BRANCHES` branches.
        parameters: one row a trainable parameter.
    """
    where = places(wiring)
    values = Values.of(parameters)
    rows, _ = crowd(where)
    height = float(np.clip(0.52 * rows, 1.7, 5.4)) if rows > 2 else 3.4
    panel = (WIDTH - _GAP) / 2
    spacing = crowd({name: (x, y * height) for name, (x, y) in where.items()})[1] if rows > 2 else 0.4

    def draw(figure: Figure) -> None:
        figure.set_layout_engine("none")
        total = height + 0.95 + _KEY
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(0, total))
        axes.set_axis_off()
        for index, (title, state) in enumerate((("before", values.initial), ("after", values.final))):
            left = index * (panel + _GAP)
            at = {
                name: (
                    left + _SIDE_MARGIN + x * (panel - 2 * _SIDE_MARGIN),
                    _KEY + 0.45 + y * height,
                )
                for name, (x, y) in where.items()
            }
            axes.text(left, total - 0.02, title, va="top", fontsize=8.5)
            _weights(axes, wiring, at, values, state)
            _parts(axes, wiring, at, min(0.085, 0.2 * spacing))
            _names(axes, wiring, at, spacing)
        _key(axes, wiring, values)

    return render("network", "The network before and after training", height + 0.95 + _KEY, draw)


def _stroke(level: float) -> tuple[float, tuple[float, float, float, float]]:
    """Line width [pt] and colour of a level between 0 and 1."""
    return 0.45 + 2.25 * level**1.3, to_rgba(BLUE, 0.25 + 0.75 * level)


def _weights(
    axes: Axes,
    wiring: Wiring,
    at: dict[str, tuple[float, float]],
    values: Values,
    state: dict[str, float],
) -> None:
    known = [link for link in branches(wiring, at) if np.isfinite(state.get(link.name, np.nan))]
    known.sort(key=lambda link: state[link.name])
    strokes = [_stroke(values.level(state[link.name])) for link in known]
    lines = [[at[node] for node in link.ends] for link in known]
    axes.add_collection(
        LineCollection(lines, linewidths=[w for w, _ in strokes], colors=[c for _, c in strokes], zorder=2)
    )
    fixed = [link for link in branches(wiring, at) if link.name not in state and link.kind == "resistor"]
    axes.add_collection(
        LineCollection(
            [[at[node] for node in link.ends] for link in fixed],
            linewidths=0.6,
            colors=MUTED,
            linestyles=[(0, (3, 2))],
            zorder=2,
        )
    )


def _parts(axes: Axes, wiring: Wiring, at: dict[str, tuple[float, float]], size: float) -> None:
    for link in wiring.elements:
        ends = [at.get(node) for node in link.ends]
        if link.kind == "amplifier" and ends[0]:
            x, y = ends[0]
            symbols.amplifier(axes, (x, y), ends[1] or (x + 3 * size, y), size)
        elif link.kind not in SOURCES | {"resistor"} and ends[0] and ends[-1]:
            symbols.branch(axes, link.kind, ends[0], ends[-1], size)
    for name, links in hooks(wiring, at).items():
        down = sum(link.nodes[0] == name for link in links)
        symbols.clamp(axes, at[name], down, len(links) - down, size)
    for node in wiring.nodes:
        if node.name in at:
            symbols.node(axes, at[node.name], node.role, min(0.055, 0.3 * size + 0.03))


def _names(axes: Axes, wiring: Wiring, at: dict[str, tuple[float, float]], spacing: float) -> None:
    if not at:
        return
    left, right = min(x for x, _ in at.values()), max(x for x, _ in at.values())
    size = float(np.clip(40 * spacing, 4.5, 7.0))
    for node in wiring.nodes:
        if node.name not in at:
            continue
        x, y = at[node.name]
        if abs(x - left) < 0.05 and node.role in ("input", "bias"):
            dx, dy, ha, va = -0.11, 0.0, "right", "center"
        elif abs(x - right) < 0.05 and node.role == "output":
            dx, dy, ha, va = 0.12, 0.0, "left", "center"
        elif spacing > 0.3 or node.role in ("input", "bias", "output"):
            dx, dy, ha, va = 0.0, 0.09, "center", "bottom"
        else:
            continue
        text = node.name if len(node.name) <= 10 else node.name[:9] + "…"
        box: dict[str, Any] = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.75}
        axes.text(x + dx, y + dy, text, ha=ha, va=va, fontsize=size, zorder=7, bbox=box)


def _key(axes: Axes, wiring: Wiring, values: Values) -> None:
    """Lines of some values, below the drawing."""
    low, high = values.limits
    shown = np.geomspace(low, high, 4) if low > 0 else np.linspace(low, high, 4)
    if high <= low:
        shown = np.array([low])
    factor, unit = scaled(shown, values.unit, logarithmic=True)
    x = 0.0
    for value in shown:
        width, colour = _stroke(values.level(float(value)))
        axes.plot([x, x + 0.32], [0.13, 0.13], color=colour, linewidth=width, solid_capstyle="butt")
        label = f"{number(float(value) * factor, 2)} {unit}".strip()
        axes.text(x + 0.38, 0.13, label, va="center", fontsize=7.5)
        x += 1.15
    x = WIDTH
    there = {node.role for node in wiring.nodes}
    for role, label, width in _ROLES:
        if role in there:
            x -= width
            symbols.node(axes, (x, 0.13), role, 0.05)
            axes.text(x + 0.1, 0.13, label, va="center", fontsize=7.5)
