"""The job queue, and the middleware that refuses jobs of a full service."""

from __future__ import annotations

import functools
import select
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import Request
from mssbench_contract import Client
from mssbench_contract.server import read_answer, wait_for
from mssbench_service import admission
from mssbench_service.admission import JobQueue, run_job
from mssbench_service.app import Settings, create_app
from mssbench_service.errors import Busy, NotReady
from mssbench_service.files import DataRoot

from .conftest import JSON, LIMIT, Serve, problem_of


def test_the_queue_limits_jobs_that_run_and_that_wait() -> None:
    queue, finish = JobQueue(2, 1), threading.Event()
    running: list[int] = []

    def work(number: int) -> int:
        running.append(number)
        assert finish.wait(20)
        return number

    jobs = [queue.submit(functools.partial(work, number)) for number in range(3)]
    wait_for(lambda: len(running) == 2)
    time.sleep(0.05)
    assert sorted(running) == [0, 1]  # the third job waits
    assert queue.in_flight == 3
    with pytest.raises(Busy):
        queue.submit(lambda: 99)
    assert queue.in_flight == 3
    finish.set()
    assert [job.result(20) for job in jobs] == [0, 1, 2]
    wait_for(lambda: queue.in_flight == 0)


def test_failed_and_cancelled_jobs_give_their_places_back() -> None:
    queue, finish = JobQueue(1, 1), threading.Event()
    with pytest.raises(ZeroDivisionError):
        queue.submit(lambda: 1 // 0).result(20)
    holding = queue.submit(lambda: finish.wait(20))
    wait_for(lambda: queue.running == 1)
    assert queue.submit(lambda: 1).cancel()
    assert queue.in_flight == 1
    finish.set()
    assert holding.result(20)
    assert queue.submit(lambda: 5).result(20) == 5
    wait_for(lambda: queue.in_flight == 0)


def test_free_memory_is_returned_to_the_system_at_most_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trims: list[int] = []
    monkeypatch.setattr(admission, "_trim", trims.append)
    for seconds, expected in ((3600.0, 0), (0.0, 3)):
        monkeypatch.setattr(admission, "TRIM_SECONDS", seconds)
        queue = JobQueue(1, 3)
        for job in [queue.submit(lambda: None) for _ in range(3)]:
            job.result(20)
        wait_for(lambda: queue.in_flight == 0)  # noqa: B023
        assert trims == [0] * expected


@dataclass
class FullService:
    """A service whose one place is taken until `finish` is set; `accepted` are the bodies that its route parsed."""

    server: Client
    accepted: list[dict[str, int]]
    finish: threading.Event


@pytest.fixture
def full(tmp_path: Path, serve: Serve) -> Iterator[FullService]:
    settings = Settings(DataRoot(tmp_path), max_upload_bytes=LIMIT, concurrency=1, queue=0)
    app = create_app("trial", "1.2.3", settings=settings, info=dict, jobs=["/job"])
    service = FullService(serve(app), [], threading.Event())

    @app.post("/job")
    async def job(request: Request, body: dict[str, int]) -> bool:
        service.accepted.append(body)
        return await run_job(request, lambda: service.finish.wait(20))

    wait_for(lambda: service.server.get("/health").status == 200)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(service.server.request, "POST", "/job", b'{"first": 1}', JSON)
        wait_for(lambda: service.server.get("/health").json()["in_flight"] == 1)
        try:
            yield service
        finally:
            service.finish.set()
        assert first.result().json() is True


def test_a_full_service_refuses_a_job_before_it_parses_the_body(full: FullService) -> None:
    for body in (b'{"second": 2}', b"no JSON", b""):
        answer = full.server.request("POST", "/job", body, JSON)
        assert isinstance(problem_of(answer, 503), Busy)
        assert int(answer.headers["retry-after"]) >= 1
    assert full.accepted == [{"first": 1}]
    metrics = full.server.get("/metrics").body.decode().splitlines()
    assert 'mssbench_requests_total{method="POST",route="/job",status="503"} 3.0' in metrics
    assert 'mssbench_jobs_total{outcome="refused",stage="job"} 3.0' in metrics
    full.finish.set()
    wait_for(lambda: full.server.get("/health").json()["in_flight"] == 0)
    problem_of(full.server.request("POST", "/job", b"no JSON", JSON), 422)


def test_the_body_is_read_before_the_refusal_is_sent(full: FullService) -> None:
    with full.server.connect() as connection:
        connection.putrequest("POST", "/job")
        connection.putheader("Content-Length", str(LIMIT))
        connection.endheaders(b"x" * (LIMIT - 1))
        assert connection.sock is not None
        readable, _, _ = select.select([connection.sock], [], [], 0.2)
        assert not readable
        connection.send(b"x")
        assert isinstance(problem_of(read_answer(connection), 503), Busy)


def test_a_full_service_answers_413_to_a_body_over_the_limit(full: FullService) -> None:
    with full.server.connect() as connection:
        connection.request("POST", "/job", (b"x" * 100 for _ in range(20)), encode_chunked=True)
        assert "larger than" in problem_of(read_answer(connection), 413).detail


def test_a_full_service_answers_all_other_requests(full: FullService) -> None:
    problem_of(full.server.get("/job"), 405)
    problem_of(full.server.request("POST", "/jobs", b"{}"), 404)
    assert full.server.get("/info").status == 200


def test_a_service_that_is_not_ready_refuses_jobs_with_the_reason(tmp_path: Path, serve: Serve) -> None:
    def setup() -> None:
        raise NotReady(f"there are no weights in {tmp_path}/weights")

    app = create_app(
        "trial", "1.2.3", settings=Settings(DataRoot(tmp_path)), info=dict, setup=setup, jobs=["/job"]
    )
    server = serve(app)
    says = "there are no weights in weights"  # paths are relative to the data root
    wait_for(lambda: says in problem_of(server.get("/health"), 503).detail)
    assert problem_of(server.request("POST", "/job", b"x"), 503).detail == says
