"""The adjoint gradient of a circuit with one device against finite differences, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.dynamics import FIXED_GRID, DynamicPhases, DynamicPlan
from bridge.estimators.adjoint import AdjointNetwork
from bridge.estimators.base import DynamicBatch
from bridge.losses.waveform import WaveformMSE
from bridge.report.text import number
from bridge.simulator import Simulator
from bridge.validation.devices.bench import place
from bridge.validation.devices.content import Findings, Grid, Text
from bridge.validation.devices.integration import Drive, integrate
from bridge.validation.devices.subjects import MemristorSubject
from bridge.validation.gradcheck import GradcheckResult, check_with
from circuits.devices.base import Element
from circuits.devices.passive import resistor
from circuits.devices.sources import voltage_source
from circuits.network import Drive as Driven
from circuits.network import Network, Output, Trainable

FloatArray = NDArray[np.float64]

STEPS = 4000
OPTIONS = replace(FIXED_GRID, reltol=1e-8, vntol=1e-10, trtol=1e9)
"""Newton's tolerance a hundredth of the default's, so that only the step is left of the errors."""
TOLERANCE = 1e-3
MOVED = 0.3
_SAMPLES = 4001


class _Here:
    """Does a pool's tasks in this process, one after another."""

    replaced = recycled = 0

    def __init__(self, phases: DynamicPhases) -> None:
        self._phases = phases

    def map(self, tasks: Sequence[Any]) -> list[Any]:
        return [self._phases.run(task) for task in tasks]

    def update(self, state: Any) -> None:
        self._phases.update(state)

    def usage(self) -> dict[str, Any]:
        return self._phases.usage()

    def close(self) -> None:
        return None


class InProcess(Simulator):
    """A simulator without processes of its own, for code that runs in a worker already."""

    def __init__(self, plan: DynamicPlan) -> None:
        """Load the network in this process's engine."""
        self.plan = plan
        self.network = plan.network
        self._parameters = plan.network.parameters
        self._checked = None
        self.pool = _Here(plan())  # type: ignore[assignment]


def trainable(element: Element, names: Sequence[str]) -> tuple[Trainable, ...]:
    """Parameters of an element with their devices' own bounds."""
    own = [element.device.parameters[element.device.index(name)] for name in names]
    return tuple(Trainable(element.name, p.name, p.lower, p.upper, p.name) for p in own)


def in_laws(element: Element) -> list[str]:
    """The trainable parameters that an element's laws contain, and those that hold its states' starts."""
    device = element.device
    laws = [law for law in (device.law, device.charge, *(s.rate for s in device.states)) if law is not None]
    if not laws:
        return [p.name for p in device.parameters if p.trainable]
    seen = {s.name for law in laws for s in law.free_symbols} | {s.initial for s in device.states}
    seen |= {"initial_voltage"} if device.charge is not None else set()
    return [p.name for p in device.parameters if p.trainable and p.name in seen]


def check(
    element: Element | Sequence[Element],
    conductance: float,
    volts: FloatArray,
    duration: float,
    *,
    names: Sequence[str] | None = None,
    steps: int = STEPS,
) -> GradcheckResult:
    """Gradients of a device behind a resistor, its voltage's mean squared distance from a target the loss.

    Args:
        element: between node `a` and ground; or several, whose trained parameters `names` gives.
        conductance: of the resistor between the source and node `a` [S].
        volts: of the source, equally spaced over the duration, `(n,)` [V].
        duration: [s].
        names: parameters, `element.parameter` for several elements; those of the laws when left out.
        steps: of each transient.
    """
    if isinstance(element, Element):
        elements: tuple[Element, ...] = (element,)
        trained = trainable(element, in_laws(element) if names is None else list(names))
    else:
        elements = tuple(element)
        wanted = [tuple(name.rsplit(".", 1)) for name in names or ()]
        trained = tuple(t for e in elements for t in trainable(e, [p for n, p in wanted if n == e.name]))
    network = Network(
        "gradient",
        (
            voltage_source("drive", "in", driven=True),
            resistor("series", "in", "a", conductance=conductance),
            *elements,
        ),
        (Driven("drive", 0),),
        (Output("a"),),
        (*trained, *trainable(resistor("series", "in", "a", conductance=1.0),
                                                 ["conductance"])),
    )  # fmt: skip
    times = np.linspace(0.0, duration, len(volts))
    target = 0.3 * np.abs(volts).max() * np.sin(3.0 * np.pi * times / duration)
    plan = DynamicPlan(network, duration, duration / steps, options=OPTIONS)
    batch = DynamicBatch(times, volts[None, :, None], [target[:, None]])
    return run(plan, batch, WaveformMSE(times))


def memristor(subject: MemristorSubject) -> GradcheckResult:
    """The check of a memristive device, on a sine in which its state moves and does not run away.

    The device starts at four tenths of its first state's range; the sine is as fast as it takes for the state
    to move by no more than `MOVED` of that range, so that no abrupt event decides the gradient.
    """
    device, stimulus = subject.device, subject.published.stimulus
    low, high = device.bounds[0]
    values = {**subject.values, device.states[0].initial: low + 0.4 * (high - low)}
    unit = np.linspace(0.0, 1.0, _SAMPLES)
    volts = np.sin(2.0 * np.pi * unit) * min(stimulus.positive, stimulus.negative)
    duration = stimulus.period
    for _ in range(60):
        found = integrate(device, values, Drive(unit * duration, volts), unit * duration, rtol=1e-6)
        if np.ptp(found.states[:, 0]) <= MOVED * (high - low):
            break
        duration *= 0.5
    conductance = 10.0 * found.peak / float(np.abs(volts).max())
    return check(place(subject.placed, values), conductance, volts, duration)


def run(plan: DynamicPlan, batch: DynamicBatch, loss: Any) -> GradcheckResult:
    """The adjoint estimator against finite differences in this process."""
    simulator = InProcess(plan)
    return check_with(simulator, batch, loss, [AdjointNetwork()], tolerance=TOLERANCE)


def report(result: GradcheckResult, findings: Findings, circuit: str) -> None:
    """Add the specification and the table."""
    found = result["adjoint"]
    gradient = found.gradient
    value = found.relative_error
    uncertain = result.reference.relative_error
    if gradient is None or found.passed is None:
        value = None
    findings.sheet.add("gradient error", value)
    rows = []
    if gradient is not None:
        size = float(np.linalg.norm(result.reference.gradient * result.scale)) or 1.0
        uncertainty = result.reference.error * result.scale / size
        for k, name in enumerate(result.parameters):
            mine, theirs = gradient[k] * result.scale[k], result.reference.gradient[k] * result.scale[k]
            rows.append(
                (
                    name.removeprefix("x."), number(mine, 5), number(theirs, 5),
                    number(abs(mine - theirs) / size, 2), number(uncertainty[k], 2),
                )
            )  # fmt: skip
    words = (
        f"{circuit} The loss is the mean squared distance of the output from a sine. Gradients with respect "
        f"to the logarithms of the parameters by the adjoint network, and by central differences whose own "
        f"uncertainty is {number(uncertain, 2)}; relative error {number(found.relative_error, 2)}."
    )
    if found.reason:
        words += f" {found.reason}."
    findings.add(
        "Gradient",
        Text(words),
        Grid(
            ("parameter", "adjoint [V²]", "differences [V²]", "distance / norm", "uncertainty / norm"), rows
        ),
    )
