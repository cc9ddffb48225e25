"""A server of one file that simulates the failures of servers."""

from __future__ import annotations

import contextlib
import http.server
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from .server import http_server


@dataclass
class FileServer:
    """Serves one file, with ranges. The attributes from `cut_after` on make it fail in different ways."""

    content: bytes = b""
    cut_after: int | None = None  # bytes of the body before the connection breaks
    cuts: int = 10**9  # how often it breaks
    ranges: bool = True
    etag: str = '"one"'
    length_error: int = 0  # added to the declared length
    declares_length: bool = True
    wrong_range: bool = False
    statuses: list[int] = field(default_factory=list)  # instead of the first good responses
    requests: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0
    url: str = ""

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        self.requests.append({name.lower(): value for name, value in handler.headers.items()})
        if self.statuses:
            handler.send_response(self.statuses.pop(0))
            handler.send_header("Location", f"{self.url}?elsewhere")
            handler.end_headers()
            return
        requested = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        matches = handler.headers.get("If-Range", self.etag) == self.etag
        start = int(requested[1]) if requested and self.ranges and matches else 0
        if start > len(self.content):
            handler.send_error(416)
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if start:
            claimed = 0 if self.wrong_range else start
            end = len(self.content) - 1
            handler.send_header("Content-Range", f"bytes {claimed}-{end}/{len(self.content)}")
        if self.declares_length:
            handler.send_header("Content-Length", str(len(body) + self.length_error))
        if self.etag:
            handler.send_header("ETag", self.etag)
        handler.end_headers()
        if self.cut_after is not None and self.cuts > 0 and len(body) > self.cut_after:
            self.cuts -= 1
            body = body[: self.cut_after]
        self.sent += len(body)
        handler.wfile.write(body)


@contextlib.contextmanager
def file_server(name: str, content: bytes) -> Iterator[FileServer]:
    """Serve `content` under this name until the block ends."""
    served = FileServer(content)
    # The function is looked up at each request, because a test may replace it.
    with http_server(lambda handler: served.answer(handler)) as url:
        served.url = f"{url}/{name}"
        yield served
