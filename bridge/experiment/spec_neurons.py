"""Keys of directed networks and networks of neurons: circuits, stimuli, spike times, truncation."""

from __future__ import annotations

from collections.abc import Sequence
from string import digits
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from bridge.experiment.section import Section
from bridge.units import Farads, Number, Seconds, Siemens, Volts
from circuits.devices.neurons import CELLS
from circuits.network import Network
from circuits.topologies.directed import DirectedNodes, Weights, directed
from circuits.topologies.neurons import Bounds, Connection, Input, Population, Site, neuron_network

_KINDS = tuple(CELLS)
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z_]*$")]


class DirectedWeightSpec(Section):
    """Transconductances of a directed network, of either sign."""

    limit: Annotated[Siemens, Field(gt=0, description="largest absolute value, never left")] = 100e-6
    initial: Annotated[
        Number, Field(ge=0, description="standard deviation of a node's weights, times sqrt(fan in) / leak")
    ] = 1.0
    self_initial: Annotated[
        Number, Field(description="added to a recurrent node's weight onto itself, in units of the leak")
    ] = 0.0


class DirectedSpec(Section):
    """Saturating transconductances that drive RC nodes, layered or recurrent."""

    topology: Literal["directed"]
    layers: Annotated[
        list[Annotated[int, Field(ge=1)]],
        Field(description="nodes of each hidden layer", default_factory=lambda: [8]),
    ]
    recurrent: Annotated[bool, Field(description="every node of a layer drives every node of its layer")] = (
        True
    )
    bias: Annotated[Volts, Field(description="a constant source drives every layer; 0 for none")] = 0.5
    input_gain: Annotated[Number, Field(gt=0, description="source volts per volt of a channel")] = 1.0
    capacitance: Annotated[Farads, Field(gt=0, description="of a node")] = 10e-12
    spread: Annotated[Number, Field(ge=1, description="capacitances vary by this factor")] = 1.0
    leak: Annotated[Siemens, Field(gt=0, description="of a node; capacitance / leak is its memory")] = 10e-6
    saturation: Annotated[Volts, Field(gt=0, description="largest voltage of an activation")] = 0.5
    gain: Annotated[Number, Field(gt=0, description="slope of an activation at 0 V")] = 1.0
    weight: DirectedWeightSpec = DirectedWeightSpec()
    train: Annotated[
        list[Literal["weight", "leak", "capacitance"]],
        Field(min_length=1, description="parameters that learn", default_factory=lambda: ["weight"]),
    ]

    def build(self, channels: int, outputs: int, *, seed: Any, name: str) -> Network:
        """The network for a data set's channels and outputs; `seed` draws its initial values."""
        weight = self.weight
        return directed(
            channels,
            self.layers,
            outputs,
            recurrent=self.recurrent,
            bias=self.bias,
            input_gain=self.input_gain,
            nodes=DirectedNodes(self.capacitance, self.leak, self.spread, self.saturation, self.gain),
            weights=Weights(weight.limit, weight.initial, weight.self_initial),
            train=self.train,
            seed=seed,
            name=name,
        )


class DelayedXorSpec(Section):
    """Two pulses, one after the other; each is a bit, the class is their exclusive or."""

    source: Literal["delayed_xor"]
    samples: Annotated[int, Field(ge=4, description="training samples")] = 32
    test_samples: Annotated[int, Field(ge=4, description="samples held out")] = 64
    points: Annotated[int, Field(ge=16, description="samples of a waveform")] = 401
    width: Annotated[Seconds, Field(gt=0, description="standard deviation of a pulse")]
    delay: Annotated[Seconds, Field(gt=0, description="mean time between the pulses")]
    jitter: Annotated[Seconds, Field(ge=0, description="pulses move by up to this, each on its own")] = 0.0
    amplitude: Annotated[Volts, Field(gt=0, description="mean peak of a pulse")] = 1.0
    spread: Annotated[Number, Field(ge=0, lt=1, description="relative standard deviation of the peaks")] = 0.0
    noise: Annotated[Volts, Field(ge=0, description="standard deviation of smooth noise on the channel")] = (
        0.0
    )
    zero: Annotated[
        Literal["negative", "absent"], Field(description="what stands for 0: a negative pulse, or none")
    ] = "negative"


class BoundsSpec(Section):
    """Training bounds of a parameter, in the units of the field."""

    lower: Annotated[float, Field(description="never left")]
    upper: Annotated[float, Field(description="never left")]

    @model_validator(mode="after")
    def _ordered(self) -> BoundsSpec:
        if not self.lower <= self.upper:
            raise ValueError("needs lower <= upper")
        return self

    def made(self) -> Bounds:
        """As the topology takes them."""
        return Bounds(self.lower, self.upper)


