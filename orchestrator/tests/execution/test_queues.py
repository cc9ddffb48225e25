"""Queues and workers on a real Redis. Lost jobs are queued again from the state in the run directory."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from mssbench.execution import embedded, launch, queues
from mssbench.execution.embedded import RedisServer, embedded_redis, embedded_server, embedded_workers
from mssbench.execution.inline import run_inline
from mssbench.execution.prepare import prepare
from mssbench.execution.queue_status import queue_status
from mssbench.execution.queues import (
    MAX_DEATHS,
    connect,
    enqueue,
    job_id,
    open_queue,
    queue_of,
    queues_of,
    reconcile,
    remove_jobs,
)
from mssbench.execution.steps import perform
from mssbench.execution.work import work
from mssbench.execution.workers import BenchWorker, run_burst, run_worker
from mssbench.runs.config import RunConfig
from mssbench.runs.progress import progress_of
from mssbench.runs.run import Run, Task
from mssbench.runs.status import RunStatus
from mssbench.services.runtime import make_runtime
from mssbench.settings.limits import Limits
from mssbench_service.errors import BadInput, NotFound, NotReady, Unreachable
from redis import Redis
from redis.exceptions import ConnectionError, RedisError
from rq import Queue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer


@pytest.fixture
def url() -> Iterator[str]:
    with embedded_redis() as url:
        yield url


@pytest.fixture
def connection(url: str) -> Iterator[Redis]:
    connection = connect(url)
    yield connection
    connection.close()


@pytest.fixture
def run(workspace: Path) -> Run:
    config = RunConfig(dataset="music", separators=["oracle-identity", "oracle-irm"], bsseval=False)
    return prepare(config, make_runtime(workspace), run_id="mine")


def queued(connection: Redis, name: str) -> list[str]:
    return Queue(name, connection=connection, serializer=JSONSerializer).job_ids


def _text(value: object) -> str:
    """Return an answer of Redis as text."""
    assert isinstance(value, bytes)
    return value.decode()


def test_a_new_run_queues_renderings_and_stereo_separations(run: Run, connection: Redis) -> None:
    assert reconcile(run, connection) == 2 + 2 * 2
    assert len(queued(connection, "render")) == 2
    assert len(queued(connection, "separate-oracle")) == 4
    assert queued(connection, "evaluate") == []


def test_no_task_is_queued_twice(run: Run, connection: Redis) -> None:
    for _ in range(3):
        reconcile(run, connection)
    task = next(iter(run.open_tasks()))
    enqueue(run, {task: 0}, connection)
    names = [job for name in queues_of(run) for job in queued(connection, name)]
    assert len(names) == len(set(names)) == 6


def test_a_redis_that_lost_its_data_is_filled_again(run: Run, connection: Redis) -> None:
    reconcile(run, connection)
    connection.flushall()
    reconcile(run, connection)
    assert len(queued(connection, "render")) == 2
    assert len(queued(connection, "separate-oracle")) == 4


def test_completed_tasks_are_not_queued(run: Run, connection: Redis) -> None:
    done = [task for task in run.open_tasks() if task.step == "separate"]
    for task in done:
        perform(run, task)
    reconcile(run, connection)
    assert queued(connection, "separate-oracle") == []
    assert len(queued(connection, "evaluate")) == len(done) == 4


def test_job_ids_are_what_rq_allows_and_differ_by_run_and_task(run: Run) -> None:
    tasks = [Task("separate", title, "stereo", "s") for title in ("a", "é & [x]", "a/b")]
    ids = {job_id(name, task) for name in ("one", "two") for task in tasks}
    assert len(ids) == 6
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", value) for value in ids)


def test_a_run_of_a_service_that_is_no_longer_registered_keeps_its_jobs(
    run: Run, connection: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue is not in the registry, but its jobs must not be queued twice."""
    registered = files("mssbench.services").joinpath("services.toml").read_text(encoding="utf-8")
    without = tmp_path / "services.toml"
    without.write_text(re.sub("(?m)^oracle .*", "", registered), encoding="utf-8")
    monkeypatch.setenv("MSSBENCH_SERVICES", str(without))
    run = Run(run.store, run.record, make_runtime(run.runtime.root.root))
    for _ in range(3):
        reconcile(run, connection)
    assert len(queued(connection, "separate-oracle")) == 4
    states = {queue.name: queue for queue in queue_status(connection).queues}
    assert (states["separate-oracle"].depth, states["separate-oracle"].workers) == (4, 0)
    for execute in (launch.execute_embedded, launch.execute_inline):
        with pytest.raises(NotFound, match="has tracks left for oracle, which is no longer registered"):
            execute(run, lambda status: None)
    assert not progress_of(run).failed


def test_each_separator_service_has_its_own_queue(run: Run) -> None:
    title = run.record.tracks[0].title
    assert queue_of(run, Task("separate", title, "stereo", "oracle-irm")) == "separate-oracle"
    assert queue_of(run, Task("render", title, "binaural")) == "render"


def test_jobs_are_small_and_json(run: Run, connection: Redis) -> None:
    reconcile(run, connection)
    job = Job.fetch(queued(connection, "separate-oracle")[0], connection, serializer=JSONSerializer)
    assert set(job.kwargs) == {"run_id", "task"}
    assert len(job.to_dict()["data"]) < 2000
    assert job.timeout is not None
    assert job.timeout > Limits().of_step(2.0)


