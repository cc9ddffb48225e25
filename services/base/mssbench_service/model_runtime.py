"""What every service around a model asks of its surroundings, but for the device: threads; and its failures.

``THREADS``  computing threads (default: the processors this process may use, within the container's limit)

Read in a separator's ``setup()``, so that a wrong value shows in ``/health`` rather than as a process that
dies as often as it is restarted.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from .environment import whole_number
from .errors import BenchError, OutOfMemory, StepFailed

log = logging.getLogger("mssbench")

CGROUP = Path("/sys/fs/cgroup")

# CPU allocators have no exception of their own: PyTorch's raises a RuntimeError that says one of these.
_ALLOCATION_FAILED = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)


def thread_count() -> int:
    """How many threads to compute with: ``THREADS``, or as many as there are processors to run them."""
    return whole_number("THREADS", usable_processors(), 1, 1024)


def usable_processors(cgroup: Path = CGROUP) -> int:
    """Processors this process may use: its affinity, and the CPU limit of its container (cgroup v2 or v1).

    Libraries count the machine's processors; in a container limited to two of 64 they would start 64 threads
    that wait for each other.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, math.ceil(_cpu_limit(cgroup))))


def _cpu_limit(cgroup: Path) -> float:
    with contextlib.suppress(OSError, ValueError):
        quota, period = (cgroup / "cpu.max").read_text().split()
        return 2**16 if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        quota_us = int((cgroup / "cpu" / "cpu.cfs_quota_us").read_text())
        period_us = int((cgroup / "cpu" / "cpu.cfs_period_us").read_text())
        return 2**16 if quota_us <= 0 else quota_us / period_us
    return 2**16


@contextlib.contextmanager
def model_errors(library: str, out_of_memory: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
    """Turn whatever `library` raises into the error family.

    `out_of_memory` are the library's own exceptions for it, which become the retryable
    :class:`~mssbench_service.errors.OutOfMemory`; everything unforeseen becomes ``StepFailed`` with the
    library's message, and the traceback goes to the log.
    """
    try:
        yield
    except BenchError:
        raise
    except Exception as error:
        allocation = isinstance(error, RuntimeError) and _ALLOCATION_FAILED.search(str(error))
        if allocation or isinstance(error, (MemoryError, *out_of_memory)):
            raise OutOfMemory(f"{library} ran out of memory: {_first_line(error)}", retry_after=30) from error
        log.exception("%s failed", library)
        raise StepFailed(f"{library} failed: {type(error).__name__}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "no message")[:300]
