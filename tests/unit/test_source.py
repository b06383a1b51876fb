import pickle
from pathlib import Path
from textwrap import dedent
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from bridge.errors import SpecError
from bridge.experiment.source import ExistingFile, InvalidSpecError, apply_overrides, load_yaml, validate
from bridge.units import Ohms, Seconds


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Sgd(Strict):
    kind: Literal["sgd"]
    rate: float = Field(gt=0)


class Adam(Strict):
    kind: Literal["adam"]
    betas: tuple[float, float] = (0.9, 0.999)
    # A field with the name of a tag: the path must keep the field and drop the tag.
    adam: Sgd | None = None


Optimizer = Annotated[Sgd | Adam, Field(discriminator="kind")]


class Schedule(Strict):
    start: float | Literal["now"]
    decay: float = Field(le=1)

    @model_validator(mode="after")
    def _checked(self) -> "Schedule":  # a validator changes the label that pydantic gives a union's member
        return self


class Pulse(Strict):
    width: float
    height: float


class Training(Strict):
    epochs: int = Field(ge=1, lt=1000)
    optimizer: Optimizer = Sgd(kind="sgd", rate=1.0)
    stages: list[Optimizer] = []
    rate: float | Literal["auto"] | Schedule = "auto"
    shuffle: bool = True
    plan: Schedule | Pulse | None = None


class Experiment(Strict):
    name: str = "x"
    training: Training
    layers: list[int] = Field(default=[1], min_length=1)
    loss: Literal["mse", "cross_entropy"] = "mse"
    r: Ohms = Field(default=1.0, gt=0)
    window: Seconds = 1.0
    pause: Seconds | Literal["never"] = "never"
    data: ExistingFile | None = None
    limits: dict[str, int] = {}
    low: float = 0.0
    high: float = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> "Experiment":
        if self.low > self.high:
            raise ValueError(f"low ({self.low:g}) must not be above high ({self.high:g})")
        return self


class Node(Strict):
    value: int
    children: list["Node"] = []


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "e.yaml") -> Path:
        Path(name).write_text(dedent(text))
        return Path(name)

    return write


def complaints(path: Path, *overrides: str, model: type[BaseModel] = Experiment) -> list[str]:
    with pytest.raises(SpecError) as caught:
        validate(model, apply_overrides(load_yaml(path), overrides))
    assert len(caught.value.problems) == len(str(caught.value).splitlines())  # type: ignore[attr-defined]
    return str(caught.value).splitlines()


GOOD = """\
# an experiment
name: xor
training:
  epochs: 3

  optimizer: {kind: sgd,
              rate: 1e-2}
  stages:
    - kind: adam
    - kind: sgd
      rate: 2
layers:
- 1
- 2
r: 10kOhm
"""


def test_valid_file(write) -> None:  # type: ignore[no-untyped-def]
    model = validate(Experiment, load_yaml(write(GOOD)))
    assert model.training.epochs == 3
    assert model.training.optimizer == Sgd(kind="sgd", rate=0.01)
    assert isinstance(model.training.stages[0], Adam)
    assert (model.layers, model.r) == ([1, 2], 1e4)


