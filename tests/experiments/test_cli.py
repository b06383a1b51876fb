"""The command: what it says to wrong input, and its smaller verbs."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from importlib import metadata
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from run_folders import Command, assert_same, parameters, shipped

from bridge.experiment.build import Experiment, make_batch
from bridge.experiment.record import DynamicSampleTask, StaticSampleTask
from bridge.experiment.training import run_experiment
from bridge.experiment.waves import WaveSet
from bridge.ngspice.library import find_library, library_environment
from bridge.simulator import Simulator
from circuits.network import Network

LOSSES = """\
import math

import numpy as np


def squares(outputs, target):
    error = outputs - target
    return float(np.mean(error**2)), 2 * error / len(error)


def value_only(outputs, target):
    return float(np.mean((outputs - target) ** 2))


def wrong(outputs, target):
    error = outputs - target
    return float(np.mean(error**2)), error / len(error)


def vector(outputs, target):
    return outputs - target


def raises(outputs, target):
    return outputs.voltage


def narrow(outputs, target):
    return -math.log(outputs[0] - 0.25)
"""


@pytest.fixture
def losses(tmp_path: Path) -> Path:
    """A user's file of losses beside the experiment file."""
    file = tmp_path / "losses.py"
    file.write_text(LOSSES, encoding="utf-8")
    return file


def refused(command: Command, small: Path, *flags: str) -> str:
    """The one line that refuses a run: status 2, nothing else printed, nothing written."""
    before = sorted(small.parent.rglob("*"))
    answer = command("run", small.name, "--out", "run", *(part for f in flags for part in ("-s", f)))
    assert (answer.status, answer.out) == (2, ""), answer.err
    assert sorted(p for p in small.parent.rglob("*") if "__pycache__" not in p.parts) == before
    assert answer.err.endswith("\n")
    assert len(answer.err.splitlines()) == 1
    return answer.err.rstrip("\n")


# --- wrong files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("hidden: [4]", "hiden: [4]", 6, "circuit.hiden: unknown key; did you mean 'hidden'?"),
        ("bias: 1V", "bias: 1A", 7, "circuit.bias: '1A' is in amperes (A), expected a number in volts (V)"),
        (
            "upper: 1mS,", "upper: 1M,", 9,
            "circuit.conductance.upper: '1M' is ambiguous: M is milli in SPICE and mega elsewhere; "
            "write 1Meg or 1m",
        ),
        (
            "lower: 100nS", "lower: 20uS", 9,
            "circuit.conductance: needs lower <= initial_lower <= initial_upper <= upper",
        ),
        ("hidden: [4]", "hidden: [0]", 6, "circuit.hidden.0: must be at least 1, got 0"),
        ("epochs: 3", "epochs: -1", 24, "training.epochs: must be at least 0, got -1"),
        ("epochs: 3", "epochs: many", 24, "training.epochs: expected a whole number, got 'many'"),
        ("beta: 1e-6", "beta: 0", 21, "estimator.beta: must be greater than 0, got 0"),
        (
            "kind: equilibrium", "kind: equilibrum", 20,
            "estimator.kind: expected 'equilibrium', 'finite_difference', 'adjoint', 'lagrangian', "
            "'causal', 'coupled_learning' or 'mirror_equilibrium', got 'equilibrum'; "
            "did you mean 'equilibrium'?",
        ),
        (
            "source: xor", "source: csv\n  file: rows.csv", 13,
            "data.file: file not found: rows.csv (looked in FOLDER)",
        ),
        ("source: xor", "source: csv", 11, "data: source csv needs a file, the other sources take none"),
        (
            "source: xor", "source: xor\n  label: x", 11,
            "data: label names a column of a CSV file; the other sources take none",
        ),
        (
            "batch_size: 3", "early_stop: {metric: test_loss}", 25,
            "training.early_stop: needs a target, a patience, or both",
        ),
        ("kind: mse", "kind: [mse", 18, "NOT YAML"),
        ("kind: mse", "kind: mse\n\tscale: 2", 18, "a tab is used for indentation; use spaces"),
        ("seed: 1", "seed: 1\nseed: 2", 3, "the key 'seed' is given twice, first on line 2"),
        (
            "name: small", "name: small\nepochs: 3", 2,
            "epochs: unknown key; other keys here are 'description', 'analysis', 'devices', "
            "'robustness', 'engine'",
        ),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_in_one_line(
    old: str, new: str, line: int, said: str, small: Path, command: Command
) -> None:
    text = small.read_text()
    assert text.count(old) == 1
    small.write_text(text.replace(old, new))
    if said == "NOT YAML":
        assert re.fullmatch(r"small\.yaml:\d+: .{10,}", refused(command, small))
    else:
        message = refused(command, small).replace(str(small.parent), "FOLDER")
        assert message == f"small.yaml:{line}: {said}"


