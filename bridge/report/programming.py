"""The section on programming: pulses and the error that they leave, epoch by epoch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from bridge.report.data import RunData
from bridge.report.figures import column
from bridge.report.parts import Section, Table
from bridge.report.style import BLUE, render, whole_numbers
from bridge.report.text import count, percent

_KINDS = {
    "ideal": "ideal writes; devices of which the same level is asked as before are left alone",
    "open_loop": "one pulse a device, computed from the nominal device",
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
    )
    rows = [
        ("pulses" if kind != "ideal" else "devices written", count(np.nansum(pulses))),
        ("error, last epoch", percent(finite[-1] if finite.size else None)),
    ]
    missed = column(data.metrics, "missed")
    if kind == "write_verify" and np.isfinite(missed).any():
        last = missed[np.isfinite(missed)][-1]
        rows.append(("devices outside of the tolerance, last epoch", f"{last:.4g}, mean of its writes"))
    return Section("Programming", _figure(data.metrics, kind), caption, Table((), rows))


def _figure(metrics: pd.DataFrame, kind: str) -> Markup:
    epoch = column(metrics, "epoch")
    panels = (
        ("pulses" if kind != "ideal" else "devices written", "pulses", 1.0),
        ("error [% of the range]", "programming_error", 100.0),
    )

    def draw(figure: Figure) -> None:
        for k, (label, name, factor) in enumerate(panels):
            axes = figure.add_subplot(1, 2, k + 1)
            axes.plot(epoch, factor * column(metrics, name), ".-", color=BLUE, markersize=4)
            axes.set(xlabel="epoch", ylabel=label, ylim=(0, None))
            whole_numbers(axes)

    return render("programming", "Pulses and error of programming per epoch", 2.1, draw)
