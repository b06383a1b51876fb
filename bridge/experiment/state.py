"""The state of a training run between two epochs: all that a resumed run needs."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from bridge.errors import SpecError
from bridge.experiment.store import write_npz_atomic

FloatArray = NDArray[np.float64]

_OPTIMIZER, _DEVICES = "optimizer/", "devices/"


@dataclass
class TrainingState:
    """Where a run stands.

    Attributes:
        epoch: epochs finished.
        initial: parameters before training, `(n_trainable,)`.
        parameters: parameters now, `(n_trainable,)`.
        optimizer: the optimizer's own arrays.
        batches: state of the generator that orders the samples.
        history: one row of metrics for every epoch, the first one before training.
        usage: simulations and times so far.
        best: best value of the early stop's metric so far.
        waited: evaluations since that value.
        stopped: why training ended, empty while it goes on.
        devices: arrays of the devices that updates are written into; empty where there are none.
    """

    epoch: int
    initial: FloatArray
    parameters: FloatArray
    optimizer: dict[str, Any]
    batches: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)
    usage: dict[str, Any] = field(default_factory=dict)
    best: float | None = None
    waited: int = 0
    stopped: str = ""
    devices: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write everything into one file, atomically."""
        words = {
            "epoch": self.epoch,
            "batches": self.batches,
            "history": self.history,
            "usage": self.usage,
            "best": self.best,
            "waited": self.waited,
            "stopped": self.stopped,
        }
        arrays = {f"{_OPTIMIZER}{k}": np.asarray(v) for k, v in self.optimizer.items()}
        arrays |= {f"{_DEVICES}{k}": np.asarray(v) for k, v in self.devices.items()}
        write_npz_atomic(
            path,
            initial=self.initial,
            parameters=self.parameters,
            state=np.frombuffer(json.dumps(words).encode(), dtype=np.uint8),
            **arrays,
        )

    @classmethod
    def load(cls, path: Path, n_parameters: int) -> TrainingState:
        """Read what `save` wrote.

        Raises:
            SpecError: the file is not a checkpoint of this network.
        """
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as data:
                words = json.loads(data["state"].tobytes().decode())
                optimizer = {
                    k.removeprefix(_OPTIMIZER): data[k] for k in data.files if k.startswith(_OPTIMIZER)
                }
                devices = {k.removeprefix(_DEVICES): data[k] for k in data.files if k.startswith(_DEVICES)}
                state = cls(
                    initial=data["initial"],
                    parameters=data["parameters"],
                    optimizer=optimizer,
                    devices=devices,
                    **words,
                )
        except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile) as error:
            raise SpecError(f"{path}: not a checkpoint that can be resumed ({error})") from error
        if state.parameters.shape != (n_parameters,):
            raise SpecError(
                f"{path}: the checkpoint has {len(state.parameters)} parameters, the network {n_parameters}"
            )
        return state
