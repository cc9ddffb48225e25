"""Runs the steps through RQ on Redis. Redis only queues: what is done is read from the run directory.

There is a queue for ``render``, one for ``evaluate`` and one for each separator service, so that no separator
waits for another. A worker listens on exactly one queue (RQ hands a job over atomically only then). A job
does one step and then puts what that step unlocked into its queue. :func:`reconcile` compares the run
directory with Redis and puts back whatever is missing, which covers a lost Redis, a killed worker and a
killed launcher alike.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import importlib
import logging
import os
import socket
from pathlib import Path
from typing import Any

from mssbench_service.errors import BadInput, StepFailed, Unreachable
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker, get_current_job
from rq.exceptions import DuplicateJobError
from rq.job import Job, JobStatus
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from .registry import load_registry
from .runtime import make_runtime
from .steps import Run, Task, perform_patiently, record_failure
from .store import Workspace

log = logging.getLogger("mssbench")

MAX_DEATHS = 3
"""A task whose worker died so often is given up: it is likely the task that kills them."""

_FAILURE_TTL = 7 * 24 * 3600
_RESULT_TTL = 0  # the result is in the run directory; nothing is kept in Redis


def connect(url: str) -> Redis:
    """Connection to the Redis at `url`.

    Raises
    ------
    BadInput, Unreachable
        The URL makes no sense, or nothing answers there.
    """
    try:
        connection = Redis.from_url(url, socket_connect_timeout=5, health_check_interval=30)
        connection.ping()
    except ValueError as error:
        raise BadInput(f"{url!r} is not a Redis URL: {error}") from None
    except (RedisError, OSError) as error:
        raise Unreachable(f"Redis at {url} does not answer: {error}") from None
    return connection


def queue_names() -> list[str]:
    """All queues, from the registry of services."""
    return ["render", "evaluate", *(f"separate-{name}" for name in load_registry().separators)]


def queues_of(run: Run) -> list[str]:
    """The queues that `run` has work for: idle workers of others would only take memory."""
    services = {s.service: None for s in run.record.separators if s.status == "available"}
    return ["render", "evaluate", *(f"separate-{name}" for name in services)]


def queue_of(run: Run, task: Task) -> str:
    if task.step == "separate":
        return f"separate-{run.record.separator(task.separator).service}"
    return task.step


def job_id(run_id: str, task: Task) -> str:
    """The same task of the same run always has the same id, so that it cannot be queued twice."""
    key = "\0".join((run_id, task.step, task.condition, task.separator, task.title))
    return f"{task.step}-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def enqueue(run: Run, task: Task, connection: Redis, deaths: int = 0) -> None:
    """Queue `task`, unless it is queued already or the run was cancelled."""
    if run.store.cancelled:
        return
    seconds = run.record.track(task.title).seconds
    queue = Queue(queue_of(run, task), connection=connection, serializer=JSONSerializer)
    arguments: dict[str, Any] = {"run_id": run.store.id, "task": vars(task)}
    # A worker and the launcher may see the same gap at once.
    with contextlib.suppress(DuplicateJobError):
        queue.enqueue_call(
            work,
            kwargs=arguments,
            timeout=int(3600 + 60 * seconds),  # retries of a busy service included
            result_ttl=_RESULT_TTL,
            failure_ttl=_FAILURE_TTL,
            description=f"{task.step} {task.condition} {task.separator} {task.title}",
            job_id=job_id(run.store.id, task),
            meta={"deaths": deaths},
            unique=True,
        )


def work(run_id: str, task: dict[str, str]) -> None:
    """The job: do one step, then queue what it unlocked."""
    root = Path(os.environ.get("MSSBENCH_DATA_ROOT") or Path.cwd())
    store = Workspace(root).run(run_id)
    if store.cancelled:  # its open cells stay as they are
        return
    run = Run(store, store.load(), make_runtime(root))
    todo = Task(**task)
    perform_patiently(run, todo)
    job = get_current_job()
    assert job is not None
    for follower in run.unlocked_by(todo):
        enqueue(run, follower, job.connection)


def reconcile(run: Run, connection: Redis) -> int:
    """Queue every open task that is not queued or running; the number of open tasks.

    A task whose worker was killed is queued again, up to :data:`MAX_DEATHS` times.
    """
    tasks = list(run.open_tasks())
    for name in queue_names():
        # Jobs of workers that stopped sending heartbeats are moved to the failed ones here.
        StartedJobRegistry(queue=Queue(name, connection=connection, serializer=JSONSerializer)).cleanup()
    ids = [job_id(run.store.id, task) for task in tasks]
    for task, job in zip(tasks, Job.fetch_many(ids, connection, serializer=JSONSerializer), strict=True):
        # As it was fetched: a job that is done meanwhile is no longer there to be asked.
        status = job.get_status(refresh=False) if job is not None else None
        if status in (JobStatus.QUEUED, JobStatus.STARTED, JobStatus.DEFERRED, JobStatus.SCHEDULED):
            continue
        deaths = 0
        if job is not None:
            deaths = int(job.meta.get("deaths", 0)) + (status == JobStatus.FAILED)
            job.delete()
        if deaths >= MAX_DEATHS:
            record_failure(run, task, StepFailed(f"the worker died {deaths} times while doing this"))
        else:
            enqueue(run, task, connection, deaths)
    return len(tasks)


def withdraw(run: Run, connection: Redis) -> int:
    """Take the run's waiting jobs out of their queues; how many. What runs already runs to its end."""
    waiting = _jobs_in(run, connection, JobStatus.QUEUED, JobStatus.DEFERRED, JobStatus.SCHEDULED)
    for job in waiting:
        job.delete()
    return len(waiting)


