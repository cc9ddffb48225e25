"""Start and end of a service: its set-up in the background, and the signals that end it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio.to_thread
from fastapi import FastAPI

from .admission import Readiness
from .errors import BenchError
from .http_heads import limit_heads

log = logging.getLogger("mssbench")

SETUP_RETRY_SECONDS = 15.0
"""Time between two attempts to set up a service that lacks something, such as its weights."""


class Startup:
    """Runs `setup` in a thread while the server already answers, and records the result in `readiness`.

    After an error that may pass (weights that can be fetched meanwhile), `setup` is called again every
    :data:`SETUP_RETRY_SECONDS`. `stopping` is set when the process receives a signal to end.
    """

    def __init__(self, service: str, setup: Callable[[], None]) -> None:
        self._service, self._setup = service, setup
        self.readiness = Readiness()
        self.stopping = threading.Event()

    @contextlib.asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """The application's lifespan."""
        limit_heads()
        preparing = asyncio.create_task(anyio.to_thread.run_sync(self._prepare))
        with _set_on_signal(self.stopping):
            yield
        await preparing

    def _prepare(self) -> None:
        logged = ""
        while (error := self._attempt()) is not None:
            self.readiness.error, self.readiness.state = error, "failed"
            if error.detail != logged:
                log.warning("%s is not ready: %s", self._service, error.detail)
                logged = error.detail
            if not error.retryable or self.stopping.wait(SETUP_RETRY_SECONDS):
                return
        self.readiness.error, self.readiness.state = None, "ready"

    def _attempt(self) -> BenchError | None:
        try:
            self._setup()
        except BenchError as error:
            return error
        except Exception as error:  # a library's failure to load must show in /health, not end the server
            log.exception("setup of %s failed", self._service)
            return BenchError(f"setup failed: {type(error).__name__}: {error}")
        return None


@contextlib.contextmanager
def _set_on_signal(stopping: threading.Event) -> Iterator[None]:
    """Set `stopping` when the signal arrives: the server waits for open streams before the lifespan ends."""
    before: dict[int, Any] = {}

    def handle(number: int, frame: Any) -> None:
        stopping.set()
        if callable(before[number]):
            before[number](number, frame)

    if threading.current_thread() is threading.main_thread():
        for number in (int(signal.SIGTERM), int(signal.SIGINT)):
            before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        stopping.set()
        for number, handler in before.items():
            signal.signal(number, handler)
