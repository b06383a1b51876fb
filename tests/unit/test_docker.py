"""The image's files: pinned dependencies, a compose file that fits it, and the page that describes them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "docker.md").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def locked() -> dict[str, str]:
    """Names and versions of the lock file."""
    return {canonicalize_name(n): v for n, v in re.findall(r"^([\w.-]+)==(\S+)", LOCK, re.MULTILINE)}


def test_every_dependency_of_the_image_is_locked_to_a_version_that_is_allowed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(t for name in ("sweep", "optuna", "openvaf", "pdk") for t in extras[name]),
    ]
    wanted.append("setuptools>=77")  # builds Tellegen itself in the image, without a network
    versions = locked()
    for text in wanted:
        requirement = Requirement(text)
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), (text, version)


def test_every_locked_package_has_hashes_and_no_index_is_named() -> None:
    packages = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)
    assert len(packages) > 50
    for package in packages:
        assert not package.strip() or "--hash=sha256:" in package, package.splitlines()[0]
    assert not re.search(r"https?://|--index|--find-links|^-i ", LOCK, re.MULTILINE)


def test_the_image_runs_as_a_user_on_debian_13_from_the_lock_file() -> None:
    stages = re.findall(r"^FROM (\S+)(?: AS (\w+))?", DOCKERFILE, re.MULTILINE)
    assert stages[-1] == ("debian:13-slim", "")
    final = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert re.search(r"^USER tellegen$", final, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["tellegen"\]$', final, re.MULTILINE)
    assert re.search(r'^HEALTHCHECK .*CMD \["tellegen", "doctor"\]$', final, re.MULTILINE)
    assert "--require-hashes -r /src/requirements.lock" in DOCKERFILE
    assert "<<" not in DOCKERFILE, "builders without BuildKit have no heredocs"
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split()), source


def test_what_the_image_copies_is_not_ignored() -> None:
    kept = set(re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    copied = {
        n for s in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for n in s.split()
    }
    assert {name.rstrip("/") for name in copied} <= kept


def test_compose_services_share_the_image_the_folder_and_the_scheduler() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"scheduler", "worker", "tellegen"}
    for service in services.values():
        assert service["image"] == "tellegen"
        # Docker would make a folder that is not there itself, as root.
        assert service["volumes"] == ["${TELLEGEN_RUNS:-./runs}:/runs"]
    port = services["scheduler"]["entrypoint"][services["scheduler"]["entrypoint"].index("--port") + 1]
    address = f"tcp://scheduler:{port}"
    assert address in services["worker"]["entrypoint"]
    assert services["worker"]["depends_on"]["scheduler"]["condition"] == "service_healthy"
    assert address in PAGE
    assert "ports" not in str(services), "a scheduler that others reach runs their code"


def test_the_shared_folder_is_made_before_docker_makes_it_as_root() -> None:
    for text in (PAGE, (ROOT / "compose.yaml").read_text(encoding="utf-8")):
        assert text.index("mkdir -p runs") < text.index("docker compose up")
        before = text[: text.index("docker compose up")].rstrip(" #$\n").splitlines()[-1]
        assert "mkdir -p runs" in before


def test_default_folders_of_results_are_ignored() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"/runs/", "/sweeps/", "/validation/"} <= set(ignored)


@pytest.mark.parametrize("text", [PAGE, (ROOT / "compose.yaml").read_text(encoding="utf-8")])
def test_settings_and_files_that_are_named_exist(text: str) -> None:
    for file in re.findall(r"/opt/tellegen/(experiments/\S+\.yaml)", text):
        assert (ROOT / file).exists(), file
    used = set(re.findall(r"\$\{(\w+):-", (ROOT / "compose.yaml").read_text(encoding="utf-8")))
    assert used == set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE))
