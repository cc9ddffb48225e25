"""The planner calls each service that the run needs once, in parallel, and no other service."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mssbench.runs.config import RunConfig
from mssbench.runs.plan import plan
from mssbench.services import http
from mssbench.services.runtime import make_runtime
from mssbench_service.errors import Unavailable

NAMES = ("one", "two", "three")
TIMEOUT = 2.0


class SilentService:
    """A socket that accepts requests and never answers. `requests` are the times of their arrival."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.requests: list[float] = []
        self._connections: list[socket.socket] = []  # kept open
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._socket.accept()
                self._connections.append(connection)
                self.requests.append(time.monotonic())

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for one in (self._socket, *self._connections):
            one.close()


@pytest.fixture
def silent(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[SilentService]]:
    """Three registered services that never answer, beside the oracle in this process."""
    services = [SilentService() for _ in NAMES]
    entries = ['oracle = { module = "oracle_service", url = "http://oracle" }']
    for name, service in zip(NAMES, services, strict=True):
        entries.append(f'{name} = {{ module = "{name}", url = "http://unused" }}')
        monkeypatch.setenv(f"MSSBENCH_URL_{name.upper()}", f"http://127.0.0.1:{service.port}")
    registry = workspace / "services.toml"
    registry.write_text(
        '[tools]\nsynth = { module = "synth_service", url = "http://synth" }\n'
        'evaluator = { module = "evaluator_service", url = "http://evaluator" }\n'
        "[separators]\n" + "\n".join(entries),
        encoding="utf-8",
    )
    monkeypatch.setenv("MSSBENCH_SERVICES", str(registry))
    monkeypatch.setattr(http, "CONNECT_SECONDS", TIMEOUT)
    yield services
    for service in services:
        service.close()


def config(*separators: str) -> RunConfig:
    return RunConfig(dataset="music", separators=list(separators), conditions=["stereo"], tracks=1)


def test_services_that_the_run_does_not_use_are_not_called(
    workspace: Path, silent: list[SilentService]
) -> None:
    record = plan(config("oracle-mixture"), make_runtime(workspace))
    assert [service.requests for service in silent] == [[], [], []]
    assert {"oracle", "synth", "evaluator"} <= record.versions.keys()


def test_services_that_the_run_uses_are_called_once_and_in_parallel(
    workspace: Path, silent: list[SilentService]
) -> None:
    with pytest.raises(Unavailable, match=r"one at .* did not answer"):
        plan(config(*NAMES), make_runtime(workspace))
    assert [len(service.requests) for service in silent] == [1, 1, 1]
    times = [time for service in silent for time in service.requests]
    assert max(times) - min(times) < TIMEOUT, "one call waited for another one"


def test_unavailable_services_do_not_stop_a_run_with_an_available_one(
    workspace: Path, silent: list[SilentService]
) -> None:
    record = plan(config("oracle-mixture", "two"), make_runtime(workspace))
    assert [(one.name, one.status) for one in record.separators] == [
        ("oracle-mixture", "available"),
        ("two", "unavailable"),
    ]
    assert [len(service.requests) for service in silent] == [0, 1, 0]
