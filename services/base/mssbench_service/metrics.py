"""Prometheus metrics, as every service has them at ``GET /metrics``.

::

    mssbench_jobs_now{state="running|waiting"}        jobs in flight: running, and waiting in the queue
    mssbench_jobs_total{stage, outcome}               jobs that ended: done, failed, abandoned (the client
                                                      disconnected), or refused (busy, not ready)
    mssbench_job_seconds{stage, part="wait|work"}     time that they waited and ran
    mssbench_requests_total{method, route, status}    HTTP requests
    mssbench_service_info{service, version, device}   1
    mssbench_ready                                    1 when ready, else 0
    mssbench_device_memory_bytes{kind}                memory of the GPU, where PyTorch uses one
    process_*                                         the process: resident memory, CPU, open files

`stage` is the last part of the route: ``separate``, ``render``, ``evaluate``. Each application has its own registry,
so that two in one process do not mix.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .admission import JobQueue
from .errors import ClientDisconnected

T = TypeVar("T")

# An oracle on a short track takes milliseconds, a large model on a slow CPU half an hour.
_SECONDS = (0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)


class Metrics(Collector):
    """The metrics of one application; `registry` takes further collectors.

    As a collector it reads the state of the service at each scrape.
    """

    def __init__(
        self,
        service: str,
        version: str,
        queue: JobQueue,
        ready: Callable[[], bool],
        device: Callable[[], str],
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the number of series
        self.registry = CollectorRegistry()
        self._jobs = Counter("mssbench_jobs", "Jobs that ended", ["stage", "outcome"], registry=self.registry)
        self._seconds = Histogram(
            "mssbench_job_seconds",
            "Time that jobs waited and ran",
            ["stage", "part"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._requests = Counter(
            "mssbench_requests", "HTTP requests", ["method", "route", "status"], registry=self.registry
        )
        self._labels = [service, version]
        self._queue, self._ready, self._device = queue, ready, device
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def request(self, method: str, route: str, status: int) -> None:
        """Count an HTTP request."""
        self._requests.labels(method, route, str(status)).inc()

    def refused(self, stage: str) -> None:
        """Count a job that was not started: the service was busy or not ready."""
        self._jobs.labels(stage, "refused").inc()

    def abandoned(self, stage: str) -> None:
        """Count a job that was not started: its client disconnected."""
        self._jobs.labels(stage, "abandoned").inc()

    def timed(self, stage: str, work: Callable[[], T]) -> Callable[[], T]:
        """Wrap `work`, so that its time in the queue (from now on), its run time and its outcome are counted."""
        queued = time.monotonic()

        def run() -> T:
            started = time.monotonic()
            self._seconds.labels(stage, "wait").observe(started - queued)
            outcome = "failed"
            try:
                result = work()
                outcome = "done"
                return result
            except ClientDisconnected:
                outcome = "abandoned"
                raise
            finally:
                self._seconds.labels(stage, "work").observe(time.monotonic() - started)
                self._jobs.labels(stage, outcome).inc()

        return run

    def page(self) -> tuple[bytes, str]:
        """The metrics in the text format, and their media type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def collect(self) -> Iterator[Metric]:
        """The state of the service."""
        jobs = GaugeMetricFamily("mssbench_jobs_now", "Jobs that run, and that wait", labels=["state"])
        running, in_flight = self._queue.running, self._queue.in_flight
        jobs.add_metric(["running"], running)
        jobs.add_metric(["waiting"], in_flight - running)
        yield jobs
        yield GaugeMetricFamily("mssbench_ready", "1 when ready", value=float(self._ready()))
        info = GaugeMetricFamily(
            "mssbench_service_info",
            "Name, version and device of the service",
            labels=["service", "version", "device"],
        )
        info.add_metric([*self._labels, self._device()], 1)
        yield info
        if memory := device_memory():
            used = GaugeMetricFamily("mssbench_device_memory_bytes", "Memory of the GPU", labels=["kind"])
            for kind, value in memory.items():
                used.add_metric([kind], value)
            yield used


def device_memory() -> dict[str, int]:
    """Bytes that PyTorch has allocated and reserved on the GPU; empty without one.

    PyTorch is used only if the service has loaded it: this package does not depend on it.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    return {
        "allocated": int(torch.cuda.memory_allocated()),
        "reserved": int(torch.cuda.memory_reserved()),
        "peak": int(torch.cuda.max_memory_allocated()),
    }
