"""The section on what was learned besides loss and accuracy: values that were recovered, spikes on time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from bridge.report.data import RunData
from bridge.report.parts import Section, Table
from bridge.report.style import BLUE, INK, MUTED, render
from bridge.report.text import count, number, percent, quantity


def recovered(data: RunData) -> Section | None:
    """Where the true values of parameters are known: those at the start and at the end beside them."""
    found: Mapping[str, Mapping[str, Any]] = (data.results or {}).get("recovered") or {}
    if not found:
        return None
    head = ("parameter", "unit", "at the start", "found", "true", "error")
    rows = [
        (
            name,
            str(row["unit"]),
            number(row["initial"], 5),
            number(row["found"], 5),
            number(row["true"], 5),
            f"{row['relative_error']:+.3%}".replace("-", "\N{MINUS SIGN}"),
        )
        for name, row in found.items()
    ]
    caption = "Values as shares of the true ones: open circles at the start, dots at the end of training."
    return Section("Recovered values", _figure(found), caption, Table(head, rows))


def _figure(found: Mapping[str, Mapping[str, Any]]) -> Markup:
    names = list(found)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot(1, 1, 1)
        axes.axvline(1.0, color=INK, linewidth=0.8)
        for k, name in enumerate(names):
            row = found[name]
            start, end = row["initial"] / row["true"], row["found"] / row["true"]
            axes.plot([start, end], [k, k], color=MUTED, linewidth=0.8)
            axes.plot([start], [k], "o", color=BLUE, markerfacecolor="none", markersize=5)
            axes.plot([end], [k], "o", color=BLUE, markersize=5)
        axes.set(xlabel="value / true value", ylim=(len(names) - 0.5, -0.5))
        axes.set_yticks(range(len(names)), names)
        axes.grid(False, axis="y")

    return render("recovered", "Recovered parameters against their true values", 0.7 + 0.3 * len(names), draw)


def spikes(data: RunData) -> Section | None:
    """How many target spikes were met; nothing for losses that are not about spike times."""
    got = data.results or {}
    if "test_spikes_on_time" not in got:
        return None
    rows = [
        ("targets on time", percent(got["test_spikes_on_time"])),
        ("worst difference of a spike and its target", quantity(got["test_worst_shift"], "s", 3)),
        ("missing spikes", count(got["test_missing_spikes"])),
        ("spikes without a target", count(got["test_extra_spikes"])),
    ]
    caption = "Spikes of the test samples after training, each paired with its target."
    return Section("Spikes", None, caption, Table((), rows))
