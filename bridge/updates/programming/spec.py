"""The programming file: what `tellegen program` reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from bridge.errors import NetworkError, SpecError
from bridge.experiment.section import KeyProblemError, Section, without
from bridge.experiment.source import ExistingFile, apply_overrides, load_yaml, validate
from bridge.experiment.spec_devices import DeviceFile, VariationSpec, memristor_of, no_start
from bridge.units import Number, Seconds, Volts
from bridge.updates.nonidealities import Spread, Stuck, stream
from bridge.updates.programming.array import Array
from bridge.updates.programming.base import Settings
from bridge.updates.programming.cells import LinesSpec
from bridge.updates.programming.kinds import PROGRAMMERS
from bridge.updates.programming.noise import deviations, noisy
from circuits.devices.memristors import Memristor

FloatArray = NDArray[np.float64]
LARGEST = 1 << 16  # cells
LARGEST_TABLE = 8 << 20  # bytes
_LEAST_STUCK = 1e-6  # conductance of a cell that is stuck off, as a share of the device's greatest


class DeviceSpec(Section):
    """The device of every cell."""

    model: Annotated[str, Field(description="kind of memristive device")] = "yakopcic"
    device: DeviceFile = None
    published: Annotated[
        str | None, Field(description="published set of parameters; the first if left out")
    ] = None
    parameters: Annotated[dict[str, Number], Field(description="parameters that differ from it")] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _known(self) -> DeviceSpec:
        try:
            self.memristor.place("d", "p", "n", published=self.published, **self.parameters)
        except NetworkError as error:
            raise ValueError(str(error)) from error
        no_start(self.parameters, self.memristor, "the key `initial`")
        return self

    def idle(self) -> dict[str, str]:
        """A device of the user's own is in its file."""
        why = "beside device, the file of your own one"
        return {} if self.device is None else without(("model", "published"), why)

    @property
    def memristor(self) -> Memristor:
        """The device."""
        return memristor_of(self.model, self.device)


class ArraySpec(LinesSpec):
    """Size and lines of the array."""

    rows: Annotated[int, Field(ge=1)]
    columns: Annotated[int, Field(ge=1, description="weights in a row")]
    devices_per_weight: Literal[1, 2] = 1

    @model_validator(mode="after")
    def _size(self) -> ArraySpec:
        if self.rows * self.lines > LARGEST:
            raise ValueError(f"{self.rows} x {self.lines} cells; at most {LARGEST} are programmed")
        return self

    @property
    def lines(self) -> int:
        """Column lines."""
        return self.columns * self.devices_per_weight


class ProgrammerSpec(Section):
    """The programmer and its pulses; what is left out follows from the device."""

    kind: Literal["ideal", "open_loop", "write_verify"] = "write_verify"
    tolerance: Annotated[Number, Field(gt=0, lt=1, description="relative error of a conductance")] = 0.01
    raise_voltage: Annotated[Volts | None, Field(description="of pulses that raise the state")] = None
    lower_voltage: Annotated[Volts | None, Field(description="of pulses that lower the state")] = None
    longest: Annotated[Seconds | None, Field(gt=0, description="flat top of a pulse at most")] = None
    edge: Annotated[Number, Field(gt=0, lt=1, description="rise or fall, as a share of the longest")] = 0.1
    points: Annotated[int, Field(ge=8, description="time steps of a slot at least")] = 32
    scheme: Literal["half", "third", "grounded"] | None = None
    max_rounds: Annotated[int, Field(ge=1)] = 20
    max_pulses: Annotated[int, Field(ge=1, description="for one device")] = 100
    patience: Annotated[int, Field(ge=1, description="rounds without a change until a device is left")] = 4

    pulses: Annotated[
        Literal["width", "number"],
        Field(description="open_loop: the width of one pulse, or a number of pulses of the width `longest`"),
    ] = "width"

    def idle(self) -> dict[str, str]:
        """Ideal writes have no pulses, open-loop ones no rounds."""
        if self.kind == "ideal":
            others = set(type(self).model_fields) - {"kind", "tolerance"}
            return without(sorted(others), "with kind ideal, which gives no pulses")
        if self.kind == "open_loop":
            few = ("max_pulses",) if self.pulses == "width" else ()
            return without(("max_rounds", "patience", *few), "with kind open_loop, which verifies nothing")
        return {"pulses": "with kind write_verify, which computes widths"}

    @field_validator("kind")
    @classmethod
    def _exists(cls, kind: str) -> str:
        assert kind in PROGRAMMERS
        return kind


