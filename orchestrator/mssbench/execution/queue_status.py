"""Status of the queues and workers, from RQ's data in Redis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis import Redis
from rq import Queue, Worker
from rq.job import Job
from rq.registry import BaseRegistry, FailedJobRegistry, ScheduledJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from .queues import queue_names


@dataclass(frozen=True)
class QueueState:
    """A queue: its waiting (`depth`), running (`started`), `scheduled` and `failed` jobs.

    `failed` counts jobs that RQ lost, such as those of killed workers. These are not cells with an error.
    """

    name: str
    depth: int
    started: int
    scheduled: int
    failed: int
    workers: int


@dataclass(frozen=True)
class CurrentTask:
    """The task that a worker runs now."""

    run: str
    step: str
    title: str
    condition: str = ""
    separator: str = ""


@dataclass(frozen=True)
class WorkerState:
    """A worker: its queue, its state in RQ (``idle``, ``busy``, ``suspended``) and its task."""

    name: str
    host: str
    queue: str
    state: str
    task: CurrentTask | None


@dataclass(frozen=True)
class QueueStatus:
    queues: list[QueueState]
    workers: list[WorkerState]


def queue_status(connection: Redis) -> QueueStatus:
    """Read the status from Redis. Changes nothing there.

    Raises
    ------
    redis.exceptions.RedisError
        Redis does not answer.
    """
    workers = Worker.all(connection=connection, serializer=JSONSerializer)
    listening = [name for worker in workers for name in worker.queue_names()]
    # The queues of registered services, and others that have a worker or a job: their services are registered on
    # another machine, or no longer registered.
    waiting = sorted(queue.name for queue in Queue.all(connection, serializer=JSONSerializer) if queue.count)
    names = list(dict.fromkeys([*queue_names(), *listening, *waiting]))
    started: dict[str, Job] = {}
    queues = []
    for name in names:
        queue = Queue(name, connection=connection, serializer=JSONSerializer)
        running = StartedJobRegistry(queue=queue).get_job_ids(cleanup=False)
        started |= _by_worker(Job.fetch_many(running, connection, serializer=JSONSerializer))
        queues.append(
            QueueState(
                name=name,
                depth=queue.count,
                started=len(running),
                scheduled=_count(ScheduledJobRegistry(queue=queue)),  # type: ignore[no-untyped-call]
                failed=_count(FailedJobRegistry(queue=queue)),
                workers=listening.count(name),
            )
        )
    return QueueStatus(
        queues,
        [
            WorkerState(
                name=worker.name,
                host=worker.hostname or "",
                queue=", ".join(worker.queue_names()),
                state=worker.get_state(),
                task=_task_of(started.get(worker.name)),
            )
            for worker in sorted(workers, key=lambda worker: (worker.queue_names(), worker.name))
        ],
    )


def _count(registry: BaseRegistry) -> int:
    # Without RQ's clean-up, which would change data.
    count: int = registry.get_job_count(cleanup=False)
    return count


def _by_worker(jobs: Iterable[Job | None]) -> dict[str, Job]:
    return {job.worker_name: job for job in jobs if job is not None and job.worker_name}


def _task_of(job: Job | None) -> CurrentTask | None:
    """The task in the arguments of a job."""
    if job is None:
        return None
    arguments: dict[str, Any] = job.kwargs
    task = arguments.get("task") or {}
    return CurrentTask(
        run=str(arguments.get("run_id", "")),
        **{name: str(task.get(name, "")) for name in ("step", "title", "condition", "separator")},
    )
