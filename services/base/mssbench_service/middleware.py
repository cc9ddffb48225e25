"""Middleware of every service: an id for each request, the hosts it may name, and limits of its body."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import logs
from .errors import BenchError, Forbidden, SlowRequest, TooLarge, Unavailable
from .problems import problem_response

MAX_JSON_BYTES = 1024 * 1024
"""Largest body of a request that uploads no files."""

JSON_SECONDS, UPLOAD_SECONDS = 30.0, 60.0
"""Time limits for receiving a whole body without files, and each part of a body with files."""


class RequestId:
    """Gives every request an id and returns it as ``X-Request-ID``; counts the request.

    The id is the caller's if that is a plain word, else a new one. Log lines of the request have it, and the fields
    of its ``baggage`` header (:mod:`mssbench_service.logs`).
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        fields = logs.from_headers(
            headers.get(b"x-request-id", b"").decode("latin-1"),
            headers.get(b"baggage", b"").decode("latin-1"),
        )
        request_id = fields["request_id"]
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
                route = scope["state"].get("route") or getattr(scope.get("route"), "path", "none")
                scope["app"].state.metrics.request(scope["method"], route, message["status"])
            await send(message)

        with logs.context(**fields):
            await self.app(scope, receive, send_with_id)


class AllowedHosts:
    """Refuses requests whose ``Host`` is not a name of this service (403).

    Otherwise a web page whose host name resolves to this machine could use the service as if it came from there (DNS
    rebinding). Loopback names are always allowed.

    Parameters
    ----------
    allowed : collection of str
        Further host names, in lower case. ``*`` allows all.
    """

    def __init__(self, app: ASGIApp, allowed: Collection[str] = ()) -> None:
        self.app = app
        self._allowed = frozenset(allowed) | {"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "*" not in self._allowed:
            host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
            if not self._allows(host):
                error = Forbidden(
                    f"requests to the host {host[:200]!r} are refused; use localhost, or name the host in "
                    "MSSBENCH_ALLOWED_HOSTS"
                )
                await problem_response(error)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _allows(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
        except ValueError:
            return False
        if name in self._allowed:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


class BodyLimit:
    """Limits the size of bodies (413) and the time in which they arrive (408).

    Size is limited by the declared length, otherwise while the body is received. The application gets a body without
    files only when it is complete. A service that is stopping does not wait for bodies.

    Parameters
    ----------
    max_bytes : int
        Largest body with files; a smaller value than :data:`MAX_JSON_BYTES` is that of all bodies.
    uploads : collection of str
        Paths that accept bodies with files, as ``multipart/form-data``.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, uploads: Collection[str] = ()) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        form = headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data")
        with_files = form and scope["path"] in self._uploads
        body = _Body(scope, receive, self.max_bytes if with_files else min(self.max_bytes, MAX_JSON_BYTES))
        declared = headers.get(b"content-length", b"0")
        try:
            if declared.isdigit() and int(declared[:20]) > body.max_bytes:
                raise body.too_large()
            if not with_files:
                await body.read(JSON_SECONDS)
        except BenchError as error:
            await problem_response(error)(scope, receive, send)
            return
        await self.app(scope, body.receive, send)


class _Body:
    """The body of one request, received within its limits."""

    def __init__(self, scope: Scope, receive: Receive, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._scope, self._receive = scope, receive
        self._received = 0
        self._whole: Message | None = None
        self._more = True

    async def read(self, seconds: float) -> None:
        """Receive all of it, for :meth:`receive` to return."""
        parts, deadline = [], time.monotonic() + seconds
        while self._more:
            message = await self._part(deadline - time.monotonic())
            if message["type"] == "http.disconnect":
                self._whole = message
                return
            parts.append(message.get("body", b""))
        self._whole = {"type": "http.request", "body": b"".join(parts), "more_body": False}

    async def receive(self) -> Message:
        """The ``receive`` of the application."""
        if (whole := self._whole) is not None:
            self._whole = None
            return whole
        return await self._part(UPLOAD_SECONDS) if self._more else await self._receive()

    async def _part(self, seconds: float) -> Message:
        task = asyncio.ensure_future(self._receive())
        deadline = time.monotonic() + seconds
        stopping = self._scope["app"].state.stopping
        try:
            while True:
                left = max(deadline - time.monotonic(), 0.0)
                await asyncio.wait({task}, timeout=min(left, 1.0))
                if task.done():
                    break
                if time.monotonic() >= deadline:
                    raise SlowRequest("the request's body did not arrive in time")
                if stopping.is_set():
                    raise Unavailable("the service is stopping")
        finally:
            task.cancel()
        message = task.result()
        self._more = message.get("more_body", False)
        self._received += len(message.get("body", b""))
        if self._received > self.max_bytes:
            raise self.too_large()
        return message

    def too_large(self) -> TooLarge:
        return TooLarge(f"the request is larger than {self.max_bytes / 1024 / 1024:g} MiB")
