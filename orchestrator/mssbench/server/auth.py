"""Around all routes. Who may change something: the optional bearer token, and no page of another site. And HEAD."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from mssbench_service.app import problem_response
from mssbench_service.errors import BenchError, Forbidden, Unauthorized
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..settings.secrets import secret

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def token_from_environment() -> str:
    """The token in ``MSSBENCH_TOKEN``, or in the file that ``MSSBENCH_TOKEN_FILE`` names; empty: none is needed.

    Raises
    ------
    BadInput
        The file cannot be read or is empty, or both are given: better no service than one without its lock.
    """
    return secret("MSSBENCH_TOKEN")


class Guard:
    """Refuses requests that change something: without the token (401), or from another site's page (403).

    Around all routes rather than on each, so that no route can be forgotten. A browser sends ``Origin`` with
    such requests; without this check any page that somebody opens could start runs on their machine.
    """

    def __init__(self, app: ASGIApp, token: str = "") -> None:
        self.app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS:
            headers = dict(scope["headers"])
            error = self._refusal(headers)
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
            return Forbidden(f"a page of {origin} asked for this; only pages of this service may")
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        # In constant time: how far a guess was right must not show.
        right = hmac.compare_digest(given.strip(), self._token) and scheme.lower() == b"bearer"
        if self._token and not right:
            return Unauthorized("expected the header 'Authorization: Bearer TOKEN' with this service's token")
        return None


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # no URL, such as "http://["
        return ""


class AnswersHead:
    """HEAD is GET of which the head alone is sent: link checkers and whoever watches whether a page is up ask so."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})  # now: events of a run might go on for hours

        await self.app({**scope, "method": "GET"}, receive, send_head)
