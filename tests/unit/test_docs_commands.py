"""Commands that the documentation shows and no test runs: programs, options, files and names exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from test_docs import PAGES, ROOT, Block, blocks, commands

from bridge import cli
from bridge.experiment.build import Experiment
from bridge.sweep.plan import Plan

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]
SHOWN = [
    (page, block)
    for page in PAGES
    for block in blocks(page)
    if block.kind == "console" and block.note.startswith("not run:")
]
_OTHERS = {"alias", "chromium", "cd", "."}  # of other people, without a check here


def parse(command: Any, name: str, words: list[str]) -> None:
    """Let a command read its line, without doing anything.

    Raises:
        ClickException: an option or a value that it does not know (typer may bring a click of its own).
    """
    with command.make_context(name, list(words)):
        pass


def check(words: list[str], page: Path) -> None:
    """Refuse a command line that could not work."""
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    program, *rest = words
    if program == "tellegen":
        group: Any = typer.main.get_command(cli.app)
        assert rest[0] in group.commands, f"tellegen has no command {rest[0]}"
        parse(group.commands[rest[0]], rest[0], rest[1:])
        check_files(rest, page)
    elif program == "dask":
        kind = pytest.importorskip(f"distributed.cli.dask_{rest[0]}")
        parse(kind.main, rest[0], rest[1:])
    elif program == "python":
        assert rest[0] == "-m", "give a module"
        spec = importlib.util.find_spec(rest[1])
        assert spec is not None, f"there is no module {rest[1]}"
        assert spec.origin is not None
        files = [Path(spec.origin), *Path(spec.origin).parent.glob("*.py")]
        source = "".join(file.read_text(encoding="utf-8") for file in files)
        for flag in (w for w in rest[2:] if w.startswith("--")):
            assert f'"{flag}"' in source, f"{rest[1]} has no option {flag}"
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(rest) <= set(targets), f"no such target: {rest}"
    elif program == "pip":
        for name in re.findall(r"tellegen\[([^\]]*)\]", " ".join(rest)):
            assert set(name.split(",")) <= set(EXTRAS), f"there is no extra {name}"
    elif program == "uv":
        given = {rest[k + 1] for k, word in enumerate(rest) if word == "--extra"}
        assert given <= set(EXTRAS)
        assert rest[rest.index("-o") + 1] == "requirements.lock"
    elif program == "docker":
        if rest[:3] == ["compose", "run", "--rm"]:
            check(rest[3:], page)
        else:
            assert rest[0] in ("build", "compose")
    elif program == "git":
        assert rest[:1] == ["clone"]
    elif program == "mkdir":
        assert rest[0] == "-p"
    else:
        assert program in _OTHERS, f"{program}: nothing here knows how to check it"


def check_files(words: list[str], page: Path) -> None:
    """Experiment files are shipped, or are written on the page; what is set in them can be set."""
    titles = {block.title for block in blocks(page)}
    for word in (w for w in words if w.endswith((".yaml", ".csv"))):
        file = ROOT / word.removeprefix("/opt/tellegen/")
        assert file.is_file() or word in titles, f"{word} is not there"
    sets = tuple(words[k + 1] for k, w in enumerate(words) if w in ("-s", "--set"))
    files = [ROOT / w.removeprefix("/opt/tellegen/") for w in words if w.endswith(".yaml")]
    if words[0] in ("run", "gradcheck") and files and files[0].is_file():
        Experiment.load(files[0], sets)
    if words[0] == "sweep" and files and files[0].is_file():
        Plan.load(files[0])


@pytest.mark.parametrize(
    ("page", "block"), SHOWN, ids=[f"{p.stem}-{commands(b.text)[0][0][:30]}" for p, b in SHOWN]
)
def test_commands_that_are_not_run_could_be(page: Path, block: Block) -> None:
    for command, _ in commands(block.text):
        for line in command.split("&&"):
            check(shlex.split(line), page)


@pytest.mark.parametrize(
    "line",
    [
        "tellegen runn experiments/xor.yaml", "tellegen run experiments/gone.yaml",
        "tellegen run experiments/xor.yaml --worker 2",
        "tellegen run experiments/xor.yaml -s training.epoks=1",
        "dask worker tcp://a:1 --threads 2", "make benchmark", "python -m benchmarks.gone",
        "python -m benchmarks.suite --fast", "pip install 'tellegen[sweeps]'", "sudo reboot",
        "docker compose run --rm tellegen sweep experiments/sweeps/gone.yaml",
    ],
)  # fmt: skip
def test_commands_that_could_not_work_are_found(line: str) -> None:
    with pytest.raises(Exception, match=r".") as refused:
        check(shlex.split(line), PAGES[0])
    kinds = {kind.__name__ for kind in type(refused.value).__mro__}
    assert kinds & {"AssertionError", "ClickException", "SpecError", "ModuleNotFoundError"}, refused.value
