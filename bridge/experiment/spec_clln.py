"""Sections of the experiment file for contrastive local learning networks, and how they are built from it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bridge.experiment.section import Section
from bridge.experiment.spec_transistor import GateSpec
from bridge.units import Number, PerVolt, Volts
from circuits.devices.ald1106 import TYPICAL, ald1106
from circuits.devices.base import ModelCard
from circuits.network import Network
from circuits.topologies.clln import Gates, clln


class EdgeGateSpec(GateSpec):
    """Gate voltages of the edges: bounds and initial values."""

    lower: Annotated[Volts, Field(description="never left; below the threshold an edge is open")] = 0.4
    upper: Annotated[Volts, Field(description="never left")] = 8.0
    initial_lower: Annotated[Volts, Field(description="lower end of the initial values, uniform")] = 0.5
    initial_upper: Annotated[Volts, Field(description="upper end of the initial values")] = 3.0

    def made(self) -> Gates:
        """As the topology takes them."""
        return Gates(self.lower, self.upper, self.initial_lower, self.initial_upper)


class EdgeDeviceSpec(Section):
    """The level-1 card of the edges' transistors; the defaults are fitted to the ALD1106's data sheet."""

    threshold: Annotated[Volts, Field(description="VTO")] = TYPICAL.threshold
    transconductance: Annotated[Number, Field(gt=0, description="KP W/L [A/V^2]")] = round(
        TYPICAL.transconductance, 10
    )
    channel_modulation: Annotated[PerVolt, Field(ge=0, description="LAMBDA")] = round(
        TYPICAL.channel_modulation, 8
    )
    body_effect: Annotated[
        Number, Field(ge=0, description="GAMMA [V^0.5], with the bulk at ground; not in the data sheet")
    ] = 0.0
    surface_potential: Annotated[Volts, Field(gt=0, description="PHI")] = 0.9

    def card(self) -> ModelCard:
        """The model card."""
        return ald1106(**self.model_dump())


class CLLNSpec(Section):
    """Contrastive local learning network: a graph of transistors and its clamped twin."""

    topology: Literal["clln"]
    rows: Annotated[int, Field(ge=2, description="rows of the square lattice with periodic boundaries")] = 4
    columns: Annotated[int, Field(ge=2, description="its columns; node columns*i+j in row i, column j")] = 4
    edges: Annotated[
        list[tuple[int, int]] | None,
        Field(min_length=1, description="pairs of node numbers instead of the lattice"),
    ] = None
    inputs: Annotated[
        list[int] | None, Field(description="node of each feature; published or spread ones when left out")
    ] = None
    rails: Annotated[
        list[Volts],
        Field(description="constant voltages that hold a node each", default_factory=lambda: [0.11, 0.33]),
    ]
    rail_nodes: Annotated[
        list[int] | None, Field(description="node of each rail; published or spread ones when left out")
    ] = None
    outputs: Annotated[
        list[int] | None,
        Field(description="node of each output, plus and minus in turn if differential; likewise"),
    ] = None
    differential_outputs: Annotated[bool, Field(description="an output is the difference of two nodes")] = (
        True
    )
    clamp: Annotated[
        Literal["nodes", "difference"],
        Field(description="differential outputs: hold both nodes, as published, or their difference only"),
    ] = "nodes"
    edge: Annotated[
        Literal["transistor", "linear"],
        Field(description="linear: ideal conductances set by the gates, the control experiment"),
    ] = "transistor"
    device: EdgeDeviceSpec = EdgeDeviceSpec()
    gate: EdgeGateSpec = EdgeGateSpec()

    @model_validator(mode="after")
    def _some_source(self) -> CLLNSpec:
        if self.edges is not None and any(n < 0 for e in self.edges for n in e):
            raise ValueError("edges: nodes are numbers from 0")
        return self

    def build(self, n_features: int, n_outputs: int, *, eta: float, seed: Any, name: str) -> Network:
        """The network for a data set's features and outputs.

        Args:
            n_features: features of a sample.
            n_outputs: outputs.
            eta: the estimator's, how far the clamp moves an output towards its label.
            seed: of the initial gate voltages.
            name: of the network.

        Raises:
            NetworkError: nodes do not fit the graph or the data.
        """
        own = self.model_dump(exclude={"topology", "device", "gate"})
        return clln(
            n_features,
            n_outputs,
            **own,
            eta=eta,
            card=self.device.card(),
            gates=self.gate.made(),
            seed=seed,
            name=name,
        )


class CoupledLearningSpec(Section):
    """Coupled learning: the local rule of free and clamped twins (circuit clln); not a gradient."""

    kind: Literal["coupled_learning"]
    eta: Annotated[
        Number, Field(gt=0, le=1, description="how far the clamp moves an output towards its label")
    ] = 0.5
    hinge: Annotated[
        bool, Field(description="no correction of an output beyond its label, seen from 0 V")
    ] = False
    tolerance: Annotated[
        Volts, Field(ge=0, description="no correction of an output this near to its label")
    ] = 0.0
