"""Admission of jobs: only a service that is ready accepts them, and it runs a limited number at a time.

A request for a job first passes :class:`AdmissionMiddleware`, which reads only its path and headers. Then the route
reads and checks its body. Then :func:`run_job` runs the job through the :class:`JobQueue`.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from . import cancellation
from .errors import BenchError, Busy, ClientDisconnected, NotReady, Starting
from .metrics import Metrics

T = TypeVar("T")

TRIM_SECONDS = 5.0
"""Jobs of less share one return of free memory to the system, which costs each some milliseconds."""

_trim: Callable[[int], int] | None = None
with contextlib.suppress(AttributeError, OSError, TypeError):  # it is glibc's
    _trim = ctypes.CDLL(None).malloc_trim


class JobQueue:
    """Runs blocking work in threads of its own, so many at a time, with a bounded queue before it.

    One gate per device: what it guards is the memory of that device, not the event loop. A thread that is done
    takes the next job by itself: it would wait for the event loop, which a flood of requests keeps busy.
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
        """Raise :class:`Busy` if all places are taken; or, without `wait`, if it would not be its turn at once."""
        if self.in_flight >= (self._places if wait else self._concurrency):
            raise Busy(f"{self.in_flight} jobs are running or waiting already", retry_after=2)

    async def run(self, work: Callable[[], T], *, wait: bool = True) -> T:
        """Result of `work`; see :meth:`submit`."""
        return await asyncio.wrap_future(self.submit(work, wait=wait))

    def submit(self, work: Callable[[], T], *, wait: bool = True) -> Future[T]:
        """Have `work` called in a thread once it is its turn.

        One that is cancelled while it waits gives its place back; one that has begun keeps it to its end.

        Raises
        ------
        Busy
            See :meth:`require_place`.
        """
        self.require_place(wait=wait)
        self._count(in_flight=1)
        job = self._threads.submit(contextvars.copy_context().run, self._counted, work)
        job.add_done_callback(lambda _: self._count(in_flight=-1))
        return job

    def _counted(self, work: Callable[[], T]) -> T:
        self._count(running=1)
        try:
            return work()
        finally:
            self._give_memory_back()
            self._count(running=-1)

    def _give_memory_back(self) -> None:
        # What is free, that is: the allocator keeps what lies between blocks in use, job by job a little more.
        if _trim is not None and time.monotonic() - self._trimmed >= TRIM_SECONDS:
            _trim(0)
            self._trimmed = time.monotonic()

    def _count(self, *, in_flight: int = 0, running: int = 0) -> None:
        with self._counting:
            self.in_flight += in_flight
            self.running += running


@dataclass
class Readiness:
    """starting → ready, or failed. `busy` is ready with a job in flight."""

    state: str = "starting"
    error: BenchError | None = None

    def require(self) -> None:
        """Raise :class:`NotReady` unless ready."""
        if self.state == "starting":
            raise Starting("the service is still starting")
        if self.error is not None:
            raise NotReady(self.error.detail, retry_after=60)


class AdmissionMiddleware:
    """Refuses at once what :func:`run_job` would refuse now: a full service has no time to take requests apart.

    Nothing is reserved: a slow upload holds no place. The body is still read, and forgotten, since a client that
    is told of the refusal while it sends sees a broken connection instead.

    Parameters
    ----------
    jobs
        Paths whose ``POST`` does a job.
    """

    def __init__(
        self, app: ASGIApp, jobs: Collection[str], readiness: Readiness, gate: JobQueue, metrics: Metrics
    ) -> None:
        self.app = app
        self._jobs, self._readiness, self._gate, self._metrics = jobs, readiness, gate, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._jobs:
            try:
                self._readiness.require()
                self._gate.require_place(wait=_waits(Headers(scope=scope)))
            except (Busy, NotReady) as error:
                self._metrics.refused(_stage(scope["path"]))
                scope["state"]["route"] = scope["path"]
                said = await _wrong_with_the_rest(receive) or error
                answer = await scope["app"].exception_handlers[BenchError](Request(scope), said)
                await answer(scope, receive, send)
                return
        await self.app(scope, receive, send)


async def _wrong_with_the_rest(receive: Receive) -> BenchError | None:
    """Read what the client still sends, and what is wrong with that."""
    try:
        while (await receive()).get("more_body"):
            pass
    except BenchError as error:
        return error
    return None


async def run_job(request: Request, work: Callable[[], T]) -> T:
    """Run `work` through the application's gate, once the service is ready.

    ``Prefer: wait=0`` (RFC 7240) asks for an answer now: a service that is at work says that it is busy, and
    the client looks for another replica.

    When the client goes away, work that waits is forgotten at once, and what has begun ends where it asks
    (:mod:`mssbench_service.cancellation`).
    """
    gate: JobQueue = request.app.state.job_queue
    metrics: Metrics = request.app.state.metrics
    with _refusals_counted(request), cancellation.cancellable() as gone:
        request.app.state.readiness.require()
        job = gate.submit(metrics.timed(_stage(request.url.path), work), wait=_waits(request.headers))
        watching = asyncio.create_task(_give_up_when_gone(request, gone, job))
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            if not gone.is_set():
                raise
            metrics.abandoned(_stage(request.url.path))
            raise ClientDisconnected("the client has disconnected") from None
        finally:
            watching.cancel()


async def _give_up_when_gone(request: Request, gone: threading.Event, job: Future[T]) -> None:
    # The request's body has been read by now, so that nothing else comes than the client's departure.
    while (await request.receive())["type"] != "http.disconnect":
        pass
    gone.set()
    job.cancel()


@contextlib.contextmanager
def _refusals_counted(request: Request) -> Iterator[None]:
    try:
        yield
    except (Busy, NotReady):
        request.app.state.metrics.refused(_stage(request.url.path))
        raise


def _stage(path: str) -> str:
    return path.rpartition("/")[2]


def _waits(headers: Headers) -> bool:
    return headers.get("prefer") != "wait=0"
