"""Problem documents: each error arrives as its class, and shows nothing of the machine."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from fastapi import Request
from mssbench_contract.server import wait_for
from mssbench_service.admission import run_job
from mssbench_service.errors import OutOfMemory, Unavailable

from .conftest import FAMILY, Serve, app_of, problem_of


def test_every_error_arrives_as_its_class(tmp_path: Path, serve: Serve) -> None:
    server = serve(app_of(tmp_path))
    for kind in FAMILY:
        answer = server.get(f"/raise/{kind.code}")
        error = problem_of(answer, kind.status)
        assert type(error) is kind
        assert error.detail == kind.code
        assert error.to_problem() == answer.json()
        if isinstance(error, Unavailable):
            assert error.retry_after == 7
            assert answer.headers["retry-after"] == "7"
        else:
            assert "retry-after" not in answer.headers


def test_errors_of_the_framework_are_problem_documents(tmp_path: Path, serve: Serve) -> None:
    server = serve(app_of(tmp_path))
    problem_of(server.get("/no/such"), 404)
    assert server.request("POST", "/health").headers["allow"] == "GET"
    problem_of(server.request("DELETE", "/health"), 405)
    assert "number" in problem_of(server.get("/typed?number=many"), 422).detail
    assert "number" in problem_of(server.get("/typed"), 422).detail
    assert server.get("/typed?number=5").json() == 5


def test_an_unexpected_error_shows_no_details(
    tmp_path: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(app_of(tmp_path))
    answer = server.get("/crash")
    assert problem_of(answer, 500).detail == "an unexpected error; the service's log has the details"
    assert b"secret" not in answer.body
    assert any("/crash failed" in record.getMessage() for record in caplog.records)
    assert server.get("/health").status == 200


def test_running_out_of_memory_is_a_retryable_error(
    tmp_path: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    app = app_of(tmp_path)

    @app.get("/work")
    async def work(request: Request) -> None:
        await run_job(request, lambda: bytearray(1 << 62))

    server = serve(app)
    wait_for(lambda: server.get("/health").status == 200)
    answer = server.get("/work")
    assert isinstance(problem_of(answer, 503), OutOfMemory)
    assert answer.headers["retry-after"] == "30"


def test_paths_are_shown_relative_to_the_data_root(tmp_path: Path, serve: Serve) -> None:
    server = serve(app_of(tmp_path))
    for said, shown in (
        (f"{tmp_path}/songs/a.wav is missing", "songs/a.wav is missing"),
        (f"cannot write in the folder {tmp_path}: no", "cannot write in the folder the data root: no"),
        (f"{tmp_path}x/a is another folder", f"{tmp_path}x/a is another folder"),
        (f"{tmp_path}/a and {tmp_path}/b", "a and b"),
    ):
        answer = server.get("/detail?text=" + said.replace(" ", "%20"))
        assert problem_of(answer, 422).detail == shown


def test_the_openapi_schema_is_served(tmp_path: Path, serve: Serve) -> None:
    schema = serve(app_of(tmp_path)).get("/openapi.json")
    assert schema.status == 200
    assert "/health" in schema.json()["paths"]
