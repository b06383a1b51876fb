"""The exactness report as markdown, which the documentation keeps, and as one self-contained HTML page."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bridge.experiment.store import write_atomic
from bridge.report.parts import Section, Table
from bridge.report.style import BLUE, INK, MUTED, ORANGE, PURPLE, log_axis, render
from bridge.report.text import number
from bridge.validation.gallery import ADJOINT_BAR, BETAS, LAGRANGIAN_BAR, Row

COMMAND = "tellegen gradcheck --gallery"
HEAD = (
    "circuit", "parameters", "adjoint", "lagrangian", "adjoint to lagrangian", "causal", "cosine of causal",
    "order in the step", "from the step-free gradient", "reference certain to", "transients",
)  # fmt: skip


def cells(row: Row) -> tuple[str, ...]:
    """A circuit's line of the table."""
    reason = ""
    count = f"{len(row.result.parameters)}"
    if row.circuit.compared:
        count += f" of {len(row.circuit.network.trainable)}"
    if row.lagrangian is None:
        reason = "not covered"
    checks = row.result.estimators
    used = (
        f"{checks[0].transients} and {checks[1].transients}"
        if checks[1].transients
        else f"{checks[0].transients}"
    )
    return (
        row.circuit.title,
        count,
        _error(row.adjoint),
        reason or _error(row.lagrangian),
        _error(row.spread),
        "" if row.causal is None else f"{row.causal[0]:.2g}",
        "" if row.causal is None else f"{row.causal[1]:.2f}".replace("-", "−"),
        f"{row.convergence.order:.2f}",
        _error(row.convergence.error),
        _error(row.result.reference.relative_error),
        used,
    )


def _error(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}".replace("e-0", "e-")


def reasons(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Why the echo does not cover a circuit: its title and the estimator's message."""
    found = []
    for row in rows:
        message = row.result.estimators[1].reason
        if message:
            found.append((row.circuit.title, message))
    return found


def summary(rows: Sequence[Row]) -> str:
    """One line: what was reached."""
    echoes = [r.lagrangian for r in rows if r.lagrangian is not None]
    worst = f"adjoint at most {max(r.adjoint for r in rows):.1e}"
    if echoes:
        worst += f", lagrangian at most {max(echoes):.1e}"
    missed = [r.circuit.title for r in rows if not r.passed]
    return worst + (f"; missed by: {', '.join(missed)}" if missed else "; every circuit passes")


def how(rows: Sequence[Row], simulator: str) -> list[str]:
    """What was measured, paragraph by paragraph."""
    betas = ", ".join(f"{b:g}" for b in BETAS)
    steps = rows[0].steps if rows else 0
    return [
        f"Transients of {steps:,} steps in {simulator}. Errors are relative, `||g - r|| / ||r||`, of "
        "gradients with respect to the logarithms of the parameters, because one circuit's parameters have "
        "different units. The reference `r` is central finite differences at two steps of the parameters; "
        "the column *reference certain to* is how well they agree.",
        f"*adjoint* is to stay below {ADJOINT_BAR:g}, *lagrangian* below {LAGRANGIAN_BAR:g} at every nudge "
        f"(relative_beta {betas}; the table has the largest error), and *adjoint to lagrangian* is their "
        "distance from each other. *causal* is the naive estimate from nudging as time goes forward, on the "
        "conductances alone; it claims nothing and is shown for comparison. *order in the step* compares the "
        "adjoint gradient at the step h, h/2 and h/4; *from the step-free gradient* is the distance of the "
        "one at h from their Richardson extrapolation. *transients* counts those of the adjoint and of one "
        "echo estimate, whatever the number of parameters.",
    ]


def markdown(rows: Sequence[Row], simulator: str) -> str:
    """The report as the page that the documentation keeps."""
    lines = [
        "# Gradients against finite differences", "",
        f"This page is the output of `{COMMAND}`; do not edit it.", "",
        f"**{summary(rows)}.**", "",
    ]  # fmt: skip
    for paragraph in how(rows, simulator):
        lines += [paragraph, ""]
    lines += [_line(HEAD), _line(["---"] + ["---:"] * (len(HEAD) - 1))]
    lines += [_line(cells(row)) for row in rows]
    lines += [
        "",
        "## Where the echo ends",
        "",
        "The estimator `lagrangian` refuses these, with this message:",
        "",
    ]
    lines += [f"- {title}: `{message}`" for title, message in reasons(rows)]
    return "\n".join(lines) + "\n"


def _line(parts: Sequence[str]) -> str:
    return "| " + " | ".join(parts) + " |"


def page(rows: Sequence[Row], simulator: str) -> str:
    """The report as one HTML page that needs nothing else."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bridge", "report/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = [p.replace("`", "").replace("*", "") for p in how(rows, simulator)]
    passed = sum(row.passed for row in rows)
    facts = [
        ("circuits", f"{passed} of {len(rows)}", "within their bars"),
        ("adjoint", number(max(r.adjoint for r in rows), 2), "largest error"),
        ("lagrangian", number(max((r.lagrangian or 0.0 for r in rows), default=0.0), 2), "largest error"),
        ("Python", platform.python_version(), ""),
    ]
    sections = [
        Section("Errors", figure=drawing(rows), caption=text[1]),
        Section("Table", table=Table(HEAD, [cells(r) for r in rows])),
        Section("Where the echo ends", table=Table(("circuit", "reason"), reasons(rows), numeric=False)),
    ]
    return environment.get_template("report.html.j2").render(
        name="Gradients against finite differences",
        description=text[0],
        run=COMMAND,
        status="",
        facts=facts,
        sections=sections,
    )


def drawing(rows: Sequence[Row]) -> Markup:
    """All errors of all circuits, on one logarithmic axis."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = np.arange(len(rows))[::-1]
        series = (
            ("finite differences", MUTED, "|", [r.result.reference.relative_error for r in rows]),
            ("adjoint", BLUE, "o", [r.adjoint for r in rows]),
            ("lagrangian", ORANGE, "s", [r.lagrangian for r in rows]),
            ("causal", PURPLE, "x", [None if r.causal is None else r.causal[0] for r in rows]),
        )
        for label, colour, mark, values in series:
            known = [(v, p) for v, p in zip(values, places, strict=True) if v]
            if not known:
                continue
            axes.plot(*zip(*known, strict=True), mark, color=colour, markersize=5, label=label, linestyle="")
        for bar, colour in ((ADJOINT_BAR, BLUE), (LAGRANGIAN_BAR, ORANGE)):
            axes.axvline(bar, color=colour, linewidth=0.6, linestyle="--")
        log_axis(axes.xaxis, 1e-7, 1e2)
        axes.set_yticks(places, [r.circuit.title for r in rows])
        axes.set_xlabel("relative error of the gradient")
        handles, labels = axes.get_legend_handles_labels()
        handles.append(Line2D([], [], color=INK, linewidth=0.6, linestyle="--"))
        figure.legend(handles, [*labels, "largest allowed"], loc="outside upper left", ncols=5)

    return render("errors", "Errors of each estimator on each circuit", 0.9 + 0.24 * len(rows), draw)


def write_gallery(rows: Sequence[Row], folder: Path, simulator: str) -> tuple[Path, Path]:
    """Write `gradients.html` and `gradients.md` into a folder.

    Returns:
        The two paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    html, text = folder / "gradients.html", folder / "gradients.md"
    write_atomic(html, page(rows, simulator))
    write_atomic(text, markdown(rows, simulator))
    return html, text
