"""The latest survey of all services, refreshed in the background, so that pages do not wait for a service."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from .health import ServiceHealth, survey
from .runtime import Runtime


class HealthCache:
    """The latest survey of all services. One older than `seconds` is repeated in the background on the next call."""

    def __init__(self, runtime: Runtime, seconds: float = 10.0) -> None:
        self._runtime, self._seconds = runtime, seconds
        self._lock = threading.RLock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="health")
        self._pending: Future[list[ServiceHealth]] | None = None
        self._latest: list[ServiceHealth] | None = None
        self._finished = 0.0

    def latest(self, wait: float = 0.1) -> list[ServiceHealth] | None:
        """The latest result; None if the first survey takes longer than `wait` seconds."""
        with self._lock:
            expired = self._latest is None or time.monotonic() - self._finished > self._seconds
            if self._pending is None and expired:
                self._pending = self._pool.submit(self._survey)
                self._pending.add_done_callback(self._store)
            pending = self._pending
        if self._latest is None and pending is not None:
            try:
                return pending.result(timeout=wait)
            except TimeoutError:
                return None
        return self._latest

    def _survey(self) -> list[ServiceHealth]:
        self._runtime.reload()
        return survey(self._runtime)

    def _store(self, done: Future[list[ServiceHealth]]) -> None:
        with self._lock:
            self._latest, self._finished, self._pending = done.result(), time.monotonic(), None
