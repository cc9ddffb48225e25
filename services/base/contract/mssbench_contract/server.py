"""A service in a process of its own, and requests to it.

Beside this package only the standard library and NumPy, so that it runs in every service's environment.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import io
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mssbench_service.audio import FloatArray
from mssbench_service.musdb import MIXTURE

from .signals import decode, wav

_LONGEST_ANSWER = 3600.0
"""Seconds."""


@dataclass(frozen=True)
class Answer:
    """One HTTP response. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    def files(self) -> dict[str, bytes]:
        """The files in the zip, by name."""
        with zipfile.ZipFile(io.BytesIO(self.body)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def stems(self) -> dict[str, FloatArray]:
        """The (channels, samples) arrays in a zip of WAV files, by name."""
        files = {Path(name): content for name, content in self.files().items()}
        return {path.stem: decode(content) for path, content in files.items() if path.suffix == ".wav"}


@dataclass(frozen=True)
class Client:
    """Requests to the service at `url`."""

    url: str

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urllib.parse.urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 80)

    @contextlib.contextmanager
    def connect(self, timeout: float = _LONGEST_ANSWER) -> Iterator[http.client.HTTPConnection]:
        """A connection, closed at the end of the block."""
        connection = http.client.HTTPConnection(*self.address, timeout=timeout)
        try:
            yield connection
        finally:
            connection.close()

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request and read its response."""
        with self.connect() as connection:
            # The response may come while the body is still being sent.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, dict(headers or {}))
            return read_answer(connection)

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(self, path: str, body: bytes, content_type: str) -> Answer:
        return self.request("POST", path, body, {"Content-Type": content_type})

    def post_json(self, path: str, body: Any) -> Answer:
        return self.post(path, json.dumps(body).encode(), "application/json")

    def post_files(self, path: str, files: Mapping[str, bytes]) -> Answer:
        """POST a form with one file in each field."""
        content_type, body = form(files)
        return self.post(path, body, content_type)

    def upload(self, content: bytes, path: str = "/separate") -> Answer:
        """POST a mixture, as ``curl -F mixture=@track.wav`` does."""
        return self.post_files(path, {MIXTURE: content})

    def in_flight(self) -> int:
        """Number of jobs that run or wait."""
        return int(self.get("/health").json()["in_flight"])

    def disconnect_during_job(self, track: FloatArray, *, seconds: float = 300.0) -> bytes:
        """Upload `track`, disconnect once the job runs, and return the metrics once no job is left."""
        content_type, body = form({MIXTURE: wav(track)})
        with self.connect() as connection:
            connection.request("POST", "/separate", body, {"Content-Type": content_type})
            wait_for(lambda: self.in_flight() > 0, seconds=seconds)
        wait_for(lambda: self.in_flight() == 0, seconds=seconds)
        return self.get("/metrics").body


@dataclass(frozen=True)
class RunningService(Client):
    """A process of a service, and requests to it."""

    process: subprocess.Popen[bytes]
    log: Path

    def peak_memory(self) -> int:
        """Largest resident set of the process so far, in bytes (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


@contextlib.contextmanager
def served(app: Any) -> Iterator[Client]:
    """Serve an ASGI application in a thread until the block ends."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started or not thread.is_alive(), seconds=60)
        assert thread.is_alive()
        yield Client(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join(timeout=60)
        assert not thread.is_alive()


def running(
    app: str, environment: Mapping[str, str], *, seconds: float = 600.0
) -> contextlib.AbstractContextManager[RunningService]:
    """Run ``uvicorn <app>``; see :func:`started`."""
    return started(
        [sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1"], environment, seconds=seconds
    )


def orchestrator(
    root: Path, redis_url: str, environment: Mapping[str, str] | None = None
) -> contextlib.AbstractContextManager[RunningService]:
    """Run ``mssbench serve`` over `root`; see :func:`started`. If `redis_url` is empty, it starts Redis and workers."""
    settings = {"MSSBENCH_DATA_ROOT": str(root), "MSSBENCH_REDIS_URL": redis_url}
    return started([sys.executable, "-m", "mssbench", "serve"], {**settings, **(environment or {})})


@contextlib.contextmanager
def started(
    command: Sequence[str], environment: Mapping[str, str], *, seconds: float = 600.0
) -> Iterator[RunningService]:
    """Run `command` with a free ``--port`` and with `environment` added to the present one, until the block ends.

    Yields once ``/health`` is ready, or says why the service will not become ready.

    Raises
    ------
    RuntimeError
        The process ended, or took longer than `seconds`; the message ends with its log.
    """
    with tempfile.TemporaryDirectory() as folder:
        port, log = str(free_port()), Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--port", port],
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        service = RunningService(f"http://127.0.0.1:{port}", process, log)
        try:
            _wait_until_started(service, seconds)
            yield service
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_started(service: RunningService, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and service.process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = service.get("/health")
            if answer.status == 200 or "still starting" not in answer.json()["detail"]:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the service did not start; its log ends:\n{service.log.read_text()[-4000:]}")


def wait_for(
    condition: Callable[[], object], what: str = "the condition is true", seconds: float = 600.0
) -> None:
    """Wait until `condition` is true; fail after `seconds`, naming `what` was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)


def free_port() -> int:
    """A port that no program listens on, and that the system gives to no other program for a minute.

    It belongs to a closed connection (``TIME_WAIT``). The system does not choose such a port, while a server can bind
    to it, because servers set ``SO_REUSEADDR``.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address):
            server.accept()[0].close()  # the side that closes first keeps the port
        return int(address[1])


@contextlib.contextmanager
def http_server(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Answer requests by `answer`, which gets the handler of each, until the block ends. Yields the URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = False  # closing then waits for the threads, so that no socket stays open
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def send(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> None:
    """Answer a request of :func:`http_server` with 200 and this body."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def read_answer(connection: http.client.HTTPConnection) -> Answer:
    """Read the response on `connection`."""
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def form(files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """Content type and body of a form with these files."""
    boundary = secrets.token_hex(16)
    parts = []
    for name, content in files.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n")
    return f"multipart/form-data; boundary={boundary}", b"".join([*parts, f"--{boundary}--\r\n".encode()])
