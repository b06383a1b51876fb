"""The validation of a neuron: ngspice against an integration of the published equations by other means."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bridge.dynamics import DynamicPlan
from bridge.errors import NetworkError, SimulationError
from bridge.estimators.base import DynamicBatch
from bridge.losses.waveform import WaveformMSE
from bridge.ngspice import openvaf
from bridge.ngspice.session import Session
from bridge.report.text import number
from bridge.validation.devices import gradient, neuron_spike
from bridge.validation.devices.content import Drawing, Findings, Grid, Text
from bridge.validation.devices.neuron_bench import TIGHT, NeuronBench, circuit
from bridge.validation.devices.neuron_equations import Spiking, edge, integrate, steady
from bridge.validation.devices.neuron_text import describe
from bridge.validation.devices.plots import Line, Panel, figure
from bridge.validation.devices.subjects import NeuronSubject
from bridge.validation.gradcheck import GradcheckResult
from circuits.devices.neurons import CELLS, SCALE

FloatArray = NDArray[np.float64]
STEPS = (10.0, 5.0, 2.0, 1.0, 0.5)
"""Time steps that are compared, in units of the kind's own."""
_PRECISION = 1e-3
_GRADIENT_SPIKES = 3.5
_CIRCUIT = "A current step into the neuron, its membrane's voltage the output over three spikes or more."


def validate(subject: NeuronSubject, session: Session, findings: Findings) -> None:
    """Measure everything."""
    kind, values = subject.name, subject.all_values
    duration = subject.duration
    describe(kind, subject.values, 1e-3 * duration, findings)
    reference = integrate(kind, values, steady(subject.current), duration, CELLS[kind].spike)
    found = _spikes(subject, session, reference, findings)
    _realisations(subject, session, found, findings)
    _rates(subject, session, findings)
    if kind == "hodgkin_huxley":
        neuron_spike.measure(subject, session, found, findings)
    _corners(subject, session, findings)
    try:
        gradient.report(_gradient(subject, reference), findings, _CIRCUIT)
    except SimulationError as error:
        findings.sheet.add("gradient error", None)
        findings.add("Gradient", Text(str(error)))


def difference(found: Spiking, reference: Spiking) -> float | None:
    """Largest distance of two spike trains [us]; `None` where they have different numbers of spikes."""
    if len(found.spikes) != len(reference.spikes) or not len(found.spikes):
        return None
    return 1e3 * float(np.abs(found.spikes - reference.spikes).max())


def _spikes(subject: NeuronSubject, session: Session, reference: Spiking, findings: Findings) -> Spiking:
    kind, current = subject.name, steady(subject.current)
    base = CELLS[kind].step
    rows = []
    runs: dict[float, Spiking] = {}
    for share in STEPS:
        bench = NeuronBench(session, kind, subject.values, subject.duration, step=base * share)
        runs[share] = bench.run(current)
        error = difference(runs[share], reference)
        text = "another number of spikes" if error is None else number(error, 3)
        rows.append((number(1e3 * base * share, 3), str(len(runs[share].spikes)), text))
    found = runs[1.0]
    findings.sheet.add("spikes compared", len(reference.spikes))
    error = findings.sheet.add("spike times against integration", difference(found, reference)).value
    on_grid = np.interp(found.time, reference.time, reference.voltage)
    findings.add(
        "Spike train",
        Text(
            f"{number(subject.current)} µA/cm² from t = 0. At the kind's own largest step, "
            f"{number(1e3 * base)} µs, the spike times differ by "
            f"{'–' if error is None else number(error, 2)} µs from those of the published equations, "
            "integrated by an eighth-order method at a relative tolerance of 1e-10."
        ),
        Drawing(
            figure(
                "spikes", "Membrane voltage over time, and one spike",
                [
                    Panel([Line(1e-3 * found.time, 1e-3 * found.voltage, "ngspice"),
                           Line(1e-3 * found.time[::40], 1e-3 * on_grid[::40], "integration", ".")],
                          ("time", "s"), ("membrane voltage", "V")),
                    _close(found, reference),
                ],
            ),
            "Left: the spike train in ngspice (line) and by integration (points). Right: the second spike.",
        ),
        Grid(("largest step [µs]", "spikes", "largest difference of spike times [µs]"), rows),
    )  # fmt: skip
    return found


