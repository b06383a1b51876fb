"""The circuits of the exactness report: one small network for each class of elements, losses and starts.

All but the random network share a skeleton: two driven inputs, three nodes, six conductances. Inputs and
targets are sums of sines of seeded frequencies and phases zero, so that every signal starts at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bridge.dynamics import FIXED_GRID, DynamicPlan
from bridge.estimators.base import DynamicBatch, FloatArray
from bridge.losses.waveform import TerminalMSE, WaveformMSE
from circuits.devices.base import Element
from circuits.devices.passive import capacitor, resistor
from circuits.devices.sources import voltage_source
from circuits.network import Drive, Network, Output, Trainable

DURATION = 1e-6
"""Length of every transient [s]."""
SAMPLES = 8001
"""Samples of the inputs and targets, which are interpolated linearly."""

_SMALL = 50

Names = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class GalleryCircuit:
    """A circuit of the gallery.

    Attributes:
        name: short, for commands and files.
        title: for tables.
        network: with every kind of trainable parameter that it has.
        loss: on its output waveforms.
        target: what the loss takes.
        from_rest: start of the free phase, see `DynamicPlan`.
        compared: how many parameters are compared with finite differences, chosen at random; 0 for all.
        retraced: whether the estimator `lagrangian` covers it.
        seed: of inputs and targets.
    """

    name: str
    title: str
    network: Network
    loss: Any
    target: Any
    from_rest: bool = True
    compared: int = 0
    retraced: bool = False
    seed: int = 0

    def plan(self, steps: int) -> DynamicPlan:
        """The simulation in `steps` time steps.

        Newton's tolerance is a hundredth of the default's, so that only the step is left of the errors; large
        networks use the solver that is faster for them.
        """
        options = replace(
            FIXED_GRID, reltol=1e-8, vntol=1e-10, trtol=1e9, klu=len(self.network.nodes) > _SMALL
        )
        return DynamicPlan(self.network, DURATION, DURATION / steps, self.from_rest, options)

    def batch(self) -> DynamicBatch:
        """One sample."""
        drives = waves(len(self.network.drives), self.seed, 0.8)
        return DynamicBatch(times(), drives[None], [self.target])

    @property
    def places(self) -> tuple[int, ...] | None:
        """Numbers of the parameters that are compared; `None` for all."""
        count = len(self.network.trainable)
        if not self.compared:
            return None
        chosen = np.random.default_rng(self.seed).choice(count, self.compared, replace=False)
        return tuple(int(k) for k in np.sort(chosen))


def times() -> FloatArray:
    """Times of inputs and targets, `(SAMPLES,)` [s]."""
    return np.linspace(0.0, DURATION, SAMPLES)


def waves(count: int, seed: int, amplitude: float) -> FloatArray:
    """Sums of three sines between one and four periods, `(SAMPLES, count)`; zero at the start."""
    random = np.random.default_rng([seed, count])
    frequencies = random.uniform(1.0, 4.0, (3, count)) / DURATION
    shares = random.uniform(0.2, 0.6, (3, count)) * amplitude
    phase = 2.0 * np.pi * times()[:, None, None] * frequencies
    return np.asarray((shares * np.sin(phase)).sum(axis=1))


def trainables(elements: Sequence[Element], names: Names) -> tuple[Trainable, ...]:
    """Trainable parameters with their devices' own bounds."""
    found = {e.name: e for e in elements}
    result = []
    for name, parameter in names:
        device = found[name].device
        own = device.parameters[device.index(parameter)]
        result.append(Trainable(name, parameter, own.lower, own.upper, parameter))
    return tuple(result)


def capacitors() -> list[Element]:
    """A linear capacitor from each node of the skeleton to ground."""
    sizes = {"a": 1e-10, "b": 8e-11, "c": 1.2e-10}.items()
    return [capacitor(f"c{n}", n, "0", capacitance=size) for n, size in sizes]


def skeleton() -> list[Element]:
    """Two driven inputs and six conductances on the nodes a, b, c."""
    return [
        voltage_source("s1", "x1", driven=True),
        voltage_source("s2", "x2", driven=True),
        resistor("r1", "x1", "a", conductance=1e-3),
        resistor("r2", "x2", "b", conductance=8e-4),
        resistor("r3", "a", "b", conductance=1.2e-3),
        resistor("r4", "b", "c", conductance=1e-3),
        resistor("r5", "c", "0", conductance=5e-4),
        resistor("r6", "a", "0", conductance=3e-4),
    ]


def circuit(
    name: str,
    title: str,
    extra: Sequence[Element],
    trained: Names,
    *,
    outputs: Sequence[str] = ("b", "c"),
    loss: Any = None,
    target: Any = None,
    base: Sequence[Element] | None = None,
    **more: Any,
) -> GalleryCircuit:
    """The skeleton with more elements; all conductances and the parameters named are trainable.

    Args:
        name: see `GalleryCircuit`.
        title: see `GalleryCircuit`.
        extra: elements beside the skeleton.
        trained: `(element, parameter)` trainable beside the conductances.
        outputs: nodes.
        loss: the squared difference from a target waveform when left out.
        target: of the loss.
        base: elements instead of the skeleton.
        more: further fields of `GalleryCircuit`.
    """
    elements = [*(skeleton() if base is None else base), *extra]
    conductances = [(e.name, "conductance") for e in elements if e.device.kind == "resistor"]
    network = Network(
        name,
        tuple(elements),
        tuple(Drive(e.name, k) for k, e in enumerate(e for e in elements if e.driven)),
        tuple(Output(o) for o in outputs),
        trainables(elements, [*conductances, *trained]),
    )
    if target is None:
        target = waves(len(outputs), 1000, 0.5)
    return GalleryCircuit(name, title, network, loss or WaveformMSE(times()), target, **more)


def terminal(*values: float) -> dict[str, Any]:
    """A loss on the end of the transient, with its target [V]."""
    return {"loss": TerminalMSE(), "target": np.array(values)}


def windowed(taper: float) -> dict[str, Any]:
    """A loss that counts in two windows with edges of `taper` [s]."""
    window = ((0.2e-6, 0.45e-6), (0.6e-6, 0.9e-6))
    return {"loss": WaveformMSE(times(), window=window, taper=taper)}
