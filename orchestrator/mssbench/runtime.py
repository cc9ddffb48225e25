"""Where a step runs: in this process, or in a service over HTTP. Everything else is the same.

:class:`Runtime` is what the rest of the orchestrator sees. It speaks through a :class:`Transport`, of which
there are two, as httpx has for its clients.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx
from mssbench_service.errors import BadInput, BadOutput, BenchError, NotReady, Unreachable, from_problem
from mssbench_service.files import DataRoot
from mssbench_service.separation import Separator, Separators, describe, separate_track
from mssbench_service.tracks import STEMS
from mssbench_service.wire import (
    EvaluateRequest,
    EvaluateResult,
    HrirInfo,
    HrirRequest,
    RenderRequest,
    RenderResult,
    SeparateRequest,
    SeparateResult,
    SeparatorInfo,
    parse,
)

from .registry import Registry, Service, load_registry

T = TypeVar("T")


@dataclass(frozen=True)
class Availability:
    """What a separator service offers now; `reason` says why it offers nothing."""

    service: str
    separators: list[SeparatorInfo]
    reason: str = ""


class Transport(Protocol):
    """How one call reaches a service."""

    def call(self, service: Service, step: str, request: Any, result: type[T]) -> T:
        """Run `step` of `service`. Raises the error family of :mod:`mssbench_service.errors`."""

    def info(self, service: Service) -> dict[str, Any]:
        """What ``GET /info`` says, at least ``separators`` for a separator. Raises if it is not ready."""


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

    def describe_hrir(self, request: HrirRequest) -> HrirInfo:
        return self.transport.call(self.registry.tools["synth"], "describe_hrir", request, HrirInfo)

    def render(self, request: RenderRequest) -> RenderResult:
        return self.transport.call(self.registry.tools["synth"], "render", request, RenderResult)

    def evaluate(self, request: EvaluateRequest) -> EvaluateResult:
        return self.transport.call(self.registry.tools["evaluator"], "evaluate", request, EvaluateResult)

    def separate(self, service: str, request: SeparateRequest) -> SeparateResult:
        return self.transport.call(self.registry.separators[service], "separate", request, SeparateResult)

    def availability(self) -> list[Availability]:
        """What every registered separator service offers, in the order of registration."""
        found = []
        for service in self.registry.separators.values():
            try:
                offered = self.transport.info(service).get("separators", [])
                separators = [parse(SeparatorInfo, item) for item in offered]
                found.append(Availability(service.name, separators))
            except BenchError as error:
                found.append(Availability(service.name, [], error.detail))
        return found

    def versions(self) -> dict[str, str]:
        """Version of each service that answers."""
        versions = {}
        for service in (*self.registry.tools.values(), *self.registry.separators.values()):
            try:
                versions[service.name] = str(self.transport.info(service).get("version", "unknown"))
            except BenchError:
                continue  # availability() is where an absent service is reported
        return versions


class InProcess:
    """Imports the service's package and calls its functions."""

    def __init__(self, root: DataRoot) -> None:
        self.root = root

    def call(self, service: Service, step: str, request: Any, result: type[T]) -> T:
        if isinstance(request, SeparateRequest):
            return self._separate(service, request)  # type: ignore[return-value]
        steps = _import(f"{service.module}.steps", service)
        function: Callable[[DataRoot, Any], T] = getattr(steps, step)
        return function(self.root, request)

    def info(self, service: Service) -> dict[str, Any]:
        package = _import(service.module, service)
        info: dict[str, Any] = {"version": getattr(package, "__version__", "unknown")}
        if hasattr(package, "SEPARATORS"):
            info["separators"] = [asdict(item) for item in describe(package.SEPARATORS)]
        return info

    def _separate(self, service: Service, request: SeparateRequest) -> SeparateResult:
        separators: Separators = _import(service.module, service).SEPARATORS
        name = request.separator or next(iter(separators))
        if name not in separators:
            raise BadInput(f"unknown separator {name!r}; {service.name} offers {', '.join(separators)}")
        references = None
        if request.references:
            folder = self.root.existing(request.references)
            references = {stem: folder / f"{stem}.wav" for stem in STEMS}
        return separate_track(
            _separator(service.module, name),
            name,
            self.root.existing(request.mixture),
            self.root.resolve(request.out),
            references,
            reference_gain=request.reference_gain,
        )


def _import(module: str, service: Service) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise NotReady(f"the package {service.module} of {service.name} is not installed: {error}") from None


@functools.cache
def _separator(module: str, name: str) -> Separator:
    """One instance per process, set up once."""
    separator: Separator = importlib.import_module(module).SEPARATORS[name]()
    separator.setup()
    return separator


class OverHttp:
    """POSTs requests as JSON and rebuilds the service's errors from its problem documents.

    Parameters
    ----------
    timeout : float
        Seconds to wait for an answer; a step may take as long as a track needs on a slow CPU.
    """

    def __init__(self, timeout: float = 6 * 3600.0) -> None:
        self._client = httpx.Client(timeout=httpx.Timeout(timeout, connect=5.0))

    def close(self) -> None:
        self._client.close()

    def call(self, service: Service, step: str, request: Any, result: type[T]) -> T:
        answer = self._request(service, "POST", f"/{step}", json=asdict(request))
        try:
            return parse(result, answer)
        except BadInput as error:
            raise BadOutput(f"{service.name} gave an answer that is not a {step} result: {error}") from None

    def info(self, service: Service) -> dict[str, Any]:
        self._request(service, "GET", "/health", timeout=5.0)
        answer = self._request(service, "GET", "/info", timeout=5.0)
        if not isinstance(answer, dict):
            raise BadOutput(f"{service.name} gave an answer that is not its info")
        return answer

    def _request(self, service: Service, method: str, path: str, **options: Any) -> Any:
        try:
            response = self._client.request(method, service.url + path, **options)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise Unreachable(f"{service.name} at {service.url} does not answer: {reason}") from None
        try:
            answer = response.json()
        except ValueError:
            answer = {"status": response.status_code, "detail": f"{service.name} answered no JSON"}
            if response.is_success:
                raise BadOutput(f"{service.name} gave an answer that is not JSON") from None
        if response.is_success:
            return answer
        problem = answer if isinstance(answer, dict) else {}
        raise from_problem({"status": response.status_code, **problem})


def make_runtime(root: Path, transport: str | None = None, *, trusted: bool = True) -> Runtime:
    """The runtime over the data root `root`.

    `transport` is ``inprocess`` or ``http``; default: the environment's ``MSSBENCH_TRANSPORT``, else
    ``inprocess``. `trusted` (in-process only): requests come from the person at this machine, and may refer
    to files outside the root.
    """
    transport = transport or os.environ.get("MSSBENCH_TRANSPORT") or "inprocess"
    registry = load_registry()
    if transport == "http":
        return Runtime(OverHttp(), registry, DataRoot(root))
    if transport != "inprocess":
        raise BadInput(f"unknown transport {transport!r}; expected inprocess or http")
    data_root = DataRoot(root, trusted)
    return Runtime(InProcess(data_root), registry, data_root)
