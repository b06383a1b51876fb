"""What is random about the writing and reading of an array: cycle-to-cycle and read noise, seeded.

Cycle-to-cycle noise is a factor on the speed of the state, drawn for every device and every round of pulses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.errors import SpecError
from bridge.updates.nonidealities import Spread, stream
from bridge.updates.programming.array import Array
from bridge.updates.programming.base import Drive, Settings
from bridge.updates.programming.inverse import middle_states, rates

FloatArray = NDArray[np.float64]

_LEAST_SPEED = 0.05  # of the nominal one, however great the noise


def noisy(array: Array, settings: Settings, cycle_noise: float, read_noise: float) -> dict[str, Any]:
    """Fields of a `Programmer` for noise; picklable.

    Args:
        array: what it writes.
        settings: of the programmer.
        cycle_noise: relative standard deviation of the speed of the state in a round.
        read_noise: relative standard deviation of a conductance that is read.

    Raises:
        SpecError: no parameter of the device is the speed of its state.
    """
    options: dict[str, Any] = {}
    if cycle_noise:
        names = speeds(array, settings)
        options |= {"perturb": partial(perturbed, names, array.shape, cycle_noise), "perturbed": names}
    if read_noise:
        options["read_noise"] = ReadNoise(read_noise)
    return options


@dataclass(frozen=True)
class ReadNoise:
    """A factor on every conductance that is read.

    Attributes:
        relative: its standard deviation.
    """

    relative: float

    def __call__(self, rng: np.random.Generator, found: FloatArray) -> FloatArray:
        """What a read returns instead of conductances [S] of any shape."""
        return np.asarray(found * (1.0 + self.relative * rng.standard_normal(found.shape)))


def perturbed(
    names: tuple[str, ...],
    shape: tuple[int, int],
    noise: float,
    rng: np.random.Generator,
    number: int,
    own: Mapping[str, Any],
) -> dict[str, FloatArray]:
    """The devices' speeds in one round, with one common factor a device, `(rows, columns)` each."""
    factor = np.maximum(1.0 + noise * rng.standard_normal(shape), _LEAST_SPEED)
    return {n: np.asarray(own[n] * factor) for n in names}


def speeds(array: Array, settings: Settings) -> tuple[str, ...]:
    """Parameters that the speed of the first state is proportional to, in one direction or in both.

    Raises:
        SpecError: the device has none for one of the directions.
    """
    device, values = array.device, array.believed
    drive = Drive.of(array, settings)
    states = middle_states(device, values)
    found, covered = [], np.zeros(2, dtype=bool)
    for p in device.parameters:
        if p.name in device.initial_names or not values[p.name]:
            continue
        ratios = [
            rates(device, np.asarray(v), states, {**values, p.name: 1.01 * values[p.name]})[0]
            / rates(device, np.asarray(v), states, values)[0]
            for v in drive.voltages
        ]
        scaled, still = np.isclose(ratios, 1.01, rtol=1e-9), np.isclose(ratios, 1.0, rtol=1e-9)
        if scaled.any() and (scaled | still).all() and not (covered & scaled).any():
            found.append(p.name)
            covered |= scaled
    if not covered.all():
        raise SpecError(
            f"cycle_noise: no parameter of a {device.kind} is the speed of its state; "
            "use programming ideal, or leave the noise out"
        )
    return tuple(found)


def deviations(array: Array, spreads: Sequence[Spread], seed: int) -> dict[str, FloatArray]:
    """The devices' own parameters, `(rows, columns)` each: one factor a device and spread, as in experiments.

    Args:
        array: of nominal devices.
        spreads: which parameters, and how much.
        seed: of the file.
    """
    device, found = array.device, dict[str, FloatArray]()
    for number, spread in enumerate(spreads):
        factors = spread.factors(array.rows * array.columns, stream(seed, "parameters", 0, number))
        for name in spread.parameters:
            limits = device.parameters[device.index(name)]
            own = found.get(name, array.believed[name]) * factors.reshape(array.shape)
            found[name] = np.asarray(np.clip(own, limits.lower, limits.upper))
    return found
