"""The whole system in containers: build, start, run the demo data through the published API, compare the results.

Needs a Docker engine with Compose v2 (`make test-compose`). Uses its own project name, port and volumes, and removes
them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from comparing import assert_equal_tables, read_table
from composed import System, docker
from mssbench_contract.server import wait_for

SEPARATORS = ["oracle-mixture", "oracle-irm", "oracle-mwf", "oracle-identity", "oracle-swap"]


@pytest.fixture(scope="module")
def finished(system: System) -> str:
    """The id of a complete run over the demo data, which was started through the published API."""
    started = system.post("/runs", {"dataset": "data/demo", "separators": SEPARATORS, "bsseval": False})
    status = system.wait_until_complete(started["id"])
    assert status["progress"]["failed"] == 0
    assert status["problem"] == ""
    return str(status["id"])


def test_every_service_is_healthy_and_none_is_root(system: System) -> None:
    services = {entry["Service"]: entry for entry in system.containers()}
    assert {"redis", "orchestrator", "synth", "evaluator", "oracle"} <= set(services)
    assert {"worker-render", "worker-evaluate", "worker-oracle"} <= set(services)
    for name, entry in services.items():
        assert entry["Health"] == "healthy", name
        assert system.compose("exec", "-T", name, "id", "-u").strip() != "0", name


def test_only_the_orchestrator_is_published_and_only_on_loopback(system: System) -> None:
    published = {
        (entry["Service"], port["URL"])
        for entry in system.containers()
        for port in entry["Publishers"] or []
        if port["PublishedPort"]
    }
    assert published == {("orchestrator", "127.0.0.1")}


def test_the_results_equal_those_of_the_same_run_in_one_process(
    system: System, finished: str, tmp_path: Path
) -> None:
    composed = system.download(f"/runs/{finished}/results.csv", tmp_path / "composed.csv")
    for arguments in (
        ["data", "demo", "data/demo"],
        [
            "run",
            "--dataset",
            "data/demo",
            "--separators",
            ",".join(SEPARATORS),
            "--inline",
            "--no-bsseval",
            "--run-id",
            "inline",
        ],
    ):
        subprocess.run([sys.executable, "-m", "mssbench", *arguments], cwd=tmp_path, check=True, timeout=1800)
    inline = tmp_path / "runs/inline/results.csv"
    assert len(read_table(inline)) == 2 * len(SEPARATORS) * 4 * 4
    assert_equal_tables(inline, composed, tolerance=1e-9)


def test_the_report_is_served(system: System, finished: str) -> None:
    with urllib.request.urlopen(f"{system.url}/runs/{finished}/report/index.html", timeout=30) as answer:
        assert b"oracle-irm" in answer.read()


def test_the_same_run_again_is_complete_at_once(system: System, finished: str) -> None:
    again = system.post("/runs", {"dataset": "data/demo", "separators": SEPARATORS, "bsseval": False})
    assert again["id"] == finished
    assert again["progress"]["ended"] == again["progress"]["cells"]
    system.wait_until_complete(finished)


def test_a_restarted_redis_and_orchestrator_lose_nothing(system: System) -> None:
    started = system.post(
        "/runs", {"dataset": "data/demo", "separators": ["oracle-ibm"], "seed": 9, "bsseval": False}
    )
    system.compose("kill", "redis", "orchestrator")
    system.compose("up", "--detach", "--wait")
    status = system.wait_until_complete(started["id"])
    assert status["progress"]["failed"] == 0
    assert len(system.get(f"/runs/{started['id']}/results")) == 2 * 4 * 4


FREEZE = """
import os, pathlib, signal
for process in pathlib.Path("/proc").glob("[1-9]*"):
    if process.name != str(os.getpid()) and b"uvicorn" in (process / "cmdline").read_bytes():
        os.kill(int(process.name), signal.SIGSTOP)
"""


def test_the_gpu_file_gives_each_replica_of_a_model_its_own_device_and_changes_nothing_else() -> None:
    def services(*files: str) -> dict[str, Any]:
        options = [option for file in files for option in ("--file", file)]
        found = json.loads(System(0).compose(*options, "config", "--format", "json"))
        services_found: dict[str, Any] = found["services"]
        return services_found

    without, with_gpus = (
        services("docker-compose.yml"),
        services("docker-compose.yml", "docker-compose.gpu.yml"),
    )
    changed = {name for name in without if with_gpus[name] != without[name]}
    assert changed == {"demucs", "msst", "openunmix", "spleeter"}
    for name in changed:
        assert with_gpus[name]["environment"].pop("DEVICE") == "cuda:free"
        assert with_gpus[name]["deploy"]["resources"].pop("reservations") == {
            "devices": [{"driver": "nvidia", "count": -1, "capabilities": ["gpu"]}]  # -1: all
        }
        del without[name]["environment"]["DEVICE"]
        without[name]["deploy"]["resources"].pop("reservations", None)
        assert with_gpus[name]["build"]["args"].pop("CUDA") == "yes"
        assert with_gpus[name] == without[name]


def has_request_of_a_worker(replica: str) -> bool:
    """Whether a connection from outside the container to its service is open."""
    rows = [row.split() for row in docker("exec", replica, "cat", "/proc/net/tcp").splitlines()[1:]]
    established, service, itself = "01", "1F40", "0100007F"  # 8000, 127.0.0.1
    return any(
        row[3] == established and row[1].endswith(f":{service}") and not row[2].startswith(itself)
        for row in rows
    )


def test_replicas_share_the_work_and_a_killed_replica_loses_nothing(
    system: System, finished: str, tmp_path: Path
) -> None:
    undisturbed = system.download(f"/runs/{finished}/results.csv", tmp_path / "undisturbed.csv")
    system.delete(f"/runs/{finished}")
    replicas = system.scale(oracle=3, **{"worker-oracle": 3})["oracle"]
    assert len(replicas) == 3
    started = system.post("/runs", {"dataset": "data/demo", "separators": SEPARATORS, "bsseval": False})
    assert started["id"] == finished
    assert started["progress"]["ended"] == 0
    victim = replicas[0]
    wait_for(lambda: has_request_of_a_worker(victim), "a worker sends a request")
    docker("exec", victim, "python3", "-c", FREEZE)
    wait_for(lambda: has_request_of_a_worker(victim), "a worker waits for the response")
    docker("kill", victim)  # SIGKILL
    docker("start", victim)
    status = system.wait_until_complete(finished)
    assert status["progress"]["failed"] == 0
    assert_equal_tables(
        undisturbed, system.download(f"/runs/{finished}/results.csv", tmp_path / "killed.csv")
    )
    for replica in replicas:
        assert '"POST /separate HTTP/1.1\\" 200' in docker("logs", replica), "the replica received no request"
    system.scale(oracle=1, **{"worker-oracle": 1})
