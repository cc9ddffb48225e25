"""Middleware around all routes: authorization of requests that change something, and HEAD requests."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from mssbench_service.errors import BenchError, Forbidden, Unauthorized
from mssbench_service.problems import problem_response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class AuthMiddleware:
    """Refuse requests that change something if the token is missing (401) or another site sends them (403).

    This is a middleware rather than a dependency of each route, so that it applies to every route. Browsers
    send ``Origin`` with such requests. Without this check, any web page could start runs on the machine of
    the user who opens it.
    """

    def __init__(self, app: ASGIApp, token: str = "") -> None:
        self.app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS:
            error = self._refusal(dict(scope["headers"]))
            if error is not None:
                response = problem_response(error)
                if error.status == 401:
                    response.headers["WWW-Authenticate"] = "Bearer"
                await response(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _refusal(self, headers: dict[bytes, bytes]) -> BenchError | None:
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and _host_of(origin) != headers.get(b"host", b"").decode("latin-1"):
            return Forbidden(f"requests from pages of {origin} are refused; use a page of this service")
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        # In constant time, so that the duration does not show how much of a guess was right.
        valid = hmac.compare_digest(given.strip(), self._token) and scheme.lower() == b"bearer"
        if self._token and not valid:
            return Unauthorized("expected the header 'Authorization: Bearer TOKEN' with this service's token")
        return None


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # not a URL, such as "http://["
        return ""


class HeadMiddleware:
    """Answer HEAD as GET without the body. Link checkers and monitoring tools send HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                # End the response now: the body of an event stream could last for hours.
                await send({"type": "http.response.body"})

        await self.app({**scope, "method": "GET"}, receive, send_head)
