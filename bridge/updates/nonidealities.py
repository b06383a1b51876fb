"""What devices do to the conductances that are written into them: spread, noise, levels, drift, stuck cells.

A conductance that is asked for passes, in this order, the levels that can be told apart, the device's own
gain (device-to-device spread), the noise of this write (cycle-to-cycle), the end of the range, a cell that is
stuck, the drift since the write, and the noise of a read. Every random number comes from a stream of the
experiment's seed that is named by its purpose and, for noise, by the number of the write or read: nothing
depends on the order in which things are asked for.

Sources: Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016) for the list of a device's deviations;
Nandakumar et al., Front. Neurosci. 14, 406 (2020) for drift, `G(t) = G(t0) (t / t0)^-nu` with a spread of nu.
Not modelled: correlations between neighbours, random telegraph noise, wear, retention loss other than drift.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bridge.errors import TellegenError

FloatArray = NDArray[np.float64]

DEVICES = 16
"""The part of an experiment's seed that belongs to devices."""
PURPOSES = {
    name: k
    for k, name in enumerate(
        ("parameters", "mismatch", "gain", "stuck", "exponent", "write", "read", "pulses", "robustness")
    )
}
_LEAST = 1e-3  # least conductance after drift and noise, as a share of the lower bound


class DeviceError(TellegenError):
    """A non-ideality's value is out of range, or does not fit the devices."""


