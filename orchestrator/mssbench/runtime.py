"""Where a step runs: in this process, or in a service over HTTP. Everything else is the same.

:class:`Runtime` is what the rest of the orchestrator sees. It speaks through a :class:`Transport`, of which
there are two, as httpx has for its clients.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx
from mssbench_service import logs
from mssbench_service.environment import max_track_seconds
from mssbench_service.errors import (
    BadInput,
    BadOutput,
    BenchError,
    Busy,
    Interrupted,
    NotFound,
    NotReady,
    StepFailed,
    TimedOut,
    Unavailable,
    Unreachable,
    from_problem,
)
from mssbench_service.files import DataRoot
from mssbench_service.musdb import STEMS
from mssbench_service.separation import Separator, Separators, describe, separate_track
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

from .limits import Limits
from .registry import Registry, Service, load_registry, url_variable

T = TypeVar("T")


@dataclass(frozen=True)
class Availability:
    """What a separator service offers now; `reason` says why it offers nothing."""

    service: str
    separators: list[SeparatorInfo]
    reason: str = ""


class Transport(Protocol):
    """How one call reaches a service."""

    def call(
        self, service: Service, step: str, request: Any, result: type[T], seconds: float | None = None
    ) -> T:
        """Run `step` of `service`, over a track of so many `seconds` (None: not known).

        Raises the error family of :mod:`mssbench_service.errors`.
        """

    def info(self, service: Service) -> dict[str, Any]:
        """What ``GET /info`` says, at least ``separators`` for a separator. Raises if it is not ready."""

    def close(self) -> None:
        """Give back the connections that it holds."""


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
        return service.elsewhere or isinstance(self.transport, OverHttp)

    def availability(self) -> list[Availability]:
        """What every registered separator service offers, in the order of registration."""
        found = []
        for service in self.registry.separators.values():
            try:
                offered = self.transport.info(service).get("separators", [])
                separators = parse(list[SeparatorInfo], offered)
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

    def call(
        self, service: Service, step: str, request: Any, result: type[T], seconds: float | None = None
    ) -> T:
        if isinstance(request, SeparateRequest):
            return self._separate(service, request)  # type: ignore[return-value]
        steps = _import(f"{service.module}.steps", service)
        function: Callable[..., T] = getattr(steps, step)
        limits = {} if isinstance(request, HrirRequest) else {"max_seconds": max_track_seconds()}
        return function(self.root, request, **limits)

    def info(self, service: Service) -> dict[str, Any]:
        package = _import(service.module, service)
        info: dict[str, Any] = {"version": getattr(package, "__version__", "unknown")}
        if hasattr(package, "SEPARATORS"):
            # Set up, as a service is before it says that it is ready: missing weights must show now.
            loaded = {name: _separator(service.module, name) for name in package.SEPARATORS}
            info["separators"] = [asdict(item) for item in describe(loaded)]
        return info

    def close(self) -> None:
        pass

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
            max_seconds=max_track_seconds(),
        )


def _import(module: str, service: Service) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise NotReady(
            f"the package {service.module} of {service.name} is not installed here ({error}); use the composed "
            f"system (docker compose up --build --detach --wait), or start the service in an environment of its "
            f"own and say where it answers in {url_variable(service.name)}"
        ) from None
    except Exception as error:  # one broken package must not stop the others
        raise StepFailed(f"the package {module} cannot be loaded: {type(error).__name__}: {error}") from error


@functools.cache
def _separator(module: str, name: str) -> Separator:
    """One instance per process, set up once."""
    separator: Separator = importlib.import_module(module).SEPARATORS[name]()
    try:
        separator.setup()
    except BenchError:
        raise
    except Exception as error:  # whatever a library raises where it cannot load something
        raise StepFailed(f"setup of {name} failed: {type(error).__name__}: {error}") from error
    return separator


Resolver = Callable[[str, int], Sequence[str]]
"""The addresses behind a host name and port; each is a replica of the service."""


def addresses_of(host: str, port: int) -> list[str]:
    """What the name stands for now: replicas come and go.

    Raises
    ------
    Unreachable
        It stands for nothing.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{host} has no address: {error}") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


ASK_SECONDS = 5.0
"""What connecting may take, and an answer that needs no work."""

LONGEST_ANSWER = 16 * 1024 * 1024
"""Bytes. Answers are a few kilobytes, for audio never travels in them; one without end must not fill the memory."""

NOW_OR_NEVER = {"Prefer": "wait=0"}
"""RFC 7240: a replica that would have to queue the request says that it is busy instead."""


@dataclass(frozen=True)
class _Replica:
    """One of the processes that are a service: `url` has its address, `host` is what the service is called."""

    name: str
    url: httpx.URL
    host: str


