"""Where a step runs: in this process, or in a service over HTTP. Everything else is the same.

:class:`Runtime` is what the rest of the orchestrator sees. It speaks through a :class:`Transport`, of which
there are two, as httpx has for its clients.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mssbench_service.errors import BadInput, NotFound
from mssbench_service.files import DataRoot
from mssbench_service.wire import (
    EvaluateRequest,
    EvaluateResult,
    HrirInfo,
    HrirRequest,
    RenderRequest,
    RenderResult,
    SeparateRequest,
    SeparateResult,
)

from .http import HttpTransport
from .inprocess import InProcessTransport
from .registry import Registry, Service, load_registry
from .transport import T, Transport


class Runtime:
    """The steps, wherever they run.

    Parameters
    ----------
    transport : Transport
    registry : Registry
    root : DataRoot
        Resolves the references in requests; trusted when the steps run in this process.
    """

    def __init__(self, transport: Transport, registry: Registry, root: DataRoot) -> None:
        self.transport = transport
        self.registry = registry
        self.root = root

    def close(self) -> None:
        self.transport.close()

    def describe_hrir(self, request: HrirRequest) -> HrirInfo:
        return self.transport.call(self.registry.tools["synth"], "describe_hrir", request, HrirInfo, 0.0)

    def render(self, request: RenderRequest, seconds: float | None = None) -> RenderResult:
        return self.transport.call(self.registry.tools["synth"], "render", request, RenderResult, seconds)

    def evaluate(self, request: EvaluateRequest, seconds: float | None = None) -> EvaluateResult:
        evaluator = self.registry.tools["evaluator"]
        return self.transport.call(evaluator, "evaluate", request, EvaluateResult, seconds)

    def separate(
        self, service: str, request: SeparateRequest, seconds: float | None = None
    ) -> SeparateResult:
        separator = self.registry.separators.get(service)
        if separator is None:
            raise NotFound(f"no service {service!r} is registered here (services.toml)")
        return self.transport.call(separator, "separate", request, SeparateResult, seconds)

    def is_elsewhere(self, service: Service) -> bool:
        """Whether `service` runs in another process, over HTTP."""
        return service.elsewhere or isinstance(self.transport, HttpTransport)


class RoutingTransport:
    """In this process, but for the services whose URL was given."""

    def __init__(self, here: Transport, elsewhere: Transport) -> None:
        self._here, self._elsewhere = here, elsewhere

    def call(
        self, service: Service, step: str, request: Any, result: type[T], seconds: float | None = None
    ) -> T:
        return self._of(service).call(service, step, request, result, seconds)

    def info(self, service: Service) -> dict[str, Any]:
        return self._of(service).info(service)

    def close(self) -> None:
        self._here.close()
        self._elsewhere.close()

    def _of(self, service: Service) -> Transport:
        return self._elsewhere if service.elsewhere else self._here


def make_runtime(root: Path, transport: str | None = None, *, trusted: bool = True) -> Runtime:
    """The runtime over the data root `root`.

    `transport` is ``inprocess`` or ``http``; default: the environment's ``MSSBENCH_TRANSPORT``, else
    ``inprocess``. `trusted` (in-process only): requests come from the person at this machine, and may refer
    to files outside the root.
    """
    transport = transport or os.environ.get("MSSBENCH_TRANSPORT") or "inprocess"
    registry = load_registry()
    if transport == "http":
        return Runtime(HttpTransport(), registry, DataRoot(root))
    if transport != "inprocess":
        raise BadInput(f"unknown transport {transport!r}; expected inprocess or http")
    data_root = DataRoot(root, trusted)
    return Runtime(RoutingTransport(InProcessTransport(data_root), HttpTransport()), registry, data_root)
