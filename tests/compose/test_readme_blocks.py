"""The blocks of README.md for the composed system run as pasted, with the names and ports of the tests' system."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from composed import PROJECT, ROOT, System, docker
from mssbench_contract.server import free_port
from pages import Page, run_commands

start, use, weights, one_track = Page("../README.md").blocks("sh", under="With Docker")


@pytest.fixture
def folder(system: System, tmp_path: Path) -> Path:
    """A folder with the command and the data of the system, as ``mssbench-compose init`` leaves the checkout."""
    (tmp_path / "mssbench-compose").write_text("#!/bin/sh\n")  # its settings are tested without an engine
    (tmp_path / "mssbench-compose").chmod(0o755)
    (tmp_path / "data").mkdir()
    system.compose("cp", "orchestrator:/bench/data/demo", str(tmp_path / "data/demo"))
    return tmp_path


def follow(system: System, folder: Path, commands: str) -> str:
    replaced = {
        "localhost:8080": system.url.removeprefix("http://"),
        "8001": str(free_port()),
        "mssbench-one": f"{PROJECT}-one",
        "--build ": "",  # the images of the system are those of the checkout
        "compose exec ": "compose exec -T ",
    }
    for old, new in replaced.items():
        commands = commands.replace(old, new)
    environment = system.environment | {
        "COMPOSE_FILE": str(ROOT / "docker-compose.yml"),
        "COMPOSE_ENV_FILES": system.env_file,
    }
    try:
        return run_commands(commands, folder, environment, seconds=600)
    finally:
        docker("rm", "--force", f"{PROJECT}-one", check=False)


def test_the_system_is_started_and_has_the_demo_data(system: System, folder: Path) -> None:
    follow(system, folder, start)
    assert system.get("/health")


def test_a_run_is_started_and_listed(system: System, folder: Path) -> None:
    output = follow(system, folder, use)
    status, end = json.JSONDecoder().raw_decode(output[output.index("{") :])
    assert status["id"] in output[end:]
    progress = system.wait_until_complete(status["id"])["progress"]
    assert (progress["cells"], progress["failed"]) == (4, 0)


def test_the_state_of_the_services_is_shown(system: System, folder: Path) -> None:
    fetch, state = weights.splitlines(keepends=True)
    assert " weights fetch " in fetch  # not run: it downloads
    assert "spleeter" in follow(system, folder, state)


def test_one_track_is_separated_by_one_service(system: System, folder: Path) -> None:
    follow(system, folder, one_track)
    stems = zipfile.ZipFile(folder / "stems.zip").namelist()
    assert {"vocals.wav", "drums.wav", "bass.wav", "other.wav"} <= set(stems)
