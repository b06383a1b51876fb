"""The finder of the ngspice library: what it takes, what it refuses, and what it says then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bridge import doctor
from bridge.errors import LibraryError
from bridge.ngspice import library, places, prober
from bridge.ngspice.prober import Probed


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def real() -> library.Library:
    return library.find_library()


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Library files that are only pretended: name of the file to the version that it tells."""
    versions: dict[str, str] = {}

    def probe(path: Path, _environment: object, _runtime: object) -> Probed:
        return Probed(versions[path.name], {"klu": True})

    def candidates(_environment: object) -> list[places.Candidate]:
        for name in versions:
            (tmp_path / name).touch()
        return [places.Candidate(tmp_path / name, "test") for name in versions]

    for variable in (places.OWN_VARIABLE, places.PYSPICE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(library, "probe", probe)
    monkeypatch.setattr(places, "candidates", candidates)
    return versions


def test_the_real_library_is_found_with_its_features(real: library.Library) -> None:
    assert real.path.is_file()
    assert real.major >= library.MINIMUM_MAJOR
    assert real.version.split(".")[0] == str(real.major)
    assert real.features.osdi
    assert real.features.klu
    assert any(str(real.path) in line and real.version in line for line in real.tried)


def test_code_models_load_from_the_scripts_that_belong_to_the_library(real: library.Library) -> None:
    if real.scripts is None:
        pytest.skip("this library has no scripts of its own")
    assert (real.scripts / "spinit").is_file()
    assert real.features.xspice
    assert library.library_environment(real)["SPICE_SCRIPTS"] == str(real.scripts)


def test_the_program_is_of_the_same_version(real: library.Library) -> None:
    if real.binary is None:
        pytest.skip("no ngspice program of this version that runs here")
    told = subprocess.run([real.binary, "--version"], capture_output=True, text=True, check=True).stdout
    assert f"ngspice-{real.version} " in told


def test_the_environment_names_the_library_and_one_thread(real: library.Library) -> None:
    variables = library.library_environment(real)
    assert variables["NGSPICE_LIBRARY_PATH"] == str(real.path)
    assert variables["OMP_NUM_THREADS"] == "1"


def test_own_variable_is_obeyed(real: library.Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(places.OWN_VARIABLE, str(real.path))
    found = library.find_library()
    assert (found.path, found.source) == (real.path, places.OWN_VARIABLE)


def test_own_variable_that_points_nowhere_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(places.OWN_VARIABLE, "/nowhere/libngspice.so.0")
    with pytest.raises(LibraryError, match=r"TELLEGEN_NGSPICE=/nowhere/libngspice.so.0: no such file; point"):
        library.find_library()


def test_a_file_that_is_no_library_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "libngspice.so.0"
    path.write_text("not a library")
    monkeypatch.setenv(places.OWN_VARIABLE, str(path))
    with pytest.raises(LibraryError, match="cannot be loaded: "):
        library.find_library()


def test_a_library_that_is_not_ngspice_is_refused() -> None:
    import _ctypes

    probed = prober.probe(Path(_ctypes.__file__), {}, ())
    assert "cannot be loaded" in probed.error
    assert "ngSpice_Init" in probed.error


def test_an_old_library_is_refused_with_the_way_to_a_newer_one(pretend: dict[str, str]) -> None:
    pretend["old.so"] = "39.3"
    with pytest.raises(LibraryError, match=r"39.3 \(.*old.so\) is too old, Tellegen needs 42 or newer"):
        library.find_library()
    found = library.search()
    assert found.status == "too old"
    assert "make setup" in found.message
    assert places.install_line(library.MINIMUM_MAJOR) in found.message


def test_the_newest_is_chosen_and_all_are_listed(pretend: dict[str, str]) -> None:
    pretend.update({"a.so": "42", "b.so": "44.2", "c.so": "44.10", "d.so": "39.3"})
    found = library.find_library()
    assert (found.path.name, found.version, found.major) == ("c.so", "44.10", 44)
    assert len(found.tried) == 4
    assert "too old" in found.tried[3]


def test_pyspices_variable_goes_before_a_newer_one(
    pretend: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend.update({"a.so": "42", "b.so": "46"})
    (tmp_path / "a.so").touch()
    monkeypatch.setenv(places.PYSPICE_VARIABLE, str(tmp_path / "a{}.so"))
    assert library.find_library().version == "42"


def test_none_found_lists_the_folders_and_the_install_line(pretend: dict[str, str]) -> None:
    assert not pretend
    found = library.search()
    assert (found.library, found.status) == (None, "missing")
    assert places.install_line(library.MINIMUM_MAJOR) in found.message
    assert str(places.PROJECT / ".ngspice") in found.message
    assert "/usr/local/lib" in found.message


def _pretended_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> Path:
    script = tmp_path / "probe.py"
    told = "print(json.dumps({'version': '46'}), flush=True)"
    script.write_text(f"import json, os, signal, time\n{told}\n{body}\n")
    monkeypatch.setattr(prober, "_PROBE", script)
    return script


def test_a_library_that_crashes_is_reported_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = _pretended_probe(tmp_path, monkeypatch, "os.kill(os.getpid(), signal.SIGSEGV)")
    assert prober.probe(script, {}, ()).error == "ngspice 46 crashed when tried (SIGSEGV)"


def test_a_library_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = _pretended_probe(tmp_path, monkeypatch, "time.sleep(60)")
    monkeypatch.setattr(prober, "TIME_LIMIT", 1.0)
    assert "no answer within" in prober.probe(script, {}, ()).error


def test_a_probe_is_repeated_when_the_file_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _pretended_probe(tmp_path, monkeypatch, "open(os.environ['COUNT'], 'a').write('x')")
    count, path = tmp_path / "count", tmp_path / "lib.so"
    path.touch()
    for _ in range(3):
        assert prober.probe(path, {"COUNT": str(count)}, ()).version == "46"
    assert count.read_text() == "x"
    os.utime(path, (1, 1))
    prober.probe(path, {"COUNT": str(count)}, ())
    assert count.read_text() == "xx"


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, real: library.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert library.find_library().path == real.path


def test_a_spoilt_cache_is_done_without(tmp_path: Path, real: library.Library) -> None:
    folder = tmp_path / "cache" / "tellegen"
    folder.mkdir(parents=True)
    (folder / "ngspice-probes.json").write_text("{ half a fi")
    assert library.find_library().path == real.path
    assert json.loads((folder / "ngspice-probes.json").read_text())


def test_the_probe_is_a_module_of_its_own(real: library.Library) -> None:
    command = [sys.executable, "-m", "bridge.ngspice.probe", str(real.path), *map(str, real.runtime)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert json.loads(told[-1])["version"] == real.version


def test_doctor_reports_what_was_found(real: library.Library, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run_doctor(json_output=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["status"], found["library"]["version"]) == ("ok", real.version)
    assert found["library"]["features"] == {"KLU": True, "XSPICE": real.features.xspice, "OSDI": True}
    assert found["packages"]["PySpice"]
    assert doctor.run_doctor(json_output=False) == 0
    assert real.version in capsys.readouterr().out


def test_doctor_without_a_library_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(places.OWN_VARIABLE, "/nowhere")
    assert doctor.run_doctor(json_output=False) == 1
    assert "TELLEGEN_NGSPICE=/nowhere: no such file" in capsys.readouterr().out
