"""A user's own SPICE netlist as a network.

    network = import_netlist(Path("filter.cir"), inputs={"x": "Vin"}, outputs=["out"], trainable=["R*"])

A netlist is data: it is read here, checked, and written anew for the simulator; commands are refused.

Read: R C L (`ic=`, `m=`), V I (a value, pulse, sin, pwl, exp, sffm, am), E G F H (linear, or an expression),
B, D with its model, subcircuits with parameters, `.param`, `.model`, `.include` of model files below the
netlist's folder, `.ic`, `.global`. Numbers and expressions have ngspice's meaning: `1M` is milli, `x^3` is
`|x|^3`. A B source whose current depends on its own voltage and parameters only has a derivative, and its
parameters can be trained.

The derivatives of an M with w and l come from its simulation (`bridge.transistors`). Simulated, but without
derivative (named by `circuits.adjoint.adjoint`): other M, Q J Z S W T O U K, other B sources, elements with a
model card beyond the plain diode's.

Ignored, with a note where it matters: analyses, prints, tolerances, `.nodeset`. `.ic` sets the initial
voltage of the capacitors between the nodes that it names; nodes without a capacitor do not keep one.

Refused with file and line: `.control`, `.exec`, `.lib`, `.if`, `.func`, `.csparam`, code models, commands,
random functions, temperatures other than 27 degrees Celsius.
"""

from circuits.importer.build import import_netlist
from circuits.importer.names import ImportedNetwork, ImportedOutput

__all__ = ["ImportedNetwork", "ImportedOutput", "import_netlist"]