class PopulationSpec(Section):
    """Neurons of one kind, with parameters in the units of the field."""

    kind: Annotated[Literal[_KINDS], Field(description="of neuron")] = "hodgkin_huxley"  # type: ignore[valid-type]
    size: Annotated[int, Field(ge=1, description="number of neurons")] = 1
    parameters: Annotated[
        dict[str, float],
        Field(
            description="by name (mV, ms, mS/cm^2, uF/cm^2); the kind's own where left out",
            default_factory=dict,
        ),
    ]
    spread: Annotated[
        dict[str, Annotated[float, Field(ge=0, lt=0.33)]],
        Field(description="relative standard deviation between neurons, by parameter", default_factory=dict),
    ]
    train: Annotated[
        dict[str, BoundsSpec], Field(description="parameters that learn, with bounds", default_factory=dict)
    ]


_Learned = Literal["weight", "reversal", "alpha", "beta", "half", "width"]


def _weights(train: Any) -> Any:
    """Let `{lower: .., upper: ..}` stand for the weights' bounds."""
    if train is None:
        return {}
    return {"weight": train} if isinstance(train, dict) and train.keys() & {"lower", "upper"} else train


class ConnectionSpec(Section):
    """Synapses from one population to another."""

    pre: Annotated[str, Field(description="presynaptic population")]
    post: Annotated[str, Field(description="postsynaptic population; the same one for recurrent synapses")]
    kind: Annotated[
        Literal["chemical", "gap"], Field(description="directed with kinetics, or a conductance")
    ] = "chemical"
    probability: Annotated[
        float, Field(gt=0, le=1, description="of each pair of neurons; 1 for all to all")
    ] = 1.0
    weight: Annotated[float, Field(ge=0, description="mean conductance [mS/cm^2]")] = 0.1
    spread: Annotated[float, Field(ge=0, le=1, description="weights are uniform within this share of it")] = (
        0.5
    )
    train: Annotated[
        dict[_Learned, BoundsSpec],
        BeforeValidator(_weights, json_schema_input_type=BoundsSpec | dict[_Learned, BoundsSpec]),
        Field(
            description="what learns, with bounds; lower and upper alone are those of the weights",
            default_factory=dict,
        ),
    ]
    reversal: Annotated[float | None, Field(description="[mV]; 0 excites (default), -80 inhibits")] = None
    alpha: Annotated[float | None, Field(gt=0, description="rate of opening [1/ms]")] = None
    beta: Annotated[float | None, Field(gt=0, description="rate of closing [1/ms]")] = None
    half: Annotated[float | None, Field(description="presynaptic voltage of half the release [mV]")] = None
    width: Annotated[float | None, Field(gt=0, description="of the release around it [mV]")] = None

    def made(self) -> Connection:
        """As the topology takes it."""
        names = ("reversal", "alpha", "beta", "half", "width")
        options = {n: v for n in names if (v := getattr(self, n)) is not None}
        train: dict[str, Bounds] = {key: bounds.made() for key, bounds in self.train.items()}
        weight = train.pop("weight", None)
        return Connection(
            self.pre, self.post, self.kind, self.probability, self.weight, self.spread, weight, options, train
        )


class InputSpec(Section):
    """A channel that injects a current into neurons."""

    channel: Annotated[int, Field(ge=0, description="number of the channel")] = 0
    target: Annotated[str, Field(description="population")]
    neurons: Annotated[
        list[Annotated[int, Field(ge=0)]] | None, Field(description="their numbers; all when left out")
    ] = None
    gain: Annotated[float, Field(description="uA/cm^2 per unit of the channel")] = 1.0
    offset: Annotated[float, Field(description="constant current beside it [uA/cm^2]")] = 0.0


