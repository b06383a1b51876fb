"""Sessions: circuits that are loaded once and run many times in this process's engine."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Sequence
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
from bridge.ngspice import messages as msg
from bridge.ngspice.circuit import Circuit, Loaded
from bridge.ngspice.drives import Signals, SourceTable
from bridge.ngspice.engine import Engine
from bridge.ngspice.openvaf import check_loaded, compile_module
from bridge.ngspice.scratch import scratch
from circuits.deck import Deck

__all__ = ["Circuit", "Counts", "Session"]

FloatArray = NDArray[np.float64]

_TIME_SLACK = 1e-9  # of the duration: rounding of the last time point
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

    def load_deck(self, deck: Deck) -> Loaded:
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
        width = len(deck.saves) + 8 if deck.saves else 4096
        if deck.keeps_all:  # and the currents of elements that have one of their own
            width += sum(line[:1] in "VvLlEeHhBb" for line in deck.lines)
        return Loaded(title, deck, SourceTable(deck.sources), width=width)

    def select(self, loaded: Loaded) -> None:
        """Make a loaded circuit the current one."""
        self._alive()
        if not self.engine.select(loaded.title):
            raise SimulationError(f"the circuit could not be selected: {loaded.title}")

    def run(
        self,
        loaded: Loaded,
        signals: Sequence[Signals],
        command: str,
        rows: int = 4,
        duration: float | None = None,
        points: int = 1,
    ) -> tuple[FloatArray, FloatArray]:
        """Run one analysis and check that what came back is its result.

        Args:
            loaded: the circuit.
            signals: what its external sources play.
            command: `op`, or a `dc` or `tran` line.
            rows: time points to reserve memory for.
            duration: end of a transient [s]; `None` for operating points.
            points: how many operating points there must be.

        Returns:
            The saved vectors' values, `(n_points, n_saves)`, and the times of a transient, `(n_points,)` [s].
        """
        self.select(loaded)
        control, engine, deck = self.engine.control, self.engine, loaded.deck
        loaded.table.play(signals)
        control.begin(loaded.table)
        control.reserve(rows, max(loaded.width, control.buffer.shape[1]))
        with scratch():
            printed = list(engine.command(command))
        words = control.words
        count = int(words[cb.ROWS])
        loaded.width = max(loaded.width, int(words[cb.N_VECTORS]))
        try:
            self._check(loaded, printed, duration, points)
            columns = self._columns(loaded, int(words[cb.LAYOUT]), duration is not None)
            if count <= len(control.buffer) and int(words[cb.N_VECTORS]) <= control.buffer.shape[1]:
                found = control.buffer[:count]
                values = np.take(found, columns[: len(deck.saves)], axis=1)
                time = found[:, columns[-1]].copy() if duration is not None else np.zeros(0)
            else:  # more points than reserved: the plot of this run holds them all
                found = self._plot(control.names, columns, count)
                values = np.ascontiguousarray(found[:, : len(deck.saves)])
                time = found[:, -1].copy() if duration is not None else np.zeros(0)
            if duration is not None:
                self._check_time(time, duration, deck, printed)
            if not np.isfinite(values).all():
                raise NotFiniteError("a result is not a finite number", self._evidence(deck, printed))
        finally:
            engine.command("destroy all")
        return values, time

    def _check(self, loaded: Loaded, printed: list[str], duration: float | None, points: int) -> None:
        words, deck = self.engine.control.words, loaded.deck
        rows = int(words[cb.ROWS])
        if words[cb.UNKNOWN]:
            raise IncompleteError(
                "an external source of the netlist is not one of the deck's sources",
                self._evidence(deck, printed),
            )
        suspicious = msg.suspicious(printed)
        errors = msg.errors(printed) if suspicious else []
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
        if suspicious and msg.pseudo_transient(printed):
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
        if not (time[1:] > time[:-1]).all():
            raise IncompleteError("the transient's time does not increase", self._evidence(deck, printed))

    def _columns(self, loaded: Loaded, layout: int, with_time: bool) -> NDArray[np.int64]:
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


def _canonical(name: str) -> str:
    """Ngspice's name of a vector as the deck writes it: `a` is `v(a)`, `vin#branch` is `i(vin)`."""
    text = name.lower()
    if text.endswith("#branch"):
        return f"i({text.removesuffix('#branch')})"
    if text == "time" or text.startswith("@") or "(" in text:
        return text
    return f"v({text})"