def test_a_task_that_kills_its_worker_three_times_fails(run: Run, connection: Redis) -> None:
    task = next(task for task in run.open_tasks() if task.step == "separate")
    for _ in range(MAX_DEATHS):
        reconcile(run, connection)
        job = Job.fetch(job_id("mine", task), connection, serializer=JSONSerializer)
        Queue(job.origin, connection=connection, serializer=JSONSerializer).remove(job)
        job.set_status(JobStatus.FAILED)
    reconcile(run, connection)
    outcome = run.store.outcome(task.cell)
    assert outcome is not None
    assert "the worker died 3 times" in outcome["detail"]
    assert task not in set(run.open_tasks())


def test_a_job_that_is_in_no_queue_is_queued_again(run: Run, connection: Redis) -> None:
    reconcile(run, connection)
    taken = _text(connection.lpop("rq:queue:render"))
    assert taken not in queued(connection, "render")
    reconcile(run, connection)
    assert taken in queued(connection, "render")


def test_a_job_whose_worker_died_before_it_started_is_queued_again(
    run: Run, connection: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RQ does this after a minute, and only if the queue has another worker."""
    monkeypatch.setenv("MSSBENCH_SILENCE_SECONDS", "0.2")
    reconcile(run, connection)
    taken = _text(connection.lmove("rq:queue:render", "rq:queue:render:intermediate"))
    reconcile(run, connection)
    assert taken not in queued(connection, "render"), "a living worker has time to start the job"
    time.sleep(0.3)
    reconcile(run, connection)
    assert taken in queued(connection, "render")
    assert len(queued(connection, "render")) == 2


def test_a_job_with_an_expired_execution_is_queued_again(run: Run, connection: Redis) -> None:
    """RQ keeps the list of executions a minute longer than their records."""
    reconcile(run, connection)
    task = next(task for task in run.open_tasks() if task.step == "separate")
    job = Job.fetch(job_id("mine", task), connection, serializer=JSONSerializer)
    Queue(job.origin, connection=connection, serializer=JSONSerializer).remove(job)
    job.set_status(JobStatus.FAILED)
    connection.zadd(job.execution_registry.key, {"expired": time.time() + 60})
    reconcile(run, connection)
    assert job.id in queued(connection, "separate-oracle")


@pytest.mark.parametrize("field", ["meta", "created_at", "timeout"])
def test_a_job_that_cannot_be_read_is_replaced(run: Run, connection: Redis, field: str) -> None:
    """Another version or another program may have written it."""
    reconcile(run, connection)
    taken = _text(connection.lpop("rq:queue:render"))
    connection.hset(f"rq:job:{taken}", field, "nonsense {")
    assert reconcile(run, connection) == 6
    assert taken in queued(connection, "render")
    assert Job.fetch(taken, connection, serializer=JSONSerializer).kwargs["run_id"] == "mine"
    connection.hset(f"rq:job:{taken}", field, "nonsense {")
    remove_jobs(run, connection)
    assert queued(connection, "separate-oracle") == []


def test_two_processes_can_remove_the_same_jobs(
    run: Run, connection: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``mssbench cancel`` and the launcher both remove the jobs of a cancelled run."""
    reconcile(run, connection)
    jobs = [Job.fetch(name, connection, serializer=JSONSerializer) for name in queued(connection, "render")]
    assert jobs
    remove_jobs(run, connection)
    monkeypatch.setattr(queues, "_jobs_in", lambda *args: jobs)
    remove_jobs(run, connection)
    assert queued(connection, "render") == []
    assert not [job for job in jobs if connection.exists(job.key)]


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
            run.store.markers.set_cancelled()

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
    assert [worker.wait(60) for worker in workers] == [0, 0]
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


def test_a_job_of_a_run_that_was_removed_does_nothing(run: Run) -> None:
    task = next(run.open_tasks())
    run.store.layout.record.unlink()
    work("mine", vars(task))


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
            run.store.markers.set_cancelled()

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
    deadline = time.monotonic() + 600
    while not progress_of(run).complete and time.monotonic() < deadline:
        time.sleep(0.2)
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0, 0]
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
        deadline = time.monotonic() + 120
        while not is_alive(file) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert is_alive(file)
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


def test_an_unknown_queue_and_an_absent_redis_are_refused(connection: Redis) -> None:
    with pytest.raises(BadInput, match="unknown queue 'nothing'"):
        run_worker("nothing", connection)
    with pytest.raises(Unreachable, match="does not answer"):
        connect("redis://127.0.0.1:1/0")
    for url in ("nonsense", "redis://host/0?unknown=1"):
        with pytest.raises(BadInput, match="is not a Redis URL"):
            connect(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hush@127.0.0.1:1/0",
        "redis://me:hush@127.0.0.1:1/0",
        "redis://127.0.0.1:1/0?password=hush",
        "redis://:hush/hush@127.0.0.1:1/0",
        "redis://:hush@[::1/0",
    ],
)
def test_no_message_contains_the_password_of_redis(url: str) -> None:
    with pytest.raises((BadInput, Unreachable)) as caught:
        connect(url)
    assert "hush" not in caught.value.detail
    assert "redis://" in caught.value.detail
