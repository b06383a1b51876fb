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
_LONGEST = 22  # letters in a cell of that table
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
    made = [
        Section(
            f"{metric} against each key",
            figures.against(points, scales, metric, rising),
            _against_words(points, scales),
        )
    ]
    if len(scales) == 2:
        words = "Mean over the seeds for each pair of values."
        made.append(Section("Both keys", figures.heat_map(points, scales, metric, rising), words))
    elif len(scales) > 2:
        words = (
            "A line is a point of the sweep, from its values to its metric (the mean over its seeds), which "
            "is also its colour; the best lines lie on top. Lines through the same value stand side by side."
        )
        made.append(Section("All keys", figures.parallel(points, scales, metric, rising), words))
    return made


def _against_words(points: pd.DataFrame, scales: list[figures.Scale]) -> str:
    """What the panels show, and what their bands are."""
    crowd = [s for s in scales if figures.crowded(points, s, [o for o in scales if o is not s])]
    seeds = bool((points["n"] > 1).any())
    words = []
    if len(crowd) < len(scales):
        where = "" if not crowd else f" for {', '.join(s.name for s in scales if s not in crowd)}"
        words.append(f"Lines and bars{where}: mean over the seeds")
        words[-1] += ", with its 95 % confidence band (Student's t)." if seeds else "; one seed has no band."
    if crowd:
        where = "" if len(crowd) == len(scales) else f" for {', '.join(s.name for s in crowd)}"
        words.append(
            f"Dots{where} are the points of the sweep{', each the mean over its seeds' if seeds else ''}. "
            "In blue their mean at each value, over all values of the other keys, with its 95 % confidence "
            "band (Student's t over the points)"
        )
        if bins := [s for s in crowd if figures.binned(points, s)]:
            words[-1] += f"; for {', '.join(s.name for s in bins)} the mean of each of several equal ranges"
        words[-1] += "; in orange the best point of each value." if len(bins) < len(crowd) else "."
    return " ".join(words)


def _points(sweep: Sweep) -> Section | None:
    points = sweep.points()
    if points.empty:
        return None
    rising = bool(sweep.plan["rising"])
    ordered = points.sort_values("mean", ascending=not rising, kind="stable").head(_ROWS)
    half = figures.half_width(ordered["deviation"].to_numpy(dtype=float), ordered["n"].to_numpy(dtype=float))
    rows = []
    units = _units(sweep)
    finished = sweep.table[sweep.table["status"] == "finished"]
    for (_, point), interval in zip(ordered.iterrows(), half, strict=True):
        own = finished[finished["point"] == point["point"]].dropna(subset=[sweep.metric])
        one = own.iloc[int(own[sweep.metric].argmax() if rising else own[sweep.metric].argmin())]
        rows.append(
            (
                *(_cell(point[p], units[p]) for p in sweep.parameters),
                number(point["mean"]),
                "" if np.isnan(interval) else f"± {number(interval, 2)}",
                count(point["n"]),
                number(one[sweep.metric]),
                _link(sweep, one),
            )
        )
    called = figures.names(sweep.parameters)
    keys = (Markup('<abbr title="{}">{}</abbr>').format(p, called[p]) for p in sweep.parameters)
    head = (*keys, f"mean {sweep.metric}", "95 %", "seeds", "best seed", "its run")
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
    units = _units(sweep)
    rows = [
        (
            str(row["run"][:8]),
            ", ".join(
                [*(f"{p} = {_shown(row[p], units[p])}" for p in sweep.parameters), f"seed {row['seed']}"]
            ),
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
    units = _units(sweep)
    for path in sweep.parameters:
        values = list(dict.fromkeys(_shown(v, units[path]) for v in table[path].sort_values()))
        shown = (
            ", ".join(values)
            if len(values) <= 12
            else f"{len(values)} values from {values[0]} to {values[-1]}"
        )
        rows.append((path, shown))
    if table["repeat"].max() > 0:
        bad = sweep.unequal()
        rows.append(("repetitions", "came to the same" if not bad else f"differ: {' '.join(bad)}"))
    return Section("Sweep", table=Table((), rows, numeric=False))


def _units(sweep: Sweep) -> dict[str, str]:
    return {axis["path"]: str(axis.get("unit", "")) for axis in sweep.plan["axes"]}


def _shown(value: Any, unit: str) -> str:
    if known(value) and not isinstance(value, bool | np.bool_):
        return figures.shown(value, unit)
    return str(value)


def _cell(value: Any, unit: str) -> str:
    """A value for a narrow column: a long one is cut, with all of it as a hint."""
    text = _shown(value, unit)
    if len(text) <= _LONGEST:
        return text
    return Markup('<abbr title="{}">{}…</abbr>').format(text, text[: _LONGEST - 1])
