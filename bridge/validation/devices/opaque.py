"""A user's Verilog-A module or subcircuit: whatever its terminals can tell.

Where the device file also declares equations, the terminal current is compared with them; they are integrated
by scipy, and nothing of them reaches the simulator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.dynamics import FIXED_GRID
from bridge.errors import SimulationError
from bridge.ngspice.drives import Signals
from bridge.ngspice.session import Session
from bridge.report.text import number, quantity
from bridge.validation.devices import figures, gradient
from bridge.validation.devices.bench import NAME
from bridge.validation.devices.content import Block, Code, Drawing, Findings, Grid, Text
from bridge.validation.devices.equations import formula
from bridge.validation.devices.hysteresis import DECADES, SAMPLES, SHRUNK, at_zero, lobe
from bridge.validation.devices.integration import Drive, Trajectory, integrate
from bridge.validation.devices.own import DeclaredFormula
from bridge.validation.devices.plots import Line, Panel, figure
from bridge.validation.devices.specification import Limit
from bridge.validation.devices.subjects import STEPS, OpaqueSubject
from bridge.validation.devices.two_terminals import CELSIUS
from circuits.deck import SolverOptions
from circuits.devices.memristors.base import Memristor
from circuits.devices.sources import voltage_source
from circuits.netlist import build_deck
from circuits.network import GROUND, Network
from circuits.network import Drive as Driven

FloatArray = NDArray[np.float64]

MOST_PARAMETERS = 12
"""Parameters of a subcircuit's elements whose gradients are checked."""
_UNSEEN = (
    "Its equations are in the file, not in Python: bounds of states, switching time, potentiation and "
    "depression cannot be measured at its terminals and are left out."
)
_PLAIN = "reported only: neither equations nor `memristive: true` say that it is a memristor"


@dataclass(frozen=True)
class Seen:
    """A cycle at the terminals.

    Attributes:
        pair: voltage between the first two terminals and current into the first.
        volts: of every terminal, `(n, n_terminals)` [V].
        currents: into every terminal, `(n, n_terminals)` [A].
    """

    pair: Trajectory
    volts: FloatArray
    currents: FloatArray

    @property
    def settled(self) -> NDArray[np.bool_]:
        """Which points count: the first steps settle the start."""
        return np.asarray(self.pair.time > 2e-3 * self.pair.time[-1])

    @property
    def power(self) -> FloatArray:
        """Power taken up through all terminals, `(n,)` [W]."""
        return np.asarray((self.volts * self.currents).sum(axis=1))


def run(
    subject: OpaqueSubject,
    session: Session,
    drive: Drive,
    steps: int,
    *,
    order: int = 1,
    options: SolverOptions = FIXED_GRID,
) -> Seen:
    """A transient from rest: the drive at the first terminal, the biases at those behind the second.

    Raises:
        SimulationError: no result that can be trusted.
    """
    own = subject.own
    nodes = ["a", *(f"b{k}" for k in range(1, len(own.terminals)))]
    fixed = [own.spec.bias.get(t, 0.0) for t in own.terminals[1:]]
    sources = [voltage_source("drive", "a", driven=True)]
    sources += [voltage_source(f"at_{n}", n, dc=v) for n, v in zip(nodes[1:], fixed, strict=True)]
    elements = own.place(NAME, tuple(nodes), subject.values)
    network = Network("bench", (*sources, *elements), (Driven("drive", 0),))
    saves = [f"v({n})" for n in nodes] + [f"i(v{s.name})" for s in sources]
    deck = build_deck(
        network, options, nudges=False, saves=tuple(saves), time_scale=drive.duration, realisation="auto"
    )
    signals = Signals((0,), drive.volts[:, None].copy(), drive.times, order)
    waves = session.load(deck).transient([signals], drive.duration, drive.duration / steps)
    volts, currents = waves.values[:, : len(nodes)], -waves.values[:, len(nodes) :]
    states = np.zeros((len(waves.time), 0))
    pair = Trajectory(waves.time, volts[:, 0] - volts[:, 1], currents[:, 0], states)
    return Seen(pair, volts, currents)


