"""Keys that would have no effect are refused by their line, and what a run writes can be read again."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bridge.errors import SpecError
from bridge.experiment.source import apply_overrides, load_yaml, validate
from bridge.experiment.spec import ExperimentSpec

BARE = """
name: bare
circuit: {topology: layered, hidden: [2]}
data: {source: xor}
loss: {kind: mse}
training: {epochs: 1, optimizer: {learning_rate: 0.1}}
"""
MEMRISTOR = "circuit.synapse={kind: memristor}"


def read(folder: Path, *overrides: str) -> ExperimentSpec:
    file = folder / "bare.yaml"
    file.write_text(BARE, encoding="utf-8")
    return validate(ExperimentSpec, apply_overrides(load_yaml(file), overrides))


@pytest.mark.parametrize(
    ("key", "flags"),
    [
        ("training.programming.lines", ["training.programming={kind: ideal, lines: half}"]),
        ("training.programming.tolerance", ["training.programming={kind: ideal, tolerance: 0.02}"]),
        ("training.programming.longest", ["training.programming={longest: 1s}"]),
        ("training.programming.cell", ["training.programming={cell: 1t1r}"]),
        ("training.programming.max_rounds", ["training.programming={kind: open_loop, max_rounds: 3}"]),
        ("training.programming.wire_resistance",
         ["training.programming={kind: write_verify, wire_resistance: 1}"]),
        ("circuit.synapse.model", ["circuit.synapse={kind: resistor, model: yakopcic}"]),
        ("circuit.synapse.fidelity", ["circuit.synapse={kind: resistor, fidelity: static}"]),
        ("circuit.synapse.conductance", ["circuit.synapse={conductance: {lower: 1uS}}"]),
        ("circuit.synapse.state", ["circuit.synapse={kind: memristor, conductance: {}, state: {}}"]),
        ("circuit.synapse.parameters.x0", ["circuit.synapse={kind: memristor, parameters: {x0: 0.2}}"]),
        ("circuit.conductance", [MEMRISTOR, "circuit.conductance={lower: 1uS}"]),
        ("circuit.conductance",
         ["circuit={topology: graph, nodes: 6, synapse: {kind: memristor}, conductance: {}}"]),
    ],
)  # fmt: skip
def test_a_key_without_effect_is_named(tmp_path: Path, key: str, flags: list[str]) -> None:
    with pytest.raises(SpecError, match="has no effect") as caught:
        read(tmp_path, *flags)
    assert f": {key}: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_its_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bare.yaml"
    file.write_text(
        BARE.replace(
            "{epochs: 1", "\n  programming:\n    kind: ideal\n    lines: half\n  epochs: 1\n"
        ).replace(", optimizer: {learning_rate: 0.1}}", "  optimizer: {learning_rate: 0.1}"),
        encoding="utf-8",
    )
    line = file.read_text(encoding="utf-8").splitlines().index("    lines: half") + 1
    with pytest.raises(SpecError, match=f"bare.yaml:{line}: training.programming.lines: has no effect"):
        validate(ExperimentSpec, load_yaml(file))


@pytest.mark.parametrize(
    "flags",
    [
        [],
        [MEMRISTOR, "training.programming={kind: open_loop}"],
        ["circuit.synapse={kind: memristor, conductance: {lower: 1nS, initial_lower: 1nS, "
         "initial_upper: 2nS, upper: 2nS}}"],
        [MEMRISTOR, "training.programming={kind: write_verify, lines: half, cell: {kind: selector}}"],
    ],
)  # fmt: skip
def test_what_is_written_can_be_read(tmp_path: Path, flags: list[str]) -> None:
    spec = read(tmp_path, *flags)
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(spec.model_dump(mode="json")), encoding="utf-8")
    assert validate(ExperimentSpec, load_yaml(again)) == spec
