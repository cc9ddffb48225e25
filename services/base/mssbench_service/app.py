"""The FastAPI application of every service: health, info, metrics, problem documents, limits.

Settings come from the environment:

``MSSBENCH_DATA_ROOT``     folder that references are relative to (default: the working directory)
``MSSBENCH_MAX_UPLOAD_MB`` largest request body with files (default 2048); others have at most 1 MiB
``MSSBENCH_ALLOWED_HOSTS`` host names that requests may name, separated by commas, besides those of loopback (default:
                           all; for the orchestrator none)
``MSSBENCH_MAX_SECONDS``   longest sound file (default 3600)
``MSSBENCH_CONCURRENCY``   jobs at a time (default 1); ``auto``: as many as the container has processors
``MSSBENCH_QUEUE``         jobs that may wait beyond those; more are answered 503 (default 4)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response

from . import logs
from .admission import AdmissionMiddleware, JobQueue
from .description import add_docs
from .environment import DEFAULT_MAX_SECONDS, max_track_seconds, number, processors, whole_number
from .errors import BadInput
from .files import DataRoot
from .metrics import Metrics
from .middleware import AllowedHosts, BodyLimit, RequestId
from .problems import install_problem_documents, problems
from .startup import Startup

JOB_PROBLEMS = problems(400, 404, 413, 507)
"""Descriptions of the errors of a route that does a job, in addition to those of all routes."""


@dataclass(frozen=True)
class Settings:
    """Limits of one service; :meth:`from_environment` reads them from the variables in the module's docstring.

    `wrong` is the error of a variable with a wrong value. The service starts nevertheless and reports it in
    ``/health``: a process that ended would be restarted without end.
    """

    data_root: DataRoot = field(default_factory=lambda: DataRoot(Path.cwd()))
    max_upload_bytes: int = 2048 * 1024 * 1024
    max_seconds: float = DEFAULT_MAX_SECONDS
    concurrency: int = 1
    queue: int = 4
    allowed_hosts: tuple[str, ...] = ()
    wrong: BadInput | None = None

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the settings; see the module's docstring."""
        root = DataRoot(Path(os.environ.get("MSSBENCH_DATA_ROOT") or Path.cwd()))
        hosts = os.environ.get("MSSBENCH_ALLOWED_HOSTS", "").lower().split(",")
        allowed = tuple(host.strip() for host in hosts if host.strip())
        try:
            return cls(
                data_root=root,
                max_upload_bytes=int(number("MSSBENCH_MAX_UPLOAD_MB", 2048, 0, 2**40) * 1024 * 1024),
                max_seconds=max_track_seconds(),
                concurrency=whole_number("MSSBENCH_CONCURRENCY", 1, 1, auto=processors),
                queue=whole_number("MSSBENCH_QUEUE", 4, 0),
                allowed_hosts=allowed,
            )
        except BadInput as error:
            return cls(data_root=root, allowed_hosts=allowed, wrong=error)


def create_app(
    name: str,
    version: str,
    *,
    settings: Settings,
    info: Callable[[], dict[str, Any]],
    setup: Callable[[], None] | None = None,
    jobs: Collection[str] = (),
    uploads: Collection[str] = (),
    hosts: Collection[str] = ("*",),
    device: Callable[[], str] = lambda: "cpu",
) -> FastAPI:
    """Create the application of a service: ``GET /health``, ``/info``, ``/metrics`` and ``/docs``.

    ``app.state`` holds ``readiness``, ``job_queue``, ``settings``, ``metrics`` and ``stopping``, an event that is set
    when the process receives a signal to end.

    Parameters
    ----------
    name, version : str
        Of the service, as ``/info`` reports them.
    settings : Settings
    info : callable
        Returns what ``/info`` reports besides.
    setup : callable, optional
        Runs in a thread while the server already answers. ``/health`` is 503 until it returns, and reports the error
        that it raised (:class:`~mssbench_service.startup.Startup`).
    jobs : collection of str
        Paths whose ``POST`` calls :func:`~mssbench_service.admission.run_job`. While the service is full or not ready,
        they are refused before their body is parsed.
    uploads : collection of str
        Paths that accept files; all other bodies are limited to 1 MiB.
    hosts : collection of str
        Hosts that requests may name besides loopback, if the settings have none. The orchestrator calls services by
        any name that its configuration has.
    device : callable
        Returns the device that the service computes on, for ``/metrics``.
    """
    logs.configure(name)

    def checked_setup() -> None:
        if settings.wrong is not None:
            raise settings.wrong
        if setup is not None:
            setup()

    startup = Startup(name, checked_setup)
    app = FastAPI(
        title=f"Binaural MSS Bench: {name}",
        version=version,
        lifespan=startup.lifespan,
        responses=problems(422, 500, 503),
        docs_url=None,
        redoc_url=None,
    )
    state, readiness = app.state, startup.readiness
    state.readiness, state.stopping, state.settings = readiness, startup.stopping, settings
    state.job_queue = JobQueue(settings.concurrency, settings.queue)
    state.metrics = Metrics(name, version, state.job_queue, lambda: readiness.state == "ready", device)
    install_problem_documents(app, settings.data_root)
    # The last one added is the outermost: the response to a body that is too large has a request id, too.
    app.add_middleware(AdmissionMiddleware, jobs=frozenset(jobs))
    app.add_middleware(BodyLimit, max_bytes=settings.max_upload_bytes, uploads=frozenset(uploads))
    app.add_middleware(AllowedHosts, allowed=settings.allowed_hosts or hosts)
    app.add_middleware(RequestId)
    add_docs(app)
    _add_system_routes(app, lambda: {**info(), "service": name, "version": version})
    return app


def _add_system_routes(app: FastAPI, info: Callable[[], dict[str, Any]]) -> None:
    state = app.state

    @app.get("/health", summary="Ready or not (503)", tags=["system"])
    async def health() -> dict[str, Any]:
        """`status` is `ready`, or `busy` with jobs in flight."""
        state.readiness.require()
        in_flight = state.job_queue.in_flight
        return {"status": "busy" if in_flight else "ready", "in_flight": in_flight}

    @app.get("/info", summary="What this service is and runs on", tags=["system"])
    def describe() -> dict[str, Any]:
        """Its name and version; a separator's weights with their hashes, its device, its libraries."""
        return info()

    @app.get(
        "/metrics",
        summary="Metrics for Prometheus",
        tags=["system"],
        response_class=Response,
        responses={200: {"description": "Text", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    def metrics() -> Response:
        """Jobs, their seconds by stage, requests, memory."""
        content, media_type = state.metrics.page()
        # As a header: early versions of Starlette add a second charset to a media type that has one.
        return Response(content, headers={"Content-Type": media_type})
