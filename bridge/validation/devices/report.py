"""A device's report as HTML, in the look of the run reports, and as markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jinja2

from bridge.experiment.store import write_atomic
from bridge.report.text import duration, number
from bridge.validation.devices.content import Code, Drawing, Formula, Grid, Outcome, Text
from bridge.validation.devices.specification import Specification

HEAD = ("quantity", "minimum", "typical", "measured", "maximum", "unit", "verdict", "meaning")


def file_name(device: str) -> str:
    """The name of a device's files, without ending."""
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in device)


def _limit(value: float | None) -> str:
    return "" if value is None else number(value, 4)


def row(entry: Specification) -> tuple[str, ...]:
    """A specification's line of the table."""
    limit = entry.limit
    return (
        entry.name,
        _limit(limit.minimum),
        _limit(limit.typical),
        "not measured" if entry.value is None else number(entry.value, 4),
        _limit(limit.maximum),
        "" if limit.unit == "1" else limit.unit,
        "pass" if entry.passed else "FAIL",
        limit.meaning,
    )


def verdict(outcome: Outcome) -> str:
    """What failed, in words; empty where nothing did."""
    missed = [s.name for s in outcome.specifications if not s.passed]
    return (
        f"{len(missed)} of {len(outcome.specifications)} specifications fail: {', '.join(missed)}"
        if missed
        else ""
    )


def page(outcome: Outcome, simulator: str) -> str:
    """The report as one HTML page that needs nothing else."""
    passed = sum(s.passed for s in outcome.specifications)
    facts = [
        ("specifications", f"{passed} of {len(outcome.specifications)}", "hold"),
        ("simulator", simulator, ""),
        ("time", duration(outcome.seconds), ""),
    ]
    return (
        _environment()
        .get_template("device.html.j2")
        .render(
            name=outcome.title,
            description=outcome.description,
            run=f"tellegen validate {outcome.asked or outcome.device}",
            status="",
            failure=verdict(outcome),
            facts=facts,
            head=HEAD,
            rows=[(row(s), s.passed) for s in outcome.specifications],
            parts=[(s.title, [(type(b).__name__, b) for b in s.blocks]) for s in outcome.sections],
            sections=[],
        )
    )


def index(outcomes: Sequence[Outcome], simulator: str) -> str:
    """The page that lists all devices."""
    rows = [
        (o.title, file_name(o.device) + ".html", o.passed, verdict(o) or "all specifications hold",
         f"{sum(s.passed for s in o.specifications)} of {len(o.specifications)}", duration(o.seconds))
        for o in outcomes
    ]  # fmt: skip
    facts = [
        ("devices", f"{sum(o.passed for o in outcomes)} of {len(outcomes)}", "pass"),
        ("simulator", simulator, ""),
        ("time", duration(sum(o.seconds for o in outcomes)), "of all workers"),
    ]
    return (
        _environment()
        .get_template("devices.html.j2")
        .render(
            name="Validation of the devices",
            description="Every shipped device against references that do not share the simulator.",
            run="tellegen validate --all",
            status="",
            facts=facts,
            devices=rows,
            sections=[],
        )
    )


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("bridge", "report/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def markdown(outcome: Outcome, simulator: str) -> str:
    """The report as markdown, without its figures."""
    lines = [
        f"# {outcome.title}", "", outcome.description, "",
        f"`tellegen validate {outcome.asked or outcome.device}`, {simulator}: "
        f"**{verdict(outcome) or 'all specifications hold'}.**", "",
        *_table(HEAD, [row(s) for s in outcome.specifications]), "",
    ]  # fmt: skip
    for section in outcome.sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            if isinstance(block, Text):
                lines += [block.words, ""]
            elif isinstance(block, Formula):
                lines += [f"$$ {block.latex} $$", ""]
            elif isinstance(block, Code):
                lines += [f"```{block.language}", block.text.rstrip(), "```", ""]
            elif isinstance(block, Grid):
                lines += [*_table(block.head, block.rows), ""]
            elif isinstance(block, Drawing):
                lines += [f"*Figure, in the HTML report: {block.caption}*", ""]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    written = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(c.replace("|", "\\|") for c in r) + " |" for r in written]


def write(outcome: Outcome, folder: Path, simulator: str) -> Path:
    """Write the HTML and the markdown report; the path of the former."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{file_name(outcome.device)}.html"
    write_atomic(target, page(outcome, simulator))
    write_atomic(target.with_suffix(".md"), markdown(outcome, simulator))
    return target


def write_index(outcomes: Sequence[Outcome], folder: Path, simulator: str) -> Path:
    """Write `index.html` with a line for each device."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "index.html"
    write_atomic(target, index(outcomes, simulator))
    return target
