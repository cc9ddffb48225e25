"""Launchers and workers on a real Redis."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mssbench.execution import embedded, launch
from mssbench.execution.embedded import RedisServer, embedded_server, embedded_workers
from mssbench.execution.inline import run_inline
from mssbench.execution.queue_status import queue_status
from mssbench.execution.queues import (
    connect,
    open_queue,
    queues_of,
    reconcile,
)
from mssbench.execution.work import work
from mssbench.execution.workers import BenchWorker, run_burst, run_worker
from mssbench.runs.progress import progress_of
from mssbench.runs.run import Run
from mssbench.runs.status import RunStatus
from mssbench.settings.limits import Limits
from mssbench_contract.server import wait_for
from mssbench_service.errors import BadInput, NotFound, NotReady, Unreachable
from redis import Redis
from redis.exceptions import ConnectionError, RedisError
from rq import Queue
from rq.serializers import JSONSerializer

from .conftest import queued


def test_a_launcher_survives_errors_while_it_requeues_tasks(
    run: Run, connection: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Workers continue with queued jobs. The end of the launcher would stop the embedded workers."""
    failures = iter([ValueError("not a job"), ConnectionError("unreachable"), None])

    def reconcile_at_last(run: Run, connection: Redis) -> None:
        if failure := next(failures):
            raise failure
        run_inline(run, lambda: None)

    monkeypatch.setattr(launch, "reconcile", reconcile_at_last)
    monkeypatch.setattr(launch, "RECONCILE_SECONDS", 0.0)
    launch._follow(run, connection, lambda status: None)
    assert progress_of(run).complete
    assert "not a job" in caplog.text
    assert "unreachable" not in caplog.text, "a restart of Redis is not an error"


