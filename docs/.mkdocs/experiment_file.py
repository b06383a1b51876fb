"""Writes the tables of `docs/experiment-file.md` and `docs/device-file.md` from the schemas of these files.

Run it as `python docs/.mkdocs/experiment_file.py`; with `--check` it writes nothing and tells by its exit
status whether the pages are up to date.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import annotated_types as limits
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bridge.experiment.spec import ExperimentSpec
from bridge.experiment.spec_own import DeviceFileSpec
from bridge.units import Quantity, format_quantity

PAGE = Path(__file__).resolve().parents[1] / "experiment-file.md"
DEVICE_PAGE = PAGE.with_name("device-file.md")
BEGIN, END = "<!-- begin: generated from the schema -->", "<!-- end -->"
# What the schema itself leaves unsaid.
MEANINGS = {
    "description": "one line for the report",
    "seed": "of the split, the initial conductances and the order of the samples",
    "circuit": "the network that is built",
    "loss": "what training makes small; a mean over the samples",
    "estimator": "how the gradient is found",
    "analysis": "how a phase is simulated",
    "circuit.conductance.initial_lower": "lower end of the initial values",
    "circuit.conductance.initial_upper": "upper end of the initial values",
    "circuit.conductance.distribution": "how initial values are drawn between these ends",
    "circuit.gate.initial_lower": "lower end of the initial values",
    "circuit.gate.initial_upper": "upper end of the initial values",
    "circuit.bias": "two further nodes are held at +-bias; 0 for none",
    "data.source": "`xor`: its four patterns, all for training and for the test; `iris`, `digits`: the sets "
    "in scikit-learn; `csv`: your own file",
    "data.file": "the CSV file, for `csv` only",
    "data.test_fraction": "share of the rows held out, stratified by class",
    "data.scaling": "by mean and deviation (`standard`) or by least and greatest value (`min_max`) of the "
    "training rows; `none`: features are volts already",
    "data.samples.channel": "which input, from 0",
    "data.samples.start": "when the part begins",
    "loss.scale": "steepness of the softmax: e-folds of the odds a volt",
    "estimator.relative_step": "step as a share of the parameter's value",
    "analysis.duration": "length of the transient",
    "training.epochs": "passes over the training data; 0 only evaluates the initial network",
    "training.batch_size": "samples an update",
    "training.optimizer.kind": "update rule",
    "training.optimizer.space": "`linear`: step the conductance; `log`: step its logarithm",
    "training.optimizer.momentum": "share of the velocity that is kept (`momentum`)",
    "training.optimizer.beta1": "share of the first moment that is kept (`adam`)",
    "training.optimizer.beta2": "share of the second moment that is kept (`adam`)",
    "training.schedule.kind": "shape of the learning rate over the epochs",
    "training.early_stop.metric": "what is watched",
    "engine.reltol": "ngspice's relative tolerance",
    "engine.abstol": "ngspice's tolerance of currents",
    "engine.vntol": "ngspice's tolerance of voltages",
    "engine.klu": "use the solver KLU: faster for large networks, slower for small ones",
}
_SIGNS = ((limits.Gt, "gt", "> "), (limits.Ge, "ge", "≥ "), (limits.Lt, "lt", "< "), (limits.Le, "le", "≤ "))


def sections(annotation: Any) -> list[type[BaseModel]]:
    """The section classes that a field may hold: none, one, or one a kind."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated, list, dict):
        return [found for part in typing.get_args(annotation) for found in sections(part)]
    return []


def marks(annotation: Any) -> Iterator[Any]:
    """Everything that is annotated to a type, or to one of those that it may be."""
    if typing.get_origin(annotation) is typing.Annotated:
        first, *rest = typing.get_args(annotation)
        yield from marks(first)
        yield from rest
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from marks(part)


