"""The keys of a device file: parameters, equations, files that realise a device, limits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bridge.experiment.section import KeyProblemError, Section, without
from bridge.experiment.source import ExistingFile
from bridge.units import Number, Seconds, Volts, parse_in
from circuits.devices import behavioural
from circuits.devices.base import Parameter
from circuits.devices.memristors import MEMRISTORS
from circuits.devices.memristors.base import Stimulus
from circuits.devices.neurons import CELLS

_TWO_TERMINALS = (
    behavioural.POLYNOMIAL_CAPACITOR, behavioural.JUNCTION_CAPACITOR, behavioural.MOS_CAPACITOR,
    behavioural.POLYNOMIAL_INDUCTOR, behavioural.TANH_INDUCTOR, behavioural.TANH_RESISTOR,
    behavioural.EXPONENTIAL_DIODE,
)  # fmt: skip
SHIPPED = frozenset(
    (
        *MEMRISTORS, *CELLS, *(d.kind for d in _TWO_TERMINALS), "resistor", "capacitor", "inductor", "diode",
        "mosfet", "fractional_element", "cubic_fractional_memristor", "tanh_fractional_memristor",
        "selector", "vcvs", "vccs", "ccvs", "cccs", "amplifier", "gyrator", "tanh_transfer", "switch",
        "nmos_level1", "pmos_level1", "ald1106", "freepdk45_nmos", "freepdk45_pmos", "gf180mcu_nmos",
    )
)  # fmt: skip
"""Names that a device of the user's own cannot have."""


class OwnParameterSpec(Section):
    """A parameter of the device."""

    value: Annotated[float | str, Field(description="a number, or a quantity in `unit`")]
    unit: Annotated[str, Field(description="SI unit; 1 for a plain number")] = "1"
    lower: Annotated[float | str | None, Field(description="least value allowed")] = None
    upper: Annotated[float | str | None, Field(description="greatest value allowed")] = None
    source: Annotated[str, Field(description="where the value comes from")] = ""
    description: Annotated[str, Field(description="what it is")] = ""
    trainable: Annotated[bool, Field(description="whether learning may change it")] = True

    @model_validator(mode="after")
    def _quantities(self) -> OwnParameterSpec:
        low, value, high = (self.number(key) for key in ("lower", "value", "upper"))
        assert value is not None
        if not (low is None or low <= value) or not (high is None or value <= high):
            raise KeyProblemError(("value",), f"{value:g} {self.unit} is outside of lower and upper")
        return self

    def number(self, key: str) -> float | None:
        """One of the numbers in `unit`."""
        written = getattr(self, key)
        try:
            return None if written is None else parse_in(written, self.unit)
        except ValueError as error:
            raise KeyProblemError((key,), str(error)) from None

    def made(self, name: str) -> Parameter:
        """As devices have it."""
        low, value, high = (self.number(key) for key in ("lower", "value", "upper"))
        words = "; ".join(part for part in (self.description, self.source) if part)
        return Parameter(
            name, self.unit, value,
            **{k: v for k, v in (("lower", low), ("upper", high)) if v is not None},
            trainable=self.trainable, description=words, typical=abs(value or 0.0) or 1.0,
        )  # fmt: skip


class OwnStateSpec(Section):
    """A state of a memristive device."""

    rate: Annotated[str, Field(description="its rate of change in `u`, states and parameters [1/s]")]
    initial: Annotated[str, Field(description="the parameter that holds its value at t = 0")]
    lower: Annotated[Number, Field(description="least value")] = 0.0
    upper: Annotated[Number, Field(description="greatest value")] = 1.0
    unit: Annotated[str, Field(description="SI unit")] = "1"
    scale: Annotated[Number, Field(gt=0, description="a typical size")] = 1.0


class LawSpec(Section):
    """The device's equations."""

    current: Annotated[str | None, Field(description="branch current [A] at the branch voltage `u` [V]")] = (
        None
    )
    charge: Annotated[str | None, Field(description="branch charge [C]; its derivative adds a current")] = (
        None
    )
    states: Annotated[
        dict[str, OwnStateSpec], Field(description="of a memristive device, by name", default_factory=dict)
    ]


class VerilogASpec(Section):
    """A Verilog-A file, compiled by OpenVAF."""

    file: Annotated[ExistingFile, Field(description="the file")]
    module: Annotated[str | None, Field(description="its module; the only one when left out")] = None


