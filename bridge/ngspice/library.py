"""Finds the ngspice library to use, and tells what a process needs before it loads it.

    library = find_library()
    os.environ.update(library_environment(library))
    preload(library)

Version and features come from a probe in a process of its own (`probe.py`), kept on disk under the
file's path, time and size, so that only the first search costs anything.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bridge.errors import LibraryError
from bridge.ngspice import places
from bridge.ngspice.probe import MINIMUM_MAJOR
from bridge.ngspice.prober import Probed, probe, program_version

__all__ = ["MINIMUM_MAJOR", "Features", "Library", "Search", "find_library", "library_environment", "preload",
           "search"]  # fmt: skip


@dataclass(frozen=True)
class Features:
    """What the library was seen to do.

    Attributes:
        klu: `.options klu` selects the KLU solver.
        xspice: XSPICE code models load (they belong to one version of the library).
        osdi: compiled Verilog-A can be loaded.
    """

    klu: bool = False
    xspice: bool = False
    osdi: bool = False


@dataclass(frozen=True)
class Library:
    """A usable ngspice library.

    Attributes:
        path: the shared library.
        version: as it tells itself, such as `44.2`.
        major: the number before the point.
        scripts: folder with its `spinit`, None if it has none of its own.
        source: how it was found.
        binary: the program `ngspice` of the same version, None if there is none that runs.
        features: what it was seen to do.
        runtime: libraries to load before it (see `preload`).
        tried: one line for each library file that was tried, and what came of it.
    """

    path: Path
    version: str
    major: int
    scripts: Path | None
    source: str
    binary: Path | None = None
    features: Features = field(default_factory=Features)
    runtime: tuple[Path, ...] = ()
    tried: tuple[str, ...] = ()


@dataclass(frozen=True)
class Search:
    """What a search gave, also when it gave nothing.

    Attributes:
        library: the one to use, None if there is none.
        status: `ok`, `too old` or `missing`.
        message: for people: what is wrong and what to do; empty if all is well.
        tried: one line for each library file that was tried, and what came of it.
        folders: every folder that was looked into.
    """

    library: Library | None
    status: str
    message: str
    tried: tuple[str, ...]
    folders: tuple[str, ...]


def find_library() -> Library:
    """The newest usable ngspice library; one that an environment variable names goes first.

    Raises:
        LibraryError: none is usable; the message says what was tried and how to get one.
    """
    found = search()
    if found.library is None:
        raise LibraryError(found.message)
    return found.library


def search(environment: Mapping[str, str] | None = None) -> Search:
    """Tries every library on this machine and chooses one.

    Args:
        environment: variables to obey in place of this process's own.
    """
    environment = os.environ if environment is None else environment
    own, pyspice = places.explicit(environment)
    if own is not None:
        results = [(own, _examine(own))]
    else:
        listed = places.candidates(environment)
        if pyspice is not None:
            listed.insert(0, pyspice)
        results = [(candidate, _examine(candidate)) for candidate in listed]
    tried = tuple(f"{c.path} ({c.source}): {_outcome(p)}" for c, p in results)
    folders = tuple(places.searched(environment)) if own is None else ()

    usable = [(c, p) for c, p in results if not p.error and _major(p) >= MINIMUM_MAJOR]
    if not usable:
        status, message = _refusal(own, results, folders)
        return Search(None, status, message, tried, folders)
    first = [pair for pair in usable if pair[0] is pyspice]
    candidate, probed = first[0] if first else max(usable, key=lambda pair: _number(pair[1].version))
    return Search(replace(_library(candidate, probed), tried=tried), "ok", "", tried, folders)


def library_environment(library: Library) -> dict[str, str]:
    """The variables that a process needs before it loads the library.

    Code models belong to their version of ngspice, so the scripts folder goes with the library. One
    thread: ngspice's own threads cost more than they bring on circuits of this size.
    """
    variables = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    variables[places.PYSPICE_VARIABLE] = str(library.path)
    if library.scripts is not None:
        variables["SPICE_SCRIPTS"] = str(library.scripts)
        variables["SPICE_LIB_DIR"] = str(library.scripts.parent)
    return variables


def preload(library: Library) -> None:
    """Loads what was unpacked beside the library because the system has none; call it before loading.

    Raises:
        LibraryError: one of them does not load.
    """
    for path in library.runtime:
        try:
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            message = f"{path} does not load ({error}); remove .ngspice and run: make setup"
            raise LibraryError(message) from error


def _examine(candidate: places.Candidate) -> Probed:
    if not candidate.path.is_absolute() and candidate.source == "dynamic loader":
        return probe(candidate.path, {}, ())
    if not candidate.path.is_file():
        return Probed(error="no such file")
    library = Library(candidate.path.absolute(), "", 0, places.scripts_of(candidate.path), candidate.source)
    return probe(library.path, library_environment(library), places.runtime_of(library.path))


def _library(candidate: places.Candidate, probed: Probed) -> Library:
    path = candidate.path.absolute() if candidate.path.is_file() else candidate.path
    binaries = (b for b in places.binaries_of(path) if program_version(b) == probed.version)
    return Library(
        path=path,
        version=probed.version,
        major=_major(probed),
        scripts=places.scripts_of(path),
        source=candidate.source,
        binary=next(binaries, None),
        features=Features(**{name: probed.features.get(name, False) for name in ("klu", "xspice", "osdi")}),
        runtime=places.runtime_of(path),
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")) if version else (0,)


def _major(probed: Probed) -> int:
    return _number(probed.version)[0]


def _outcome(probed: Probed) -> str:
    if probed.error:
        return probed.error
    old = "" if _major(probed) >= MINIMUM_MAJOR else f", too old: {MINIMUM_MAJOR} or newer is needed"
    return f"ngspice {probed.version}{old}"


def _refusal(
    own: places.Candidate | None, results: list[tuple[places.Candidate, Probed]], folders: tuple[str, ...]
) -> tuple[str, str]:
    """Status and message for a search that found nothing usable."""
    old = [(c, p) for c, p in results if p.version and not p.error]
    status = "too old" if old else "missing"
    if own is not None:
        outcome = _outcome(results[0][1])
        wanted = f"an ngspice library of version {MINIMUM_MAJOR} or newer"
        return status, f"{places.OWN_VARIABLE}={own.path}: {outcome}; point it at {wanted}, or unset it"
    line = places.install_line(MINIMUM_MAJOR)
    way = f"run `make setup` in the project's folder, or: {line}; or set {places.OWN_VARIABLE} to a library"
    if old:
        candidate, probed = max(old, key=lambda pair: _number(pair[1].version))
        needed = f"Tellegen needs {MINIMUM_MAJOR} or newer"
        return status, f"ngspice {probed.version} ({candidate.path}) is too old, {needed}: {way}"
    unusable = [f"{c.path} ({_outcome(p)})" for c, p in results]
    return status, f"no usable ngspice library: {way}; tried: {', '.join([*unusable, *folders])}"


def main() -> int:
    """For set-up: prints the library found, or why there is none.

    Returns:
        Exit status: 0 found, 1 none, 2 if the user's own choice of a library is unusable.
    """
    found = search()
    if found.library is not None:
        print(f"ngspice {found.library.version}: {found.library.path}")
        return 0
    print(found.message, file=sys.stderr)
    return 2 if os.environ.get(places.OWN_VARIABLE) else 1
