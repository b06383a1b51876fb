"""The section of the experiment file for networks of transistors, and how they are built from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from bridge.errors import SpecError
from bridge.experiment.section import Section
from bridge.experiment.source import ExistingFile
from bridge.units import Farads, Metres, Number, Siemens, Volts
from circuits.devices.cards import CORNERS
from circuits.devices.cards_veriloga import modules_of
from circuits.importer.model_file import models_named, read_models
from circuits.network import Network
from circuits.topologies import technology as tech
from circuits.topologies.transistor import Technology, transistor_network

_CORNERS = {"freepdk45": ("nom", "ff", "ss"), **dict.fromkeys(("gf180mcu", "sg13g2"), tuple(CORNERS))}
_PLAIN: dict[str, Callable[..., Technology]] = {"level1": tech.level1, "bsim3": tech.bsim3}
_PROCESSES: dict[str, Callable[..., Technology]] = {
    "freepdk45": tech.freepdk45,
    "gf180mcu": tech.gf180mcu,
    "sg13g2": tech.sg13g2,
}


class GateSpec(Section):
    """Gate voltages of the synapses: bounds and initial values; the technology's when left out."""

    lower: Annotated[Volts | None, Field(description="never left")] = None
    upper: Annotated[Volts | None, Field(description="never left")] = None
    initial_lower: Annotated[Volts | None, Field(description="lower end of the initial values, uniform")] = (
        None
    )
    initial_upper: Annotated[Volts | None, Field(description="upper end of the initial values")] = None

    @model_validator(mode="after")
    def _ordered(self) -> GateSpec:
        given = [self.lower, self.initial_lower, self.initial_upper, self.upper]
        known = [v for v in given if v is not None]
        if known != sorted(known):
            raise ValueError("needs lower <= initial_lower <= initial_upper <= upper")
        return self


class ModelsSpec(Section):
    """A user's own model cards; the files are read as data."""

    file: Annotated[ExistingFile, Field(description="SPICE file with `.model` lines")]
    sections: Annotated[list[str], Field(description="its `.lib` sections to read", default_factory=list)]
    parameters: Annotated[
        dict[str, Number], Field(description="values that its expressions use, by name", default_factory=dict)
    ]
    verilog_a: Annotated[
        ExistingFile | None,
        Field(description="Verilog-A file of the module that the models' type names; native when left out"),
    ] = None
    width: Annotated[str, Field(description="that module's instance parameter for the width")] = "w"
    length: Annotated[str, Field(description="that module's instance parameter for the length")] = "l"
    nmos: Annotated[str, Field(description="name of the n-channel model, or of its bins without number")]
    pmos: Annotated[str, Field(description="name of the p-channel model, likewise")]

    @field_validator("nmos", "pmos")
    @classmethod
    def _known(cls, name: str, info: ValidationInfo) -> str:
        if not {"file", "sections", "verilog_a"} <= set(info.data):
            return name  # they are wrong themselves
        file, code = info.data["file"], info.data["verilog_a"]
        types = (str(info.field_name),) if code is None else tuple(m.lower() for m in modules_of(code))
        try:
            deck = read_models(file, tuple(info.data["sections"]), () if code is None else types)
        except SpecError as error:
            raise ValueError(str(error)) from None
        found = models_named(deck, name)
        if not found:
            known = ", ".join(m.name for m in deck.root.models.values()) or "none"
            raise ValueError(f"{file.name} has no model {name!r}; it has: {known}")
        if found[0].kind not in types:
            raise ValueError(f"model {name!r} is of type {found[0].kind}, not {' or '.join(types)}")
        return name

    def technology(self, **changes: Any) -> Technology:
        """Transistors of these models; `changes` are fields of `Technology`."""
        return tech.from_files(
            self.file,
            self.nmos,
            self.pmos,
            sections=tuple(self.sections),
            parameters=dict(self.parameters),
            verilog_a=self.verilog_a,
            width=self.width,
            length=self.length,
            changes=changes,
        )