class NeuronsSpec(Section):
    """Populations of neurons, synapses between them, injected currents and membrane voltages as outputs."""

    topology: Literal["neurons"]
    populations: Annotated[dict[Name, PopulationSpec], Field(min_length=1, description="by name")]
    connections: Annotated[list[ConnectionSpec], Field(description="synapses", default_factory=list)]
    inputs: Annotated[list[InputSpec], Field(min_length=1, description="injected currents")]
    outputs: Annotated[
        list[str],
        Field(min_length=1, description="populations, or neurons such as cell0, whose voltages are outputs"),
    ]
    start_error: Annotated[
        tuple[float, float] | None,
        Field(description="trainable parameters of neurons start wrong by a share between these two"),
    ] = None

    @model_validator(mode="after")
    def _error(self) -> NeuronsSpec:
        if self.start_error is not None and not 0 <= self.start_error[0] <= self.start_error[1]:
            raise ValueError("start_error needs 0 <= lower <= upper")
        return self

    def thresholds(self, nodes: Sequence[str]) -> tuple[float, ...]:
        """The voltage that counts as a spike [V] of each neuron, by the names of their nodes."""
        return tuple(1e-3 * CELLS[self.populations[n.rstrip(digits)].kind].spike for n in nodes)

    @property
    def channels(self) -> int:
        """Number of channels that the inputs use."""
        return 1 + max(i.channel for i in self.inputs)

    def build(self, *, seed: Any, name: str, wrong: bool = True) -> tuple[Network, dict[str, Site]]:
        """The network and the sites of its trainable parameters; without start errors unless `wrong`."""
        populations = [
            Population(key, p.kind, p.size, p.parameters, p.spread, {n: b.made() for n, b in p.train.items()})
            for key, p in self.populations.items()
        ]
        return neuron_network(
            populations,
            [c.made() for c in self.connections],
            [Input(i.channel, i.target, i.neurons, i.gain, i.offset) for i in self.inputs],
            self.outputs,
            start_error=self.start_error if wrong else None,
            seed=seed,
            name=name,
        )


class StimulusSpec(Section):
    """One part of a channel's waveform; parts add up."""

    channel: Annotated[int, Field(ge=0)] = 0
    shape: Annotated[
        Literal["pulse", "ramp", "sine", "noise"],
        Field(description="constant, rising from 0, a sine from 0, or smooth noise, between start and stop"),
    ] = "pulse"
    start: Annotated[Seconds, Field(ge=0)] = 0.0
    stop: Annotated[Seconds | None, Field(gt=0, description="the transient's end when left out")] = None
    amplitude: Annotated[
        float, Field(description="in the channel's unit; the peak, or the standard deviation of noise")
    ]
    rise: Annotated[Seconds, Field(ge=0, description="duration of a pulse's edges")] = 0.0
    period: Annotated[Seconds | None, Field(gt=0, description="of a sine; correlation time of noise")] = None

    @model_validator(mode="after")
    def _fits(self) -> StimulusSpec:
        if self.stop is not None and self.stop <= self.start:
            raise ValueError("stop must be after start")
        if self.shape in ("sine", "noise") and self.period is None:
            raise ValueError(f"{self.shape} needs a period")
        if self.shape not in ("sine", "noise") and self.period is not None:
            raise ValueError(f"a {self.shape} has no period; leave it out")
        if self.shape != "pulse" and self.rise > 0.0:
            raise ValueError(f"rise is for pulses; a {self.shape} has none")
        return self


class StimuliSpec(Section):
    """Stimuli written out, a list of parts a sample; targets are traces of the same network, or none."""

    source: Literal["stimuli"]
    samples: Annotated[list[list[StimulusSpec]], Field(min_length=1, description="training samples")]
    test_samples: Annotated[
        list[list[StimulusSpec]] | None,
        Field(description="samples held out; the training ones when left out"),
    ] = None
    points: Annotated[int, Field(ge=16, description="samples of a waveform")] = 1001
    traces: Annotated[
        bool, Field(description="targets are voltages of the circuit as written, without start_error")
    ] = False
    noise: Annotated[Volts, Field(ge=0, description="standard deviation of the noise on target traces")] = 0.0


class SpikeTimesSpec(Section):
    """Squared differences between spike times and target times, with costs of missing and extra spikes."""

    kind: Literal["spike_times"]
    threshold: Annotated[
        Volts | None,
        Field(description="voltage that a spike crosses upwards; the neurons' kind has one, otherwise 0 V"),
    ] = None
    tau: Annotated[Seconds, Field(gt=0, description="a spike that is off by this costs 1")]
    times: Annotated[list[list[Seconds]], Field(min_length=1, description="target times, a list an output")]
    missing: Annotated[Number, Field(gt=0, description="cost of a target without spike")] = 10.0
    extra: Annotated[Number, Field(gt=0, description="cost of a spike without target")] = 10.0
    height: Annotated[
        Volts, Field(gt=0, description="excess over the threshold that makes a spike count")
    ] = 0.01
    tolerance: Annotated[
        Seconds, Field(gt=0, description="a spike nearer than this to its target counts as on time")
    ] = 5e-4
