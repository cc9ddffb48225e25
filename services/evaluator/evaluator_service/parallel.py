"""Independent pieces of one metric on the cores of this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def core_count() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux; elsewhere every core is ours
    return len(affinity(0)) if affinity else os.cpu_count() or 1


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
