"""The sweep file: every key and what it means."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from bridge.experiment.section import Section
from bridge.experiment.source import ExistingFile
from bridge.sweep.expressions import Condition, ExpressionError
from bridge.sweep.metrics import rises

Whole = Annotated[int, Field(strict=True)]


class ParameterSpec(Section):
    """The values of one key of the experiment: a list, or a range."""

    values: Annotated[list[Any] | None, Field(min_length=1, description="values, as the key takes them")] = (
        None
    )
    min: Annotated[float | str | None, Field(description="start of a range, in the key's unit")] = None
    max: Annotated[float | str | None, Field(description="end of a range, which belongs to it")] = None
    num: Annotated[Whole | None, Field(ge=2, description="values of a range (grid and zip)")] = None
    scale: Annotated[
        Literal["linear", "log"], Field(description="distances or ratios of a range are equal")
    ] = "linear"

    @model_validator(mode="after")
    def _one_kind(self) -> ParameterSpec:
        ends = [self.min is not None, self.max is not None]
        if self.values is not None and (any(ends) or self.num is not None or self.scale != "linear"):
            raise ValueError("takes values, or min and max, not both")
        if self.values is None and not all(ends):
            raise ValueError("needs values, or min and max")
        return self


class MetricSpec(Section):
    """What the sweep is judged by."""

    name: Annotated[str, Field(min_length=1, description="a [metric](#metrics)")] = "test_loss"
    goal: Annotated[
        Literal["minimize", "maximize"] | None,
        Field(description="maximize for accuracies, minimize for the rest when left out"),
    ] = None

    @property
    def rising(self) -> bool:
        """Whether more is better."""
        return self.goal == "maximize" or (self.goal is None and rises(self.name))


class SweepSpec(Section):
    """A sweep: an experiment, what is varied in it, and what counts."""

    name: Annotated[
        str | None,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="names the folder; the file's own name"),
    ] = None
    description: Annotated[str, Field(description="one line for the report")] = ""
    base: Annotated[ExistingFile, Field(description="the experiment file")]
    method: Annotated[
        Literal["grid", "zip", "random", "optuna"],
        Field(description="all combinations; value by value; drawn at random; drawn by Optuna's TPE"),
    ] = "grid"
    parameters: Annotated[
        dict[str, ParameterSpec], Field(min_length=1, description="values by key path of the experiment")
    ]
    samples: Annotated[Whole | None, Field(ge=1, description="points drawn; needed by random and optuna")] = (
        None
    )
    sampler_seed: Annotated[Whole, Field(ge=0, description="of the points drawn by random and optuna")] = 0
    constraints: Annotated[
        list[str],
        Field(
            description="conditions between keys; points that break one are left out", default_factory=list
        ),
    ]
    seeds: Annotated[
        Whole | list[Annotated[Whole, Field(ge=0)]],
        Field(description="how many seeds from the experiment's own upwards, or which"),
    ] = 1
    repeat: Annotated[
        Whole, Field(ge=1, description="runs with the same seed, which have to come to the same")
    ] = 1
    max_runs: Annotated[Whole, Field(ge=1, description="a sweep of more runs is refused")] = 10_000
    metric: Annotated[MetricSpec, Field(description="what the report and Optuna judge by")] = MetricSpec()
    reports: Annotated[Literal["best", "all"], Field(description="runs that get a report of their own")] = (
        "best"
    )

    @field_validator("constraints")
    @classmethod
    def _conditions(cls, constraints: list[str]) -> list[str]:
        for text in constraints:
            try:
                Condition.parse(text)
            except ExpressionError as error:
                raise ValueError(str(error)) from error
        return constraints

    @field_validator("seeds")
    @classmethod
    def _some_seeds(cls, seeds: int | list[int]) -> int | list[int]:
        if seeds == [] or (isinstance(seeds, int) and seeds < 1):
            raise ValueError("needs at least one seed")
        if isinstance(seeds, list) and len(set(seeds)) < len(seeds):
            raise ValueError("names a seed twice")
        return seeds

    @model_validator(mode="after")
    def _fits(self) -> SweepSpec:
        drawn = self.method in ("random", "optuna")
        if drawn and self.samples is None:
            raise ValueError(f"samples is missing: method {self.method} needs the number of points to draw")
        if not drawn and self.samples is not None:
            raise ValueError(f"samples is for random and optuna; method {self.method} takes every value")
        return self

    @property
    def drawn(self) -> bool:
        """Whether points are drawn instead of listed."""
        return self.method in ("random", "optuna")
