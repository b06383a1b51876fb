"""Schematic symbols as matplotlib patches, in a plane measured in inches."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Polygon, Rectangle

from bridge.report.style import BLUE, INK, MUTED, PAPER

Point = tuple[float, float]
_LINE = 0.7


def node(axes: Axes, at: Point, role: str, radius: float) -> None:
    """A node: squares are driven, diamonds are biases, filled circles are outputs."""
    x, y = at
    style: dict[str, Any] = {"zorder": 6, "linewidth": 0.8, "edgecolor": INK}
    if role == "input":
        axes.add_patch(Rectangle((x - radius, y - radius), 2 * radius, 2 * radius, facecolor=INK, **style))
    elif role == "bias":
        corners = [(x - radius, y), (x, y + radius), (x + radius, y), (x, y - radius)]
        axes.add_patch(Polygon(1.25 * (np.array(corners) - at) + at, facecolor=PAPER, **style))
    else:
        fill = BLUE if role == "output" else PAPER
        size = radius * (0.6 if role == "internal" else 1.1)
        axes.add_patch(Circle(at, size, facecolor=fill, **style))


def _line(axes: Axes, points: list[Point], colour: str = INK, zorder: float = 5) -> None:
    axes.plot(
        *zip(*points, strict=True), color=colour, linewidth=_LINE, zorder=zorder, solid_capstyle="round"
    )


def _triangle(axes: Axes, tip: Point, base: Point, half: float, fill: str) -> None:
    direction = np.subtract(tip, base)
    across = np.array([-direction[1], direction[0]]) / max(float(np.hypot(*direction)), 1e-9) * half
    corners = np.stack([tip, base + across, base - across])
    axes.add_patch(
        Polygon(corners, facecolor=fill, edgecolor=INK, linewidth=_LINE, zorder=5, joinstyle="round")
    )


def diode(axes: Axes, anode: Point, cathode: Point, size: float) -> None:
    """A diode in the middle between two points, with its leads."""
    start, end = np.asarray(anode, dtype=float), np.asarray(cathode, dtype=float)
    middle, along = (start + end) / 2, (end - start) / max(float(np.hypot(*(end - start))), 1e-9)
    tip, base = middle + along * size / 2, middle - along * size / 2
    across = np.array([-along[1], along[0]]) * size * 0.55
    _line(axes, [tuple(start), tuple(base)])
    _line(axes, [tuple(tip), tuple(end)])
    _triangle(axes, tuple(tip), tuple(base), size * 0.5, PAPER)
    _line(axes, [tuple(tip + across), tuple(tip - across)])


def clamp(axes: Axes, at: Point, down: int, up: int, size: float) -> None:
    """Diodes that hang below a node and end at ground (or at a source to ground).

    Args:
        axes: where to draw.
        at: the node.
        down: number of diodes whose anode is the node.
        up: number of diodes whose cathode is the node.
        size: length of a diode's triangle [inch].
    """
    x, y = at
    top, bottom = y - 1.3 * size, y - 3.2 * size
    shifts = [-0.75 * size, 0.75 * size] if down and up else [0.0]
    _line(axes, [at, (x, top)])
    _line(axes, [(x + shifts[0], top), (x + shifts[-1], top)])
    _line(axes, [(x + shifts[0], bottom), (x + shifts[-1], bottom)])
    if down:
        diode(axes, (x + shifts[0], top), (x + shifts[0], bottom), size)
    if up:
        diode(axes, (x + shifts[-1], bottom), (x + shifts[-1], top), size)
    _line(axes, [(x, bottom), (x, bottom - 0.5 * size)])
    for k, half in enumerate((0.6, 0.36, 0.12)):
        level = bottom - (0.5 + 0.28 * k) * size
        _line(axes, [(x - half * size, level), (x + half * size, level)])


def amplifier(axes: Axes, start: Point, end: Point, size: float) -> None:
    """A bidirectional amplifier between two nodes: a triangle that points to the amplified side."""
    middle = (np.asarray(start, dtype=float) + np.asarray(end, dtype=float)) / 2
    along = np.subtract(end, start) / max(float(np.hypot(*np.subtract(end, start))), 1e-9)
    _line(axes, [start, end])
    _triangle(axes, tuple(middle + along * size * 0.9), tuple(middle - along * size * 0.9), size, PAPER)


def branch(axes: Axes, kind: str, start: Point, end: Point, size: float) -> None:
    """Any other element between two nodes: its own symbol where there is one, else a box."""
    first, last = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    middle, along = (first + last) / 2, (last - first) / max(float(np.hypot(*(last - first))), 1e-9)
    across = np.array([-along[1], along[0]])
    if kind == "diode":
        diode(axes, start, end, size)
    elif kind == "capacitor":
        for sign, lead in ((-1, first), (1, last)):
            plate = middle + sign * along * size * 0.2
            _line(axes, [tuple(lead), tuple(plate)], MUTED)
            _line(axes, [tuple(plate + across * size * 0.6), tuple(plate - across * size * 0.6)])
    elif kind == "inductor":
        turn = np.linspace(0, np.pi, 9)
        bumps = [
            middle + along * size * (0.5 * (k - 1) - 0.25 * np.cos(a)) + across * size * 0.3 * np.sin(a)
            for k in range(3)
            for a in turn
        ]
        _line(axes, [tuple(first), *(tuple(p) for p in bumps), tuple(last)])
    else:
        _line(axes, [start, end], MUTED)
        half = size * 0.45
        corners = [middle + half * (a * along + b * across) for a, b in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
        axes.add_patch(Polygon(corners, facecolor=PAPER, edgecolor=INK, linewidth=_LINE, zorder=5))