def test_positions_of_keys_and_values(write) -> None:  # type: ignore[no-untyped-def]
    positions = load_yaml(write(GOOD)).positions
    assert positions["training",] == (3, 1, 4, 3)
    assert positions["training", "epochs"] == (4, 3, 4, 11)
    assert positions["training", "optimizer", "rate"] == (7, 15, 7, 21)
    assert positions["training", "stages", 1] == (10, 7, 10, 7)
    assert positions["training", "stages", 1, "rate"] == (11, 7, 11, 13)
    assert positions["layers", 1] == (14, 3, 14, 3)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("training: {epoch: 3, epochs: 3}", "training.epoch: unknown key; did you mean 'epochs'?"),
        (
            "training: {epochs: 3, colour: 1, rate: 1}",
            "training.colour: unknown key; other keys here are 'optimizer', 'stages', 'shuffle', 'plan'",
        ),
        ("training: {epochs: 3, optimiser: 3}", "training.optimiser: unknown key; did you mean 'optimizer'?"),
        ("training: {optimizer: {kind: adam}}", "training.epochs: missing key"),
        ("training:", "training: expected a mapping (keys and values), got nothing"),
        ("training: {epochs: 0}", "training.epochs: must be at least 1, got 0"),
        ("training: {epochs: 1000}", "training.epochs: must be less than 1000, got 1000"),
        ("training: {epochs: many}", "training.epochs: expected a whole number, got 'many'"),
        ("training: {epochs: 2.5}", "training.epochs: expected a whole number, got 2.5"),
        ("training: {epochs: 1, shuffle: 7}", "training.shuffle: expected true or false, got 7"),
        (
            "training: {epochs: 1, optimizer: {kind: adm}}",
            "training.optimizer.kind: expected 'sgd' or 'adam', got 'adm'; did you mean 'adam'?",
        ),
        (
            "training: {epochs: 1, optimizer: {rate: 1}}",
            "training.optimizer.kind: missing key; one of 'sgd' or 'adam'",
        ),
        ("training: {epochs: 1, optimizer: {kind: sgd}}", "training.optimizer.rate: missing key"),
        (
            "training: {epochs: 1, optimizer: {kind: sgd, rate: 1, colour: 2}}",
            "training.optimizer.colour: unknown key; no other keys are known here",
        ),
        (
            "training: {epochs: 1, optimizer: {kind: sgd, rte: 1}}",
            "training.optimizer.rte: unknown key; did you mean 'rate'?",
        ),
        (
            "training: {epochs: 1, optimizer: adam}",
            "training.optimizer: expected a mapping (keys and values), got 'adam'",
        ),
        (
            "training: {epochs: 1, optimizer: {kind: adam, betas: [1]}}",
            "training.optimizer.betas.1: missing key",
        ),
        (
            "training: {epochs: 1, optimizer: {kind: adam, adam: {kind: sgd, rate: x}}}",
            "training.optimizer.adam.rate: expected a number, got 'x'",
        ),
        (
            "training: {epochs: 1, stages: [{kind: adam}, {kind: sgd, rate: 0}]}",
            "training.stages.1.rate: must be greater than 0, got 0",
        ),
        (
            "training: {epochs: 1, rate: fast}",
            "training.rate: expected a number or 'auto' or a mapping (keys and values), got 'fast'",
        ),
        (
            "training: {epochs: 1, rate: aut}",
            "training.rate: expected a number or 'auto' or a mapping (keys and values), got 'aut'; did",
        ),
        (
            "training: {epochs: 1, rate: {start: [1], decay: 1}}",
            "training.rate.start: expected a number or 'now', got a list",
        ),
        (
            "training: {epochs: 1, rate: {start: 1, decy: 1}}",
            "training.rate.decy: unknown key; did you mean 'decay'?",
        ),
        (
            "pause: 1V",
            "pause: '1V' is in volts (V), expected a number in seconds (s); or: expected 'never', got '1V'",
        ),
        (
            "training: {epochs: 1, rate: {start: 1, decay: 2}}",
            "training.rate.decay: must be at most 1, got 2",
        ),
        (
            "training: {epochs: 1, plan: {width: 1, hight: 1}}",
            "training.plan.hight: unknown key; did you mean 'height'?",
        ),
        (
            "training: {epochs: 1, plan: {start: 1, decay: 2}}",
            "training.plan.decay: must be at most 1, got 2",
        ),
        ("layers: []", "layers: must have at least 1 entry, has 0"),
        ("layers: 3", "layers: expected a list, got 3"),
        ("layers: [1, x]", "layers.1: expected a whole number, got 'x'"),
        ("loss: msr", "loss: expected 'mse' or 'cross_entropy', got 'msr'; did you mean 'mse'?"),
        ("name: 3", "name: expected text, got 3"),
        ("name: {a: 1}", "name: expected text, got a mapping"),
        ("r: -1k", "r: must be greater than 0, got '-1k'"),
        ("r: 1MOhm", "r: '1MOhm' is ambiguous"),
        ("window: 10kOhm", "window: '10kOhm' is in ohms (Ohm), expected a number in seconds (s)"),
        ("window: .nan", "window: the value is not a finite number"),
        ("limits: {a: 1, b: x}", "limits.b: expected a whole number, got 'x'"),
        ("data: no.csv", "data: file not found: no.csv (looked in "),
        ("data: .", "data: . is a folder"),
        ("lairs: 3", "lairs: unknown key; did you mean 'layers'?"),
    ],
)
def test_each_kind_of_problem_names_line_and_key(write, line: str, says: str) -> None:  # type: ignore[no-untyped-def]
    text = "# a comment\n\n" + line + "\n"
    if not line.startswith("training"):
        text += "training: {epochs: 1}\n"
    found = complaints(write(text))
    assert found[0].startswith("e.yaml:3: " + says)
    jargon = ("sgd.", ".sgd", "Input", "union", "float", "literal", "Value error", "extra")
    assert [word for word in jargon if word in "\n".join(found)] == []