class TransistorSpec(Section):
    """Layers of MOSFET channels with trained gates, and differential pairs; defaults are the technology's."""

    topology: Literal["transistor"]
    hidden: Annotated[
        list[Annotated[int, Field(ge=1)]],
        Field(description="neurons (differential pairs) of each hidden layer", default_factory=list),
    ]
    technology: Annotated[
        Literal["level1", "bsim3", "freepdk45", "gf180mcu", "sg13g2", "file"],
        Field(
            description="`level1` and `bsim3`: cards of no process; the processes FreePDK45 (BSIM4, 45 nm, "
            "extra pdk), gf180mcu (BSIM4, 180 nm), SG13G2 (PSP103 in Verilog-A, 130 nm); `file`: `models`"
        ),
    ] = "level1"
    corner: Annotated[
        Literal["nom", "ff", "ss", "fs", "sf"], Field(description="of a process; fs and sf not of FreePDK45")
    ] = "nom"
    models: Annotated[ModelsSpec | None, Field(description="the user's own cards, for technology `file`")] = (
        None
    )
    input_gain: Annotated[Number, Field(gt=0, description="share of the swing per volt of feature")] = 1.0
    supply: Annotated[Volts | None, Field(gt=0, description="supply voltage")] = None
    swing: Annotated[Volts | None, Field(gt=0, description="of the inputs around the common mode")] = None
    common: Annotated[Volts | None, Field(description="common-mode voltage of all signals")] = None
    tail_gate: Annotated[Volts | None, Field(description="gate voltage of the pairs' tails")] = None
    load: Annotated[Siemens | None, Field(gt=0, description="from every output of a pair to ground")] = None
    synapse_width: Annotated[Metres | None, Field(gt=0, description="of the synapses' channels")] = None
    pair_width: Annotated[Metres | None, Field(gt=0, description="of the pairs' transistors")] = None
    tail_width: Annotated[Metres | None, Field(gt=0, description="of the pairs' tails")] = None
    length: Annotated[Metres | None, Field(gt=0, description="of every channel")] = None
    gate: GateSpec = GateSpec()
    synapse: Annotated[
        Literal["channel", "transconductance"],
        Field(
            description="`channel`: a conductance whose gate is trained; `transconductance`: directed pairs "
            "of both signs whose tails are trained, without `gate`, `train_tails` and `hold: capacitor`"
        ),
    ] = "channel"
    train_tails: Annotated[bool, Field(description="train the gate voltages of the tails too")] = False
    hold: Annotated[
        Literal["source", "capacitor"],
        Field(description="what holds a gate voltage; a `capacitor` needs data of waveforms"),
    ] = "source"
    hold_capacitance: Annotated[Farads, Field(gt=0, description="of a capacitor that holds a gate")] = 1e-13
    node_capacitance: Annotated[
        Farads | None,
        Field(gt=0, description="waveforms: from every node that no source or gate holds to ground"),
    ] = None

    @field_validator("corner")
    @classmethod
    def _own_corner(cls, corner: str, info: ValidationInfo) -> str:
        kind = info.data.get("technology")
        if kind is not None and corner != "nom" and corner not in _CORNERS.get(kind, ()):
            known = ", ".join(_CORNERS.get(kind, ())) or "none, leave it out"
            raise ValueError(f"technology {kind} has no corner {corner}; it has: {known}")
        return corner

    @field_validator("models")
    @classmethod
    def _for_file(cls, models: ModelsSpec | None, info: ValidationInfo) -> ModelsSpec | None:
        kind = info.data.get("technology")
        if models is None and kind == "file":
            raise ValueError("missing: technology file needs the models' file and names")
        if models is not None and kind not in (None, "file"):
            raise ValueError(f"technology {kind} has its own models; leave it out, or take technology file")
        return models

    @model_validator(mode="after")
    def _directed(self) -> TransistorSpec:
        if self.synapse == "transconductance" and (
            self.train_tails or self.hold != "source" or self.gate != GateSpec()
        ):
            raise ValueError("synapse transconductance has no gate, train_tails or hold; leave them out")
        return self

    def chosen(self) -> Technology:
        """The technology, with what the section changes.

        Raises:
            SpecError: the cards are not installed, no card fits, or gate voltages are out of order.
        """
        names = (
            "supply", "swing", "common", "tail_gate", "load", "synapse_width", "pair_width", "tail_width",
            "length",
        )  # fmt: skip
        changes: dict[str, Any] = {n: v for n in names if (v := getattr(self, n)) is not None}
        if self.models is not None:
            made = self.models.technology(**changes)
        elif self.technology in _PLAIN:
            made = _PLAIN[self.technology](**changes)
        else:
            made = _PROCESSES[self.technology](self.corner, **changes)
        given = self.gate
        (lower, upper), (low, high) = made.gate, made.gate_start
        lower = lower if given.lower is None else given.lower
        upper = upper if given.upper is None else given.upper
        low = low if given.initial_lower is None else given.initial_lower
        high = high if given.initial_upper is None else given.initial_upper
        if not lower <= low <= high <= upper:
            raise SpecError(
                f"gate: needs lower <= initial_lower <= initial_upper <= upper, not {lower:g}, {low:g}, "
                f"{high:g}, {upper:g} V; what is left out is the technology's"
            )
        return replace(made, gate=(lower, upper), gate_start=(low, high))

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
            hold=self.hold,
            hold_capacitance=self.hold_capacitance,
            node_capacitance=self.node_capacitance or 0.0,
            synapses=self.synapse,
            name=name,
        )


class MirrorEquilibriumSpec(Section):
    """Equilibrium propagation with nudges by current mirrors of transistors, as inexact as these are."""

    kind: Literal["mirror_equilibrium"]
    beta: Annotated[
        Number, Field(gt=0, description="nudging strength [A V]: the current is -beta times dloss/dv")
    ] = 1e-7
    technology: Annotated[
        Literal["level1", "bsim3", "freepdk45", "gf180mcu", "sg13g2"],
        Field(description="of the mirrors, as in `circuit.technology`"),
    ] = "level1"
    supply: Annotated[
        Volts | None,
        Field(gt=0, description="half of it below ground; the technology's if left out"),
    ] = None
    length: Annotated[
        Metres | None, Field(gt=0, description="of the mirrors' channels; the technology's if left out")
    ] = None
    ratio: Annotated[Number, Field(gt=0, description="of a mirror's output current to its reference")] = 1.0

    def chosen(self) -> Technology:
        """The technology of the mirrors.

        Raises:
            SpecError: the cards are not installed.
        """
        changes = {n: v for n in ("supply", "length") if (v := getattr(self, n)) is not None}
        return {**_PLAIN, **_PROCESSES}[self.technology](**changes)