def reference(subject: OpaqueSubject, drive: Drive, times: FloatArray) -> FloatArray:
    """The current [A] by the declared equations, `(n,)`."""
    device = subject.own.declared
    assert device is not None
    if isinstance(device, Memristor):
        return integrate(device, subject.values, drive, times).i
    slope = np.gradient(drive.volts, drive.times, edge_order=2)
    du = np.interp(times, drive.times, slope)
    return DeclaredFormula(device)(subject.values, drive(times), du, np.zeros_like(times))


def difference(found: Seen, expected: FloatArray) -> float:
    """Largest difference of the current from an expected one, as a share of its peak."""
    return float(np.abs(found.pair.i - expected)[found.settled].max() / np.abs(expected).max())


def cycle(subject: OpaqueSubject, factor: float = 1.0) -> Drive:
    """The device file's cycle, `factor` times as fast."""
    stimulus = subject.own.stimulus
    times = np.linspace(0.0, stimulus.duration, SAMPLES * stimulus.cycles + 1)
    return Drive(times / factor, stimulus.waveform(times))


def validate(subject: OpaqueSubject, session: Session, findings: Findings) -> None:
    """Measure everything that can be measured at the terminals."""
    own, sheet = subject.own, findings.sheet
    _describe(subject, findings)
    drive, stimulus = cycle(subject), own.stimulus
    steps = STEPS * stimulus.cycles
    order = 1 if isinstance(own.declared, Memristor) or stimulus.kind == "triangle" else 3
    found = run(subject, session, drive, steps, order=order)
    finer = run(subject, session, drive, 2 * steps, order=order)
    peak = found.pair.peak
    if not peak:
        raise SimulationError(f"{own.name}: no current flows in the whole cycle; is the drive large enough?")
    halved = np.interp(found.pair.time, finer.pair.time, finer.pair.i)
    settled = found.settled
    sheet.add("change when the step is halved", float(np.abs(halved - found.pair.i)[settled].max() / peak))
    total = np.abs(found.currents.sum(axis=1))[settled].max()
    sheet.add("sum of the terminal currents", float(total / np.abs(found.currents).max()))
    words = (
        f"A {stimulus.kind} of +{stimulus.positive:g} V and −{stimulus.negative:g} V with a period of "
        f"{quantity(stimulus.period, 's', 3)} between {own.terminals[0]} and {own.terminals[1]}, in {STEPS} "
        "steps a cycle."
    )
    for terminal in own.terminals[2:]:
        words += f" {terminal} is held at {own.spec.bias.get(terminal, 0.0):g} V."
    lines = [Line(found.pair.u, found.pair.i, "ngspice")]
    name = "current against declared equations"
    if own.declared is None:
        sheet.skip(name, "the device file declares no equations (law)")
    else:
        expected = reference(subject, drive, found.pair.time)
        apart = difference(found, expected)
        sheet.add(name, apart)
        lines.append(Line(found.pair.u[::10], expected[::10], "declared equations", "."))
        words += (
            f" ngspice with the file against the declared equations, integrated by scipy: {number(apart, 2)} "
            "of the peak."
        )
    figures.declared(found.pair, findings)
    taken = _energy(subject, found, findings)
    findings.add(
        "Cycle",
        Text(words),
        Drawing(
            figure(
                "cycle", "Current over voltage, energy over time",
                [
                    Panel(lines, ("voltage", "V"), ("current", "A")),
                    Panel([Line(found.pair.time, taken)], ("time", "s"), ("energy taken up", "J")),
                ],
            ),
            "Left: current into the first terminal. Right: energy taken up through all terminals.",
        ),
    )  # fmt: skip
    _fingerprints(subject, session, found, findings)
    _corners(subject, session, drive, found, order, findings)
    _temperatures(subject, session, drive, findings)
    _gradient(subject, found, findings)


