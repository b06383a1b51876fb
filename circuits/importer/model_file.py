"""Model cards out of a file of model cards: `.model` and `.param` lines, also those in `.lib` sections.

Such files are data like every netlist: lines are checked and parsed, expressions evaluated, and nothing of
the file is handed to the simulator as it stands. Subcircuits around the models are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from bridge.errors import SpecError
from circuits.importer.cards import Deck, Definition, Model, sort_lines
from circuits.importer.flatten import Environment
from circuits.importer.lines import Line, _check_data, _logical, _text, did_you_mean, shown
from circuits.importer.scopes import Scope

_KEPT = (".model", ".param")
_SECTION = re.compile(r"\.(lib|endl)\b\s*(.*)", re.IGNORECASE)


@lru_cache(maxsize=16)
def read_models(path: Path, sections: tuple[str, ...] = (), types: tuple[str, ...] = ()) -> Deck:
    """The model cards and parameters of a file.

    Args:
        path: the file; its first line is no title.
        sections: names of the `.lib` sections to read; what stands outside of sections is always read.
        types: names, in lower case, of modules in Verilog-A whose models are read; then no others are.

    Raises:
        SpecError: the file cannot be read, has no such section, or a line is not understood.
    """
    lines = list(_logical(_text(path, str(path), _refuse), str(path), True))
    known: list[str] = []
    kept = list(_kept(lines, tuple(s.lower() for s in sections), known))
    if types:
        kept = [line for line in kept if line.card != ".model" or _type(line) in types]
    for section in sections:
        if section.lower() not in known:
            raise SpecError(
                f"{path}: there is no section .lib {shown(section)}{did_you_mean(section, known)}"
            )
    return sort_lines(kept, str(path), frozenset(types))


def _type(line: Line) -> str:
    words = re.split(r"[\s(]+", line.text.strip(), maxsplit=3)
    return words[2].lower() if len(words) > 2 else ""


def _refuse(what: str) -> NoReturn:
    raise SpecError(what)


def _kept(lines: list[Line], wanted: tuple[str, ...], known: list[str]) -> Iterator[Line]:
    inside, section = 0, ""
    for line in lines:
        found = _SECTION.match(line.text)
        if found is not None:
            words = found[2].split()
            if found[1].lower() == "endl":
                section = ""
            elif len(words) == 1:  # `.lib name` opens a section, `.lib file name` refers to one
                section = words[0].strip("'\"").lower()
                known.append(section)
            continue
        inside += (line.card == ".subckt") - (line.card == ".ends")
        if inside or (section and section not in wanted):
            continue
        _check_data(line)
        if line.card in _KEPT:
            yield line


def models_named(deck: Deck, name: str) -> list[Model]:
    """The models of that name, or its bins `name.0`, `name.1`, ..., in the file's order."""
    key = name.lower()
    bins = re.compile(re.escape(key) + r"\.\d+")
    return [m for n, m in deck.root.models.items() if n == key or bins.fullmatch(n)]


def environment(deck: Deck, given: dict[str, float]) -> Environment:
    """Where the models' expressions are evaluated: the file's parameters, `given` ones first."""
    root: Definition = deck.root
    formulas = {k: v for k, v in root.parameters.items() if k not in given}
    return Environment("", root, Scope(dict(given), formulas), {}, frozenset())
