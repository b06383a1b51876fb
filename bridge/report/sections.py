"""The sections of a report: which figures and tables, and the words below them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bridge.report import drawing, figures, layout, matrix
from bridge.report.data import RunData
from bridge.report.figures import column
from bridge.report.parts import Section, Table
from bridge.report.text import DASH, count, duration, flat, known, number, percent, quantity

_LOSSES = {"mse": ("loss (mean squared error)", "V²"), "cross_entropy": ("loss (cross-entropy)", "nat")}


def status(data: RunData) -> str:
    """A sentence for a run that has not finished; empty for one that has."""
    if data.results is not None:
        return ""
    if data.last_epoch is None:
        return "unfinished before the first epoch was recorded"
    return f"unfinished after epoch {data.last_epoch}"


def _summary(data: RunData) -> Mapping[str, Any]:
    """The final summary, or what the metrics so far say in its place."""
    if data.results is not None:
        return data.results
    if data.metrics is None:
        return {}
    found: dict[str, Any] = {"epochs": data.last_epoch}
    for name in ("test_accuracy", "test_loss", "train_accuracy", "train_loss"):
        values = column(data.metrics, name)
        values = values[np.isfinite(values)]
        found[name] = values[-1] if values.size else None
    for name in ("seconds", "ngspice_seconds", "operating_points", "transients", "retries"):
        found[name] = float(np.nansum(column(data.metrics, name)))
    return found


def headline(data: RunData) -> list[tuple[str, str, str]]:
    """The numbers at the top: label, number, remark."""
    got = _summary(data)
    seconds, inside = got.get("seconds"), got.get("ngspice_seconds")
    share = _share(inside, seconds, data.workers)
    size = got.get("parameters", None if data.parameters is None else len(data.parameters))
    return [
        ("test accuracy", percent(got.get("test_accuracy")), ""),
        ("test loss", number(got.get("test_loss")), ""),
        ("training accuracy", percent(got.get("train_accuracy")), ""),
        ("training loss", number(got.get("train_loss")), ""),
        ("epochs", count(got.get("epochs")), ""),
        ("parameters", count(size), ""),
        ("wall time", duration(seconds), ""),
        ("inside ngspice", duration(inside), share),
        ("operating points", count(got.get("operating_points")), ""),
        ("transients", count(got.get("transients")), ""),
        ("runs repeated", count(got.get("retries")), ""),
    ]


def _share(inside: Any, seconds: Any, workers: int) -> str:
    """What part of the time was spent in ngspice, in words."""
    if not known(inside) or not known(seconds) or seconds <= 0:
        return ""
    if workers > 1 or inside > seconds:
        return f"{workers} workers together" if workers > 1 else "all workers together"
    return f"{100 * inside / seconds:.1f} % of wall time"


def training(data: RunData) -> Section | None:
    """Curves over the epochs."""
    if data.metrics is None:
        return None
    name, unit = _LOSSES.get(data.loss, ("loss", ""))
    units = set() if data.parameters is None else set(data.parameters["unit"])
    gradient = "gradient norm"
    if unit and len(units) == 1:
        own = units.pop()
        gradient += f" [{unit}]" if own == "1" else f" [{unit}/{own}]"
    caption = (
        "Epoch 0 is the network before training. Training values are those met during the epoch, the "
        "gradient norm is the mean over its minibatches."
    )
    rates = column(data.metrics, "learning_rate")
    if np.ptp(rates) == 0:
        caption += f" The learning rate was {number(rates[0])}."
    results = data.results or {}
    if results.get("held_out") is not None:
        caption += (
            " The test split was not trained on." if results["held_out"] else " Both splits hold all samples."
        )
    if results.get("stopped"):
        caption += f" Stopped early: {results['stopped']}."
    picture = figures.curves(data.metrics, f"{name} [{unit}]" if unit else name, gradient)
    return Section("Training", picture, caption)


def parameters(data: RunData) -> Section | None:
    """Values before and after training."""
    if data.parameters is None:
        return None
    rows = []
    for group, unit, part in figures.groups_of(data.parameters):
        initial, final, lower, upper = (column(part, c) for c in ("initial", "final", "lower", "upper"))
        with np.errstate(invalid="ignore"):
            low, high = np.mean(final <= lower * (1 + 1e-9)), np.mean(final >= upper * (1 - 1e-9))
        rows.append(
            (
                group, count(len(part)),
                quantity(np.nanmedian(initial), unit), quantity(np.nanmedian(final), unit),
                f"{quantity(np.nanmin(lower), unit)} … {quantity(np.nanmax(upper), unit)}",
                percent(low), percent(high),
            )
        )  # fmt: skip
    head = ("group", "number", "median before", "median after", "bounds", "at lower", "at upper")
    caption = (
        "Left: distribution before (filled) and after training (line). Right: each parameter after against "
        "before training; the solid line is no change. Dashed lines are the bounds."
    )
    return Section("Parameters", figures.parameters_before_after(data.parameters), caption, Table(head, rows))


def network(data: RunData) -> Section | None:
    """The drawing, or heat maps where there is too much to draw."""
    wiring, values = data.wiring, data.parameters
    if wiring is None or values is None:
        return None
    size = f"{len(wiring.nodes):,} nodes, {len(wiring.elements):,} elements. "
    name = drawing.Values.of(values).name
    if len(drawing.branches(wiring, layout.places(wiring))) <= drawing.MOST_BRANCHES:
        caption = f"{size}Width and strength of a line show the {name}."
        missing = drawing.left_out(wiring)
        caption += f" Not drawn: sources{', ' if missing else ''}{missing}."
        return Section("Network", drawing.sketch(wiring, values), caption)
    caption = (
        f"{size}Each cell is the {name} between two nodes, numbered in the order of the netlist, one row of "
        "matrices a group; cells without a trainable element are grey."
    )
    return Section("Network", matrix.heat_maps(wiring, values), caption)


def confusion(data: RunData) -> Section | None:
    """The confusion matrix of the test split."""
    if data.confusion is None:
        return None
    counts = np.asarray(data.confusion["matrix"], dtype=float)
    right, total = np.trace(counts), counts.sum()
    caption = f"{right:,.0f} of {total:,.0f} samples of the test split are right."
    return Section("Confusion matrix", figures.confusion(data.confusion), caption)


def timing(data: RunData) -> Section | None:
    """Where the time went."""
    if data.metrics is None or not np.isfinite(column(data.metrics, "seconds")).any():
        return None
    seconds, inside, points, runs, again = (
        float(np.nansum(column(data.metrics, name)))
        for name in ("seconds", "ngspice_seconds", "operating_points", "transients", "retries")
    )
    rows = [
        ("all epochs", duration(seconds)),
        (
            "inside ngspice",
            ", ".join(filter(None, (duration(inside), _share(inside, seconds, data.workers)))),
        ),
        ("operating points", count(points)),
        ("transients", count(runs)),
        ("inside ngspice, a simulation", duration(inside / (points + runs)) if points + runs else DASH),
        ("runs repeated for convergence", count(again)),
    ]
    caption = "Wall time of each epoch, evaluation included."
    return Section("Timing", figures.timings(data.metrics, data.workers), caption, Table((), rows))


def experiment(data: RunData) -> Section:
    """The resolved experiment file."""
    return Section("Experiment", caption="The experiment with every default filled in.", text=data.spec_text)


def provenance(data: RunData) -> Section | None:
    """Versions, seed and hashes; the log of a run that has not finished."""
    rows = flat(data.manifest)
    if data.netlists:
        rows.append(("netlists", " ".join(data.netlists)))
    log = data.log if data.results is None else ""
    if not rows and not log:
        return None
    caption = "The last lines of the log." if log else ""
    return Section("Provenance", None, caption, Table((), rows, numeric=False), log)
