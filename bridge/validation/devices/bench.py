"""One device on an ideal voltage source in ngspice, with all of its currents and states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bridge.dynamics import FIXED_GRID
from bridge.ngspice import openvaf
from bridge.ngspice.drives import Signals
from bridge.ngspice.session import Circuit, Session
from bridge.validation.devices.integration import Drive, Trajectory
from bridge.validation.devices.subjects import STEPS
from circuits.deck import SolverOptions
from circuits.devices.base import Device, Element
from circuits.devices.behavioural import state_node
from circuits.devices.sources import voltage_source
from circuits.netlist import Realisation, build_deck, contexts
from circuits.network import Drive as Driven
from circuits.network import Network, Trainable

NAME = "x"
"""Name of the device's element."""


def place(device: Device, values: Mapping[str, float]) -> Element:
    """The device between node `a` and ground."""
    given: dict[str, Any] = dict(values)
    return device.element(NAME, "a", "0", **given)


class Bench:
    """A device on a voltage source, loaded in this process.

    Attributes:
        element: as it was loaded.
        realisation: how its laws are simulated.
    """

    def __init__(
        self,
        session: Session,
        element: Element,
        duration: float,
        *,
        live: Sequence[str] = (),
        realisation: Realisation = "auto",
        options: SolverOptions = FIXED_GRID,
    ) -> None:
        """Load the circuit.

        Args:
            session: of this process.
            element: between node `a` and ground.
            duration: of its transients [s], which sizes the capacitors that hold states.
            live: parameters that `set` can change.
            realisation: see `circuits.netlist.build_deck`; `auto` takes what this machine can do.
            options: tolerances and methods; the default is that of the project's dynamic plans.
        """
        own = [element.device.parameters[element.device.index(p)] for p in live]
        trained = tuple(Trainable(element.name, p.name, p.lower, p.upper, p.name) for p in own)
        network = Network(
            "bench",
            (voltage_source("drive", "a", driven=True), element),
            (Driven("drive", 0),),
            trainable=trained,
        )
        self.element = element
        self.flat = network.flat()
        self.realisation = openvaf.usable(realisation, network)
        self.states = element.device.states
        nodes = [f"v({state_node(element.name, s.name)})".lower() for s in self.states]
        self.circuit: Circuit = session.load(
            build_deck(
                network,
                options,
                nudges=False,
                saves=("v(a)", "i(vdrive)", *nodes),
                time_scale=duration,
                realisation=self.realisation,
            )
        )
        known = contexts(self.flat, duration, self.realisation)
        self.targets = [
            e.device.alter_target(e, t.parameter, known[e.name])
            for t in self.flat.trainable
            for e in [self.flat.element(t.element)]
        ]

    def set(self, values: Mapping[str, float]) -> None:
        """Give the live parameters their values of a mapping by name."""
        told = []
        for t in self.flat.trainable:
            device = self.flat.element(t.element).device
            told.append(float(device.alter_value(t.parameter, np.array([values[t.group]]))[0]))
        self.circuit.alter(self.targets, told)

    def run(self, drive: Drive, steps: int = STEPS, order: int = 1, first_rung: int = 0) -> Trajectory:
        """A transient from the device's initial state.

        Args:
            drive: the voltage.
            steps: number of time steps.
            order: of the interpolation of the drive's samples, 1 or 3.
            first_rung: see `Circuit.transient`.

        Raises:
            SimulationError: no result that can be trusted.
        """
        signals = Signals((0,), drive.volts[:, None].copy(), drive.times, order)
        waves = self.circuit.transient(
            [signals], drive.duration, drive.duration / steps, first_rung=first_rung
        )
        scale = np.array([s.scale for s in self.states])
        return Trajectory(waves.time, waves.values[:, 0], -waves.values[:, 1], waves.values[:, 2:] * scale)
