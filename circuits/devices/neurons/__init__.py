"""Biologically plausible neurons and synapses as circuits, in the units of the field.

    elements = cell("hodgkin_huxley", "a", "va") + cell("hodgkin_huxley", "b", "vb", temperature=18.5)
    elements.append(chemical_synapse("ab", "va", "vb", weight=0.5))

Voltages are those of the membrane in volts, times seconds, currents those of a membrane of 1 cm^2 (`Scale`).
"""

from __future__ import annotations

from circuits.devices.neurons.base import Cell, CellParameter
from circuits.devices.neurons.cells import CELLS, cell
from circuits.devices.neurons.scale import SCALE, Scale
from circuits.devices.neurons.synapses import CHEMICAL_SYNAPSE, chemical_synapse, gap_junction

__all__ = [
    "CELLS",
    "CHEMICAL_SYNAPSE",
    "SCALE",
    "Cell",
    "CellParameter",
    "Scale",
    "cell",
    "chemical_synapse",
    "gap_junction",
]
