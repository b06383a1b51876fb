"""The action potential of the squid axon: its shape, its thresholds, its refractory period, temperature."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.interpolate import CubicSpline

from bridge.ngspice.session import Session
from bridge.report.text import number
from bridge.validation.devices.content import Drawing, Findings, Grid, Text
from bridge.validation.devices.neuron_bench import NeuronBench
from bridge.validation.devices.neuron_equations import Current, Spiking, edge, integrate, pulses, steady
from bridge.validation.devices.plots import Line, Panel, figure
from bridge.validation.devices.subjects import NeuronSubject
from circuits.devices.neurons.kinetics import steady_state

KIND = "hodgkin_huxley"
WARM, WARM_CURRENT = 18.5, 30.0
"""A temperature at which Hodgkin and Huxley compared with an axon [degC], and a current [uA/cm^2]."""
PULSE, WIDTH, FIRST = 40.0, 0.5, 2.0
"""Height [uA/cm^2], width [ms] and start [ms] of the pulses that probe the refractory period."""
_SHORT, _SPIKE, _FINE = 40.0, 0.0, 40_001
_BRACKET = 2e-3


def displaced(values: Mapping[str, float], depolarisation: float) -> dict[str, float]:
    """Parameters of an axon whose voltage was displaced at t = 0 while its gates stayed at rest [mV]."""
    rest = {f"{g}0": values.get(f"{g}0", steady_state(g, values["v0"])) for g in "mhn"}
    return {**values, **rest, "v0": values["v0"] + depolarisation}


def shape(run: Spiking, rest: float) -> dict[str, float]:
    """Peak, height above rest, undershoot below it [mV] and width at half height [ms] of the only spike."""
    t = np.linspace(run.time[0], run.time[-1], _FINE)
    v = CubicSpline(run.time, run.voltage)(t)
    peak = float(v.max())
    high = t[v > 0.5 * (peak + rest)]
    return {
        "peak of the action potential": peak,
        "height of the action potential": peak - rest,
        "undershoot": rest - float(v[t > t[int(np.argmax(v))]].min()),
        "width at half height": float(high[-1] - high[0]),
    }


def measure(subject: NeuronSubject, session: Session, found: Spiking, findings: Findings) -> None:
    """Add every specification and section."""
    sheet, given, values = findings.sheet, subject.values, subject.all_values
    rest = values["v0"]
    kicked = displaced(values, 15.0)
    own = NeuronBench(session, KIND, {**given, **_starts(kicked)}, _SHORT).run(steady(0.0))
    exact = integrate(KIND, kicked, steady(0.0), _SHORT, _SPIKE)
    mine, theirs = shape(own, rest), shape(exact, rest)
    for name, value in mine.items():
        sheet.add(name, value)
    worst = max(abs(mine[n] - theirs[n]) / abs(theirs[n]) for n in mine)
    sheet.add("shape against integration", worst)

    def kick(depth: float) -> bool:
        bench = NeuronBench(session, KIND, {**given, **_starts(displaced(values, depth))}, _SHORT)
        return len(bench.run(steady(0.0)).spikes) > 0

    threshold = sheet.add("threshold of a displacement", edge(kick, 1.0, 15.0, 1e-3)).value
    short = NeuronBench(session, KIND, given, _SHORT)
    lowest = sheet.add(
        "current of a single spike", edge(lambda i: len(short.run(steady(i)).spikes) > 0, 1.0, 5.0, 1e-3)
    ).value
    period, agreed = _refractory(subject, session)
    sheet.add("refractory period", period)
    sheet.add("refractory period bracketed by integration", agreed)
    warm = {**given, "temperature": WARM}
    hot = NeuronBench(session, KIND, warm, _SHORT).run(steady(WARM_CURRENT))
    cold = integrate(KIND, {**values, "temperature": WARM}, steady(WARM_CURRENT), _SHORT, _SPIKE)
    apart = None if len(hot.spikes) != len(cold.spikes) else float(np.abs(hot.spikes - cold.spikes).max())
    sheet.add(f"spike times at {WARM:g} degC", None if apart is None else 1e3 * apart)
    findings.add(
        "Action potential",
        Text(
            "The membrane is displaced by 15 mV at t = 0 while the gates stay at rest, as in figure 12 of "
            "Hodgkin and Huxley (1952), where 6 mV do not suffice and 7 mV do; here the edge is at "
            f"{number(threshold, 4)} mV. A constant current from rest gives one spike at least from "
            f"{number(lowest, 4)} µA/cm² on. A second pulse of {PULSE:g} µA/cm² and {WIDTH:g} ms gives a "
            f"second spike from {number(period, 4)} ms after the first on."
        ),
        Drawing(
            figure(
                "shape", "Action potential at two temperatures",
                [
                    Panel([Line(1e-3 * own.time, 1e-3 * own.voltage, "ngspice"),
                           Line(1e-3 * exact.time[::3], 1e-3 * exact.voltage[::3], "integration", ".")],
                          ("time", "s"), ("membrane voltage", "V"), title="6.3 °C, displaced by 15 mV"),
                    Panel([Line(1e-3 * hot.time, 1e-3 * hot.voltage, "ngspice"),
                           Line(1e-3 * cold.time[::5], 1e-3 * cold.voltage[::5], "integration", ".")],
                          ("time", "s"), ("membrane voltage", "V"),
                          title=f"{WARM:g} °C, {WARM_CURRENT:g} µA/cm²"),
                ],
            ),
            "Left: the action potential after a displacement. Right: at a higher temperature all rates are "
            "3^((T - 6.3) / 10) times as fast.",
        ),
        Grid(("quantity", "ngspice", "integration"),
             [(n, number(mine[n], 6), number(theirs[n], 6)) for n in mine]),
    )  # fmt: skip


def _starts(values: Mapping[str, float]) -> dict[str, float]:
    return {name: values[name] for name in ("v0", "m0", "h0", "n0")}


def _refractory(subject: NeuronSubject, session: Session) -> tuple[float, float]:
    """Shortest delay [ms] at which a second pulse gives a second spike; whether integration agrees."""
    bench = NeuronBench(session, KIND, subject.values, _SHORT)

    def twice(delay: float) -> Current:
        return pulses(PULSE, WIDTH, (FIRST, FIRST + delay))

    delay = edge(lambda d: len(bench.run(twice(d)).spikes) > 1, 2.0, 30.0, 0.5 * _BRACKET)
    if not np.isfinite(delay):
        return delay, 0.0
    sides = [
        len(integrate(KIND, subject.all_values, twice(delay * share), _SHORT, _SPIKE).spikes) > 1
        for share in (1.0 - _BRACKET, 1.0 + _BRACKET)
    ]
    return delay, float(sides == [False, True])
