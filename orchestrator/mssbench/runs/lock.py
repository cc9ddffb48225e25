"""Execution of a run by one process: a file lock and two markers in the run directory.

They are effective for every process, on any machine that shares the data root.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from mssbench_service.errors import BadInput, Conflict
from mssbench_service.files import make_folder, storage_errors_raised, sync

from .layout import RunLayout

_ATTEMPTS = 20
_ATTEMPT_SECONDS = 0.02
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


@contextlib.contextmanager
def folder_locked(folder: Path, *, shared: bool) -> Iterator[None]:
    """Hold a lock on `folder` itself, which is made; wait until it is free."""
    with storage_errors_raised(make_folder(folder)):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with storage_errors_raised(folder):
            fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@dataclass(frozen=True)
class RunLock:
    """Lock of the process that executes the run. It is released when the process ends, for any reason."""

    layout: RunLayout

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock.

        Raises
        ------
        Conflict
            Another process holds it.
        BadInput
            The file system has no locks.
        StorageUnavailable
            The file system is read-only or fails.
        """
        make_folder(self.layout.folder)
        with contextlib.ExitStack() as stack:
            with storage_errors_raised(self.layout.folder):
                lock = stack.enter_context(self.layout.lock.open("w"))
                for attempt in range(_ATTEMPTS):
                    if self._lock(lock, fcntl.LOCK_EX):
                        break
                    if attempt == _ATTEMPTS - 1:
                        raise Conflict(f"run {self.layout.folder.name} is being run by another process")
                    time.sleep(_ATTEMPT_SECONDS)  # `is_held` locks it for a moment
                os.utime(self.layout.lock)  # see `last_held`
            yield

    @property
    def is_held(self) -> bool:
        """Whether a process executes the run."""
        with storage_errors_raised(self.layout.folder):
            try:
                with self.layout.lock.open() as lock:
                    return not self._lock(lock, fcntl.LOCK_SH)
            except FileNotFoundError:
                return False

    def _lock(self, lock: TextIO, kind: int) -> bool:
        """Lock the file unless another process holds it. Return whether it is locked now."""
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise BadInput(
                f"the file system of {self.layout.folder} has no file locks; mount it with the option flock "
                "(Lustre) or local_lock=flock (NFS without a lock service)"
            ) from None
        return True

    @property
    def last_held(self) -> float:
        """When execution of the run last started (seconds, Unix); 0.0 if it never did."""
        try:
            return self.layout.lock.stat().st_mtime
        except OSError:
            return 0.0


@dataclass(frozen=True)
class RunMarkers:
    """Marker files that other processes read. Changes are written to disk at once, in case of a power failure."""

    layout: RunLayout

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled: no step of it starts until it is resumed."""
        return self.layout.cancelled.exists()

    def set_cancelled(self, value: bool) -> None:
        self._set(self.layout.cancelled, value)

    @property
    def supervised(self) -> bool:
        """Whether the orchestrator service executes the run, also after a restart."""
        return self.layout.supervised.exists()

    def set_supervised(self, value: bool) -> None:
        self._set(self.layout.supervised, value)

    def _set(self, marker: Path, present: bool) -> None:
        with storage_errors_raised(self.layout.folder):
            if present == marker.exists():
                return
            marker.touch() if present else marker.unlink(missing_ok=True)
            sync(self.layout.folder)