def stream(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """The generator of one purpose.

    Args:
        seed: the experiment's.
        purpose: one of `PURPOSES`.
        numbers: of the write, the read or the draw.
    """
    return np.random.default_rng(np.random.SeedSequence([seed, DEVICES, PURPOSES[purpose], *numbers]))


@dataclass(frozen=True)
class Spread:
    """Device-to-device spread: one factor a device, of mean 1.

    Attributes:
        parameters: what the factor multiplies; `conductance` is what the device reaches when written.
        relative: standard deviation of the factor.
        distribution: `normal` (a factor may be negative before its parameter is clipped to its bounds) or
            `lognormal`.
    """

    parameters: tuple[str, ...] = ("conductance",)
    relative: float = 0.0
    distribution: Literal["normal", "lognormal"] = "normal"

    def __post_init__(self) -> None:
        _at_least_zero("spread", self.relative)

    def factors(self, count: int, rng: np.random.Generator) -> FloatArray:
        """One factor for each of `count` devices."""
        draws = rng.standard_normal(count)
        if self.distribution == "lognormal":
            sigma = np.sqrt(np.log1p(self.relative**2))
            return np.asarray(np.exp(sigma * draws - sigma**2 / 2))
        return 1.0 + self.relative * draws


@dataclass(frozen=True)
class Drift:
    """Power-law drift after the last write.

    Attributes:
        exponent: mean of `nu`.
        exponent_spread: its standard deviation among devices (absolute); exponents below 0 are 0.
        reference_time: `t0`, when the written value is measured [s].
        elapsed: `t`, time from the write to the use [s]; not before `t0`.
    """

    exponent: float
    exponent_spread: float = 0.0
    reference_time: float = 1.0
    elapsed: float = 1.0

    def __post_init__(self) -> None:
        _at_least_zero("drift exponent", self.exponent)
        _at_least_zero("spread of the drift exponent", self.exponent_spread)
        if not 0 < self.reference_time <= self.elapsed < np.inf:
            raise DeviceError(
                f"drift: from {self.reference_time:g} s to {self.elapsed:g} s; "
                "the reference time must be positive and not after the elapsed time"
            )

    def exponents(self, count: int, rng: np.random.Generator) -> FloatArray:
        """`nu` of each device."""
        drawn = self.exponent + self.exponent_spread * rng.standard_normal(count)
        return np.asarray(np.maximum(drawn, 0.0))

    def factors(self, exponents: FloatArray) -> FloatArray:
        """What is left of each conductance."""
        return np.asarray((self.elapsed / self.reference_time) ** -exponents)


@dataclass(frozen=True)
class Stuck:
    """Shares of cells that no write changes.

    Attributes:
        on: stuck at the greatest conductance.
        off: stuck at the least.
        random: stuck anywhere between, uniformly.
    """

    on: float = 0.0
    off: float = 0.0
    random: float = 0.0

    def __post_init__(self) -> None:
        shares = (self.on, self.off, self.random)
        if min(shares) < 0 or sum(shares) > 1:
            raise DeviceError(f"stuck: the shares {shares} must be at least 0 and at most 1 together")

    def values(self, lower: FloatArray, upper: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Conductance [S] of every stuck cell, NaN for the others; the shape of the bounds."""
        chance, place = rng.random(lower.shape), rng.random(lower.shape)
        ends = np.cumsum([self.on, self.off, self.random])
        found = np.full(lower.shape, np.nan)
        found = np.where(chance < ends[2], lower + place * (upper - lower), found)
        found = np.where(chance < ends[1], lower, found)
        return np.asarray(np.where(chance < ends[0], upper, found))


def quantise(
    conductance: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    levels: int,
    spacing: Literal["linear", "log"] = "linear",
) -> FloatArray:
    """The nearest of evenly spaced levels from the least to the greatest conductance.

    Args:
        conductance: [S], any shape.
        lower: Gmin [S], broadcasts.
        upper: Gmax [S].
        levels: how many, the ends among them; at least 2.
        spacing: `linear`, or `log` for equal ratios.
    """
    if levels < 2:
        raise DeviceError(f"levels: {levels}; there must be at least 2")
    if spacing == "log":
        return np.asarray(np.exp(quantise(np.log(conductance), np.log(lower), np.log(upper), levels)))
    step = (upper - lower) / (levels - 1)
    size = np.where(step > 0, step, 1.0)
    place = np.clip(np.rint((conductance - lower) / size), 0, levels - 1)
    return np.asarray(np.where(place == levels - 1, upper, lower + place * step))


@dataclass(frozen=True)
class Imperfections:
    """Everything that can be wrong with written conductances; the defaults are ideal devices.

    Attributes:
        spreads: those with the parameter `conductance` are gains of what is written.
        cycle_noise: relative standard deviation of a conductance from write to write.
        read_noise: relative standard deviation of a conductance from read to read.
        levels: number of levels, `None` for a continuum.
        level_spacing: `linear` or `log`.
        drift: after the write.
        stuck: cells that keep their value.
    """

    spreads: tuple[Spread, ...] = ()
    cycle_noise: float = 0.0
    read_noise: float = 0.0
    levels: int | None = None
    level_spacing: Literal["linear", "log"] = "linear"
    drift: Drift | None = None
    stuck: Stuck = Stuck()

    def __post_init__(self) -> None:
        _at_least_zero("cycle noise", self.cycle_noise)
        _at_least_zero("read noise", self.read_noise)


class Cells:
    """The cells of an array and what is individual about each.

    Attributes:
        gain: factor of each cell on what is written.
        stuck: conductance of stuck cells [S], NaN for the others.
        exponents: drift exponent of each cell.
    """

    def __init__(
        self, kinds: Imperfections, lower: FloatArray, upper: FloatArray, seed: int, chip: int = 0
    ) -> None:
        """Draw the cells.

        Args:
            kinds: what is wrong with them.
            lower: Gmin of each cell [S], `(n,)`.
            upper: Gmax of each cell [S], `(n,)`.
            seed: of the experiment.
            chip: another number is another chip of the same kind.
        """
        self.kinds, self.lower, self.upper = kinds, lower, upper
        self.seed, self.chip = seed, chip
        self.gain = np.ones(lower.shape)
        for k, spread in enumerate(kinds.spreads):
            if "conductance" in spread.parameters:
                self.gain = self.gain * spread.factors(len(lower), stream(seed, "gain", chip, k))
        self.stuck = kinds.stuck.values(lower, upper, stream(seed, "stuck", chip))
        self.exponents = np.zeros(lower.shape)
        if kinds.drift is not None:
            self.exponents = kinds.drift.exponents(len(lower), stream(seed, "exponent", chip))

    def levels(self, wanted: FloatArray) -> FloatArray:
        """What can be asked for, for conductances `(n,)` [S]."""
        within = np.clip(wanted, self.lower, self.upper)
        if self.kinds.levels is None:
            return within
        return quantise(within, self.lower, self.upper, self.kinds.levels, self.kinds.level_spacing)

    def written(self, asked: FloatArray, write: int) -> FloatArray:
        """What an ideal programmer's write number `write` leaves in the cells, `(n,)` [S]."""
        reached = asked * self.gain
        if self.kinds.cycle_noise:
            noise = stream(self.seed, "write", self.chip, write).standard_normal(len(reached))
            reached = reached * (1.0 + self.kinds.cycle_noise * noise)
        return self.held(np.clip(reached, self.lower, self.upper))

    def held(self, reached: FloatArray) -> FloatArray:
        """Conductances with those of stuck cells put in, `(n,)` [S]."""
        return np.asarray(np.where(np.isnan(self.stuck), reached, self.stuck))

    def aged(self, stored: FloatArray) -> FloatArray:
        """Conductances at the time of their use, `(n,)` [S]."""
        if self.kinds.drift is None:
            return stored
        return np.asarray(np.maximum(stored * self.kinds.drift.factors(self.exponents), _LEAST * self.lower))

    def read(self, present: FloatArray, *reading: int) -> FloatArray:
        """Conductances as one read meets them, `(n,)` [S]; `reading` numbers it."""
        if not self.kinds.read_noise:
            return present
        noise = stream(self.seed, "read", self.chip, *reading).standard_normal(len(present))
        return np.asarray(np.maximum(present * (1.0 + self.kinds.read_noise * noise), _LEAST * self.lower))


def _at_least_zero(name: str, value: float) -> None:
    if not 0 <= value < np.inf:
        raise DeviceError(f"{name}: {value:g}; it must be a finite number of at least 0")
