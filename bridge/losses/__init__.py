"""Losses on the outputs of a network: their value, their derivative and the class they decide for.

A loss sees output signals only. Where an output is a difference of two nodes, the caller has already
taken it (`v_plus - v_minus`); nothing here knows of nodes or circuits. `base.py` states the contract,
`static.py` holds the losses on one set of output voltages, `user.py` a user's own Python function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.losses.base import ClassDecision, FloatArray, Loss, LossError
from bridge.losses.static import CrossEntropy, MeanSquaredError
from bridge.losses.user import UserLoss

__all__ = [
    "LOSSES",
    "ClassDecision",
    "CrossEntropy",
    "FloatArray",
    "Loss",
    "LossError",
    "MeanSquaredError",
    "UserLoss",
    "make_loss",
]

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
    if kind not in LOSSES:
        raise LossError(f"unknown loss {kind!r}; choose one of: {', '.join(LOSSES)}")
    try:
        return LOSSES[kind](**options)
    except TypeError as error:
        raise LossError(f"loss {kind!r}: {error}; correct the loss's options") from error
