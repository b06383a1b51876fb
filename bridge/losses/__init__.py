"""Losses on the outputs of a network: their value, their derivative and the class they decide for.

A loss sees output signals only. Where an output is a difference of two nodes, the caller has already
taken it (`v_plus - v_minus`); nothing here knows of nodes or circuits. `base.py` states the contract of
losses on one set of output voltages, `static.py` holds them, `user.py` a user's own Python function.
`waveform.py` states that of losses on transients; `classification.py`, `energy.py`, `spikes.py`,
`spike_times.py`, `combine.py` and `user_waveform.py` hold the others, `window.py` the part of the time
that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from bridge.losses.base import ClassDecision, FloatArray, Loss, LossError
from bridge.losses.classification import AveragedLoss
from bridge.losses.combine import OnOutputs, WeightedSum
from bridge.losses.energy import EnergyLoss
from bridge.losses.spike_times import SpikeTargets, SpikeTimes
from bridge.losses.spikes import VanRossum
from bridge.losses.static import CrossEntropy, MeanSquaredError
from bridge.losses.user import UserLoss
from bridge.losses.user_waveform import UserWaveformLoss
from bridge.losses.waveform import (
    TerminalLoss,
    TerminalMSE,
    WaveformClassifier,
    WaveformLoss,
    WaveformMSE,
    WaveformValue,
)
from bridge.losses.window import Window, WindowLike

__all__ = [
    "LOSSES",
    "WAVEFORM_LOSSES",
    "AveragedLoss",
    "ClassDecision",
    "CrossEntropy",
    "EnergyLoss",
    "FloatArray",
    "Loss",
    "LossError",
    "MeanSquaredError",
    "OnOutputs",
    "SpikeTargets",
    "SpikeTimes",
    "TerminalLoss",
    "TerminalMSE",
    "UserLoss",
    "UserWaveformLoss",
    "VanRossum",
    "WaveformClassifier",
    "WaveformLoss",
    "WaveformMSE",
    "WaveformValue",
    "WeightedSum",
    "Window",
    "make_loss",
    "make_waveform_loss",
]

_Made = TypeVar("_Made")

LOSSES: dict[str, Callable[..., Loss]] = {
    "mse": MeanSquaredError,
    "cross_entropy": CrossEntropy,
    "user": UserLoss,
}


def make_loss(kind: str, **options: Any) -> Loss:
    """Make the loss that an experiment names.

    Args:
        kind: `mse`, `cross_entropy` or `user`.
        **options: the loss's own arguments, such as `scale` [1/V] or `path`.

    Returns:
        The loss; it can be pickled.

    Raises:
        LossError: the kind or an option is unknown, or an option's value is out of range.
    """
    return _made(LOSSES, kind, options)


def _averaged(static: Callable[..., Loss]) -> Callable[..., WaveformLoss]:
    def make(window: WindowLike = None, taper: float = 0.0, **options: Any) -> WaveformLoss:
        return AveragedLoss(static(**options), window, taper)

    return make


def _terminal(static: Callable[..., Loss]) -> Callable[..., WaveformLoss]:
    def make(**options: Any) -> WaveformLoss:
        return TerminalLoss(static(**options))

    return make


def _sum(terms: Sequence[Mapping[str, Any]], separate_targets: bool = False) -> WaveformLoss:
    made = []
    for term in terms:
        options = dict(term)
        if "kind" not in options:
            raise LossError(f"term {options} of a sum has no kind; choose: {', '.join(WAVEFORM_LOSSES)}")
        weight = options.pop("weight", 1.0)
        made.append((weight, make_waveform_loss(options.pop("kind"), **options)))
    return WeightedSum(made, separate_targets)


WAVEFORM_LOSSES: dict[str, Callable[..., WaveformLoss]] = {
    "mse": WaveformMSE,
    "average_mse": _averaged(MeanSquaredError),
    "average_cross_entropy": _averaged(CrossEntropy),
    "terminal_mse": _terminal(MeanSquaredError),
    "terminal_cross_entropy": _terminal(CrossEntropy),
    "energy": EnergyLoss,
    "spikes": VanRossum,
    "spike_times": SpikeTimes,
    "sum": _sum,
    "user": UserWaveformLoss,
}


def make_waveform_loss(kind: str, *, outputs: Sequence[int] | None = None, **options: Any) -> WaveformLoss:
    """Make the loss on transients that an experiment names.

    Args:
        kind: a key of `WAVEFORM_LOSSES`.
        outputs: numbers of the output columns that the loss sees, from 0; all when left out.
        **options: the loss's own arguments: `window` [s] and `taper` [s], `scale` [1/V], `target_times`
            [s], `tau` [s], ... A `sum` takes `terms`, each a mapping of `kind`, `weight` (1 when left out),
            `outputs` and the loss's arguments.

    Returns:
        The loss; it can be pickled.

    Raises:
        LossError: the kind or an option is unknown, or an option's value is out of range.
    """
    loss = _made(WAVEFORM_LOSSES, kind, options)
    return loss if outputs is None else OnOutputs(loss, outputs)


def _made(kinds: Mapping[str, Callable[..., _Made]], kind: str, options: Mapping[str, Any]) -> _Made:
    """A loss by its kind, with errors that name it."""
    if kind not in kinds:
        raise LossError(f"unknown loss {kind!r}; choose one of: {', '.join(kinds)}")
    try:
        return kinds[kind](**options)
    except (TypeError, ValueError) as error:
        raise LossError(f"loss {kind!r}: {error}; correct the loss's options") from error
