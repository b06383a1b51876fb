"""What the sections of the experiment file have in common, and the ones that several circuits share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from bridge.units import Siemens


class KeyProblemError(ValueError):
    """Something that is wrong with one key of a section.

    Attributes:
        path: of the key, from the section.
    """

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.path = path


class Section(BaseModel):
    """A mapping of the file; unknown keys are errors, and so are keys that would have no effect."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def idle(self) -> dict[str, str]:
        """Keys that have no effect beside the others, with what makes them so."""
        return {}

    @model_validator(mode="after")
    def _effective(self) -> Self:
        for key, why in self.idle().items():
            if key in self.model_fields_set:
                raise KeyProblemError((key,), f"has no effect {why}; leave it out")
        return self

    @model_serializer(mode="wrap")
    def _without_idle(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What has no effect is not written, so that what was written can be read."""
        idle = self.idle()
        return {key: value for key, value in handler(self).items() if key not in idle}


def without(keys: Iterable[str], why: str) -> dict[str, str]:
    """Idle keys that share what makes them so."""
    return dict.fromkeys(keys, why)


Reduce = Annotated[
    bool, Field(description="load conductances at nodes of known voltage as Norton equivalents, exactly")
]
"""Whether a circuit is reduced before it is loaded (`circuits.reduction`)."""


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
