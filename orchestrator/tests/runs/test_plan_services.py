"""The planner calls each service that the run needs once, and no other service.

That it calls them in parallel is in ``tests/services/test_health.py``.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from mssbench.runs.config import RunConfig
from mssbench.runs.plan import plan
from mssbench.services import http
from mssbench.services.runtime import make_runtime
from mssbench_service.errors import Unavailable


@pytest.fixture
def silent(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, socket.socket]]:
    """Two registered services that accept connections and never answer, beside the oracle in this process."""
    registry = workspace / "services.toml"
    registry.write_text(
        '[tools]\nsynth = { module = "synth_service", url = "http://synth" }\n'
        'evaluator = { module = "evaluator_service", url = "http://evaluator" }\n'
        '[separators]\noracle = { module = "oracle_service", url = "http://oracle" }\n'
        'one = { module = "one", url = "http://unused" }\ntwo = { module = "two", url = "http://unused" }\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("MSSBENCH_SERVICES", str(registry))
    monkeypatch.setattr(http, "CONNECT_SECONDS", 0.5)
    with contextlib.ExitStack() as stack:
        services = {
            name: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for name in ("one", "two")
        }
        for name, service in services.items():
            service.setblocking(False)
            monkeypatch.setenv(f"MSSBENCH_URL_{name.upper()}", f"http://127.0.0.1:{service.getsockname()[1]}")
        yield services


def calls(service: socket.socket) -> int:
    """Number of connections since the last call."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            service.accept()[0].close()
            count += 1
    return count


def test_the_services_of_a_run_are_called_once_and_others_are_not(
    workspace: Path, silent: dict[str, socket.socket]
) -> None:
    def config(*separators: str) -> RunConfig:
        return RunConfig(dataset="music", separators=list(separators), conditions=["stereo"], tracks=1)

    record = plan(config("oracle-mixture", "two"), make_runtime(workspace))
    assert [(one.name, one.status) for one in record.separators] == [
        ("oracle-mixture", "available"),
        ("two", "unavailable"),
    ]
    assert {"oracle", "synth", "evaluator"} <= record.versions.keys()
    assert [calls(silent["one"]), calls(silent["two"])] == [0, 1]
    with pytest.raises(Unavailable, match=r"one at .* did not answer"):
        plan(config("one"), make_runtime(workspace))
