"""Programmers: what brings the devices of an array to target conductances.

`ideal` sets the states. `open_loop` computes one pulse for every device from the believed model and gives
it. `write_verify` reads, computes and gives pulses, until a read finds a device within the tolerance or the
budget is used up.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bridge.errors import TellegenError
from bridge.ngspice.session import Session
from bridge.updates.programming.array import Array
from bridge.updates.programming.bench import READ_SHARE, Bench, Pulses, Scheme
from bridge.updates.programming.inverse import (
    crossing_time,
    default_amplitude,
    disturbance,
    middle_states,
    pulse_for,
    rates,
)
from circuits.netlist import Realisation

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Perturb = Callable[[np.random.Generator, int, Mapping[str, Any]], Mapping[str, ArrayLike]]
"""Values of live parameters `(rows, columns)` for a round, from a generator, the round, the array's own."""
ReadNoise = Callable[[np.random.Generator, FloatArray], FloatArray]
"""What a read returns instead of the conductances `(rows, columns)` [S]."""


SHORT = 0.02
"""Width of pulses that are counted, as a share of the time in which the state crosses its range."""
DISTURBANCE = 0.01
"""Speed of an unselected device over that of a selected one up to which a scheme is chosen by itself."""


class ProgrammingError(TellegenError):
    """Devices cannot be programmed as asked: an option, a target or a state is wrong."""


@dataclass(frozen=True, eq=False)
class Programmed:
    """What programming has reached.

    Attributes:
        states: `(rows, columns)` or `(rows, columns, n_states)`, as they were given.
        conductances: of the devices at their read voltage, from their states [S].
        measured: what the last read found [S]; the conductances where nothing was read.
        pulses: number given to each device.
        rounds: number of rounds of pulses.
        converged: devices whose measured conductance is within the tolerance.
        history: one mapping a round: `round`, `pulsed` (devices), `within` (share), `median` and `worst`
            (relative errors of what was read), `seconds`.
    """

    states: FloatArray
    conductances: FloatArray
    measured: FloatArray
    pulses: NDArray[np.int64]
    rounds: int
    converged: BoolArray
    history: tuple[Mapping[str, float], ...] = ()


@dataclass(frozen=True)
class Settings:
    """How pulses are made and judged.

    Attributes:
        tolerance: allowed relative error of a conductance.
        raise_voltage: of pulses that raise the first state, with its sign [V]; from the device by default.
        lower_voltage: of those that lower it.
        longest: greatest flat top of a pulse [s]; by default the time in which the first state crosses its
            range at its speed in the middle.
        edge: duration of a rise or fall as a share of the longest flat top.
        points: least number of time steps of a slot.
        scheme: what unselected lines carry. By default `grounded` for cells with transistors, else `half` or
            `third`, whichever leaves unselected devices alone.
        max_rounds: of pulses.
        max_pulses: for one device.
        patience: rounds at the strongest pulses without a measured change after which a device gets no more.
        realisation: how the devices' laws are simulated.
        pulses: what an open-loop programmer computes: the `width` of one pulse, or the `number` of pulses of
            the width `longest`, by default a fiftieth of the time in which the state crosses its range.
    """

    tolerance: float = 0.01
    raise_voltage: float | None = None
    lower_voltage: float | None = None
    longest: float | None = None
    edge: float = 0.1
    points: int = 32
    scheme: Scheme | None = None
    max_rounds: int = 20
    max_pulses: int = 100
    patience: int = 4
    realisation: Realisation = "auto"
    pulses: Literal["width", "number"] = "width"

    def __post_init__(self) -> None:
        wrong = [k for k in ("tolerance", "edge") if not 0.0 < getattr(self, k) < 1.0]
        wrong += [k for k in ("max_rounds", "max_pulses", "patience") if getattr(self, k) < 1]
        wrong += ["points"] if self.points < 8 else []
        wrong += ["longest"] if self.longest is not None and not 0.0 < self.longest < np.inf else []
        wrong += ["scheme"] if self.scheme not in (None, "half", "third", "grounded") else []
        if wrong:
            key = wrong[0]
            raise ProgrammingError(f"programming: {key} = {getattr(self, key)!r} is out of range")


