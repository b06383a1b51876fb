"""What the command `tellegen validate` does."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.errors import SpecError, TellegenError
from bridge.experiment.device_file import is_device_file, load_device
from bridge.experiment.progress import progress_bars
from bridge.experiment.yaml_reader import MAX_BYTES, YamlProblem, read_yaml
from bridge.ngspice.library import find_library
from bridge.ngspice.pool import Pool
from bridge.units import parse_in
from bridge.validation.devices.content import Outcome
from bridge.validation.devices.fit import read_data
from bridge.validation.devices.own import quantities
from bridge.validation.devices.registry import expected_unit, names, subject
from bridge.validation.devices.report import verdict, write, write_index
from bridge.validation.devices.run import Handler, ValidateTask, failed
from bridge.validation.devices.specification import CLASSES, sheet_for
from bridge.validation.devices.subjects import MemristorSubject, Subject
from circuits.devices.base import Parameter
from circuits.devices.memristors.base import hyphened

TIME_LIMIT = 600.0
"""Longest time of one device [s]."""
_LIMITS = ("minimum", "maximum")


@dataclass(frozen=True)
class Given:
    """A file of parameters.

    Attributes:
        base: published set that the others come from; empty for the device's own.
        values: parameters by name, in the device's units.
        limits: specifications by quantity.
    """

    base: str = ""
    values: dict[str, float] = field(default_factory=dict)
    limits: dict[str, dict[str, float | None]] = field(default_factory=dict)


def read_parameters(path: Path, device: str) -> Given:
    """Read a file of parameters for a device.

    Raises:
        SpecError: `file:line: key: what is wrong`.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SpecError(f"--parameters {path}: cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise SpecError(f"--parameters {path}: larger than {MAX_BYTES} bytes")
    try:
        data, places = read_yaml(raw)
    except YamlProblem as problem:
        raise SpecError(f"{path}:{problem.line}: {problem.message}") from None
    if not isinstance(data, dict):
        raise SpecError(f"{path}:1: must be a mapping of parameters to values")

    def fail(key: tuple[str, ...], message: str) -> SpecError:
        return SpecError(f"{path}:{places[key].line}: {'.'.join(key)}: {message}")

    base = data.pop("base", "")
    if not isinstance(base, str):
        raise fail(("base",), "must be the name of a published set")
    kind, _, chosen = device.partition(":")
    own = load_device(device) if is_device_file(device) else None
    if base and own is not None:
        raise fail(("base",), "names a published set; a device file has its own parameters")
    if base and chosen and hyphened(base) != hyphened(chosen):
        raise fail(("base",), f"is {base!r}, and the command line asks for {chosen!r}")
    found = subject(f"{kind}:{base}" if base else device)
    known = list(CLASSES[found.family]) if own is None else quantities(own)
    limits = _limits(data.pop("specifications", {}), known, fail)
    values = {}
    for key, value in data.items():
        try:
            unit = expected_unit(found, key)
            values[key] = parse_in(value, unit)
        except (ValueError, SpecError) as error:
            raise fail((key,), str(error)) from None
        entry = found.device.parameters[found.device.index(key)]
        if isinstance(entry, Parameter) and not entry.lower <= values[key] <= entry.upper:
            unit = "" if unit == "1" else f" {unit}"
            limit = f"[{entry.lower:g}, {entry.upper:g}]{unit}"
            raise fail((key,), f"{values[key]:g}{unit} is outside of {limit}")
        else:
            _try(_asked(device, found), {key: values[key]}, str(fail((key,), "")))
    _try(_asked(device, found), values, f"{path}:1: ")  # they may not fit each other
    return Given(base, values, limits)


def _try(name: str, values: dict[str, float], place: str) -> None:
    try:
        subject(name, values)
    except SpecError as error:
        raise SpecError(f"{place}{error}") from None


def _asked(device: str, found: Subject) -> str:
    """The name under which a worker finds a device."""
    return device if is_device_file(device) else found.name


def _limits(data: Any, known: Sequence[str], fail: Any) -> dict[str, dict[str, float | None]]:
    if not isinstance(data, dict):
        raise fail(("specifications",), "must be a mapping of quantities")
    found: dict[str, dict[str, float | None]] = {}
    for name, limits in data.items():
        key = ("specifications", name)
        if name not in known and not name.startswith("published "):
            raise fail(key, f"is not measured; choose from: {', '.join(known)}")
        if not isinstance(limits, dict) or not limits or set(limits) - set(_LIMITS):
            raise fail(key, "must give minimum, maximum or both")
        found[name] = {}
        for end, value in limits.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and math.isfinite(value)):
                raise fail((*key, end), "must be a number, or null for none")
            found[name][end] = None if value is None else float(value)
    return found