def test_each_thing_that_is_wrong_has_its_line(small: Path, command: Command) -> None:
    small.write_text(small.read_text().replace("epochs: 3", "passes: 3").replace("seed: 1", "seed: one"))
    answer = command("run", small, "--out", "run")
    assert (answer.status, answer.out) == (2, "")
    lines = answer.err.splitlines()
    assert len(lines) == 3
    assert lines[0] == f"{small}:2: seed: expected a whole number, got 'one'"
    assert lines[1] == f"{small}:23: training.epochs: missing key"
    assert lines[2].startswith(f"{small}:24: training.passes: unknown key")
    assert list(small.parent.iterdir()) == [small]


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("training.epochs", "write -s key.path=value, e.g. -s training.epochs=3"),
        (
            "training.epochs=",
            "no value; write training.epochs=null or training.epochs='\"\"' if that is meant",
        ),
        ("circuit.hiden=[4]", "circuit.hiden: unknown key; did you mean 'hidden'?"),
        ("circuit.hidden=[4", "the value is not YAML"),
        ("name.first=x", "name is 'small' and has no 'first'"),
        ("circuit.hidden.3=2", "circuit.hidden is a list and has no '3'; its items are 0 to 0"),
        ("seed=-1", "seed: must be at least 0, got -1"),
    ],
)
def test_a_wrong_override_is_told_in_one_line(flag: str, said: str, small: Path, command: Command) -> None:
    message = refused(command, small, flag)
    assert message.startswith(f"-s {flag}: {said}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("smal.yaml", "smal.yaml: no such file; did you mean 'small.yaml'?"),
        ("nothing/at/all.yaml", "nothing/at/all.yaml: no such file; give the path of a YAML file"),
        (".", ".: cannot be read: Is a directory"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "netlist"])
def test_an_unknown_experiment(verb: str, name: str, said: str, small: Path, command: Command) -> None:
    answer = command(verb, name)
    assert (answer.status, answer.out, answer.err) == (2, "", f"{said}\n")
    assert list(small.parent.iterdir()) == [small]


# --- files that are valid, with parts that do not fit ---------------------------------------------------


def test_a_bad_cell_of_a_csv_file(small: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "rows.csv").write_text("width,height,label\n1.0,2.0,a\n1.5,1O,b\n")
    message = refused(command, small, "data={source: csv, file: rows.csv}")
    file = tmp_path / "rows.csv"
    assert message == f"{file}:3: height: '1O' is not a finite number; correct it or drop the line"


def test_a_column_that_a_csv_file_lacks(small: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "rows.csv").write_text("width,height,kind\n1.0,2.0,a\n1.5,10,b\n")
    message = refused(command, small, "data={source: csv, file: rows.csv, label: knd}")
    assert message == f"{tmp_path / 'rows.csv'}:1: there is no column 'knd'; did you mean 'kind'?"


def test_cross_entropy_and_targets_that_are_no_probabilities(small: Path, command: Command) -> None:
    loss = "loss={kind: cross_entropy}"
    assert refused(command, small, loss) == (
        "small.yaml:14: data.target: cross_entropy needs target 1 (targets are probabilities); leave it out"
    )
    small.write_text(small.read_text().replace("kind: mse", "kind: cross_entropy"))
    message = refused(command, small, "data.target=1", "data.encoding=signed")
    assert message.startswith("small.yaml:16: loss: cross-entropy needs one output a class")


def test_cross_entropy_of_voltages(small: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "rows.csv").write_text("x,target:p,target:q\n1,0.2,0.9\n2,0.5,0.5\n3,0.1,0.9\n4,0,1\n")
    message = refused(
        command, small, "data={source: csv, file: rows.csv, test_fraction: 0}", "loss={kind: cross_entropy}"
    )
    assert message.startswith("-s loss={kind: cross_entropy}: loss: cross-entropy target")
    assert "is no probability distribution" in message


