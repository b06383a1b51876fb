"""Reads a user's Verilog-A file and what it includes, as text: nothing outside of its folder is ever read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from bridge.errors import SpecError

MAX_BYTES = 4 * 1024 * 1024
MAX_FILES = 64
_INCLUDE = re.compile(r"`include\b[ \t]*(?:\"([^\"\n]*)\")?")
_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


_MODULE = re.compile(r"\bmodule\s+([A-Za-z_]\w*)\s*\(([^;]*?)\)\s*;", re.ASCII)
_BODY_END = re.compile(r"\bendmodule\b")
_PARAMETER = re.compile(
    r"(\(\*[^;]*?\*\)\s*)?\b(?:aliasparam|parameter\s+(?:real|integer))\s+([A-Za-z_]\w*)", re.ASCII
)
_INSTANCE = re.compile(r"\btype\s*=\s*\"instance\"")


@dataclass(frozen=True)
class ModulePorts:
    """What the text of a module tells without compiling it.

    Attributes:
        module: its name.
        terminals: names of its terminals, in their order.
        instance: names of the parameters that each instance has of its own.
    """

    module: str
    terminals: tuple[str, ...]
    instance: frozenset[str]


def module_ports(path: Path, module: str | None = None) -> ModulePorts:
    """A module of a Verilog-A file.

    Args:
        path: the file.
        module: its name; the file's only one when left out.

    Raises:
        SpecError: the file cannot be read, has no such module, or several and none is named.
    """
    text = "\n".join(without_comments(text) for _, text in read_sources(path))
    found = {match[1]: match for match in _MODULE.finditer(text)}
    known = ", ".join(found) or "none"
    if module is None and len(found) != 1:
        raise SpecError(f"{path}: name the module that is meant; the file has: {known}")
    name = next(iter(found)) if module is None else module
    if name not in found:
        raise SpecError(f"{path}: there is no module {name!r}; the file has: {known}")
    match = found[name]
    plain = re.sub(r"\(\*.*?\*\)|\b(inout|input|output|electrical)\b", " ", match[2], flags=re.DOTALL)
    terminals = tuple(part.strip() for part in plain.split(",") if part.strip())
    end = _BODY_END.search(text, match.end())
    body = text[match.end() : end.start() if end else len(text)]
    instance = {m[2] for m in _PARAMETER.finditer(body) if m[1] and _INSTANCE.search(m[1])}
    return ModulePorts(name, terminals, frozenset(instance))


@dataclass(frozen=True)
class _Refuse:
    where: str

    def __call__(self, what: str) -> NoReturn:
        raise SpecError(f"{self.where}: {what}")


def read_sources(path: Path) -> tuple[tuple[str, str], ...]:
    """The text of a Verilog-A file and of the files below its folder that it includes.

    Args:
        path: the file.

    Returns:
        Pairs of a path relative to the file's folder and the text, the file itself first. Names that lie
        not beside the file are left to the compiler, which has the standard ones (`disciplines.vams`).

    Raises:
        SpecError: a file cannot be read, or an include leaves the folder: `file:line: what; what to do`.
    """
    path = Path(path)
    found: dict[str, str] = {}
    folder = path.resolve().parent

    def add(target: Path, name: str, fail: _Refuse) -> None:
        if name in found:
            return
        if len(found) >= MAX_FILES:
            fail(f"more than {MAX_FILES} files are included")
        text = found[name] = _text(target, fail)
        for line, wanted in _includes(text):
            shown = "" if wanted is None else f' "{wanted}"'
            refuse = _Refuse(f"{path.parent / name}:{line}: `include{shown}")
            if wanted is None:
                refuse("write the file's name in quotes")
            if Path(wanted).is_absolute() or wanted.startswith("~"):
                refuse(f"the path must be relative; copy the file beside {path.name}")
            inner = (target.parent / wanted).resolve()
            if not inner.is_relative_to(folder):
                refuse(f"the file lies outside of the folder of {path.name}; copy it there")
            if inner.exists():
                add(inner, inner.relative_to(folder).as_posix(), refuse)

    add(path.resolve(), path.resolve().name, _Refuse(str(path)))
    return tuple(found.items())


def without_comments(text: str) -> str:
    """The text with comments as blanks; lines and texts in quotes stay."""

    def blank(match: re.Match[str]) -> str:
        part = match[0]
        return part if part.startswith('"') else re.sub(r"[^\n]", " ", part)

    return _COMMENT.sub(blank, text)


def _includes(text: str) -> list[tuple[int, str | None]]:
    """Line and name of every include; `None` for one whose name is no text in quotes."""
    plain = without_comments(text)
    return [(plain.count("\n", 0, m.start()) + 1, m[1]) for m in _INCLUDE.finditer(plain)]


def _text(path: Path, fail: _Refuse) -> str:
    try:
        if not path.exists():
            fail("there is no such file")
        if not path.is_file():
            fail("this is not a plain file")
        if path.stat().st_size > MAX_BYTES:
            fail(f"the file has {path.stat().st_size} bytes; at most {MAX_BYTES} are read")
        raw = path.read_bytes()
    except OSError as error:
        fail(f"the file cannot be read ({type(error).__name__})")
    if b"\0" in raw:
        fail("this is not a text file")
    return raw.decode("utf-8", "replace")
