"""The application of every service, behind a real server: start, settings, limits, ids, metrics."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi import Request
from mssbench_contract.server import read_answer, wait_for
from mssbench_service import healthcheck, startup
from mssbench_service.admission import run_job
from mssbench_service.app import Settings, create_app
from mssbench_service.environment import processors
from mssbench_service.errors import BadInput, NotReady, Starting
from mssbench_service.files import DataRoot

from .conftest import LIMIT, Serve, app_of, problem_of


def test_health_from_starting_over_busy_to_ready(tmp_path: Path, serve: Serve) -> None:
    loaded, finish = threading.Event(), threading.Event()
    app = app_of(tmp_path, setup=lambda: assert_true(loaded.wait(20)))

    @app.get("/work")
    async def work(request: Request) -> bool:
        return await run_job(request, lambda: finish.wait(20))

    server = serve(app)
    for path in ("/health", "/work"):
        answer = server.get(path)
        assert isinstance(problem_of(answer, 503), Starting)
        assert int(answer.headers["retry-after"]) >= 1
    with pytest.raises(Starting, match="still starting"):
        healthcheck.check(server.url)
    assert server.get("/info").json() == {"service": "trial", "version": "1.2.3", "device": "cpu"}
    loaded.set()
    wait_for(lambda: server.get("/health").status == 200)
    assert server.get("/health").json() == {"status": "ready", "in_flight": 0}
    assert healthcheck.check(server.url) == "ready"
    with ThreadPoolExecutor() as pool:
        job = pool.submit(server.get, "/work")
        wait_for(lambda: server.get("/health").json() == {"status": "busy", "in_flight": 1})
        finish.set()
        assert job.result().json() is True
    assert server.get("/health").json() == {"status": "ready", "in_flight": 0}


def assert_true(value: bool) -> None:
    assert value


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            NotReady("weights.th is missing; run: mssbench weights fetch"),
            "weights.th is missing; run: mssbench",
        ),
        (RuntimeError("no such device"), "setup failed: RuntimeError: no such device"),
    ],
)
def test_a_failed_setup_is_reported_in_health_and_the_server_keeps_running(
    tmp_path: Path, serve: Serve, error: Exception, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    def setup() -> None:
        raise error

    app = app_of(tmp_path, setup)
    server = serve(app)
    wait_for(lambda: app.state.readiness.state == "failed")
    answer = server.get("/health")
    assert says in problem_of(answer, 503).detail
    assert answer.headers["retry-after"] == "60"
    assert server.get("/info").status == 200
    assert says in healthcheck.check(server.url), "the container is healthy, and the check prints the reason"


def test_setup_is_retried_after_a_retryable_error_only(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "SETUP_RETRY_SECONDS", 0.01)
    weights = tmp_path / "weights.th"
    tries = []

    def setup() -> None:
        tries.append(weights.exists())
        if not tries[-1]:
            raise NotReady("weights.th is missing")

    server = serve(app_of(tmp_path, setup))
    wait_for(lambda: len(tries) >= 3)
    assert problem_of(server.get("/health"), 503).detail == "weights.th is missing"
    weights.touch()
    wait_for(lambda: server.get("/health").status == 200)
    assert tries[-1]
    assert not any(tries[:-1])

    wrong = []

    def refuse() -> None:
        wrong.append(1)
        raise BadInput("DEVICE='gpu' is no device")

    app = app_of(tmp_path, refuse)
    serve(app)
    wait_for(lambda: app.state.readiness.state == "failed")
    time.sleep(0.2)
    assert len(wrong) == 1


def test_each_reason_for_not_being_ready_is_logged_once(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(startup, "SETUP_RETRY_SECONDS", 0.01)
    lacking = ["a.th is missing", "a.th is missing", "a.th is missing", "b.th is missing"]

    def setup() -> None:
        if lacking:
            raise NotReady(lacking.pop(0))

    server = serve(app_of(tmp_path, setup))
    wait_for(lambda: server.get("/health").status == 200)
    said = [record.getMessage() for record in caplog.records if "not ready" in record.getMessage()]
    assert said == ["trial is not ready: a.th is missing", "trial is not ready: b.th is missing"]


def test_the_health_check_fails_without_a_server() -> None:
    with pytest.raises(Starting, match="does not answer"):
        healthcheck.check("http://127.0.0.1:1")


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DATA_ROOT", "MAX_UPLOAD_MB", "MAX_SECONDS", "CONCURRENCY", "QUEUE"):
        monkeypatch.delenv(f"MSSBENCH_{name}", raising=False)
    assert Settings.from_environment() == Settings()
    monkeypatch.setenv("MSSBENCH_DATA_ROOT", str(tmp_path))
    monkeypatch.setenv("MSSBENCH_MAX_UPLOAD_MB", "0.5")
    monkeypatch.setenv("MSSBENCH_MAX_SECONDS", "60")
    monkeypatch.setenv("MSSBENCH_CONCURRENCY", "3")
    monkeypatch.setenv("MSSBENCH_QUEUE", "0")
    assert Settings.from_environment() == Settings(DataRoot(tmp_path), 2**19, 60.0, 3, 0)
    monkeypatch.setenv("MSSBENCH_CONCURRENCY", "auto")
    assert Settings.from_environment().concurrency == processors()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MSSBENCH_QUEUE", "many"),
        ("MSSBENCH_QUEUE", "-1"),
        ("MSSBENCH_QUEUE", "1.5"),
        ("MSSBENCH_CONCURRENCY", "0"),
        ("MSSBENCH_MAX_UPLOAD_MB", "nan"),
        ("MSSBENCH_MAX_UPLOAD_MB", "1e308"),
        ("MSSBENCH_MAX_SECONDS", "inf"),
    ],
)
def test_a_wrong_setting_is_named_in_health_and_the_service_keeps_running(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    app = create_app("trial", "1", settings=Settings.from_environment(), info=dict)
    server = serve(app)
    wait_for(lambda: app.state.readiness.state == "failed")
    assert f"{name}=" in problem_of(server.get("/health"), 503).detail
    assert server.get("/info").status == 200


def test_a_declared_length_over_the_limit_is_refused_before_the_body_is_sent(
    tmp_path: Path, serve: Serve
) -> None:
    server = serve(app_of(tmp_path))
    for path in ("/body", "/no/such"):
        with server.connect() as connection:
            connection.putrequest("POST", path)
            connection.putheader("Content-Length", str(LIMIT + 1))
            connection.endheaders()
            assert "larger than" in problem_of(read_answer(connection), 413).detail


def test_a_body_without_declared_length_is_limited_while_it_is_received(tmp_path: Path, serve: Serve) -> None:
    server = serve(app_of(tmp_path))
    for size, status in ((LIMIT, 200), (LIMIT + 1, 413)):
        with server.connect() as connection:
            pieces = (b"x" * min(100, size - start) for start in range(0, size, 100))
            connection.request("POST", "/body", pieces, encode_chunked=True)
            answer = read_answer(connection)
            assert answer.status == status
            assert answer.headers["x-request-id"]
    assert server.request("POST", "/body", b"x" * LIMIT).json() == LIMIT


@pytest.mark.parametrize("given", ["abc", "A-b.c_9", "x" * 64])
def test_a_plain_request_id_is_returned(tmp_path: Path, serve: Serve, given: str) -> None:
    answer = serve(app_of(tmp_path)).request("GET", "/no", None, {"X-Request-ID": given})
    assert answer.headers["x-request-id"] == given


def test_any_other_request_id_is_replaced(tmp_path: Path, serve: Serve) -> None:
    server = serve(app_of(tmp_path))
    ids = set()
    for given in ("", "x" * 65, "a b", "é".encode().decode("latin-1"), "<script>"):
        answer = server.request("GET", "/health", None, {"X-Request-ID": given})
        assert answer.headers["x-request-id"] != given
        ids.add(answer.headers["x-request-id"])
    assert len(ids) == 5


def test_requests_are_counted_by_route(tmp_path: Path, serve: Serve) -> None:
    server = serve(app_of(tmp_path))
    for path in ("/raise/busy", "/raise/bad-input", "/nowhere", "/nowhere/else"):
        server.get(path)
    answer = server.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.body.decode().splitlines()
    assert 'mssbench_requests_total{method="GET",route="/raise/{code}",status="503"} 1.0' in lines
    assert 'mssbench_requests_total{method="GET",route="/raise/{code}",status="422"} 1.0' in lines
    assert 'mssbench_requests_total{method="GET",route="none",status="404"} 2.0' in lines
