"""Points drawn by Optuna, each from the results of those before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bridge.errors import SpecError
from bridge.sweep.axes import Choice
from bridge.sweep.metrics import numbers

if TYPE_CHECKING:
    from bridge.sweep.plan import Plan, PlannedRun
    from bridge.sweep.runner import Outcome

_TRIES = 200  # draws a point, before the constraints are said to leave nothing

Do = Callable[["list[PlannedRun]"], "list[Outcome]"]
"""Does the runs of one point, or finds them done."""


def require() -> Any:
    """The package.

    Raises:
        SpecError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise SpecError("method optuna needs the package optuna: pip install 'tellegen[optuna]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def search(plan: Plan, do: Do) -> None:
    """Draw points one after another with Optuna's tree-structured Parzen estimator (TPE).

    The sampler is seeded and hears the same results in the same order, so a resumed sweep draws the points
    it drew before and finds their runs done. What is minimised or maximised is the mean of the metric over
    the finished runs of a point; a point without one, or that breaks a constraint, counts as failed.

    Args:
        plan: the sweep; its runs are appended to.
        do: does the runs of a point.

    Raises:
        SpecError: optuna is missing, a point is invalid, or the constraints leave nothing.
    """
    optuna = require()
    spec = plan.spec
    assert spec.samples is not None
    study = optuna.create_study(
        direction="maximize" if spec.metric.rising else "minimize",
        sampler=optuna.samplers.TPESampler(seed=spec.sampler_seed),
    )
    done: dict[str, list[Outcome]] = {}
    point = draws = 0
    while point < spec.samples:
        if draws >= _TRIES * spec.samples:
            raise plan.refuse(
                ("samples",),
                f"only {point} different points were found that meet the constraints; take fewer",
            )
        draws += 1
        trial = study.ask()
        pairs = {axis.path: _suggest(trial, axis) for axis in plan.axes}
        if not plan.meets({path: choice.resolved for path, choice in pairs.items()}):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        runs = plan.point(point, {path: choice.given for path, choice in pairs.items()})
        if runs[0].id not in done:
            plan.runs.extend(runs)
            done[runs[0].id] = do(runs)
            point += 1
        values = [numbers(o.results).get(spec.metric.name) for o in done[runs[0].id] if o.results is not None]
        known = [float(v) for v in values if v is not None]
        if known:
            study.tell(trial, float(np.mean(known)))
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)


def _suggest(trial: Any, axis: Any) -> Choice:
    if axis.choices:
        choice: Choice = axis.choices[trial.suggest_categorical(axis.path, list(range(len(axis.choices))))]
        return choice
    if axis.whole:
        value: Any = trial.suggest_int(axis.path, round(axis.low), round(axis.high), log=axis.log)
    else:
        value = axis.tidy(trial.suggest_float(axis.path, axis.low, axis.high, log=axis.log))
    return Choice(value, value)
