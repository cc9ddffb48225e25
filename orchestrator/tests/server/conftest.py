"""A client of the API, which is served in a thread over a real Redis."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from mssbench.execution.embedded import embedded_server
from mssbench.execution.queue_status import QueueStatus
from mssbench.execution.queues import connect
from mssbench.runs.status import RunStatus
from mssbench.server.app import create_app
from mssbench_contract.server import Client, served, wait_for
from mssbench_service.app import Settings
from mssbench_service.files import DataRoot
from mssbench_service.wire import parse

RUN = {"dataset": "music", "separators": ["oracle-identity"], "tracks": 1, "bsseval": False}


@pytest.fixture(scope="module")
def redis_server() -> Iterator[str]:
    with embedded_server() as redis:
        yield redis.url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    with connect(redis_server) as connection:
        connection.flushall()
    return redis_server


def settings_of(workspace: Path) -> Settings:
    return Settings(data_root=DataRoot(workspace))


@contextmanager
def in_this_process(workspace: Path, redis_url: str) -> Iterator[httpx.Client]:
    """Serve the API in a thread, and yield a client once the service has started."""
    with served(create_app(settings_of(workspace), redis_url)) as service, client_of(service) as client:
        wait_for(lambda: "still starting" not in client.get("/health").text)
        yield client


def client_of(service: Client) -> httpx.Client:
    return httpx.Client(base_url=service.url, timeout=60)


@pytest.fixture
def api(workspace: Path, redis_url: str) -> Iterator[httpx.Client]:
    """A client of the service, which is ready and has no workers."""
    with in_this_process(workspace, redis_url) as client:
        yield client


def events_of(client: httpx.Client, run_id: str) -> Generator[tuple[str, RunStatus], None, None]:
    with client.stream("GET", f"/runs/{run_id}/events", timeout=600) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in answer.iter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, parse(RunStatus, json.loads(value))


def problem_of(answer: httpx.Response, status: int) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    problem: dict[str, object] = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    return problem


def depth(api: httpx.Client, queue: str) -> int:
    found = parse(QueueStatus, api.get("/queues").json())
    return next(state.depth for state in found.queues if state.name == queue)
