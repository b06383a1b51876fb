"""Runs the probe of a library in a process of its own, and keeps the answers on disk."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

TIME_LIMIT = 30.0
"""Longest time [s] that a probe may take; a usual one takes 0.05 s."""

_PROBE = Path(__file__).with_name("probe.py")
_CACHE_NAME = "ngspice-probes.json"


@dataclass(frozen=True)
class Probed:
    """What a probe told.

    Attributes:
        version: such as `44.2`; empty if it is not known.
        features: name and whether it works; empty for a library that is too old to be used.
        error: why the library cannot be used, empty if it can.
    """

    version: str = ""
    features: Mapping[str, bool] = field(default_factory=dict)
    error: str = ""


def probe(path: Path, environment: Mapping[str, str], runtime: Sequence[Path]) -> Probed:
    """Probes a library, from the cache if this very file was probed before.

    Args:
        path: the library.
        environment: variables that the library needs (`library_environment`).
        runtime: libraries to load before it.
    """
    key = _key(path, environment, runtime)
    known = _read_cache().get(key) if key else None
    if isinstance(known, dict):
        with contextlib.suppress(TypeError):
            return Probed(**known)
    probed = _run_probe(path, environment, runtime)
    if key and not probed.error:  # a failure may be the machine's, and gone the next time
        _write_cache(key, asdict(probed))
    return probed


def program_version(program: Path) -> str:
    """Version of an `ngspice` program, empty if it does not run on this machine."""
    key = _key(program, {}, ())
    known = _read_cache().get(key) if key else None
    if isinstance(known, str):
        return known
    try:
        answer = subprocess.run(
            [str(program), "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=TIME_LIMIT, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"ngspice-(\d+(?:\.\d+)*)", answer.stdout)
    version = found[1] if found and answer.returncode == 0 else ""
    if key and version:
        _write_cache(key, version)
    return version


def _run_probe(path: Path, environment: Mapping[str, str], runtime: Sequence[Path]) -> Probed:
    # -P keeps the neighbours of probe.py from being imported in place of standard modules.
    command = [sys.executable, "-P", str(_PROBE), str(path), *map(str, runtime)]
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=TIME_LIMIT, check=False, env={**os.environ, **environment},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Probed(error=f"no answer within {TIME_LIMIT:.0f} s of loading it")
    except OSError as error:
        return Probed(error=f"cannot be probed: {error}")
    told = _last_object(answer.stdout)
    version = str(told.get("version", ""))
    if answer.returncode < 0:
        name = signal.Signals(-answer.returncode).name
        return Probed(version, error=f"ngspice {version or '(version unknown)'} crashed when tried ({name})")
    if "error" in told or not version or answer.returncode:
        last = (answer.stderr.strip().splitlines() or ["it did not answer"])[-1]
        return Probed(version, error=f"cannot be loaded: {told.get('error', last)}")
    return Probed(version, {name: bool(value) for name, value in told.get("features", {}).items()})


def _last_object(text: str) -> dict[str, Any]:
    for line in reversed(text.splitlines()):
        with contextlib.suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                return value
    return {}


def _key(path: Path, environment: Mapping[str, str], runtime: Sequence[Path]) -> str:
    """Changes when the file, its scripts or the probe change; empty for a name that is no file."""
    files = [path, _PROBE, *runtime]
    if scripts := environment.get("SPICE_SCRIPTS"):
        files.append(Path(scripts) / "spinit")
    try:
        states = [(file, file.stat()) for file in files]
    except OSError:
        return ""
    return "|".join(f"{file}:{state.st_mtime_ns}:{state.st_size}" for file, state in states)


def cache_folder() -> Path:
    """The user's cache folder for Tellegen."""
    if root := os.environ.get("XDG_CACHE_HOME"):
        return Path(root) / "tellegen"
    home = Path(os.path.expanduser("~"))
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "tellegen"


def _read_cache() -> dict[str, Any]:
    try:
        value = json.loads((cache_folder() / _CACHE_NAME).read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _write_cache(key: str, value: object) -> None:
    """Adds one answer; a cache that cannot be written costs time only."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        kept = dict(list(_read_cache().items())[-63:])
        kept[key] = value
        handle, name = tempfile.mkstemp(dir=folder, prefix=_CACHE_NAME)
        with os.fdopen(handle, "w") as file:
            json.dump(kept, file, indent=1)
        os.replace(name, folder / _CACHE_NAME)
    except OSError:
        pass
