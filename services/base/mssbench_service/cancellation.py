"""Cancellation of work whose client has disconnected.

A track may keep a model on a CPU busy for an hour. If its client has disconnected (a time limit, Ctrl-C, a worker that
was killed), the rest of the work would delay the next job. So long work calls :func:`raise_if_cancelled` between
its chunks.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar

from .errors import ClientDisconnected

_cancelled: ContextVar[threading.Event | None] = ContextVar("cancelled", default=None)


@contextlib.contextmanager
def cancellable() -> Iterator[threading.Event]:
    """Yield an event that cancels the work of this block once it is set, also in threads that inherit its context."""
    event = threading.Event()
    token = _cancelled.set(event)
    try:
        yield event
    finally:
        _cancelled.reset(token)


def raise_if_cancelled() -> None:
    """Raise :class:`~mssbench_service.errors.ClientDisconnected` if the current work has been cancelled."""
    event = _cancelled.get()
    if event is not None and event.is_set():
        raise ClientDisconnected("the client has disconnected")
