"""What the command `tellegen program` does."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bridge.errors import SpecError
from bridge.experiment.store import is_leftover, write_atomic, write_json_atomic, write_parquet_atomic
from bridge.report.style import BLUE, GRID, INK, MUTED, ORANGE
from bridge.updates.programming.array import Array, FloatArray
from bridge.updates.programming.base import Programmed
from bridge.updates.programming.kinds import make_programmer
from bridge.updates.programming.service import Programming
from bridge.updates.programming.spec import ProgramSpec, load_program

QUANTILES = (0.5, 0.9, 0.99, 1.0)
TABLE, SUMMARY, PICTURE = "cells", "summary.json", "programming.svg"


def program_file(path: Path, overrides: tuple[str, ...] = (), *, out: Path | None, as_json: bool) -> int:
    """Program the array of a file, write the folder, print the errors; 1 when a device misses the tolerance.

    Devices that are stuck do not count as missed: no pulse could bring them to their targets.

    Raises:
        SpecError: the file, its targets or the folder is wrong.
        TellegenError: the programming failed.
    """
    spec = load_program(path, overrides)
    array, settings = spec.build()
    targets = spec.targets(array)
    folder = choose_folder(out, spec.name)
    low, high = array.device.bounds[0]
    start = np.full(array.shape, low + spec.initial * (high - low))
    begin = time.perf_counter()
    programmer = make_programmer(spec.programmer.kind, array, settings, **spec.noise(array, settings))
    with Programming(programmer) as programming:
        found = programming.program(targets, start, np.random.default_rng(spec.seed))
        seconds = time.perf_counter() - begin
        memory, used = programming.memory, programming.usage()
    result = summary(spec, array, targets, found)
    result |= {"seconds": seconds, "ngspice_seconds": used.get("ngspice_seconds", 0.0), "peak_bytes": memory}
    result["folder"] = str(folder)
    write_folder(folder, spec, array, targets, found, result)
    if as_json:
        print(json.dumps(result, allow_nan=False))
    else:
        _show(result, array, found)
    return int(not (found.converged | np.isfinite(array.stuck_at)).all())


def choose_folder(out: Path | None, name: str) -> Path:
    """The folder to write: `out`, or a new one below `runs/`.

    Raises:
        SpecError: `out` is no folder, or holds other files.
    """
    if out is None:
        base = Path("runs") / f"program-{name}"
        found, number = base, 1
        while found.exists():
            number += 1
            found = base.with_name(f"{base.name}-{number}")
        return found
    if out.exists() and not out.is_dir():
        raise SpecError(f"--out {out}: there is a file of that name; give a folder")
    known = {f"{TABLE}.parquet", f"{TABLE}.csv", SUMMARY, PICTURE}
    if out.is_dir() and any(p.name not in known and not is_leftover(p) for p in out.iterdir()):
        raise SpecError(f"--out {out}: the folder holds other files; give another folder")
    return out


def errors(values: FloatArray, targets: FloatArray) -> FloatArray:
    """Relative errors, with their sign."""
    return np.asarray(values / targets - 1.0)


def summary(spec: ProgramSpec, array: Array, targets: FloatArray, found: Programmed) -> dict[str, Any]:
    """The result as plain data: sizes, shares of cells, quantiles of the errors, pulses, rounds."""
    own, read = (np.abs(errors(v, targets)) for v in (found.conductances, found.measured))
    quantiles = {f"{q:g}": float(np.quantile(own, q)) for q in QUANTILES}
    return {
        "name": spec.name,
        "programmer": spec.programmer.kind,
        "rows": array.rows,
        "columns": array.columns,
        "devices": array.rows * array.columns,
        "tolerance": spec.programmer.tolerance,
        "stuck": int(np.isfinite(array.stuck_at).sum()),
        "converged": int(found.converged.sum()),
        "share_converged": float(found.converged.mean()),
        "within_tolerance": int((own <= spec.programmer.tolerance).sum()),
        "error_quantiles": quantiles,
        "measured_quantiles": {f"{q:g}": float(np.quantile(read, q)) for q in QUANTILES},
        "pulses": int(found.pulses.sum()),
        "most_pulses": int(found.pulses.max()),
        "rounds": found.rounds,
        "history": [dict(h) for h in found.history],
    }


def cell_table(array: Array, targets: FloatArray, found: Programmed) -> pd.DataFrame:
    """One row a device: where it is, what was asked, what it has [S], its state and pulses."""
    i, j = np.indices(array.shape)
    columns = {
        "row": i, "column": j, "target": targets, "conductance": found.conductances,
        "measured": found.measured, "error": errors(found.conductances, targets), "state": found.states,
        "pulses": found.pulses, "converged": found.converged, "stuck": np.isfinite(array.stuck_at),
    }  # fmt: skip
    return pd.DataFrame({key: np.asarray(value).ravel() for key, value in columns.items()})


def write_folder(
    folder: Path,
    spec: ProgramSpec,
    array: Array,
    targets: FloatArray,
    found: Programmed,
    result: dict[str, Any],
) -> None:
    """Write tables, picture and summary; the summary comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SUMMARY).unlink(missing_ok=True)
    table = cell_table(array, targets, found)
    write_parquet_atomic(folder / f"{TABLE}.parquet", table)
    write_atomic(folder / f"{TABLE}.csv", table.to_csv(index=False))
    buffer = io.StringIO()
    picture(targets, found, spec.programmer.tolerance).savefig(buffer, format="svg", metadata={"Date": None})
    write_atomic(folder / PICTURE, buffer.getvalue())
    write_json_atomic(folder / SUMMARY, {**result, "spec": spec.model_dump(mode="json")})


