"""Independent pieces of one metric on the cores of this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mssbench_service.errors import BadInput

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def core_count() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux; elsewhere every core is ours
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def workers_asked_for() -> int | None:
    """Threads that the environment's ``MSSBENCH_THREADS`` asks for; None (every core) where it does not.

    Raises
    ------
    BadInput
        It is not a whole number.
    """
    text = os.environ.get("MSSBENCH_THREADS", "").strip() or "0"
    if not text.isdecimal():
        raise BadInput(f"MSSBENCH_THREADS is {text!r}; expected a number of threads, or 0 for every core")
    return int(text) or None


def threaded(function: Callable[[_In], _Out], items: Iterable[_In], workers: int | None = None) -> list[_Out]:
    """`function` of every item, in order.

    Threads will do, because FFTs and matrix products release the interpreter's lock. Every piece is computed
    alone, so that the number of workers changes no bit of the result.
    """
    items = list(items)
    count = min(workers or core_count(), len(items))
    if count <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(function, items))