def validate_devices(
    device: str | None,
    *,
    everything: bool = False,
    parameters: Path | None = None,
    data: Path | None = None,
    as_json: bool = False,
    workers: int = 1,
    out: Path | None = None,
    chosen: Sequence[str] | None = None,
) -> int:
    """Validate one device or all, write the reports, print the result; the exit status.

    Args:
        device: its name; `None` with `everything`.
        everything: whether to validate every shipped device.
        parameters: file of parameters and specifications.
        data: file of measured data.
        as_json: print JSON instead of words.
        workers: simulator processes.
        out: folder of the reports, `validation` by default.
        chosen: instead of all devices.

    Raises:
        SpecError: wrong input.
    """
    if everything == (device is not None):
        raise SpecError("validate takes either a device or --all; devices: " + ", ".join(names()))
    if everything and (parameters is not None or data is not None):
        raise SpecError("--parameters and --data are for one device, not for --all")
    tasks = _tasks(device, parameters, data, list(chosen or names()))
    folder = out or Path("validation")
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    simulator = f"ngspice {find_library().version}"
    try:
        outcomes = _run(tasks, workers)
    except SpecError:
        if made:
            folder.rmdir()  # as if nothing had been asked
        raise
    reports = [write(o, folder, simulator) for o in outcomes]
    summary = write_index(outcomes, folder, simulator) if everything else reports[0]
    if as_json:
        found = [to_json(o, r) for o, r in zip(outcomes, reports, strict=True)]
        print(json.dumps(found if everything else found[0], allow_nan=False))
    else:
        for outcome in outcomes:
            print(f"{outcome.device}: {verdict(outcome) or 'pass'}")
        print(f"report: {summary}")
    return int(not all(o.passed for o in outcomes))


def _tasks(
    device: str | None, parameters: Path | None, data: Path | None, every: list[str]
) -> list[ValidateTask]:
    if device is None:
        return [ValidateTask(name, {}, {}) for name in every]
    asked = subject(device)
    given = Given() if parameters is None else read_parameters(parameters, device)
    name = f"{device.partition(':')[0]}:{given.base}" if given.base else _asked(device, asked)
    found = subject(name, given.values, given.limits)
    sheet_for(found.family, found.name, given.limits)
    measured = None
    if data is not None:
        if not isinstance(found, MemristorSubject):
            raise SpecError(f"--data {data}: measured data is compared with memristors only, not {name}")
        measured = read_data(data)
    return [ValidateTask(_asked(name, found), given.values, given.limits, measured)]


def _run(tasks: Sequence[ValidateTask], workers: int) -> list[Outcome]:
    """One outcome a task, in their order; a device whose worker is lost fails without ending the others."""
    with Pool(Handler, min(workers, len(tasks)), time_limit=TIME_LIMIT) as pool:
        try:
            with _progress(len(tasks)) as tell:
                return list(pool.map(tasks, lambda _, outcome: tell(outcome)))
        except TellegenError:
            if len(tasks) == 1:
                raise
        print("a worker was lost: once more, one device after another", file=sys.stderr, flush=True)
        outcomes = []
        with _progress(len(tasks)) as tell:
            for task in tasks:
                try:
                    outcomes += pool.map([task])
                except TellegenError as error:
                    outcomes.append(failed(task.name, str(error)))
                tell(outcomes[-1])
        return outcomes


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Outcome], None]]:
    """What is called with every device that is done: a bar, or lines on standard error if no terminal."""
    done = 0
    with progress_bars() as bars:
        bar = bars.add_task("validate", total=total, remark="") if bars is not None else None

        def tell(outcome: Outcome) -> None:
            nonlocal done
            done += 1
            words = f"{outcome.device}: {verdict(outcome) or 'pass'}"
            if bars is not None and bar is not None:
                bars.update(bar, completed=done, remark=words)
            elif total > 1:
                print(f"[{done}/{total}] {words}", file=sys.stderr, flush=True)

        yield tell


def to_json(outcome: Outcome, report: Path) -> dict[str, Any]:
    """The result as one JSON object."""
    return {
        "device": outcome.device,
        "specifications": [s.to_json() for s in outcome.specifications],
        "pass": outcome.passed,
        "report": str(report),
    }
