"""A deck: the text that a simulator loads, and what its lines mean; plain data that pickles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from circuits.numbers import spice_number


@dataclass(frozen=True)
class SolverOptions:
    """Tolerances and methods of the simulator; defaults fit differences of two runs.

    Attributes:
        reltol: relative tolerance of Newton's iterations and of the time step.
        abstol: absolute tolerance of currents [A].
        vntol: absolute tolerance of voltages [V].
        chgtol: absolute tolerance of charges [C].
        trtol: factor on the estimated truncation error; 1 keeps it at the tolerance.
        gmin: conductance across every junction [S].
        method: integration rule, `trap` or `gear`.
        itl1: Newton iterations allowed for an operating point.
        itl4: Newton iterations allowed at a time point.
        klu: sparse solver KLU instead of SPARSE; `None` leaves it to the size of what is loaded
            (`bridge.solver`), and stands for SPARSE in a deck.
        extra: further `.options` by name.
    """

    reltol: float = 1e-6
    abstol: float = 1e-12
    vntol: float = 1e-9
    chgtol: float = 1e-18
    trtol: float = 1.0
    gmin: float = 1e-12
    method: str = "trap"
    itl1: int = 500
    itl4: int = 50
    klu: bool | None = None
    extra: tuple[tuple[str, float], ...] = ()

    def line(self) -> str:
        """The options as a line of SPICE."""
        numbers = [
            ("reltol", self.reltol), ("abstol", self.abstol), ("vntol", self.vntol),
            ("chgtol", self.chgtol), ("trtol", self.trtol), ("gmin", self.gmin),
            ("itl1", self.itl1), ("itl4", self.itl4), *self.extra,
        ]  # fmt: skip
        text = " ".join(f"{key}={spice_number(value)}" for key, value in numbers)
        # An unsettled pseudo-transient must never pass for an operating point: optran off.
        return f".options {text} method={self.method} {'klu' if self.klu else 'sparse'}"


@dataclass(frozen=True)
class VerilogModule:
    """A Verilog-A module that a deck needs, as text, and what the deck uses of it.

    Attributes:
        name: of the module.
        sources: names of files and their text, the one with the module first.
        origin: path of that file, for messages; empty for generated modules.
        terminals: number of the module's terminals that the deck connects.
        instance: instance parameters that the deck sets.
        model: model parameters that the deck sets.
    """

    name: str
    sources: tuple[tuple[str, str], ...]
    origin: str = ""
    terminals: int = 0
    instance: tuple[str, ...] = ()
    model: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limit:
    """Bounds of a saved vector that holds a state of a device.

    Attributes:
        vector: its name among the deck's saves.
        low: lower bound, as the vector has it.
        high: upper bound, as the vector has it.
        element: name of the element.
        state: name of the state.
        scale: unit of the vector in the state's own.
        unit: of the state, as text.
        holding: the vectors of the branch's two nodes (empty for ground) where the state's rate vanishes at
            its bounds whatever the voltage.
    """

    vector: str
    low: float
    high: float
    element: str
    state: str
    scale: float = 1.0
    unit: str = "1"
    holding: tuple[str, str] | None = None


@dataclass(frozen=True)
class Deck:
    """A netlist to load, with the meaning of its lines.

    Attributes:
        title: first line.
        lines: element and model lines, without title, options, saves and `.end`.
        sources: instance names of the `EXTERNAL` sources, in the order of the drives' columns.
        saves: vectors to keep, for example `v(a)`, `i(vin)` or `@m1[gm]`, in the order of the results.
        options: tolerances and methods.
        origins: for each line, the network element it belongs to (empty where none).
        modules: Verilog-A modules that must be loaded before the circuit.
        notes: what a reader should know, as comments behind the title.
        limits: bounds of saved vectors that a transient must not leave.
        keeps_all: keep all node voltages and branch currents, of which `saves` are most: the simulator takes
            a time that grows with the square of their number to find what lines of `.save` name.
    """

    title: str
    lines: tuple[str, ...]
    sources: tuple[str, ...]
    saves: tuple[str, ...]
    options: SolverOptions = field(default_factory=SolverOptions)
    origins: tuple[str, ...] = ()
    modules: tuple[VerilogModule, ...] = ()
    notes: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    keeps_all: bool = False

    def with_options(self, **changes: object) -> Deck:
        """The same deck with other solver options."""
        return replace(self, options=replace(self.options, **changes))  # type: ignore[arg-type]

    def text(self) -> list[str]:
        """All lines as the simulator loads them."""
        saves = [] if self.keeps_all else [f".save {name}" for name in self.saves]
        return [self.title, *self._comments, *self.lines, self.options.line(), *saves, ".end"]

    @property
    def _comments(self) -> list[str]:
        return [f"* {note}" for note in self.notes]

    def with_counter(self) -> tuple[Deck, str]:
        """The same deck with a source that does nothing, for a sweep to count its points; its name."""
        names = {line.split(maxsplit=1)[0].lower() for line in self.lines}
        name = "icounter"
        while name in names:
            name += "_"
        origins = (*self.origins, "") if self.origins else ()
        return replace(self, lines=(*self.lines, f"{name} 0 0 dc 0"), origins=origins), name

    def _compiled(self) -> list[str]:
        """Commands that load compiled modules, which must lie beside a deck for `ngspice -b`."""
        names = dict.fromkeys(m.sources[0][0].rsplit("/", 1)[-1].removesuffix(".va") for m in self.modules)
        return [f"pre_osdi {name}.osdi" for name in names]

    def plain(self, values: Mapping[str, float | str], analysis: str) -> str:
        """A deck for `ngspice -b`: external sources become constants, the results are printed.

        Args:
            values: value of each external source by instance name [V or A], or its text in SPICE (`pwl(..)`);
                those left out are zero.
            analysis: the analysis line, for example `.op` or `.tran 1n 40n 0 1n uic`.

        Returns:
            The deck's text, which prints the saved vectors with all digits.
        """
        body = []
        known = set(self.sources)
        for line in self.lines:
            name = line.split(maxsplit=1)[0].lower()
            if name in known and line.endswith(" external"):
                value = values.get(name, 0.0)
                text = value if isinstance(value, str) else f"dc {spice_number(value)}"
                line = line.removesuffix("external") + text
            body.append(line)
        run = analysis.lstrip(".")
        control = [".control", *self._compiled(), "set numdgt=15", "set width=120", run]
        if run.startswith("op"):
            control += [f"print {name}" for name in self.saves]
        else:
            control += [f"print {name}[length({name})-1]" for name in self.saves]
        saves = [f".save {name}" for name in self.saves]
        head = [self.title, *self._comments, *body, self.options.line(), *saves]
        return "\n".join([*head, *control, "quit", ".endc", ".end", ""])
