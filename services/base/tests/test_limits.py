"""Limits of requests: the time of heads and bodies, the size of bodies, the hosts."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi import Request
from mssbench_contract import Client, running
from mssbench_service import http_heads, middleware
from mssbench_service.app import Settings, create_app
from mssbench_service.errors import Forbidden, SlowRequest
from mssbench_service.files import DataRoot
from mssbench_service.http_heads import HEAD_SECONDS

from .conftest import JSON, PATH, TINY, Serve, app_of, problem_of


@contextlib.contextmanager
def connected(server: Client) -> Iterator[socket.socket]:
    url = urlsplit(server.url)
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=60) as connection:
        yield connection


def answer_to(server: Client, sent: bytes) -> bytes:
    """What the server sends: a problem document, or nothing before it closes the connection."""
    with connected(server) as connection:
        connection.sendall(sent)
        answer = b""
        while not answer.endswith(b"}") and (part := connection.recv(65536)):
            answer += part
    return answer


# -- heads ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_a_connection_without_a_complete_head_is_closed(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(http_heads, "HEAD_SECONDS", 0.3)
    server = serve(app_of(tmp_path))
    started = time.monotonic()
    assert answer_to(server, sent) == b""
    assert 0.2 < time.monotonic() - started < HEAD_SECONDS


def test_a_head_sent_a_byte_at_a_time_is_limited_also_on_a_used_connection(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(app_of(tmp_path))
    with connected(server) as connection:
        connection.sendall(b"GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(http_heads, "HEAD_SECONDS", 0.5)
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - started < HEAD_SECONDS:
                connection.sendall(b"G")
                time.sleep(0.02)
        assert 0.4 < time.monotonic() - started < HEAD_SECONDS


def test_a_response_may_take_longer_than_a_head(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_heads, "HEAD_SECONDS", 1.0)  # enough for the head, also on a machine under load
    app = app_of(tmp_path)

    @app.get("/slow")
    def slow() -> bool:
        time.sleep(1.5)
        return True

    assert serve(app).get("/slow").json() is True


def test_many_half_open_connections_do_not_stop_the_service(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_heads, "HEAD_SECONDS", 120.0)  # they stay open for longer than the test
    server = serve(app_of(tmp_path))
    with contextlib.ExitStack() as stack:
        for _ in range(160):
            stack.enter_context(connected(server)).sendall(b"GET /health HTTP/1.1\r\nHost: ")
        started = time.monotonic()
        assert server.get("/info").status == 200
        assert time.monotonic() - started < 60


# -- bodies --------------------------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path: Path, serve: Serve) -> Client:
    """A service that accepts large uploads."""
    app = create_app("trial", "1", settings=Settings(DataRoot(tmp_path)), info=dict, uploads=["/upload"])

    @app.post("/body")
    @app.post("/upload")
    async def body(request: Request) -> int:
        return len(await request.body())

    return serve(app)


def test_a_body_without_files_ends_at_one_mebibyte(large: Client) -> None:
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    body = b" " * 2**20
    assert large.request("POST", "/body", body, JSON).json() == 2**20
    assert large.request("POST", "/upload", body * 2, form).json() == 2**21
    for path, headers in (("/body", JSON), ("/body", form), ("/upload", JSON)):
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {headers['Content-Type']}\r\n"
        declared = answer_to(
            large, f"{head}Connection: close\r\nContent-Length: {2**20 + 1}\r\n\r\n".encode()
        )
        assert declared.startswith(b"HTTP/1.1 413")
        assert b"larger than 1 MiB" in declared
    chunk = b"100001\r\n" + b" " * (2**20 + 1) + b"\r\n"
    start = (
        b"POST /body HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    assert answer_to(large, start + chunk).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("path", ["/body", "/upload"])
def test_a_body_that_does_not_arrive_is_given_up(
    large: Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(middleware, "JSON_SECONDS", 0.2)
    monkeypatch.setattr(middleware, "UPLOAD_SECONDS", 0.2)
    kind = "multipart/form-data; boundary=x" if path == "/upload" else "application/json"
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 100\r\n\r\n{{"
    answer = answer_to(large, head.encode())
    assert answer.startswith(b"HTTP/1.1 408")
    assert SlowRequest.code.encode() in answer


def test_a_service_that_is_terminated_waits_for_no_body(tmp_path: Path) -> None:
    with (
        running(TINY, {**PATH, "MSSBENCH_DATA_ROOT": str(tmp_path)}) as service,
        connected(service) as connection,
    ):
        connection.sendall(b"POST /separate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.2)
        service.process.terminate()
        assert service.process.wait(timeout=25) in (0, -15)


# -- hosts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "accepted"),
    [
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("127.0.0.1:1", True),
        ("[::1]:8000", True),
        ("bench.example", True),
        ("10.0.0.7:8000", False),
        ("rebound.example", False),
        ("localhost.rebound.example", False),
        ("127.0.0.1.rebound.example:8000", False),
        ("", False),
        ("[", False),
    ],
)
def test_only_hosts_of_the_service_are_accepted(
    tmp_path: Path, serve: Serve, host: str, accepted: bool
) -> None:
    settings = Settings(DataRoot(tmp_path), allowed_hosts=("bench.example",))
    server = serve(create_app("trial", "1", settings=settings, info=dict))
    answer = server.request("GET", "/info", headers={"Host": host})
    if accepted:
        assert answer.status == 200
    else:
        error = problem_of(answer, 403)
        assert isinstance(error, Forbidden)
        assert "MSSBENCH_ALLOWED_HOSTS" in error.detail


def test_allowed_hosts_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSSBENCH_ALLOWED_HOSTS", " Bench.example , other ,")
    assert Settings.from_environment().allowed_hosts == ("bench.example", "other")
