"""The engine: libngspice in this process, through PySpice, with compiled callbacks.

libngspice holds its state in global variables: one engine a process, one thread. A broken deck or a crash
takes the process with it, so long work runs in workers (`bridge.ngspice.pool`).
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from bridge.errors import LibraryError
from bridge.ngspice import callbacks as cb
from bridge.ngspice import messages as msg
from bridge.ngspice.drives import ControlBlock
from bridge.ngspice.library import Library, find_library, library_environment, preload
from circuits.deck import VerilogModule

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its source has invalid escapes, which newer Pythons report
    from PySpice.Spice.NgSpice.Shared import NgSpiceShared, ffi

_SETTINGS = (
    "set num_threads=1",
    "set no_mem_check",
    "set nomoremode",
    "unset interactive",
    "set ngbehavior=",
    "optran 1 1 1 0 0 0",  # no pseudo-transient: settled or not, its end would pass for an operating point
)
_HISTORY, _SHORT = 10_000, 30  # commands of that many letters


class Engine(NgSpiceShared):  # type: ignore[misc]
    """PySpice's shared ngspice with compiled data callbacks and counted time.

    Attributes:
        control: the memory that the callbacks share with Python.
        seconds: wall time spent inside ngspice [s].
        dead: whether ngspice asked for its own exit; it can then not be used again.
        circuits: titles of the circuits that ngspice holds, newest first, as it numbers them.
        current: title of the circuit that runs and alterations go to, where it is known.
        library: the library that was loaded.
        modules: the source's hash of every Verilog-A module that was loaded, by its name in lower case.
        checked: what decks use of them, where it was found to be there.
    """

    _instance: ClassVar[Engine | None] = None

    @classmethod
    def get(cls, library: Library | None = None) -> Engine:
        """The engine of this process, started at the first call.

        Raises:
            LibraryError: no usable library, or another one is already loaded in this process.
        """
        if cls._instance is None:
            found = library or find_library()
            os.environ.update(library_environment(found))
            preload(found)
            cls.LIBRARY_PATH = str(found.path)
            cls._instance = cls(found)
        elif library is not None and library.path != cls._instance.library.path:
            raise LibraryError(
                f"this process has already loaded {cls._instance.library.path}; "
                f"a process holds one ngspice: use a new process for {library.path}"
            )
        return cls._instance

    @classmethod
    def loaded(cls) -> Engine | None:
        """The engine of this process, if it was started."""
        return cls._instance

    def __init__(self, library: Library) -> None:
        self.library = library
        self.control = ControlBlock()
        self.seconds = 0.0
        self.dead = False
        self.circuits: list[str] = []
        self.current: str | None = None
        self.modules: dict[str, str] = {}
        self.checked: set[VerilogModule] = set()
        self._messages: list[str] = []
        self._commands = 0
        super().__init__()
        for setting in _SETTINGS:
            self.command(setting)

    def _init_ngspice(self, send_data: bool) -> None:
        """Register the callbacks (in PySpice's place, which would call Python for every one)."""
        shared = self._ngspice_shared
        user_data = ffi.cast("void *", self.control.address)
        self._keep = (
            ffi.callback("int (char *, int, void *)", self._on_message),
            ffi.callback("int (int, bool, bool, int, void *)", self._on_exit),
            ffi.new("int *", 0),
        )
        status = shared.ngSpice_Init(
            self._keep[0],
            ffi.NULL,
            self._keep[1],
            ffi.cast("SendData *", cb.row_callback.address),
            ffi.cast("SendInitData *", cb.announce_callback.address),
            ffi.NULL,
            user_data,
        )
        status |= shared.ngSpice_Init_Sync(
            ffi.cast("GetVSRCData *", cb.source_callback.address),
            ffi.cast("GetISRCData *", cb.source_callback.address),
            ffi.NULL,
            self._keep[2],
            user_data,
        )
        if status:
            raise LibraryError(f"{self.library.path}: ngspice could not be initialised (status {status})")
        self._ngspice_version = self.library.major

    def _on_message(self, text: Any, _ident: int, _user: Any) -> int:
        self._messages.append(msg.strip(ffi.string(text).decode("utf-8", "replace")))
        return 0

    def _on_exit(self, _status: int, _immediate: bool, _quit: bool, _ident: int, _user: Any) -> int:
        self.dead = True
        return 0

    def command(self, text: str | bytes) -> list[str]:
        """Run one command of ngspice.

        Args:
            text: the command; never text from a user's file.

        Returns:
            What ngspice printed, one string a line.
        """
        self._commands += 1 + len(text) // _SHORT
        if self._commands > _HISTORY:  # ngspice keeps every command until it is told to forget them
            self._ngspice_shared.ngSpice_Command(ffi.NULL)
            self._commands = 0
        self._messages = []
        encoded = text if isinstance(text, bytes) else text.encode()
        start = time.perf_counter()
        self._ngspice_shared.ngSpice_Command(encoded)
        self.seconds += time.perf_counter() - start
        return self._messages

    def load(self, lines: Sequence[str]) -> tuple[bool, list[str]]:
        """Load a circuit; if that succeeds, it becomes the current one.

        Args:
            lines: the netlist from its title to `.end`; the title must be new in this process.

        Returns:
            Whether it was loaded without a complaint, and what ngspice printed.
        """
        title = lines[0]
        self._messages = []
        keep = [ffi.new("char[]", line.encode()) for line in lines]
        array = ffi.new("char *[]", [*keep, ffi.NULL])
        start = time.perf_counter()
        status = self._ngspice_shared.ngSpice_Circ(array)
        self.seconds += time.perf_counter() - start
        if status:
            self._messages.append(f"Error: ngspice refused the circuit (status {status})")
        printed = self._messages
        reported = any(line.strip().lower() == f"circuit: {title.lower()}" for line in printed)
        if reported and not msg.errors(printed):
            self.circuits.insert(0, title)
            self.current = title
            return True, printed
        # Some circuits that ngspice complains about are kept all the same, and which one is current after
        # that differs: find out whether it is in the list, and select again before the next run.
        self.current = None
        if not self.dead and title in (line.strip() for line in self.command("setcirc 1")):
            self.circuits.insert(0, title)
        return False, printed

    def load_modules(self, path: Path, key: str, names: Sequence[str]) -> None:
        """Load compiled Verilog-A, once a process.

        Args:
            path: the OSDI library.
            key: hash of its source.
            names: of the modules in it.

        Raises:
            LibraryError: ngspice cannot load it, or has another module of that name already.
        """
        if names and all(self.modules.get(name.lower()) == key for name in names):
            return
        if not self.library.features.osdi:
            raise LibraryError(
                f"ngspice {self.library.version} ({self.library.path}) loads no compiled Verilog-A (OSDI); "
                "use ngspice 42 or newer, or the realisation behavioural"
            )
        if known := [n for n in names if self.modules.get(n.lower(), key) != key]:
            raise LibraryError(
                f"this process has already loaded another Verilog-A module {known[0]!r}, and ngspice keeps "
                "the first; rename it, or start a new process"
            )
        with tempfile.TemporaryDirectory(prefix="tellegen-osdi-") as folder:
            file = path
            if any(c.isspace() for c in str(path)):  # ngspice would read several names
                file = Path(shutil.copyfile(path, Path(folder) / "module.osdi"))
            printed = self.command(f"osdi {file}")
        if bad := msg.errors(printed):
            raise LibraryError(f"ngspice {self.library.version} refused {path}: {bad[0].strip()}")
        self.modules.update({name.lower(): key for name in names})

    def select(self, title: str) -> bool:
        """Make a loaded circuit the current one; whether ngspice confirmed it."""
        if title != self.current:
            self.current = None
            printed = self.command(f"setcirc {self.circuits.index(title) + 1}")
            if title not in (line.strip() for line in printed):
                return False
            self.current = title
        return True

    def vector(self, name: str) -> Any:
        """A copy of one vector of the current plot, `(n_points,)`, or `None` where there is none."""
        import numpy as np

        info = self._ngspice_shared.ngGet_Vec_Info(name.encode())
        if info == ffi.NULL or info.v_realdata == ffi.NULL or info.v_length < 1:
            return None
        return np.frombuffer(ffi.buffer(info.v_realdata, info.v_length * 8), dtype=np.float64).copy()
