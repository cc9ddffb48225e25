"""Middleware of every service: an id for each request, and a limit on the size of its body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import logs
from .errors import TooLarge
from .problems import problem_response


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


class BodyLimit:
    """Refuses bodies over `max_bytes` with 413: by their declared length, otherwise while they are received."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.max_bytes:
            await problem_response(self._error())(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise self._error()
            return message

        await self.app(scope, receive_counted, send)

    def _error(self) -> TooLarge:
        return TooLarge(f"the request is larger than {self.max_bytes / 1024 / 1024:g} MiB")
