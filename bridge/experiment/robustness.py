"""The learned network on worse devices: test accuracy against one deviation at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bridge.experiment.devices import Hardware
from bridge.experiment.spec_devices import RobustnessSpec
from bridge.updates.nonidealities import Cells, Drift, Imperfections, Spread, Stuck

FloatArray = NDArray[np.float64]

UNITS = {"spread": "1", "levels": "1", "stuck": "1", "drift": "s"}
_OWN = {"spread": "gain", "levels": "", "stuck": "stuck", "drift": "exponents"}
_SALT = 1  # chips are numbered from here: 0 is the run's own


def worsened(base: Imperfections, spec: RobustnessSpec, quantity: str, value: float) -> Imperfections:
    """The devices with one entry replaced.

    Args:
        base: those of the run.
        spec: the section of the file.
        quantity: a key of `UNITS`.
        value: the entry's new value.
    """
    if quantity == "spread":
        kept = tuple(s for s in base.spreads if "conductance" not in s.parameters)
        return replace(base, spreads=(*kept, Spread(relative=value)))
    if quantity == "levels":
        return replace(base, levels=int(value))
    if quantity == "stuck":
        return replace(base, stuck=Stuck(on=value / 2, off=value / 2))
    known = base.drift or Drift(spec.drift_exponent, spec.drift_exponent_spread, min(1.0, value), value)
    start = min(known.reference_time, value)
    return replace(base, drift=replace(known, reference_time=start, elapsed=value))


def chips(hardware: Hardware, spec: RobustnessSpec) -> Iterator[tuple[str, float, int, Cells]]:
    """Every quantity, value and draw with its cells: the run's own but for what the quantity decides."""
    base = hardware.cells
    for quantity, own in _OWN.items():
        for value in getattr(spec, quantity):
            kinds = worsened(base.kinds, spec, quantity, float(value))
            for draw in range(spec.draws):
                cells = Cells(kinds, base.lower, base.upper, base.seed, _SALT + draw)
                for name in {"gain", "stuck", "exponents"} - {own}:
                    setattr(cells, name, getattr(base, name))
                yield quantity, float(value), draw, cells


def robustness(
    hardware: Hardware,
    spec: RobustnessSpec,
    target: FloatArray,
    judge: Callable[[FloatArray], dict[str, float]],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> pd.DataFrame:
    """Judge the learned network on every chip.

    Args:
        hardware: of the run.
        spec: the section of the file.
        target: learned values of the trainable parameters, `(n_trainable,)`.
        judge: simulates the test split at parameters and returns `test_loss` and `test_accuracy`.
        progress: called with how many are done, and of how many.

    Returns:
        One row a chip: `quantity`, `value` (unit: `UNITS`), `draw`, `test_accuracy`, `test_loss`.
    """
    rows: list[dict[str, Any]] = []
    everything = list(chips(hardware, spec))
    known: dict[bytes, dict[str, float]] = {}
    for k, (quantity, value, draw, cells) in enumerate(everything):
        parameters = hardware.on(cells, target)
        key = parameters.tobytes()
        if key not in known:  # without noise every draw of the levels is the same
            known[key] = judge(parameters)
        rows.append({"quantity": quantity, "value": value, "draw": draw, **known[key]})
        progress(k + 1, len(everything))
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One entry for every quantity and value: mean and standard deviation over the draws."""
    found = []
    for (quantity, value), part in table.groupby(["quantity", "value"], sort=False):
        accuracy, loss = part["test_accuracy"].to_numpy(), part["test_loss"].to_numpy()
        found.append(
            {
                "quantity": str(quantity),
                "value": float(str(value)),
                "draws": len(part),
                "test_accuracy": _number(accuracy.mean()),
                "test_accuracy_std": _number(accuracy.std(ddof=1)) if len(part) > 1 else None,
                "test_loss": _number(loss.mean()),
            }
        )
    return found


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
