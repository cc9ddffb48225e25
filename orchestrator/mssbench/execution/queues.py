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
import functools
import hashlib
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from mssbench_service.errors import BadInput, StepFailed, StorageFull, Unreachable
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, get_current_job
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from rq.scripts import UNIQUE_ENQUEUE_SCRIPT
from rq.serializers import JSONSerializer

from ..runs.records import RunRecord
from ..runs.run import Run, Task
from ..runs.store import RunStore, open_workspace
from ..services.registry import load_registry
from ..services.runtime import Runtime, make_runtime
from ..settings.limits import Limits
from ..settings.secrets import without_password
from .jobs import StepJob
from .steps import perform_patiently, record_failure

log = logging.getLogger("mssbench")

MAX_DEATHS = 3
"""A task whose worker died so often is given up: it is likely the task that kills them."""

_AT_A_TIME = 500
"""Jobs that are sent to Redis at a time."""

_FAILURE_TTL = 7 * 24 * 3600  # a week to look at what killed a worker; the outcome is in the run directory
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
    except (ValueError, TypeError):  # whose words may hold part of a password that is not quoted
        raise BadInput(
            f"{without_password(url)!r} is not a Redis URL; expected redis://:PASSWORD@host:6379/0, the password "
            "percent-encoded, or rediss://… or unix://…"
        ) from None
    except (RedisError, OSError) as error:
        raise Unreachable(f"Redis at {without_password(url)} does not answer: {error}") from None
    return connection


def open_queue(name: str, connection: Redis) -> Queue:
    # JSON, not pickle, and jobs that run steps alone: whoever can write to Redis cannot thereby run code.
    return Queue(name, connection=connection, serializer=JSONSerializer, job_class=StepJob)


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


def enqueue(run: Run, tasks: Mapping[Task, int], connection: Redis) -> None:
    """Queue `tasks`, in their order, but for those that are queued already, or all if the run was cancelled.

    The number with each task says how often its worker died over it. Many are sent at a time: waiting for Redis
    ten thousand times would take longer than all else that a run of so many cells needs at its beginning.
    """
    if not tasks or run.store.cancelled:
        return
    limits = Limits.from_environment()
    queues = {name: open_queue(name, connection) for name in queues_of(run)}
    # RQ's own way to add a job unless it is there: a worker and the launcher may see the same gap at once. RQ
    # itself asks for one job at a time.
    add = connection.register_script(UNIQUE_ENQUEUE_SCRIPT)
    connection.sadd(Queue.redis_queues_keys, *{queue.key for queue in queues.values()})
    waiting = list(tasks.items())
    for begin in range(0, len(waiting), _AT_A_TIME):
        with connection.pipeline(transaction=False) as pipeline:
            for task, deaths in waiting[begin : begin + _AT_A_TIME]:
                queue = queues[queue_of(run, task)]
                job = _job(run, task, deaths, queue, limits)
                fields = [part for field in job.to_dict().items() for part in field]
                add(keys=[job.key, queue.key], args=[job.id, "R", -1, *fields], client=pipeline)
            pipeline.execute()


