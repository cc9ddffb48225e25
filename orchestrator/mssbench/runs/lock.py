"""Who may execute a run: a file lock and two markers in the run directory.

They work from any process, on any machine that shares the data root.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from mssbench_service.errors import Conflict
from mssbench_service.files import make_folder

from .layout import RunLayout

_ATTEMPTS = 20
_ATTEMPT_SECONDS = 0.02


@dataclass(frozen=True)
class RunLock:
    """Lock of the process that executes the run. It ends with the process, however that ends."""

    layout: RunLayout

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock.

        Raises
        ------
        Conflict
            Another process holds it.
        """
        make_folder(self.layout.folder)
        with self.layout.lock.open("w") as lock:
            for attempt in range(_ATTEMPTS):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if attempt == _ATTEMPTS - 1:
                        raise Conflict(
                            f"run {self.layout.folder.name} is being run by another process"
                        ) from None
                    time.sleep(_ATTEMPT_SECONDS)  # `is_held` locks it for a moment
            os.utime(self.layout.lock)  # see `last_held`
            yield

    @property
    def is_held(self) -> bool:
        """Whether a process executes the run."""
        try:
            with self.layout.lock.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @property
    def last_held(self) -> float:
        """When execution of the run last started (seconds, Unix); 0.0 if it never did."""
        try:
            return self.layout.lock.stat().st_mtime
        except OSError:
            return 0.0


@dataclass(frozen=True)
class RunMarkers:
    """Marker files that other processes read."""

    layout: RunLayout

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled: no step of it starts until it is resumed."""
        return self.layout.cancelled.exists()

    def set_cancelled(self) -> None:
        self.layout.cancelled.touch()

    def clear_cancelled(self) -> None:
        self.layout.cancelled.unlink(missing_ok=True)

    @property
    def supervised(self) -> bool:
        """Whether the orchestrator service executes the run, also after a restart."""
        return self.layout.supervised.exists()

    def set_supervised(self) -> None:
        self.layout.supervised.touch()

    def clear_supervised(self) -> None:
        self.layout.supervised.unlink(missing_ok=True)
