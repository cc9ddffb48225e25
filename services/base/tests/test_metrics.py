"""The Prometheus metrics of a service."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from mssbench_service.admission import run_job
from mssbench_service.app import Settings, create_app
from mssbench_service.errors import BadInput, Busy
from mssbench_service.files import DataRoot
from mssbench_service.metrics import Metrics
from prometheus_client.parser import text_string_to_metric_families

from .conftest import Serve


class Found:
    """Values of the metrics at the time of creation."""

    def __init__(self, metrics: Metrics) -> None:
        text = metrics.page()[0].decode()
        self._samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def __call__(self, name: str, **labels: str) -> float:
        (value,) = [s.value for s in self._samples if s.name == name and s.labels == labels]
        return float(value)


def app_of(tmp_path: Path, **settings: Any) -> FastAPI:
    app = create_app("trial", "1.2.3", settings=Settings(DataRoot(tmp_path), **settings), info=dict)
    app.state.readiness.state = "ready"
    return app


def request_of(app: FastAPI, path: str) -> Request:
    scope = {"type": "http", "app": app, "method": "POST", "path": path, "headers": [], "query_string": b"",
             "server": ("x", 80), "scheme": "http"}  # fmt: skip
    return Request(scope)


def test_jobs_are_counted_by_stage_and_outcome_and_timed(tmp_path: Path) -> None:
    app = app_of(tmp_path)

    def fail() -> None:
        raise BadInput("no")

    async def work() -> None:
        await run_job(request_of(app, "/separate"), lambda: None)
        with pytest.raises(BadInput):
            await run_job(request_of(app, "/separate"), fail)
        app.state.readiness.state = "starting"
        with pytest.raises(Exception, match="starting"):
            await run_job(request_of(app, "/render"), lambda: None)

    asyncio.run(work())
    found = Found(app.state.metrics)
    assert found("mssbench_jobs_total", stage="separate", outcome="done") == 1
    assert found("mssbench_jobs_total", stage="separate", outcome="failed") == 1
    assert found("mssbench_jobs_total", stage="render", outcome="refused") == 1
    for part in ("wait", "work"):
        assert found("mssbench_job_seconds_count", stage="separate", part=part) == 2
    assert found("mssbench_ready") == 0


def test_running_and_waiting_jobs_are_counted(tmp_path: Path) -> None:
    app = app_of(tmp_path, concurrency=1, queue=1)
    started, end = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        assert end.wait(20)

    async def work() -> Found:
        jobs = [asyncio.create_task(run_job(request_of(app, "/separate"), hold)) for _ in range(2)]
        while not started.is_set():
            await asyncio.sleep(0.005)
        with pytest.raises(Busy):
            await run_job(request_of(app, "/separate"), hold)
        found = Found(app.state.metrics)
        end.set()
        await asyncio.gather(*jobs)
        return found

    found = asyncio.run(work())
    assert found("mssbench_jobs_now", state="running") == 1
    assert found("mssbench_jobs_now", state="waiting") == 1
    assert found("mssbench_jobs_total", stage="separate", outcome="refused") == 1
    after = Found(app.state.metrics)
    assert (after("mssbench_jobs_now", state="running"), after("mssbench_jobs_now", state="waiting")) == (
        0,
        0,
    )


def test_the_metrics_describe_the_process_and_the_service(tmp_path: Path) -> None:
    found = Found(app_of(tmp_path).state.metrics)
    assert found("mssbench_service_info", service="trial", version="1.2.3", device="cpu") == 1
    assert found("process_resident_memory_bytes") > 1e6


def test_the_page_has_one_charset_and_no_times_of_creation(tmp_path: Path, serve: Serve) -> None:
    answer = serve(app_of(tmp_path)).get("/metrics")
    assert answer.headers["content-type"].count("charset=") == 1
    assert b"_created" not in answer.body
    assert b"mssbench_requests_total" in answer.body
