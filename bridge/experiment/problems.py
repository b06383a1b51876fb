"""Pydantic's validation errors in a user's words: which key of the file, and what is wrong with it.

Pydantic names a place by a path that also holds the tags of unions and reports one error for each
member of a union. Here the path is followed through the model's schema, which tells a key of the file
from a tag, and the members' errors become one problem.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bridge.experiment.section import KeyProblemError

KeyPath = tuple[str | int, ...]
"""A place in a file: keys of mappings and indices of lists, from the top."""

_WRAPPERS = ("schema", "lax_schema", "python_schema")
_EXPECTED = {
    "a whole number": ("int_type", "int_parsing", "int_from_float", "int_parsing_size"),
    "a number": ("float_type", "float_parsing", "decimal_type", "decimal_parsing"),
    "true or false": ("bool_type", "bool_parsing"),
    "text": ("string_type",),
    "a path": ("path_type",),
    "nothing": ("none_required",),
    "a list": ("list_type", "tuple_type", "set_type", "frozen_set_type"),
    "a mapping (keys and values)": (
        *("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"),
    ),
}
_EXPECTED_BY_TYPE = {kind: phrase for phrase, kinds in _EXPECTED.items() for kind in kinds}
_BOUNDS = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match the pattern {pattern}",
}
_MISSING = object()


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        path: the key's path as in the file; of the missing key if one is missing.
        message: what is wrong, without the path.
    """

    path: KeyPath
    message: str


@dataclass
class _Place:
    """Where an error's path leads: the file's path, the schema there, the union members taken."""

    path: KeyPath = ()
    schema: Mapping[str, Any] | None = None
    known: tuple[str, ...] = ()
    unions: list[tuple[KeyPath, str]] = field(default_factory=list)


def explain(model: type[BaseModel], error: ValidationError, data: object) -> list[Finding]:
    """Translate a validation error.

    Args:
        model: the model that refused the data.
        error: what pydantic raised.
        data: the data that were validated, as read from the file.

    Returns:
        The findings, one a problem, in pydantic's order.
    """
    errors = error.errors(include_url=False)
    return _findings([(details, _follow(model, details["loc"])) for details in errors], data, 0)


def suggest(word: object, known: Iterable[object], offer: str = "") -> str:
    """`did you mean 'x'?` for the nearest of the known words, else `offer`."""
    words = [str(k) for k in known]
    near = difflib.get_close_matches(str(word).lower(), [w.lower() for w in words], n=1)
    return f"did you mean {next(w for w in words if w.lower() == near[0])!r}?" if near else offer


def show(value: object) -> str:
    """A value of a YAML file as its author would recognise it, on one line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _either(words: Iterable[object]) -> str:
    names = [str(w) for w in words]
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _translate(details: ErrorDetails, place: _Place, data: object) -> Finding:
    kind, context, path = details["type"], details.get("ctx", {}), place.path
    value = _at(data, path)
    got = f", got {show(details['input'] if value is _MISSING else value)}"
    if kind == "missing":
        return Finding(path, "missing key")
    if kind == "extra_forbidden":
        parent = _at(data, path[:-1])
        unused = [k for k in place.known if not (isinstance(parent, Mapping) and k in parent)]
        others = ", ".join(map(repr, unused))
        offer = f"other keys here are {others}" if others else "no other keys are known here"
        hint = suggest(path[-1], place.known, offer)
        return Finding(path, f"unknown key; {hint}")
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return _tag(kind, place, data)
    if kind in ("literal_error", "enum"):
        choices = _choices(place.schema)
        hint = suggest(value, choices) if isinstance(value, str) else ""
        expected = _either(map(show, choices)) or str(context["expected"])
        return Finding(path, "; ".join(filter(None, [f"expected {expected}{got}", hint])))
    if kind in _EXPECTED_BY_TYPE:
        return Finding(path, f"expected {_EXPECTED_BY_TYPE[kind]}{got}")
    if kind in _BOUNDS:
        return Finding(path, _bound(_BOUNDS[kind], context) + got)
    if kind in ("too_short", "too_long"):
        limit = (
            f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']}"
        )
        has = len(value) if isinstance(value, Mapping | list) else context["actual_length"]
        return Finding(path, f"must have {limit} {'entry' if limit.endswith(' 1') else 'entries'}, has {has}")
    if kind in ("value_error", "assertion_error"):
        problem = context["error"]
        return Finding((*path, *(problem.path if isinstance(problem, KeyProblemError) else ())), str(problem))
    return Finding(path, details["msg"].replace("Input should", "must").replace("Input", "the value") + got)


def _bound(template: str, context: Mapping[str, Any]) -> str:
    return template.format(**{k: f"{v:.12g}" if isinstance(v, float) else v for k, v in context.items()})


def _tag(kind: str, place: _Place, data: object) -> Finding:
    """A union's discriminator that is missing or unknown."""
    schema = place.schema or {}
    key = schema.get("discriminator")
    tags = list(schema.get("choices", {}))
    path = (*place.path, key) if isinstance(key, str) else place.path
    if kind == "union_tag_not_found":
        return Finding(path, f"missing key; one of {_either(map(show, tags))}")
    tag = _at(data, path)
    expected = f"expected {_either(map(show, tags))}, got {show(tag)}"
    return Finding(path, "; ".join(filter(None, [expected, suggest(tag, tags)])))


