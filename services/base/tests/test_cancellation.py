"""Jobs end when their client disconnects."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import Request
from mssbench_contract import Client
from mssbench_contract.server import read_answer, wait_for
from mssbench_service.admission import run_job
from mssbench_service.cancellation import raise_if_cancelled

from .conftest import LIMIT, Serve, app_of


@dataclass
class SlowService:
    """A service whose jobs run until `finish` is set, or until they are cancelled; `started` are their names."""

    server: Client
    started: list[str]
    finish: threading.Event

    @contextlib.contextmanager
    def client(self, name: str, body: bytes = b"") -> Iterator[http.client.HTTPConnection]:
        """A client that has requested a job; it disconnects at the end of the block."""
        with self.server.connect() as connection:
            connection.request("POST", f"/work?name={name}", body)
            yield connection

    def in_flight(self) -> int:
        count = self.server.get("/health").json()["in_flight"]
        assert isinstance(count, int)
        return count

    def outcomes(self) -> dict[str, float]:
        lines = self.server.get("/metrics").body.decode().splitlines()
        counted = [line for line in lines if line.startswith("mssbench_jobs_total{")]
        return {line.split('outcome="')[1].split('"')[0]: float(line.split()[-1]) for line in counted}


@pytest.fixture
def slow(tmp_path: Path, serve: Serve) -> SlowService:
    started: list[str] = []
    finish = threading.Event()
    app = app_of(tmp_path, concurrency=1, queue=2)

    @app.post("/work")
    async def work(request: Request, name: str) -> str:
        await request.body()

        def work_slowly() -> str:
            started.append(name)
            while not finish.wait(0.01):
                raise_if_cancelled()
            return name

        return await run_job(request, work_slowly)

    server = serve(app)
    wait_for(lambda: server.get("/health").status == 200)
    return SlowService(server, started, finish)


@pytest.mark.parametrize("body", [b"", b"x" * LIMIT])
def test_work_ends_when_its_client_has_gone_and_what_waits_is_not_started(
    slow: SlowService, body: bytes
) -> None:
    with slow.client("stays", body) as stays:
        wait_for(lambda: slow.started == ["stays"])
        with slow.client("waits", body):
            wait_for(lambda: slow.in_flight() == 2)
        wait_for(lambda: slow.in_flight() == 1)
        slow.finish.set()
        assert read_answer(stays).json() == "stays"
    wait_for(lambda: slow.in_flight() == 0)
    assert slow.started == ["stays"]
    slow.finish.clear()
    with slow.client("leaves", body):
        wait_for(lambda: slow.started == ["stays", "leaves"])
    wait_for(lambda: slow.in_flight() == 0)
    assert slow.outcomes() == {"done": 1, "abandoned": 2}


def test_work_outside_of_a_service_is_never_cancelled() -> None:
    raise_if_cancelled()
