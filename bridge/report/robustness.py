"""The section on robustness: accuracy of the learned network against deviations of its devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bridge.report.data import RunData
from bridge.report.figures import column
from bridge.report.parts import Section, Table
from bridge.report.style import BLUE, MUTED, render
from bridge.report.text import count, number, percent, quantity

_TITLES = {
    "spread": "device-to-device spread [%]",
    "levels": "conductance levels",
    "stuck": "stuck cells [%]",
    "drift": "time after the write [s]",
}
_PERCENT = ("spread", "stuck")
_LOGARITHMIC = ("levels", "drift")


def robustness(data: RunData) -> Section | None:
    """Figure and table; nothing where the run has no such table."""
    table = data.robustness
    if table is None:
        return None
    scores = "test_accuracy" if np.isfinite(column(table, "test_accuracy")).any() else "test_loss"
    draws = int(table["draw"].max()) + 1
    learned = (data.results or {}).get(scores)
    chips = "one chip" if draws == 1 else f"{draws} chips"
    caption = (
        f"The learned values written once more into {chips} a value, with one deviation replaced and the "
        "others as in the run. Line: mean; band: one standard deviation to both sides, within the draws' "
        "least and greatest; dots: single chips. Dashed: the network at the end of training."
    )
    head = ("deviation", "value", "chips", "mean", "standard deviation", "worst")
    rows = []
    for (name, value), part in table.groupby(["quantity", "value"], sort=False):
        got = column(part, scores)
        shown = percent if scores == "test_accuracy" else number
        worst = got.min() if scores == "test_accuracy" else got.max()
        std = got.std(ddof=1) if len(got) > 1 else np.nan
        label = _TITLES.get(str(name), str(name)).split(" [")[0]
        rows.append(
            (label, _value(str(name), value), count(len(got)), shown(got.mean()), shown(std), shown(worst))
        )
    return Section("Robustness", _figure(table, scores, learned), caption, Table(head, rows))


def _value(name: str, value: Any) -> str:
    if name in _PERCENT:
        return f"{100 * float(value):.3g} %"
    return count(value) if name == "levels" else quantity(value, "s", 3)


def _figure(table: pd.DataFrame, scores: str, learned: Any) -> Markup:
    names = list(dict.fromkeys(table["quantity"]))
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    factor = 100.0 if scores == "test_accuracy" else 1.0

    def draw(figure: Figure) -> None:
        shared = None
        for k, name in enumerate(names):
            axes = figure.add_subplot(rows, columns, k + 1, sharey=shared)
            shared = shared or axes
            part = table[table["quantity"] == name]
            scale = 100.0 if name in _PERCENT else 1.0
            groups = part.groupby("value")[scores]
            x = scale * np.array(list(groups.groups), dtype=float)
            mean, std = groups.mean().to_numpy(), groups.std(ddof=1).fillna(0.0).to_numpy()
            low = np.maximum(mean - std, groups.min().to_numpy())
            high = np.minimum(mean + std, groups.max().to_numpy())
            axes.fill_between(x, factor * low, factor * high, color=BLUE, alpha=0.18, linewidth=0)
            axes.plot(x, factor * mean, ".-", color=BLUE, markersize=5)
            axes.plot(
                scale * column(part, "value"), factor * column(part, scores), ".",
                color=BLUE, alpha=0.35, markersize=2.5,
            )  # fmt: skip
            if isinstance(learned, int | float):
                axes.axhline(factor * learned, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
            if name in _LOGARITHMIC and x.min() > 0:
                axes.set_xscale("log")
            axes.xaxis.set_major_locator(FixedLocator(list(x)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 3)))
            label = "test accuracy [%]" if factor == 100.0 else "test loss"
            axes.set(xlabel=_TITLES.get(name, name), ylabel=label if k % columns == 0 else "")

    return render("robustness", "Test score against deviations of the devices", 2.4 * rows, draw)
