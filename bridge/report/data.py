"""What a run folder holds, read into plain objects; parts that are not there are `None`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import yaml

from bridge.errors import TellegenError

T = TypeVar("T")
_LOG_LINES = 30


@dataclass(frozen=True)
class Node:
    """A node of the network: its place in a drawing (no unit, may be unknown) and its role."""

    name: str
    x: float | None
    y: float | None
    role: str


@dataclass(frozen=True)
class Link:
    """An element of the network, without its values."""

    name: str
    kind: str
    nodes: tuple[str, ...]
    group: str
    trainable: bool

    @property
    def ends(self) -> tuple[str, ...]:
        """The two nodes between which a drawing shows it."""
        return self.nodes[:3:2] if self.kind == "amplifier" else self.nodes[:2]


@dataclass(frozen=True)
class Wiring:
    """What is connected to what; `outputs` are pairs of nodes, plus and minus."""

    name: str
    nodes: tuple[Node, ...]
    elements: tuple[Link, ...]
    outputs: tuple[tuple[str, str], ...]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Wiring:
        """Read the content of `network.json`."""
        return cls(
            name=str(content["name"]),
            nodes=tuple(Node(str(n["name"]), n["x"], n["y"], str(n["role"])) for n in content["nodes"]),
            elements=tuple(
                Link(e["name"], e["kind"], tuple(map(str, e["nodes"])), e["group"] or "", e["trainable"])
                for e in content["elements"]
            ),
            outputs=tuple((str(plus), str(minus)) for plus, minus in content["outputs"]),
        )

    @property
    def roles(self) -> dict[str, str]:
        """Role of each node."""
        return {node.name: node.role for node in self.nodes}


@dataclass(frozen=True)
class RunData:
    """The content of a run folder.

    Attributes:
        folder: the folder.
        spec: the resolved experiment.
        spec_text: the same as written.
        manifest: versions, seed, hashes, command.
        results: the final summary; `None` for a run that has not finished.
        metrics: one row an epoch.
        parameters: one row a trainable parameter.
        wiring: the network.
        sample: one test sample: features, target, outputs, nudge.
        voltages: that sample's node voltages [V] in three operating points, one row a node.
        waveforms: that sample's node voltages [V] in three transients, one row a time point.
        confusion: classes and matrix of the test split.
        writes: one row a write by pulses.
        robustness: one row a chip that the learned network was judged on.
        netlists: names of the netlists.
        log: the last lines of the log.
    """

    folder: Path
    spec: Mapping[str, Any]
    spec_text: str
    manifest: Mapping[str, Any]
    results: Mapping[str, Any] | None
    metrics: pd.DataFrame | None
    parameters: pd.DataFrame | None
    wiring: Wiring | None
    sample: Mapping[str, Any] | None
    voltages: pd.DataFrame | None
    waveforms: pd.DataFrame | None
    confusion: Mapping[str, Any] | None
    writes: pd.DataFrame | None
    robustness: pd.DataFrame | None
    netlists: tuple[str, ...]
    log: str

    @property
    def name(self) -> str:
        """The experiment's name."""
        return str(self.spec.get("name") or self.folder.name)

    @property
    def loss(self) -> str:
        """The kind of the loss; empty if unknown."""
        return str((self.spec.get("loss") or {}).get("kind") or "")

    @property
    def workers(self) -> int:
        """Number of simulator processes, whose times inside ngspice add up."""
        engine = self.spec.get("engine") or {}
        return int(self.manifest.get("workers") or engine.get("workers") or 1)

    @property
    def last_epoch(self) -> int | None:
        """The last epoch recorded."""
        return None if self.metrics is None else int(self.metrics["epoch"].iloc[-1])


def load(folder: Path) -> RunData:
    """Read a run folder.

    Args:
        folder: the run folder; `spec.yaml` has to be there, everything else may be missing.

    Raises:
        TellegenError: no such folder, no `spec.yaml`, or a file that cannot be read.
    """
    if not (folder / "spec.yaml").is_file():
        raise TellegenError(f"{folder}: no spec.yaml here; give the folder of a run")
    spec_text = (folder / "spec.yaml").read_text(encoding="utf-8")
    log = _read(folder / "log.txt", lambda path: path.read_text(encoding="utf-8", errors="replace"))
    return RunData(
        folder=folder,
        spec=_read(folder / "spec.yaml", lambda path: _mapping(yaml.safe_load(spec_text))) or {},
        spec_text=spec_text,
        manifest=_read(folder / "manifest.json", _json) or {},
        results=_read(folder / "results.json", _json),
        metrics=_read(folder / "metrics.parquet", _frame),
        parameters=_read(folder / "parameters.parquet", _frame),
        wiring=_read(folder / "network.json", lambda path: Wiring.from_json(_json(path))),
        sample=_read(folder / "sample.json", _json),
        voltages=_read(folder / "sample.parquet", _frame),
        waveforms=_read(folder / "waveforms.parquet", _frame),
        confusion=_read(folder / "confusion.json", _json),
        writes=_read(folder / "writes.parquet", _frame),
        robustness=_read(folder / "robustness.parquet", _frame),
        netlists=tuple(sorted(path.name for path in (folder / "netlists").glob("*"))),
        log="\n".join((log or "").splitlines()[-_LOG_LINES:]),
    )


def _read(path: Path, reader: Callable[[Path], T | None]) -> T | None:
    """Read a file that may be missing; whatever goes wrong names the file."""
    if not path.is_file():
        return None
    try:
        return reader(path)
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise TellegenError(
            f"{path}: cannot be read for the report ({type(error).__name__}: {error}); "
            "move the file away to leave its section out"
        ) from error


def _json(path: Path) -> Mapping[str, Any]:
    return _mapping(json.loads(path.read_text(encoding="utf-8")))


def _mapping(content: object) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise TypeError("expected a mapping")
    return content


def _frame(path: Path) -> pd.DataFrame | None:
    frame = pd.read_parquet(path)
    return None if frame.empty else frame.reset_index(drop=True)
