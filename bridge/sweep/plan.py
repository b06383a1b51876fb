"""From a sweep file to its runs: every one resolved and validated before anything starts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bridge.errors import SpecError, TellegenError
from bridge.experiment.build import Experiment
from bridge.experiment.problems import KeyPath, show
from bridge.experiment.source import InvalidSpecError, Located, apply_overrides, load_yaml, validate
from bridge.experiment.spec import ExperimentSpec
from bridge.sweep.adaptive import require
from bridge.sweep.axes import Axis, flatten
from bridge.sweep.expressions import Condition, ExpressionError, resolve
from bridge.sweep.metrics import complaint
from bridge.sweep.points import Values, corners, ends, listed
from bridge.sweep.spec import SweepSpec


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
        id: the start of the hash of everything that decides the result.
        point: number of the point in the sweep, from 0.
        seed: the experiment's seed.
        repeat: 0, or the number of the repetition.
        values: what is set in the experiment, as the file gives it.
        parameters: the same as the experiment reads it: numbers in SI units, texts; JSON for the rest.
    """

    id: str
    point: int
    seed: int
    repeat: int
    values: Values
    parameters: dict[str, Any]

    @property
    def folder(self) -> str:
        """Path of the run folder below the sweep's."""
        return f"runs/{self.id}" + (f"-{self.repeat + 1}" if self.repeat else "")


