"""Keys of experiments on time-varying networks: circuits with memory, a user's netlist, waveforms."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from bridge.errors import NetworkError, SpecError
from bridge.experiment.device_file import load_device
from bridge.experiment.section import ConductanceSpec, KeyProblemError, Reduce, Section
from bridge.experiment.source import ExistingFile
from bridge.experiment.spec_devices import DiodeSpec
from bridge.units import Farads, Henries, Number, Seconds, Siemens, Volts, parse_quantity


class RLCSpec(Section):
    """Recurrent network with memory on a random graph."""

    topology: Literal["rlc"]
    nodes: Annotated[int, Field(ge=2, description="free nodes, each with a capacitor to ground")]
    degree: Annotated[float, Field(gt=0, description="mean number of recurrent conductances a node")] = 4.0
    fan: Annotated[int, Field(ge=1, description="conductances from each source to random nodes")] = 4
    doubled_inputs: Annotated[bool, Field(description="each channel drives +x and -x")] = True
    bias: Annotated[Volts, Field(description="a pair of sources at +-bias; 0 for none")] = 0.0
    differential_outputs: Annotated[bool, Field(description="an output is the difference of two nodes")] = (
        True
    )
    input_gain: Annotated[Number, Field(gt=0, description="source volts per volt of a channel")] = 1.0
    capacitance: Annotated[Farads, Field(gt=0, description="geometric mean of the nodes' capacitances")] = (
        1e-12
    )
    spread: Annotated[Number, Field(ge=1, description="capacitances and inductances vary by this factor")] = (
        3.0
    )
    cubic: Annotated[
        Number, Field(ge=0, description="growth of a capacitance with the voltage squared [1/V^2]")
    ] = 0.0
    inductors: Annotated[int, Field(ge=0, description="inductors between random pairs of nodes")] = 0
    inductance: Annotated[Henries, Field(gt=0, description="geometric mean of the inductances")] = 1e-6
    diodes: Annotated[float, Field(ge=0, le=1, description="share of the nodes with paired diodes")] = 0.0
    rectifiers: Annotated[
        float, Field(ge=0, le=1, description="share of the nodes with a single diode, which rectify")
    ] = 0.0
    fractional: Annotated[int, Field(ge=0, description="fractional memristors between random pairs")] = 0
    fractional_conductance: Annotated[Siemens, Field(gt=0, description="of a fractional memristor")] = 1e-4
    band: Annotated[tuple[Number, Number], Field(description="band of the fractional ladders [rad/s]")] = (
        1e6,
        1e10,
    )
    train: Annotated[
        list[Literal["conductance", "capacitance", "inductance"]],
        Field(min_length=1, description="parameters that learn", default_factory=lambda: ["conductance"]),
    ]
    diode: DiodeSpec = DiodeSpec()
    conductance: ConductanceSpec = ConductanceSpec()
    reduce: Reduce = True


def _bound(value: Any) -> Any:
    """A number; text with a unit stays as it is, because the unit is that of the netlist's parameter."""
    try:
        return parse_quantity(value, "")
    except ValueError:
        if not isinstance(value, str):
            raise
        parse_quantity(value, None)
        return value


Bound = Annotated[float | str, BeforeValidator(_bound)]


class TrainableSpec(Section):
    """One trainable parameter of a user's netlist."""

    element: Annotated[str, Field(description="element's name, * and ? as wildcards")]
    parameter: Annotated[str | None, Field(description="its parameter; the element's own when left out")] = (
        None
    )
    lower: Annotated[
        Bound | None,
        Field(
            description="smallest value while training, with or without unit; a resistor's conductance [S]"
        ),
    ] = None
    upper: Annotated[Bound | None, Field(description="largest value while training")] = None


def _node(value: Any) -> Any:
    """Let a node have a number for a name, as ground does."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


NodeName = Annotated[str, BeforeValidator(_node, json_schema_input_type=str | int)]


class OwnElementSpec(Section):
    """A device of your own between nodes of the netlist."""

    device: Annotated[
        ExistingFile, Field(description="its file: equations (.yaml), Verilog-A (.va) or a subcircuit (.sub)")
    ]
    nodes: Annotated[
        list[NodeName], Field(min_length=2, description="of the netlist, one a terminal; 0 is ground")
    ]
    parameters: Annotated[
        dict[str, Number], Field(description="parameters that differ from its file's", default_factory=dict)
    ]

    @model_validator(mode="after")
    def _readable(self) -> OwnElementSpec:
        try:
            own = load_device(self.device)
        except (SpecError, NetworkError) as error:
            raise KeyProblemError(("device",), str(error).splitlines()[0]) from None
        if len(self.nodes) != len(own.terminals):
            raise KeyProblemError(
                ("nodes",),
                f"{own.name} has {len(own.terminals)} terminals ({', '.join(own.terminals)}), "
                f"not {len(self.nodes)}",
            )
        try:
            own.place("x", tuple(f"n{k}" for k in range(len(self.nodes))), self.parameters)
        except (SpecError, NetworkError) as error:
            raise KeyProblemError(("parameters",), str(error).removeprefix("x: ")) from None
        return self


class NetlistSpec(Section):
    """A user's own netlist."""

    topology: Literal["netlist"] = "netlist"
    netlist: Annotated[ExistingFile, Field(description="the deck, a .cir or .sp file")]
    inputs: Annotated[dict[str, str], Field(description="input name: the deck's source that it drives")]
    outputs: Annotated[list[str], Field(min_length=1, description="nodes, or pairs of nodes as 'a,b'")]
    elements: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")], OwnElementSpec],
        Field(description="devices of your own beside the netlist's elements, by name", default_factory=dict),
    ]
    trainable: Annotated[
        list[str | TrainableSpec],
        Field(description="elements whose parameters learn", default_factory=list),
    ]
    reduce: Reduce = True


