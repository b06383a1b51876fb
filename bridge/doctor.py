"""What Tellegen found on this machine: the ngspice library, its features, Python and its packages."""

from __future__ import annotations

import json
import platform
import re
import sys
from importlib import metadata
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.ngspice import openvaf
from bridge.ngspice.library import MINIMUM_MAJOR, Library, search

_DISTRIBUTION = "tellegen"
_STYLES = {"ok": "bold green", "too old": "bold yellow", "missing": "bold red"}


def report() -> dict[str, Any]:
    """What was found, as plain values that JSON can hold.

    Returns:
        `status` (`ok`, `too old` or `missing`), `message` (what to do; empty if all is well), `library`
        (None if none is usable), `verilog_a` (the compiler), `tried` (a line for each library file),
        `folders` (looked into), `python` and `packages` (name to version, None for one not installed).
    """
    found = search()
    return {
        "status": found.status,
        "message": found.message,
        "tellegen": _version(_DISTRIBUTION),
        "library": None if found.library is None else _library(found.library),
        "verilog_a": _compiler(),
        "tried": list(found.tried),
        "folders": list(found.folders),
        "python": {
            "version": platform.python_version(),
            "executable": sys.executable,
            "platform": platform.platform(),
        },
        "packages": {name: _version(name) for name in _requirements()},
    }


def print_report(found: dict[str, Any] | None = None, console: Console | None = None) -> None:
    """Prints the report for people.

    Args:
        found: a report made before; one is made if it is None.
        console: where to print; standard output if it is None.
    """
    found = report() if found is None else found
    console = console or Console()
    out = Table.grid(padding=(0, 2))
    out.add_column(style="dim", no_wrap=True)
    out.add_column(overflow="fold")

    def row(name: str, value: object, style: str = "") -> None:
        out.add_row(name, Text(str(value), style=style))

    row("ngspice", _headline(found), _STYLES[found["status"]])
    if library := found["library"]:
        row("library", f"{library['path']} ({library['source']})")
        for name, works in library["features"].items():
            row(name, "yes" if works else "no", "green" if works else "yellow")
        row("scripts", library["scripts"] or "none of its own")
        row("program", library["binary"] or "none of this version (needed for `ngspice -b` only)")
        for path in library["runtime"]:
            row("loaded before it", path)
    compiler = found["verilog_a"]
    row("Verilog-A", compiler["version"] or compiler["message"], "green" if compiler["version"] else "yellow")
    if compiler["path"]:
        row("compiler", f"{compiler['path']} ({compiler['source']})")
    row("Python", f"{found['python']['version']} ({found['python']['executable']})")
    row("platform", found["python"]["platform"])
    row("tellegen", found["tellegen"] or "not installed")
    for name, version in found["packages"].items():
        row(name, version or "not installed: run make setup", "" if version else "bold red")
    for number, line in enumerate(found["tried"]):
        row("tried" if number == 0 else "", line)
    if found["folders"]:
        row("looked into", ", ".join(found["folders"]))
    console.print(out)
    if found["message"]:
        console.print(Text(found["message"], style=_STYLES[found["status"]]), soft_wrap=True)


def run_doctor(json_output: bool) -> int:
    """The command `tellegen doctor`.

    Args:
        json_output: print one JSON object in place of the table.

    Returns:
        Exit status: 0 if there is a usable library, else 1.
    """
    found = report()
    if json_output:
        print(json.dumps(found, indent=2))
    else:
        print_report(found)
    return 0 if found["status"] == "ok" else 1


def _headline(found: dict[str, Any]) -> str:
    if library := found["library"]:
        return f"OK, version {library['version']}"
    return f"{found['status']}: {MINIMUM_MAJOR} or newer is needed"


def _library(library: Library) -> dict[str, Any]:
    features = library.features
    return {
        "path": str(library.path),
        "version": library.version,
        "source": library.source,
        "features": {"KLU": features.klu, "XSPICE": features.xspice, "OSDI": features.osdi},
        "scripts": None if library.scripts is None else str(library.scripts),
        "binary": None if library.binary is None else str(library.binary),
        "runtime": [str(path) for path in library.runtime],
    }


def _compiler() -> dict[str, str | None]:
    """The Verilog-A compiler: path, version, how it was found; a message where there is none."""
    try:
        found = openvaf.find_compiler()
    except openvaf.OpenVafError as error:
        return {"path": None, "version": None, "source": None, "message": str(error)}
    return {"path": str(found.path), "version": found.version, "source": found.source, "message": ""}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _requirements() -> list[str]:
    """Names of the packages that Tellegen needs, by its own metadata; extras left out."""
    try:
        lines = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    names = [re.match(r"[\w.-]+", line) for line in lines if "extra ==" not in line]
    return sorted({name[0] for name in names if name}, key=str.lower)
