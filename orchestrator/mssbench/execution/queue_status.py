"""What Redis knows now: the queues, their workers, and who does what. RQ's own data, nothing of ours."""

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
    """A queue: jobs that wait (`depth`), run (`started`), wait for their next try (`scheduled`) and failed.

    `failed` are jobs that RQ gave up, such as those of killed workers: not cells with an error.
    """

    name: str
    depth: int
    started: int
    scheduled: int
    failed: int
    workers: int


@dataclass(frozen=True)
class CurrentTask:
    """What a worker does now."""

    run: str
    step: str
    title: str
    condition: str = ""
    separator: str = ""


@dataclass(frozen=True)
class WorkerState:
    """A worker: its queue, RQ's word for its state (``idle``, ``busy``, ``suspended``) and its task."""

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
    """Ask Redis.

    Raises
    ------
    redis.exceptions.RedisError
        It does not answer.
    """
    workers = Worker.all(connection=connection, serializer=JSONSerializer)
    listening = [name for worker in workers for name in worker.queue_names()]
    # Of our own, and whatever else has a worker or a job here: of a service that is registered on another machine
    # only, or not any more.
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
    # Without the clean-up that RQ would do: looking changes nothing.
    count: int = registry.get_job_count(cleanup=False)
    return count


def _by_worker(jobs: Iterable[Job | None]) -> dict[str, Job]:
    return {job.worker_name: job for job in jobs if job is not None and job.worker_name}


def _task_of(job: Job | None) -> CurrentTask | None:
    """The job's arguments, as :func:`mssbench.execution.queues.enqueue` gives them."""
    if job is None:
        return None
    arguments: dict[str, Any] = job.kwargs
    task = arguments.get("task") or {}
    return CurrentTask(
        run=str(arguments.get("run_id", "")),
        **{name: str(task.get(name, "")) for name in ("step", "title", "condition", "separator")},
    )
