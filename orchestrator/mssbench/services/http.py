"""Calls to services over HTTP, with their replicas."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

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
from mssbench_service.wire import (
    parse,
)

from ..settings.limits import Limits
from .registry import Service
from .transport import T

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


Resolver = Callable[[str, int], Sequence[str]]
"""The addresses behind a host name and port; each is a replica of the service."""

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


class HttpTransport:
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
