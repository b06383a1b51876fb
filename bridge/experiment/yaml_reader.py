"""YAML text to plain data and positions: PyYAML's parser and composer, without its constructors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import yaml

from bridge.experiment.problems import KeyPath

MAX_BYTES = 512 * 1024
MAX_DEPTH = 40
MAX_NODES = 100_000

_TAG = "tag:yaml.org,2002:"
# YAML 1.2's core schema, where 1e-9 is a number and on, 1:30 and 2024-01-01 are text.
_IMPLICIT = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": (r"<<", ["<"]),
}
_ADVICE = {
    "'\\t' that cannot start any token": "a tab is used for indentation; use spaces",
    "mapping values are not allowed here": "a second 'key:' on one line, or wrong indentation",
    "could not find expected ':'": "a key without ':', or wrong indentation",
    "expected <block end>": "wrong indentation: this line fits neither the one above nor its parent",
    "found undefined alias": "this alias (*name) has no anchor (&name) above it",
    "found another document": "only one document is allowed; remove this '---'",
}


class Position(NamedTuple):
    """Where a key or list item stands, and its value; lines and columns count from 1."""

    line: int
    column: int
    value_line: int
    value_column: int


class YamlProblem(Exception):  # noqa: N818 - turned into a SpecError by the caller, who knows the file
    """The text cannot be read.

    Attributes:
        message: what is wrong.
        line: the line, from 1.
    """

    def __init__(self, message: str, line: int) -> None:
        self.message, self.line = message, line
        super().__init__(message)


class _Composer(yaml.SafeLoader):
    """Composes nodes; limits depth, and remembers where aliases in lists stand (a node knows its anchor)."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.alias_marks: dict[tuple[int, int], Any] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) and isinstance(index, int):  # an item of a list
            self.alias_marks[id(parent), index] = event.start_mark
        if self.depth >= MAX_DEPTH:
            raise YamlProblem(f"nested deeper than {MAX_DEPTH} levels", event.start_mark.line + 1)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


for _name, (_pattern, _first) in _IMPLICIT.items():
    _Composer.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), _first)


def read_yaml(raw: bytes) -> tuple[Any, dict[KeyPath, Position]]:
    """Read one YAML document.

    Args:
        raw: UTF-8 text.

    Returns:
        Plain data (mappings with text keys, lists, text, numbers, booleans, None), in which aliased parts
        are copies, and the position of each key path; that of `()` is the whole document's.

    Raises:
        YamlProblem: the text is not YAML, not UTF-8, or not plain data, names a key twice, or is too large
            once its aliases are written out.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise YamlProblem("not UTF-8 text", raw[: error.start].count(b"\n") + 1) from error
    try:
        composer = _Composer(text)
        root = composer.get_single_node()
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise YamlProblem(f"the character {text[error.position]!r} is not allowed", line) from error
    except yaml.MarkedYAMLError as error:
        problem = " ".join((error.problem or error.context or "not YAML").split())
        advice = next((a for part, a in _ADVICE.items() if part in problem), problem)
        mark = error.problem_mark or error.context_mark
        raise YamlProblem(advice, mark.line + 1 if mark else 1) from error
    reader = _Reader(composer.alias_marks)
    if root is None:
        return None, {(): Position(1, 1, 1, 1)}
    data = reader.plain(root, (), root.start_mark)
    return data, reader.positions


class _Reader:
    """Turns nodes into plain data."""

    def __init__(self, alias_marks: dict[tuple[int, int], Any]) -> None:
        self.alias_marks = alias_marks
        self.positions: dict[KeyPath, Position] = {}
        self.nodes = 0
        self.open: list[yaml.Node] = []

    def plain(self, node: yaml.Node, path: KeyPath, mark: yaml.Mark) -> Any:
        """The data of a node whose key, or which itself, stands at `mark`."""
        value = node.start_mark
        self.positions[path] = Position(mark.line + 1, mark.column + 1, value.line + 1, value.column + 1)
        with self._entered(node, mark):
            if isinstance(node, yaml.ScalarNode):
                return _scalar(node)
            return self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._list(node, path)

    def _list(self, node: yaml.Node, path: KeyPath) -> list[Any]:
        _require(node, "seq")
        marks = [self.alias_marks.get((id(node), i), item.start_mark) for i, item in enumerate(node.value)]
        return [self.plain(item, (*path, i), marks[i]) for i, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        pairs = self._pairs(node)
        return {
            name: self.plain(value, (*path, name), key.start_mark) for name, (key, value) in pairs.items()
        }

    def _pairs(self, node: yaml.MappingNode) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """A mapping's keys and values: its own, then those of `<<: *base` that it does not give itself."""
        _require(node, "map")
        pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if key.tag == _TAG + "merge":
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise YamlProblem("a key must be text or a number", _line(key))
            _scalar(key)
            if key.value in pairs:
                first = _line(pairs[key.value][0])
                raise YamlProblem(f"the key {key.value!r} is given twice, first on line {first}", _line(key))
            pairs[key.value] = key, value
        for key, value in node.value:
            if key.tag != _TAG + "merge":
                continue
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if not isinstance(source, yaml.MappingNode):
                    raise YamlProblem("'<<' takes a mapping (*name), or a list of them", _line(key))
                with self._entered(source, key.start_mark):
                    pairs = self._pairs(source) | pairs
        return pairs

    @contextmanager
    def _entered(self, node: yaml.Node, mark: yaml.Mark) -> Iterator[None]:
        """Count a node, and refuse one that lies within itself."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise YamlProblem(f"more than {MAX_NODES} values once its aliases are written out", _line(node))
        if node in self.open:
            raise YamlProblem("an alias (*name) lies within its own anchor", mark.line + 1)
        self.open.append(node)
        yield
        self.open.pop()


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _require(node: yaml.Node, *names: str) -> None:
    if node.tag not in {_TAG + name for name in names}:
        tag = node.tag.replace(_TAG, "!!")
        raise YamlProblem(f"the tag {tag} is not allowed; the file holds plain data only", _line(node))


def _scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    _require(node, "str", "int", "float", "bool", "null")
    kind, text = node.tag.removeprefix(_TAG), node.value
    if kind == "str":
        return str(text)
    if re.fullmatch(_IMPLICIT[kind][0], text) is None:
        raise YamlProblem(f"{text[:40]!r} is no {kind}", _line(node))
    if kind == "null":
        return None
    if kind == "bool":
        return text[0] in "tT"
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    try:
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    except ValueError as error:
        raise YamlProblem("a number with too many digits", _line(node)) from error