def _close(found: Spiking, reference: Spiking) -> Panel:
    at = reference.spikes[min(1, len(reference.spikes) - 1)] if len(reference.spikes) else 0.0
    width = 0.15 * (reference.spikes[1] - reference.spikes[0]) if len(reference.spikes) > 1 else 5.0
    lines = []
    for run, label, style in ((found, "ngspice", "-"), (reference, "integration", ".")):
        near = np.flatnonzero((run.time > at - width) & (run.time < at + 2.0 * width))
        shown = near if style == "-" else near[:: max(1, len(near) // 60)]
        lines.append(Line(1e-3 * run.time[shown], 1e-3 * run.voltage[shown], label, style))
    return Panel(lines, ("time", "s"), ("membrane voltage", "V"))


def _realisations(subject: NeuronSubject, session: Session, found: Spiking, findings: Findings) -> None:
    if not openvaf.available():
        return
    other = NeuronBench(session, subject.name, subject.values, subject.duration, realisation="behavioural")
    plain = other.run(steady(subject.current))
    same = np.interp(found.time, plain.time, plain.voltage)
    value = float(np.abs(same - found.voltage).max() / np.ptp(found.voltage))
    findings.sheet.add("B sources against Verilog-A", value)


def rate(spiking: Spiking) -> float:
    """Firing rate [Hz] by the last interval between spikes; zero with fewer than three spikes."""
    return 1e3 / float(spiking.spikes[-1] - spiking.spikes[-2]) if len(spiking.spikes) > 2 else 0.0


def _rates(subject: NeuronSubject, session: Session, findings: Findings) -> None:
    kind, level = subject.name, CELLS[subject.name].spike
    bench = NeuronBench(session, kind, subject.values, subject.duration)
    mine, theirs, rows, worst = [], [], [], 0.0
    for amount in subject.currents:
        a = rate(bench.run(steady(amount)))
        b = rate(integrate(kind, subject.all_values, steady(amount), subject.duration, level))
        worst = max(worst, abs(a - b) / b if b else float(a != b))
        mine.append(a)
        theirs.append(b)
        rows.append((number(amount, 4), number(a, 5), number(b, 5)))
    findings.sheet.add("firing rate against integration", worst)
    long = 4.0 * subject.duration
    slow = NeuronBench(session, kind, subject.values, long)

    def lasting(run: Spiking) -> bool:
        return bool(len(run.spikes) and run.spikes[-1] > 0.75 * long)

    start = edge(lambda i: lasting(slow.run(steady(i))), *subject.onset, _PRECISION)
    findings.sheet.add("onset of repetitive firing", start)
    sides = [
        lasting(integrate(kind, subject.all_values, steady(start * share), long, level))
        for share in (1.0 - 2.0 * _PRECISION, 1.0 + 2.0 * _PRECISION)
    ]
    findings.sheet.add("onset bracketed by integration", float(sides == [False, True]))
    findings.add(
        "Firing rate",
        Text(
            f"Repetitive firing, spikes to the end of {number(long)} ms of a current that begins at t = 0, "
            f"sets in at {number(start, 4)} µA/cm². Rates are those of the last interval between spikes "
            f"within {number(subject.duration)} ms."
        ),
        Drawing(
            figure("rates", "Firing rate over current",
                   [Panel([Line(subject.currents, mine, "ngspice", "o-"),
                           Line(subject.currents, theirs, "integration", "+")],
                          ("current [µA/cm²]", ""), ("firing rate", "Hz"))], 2.9),
            "Firing rate over the injected current.",
        ),
        Grid(("current [µA/cm²]", "rate in ngspice [Hz]", "rate by integration [Hz]"), rows),
    )  # fmt: skip


def _corners(subject: NeuronSubject, session: Session, findings: Findings) -> None:
    """The spike train with each parameter a tenth smaller and larger."""
    kind, rows, failed, worst = subject.name, [], 0, 0.0
    values = subject.all_values
    for p in CELLS[kind].parameters:
        if values.get(p.name, 0.0) == 0.0 or p.name == "v0":
            continue
        cells = [p.name]
        for share in (0.9, 1.1):
            changed: Mapping[str, float] = {**subject.values, p.name: share * values[p.name]}
            try:
                run = NeuronBench(session, kind, changed, subject.duration).run(steady(subject.current))
            except (SimulationError, NetworkError):
                failed += 1
                cells += ["–", "–"]
                continue
            full = {**values, p.name: share * values[p.name]}
            exact = integrate(kind, full, steady(subject.current), subject.duration, CELLS[kind].spike)
            apart = difference(run, exact)
            none = len(run.spikes) == len(exact.spikes) == 0
            worst = max(worst, 0.0 if none else float("inf") if apart is None else apart)
            cells += [str(len(run.spikes)), "–" if apart is None else number(apart, 2)]
        rows.append(tuple(cells))
    findings.sheet.add("corners without convergence", failed)
    findings.sheet.add("spike times at the corners", worst)
    findings.add(
        "Corners",
        Text("One parameter a tenth smaller and larger: spikes, and how far they are from integration."),
        Grid(("parameter", "spikes at −10 %", "difference [µs]", "at +10 %", "difference [µs]"), rows),
    )


def _gradient(subject: NeuronSubject, reference: Spiking) -> GradcheckResult:
    kind = subject.name
    spikes = reference.spikes
    period = float(np.diff(spikes).mean()) if len(spikes) > 1 else subject.duration
    duration = min(subject.duration, float(spikes[0] if len(spikes) else 0.0) + _GRADIENT_SPIKES * period)
    names = tuple(p.name for p in CELLS[kind].parameters if p.trainable)
    network = circuit(kind, subject.values, names)
    plan = DynamicPlan(network, 1e-3 * duration, 1e-3 * CELLS[kind].step, options=TIGHT)
    times = np.linspace(0.0, plan.duration, 2001)
    drive = np.full((1, len(times), 1), SCALE.to_circuit(subject.current, "uA/cm^2"))
    middle, half = 1e-3 * float(np.mean(reference.voltage)), 0.5e-3 * float(np.ptp(reference.voltage))
    target = middle + half * np.sin(6.0 * np.pi * times / plan.duration)
    return gradient.run(plan, DynamicBatch(times, drive, [target[:, None]]), WaveformMSE(times))
