"""Import of a user's function by its path: the only place where an experiment brings in code."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from bridge.losses.base import LossError


def import_function(path: str, folder: Path) -> Callable[..., Any]:
    """Import `package.module:function` or `file.py:function`.

    Args:
        path: where the function is.
        folder: the folder that a relative file is in, and where modules are looked for last.

    Returns:
        The function.

    Raises:
        LossError: the path is malformed, the module cannot be imported, or it has no such function.
    """
    place, separator, name = path.rpartition(":")
    if not (separator and place and name.isidentifier()):
        raise LossError(f"loss path {path!r} must read package.module:function or file.py:function")
    module = _from_file(path, folder / place) if place.endswith(".py") else _from_name(path, place, folder)
    if not hasattr(module, name):
        near = difflib.get_close_matches(name, dir(module), 1)
        advice = f"did you mean {near[0]!r}?" if near else "name a function of that module"
        raise LossError(f"loss path {path!r}: {place} has no {name!r}; {advice}")
    function: Any = getattr(module, name)
    if not callable(function):
        raise LossError(f"loss path {path!r}: {name!r} is a {type(function).__name__}; name a function")
    return function  # type: ignore[no-any-return]


def _from_name(path: str, name: str, folder: Path) -> ModuleType:
    """Import a module by name, from the installed packages first and from the folder last."""
    added = str(folder) not in sys.path
    if added:
        sys.path.append(str(folder))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise LossError(
            f"loss path {path!r}: module {name!r} cannot be imported ({type(error).__name__}: {error}); "
            f"install it or put it into {folder}"
        ) from error
    finally:
        if added and str(folder) in sys.path:
            sys.path.remove(str(folder))


def _from_file(path: str, file: Path) -> ModuleType:
    """Run a file as a module of its own, whose name no other file shares."""
    if not file.is_file():
        raise LossError(f"loss path {path!r}: there is no file {file}")
    digest = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]
    name = f"tellegen_user_{file.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise LossError(f"loss path {path!r}: {file} cannot be loaded as a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        reason = f"{type(error).__name__}: {error}"
        raise LossError(f"loss path {path!r}: running {file} raised {reason}; correct the file") from error
    return module
