"""A run's identity: what changes it, and what must not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bridge.errors import SpecError
from bridge.experiment.build import Experiment
from bridge.experiment.identity import _with_included
from bridge.sweep.plan import Plan

FILES = {
    "rows.csv": "a,b,label\n3,1,good\n" + "1,2,good\n2,1,bad\n" * 6,
    "losses.py": "from .unused import nothing\nimport helper\n\ndef own(o, t):\n    return helper.f(o, t)\n",
    "helper.py": "import numpy\nimport deep.inner\n\ndef f(o, t):\n    return ((o - t) ** 2).sum()\n",
    "deep/__init__.py": "",
    "deep/inner.py": "FACTOR = 2\n",
    "static.yaml": """\
        name: room
        description: comfortble
        circuit: {topology: layered, hidden: [3]}
        data: {source: csv, file: rows.csv}
        loss: {kind: user, function: "losses.py:own"}
        """,
    "deck.cir": "title\nVin in 0 0\nR1 in out 1k\nD1 out 0 dm\n.include models.inc\n.end\n",
    "models.inc": ".include more/dm.inc\n",
    "more/dm.inc": ".model dm d(is=1e-9 n=1.5)\n",
    "cards.lib": ".include more/nmos.inc\n.model pm pmos(level=1 vto=-0.4)\n",
    "more/nmos.inc": ".model nm nmos(level=1 vto=0.4)\n",
    "module.va": '`include "more/constants.vams"\n',
    "more/constants.vams": "`define P_K 1.38e-23\n",
    "signals.csv": "time,x,target:out\n0,0,0\n1e-6,1,1\n",
    "waves.yaml": """\
        name: waves
        circuit: {netlist: deck.cir, inputs: {x: Vin}, outputs: [out], trainable: [R1]}
        data: {waveforms: [signals.csv, signals.csv]}
        loss: {kind: mse}
        analysis: {kind: transient, duration: 1us, step: 1ns}
        """,
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with two experiments and all the files that they read."""
    folder = tmp_path / "project"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def ids(folder: Path, *overrides: str) -> tuple[str, str]:
    return (
        Experiment.load(folder / "static.yaml", overrides).hash,
        Experiment.load(folder / "waves.yaml", overrides).hash,
    )


@pytest.mark.parametrize(
    ("file", "old", "new", "which"),
    [
        ("rows.csv", "3,1,good", "3,1,bad ", 0),
        ("losses.py", "helper.f(o, t)", "2 * helper.f(o, t)", 0),
        ("helper.py", "** 2", "** 4", 0),
        ("deep/inner.py", "2", "3", 0),
        ("deck.cir", "1k", "2k", 1),
        ("models.inc", "more", "./more", 1),
        ("more/dm.inc", "1.5", "1.6", 1),
        ("signals.csv", "1,1", "1,2", 1),
    ],
)
def test_the_content_of_every_file_that_is_read_decides(
    file: str, old: str, new: str, which: int, project: Path
) -> None:
    before = ids(project)
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))
    after = ids(project)
    assert [a == b for a, b in zip(before, after, strict=True)] == [which != 0, which != 1]
    (project / file).write_text(text)
    assert ids(project) == before


@pytest.mark.parametrize("file", ["cards.lib", "more/nmos.inc", "module.va", "more/constants.vams"])
def test_model_cards_and_verilog_a_decide_with_what_they_include(file: str, project: Path) -> None:
    def own() -> list[list[str]]:
        return [_with_included(project / name) for name in ("cards.lib", "module.va")]

    before = own()
    text = (project / file).read_text()
    (project / file).write_text(text.replace("0.4", "0.5").replace("e-23", "e-24").replace("more", "./more"))
    assert own() != before
    (project / file).write_text(text)
    assert own() == before


def test_names_remarks_folders_and_limits_decide_nothing(project: Path, tmp_path: Path) -> None:
    before = ids(project)
    assert ids(project, "name=other", "description=comfortable") == before
    assert ids(project, "engine={workers: 2, time_limit: 7s, memory_limit: 99}") == before
    assert ids(project, "seed=3") != before
    assert ids(project, "engine.reltol=1e-5") != before
    moved = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(project, moved)
    assert ids(moved) == before
    # The same file by its whole path, and under another name.
    (moved / "rows.csv").rename(moved / "renamed.csv")
    (moved / "losses.py").rename(moved / "own.py")
    again = Experiment.load(
        moved / "static.yaml", (f"data.file={moved}/renamed.csv", f"loss.function='{moved}/own.py:own'")
    )
    assert again.hash == before[0]


def test_a_user_function_of_a_module(project: Path) -> None:
    def load() -> str:
        return Experiment.load(project / "static.yaml", ("loss.function=deep.inner:own",)).hash

    before = load()
    (project / "rows.txt").write_text("not read")
    (project / "losses.py").write_text("")
    assert load() == before
    (project / "deep" / "inner.py").write_text("FACTOR = 3\n")
    changed = load()
    assert changed != before
    (project / "deep" / "__init__.py").write_text("import numpy\n")
    assert load() not in (before, changed)


def test_a_file_that_has_gone_is_told(project: Path) -> None:
    experiment = Experiment.load(project / "static.yaml")
    (project / "rows.csv").unlink()
    with pytest.raises(SpecError, match=r"rows\.csv: cannot be read: No such file"):
        _ = experiment.hash


def test_swept_files_stand_in_the_table_as_they_are_written(project: Path, tmp_path: Path) -> None:
    (project / "more.csv").write_text(FILES["rows.csv"].replace("1", "4"))
    (project / "same.csv").write_text(FILES["rows.csv"])
    text = "base: static.yaml\nparameters:\n  data.file: {values: [rows.csv, %s]}\n  loss: {values: [mse]}\n"
    text = text.replace("[mse]", "[{kind: mse}]")
    training = "training: {epochs: 1, batch_size: 1, optimizer: {kind: sgd, learning_rate: 0.1}}\n"
    static = project / "static.yaml"
    static.write_text("\n".join(line.strip() for line in static.read_text().splitlines()) + f"\n{training}")
    (project / "sweep.yaml").write_text(text % "more.csv")
    moved = tmp_path / "moved"
    shutil.copytree(project, moved)
    plans = [Plan.load(folder / "sweep.yaml").runs for folder in (project, moved)]
    assert plans[0] == plans[1]
    assert [run.parameters["data.file"] for run in plans[0]] == ["rows.csv", "more.csv"]
    (project / "sweep.yaml").write_text(text % "same.csv")
    with pytest.raises(SpecError, match="are the same run"):
        Plan.load(project / "sweep.yaml")
