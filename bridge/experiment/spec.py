"""The experiment file: every key, its unit, its default and what it means."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bridge.experiment.section import ConductanceSpec, Reduce, Section
from bridge.experiment.source import ExistingFile
from bridge.experiment.spec_clln import CLLNSpec, CoupledLearningSpec
from bridge.experiment.spec_devices import (
    DevicesSpec,
    DiodeSpec,
    ProgrammingSpec,
    RobustnessSpec,
    SynapseSpec,
)
from bridge.experiment.spec_dynamic import (
    AdjointSpec,
    CausalSpec,
    LagrangianSpec,
    NetlistSpec,
    PulseOrderSpec,
    RLCSpec,
    TeacherSpec,
    TimeSeriesSpec,
    WaveformFileSpec,
    Windowed,
    complete,
)
from bridge.experiment.spec_neurons import (
    DelayedXorSpec,
    DirectedSpec,
    NeuronsSpec,
    SpikeTimesSpec,
    StimuliSpec,
)
from bridge.experiment.spec_transistor import MirrorEquilibriumSpec, TransistorSpec
from bridge.units import Amperes, Farads, Number, PerVolt, Seconds, Volts


class LayeredSpec(Section):
    """Deep resistive network: layers of conductances, paired diodes and bidirectional amplifiers."""

    topology: Literal["layered"]
    hidden: Annotated[
        list[Annotated[int, Field(ge=1)]],
        Field(description="nodes of each hidden layer", default_factory=list),
    ]
    doubled_inputs: Annotated[bool, Field(description="each feature drives +x and -x")] = True
    bias: Annotated[Volts, Field(description="a pair of sources at +-bias feeds every layer; 0 for none")] = (
        1.0
    )
    differential_outputs: Annotated[bool, Field(description="an output is the difference of two nodes")] = (
        False
    )
    input_gain: Annotated[Number, Field(gt=0, description="source volts per volt of scaled feature")] = 1.0
    gain: Annotated[Number, Field(gt=0, description="forward voltage gain of the amplifiers; 1 for none")] = (
        1.0
    )
    diode: DiodeSpec = DiodeSpec()
    conductance: ConductanceSpec = ConductanceSpec()
    synapse: SynapseSpec = SynapseSpec()
    reduce: Reduce = True

    def idle(self) -> dict[str, str]:
        """Memristors have a range of their own."""
        return self.synapse.replaced


class GraphSpec(Section):
    """An arbitrary graph of conductances between nodes, with diodes to ground at chosen nodes."""

    topology: Literal["graph"]
    nodes: Annotated[int, Field(ge=2, description="nodes besides ground, named n0, n1, ...")]
    edges: Annotated[
        list[tuple[int, int]] | None, Field(description="pairs of node numbers; random ones when left out")
    ] = None
    degree: Annotated[float, Field(gt=0, description="mean number of edges a node of a random graph")] = 4.0
    inputs: Annotated[
        list[int] | None, Field(description="node of each feature; the first ones when left out")
    ] = None
    outputs: Annotated[
        list[int] | None, Field(description="node of each output; the last ones when left out")
    ] = None
    diodes: Annotated[float, Field(ge=0, le=1, description="share of free nodes with paired diodes")] = 1.0
    bias: Volts = 1.0
    diode: DiodeSpec = DiodeSpec()
    conductance: ConductanceSpec = ConductanceSpec()
    synapse: SynapseSpec = SynapseSpec()
    reduce: Reduce = True

    def idle(self) -> dict[str, str]:
        """Memristors have a range of their own."""
        return self.synapse.replaced

    @model_validator(mode="after")
    def _in_range(self) -> GraphSpec:
        for node in [n for e in self.edges or [] for n in e] + (self.inputs or []) + (self.outputs or []):
            if not 0 <= node < self.nodes:
                raise ValueError(f"node {node} is not one of 0..{self.nodes - 1}")
        return self


CircuitSpec = Annotated[
    LayeredSpec | GraphSpec | RLCSpec | NetlistSpec | TransistorSpec | CLLNSpec | DirectedSpec | NeuronsSpec,
    Field(discriminator="topology"),
]


# --- data, loss, estimator, analysis ------------------------------------------------------------------


class DataSpec(Section):
    """The data set, its split and how features become voltages."""

    source: Literal["xor", "iris", "digits", "csv"]
    file: ExistingFile | None = None
    label: Annotated[str | None, Field(description="column of the class in a CSV file")] = None
    test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.2
    scaling: Literal["none", "standard", "min_max"] = "standard"
    amplitude: Annotated[
        Volts, Field(gt=0, description="standard deviation, or half the range, of the scaled features")
    ] = 1.0
    offset: Annotated[Volts, Field(description="centre of the scaled features")] = 0.0
    shared: Annotated[bool, Field(description="one scale for all features (pixels of an image)")] = False
    clip: Annotated[Volts | None, Field(gt=0, description="largest distance from the offset")] = None
    side: Annotated[
        int | None, Field(ge=1, description="pixels of a side to which square images are interpolated")
    ] = None
    target: Annotated[Volts, Field(gt=0, description="target of the right output")] = 1.0
    encoding: Annotated[
        Literal["auto", "one_hot", "signed"], Field(description="auto: signed for two classes, else one_hot")
    ] = "auto"

    @model_validator(mode="after")
    def _file(self) -> DataSpec:
        if (self.source == "csv") != (self.file is not None):
            raise ValueError("source csv needs a file, the other sources take none")
        if self.source != "csv" and self.label is not None:
            raise ValueError("label names a column of a CSV file; the other sources take none")
        return self


DataSource = Annotated[
    DataSpec
    | WaveformFileSpec
    | TeacherSpec
    | PulseOrderSpec
    | TimeSeriesSpec
    | DelayedXorSpec
    | StimuliSpec,
    Field(discriminator="source"),
]


class MeanSquaredErrorSpec(Windowed):
    """Mean over the outputs (and, on waveforms, over time) of the squared difference from the target."""

    kind: Literal["mse"]
    on: Annotated[
        Literal["waveform", "final"],
        Field(description="target waveforms: all of the window, or the last value only"),
    ] = "waveform"


class CrossEntropySpec(Windowed):
    """Softmax cross-entropy of `scale` times the output voltages."""

    kind: Literal["cross_entropy"]
    scale: Annotated[PerVolt, Field(gt=0)] = 1.0
    on: Annotated[
        Literal["average", "final"],
        Field(description="on waveforms: of their mean over the window, or of their last value"),
    ] = "average"


class SpikesSpec(Section):
    """Van Rossum distance between the outputs' upward threshold crossings and target spike times."""

    kind: Literal["spikes"]
    tau: Annotated[Seconds, Field(gt=0, description="time constant of the filter")]
    threshold: Annotated[Volts, Field(description="voltage that a spike crosses")]
    width: Annotated[Volts, Field(gt=0, description="smoothness of the threshold")]
    times: Annotated[list[list[Seconds]], Field(min_length=1, description="spike times, a list an output")]