def at_work(run: Run, connection: Redis) -> int:
    """How many steps of the run workers are doing now."""
    return len(_jobs_in(run, connection, JobStatus.STARTED))


def _jobs_in(run: Run, connection: Redis, *statuses: JobStatus) -> list[Job]:
    ids = [job_id(run.store.id, task) for task in run.open_tasks()]
    jobs = Job.fetch_many(ids, connection, serializer=JSONSerializer)
    return [job for job in jobs if job is not None and job.get_status(refresh=False) in statuses]


def serve_queue(name: str, connection: Redis) -> None:
    """Be a worker on the queue `name` until told to stop; a running job is finished first (SIGTERM).

    Raises
    ------
    BadInput
        There is no such queue.
    """
    if name not in queue_names():
        raise BadInput(f"unknown queue {name!r}; expected one of {', '.join(queue_names())}")
    _preload(name)
    queue = Queue(name, connection=connection, serializer=JSONSerializer)
    Worker([queue], connection=connection, serializer=JSONSerializer, job_monitoring_interval=10).work(
        logging_level="WARNING"
    )


def worker_is_alive(connection: Redis) -> bool:
    """Whether a worker of this very machine (container) sent a heartbeat lately."""
    now = datetime.datetime.now(datetime.UTC)
    for worker in Worker.all(connection=connection, serializer=JSONSerializer):
        beat = worker.last_heartbeat
        if worker.hostname == socket.gethostname() and beat is not None:
            aware = beat if beat.tzinfo else beat.replace(tzinfo=datetime.UTC)
            if (now - aware).total_seconds() < worker.worker_ttl + 60:
                return True
    return False


def _preload(queue: str) -> None:
    """Import what the jobs of `queue` need before the worker forks, or every job would pay for it."""
    if (os.environ.get("MSSBENCH_TRANSPORT") or "inprocess") != "inprocess":
        return
    registry = load_registry()
    services = {"render": registry.tools["synth"], "evaluate": registry.tools["evaluator"]}
    services |= {f"separate-{name}": service for name, service in registry.separators.items()}
    for module in (services[queue].module, f"{services[queue].module}.steps"):
        try:
            importlib.import_module(module)
        except ImportError:
            continue  # reported as unavailable where the run is planned