def picture(targets: FloatArray, found: Programmed, tolerance: float) -> Figure:
    """Reached against target conductances, the map of errors, and the share within the tolerance by round."""
    figure = Figure(figsize=(11.0, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    good = found.converged.ravel()
    for mask, colour, label in ((good, BLUE, "within tolerance"), (~good, ORANGE, "missed")):
        if mask.any():
            left.plot(targets.ravel()[mask], found.conductances.ravel()[mask], ".", color=colour,
                      markersize=3, label=label, rasterized=mask.sum() > 5000)  # fmt: skip
    span = [float(targets.min()), float(targets.max())]
    left.plot(span, span, color=MUTED, linewidth=0.6, zorder=0)
    left.set(xlabel="target [S]", ylabel="reached [S]")
    left.legend(fontsize=7, frameon=False)
    error = 100.0 * errors(found.conductances, targets)
    limit = 200.0 * tolerance
    image = middle.imshow(error, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="none")
    middle.set(xlabel="column", ylabel="row")
    figure.colorbar(image, ax=middle, label="error [%]")
    _rounds(right, found, tolerance)
    for axes in (left, right):
        axes.grid(color=GRID, linewidth=0.5)
    for axes in (left, middle, right):
        axes.tick_params(labelsize=7)
    return figure


def _rounds(axes: Axes, found: Programmed, tolerance: float) -> None:
    number = [h["round"] for h in found.history]
    floor = 1e-2 * tolerance
    for key, colour in (("worst", ORANGE), ("median", BLUE)):
        values = [100.0 * max(h[key], floor) for h in found.history]
        axes.plot(number, values, "o-", color=colour, markersize=3, linewidth=1.0, label=key)
    axes.axhline(100.0 * tolerance, color=INK, linewidth=0.6, linestyle="--", label="tolerance")
    axes.set(xlabel="round", ylabel="measured error [%]", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if number:
        axes.legend(fontsize=7, frameon=False)


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the plural where it is not 1."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _show(result: dict[str, Any], array: Array, found: Programmed) -> None:
    quantiles = ", ".join(f"{float(q):.0%} {v:.3%}" for q, v in result["error_quantiles"].items())
    print(
        f"{result['name']}: {result['within_tolerance']} of {result['devices']} devices within "
        f"{result['tolerance']:.3g} of their targets, {result['converged']} as read in the array"
    )
    print(f"errors of the conductances, quantiles: {quantiles}")
    print(f"{counted(result['pulses'], 'pulse')} in {counted(result['rounds'], 'round')}, "
          f"{result['seconds']:.1f} s, "
          f"{result['peak_bytes'] / 2**20:.0f} MiB")  # fmt: skip
    if result["stuck"]:
        print(f"stuck: {counted(result['stuck'], 'device')}")
    missed = np.argwhere(~found.converged & ~np.isfinite(array.stuck_at))
    if len(missed):
        places = ", ".join(f"({i}, {j})" for i, j in missed[:5])
        print(f"missed: {places}{' ...' if len(missed) > 5 else ''} (row, column)")
    print(f"folder: {result['folder']}")
