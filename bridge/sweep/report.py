"""The report of a sweep: one HTML page that stands alone."""

from __future__ import annotations

from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from bridge.report.parts import Section, Table
from bridge.report.text import DASH, count, duration, known, number
from bridge.sweep import figures
from bridge.sweep.results import Sweep

_ROWS = 15  # of the table of best points, and
_FAILURES = 50  # of failures; the rest is in the table of results


def page(sweep: Sweep) -> str:
    """The report as HTML.

    Args:
        sweep: read from its folder.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bridge", "report/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made = [*_figures(sweep), _points(sweep), _failures(sweep), _about(sweep)]
    missing = int(sweep.plan["planned"]) - sweep.count("finished") - sweep.count("failed")
    return environment.get_template("report.html.j2").render(
        name=sweep.plan["name"],
        description=sweep.plan["description"],
        kind="sweep",
        run=sweep.path.resolve().name,
        status=f"unfinished: {missing} of {sweep.plan['planned']} runs are missing" if missing else "",
        facts=_facts(sweep),
        sections=[section for section in made if section is not None],
    )


def _facts(sweep: Sweep) -> list[tuple[str, str, str]]:
    best = sweep.best()
    table = sweep.table
    facts = [
        (f"best {sweep.metric}", DASH if best is None else number(best[sweep.metric]), ""),
        ("runs finished", count(sweep.count("finished")), f"of {count(sweep.plan['planned'])}"),
        ("runs failed", count(sweep.count("failed")), ""),
        ("points", count(table["point"].nunique()), ""),
        ("seeds a point", count(table["seed"].nunique()), ""),
        ("time of all runs", duration(float(table["seconds"].sum())), ""),
    ]
    if best is not None:
        link = Markup('<a href="{}">{}</a>').format(f"{best['folder']}/report.html", best["run"][:8])
        facts.insert(1, ("best run", link, f"seed {best['seed']}"))
    return facts


def _figures(sweep: Sweep) -> list[Section]:
    points = sweep.points()
    scales = figures.scales(sweep.plan, points)
    if len(points) < 2 or not scales:
        return []
    metric, rising = sweep.metric, bool(sweep.plan["rising"])
    words = "Mean over the seeds"
    if (points["n"] > 1).any():
        words += ", with its 95 % confidence interval (Student's t)"
    words += "."
    if any(figures.crowded(points, s, [o for o in scales if o is not s]) for s in scales):
        words += " Dots are the points of the sweep; a line goes through the best point of each value."
    made = [Section(f"{metric} against each key", figures.against(points, scales, metric, rising), words)]
    if len(scales) == 2:
        words = "Mean over the seeds for each pair of values."
        made.append(Section("Both keys", figures.heat_map(points, scales, metric, rising), words))
    elif len(scales) > 2:
        words = (
            "A line is a point of the sweep, its colour the mean over the seeds; the best lines lie on top."
        )
        made.append(Section("All keys", figures.parallel(points, scales, metric, rising), words))
    return made


def _points(sweep: Sweep) -> Section | None:
    points = sweep.points()
    if points.empty:
        return None
    rising = bool(sweep.plan["rising"])
    ordered = points.sort_values("mean", ascending=not rising, kind="stable").head(_ROWS)
    half = figures.half_width(ordered["deviation"].to_numpy(dtype=float), ordered["n"].to_numpy(dtype=float))
    rows = []
    finished = sweep.table[sweep.table["status"] == "finished"]
    for (_, point), interval in zip(ordered.iterrows(), half, strict=True):
        own = finished[finished["point"] == point["point"]].dropna(subset=[sweep.metric])
        one = own.iloc[int(own[sweep.metric].argmax() if rising else own[sweep.metric].argmin())]
        rows.append(
            (
                _shown(point[sweep.parameters[0]]),
                *(_shown(point[p]) for p in sweep.parameters[1:]),
                number(point["mean"]),
                "" if np.isnan(interval) else f"± {number(interval, 2)}",
                count(point["n"]),
                number(one[sweep.metric]),
                _link(sweep, one),
            )
        )
    head = (*sweep.parameters, f"mean {sweep.metric}", "95 %", "seeds", "best seed", "its run")
    caption = (
        f"The best {len(rows)} of {len(points)} points. All runs are in results.csv and results.parquet."
    )
    return Section("Best points", caption=caption, table=Table(head, rows))


def _link(sweep: Sweep, row: pd.Series) -> str:
    if (sweep.path / str(row["folder"]) / "report.html").exists():
        return Markup('<a href="{}">{}</a>').format(f"{row['folder']}/report.html", row["run"][:8])
    return str(escape(row["run"][:8]))


def _failures(sweep: Sweep) -> Section | None:
    failed = sweep.table[sweep.table["status"] == "failed"]
    if failed.empty:
        return None
    rows = [
        (
            str(row["run"][:8]),
            ", ".join([*(f"{p} = {_shown(row[p])}" for p in sweep.parameters), f"seed {row['seed']}"]),
            str(row["error"]),
        )
        for _, row in failed.head(_FAILURES).iterrows()
    ]
    caption = f"{len(failed)} run{'s' * (len(failed) > 1)} failed" + (
        f"; the first {_FAILURES}." if len(failed) > _FAILURES else "."
    )
    return Section("Failures", caption=caption, table=Table(("run", "keys", "error"), rows, numeric=False))


def _about(sweep: Sweep) -> Section:
    plan, table = sweep.plan, sweep.table
    rows = [
        ("experiment", str(plan["base"])),
        ("method", str(plan["method"])),
        ("metric", f"{sweep.metric}, {'more' if plan['rising'] else 'less'} is better"),
        ("seeds", " ".join(map(str, sorted(table["seed"].unique())))),
    ]
    rows += [("constraint", str(text)) for text in plan["constraints"]]
    for path in sweep.parameters:
        values = list(dict.fromkeys(_shown(v) for v in table[path].sort_values()))
        shown = (
            " ".join(values)
            if len(values) <= 12
            else f"{len(values)} values from {values[0]} to {values[-1]}"
        )
        rows.append((path, shown))
    if table["repeat"].max() > 0:
        bad = sweep.unequal()
        rows.append(("repetitions", "came to the same" if not bad else f"differ: {' '.join(bad)}"))
    return Section("Sweep", table=Table((), rows, numeric=False))


def _shown(value: Any) -> str:
    return number(value) if known(value) and not isinstance(value, bool | np.bool_) else str(value)
