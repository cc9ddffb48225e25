"""A real Redis, and a run whose jobs are in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mssbench.execution.embedded import embedded_server
from mssbench.execution.prepare import prepare
from mssbench.execution.queues import connect, open_queue
from mssbench.runs.config import RunConfig
from mssbench.runs.run import Run
from mssbench.services.runtime import make_runtime
from redis import Redis


@pytest.fixture
def url() -> Iterator[str]:
    with embedded_server() as server:
        yield server.url


@pytest.fixture
def connection(url: str) -> Iterator[Redis]:
    with connect(url) as connection:
        yield connection


@pytest.fixture
def run(workspace: Path) -> Run:
    config = RunConfig(dataset="music", separators=["oracle-identity", "oracle-irm"], bsseval=False)
    return prepare(config, make_runtime(workspace), run_id="mine")


def queued(connection: Redis, name: str) -> list[str]:
    return list(open_queue(name, connection).job_ids)
