"""Loads one ngspice library in a process of its own and prints what it is, as JSON.

Run as `python -m bridge.ngspice.probe LIBRARY [PRELOAD...]`. An old or broken library may crash the process
that loads it, and two engines in one process disturb each other, so nothing here runs in the process
that simulates. Features are tried, not looked up in a list of versions: each with a fresh circuit.
Only the standard library is imported, so that the file also runs without the package around it.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
from collections.abc import Iterable

MINIMUM_MAJOR = 42
"""Oldest ngspice that is accepted (KLU, OSDI and `EXTERNAL` sources that survive a reload)."""

_SendChar = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p)
_Exit = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_int, ctypes.c_bool, ctypes.c_bool, ctypes.c_int, ctypes.c_void_p
)


class Engine:
    """The few calls of libngspice that a probe needs.

    Args:
        library: path of the shared library.
        preload: libraries to load before it, because the system has none of that name.

    Raises:
        OSError: the file is no library that this machine can load.
        AttributeError: the library is not ngspice.
    """

    def __init__(self, library: str, preload: Iterable[str] = ()) -> None:
        for path in preload:
            ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        self._library = ctypes.CDLL(library)
        self._lines: list[str] = []
        # Kept as attributes: ngspice calls them for as long as the process lives.
        self._on_text = _SendChar(self._text)
        self._on_exit = _Exit(self._exit)
        self._library.ngSpice_Init(self._on_text, None, self._on_exit, None, None, None, None)

    def _text(self, text: bytes, _ident: int, _user: int) -> int:
        self._lines.append(text.decode(errors="replace"))
        return 0

    def _exit(self, status: int, _immediate: bool, _quit: bool, _ident: int, _user: int) -> int:
        os._exit(status or 3)

    def command(self, line: str) -> str:
        """Runs one command and returns what ngspice printed meanwhile."""
        self._lines.clear()
        self._library.ngSpice_Command(line.encode())
        return "\n".join(self._lines)

    def run(self, deck: list[str], vector: str) -> tuple[str, float | None]:
        """Loads a deck, solves its operating point, and removes it again.

        Returns:
            What ngspice printed, and the value of `vector` [V], None if there is none.
        """
        self._lines.clear()
        array = (ctypes.c_char_p * (len(deck) + 1))(*[line.encode() for line in deck], None)
        failed = bool(self._library.ngSpice_Circ(array))
        chatter = "\n".join(self._lines)
        value = None
        if not failed and "rror on line" not in chatter:
            chatter += "\n" + self.command("op")
            found = re.search(rf"{vector} = (\S+)", self.command(f"print {vector}"))
            value = float(found[1]) if found else None
            self.command("destroy all")
            self.command("remcirc")
        return chatter, value


def version_of(engine: Engine) -> str:
    """The library's version, such as `44.2`; empty if it does not tell."""
    found = re.search(r"ngspice-(\d+(?:\.\d+)*)", engine.command("version -f"))
    return found[1] if found else ""


def features_of(engine: Engine) -> dict[str, bool]:
    """Tries the features that Tellegen can use: `klu`, `xspice`, `osdi`."""
    divider = ["v1 a 0 1", "r1 a b 1k", "r2 b 0 1k", ".end"]
    chatter, half = engine.run(["* klu", ".options klu", *divider], "b")
    klu = "Using KLU" in chatter and half == 0.5
    _, double = engine.run(
        ["* xspice", "v1 a 0 1", "a1 a b twice", ".model twice gain(gain=2)", "r1 b 0 1k", ".end"], "b"
    )
    osdi = "no such command" not in engine.command("osdi")
    return {"klu": klu, "xspice": double == 2.0, "osdi": osdi}


def main(arguments: list[str]) -> int:
    """Prints one JSON object a stage, each more complete: the reader takes the last one."""
    try:
        engine = Engine(arguments[0], arguments[1:])
        version = version_of(engine)
    except (OSError, AttributeError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    if not version:
        print(json.dumps({"error": "it does not tell its ngspice version"}), flush=True)
        return 1
    print(json.dumps({"version": version}), flush=True)
    if int(version.split(".")[0]) >= MINIMUM_MAJOR:
        print(json.dumps({"version": version, "features": features_of(engine)}), flush=True)
    return 0


if __name__ == "__main__":
    STATUS = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(STATUS)  # ngspice's own clean-up at exit is not needed and has crashed
