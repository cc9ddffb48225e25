"""Prometheus metrics of the orchestrator: queues, workers and runs.

::

    mssbench_queue_jobs{queue, state}      queued, started, scheduled and failed jobs
    mssbench_queue_workers{queue, state}   workers by state
    mssbench_cells{state}                  cells of the supervised runs: open, separated, done, failed
    mssbench_runs_followed                 runs that a supervisor follows
    mssbench_redis_up                      1 if Redis answers
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mssbench_service.errors import BenchError
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .run_service import RunService


class RunCollector(Collector):
    """Reads the values at each scrape."""

    def __init__(self, service: RunService) -> None:
        self._service = service

    def describe(self) -> list[Metric]:
        return []  # registering the collector must not call Redis

    def collect(self) -> Iterator[Metric]:
        try:
            now = self._service.queue_status()
        except BenchError:
            yield GaugeMetricFamily("mssbench_redis_up", "1 if Redis answers", value=0.0)
        else:
            yield GaugeMetricFamily("mssbench_redis_up", "1 if Redis answers", value=1.0)
            jobs = GaugeMetricFamily("mssbench_queue_jobs", "Jobs of a queue", labels=["queue", "state"])
            for queue in now.queues:
                jobs.add_metric([queue.name, "queued"], queue.depth)
                jobs.add_metric([queue.name, "started"], queue.started)
                jobs.add_metric([queue.name, "scheduled"], queue.scheduled)
                jobs.add_metric([queue.name, "failed"], queue.failed)
            yield jobs
            workers = GaugeMetricFamily("mssbench_queue_workers", "Workers", labels=["queue", "state"])
            for (name, state), count in Counter((w.queue, w.state) for w in now.workers).items():
                workers.add_metric([name, state], count)
            yield workers
        yield from self._runs()

    def _runs(self) -> Iterator[Metric]:
        states = dict.fromkeys(("open", "separated", "done", "failed"), 0)
        supervised = 0
        for run_id in self._service.supervised_ids():
            try:
                progress = self._service.status(run_id).progress
            except BenchError:
                continue  # the supervisor has logged a damaged run
            supervised += 1
            states["done"] += progress.ended - progress.failed
            states["failed"] += progress.failed
            waiting = progress.to_evaluate
            states["separated"] += waiting
            states["open"] += progress.cells - progress.ended - waiting
        cells = GaugeMetricFamily("mssbench_cells", "Cells of supervised runs", labels=["state"])
        for state, count in states.items():
            cells.add_metric([state], count)
        yield cells
        yield GaugeMetricFamily("mssbench_runs_followed", "Supervised runs", value=supervised)