class WaveformFileSpec(Section):
    """Waveforms from CSV files: columns time, one per input, target:NODE per output."""

    source: Literal["waveforms"]
    waveforms: Annotated[ExistingFile | list[ExistingFile], Field(description="one file, or one a sample")]

    @property
    def files(self) -> list[Any]:
        """The files, one a sample."""
        return self.waveforms if isinstance(self.waveforms, list) else [self.waveforms]


class TeacherSpec(Section):
    """Smooth random inputs and the response of a network of the same kind with other values."""

    source: Literal["teacher"]
    seed: Annotated[int, Field(ge=0, description="of the teacher's values")] = 1000
    samples: Annotated[int, Field(ge=1, description="training samples")] = 4
    test_samples: Annotated[int, Field(ge=1, description="samples held out")] = 2
    channels: Annotated[int, Field(ge=1, description="input waveforms a sample")] = 1
    outputs: Annotated[int, Field(ge=1, description="output waveforms a sample")] = 1
    points: Annotated[int, Field(ge=8, description="samples of a waveform")] = 201
    lowest: Annotated[int, Field(ge=1, description="lowest frequency in half periods a transient")] = 1
    highest: Annotated[int, Field(ge=1, description="highest frequency in half periods a transient")] = 8
    amplitude: Annotated[Volts, Field(gt=0, description="peak of an input waveform")] = 1.0


class PulseOrderSpec(Section):
    """Two channels with a pulse each: which one came first?"""

    source: Literal["pulse_order"]
    samples: Annotated[int, Field(ge=2, description="training samples")] = 32
    test_samples: Annotated[int, Field(ge=2, description="samples held out")] = 64
    points: Annotated[int, Field(ge=16, description="samples of a waveform")] = 401
    width: Annotated[Seconds, Field(gt=0, description="standard deviation of a pulse")]
    amplitude: Annotated[Volts, Field(gt=0, description="peak of a pulse")] = 1.0


class TimeSeriesSpec(Section):
    """A published time-series classification set that the optional package aeon ships."""

    source: Literal["aeon"]
    name: Annotated[str, Field(description="for example ItalyPowerDemand")]
    amplitude: Annotated[Volts, Field(gt=0, description="standard deviation of the series")] = 1.0


WaveSource = WaveformFileSpec | TeacherSpec | PulseOrderSpec | TimeSeriesSpec


def complete(data: Any) -> Any:
    """Let `circuit: {netlist: ..}` and `data: {waveforms: ..}` stand without their kind."""
    if not isinstance(data, dict):
        return data
    result = dict(data)
    for section, key, kind, word in (
        ("circuit", "netlist", "topology", "netlist"),
        ("data", "waveforms", "source", "waveforms"),
    ):
        part = result.get(section)
        if isinstance(part, dict) and key in part and kind not in part:
            result[section] = {kind: word, **part}
    return result


class AdjointSpec(Section):
    """The adjoint network: exact for any transient and any operating point."""

    kind: Literal["adjoint"]
    horizon: Annotated[
        Seconds | None,
        Field(gt=0, description="transients: an error reaches back at least this far; all when left out"),
    ] = None
    stride: Annotated[
        Seconds | None,
        Field(gt=0, description="errors of so long a time are cut at once; the horizon when left out"),
    ] = None

    @model_validator(mode="after")
    def _needs_horizon(self) -> AdjointSpec:
        if self.stride is not None and self.horizon is None:
            raise ValueError("stride needs a horizon")
        return self


class LagrangianSpec(Section):
    """Nudged echoes on the same circuit: exact for odd reactances and linear resistors."""

    kind: Literal["lagrangian"]
    relative_beta: Annotated[
        Number, Field(gt=0, lt=1, description="largest nudge as a share of the largest resistor current")
    ] = 1e-2


class CausalSpec(Section):
    """The naive nudge forward in time: biased, for comparison."""

    kind: Literal["causal"]
    relative_beta: Annotated[
        Number, Field(gt=0, lt=1, description="largest nudge as a share of the largest resistor current")
    ] = 1e-2


class Windowed(Section):
    """A loss that may look at a part of a transient only."""

    window: Annotated[
        tuple[Seconds, Seconds] | None, Field(description="start and end of the part that counts")
    ] = None
    energy: Annotated[
        Number,
        Field(ge=0, description="weight of the energy drawn from the driven voltage sources, added [1/J]"),
    ] = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> Windowed:
        if self.window is not None and not 0 <= self.window[0] < self.window[1]:
            raise ValueError("window needs 0 <= start < end")
        return self
