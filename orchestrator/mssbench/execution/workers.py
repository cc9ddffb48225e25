"""Workers: RQ's, and what a benchmark of many hours needs beyond it.

A worker forks a process for each job, so what it loads beforehand costs no job anything, and no job can take
it along when it dies. Beyond RQ's own worker, this one

- survives a Redis that restarts, while it works and while it waits;
- takes its job's process along when it is killed, so that nothing is done twice at once;
- when it is told to stop (SIGTERM), finishes its job or, after :attr:`Limits.stop_seconds`, hands it back.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import signal
import sys
import threading
import time
from typing import Any

from mssbench_service.errors import BadInput
from mssbench_service.wire import EvaluateResult, RenderResult, SeparateResult, validator
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue, Worker, worker_registration
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from ..services.registry import load_registry
from ..settings.limits import Limits
from . import worker_health as alive
from .embedded import die_with_parent
from .jobs import StepJob
from .queues import load_run, open_queue, queue_names

log = logging.getLogger("mssbench")

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
"""Seconds between looks for a Redis that is away."""


class BenchWorker(Worker):
    """One worker on one queue; see the module's docstring."""

    max_connection_wait_time = LONGEST_PAUSE  # RQ would wait a minute

    def __init__(self, queue: Queue, limits: Limits) -> None:
        super().__init__(
            [queue],
            connection=queue.connection,
            serializer=JSONSerializer,
            job_class=StepJob,
            # Whole seconds, as RQ's timers are.
            job_monitoring_interval=max(1, round(limits.heartbeat_seconds)),
            # Idle, it says that it lives 15 seconds before this is over.
            worker_ttl=max(16, round(limits.silence_seconds)),
        )
        self._limits = limits
        self._handing_back = False

    @property
    def told_to_stop(self) -> bool:
        return self._shutdown_requested_date is not None

    # -- heartbeats ------------------------------------------------------------------------------------------

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        return max(2, round(self._limits.heartbeat_seconds + self._limits.silence_seconds))

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        super().heartbeat(timeout, pipeline)
        if pipeline is None:  # else nobody has heard it yet
            self._be_known()
            alive.say_so()

    def _be_known(self) -> None:
        """Register again with a Redis that lost its data: jobs would be taken all the same, but by nobody one sees."""
        if self.birth_date is None or self.connection.sismember(self.redis_workers_keys, self.key):
            return
        with self.connection.pipeline() as pipeline:
            pipeline.hset(self.key, mapping=self.serialize() | {"state": self.get_state()})
            worker_registration.register(self, pipeline)
            pipeline.execute()

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        # The job does not need Redis before its end. If that is away for long, the job counts as lost there,
        # and what it did is found in the run directory.
        try:
            super().maintain_heartbeats(job, execution)
            alive.say_so()
        except RedisError as error:
            log.warning("Redis is away while %s is done: %s", job.description, error)

    def set_shutdown_requested_date(self) -> None:
        with contextlib.suppress(RedisError):
            super().set_shutdown_requested_date()  # type: ignore[no-untyped-call]

    # -- the process of a job --------------------------------------------------------------------------------

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        # Read here, the run's record is there for this job and the next, which are forked from this process.
        with contextlib.suppress(Exception):  # whatever is wrong, the job itself says it better
            load_run(str(job.kwargs["run_id"]))
        super().fork_work_horse(job, queue)

    def setup_work_horse_signals(self) -> None:
        super().setup_work_horse_signals()  # type: ignore[no-untyped-call]
        die_with_parent()

    # -- being told to stop ----------------------------------------------------------------------------------

    def handle_warm_shutdown_request(self) -> None:
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        timer = threading.Timer(self._limits.stop_seconds, self._take_the_job_back)
        timer.daemon = True
        timer.start()

    def _take_the_job_back(self) -> None:
        if horse := self.horse_pid:
            self._handing_back = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(horse, signal.SIGKILL)

    def handle_job_failure(self, job: Job, queue: Queue, *arguments: Any, **options: Any) -> None:
        if not self._handing_back:
            super().handle_job_failure(job, queue, *arguments, **options)
            return
        # It goes to the front of its queue, and its death does not count: see `queues.reconcile`.
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline, options.get("execution"))
            queue.intermediate_queue.remove(job.id)
            job.set_status(JobStatus.QUEUED, pipeline=pipeline)
            queue.push_job_id(job.id, pipeline=pipeline, at_front=True)
            pipeline.execute()
        log.warning("handed back: %s", job.description)


def serve_queue(name: str, connection: Redis) -> None:
    """Be a worker on the queue `name` until told to stop (SIGTERM), however often Redis goes away meanwhile.

    Raises
    ------
    BadInput
        There is no such queue.
    """
    if name not in queue_names():
        raise BadInput(f"unknown queue {name!r}; expected one of {', '.join(queue_names())}")
    _preload(name)
    # What is there now stays: a job's process that looks for garbage in it would copy all of it for that.
    gc.collect()
    gc.freeze()
    limits = Limits.from_environment()
    pause = SHORTEST_PAUSE
    while True:
        worker, begun = None, time.monotonic()
        try:
            worker = BenchWorker(open_queue(name, connection), limits)
            worker.work(logging_level="WARNING")
        except RedisError as error:
            log.warning("worker of %s: Redis is away: %s", name, error)
        if worker is not None and worker.told_to_stop:
            return
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        # One that answers and refuses all else, such as a replica, is given time as well.
        lasted = time.monotonic() - begun > LONGEST_PAUSE
        pause = SHORTEST_PAUSE if lasted else min(2 * pause, LONGEST_PAUSE)
        time.sleep(pause)
        _wait_for(connection)


def _wait_for(connection: Redis) -> None:
    pause = SHORTEST_PAUSE
    while True:
        try:
            connection.ping()
            return
        except RedisError:
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _preload(queue: str) -> None:
    """Have here what the jobs of `queue` need before the worker forks, or every job would pay for it."""
    for kind in (RenderResult, SeparateResult, EvaluateResult):
        validator(kind)
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


__all__ = ["BenchWorker", "serve_queue"]
