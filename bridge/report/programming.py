"""The section on programming: pulses and the error that they leave, epoch by epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from bridge.report.data import RunData
from bridge.report.figures import column
from bridge.report.parts import Section, Table
from bridge.report.style import BLUE, ORANGE, render, whole_numbers
from bridge.report.text import count, percent, quantity

_LISTED = 10  # devices that the last write missed

_KINDS = {
    "ideal": "ideal writes; devices of which the same level is asked as before are left alone",
    "open_loop": "pulses computed from the nominal device, without a read",
    "write_verify": "pulses and reads until each device is within the tolerance",
}


def programming(data: RunData) -> Section | None:
    """Figure and totals; nothing where updates are not written into devices."""
    if data.metrics is None or not np.isfinite(column(data.metrics, "pulses")).any():
        return None
    kind = ((data.spec.get("training") or {}).get("programming") or {}).get("kind") or "ideal"
    pulses, error = column(data.metrics, "pulses"), column(data.metrics, "programming_error")
    finite = error[np.isfinite(error)]
    caption = (
        f"How updates got into the devices: {_KINDS.get(kind, kind)}. The error is the root mean square over "
        "the devices of the difference between the conductance that a device has after a write and the "
        "controller's own, as a share of the device's range; levels, spread and stuck cells are part of it."
        + (
            ""
            if data.writes is None
            else " Right: devices that each write left outside of the tolerance, and "
            "those of them that no state would bring within it; stuck devices do not count."
        )
    )
    rows = [
        ("pulses" if kind != "ideal" else "devices written", count(np.nansum(pulses))),
        ("error, last epoch", percent(finite[-1] if finite.size else None)),
    ]
    rows += _misses(data)
    return Section("Programming", _figure(data, kind), caption, Table((), rows))


def _misses(data: RunData) -> list[tuple[str, str]]:
    """Rows on the devices outside of the tolerance: how many, how far, and which the last write missed."""
    if data.writes is None:
        return []
    writes = data.writes
    some, last = int((writes["missed"] > 0).sum()), writes.iloc[-1]
    rows = [("writes with a device outside of the tolerance", f"{some} of {len(writes)}")]
    if some:
        at = writes.iloc[int(np.argmax(writes["worst_miss"].to_numpy()))]
        where = f"{at['worst_device']}, update {at['update']} in epoch {at['epoch']}"
        rows.append(("worst miss of all writes", f"{percent(at['worst_miss'])}: {where}"))
    rows.append(
        ("devices outside in the last write",
         f"{last['missed']}, of which {last['beyond_reach']} conduct too little or too much in every state")
    )  # fmt: skip
    for entry in ((data.results or {}).get("misses") or {}).get("last", ())[:_LISTED]:
        reason = ", beyond what the device reaches" if entry["beyond_reach"] else ""
        rows.append(
            (f"last write, {entry['device']}",
             f"{100 * entry['error']:+.2f} % of {quantity(entry['target'], 'S')}{reason}")
        )  # fmt: skip
    return rows


def _figure(data: RunData, kind: str) -> Markup:
    metrics = data.metrics
    assert metrics is not None
    epoch = column(metrics, "epoch")
    panels = (
        ("pulses" if kind != "ideal" else "devices written", "pulses", 1.0),
        ("error [% of the range]", "programming_error", 100.0),
    )
    writes = data.writes
    count = len(panels) + (writes is not None)

    def draw(figure: Figure) -> None:
        for k, (label, name, factor) in enumerate(panels):
            axes = figure.add_subplot(1, count, k + 1)
            axes.plot(epoch, factor * column(metrics, name), ".-", color=BLUE, markersize=4)
            axes.set(xlabel="epoch", ylabel=label, ylim=(0, None))
            whole_numbers(axes)
        if writes is None:
            return
        axes = figure.add_subplot(1, count, count)
        steps: dict[str, Any] = {"where": "mid", "linewidth": 1.0}
        axes.step(writes["update"], writes["missed"], color=BLUE, label="all", **steps)
        axes.step(writes["update"], writes["beyond_reach"], color=ORANGE, label="beyond reach", **steps)
        axes.set(xlabel="update", ylabel="devices missed", ylim=(0, None))
        axes.legend(fontsize=7, frameon=False)
        whole_numbers(axes)

    return render(
        "programming", "Pulses and error of programming per epoch, devices missed per update", 2.1, draw
    )
