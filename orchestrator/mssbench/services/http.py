"""Call services and their replicas over HTTP."""

from __future__ import annotations

import json
import math
import random
import socket
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx
from mssbench_service import logs
from mssbench_service.errors import (
    BadInput,
    BadOutput,
    Busy,
    Interrupted,
    TimedOut,
    Unavailable,
    Unreachable,
    from_problem,
)
from mssbench_service.wire import parse, to_json

from ..settings.limits import Limits
from .registry import Service
from .transport import T


def addresses_of(host: str, port: int) -> list[str]:
    """Resolve a host name to its current addresses, one per replica.

    Raises
    ------
    Unreachable
        The name has no address.
    """
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{host} has no address: {error}") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


Resolver = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host name and port, one per replica of the service."""

CONNECT_SECONDS = 5.0
"""Time limit for connecting, and for answers that need no computation."""

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Answers hold no audio and have a few kilobytes. The limit keeps an endless answer from filling the memory."""

NO_WAIT = {"Prefer": "wait=0"}
"""RFC 7240: a replica that would have to queue the request answers that it is busy."""


@dataclass(frozen=True)
class _Replica:
    """One process of a service. `url` holds its address, `host` the host name of the service."""

    name: str
    url: httpx.URL
    host: str


_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)
"""Moment (monotonic clock) at which the answer to the present request must be complete."""


class _Stream(httpcore.NetworkStream):
    """A connection that is read until the deadline. The timeouts of httpx apply to each part of an answer only."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = _deadline.get() - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the answer is not complete")
        return self._stream.read(max_bytes, min(timeout or math.inf, left))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, *arguments: Any, **options: Any) -> _Stream:
        return _Stream(self._stream.start_tls(*arguments, **options))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def connect_tcp(self, *arguments: Any, **options: Any) -> _Stream:
        return _Stream(super().connect_tcp(*arguments, **options))


class _Transport(httpx.HTTPTransport):
    """Reads answers through :class:`_Stream`. httpx has no argument for that."""

    def __init__(self) -> None:
        super().__init__()
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(), max_connections=100, network_backend=_Backend()
        )


class HttpTransport:
    """POSTs requests as JSON, and raises the service's errors again from its problem documents.

    A service has one replica per address of its host name, which `resolve` returns. Each call tries the replicas in
    random order: first for an idle one, then for one with a free place in its queue. A replica that is busy, not ready
    or unreachable is skipped. If no replica takes the request, the call raises, and the caller may retry later. The
    time limits of the steps are those of the environment by default.
    """

    over_http = True

    def __init__(self, limits: Limits | None = None, resolve: Resolver = addresses_of) -> None:
        self._limits = limits or Limits.from_environment()
        self._resolve = resolve
        self._client = httpx.Client(transport=_Transport())

    def close(self) -> None:
        self._client.close()

    def call(
        self, service: Service, step: str, request: Any, result: type[T], seconds: float | None = None
    ) -> T:
        body, timeout = to_json(request), self._limits.of_step(seconds)
        replicas = self._replicas(service)
        attempts: list[tuple[_Replica, dict[str, str]]] = [(replica, {}) for replica in replicas]
        if len(replicas) > 1:
            attempts[:0] = [(replica, NO_WAIT) for replica in replicas]
        refusals: dict[_Replica, Unavailable] = {}
        for replica, headers in attempts:
            if not isinstance(refusals.get(replica, Busy("")), Busy):
                continue  # it is not ready or unreachable
            try:
                answer = self._request(replica, "POST", f"/{step}", timeout, json=body, headers=headers)
            except (TimedOut, Interrupted):
                raise  # the step may have started: the caller decides whether to repeat it
            except Unavailable as refusal:
                refusals[replica] = refusal
                continue
            try:
                return parse(result, answer)
            except BadInput as error:
                raise BadOutput(
                    f"{service.name} sent an answer that is not a {step} result: {error}"
                ) from None
        # Busy comes first: that replica will be free later.
        raise min(refusals.values(), key=lambda refusal: not isinstance(refusal, Busy))

    def info(self, service: Service) -> dict[str, Any]:
        refusals = []
        for replica in self._replicas(service):
            try:
                self._request(replica, "GET", "/health", CONNECT_SECONDS)
                answer = self._request(replica, "GET", "/info", CONNECT_SECONDS)
            except Unavailable as refusal:
                refusals.append(refusal)
                continue
            if not isinstance(answer, dict):
                raise BadOutput(f"{service.name} sent an answer that is not its info")
            return answer
        raise refusals[0]

    def _replicas(self, service: Service) -> list[_Replica]:
        try:
            url = httpx.URL(service.url)
        except httpx.InvalidURL as error:
            raise Unreachable(f"{service.name} has the invalid URL {service.url}: {error}") from None
        addresses = self._resolve(url.host, url.port or (443 if url.scheme == "https" else 80))
        replicas = [
            _Replica(service.name, url.copy_with(host=address), url.netloc.decode()) for address in addresses
        ]
        random.shuffle(replicas)
        return replicas

    def _request(self, replica: _Replica, method: str, path: str, timeout: float, **options: Any) -> Any:
        options["headers"] = {"Host": replica.host, **logs.headers(), **options.get("headers", {})}
        limits = httpx.Timeout(timeout, connect=CONNECT_SECONDS)
        where = f"{replica.name} at {replica.url}"
        token = _deadline.set(time.monotonic() + timeout)
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
            raise TimedOut(f"{where} did not answer within {timeout:g} s") from None
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError) as error:
            raise Interrupted(f"{where} closed the connection: {error or type(error).__name__}") from None
        except httpx.DecodingError as error:
            raise BadOutput(f"{replica.name} sent an answer that cannot be decompressed: {error}") from None
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise Unreachable(f"{where} does not answer: {error or type(error).__name__}") from None
        finally:
            _deadline.reset(token)
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):  # not text, not JSON, or nested too deeply
            if response.is_success:
                raise BadOutput(f"{replica.name} sent an answer that is not JSON") from None
            answer = {"detail": f"{where} answered {response.status_code} without a reason"}
        if response.is_success:
            return answer
        problem = answer if isinstance(answer, dict) else {}
        raise from_problem({"status": response.status_code, **problem})


def _read(response: httpx.Response, name: str, seconds: float) -> bytes:
    """Read the body within the limits of size and time."""
    body = bytearray()
    try:
        for part in response.iter_bytes():
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                raise BadOutput(f"{name} sent an answer of more than {MAX_ANSWER_BYTES // 2**20} MiB")
    except httpx.ReadTimeout:
        raise TimedOut(f"{name} did not finish its answer within {seconds:g} s") from None
    return bytes(body)
