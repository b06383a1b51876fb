"""Writes the tables of parameters in `docs/devices.md` from the declarations of the memristive devices.

Run it as `python docs/.mkdocs/device_tables.py`; with `--check` it writes nothing and tells by its exit
status whether the page is up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from circuits.devices.memristors import MEMRISTORS, Memristor

PAGE = Path(__file__).resolve().parents[1] / "devices.md"
BEGIN, END = "<!-- begin: generated from the declarations -->", "<!-- end -->"


def table(kind: str, device: Memristor) -> Iterator[str]:
    """The section of one device: its parameters, with a column for every published set."""
    sets = {p.name: device.values(p.name) for p in device.published}
    yield f"### `{kind}` {{ #{kind.replace('_', '-')} }}"
    yield ""
    yield f"{device.description[:1].upper()}{device.description[1:]}."
    for published in device.published:
        yield f"Set `{published.name}`: {published.source}."
    yield ""
    yield f"| parameter | unit | {' | '.join(f'`{name}`' for name in sets)} | meaning |"
    yield f"|---|---|{'---:|' * len(sets)}---|"
    for parameter in device.parameters:
        values = " | ".join(f"{found[parameter.name]:.6g}" for found in sets.values())
        unit = "" if parameter.unit == "1" else parameter.unit
        yield f"| `{parameter.name}` | {unit} | {values} | {parameter.description} |"
    ends = ", ".join(
        f"`{s.name}` from {low:g} to {high:g}{'' if s.unit == '1' else ' ' + s.unit}"
        for s, (low, high) in zip(device.states, device.bounds, strict=True)
    )
    yield ""
    yield f"States: {ends}. Read at {device.read_voltage:g} V."
    yield ""


def page(old: str) -> str:
    """The page with new tables between its two marks."""
    before, _, rest = old.partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = [line for kind, device in MEMRISTORS.items() for line in table(kind, device)]
    return f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"{END}{after}"


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    new = page(text)
    if "--check" in sys.argv[1:]:
        sys.exit(new != text)
    PAGE.write_text(new, encoding="utf-8")
