"""RQ workers, adapted to benchmarks of many hours.

A worker forks a process for each job. Modules that the worker has loaded cost no time in a job, and a job that crashes
does not end the worker. In addition to RQ's worker, this one

- continues after restarts of Redis, both while it waits and while it runs a job;
- kills its job's process when it is killed itself, so that no step runs twice at once;
- on SIGTERM, completes its job, or returns it to its queue after :attr:`Limits.stop_seconds`.
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
from collections.abc import Sequence
from typing import Any

from mssbench_service.wire import EvaluateResult, RenderResult, SeparateResult, validator
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue, Worker, worker_registration
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from ..services.registry import load_registry
from ..services.runtime import TOOLS
from ..settings.limits import Limits
from . import worker_health
from .embedded import die_with_parent
from .jobs import StepJob
from .queues import open_queue
from .work import load_run

log = logging.getLogger("mssbench")

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
"""Seconds between attempts to reach Redis."""


class BenchWorker(Worker):
    """One worker on one queue; see the module's docstring."""

    max_connection_wait_time = LONGEST_PAUSE  # RQ's default is a minute

    def __init__(self, queue: Queue, limits: Limits) -> None:
        super().__init__(
            [queue],
            connection=queue.connection,
            serializer=JSONSerializer,
            job_class=StepJob,
            # RQ's timers take whole seconds.
            job_monitoring_interval=max(1, round(limits.heartbeat_seconds)),
            # An idle worker sends a heartbeat 15 seconds before this time is over.
            worker_ttl=max(16, round(limits.silence_seconds)),
        )
        self._limits = limits
        self._returning_job = False

    @property
    def stop_requested(self) -> bool:
        return self._shutdown_requested_date is not None

    # -- heartbeats ------------------------------------------------------------------------------------------

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        return max(2, round(self._limits.heartbeat_seconds + self._limits.silence_seconds))

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        super().heartbeat(timeout, pipeline)
        if pipeline is None:  # otherwise it has not been sent yet
            self._register_again()
            worker_health.report_alive()

    def _register_again(self) -> None:
        """Register with a Redis that has lost its data. Without this, the worker runs jobs but is not listed."""
        if self.birth_date is None or self.connection.sismember(self.redis_workers_keys, self.key):
            return
        with self.connection.pipeline() as pipeline:
            pipeline.hset(self.key, mapping=self.serialize() | {"state": self.get_state()})
            worker_registration.register(self, pipeline)
            pipeline.execute()

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        # A job needs Redis only at its end. If Redis is unreachable for long, the job counts as lost there, and its
        # outcome is found in the run directory.
        try:
            super().maintain_heartbeats(job, execution)
            worker_health.report_alive()
        except RedisError as error:
            log.warning("Redis is unreachable during %s: %s", job.description, error)

    def set_shutdown_requested_date(self) -> None:
        with contextlib.suppress(RedisError):
            super().set_shutdown_requested_date()  # type: ignore[no-untyped-call]

    # -- the process of a job --------------------------------------------------------------------------------

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        # Loads the run's record in this process, from which the processes of this job and the next are forked.
        with contextlib.suppress(Exception):  # the job reports the error
            load_run(str(job.kwargs["run_id"]))
        super().fork_work_horse(job, queue)

    def setup_work_horse_signals(self) -> None:
        super().setup_work_horse_signals()  # type: ignore[no-untyped-call]
        die_with_parent()

    # -- stopping --------------------------------------------------------------------------------------------

    def handle_warm_shutdown_request(self) -> None:
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        timer = threading.Timer(self._limits.stop_seconds, self._interrupt_job)
        timer.daemon = True
        timer.start()

    def _interrupt_job(self) -> None:
        if horse := self.horse_pid:
            self._returning_job = True
            self.log.setLevel(logging.ERROR)  # RQ would warn that the job has failed
            with contextlib.suppress(ProcessLookupError):
                os.killpg(horse, signal.SIGKILL)

    def handle_job_failure(self, job: Job, queue: Queue, *arguments: Any, **options: Any) -> None:
        if not self._returning_job:
            super().handle_job_failure(job, queue, *arguments, **options)
            return
        # The job goes to the front of its queue, and this death is not counted: see `queues.reconcile`.
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline, options.get("execution"))
            queue.intermediate_queue.remove(job.id)
            job.set_status(JobStatus.QUEUED, pipeline=pipeline)
            queue.push_job_id(job.id, pipeline=pipeline, at_front=True)
            pipeline.execute()
        log.info("returned to its queue: %s", job.description)


def run_worker(name: str, connection: Redis) -> None:
    """Run a worker on the queue `name` until SIGTERM. It continues after restarts of Redis."""
    _prepare([name])
    limits = Limits.from_environment()
    pause = SHORTEST_PAUSE
    while True:
        worker, started = None, time.monotonic()
        try:
            worker = BenchWorker(open_queue(name, connection), limits)
            worker.work(logging_level="WARNING")
        except RedisError as error:
            log.warning("worker of %s: Redis is unreachable: %s", name, error)
        if worker is not None and worker.stop_requested:
            return
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        # A Redis that answers but refuses commands, such as a replica, is retried with growing pauses too.
        lasted = time.monotonic() - started > LONGEST_PAUSE
        pause = SHORTEST_PAUSE if lasted else min(2 * pause, LONGEST_PAUSE)
        time.sleep(pause)
        _wait_for(connection)


def run_burst(names: Sequence[str], connection: Redis, idle_seconds: float) -> None:
    """Work on the queues `names` in turn, until none of them has had a queued or running job for `idle_seconds`.

    A job that runs elsewhere may add jobs to them. A Redis that does not answer counts as empty.
    """
    _prepare(names)
    limits = Limits.from_environment()
    idle_since: float | None = None
    while idle_since is None or time.monotonic() - idle_since < idle_seconds:
        worker_health.report_alive()
        idle = True
        try:
            for queue in [open_queue(name, connection) for name in names]:
                if queue.count:
                    worker = BenchWorker(queue, limits)
                    worker.work(burst=True, logging_level="WARNING")
                    if worker.stop_requested:
                        return
                    idle = False
                elif queue.started_job_registry.count:
                    idle = False
        except RedisError as error:
            log.warning("Redis is unreachable: %s", error)
        idle_since = (idle_since or time.monotonic()) if idle else None
        time.sleep(SHORTEST_PAUSE)


def _prepare(names: Sequence[str]) -> None:
    for name in names:
        _preload(name)
    # Objects that exist now are excluded from garbage collection, which would copy their memory pages in each fork.
    gc.collect()
    gc.freeze()


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
    """Import what the jobs of `queue` need before the worker forks. Otherwise every job would import it."""
    for kind in (RenderResult, SeparateResult, EvaluateResult):
        validator(kind)
    if (os.environ.get("MSSBENCH_TRANSPORT") or "inprocess") != "inprocess":
        return
    registry = load_registry()
    services = {step: registry.tools[tool] for step, tool in TOOLS.items()}
    services |= {f"separate-{name}": service for name, service in registry.separators.items()}
    for module in (services[queue].module, f"{services[queue].module}.steps"):
        try:
            importlib.import_module(module)
        except ImportError:
            continue  # reported as unavailable when the run is planned
