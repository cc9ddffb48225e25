"""Admission of jobs: only a service that is ready accepts them, and it runs a limited number at a time.

A request for a job first passes :class:`AdmissionMiddleware`, which reads only its path and headers. Then the route
reads and checks its body. Then :func:`run_job` runs the job through the :class:`JobQueue`.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from fastapi import FastAPI, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from .cancellation import cancellable
from .errors import BenchError, Busy, ClientDisconnected, NotReady, Starting

T = TypeVar("T")

TRIM_SECONDS = 5.0
"""Least time between two returns of free memory to the system, each of which takes some milliseconds."""

_trim: Callable[[int], int] | None = None
with suppress(AttributeError, OSError, TypeError):  # only glibc has it
    _trim = ctypes.CDLL(None).malloc_trim


class JobQueue:
    """Runs blocking jobs in its own threads, a limited number at a time, with a bounded queue.

    There is one queue per device, since jobs share the memory of that device. Its threads do not wait for the event
    loop, which many requests may keep busy: a thread that has finished a job takes the next one itself.

    Parameters
    ----------
    concurrency : int
        Jobs that run at a time.
    queue : int
        Jobs that may wait beyond those.
    """

    def __init__(self, concurrency: int, queue: int) -> None:
        self._threads = ThreadPoolExecutor(concurrency, "job")
        self._concurrency = concurrency
        self._places = concurrency + queue
        self._counting = threading.Lock()
        self._trimmed = time.monotonic()
        self.in_flight = 0
        self.running = 0

    def require_place(self, *, wait: bool = True) -> None:
        """Raise :class:`Busy` if the queue is full; without `wait`, also if a job would have to wait."""
        if self.in_flight >= (self._places if wait else self._concurrency):
            raise Busy(f"{self.in_flight} jobs are running or waiting already", retry_after=2)

    def submit(self, work: Callable[[], T], *, wait: bool = True) -> Future[T]:
        """Queue `work`, to be called in a thread.

        A job that is cancelled while it waits gives its place back. One that has started keeps it to its end.

        Raises
        ------
        Busy
            As :meth:`require_place`.
        """
        self.require_place(wait=wait)
        self._count(in_flight=1)
        job = self._threads.submit(contextvars.copy_context().run, self._call, work)
        job.add_done_callback(lambda _: self._count(in_flight=-1))
        return job

    def _call(self, work: Callable[[], T]) -> T:
        self._count(running=1)
        try:
            return work()
        finally:
            self._release_memory()
            self._count(running=-1)

    def _release_memory(self) -> None:
        # The allocator keeps free memory between blocks that are in use, a little more after each job.
        if _trim is not None and time.monotonic() - self._trimmed >= TRIM_SECONDS:
            _trim(0)
            self._trimmed = time.monotonic()

    def _count(self, *, in_flight: int = 0, running: int = 0) -> None:
        with self._counting:
            self.in_flight += in_flight
            self.running += running


@dataclass
class Readiness:
    """State of the service: ``starting``, ``ready`` or ``failed``, with the error that made it fail."""

    state: str = "starting"
    error: BenchError | None = None

    def require(self) -> None:
        """Raise :class:`NotReady` unless the service is ready."""
        if self.state == "starting":
            raise Starting("the service is still starting")
        if self.error is not None:
            raise NotReady(self.error.detail, retry_after=60)


def _require_admission(app: FastAPI, path: str, headers: Headers) -> bool:
    """Return whether the job may wait. Raise, and count, if the service is not ready or has no place."""
    wait = headers.get("prefer") != "wait=0"
    try:
        app.state.readiness.require()
        app.state.job_queue.require_place(wait=wait)
    except (Busy, NotReady):
        app.state.metrics.refused(_stage(path))
        raise
    return wait


class AdmissionMiddleware:
    """Refuses jobs of a service that is full or not ready before their bodies are parsed.

    No place is reserved, so that a slow upload holds none. The body is still read, and discarded: a client that
    receives the response while it sends reports a broken connection instead.

    Parameters
    ----------
    jobs
        Paths whose ``POST`` does a job.
    """

    def __init__(self, app: ASGIApp, jobs: Collection[str]) -> None:
        self.app = app
        self._jobs = jobs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._jobs:
            try:
                _require_admission(scope["app"], scope["path"], Headers(scope=scope))
            except (Busy, NotReady) as refusal:
                scope["state"]["route"] = scope["path"]
                error = await _discard_body(receive) or refusal
                respond = await scope["app"].exception_handlers[BenchError](Request(scope), error)
                await respond(scope, receive, send)
                return
        await self.app(scope, receive, send)


async def _discard_body(receive: Receive) -> BenchError | None:
    """Read the rest of the body; return the error that reading it raises, such as one over the size limit."""
    try:
        while (await receive()).get("more_body"):
            pass
    except BenchError as error:
        return error
    return None


async def run_job(request: Request, work: Callable[[], T]) -> T:
    """Run `work` through the application's job queue.

    With ``Prefer: wait=0`` (RFC 7240) a service that would make the job wait refuses it instead, so that the client
    can try another replica. If the client disconnects, a waiting job is removed from the queue, and a running one is
    cancelled at its next check (:mod:`mssbench_service.cancellation`).

    Raises
    ------
    Starting, NotReady, Busy
        The service is not ready, or has no place for the job.
    ClientDisconnected
        The client has disconnected.
    """
    queue: JobQueue = request.app.state.job_queue
    metrics, stage = request.app.state.metrics, _stage(request.url.path)
    with cancellable() as cancelled:
        wait = _require_admission(request.app, request.url.path, request.headers)
        job = queue.submit(metrics.timed(stage, work), wait=wait)
        watcher = asyncio.create_task(_cancel_on_disconnect(request, cancelled, job))
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            if not cancelled.is_set():
                raise
            metrics.abandoned(stage)
            raise ClientDisconnected("the client has disconnected") from None
        finally:
            watcher.cancel()


async def _cancel_on_disconnect(request: Request, cancelled: threading.Event, job: Future[T]) -> None:
    # The request's body has been read by now: the only message that is left is the disconnection.
    while (await request.receive())["type"] != "http.disconnect":
        pass
    cancelled.set()
    job.cancel()


def _stage(path: str) -> str:
    return path.rpartition("/")[2]
