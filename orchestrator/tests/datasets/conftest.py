"""An HTTP server, zip archives, and short tracks."""

from __future__ import annotations

import http.server
import io
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
    """Serves `content` at `url`, or a page with each of `statuses` before that."""

    content: bytes = b""
    url: str = ""
    statuses: list[int] = field(default_factory=list)
    ranges_requested: list[str] = field(default_factory=list)  # Range header of each request


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = state.statuses.pop(0) if state.statuses else 200
            state.ranges_requested.append(self.headers.get("Range", ""))
            start = int(state.ranges_requested[-1].removeprefix("bytes=").rstrip("-") or 0)
            body = state.content[start:] if status == 200 else b""
            self.send_response(206 if start else status)
            self.send_header("Location", f"{state.url}?elsewhere")
            self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{listening.server_address[1]}/data.zip"
        yield state
        listening.shutdown()
        thread.join()


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip archive of the members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            # ZipInfo has a fixed date, so that equal members give equal bytes.
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
