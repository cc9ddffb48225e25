"""Run steps in this process or in services over HTTP.

The rest of the orchestrator uses :class:`Runtime`. It calls services through a :class:`Transport`: one for this
process, one for HTTP, and one that chooses between them.
"""

from __future__ import annotations

import functools
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
    PlaceRequest,
    PlaceResult,
    RenderRequest,
    RenderResult,
    SeparateRequest,
    SeparateResult,
)

from .registry import Registry, Service, load_registry
from .transport import T, Transport

TOOLS = {"render": "synth", "evaluate": "evaluator"}
"""Services of the steps that every run needs."""


class Runtime:
    """The steps of a run, independent of the transport. `root` resolves the references in requests."""

    def __init__(self, transport: Transport, registry: Registry, root: DataRoot) -> None:
        self.transport = transport
        self.registry = registry
        self.root = root

    def close(self) -> None:
        self.transport.close()

    def reload(self) -> None:
        """Read the registrations again: services may have been started on this machine since."""
        self.registry = load_registry()

    def describe_hrir(self, request: HrirRequest) -> HrirInfo:
        return self.transport.call(self.registry.tools["synth"], "describe_hrir", request, HrirInfo, 0.0)

    def place(self, request: PlaceRequest) -> PlaceResult:
        return self.transport.call(self.registry.tools["synth"], "place", request, PlaceResult, 0.0)

    def render(self, request: RenderRequest, seconds: float | None = None) -> RenderResult:
        return self.transport.call(self.service_of("render"), "render", request, RenderResult, seconds)

    def evaluate(self, request: EvaluateRequest, seconds: float | None = None) -> EvaluateResult:
        return self.transport.call(self.service_of("evaluate"), "evaluate", request, EvaluateResult, seconds)

    def separate(
        self, service: str, request: SeparateRequest, seconds: float | None = None
    ) -> SeparateResult:
        separator = self.service_of("separate", service)
        return self.transport.call(separator, "separate", request, SeparateResult, seconds)

    def service_of(self, step: str, separator: str = "") -> Service:
        """Return the service of a step: of render, of evaluate, or the one called `separator`.

        Raises
        ------
        NotFound
            It is not registered.
        """
        if step in TOOLS:
            return self.registry.tools[TOOLS[step]]
        service = self.registry.separators.get(separator)
        if service is None:
            raise NotFound(f"no service {separator!r} is registered here (services.toml)")
        return service

    def is_remote(self, service: Service) -> bool:
        """Return whether `service` is called over HTTP."""
        return service.remote or getattr(self.transport, "over_http", False)


class RoutingTransport:
    """Calls services over HTTP if their URL was given, all others in this process.

    The transports are made when they are used first: commands such as ``status`` use none, and their imports take time.
    """

    def __init__(self, root: DataRoot) -> None:
        self._root = root

    @functools.cached_property
    def _local(self) -> Transport:
        from .inprocess import InProcessTransport

        return InProcessTransport(self._root)

    @functools.cached_property
    def _remote(self) -> Transport:
        return _http_transport()

    def call(
        self, service: Service, step: str, request: Any, result: type[T], seconds: float | None = None
    ) -> T:
        return self._transport_of(service).call(service, step, request, result, seconds)

    def info(self, service: Service) -> dict[str, Any]:
        return self._transport_of(service).info(service)

    def close(self) -> None:
        for name in vars(self).keys() & {"_local", "_remote"}:
            getattr(self, name).close()

    def _transport_of(self, service: Service) -> Transport:
        return self._remote if service.remote else self._local


def make_runtime(root: Path, *, trusted: bool = True) -> Runtime:
    """Return the runtime on the data root `root`, with the transport ``MSSBENCH_TRANSPORT`` (default: ``inprocess``).

    `trusted` requests come from the user of this machine. In-process, they may refer to files outside the root.

    Raises
    ------
    BadInput
        The transport is unknown, or the registration file cannot be read.
    """
    transport = os.environ.get("MSSBENCH_TRANSPORT") or "inprocess"
    registry = load_registry()
    if transport == "http":
        return Runtime(_http_transport(), registry, DataRoot(root))
    if transport != "inprocess":
        raise BadInput(f"unknown transport {transport!r}; expected inprocess or http")
    data_root = DataRoot(root, trusted)
    return Runtime(RoutingTransport(data_root), registry, data_root)


def _http_transport() -> Transport:
    from .http import HttpTransport

    return HttpTransport()
