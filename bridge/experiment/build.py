"""From a validated experiment file to the objects that run it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bridge.dynamics import DynamicPlan
from bridge.errors import SpecError, TellegenError
from bridge.estimators import Batch, DynamicBatch, Estimator, TruncatedAdjoint, estimator_type
from bridge.estimators.mirror_equilibrium import MirrorEquilibrium, with_mirror_nudges
from bridge.experiment.build_dynamic import (
    INITIAL,
    card,
    conductances,
    wave_data,
    wave_loss,
    wave_network,
    wave_plan,
)
from bridge.experiment.data import DataSet, Scaling, Split, load_data
from bridge.experiment.devices import Hardware, at_the_temperature, chip, synapses
from bridge.experiment.identity import identity
from bridge.experiment.neuron_rules import problems
from bridge.experiment.source import Located, apply_overrides, load_yaml, validate
from bridge.experiment.spec import (
    DataSpec,
    ExperimentSpec,
    GraphSpec,
    LayeredSpec,
    TrainingSpec,
    TransientSpec,
)
from bridge.experiment.spec_clln import CLLNSpec, CoupledLearningSpec
from bridge.experiment.spec_dynamic import AdjointSpec
from bridge.experiment.spec_transistor import MirrorEquilibriumSpec, TransistorSpec
from bridge.experiment.store import content_hash
from bridge.experiment.waves import WaveSet, WaveSplit
from bridge.losses import UserLoss, UserWaveformLoss, make_loss
from bridge.plans import Settling, StaticPlan
from bridge.updates.optimizers import make_optimizer
from bridge.updates.schedules import ScheduleError, make_schedule
from circuits.deck import SolverOptions
from circuits.network import Network
from circuits.topologies.graph import graph
from circuits.topologies.layered import layered

_BATCHES, _PULSES = 2, 17  # streams of the seed

_OWN: dict[str, tuple[str, ...]] = {
    "sgd": (),
    "momentum": ("momentum",),
    "adam": ("beta1", "beta2"),
    "bfgs": (),
    "manhattan": ("dead",),
    "stochastic": ("scale",),
    "threshold": ("threshold",),
    "constant": (),
    "exponential": ("decay",),
    "step": ("decay", "every"),
    "cosine": ("final",),
}


@dataclass(frozen=True)
class Experiment:
    """A validated experiment file.

    Attributes:
        spec: its content.
        folder: where relative paths start.
        located: the file's data with their lines, for messages.
    """

    spec: ExperimentSpec
    folder: Path
    located: Located | None = None

    @classmethod
    def load(cls, path: str | Path, overrides: tuple[str, ...] = ()) -> Experiment:
        """Read an experiment file.

        Args:
            path: the YAML file.
            overrides: `a.b=3`, as with the command's `-s`.

        Raises:
            SpecError: one line a problem: file, line, key, what is wrong.
        """
        located = apply_overrides(load_yaml(path), overrides)
        spec = validate(ExperimentSpec, located)
        found = [
            ": ".join([located.where(keys)[0], ".".join(map(str, keys)), message])
            for keys, message in problems(spec)
        ]
        if found:
            raise SpecError("\n".join(found))
        return cls(spec, Path(path).resolve().parent, located)

    @contextmanager
    def _at(self, *keys: str) -> Iterator[None]:
        """Let what is refused inside name the file, the line and the key that it comes from."""
        try:
            yield
        except TellegenError as error:
            place = "" if self.located is None else f"{self.located.where(keys)[0]}: "
            raise SpecError(f"{place}{'.'.join(keys)}: {error}") from error

    @property
    def hash(self) -> str:
        """SHA-256 of everything in the file that decides the result, and of what the files it names hold.

        Name, description, places of files, workers and limits are left out; see `bridge.experiment.identity`.

        Raises:
            SpecError: a file that it names cannot be read.
        """
        try:
            return content_hash(identity(self.spec, self.folder))
        except OSError as error:
            raise SpecError(f"{error.filename}: cannot be read: {error.strerror}") from error

    def data(self) -> Split | WaveSplit:
        """Load and split the data.

        Raises:
            DataError: the file or an option is wrong.
        """
        spec = self.spec.data
        if not isinstance(spec, DataSpec):
            with self._at("data"):
                return wave_data(self.spec)
        encoding = spec.encoding
        if encoding == "auto" and self.spec.loss.kind == "cross_entropy":
            encoding = "one_hot"
        scaling = Scaling(
            spec.scaling, amplitude=spec.amplitude, offset=spec.offset, clip=spec.clip, shared=spec.shared
        )
        return load_data(
            spec.source,
            file=spec.file,
            label=spec.label,
            test_fraction=spec.test_fraction,
            seed=self.spec.seed,
            scaling=scaling,
            target=spec.target,
            encoding=encoding,
            side=spec.side,
        )

    def network(self, split: Split | WaveSplit) -> Network:
        """Build the network for the data's features and outputs.

        Raises:
            SpecError: they do not fit the circuit, or the circuit contradicts itself.
        """
        with self._at("circuit"):
            nominal = self._network(split)
        if self.spec.devices is None:
            return nominal
        with self._at("devices"):
            return chip(self.spec, nominal)

    def hardware(self, split: Split | WaveSplit, network: Network, always: bool = False) -> Hardware | None:
        """The devices that updates are written into; `None` where there is nothing between the two.

        Args:
            split: the data.
            network: with the deviations of its elements.
            always: ideal devices instead of `None`.

        Raises:
            SpecError: devices and programming do not fit the network.
        """
        wanted = self.spec.devices is not None or self.training().programming is not None
        if not (wanted or always):
            return None
        with self._at("circuit"):
            nominal = self._network(split)
        pulses = self.training().programming
        with self._at(*(("devices",) if pulses is None else ("training", "programming"))):
            return Hardware(self.spec, nominal, network)

    def _network(self, split: Split | WaveSplit) -> Network:
        made, rule = self._plain_network(split), self.spec.estimator
        if isinstance(rule, MirrorEquilibriumSpec):
            with self._at("estimator"):
                return with_mirror_nudges(made, rule.chosen(), ratio=rule.ratio)
        return made

    def _plain_network(self, split: Split | WaveSplit) -> Network:
        spec = self.spec.circuit
        if isinstance(split, WaveSplit):
            return wave_network(self.spec, split.train.inputs.shape[-1], split.train.targets.shape[-1])
        if isinstance(spec, TransistorSpec):
            return spec.build(
                split.train.inputs.shape[1],
                split.train.targets.shape[1],
                seed=[self.spec.seed, INITIAL],
                name=self.spec.name,
            )
        if isinstance(spec, CLLNSpec):
            rule = self.spec.estimator
            return spec.build(
                split.train.inputs.shape[1],
                split.train.targets.shape[1],
                eta=rule.eta if isinstance(rule, CoupledLearningSpec) else 0.5,
                seed=[self.spec.seed, INITIAL],
                name=self.spec.name,
            )
        assert isinstance(spec, LayeredSpec | GraphSpec)
        common: dict[str, Any] = {
            "seed": [self.spec.seed, INITIAL],
            "name": self.spec.name,
            "diode_card": card(spec.diode),
            "diode_offset": spec.diode.offset,
            "conductances": synapses(spec.synapse) or conductances(spec.conductance),
            "bias": spec.bias,
        }
        n_features, n_outputs = split.train.inputs.shape[1], split.train.targets.shape[1]
        if isinstance(spec, LayeredSpec):
            return layered(
                n_features,
                spec.hidden,
                n_outputs,
                doubled_inputs=spec.doubled_inputs,
                differential_outputs=spec.differential_outputs,
                input_gain=spec.input_gain,
                gain=spec.gain,
                **common,
            )
        return graph(
            spec.nodes,
            n_features,
            n_outputs,
            edges=spec.edges,
            degree=spec.degree,
            inputs=spec.inputs,
            outputs=spec.outputs,
            diodes=spec.diodes,
            **common,
        )

    def plan(self, network: Network) -> StaticPlan | DynamicPlan:
        """How the network is simulated."""
        return at_the_temperature(self.spec, self._plan(network))

    def _plan(self, network: Network) -> StaticPlan | DynamicPlan:
        if self.spec.dynamic:
            return wave_plan(self.spec, network)
        analysis, engine = self.spec.analysis, self.spec.engine
        settling = None
        if isinstance(analysis, TransientSpec):
            assert analysis.node_capacitance is not None
            settling = Settling(
                analysis.duration, analysis.provisional_step, analysis.node_capacitance, analysis.tolerance
            )
        options = SolverOptions(
            reltol=engine.reltol, abstol=engine.abstol, vntol=engine.vntol, klu=engine.klu
        )
        reduce = bool(getattr(self.spec.circuit, "reduce", True))
        chosen = getattr(analysis, "stream", "auto")
        stream = None if chosen == "auto" else bool(chosen)
        return StaticPlan(network, settling, options, reduce, stream)

    def loss(self, split: Split | WaveSplit) -> Any:
        """The loss; a user's function is imported here.

        Raises:
            SpecError: the function cannot be imported, or the targets do not fit the loss.
        """
        spec = self.spec.loss
        if isinstance(split, WaveSplit):
            with self._at("loss"):
                return wave_loss(self.spec, self.folder, split)
        if getattr(spec, "energy", 0.0):
            with self._at("loss", "energy"):
                raise SpecError("the energy of a transient is for waveforms; leave it out")
        if getattr(spec, "window", None) is not None:
            with self._at("loss", "window"):
                raise SpecError("a window is for waveforms; leave it out")
        if spec.kind == "mse":
            return make_loss("mse")
        if spec.kind == "cross_entropy":
            with self._at("data", "target"):
                if getattr(self.spec.data, "target", 1.0) != 1.0:
                    raise SpecError("cross_entropy needs target 1 (targets are probabilities); leave it out")
            return make_loss("cross_entropy", scale=spec.scale)
        assert spec.kind == "user"
        with self._at("loss", "function"):
            return make_loss("user", path=spec.function, folder=self.folder)

    def training(self) -> TrainingSpec:
        """The training section.

        Raises:
            SpecError: the file has none.
        """
        if self.spec.training is None:
            with self._at("training"):
                raise SpecError("missing key; the file has no section that says how to train")
        return self.spec.training

    def problem(self) -> tuple[StaticPlan | DynamicPlan, Any, Any]:
        """What a gradient check needs: the plan, all training samples as one batch, the loss."""
        split = self.data()
        network = self.network(split)
        loss = self.loss(split)
        return self.plan(network), make_batch(network, split.train), loss

    def check(self, split: Split | WaveSplit, plan: StaticPlan | DynamicPlan) -> None:
        """Try whatever can be refused before anything is simulated or written.

        Args:
            split: the data.
            plan: the network and how it is simulated.

        Raises:
            SpecError: estimator, loss, optimizer or schedule do not fit the network, the data or each
                other; a user's loss has a wrong derivative.
        """
        if isinstance(plan, StaticPlan):
            with self._at("analysis", "stream"):
                plan.check()
        with self._at("estimator"):
            self.estimator().check(plan)
        loss = self.loss(split)
        with self._at("loss"):
            if isinstance(plan, DynamicPlan):
                own = getattr(loss, "loss", loss)
                if isinstance(own, UserWaveformLoss):
                    points = np.linspace(0.0, plan.duration, 1 + max(1, round(plan.duration / plan.step)))[1:]
                    own.check(points, len(plan.network.outputs), split.train.targets[0])
            elif isinstance(loss, UserLoss):
                loss.check(split.train.targets[0])
            else:
                for part in (split.train, split.test):
                    loss.value(np.zeros_like(part.targets), part.targets)
        self.hardware(split, plan.network, always=self.spec.robustness is not None)
        with self._at("training", "optimizer"):
            self.optimizer(plan.network)
        with self._at("training", "schedule"):
            self.schedule()

    def estimator(self) -> Estimator:
        """The gradient estimator."""
        spec = self.spec.estimator
        dynamic = self.spec.dynamic
        if spec is None and isinstance(self.spec.circuit, CLLNSpec):
            return estimator_type("coupled_learning", dynamic)()
        if spec is None:
            usual = "adjoint" if dynamic or isinstance(self.spec.circuit, TransistorSpec) else "equilibrium"
            return estimator_type(usual, dynamic)()
        if isinstance(spec, AdjointSpec):
            if spec.horizon is None:
                return estimator_type("adjoint", dynamic)()
            return TruncatedAdjoint(spec.horizon, spec.stride)
        if isinstance(spec, MirrorEquilibriumSpec):
            return MirrorEquilibrium(spec.beta)
        return estimator_type(spec.kind, dynamic)(**spec.model_dump(exclude={"kind"}))

    def optimizer(self, network: Network) -> Any:
        """The update rule with the network's training bounds."""
        spec = self.training().optimizer
        lower, upper = network.bounds
        own = {key: getattr(spec, key) for key in _OWN[spec.kind]}
        if spec.kind == "stochastic":
            own["seed"] = int(np.random.SeedSequence([self.spec.seed, _PULSES]).generate_state(1)[0])
        return make_optimizer(
            spec.kind,
            len(lower),
            lower=lower,
            upper=upper,
            space=spec.space,
            **own,
        )

    def schedule(self) -> Any:
        """The learning rate as a function of the epoch."""
        training = self.training()
        spec = training.schedule
        own = {key: getattr(spec, key) for key in _OWN[spec.kind]}
        if spec.kind == "cosine":
            own["epochs"] = max(1, training.epochs)
            if spec.warmup >= own["epochs"]:
                raise ScheduleError(
                    f"a warmup of {spec.warmup:g} epochs leaves none of {own['epochs']} for the cosine; "
                    "shorten it or train longer"
                )
        return make_schedule(spec.kind, rate=training.optimizer.learning_rate, warmup=spec.warmup, **own)

    @property
    def batch_seed(self) -> list[int]:
        """Seed of the order of the samples."""
        return [self.spec.seed, _BATCHES]


def make_batch(network: Network, data: DataSet | WaveSet, rows: Any = slice(None)) -> Batch | DynamicBatch:
    """Samples of a data set as a network sees them.

    Args:
        network: whose drives they become.
        data: static or of waveforms.
        rows: which samples.
    """
    drives = network.drive_values(data.inputs[rows])
    if isinstance(data, WaveSet):
        targets: Any = data.targets[rows]
        if network.probes:  # a loss with energy needs the voltages of the probed sources
            places = [[d.source for d in network.drives].index(p) for p in network.probes]
            targets = [(t, waves[:, places]) for t, waves in zip(targets, drives, strict=True)]
        return DynamicBatch(data.times, drives, targets)
    return Batch(drives, data.targets[rows])
