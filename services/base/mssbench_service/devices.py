"""The device and the number of threads that a service computes with.

``DEVICE`` is one of

``auto``       the first CUDA device, or the CPU if there is none (default of separators)
``cpu``
``cuda``       the first CUDA device; ``cuda:<n>`` the device of that index
``cuda:free``  the first CUDA device that no other replica of the service on this machine holds

``THREADS`` is the number of computing threads (default: the processors that this process may use, within the
limit of its container).

Both are read in a service's ``setup()``, so that ``/health`` shows a wrong value; at import, the process would
exit and restart again and again. A requested CUDA device that is not available is an error: a benchmark must never
fall back to the CPU silently.

With ``cuda:free``, each replica holds a lock on a file for its device, in ``runs/.devices`` of the shared data root.
The operating system releases the lock when the process exits. The file's folder is named after the machine's boot id,
which containers see as well, so that several machines may share a data root.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO

from .environment import processors, whole_number
from .errors import BadInput, NotReady

FREE = "cuda:free"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_held: dict[Path, IO[str]] = {}
"""Locks held by this process, by file. They are never released: the model stays in the device's memory."""


def requested_device(default: str = "auto") -> str:
    """The value of ``DEVICE``, validated; `default` if it is unset or empty."""
    device = os.environ.get("DEVICE", "").strip().lower() or default
    if not re.fullmatch(r"auto|cpu|cuda(:(\d{1,3}|free))?", device):
        raise BadInput(f"DEVICE={device!r}; expected auto, cpu, cuda, cuda:<n> or {FREE}")
    return device


def chosen_device(service: str, library: str, count: Callable[[], int], default: str = "auto") -> str:
    """Choose the device that ``DEVICE`` asks for.

    Parameters
    ----------
    service : str
        Name of the service; its replicas share the machine's devices.
    library : str
        Name and version of the computing library, for the error message.
    count : callable
        Returns the number of CUDA devices that the library finds. Not called if ``DEVICE`` is ``cpu``.
    default : str
        What is asked for if ``DEVICE`` is unset or empty.

    Returns
    -------
    str
        ``cpu``, ``cuda`` or ``cuda:<n>``.

    Raises
    ------
    BadInput
        ``DEVICE`` has no valid value.
    NotReady
        The CUDA device is not available, or none is free.
    """
    asked = requested_device(default)
    found = 0 if asked == "cpu" else count()
    if asked == "auto":
        return "cuda" if found else "cpu"
    at_least = 0 if asked == "cpu" else 1 if asked == FREE else int(asked.partition(":")[2] or 0) + 1
    if found < at_least:
        raise NotReady(f"DEVICE={asked}, but {library} finds {found} CUDA device(s)")
    return f"cuda:{_lock_free_device(service, found)}" if asked == FREE else asked


def _lock_free_device(service: str, found: int) -> int:
    root = Path(os.environ.get("MSSBENCH_DATA_ROOT") or Path.cwd())
    folder = root / "runs" / ".devices" / BOOT_ID.read_text(encoding="ascii").strip()
    paths = [folder / f"{service}-{index}" for index in range(found)]
    for index, path in enumerate(paths):
        if path in _held:
            return index
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for index, path in enumerate(paths):
            if (lock := _lock(path)) is not None:
                _held[path] = lock
                return index
    except OSError as error:
        raise NotReady(f"DEVICE={FREE} needs to lock files in {folder}: {error.strerror}") from None
    raise NotReady(f"DEVICE={FREE}, but other replicas of {service} have all {found} CUDA device(s)")


def _lock(path: Path) -> IO[str] | None:
    file = path.open("w", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def thread_count() -> int:
    """Number of computing threads: ``THREADS``, or :func:`~mssbench_service.environment.processors`."""
    return whole_number("THREADS", processors(), 1, 1024)