def _describe(subject: OpaqueSubject, findings: Findings) -> None:
    own = subject.own
    blocks: list[Block] = []
    if own.declared is not None:
        if own.declared.law is not None:
            blocks.append(formula("i", own.declared.law))
        if own.declared.charge is not None:
            blocks.append(formula("q", own.declared.charge))
        blocks += [formula(f"d{s.name}/dt", s.rate) for s in own.declared.states]
        findings.add("Declared equations", *blocks)
    rows = [
        (
            p.name, number(subject.values[p.name], 5), p.unit,
            own.spec.parameters[p.name].description or "–", own.spec.parameters[p.name].source or "–",
        )
        for p in own.parameters
    ]  # fmt: skip
    if rows:
        head = ("parameter", "value", "unit", "meaning", "source")
        findings.add("Parameters", Grid(head, rows, False))
    verilog, subcircuit = own.spec.verilog_a, own.spec.subcircuit
    part = verilog if verilog is not None else subcircuit
    assert part is not None
    language = "verilog" if verilog is not None else "spice"
    text = Path(part.file).read_text(encoding="utf-8", errors="replace")
    findings.add("The file", Text(f"{part.file.name}. {_UNSEEN}"), Code(text, language))


def _energy(subject: OpaqueSubject, found: Seen, findings: Findings) -> FloatArray:
    sheet, power, time = findings.sheet, found.power, found.pair.time
    taken = np.concatenate([[0.0], np.cumsum(0.5 * (power[1:] + power[:-1]) * np.diff(time))])
    size = float(np.abs(taken).max()) or 1.0
    sheet.add("least energy", float(taken.min() / size))
    sheet.add("energy of a cycle", float(taken[-1]))
    if subject.memristive:
        sheet.add("least power", float(power.min() / np.abs(power).max()))
    else:
        sheet.skip("least power", "the device may store energy and give it back")
    return taken


def _fingerprints(subject: OpaqueSubject, session: Session, found: Seen, findings: Findings) -> None:
    sheet = findings.sheet
    if not subject.memristive:
        sheet.add("pinched loop", at_zero(found.pair), Limit(meaning=_PLAIN))
        for name in ("two tones", "loop at high frequency", "loop grows with frequency"):
            sheet.skip(name, "neither equations nor `memristive: true` say that it is a memristor")
        return
    sheet.add("pinched loop", at_zero(found.pair))
    stimulus, rows, areas = subject.own.stimulus, [], []
    for decade in range(DECADES[1] + 1):
        loop = run(subject, session, cycle(subject, 10.0**decade), STEPS * stimulus.cycles).pair
        areas.append(abs(lobe(loop, 1)) + abs(lobe(loop, -1)))
        frequency = 10.0**decade / stimulus.period
        rows.append((number(frequency, 3), number(areas[-1], 3), number(loop.peak, 4)))
        if decade >= DECADES[0] and areas[-1] <= SHRUNK * max(areas):
            break
    falling = np.array(areas[int(np.argmax(areas)) :])
    sheet.add("loop at high frequency", areas[-1] / (max(areas) or 1.0))
    ratio = float((falling[1:] / falling[:-1]).max()) if len(falling) > 1 and falling.all() else None
    sheet.add("loop grows with frequency", ratio)
    times = np.linspace(0.0, 2.0 * stimulus.period, 2 * SAMPLES + 1)
    angle = 2.0 * np.pi * times / stimulus.period
    unit = 0.6 * np.sin(angle) + 0.4 * np.sin(np.sqrt(2.0) * 2.0 * angle)
    volts = np.where(unit >= 0.0, stimulus.positive, stimulus.negative) * unit
    mixed = run(subject, session, Drive(times, volts), 4 * STEPS).pair
    sheet.add("two tones", at_zero(mixed))
    findings.add(
        "Fingerprints of a memristor",
        Text(
            "The loop is pinched at the origin, its lobes shrink as the frequency grows, and two tones give "
            "no current whenever their sum is zero (Adhikari et al., IEEE Trans. Circuits Syst. I 60, 3008 "
            "(2013))."
        ),
        Grid(("frequency [Hz]", "lobe area [W]", "peak current [A]"), rows),
    )