def test_inputs_and_outputs_that_do_not_fit_the_graph(small: Path, command: Command) -> None:
    text = small.read_text()
    start, end = text.index("circuit:"), text.index("data:")
    small.write_text(text[:start] + "circuit:\n  topology: graph\n  nodes: 4\n\n" + text[end:])
    assert refused(command, small) == (
        "small.yaml:4: circuit: small: 4 nodes with inputs [0, 1, 2, 3] and outputs [3] do not fit "
        "2 features, 2 biases and 1 outputs"
    )
    message = refused(command, small, "circuit.nodes=6", "circuit.outputs=[1, 2]")
    assert "outputs [1, 2] do not fit 2 features" in message
    message = refused(command, small, "circuit.nodes=6", "circuit.edges=[[0, 1], [2, 3]]")
    assert message.startswith("small.yaml:4: circuit: small: the graph is not connected")
    message = refused(command, small, "circuit.nodes=6", "circuit.outputs=[6]")
    assert message == "small.yaml:4: circuit: node 6 is not one of 0..5"


def test_bounds_beyond_those_of_the_device(small: Path, command: Command) -> None:
    message = refused(command, small, "circuit.conductance.upper=1e9")
    assert message.startswith("small.yaml:4: circuit: w1_x0_h1_0.conductance: training bounds")


def test_a_schedule_that_does_not_fit_the_epochs(small: Path, command: Command) -> None:
    message = refused(command, small, "training.schedule={kind: cosine, warmup: 3}")
    assert message == (
        "-s training.schedule={kind: cosine, warmup: 3}: training.schedule: a warmup of 3 epochs leaves none "
        "of 3 for the cosine; shorten it or train longer"
    )


# --- a user's own loss --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (
            "losses.py:wrong",
            "loss: loss 'losses.py:wrong': derivative 0 is 0.3, but differences of the value give 0.6 "
            "(outputs [0.0], target [-0.3]); correct the function, or return the value only",
        ),
        (
            "losses.py:vector",
            "loss: loss 'losses.py:vector' returned value array([0.3]); return the loss or "
            "(loss, derivative), the value being a finite number",
        ),
        (
            "losses.py:raises",
            "loss: loss 'losses.py:raises' raised AttributeError: 'numpy.ndarray' object has no attribute "
            "'voltage' (outputs [0.0], target [-0.3])",
        ),
        (
            "losses.py:squared",
            "loss.function: loss path 'losses.py:squared': losses.py has no 'squared'; "
            "did you mean 'squares'?",
        ),
        ("lost.py:f", "loss.function: loss path 'lost.py:f': there is no file FOLDER/lost.py"),
        ("losses.py", "loss.function: must match the pattern ^[^:]+:[A-Za-z_]\\w*$, got 'losses.py'"),
    ],
)
def test_a_wrong_loss_of_the_user(
    function: str, said: str, small: Path, losses: Path, command: Command
) -> None:
    small.write_text(small.read_text().replace("kind: mse", f"kind: user\n  function: {function}"))
    line = 18 if said.startswith("loss.function") else 16
    message = refused(command, small).replace(str(small.parent), "FOLDER")
    assert message == f"small.yaml:{line}: {said}"


def test_a_users_loss_runs_in_workers_by_file_and_by_import_path(
    small: Path, losses: Path, tmp_path: Path, no_report: None
) -> None:
    def trained(name: str, loss: str, workers: int = 1) -> Path:
        experiment = Experiment.load(small, (f"loss={loss}",))
        run_experiment(experiment, out=tmp_path / name, workers=workers)
        return tmp_path / name

    builtin = trained("builtin", "{kind: mse}")
    for name, path in (("file", "losses.py:squares"), ("module", "losses:squares")):
        run = trained(name, f"{{kind: user, function: '{path}'}}", workers=2)
        np.testing.assert_allclose(parameters(run)["final"], parameters(builtin)["final"], rtol=1e-12)
    run = trained("value", "{kind: user, function: 'losses.py:value_only'}")
    np.testing.assert_allclose(parameters(run)["final"], parameters(builtin)["final"], rtol=1e-6)
    assert not np.allclose(parameters(run)["initial"], parameters(run)["final"], rtol=1e-3)