class TargetSpec(Section):
    """Target conductances: random ones between two fractions of the range, or a CSV file [S]."""

    low: Annotated[Number, Field(ge=0, le=1, description="fraction of the conductance range")] = 0.1
    high: Annotated[Number, Field(ge=0, le=1)] = 0.9
    file: Annotated[ExistingFile | None, Field(description="CSV: rows of conductances, no header")] = None

    def idle(self) -> dict[str, str]:
        """A file has all targets."""
        return {} if self.file is None else without(("low", "high"), "beside file")

    @model_validator(mode="after")
    def _ordered(self) -> TargetSpec:
        if not self.low <= self.high:
            raise ValueError("needs low <= high")
        return self


class ProgramSpec(Section):
    """An array, its programmer and its targets."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
    seed: Annotated[int, Field(ge=0)] = 0
    initial: Annotated[
        Number, Field(ge=0, le=1, description="state to start from, fraction of its range")
    ] = 0.5
    device: DeviceSpec = DeviceSpec()
    array: ArraySpec
    programmer: ProgrammerSpec = ProgrammerSpec()
    devices: VariationSpec = VariationSpec(spread=[])
    target: TargetSpec = TargetSpec()

    @model_validator(mode="after")
    def _exact(self) -> ProgramSpec:
        if self.programmer.kind == "ideal":
            for key in ("cycle_noise", "read_noise"):
                if getattr(self.devices, key):
                    raise KeyProblemError(
                        ("devices", key),
                        "the ideal programmer sets states exactly; use open_loop or write_verify",
                    )
        device = self.device.memristor
        fixed = [p.name for p in device.parameters if p.name not in device.initial_names]
        for k, spread in enumerate(self.devices.spread):
            if unknown := [name for name in spread.parameters if name not in fixed]:
                raise KeyProblemError(
                    ("devices", "spread", k, "parameters"),
                    f"a {device.kind} has no parameter {unknown[0]!r} that pulses could meet; it has: "
                    f"{', '.join(fixed)}",
                )
        return self

    def build(self) -> tuple[Array, Settings]:
        """The array and the settings of its programmer."""
        a, device = self.array, self.device.memristor
        array = Array(device, a.rows, a.lines, self.device.parameters, published=self.device.published)
        spreads = [Spread(tuple(s.parameters), s.relative, s.distribution) for s in self.devices.spread]
        array = replace(a.wired(array), deviations=deviations(array, spreads, self.seed))
        shares = self.devices.stuck
        low, high = array.conductance_range
        ends = (np.full(array.shape, max(low, _LEAST_STUCK * high)), np.full(array.shape, high))
        stuck = Stuck(shares.on, shares.off, shares.random).values(*ends, stream(self.seed, "stuck", 0))
        if np.isfinite(stuck).any():
            array = replace(array, stuck=stuck)
        return array, Settings(**self.programmer.model_dump(exclude={"kind"}))

    def noise(self, array: Array, settings: Settings) -> dict[str, Any]:
        """Fields of the programmer for noise from cycle to cycle and of reads.

        Raises:
            SpecError: no parameter of the device is the speed of its state.
        """
        return noisy(array, settings, self.devices.cycle_noise, self.devices.read_noise)

    def targets(self, array: Array) -> FloatArray:
        """Target conductances `(rows, column lines)` [S].

        Raises:
            SpecError: the file is no table of positive numbers of that shape.
        """
        if self.target.file is None:
            low, high = array.conductance_range
            share = np.random.default_rng(self.seed).uniform(self.target.low, self.target.high, array.shape)
            return low + share * (high - low)
        return read_table(self.target.file, array.shape)


def read_table(path: Path, shape: tuple[int, int]) -> FloatArray:
    """A CSV file of positive numbers without header.

    Raises:
        SpecError: it holds something else, or has another shape.
    """
    rows = []
    try:
        if (size := path.stat().st_size) > LARGEST_TABLE:
            most = f"{LARGEST_TABLE >> 20} MiB, which is enough for {LARGEST} conductances"
            raise SpecError(f"{path}: has {size / 2**20:.1f} MiB; give a table of at most {most}")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read as text ({type(error).__name__})") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = [float(part) for part in line.split(",")]
        except ValueError:
            raise SpecError(f"{path}:{number}: not a row of numbers separated by commas") from None
        if len(row) != shape[1] or not all(np.isfinite(v) and v > 0 for v in row):
            raise SpecError(
                f"{path}:{number}: needs {shape[1]} positive conductances [S], has {len(row)} values"
            )
        rows.append(row)
    if len(rows) != shape[0]:
        raise SpecError(f"{path}: has {len(rows)} rows, the array has {shape[0]}")
    return np.array(rows)


def load_program(path: Path, overrides: tuple[str, ...] = ()) -> ProgramSpec:
    """Read a programming file.

    Raises:
        SpecError: it is wrong; one line `file:line: key: what; what to do` a problem.
    """
    return validate(ProgramSpec, apply_overrides(load_yaml(path), overrides))
