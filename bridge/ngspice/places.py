"""Where an ngspice library may lie on this machine, what belongs to it, and how to install one."""

from __future__ import annotations

import ctypes.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

OWN_VARIABLE = "TELLEGEN_NGSPICE"
"""Environment variable that names the library file to use; nothing else is tried when it is set."""
PYSPICE_VARIABLE = "NGSPICE_LIBRARY_PATH"
"""PySpice's own variable of that kind."""

PROJECT = Path(__file__).resolve().parents[2]
RUNTIME = ("libgcc_s.so.1", "libstdc++.so.6", "libgomp.so.1")
"""What libngspice links to, in the order to load: unpacked beside it only where the system has none."""

_NAMES = ("libngspice*.dylib",) if sys.platform == "darwin" else ("libngspice.so*",)


@dataclass(frozen=True)
class Candidate:
    """A library file that may be tried.

    Attributes:
        path: the file.
        source: how it came to be tried, for people.
    """

    path: Path
    source: str


def explicit(environment: Mapping[str, str]) -> tuple[Candidate | None, Candidate | None]:
    """The libraries that Tellegen's and PySpice's environment variables name."""

    def named(variable: str) -> Candidate | None:
        value = environment.get(variable, "").strip()
        # PySpice formats an engine number into its path; Tellegen has one engine a process.
        return Candidate(Path(value.replace("{}", "")).expanduser(), variable) if value else None

    return named(OWN_VARIABLE), named(PYSPICE_VARIABLE)


def folders(environment: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Folders to look into, in order of preference, with what to call them."""
    for base, source in ((PROJECT, "project folder"), (Path.cwd(), "current folder")):
        for pattern in ("usr/lib/*-linux-*", "usr/lib", "lib"):
            for folder in sorted((base / ".ngspice" / "root").glob(pattern)):
                yield folder, source
    yield Path(sys.prefix) / "lib", "virtual environment"
    if conda := environment.get("CONDA_PREFIX"):
        yield Path(conda) / "lib", "conda environment"
    for variable in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"):
        for entry in filter(None, environment.get(variable, "").split(os.pathsep)):
            yield Path(entry), variable
    usual = ["/usr/local/lib", "/usr/local/lib64"]
    if sys.platform == "darwin":
        brew = ("/opt/homebrew/opt/libngspice/lib", "/opt/homebrew/lib", "/usr/local/opt/libngspice/lib")
        usual = [*brew, *usual, "/opt/local/lib"]
    else:
        usual += [str(folder) for folder in sorted(Path("/usr/lib").glob("*-linux-gnu*"))]
        usual += ["/usr/lib64", "/usr/lib", "/home/linuxbrew/.linuxbrew/lib"]
    for name in usual:
        yield Path(name), "system"


def candidates(environment: Mapping[str, str]) -> list[Candidate]:
    """Every library file found in the folders, each once, in order of preference."""
    found: dict[Path, Candidate] = {}
    for folder, source in folders(environment):
        for pattern in _NAMES:
            for path in sorted(folder.glob(pattern)):
                if path.is_file():
                    found.setdefault(path.resolve(), Candidate(path, source))
    if not found and (name := ctypes.util.find_library("ngspice")):
        found[Path(name)] = Candidate(Path(name), "dynamic loader")
    return list(found.values())


def searched(environment: Mapping[str, str]) -> list[str]:
    """The folders that were looked into, for a report of what was tried."""
    own = [f"{base / '.ngspice'}" for base in dict.fromkeys((PROJECT, Path.cwd()))]
    return list(dict.fromkeys([*own, *(str(folder) for folder, _ in folders(environment))]))


def _prefixes(library: Path) -> Iterator[Path]:
    """The installation prefixes a library may belong to: its folder's parents, as given and resolved."""
    for path in dict.fromkeys((library.absolute(), library.resolve())):
        yield from list(path.parents)[1:4]


def scripts_of(library: Path) -> Path | None:
    """The folder with the library's own `spinit` and so its own code models, if it has one."""
    for prefix in _prefixes(library):
        folder = prefix / "share" / "ngspice" / "scripts"
        if (folder / "spinit").is_file():
            return folder
    return None


def runtime_of(library: Path) -> tuple[Path, ...]:
    """Libraries unpacked beside this one, to be loaded before it; none for an installed library."""
    root = _unpacked_root(library)
    if root is None:
        return ()
    triplet = library.absolute().parent.name
    places = [root / top / triplet for top in ("usr/lib", "lib")]
    found = (next((p / name for p in places if (p / name).exists()), None) for name in RUNTIME)
    return tuple(path for path in found if path)


def _unpacked_root(library: Path) -> Path | None:
    """The folder `.ngspice/root` that set-up unpacked the library into, if it did."""
    parents = library.absolute().parents
    return next((p for p in parents if (p.parent.name, p.name) == (".ngspice", "root")), None)


def binaries_of(library: Path) -> list[Path]:
    """Programs named `ngspice` that may be of the same build, nearest first."""
    near = [prefix / "bin" / "ngspice" for prefix in _prefixes(library)]
    # An unpacked library has a wrapper beside its root that sets the variables the program needs.
    if root := _unpacked_root(library):
        near.insert(0, root.parent / "bin" / "ngspice")
    if on_path := shutil.which("ngspice"):
        near.append(Path(on_path))
    return [path for path in dict.fromkeys(near) if path.is_file() and os.access(path, os.X_OK)]


def install_line(minimum: int) -> str:
    """The command that installs an ngspice library with this machine's own package manager.

    Args:
        minimum: oldest major version that will do.
    """
    if shutil.which("brew") and sys.platform == "darwin":
        return "brew install libngspice ngspice"
    if shutil.which("apt-get"):
        version = _apt_candidate()
        if version is not None and version < minimum:
            return f"sudo apt-get install -t {_codename()}-backports libngspice0 ngspice"
        return "sudo apt-get install libngspice0 ngspice"
    lines = {
        "dnf": "sudo dnf install libngspice ngspice",
        "zypper": "sudo zypper install libngspice0 ngspice",
        "pacman": "sudo pacman -S ngspice",
        "conda": "conda install -c conda-forge ngspice-lib ngspice",
        "brew": "brew install libngspice ngspice",
    }
    found = next((line for program, line in lines.items() if shutil.which(program)), None)
    return found or f"build ngspice {minimum} or newer from source with --with-ngshared"


def _codename() -> str:
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    except OSError:
        return "stable"


def _apt_candidate() -> int | None:
    """Major version of the `libngspice0` that apt would install; None if it knows none."""
    try:
        answer = subprocess.run(
            ["apt-cache", "policy", "libngspice0"],
            capture_output=True, text=True, timeout=20, check=False, env={**os.environ, "LC_ALL": "C"},
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"Candidate: (?:\d+:)?(\d+)", answer)
    return int(found[1]) if found else None