def test_a_loss_that_is_not_defined_at_the_networks_outputs_names_itself(
    small: Path, losses: Path, tmp_path: Path, command: Command
) -> None:
    """Its domain is known only once the network has run: the folder is there, the line is as clear."""
    flag = "loss={kind: user, function: 'losses.py:narrow'}"
    answer = command("run", small, "--out", "run", "-s", flag)
    assert (answer.status, answer.out, len(answer.err.splitlines())) == (2, "", 1)
    assert answer.err.startswith("loss 'losses.py:narrow' raised ValueError: ")


# --- the simulator ------------------------------------------------------------------------------------


def test_a_library_that_does_not_exist(
    small: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELLEGEN_NGSPICE", "/there/is/no/library.so")
    answer = command("run", small, "--out", "run")
    said = (
        "TELLEGEN_NGSPICE=/there/is/no/library.so: no such file; point it at an ngspice library of version "
    )
    assert (answer.status, answer.out, len(answer.err.splitlines())) == (1, "", 1)
    assert said in answer.err
    assert not (tmp_path / "run").exists()

    found = command("doctor", "--json")
    assert (found.status, found.err) == (1, "")
    content = json.loads(found.out)
    assert (content["status"], content["library"]) == ("missing", None)
    assert content["message"].startswith(said)


def test_doctor_tells_the_library_that_runs_use(command: Command) -> None:
    answer = command("doctor", "--json")
    assert (answer.status, answer.err) == (0, "")
    content = json.loads(answer.out)
    library = find_library()
    assert content["status"] == "ok"
    assert content["library"]["path"] == str(library.path)
    assert content["library"]["version"] == library.version
    assert set(content["library"]["features"]) == {"KLU", "XSPICE", "OSDI"}
    assert content["packages"]["numpy"] == metadata.version("numpy")


# --- the smaller verbs -----------------------------------------------------------------------------------


def test_version(tellegen: Command) -> None:
    answer = tellegen("--version")
    assert (answer.status, answer.out, answer.err) == (0, f"tellegen {metadata.version('tellegen')}\n", "")


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["run"], ["run", "small.yaml", "--workers", "0"], ["run", "--frob"]]
)
def test_wrong_use_of_the_command(arguments: list[str], small: Path, command: Command) -> None:
    answer = command(*arguments)
    assert (answer.status, answer.out) == (2, "")
    assert "Usage: tellegen" in answer.err
    assert list(small.parent.iterdir()) == [small]


def test_the_schema_admits_the_shipped_files_and_refuses_wrong_ones(command: Command) -> None:
    answer = command("schema")
    assert (answer.status, answer.err) == (0, "")
    schema = json.loads(answer.out)
    validator = jsonschema.validators.validator_for(schema)
    assert validator is jsonschema.Draft202012Validator
    validator.check_schema(schema)
    files = shipped()
    assert files
    for file in files:
        text = file.read_text()
        # As editors read it, where 1e-7 is a number and `on` is text; PyYAML takes YAML 1.1's view of them.
        text = re.sub(r"\b(on|off):", r'"\1":', text)
        content = yaml.safe_load(re.sub(r"(?<![\w.])(\d+)e-", r"\1.0e-", text))
        assert list(validator(schema).iter_errors(content)) == [], file.stem
        for path, value in (
            (["training", "epochs"], -1),
            (["training", "epoch"], 3),
            (["data", "amplitude"], "1A"),
            (["estimator", "kind"], "magic"),
        ):
            changed = json.loads(json.dumps(content))
            changed[path[0]][path[1]] = value
            assert not validator(schema).is_valid(changed), (file.stem, path)


REDUCED = {
    "digits": ["circuit.hidden=[3]"],
    "mnist_like": ["circuit.hidden=[3]"],
    "iris_transient": ["circuit.hidden=[4]"],
}


def nodes_of(deck: Path) -> dict[str, float]:
    """Run a deck in the program ngspice and read the voltages that it prints."""
    library = find_library()
    if library.binary is None:
        pytest.skip("the library was installed without its program")
    environment = {**os.environ, **library_environment(library)}
    done = subprocess.run(
        [str(library.binary), "-b", str(deck)], capture_output=True, text=True, env=environment, timeout=120
    )
    found = re.findall(r"^v\((\w+)\)\S* = (\S+)$", done.stdout, flags=re.MULTILINE)
    assert found, done.stdout + done.stderr
    return {name: float(value) for name, value in found}