class UserLossSpec(Section):
    """The user's own function, by import path or file."""

    kind: Literal["user"]
    function: Annotated[str, Field(pattern=r"^[^:]+:[A-Za-z_]\w*$", description="package.module:function")]


LossSpec = Annotated[
    MeanSquaredErrorSpec | CrossEntropySpec | SpikesSpec | SpikeTimesSpec | UserLossSpec,
    Field(discriminator="kind"),
]


class EquilibriumSpec(Section):
    """Equilibrium propagation with symmetric nudging."""

    kind: Literal["equilibrium"]
    beta: Annotated[
        Number, Field(gt=0, description="nudging strength [A V]: the current is -beta times dloss/dv")
    ] = 1e-7


class FiniteDifferenceSpec(Section):
    """Central differences, two simulations a parameter: the reference, never the default."""

    kind: Literal["finite_difference"]
    relative_step: Annotated[Number, Field(gt=0, lt=0.5)] = 1e-4


EstimatorSpec = Annotated[
    EquilibriumSpec
    | FiniteDifferenceSpec
    | AdjointSpec
    | LagrangianSpec
    | CausalSpec
    | CoupledLearningSpec
    | MirrorEquilibriumSpec,
    Field(discriminator="kind"),
]


class OperatingPointSpec(Section):
    """Each phase is an operating point."""

    kind: Literal["operating_point"]
    stream: Annotated[
        Literal["auto"] | bool,
        Field(
            description="each sample's operating point from the one before; auto: where nothing has memory"
        ),
    ] = "auto"


