"""The run folder: what a run leaves behind, and how it is found again."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from bridge.errors import SpecError
from bridge.experiment.build import Experiment
from bridge.experiment.state import TrainingState
from bridge.experiment.store import (
    content_hash,
    is_leftover,
    manifest,
    write_atomic,
    write_json_atomic,
    write_npz_atomic,
    write_parquet_atomic,
)
from circuits.network import GROUND, Network

CHECKPOINT = "checkpoint.npz"
_TABLES_EVERY = 5.0  # seconds between two writings of tables that can be made again from the checkpoint
MANIFEST = "manifest.json"
RESULTS = "results.json"


class RunFolder:
    """Paths and contents of one run's folder.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tables = 0.0

    @classmethod
    def choose(cls, experiment: Experiment, out: Path | None, resume: bool) -> RunFolder:
        """The folder for a run.

        Without `out` it is `runs/NAME-HASH` below the current folder, with a number behind it when that is
        taken; `resume` finds the newest of these.

        Raises:
            SpecError: `out` holds another run, or a run already and `resume` was not asked for.
        """
        if out is not None:
            if out.exists() and not out.is_dir():
                raise SpecError(f"--out {out}: there is a file of that name; give a folder")
            known = cls(out).hashes()
            if known:
                if known.get("spec") != experiment.hash:
                    raise SpecError(
                        f"--out {out}: holds a run of another experiment, or of files that have changed; "
                        "give another folder"
                    )
                if not resume:
                    raise SpecError(f"--out {out}: holds a run already; add --resume or give another folder")
            elif out.is_dir() and any(p.name != ".lock" and not is_leftover(p) for p in out.iterdir()):
                raise SpecError(f"--out {out}: the folder is not empty and holds no run; give another folder")
            return cls(out)
        base = Path("runs") / f"{experiment.spec.name}-{experiment.hash[:8]}"
        newest, free = None, base
        while free.exists():
            newest = free
            number = int(free.name.removeprefix(f"{base.name}-")) if free != base else 1
            free = base.with_name(f"{base.name}-{number + 1}")
        return cls(newest if resume and newest is not None else free)

    @property
    def checkpoint(self) -> Path:
        """The file that a run resumes from."""
        return self.path / CHECKPOINT

    def hashes(self) -> dict[str, str]:
        """Hashes of spec, data and network that the folder's run began with; none where there is no run.

        Raises:
            SpecError: the manifest cannot be read.
        """
        return self._manifest("hashes")

    def versions(self) -> dict[str, str]:
        """Versions of the programs that the folder's run began with; none where there is no run.

        Raises:
            SpecError: the manifest cannot be read.
        """
        return self._manifest("versions")

    def _manifest(self, part: str) -> dict[str, str]:
        file = self.path / MANIFEST
        if not file.exists():
            return {}
        try:
            return {str(k): str(v) for k, v in json.loads(file.read_text(encoding="utf-8"))[part].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SpecError(f"{file}: not a run's manifest; give another folder") from error

    def results(self) -> dict[str, Any] | None:
        """The final summary, or `None` while the run is unfinished, also where the file is damaged."""
        try:
            content = json.loads((self.path / RESULTS).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return content if is_summary(content) else None

    def begin(
        self, experiment: Experiment, network: Network, ngspice: str, data: Sequence[Any], workers: int
    ) -> None:
        """Write what is known before the first epoch.

        Args:
            experiment: the validated file.
            network: what is built.
            ngspice: version of the simulator.
            data: the arrays that are learned and judged from.
            workers: simulator processes.

        Raises:
            SpecError: the folder's run began with other data, or another network.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        hashes = {
            "spec": experiment.hash,
            "data": content_hash([np.asarray(a).tolist() for a in data]),
            "network": content_hash({k: v for k, v in describe(network).items() if k != "name"}),
        }
        known, began = self.hashes(), self.versions()
        changed = [name for name in hashes if name in known and known[name] != hashes[name]]
        if changed:
            what = " and ".join(changed)
            raise SpecError(f"{self.path}: the {what} changed since this run began; give another folder")
        content = manifest(
            ngspice=ngspice,
            seed=experiment.spec.seed,
            hashes=hashes,
            name=experiment.spec.name,
            workers=workers,
        )
        refuse_mixture(f"{self.path}: this run", began, content["versions"])
        # The manifest goes first: it is what makes the folder one that `--resume` accepts.
        write_json_atomic(self.path / MANIFEST, content)
        spec = experiment.spec.model_dump(mode="json")
        write_atomic(self.path / "spec.yaml", yaml.safe_dump(spec, sort_keys=False))
        write_json_atomic(self.path / "network.json", describe(network))

    def save_epoch(self, state: TrainingState, network: Network) -> None:
        """Write the checkpoint of an epoch, and now and then the tables that follow from it."""
        folder = self.path / "checkpoints"
        folder.mkdir(exist_ok=True)
        write_npz_atomic(folder / f"epoch_{state.epoch:04d}.npz", parameters=state.parameters)
        state.save(self.checkpoint)
        if time.monotonic() - self._tables > _TABLES_EVERY:
            self.save_tables(state, network)
            self._tables = time.monotonic()

    def save_tables(self, state: TrainingState, network: Network) -> None:
        """Write the metrics of all epochs and the parameters before and after."""
        write_parquet_atomic(self.path / "metrics.parquet", pd.DataFrame(state.history))
        write_parquet_atomic(self.path / "parameters.parquet", parameter_table(network, state))

    def log(self, text: str) -> None:
        """Append a line with the time to the run's log."""
        stamp = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        with (self.path / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{stamp} {text}\n")


def is_summary(content: Any) -> bool:
    """Whether data are those of a whole `results.json`."""
    return isinstance(content, dict) and {"test_loss", "epochs"} <= content.keys()


def refuse_mixture(what: str, began: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse to go on with other versions of what decides results.

    Args:
        what: what is continued, with its folder, for the message.
        began: versions that it began with; empty if it has not begun.
        now: the present versions.

    Raises:
        SpecError: Tellegen or ngspice has another version.
    """
    for program in ("tellegen", "ngspice"):
        if program in began and program in now and began[program] != now[program]:
            raise SpecError(
                f"{what} began with {program} {began[program]}, here is {now[program]}; "
                "continue with that version, or give another folder"
            )


def parameter_table(network: Network, state: TrainingState) -> pd.DataFrame:
    """One row a trainable parameter: names, bounds, initial and present value, and what the device has."""
    devices = [network.element(t.element).device for t in network.trainable]
    lower, upper = network.bounds
    return pd.DataFrame(
        {
            "label": [t.label for t in network.trainable],
            "element": [t.element for t in network.trainable],
            "parameter": [t.parameter for t in network.trainable],
            "unit": [
                d.parameters[d.index(t.parameter)].unit
                for d, t in zip(devices, network.trainable, strict=True)
            ],
            "group": [t.group for t in network.trainable],
            "lower": lower,
            "upper": upper,
            "initial": state.initial,
            "final": state.parameters,
            **({"device": state.devices["stored"]} if state.devices else {}),
        }
    )


def describe(network: Network) -> dict[str, Any]:
    """The network's structure as plain data, for drawings and for hashing."""
    places = {node: (x, y) for node, x, y in network.positions}
    driven = {network.element(d.source).nodes[0]: d for d in network.drives}
    outputs = {n for o in network.outputs for n in (o.plus, o.minus)}
    trainable = {t.element: t.group for t in network.trainable}

    def role(node: str) -> str:
        if node in driven:
            return "bias" if driven[node].feature is None else "input"
        if node in outputs:
            return "output"
        return "hidden" if node in places or not places else "internal"

    nodes = [
        {"name": n, "x": places.get(n, (None, None))[0], "y": places.get(n, (None, None))[1], "role": role(n)}
        for n in network.nodes
    ]
    elements = [
        {
            "name": e.name,
            "kind": e.device.kind,
            "nodes": list(e.nodes),
            "group": trainable.get(e.name, ""),
            "trainable": e.name in trainable,
        }
        for e in network.elements
    ]
    pairs = [[o.plus, o.minus] for o in network.outputs]
    return {"name": network.name, "ground": GROUND, "nodes": nodes, "elements": elements, "outputs": pairs}


def confusion(
    predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: Sequence[str]
) -> dict[str, Any]:
    """Confusion matrix: rows are the true classes, columns the predicted ones."""
    matrix = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(matrix, (labels, predicted), 1)
    return {"classes": list(classes), "matrix": matrix.tolist()}
