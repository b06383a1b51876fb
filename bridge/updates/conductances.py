"""Between trainable parameters and the conductances of their devices at the read voltage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.families import device_families
from circuits.devices.memristors.base import FrozenMemristor, Memristor
from circuits.network import Network

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Readout:
    """Conductances of a network's trainable devices: resistors, and memristive devices at their states.

    Attributes:
        places: which trainable parameters have a conductance, `(n_cells,)`; the others stay as they are.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.families: list[tuple[Memristor | None, IntArray, Mapping[str, Any]]] = []
        for device, parameter, places in device_families(network):
            if device.kind == "resistor" and parameter == "conductance":
                self.families.append((None, places, {}))
            elif (memristor := memristor_of(device, parameter)) is not None:
                names = [network.trainable[k].element for k in places]
                values: dict[str, Any] = {
                    p.name: np.array([network.element(n).value(p.name) for n in names])
                    for p in device.parameters
                    if p.name != parameter
                }
                for state in memristor.states:  # what `Memristor` asks for, though a state replaces it
                    values.setdefault(state.initial, values.get(state.name, 0.0))
                self.families.append((memristor, places, values))
        held = [places for _, places, _ in self.families]
        self.places: IntArray = np.sort(np.concatenate(held)) if held else np.zeros(0, dtype=np.int64)

    def conductances(self, parameters: FloatArray) -> FloatArray:
        """Conductances `(n_cells,)` [S] for trainable parameters `(n_trainable,)`."""
        found = np.full(len(parameters), np.nan)
        for device, places, values in self.families:
            own = parameters[places]
            if device is not None:
                own = device.read_conductance({**values, device.states[0].name: own})
            found[places] = own
        return np.asarray(found[self.places])

    def parameters(self, conductances: FloatArray, others: FloatArray) -> FloatArray:
        """Trainable parameters for conductances.

        Args:
            conductances: `(n_cells,)` [S].
            others: parameters `(n_trainable,)`, of which those without a conductance are kept.
        """
        spread = np.full(len(others), np.nan)
        spread[self.places] = conductances
        found = np.array(others, dtype=float)
        for device, places, values in self.families:
            own = spread[places]
            found[places] = own if device is None else device.state_for(own, values)
        return found


def memristor_of(device: Any, parameter: str) -> Memristor | None:
    """The memristive device whose first state a trainable parameter is; `None` for other parameters."""
    known = device.moving if isinstance(device, FrozenMemristor) else device
    if not isinstance(known, Memristor):
        return None
    names = {known.states[0].name, known.states[0].initial}
    return known if parameter in names else None
