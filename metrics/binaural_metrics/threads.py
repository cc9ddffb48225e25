"""Threads: independent parts of one computation on several cores, and a single BLAS thread for each.

A BLAS with several threads splits a sum among them. The last digits of an inner product then depend on the number
of threads, and a ratio near its noise floor (an SAR) changes in the ninth decimal. The same signals must give the
same bits in every process, with any number of workers and under any load. Every metric therefore runs under
:data:`one_blas_thread`, and this package splits the work itself, into parts that are each computed alone. This is
also faster: two pools of threads on the same cores slow each other down.

Between processors of different kinds, whose kernels add in different orders, the last digits may still differ.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ContextDecorator
from functools import lru_cache
from typing import Any, TypeVar

import scipy.linalg  # noqa: F401  # loads the BLAS libraries of NumPy and SciPy, so that a limit finds both
from threadpoolctl import ThreadpoolController

_In = TypeVar("_In")
_Out = TypeVar("_Out")


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def _in_new_thread(function: Callable[[], _Out]) -> _Out:
    """Call `function` in a thread that ends with the call.

    threadpoolctl ignores changes to OpenBLAS by all threads but one while that one is alive. The computation that ends
    last often runs in another thread than the one that started first.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


class _OneBlasThread(ContextDecorator):
    """One BLAS thread in this process while at least one computation runs.

    BLAS has one setting for the whole process. The first computation that starts sets it, and the last one that
    ends restores it, so that computations in several threads do not lift the limit for one another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._running == 0:
                self._limit = _in_new_thread(lambda: _controller().limit(limits=1, user_api="blas"))
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1
            if self._running == 0:
                _in_new_thread(self._limit.restore_original_limits)


one_blas_thread = _OneBlasThread()
"""Context manager and decorator."""


def core_count() -> int:
    """Number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def threaded(
    function: Callable[[_In], _Out], items: Iterable[_In], workers: int | None = None
) -> Iterator[_Out]:
    """Apply `function` to every item in threads; results in the order of the items.

    FFTs and matrix products release the interpreter's lock. Every item is computed alone, so that the number of
    workers does not change the result. Few results wait for the caller, so that those that are only summed take no
    memory.
    """
    items = list(items)
    count = min(workers or core_count(), len(items))
    if count <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(count) as pool:
        waiting: deque[Future[_Out]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
