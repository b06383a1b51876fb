"""Put the report together: sections of figures and tables, one HTML file, written at once or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jinja2

from bridge.experiment.store import write_atomic
from bridge.report import sections
from bridge.report.data import RunData, load
from bridge.report.outcome import recovered, spikes
from bridge.report.parts import Section
from bridge.report.programming import programming
from bridge.report.robustness import robustness
from bridge.report.sample import sample

_SECTIONS: tuple[Callable[[RunData], Section | None], ...] = (
    sections.training,
    recovered,
    spikes,
    sections.parameters,
    programming,
    sections.network,
    sample,
    sections.confusion,
    robustness,
    sections.timing,
    sections.experiment,
    sections.provenance,
)


def write_report(run: Path) -> Path:
    """Write `report.html` of a run, from nothing but the files in its folder.

    Parts of the folder that are missing leave their section out; a run that has not finished gets a
    report that says so. An existing report stays as it is if this one cannot be made.

    Args:
        run: the run folder.

    Returns:
        Path of the report.

    Raises:
        TellegenError: no run folder, or a file in it that cannot be read.
    """
    run = Path(run)
    page = _page(load(run))
    target = run / "report.html"
    write_atomic(target, page)
    return target


def _page(data: RunData) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bridge", "report/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made = [section for make in _SECTIONS if (section := make(data)) is not None]
    return environment.get_template("report.html.j2").render(
        name=data.name,
        description=str(data.spec.get("description") or ""),
        run=data.folder.resolve().name,
        status=sections.status(data),
        facts=sections.headline(data),
        sections=made,
    )
