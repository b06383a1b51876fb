"""A loaded circuit: altered, driven and run, on the rungs of the ladder of retries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bridge.errors import ConvergenceError, IncompleteError, SimulationError
from bridge.ngspice import ladder
from bridge.ngspice import messages as msg
from bridge.ngspice.alterations import Targets, Values
from bridge.ngspice.drives import Signals, SourceTable, constant, in_turn
from bridge.ngspice.limits import check_limits
from bridge.waveforms import Waveforms
from circuits.deck import Deck
from circuits.numbers import spice_number, spice_numbers

if TYPE_CHECKING:
    from bridge.ngspice.session import Session

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_FIRST = 0.01  # ngspice begins with a hundredth of its print step: here 1e-4 of the largest step


@lru_cache(maxsize=64)
def _tran(duration: float, step: float, first: float) -> str:
    """The command of a transient; `first` is the step that its first one is a ten-thousandth of."""
    return " ".join(["tran", *(spice_number(v) for v in (_FIRST * first, duration, 0.0, step))])


@dataclass
class Loaded:
    """One circuit in ngspice's memory.

    Attributes:
        title: by which ngspice selects it.
        deck: what was loaded.
        table: its external sources.
        columns: places of the saved vectors in the callback's buffer, by the layout of the plot.
        values: what was altered, by the circuit's own numbers of the targets.
        version: of the circuit's alterations that it has.
        counter: name of the source that counts the points of a sweep.
        width: vectors of a run, as far as it is known.
    """

    title: str
    deck: Deck
    table: SourceTable
    columns: dict[int, tuple[IntArray, int]] = field(default_factory=dict)
    values: Values = field(default_factory=Values)
    version: int = 0
    counter: str = ""
    width: int = 0


class Circuit:
    """A deck in a session: alter it, drive it, run it.

    Attributes:
        deck: what was loaded.
        rung: name of the ladder's rung that gave the last result.
    """

    def __init__(self, session: Session, deck: Deck) -> None:
        self.session = session
        self.deck = deck
        self.rung = ladder.AS_GIVEN.name
        self._told = Targets()
        self._values = Values()
        self._version = 0
        self._variants: dict[tuple[tuple[str, object], ...], Loaded] = {}
        self._last = self._variant(ladder.AS_GIVEN)

    def alter(self, targets: Sequence[str], values: Sequence[float] | FloatArray) -> None:
        """Set element values, for example `("r1", "@d1[area]")`; those unchanged cost nothing.

        The variant of the circuit that ran last is altered at once, others when they run next. Pass
        the same tuple of targets again where speed matters: what is derived from it is kept.

        Raises:
            ValueError: a value is not finite.
            SimulationError: ngspice knows no such element or parameter.
        """
        told = self._told.of(targets)
        new = np.asarray(values, dtype=float)
        if new.shape != told.places.shape:
            raise ValueError(f"{new.size} values for {told.places.size} targets")
        which = np.flatnonzero(self._values.read(told.places) != new)
        if not len(which):
            return
        numbers = spice_numbers(new[which])  # raises before anything is forgotten
        self._values.write(told.places[which], np.nan)  # unknown until the variant has taken it over
        self._version += 1
        self._apply(self._last, told.places[which], new[which], told.commands(which, numbers))
        self._values.write(told.places[which], new[which])
        self._last.version = self._version

    def _apply(
        self, loaded: Loaded, places: IntArray, values: FloatArray, commands: Iterator[tuple[slice, bytes]]
    ) -> None:
        self.session.select(loaded)
        engine = self.session.engine
        loaded.values.write(places, np.nan)
        for part, text in commands:
            printed = engine.command(text)
            if printed and (bad := msg.errors(printed)):
                names = [(self._told.names[k], v) for k, v in zip(places[part], values[part], strict=True)]
                named = [(t, v) for t, v in names if t.strip("@").split("[")[0] in bad[0].lower()]
                target, value = named[0] if named else names[0]
                raise SimulationError(f"alter {target} = {value:g} failed: {bad[0]}")
        loaded.values.write(places, values)

    def _variant(self, rung: ladder.Rung) -> Loaded:
        """The circuit with a rung's options, with all that was altered."""
        loaded = self._variants.get(rung.options)
        if loaded is None:
            deck, counter = rung.deck(self.deck), ""
            if rung.name == ladder.IN_SEQUENCE:
                deck, counter = deck.with_counter()
            loaded = self.session.load_deck(deck)
            loaded.counter = counter
            self._variants[rung.options] = loaded
        if loaded.version != self._version:
            everything = np.arange(len(self._told.names))
            wanted = self._values.read(everything)
            places = np.flatnonzero((wanted != loaded.values.read(everything)) & ~np.isnan(wanted))
            told = self._told.of([self._told.names[k] for k in places])
            commands = told.commands(np.arange(len(places)), spice_numbers(wanted[places]))
            self._apply(loaded, places, wanted[places], commands)
            loaded.version = self._version
        self._last = loaded
        return loaded

    def operating_point(self, signals: Sequence[Signals] = ()) -> FloatArray:
        """The saved vectors at the operating point, `(len(deck.saves),)`.

        Args:
            signals: what the external sources play, at time 0; those left out are zero.

        Raises:
            ConvergenceError: none was found on any rung of the ladder.
            SimulationError: this run gave no result that can be trusted.
        """
        return self._at_rest(signals, "op")

    def small_signal(self, signals: Sequence[Signals], frequency: float) -> FloatArray:
        """Real parts of the saved vectors' phasors about the operating point, `(len(deck.saves),)`.

        Sources of the deck with `ac` excite the circuit, linearised at the operating point.

        Args:
            signals: what the external sources play, at time 0; those left out are zero.
            frequency: [Hz].

        Raises:
            ConvergenceError: no operating point was found on any rung of the ladder.
            SimulationError: this run gave no result that can be trusted.
        """
        text = spice_number(frequency)
        return self._at_rest(signals, f"ac lin 1 {text} {text}")

    def _at_rest(self, signals: Sequence[Signals], command: str) -> FloatArray:
        failure: SimulationError | None = None
        for rung in ladder.OPERATING_POINT:
            try:
                values = np.asarray(self.session.run(self._variant(rung), signals, command)[0][0])
            except SimulationError as error:
                failure = self._failed(failure, error)
                continue
            self._passed(rung)
            self.session.counts.operating_points += 1
            return values
        raise failure or ConvergenceError("no operating point")

    def operating_points(self, values: FloatArray) -> FloatArray:
        """Operating points one after another, each found from the one before: a sweep of the sources.

        Each is solved to tighter tolerances than a single one (`ladder.in_sequence`). The sweep begins with
        the last of them, from scratch, which the one that it ends with is compared with.

        Args:
            values: of the external sources from number 0 on, `(n_points, n_sources)`.

        Returns:
            The saved vectors, `(n_points, len(deck.saves))`.

        Raises:
            ConvergenceError: one of them did not converge.
            IncompleteError: the last differs from the operating point by more than the deck's tolerances.
            SimulationError: this run gave no result that can be trusted.
        """
        if len(values) < 2:
            rows = [self.operating_point([constant(v)]) for v in values]
            return np.array(rows).reshape(-1, len(self.deck.saves))
        loaded = self._variant(ladder.in_sequence(self.deck.options))
        counts, points = self.session.counts, len(values)
        try:
            played = [in_turn(np.concatenate([values[-1:], values]))]
            command = f"dc {loaded.counter} 0 {points} 1"
            found = self.session.run(loaded, played, command, points + 5, points=points + 1)[0]
            fresh, found = found[0], found[1:]
            options = self.deck.options
            allowed = options.reltol * np.abs(fresh) + options.vntol
            if (np.abs(found[-1] - fresh) > allowed).any():
                worst = int(np.argmax(np.abs(found[-1] - fresh) / allowed))
                raise IncompleteError(
                    f"operating points in sequence: {self.deck.saves[worst]} ends at "
                    f"{found[-1][worst]:.9g} V, the operating point from scratch at {fresh[worst]:.9g} V"
                )
        except SimulationError:
            counts.failures += 1
            raise
        counts.operating_points += points
        counts.in_sequence += points
        self.rung = ladder.IN_SEQUENCE
        return found

    def transient(
        self,
        signals: Sequence[Signals],
        duration: float,
        step: float,
        *,
        uic: bool = True,
        first_rung: int = 0,
        coarser: float = 1.0,
    ) -> Waveforms:
        """The saved vectors over time.

        Args:
            signals: what the external sources play; those left out are zero.
            duration: end of the transient [s]; it starts at 0.
            step: largest time step [s].
            uic: start from the elements' initial conditions instead of an operating point. There is
                then no sample at t = 0.
            first_rung: position on the ladder to start from, so that runs whose difference counts use
                the same rung.
            coarser: how many times longer the step is than that whose first step this transient begins
                with.

        Raises:
            TimestepError: the time step became too small on every rung.
            BoundsError: a device's state left its bounds on every rung.
            SimulationError: this run gave no result that can be trusted.
        """
        if not 0 < step <= duration:
            raise ValueError(f"step {step:g} s and duration {duration:g} s: 0 < step <= duration")
        failure: SimulationError | None = None
        for rung in ladder.TRANSIENT[first_rung:]:
            tmax = step * rung.step_factor
            text = _tran(duration, tmax, tmax / coarser)
            rows = int(1.3 * duration / tmax) + 1000
            try:
                values, time = self.session.run(
                    self._variant(rung), signals, f"{text}{' uic' if uic else ''}", rows, duration
                )
                check_limits(self.deck.limits, self.deck.saves, time, values)
            except SimulationError as error:
                failure = self._failed(failure, error)
                continue
            self._passed(rung)
            self.session.counts.transients += 1
            return Waveforms(time, values, self.deck.saves, attrs={"rung": rung.name, "step": tmax})
        raise failure or ConvergenceError("no transient")

    def _failed(self, first: SimulationError | None, error: SimulationError) -> SimulationError:
        self.session.counts.failures += 1
        if self.session.engine.dead or not isinstance(error, ConvergenceError | IncompleteError):
            raise error
        return first or error

    def _passed(self, rung: ladder.Rung) -> None:
        self.rung = rung.name
        if rung is not ladder.AS_GIVEN:
            counts = self.session.counts
            counts.retries += 1
            counts.rungs[rung.name] = counts.rungs.get(rung.name, 0) + 1
