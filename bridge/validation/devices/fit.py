"""A memristive device against measured data: parameters fitted on the independent integration.

The data is a CSV file with a header and the columns `time,voltage,current` [s, V, A], or `voltage,current` in
the order of the sweep, which is then taken to be uniform in time over the stimulus' period.
"""

from __future__ import annotations

import csv
import math
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

FloatArray = NDArray[np.float64]

COLUMNS = (("time", "voltage", "current"), ("voltage", "current"))
LEAST = 10
"""Fewest points that a fit takes."""
EVALUATIONS = 60
"""Most iterations of the fit."""


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
        before: RMS residual at the start, as a share of the measured RMS.
        after: the same at the end.
        evaluations: of the model.
    """

    names: tuple[str, ...]
    values: dict[str, float]
    errors: FloatArray
    before: float
    after: float
    evaluations: int


def fit(subject: MemristorSubject, measured: Measured) -> Fit:
    """Least squares of the current, in the logarithms of positive parameters, within all bounds."""
    device = subject.device
    drive = measured.drive(subject.published.stimulus.period)
    size = float(np.sqrt(np.mean(measured.current**2)))
    fitted = [p for p in device.parameters if p.trainable and subject.values[p.name] != 0.0]
    start = np.array([subject.values[p.name] for p in fitted])
    log = np.array([v > 0.0 and p.lower >= 0.0 for p, v in zip(fitted, start, strict=True)])
    scale = np.where(log, 1.0, np.abs(start))
    calls = 0

    def values_of(x: FloatArray) -> FloatArray:
        return np.asarray(np.where(log, start * np.exp(np.where(log, x - 1.0, 0.0)), scale * x))

    def residual(x: FloatArray) -> FloatArray:
        nonlocal calls
        calls += 1
        changed = {p.name: float(v) for p, v in zip(fitted, values_of(x), strict=True)}
        try:
            found = subject.reference(drive, drive.times, {**subject.values, **changed}, rtol=1e-7)
        except (SimulationError, OverflowError):
            return np.full(len(measured.current), 1e3)
        return np.asarray(
            np.nan_to_num((found.i - measured.current) / size, nan=1e3, posinf=1e3, neginf=-1e3)
        )

    lower, upper = [], []
    for k, p in enumerate(fitted):
        low, high = p.lower, p.upper
        if log[k]:  # at most three decades away
            lower.append(1.0 + max(-6.9, math.log(low / start[k]) if low > 0.0 else -6.9))
            upper.append(1.0 + min(6.9, math.log(high / start[k]) if math.isfinite(high) else 6.9))
        else:
            lower.append(low / scale[k])
            upper.append(high / scale[k])
    x0 = np.where(log, 1.0, start / scale)  # logarithms from 1: differences are relative to x
    bounds = (np.minimum(lower, x0 - 1e-9), np.maximum(upper, x0 + 1e-9))
    first = float(np.sqrt(np.mean(residual(x0) ** 2)))
    done = least_squares(residual, x0, bounds=bounds, diff_step=1e-4, max_nfev=EVALUATIONS, x_scale="jac")
    errors = _errors(done.jac, done.fun) * np.where(log, values_of(done.x), scale)
    new = {
        p.name: float(np.clip(v, p.lower, p.upper)) for p, v in zip(fitted, values_of(done.x), strict=True)
    }
    after = float(np.sqrt(np.mean(done.fun**2)))
    return Fit(tuple(p.name for p in fitted), {**subject.values, **new}, errors, first, after, calls)


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
    rows = [
        (n, number(subject.values[n], 5), number(result.values[n], 5),
         number(e, 2) if np.isfinite(e) else "not determined")
        for n, e in zip(result.names, result.errors, strict=True)
    ]  # fmt: skip
    clock = (
        "with the times of the file"
        if measured.time is not None
        else f"taken as uniform over the stimulus' period of {subject.published.stimulus.period:g} s"
    )
    findings.add(
        "Measured data",
        Text(
            f"{Path(measured.path).name}: {len(measured.voltage)} points, {clock}. The parameters are fitted "
            "by least squares on the scipy integration of the equations, positive ones in their logarithms, "
            f"from the set's values: the RMS residual falls from {percent(result.before)} to "
            f"{percent(result.after)} of the measured RMS in {result.evaluations} evaluations. ngspice with "
            f"the fitted values is {percent(relative)} off."
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
        Grid(("parameter", "start", "fitted", "standard error"), rows),
    )  # fmt: skip
