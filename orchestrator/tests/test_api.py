"""The orchestrator service, as a client sees it: a real server, a real Redis, real workers."""

from __future__ import annotations

import csv
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from mssbench.embedded import embedded_redis, embedded_workers

RUN = {"dataset": "music", "separators": ["oracle-identity"], "tracks": 1}


@pytest.fixture
def redis_url() -> Iterator[str]:
    with embedded_redis() as url:
        yield url


def serve(workspace: Path, redis_url: str, port: int) -> subprocess.Popen[bytes]:
    environment = os.environ | {"MSSBENCH_DATA_ROOT": str(workspace), "MSSBENCH_REDIS_URL": redis_url}
    return subprocess.Popen(
        [sys.executable, "-m", "mssbench", "serve", "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ready(client: httpx.Client) -> None:
    for _ in range(1200):
        try:
            if client.get("/health").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the orchestrator did not become ready")


@pytest.fixture
def client(workspace: Path, redis_url: str) -> Iterator[httpx.Client]:
    port = free_port()
    process = serve(workspace, redis_url, port)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        ready(client)
        yield client
    process.terminate()
    process.wait(timeout=30)


def complete(client: httpx.Client, run_id: str, seconds: float = 600) -> dict:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = client.get(f"/runs/{run_id}").json()
        if status["state"] == "complete":
            return status
        time.sleep(0.2)
    raise AssertionError(f"not complete: {status}")


def test_a_run_is_started_followed_and_read(client: httpx.Client, workspace: Path, redis_url: str) -> None:
    started = client.post("/runs", json=RUN)
    assert started.status_code == 202
    run_id = started.json()["id"]
    assert started.json()["state"] == "running"
    assert client.get(f"/runs/{run_id}/results.csv").status_code == 404
    assert {row["status"] for row in client.get(f"/runs/{run_id}/results").json()} == {"pending"}
    with embedded_workers(redis_url, workspace):
        status = complete(client, run_id)
    assert status["progress"]["ended"] == status["progress"]["cells"] == 2
    assert status["problem"] == ""
    rows = list(csv.DictReader(client.get(status["links"]["results.csv"]).text.splitlines()))
    assert len(rows) == 2 * 4
    assert "<html" in client.get(status["links"]["report/index.html"]).text
    assert [run["id"] for run in client.get("/runs").json()] == [run_id]


def test_a_restarted_orchestrator_ends_the_runs_that_it_had_begun(
    client: httpx.Client, workspace: Path, redis_url: str
) -> None:
    run_id = client.post("/runs", json=RUN).json()["id"]
    port = free_port()
    # Another orchestrator over the same data root, as after a restart; the first one is left without answers.
    second = serve(workspace, redis_url, port)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as later:
            ready(later)
            with embedded_workers(redis_url, workspace):
                assert complete(later, run_id)["progress"]["failed"] == 0
    finally:
        second.terminate()
        second.wait(timeout=30)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"dataset": "nowhere"}, 404, "'nowhere' does not exist"),
        ({"dataset": "/etc"}, 422, "leads outside the data root"),
        ({"dataset": "music/../../etc"}, 422, "leads outside the data root"),
        ({"dataset": "music", "hrir": "../x.sofa"}, 422, "leads outside the data root"),
        ({"dataset": "music", "angles": "../x.json"}, 422, "leads outside the data root"),
        ({"dataset": "music", "separators": ["nonsense"]}, 422, "unknown separator 'nonsense'"),
        ({"dataset": "music", "tracks": "many"}, 422, "tracks: "),
        ({"split": "test"}, 422, "dataset: "),
        ("music", 422, ""),
    ],
)
def test_a_bad_request_is_a_problem_document(
    client: httpx.Client, body: object, status: int, says: str
) -> None:
    answer = client.post("/runs", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in answer.json()["detail"]
    assert answer.json()["status"] == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runs/nothing", 404),
        ("/runs/nothing/results.csv", 404),
        ("/runs/a%20b", 422),
        ("/runs/nothing/report/index.html", 404),
        ("/nowhere", 404),
    ],
)
def test_what_is_not_there_is_a_problem_document(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_reports_files_cannot_be_left(client: httpx.Client, workspace: Path, redis_url: str) -> None:
    run_id = client.post("/runs", json=RUN).json()["id"]
    with embedded_workers(redis_url, workspace):
        complete(client, run_id)
    for path in ("%2e%2e/run.json", "..%2frun.json", "%2fetc%2fpasswd"):
        answer = client.get(f"/runs/{run_id}/report/{path}")
        assert answer.status_code in (404, 422), path
        assert "schema" not in answer.text


def test_the_description_of_the_api_names_every_route(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/runs", "/runs/{run_id}", "/runs/{run_id}/results", "/health", "/info"} <= set(paths)
