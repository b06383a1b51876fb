"""Trainable parameters of a network by device and name, and what the simulator is told for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuits.network import Network

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def typical_sizes(network: Network) -> FloatArray:
    """A typical size of every trainable parameter, `(n_trainable,)`, for steps away from zero."""
    devices = [network.element(t.element).device for t in network.trainable]
    return np.array(
        [d.parameters[d.index(t.parameter)].typical for d, t in zip(devices, network.trainable, strict=True)]
    )


def device_families(network: Network) -> Sequence[tuple[Any, str, IntArray]]:
    """Trainable parameters by device and name: the device, the parameter, their places in the vector."""
    places: dict[tuple[int, str], list[int]] = {}
    devices = {}
    for k, entry in enumerate(network.trainable):
        device = network.element(entry.element).device
        devices[id(device)] = device
        places.setdefault((id(device), entry.parameter), []).append(k)
    return [
        (devices[key], parameter, np.array(rows, dtype=np.int64)) for (key, parameter), rows in places.items()
    ]


def told_values(families: Sequence[tuple[Any, str, IntArray]], parameters: FloatArray) -> FloatArray:
    """What the simulator is told for values of the trainable parameters, both `(n_trainable,)`."""
    told = np.array(parameters, dtype=float)
    for device, parameter, places in families:
        told[places] = device.alter_value(parameter, told[places])
    return told