def test_all_problems_at_once_in_the_file_order(write) -> None:  # type: ignore[no-untyped-def]
    path = write("""\
        nam: a
        training:
          epoch: 3
          stages:
            - kind: adam
            - kind: sgd
              rate: 1
              rat: 2
            -
              kind: sgd
              rate: -1
        layers:
          - 1
          - two
        loss: {}
        """)
    assert complaints(path) == [
        "e.yaml:1: nam: unknown key; did you mean 'name'?",
        "e.yaml:2: training.epochs: missing key",
        "e.yaml:3: training.epoch: unknown key; did you mean 'epochs'?",
        "e.yaml:8: training.stages.1.rat: unknown key; did you mean 'rate'?",
        "e.yaml:11: training.stages.2.rate: must be greater than 0, got -1",
        "e.yaml:14: layers.1: expected a whole number, got 'two'",
        "e.yaml:15: loss: expected 'mse' or 'cross_entropy', got a mapping",
    ]


def test_problems_are_data_and_survive_pickling(write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidSpecError) as caught:
        validate(Experiment, load_yaml(write("training:\n  epochs: 0\n")))
    assert caught.value.problems == [(("training", "epochs"), 2, "must be at least 1, got 0")]
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.problems) == (str(caught.value), caught.value.problems)


def test_missing_at_the_top_and_a_rule_of_the_whole_file(write) -> None:  # type: ignore[no-untyped-def]
    assert complaints(write("\nname: a\n")) == ["e.yaml:2: training: missing key"]
    path = write("# c\ntraining: {epochs: 1}\nlow: 3\n")
    assert complaints(path) == ["e.yaml:2: low (3) must not be above high (1)"]


