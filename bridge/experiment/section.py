"""What the sections of the experiment file have in common, and the ones that several circuits share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bridge.units import Amperes, Number, Siemens, Volts


class Section(BaseModel):
    """A mapping of the file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class DiodeSpec(Section):
    """The diodes that make the nodes nonlinear."""

    saturation_current: Annotated[Amperes, Field(gt=0, description="IS of the model card")] = 1e-8
    emission: Annotated[Number, Field(gt=0, description="N of the model card")] = 1.5
    offset: Annotated[
        Volts,
        Field(ge=0, description="voltage of the sources behind the two diodes of a node: clamps at +-offset"),
    ] = 0.0


class ConductanceSpec(Section):
    """Initial values and bounds of the trainable conductances."""

    lower: Annotated[Siemens, Field(gt=0, description="Gmin, never left")] = 1e-7
    upper: Annotated[Siemens, Field(gt=0, description="Gmax, never left")] = 1e-3
    initial_lower: Annotated[Siemens, Field(gt=0)] = 1e-5
    initial_upper: Annotated[Siemens, Field(gt=0)] = 1e-4
    distribution: Literal["uniform", "log_uniform"] = "uniform"

    @model_validator(mode="after")
    def _ordered(self) -> ConductanceSpec:
        if not self.lower <= self.initial_lower <= self.initial_upper <= self.upper:
            raise ValueError("needs lower <= initial_lower <= initial_upper <= upper")
        return self
