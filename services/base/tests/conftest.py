"""Running services: one around tiny separators in a process of its own, applications
in a thread, and a server of weights.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from mssbench_contract import Answer, Client, ServiceUnderTest, music, service_under_test
from mssbench_contract.files import FileServer, file_server
from mssbench_contract.server import served
from mssbench_service import errors
from mssbench_service.app import Settings, create_app
from mssbench_service.audio import FloatArray
from mssbench_service.errors import BadInput, BenchError, from_problem
from mssbench_service.files import DataRoot
from mssbench_service.weights import fetch

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
        yield lambda app: servers.enter_context(served(app))


def app_of(tmp_path: Path, setup: Callable[[], None] | None = None, **settings: Any) -> FastAPI:
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


FAMILY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BenchError)]
"""The errors that the module defines. Other packages may derive more."""


CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A server of one file of weights."""
    with file_server("model.th", CONTENT) as server:
        yield server


Pins = Callable[..., Path]


@pytest.fixture
def pins(server: FileServer, tmp_path: Path) -> Pins:
    """Write a weights.toml for the server's file."""

    def write(sha256: str = SHA256[:8], size: int | None = None, unpack: str = "") -> Path:
        lines = ['service = "demo"', 'default = "small"', "[models]", 'small = ["model.th"]']
        lines += ['[files."model.th"]', f'url = "{server.url}"', f'sha256 = "{sha256}"']
        lines += [f"size = {size}"] if size is not None else []
        lines += [f'unpack = "{unpack}"'] if unpack else []
        path = tmp_path / "weights.toml"
        path.write_text("\n".join(lines))
        return path

    return write


def fetch_quickly(path: Path, dest: Path, **options: object) -> list[Path]:
    """Fetch with short pauses before retries."""
    return fetch(path, dest, pause=0.001, **options)  # type: ignore[arg-type]


def fetched(path: Path, dest: Path, **options: object) -> bytes:
    """The content of the one file, fetched with short pauses before retries."""
    (file,) = fetch_quickly(path, dest, **options)
    return file.read_bytes()
