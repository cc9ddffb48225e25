"""A faulty HTTP server, zip archives, and short tracks."""

from __future__ import annotations

import http.server
import io
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from mssbench_service.musdb import MIXTURE, STEMS


@dataclass
class Server:
    """Serves `content` at `url`; the other attributes select its faults."""

    content: bytes = b""
    url: str = ""
    cut_after: int | None = None  # bytes of the body before the connection is closed
    cuts: int = 10**9  # number of connections that are closed early
    ranges: bool = True
    length_error: int = 0  # added to the declared length
    redirects: int = 0
    statuses: list[int] = field(default_factory=list)  # HTTP errors before the first success
    ranges_requested: list[str] = field(default_factory=list)  # Range header of each request

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        if self.redirects > 0:
            self.redirects -= 1
            handler.send_response(302)
            handler.send_header("Location", f"{self.url}?elsewhere")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        self.ranges_requested.append(handler.headers.get("Range", ""))
        if self.statuses:
            handler.send_error(self.statuses.pop(0))
            return
        requested = re.fullmatch(r"bytes=(\d+)-", self.ranges_requested[-1])
        start = int(requested[1]) if requested and self.ranges else 0
        if start and start >= len(self.content):
            handler.send_error(416)
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if start:
            end = len(self.content) - 1
            handler.send_header("Content-Range", f"bytes {start}-{end}/{len(self.content)}")
        handler.send_header("Content-Length", str(len(body) + self.length_error))
        handler.send_header("ETag", '"one"')
        handler.end_headers()
        if self.cut_after is not None and self.cuts > 0 and len(body) > self.cut_after:
            self.cuts -= 1
            body = body[: self.cut_after]
        handler.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    faulty = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            faulty.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        faulty.url = f"http://127.0.0.1:{listening.server_address[1]}/data.zip"
        yield faulty
        listening.shutdown()
        thread.join()


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip archive of the members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for (
            name,
            content,
        ) in members.items():  # ZipInfo has a fixed date, so that equal members give equal bytes
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


WriteTrack = Callable[..., Path]


@pytest.fixture
def write_track(tmp_path: Path) -> WriteTrack:
    """Write a track of noise whose stems add up exactly to its mixture; return its folder."""

    def write(
        title: str = "Artist - Title", split: str = "test", samples: int = 3000, rate: int = 44100
    ) -> Path:
        folder = tmp_path / "music" / split / title
        folder.mkdir(parents=True)
        rng = np.random.default_rng(len(title))
        stems = {stem: rng.integers(-5000, 5000, (samples, 2)).astype(np.int16) for stem in STEMS}
        mixture = np.add.reduce(list(stems.values()), axis=0, dtype=np.int16)
        for name, audio in {MIXTURE: mixture, **stems}.items():
            sf.write(str(folder / f"{name}.wav"), audio, rate, subtype="PCM_16")
        return folder

    return write