class OverHttp:
    """POSTs requests as JSON and rebuilds the service's errors from its problem documents.

    A service may have replicas: as many as its host name has addresses. Each call asks them in an order of its
    own, first for one that is idle, then for one with a place in its queue. One that is busy, not ready or out
    of reach is passed over at once; only if none takes the request is it for the caller to wait.

    Parameters
    ----------
    limits : Limits
        How long a step may take; default: the environment's.
    resolve : Resolver
    """

    def __init__(self, limits: Limits | None = None, resolve: Resolver = addresses_of) -> None:
        self._limits = limits or Limits.from_environment()
        self._resolve = resolve
        self._client = httpx.Client()

    def close(self) -> None:
        self._client.close()

    def call(
        self, service: Service, step: str, request: Any, result: type[T], seconds: float | None = None
    ) -> T:
        body, timeout = asdict(request), self._limits.of_step(seconds)
        replicas = self._replicas(service)
        attempts: list[tuple[_Replica, dict[str, str]]] = [(replica, {}) for replica in replicas]
        if len(replicas) > 1:
            attempts[:0] = [(replica, NOW_OR_NEVER) for replica in replicas]
        refusals: dict[_Replica, Unavailable] = {}
        for replica, headers in attempts:
            if not isinstance(refusals.get(replica, Busy("")), Busy):
                continue  # it has said that it could not, idle or not
            try:
                answer = self._request(replica, "POST", f"/{step}", timeout, json=body, headers=headers)
            except (TimedOut, Interrupted):
                raise  # the work may have been begun: whether to begin it again is not for this to say
            except Unavailable as refusal:
                refusals[replica] = refusal
                continue
            try:
                return parse(result, answer)
            except BadInput as error:
                raise BadOutput(
                    f"{service.name} gave an answer that is not a {step} result: {error}"
                ) from None
        # Busy is the better news: a replica is there, and will be free.
        raise min(refusals.values(), key=lambda refusal: not isinstance(refusal, Busy))

    def info(self, service: Service) -> dict[str, Any]:
        refusals = []
        for replica in self._replicas(service):
            try:
                self._request(replica, "GET", "/health", ASK_SECONDS)
                answer = self._request(replica, "GET", "/info", ASK_SECONDS)
            except Unavailable as refusal:
                refusals.append(refusal)
                continue
            if not isinstance(answer, dict):
                raise BadOutput(f"{service.name} gave an answer that is not its info")
            return answer
        raise refusals[0]

    def _replicas(self, service: Service) -> list[_Replica]:
        try:
            url = httpx.URL(service.url)
        except httpx.InvalidURL as error:
            raise Unreachable(f"{service.name} cannot be at {service.url}: {error}") from None
        addresses = self._resolve(url.host, url.port or (443 if url.scheme == "https" else 80))
        replicas = [
            _Replica(service.name, url.copy_with(host=address), url.netloc.decode()) for address in addresses
        ]
        random.shuffle(replicas)
        return replicas

    def _request(self, replica: _Replica, method: str, path: str, timeout: float, **options: Any) -> Any:
        options["headers"] = {"Host": replica.host, **logs.headers(), **options.get("headers", {})}
        limits = httpx.Timeout(timeout, connect=ASK_SECONDS)
        where = f"{replica.name} at {replica.url}"
        try:
            with self._client.stream(
                method,
                str(replica.url).rstrip("/") + path,
                timeout=limits,
                extensions={"sni_hostname": replica.host.rpartition(":")[0] or replica.host},
                **options,
            ) as response:
                body = _read(response, replica.name, timeout)
        except (httpx.ReadTimeout, httpx.WriteTimeout):
            raise TimedOut(f"{where} gave no answer within {timeout:g} s") from None
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError) as error:
            raise Interrupted(f"{where} broke off: {error or type(error).__name__}") from None
        except httpx.DecodingError as error:
            raise BadOutput(f"{replica.name} gave an answer that cannot be unpacked: {error}") from None
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise Unreachable(f"{where} does not answer: {error or type(error).__name__}") from None
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):  # no text, no JSON, or nested without end
            if response.is_success:
                raise BadOutput(f"{replica.name} gave an answer that is not JSON") from None
            answer = {"detail": f"{where} answered {response.status_code} without saying why"}
        if response.is_success:
            return answer
        problem = answer if isinstance(answer, dict) else {}
        raise from_problem({"status": response.status_code, **problem})


def _read(response: httpx.Response, name: str, seconds: float) -> bytes:
    """The whole body, which has to be short, and here soon: the client's own limits are for each part of it."""
    body, deadline = bytearray(), time.monotonic() + seconds
    for part in response.iter_bytes():
        body += part
        if len(body) > LONGEST_ANSWER:
            raise BadOutput(f"{name} gave an answer of more than {LONGEST_ANSWER // 2**20} MiB")
        if time.monotonic() > deadline:
            raise TimedOut(f"{name} had begun its answer, and not ended it after {seconds:g} s")
    return bytes(body)


class Mixed:
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
        return Runtime(OverHttp(), registry, DataRoot(root))
    if transport != "inprocess":
        raise BadInput(f"unknown transport {transport!r}; expected inprocess or http")
    data_root = DataRoot(root, trusted)
    return Runtime(Mixed(InProcess(data_root), OverHttp()), registry, data_root)
