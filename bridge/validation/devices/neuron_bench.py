"""A neuron under an injected current in ngspice, in the units of the field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bridge.dynamics import FIXED_GRID, DynamicPhases, DynamicPlan
from bridge.ngspice.drives import Signals
from bridge.ngspice.session import Session
from bridge.validation.devices.neuron_equations import Current, Spiking, crossings
from circuits.deck import SolverOptions
from circuits.devices.neurons import CELLS, SCALE, cell
from circuits.devices.sources import current_source
from circuits.netlist import Realisation
from circuits.network import Drive, Network, Output, Trainable

NAME, NODE, SOURCE = "x", "v", "inject"
TIGHT = replace(FIXED_GRID, reltol=1e-8, vntol=1e-10, trtol=1e9)
"""Newton's tolerance a hundredth of the default's, so that only the step is left of the errors."""


def circuit(kind: str, given: Mapping[str, float], live: tuple[str, ...] = ()) -> Network:
    """A neuron with a driven current source into its membrane.

    Args:
        kind: of neuron.
        given: parameters that differ from their defaults, in the units of the field.
        live: parameters to train, with the bounds of their devices.
    """
    values: dict[str, Any] = dict(given)
    elements = [*cell(kind, NAME, NODE, **values), current_source(SOURCE, "0", NODE, driven=True)]
    by_name = {e.name: e for e in elements}
    trained = []
    for name in live:
        element, parameter = CELLS[kind].trainable(NAME, name)
        device = by_name[element].device
        entry = device.parameters[device.index(parameter)]
        trained.append(Trainable(element, parameter, entry.lower, entry.upper, name))
    return Network(kind, tuple(elements), (Drive(SOURCE, 0),), (Output(NODE),), tuple(trained))


class NeuronBench:
    """A neuron, loaded in this process.

    Attributes:
        kind: of neuron.
    """

    def __init__(
        self,
        session: Session,
        kind: str,
        given: Mapping[str, float],
        duration: float,
        *,
        step: float | None = None,
        realisation: Realisation = "auto",
        options: SolverOptions = FIXED_GRID,
    ) -> None:
        """Load the circuit.

        Args:
            session: of this process.
            kind: of neuron.
            given: parameters that differ from their defaults, in the units of the field.
            duration: of the transients [ms].
            step: largest time step [ms]; the one that the kind of neuron states when left out.
            realisation: see `circuits.netlist.build_deck`.
            options: tolerances and methods; the default is that of the project's dynamic plans.
        """
        self.kind = kind
        self.duration = duration
        milli = 1e-3
        largest = CELLS[kind].step if step is None else step
        plan = DynamicPlan(
            circuit(kind, given), duration * milli, largest * milli, options=options, realisation=realisation
        )
        self._phases = DynamicPhases(plan, session)

    def run(self, current: Current) -> Spiking:
        """A transient from the neuron's initial state.

        Raises:
            SimulationError: no result that can be trusted.
        """
        times = np.append(current.times, max(self.duration, current.times[-1]) + 1.0)
        levels = SCALE.factor("uA/cm^2") * np.append(current.levels, current.levels[-1])
        waves = self._phases.free(Signals((0,), levels[:, None].copy(), SCALE.factor("ms") * times))
        time = waves.time / SCALE.factor("ms")
        voltage = waves[f"v({NODE})"] / SCALE.factor("mV")
        return Spiking(time, voltage, crossings(time, voltage, CELLS[self.kind].spike))
