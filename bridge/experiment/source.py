"""A user's YAML file as plain data that remembers its lines, so that every complaint names one.

Scalars follow YAML 1.2: `1e-9` is a number, `on` and `1:30` are text. A file holds plain data only;
other tags (`!!python/...`) are refused, and nothing in it is ever run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError, ValidationInfo

from bridge.errors import SpecError
from bridge.experiment.problems import KeyPath, explain, show, suggest
from bridge.experiment.yaml_reader import MAX_BYTES, Position, YamlProblem, read_yaml

Model = TypeVar("Model", bound=BaseModel)


class Problem(NamedTuple):
    """One thing that is wrong with a file.

    Attributes:
        path: the key's path; empty for the file as a whole.
        line: the line, from 1; None if the value was given by an override.
        message: what is wrong and what to do.
    """

    path: KeyPath
    line: int | None
    message: str


class InvalidSpecError(SpecError):
    """A file that is wrong; the message has one line a problem.

    Attributes:
        problems: what is wrong, in the order of the file.
    """

    def __init__(self, text: str, problems: Sequence[Problem] = ()) -> None:
        self.problems = list(problems)
        super().__init__(text)

    def __reduce__(self) -> tuple[type[InvalidSpecError], tuple[str, list[Problem]]]:
        return type(self), (str(self), self.problems)


@dataclass
class Located:
    """Plain data and where each key stood.

    Attributes:
        path: the file, as the user named it.
        data: mappings with text keys, lists, and scalars; nothing is shared between places.
        positions: line and column, from 1, of each key and each list item, and of its value.
        origins: the overrides (`-s a.b=3`) that set a value, by key path.
    """

    path: Path
    data: dict[str, Any]
    positions: dict[KeyPath, Position]
    origins: dict[KeyPath, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The file's folder, to which relative paths in it refer."""
        return self.path.resolve().parent

    def where(self, path: KeyPath) -> tuple[str, int | None]:
        """Name the place of a key, or of what encloses it: `file:line` and line, or `-s a.b=3` and None."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.positions:
                line = self.positions[path[:end]].line
                return f"{self.path}:{line}", line
            # Not in the file: set by an override, or a mapping that one made on its way.
            override = next((o for p, o in self.origins.items() if p[:end] == path[:end]), None)
            if override is not None:
                return f"-s {override}", None
        return f"{self.path}:1", 1


def load_yaml(path: Path | str) -> Located:
    """Read a YAML file whose top is a mapping.

    Args:
        path: the file.

    Returns:
        Its data with positions.

    Raises:
        SpecError: the file is missing, too large, not YAML, empty, not a mapping, names a key twice,
            or holds anything but plain data; one line `file:line: what is wrong`.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _refuse(path, None, f"the file is larger than {MAX_BYTES // 1024} KiB")
        raw = path.read_bytes()
    except FileNotFoundError:
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = suggest(path.name, beside, "give the path of a YAML file")
        raise _refuse(path, None, f"no such file; {hint}") from None
    except OSError as error:
        raise _refuse(path, None, f"cannot be read: {error.strerror or error}") from error
    try:
        data, positions = read_yaml(raw)
    except YamlProblem as problem:
        raise _refuse(path, problem.line, problem.message) from problem
    if data is None:
        raise _refuse(path, 1, "the file is empty; it must hold keys and values")
    if not isinstance(data, dict):
        line = positions[()].line
        raise _refuse(path, line, f"the file must hold keys and values ('key: value'), not {show(data)}")
    return Located(path, data, positions)


def apply_overrides(located: Located, overrides: Iterable[str]) -> Located:
    """Set values given on the command line: `training.epochs=3`, `layers.0=4`.

    Args:
        located: the file's data; not changed.
        overrides: texts `key.path=value`; the value is read as YAML. Mappings on the way that the file
            lacks are made; whether a key is known is for `validate` to say.

    Returns:
        New data in which the overrides, in their order, have replaced the file's values.

    Raises:
        SpecError: a text that is no override, or a path through something that has no such part.
    """
    result = Located(located.path, deepcopy(located.data), dict(located.positions), dict(located.origins))
    for text in overrides:
        name, equals, written = text.partition("=")
        keys = name.strip().split(".")
        if not equals or not all(keys):
            raise _refuse_override(text, "write -s key.path=value, e.g. -s training.epochs=3")
        if not written.strip():
            raise _refuse_override(text, f"no value; write {name}=null or {name}='\"\"' if that is meant")
        try:
            value, _ = read_yaml(written.encode())
        except YamlProblem as problem:
            raise _refuse_override(text, f"the value is not YAML: {problem.message}") from problem
        path = _set(result.data, keys, value, text)
        for old in [p for p in result.positions if p[: len(path)] == path]:
            del result.positions[old]
        for old in [p for p in result.origins if p[: len(path)] == path]:
            del result.origins[old]
        result.origins[path] = text
    return result


def validate(model: type[Model], located: Located) -> Model:
    """Check data against a model.

    Args:
        model: the pydantic model of the file; its validators find the file's folder in the context,
            under `folder`.
        located: the data.

    Returns:
        The model's instance.

    Raises:
        InvalidSpecError: all that is wrong, one line `file:line: key.path: what is wrong` a problem.
    """
    try:
        return model.model_validate(located.data, context={"folder": located.folder})
    except ValidationError as error:
        findings = explain(model, error, located.data)
    lines: list[tuple[Problem, str]] = []
    for finding in findings:
        where, line = located.where(finding.path)
        name = ".".join(map(str, finding.path))
        text = ": ".join(filter(None, [where, name, finding.message]))
        lines.append((Problem(finding.path, line, finding.message), text))
    lines.sort(key=lambda entry: (entry[0].line or 0, entry[0].message.startswith("missing key")))
    raise InvalidSpecError("\n".join(text for _, text in lines), [problem for problem, _ in lines])


def _existing(path: Path, info: ValidationInfo) -> Path:
    folder = Path((info.context or {}).get("folder", Path.cwd()))
    found = folder / path.expanduser()
    if found.is_dir():
        raise ValueError(f"{path} is a folder, a file is expected")
    if not found.is_file():
        raise ValueError(f"file not found: {path} (looked in {folder})")
    return found.resolve()


ExistingFile = Annotated[Path, AfterValidator(_existing)]
"""A file that exists; a relative path is taken from the YAML file's folder, the result is absolute."""


def _set(data: dict[str, Any], keys: Sequence[str], value: object, text: str) -> KeyPath:
    """Set a value at a key path, making mappings on the way; returns the path."""
    path: list[str | int] = []
    place: Any = data
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(place, list):
            if not key.isdecimal() or int(key) >= len(place):
                known = f"its items are 0 to {len(place) - 1}" if place else "it is empty"
                raise _refuse_override(
                    text, f"{'.'.join(keys[:depth])} is a list and has no {key!r}; {known}"
                )
            step: str | int = int(key)
        elif isinstance(place, dict):
            step = key
            if not last and place.get(key) is None:
                place[key] = {}
        else:
            raise _refuse_override(text, f"{'.'.join(keys[:depth])} is {show(place)} and has no {key!r}")
        path.append(step)
        if last:
            place[step] = value
        else:
            place = place[step]
    return tuple(path)


def _refuse(path: Path, line: int | None, message: str) -> InvalidSpecError:
    where = str(path) if line is None else f"{path}:{line}"
    return InvalidSpecError(f"{where}: {message}", [Problem((), line, message)])


def _refuse_override(text: str, message: str) -> InvalidSpecError:
    return InvalidSpecError(f"-s {text}: {message}", [Problem((), None, message)])
