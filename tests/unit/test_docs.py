"""The documentation does what it says: code runs, commands print what is shown, links lead somewhere."""

from __future__ import annotations

import contextlib
import html
import importlib.util
import io
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from pydantic import BaseModel

from bridge import cli
from bridge.experiment.device_file import load_device
from bridge.experiment.source import load_yaml, validate
from bridge.experiment.spec import ExperimentSpec
from bridge.experiment.spec_own import DeviceFileSpec
from bridge.sweep.plan import Plan
from bridge.sweep.spec import SweepSpec
from bridge.updates.programming.spec import load_program
from bridge.validation.devices.command import read_parameters

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
BLOCK = re.compile(
    r"(?:<!-- (?P<note>[^>]*) -->\n)?^```(?P<kind>\w+)(?: title=\"(?P<title>[^\"]*)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NUMBER = re.compile(r"[-−]?\d+(\.\d+)?(e[-+]?\d+)?")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the name of the file that it is, its text, the remark before it."""

    kind: str
    title: str
    text: str
    note: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(m["kind"], m["title"] or "", m["text"], m["note"] or "") for m in BLOCK.finditer(text)]


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Commands of a console block, each with the lines that it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def run_command(command: str) -> tuple[int, str]:
    """Run a command in this process: its exit status and what it printed."""
    program, *arguments = shlex.split(command)
    out = io.StringIO()
    before = sys.argv
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            if program == "tellegen":
                sys.argv = [program, *arguments]
                cli.main()
            elif arguments[:1] == ["-m"]:
                sys.argv = arguments[1:]
                runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
            else:
                sys.argv = arguments
                runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    finally:
        sys.argv = before
    return 0, out.getvalue()


def plain(text: str) -> str:
    """Text with every number the same and every space one: what does not depend on machine and version."""
    return " ".join(NUMBER.sub("#", text).split())


def check_console(block: Block) -> None:
    expected = int(block.note.removeprefix("exit status ")) if block.note.startswith("exit status") else 0
    for command, shown in commands(block.text):
        assert command.split()[0] in ("tellegen", "python"), f"{command}: add a remark <!-- not run: why -->"
        status, printed = run_command(command)
        assert status == expected, f"{command}: {printed}"
        for line in shown:
            if line != "...":
                assert plain(line) in plain(printed), f"{command} printed: {printed}"


