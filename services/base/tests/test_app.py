"""The application around every service, behind a real server."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import http.client
import logging
import re
import select
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI, Request
from mssbench_contract import Answer, RunningService, music, wav
from mssbench_service import admission, healthcheck, startup
from mssbench_service.admission import JobQueue, run_job
from mssbench_service.app import Settings, create_app
from mssbench_service.audio import FloatArray
from mssbench_service.cancellation import raise_if_cancelled
from mssbench_service.errors import (
    BadInput,
    BenchError,
    Busy,
    NotReady,
    OutOfMemory,
    Starting,
    StorageFull,
    Unavailable,
    from_problem,
)
from mssbench_service.files import DataRoot
from mssbench_service.musdb import STEMS
from mssbench_service.separation import Separator
from mssbench_service.separator_app import create_separator_app


@dataclass(frozen=True)
class Served:
    """An application behind uvicorn on a port of its own."""

    port: int

    @contextlib.contextmanager
    def connect(self) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            yield connection
        finally:
            connection.close()

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        with self.connect() as connection:
            connection.request(method, path, body, dict(headers or {}))
            return answer_of(connection)

    def get(self, path: str) -> Answer:
        return self.request("GET", path)


def answer_of(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


@pytest.fixture
def serve() -> Iterator[Callable[[FastAPI], Served]]:
    """Function that serves an application until the test ends."""
    with contextlib.ExitStack() as servers:

        def start(app: FastAPI) -> Served:
            server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", ws="none"))
            thread = threading.Thread(target=server.run)
            thread.start()

            def stop() -> None:
                server.should_exit = True
                thread.join(timeout=20)
                assert not thread.is_alive()

            servers.callback(stop)
            deadline = time.monotonic() + 20
            while not server.started:
                assert thread.is_alive()
                assert time.monotonic() < deadline
                time.sleep(0.005)
            return Served(server.servers[0].sockets[0].getsockname()[1])

        yield start


Serve = Callable[[FastAPI], Served]
LIMIT = 1000
JSON = {"Content-Type": "application/json"}


def app_of(tmp_path: Path, setup: Callable[[], None] | None = None, **settings: int) -> FastAPI:
    """A service with a route for every way to fail."""
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


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# -- starting ------------------------------------------------------------------------------------------------


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
        healthcheck.check(f"http://127.0.0.1:{server.port}")
    assert server.get("/info").json() == {"service": "trial", "version": "1.2.3", "device": "cpu"}
    loaded.set()
    wait_for(lambda: server.get("/health").status == 200)
    assert server.get("/health").json() == {"status": "ready", "in_flight": 0}
    assert healthcheck.check(f"http://127.0.0.1:{server.port}") == "ready"
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
def test_a_setup_that_fails_shows_in_health_and_does_not_end_the_server(
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
    assert says in healthcheck.check(f"http://127.0.0.1:{server.port}"), "alive, and saying what is wrong"


def test_what_is_missing_may_come_and_what_is_wrong_stays(
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


def test_what_it_lacks_is_logged_once(
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


def test_nobody_there_is_not_alive() -> None:
    with pytest.raises(Starting, match="does not answer"):
        healthcheck.check("http://127.0.0.1:1")


# -- problem documents ---------------------------------------------------------------------------------------


def family(root: type[BenchError] = BenchError) -> list[type[BenchError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in family(child))]


def test_every_error_arrives_as_its_class(tmp_path: Path, serve: Serve) -> None:
    server = serve(app_of(tmp_path))
    for kind in family():
        answer = server.get(f"/raise/{kind.code}")
        error = problem_of(answer, kind.status)
        assert type(error) is kind
        assert error.detail == kind.code
        if isinstance(error, Unavailable):
            assert error.retry_after == 7
            assert answer.headers["retry-after"] == "7"
        else:
            assert "retry-after" not in answer.headers


def test_the_frameworks_own_errors_are_problems_too(tmp_path: Path, serve: Serve) -> None:
    server = serve(app_of(tmp_path))
    problem_of(server.get("/no/such"), 404)
    assert server.request("POST", "/health").headers["allow"] == "GET"
    problem_of(server.request("DELETE", "/health"), 405)
    assert "number" in problem_of(server.get("/typed?number=many"), 422).detail
    assert "number" in problem_of(server.get("/typed"), 422).detail
    assert server.get("/typed?number=5").json() == 5


def test_an_unexpected_error_tells_nothing(
    tmp_path: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(app_of(tmp_path))
    answer = server.get("/crash")
    assert problem_of(answer, 500).detail == "an unexpected error; the service's log has the details"
    assert b"secret" not in answer.body
    assert any("/crash failed" in record.getMessage() for record in caplog.records)
    assert server.get("/health").status == 200


def test_memory_that_ran_out_is_an_error_to_try_again(
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


def test_the_schema_can_be_made(tmp_path: Path, serve: Serve) -> None:
    schema = serve(app_of(tmp_path)).get("/openapi.json")
    assert schema.status == 200
    assert "/health" in schema.json()["paths"]


# -- the page that describes the API -------------------------------------------------------------------------


def test_the_page_and_all_that_it_loads_come_from_the_service(tmp_path: Path, serve: Serve) -> None:
    server = serve(app_of(tmp_path))
    page = server.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    kinds = {}
    for path in re.findall(r'(?:src|href)="([^"]*)"', page.body.decode()):
        answer = server.get(urllib.parse.urljoin("/docs", path))
        assert answer.status == 200, path
        kinds[path] = answer.headers["content-type"].partition(";")[0]
    assert kinds == {
        "docs/swagger-ui.css": "text/css",
        "docs/favicon.png": "image/png",
        "openapi.json": "application/json",
        "docs/swagger-ui-bundle.js": "text/javascript",
        "docs/start.js": "text/javascript",
    }
    assert b"SwaggerUIBundle" in server.get("/docs/swagger-ui-bundle.js").body


def test_its_policy_lets_a_browser_ask_nobody_else_and_run_nothing_written_into_it(
    tmp_path: Path, serve: Serve
) -> None:
    answer = serve(app_of(tmp_path)).get("/docs")
    rules = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
    assert rules.pop("img-src") == "'self' data:"
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert set(rules.values()) <= {"'self'", "'none'"}
    assert not re.search(r"<script(?! src=)|<style|\son\w+=", answer.body.decode())


def test_the_frameworks_own_pages_are_not_there(tmp_path: Path, serve: Serve) -> None:
    server = serve(app_of(tmp_path))
    for path in ("/redoc", "/docs/oauth2-redirect"):
        problem_of(server.get(path), 404)


@pytest.mark.parametrize("name", ["redoc.standalone.js", "..%2f__init__.py", "%00", "x" * 5000, "%ff"])
def test_no_other_file_is_given_away(tmp_path: Path, serve: Serve, name: str) -> None:
    problem_of(serve(app_of(tmp_path)).get(f"/docs/{name}"), 404)


# -- sizes and ids -------------------------------------------------------------------------------------------


def test_a_declared_length_over_the_limit_is_refused_before_a_byte_is_sent(
    tmp_path: Path, serve: Serve
) -> None:
    server = serve(app_of(tmp_path))
    for path in ("/body", "/no/such"):
        with server.connect() as connection:
            connection.putrequest("POST", path)
            connection.putheader("Content-Length", str(LIMIT + 1))
            connection.endheaders()
            assert "larger than" in problem_of(answer_of(connection), 413).detail


def test_an_undeclared_length_is_counted(tmp_path: Path, serve: Serve) -> None:
    server = serve(app_of(tmp_path))
    for size, status in ((LIMIT, 200), (LIMIT + 1, 413)):
        with server.connect() as connection:
            pieces = (b"x" * min(100, size - start) for start in range(0, size, 100))
            connection.request("POST", "/body", pieces, encode_chunked=True)
            answer = answer_of(connection)
            assert answer.status == status
            assert answer.headers["x-request-id"]
    assert server.request("POST", "/body", b"x" * LIMIT).json() == LIMIT


@pytest.mark.parametrize("given", ["abc", "A-b.c_9", "x" * 64])
def test_a_plain_request_id_comes_back(tmp_path: Path, serve: Serve, given: str) -> None:
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


# -- the gate ------------------------------------------------------------------------------------------------


def test_the_gate_runs_so_many_and_lets_so_many_wait() -> None:
    async def trial() -> None:
        queue, finish = JobQueue(2, 1), threading.Event()
        running: list[int] = []

        def work(number: int) -> int:
            running.append(number)
            assert finish.wait(20)
            return number

        jobs = [asyncio.create_task(queue.run(lambda number=number: work(number))) for number in range(3)]
        while len(running) < 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        assert sorted(running) == [0, 1]  # the third waits
        assert queue.in_flight == 3
        with pytest.raises(Busy):
            await queue.run(lambda: 99)
        assert queue.in_flight == 3
        finish.set()
        assert await asyncio.gather(*jobs) == [0, 1, 2]
        assert queue.in_flight == 0

    asyncio.run(trial())


def test_a_place_is_free_again_whatever_became_of_the_work() -> None:
    async def trial() -> None:
        queue, finish = JobQueue(1, 1), threading.Event()
        with pytest.raises(ZeroDivisionError):
            await queue.run(lambda: 1 // 0)
        holding = asyncio.create_task(queue.run(lambda: finish.wait(20)))
        await asyncio.sleep(0.01)
        waiting = asyncio.create_task(queue.run(lambda: 1))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert queue.in_flight == 1
        finish.set()
        assert await holding
        assert await queue.run(lambda: 5) == 5
        assert queue.in_flight == 0

    asyncio.run(trial())


def test_free_memory_goes_back_to_the_system_after_a_job_but_not_after_every_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trims: list[int] = []
    monkeypatch.setattr(admission, "_trim", trims.append)

    async def jobs(queue: JobQueue) -> None:
        for _ in range(3):
            await queue.run(lambda: None)

    asyncio.run(jobs(JobQueue(1, 0)))
    assert trims == []  # less than TRIM_SECONDS have passed
    monkeypatch.setattr(admission, "TRIM_SECONDS", 0.0)
    asyncio.run(jobs(JobQueue(1, 0)))
    assert trims == [0, 0, 0]


# -- the door ------------------------------------------------------------------------------------------------


@dataclass
class Full:
    """A service whose one place is taken until it is told to finish; `taken` are the jobs that were let in."""

    server: Served
    taken: list[dict[str, int]]
    finish: threading.Event


@pytest.fixture
def full(tmp_path: Path, serve: Serve) -> Iterator[Full]:
    settings = Settings(DataRoot(tmp_path), max_upload_bytes=LIMIT, concurrency=1, queue=0)
    app = create_app("trial", "1.2.3", settings=settings, info=dict, jobs=["/job"])
    service = Full(serve(app), [], threading.Event())

    @app.post("/job")
    async def job(request: Request, body: dict[str, int]) -> bool:
        service.taken.append(body)
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


def test_a_full_service_refuses_a_job_before_it_looks_at_it(full: Full) -> None:
    for body in (b'{"second": 2}', b"no JSON", b""):
        answer = full.server.request("POST", "/job", body, JSON)
        assert isinstance(problem_of(answer, 503), Busy)
        assert int(answer.headers["retry-after"]) >= 1
    assert full.taken == [{"first": 1}]
    metrics = full.server.get("/metrics").body.decode().splitlines()
    assert 'mssbench_requests_total{method="POST",route="/job",status="503"} 3.0' in metrics
    assert 'mssbench_jobs_total{outcome="refused",stage="job"} 3.0' in metrics
    full.finish.set()
    wait_for(lambda: full.server.get("/health").json()["in_flight"] == 0)
    problem_of(full.server.request("POST", "/job", b"no JSON", JSON), 422)


def test_it_reads_the_body_before_it_refuses_for_a_client_that_sends_hears_nothing(full: Full) -> None:
    with full.server.connect() as connection:
        connection.putrequest("POST", "/job")
        connection.putheader("Content-Length", str(LIMIT))
        connection.endheaders(b"x" * (LIMIT - 1))
        assert connection.sock is not None
        readable, _, _ = select.select([connection.sock], [], [], 0.2)
        assert not readable
        connection.send(b"x")
        assert isinstance(problem_of(answer_of(connection), 503), Busy)


def test_a_body_that_is_too_large_is_refused_as_such_by_a_full_service_too(full: Full) -> None:
    with full.server.connect() as connection:
        connection.request("POST", "/job", (b"x" * 100 for _ in range(20)), encode_chunked=True)
        assert "larger than" in problem_of(answer_of(connection), 413).detail


def test_nothing_else_meets_the_door(full: Full) -> None:
    problem_of(full.server.get("/job"), 405)
    problem_of(full.server.request("POST", "/jobs", b"{}"), 404)
    assert full.server.get("/info").status == 200


def test_a_service_that_is_not_ready_refuses_jobs_unseen_and_says_why(tmp_path: Path, serve: Serve) -> None:
    def setup() -> None:
        raise NotReady(f"there are no weights in {tmp_path}/weights")

    app = create_app(
        "trial", "1.2.3", settings=Settings(DataRoot(tmp_path)), info=dict, setup=setup, jobs=["/job"]
    )
    server, says = (
        serve(app),
        "there are no weights in weights",
    )  # the caller knows the data root by no other name
    wait_for(lambda: says in problem_of(server.get("/health"), 503).detail)
    assert problem_of(server.request("POST", "/job", b"x"), 503).detail == says


# -- uploads -------------------------------------------------------------------------------------------------


class Same(Separator):
    """The mixture as every stem."""

    def separate(self, mixture: FloatArray, sample_rate: int) -> dict[str, FloatArray]:
        return dict.fromkeys(STEMS, mixture)


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # older starlette: a file left open
@pytest.mark.parametrize(
    "where",
    ["starlette.formparsers.SpooledTemporaryFile.write", "shutil.copyfileobj", "zipfile.ZipFile.write"],
)
def test_an_upload_for_which_there_is_no_room_is_an_error_to_try_again(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    app = create_separator_app("trial", "1.2.3", {"same": Same}, Settings(DataRoot(tmp_path)))
    service = RunningService(f"http://127.0.0.1:{serve(app).port}", None, tmp_path)  # type: ignore[arg-type]
    wait_for(lambda: service.get("/health").status == 200)
    with monkeypatch.context() as full:
        full.setattr(where, no_room)
        error = from_problem(service.upload(wav(music(20.0))).json())
    assert isinstance(error, StorageFull)
    assert error.detail == "no room left for an upload and its stems in the folder for temporary files"
    wait_for(lambda: not list(tmp_path.iterdir()))
    assert service.upload(wav(music(1.0))).status == 200
    gc.collect()


# -- clients that go away ------------------------------------------------------------------------------------


@dataclass
class Laborious:
    """A service with a job that takes until it is told to finish, and asks whether it is still wanted."""

    server: Served
    begun: list[str]
    finish: threading.Event

    @contextlib.contextmanager
    def client(self, name: str, body: bytes = b"") -> Iterator[http.client.HTTPConnection]:
        """Has asked for a job; goes away when the block ends."""
        with self.server.connect() as connection:
            connection.request("POST", f"/work?name={name}", body)
            yield connection

    def in_flight(self) -> int:
        count = self.server.get("/health").json()["in_flight"]
        assert isinstance(count, int)
        return count

    def outcomes(self) -> dict[str, float]:
        lines = self.server.get("/metrics").body.decode().splitlines()
        counted = [line for line in lines if line.startswith("mssbench_jobs_total{")]
        return {line.split('outcome="')[1].split('"')[0]: float(line.split()[-1]) for line in counted}


@pytest.fixture
def laborious(tmp_path: Path, serve: Serve) -> Laborious:
    begun: list[str] = []
    finish = threading.Event()
    app = app_of(tmp_path, concurrency=1, queue=2)

    @app.post("/work")
    async def work(request: Request, name: str) -> str:
        await request.body()

        def labour() -> str:
            begun.append(name)
            while not finish.wait(0.01):
                raise_if_cancelled()
            return name

        return await run_job(request, labour)

    server = serve(app)
    wait_for(lambda: server.get("/health").status == 200)
    return Laborious(server, begun, finish)


@pytest.mark.parametrize("body", [b"", b"x" * LIMIT])
def test_work_ends_when_its_client_has_gone_and_what_waits_is_not_begun(
    laborious: Laborious, body: bytes
) -> None:
    with laborious.client("stays", body) as stays:
        wait_for(lambda: laborious.begun == ["stays"])
        with laborious.client("waits", body):
            wait_for(lambda: laborious.in_flight() == 2)
        wait_for(lambda: laborious.in_flight() == 1)
        laborious.finish.set()
        assert answer_of(stays).json() == "stays"
    wait_for(lambda: laborious.in_flight() == 0)
    assert laborious.begun == ["stays"]
    laborious.finish.clear()
    with laborious.client("leaves", body):
        wait_for(lambda: laborious.begun == ["stays", "leaves"])
    wait_for(lambda: laborious.in_flight() == 0)
    assert laborious.outcomes() == {"done": 1, "abandoned": 2}


def test_outside_of_a_service_all_work_is_wanted() -> None:
    raise_if_cancelled()


# -- settings ------------------------------------------------------------------------------------------------


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
def test_a_setting_that_cannot_be_used_is_named_in_health_and_the_service_stays_up(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    app = create_app("trial", "1", settings=Settings.from_environment(), info=dict)
    server = serve(app)
    wait_for(lambda: app.state.readiness.state == "failed")
    assert f"{name}=" in problem_of(server.get("/health"), 503).detail
    assert server.get("/info").status == 200


# -- metrics -------------------------------------------------------------------------------------------------


def test_requests_are_counted_by_route_and_not_by_path(tmp_path: Path, serve: Serve) -> None:
    server = serve(app_of(tmp_path))
    for path in ("/raise/busy", "/raise/bad-input", "/nowhere", "/nowhere/else"):
        server.get(path)
    answer = server.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.body.decode().splitlines()
    assert 'mssbench_requests_total{method="GET",route="/raise/{code}",status="503"} 1.0' in lines
    assert 'mssbench_requests_total{method="GET",route="/raise/{code}",status="422"} 1.0' in lines
    assert 'mssbench_requests_total{method="GET",route="none",status="404"} 2.0' in lines