@dataclass(frozen=True)
class Plan:
    """A sweep file that was read and validated.

    Attributes:
        spec: its content.
        located: its data with their lines, for messages.
        base: the experiment that is varied.
        axes: the swept keys.
        constraints: the conditions that a point has to meet.
        runs: the runs in their order; none yet where Optuna draws the points.
    """

    spec: SweepSpec
    located: Located
    base: Experiment
    axes: tuple[Axis, ...]
    constraints: tuple[Condition, ...]
    runs: list[PlannedRun] = field(default_factory=list)

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a sweep file and its experiment, and validate every run.

        Args:
            path: the YAML file.

        Raises:
            SpecError: one line a problem: file, line, key, what is wrong.
        """
        located = load_yaml(path)
        spec = validate(SweepSpec, located)
        named = located.path.parent / Path(str(located.data["base"])).expanduser()
        source = load_yaml(named)
        if {"base", "parameters"} <= source.data.keys() and "circuit" not in source.data:
            raise SpecError(f"{located.where(('base',))[0]}: base: is a sweep file; name an experiment file")
        base = Experiment(validate(ExperimentSpec, source), spec.base.parent, source)
        base.training()
        plan = cls(spec, located, base, (), tuple(map(Condition.parse, spec.constraints)))
        plan._check_counts()
        plan = cls(spec, located, base, plan._axes(), plan.constraints)
        plan._check_names()
        points = list(listed(plan)) if spec.method != "optuna" else []
        plan._check_number(("max_runs",), len(points) * plan.multiplicity)
        for place, values in enumerate(points):
            plan.runs.extend(plan.point(place, values))
        plan._refuse_equal()
        examples = points or corners(plan)
        plan._build(examples)
        example = plan.experiment(examples[0]) if examples else plan.base
        if text := complaint(spec.metric.name, example.spec):
            raise plan.refuse(("metric", "name"), text)
        return plan

    @property
    def name(self) -> str:
        """Names the sweep's folder."""
        return self.spec.name or self.located.path.stem

    @property
    def seeds(self) -> list[int]:
        """Seeds of every point."""
        first, given = self.base.spec.seed, self.spec.seeds
        return given if isinstance(given, list) else list(range(first, first + given))

    @property
    def multiplicity(self) -> int:
        """Runs a point."""
        given = self.spec.seeds
        return (len(given) if isinstance(given, list) else given) * self.spec.repeat

    def refuse(self, keys: KeyPath, message: str) -> SpecError:
        """An error that names the place in the sweep file."""
        return SpecError(f"{self.located.where(keys)[0]}: {'.'.join(map(str, keys))}: {message}")

    def experiment(self, values: Mapping[str, Any], seed: int | None = None) -> Experiment:
        """The experiment of one run.

        Args:
            values: of the swept keys.
            seed: of the run; the file's when left out.

        Raises:
            SpecError: the values do not make a valid experiment; names the sweep file's lines.
        """
        texts = [_override(path, value) for path, value in values.items()]
        texts += [] if seed is None else [f"seed={seed}"]
        assert self.base.located is not None
        try:
            located = apply_overrides(self.base.located, texts)
            return Experiment(validate(ExperimentSpec, located), self.base.folder, located)
        except InvalidSpecError as error:
            raise self._blame(error, values) from error

    def point(self, number: int, values: Values) -> list[PlannedRun]:
        """The runs of a point: all its seeds, and their repetitions."""
        runs = []
        for seed in self.seeds:
            experiment = self.experiment(values, seed)
            content, typed = experiment.spec.model_dump(mode="json"), experiment.spec.model_dump()
            named = _relative(content, typed, self.base.folder)
            found = {axis.path: _cell(_at(named, axis.path)) for axis in self.axes}
            for repeat in range(self.spec.repeat):
                runs.append(PlannedRun(experiment.hash[:16], number, seed, repeat, values, found))
        return runs

    def meets(self, resolved: Mapping[str, Any]) -> bool:
        """Whether a point meets the constraints.

        Args:
            resolved: values of the swept keys in SI units.

        Raises:
            SpecError: a constraint cannot be computed.
        """
        if not self.constraints:
            return True
        known = self._known
        for path, value in resolved.items():
            known = {k: v for k, v in known.items() if k != path and not k.startswith(f"{path}.")}
            known |= flatten(value, path)
        for number, condition in enumerate(self.constraints):
            names = {name: known.get(self._meant[name]) for name in condition.names}
            try:
                if not condition.holds(names):
                    return False
            except ExpressionError as error:
                raise self.refuse(("constraints", number), str(error)) from error
        return True

    @cached_property
    def _known(self) -> dict[str, Any]:
        """Every key of the unchanged experiment."""
        return flatten(self.base.spec.model_dump(mode="json"))

    def _axes(self) -> tuple[Axis, ...]:
        axes: list[Axis] = []
        for path, given in self.spec.parameters.items():
            keys: KeyPath = ("parameters", path)
            if not all(path.split(".")) or "=" in path or path != path.strip():
                raise self.refuse(keys, "is no key path; write one like training.optimizer.learning_rate")
            if path == "seed":
                raise self.refuse(keys, "a seed is no parameter; use the key seeds")
            for other in axes:
                if f"{path}.".startswith(f"{other.path}.") or f"{other.path}.".startswith(f"{path}."):
                    raise self.refuse(
                        keys, f"lies within {other.path}, which is swept also; take one of them"
                    )
            if given.values is None and (given.num is None) != self.spec.drawn:
                what = "is for grid and zip; leave it out" if self.spec.drawn else "is missing"
                raise self.refuse((*keys, "num"), what)
            try:
                axes.append(Axis.make(path, given, self._read))
            except ValueError as error:
                raise self.refuse(keys, str(error)) from error
        return tuple(axes)

    def _read(self, path: str, value: Any) -> Any:
        """A value of one key as the experiment reads it; itself where that needs other keys also.

        Raises:
            ValueError: the key takes no such value, whatever the others are.
        """
        assert self.base.located is not None
        try:
            located = apply_overrides(self.base.located, [_override(path, value)])
            return _at(validate(ExperimentSpec, located).model_dump(mode="json"), path)
        except InvalidSpecError as error:
            for problem in error.problems:
                if ".".join(map(str, problem.path)) == path and not problem.message.startswith("unknown key"):
                    raise ValueError(problem.message) from error
            return value

    def _check_counts(self) -> None:
        """Refuse what is too much before any of it is made."""
        spec = self.spec
        if spec.method == "optuna":
            try:
                require()
            except SpecError as error:
                raise self.refuse(("method",), str(error)) from error
        self._check_number(("seeds",), self.multiplicity)
        for path, given in spec.parameters.items():
            self._check_number(("parameters", path, "num"), given.num or 0)
        self._check_number(("samples",), (spec.samples or 0) * self.multiplicity)

    def _check_number(self, keys: KeyPath, number: int) -> None:
        if number > self.spec.max_runs:
            raise self.refuse(
                keys,
                f"the sweep has {number} runs{'' if keys[0] == 'max_runs' else ' or more'}, more than "
                f"max_runs ({self.spec.max_runs}); take fewer or raise it",
            )

    def _check_names(self) -> None:
        swept = [
            path
            for axis in self.axes
            for choice in axis.choices or axis.ends
            for path in flatten(choice.resolved, axis.path)
        ]
        for number, condition in enumerate(self.constraints):
            for name in condition.names:
                meant = any(f".{path}".endswith(f".{name}") for path in swept)
                known = swept if meant else [*swept, *self._known]
                try:
                    self._meant[name] = resolve(name, known, "key of the experiment")
                except ExpressionError as error:
                    raise self.refuse(("constraints", number), str(error)) from error

    @cached_property
    def _meant(self) -> dict[str, str]:
        """Whole names of the keys in the constraints."""
        return {}

    def _build(self, points: Sequence[Values]) -> None:
        """Build the network of points that together hold the first and last value of every key."""
        wanted: dict[str, Values] = {}
        for axis in self.axes:
            for values in [*points[:1], *ends(points, axis.path)]:
                wanted[json.dumps(values, sort_keys=True, default=str)] = dict(values)
        for values in wanted.values():
            experiment = self.experiment(values, self.seeds[0])
            try:
                split = experiment.data()
                experiment.check(split, experiment.plan(experiment.network(split)))
            except TellegenError as error:
                shown = ", ".join(f"{path} = {show(value)}" for path, value in values.items())
                raise self.refuse(("parameters",), f"with {shown}: {error}") from error

    def _refuse_equal(self) -> None:
        first: dict[tuple[str, int], PlannedRun] = {}
        for run in self.runs:
            other = first.setdefault((run.id, run.repeat), run)
            if other is not run:
                shown = " and ".join(
                    ", ".join(f"{path}={show(value)}" for path, value in r.values.items())
                    for r in (other, run)
                )
                paths = [p for p in run.values if run.values[p] != other.values[p]] or list(run.values)
                place = self._where(paths[0], run.values[paths[0]])
                raise SpecError(f"{place}: {shown} are the same run; leave one out")

    def _blame(self, error: InvalidSpecError, values: Mapping[str, Any]) -> SpecError:
        """Say which line of the sweep file makes the experiment invalid."""
        lines = []
        for problem in error.problems:
            key = tuple(map(str, problem.path))
            for path, value in values.items():
                own = tuple(path.split("."))
                unknown = problem.message.startswith("unknown key")
                if not key and problem.line is None and not self._can_be_set(path, value):
                    lines.append(
                        f"{self.located.where(('parameters', path))[0]}: parameters.{path}: {problem.message}"
                    )
                    break
                if key and (own[: len(key)] == key or key[: len(own)] == own):
                    what = "" if key == own else f"{'' if unknown else show(value) + ': '}{'.'.join(key)}: "
                    lines.append(f"{self._where(path, None if unknown else value)}: {what}{problem.message}")
                    break
            else:
                shown = ", ".join(f"{path} = {show(value)}" for path, value in values.items())
                key_text = f"{'.'.join(key)}: " if key else ""
                place = self.located.where(("parameters",))[0]
                lines.append(f"{place}: parameters: with {shown}: {key_text}{problem.message}")
        return SpecError("\n".join(dict.fromkeys(lines)))

    def _can_be_set(self, path: str, value: Any) -> bool:
        assert self.base.located is not None
        try:
            apply_overrides(self.base.located, [_override(path, value)])
        except InvalidSpecError:
            return False
        return True

    def _where(self, path: str, value: Any) -> str:
        keys: KeyPath = ("parameters", path)
        listed = self.spec.parameters[path].values or []
        if value in listed:  # the last one, of equals
            keys = (*keys, "values", len(listed) - 1 - listed[::-1].index(value))
        return f"{self.located.where(keys)[0]}: {'.'.join(map(str, keys))}"


def _override(path: str, value: Any) -> str:
    return f"{path}={json.dumps(value, ensure_ascii=False)}"


def _at(content: Any, path: str) -> Any:
    """The value at a dotted path of plain data."""
    for key in path.split("."):
        content = content[int(key)] if isinstance(content, list) else content[key]
    return content


def _relative(plain: Any, typed: Any, folder: Path) -> Any:
    """Plain data with files as they are seen from a folder: the same wherever that is."""
    if isinstance(typed, Path):
        return Path(os.path.relpath(typed, folder)).as_posix()
    if isinstance(typed, dict):
        return {key: _relative(plain[key], value, folder) for key, value in typed.items()}
    if isinstance(typed, list | tuple):
        return [_relative(p, t, folder) for p, t in zip(plain, typed, strict=True)]
    return plain


def _cell(value: Any) -> Any:
    """A value as it stands in a table: a scalar, or JSON."""
    return value if isinstance(value, int | float | str | None) else json.dumps(value)