@pytest.mark.parametrize("file", shipped(), ids=lambda f: f.stem)
def test_the_plain_netlist_gives_the_sessions_voltages(file: Path, tmp_path: Path, command: Command) -> None:
    overrides = REDUCED.get(file.stem, [])
    experiment = Experiment.load(file, tuple(overrides))
    split = experiment.data()
    sample = min(3, len(split.test.inputs) - 1)
    flags = [part for text in overrides for part in ("-s", text)]
    answer = command("netlist", file, *flags, "--sample", sample, "--out", "net.cir")
    assert (answer.status, answer.out, answer.err) == (0, "", "")
    printed = command("netlist", file, *flags, "--sample", sample)
    assert printed.out == (tmp_path / "net.cir").read_text()
    voltages = nodes_of(tmp_path / "net.cir")

    network: Network = experiment.network(split)
    with Simulator(experiment.plan(network)) as simulator:
        loss, test = experiment.loss(split), split.test
        task: StaticSampleTask | DynamicSampleTask
        if isinstance(test, WaveSet):
            task = DynamicSampleTask(make_batch(network, test, slice(sample, sample + 1)), loss)
            # The deck's piecewise linear sources are breakpoints: other time points, most felt in spikes.
            close = 1e-3 if file.stem.startswith("hh_") else 1e-4
        else:
            task = StaticSampleTask(
                network.drive_values(test.inputs[sample]), test.targets[sample], loss, 1e-9
            )
            close = 1e-9
        recorded = simulator.pool.map([task])[0]
    expected = dict(zip((n.lower() for n in network.nodes), recorded.nodes[0], strict=True))
    missing = set(expected) - set(voltages)  # nodes of sources whose synapses were folded are not loaded
    assert set(voltages) <= set(expected)
    assert missing <= {n.lower() for n in network.source_nodes}
    assert ("* reduced: " in printed.out) or not missing
    largest = max(map(abs, expected.values()))
    assert largest > 0.01
    for name in voltages:
        value = expected[name]
        assert math.isclose(voltages[name], value, rel_tol=close, abs_tol=close * largest), name


def test_netlist_of_a_sample_that_is_not_there(small: Path, command: Command) -> None:
    answer = command("netlist", small, "--sample", 4)
    assert (answer.status, answer.err) == (2, "--sample 4: the test split has samples 0 to 3\n")
    answer = command("netlist", small, "--out", "no/such/folder.cir")
    said = "--out no/such/folder.cir: cannot be written: No such file or directory\n"
    assert (answer.status, answer.err) == (2, said)


def test_a_report_of_an_unfinished_run(small: Path, tmp_path: Path, command: Command) -> None:
    def stop(stage: str, done: int, *_: object) -> None:
        if (stage, done) == ("epoch", 2):
            raise KeyboardInterrupt

    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run_experiment(Experiment.load(small), out=run, progress=stop)
    assert not (run / "report.html").exists()
    answer = command("report", run)
    assert (answer.status, answer.out, answer.err) == (0, f"{run / 'report.html'}\n", "")
    page = (run / "report.html").read_text()
    assert "<title>small" in page
    assert "not finished" in page.lower() or "unfinished" in page.lower()
    answer = command("report", tmp_path)
    assert (answer.status, answer.err) == (
        2,
        f"{tmp_path}: not the folder of a run (no spec.yaml) or a sweep (no state/plan.json)\n",
    )


def test_the_spec_in_a_run_folder_makes_the_same_run(small: Path, tmp_path: Path, tellegen: Command) -> None:
    first = tellegen("run", small, "--out", "first")
    assert (first.status, first.err) == (0, "")
    assert re.fullmatch(
        r"small: test loss \S+, accuracy \S+% after 3 epochs, \S+ s\nreport: first/report.html\n", first.out
    )
    run_experiment(Experiment.load(tmp_path / "first" / "spec.yaml"), out=tmp_path / "second")
    assert_same(tmp_path / "first", tmp_path / "second")


def test_no_traceback_reaches_the_user(small: Path, tellegen: Command) -> None:
    """The tests above run in this process; here the installed command itself is wrong about something."""
    for flags in (["-s", "loss={kind: user, function: 'gone.py:f'}"], ["-s", "circuit.bias=1A"], ["--frob"]):
        answer = tellegen("run", small, "--out", "run", *flags)
        assert answer.status == 2
        assert answer.err
        assert "Traceback" not in answer.err
    assert list(small.parent.iterdir()) == [small]