@dataclass
class Programmer(ABC):
    """Programs the devices of one array; the loaded circuit stays for the next call.

    Attributes:
        array: the devices.
        settings: how.
        perturb: gives live parameters new values in every round (variation from cycle to cycle).
        perturbed: names of the parameters that it returns.
        read_noise: what reads return instead of the conductances.
        session: in which the array is loaded; a new one in this process's engine by default.
    """

    array: Array
    settings: Settings = field(default_factory=Settings)
    perturb: Perturb | None = None
    perturbed: tuple[str, ...] = ()
    read_noise: ReadNoise | None = None
    session: Session | None = None

    def __post_init__(self) -> None:
        if (self.perturb is None) != (not self.perturbed):
            raise ProgrammingError("programming: perturb and the names of the parameters that it changes "
                                   "are given together")  # fmt: skip
        for name in self.perturbed:
            self.array.device.index(name)
        self._bench: Bench | None = None
        self._drive: Drive | None = None

    def program(
        self, targets: ArrayLike, states: ArrayLike, rng: np.random.Generator | int | None = None
    ) -> Programmed:
        """Bring the devices to target conductances.

        Args:
            targets: `(rows, columns)` [S] at the device's read voltage; those outside of the device's range
                are tried as they are and do not converge.
            states: to start from, `(rows, columns)` of the first state or `(rows, columns, n_states)`.
            rng: of `perturb` and `read_noise`, or its seed.

        Raises:
            ProgrammingError: targets are of the wrong shape or not positive.
            NetworkError: states are of the wrong shape or out of bounds.
            SimulationError: a simulation failed.
        """
        wanted = np.asarray(targets, dtype=float)
        if wanted.shape != self.array.shape or not (np.isfinite(wanted).all() and (wanted > 0.0).all()):
            raise ProgrammingError(
                f"programming: targets of shape {wanted.shape} must be positive, of shape {self.array.shape}"
            )
        start = self.array.all_states(states)
        found = self._program(wanted, start, np.random.default_rng(rng))
        if np.ndim(states) == 3:
            return found
        return replace(found, states=found.states[..., 0])

    @abstractmethod
    def _program(self, targets: FloatArray, states: FloatArray, rng: np.random.Generator) -> Programmed:
        """Program from states `(rows, columns, n_states)`."""

    @property
    def drive(self) -> Drive:
        """Voltages and durations of the pulses."""
        if self._drive is None:
            self._drive = Drive.of(self.array, self.settings)
        return self._drive

    @property
    def bench(self) -> Bench:
        """The loaded array."""
        if self._bench is None:
            s, array = self.settings, self.array
            self._bench = Bench(
                array, scheme=s.scheme or self._scheme(), points=s.points, time_scale=max(self.drive.longest),
                live=self.perturbed, realisation=s.realisation, session=self.session,
            )  # fmt: skip
        return self._bench

    def _scheme(self) -> Scheme:
        """A scheme that leaves unselected cells alone.

        Raises:
            ProgrammingError: the device has no threshold that would allow one.
        """
        if self.array.separate:
            return "half"
        if self.array.cell.kind == "1t1r":
            return "grounded"
        seen = {
            "half": (0.5,),
            "third": (1.0 / 3.0, -1.0 / 3.0),
        }  # shares of the voltage on unselected devices
        for scheme, shares in seen.items():
            drift = disturbance(self.array.device, self.array.believed, self.drive.voltages, shares)
            if drift <= DISTURBANCE or self.array.cell.kind == "selector":
                return cast(Scheme, scheme)
        raise ProgrammingError(
            f"programming: a {self.array.device.kind} at a third of {self.drive.voltages[0]:g} V or "
            f"{self.drive.voltages[1]:g} V still moves with {drift:.2g} of its speed, so that a shared array "
            "cannot be programmed; use 1t1r cells, other voltages, or name a scheme to see it fail"
        )

    def usage(self) -> dict[str, Any]:
        """Counts since the start and the time spent inside the simulator [s]; none before the first pulse."""
        return {} if self._bench is None else self._bench.session.usage()

    def within(self, measured: FloatArray, targets: FloatArray) -> BoolArray:
        """Devices within the tolerance of their targets."""
        return np.asarray(np.abs(measured - targets) <= self.settings.tolerance * targets)

    def _read(self, rng: np.random.Generator) -> FloatArray:
        found = self.bench.read(READ_SHARE * min(self.drive.edges))
        return found if self.read_noise is None else np.asarray(self.read_noise(rng, found))

    def _renew(self, rng: np.random.Generator, number: int) -> None:
        if self.perturb is not None:
            new = self.perturb(rng, number, self.array.own)
            if set(new) != set(self.perturbed):
                raise ProgrammingError(f"programming: perturb returned {sorted(new)}, "
                                       f"not {sorted(self.perturbed)}")  # fmt: skip
            self.bench.alter(new)

    def _believed_states(self, measured: FloatArray) -> FloatArray:
        """States `(rows, columns, n_states)` that the believed model has at measured conductances."""
        known = self.array.believed
        full = np.empty((*self.array.shape, len(self.array.device.states)))
        full[:] = middle_states(self.array.device, known)
        full[..., 0] = self.array.device.state_for(measured, known)
        return full

    def _pulses(
        self, now: FloatArray, wanted: FloatArray, chosen: BoolArray, effort: FloatArray
    ) -> list[Pulses]:
        """Pulses for chosen devices, those that raise the first state and those that lower it.

        Args:
            now: states `(rows, columns, n_states)`.
            wanted: first states `(rows, columns)`.
            chosen: devices to pulse.
            effort: factor on the way to go, `(rows, columns)`.

        Returns:
            Those that raise, those that lower.
        """
        low, high = self.array.device.bounds[0]
        way = np.clip(now[..., 0] + effort * (wanted - now[..., 0]), low, high)
        chosen = chosen & (way != now[..., 0])
        falling = (way < now[..., 0])[chosen].astype(int)
        drive = self.drive
        width, height = np.zeros(self.array.shape), np.zeros(self.array.shape)
        width[chosen], height[chosen] = pulse_for(
            self.array.device, np.array(drive.voltages)[falling], np.array(drive.edges)[falling],
            np.array(drive.longest)[falling], now[chosen], way[chosen], self.array.believed, self.bench.rest,
        )  # fmt: skip
        made = []
        for k in (0, 1):
            mine = np.zeros(self.array.shape, dtype=bool)
            mine[chosen] = falling == k
            made.append(
                Pulses(
                    drive.voltages[k], np.where(mine, width, 0.0), np.where(mine, height, 0.0), drive.edges[k]
                )
            )
        return made


