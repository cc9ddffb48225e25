"""A server that misbehaves as it is told, archives, and tracks small enough to be read in no time."""

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
    """Serves `content` at `url`; the other attributes say what is wrong with it."""

    content: bytes = b""
    url: str = ""
    cut_after: int | None = None  # bytes of body before the connection breaks
    cuts: int = 10**9  # how often it breaks
    ranges: bool = True
    length_error: int = 0  # added to the declared length
    redirects: int = 0
    statuses: list[int] = field(default_factory=list)  # answers before the first good one
    asked: list[str] = field(default_factory=list)  # the Range header of every request

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        if self.redirects > 0:
            self.redirects -= 1
            handler.send_response(302)
            handler.send_header("Location", f"{self.url}?elsewhere")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        self.asked.append(handler.headers.get("Range", ""))
        if self.statuses:
            handler.send_error(self.statuses.pop(0))
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.asked[-1])
        start = int(asked[1]) if asked and self.ranges else 0
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
    told = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        told.url = f"http://127.0.0.1:{listening.server_address[1]}/data.zip"
        yield told
        listening.shutdown()
        thread.join()


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():  # dated 1980: the same members, the same bytes
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


WriteTrack = Callable[..., Path]


@pytest.fixture
def write_track(tmp_path: Path) -> WriteTrack:
    """Write a track of noise whose stems add up to its mixture to the last bit; return its folder."""

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
