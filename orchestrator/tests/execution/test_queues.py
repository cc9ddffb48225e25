"""Jobs in a real Redis. Lost ones are queued again from the state in the run directory."""

from __future__ import annotations

import re
import time
from importlib.resources import files
from pathlib import Path

import pytest
from mssbench.execution import launch, queues
from mssbench.execution.queue_status import queue_status
from mssbench.execution.queues import (
    MAX_DEATHS,
    connect,
    enqueue,
    job_id,
    queues_of,
    reconcile,
    remove_jobs,
)
from mssbench.execution.steps import perform
from mssbench.execution.work import work
from mssbench.runs.progress import progress_of
from mssbench.runs.run import Run, Task
from mssbench.services.runtime import make_runtime
from mssbench.settings.limits import Limits
from mssbench_contract.server import wait_for
from mssbench_service.errors import BadInput, NotFound, Unreachable
from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from .conftest import queued


def _text(value: object) -> str:
    """Return an answer of Redis as text."""
    assert isinstance(value, bytes)
    return value.decode()


def test_no_task_is_queued_twice(run: Run, connection: Redis) -> None:
    for _ in range(3):
        reconcile(run, connection)
    task = next(iter(run.open_tasks()))
    enqueue(run, {task: 0}, connection)
    names = [job for name in queues_of(run) for job in queued(connection, name)]
    assert len(names) == len(set(names)) == 6


def test_a_redis_that_lost_its_data_is_filled_again(run: Run, connection: Redis) -> None:
    for lost in (connection.flushall, bool):
        assert reconcile(run, connection) == 2 + 2 * 2
        assert len(queued(connection, "render")) == 2
        assert len(queued(connection, "separate-oracle")) == 4
        assert queued(connection, "evaluate") == []
        lost()


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
    wait_for(lambda: reconcile(run, connection) and taken in queued(connection, "render"))
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


def test_a_job_of_a_run_that_was_removed_does_nothing(run: Run) -> None:
    task = next(run.open_tasks())
    run.store.layout.record.unlink()
    work("mine", vars(task))


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
