"""The three kinds of programmers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.updates.programming.array import Array
from bridge.updates.programming.base import (
    BoolArray,
    FloatArray,
    Programmed,
    Programmer,
    ProgrammingError,
    Settings,
    Timer,
)
from bridge.updates.programming.bench import Pulses
from bridge.updates.programming.inverse import after
from bridge.updates.programming.readout import hidden

_MOVED = 0.02  # of the way to go: a smaller measured change is none
_EFFORT = (0.25, 64.0)
_GAIN = (0.25, 4.0)


class Ideal(Programmer):
    """Sets the states to those of the targets; stuck devices stay. Nothing is simulated."""

    def _program(self, targets: FloatArray, states: FloatArray, rng: np.random.Generator) -> Programmed:
        array = self.array
        new = states.copy()
        known = {s.name: states[..., k] for k, s in enumerate(array.device.states)}
        new[..., 0] = array.device.state_for(targets, {**array.own, **known})
        reached = array.conductances(new)
        return Programmed(
            new, reached, reached, np.zeros(array.shape, dtype=np.int64), 0, self.within(reached, targets)
        )


class OpenLoop(Programmer):
    """Pulses from the believed model and the states it is given, without a read: one, or a number of them."""

    def _program(self, targets: FloatArray, states: FloatArray, rng: np.random.Generator) -> Programmed:
        array, timer = self.array, Timer()
        self.bench.states = states.copy()
        wanted = array.device.state_for(targets, array.believed)
        count = np.zeros(array.shape, dtype=np.int64)
        history = []
        for number, given in enumerate(self._rounds(states, wanted), start=1):
            self._renew(rng, number)
            pulsed = np.zeros(array.shape, dtype=bool)
            for pulses in given:
                self.bench.pulse(pulses)
                pulsed |= pulses.given
            count += pulsed
            present = array.conductances(self.bench.states)
            history.append(_entry(number, pulsed, present, targets, self.within(present, targets), timer))
        final = self.bench.states.copy()
        reached = array.conductances(final)
        good = self.within(reached, targets)
        return Programmed(final, reached, reached, count, len(history), good, tuple(history))

    def _rounds(self, states: FloatArray, wanted: FloatArray) -> list[list[Pulses]]:
        """The pulses of every round, those that raise and those that lower."""
        if self.settings.pulses == "width":
            return [self._pulses(states, wanted, np.ones(wanted.shape, dtype=bool), np.ones(wanted.shape))]
        drive, numbers = self.drive, []
        for k, sense in enumerate((1.0, -1.0)):
            mine = sense * (wanted - states[..., 0]) > 0.0
            numbers.append(np.where(mine, self._number(states, wanted, k), 0))
        return [
            [
                Pulses(v, np.where(n > done, width, 0.0), np.where(n > done, 1.0, 0.0), edge)
                for n, v, width, edge in zip(numbers, drive.voltages, drive.longest, drive.edges, strict=True)
            ]
            for done in range(int(np.max(numbers)))
        ]

    def _number(self, states: FloatArray, wanted: FloatArray, way: int) -> NDArray[np.int64]:
        """How many pulses of one kind bring each believed device nearest to a first state."""
        device, drive, values = self.array.device, self.drive, self.array.believed
        shape, wanted = wanted.shape, wanted.ravel()
        full = np.ones(wanted.shape)
        voltage, width, edge = (v[way] * full for v in (drive.voltages, drive.longest, drive.edges))
        now, found = states.reshape(wanted.size, -1), np.zeros(wanted.shape, dtype=np.int64)
        nearest = np.abs(now[:, 0] - wanted)
        for number in range(1, self.settings.max_pulses + 1):
            now = after(device, voltage, width, full, edge, now, values, self.bench.rest)
            distance = np.abs(now[:, 0] - wanted)
            if not (distance < nearest).any():
                break
            found = np.where(distance < nearest, number, found)
            nearest = np.minimum(distance, nearest)
        return found.reshape(shape)


class WriteVerify(Programmer):
    """Reads, then pulses and reads again, until every device is within the tolerance or out of budget.

    The way that a device went against the way that the model promised sets how much of it the next pulse
    asks for: devices and lines that differ from the believed model are learned in a few rounds. A device
    that stands still, because the pulse stays below its own threshold, is asked for twice as much; it is
    given up when it has not moved in `patience` rounds at the strongest pulses.
    """

    def _program(self, targets: FloatArray, states: FloatArray, rng: np.random.Generator) -> Programmed:
        array, settings, timer = self.array, self.settings, Timer()
        if reason := hidden(array, targets, settings.tolerance):
            raise ProgrammingError(f"programming: {reason}")
        self.bench.states = states.copy()
        measured = self._read(rng)
        good = self.within(measured, targets)
        gain = np.ones(array.shape)
        history = [_entry(0, np.zeros_like(good), measured, targets, good, timer)]
        count = np.zeros(array.shape, dtype=np.int64)
        idle = np.zeros(array.shape, dtype=np.int64)
        effort = np.ones((2, *array.shape))
        low, high = array.device.bounds[0]
        rounds = 0
        while rounds < settings.max_rounds:
            chosen = ~good & (count < settings.max_pulses) & (idle < settings.patience)
            if not chosen.any():
                break
            rounds += 1
            gain = self._gain(gain, measured)
            wanted = array.device.state_for(targets / gain, array.believed)
            now = self._believed_states(measured / gain)
            self._renew(rng, rounds)
            pulsed = np.zeros(array.shape, dtype=bool)
            way = wanted - now[..., 0]
            sense = np.where(way > 0, 0, 1)
            share = np.take_along_axis(effort, sense[None], 0)[0]
            full = np.zeros(array.shape, dtype=bool)
            for pulses, longest in zip(
                self._pulses(now, wanted, chosen, share), self.drive.longest, strict=True
            ):
                self.bench.pulse(pulses)
                pulsed |= pulses.given
                full |= pulses.given & (pulses.width >= longest)
            count += pulsed
            measured = self._read(rng)
            good = self.within(measured, targets)
            gone = array.device.state_for(measured / gain, array.believed) - now[..., 0]
            with np.errstate(divide="ignore", invalid="ignore"):
                progress = np.where(pulsed, gone / way, 1.0)
            still = pulsed & ~(np.abs(progress) > _MOVED)
            end = now[..., 0] + share * way
            strongest = full | (share >= _EFFORT[1]) | (end <= low) | (end >= high)
            idle = np.where(still, idle + strongest, np.where(pulsed, 0, idle))
            self._learn(effort, sense, share, progress, pulsed & ~full)
            history.append(_entry(rounds, pulsed, measured, targets, good, timer))
        final = self.bench.states.copy()
        return Programmed(final, array.conductances(final), measured, count, rounds, good, tuple(history))

    def _gain(self, gain: FloatArray, measured: FloatArray) -> FloatArray:
        """Conductances over those of the believed model, changed where a read lies outside of its range.

        Without it a device that conducts better than the model at best could not be told from one that has
        reached a target there.
        """
        low, high = (gain * end for end in self.array.conductance_range)
        with np.errstate(divide="ignore", invalid="ignore"):
            new = np.where(measured > high, measured / high, np.where(measured < low, measured / low, 1.0))
        return np.asarray(np.clip(gain * new, *_GAIN))

    @staticmethod
    def _learn(
        effort: FloatArray, sense: NDArray[Any], share: FloatArray, progress: FloatArray, judged: BoolArray
    ) -> None:
        """Scale the effort of pulsed devices by what they went; the longest pulses tell nothing."""
        factor = np.clip(1.0 / np.clip(progress, 0.25, 4.0), 0.5, 2.0)
        new = np.clip(np.where(judged, share * factor, share), *_EFFORT)
        np.put_along_axis(effort, sense[None], new[None], 0)


def _entry(
    number: int, pulsed: BoolArray, measured: FloatArray, targets: FloatArray, good: BoolArray, timer: Timer
) -> dict[str, float]:
    error = np.abs(measured / targets - 1.0)
    return {
        "round": number,
        "pulsed": int(pulsed.sum()),
        "within": float(good.mean()),
        "median": float(np.median(error)),
        "worst": float(error.max()),
        "seconds": timer.lap(),
    }


PROGRAMMERS: dict[str, type[Programmer]] = {
    "ideal": Ideal,
    "open_loop": OpenLoop,
    "write_verify": WriteVerify,
}


def make_programmer(kind: str, array: Array, settings: Settings | None = None, **options: Any) -> Programmer:
    """Make a programmer by its name.

    Args:
        kind: `ideal`, `open_loop` or `write_verify`.
        array: the devices.
        settings: how.
        options: further fields of `Programmer`.

    Raises:
        ProgrammingError: there is no such kind.
    """
    if kind not in PROGRAMMERS:
        raise ProgrammingError(f"unknown programmer {kind!r}; choose one of: {', '.join(PROGRAMMERS)}")
    return PROGRAMMERS[kind](array, settings or Settings(), **options)
