"""Schedules steps through RQ on Redis. Redis holds only the queues; the state of a run is its directory.

There is one queue for ``render``, one for ``evaluate`` and one for each separator service, so that separators do not
wait for each other. A worker listens on exactly one queue, because only then does RQ move a job to a worker
atomically. A job runs one step and queues the steps that this unlocks. :func:`reconcile` compares the run directory
with Redis and queues what is missing: after a loss of Redis' data, a killed worker or a killed launcher.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mssbench_service.errors import BadInput, StepFailed, StorageUnavailable, Unreachable
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from ..runs.run import Run, Task
from ..runs.status import QueuePlace
from ..services.registry import load_registry
from ..settings.limits import Limits
from ..settings.secrets import without_password
from .fair_order import FairOrder, forget_turns
from .jobs import WORK, StepJob
from .steps import record_failure

log = logging.getLogger("mssbench")

MAX_DEATHS = 3
"""A task fails after this many deaths of its worker: the task is the likely cause."""

_BATCH = 500
"""Jobs sent to Redis in one request."""

# One week, to inspect a killed worker's job; the outcome is in the run directory.
_FAILURE_TTL = 7 * 24 * 3600
_RESULT_TTL = 0  # the result is in the run directory


def connect(url: str) -> Redis:
    """Connect to the Redis at `url`.

    Raises
    ------
    BadInput
        `url` is not a Redis URL.
    Unreachable
        No Redis answers there.
    """
    try:
        connection = Redis.from_url(url, socket_connect_timeout=5, health_check_interval=30)
        connection.ping()
    except (ValueError, TypeError):  # their messages may contain part of a password that is not quoted
        raise BadInput(
            f"{without_password(url)!r} is not a Redis URL; expected redis://:PASSWORD@host:6379/0, the password "
            "percent-encoded, or rediss://… or unix://…"
        ) from None
    except (RedisError, OSError) as error:
        raise Unreachable(f"Redis at {without_password(url)} does not answer: {error}") from None
    return connection


def open_queue(name: str, connection: Redis) -> Queue:
    # JSON instead of pickle, and jobs that only run steps: write access to Redis must not allow code execution.
    return Queue(name, connection=connection, serializer=JSONSerializer, job_class=StepJob)


def queue_names() -> list[str]:
    """The queues of all registered services."""
    return ["render", "evaluate", *(f"separate-{name}" for name in load_registry().separators)]


def queues_of(run: Run) -> list[str]:
    """The queues that `run` uses. The embedded default starts workers for these only, to save memory."""
    services = dict.fromkeys(separator.service for separator in run.record.available)
    return ["render", "evaluate", *(f"separate-{name}" for name in services)]


def queue_of(run: Run, task: Task) -> str:
    if task.step == "separate":
        return f"separate-{run.record.separator(task.separator).service}"
    return task.step


def job_id(run_id: str, task: Task) -> str:
    """Id of the task's job. It is always the same, so that a task is not queued twice."""
    key = "\0".join((run_id, task.step, task.condition, task.separator, task.title))
    return f"{task.step}-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def enqueue(run: Run, tasks: Mapping[Task, int], connection: Redis) -> None:
    """Queue `tasks` in order, except those that are queued already. Does nothing if the run was cancelled.

    The values of `tasks` are the numbers of deaths of their workers. Jobs are sent in batches: ten thousand single
    requests would take longer than everything else at the start of a large run.
    """
    if not tasks or run.store.markers.cancelled:
        return
    limits = Limits.from_environment()
    queues = {name: open_queue(name, connection) for name in queues_of(run)}
    # It adds a job unless it exists: a worker and the launcher may find the same missing job at once.
    order = FairOrder(connection)
    connection.sadd(Queue.redis_queues_keys, *{queue.key for queue in queues.values()})
    waiting = list(tasks.items())
    for start in range(0, len(waiting), _BATCH):
        with connection.pipeline(transaction=False) as pipeline:
            for task, deaths in waiting[start : start + _BATCH]:
                queue = queues[queue_of(run, task)]
                job = _job(run, task, deaths, queue, limits)
                order.add(job, queue.key, run.store.id, pipeline)
            pipeline.execute()


def _job(run: Run, task: Task, deaths: int, queue: Queue, limits: Limits) -> Job:
    arguments: dict[str, Any] = {"run_id": run.store.id, "task": vars(task)}
    job = queue.create_job(
        WORK,
        kwargs=arguments,
        timeout=int(limits.of_job(run.record.track(task.title).seconds)),
        result_ttl=_RESULT_TTL,
        failure_ttl=_FAILURE_TTL,
        description=f"{task.step} {task.condition} {task.separator} {task.title}",
        job_id=job_id(run.store.id, task),
        meta={"deaths": deaths},
        status=JobStatus.QUEUED,
    )
    job.enqueued_at = datetime.datetime.now(datetime.UTC)
    return job