class TransientSpec(Section):
    """Each phase is a transient: one that settles for static data, the response for waveforms."""

    kind: Literal["transient"]
    duration: Annotated[Seconds, Field(gt=0)]
    step: Annotated[
        Seconds | None, Field(gt=0, description="largest time step; left out where accuracy is given")
    ] = None
    accuracy: Annotated[
        Number | None,
        Field(gt=0, lt=1, description="error allowed in the gradient, relative; the step follows from it"),
    ] = None
    start: Annotated[
        Literal["rest", "operating_point"],
        Field(description="waveforms: start from initial conditions, or from the operating point at t = 0"),
    ] = "rest"
    node_capacitance: Annotated[
        Farads | None, Field(gt=0, description="static data: parasitic capacitance of every free node")
    ] = None
    tolerance: Annotated[
        Volts, Field(gt=0, description="a node that moves by more in the last tenth has not settled")
    ] = 1e-5

    @model_validator(mode="after")
    def _steps(self) -> TransientSpec:
        if (self.step is None) == (self.accuracy is None):
            raise ValueError("needs either step or accuracy")
        if self.step is not None and self.step > self.duration:
            raise ValueError("step is longer than duration")
        return self

    @property
    def provisional_step(self) -> float:
        """The largest time step [s]; before one is chosen for the accuracy, a thousandth of the duration."""
        return self.duration / 1000 if self.step is None else self.step


AnalysisSpec = Annotated[OperatingPointSpec | TransientSpec, Field(discriminator="kind")]


# --- training -------------------------------------------------------------------------------------------


class OptimizerSpec(Section):
    """The update rule."""

    kind: Literal["sgd", "momentum", "adam", "bfgs", "manhattan", "stochastic", "threshold"] = "adam"
    learning_rate: Annotated[Number, Field(gt=0, description="in siemens, or relative in log space")]
    space: Literal["linear", "log"] = "log"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    dead: Annotated[
        Number, Field(ge=0, description="gradient up to which a parameter stays (`manhattan`)")
    ] = 0.0
    scale: Annotated[
        Number | None, Field(gt=0, description="gradient that always makes a step (`stochastic`)")
    ] = None
    threshold: Annotated[
        Number | None, Field(gt=0, description="accumulated gradient that makes a step (`threshold`)")
    ] = None

    @model_validator(mode="after")
    def _own(self) -> OptimizerSpec:
        for kind, key in (("stochastic", "scale"), ("threshold", "threshold")):
            if self.kind == kind and getattr(self, key) is None:
                raise ValueError(f"{kind} needs {key}, a gradient")
        return self


class ScheduleSpec(Section):
    """How the learning rate changes with the epoch."""

    kind: Literal["constant", "exponential", "step", "cosine"] = "constant"
    warmup: Annotated[float, Field(ge=0, description="epochs of linear warm-up")] = 0.0
    decay: Annotated[float, Field(gt=0, le=1, description="factor an epoch, or a step")] = 0.95
    every: Annotated[int, Field(ge=1, description="epochs between steps")] = 10
    final: Annotated[float, Field(ge=0, le=1, description="last share of the rate (cosine)")] = 0.0


class EarlyStopSpec(Section):
    """When to stop before the last epoch."""

    metric: Literal["train_loss", "train_accuracy", "test_loss", "test_accuracy"] = "test_loss"
    target: Annotated[float | None, Field(description="stop when the metric has reached this value")] = None
    patience: Annotated[int | None, Field(ge=1, description="stop after that many epochs without gain")] = (
        None
    )

    @model_validator(mode="after")
    def _some_reason(self) -> EarlyStopSpec:
        if self.target is None and self.patience is None:
            raise ValueError("needs a target, a patience, or both")
        return self


class TrainingSpec(Section):
    """The training loop."""

    epochs: Annotated[int, Field(ge=0)]
    batch_size: Annotated[int, Field(ge=1)] = 16
    optimizer: OptimizerSpec
    schedule: ScheduleSpec = ScheduleSpec()
    evaluate_every: Annotated[
        int, Field(ge=1, description="epochs between evaluations on the test split")
    ] = 1
    early_stop: EarlyStopSpec | None = None
    programming: Annotated[
        ProgrammingSpec | None, Field(description="how updates get into devices; ideal when left out")
    ] = None


