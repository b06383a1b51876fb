"""The numbers that a sweep can be judged by: columns of its table, from the summaries of its runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bridge.experiment.problems import suggest
from bridge.experiment.spec import ExperimentSpec, TransientSpec

METRICS = {
    "test_loss": "mean loss of the test samples",
    "test_accuracy": "share of the test samples in the right class",
    "train_loss": "mean loss of the training samples",
    "train_accuracy": "share of the training samples in the right class",
    "epochs": "epochs until the run ended",
    "operating_points": "operating points simulated",
    "transients": "transients simulated",
    "seconds": "time of the run",
    "ngspice_seconds": "time inside ngspice",
}
"""What every run has."""

FURTHER = {
    "gradient_error": ("error of the gradient after training", "analysis.accuracy"),
    "parameter_error": ("largest relative error of a parameter that is sought", "data.source: stimuli"),
    "pulses": ("programming pulses", "devices or training.programming"),
    "missed": ("devices outside of the programming tolerance, last write", "devices or training.programming"),
    "worst_miss": (
        "largest relative error of a device that the last write missed",
        "devices or training.programming",
    ),
    "test_spikes_on_time": ("share of the wanted spikes on time", "loss.kind: spike_times"),
    "test_worst_shift": ("largest error of a spike's time [s]", "loss.kind: spike_times"),
    "test_missing_spikes": ("wanted spikes that do not come", "loss.kind: spike_times"),
    "test_extra_spikes": ("spikes that nobody wants", "loss.kind: spike_times"),
}
"""What the runs of some experiments have, and the key that makes them have it; `train_` as `test_`."""

ROBUSTNESS = "robustness."
QUANTITIES = ("spread", "levels", "stuck", "drift")
_ROBUST = re.compile(rf"robustness\.(?:{'|'.join(QUANTITIES)})=\S+\.(?:test_loss|test_accuracy)")


def rises(name: str) -> bool:
    """Whether more of a metric is better, where a file does not say."""
    return name.endswith(("accuracy", "spikes_on_time"))


def numbers(results: Mapping[str, Any]) -> dict[str, Any]:
    """All metrics of a run by their columns; those that it lacks are `None` or left out.

    Args:
        results: the run's summary.
    """
    found = {name: results.get(name) for name in METRICS}
    for name in FURTHER:
        for key in (name, name.replace("test_", "train_")):
            if isinstance(results.get(key), int | float):
                found[key] = results[key]
    if isinstance(error := results.get("gradient_error"), Mapping):
        found["gradient_error"] = error.get("after")
    if rows := results.get("recovered"):
        found["parameter_error"] = max(abs(row["relative_error"]) for row in rows.values())
    for entry in results.get("robustness") or []:
        for name in ("test_loss", "test_accuracy"):
            found[f"{ROBUSTNESS}{entry['quantity']}={entry['value']:g}.{name}"] = entry[name]
    return found


def complaint(name: str, spec: ExperimentSpec) -> str:
    """Why a metric cannot be had from an experiment; empty if it can.

    Args:
        name: of the metric.
        spec: of one run.
    """
    base = name.replace("train_", "test_")
    if name in METRICS:
        return ""
    if base in FURTHER:
        analysis, training = spec.analysis, spec.training
        programmed = spec.devices is not None or (training is not None and training.programming is not None)
        there = {
            "gradient_error": isinstance(analysis, TransientSpec) and analysis.accuracy is not None,
            "parameter_error": getattr(spec.data, "source", "") == "stimuli",
            "pulses": programmed,
            "missed": programmed,
            "worst_miss": programmed,
        }.get(base, spec.loss.kind == "spike_times")
        return "" if there else f"{name} needs {FURTHER[base][1]} in the experiment"
    wanted = [
        f"{ROBUSTNESS}{quantity}={value:g}.{metric}"
        for quantity in QUANTITIES
        for value in (getattr(spec.robustness, quantity) if spec.robustness is not None else ())
        for metric in ("test_loss", "test_accuracy")
    ]
    if name in wanted:
        return ""
    if _ROBUST.fullmatch(name):
        return f"{name} needs that value in the section robustness of the experiment"
    every = [*METRICS, *FURTHER, *wanted]
    return f"{name!r} is no metric; {suggest(name, every, 'there are ' + ', '.join(every))}"
