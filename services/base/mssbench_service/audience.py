"""Whether anybody still waits for the work at hand.

A track may take a model on a CPU an hour. Where the client has gone meanwhile (a time limit, Ctrl-C, a worker that
was killed), what is left of it would keep the next one waiting. So long work calls :func:`still_wanted` between its
pieces.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar

from .errors import Abandoned

_gone: ContextVar[threading.Event | None] = ContextVar("gone", default=None)


@contextlib.contextmanager
def waiting() -> Iterator[threading.Event]:
    """Begin work for somebody; set the event when they have gone. Threads that are begun inside know of it."""
    gone = threading.Event()
    token = _gone.set(gone)
    try:
        yield gone
    finally:
        _gone.reset(token)


def still_wanted() -> None:
    """Raise :class:`Abandoned` if nobody waits for the work at hand any more."""
    gone = _gone.get()
    if gone is not None and gone.is_set():
        raise Abandoned("whoever asked for it has gone")
