"""A memristive device against measured data: parameters fitted on the independent integration.

The data is a CSV file with a header and the columns `time,voltage,current` [s, V, A], or `voltage,current` in
the order of the sweep, which is then taken to be uniform in time over the stimulus' period.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from bridge.errors import SimulationError, SpecError
from bridge.ngspice.session import Session
from bridge.report.text import number, percent
from bridge.validation.devices.bench import Bench, place
from bridge.validation.devices.content import Drawing, Findings, Grid, Text
from bridge.validation.devices.integration import Drive
from bridge.validation.devices.plots import Line, Panel, figure
from bridge.validation.devices.subjects import MemristorSubject
from circuits.devices.base import Parameter

FloatArray = NDArray[np.float64]

COLUMNS = (("time", "voltage", "current"), ("voltage", "current"))
LEAST = 10
"""Fewest points that a fit takes."""
EVALUATIONS = 60
"""Most iterations of the fit."""
_DECADES = 6.9  # how far a logarithm may go
_AT_BOUND = 1e-3  # of a coordinate's range, or of a decade, from the bound
_INSIDE = 0.02  # of its range a start is kept away from its ends, where a window may hold it
_STARTS = (0.1, 0.25, 0.5, 0.75, 0.9)
_SHOWN = 5
_ALIKE = 0.99  # cosine of two columns of the Jacobian


@dataclass(frozen=True)
class Measured:
    """Measured data.

    Attributes:
        path: of the file, for messages.
        time: `(n,)` [s]; `None` where the file has no times.
        voltage: `(n,)` [V].
        current: `(n,)` [A].
    """

    path: str
    time: FloatArray | None
    voltage: FloatArray
    current: FloatArray

    def drive(self, period: float) -> Drive:
        """The voltage over time, from 0."""
        if self.time is None:
            return Drive(np.linspace(0.0, period, len(self.voltage)), self.voltage)
        return Drive(self.time - self.time[0], self.voltage)


def read_data(path: Path) -> Measured:
    """Read a file of measured data.

    Raises:
        SpecError: with the file, the line, and what is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SpecError(f"--data {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SpecError(f"--data {path}: not UTF-8 text") from None
    rows = [(n, r) for n, r in enumerate(csv.reader(text.splitlines()), start=1) if any(c.strip() for c in r)]
    head = tuple(c.strip().lower() for c in rows[0][1]) if rows else ()
    if head not in COLUMNS:
        raise SpecError(
            f"--data {path}:1: the header is {','.join(head) or 'missing'!r}; it must be "
            "time,voltage,current or voltage,current [s, V, A]"
        )
    values = []
    for line, row in rows[1:]:
        if len(row) != len(head):
            raise SpecError(f"--data {path}:{line}: {len(row)} values for {len(head)} columns")
        try:
            parsed = [float(c) for c in row]
        except ValueError:
            raise SpecError(f"--data {path}:{line}: {','.join(row)!r} are not numbers") from None
        if not all(math.isfinite(v) for v in parsed):
            raise SpecError(f"--data {path}:{line}: a value is not finite")
        values.append(parsed)
    if len(values) < LEAST:
        raise SpecError(f"--data {path}: {len(values)} points; a fit needs at least {LEAST}")
    columns = np.array(values).T
    time = columns[0] if len(head) == 3 else None
    if time is not None and not (np.diff(time) > 0.0).all():
        wrong = int(np.argmax(np.diff(time) <= 0.0)) + 1
        raise SpecError(f"--data {path}:{rows[1 + wrong][0]}: the time does not increase")
    if not columns[-1].any():
        raise SpecError(f"--data {path}: the current is zero everywhere")
    return Measured(str(path), time, columns[-2], columns[-1])


@dataclass(frozen=True)
class Fit:
    """Fitted parameters.

    Attributes:
        names: of the parameters.
        values: fitted, all parameters of the device by name.
        errors: standard errors of the fitted ones; infinite where the data does not determine them.
        before: RMS residual at the set's values, as a share of the measured RMS.
        after: the same at the end.
        evaluations: of the model.
        held: parameters that were not fitted, with the reason.
        bound: fitted parameters that ended at a bound of theirs, with the bound.
        alike: pairs of parameters that the data hardly tells apart, with their correlation.
    """

    names: tuple[str, ...]
    values: dict[str, float]
    errors: FloatArray
    before: float
    after: float
    evaluations: int
    held: dict[str, str]
    bound: dict[str, float]
    alike: tuple[tuple[str, str, float], ...]


class _Space:
    """Coordinates of a fit, 1 at its start: logarithms of magnitudes, or shares of a typical size."""

    def __init__(self, fitted: Sequence[Parameter], start: FloatArray, ranges: Mapping[str, float]) -> None:
        self.start = start
        lower, upper = (np.array([getattr(p, end) for p in fitted]) for end in ("lower", "upper"))
        inner = np.array([p.name not in ranges for p in fitted])
        self.log = inner & (((start > 0.0) & (lower >= 0.0)) | ((start < 0.0) & (upper <= 0.0)))
        sizes = [ranges.get(p.name) or abs(v) or p.typical for p, v in zip(fitted, start, strict=True)]
        self.scale = np.array(sizes)
        self.lower, self.upper = lower, upper
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = [np.log(np.abs(e / np.where(self.log, start, 1.0))) for e in (lower, upper)]
        small, large = np.minimum(*ends), np.maximum(*ends)  # magnitudes: at most three decades away
        self.bounds = (
            1.0 + np.where(self.log, np.maximum(small, -_DECADES), (lower - start) / self.scale),
            1.0 + np.where(self.log, np.minimum(large, _DECADES), (upper - start) / self.scale),
        )

    def values(self, x: FloatArray) -> FloatArray:
        """Parameter values at coordinates."""
        grown = self.start * np.exp(np.where(self.log, x - 1.0, 0.0))
        found = np.where(self.log, grown, self.start + self.scale * (x - 1.0))
        return np.clip(found, self.lower, self.upper)

    def slopes(self, x: FloatArray) -> FloatArray:
        """Derivatives of the values by the coordinates, their magnitudes."""
        return np.where(self.log, np.abs(self.values(x)), self.scale)

    def at_bound(self, x: FloatArray) -> FloatArray:
        """Whether coordinates lie at an end of their range."""
        low, high = self.bounds
        near = _AT_BOUND * np.minimum(high - low, 1.0)
        return np.asarray((x - low <= near) | (high - x <= near))


def fit(subject: MemristorSubject, measured: Measured) -> Fit:
    """Least squares of the current, in the logarithms of magnitudes where they have one sign.

    Starts of states are fitted like all else, within their bounds; the search begins at the start of the
    first state, among a few, that comes closest to the data.
    """
    device = subject.device
    drive = measured.drive(subject.published.stimulus.period)
    size = float(np.sqrt(np.mean(measured.current**2)))
    fitted = [p for p in device.parameters if p.trainable]
    held = {p.name: "it cannot vary continuously" for p in device.parameters if not p.trainable}
    ranges = {
        s.initial: high - low for s, (low, high) in zip(device.states, device.bounds, strict=True)
    }  # of the starts of states
    calls = 0

    def residual(values: Mapping[str, float]) -> FloatArray:
        nonlocal calls
        calls += 1
        try:
            found = subject.reference(drive, drive.times, {**subject.values, **values}, rtol=1e-7)
        except (SimulationError, OverflowError):
            return np.full(len(measured.current), 1e3)
        return np.asarray(
            np.nan_to_num((found.i - measured.current) / size, nan=1e3, posinf=1e3, neginf=-1e3)
        )

    first = float(np.sqrt(np.mean(residual({}) ** 2)))
    begin = {**subject.values, **_closest_start(subject, residual)}
    start = np.array([begin[p.name] for p in fitted])
    space = _Space(fitted, start, ranges)

    def named(x: FloatArray) -> dict[str, float]:
        return {p.name: float(v) for p, v in zip(fitted, space.values(x), strict=True)}

    done = least_squares(
        lambda x: residual(named(x)), np.ones(len(fitted)), bounds=space.bounds, diff_step=1e-4,
        max_nfev=EVALUATIONS, x_scale="jac",
    )  # fmt: skip
    errors = _errors(done.jac, done.fun) * space.slopes(done.x)
    new = named(done.x)
    ended = space.at_bound(done.x)
    bound = {p.name: new[p.name] for p, at in zip(fitted, ended, strict=True) if at}
    names = tuple(p.name for p in fitted)
    after = float(np.sqrt(np.mean(done.fun**2)))
    return Fit(
        names, {**subject.values, **new}, errors, first, after, calls, held, bound, _alike(names, done.jac)
    )


def _closest_start(
    subject: MemristorSubject, residual: Callable[[Mapping[str, float]], FloatArray]
) -> dict[str, float]:
    """Starts of the states inside of their bounds: of the first, the one of a few that comes closest."""
    found = {}
    for state, (low, high) in zip(subject.device.states, subject.device.bounds, strict=True):
        inside = _INSIDE * (high - low)
        found[state.initial] = float(np.clip(subject.values[state.initial], low + inside, high - inside))
    name, (low, high) = subject.device.states[0].initial, subject.device.bounds[0]
    tried = [found[name], *(low + share * (high - low) for share in _STARTS)]
    sizes = [float(np.sum(residual({**found, name: value}) ** 2)) for value in tried]
    found[name] = tried[int(np.argmin(sizes))]
    return found


def _alike(names: Sequence[str], jacobian: FloatArray) -> tuple[tuple[str, str, float], ...]:
    """Pairs of parameters of which one undoes the other's change."""
    lengths = np.linalg.norm(jacobian, axis=0)
    unit = jacobian / np.where(lengths > 0.0, lengths, 1.0)
    cosine = unit.T @ unit
    pairs = [(abs(cosine[a, b]), a, b) for a in range(len(names)) for b in range(a)]
    return tuple(
        (names[b], names[a], float(cosine[a, b])) for c, a, b in sorted(pairs, reverse=True) if c > _ALIKE
    )


def _errors(jacobian: FloatArray, residuals: FloatArray) -> FloatArray:
    """Standard errors from the Jacobian; infinite along directions that the data does not determine."""
    count, parameters = jacobian.shape
    variance = float(residuals @ residuals) / max(1, count - parameters)
    _, singular, directions = np.linalg.svd(jacobian, full_matrices=False)
    weak = singular <= 1e-8 * singular.max(initial=1e-300)
    inverse = np.where(weak, 0.0, 1.0 / np.where(weak, 1.0, singular))
    errors = np.sqrt(variance * ((directions.T * inverse) ** 2).sum(axis=1))
    lost = (directions[weak] ** 2).sum(axis=0) > 1e-3
    return np.asarray(np.where(lost, np.inf, errors))


def measure(subject: MemristorSubject, session: Session, measured: Measured, findings: Findings) -> None:
    """Fit, simulate the fitted device in ngspice, and compare with the data."""
    result = fit(subject, measured)
    drive = measured.drive(subject.published.stimulus.period)
    element = place(subject.placed, result.values)
    steps = max(subject.steps, 4 * len(measured.voltage))
    found = Bench(session, element, drive.duration, options=subject.options).run(drive, steps)
    simulated = np.interp(drive.times, found.time, found.i)
    size = float(np.sqrt(np.mean(measured.current**2)))
    residuals = simulated - measured.current
    relative = float(np.sqrt(np.mean(residuals**2)) / size)
    findings.sheet.add("measured current", relative)
    rows = []
    for n, e in zip(result.names, result.errors, strict=True):
        error = number(e, 2) if np.isfinite(e) else "not determined"
        remark = "AT ITS BOUND" if n in result.bound else ""
        rows.append((n, number(subject.values[n], 5), number(result.values[n], 5), error, remark))
    rows += [(n, number(subject.values[n], 5), "held", "–", why) for n, why in result.held.items()]
    remarks = ""
    if result.bound:
        remarks += f" At a bound, so that the errors mean little: {', '.join(result.bound)}."
    lost = [n for n, e in zip(result.names, result.errors, strict=True) if not np.isfinite(e)]
    if lost:
        remarks += f" The data does not determine {', '.join(lost)}."
    if result.alike:
        pairs = ", ".join(f"{a} and {b} ({number(c, 4)})" for a, b, c in result.alike[:_SHOWN])
        remarks += f" It hardly tells apart (cosine of their effects on the current): {pairs}."
    clock = (
        "with the times of the file"
        if measured.time is not None
        else f"taken as uniform over the stimulus' period of {subject.published.stimulus.period:g} s"
    )
    findings.add(
        "Measured data",
        Text(
            f"{Path(measured.path).name}: {len(measured.voltage)} points, {clock}. The parameters are "
            "fitted by least squares on the scipy integration of the equations, in the logarithms of their "
            "magnitudes where they have one sign, from the set's values and the closest of a few starts of "
            "the state: "
            f"the RMS residual falls from {percent(result.before)} to "
            f"{percent(result.after)} of the measured RMS in {result.evaluations} evaluations. ngspice with "
            f"the fitted values is {percent(relative)} off.{remarks}"
        ),
        Drawing(
            figure(
                "fit", "Measured and fitted loops, and residuals",
                [
                    Panel(
                        [
                            Line(measured.voltage, measured.current, "measured", "."),
                            Line(found.u, found.i, "ngspice, fitted"),
                        ],
                        ("voltage", "V"), ("current", "A"),
                    ),
                    Panel([Line(drive.times, residuals)], ("time", "s"), ("residual", "A")),
                ],
            ),
            "Left: measured and fitted loop. Right: residual of the current.",
        ),
        Grid(("parameter", "start", "fitted", "standard error", "remark"), rows),
    )  # fmt: skip
