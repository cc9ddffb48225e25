"""Which services answer, looked at beside the requests: one that is out of reach must not hold up a page."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from mssbench_service.errors import BenchError
from mssbench_service.wire import SeparatorInfo, parse

from .registry import Service
from .runtime import Runtime

log = logging.getLogger("mssbench")


@dataclass(frozen=True)
class ServiceState:
    """One registered service as it answers now; `reason` says why it does not."""

    name: str
    kind: str
    version: str = ""
    device: str = ""
    separators: list[SeparatorInfo] = field(default_factory=list)
    reason: str = ""


def look(runtime: Runtime) -> list[ServiceState]:
    """Ask every registered service what it is, in the order of registration."""
    registry = runtime.registry
    tools = [_state(runtime, service, "tool") for service in registry.tools.values()]
    return tools + [_state(runtime, service, "separator") for service in registry.separators.values()]


def _state(runtime: Runtime, service: Service, kind: str) -> ServiceState:
    try:
        info: dict[str, Any] = runtime.transport.info(service)
        separators = [parse(SeparatorInfo, item) for item in info.get("separators", [])]
    except BenchError as error:
        return ServiceState(service.name, kind, reason=error.detail)
    except Exception as error:  # a package that breaks while it is imported must not break the page
        log.exception("service %s", service.name)
        return ServiceState(service.name, kind, reason=f"{type(error).__name__}: {error}")
    devices = ", ".join(sorted({one.device for one in separators if one.device}))
    return ServiceState(service.name, kind, str(info.get("version", "")), devices, separators)


class Services:
    """The last look at the services; a new one is begun when somebody asks and it is older than `seconds`."""

    def __init__(self, runtime: Runtime, seconds: float = 10.0) -> None:
        self._runtime, self._seconds = runtime, seconds
        self._lock = threading.RLock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="services")
        self._looking: Future[list[ServiceState]] | None = None
        self._seen: list[ServiceState] | None = None
        self._when = 0.0

    def now(self, patience: float = 0.1) -> list[ServiceState] | None:
        """What was seen last; None while the first look takes longer than `patience` seconds."""
        with self._lock:
            if self._looking is None and (
                self._seen is None or time.monotonic() - self._when > self._seconds
            ):
                self._looking = self._pool.submit(look, self._runtime)
                self._looking.add_done_callback(self._done)
            looking = self._looking
        if self._seen is None and looking is not None:
            try:
                return looking.result(timeout=patience)
            except TimeoutError:
                return None
        return self._seen

    def _done(self, looked: Future[list[ServiceState]]) -> None:
        with self._lock:
            self._seen, self._when, self._looking = looked.result(), time.monotonic(), None