class SubcircuitSpec(Section):
    """A file with a subcircuit."""

    file: Annotated[ExistingFile, Field(description="the file")]
    name: Annotated[str | None, Field(description="of the `.subckt`; the only one when left out")] = None


class CycleSpec(Section):
    """The voltage that the validation applies: from zero to `positive`, to `-negative`, and back."""

    kind: Annotated[Literal["sine", "triangle"], Field(description="shape")] = "sine"
    positive: Annotated[Volts, Field(gt=0, description="peak of the positive half")] = 1.0
    negative: Annotated[
        Volts | None, Field(gt=0, description="magnitude of the negative peak; the positive one's by default")
    ] = None
    period: Annotated[Seconds, Field(gt=0, description="of one cycle")] = 1e-3
    repeats: Annotated[int, Field(ge=1, description="cycles")] = 1

    def made(self) -> Stimulus:
        """As devices have it."""
        negative = self.positive if self.negative is None else self.negative
        return Stimulus(self.kind, self.positive, negative, self.period, self.repeats)


class DeclaredLimitSpec(Section):
    """Limits of one measured quantity."""

    minimum: Annotated[float | str | None, Field(description="least value allowed")] = None
    typical: Annotated[float | str | None, Field(description="what is usual")] = None
    maximum: Annotated[float | str | None, Field(description="greatest value allowed")] = None
    unit: Annotated[str | None, Field(description="SI unit, for the reader; must be the quantity's")] = None


class DeviceFileSpec(Section):
    """A device of the user's own: its equations, or a file that realises it, or both."""

    device: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40, description="its name")]
    description: Annotated[str, Field(description="one line for the report")] = ""
    source: Annotated[str, Field(description="where the model comes from")] = ""
    parameters: Annotated[dict[str, OwnParameterSpec], Field(description="by name", default_factory=dict)]
    law: Annotated[LawSpec | None, Field(description="its equations")] = None
    verilog_a: Annotated[
        VerilogASpec | None, Field(description="what is simulated, instead of the equations")
    ] = None
    subcircuit: Annotated[
        SubcircuitSpec | None, Field(description="what is simulated, instead of the equations")
    ] = None
    memristive: Annotated[
        bool, Field(description="without equations: whether it must show a memristor's fingerprints")
    ] = False
    read_voltage: Annotated[
        Volts, Field(gt=0, description="at which a memristive device's conductance is quoted")
    ] = 0.1
    cycle: Annotated[CycleSpec, Field(description="what the validation applies")] = CycleSpec()
    bias: Annotated[
        dict[str, Volts],
        Field(description="voltages of the terminals behind the first two; 0", default_factory=dict),
    ]
    specifications: Annotated[
        dict[str, DeclaredLimitSpec], Field(description="limits of what is measured", default_factory=dict)
    ]

    def idle(self) -> dict[str, str]:
        """Equations tell whether a device is memristive; only these have a read voltage."""
        if self.law is None:
            return without(("read_voltage",), "without law.states")
        found = {"memristive": "beside law, whose states tell"}
        return found if self.law.states else {**found, "read_voltage": "without law.states"}

    @model_validator(mode="after")
    def _something(self) -> DeviceFileSpec:
        if self.verilog_a is not None and self.subcircuit is not None:
            raise KeyProblemError(("subcircuit",), "is there beside verilog_a; only one can be simulated")
        if self.law is None and self.verilog_a is None and self.subcircuit is None:
            raise ValueError("needs law, verilog_a or subcircuit")
        if self.device in SHIPPED:
            raise KeyProblemError(("device",), f"{self.device!r} is a device that ships; choose another name")
        states = self.law is not None and bool(self.law.states)
        if states and "period" not in self.cycle.model_fields_set:
            raise KeyProblemError(("cycle",), "needs a period in which the states move")
        if self.law is not None and not states and (self.cycle.kind, self.cycle.repeats) != ("sine", 1):
            raise KeyProblemError(("cycle",), "devices without states get one cycle of a sine")
        plain = self.law is not None and not states and self.verilog_a is None and self.subcircuit is None
        if plain and self.cycle.negative not in (None, self.cycle.positive):
            raise KeyProblemError(("cycle", "negative"), "laws without states get a sine with equal halves")
        return self