def reconcile(run: Run, connection: Redis) -> int:
    """Queue every open task that is neither queued nor running. Return the number of open tasks.

    A task whose worker was killed is queued again, until :data:`MAX_DEATHS` is reached.
    """
    tasks = {job_id(run.store.id, task): task for task in run.open_tasks()}
    missing = tasks.keys() - _known(run, connection)
    if not missing:
        return len(tasks)
    lost = _fetch(missing, connection)
    if any(job is not None and job.get_status(refresh=False) != JobStatus.FAILED for job in lost.values()):
        # Most likely it was queued after `_known` read its queue. Read the queues again.
        known = _known(run, connection)
        lost = {name: job for name, job in lost.items() if name not in known}
    again: dict[Task, int] = {}
    for name, task in tasks.items():  # in the order of the run
        if name in lost:
            deaths, trace = _remove_lost(lost[name])
            if deaths < MAX_DEATHS:
                again[task] = deaths
            else:
                with contextlib.suppress(StorageUnavailable):  # recorded by a later call
                    error = StepFailed(f"the worker died {deaths} times during this step")
                    record_failure(run, task, error, deaths, trace)
    enqueue(run, again, connection)
    return len(tasks)


def places_of(run: Run, connection: Redis) -> list[QueuePlace]:
    """The queues in which jobs of `run` wait now."""
    mine = {job_id(run.store.id, task) for task in run.open_tasks()}
    places = []
    for name in queues_of(run):
        queue = open_queue(name, connection)
        ids = queue.job_ids
        waiting = sum(one in mine for one in ids)
        if waiting:
            ahead = next(position for position, one in enumerate(ids) if one in mine)
            places.append(QueuePlace(name, waiting, ahead, Worker.count(queue=queue)))
    return places


def queues_without_worker(run: Run, connection: Redis) -> list[str]:
    """Queues with open tasks of the run on which no worker listens."""
    needed = sorted({queue_of(run, task) for task in run.open_tasks()})
    return [name for name in needed if not Worker.all(queue=open_queue(name, connection))]


def _remove_lost(job: Job | None) -> tuple[int, str]:
    """Remove `job` from Redis. Return how often its worker died, and the log of the last time."""
    if job is None:
        return 0, ""
    deaths = int(job.meta.get("deaths", 0)) + (job.get_status(refresh=False) == JobStatus.FAILED)
    last = job.latest_result() if deaths >= MAX_DEATHS else None
    _delete(job)
    return deaths, (last.exc_string or "") if last is not None else ""


def _delete(job: Job) -> None:
    # RQ reads the job's executions when it deletes a job, and fails if their records have expired while their list
    # has not, as after a killed worker.
    job.connection.delete(job.execution_registry.key)
    # `mssbench cancel` and the launcher may delete the same job at once.
    with contextlib.suppress(InvalidJobOperation):
        job.delete()


def _known(run: Run, connection: Redis) -> set[str]:
    """Ids of the jobs that are queued, taken by a worker, or running.

    Read in the order in which a job moves, so that none is missed. These are the queues in the run's record, not
    those of the registry: a job in the queue of a service that is no longer registered must not be queued again.
    """
    known: set[str] = set()
    for name in queues_of(run):
        queue = open_queue(name, connection)
        known.update(queue.job_ids)
        known.update(_taken(queue))
        # The registry moves jobs without a heartbeat to the failed ones when it is read.
        known.update(queue.started_job_registry.get_job_ids())
    return known


def _taken(queue: Queue) -> Iterator[str]:
    """Jobs that a worker took and has not started. After a timeout, its worker counts as dead."""
    timeout = Limits.from_environment().silence_seconds
    for name in queue.intermediate_queue.get_job_ids():
        key = f"mssbench:handed-over:{name}"
        now = time.time()
        queue.connection.set(key, now, nx=True, ex=max(2, round(4 * timeout)))
        if now - float(queue.connection.get(key) or now) < timeout:
            yield name
        else:
            queue.intermediate_queue.remove(name)
            queue.connection.delete(key)


def remove_jobs(run: Run, connection: Redis) -> int:
    """Remove the run's waiting jobs from their queues. Return their number. Running jobs are not stopped."""
    waiting = _jobs_in(run, connection, JobStatus.QUEUED, JobStatus.DEFERRED, JobStatus.SCHEDULED)
    for job in waiting:
        _delete(job)
    forget_turns(run.store.id, [open_queue(name, connection).key for name in queues_of(run)], connection)
    return len(waiting)


def count_running(run: Run, connection: Redis) -> int:
    """Number of steps of the run that workers execute now."""
    return len(_jobs_in(run, connection, JobStatus.STARTED))


def _jobs_in(run: Run, connection: Redis, *statuses: JobStatus) -> list[Job]:
    ids = [job_id(run.store.id, task) for task in run.open_tasks()]
    jobs = _fetch(ids, connection).values()
    return [job for job in jobs if job is not None and job.get_status(refresh=False) in statuses]


def _fetch(ids: Collection[str], connection: Redis) -> dict[str, Job | None]:
    """Fetch jobs; None for those that do not exist. A job that cannot be read is removed."""
    try:
        return dict(zip(ids, StepJob.fetch_many(ids, connection, serializer=JSONSerializer), strict=True))
    except RedisError:
        raise
    except Exception:  # another version or another program wrote it: the type of the error is not known
        return {name: _fetch_one(name, connection) for name in ids}


def _fetch_one(name: str, connection: Redis) -> Job | None:
    try:
        return StepJob.fetch(name, connection, serializer=JSONSerializer)
    except NoSuchJobError:
        return None
    except RedisError:
        raise
    except Exception as error:
        log.warning("job %s in Redis cannot be read and is removed (%s)", name, error)
        connection.delete(Job.key_for(name))
        return None
