"""Writes the tables of `docs/device-file.md` from the schema of device files.

Run it as `python docs/.mkdocs/device_file.py`; with `--check` it writes nothing and tells by its exit status
whether the page is up to date.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from bridge.experiment.device_file import DeviceFileSpec

PAGE = Path(__file__).resolve().parents[1] / "device-file.md"


def tables() -> Any:
    """What writes tables of schemas: the script beside this one."""
    spec = importlib.util.spec_from_file_location("tables", Path(__file__).with_name("experiment_file.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(old: str) -> str:
    """The page with its generated part as the schema wants it."""
    lines = tables().table(DeviceFileSpec, "", {})
    return str(tables().filled(old, "\n".join([*lines, ""])))


if __name__ == "__main__":
    sys.exit(tables().write_or_check(PAGE, page))
