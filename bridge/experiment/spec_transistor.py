"""The section of the experiment file for networks of transistors, and how they are built from it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bridge.errors import SpecError
from bridge.experiment.section import Section
from bridge.units import Metres, Number, Siemens, Volts
from circuits.network import Network
from circuits.topologies.transistor import Technology, freepdk45, level1, transistor_network

_TECHNOLOGIES = {"level1": level1, "freepdk45": freepdk45}


class GateSpec(Section):
    """Gate voltages of the synapses: bounds and initial values."""

    lower: Annotated[Volts, Field(description="never left")] = 0.3
    upper: Annotated[Volts, Field(description="never left")] = 1.0
    initial_lower: Volts = 0.5
    initial_upper: Volts = 0.8

    @model_validator(mode="after")
    def _ordered(self) -> GateSpec:
        if not self.lower <= self.initial_lower <= self.initial_upper <= self.upper:
            raise ValueError("needs lower <= initial_lower <= initial_upper <= upper")
        return self


class TransistorSpec(Section):
    """Layers of MOSFET channels, whose gate voltages are trained, and differential pairs as neurons."""

    topology: Literal["transistor"]
    hidden: Annotated[
        list[Annotated[int, Field(ge=1)]],
        Field(description="neurons (differential pairs) of each hidden layer", default_factory=list),
    ]
    technology: Annotated[
        Literal["level1", "freepdk45"],
        Field(description="level-1 cards, or the BSIM4 cards of FreePDK45 (extra pdk)"),
    ] = "level1"
    corner: Annotated[Literal["nom", "ff", "ss"], Field(description="of FreePDK45's cards")] = "nom"
    input_gain: Annotated[Number, Field(gt=0, description="share of the swing per volt of feature")] = 1.0
    swing: Annotated[Volts | None, Field(gt=0, description="of the inputs around the common mode")] = None
    common: Annotated[Volts | None, Field(description="common-mode voltage of all signals")] = None
    tail_gate: Annotated[Volts | None, Field(description="gate voltage of the pairs' tails")] = None
    load: Annotated[Siemens | None, Field(gt=0, description="from every output of a pair to ground")] = None
    synapse_width: Annotated[Metres | None, Field(gt=0, description="of the synapses' channels")] = None
    length: Annotated[Metres | None, Field(gt=0, description="of every channel")] = None
    gate: GateSpec = GateSpec()
    train_tails: Annotated[bool, Field(description="train the gate voltages of the tails too")] = False

    def chosen(self) -> Technology:
        """The technology, with what the section changes.

        Raises:
            SpecError: the cards of FreePDK45 are not installed.
        """
        names = ("swing", "common", "tail_gate", "load", "synapse_width", "length")
        changes: dict[str, Any] = {n: v for n in names if (v := getattr(self, n)) is not None}
        changes["gate"] = (self.gate.lower, self.gate.upper)
        changes["gate_start"] = (self.gate.initial_lower, self.gate.initial_upper)
        if self.technology == "freepdk45":
            return freepdk45(self.corner, **changes)
        if self.corner != "nom":
            raise SpecError(f"corner {self.corner} is one of freepdk45's; level1 has none")
        return level1(**changes)

    def build(self, n_features: int, n_outputs: int, *, seed: Any, name: str) -> Network:
        """The network for a data set's features and outputs; `seed` draws the initial gate voltages."""
        return transistor_network(
            n_features,
            self.hidden,
            n_outputs,
            technology=self.chosen(),
            seed=seed,
            input_gain=self.input_gain,
            train_tails=self.train_tails,
            name=name,
        )