def type_text(annotation: Any) -> str:
    """A type in words."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_text(parts[0])
    if origin is typing.Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_text(part) for part in parts if part is not type(None))
    if origin is list:
        return f"list of {type_text(parts[0]).replace('pair', 'pairs', 1).removesuffix('s')}s"
    if origin is dict:
        return f"mapping of names to {type_text(parts[1])}"
    if origin is tuple:
        return f"pair of {type_text(parts[0])}s"
    names = {
        float: "number",
        int: "whole number",
        bool: "`true`, `false`",
        str: "text",
        Path: "file",
        Any: "value",
    }
    return names.get(annotation, str(getattr(annotation, "__name__", annotation)))


def unit_and_range(field: FieldInfo) -> tuple[str, str]:
    """Unit of a quantity and the bounds of its value."""
    found = [*field.metadata, *marks(field.annotation)]
    unit = next((mark.unit for mark in found if isinstance(mark, Quantity)), "")
    bounds = [
        f"{sign}{getattr(mark, name):g}"
        for mark in found
        for limit, name, sign in _SIGNS
        if isinstance(mark, limit)
    ]
    return unit, ", ".join(bounds)


def default_text(field: FieldInfo, unit: str) -> str:
    """The default as one would write it."""
    value = field.get_default(call_default_factory=True) if field.default_factory else field.default
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        chosen = discriminator(type(value))
        return f"`{chosen[0]}: {chosen[1]}`" if chosen else "as below"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{format_quantity(value, unit) if unit else f'{value:g}'}`"
    return f"`{value}`" if value != "" else "empty"


def discriminator(model: type[BaseModel]) -> tuple[str, str] | None:
    """The key and the word that choose this section, such as `kind: mse`."""
    found = chooser(model)
    return (found[0], found[1][0]) if found and len(found[1]) == 1 else None


def chooser(model: type[BaseModel]) -> tuple[str, tuple[str, ...]] | None:
    """The key that chooses among sections and the words that choose this one."""
    for name, field in model.model_fields.items():
        if name in ("kind", "topology", "source") and typing.get_origin(field.annotation) is typing.Literal:
            return name, tuple(str(part) for part in typing.get_args(field.annotation))
    return None


def kind(model: type[BaseModel], among: int) -> str:
    """The words that choose a section among several, or what it is."""
    chosen = chooser(model)
    if chosen is None or (among == 1 and len(chosen[1]) > 1):
        return "mapping"
    return ", ".join(f"`{word}`" for word in chosen[1])


def anchor(path: str, model: type[BaseModel], taken: Collection[str] = (), outer: str = "") -> str:
    """Where a section's table is on the page; the section around it tells two of one name apart."""
    chosen = discriminator(model)
    name = "-".join([path, *([chosen[1]] if chosen else [])]).replace(".", "-")
    return f"{outer}-{path.rpartition('.')[2]}" if name in taken else name


def table(model: type[BaseModel], path: str, done: dict[type[BaseModel], str], outer: str = "") -> list[str]:
    """The table of one section, then those of the sections inside.

    Args:
        model: the section.
        path: of its key.
        done: anchors of the sections that have their table; grows.
        outer: anchor of this section.
    """
    lines = ["| key | value | unit | default | meaning |", "|---|---|---|---|---|"]
    inner: list[tuple[str, type[BaseModel]]] = []
    known = set(done)
    for name, field in model.model_fields.items():
        below = f"{path}.{name}" if path else name
        models = sections(field.annotation)
        if models:
            for m in models:
                done.setdefault(m, anchor(below, m, done.values(), outer))
            value = ", ".join(f"[{kind(m, len(models))}](#{done[m]})" for m in models)
            unit = ""
            inner += [(below, m) for m in models]
            meaning = field.description or MEANINGS.get(below) or summary(models[0])
        else:
            unit, bounds = unit_and_range(field)
            value = ", ".join(part for part in (type_text(field.annotation), bounds) if part)
            chosen = discriminator(model)
            if chosen and chosen[0] == name:
                meaning = "chooses this section"
            else:
                meaning = field.description or MEANINGS[below]
        cells = [f"`{name}`", value, unit, default_text(field, unit), meaning]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines.append("")
    for below, part in inner:
        if part in known:
            continue
        known.add(part)
        chosen = chooser(part) if discriminator(part) or "." not in below else None
        if chosen is None and done[part] != anchor(below, part):
            chosen = chooser(model)  # of two sections of one name
        words = ", ".join(chosen[1]) if chosen else ""
        title = f"`{below}`" + (f" with `{chosen[0]}: {words}`" if chosen else "")
        lines += [f"{'##' if '.' not in below else '###'} {title} {{ #{done[part]} }}", "", summary(part), ""]
        lines += table(part, below, done, done[part])
    return lines


def summary(model: type[BaseModel]) -> str:
    """The first line of a section's docstring."""
    return (model.__doc__ or "").strip().splitlines()[0]


def generated() -> str:
    """All tables."""
    head = ["## The file { #file }", "", summary(ExperimentSpec), ""]
    return "\n".join([*head, *table(ExperimentSpec, "", {})])


def filled(old: str, part: str) -> str:
    """A page with another generated part."""
    head, rest = old.split(BEGIN)
    return f"{head}{BEGIN}\n\n{part}\n{END}{rest.split(END, 1)[1]}"


def page(old: str) -> str:
    """The page with its generated part as the schema wants it."""
    return filled(old, generated())


def device_page(old: str) -> str:
    """The page of device files with its generated part as the schema wants it."""
    return filled(old, "\n".join([*table(DeviceFileSpec, "", {}), ""]))


def write_or_check(file: Path, new: Callable[[str], str]) -> int:
    """Write a page anew from what it is, or with `--check` tell whether it would change."""
    old = file.read_text(encoding="utf-8")
    if "--check" not in sys.argv:
        file.write_text(new(old), encoding="utf-8")
        return 0
    return int(new(old) != old)


if __name__ == "__main__":
    sys.exit(max(write_or_check(PAGE, page), write_or_check(DEVICE_PAGE, device_page)))
