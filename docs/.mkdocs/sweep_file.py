"""Writes the tables of `docs/sweeps.md` from the schema of sweep files and the list of metrics.

Run it as `python docs/.mkdocs/sweep_file.py`; with `--check` it writes nothing and tells by its exit status
whether the page is up to date.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from bridge.sweep.metrics import FURTHER, METRICS
from bridge.sweep.spec import SweepSpec

PAGE = Path(__file__).resolve().parents[1] / "sweeps.md"


def tables() -> Any:
    """What writes tables of schemas: the script beside this one."""
    spec = importlib.util.spec_from_file_location("tables", Path(__file__).with_name("experiment_file.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def generated() -> str:
    """The tables of keys and of metrics."""
    lines = tables().table(SweepSpec, "", {})
    lines = [line.replace("### `", "### Key `").replace("## `", "### Key `", 1) for line in lines]
    metrics = [
        "### Metrics { #metrics }",
        "",
        "| metric | what it is | which runs have it |",
        "|---|---|---|",
    ]
    metrics += [f"| `{name}` | {words} | all |" for name, words in METRICS.items()]
    metrics += [f"| `{name}` | {words} | `{key}` |" for name, (words, key) in FURTHER.items()]
    metrics += [
        "| `robustness.QUANTITY=VALUE.test_loss`, `….test_accuracy` | the same on worse devices, "
        "for example `robustness.spread=0.1.test_loss` | `robustness` with that value |"
    ]
    return "\n".join([*lines, *metrics, ""])


def page(old: str) -> str:
    """The page with its generated part as the schema wants it."""
    return str(tables().filled(old, generated()))


if __name__ == "__main__":
    sys.exit(tables().write_or_check(PAGE, page))
