"""One look for all figures: quiet axes, colours that the page sets, SVG that stands in HTML."""

from __future__ import annotations

import io
import itertools
import re
import warnings
from collections.abc import Callable, Iterable

import matplotlib.style
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike

from bridge.report.text import number

WIDTH = 8.0
"""Width of a figure over the whole column [inch]; the page scales it to the column."""

# Stand-ins: the page replaces each by its own variable, so that a dark page has light ink.
INK, MUTED, GRID, PAPER = "#1b1e24", "#697079", "#e2e5e9", "#fefefe"
BLUE, ORANGE, GREEN, PURPLE, BROWN, TEAL = "#2464a4", "#c4561b", "#3b8048", "#8a4aa8", "#8c6239", "#0f8b94"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, BROWN, TEAL)
VARIABLES = {
    INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper",
    BLUE: "blue", ORANGE: "orange", GREEN: "green", PURPLE: "purple", BROWN: "brown", TEAL: "teal",
}  # fmt: skip

_RC = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 8.0,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 8.5,
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 8.0,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "legend.borderaxespad": 0.3,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.2,
    "svg.fonttype": "none",
    "svg.hashsalt": "tellegen",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 7.5,
}


def render(
    name: str, alt: str, height: float, draw: Callable[[Figure], None], width: float = WIDTH
) -> Markup:
    """Draw a figure and return it as an SVG element for the page.

    Args:
        name: prefix of the identifiers inside, unique on the page.
        alt: what the figure shows, for readers who do not see it.
        height: [inch].
        draw: puts axes and artists on the empty figure.
        width: [inch].
    """
    with matplotlib.style.context(["default", _RC]), warnings.catch_warnings():
        # A browser has more glyphs (names of the user) than the font that measures the text here.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", dpi=220, metadata={"Date": None, "Creator": None})
    return _embed(buffer.getvalue(), name, alt, width)


def _embed(svg: str, name: str, alt: str, width: float) -> Markup:
    """Make a stand-alone SVG file an element of the page: no prolog, unique ids, the page's colours."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    view = re.search(r'viewBox="([^"]*)"', svg)
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    # Only inside tags: text that people wrote stays as it is.
    body = re.sub(r"<[^>]*>", lambda tag: _rewrite(tag[0], name), body)
    body = re.sub(r"\n\s*", "\n", body)
    head = (
        f'<svg role="img" aria-label="{escape(alt)}" viewBox="{view[1] if view else "0 0 576 288"}" '
        f'style="width: {100 * width / WIDTH:.4g}%">'
    )
    return Markup(head + body)


def _rewrite(tag: str, name: str) -> str:
    tag = tag.replace("xlink:href=", "href=")
    if "data:image" in tag:
        return re.sub(r'(\bid="|clip-path="url\(#)', rf"\1{name}-", tag)
    tag = re.sub(r"font: ([0-9.]+)px [^;\"]*", r"font-size: \1px", tag)
    tag = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", tag)
    return re.sub(
        r"#[0-9a-f]{6}\b", lambda c: f"var(--{VARIABLES[c[0]]})" if c[0] in VARIABLES else c[0], tag
    )


def log_axis(axis: Axis, low: float, high: float) -> None:
    """Make an axis logarithmic, with ticks that read `0.1, 1, 10` and at least two of them.

    Args:
        axis: the axis; its limits become those given.
        low: smallest value shown, positive.
        high: largest value shown, above `low`.
    """
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})  # type: ignore[attr-defined]
    setter = axis.axes.set_xlim if axis.axis_name == "x" else axis.axes.set_ylim  # type: ignore[attr-defined]
    setter(low, high)
    for subs in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), tuple(np.arange(1.0, 10.0))):
        powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        ticks = [sub * 10.0**power for power in powers for sub in subs]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) > 2:
            break
    else:
        ticks = [float(t) for t in MaxNLocator(4).tick_values(low, high) if low <= t <= high]
    axis.set_major_locator(FixedLocator(ticks[:: 1 + (len(ticks) - 1) // 7]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 3)))
    wide = high / low > 1e7
    axis.set_minor_locator(
        NullLocator() if wide else LogLocator(subs=tuple(np.arange(2.0, 10.0)), numticks=50)
    )
    axis.set_minor_formatter(NullFormatter())


def log_limits(values: ArrayLike, margin: float = 0.06, least: float = 0.3) -> tuple[float, float] | None:
    """Limits of a logarithmic axis around positive values, or `None` where a value is not positive.

    Args:
        values: any shape; values that are not finite do not count.
        margin: share of the span added on both sides.
        least: smallest span [decades].
    """
    data = np.asarray(values, dtype=float)
    data = data[np.isfinite(data)]
    if not data.size or data.min() <= 0:
        return None
    low, high = float(np.log10(data.min())), float(np.log10(data.max()))
    extra = margin * (high - low) + max(0.0, least - (high - low)) / 2
    return float(10 ** (low - extra)), float(10 ** (high + extra))


def whole_numbers(axes: Axes) -> None:
    """Ticks of the x axis at whole numbers."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))


def cycle_colours() -> Iterable[str]:
    """The colours of series, again and again."""
    return itertools.cycle(SERIES)