def _choices(schema: Mapping[str, Any] | None) -> list[object]:
    if schema is None:
        return []
    if schema["type"] == "enum":
        return [member.value for member in schema["members"]]
    return list(schema.get("expected", []))


def _findings(errors: Iterable[tuple[ErrorDetails, _Place]], data: object, depth: int) -> list[Finding]:
    """Translate errors that lie within the same `depth` plain unions, gathering those of a further one."""
    found: list[Finding] = []
    unions: dict[KeyPath, dict[str, list[tuple[ErrorDetails, _Place]]]] = {}
    for details, place in errors:
        if len(place.unions) > depth:
            path, label = place.unions[depth]
            unions.setdefault(path, {}).setdefault(label, []).append((details, place))
        else:
            found.append(_translate(details, place, data))
    for path, members in unions.items():
        # A member whose errors all lie below the union had the right shape: it was meant.
        meant = [member for member in members.values() if all(p.path != path for _, p in member)]
        if meant:
            nearest = min(meant, key=len)
            found += _findings(nearest, data, depth + 1)
        else:
            found.append(_merge(path, members, data))
    return found


def _merge(
    path: KeyPath, members: Mapping[str, Sequence[tuple[ErrorDetails, _Place]]], data: object
) -> Finding:
    """What the members of a union expected, as one problem."""
    messages = [
        _translate(d, p, data).message for errors in members.values() for d, p in errors if p.path == path
    ]
    value = f", got {show(_at(data, path))}"
    phrases = [m.removeprefix("expected ").partition(value) for m in messages]
    if all(m.startswith("expected ") and value in m for m in messages):
        hints = "".join(dict.fromkeys(after for _, _, after in phrases))
        return Finding(path, f"expected {' or '.join(dict.fromkeys(p for p, _, _ in phrases))}{value}{hints}")
    return Finding(path, "; or: ".join(dict.fromkeys(messages)))


def _at(data: object, path: KeyPath) -> object:
    for key in path:
        try:
            data = cast(Any, data)[key]
        except (KeyError, IndexError, TypeError):
            return _MISSING
    return data


def _follow(model: type[BaseModel], loc: Sequence[str | int]) -> _Place:
    """Follow an error's location through the model's core schema."""
    definitions: dict[str, Mapping[str, Any]] = {}
    place = _Place(schema=_unwrap(model.__pydantic_core_schema__, definitions))
    for segment in loc:
        schema = place.schema or {"type": "any"}
        kind, inner, key = schema["type"], None, True
        if kind in ("model-fields", "typed-dict", "dataclass-args"):
            fields = _fields(schema)
            place.known = tuple(fields)
            inner = fields.get(str(segment))
        elif kind == "tagged-union":
            tags = {str(tag): member for tag, member in schema["choices"].items()}
            key, inner = False, tags.get(str(segment))
        elif kind == "union":
            key, inner = False, _member(schema, str(segment), definitions)
            place.unions.append((place.path, str(segment)))
        elif kind == "dict":
            key, inner = segment != "[key]", schema.get("values_schema")
        elif kind == "tuple":
            items, variadic = schema["items_schema"], schema.get("variadic_item_index")
            last = len(items) - 1 if variadic is None else variadic
            inner = items[min(int(segment), last)] if items else None
        else:
            inner = schema.get("items_schema")
        if key:
            place.path += (segment,)
        place.schema = _unwrap(inner, definitions) if inner is not None else None
    return place


def _fields(schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    fields = schema["fields"]
    named = {f["name"]: f for f in fields} if isinstance(fields, list) else fields
    return {str(f.get("validation_alias", name)): f["schema"] for name, f in named.items()}


def _member(
    union: Mapping[str, Any], label: str, definitions: dict[str, Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The member of a plain union that pydantic labels so; for a model the label is its name."""
    names: list[tuple[str, Mapping[str, Any]]] = []
    for choice in union["choices"]:
        schema = choice[0] if isinstance(choice, tuple) else choice
        model = _unwrap(schema, definitions, stop=("model",))
        names.append((model["cls"].__name__ if model["type"] == "model" else model["type"], schema))
    for pattern in (
        r"{}(\[.*)?",
        r".*\b{}\b.*",
    ):  # as `list[int]`; within, as `function-after[check(), Model]`
        for name, schema in names:
            if re.fullmatch(pattern.format(re.escape(name)), label):
                return schema
    return None


def _unwrap(
    schema: Mapping[str, Any], definitions: dict[str, Mapping[str, Any]], stop: tuple[str, ...] = ()
) -> Mapping[str, Any]:
    """The schema inside validators, defaults, references and models: the one that adds path segments."""
    while schema["type"] not in stop:
        if schema["type"] == "definitions":
            definitions.update({d["ref"]: d for d in schema["definitions"]})
        if schema["type"] == "definition-ref":
            schema = definitions[schema["schema_ref"]]
            continue
        if schema["type"] == "chain":
            schema = schema["steps"][0]
            continue
        inner = next((schema[w] for w in _WRAPPERS if isinstance(schema.get(w), Mapping)), None)
        if inner is None:
            break
        schema = inner
    return schema