def _corners(
    subject: OpaqueSubject, session: Session, drive: Drive, nominal: Seen, order: int, findings: Findings
) -> None:
    names = ("corners without convergence", "corners against declared equations")
    varied = [p for p in subject.own.parameters if subject.values[p.name] != 0.0]
    if subject.own.declared is None:
        findings.sheet.skip(names[1], "the device file declares no equations (law)")
    if not varied:
        for name in names:
            findings.sheet.skip(name, "the device file gives no parameters that could vary")
        return
    failed, worst, rows = 0, 0.0, []
    for p in varied:
        cells = [p.name]
        for sign in (-1.0, 1.0):
            value = float(np.clip(subject.values[p.name] * (1.0 + 0.1 * sign), p.lower, p.upper))
            moved = replace(subject, values={**subject.values, p.name: value})
            try:
                found = run(moved, session, drive, STEPS * subject.own.stimulus.cycles, order=order)
            except SimulationError:
                failed += 1
                cells += ["–", "–"]
                continue
            error = None
            if subject.own.declared is not None:
                error = difference(found, reference(moved, drive, found.pair.time))
                worst = max(worst, error)
            cells += [number(found.pair.peak, 4), "–" if error is None else number(error, 2)]
        rows.append(tuple(cells))
    findings.sheet.add(names[0], failed)
    if subject.own.declared is not None:
        findings.sheet.add(names[1], worst)
    findings.add(
        "Corners",
        Text(
            "One parameter a tenth smaller and larger, within its bounds. Peak current without change: "
            f"{quantity(nominal.pair.peak, 'A', 4)}."
        ),
        Grid(
            ("parameter", "peak at −10 % [A]", "from the equations", "at +10 % [A]", "from the equations"),
            rows,
        ),
    )


def _temperatures(subject: OpaqueSubject, session: Session, drive: Drive, findings: Findings) -> None:
    failed, rows = 0, []
    for celsius in CELSIUS:
        options = replace(FIXED_GRID, extra=(("temp", celsius),))
        try:
            found = run(subject, session, drive, STEPS * subject.own.stimulus.cycles, options=options)
            peak = number(found.pair.peak, 4)
        except SimulationError:
            failed, peak = failed + 1, "–"
        rows.append((f"{celsius:g}".replace("-", "−"), peak))
    findings.sheet.add("temperatures without convergence", failed)
    findings.add(
        "Temperature",
        Text("The cycle at several temperatures of the simulation; nothing tells what it should be there."),
        Grid(("temperature [°C]", "peak current [A]"), rows),
    )


def _gradient(subject: OpaqueSubject, found: Seen, findings: Findings) -> None:
    own, sheet = subject.own, findings.sheet
    if own.spec.verilog_a is not None:
        sheet.skip(
            "gradient error",
            "the adjoint needs the derivatives of the law, which a Verilog-A module does not tell; train it "
            "with finite_difference, or declare the law alone",
        )
        return
    nodes = ("a", GROUND, *(f"b{k}" for k in range(2, len(own.terminals))))
    elements: list[Any] = list(own.place(NAME, nodes, subject.values))
    wanted = [f"{e.name}.{p}" for e in elements for p in _trained(e)][:MOST_PARAMETERS]
    for node, terminal in zip(nodes[2:], own.terminals[2:], strict=True):
        elements.append(voltage_source(f"at_{node}", node, dc=own.spec.bias.get(terminal, 0.0)))
    drive = cycle(subject)
    conductance = 3.0 * float(found.pair.peak / np.abs(found.pair.u).max())
    times = np.linspace(0.0, drive.duration, 4001)
    try:
        result = gradient.check(elements, conductance, 1.5 * drive(times), drive.duration, names=wanted)
    except SimulationError as failure:
        sheet.add("gradient error", None)
        findings.add("Gradient", Text(str(failure)))
        return
    check = result["adjoint"]
    if check.gradient is None and check.reason:
        sheet.skip("gradient error", f"an element has no derivative: {check.reason}")
        return
    circuit = "The subcircuit behind a resistor, its node the output."
    gradient.report(result, findings, circuit)


def _trained(element: Any) -> Sequence[str]:
    return [p for p in gradient.in_laws(element) if element.value(p) != 0.0]
