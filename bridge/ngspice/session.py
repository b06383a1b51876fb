"""Sessions: circuits that are loaded once and run many times in this process's engine."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.errors import (
    ConvergenceError,
    Evidence,
    IncompleteError,
    LoadError,
    NotFiniteError,
    SimulationError,
    TimestepError,
)
from bridge.ngspice import callbacks as cb
from bridge.ngspice import ladder
from bridge.ngspice import messages as msg
from bridge.ngspice.drives import Signals, SourceTable, constant, in_turn
from bridge.ngspice.engine import Engine
from bridge.ngspice.limits import check_limits
from bridge.ngspice.openvaf import check_loaded, compile_module
from bridge.ngspice.scratch import scratch
from bridge.waveforms import Waveforms
from circuits.deck import Deck
from circuits.numbers import spice_number

FloatArray = NDArray[np.float64]

_TIME_SLACK = 1e-9  # of the duration: rounding of the last time point
_FIRST = 0.01  # ngspice begins with a hundredth of its print step: here 1e-4 of the largest step
_COMMAND = 400  # letters a command; ngspice drops what is behind some 1,000 of them without a word
_serial = itertools.count(1)


@dataclass
class Counts:
    """What a session has simulated.

    Attributes:
        operating_points: operating points that gave a result.
        transients: transients that gave a result.
        in_sequence: operating points that were found each from the one before.
        retries: runs above the first rung of the ladder.
        failures: runs that gave no result on a rung.
        rungs: how often each rung above the first gave the result.
    """

    operating_points: int = 0
    transients: int = 0
    in_sequence: int = 0
    retries: int = 0
    failures: int = 0
    rungs: dict[str, int] = field(default_factory=dict)


@dataclass
class _Loaded:
    """One circuit in ngspice's memory."""

    title: str
    deck: Deck
    table: SourceTable
    columns: dict[int, tuple[NDArray[np.int64], int]] = field(default_factory=dict)
    altered: dict[str, float] = field(default_factory=dict)
    version: int = 0
    counter: str = ""


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
        self._altered: dict[str, float] = {}
        self._version = 0
        self._variants: dict[tuple[tuple[str, object], ...], _Loaded] = {}
        self._last = self._variant(ladder.AS_GIVEN)

    def alter(self, targets: Sequence[str], values: Sequence[float] | FloatArray) -> None:
        """Set element values, for example `("r1", "@d1[area]")`; those unchanged cost nothing.

        The variant of the circuit that ran last is altered at once, others when they run next.

        Raises:
            SimulationError: ngspice knows no such element or parameter.
        """
        known = self._altered
        changes = [(t, v) for t, v in zip(targets, map(float, values), strict=True) if known.get(t) != v]
        if not changes:
            return
        for target, _ in changes:  # unknown until the variant has taken it over
            known.pop(target, None)
        self._version += 1
        self._apply(self._last, changes)
        known.update(changes)
        self._last.version = self._version

    def _apply(self, loaded: _Loaded, changes: Sequence[tuple[str, float]]) -> None:
        self.session.select(loaded)
        engine = self.session.engine
        for some in _commands(changes):
            for target, _, _ in some:
                loaded.altered.pop(target, None)
            printed = engine.command(";".join(text for _, _, text in some))
            if printed and (bad := msg.errors(printed)):
                named = [(t, v) for t, v, _ in some if t.strip("@").split("[")[0] in bad[0].lower()]
                target, value = named[0] if named else some[0][:2]
                raise SimulationError(f"alter {target} = {value:g} failed: {bad[0]}")
            loaded.altered.update((target, value) for target, value, _ in some)

    def _variant(self, rung: ladder.Rung) -> _Loaded:
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
            own = loaded.altered
            self._apply(loaded, [(t, v) for t, v in self._altered.items() if own.get(t) != v])
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
        failure: SimulationError | None = None
        for rung in ladder.OPERATING_POINT:
            try:
                values = np.asarray(self.session.run(self._variant(rung), signals, "op")[1][0])
            except SimulationError as error:
                failure = self._failed(failure, error)
                continue
            self._passed(rung)
            self.session.counts.operating_points += 1
            return values
        raise failure or ConvergenceError("no operating point")

    def operating_points(self, values: FloatArray) -> FloatArray:
        """Operating points one after another, each found from the one before: a sweep of the sources.

        Each is solved to tighter tolerances than a single one (`ladder.in_sequence`). The last is compared
        with an operating point from scratch.

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
            command = f"dc {loaded.counter} 0 {points - 1} 1"
            found = self.session.run(loaded, [in_turn(values)], command, points + 4, points=points)[1]
            found = np.array(found)
            fresh = self.session.run(loaded, [constant(values[-1])], "op")[1][0]
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
            text = " ".join(spice_number(v) for v in (_FIRST * tmax, duration, 0.0, tmax))
            rows = int(1.3 * duration / tmax) + 1000
            try:
                names, values = self.session.run(
                    self._variant(rung), signals, f"tran {text}{' uic' if uic else ''}", rows, duration
                )
                check_limits(self.deck.limits, names, values[:, -1], values[:, :-1])
            except SimulationError as error:
                failure = self._failed(failure, error)
                continue
            self._passed(rung)
            self.session.counts.transients += 1
            return Waveforms(
                values[:, -1].copy(), values[:, :-1], names, attrs={"rung": rung.name, "step": tmax}
            )
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


class Session:
    """Circuits loaded in this process's engine.

    A result is returned only if this run produced it: the callbacks received it, its vectors are those of
    the deck, it reaches the end, and every value is finite. Otherwise a typed error carries the evidence.

    Args:
        engine: the engine; this process's own by default.
        dump_folder: where the netlist of a failed run is written; a temporary folder by default.
    """

    def __init__(self, engine: Engine | None = None, dump_folder: Path | None = None) -> None:
        self.engine = engine or Engine.get()
        self.counts = Counts()
        self._dump_folder = dump_folder

    def usage(self) -> dict[str, Any]:
        """Counts since the start and the time spent inside the simulator [s]."""
        return {**asdict(self.counts), "ngspice_seconds": self.engine.seconds}

    def load(self, deck: Deck) -> Circuit:
        """Load a deck.

        Raises:
            LoadError: ngspice refused it, or ignored one of its lines.
            SpecError, OpenVafError, LibraryError: a Verilog-A module cannot be compiled or loaded.
        """
        return Circuit(self, deck)

    def load_deck(self, deck: Deck) -> _Loaded:
        """Load one variant of a deck; it becomes the current circuit."""
        self._alive()
        for module in deck.modules:
            if module not in self.engine.checked:
                compiled = compile_module(module)
                self.engine.load_modules(compiled.path, compiled.key, tuple(compiled.terminals))
                check_loaded(module, self.engine.command(f"devhelp {module.name}"))
                self.engine.checked.add(module)
        title = f"tellegen {os.getpid()} {next(_serial)}"
        loaded, printed = self.engine.load([title, *deck.text()[1:]])
        if not loaded:
            bad = msg.errors(printed)
            raise LoadError(
                f"ngspice refused the netlist: {bad[0] if bad else 'it did not report the circuit'}",
                self._evidence(deck, printed),
            )
        return _Loaded(title, deck, SourceTable(deck.sources))

    def select(self, loaded: _Loaded) -> None:
        """Make a loaded circuit the current one."""
        self._alive()
        if not self.engine.select(loaded.title):
            raise SimulationError(f"the circuit could not be selected: {loaded.title}")

    def run(
        self,
        loaded: _Loaded,
        signals: Sequence[Signals],
        command: str,
        rows: int = 4,
        duration: float | None = None,
        points: int = 1,
    ) -> tuple[tuple[str, ...], FloatArray]:
        """Run one analysis and check that what came back is its result.

        Args:
            loaded: the circuit.
            signals: what its external sources play.
            command: `op`, or a `dc` or `tran` line.
            rows: time points to reserve memory for.
            duration: end of a transient [s]; `None` for operating points.
            points: how many operating points there must be.

        Returns:
            The saved vectors' names and their values, `(n_points, n_saves)`; a transient has one more
            column with the time.
        """
        self.select(loaded)
        control, engine, deck = self.engine.control, self.engine, loaded.deck
        loaded.table.play(signals)
        control.begin(loaded.table)
        width = max(1, len(deck.saves)) + 8 if deck.saves else 4096
        control.reserve(rows, max(width, control.buffer.shape[1]))
        with scratch():
            printed = list(engine.command(command))
        words = control.words
        count = int(words[cb.ROWS])
        try:
            self._check(loaded, printed, duration, points)
            columns = self._columns(loaded, int(words[cb.LAYOUT]), duration is not None)
            if count <= len(control.buffer) and int(words[cb.N_VECTORS]) <= control.buffer.shape[1]:
                values = np.take(control.buffer[:count], columns, axis=1)
            else:  # more points than reserved: the plot of this run holds them all
                values = self._plot(control.names, columns, count)
            if duration is not None:
                self._check_time(values[:, -1], duration, deck, printed)
            if not np.isfinite(values).all():
                raise NotFiniteError("a result is not a finite number", self._evidence(deck, printed))
        finally:
            engine.command("destroy all")
        return deck.saves, values

    def _check(self, loaded: _Loaded, printed: list[str], duration: float | None, points: int) -> None:
        words, deck = self.engine.control.words, loaded.deck
        rows = int(words[cb.ROWS])
        if words[cb.UNKNOWN]:
            raise IncompleteError(
                "an external source of the netlist is not one of the deck's sources",
                self._evidence(deck, printed),
            )
        errors = msg.errors(printed)
        if self.engine.dead or errors or rows < (1 if duration is None else 2) or words[cb.PLOTS] != 1:
            if msg.timestep_too_small(printed) and duration is not None:
                raise TimestepError("the time step became too small", self._evidence(deck, printed))
            if msg.no_convergence(printed):
                what = "operating point" if duration is None else "transient"
                if where := msg.singular(printed):
                    what += f" has no unique solution at {where} (a floating node, or a loop of voltages) and"
                raise ConvergenceError(f"the {what} did not converge", self._evidence(deck, printed))
            first = errors[0] if errors else "ngspice returned no values"
            raise IncompleteError(f"the simulation failed: {first}", self._evidence(deck, printed))
        if duration is None and rows != points:
            raise IncompleteError(
                f"{rows} operating points instead of {points}", self._evidence(deck, printed)
            )
        if msg.pseudo_transient(printed):
            raise ConvergenceError(
                "no operating point: only a pseudo-transient ended, settled or not",
                self._evidence(deck, printed),
            )

    def _check_time(self, time: FloatArray, duration: float, deck: Deck, printed: list[str]) -> None:
        if abs(time[-1] - duration) > _TIME_SLACK * duration or time[0] > 0.5 * duration:
            raise IncompleteError(
                f"the transient ran from {time[0]:g} s to {time[-1]:g} s instead of to {duration:g} s",
                self._evidence(deck, printed),
            )
        if not (np.diff(time) > 0).all():
            raise IncompleteError("the transient's time does not increase", self._evidence(deck, printed))

    def _columns(self, loaded: _Loaded, layout: int, with_time: bool) -> NDArray[np.int64]:
        """Columns of the deck's vectors in the callback's buffer, the time last."""
        count = int(self.engine.control.words[cb.N_VECTORS])
        key = layout * 2 + int(with_time)
        known = loaded.columns.get(key)
        if known is not None and known[1] == count:
            return known[0]
        names = {_canonical(n): k for k, n in enumerate(self.engine.control.names)}
        wanted = [*loaded.deck.saves, "time"] if with_time else list(loaded.deck.saves)
        missing = [n for n in wanted if n.lower() not in names]
        if missing:
            raise IncompleteError(
                f"the result has no vector {missing[0]!r}: it is not one of this circuit",
                self._evidence(loaded.deck, list(names)),
            )
        columns = np.array([names[n.lower()] for n in wanted], dtype=np.int64)
        loaded.columns[key] = (columns, count)
        return columns

    def _plot(self, names: tuple[str, ...], columns: NDArray[np.int64], count: int) -> FloatArray:
        vectors = [self.engine.vector(names[c]) for c in columns]
        if any(v is None or len(v) != count for v in vectors):
            raise IncompleteError("the plot does not hold all points of this run")
        return np.stack(vectors, axis=1)

    def _alive(self) -> None:
        if self.engine.dead:
            raise LoadError("ngspice has ended itself after an earlier error; start a new process")

    def _evidence(self, deck: Deck, printed: list[str]) -> Evidence:
        folder = self._dump_folder or Path(tempfile.gettempdir())
        path: Path | None = folder / f"tellegen-failed-{os.getpid()}.cir"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(deck.text()) + "\n", encoding="utf-8")  # type: ignore[union-attr]
        except OSError:
            path = None
        kept = [m for m in printed if m.strip() and not m.lstrip().startswith("Reference value")]
        picked = [m for m in kept if msg.errors([m]) or msg.no_convergence([m])] or kept
        return Evidence(tuple(picked[-12:]), msg.offending_line(printed, deck.lines), path)


def _commands(changes: Sequence[tuple[str, float]]) -> Iterator[list[tuple[str, float, str]]]:
    """Alterations, several a command: most of a command's time does not depend on its length."""
    some: list[tuple[str, float, str]] = []
    length = 0
    for target, value in changes:
        text = f"alter {target} = {spice_number(value)}"
        if some and length + len(text) >= _COMMAND:
            yield some
            some, length = [], 0
        some.append((target, value, text))
        length += len(text) + 1
    if some:
        yield some


def _canonical(name: str) -> str:
    """Ngspice's name of a vector as the deck writes it: `a` is `v(a)`, `vin#branch` is `i(vin)`."""
    text = name.lower()
    if text.endswith("#branch"):
        return f"i({text.removesuffix('#branch')})"
    if text == "time" or text.startswith("@") or "(" in text:
        return text
    return f"v({text})"
