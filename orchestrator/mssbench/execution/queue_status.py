"""Status of the queues and workers, from RQ's data in Redis."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from redis import Redis
from rq import Queue, Worker
from rq.job import Job
from rq.registry import BaseRegistry, FailedJobRegistry, ScheduledJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from .queues import open_queue, queue_names


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
    started: dict[str, Job] = {}
    queues = []
    for name in dict.fromkeys([*queue_names(), *listening, *waiting]):
        queue = open_queue(name, connection)
        running = StartedJobRegistry(queue=queue).get_job_ids(cleanup=False)
        jobs = Job.fetch_many(running, connection, serializer=JSONSerializer)
        started |= {job.worker_name: job for job in jobs if job is not None and job.worker_name}
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


def _task_of(job: Job | None) -> CurrentTask | None:
    """The task in the arguments of a job."""
    if job is None:
        return None
    task: dict[str, Any] = (job.kwargs.get("task") or {}) | {"run": job.kwargs.get("run_id", "")}
    return CurrentTask(**{field.name: str(task.get(field.name, "")) for field in fields(CurrentTask)})
