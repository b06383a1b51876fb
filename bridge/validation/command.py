"""What the command `tellegen gradcheck` does."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.dynamics import DynamicPlan
from bridge.errors import SpecError, UnsupportedElementError
from bridge.estimators import ESTIMATORS, Estimator, estimator_type
from bridge.ngspice.library import find_library
from bridge.simulator import Simulator
from bridge.validation.gallery import run_gallery
from bridge.validation.gallery_report import summary, write_gallery
from bridge.validation.gradcheck import GradcheckResult, gradcheck
from bridge.validation.growth import gradient_growth
from bridge.validation.show import remarks, table, write_plot

_STATIC, _DYNAMIC = ("equilibrium", "adjoint"), ("adjoint", "lagrangian", "causal")
PLOT = "gradcheck.svg"


def choose(names: str | None, plan: Any) -> list[Estimator]:
    """The estimators asked for, or those that cover the network.

    Args:
        names: separated by commas; `None` for the default.
        plan: the network and how it is simulated.

    Raises:
        SpecError: an estimator that does not exist, or none that covers the network.
    """
    if names is not None:
        asked = list(dict.fromkeys(n.strip() for n in names.split(",") if n.strip()))
        unknown = [n for n in asked if n not in ESTIMATORS]
        if unknown or not asked:
            raise SpecError(
                f"--estimators {names}: {', '.join(unknown) or 'nothing'} is no estimator; "
                f"choose from: {', '.join(ESTIMATORS)}"
            )
        return [estimator_type(n, isinstance(plan, DynamicPlan))() for n in asked]
    made, refused = [], ""
    for name in _DYNAMIC if isinstance(plan, DynamicPlan) else _STATIC:
        estimator = estimator_type(name, isinstance(plan, DynamicPlan))()
        try:
            estimator.check(plan)
        except UnsupportedElementError as error:
            refused = refused or str(error)
            continue
        made.append(estimator)
    if not made:
        raise SpecError(f"no estimator but finite_difference covers this network: {refused}")
    return made


def check_experiment(
    experiment: Any, names: str | None, *, as_json: bool, tolerance: float, workers: int, out: Path | None
) -> int:
    """Check an experiment's gradients, print the result and write the plot; the exit status."""
    plan, batch, loss = experiment.problem()
    estimators = choose(names, plan)
    result = gradcheck(plan, batch, loss, estimators, workers=workers, tolerance=tolerance)
    if as_json:
        if out is not None:
            write_plot(result, out / PLOT)
        print(json.dumps(result.to_json(), allow_nan=False))
    else:
        _show(result, out or Path())
    return result.exit_status


def check_growth(experiment: Any, windows: int, *, as_json: bool, workers: int) -> int:
    """Print how an experiment's gradient grows with the window, beside a truncated one if one is set."""
    plan, batch, loss = experiment.problem()
    truncation = getattr(experiment.estimator(), "truncation", None)
    with Simulator(plan, workers=workers) as simulator:
        found = gradient_growth(simulator, batch, loss, windows, truncation)
    print(json.dumps(found.to_json(), allow_nan=False) if as_json else "\n".join(found.lines()))
    return 0


def _show(result: GradcheckResult, folder: Path) -> None:
    from rich.console import Console

    Console().print(table(result))
    for line in remarks(result):
        print(line)
    print(f"plot: {write_plot(result, folder / PLOT)}")


def check_gallery(*, workers: int, out: Path | None, circuits: Sequence[Any] | None = None) -> int:
    """Measure the gallery and write its report; 1 when a circuit misses its bar."""

    def progress(title: str) -> None:
        print(title, file=sys.stderr, flush=True)

    rows = run_gallery(workers, circuits=circuits, progress=progress)
    html, text = write_gallery(rows, out or Path(), f"ngspice {find_library().version}")
    print(summary(rows))
    print(f"report: {html}")
    print(f"markdown: {text}")
    return int(not all(row.passed for row in rows))
