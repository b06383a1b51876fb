"""What all benchmarks share: arguments, the machine, interleaved rounds, tables, and the page they end up on.

A benchmark is a module with a function `tables(settings)` that returns `Table`s; `command(__doc__, tables)`
makes it a command. Only ratios measured in the same rounds are compared: another load on the machine falls on
both sides of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bridge.ngspice.library import find_library

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
_BEGIN, _END = "<!-- benchmark {} -->", "<!-- end of {} -->"
_STANDARD = ("full", "rounds", "json", "write", "repeated")
_PACKAGES = ("numpy", "scipy", "PySpice")


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Attributes:
        full: all sizes; otherwise those that are measured within seconds.
        rounds: of every measurement; its median counts.
        more: the module's own arguments.
    """

    full: bool = False
    rounds: int = 5
    more: Mapping[str, Any] = field(default_factory=dict)


class Idle:
    """The part of a pool's handler that a benchmark's worker does not use."""

    def update(self, state: Any) -> None:
        """Nothing is shared."""

    def usage(self) -> dict[str, Any]:
        """Nothing is counted."""
        return {}


@dataclass(frozen=True)
class Table:
    """A table and what it shows.

    Attributes:
        name: identifies it in the JSON and on the page.
        caption: one or two sentences above it.
        rows: one mapping a row, all with the same keys, which are the headings.
        repeated: how often it was measured, in words, where it is not the settings' number of rounds.
    """

    name: str
    caption: str
    rows: Sequence[Mapping[str, Any]]
    repeated: str = ""

    def markdown(self) -> str:
        """The table in Markdown, numbers to three digits."""
        keys = list(self.rows[0])
        number = [all(isinstance(row[k], int | float | None) for row in self.rows) for k in keys]
        lines = [f"| {' | '.join(keys)} |", "|" + "".join("---:|" if n else "---|" for n in number)]
        lines += [f"| {' | '.join(_shown(row[k]) for k in keys)} |" for row in self.rows]
        return "\n".join([self.caption, "", *lines])


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def machine() -> dict[str, Any]:
    """What the numbers were measured with; nothing that names the computer."""
    library = find_library()
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists() and (found := re.search(r"model name\s*:\s*(.+)", info.read_text(encoding="utf-8"))):
        model = found[1].strip()
    return {
        "ngspice": library.version,
        "KLU": library.features.klu,
        "Python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "cores": os.cpu_count(),
        "processor": model,
    }


def machine_line(settings: Settings, repeated: str = "") -> str:
    """The machine and how often something was measured, in one sentence."""
    m = machine()
    packages = ", ".join(f"{name} {m[name]}" for name in _PACKAGES)
    return (
        f"ngspice {m['ngspice']}{' with KLU' if m['KLU'] else ''}, Python {m['Python']}, {packages}; "
        f"{m['cores']} cores, {m['processor']}; {repeated or f'median of {settings.rounds} rounds'}."
    )


def timed(work: Callable[[], Any]) -> float:
    """Wall time of one call [s]."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(
    cases: Mapping[str, Callable[[], Any]], rounds: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Wall times [s] of every case, one a round; a round runs all of them, one after the other."""
    for _ in range(warm_up):
        for work in cases.values():
            work()
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, work in cases.items():
            found[name].append(timed(work))
    return found


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Median over the rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def median(values: Sequence[float]) -> float:
    """Median over the rounds."""
    return float(statistics.median(values))


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """The exponent of a power law through times, by least squares in the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def update_page(page: Path, tables: Sequence[Table], line: Callable[[str], str]) -> list[str]:
    """Put tables between their markers on a page.

    Args:
        page: a Markdown file with `<!-- benchmark NAME -->` and `<!-- end of NAME -->` around each place.
        tables: what to put there.
        line: what stands below each, the machine and how often it was measured; takes the table's own words.

    Returns:
        The names of tables that the page has no place for.
    """
    text = page.read_text(encoding="utf-8")
    missing = []
    for table in tables:
        begin, end = _BEGIN.format(table.name), _END.format(table.name)
        first, last = text.find(begin), text.find(end)
        if first < 0 or last < first:
            missing.append(table.name)
            continue
        text = f"{text[: first + len(begin)]}\n{table.markdown()}\n\n{line(table.repeated)}\n{text[last:]}"
    page.write_text(text, encoding="utf-8")
    return missing


def as_json(tables: Sequence[Table], settings: Settings) -> dict[str, Any]:
    """Tables, machine and settings as plain data."""
    return {
        "machine": machine(),
        "rounds": settings.rounds,
        "full": settings.full,
        "tables": {t.name: [dict(row) for row in t.rows] for t in tables},
    }


def parser(document: str | None) -> argparse.ArgumentParser:
    """The arguments of every benchmark."""
    made = argparse.ArgumentParser(description=(document or "A benchmark.").splitlines()[0])
    made.add_argument("--full", action="store_true", help="all sizes, which takes minutes")
    made.add_argument("--rounds", type=int, default=5, help="rounds of every measurement")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the results there; - prints them")
    made.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    return made


def command(
    document: str | None,
    tables: Callable[[Settings], Sequence[Table]],
    extend: Callable[[argparse.ArgumentParser], None] = lambda _: None,
) -> None:
    """Run a benchmark as a command.

    Args:
        document: its docstring.
        tables: measures.
        extend: adds the module's own arguments.
    """
    made = parser(document)
    extend(made)
    given = vars(made.parse_args())
    own = {k: v for k, v in given.items() if k not in _STANDARD}
    settings = Settings(given["full"], given["rounds"], own)
    found = [replace(t, repeated=t.repeated or given.get("repeated", "")) for t in tables(settings)]
    finish(found, settings, given["json"], given["write"])


def defaults(extend: Callable[[argparse.ArgumentParser], None]) -> dict[str, Any]:
    """A module's own arguments where none is given."""
    made = parser(None)
    extend(made)
    return {k: v for k, v in vars(made.parse_args([])).items() if k not in _STANDARD}


def finish(tables: Sequence[Table], settings: Settings, target: Path | None, write: bool) -> None:
    """Print tables, and put them where they were asked for."""
    if target is not None and str(target) == "-":
        print(json.dumps(as_json(tables, settings), indent=1))
        return
    for table in tables:
        print(f"\n{table.markdown()}\n\n{machine_line(settings, table.repeated)}", flush=True)
    if target is not None:
        target.write_text(json.dumps(as_json(tables, settings), indent=1) + "\n", encoding="utf-8")
    if write:
        for name in update_page(PAGE, tables, partial(machine_line, settings)):
            print(f"\n{PAGE.name} has no place for {name!r}")


def plain(table: Table) -> dict[str, Any]:
    """A table as plain data."""
    return asdict(table)
