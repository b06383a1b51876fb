"""The section about one sample: its phases as a figure, its outputs as a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from bridge.report import phases
from bridge.report.data import RunData
from bridge.report.figures import column
from bridge.report.parts import Section, Table
from bridge.report.text import known, number, quantity, scaled

_CLOSE = ", which coincide at this scale"


def sample(data: RunData) -> Section | None:
    """Free and nudged phases of one sample."""
    found = _transients(data) or _operating_points(data)
    table = _outputs(data)
    if found is None and table is None:
        return None
    picture, caption = found or (None, "")
    about = data.sample or {}
    lead = "One sample of the test split"
    if about.get("label") is not None:
        lead += f", class {about['label']}"
    features = about.get("features") or []
    if 0 < len(features) <= 16:
        lead += f", features ({', '.join(number(f) for f in features)})"
    if known(about.get("beta")):
        lead += f", β = {number(about['beta'])}"
    return Section("Free and nudged phase", picture, f"{lead}. {caption}".strip(), table)


def _operating_points(data: RunData) -> tuple[Markup, str] | None:
    if data.voltages is None:
        return None
    shown = phases.chosen_nodes(data.voltages, data.wiring)
    caption = "Left: node voltages in the free phase. Right: what the nudge changed, on its own scale."
    if len(shown) < len(data.voltages):
        caption += f" {len(shown)} of {len(data.voltages)} nodes: driven ones are left out"
        caption += ", of the others those that moved most." if len(shown) == phases.MOST_ROWS else "."
    moved = np.stack([column(shown, phases.PLUS), column(shown, phases.MINUS)]) - column(shown, phases.FREE)
    linear = phases.linear_below(moved)
    if linear:
        caption += f" That scale is logarithmic in both directions, linear below {quantity(linear, 'V')}."
    return phases.operating_points(shown), caption


def _transients(data: RunData) -> tuple[Markup, str] | None:
    if data.waveforms is None:
        return None
    roles = data.wiring.roles if data.wiring else {}
    pairs = data.wiring.outputs if data.wiring else ()
    nodes = [str(n) for n in data.waveforms.columns if n not in ("time", "phase")]
    ends = {node for pair in pairs for node in pair}
    outputs = phases.traces(
        data.waveforms, {f"v({p})" if m == "0" else f"v({p},{m})": (p, m) for p, m in pairs}
    )
    others = [n for n in nodes if n not in ends and roles.get(n, "hidden") == "hidden"]
    hidden = phases.traces(data.waveforms, {f"v({n})": (n, "0") for n in others})
    if outputs is None:
        outputs, hidden = hidden, None
    if outputs is None:
        return None
    close = np.abs(outputs.moved).max() < 0.01 * np.ptp(outputs.free)
    caption = (
        f"Above: free phase in colour and the phase nudged by +β dashed{_CLOSE if close else ''}. "
        "Below: nudged minus free, on its own scale."
    )
    if outputs.interpolated:
        caption += " Nudged phases are interpolated linearly to the time points of the free phase, whose "
        caption += "error shows where voltages change fast."
    if hidden is not None and len(hidden.names) > phases.TRACES:
        caption += f" Of {len(hidden.names)} hidden nodes those that moved most."
    return phases.transients(outputs, hidden), caption


def _outputs(data: RunData) -> Table | None:
    about = data.sample or {}
    values = about.get("outputs_free") or []
    if not values:
        return None
    pairs = data.wiring.outputs if data.wiring else ()
    names = [f"v({p})" if m == "0" else f"v({p}) − v({m})" for p, m in pairs]
    if len(names) != len(values):
        names = [f"output {k}" for k in range(len(values))]
    columns = [names]
    head = ["output"]

    def add(title: str, numbers: Sequence[float], unit: str) -> None:
        if len(numbers) == len(values):
            factor, prefixed = scaled(numbers, unit)
            head.append(f"{title} [{prefixed}]" if prefixed else title)
            columns.append([number(float(x) * factor) for x in numbers])

    add("free phase", values, "V")
    add("target", about.get("target") or [], "V" if data.loss == "mse" else "")
    add("nudge current", about.get("nudge_current") or [], "A")
    return Table(tuple(head), list(zip(*columns, strict=True)))
