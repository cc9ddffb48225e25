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
            for one in now.queues:
                counts = {
                    "queued": one.depth,
                    "started": one.started,
                    "scheduled": one.scheduled,
                    "failed": one.failed,
                }
                for state, count in counts.items():
                    jobs.add_metric([one.name, state], count)
            yield jobs
            workers = GaugeMetricFamily("mssbench_queue_workers", "Workers", labels=["queue", "state"])
            for (name, state), count in Counter((w.queue, w.state) for w in now.workers).items():
                workers.add_metric([name, state], count)
            yield workers
        yield from self._runs()

    def _runs(self) -> Iterator[Metric]:
        states = dict.fromkeys(("open", "separated", "done", "failed"), 0)
        supervised = 0
        for run_id in self._service.workspace.supervised_ids():
            try:
                progress = self._service.status(run_id).progress
            except BenchError:
                continue  # the supervisor has logged a damaged run
            supervised += 1
            states["done"] += progress.ended - progress.failed
            states["failed"] += progress.failed
            states["separated"] += progress.to_evaluate
            states["open"] += progress.cells - progress.ended - progress.to_evaluate
        cells = GaugeMetricFamily("mssbench_cells", "Cells of supervised runs", labels=["state"])
        for state, count in states.items():
            cells.add_metric([state], count)
        yield cells
        yield GaugeMetricFamily("mssbench_runs_followed", "Supervised runs", value=supervised)
