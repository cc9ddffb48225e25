"""For tests and benchmarks: a service in a process of its own, requests to it, and something to separate.

Standard library and NumPy only, so that it runs in every service's environment.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from .audio import FloatArray


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def files(self) -> dict[str, bytes]:
        """What is in the zip, by name."""
        with zipfile.ZipFile(io.BytesIO(self.body)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def stems(self) -> dict[str, FloatArray]:
        """The (channels, samples) arrays in a zip of WAV files, by name."""
        files = self.files()
        return {path.stem: _decode(files[path.name]) for path in map(Path, files) if path.suffix == ".wav"}


@dataclass(frozen=True)
class RunningService:
    """A uvicorn process and where it answers."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def get(self, path: str) -> Answer:
        return _send(urllib.request.Request(self.url + path))

    def post_json(self, path: str, body: Any) -> Answer:
        headers = {"Content-Type": "application/json"}
        return _send(urllib.request.Request(self.url + path, json.dumps(body).encode(), headers))

    def upload(self, content: bytes, path: str = "/separate") -> Answer:
        """POST one file as a form, as ``curl -F mixture=@track.wav`` does."""
        boundary = secrets.token_hex(16)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return _send(urllib.request.Request(self.url + path, _form(boundary, content), headers))

    def disconnect_during_job(self, track: FloatArray, *, seconds: float = 300.0) -> bytes:
        """Upload `track`, and go away once the service is at work on it. Its metrics when it is so no longer."""
        boundary = secrets.token_hex(16)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=3600)
        with contextlib.closing(connection):
            connection.request("POST", "/separate", _form(boundary, wav(track)), headers)
            while not self.get("/health").json()["in_flight"]:
                time.sleep(0.01)
        deadline = time.monotonic() + seconds
        while self.get("/health").json()["in_flight"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return self.get("/metrics").body

    def peak_memory(self) -> int:
        """Largest resident set of the process so far, in bytes (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


@contextlib.contextmanager
def running(app: str, environment: Mapping[str, str], *, seconds: float = 600.0) -> Iterator[RunningService]:
    """Run ``uvicorn <app>`` with `environment` added to this one's, until the block ends.

    Yields once ``/health`` says ready, or says why it never will be.

    Raises
    ------
    RuntimeError
        The process ended, or neither came about in time; the message ends with its log.
    """
    with tempfile.TemporaryDirectory() as folder, socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        reserved.close()
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT
            )
        service = RunningService(f"http://127.0.0.1:{port}", process, log)
        try:
            _wait(service, seconds)
            yield service
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(service: RunningService, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and service.process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            answer = service.get("/health")
            if answer.status == 200 or "still starting" not in answer.json()["detail"]:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the service did not come up; its log ends:\n{service.log.read_text()[-4000:]}")


def _form(boundary: str, content: bytes) -> bytes:
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="mixture"; filename="mixture.wav"\r\n'
        "Content-Type: audio/wav\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode()


def _send(request: urllib.request.Request) -> Answer:
    try:
        with urllib.request.urlopen(request, timeout=3600) as response:
            return Answer(response.status, dict(response.headers), response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read())


def music(seconds: float, sample_rate: int = 44100, seed: int = 0) -> FloatArray:
    """Something like a stereo mix, (2, samples): a bass line, chords, decaying noise for drums, a vibrato."""
    random = np.random.default_rng(seed)
    samples = max(1, round(seconds * sample_rate))
    t = np.arange(samples) / sample_rate
    beat = np.floor(t * 2).astype(int)  # two beats in a second
    since = t - beat / 2
    notes = 55.0 * 2 ** (random.integers(0, 12, beat[-1] + 1) / 12)
    bass = 0.25 * np.sin(2 * np.pi * notes[beat] * since) * np.exp(-2 * since)
    drums = 0.3 * random.standard_normal(samples) * np.exp(-25 * since)
    chord = sum(0.05 * np.sin(2 * np.pi * pitch * t + pitch) for pitch in (261.6, 329.6, 392.0, 784.0))
    voice = 0.15 * np.sin(2 * np.pi * 440 * t + 3 * np.sin(2 * np.pi * 5.5 * t)) * (np.sin(0.9 * t) > -0.3)
    left = bass + drums + 1.3 * chord + voice
    right = bass + 0.8 * drums + 0.7 * np.roll(chord, 7) + voice
    return np.ascontiguousarray(np.stack([left, right]) * 0.8, dtype=np.float32)


def wav(audio: FloatArray, sample_rate: int = 44100) -> bytes:
    """A float32 WAV file of (channels, samples)."""
    buffer = io.BytesIO()
    sf.write(buffer, audio.T, sample_rate, subtype="FLOAT", format="WAV")
    return buffer.getvalue()


def _decode(content: bytes) -> FloatArray:
    data, _ = sf.read(io.BytesIO(content), dtype="float32", always_2d=True)
    return np.ascontiguousarray(data.T)