def test_recursive_model(write) -> None:  # type: ignore[no-untyped-def]
    path = write("value: 1\nchildren:\n- value: 2\n  children:\n  - value: x\n  - valu: 3\n")
    assert complaints(path, model=Node) == [
        "e.yaml:5: children.0.children.0.value: expected a whole number, got 'x'",
        "e.yaml:6: children.0.children.1.valu: unknown key; did you mean 'value'?",
        "e.yaml:6: children.0.children.1.value: missing key",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "e.yaml:1: the file is empty"),
        ("# only a comment\n", "e.yaml:1: the file is empty"),
        ("\n- 1\n", "e.yaml:2: the file must hold keys and values ('key: value'), not a list"),
        ("just text", "e.yaml:1: the file must hold keys and values ('key: value'), not 'just text'"),
        ("a: 1\nb: 2\na: 3\n", "e.yaml:3: the key 'a' is given twice, first on line 1"),
        ("a: {b: 1, b: 2}\n", "e.yaml:1: the key 'b' is given twice, first on line 1"),
        ("a: 1\nb:\n\tc: 1\n", "e.yaml:3: a tab is used for indentation; use spaces"),
        ("a: 1\nb: c: 1\n", "e.yaml:2: a second 'key:' on one line"),
        ("a: 1\n  b: 2\n", "e.yaml:2: a second 'key:' on one line, or wrong indentation"),
        ("a:\n    b: 2\n  c: 3\n", "e.yaml:3: wrong indentation"),
        ("a: [1, 2\nb: 3\n", "e.yaml:2: "),
        ("a: 1\nb: *x\n", "e.yaml:2: this alias (*name) has no anchor"),
        ("a: 1\n---\nb: 1\n", "e.yaml:2: only one document is allowed"),
        (
            "a: 1\nb: !!python/object/apply:os.system ['touch run']\n",
            "e.yaml:2: the tag !!python/object/apply:os",
        ),
        ("a: 1\nb: !!python/name:os.system x\n", "e.yaml:2: the tag !!python/name:os.system is not allowed"),
        ("a: 1\nb: !mine 3\n", "e.yaml:2: the tag !mine is not allowed"),
        ("a: 1\n? [1]\n: 2\n", "e.yaml:2: a key must be text or a number"),
        ("a: !!int x\n", "e.yaml:1: 'x' is no int"),
        ("a: 1\nb: " + "9" * 5000, "e.yaml:2: a number with too many digits"),
        ("a: &a\n- *a\n", "e.yaml:2: an alias (*name) lies within its own anchor"),
        ("a: &a\n  <<: *a\n", "e.yaml:2: an alias (*name) lies within its own anchor"),
        ("a: 1\n<<: 3\n", "e.yaml:2: '<<' takes a mapping"),
        ("a: 1\nb: " + "[" * 60 + "]" * 60, "e.yaml:2: nested deeper than 40 levels"),
        ("a: 1\nb: \x07\n", "e.yaml:2: the character '\\x07' is not allowed"),
    ],
)
def test_what_cannot_be_read_is_one_line(write, text: str, says: str) -> None:  # type: ignore[no-untyped-def]
    path = write(text)
    found = complaints(path)
    assert len(found) == 1
    assert found[0].startswith(says)
    assert [p.name for p in path.parent.iterdir()] == ["e.yaml"]


def test_alias_bombs_are_refused_quickly(write) -> None:  # type: ignore[no-untyped-def]
    bomb = "a: &a [1,1,1,1,1,1,1,1,1]\n"
    merge = "a: &a {x: 1}\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True):
        bomb += f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
        merge += f"{new}: &{new} {{<<: [{','.join([f'*{old}'] * 9)}]}}\n"
    for text in (bomb, merge):
        assert "more than 100000 values" in complaints(write(text))[0]


