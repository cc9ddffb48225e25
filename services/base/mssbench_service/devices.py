"""What a model computes on: ``DEVICE``, one of

``auto``       the first CUDA device, or the CPU where there is none (default)
``cpu``
``cuda``       the first CUDA device; ``cuda:<n>`` another, counted from 0
``cuda:free``  the first CUDA device that no other replica of the service on this machine has

Read in a separator's ``setup()``, so that a wrong value shows in ``/health`` rather than as a process that dies as
often as it is restarted. A CUDA device that was asked for and is not there is an error: a benchmark must never run on
the CPU unasked.

Replicas that share ``cuda:free`` each hold a lock on a file for their device, under ``runs/.devices`` of the data root
that they share. It ends with the process, however that ends. The machine is known by its boot id, which containers
see as well, so that machines may share a file system.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from .errors import BadInput, NotReady

FREE = "cuda:free"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_held: dict[Path, IO[str]] = {}
"""Locks of this process, by their files. None is given back: the model lies in the device's memory."""


def requested_device() -> str:
    """``DEVICE``, checked."""
    device = os.environ.get("DEVICE", "").strip().lower() or "auto"
    if not re.fullmatch(r"auto|cpu|cuda(:(\d{1,3}|free))?", device):
        raise BadInput(f"DEVICE={device!r}; expected auto, cpu, cuda, cuda:<n> or {FREE}")
    return device


def chosen_device(service: str, library: str, count: Callable[[], int]) -> str:
    """``cpu``, ``cuda`` or ``cuda:<n>``, whichever ``DEVICE`` comes to here.

    Parameters
    ----------
    service : str
        Whose replicas share the machine's devices.
    library : str
        What computes, and its version, for the message.
    count : callable
        How many CUDA devices the library finds; not asked if the CPU is to be used.

    Raises
    ------
    BadInput
        ``DEVICE`` is none of the above.
    NotReady
        The CUDA device is not there, or none is free.
    """
    asked = requested_device()
    found = 0 if asked == "cpu" else count()
    if asked == "auto":
        return "cuda" if found else "cpu"
    at_least = 0 if asked == "cpu" else 1 if asked == FREE else int(asked.partition(":")[2] or 0) + 1
    if found < at_least:
        raise NotReady(f"DEVICE={asked}, but {library} finds {found} CUDA device(s)")
    return f"cuda:{_hold_a_free_one(service, found)}" if asked == FREE else asked


def torch_device(service: str) -> str:
    """:func:`chosen_device` for PyTorch."""
    torch: Any = importlib.import_module("torch")
    cuda = torch.cuda
    count = cuda.device_count
    return chosen_device(
        service, f"PyTorch {torch.__version__}", lambda: count() if cuda.is_available() else 0
    )


def _hold_a_free_one(service: str, found: int) -> int:
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