class EngineSpec(Section):
    """The simulator: workers, limits and tolerances."""

    workers: Annotated[int, Field(ge=1, description="simulator processes; results do not depend on it")] = 1
    time_limit: Annotated[Seconds, Field(gt=0, description="of one job before its worker is replaced")] = (
        120.0
    )
    memory_limit: Annotated[
        int, Field(ge=64, description="growth of a worker [MiB] after which it is replaced")
    ] = 256
    reltol: Annotated[Number, Field(gt=0, lt=1)] = 1e-6
    abstol: Annotated[Amperes, Field(gt=0)] = 1e-12
    vntol: Annotated[Volts, Field(gt=0)] = 1e-9
    klu: Annotated[
        bool | None, Field(description="use the solver KLU; left out, it is chosen by the circuit's size")
    ] = None


class ExperimentSpec(Section):
    """One experiment: a circuit, its data, how it is simulated and how it learns."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="names the run folder")]
    description: str = ""
    seed: Annotated[int, Field(ge=0)] = 0
    circuit: CircuitSpec
    data: DataSource
    loss: LossSpec
    estimator: Annotated[
        EstimatorSpec | None,
        Field(
            description="equilibrium for static data, adjoint for waveforms and transistors, "
            "coupled_learning for clln"
        ),
    ] = None
    analysis: AnalysisSpec = OperatingPointSpec(kind="operating_point")
    devices: Annotated[DevicesSpec | None, Field(description="what is wrong with the devices")] = None
    training: Annotated[TrainingSpec | None, Field(description="needed to train")] = None
    robustness: Annotated[
        RobustnessSpec | None, Field(description="the learned network on devices that are worse")
    ] = None
    engine: EngineSpec = EngineSpec()

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        return complete(data)

    @property
    def dynamic(self) -> bool:
        """Whether the data are waveforms."""
        return not isinstance(self.data, DataSpec)

    @model_validator(mode="after")
    def _fits(self) -> ExperimentSpec:
        analysis = self.analysis
        if self.dynamic and not isinstance(analysis, TransientSpec):
            raise ValueError("data of waveforms need analysis.kind: transient")
        if isinstance(analysis, TransientSpec):
            if self.dynamic and analysis.node_capacitance is not None:
                raise ValueError("analysis.node_capacitance is for static data; leave it out")
            if not self.dynamic and analysis.node_capacitance is None:
                raise ValueError("analysis.node_capacitance is missing: static data settle with it")
        static_only, dynamic_only = (
            ("equilibrium", "mirror_equilibrium", "coupled_learning"),
            ("lagrangian", "causal"),
        )
        if self.estimator is not None and self.estimator.kind in (
            static_only if self.dynamic else dynamic_only
        ):
            raise ValueError(
                f"estimator {self.estimator.kind} is for {'static data' if self.dynamic else 'waveforms'}"
            )
        if isinstance(self.estimator, AdjointSpec) and self.estimator.horizon and not self.dynamic:
            raise ValueError("estimator.horizon is for waveforms; leave it out")
        if isinstance(self.estimator, CoupledLearningSpec) and self.loss.kind == "cross_entropy":
            raise ValueError("coupled_learning holds outputs at target voltages; it needs loss mse")
        if not self.dynamic and self.loss.kind in ("spikes", "spike_times"):
            raise ValueError(f"loss {self.loss.kind} needs data of waveforms")
        if isinstance(self.data, StimuliSpec) != isinstance(self.circuit, NeuronsSpec):
            raise ValueError("data of stimuli are for circuit neurons, which takes no other data")
        if not self.dynamic and isinstance(self.circuit, RLCSpec | NetlistSpec | DirectedSpec):
            raise ValueError(f"circuit {self.circuit.topology} needs data of waveforms")
        if self.dynamic and isinstance(self.circuit, LayeredSpec | GraphSpec | CLLNSpec):
            raise ValueError(
                f"circuit {self.circuit.topology} has no memory; data of waveforms need rlc, directed, "
                "neurons, transistor or netlist"
            )
        if isinstance(self.circuit, TransistorSpec):
            if self.dynamic and self.circuit.node_capacitance is None:
                raise ValueError("circuit.node_capacitance is missing: data of waveforms need it")
            if not self.dynamic and self.circuit.node_capacitance is not None:
                raise ValueError("circuit.node_capacitance is for data of waveforms; leave it out")
            if not self.dynamic and self.circuit.hold == "capacitor":
                raise ValueError(
                    "circuit.hold: a capacitor needs data of waveforms; static data need a source"
                )
        return self
