"""The steps of docs/adding-a-separator.md give a scored row in the composed system.

The images of the copy have their own names, so that the orchestrator of the other tests does not contain its separator.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from composed import ROOT, System
from mssbench_contract.server import free_port
from pages import Page, run_commands

PAGE = Page("adding-a-separator.md")
NEEDED = [
    "redis", "orchestrator", "synth", "evaluator", "oracle", "midside",
    "worker-render", "worker-evaluate", "worker-oracle", "worker-midside",
]  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the sources of the images, with the changes of the page up to its compose block."""
    ignored = shutil.ignore_patterns(".venv", "__pycache__", "*.egg-info", ".*_cache", "tests")
    for folder in ("services", "metrics", "orchestrator"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copytree(ROOT / "services/template/tests", tmp_path / "services/template/tests")
    for file in ("docker-compose.yml", ".dockerignore"):
        shutil.copy2(ROOT / file, tmp_path / file)

    (adapter,) = PAGE.blocks("python")
    rename, _, register, *_ = PAGE.blocks("sh")
    for commands in (rename, register):
        run_commands(commands, tmp_path, os.environ, seconds=60)
    (tmp_path / "services/midside/midside_service/__init__.py").write_text(adapter, encoding="utf-8")
    (block,) = PAGE.blocks("yaml")
    compose_file = tmp_path / "docker-compose.yml"
    composed = compose_file.read_text(encoding="utf-8").replace("\nvolumes:\n", f"\n{block}\nvolumes:\n")
    compose_file.write_text(composed.replace("image: mssbench/", "image: mssbench-adding/"), encoding="utf-8")
    return tmp_path


@pytest.fixture
def adding(checkout: Path) -> Iterator[System]:
    system = System(free_port(), checkout, "mssbench-adding")
    try:
        system.compose("up", "--build", "--detach", "--wait", *NEEDED, timeout=3600)
        yield system
    finally:
        system.compose("down", "--volumes", "--remove-orphans")
        images = subprocess.run(
            ["docker", "image", "ls", "--quiet", "mssbench-adding/*"],
            capture_output=True,
            text=True,
            check=True,
        )
        subprocess.run(["docker", "image", "rm", "--force", *set(images.stdout.split())], check=True)


def test_a_new_separator_is_scored_in_the_composed_system(adding: System) -> None:
    output = adding.compose("exec", "-T", "orchestrator", "mssbench", "services", "--json")
    (midside,) = [service for service in json.loads(output) if service["name"] == "midside"]
    assert midside["state"] == "ready"

    adding.compose("exec", "-T", "orchestrator", "mssbench", "data", "demo", "data/demo")
    body = {
        "dataset": "data/demo",
        "separators": ["oracle-mixture", "midside"],
        "tracks": 1,
        "bsseval": False,
    }
    status = adding.wait_until_complete(adding.post("/runs", body)["id"])
    assert (status["progress"]["cells"], status["progress"]["failed"]) == (4, 0)
    rows = [row for row in adding.get(f"/runs/{status['id']}/results") if row["separator"] == "midside"]
    assert len(rows) == 2 * 4
    scored = [row for row in rows if row["status"] == "ok"]
    assert len(scored) >= 6
    assert all(isinstance(row["SSR"], float) for row in scored)