@dataclass(frozen=True)
class Drive:
    """Voltages and durations of pulses that raise and that lower the first state.

    Attributes:
        voltages: with their signs [V].
        longest: flat tops [s].
        edges: durations of a rise or fall [s].
    """

    voltages: tuple[float, float]
    longest: tuple[float, float]
    edges: tuple[float, float]

    @classmethod
    def of(cls, array: Array, settings: Settings) -> Drive:
        """What an array's device needs.

        Raises:
            ProgrammingError: the device does not move at a voltage, or moves the other way.
        """
        device, values = array.device, array.believed
        voltages = [settings.raise_voltage, settings.lower_voltage]
        if None in voltages:
            if not device.published:
                raise ProgrammingError(f"programming: {device.kind} has no published cycle; give "
                                       "raise_voltage and lower_voltage")  # fmt: skip
            chosen = array.published or device.published[0].name
            cycle = device.set_named(chosen).stimulus
            at = rates(device, np.asarray(cycle.positive), middle_states(device, values), values)[0]
            peaks = (cycle.positive, -cycle.negative) if at >= 0 else (-cycle.negative, cycle.positive)
            voltages = [
                float(np.sign(peak)) * default_amplitude(device, values, peak) if v is None else v
                for v, peak in zip(voltages, peaks, strict=True)
            ]
        both = [float(v) for v in voltages if v is not None]
        longest = []
        for v, sense in zip(both, (1.0, -1.0), strict=True):
            moved = rates(device, np.asarray(v), middle_states(device, values), values)[0]
            if not sense * moved > 0.0:
                raise ProgrammingError(
                    f"programming: {v:g} V does not {'raise' if sense > 0 else 'lower'} the state of a "
                    f"{device.kind}; choose another voltage"
                )
            share = SHORT if settings.pulses == "number" else 1.0
            longest.append(settings.longest or share * crossing_time(device, values, v))
        edges = [settings.edge * t for t in longest]
        return cls((both[0], both[1]), (longest[0], longest[1]), (edges[0], edges[1]))


class Timer:
    """Seconds since it was made or last asked."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last lap."""
        now = time.perf_counter()
        passed, self._last = now - self._last, now
        return passed