def test_a_redis_that_refuses_commands_is_reported_once(
    run: Run, connection: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be full, or a replica. The user has to know why the run waits."""
    connection.config_set("maxmemory", "1")
    shown = []

    def show(status: RunStatus) -> None:
        shown.append(status)
        if len(shown) == 4:
            connection.config_set("maxmemory", "0")
        if queued(connection, "render"):
            run.store.markers.set_cancelled(True)

    monkeypatch.setattr(launch, "RECONCILE_SECONDS", 0.0)
    with pytest.raises(launch.Cancelled):
        launch._follow(run, connection, show)
    assert caplog.text.count("run mine waits, because Redis refuses a command") == 1


def test_a_worker_pauses_while_redis_refuses_commands(
    connection: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.replicaof("127.0.0.1", "1")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise InterruptedError

    monkeypatch.setattr("mssbench.execution.workers.time.sleep", sleep)
    with pytest.raises(InterruptedError):
        run_worker("render", connection)
    assert slept == [1.0, 2.0, 4.0]


@pytest.mark.long
def test_burst_workers_share_a_run_and_end_when_nothing_is_left(
    run: Run, url: str, connection: Redis
) -> None:
    reconcile(run, connection)
    command = [sys.executable, "-m", "mssbench", "worker", "--burst", "--idle", "0.5", "--redis", url]
    queues = ["evaluate", "separate-oracle", "render"]  # those that need others come first
    workers = [subprocess.Popen([*command, *queues]) for _ in range(2)]
    assert [worker.wait(600) for worker in workers] == [0, 0]
    assert progress_of(run).complete
    assert progress_of(run).failed == 0


def test_a_burst_worker_serves_its_queues_until_all_of_them_are_idle(
    run: Run, connection: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconcile(run, connection)
    served = []

    def serve(worker: BenchWorker, **options: object) -> None:
        (queue,) = worker.queues
        served.append(queue.name)
        connection.delete(queue.key)
        if queue.name == "render":  # its job has unlocked another one
            other = Queue("evaluate", connection=connection, serializer=JSONSerializer)
            other.enqueue("mssbench.execution.work.work")

    monkeypatch.setattr(BenchWorker, "work", serve)
    monkeypatch.setattr("mssbench.execution.workers.SHORTEST_PAUSE", 0.01)
    run_burst(["evaluate", "render"], connection, 0.05)
    assert served == ["render", "evaluate"]


def test_a_burst_worker_ends_when_redis_has_gone() -> None:
    run_burst(["render"], Redis(host="127.0.0.1", port=1), 0.1)


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EROFS])
@pytest.mark.parametrize(
    "function", ["mssbench.execution.work.load_run", "mssbench.execution.steps._perform"]
)
def test_a_task_waits_while_the_storage_fails(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, function: str, number: int
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    task = next(run.open_tasks())
    monkeypatch.setenv("MSSBENCH_PAUSES", "0.001,0.001")
    monkeypatch.setattr(function, fail)
    work("mine", vars(task))  # an error would count as the death of the worker
    assert task in run.open_tasks()
    assert "is postponed: the storage of" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_worker_that_cannot_start_ends_the_run_with_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "RECONCILE_SECONDS", 0.1)
    monkeypatch.setattr("sys.executable", "false")
    with pytest.raises(NotReady, match=r"queue \S+ did not start in 3 attempts \(exit code 1"):
        launch.execute_embedded(run, lambda status: None)
    assert progress_of(run).ended == 0


def test_a_worker_that_hangs_at_its_start_is_killed(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hangs = tmp_path / "hangs"
    hangs.write_text("#!/bin/sh\nexec sleep 60\n")
    hangs.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(hangs))
    monkeypatch.setattr(embedded, "START_SECONDS", 0.0)
    with embedded_workers("unix:///none", workspace, ["render"]) as workers:
        workers.keep_alive()
        workers.keep_alive()
        with pytest.raises(NotReady, match="killed by signal 9"):
            workers.keep_alive()


def test_a_queue_without_a_worker_is_reported_once(
    run: Run, connection: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shown: list[RunStatus] = []

    def show(status: RunStatus) -> None:
        shown.append(status)
        if len(shown) == 3:
            run.store.markers.set_cancelled(True)

    monkeypatch.setattr(launch, "RECONCILE_SECONDS", 0.0)
    with pytest.raises(launch.Cancelled):
        launch._follow(run, connection, show)
    assert caplog.text.count("no worker listens on render, separate-oracle") == 1


def start_worker(queue: str, url: str, root: Path, **settings: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"MSSBENCH_DATA_ROOT": str(root), "OPENBLAS_NUM_THREADS": "1"} | settings
    return subprocess.Popen(
        [sys.executable, "-m", "mssbench", "worker", queue, "--redis", url], env=environment
    )


def test_workers_complete_a_run_without_a_launcher(run: Run, url: str, connection: Redis) -> None:
    """Each job queues the steps that it unlocked."""
    reconcile(run, connection)
    workers = [start_worker(name, url, run.runtime.root.root) for name in queues_of(run)]
    wait_for(lambda: progress_of(run).complete)
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    assert [worker.wait(timeout=600) for worker in workers] == [0, 0, 0]
    assert progress_of(run).complete
    assert progress_of(run).failed == 0
    assert connection.keys("rq:job:*") == [], "Redis keeps no completed job"


@pytest.mark.usefixtures("without_report")
def test_an_embedded_redis_that_is_killed_is_restarted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    servers: list[RedisServer] = []
    killed: list[int] = []

    @contextlib.contextmanager
    def watched() -> Iterator[RedisServer]:
        with embedded_server() as server:
            servers.append(server)
            yield server

    def show(status: RunStatus) -> None:
        if servers and status.progress.rendered and not killed:
            killed.append(servers[0]._process.pid)
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(launch, "embedded_server", watched)
    launch.execute_embedded(run, show)
    assert killed
    assert servers[0]._process.pid != killed[0]
    assert progress_of(run).complete
    assert progress_of(run).failed == 0


def test_a_launcher_ends_if_the_run_is_removed(run: Run, connection: Redis) -> None:
    def show(status: RunStatus) -> None:
        run.store.layout.record.unlink(missing_ok=True)

    with pytest.raises(NotFound, match="run mine no longer exists"):
        launch._follow(run, connection, show)


def is_alive(file: Path, **settings: str) -> bool:
    environment = os.environ | {"MSSBENCH_ALIVE": str(file)} | settings
    done = subprocess.run(
        [sys.executable, "-m", "mssbench.execution.worker_health"], env=environment, capture_output=True
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


def test_a_worker_is_healthy_while_it_sends_heartbeats(url: str, workspace: Path) -> None:
    file = workspace / "alive"
    assert not is_alive(file), "no worker was started"
    worker = start_worker("render", url, workspace, MSSBENCH_ALIVE=str(file))
    try:
        wait_for(lambda: is_alive(file))
    finally:
        worker.kill()
        worker.wait()
    os.utime(file, (time.time() - 131, time.time() - 131))
    assert not is_alive(file), "its last heartbeat is too old"
    assert is_alive(file, MSSBENCH_SILENCE_SECONDS="200")


def test_a_heartbeat_that_redis_refuses_is_not_reported(
    tmp_path: Path, url: str, connection: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "alive"
    monkeypatch.setenv("MSSBENCH_ALIVE", str(file))
    worker = BenchWorker(Queue("render", connection=connection, serializer=JSONSerializer), Limits())
    connection.config_set("maxmemory", "1")
    with pytest.raises(RedisError):
        worker.heartbeat()
    assert not file.exists()
    connection.config_set("maxmemory", "0")
    worker.heartbeat()
    assert file.exists()


def test_a_worker_registers_again_after_redis_lost_its_data(connection: Redis) -> None:
    """Otherwise ``rq info``, the dashboard and the alerts would list no worker."""
    worker = BenchWorker(open_queue("render", connection), Limits())
    worker.register_birth()  # type: ignore[no-untyped-call]
    worker.set_state("idle")
    connection.flushall()
    worker.heartbeat()
    (found,) = queue_status(connection).workers
    assert (found.name, found.queue, found.state) == (worker.name, "render", "idle")
    assert connection.ttl(worker.key) > 0
    assert {queue.name: queue.workers for queue in queue_status(connection).queues}["render"] == 1


def test_an_absent_redis_is_refused() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        connect("redis://127.0.0.1:1/0")
    for url in ("nonsense", "redis://host/0?unknown=1"):
        with pytest.raises(BadInput, match="is not a Redis URL"):
            connect(url)
