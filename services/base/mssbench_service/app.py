"""A FastAPI application as every service has it: health, info, problem documents, a size limit.

Settings come from the environment:

``MSSBENCH_DATA_ROOT``     folder that references are relative to (default: the working directory)
``MSSBENCH_MAX_UPLOAD_MB`` largest request body (default 2048)
``MSSBENCH_MAX_SECONDS``   longest sound file (default 3600)
``MSSBENCH_CONCURRENCY``   jobs at a time (default 1)
``MSSBENCH_QUEUE``         jobs that may wait beyond those; more are answered 503 (default 4)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import logs
from .admission import AdmissionMiddleware, JobQueue, Readiness
from .description import add_docs
from .environment import DEFAULT_MAX_SECONDS, max_track_seconds, number, whole_number
from .errors import BadInput, BenchError, TooLarge
from .files import DataRoot
from .metrics import Metrics
from .problems import UPLOADS, install_problem_documents, problem_response, problems

log = logging.getLogger("mssbench")
JOB_PROBLEMS = problems(400, 404, 413, 507)
"""Descriptions of the errors of a route that does a job, beside those that all routes have."""

SETUP_RETRY_SECONDS = 15.0
"""Seconds before a service that lacks something looks for it again."""


@dataclass(frozen=True)
class Settings:
    """Limits of one service; :meth:`from_environment` reads what the module's docstring lists.

    `wrong` is what the environment sets that cannot be used. The service starts all the same and says so in
    ``/health``: one that ends is started again, to end again.
    """

    data_root: DataRoot = field(default_factory=lambda: DataRoot(Path.cwd()))
    max_upload_bytes: int = 2048 * 1024 * 1024
    max_seconds: float = DEFAULT_MAX_SECONDS
    concurrency: int = 1
    queue: int = 4
    wrong: BadInput | None = None

    @classmethod
    def from_environment(cls) -> Settings:
        root = DataRoot(Path(os.environ.get("MSSBENCH_DATA_ROOT") or Path.cwd()))
        try:
            return cls(
                data_root=root,
                max_upload_bytes=int(number("MSSBENCH_MAX_UPLOAD_MB", 2048, 0, 2**40) * 1024 * 1024),
                max_seconds=max_track_seconds(),
                concurrency=whole_number("MSSBENCH_CONCURRENCY", 1, 1),
                queue=whole_number("MSSBENCH_QUEUE", 4, 0),
            )
        except BadInput as error:
            return cls(data_root=root, wrong=error)


def create_app(
    name: str,
    version: str,
    *,
    settings: Settings,
    info: Callable[[], dict[str, Any]],
    setup: Callable[[], None] | None = None,
    jobs: Collection[str] = (),
    device: Callable[[], str] = lambda: "cpu",
) -> FastAPI:
    """The application of the service `name`: ``GET /health``, ``/info``, ``/metrics``, and its description, ``/docs``.

    `setup` runs in a thread while the server already answers: ``/health`` is 503 until it returns, and says
    why if it raised. After an error that may pass (weights that can be fetched meanwhile) it is called again
    every :data:`SETUP_RETRY_SECONDS` seconds. `jobs` are the paths whose ``POST`` calls :func:`run_job`; while
    the service is full or not ready, they are refused before their body is parsed.

    ``app.state`` holds ``readiness``, ``gate``, ``settings``, ``metrics`` and ``stopping``, an event that is set
    when the process is told to end.
    """
    logs.configure(name)
    readiness = Readiness()
    gate = JobQueue(settings.concurrency, settings.queue)
    stopping = threading.Event()
    metrics = Metrics(name, version, gate, lambda: readiness.state == "ready", device)

    def prepare() -> None:
        said = ""
        while (error := attempt()) is not None:
            readiness.error, readiness.state = error, "failed"
            if error.detail != said:
                log.warning("%s is not ready: %s", name, error.detail)
                said = error.detail
            if not error.retryable or stopping.wait(SETUP_RETRY_SECONDS):
                return
        readiness.error, readiness.state = None, "ready"

    def attempt() -> BenchError | None:
        try:
            if settings.wrong is not None:
                raise settings.wrong
            if setup is not None:
                setup()
        except BenchError as error:
            return error
        except Exception as error:  # any library's failure to load must show in /health, not kill the server
            log.exception("setup of %s failed", name)
            return BenchError(f"setup failed: {type(error).__name__}: {error}")
        return None

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        preparing = asyncio.create_task(anyio.to_thread.run_sync(prepare))
        with _told_to_end(stopping):
            yield
        await preparing

    app = FastAPI(
        title=f"Binaural MSS Bench: {name}",
        version=version,
        lifespan=lifespan,
        responses=problems(422, 500, 503),
        docs_url=None,
        redoc_url=None,
    )
    app.state.readiness, app.state.job_queue, app.state.settings = readiness, gate, settings
    app.state.metrics, app.state.stopping = metrics, stopping
    install_problem_documents(app, settings.data_root)
    # The last added is the outermost: a body that is too large is refused with its request id, too.
    app.add_middleware(
        AdmissionMiddleware, jobs=frozenset(jobs), readiness=readiness, gate=gate, metrics=metrics
    )
    app.add_middleware(BodyLimit, max_bytes=settings.max_upload_bytes)
    app.add_middleware(RequestId)
    add_docs(app)

    @app.get("/health", summary="Ready or not (503)", tags=["system"])
    async def health() -> dict[str, Any]:
        """`status` is `ready`, or `busy` with jobs in flight."""
        readiness.require()
        return {"status": "busy" if gate.in_flight else "ready", "in_flight": gate.in_flight}

    @app.get("/info", summary="What this service is and runs on", tags=["system"])
    async def describe() -> dict[str, Any]:
        """Its name and version; a separator's weights with their hashes, its device, its libraries."""
        return {"service": name, "version": version, **info()}

    @app.get(
        "/metrics",
        summary="Metrics for Prometheus",
        tags=["system"],
        response_class=Response,
        responses={200: {"description": "Text", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    def measure() -> Response:
        """Jobs, their seconds by stage, requests, memory."""
        content, media_type = metrics.page()
        return Response(content, media_type=media_type)

    return app


@contextlib.contextmanager
def _told_to_end(stopping: threading.Event) -> Iterator[None]:
    """Set `stopping` at the signal already: the server waits for open streams before the lifespan ends."""
    before: dict[int, Any] = {}

    def told(number: int, frame: Any) -> None:
        stopping.set()
        if callable(before[number]):
            before[number](number, frame)

    if threading.current_thread() is threading.main_thread():
        for number in (int(signal.SIGTERM), int(signal.SIGINT)):
            before[number] = signal.signal(number, told)
    try:
        yield
    finally:
        stopping.set()
        for number, handler in before.items():
            signal.signal(number, handler)


class RequestId:
    """Gives every request an id (the caller's, if it is a plain word) and returns it as ``X-Request-ID``.

    Log lines say it, and so does whatever the request is about (:mod:`mssbench_service.logs`); the request is
    counted here, too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"])
        subject = logs.from_headers(
            given.get(b"x-request-id", b"").decode("latin-1"), given.get(b"baggage", b"").decode("latin-1")
        )
        request_id = subject["request_id"]
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
                route = scope["state"].get("route") or getattr(scope.get("route"), "path", "none")
                scope["app"].state.metrics.request(scope["method"], route, message["status"])
            await send(message)

        with logs.context(**subject):
            await self.app(scope, receive, send_with_id)


class BodyLimit:
    """Refuses bodies over `max_bytes` with 413: by their declared length, else while they stream in."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.max_bytes:
            await problem_response(self._error())(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise self._error()
            return message

        await self.app(scope, counted, send)

    def _error(self) -> TooLarge:
        return TooLarge(f"the request is larger than {self.max_bytes / 1024 / 1024:g} MiB")


__all__ = [
    "JOB_PROBLEMS",
    "UPLOADS",
    "Settings",
    "create_app",
    "problem_response",
    "problems",
]