def test_missing_folder_large_and_binary_files(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = write("a: 1\n", "xor.yaml")
    assert complaints(Path("xr.yaml")) == ["xr.yaml: no such file; did you mean 'xor.yaml'?"]
    assert complaints(Path("nowhere/e.yaml"))[0].startswith("nowhere/e.yaml: no such file")
    assert complaints(tmp_path)[0].startswith(f"{tmp_path}: cannot be read: ")
    path.write_bytes(b"a: 1\nb: \xff\xfe\n")
    assert complaints(path) == ["xor.yaml:2: not UTF-8 text"]
    path.write_text("a: " + "x" * 600_000)
    assert complaints(path) == ["xor.yaml: the file is larger than 512 KiB"]


def test_scalars_are_those_of_yaml_1_2(write) -> None:  # type: ignore[no-untyped-def]
    path = write("""\
        a: 1e-9
        b: on
        c: 1:30
        d: 2024-01-01
        e: "3"
        f: 010
        g: 0x10
        h: .5
        i: ~
        j: true
        k: -.inf
        1: !!float 3
        """)
    assert load_yaml(path).data == {
        **{"a": 1e-9, "b": "on", "c": "1:30", "d": "2024-01-01", "e": "3", "f": 10, "g": 16, "h": 0.5},
        **{"i": None, "j": True, "k": float("-inf"), "1": 3.0},
    }


def test_aliases_are_copies_that_keep_their_lines(write) -> None:  # type: ignore[no-untyped-def]
    path = write("""\
        base: &base
          epochs: 1
          rate: 2
        list:
          - &one {x: 1}
          - *one
        more:
          <<: *base
          rate: 3
        """)
    located = load_yaml(path)
    assert located.data["more"] == {"epochs": 1, "rate": 3}
    assert located.positions["list", 1].line == 6
    assert located.positions["more", "epochs"].line == 2
    assert located.positions["more", "rate"].line == 9
    changed = apply_overrides(located, ["list.1.x=5"])
    assert changed.data["list"] == [{"x": 1}, {"x": 5}]


def test_overrides_set_values_and_leave_the_file_alone(write) -> None:  # type: ignore[no-untyped-def]
    located = load_yaml(write("training:\n  epochs: 1\nlayers: [1, 2]\nlimits:\n"))
    changed = apply_overrides(
        located,
        ["training.epochs=5", "layers.1=7", "r=2Meg", "limits.a=3", "training.optimizer={kind: adam}"],
    )
    model = validate(Experiment, changed)
    assert (model.training.epochs, model.layers, model.r, model.limits) == (5, [1, 7], 2e6, {"a": 3})
    assert isinstance(model.training.optimizer, Adam)
    assert located.data == {"training": {"epochs": 1}, "layers": [1, 2], "limits": None}
    assert located.origins == {}


def test_later_overrides_win(write) -> None:  # type: ignore[no-untyped-def]
    located = load_yaml(write("training:\n  epochs: 1\n"))
    changed = apply_overrides(located, ["training.epochs=5", "training={epochs: 6}", "training.epochs=7"])
    assert changed.data == {"training": {"epochs": 7}}
    path = located.path
    assert complaints(path, "training.epochs=0", "training={epochs: -1}") == [
        "-s training={epochs: -1}: training.epochs: must be at least 1, got -1"
    ]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.epoch=3", "training.epoch: unknown key; did you mean 'epochs'?"),
        ("training.epochs=x", "training.epochs: expected a whole number, got 'x'"),
        ("trainin.epochs=3", "trainin: unknown key; did you mean 'training'?"),
        ("layers.0=x", "layers.0: expected a whole number, got 'x'"),
        ("training.optimizer={kind: sgd}", "training.optimizer.rate: missing key"),
        ("layers.2=1", "layers is a list and has no '2'; its items are 0 to 1"),
        ("layers.x=1", "layers is a list and has no 'x'"),
        ("name.x=1", "name is 'a' and has no 'x'"),
        ("training", "write -s key.path=value"),
        ("=3", "write -s key.path=value"),
        ("a..b=3", "write -s key.path=value"),
        ("name=", "no value; write name=null"),
        ("name=[1", "the value is not YAML: "),
        ("name=!!python/name:os.system x", "the value is not YAML: the tag"),
    ],
)
def test_wrong_overrides_are_named(write, override: str, says: str) -> None:  # type: ignore[no-untyped-def]
    path = write("name: a\ntraining: {epochs: 1, optimizer: {kind: adam}}\nlayers: [1, 2]\n")
    found = complaints(path, override)
    assert found[0].startswith(f"-s {override}: {says}")
    assert len(found) == 1


def test_files_are_found_beside_the_yaml(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.csv").write_text("1")
    path = write("training: {epochs: 1}\ndata: d.csv\n", "sub/e.yaml")
    assert validate(Experiment, load_yaml(path)).data == tmp_path / "sub" / "d.csv"
    found = complaints(path, "data=../d.csv")
    assert found == [f"-s data=../d.csv: data: file not found: ../d.csv (looked in {tmp_path / 'sub'})"]