def check_yaml(block: Block, folder: Path) -> None:
    content = yaml.safe_load(block.text)
    if isinstance(content.get("device"), str):
        own = folder / block.title
        own.write_text(block.text, encoding="utf-8")
        load_device(own)
        return
    if "array" in content or "base" in content or block.note.startswith("parameters of"):
        own = folder / block.title
        own.write_text(block.text, encoding="utf-8")
        if "array" in content:
            load_program(own)
        elif block.note:
            read_parameters(own, block.note.removeprefix("parameters of "))
        else:
            Plan.load(own)
        return
    file = folder / (block.title if block.title.endswith(".yaml") else "shown.yaml")
    if "circuit" not in content or block.title.startswith("part of"):  # in place of that part of another
        content = {
            **yaml.safe_load((ROOT / "experiments" / "xor.yaml").read_text(encoding="utf-8")),
            **content,
        }
    file.write_text(yaml.safe_dump(content) if file.name == "shown.yaml" else block.text, encoding="utf-8")
    validate(ExperimentSpec, load_yaml(file))


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: str(p.relative_to(ROOT)))
def test_what_a_page_shows_works(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its blocks in their order, in an empty folder with the experiments that are shipped."""
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # files that a page writes are imported by its programs
    printed = io.StringIO()  # by the last block of Python
    elsewhere = set() if page.parent == ROOT else {b.text for b in blocks(ROOT / "README.md")}
    for block in blocks(page):
        if block.note.startswith("not run:") or block.text in elsewhere:
            continue
        if block.kind == "yaml":
            check_yaml(block, tmp_path)
        elif block.kind == "console":
            check_console(block)
        elif block.title:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
        elif block.kind == "python":
            code = compile(block.text, f"{page.name}: {block.text.splitlines()[0]}", "exec")
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(code, {"__name__": "__main__"})
        else:
            assert block.kind == "text", f"{page}: a block of {block.kind}, which nothing checks"
            assert plain(block.text) in plain(printed.getvalue())


def test_every_shell_block_is_a_console_block() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"^```(sh|bash|shell|py|yml)\b", text, re.MULTILINE), page
        assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len(blocks(page)), page


def generator(name: str) -> ModuleType:
    """A script that writes a part of a page."""
    spec = importlib.util.spec_from_file_location(name, DOCS / ".mkdocs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_devices_are_those_of_their_declarations() -> None:
    module = generator("device_tables")
    old = module.PAGE.read_text(encoding="utf-8")
    assert module.page(old) == old, "run: python docs/.mkdocs/device_tables.py"


def test_the_experiment_file_page_is_that_of_the_schema() -> None:
    module = generator("experiment_file")
    old = module.PAGE.read_text(encoding="utf-8")
    assert module.page(old) == old, "run: python docs/.mkdocs/experiment_file.py"
    keys = set(re.findall(r"^\| `(\w+)` \|", old, re.MULTILINE))
    schema = ExperimentSpec.model_json_schema()
    wanted = {k for part in [schema, *schema["$defs"].values()] for k in part.get("properties", {})}
    assert keys == wanted
    described = re.findall(r"^\| `\w+` \|.*\| *\|$", old, re.MULTILINE)
    assert not described, "keys without a meaning"


def test_the_sweep_page_is_that_of_the_schema() -> None:
    module = generator("sweep_file")
    shows_every_key(module.PAGE, module.page, SweepSpec, "sweep_file")


def test_the_device_file_page_is_that_of_the_schema() -> None:
    module = generator("experiment_file")
    shows_every_key(module.DEVICE_PAGE, module.device_page, DeviceFileSpec, "experiment_file")


def shows_every_key(page: Path, made: Callable[[str], str], spec: type[BaseModel], script: str) -> None:
    """The page is what its generator makes of it, with every key of the schema."""
    old = page.read_text(encoding="utf-8")
    assert made(old) == old, f"run: python docs/.mkdocs/{script}.py"
    schema = spec.model_json_schema()
    wanted = {k for part in [schema, *schema["$defs"].values()] for k in part["properties"]}
    assert wanted <= set(re.findall(r"^\| `(\w+)` \|", old, re.MULTILINE))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a link to nothing is an error."""
    folder = tmp_path_factory.mktemp("site")
    config = DOCS / ".mkdocs" / "mkdocs.yml"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-f", str(config), "-d", str(folder)],
        capture_output=True,
        text=True,
        env=dict(os.environ, NO_MKDOCS_2_WARNING="1"),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_needs_no_network_and_shows_every_page(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert {p.relative_to(DOCS).with_suffix("") for p in DOCS.rglob("*.md")} <= {
        p.relative_to(site).with_suffix("") for p in pages
    }
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"?(https?:[^\"> ]*)", text)
        loaded += re.findall(
            r"<link[^>]*rel=\"?(?:stylesheet|preconnect)[^>]*href=\"?(https?:[^\"> ]*)", text
        )
        assert not loaded, f"{page.name} loads {loaded}"
        assert "arithmatex" not in text, f"{page.name}: a formula that was not converted"


def test_links_of_the_pages_outside_the_site(site: Path) -> None:
    for page in (ROOT / "README.md", ROOT / "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)]*)\)", page.read_text(encoding="utf-8")):
            if target.startswith("https://"):
                continue
            path, _, anchor = target.partition("#")
            assert (ROOT / path).exists(), f"{page.name}: {target}"
            if anchor:
                built = (site / Path(path).relative_to("docs")).with_suffix(".html")
                assert f'id="{html.escape(anchor)}"' in built.read_text(encoding="utf-8"), target


def test_public_names_are_imported_when_used() -> None:
    code = (
        "import sys, bridge; assert not {'numpy', 'PySpice', 'numba', 'pandas'} & set(sys.modules); "
        "assert all(getattr(bridge, name) is not None for name in bridge.__all__); "
        "assert set(bridge.__all__) == set(bridge._HOME) <= set(dir(bridge)); "
        "from bridge.ngspice.engine import Engine; assert Engine._instance is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_documentation_names_no_machine() -> None:
    for page in [*PAGES, *DOCS.rglob("*.py"), *DOCS.rglob("*.svg"), *DOCS.rglob("*.yml")]:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"/(home|root|work|tmp|Users)/", text), page
