"""Files of a run folder that are whole or absent, whenever the process is killed, and one writer a folder."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import platform
import secrets
import socket
import warnings
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pydantic import BaseModel

from bridge.errors import TellegenError

_LEFTOVER = ".tellegen-tmp"
_PACKAGES = ("tellegen", "PySpice", "numpy", "pandas", "numba", "scipy", "pyarrow", "pydantic")


class RunLockedError(TellegenError):
    """Another process writes this run folder.

    Attributes:
        holder: process id of the other process; None if it is not known.
    """

    def __init__(self, message: str, holder: int | None = None) -> None:
        self.holder = holder
        super().__init__(message)

    def __reduce__(self) -> tuple[type[RunLockedError], tuple[str, int | None]]:
        return type(self), (str(self), self.holder)


def write_atomic(path: Path | str, data: bytes | str) -> None:
    """Write a file so that it always holds either its old content or all of the new one.

    Args:
        path: the file; its folder exists.
        data: the content; text is written as UTF-8.

    Raises:
        OSError: the file could not be written; the old content is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{_LEFTOVER}")
    try:
        with open(temporary, "xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json_atomic(path: Path | str, content: object) -> None:
    """Write JSON, indented; models, paths and numpy values are converted, NaN is a ValueError."""
    write_atomic(path, json.dumps(_plain(content), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_parquet_atomic(path: Path | str, table: pd.DataFrame) -> None:
    """Write a table as parquet, with its index and `attrs`."""
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    write_atomic(path, buffer.getvalue())


def write_npz_atomic(path: Path | str, /, **arrays: ArrayLike) -> None:
    """Write arrays that `numpy.load` reads back by name; equal arrays give equal bytes.

    Raises:
        ValueError: an array holds Python objects, which would need pickle.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(values), allow_pickle=False)
    write_atomic(path, buffer.getvalue())


def is_leftover(path: Path) -> bool:
    """Whether a file is a temporary one that a killed writer left."""
    return path.name.startswith(".") and path.name.endswith(_LEFTOVER)


def remove_leftovers(folder: Path | str) -> int:
    """Delete the temporary files that killed writers left below a folder; returns how many."""
    found = list(Path(folder).rglob(f".*{_LEFTOVER}"))
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def content_hash(content: object) -> str:
    """SHA-256 of the canonical JSON (sorted keys, shortest numbers) of plain data or a pydantic model.

    Equal content gives the same hash in any process, on any platform. `1` and `1.0` differ: pass what a
    model has read. NaN and keys that are no text are refused with ValueError, sets with TypeError.
    """
    text = json.dumps(_plain(content), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def manifest(
    *, ngspice: str, seed: int | None = None, hashes: Mapping[str, str] | None = None, **more: object
) -> dict[str, Any]:
    """Describe what made a run: versions, platform, seed, hashes.

    Args:
        ngspice: the version that the loaded library reported.
        seed: the run's seed.
        hashes: `content_hash` of the spec, the data, ... by name.
        **more: further entries, plain data.

    Returns:
        Plain data for `write_json_atomic`; no time or host name, so equal runs have equal manifests.
    """
    versions = {"python": platform.python_version(), "ngspice": ngspice}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    machine = {"system": platform.platform(), "machine": platform.machine(), "cpus": os.cpu_count()}
    return {"versions": versions, "platform": machine, "seed": seed, "hashes": dict(hashes or {}), **more}


class RunLock:
    """Keeps a run folder to one process: `with RunLock(folder): ...`.

    The lock is the operating system's, on the file `.lock`: it ends with its process, however that dies.
    The file names the holder for messages only. On a file system without locks a warning is given. A
    forked child shares its parent's lock; spawned workers do not.

    Attributes:
        taken_over: process id of a holder that died without releasing the folder; else None.
    """

    def __init__(self, folder: Path | str, name: str = "", what: str = "run") -> None:
        """Name the folder.

        Args:
            folder: where the lock file is.
            name: of the folder in messages; the folder itself when left out.
            what: is in it.
        """
        self.folder = Path(folder)
        self.name, self.what = name or str(folder), what
        self.path = self.folder / ".lock"
        self.taken_over: int | None = None
        self._file: int | None = None

    def acquire(self) -> Self:
        """Take the folder, made if missing, and clear away what a killed holder was writing.

        Raises:
            RunLockedError: another process, or another lock of this one, has it.
        """
        if self._file is not None:
            raise RunLockedError(f"{self.folder}: this lock is already held", os.getpid())
        self.folder.mkdir(parents=True, exist_ok=True)
        while True:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._lock(file)
                if self._is_current(file):
                    break
            except BaseException:
                os.close(file)
                raise
            os.close(file)  # the holder removed the file between open and lock: take the new one
        self._file = file
        self.taken_over = _holder(file)[0]
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        remove_leftovers(self.folder)
        return self

    def release(self) -> None:
        """Give the folder back and remove the lock file; does nothing if the lock is not held."""
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _lock(self, file: int) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, host = _holder(file)
            who = f"process {pid} on {host}" if pid else "another process"
            advice = "wait for it, stop it, or choose another folder"
            raise RunLockedError(f"{self.name}: {who} is writing this {self.what}; {advice}", pid) from None
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                raise
            text = f"{self.name}: this file system has no locks; start no second {self.what} in this folder"
            warnings.warn(text, RuntimeWarning, stacklevel=3)

    def _is_current(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.stat(self.path))
        except FileNotFoundError:
            return False


def _holder(file: int) -> tuple[int | None, str]:
    """Process id and host written in a lock file; None if it names none (yet)."""
    try:
        content = json.loads(os.pread(file, 4096, 0))
        return int(content["pid"]), str(content["host"])
    except (ValueError, KeyError, TypeError):
        return None, ""


def _plain(content: object) -> Any:
    """Plain JSON data of models, paths, numpy values, tuples."""
    if isinstance(content, BaseModel):
        return _plain(content.model_dump(mode="json"))
    if isinstance(content, Mapping):
        for key in content:
            if not isinstance(key, str):
                raise ValueError(f"a key must be text, not {key!r}")
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    if isinstance(content, np.ndarray | np.generic):
        return _plain(content.tolist())
    return content.as_posix() if isinstance(content, Path) else content
