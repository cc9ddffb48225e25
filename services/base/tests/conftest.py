"""Running services: one around tiny separators in a process of its own, and applications in a thread."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI, Request
from mssbench_contract import Answer, Client, ServiceUnderTest, music, service_under_test
from mssbench_contract.server import wait_for
from mssbench_service.app import Settings, create_app
from mssbench_service.audio import FloatArray
from mssbench_service.errors import BadInput, BenchError, from_problem
from mssbench_service.files import DataRoot

TINY = "tiny_separators.app:app"
PATH = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}


@pytest.fixture(scope="session", params=["quarters", "true-stems"])
def tiny(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceUnderTest]:
    """The service with one of its separators: one that needs the mixture alone, one that needs the true stems."""
    folder = tmp_path_factory.mktemp("tiny")
    with service_under_test(TINY, folder, separator=request.param, environment=PATH) as service:
        yield service


@pytest.fixture
def service(tiny: ServiceUnderTest) -> Iterator[ServiceUnderTest]:
    """The service; after the test it must be idle, without temporary files."""
    yield tiny
    tiny.check_clean()


@pytest.fixture
def track() -> FloatArray:
    """A stereo track of half a second at 44.1 kHz."""
    return music(0.5)


LIMIT = 1000
"""Bytes that a request may have, in the applications of :func:`app_of`."""

JSON = {"Content-Type": "application/json"}
Serve = Callable[[FastAPI], Client]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Function that serves an application in a thread until the test ends."""
    with contextlib.ExitStack() as servers:

        def start(app: FastAPI) -> Client:
            server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", ws="none"))
            thread = threading.Thread(target=server.run)
            thread.start()

            def stop() -> None:
                server.should_exit = True
                thread.join(timeout=20)
                assert not thread.is_alive()

            servers.callback(stop)
            wait_for(lambda: server.started or not thread.is_alive(), 20)
            assert thread.is_alive()
            return Client(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")

        yield start


def app_of(tmp_path: Path, setup: Callable[[], None] | None = None, **settings: int) -> FastAPI:
    """A service with routes that fail in different ways."""
    chosen = Settings(data_root=DataRoot(tmp_path), max_upload_bytes=LIMIT, **settings)
    app = create_app("trial", "1.2.3", settings=chosen, info=lambda: {"device": "cpu"}, setup=setup)

    @app.get("/raise/{code}")
    async def fail(code: str) -> None:
        raise from_problem({"type": f"urn:mssbench:error:{code}", "detail": code, "retry_after": 7})

    @app.get("/detail")
    async def detail(text: str) -> None:
        raise BadInput(text)

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError(f"secret of {tmp_path}")

    @app.get("/typed")
    async def typed(number: int) -> int:
        return number

    @app.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    return app


def problem_of(answer: Answer, status: int) -> BenchError:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    assert answer.json()["status"] == status
    return from_problem(answer.json())