def _job(run: Run, task: Task, deaths: int, queue: Queue, limits: Limits) -> Job:
    arguments: dict[str, Any] = {"run_id": run.store.id, "task": vars(task)}
    job = queue.create_job(
        work,
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


def work(run_id: str, task: dict[str, str]) -> None:
    """The job: do one step, then queue what it unlocked."""
    todo = Task(**task)
    try:
        run = load_run(run_id)
        if run is None or run.store.cancelled:  # its open cells stay as they are
            return
        perform_patiently(run, todo)
    except StorageFull as error:
        # Not done and not failed: `reconcile` finds it open, and queues it again for when there is room.
        log.warning("%s is put off: %s", todo, error.detail)
        return
    job = get_current_job()
    assert job is not None
    with contextlib.suppress(RedisError):  # what cannot be queued now, `reconcile` queues
        enqueue(run, dict.fromkeys(run.unlocked_by(todo), 0), job.connection)


def load_run(run_id: str) -> Run | None:
    """The run as it is, or None where it was removed. Its record is cached."""
    workspace = open_workspace()
    store = workspace.run(run_id)
    try:
        state = store.record_path.stat()
    except FileNotFoundError:
        return None
    return Run(store, _record(store, state.st_mtime_ns, state.st_size), _runtime(workspace.root))


@functools.lru_cache(maxsize=2)
def _record(store: RunStore, mtime: int, size: int) -> RunRecord:
    # Time and size are part of the key alone: a record that has changed on disk is read again.
    return store.load()


@functools.lru_cache(maxsize=1)
def _runtime(root: Path) -> Runtime:
    return make_runtime(root)


def reconcile(run: Run, connection: Redis) -> int:
    """Queue every open task that is not queued or running; the number of open tasks.

    A task whose worker was killed is queued again, up to :data:`MAX_DEATHS` times.
    """
    tasks = {job_id(run.store.id, task): task for task in run.open_tasks()}
    missing = tasks.keys() - _known(run, connection)
    if not missing:
        return len(tasks)
    lost = _fetch(missing, connection)
    if any(job is not None and job.get_status(refresh=False) != JobStatus.FAILED for job in lost.values()):
        # It was queued after the look at the queues, most likely: so look again.
        known = _known(run, connection)
        lost = {name: job for name, job in lost.items() if name not in known}
    again: dict[Task, int] = {}
    for name, task in tasks.items():  # in the order of the run
        if name in lost:
            deaths, trace = _withdrawn(lost[name])
            if deaths < MAX_DEATHS:
                again[task] = deaths
            else:
                with contextlib.suppress(StorageFull):  # next time
                    error = StepFailed(f"the worker died {deaths} times while doing this")
                    record_failure(run, task, error, deaths, trace)
    enqueue(run, again, connection)
    return len(tasks)


def _withdrawn(job: Job | None) -> tuple[int, str]:
    """How often its worker died over `job`, which is taken out of Redis, and what is known of the last time."""
    if job is None:
        return 0, ""
    deaths = int(job.meta.get("deaths", 0)) + (job.get_status(refresh=False) == JobStatus.FAILED)
    last = job.latest_result() if deaths >= MAX_DEATHS else None
    _forget(job)
    return deaths, (last.exc_string or "") if last is not None else ""


def _forget(job: Job) -> None:
    # RQ asks for the job's executions when it deletes one, and stumbles over those whose worker was killed:
    # their records have expired, and the list of them has not.
    job.connection.delete(job.execution_registry.key)
    # Whoever cancels a run and whoever follows it take out the same jobs at once: one of them finds the last gone.
    with contextlib.suppress(InvalidJobOperation):
        job.delete()


def _known(run: Run, connection: Redis) -> set[str]:
    """Ids of the jobs that wait in the queues of `run`, are being handed over, or are being done.

    Read in the order in which a job goes through these, so that none is missed on its way. The queues are the
    run's own, whatever is registered by now: in a queue that nobody looks at, a job would be put again and again.
    """
    known: set[str] = set()
    for name in queues_of(run):
        queue = open_queue(name, connection)
        known.update(queue.job_ids)
        known.update(_being_handed_over(queue))
        # Asked for its jobs, the registry moves those without a heartbeat to the failed ones.
        known.update(queue.started_job_registry.get_job_ids())
    return known


def _being_handed_over(queue: Queue) -> Iterator[str]:
    """Jobs that a worker took and has not begun; those it died over are not among them, after a while."""
    patience = Limits.from_environment().silence_seconds
    for name in queue.intermediate_queue.get_job_ids():
        key = f"mssbench:handed-over:{name}"
        now = time.time()
        queue.connection.set(key, now, nx=True, ex=max(2, round(4 * patience)))
        if now - float(queue.connection.get(key) or now) < patience:
            yield name
        else:
            queue.intermediate_queue.remove(name)
            queue.connection.delete(key)


def withdraw(run: Run, connection: Redis) -> int:
    """Take the run's waiting jobs out of their queues; how many. What runs already runs to its end."""
    waiting = _jobs_in(run, connection, JobStatus.QUEUED, JobStatus.DEFERRED, JobStatus.SCHEDULED)
    for job in waiting:
        _forget(job)
    return len(waiting)


def at_work(run: Run, connection: Redis) -> int:
    """How many steps of the run workers are doing now."""
    return len(_jobs_in(run, connection, JobStatus.STARTED))


def _jobs_in(run: Run, connection: Redis, *statuses: JobStatus) -> list[Job]:
    ids = [job_id(run.store.id, task) for task in run.open_tasks()]
    jobs = _fetch(ids, connection).values()
    return [job for job in jobs if job is not None and job.get_status(refresh=False) in statuses]


def _fetch(ids: Collection[str], connection: Redis) -> dict[str, Job | None]:
    """The jobs that Redis has of these. One that makes no sense is as good as none, and is removed."""
    try:
        return dict(zip(ids, StepJob.fetch_many(ids, connection, serializer=JSONSerializer), strict=True))
    except RedisError:
        raise
    except Exception:  # whatever reading it raises: what another version or another program wrote
        return {name: _fetch_one(name, connection) for name in ids}


def _fetch_one(name: str, connection: Redis) -> Job | None:
    try:
        return StepJob.fetch(name, connection, serializer=JSONSerializer)
    except NoSuchJobError:
        return None
    except RedisError:
        raise
    except Exception as error:
        log.warning("Redis had something that is no job as job %s (%s)", name, error)
        connection.delete(Job.key_for(name))
        return None
