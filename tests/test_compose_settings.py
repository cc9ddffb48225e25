"""Settings of the composed system, without an engine: what the docs name reaches the containers, and lasts."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
VARIABLE = re.compile(r"(?<![A-Z_])(?:MSSBENCH|DEMUCS|OPENUNMIX|SPLEETER|MSST)_[A-Z_]*[A-Z]\b")

INSIDE = {
    "MSSBENCH_ALIVE", "MSSBENCH_COMMAND", "MSSBENCH_CONCURRENCY", "MSSBENCH_DATA_ROOT", "MSSBENCH_REDIS_URL",
    "MSSBENCH_SERVICES", "MSSBENCH_THREADS", "MSSBENCH_TRANSPORT", "MSSBENCH_WEIGHTS_DIR",
}  # fmt: skip
"""Fixed by the compose file or the images, so that a user does not set them."""

ELSEWHERE = {
    "MSSBENCH_DEBUG",
    "MSSBENCH_REDIS_URL_FILE",
    "MSSBENCH_REFERENCES",
    "MSSBENCH_TOKEN_FILE",
    "MSSBENCH_FUZZ",
    "MSSBENCH_FUZZ_SEED",
}
"""For the command line and its workers, other orchestrators (a swarm's secrets) and the tests."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def variables_in(*paths: Path) -> set[str]:
    return {name for path in paths for name in VARIABLE.findall(path.read_text(encoding="utf-8"))}


def variables_of_code() -> set[str]:
    folders = [ROOT / "orchestrator/mssbench", *(ROOT / "services").glob("*/*_service")]
    found = variables_in(*(path for folder in folders for path in folder.rglob("*.py")))
    limits = variables_in(ROOT / "orchestrator/mssbench/settings/limits.py")
    return {name for name in found | limits if not name.startswith("MSSBENCH_URL")}


def environment(compose: dict[str, Any], service: str) -> set[str]:
    """Variables of the user that reach the containers of `service`."""
    return {
        name for value in compose["services"][service].get("environment", {}).values() for name in used(value)
    }


def used(value: object) -> list[str]:
    return re.findall(r"\$\{(\w+)", str(value))


def test_each_setting_of_the_code_reaches_its_containers(compose: dict[str, Any]) -> None:
    reached = {
        name
        for service in compose["services"]
        if service != "redis"
        for name in environment(compose, service)
    }
    of_compose = {"MSSBENCH_DATA", "MSSBENCH_RUNS"}  # named in a message
    assert variables_of_code() - reached - INSIDE - ELSEWHERE - of_compose == set()


@pytest.mark.parametrize("service", ["orchestrator", "worker-render", "worker-evaluate", "worker-demucs"])
def test_limits_reach_all_processes_that_run_steps(compose: dict[str, Any], service: str) -> None:
    assert variables_in(ROOT / "orchestrator/mssbench/settings/limits.py") - environment(
        compose, service
    ) <= {
        "MSSBENCH_STOP_SECONDS"  # of workers only
    }
    assert {"MSSBENCH_LOG", "MSSBENCH_MAX_SECONDS"} <= environment(compose, service)


def test_all_services_share_the_settings_of_the_application(compose: dict[str, Any]) -> None:
    for service in ("synth", "evaluator", "oracle", "demucs", "openunmix", "spleeter", "msst"):
        assert {"MSSBENCH_LOG", "MSSBENCH_MAX_SECONDS", "MSSBENCH_MAX_UPLOAD_MB"} <= environment(
            compose, service
        )


def test_each_variable_of_the_docs_exists(compose: dict[str, Any]) -> None:
    text = "".join(path.read_text() for path in ROOT.glob("docker-*.yml"))
    known = variables_of_code() | set(used(text)) | ELSEWHERE | INSIDE
    docs = variables_in(ROOT / "README.md", ROOT / "docker-compose.yml", *(ROOT / "docs").glob("*.md"))
    examples = {name for name in docs if name.endswith("_MIDSIDE")}
    assert {name for name in docs - known - examples if not name.startswith("MSSBENCH_URL")} == set()


def test_one_setting_scales_the_evaluator_and_its_workers(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert used(services["evaluator"]["environment"]["MSSBENCH_CONCURRENCY"]) == ["EVALUATE_WORKERS"]
    assert used(services["worker-evaluate"]["deploy"]["replicas"]) == ["EVALUATE_WORKERS"]
    for name in ("demucs", "openunmix", "spleeter", "msst", "oracle"):
        for service in (name, f"worker-{name}"):
            assert used(services[service]["deploy"]["replicas"]) == [f"{name.upper()}_REPLICAS"], service


def init(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "mssbench-compose", folder)
    return subprocess.run(
        [folder / "mssbench-compose", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_init_writes_the_settings_once(tmp_path: Path, compose: dict[str, Any]) -> None:
    done = init(tmp_path, "init")
    assert done.returncode == 0
    env = tmp_path / ".env"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    settings = dict(line.split("=", 1) for line in env.read_text().splitlines() if re.match(r"\w+=", line))
    assert int(settings["MSSBENCH_UID"]) == (os.getuid() or 1000)
    assert int(settings["EVALUATE_WORKERS"]) == os.cpu_count()
    assert set(settings) <= set(used((ROOT / "docker-compose.yml").read_text()))
    for name in ("DATA", "RUNS", "WEIGHTS"):
        folder = tmp_path / settings[f"MSSBENCH_{name}"]
        assert folder.stat().st_uid == int(settings["MSSBENCH_UID"])

    env.write_text("MSSBENCH_PORT=9000\n")
    again = init(tmp_path, "init")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert env.read_text() == "MSSBENCH_PORT=9000\n"
    assert init(tmp_path, "init", "--force").returncode == 0
    assert "EVALUATE_WORKERS" in env.read_text()


@pytest.mark.parametrize("arguments", [[], ["start"], ["init", "--all"], ["init", "--force", "x"]])
def test_init_refuses_other_arguments(tmp_path: Path, arguments: list[str]) -> None:
    assert init(tmp_path, *arguments).returncode == 2
    assert not (tmp_path / ".env").exists()
