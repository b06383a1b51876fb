"""Reads a netlist as lines with their places: comments, continuation lines, included model files.

Nothing of a netlist is ever handed to the simulator as it stands; every line is read, checked and written
anew. Commands, scripts and whatever would load code are refused.
"""

from __future__ import annotations

import difflib
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from bridge.errors import SpecError

MAX_BYTES = 4 * 1024 * 1024
MAX_FILES = 64
MAX_DEPTH = 8
MAX_LINE = 100_000
_MODEL_CARDS = (".model", ".subckt", ".ends", ".param", ".global", ".end", ".include", ".inc")
_ANY_CARD = re.compile(r"\.[a-z]+")
_REFUSED = (
    ".control", ".endc", ".exec", ".lib", ".endl", ".csparam", ".codemodel", ".osdi", ".pre_osdi", ".hdl",
    ".if", ".elseif", ".else", ".endif", ".load", ".source", ".shell", ".system", ".verilog",
)  # fmt: skip
_COMMANDS = frozenset((
    "shell", "source", "set", "setcs", "codemodel", "osdi", "pre_osdi", "load", "alter", "altermod",
    "run", "quit", "exec", "system", "write", "wrdata", "cd", "setplot", "echo", "let", "foreach",
    "while", "dowhile",
))  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A line of a file; the first one, for lines that are continued."""

    file: str
    line: int

    def fail(self, what: str) -> NoReturn:
        """Refuse the line.

        Raises:
            SpecError: always, `file:line: what`.
        """
        raise SpecError(f"{self.file}:{self.line}: {what}")


@dataclass(frozen=True)
class Line:
    """One logical line.

    Attributes:
        text: without comments, continuation lines joined by spaces.
        place: where it starts.
        included: whether it comes from an included file.
    """

    text: str
    place: Place
    included: bool = False

    @property
    def card(self) -> str:
        """The first word in lower case, for example `.model`."""
        return self.text.split(maxsplit=1)[0].lower()


def shown(text: str) -> str:
    """A word of a netlist as messages show it: short and printable."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return repr(clean if len(clean) <= 40 else clean[:37] + "...")


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """`; did you mean ...?` for an unknown name, or `otherwise`."""
    written = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), written, 1, 0.5)
    return f"; did you mean {written[close[0]]!r}?" if close else otherwise


def read_deck(path: Path) -> list[Line]:
    """Read a netlist and what it includes.

    Args:
        path: the netlist; its first line is its title.

    Returns:
        The logical lines, without the title, up to `.end`.

    Raises:
        SpecError: the file cannot be read, or holds what is not data.
    """
    reader = _Reader(path)
    return list(reader.read(path, str(path), 0, None))


def read_models(path: Path) -> list[Line]:
    """Read a file of models and subcircuits, which has no title line, and what it includes.

    Raises:
        SpecError: the file cannot be read, or holds something else.
    """
    return list(_Reader(path).read(path, str(path), 0, Place(str(path), 1)))


class _Reader:
    def __init__(self, deck: Path) -> None:
        self.folder = deck.resolve().parent
        self.files = 0

    def read(self, path: Path, label: str, depth: int, source: Place | None) -> Iterator[Line]:
        self.files += 1
        refuse = source.fail if source else _refuse_file
        if self.files > MAX_FILES:
            refuse(f"more than {MAX_FILES} files are included")
        text = _text(path, label, refuse)
        inside = 0
        for line in _logical(text, label, source is not None):
            card = line.card
            _check_data(line)
            if source is not None:
                inside += (card == ".subckt") - (card == ".ends")
                if card not in _MODEL_CARDS and not (inside > 0 and not card.startswith(".")):
                    line.place.fail(
                        "an included file may hold .model, .subckt, .param and .include only, "
                        "and this line is something else; is it the right file?"
                    )
            if card == ".end":
                return
            if card in (".include", ".inc"):
                yield from self._include(line, path, depth)
            else:
                yield line

    def _include(self, line: Line, path: Path, depth: int) -> Iterator[Line]:
        words = line.text.split(maxsplit=1)
        name = words[1].strip().strip("\"'") if len(words) == 2 else ""
        place = line.place
        if not name:
            place.fail(".include needs the name of a file")
        if Path(name).is_absolute() or name.startswith("~"):
            place.fail(
                f".include {shown(name)}: the path must be relative; copy the model file beside the netlist"
            )
        if depth >= MAX_DEPTH:
            place.fail(f".include is nested deeper than {MAX_DEPTH} files; does a file include itself?")
        try:
            target = (path.parent / name).resolve()
            inside = target.is_relative_to(self.folder)
        except (OSError, ValueError, RuntimeError):
            place.fail(f".include {shown(name)}: this is not a path")
        if not inside:
            place.fail(
                f".include {shown(name)}: the file lies outside of the netlist's folder; "
                "copy it beside the netlist"
            )
        yield from self.read(target, str(Path(place.file).parent / name), depth + 1, place)


def _refuse_file(what: str) -> NoReturn:
    raise SpecError(what)


def _text(path: Path, label: str, refuse: Callable[[str], NoReturn]) -> str:
    """The text of a plain file that is not too large."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            refuse(f"{label} is a folder, not a netlist")
        if not stat.S_ISREG(status.st_mode):
            refuse(f"{label} is not a plain file")
        if status.st_size > MAX_BYTES:
            refuse(f"{label} has {status.st_size} bytes; at most {MAX_BYTES} are read")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        refuse(f"there is no file {label}")
    except (OSError, ValueError) as error:
        refuse(f"{label} cannot be read ({type(error).__name__})")
    if b"\0" in raw:
        refuse(f"{label} is not a text file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _logical(text: str, label: str, included: bool) -> Iterator[Line]:
    """Logical lines: without title and comments, continuation lines joined."""
    parts: list[str] = []
    place = Place(label, 1)
    for number, raw in enumerate(text.split("\n"), start=1):
        if number == 1 and not included:
            continue
        line = _without_comment(raw).strip()
        if not line:
            continue
        if any(ord(c) < 32 and c != "\t" for c in line):
            Place(label, number).fail("the line holds control characters; a netlist is plain text")
        if line.startswith("+"):
            if not parts:
                Place(label, number).fail("a line that continues (+) with nothing before it")
            parts.append(line[1:].strip())
            if sum(map(len, parts)) > MAX_LINE:
                place.fail(f"the line is longer than {MAX_LINE} characters with what continues it")
            continue
        if parts:
            yield Line(" ".join(parts), place, included)
        parts, place = [line], Place(label, number)
    if parts:
        yield Line(" ".join(parts), place, included)


_COMMENT = re.compile(r";|//|(?:^|(?<=[\s,]))\$")


def _without_comment(line: str) -> str:
    if line.lstrip()[:1] in ("*", "#"):
        return ""
    found = _COMMENT.search(line)
    return line[: found.start()] if found else line


def _check_data(line: Line) -> None:
    """Refuse commands."""
    card = line.card
    if card in _REFUSED:
        line.place.fail(f"{card} is refused: a netlist is data, nothing in it is run; remove it")
    if card in _COMMANDS:
        line.place.fail(f"the command {card} is refused: a netlist is data, nothing in it is run; remove it")
    if '"' in line.text and card not in (".include", ".inc"):
        line.place.fail("a quoted text: files and texts are refused here; a netlist is data")
    if card.startswith(".") and not _ANY_CARD.fullmatch(card):
        line.place.fail(f"{shown(card)} is no card of a netlist")
