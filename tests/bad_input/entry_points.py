"""Entry points: the endpoints of real servers, and the commands.

Each one turns an input into an :class:`Outcome` and checks what must hold for every input.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile as sf
from mssbench_contract import RunningService, running
from mssbench_contract.server import wait_for

PRIVATE = (str(Path(__file__).parents[2]), str(Path.home()) + "/", sys.prefix, tempfile.gettempdir() + "/")
"""Paths that no response may contain: those of the code, the environment, the user and the data."""


@dataclass(frozen=True)
class Outcome:
    """An HTTP status or an exit code, with a remark where needed, and the message of a refusal."""

    code: str
    message: str = ""


# ------------------------------------------------------------------------------------------------------- services


@dataclass
class Server:
    """A service under test, with its own data root and temporary folder."""

    running: RunningService
    client: httpx.Client
    data: Path
    temporary: Path

    @contextlib.contextmanager
    def checked(self, folder: Path) -> Iterator[None]:
        """Check after the block: alive, idle, no error in the log, no new file outside of `folder`."""
        logged = self.running.log.stat().st_size
        before = self._files(folder)
        yield
        wait_for(lambda: self.client.get("/health").json().get("in_flight") == 0)
        assert self.running.process.poll() is None
        wait_for(lambda: self._files(folder) == before, f"left behind: {self._files(folder) - before}")
        wait_for(lambda: not _unfinished(folder), f"left behind: {_unfinished(folder)}")
        with self.running.log.open("rb") as log:
            log.seek(logged)
            added = log.read().decode("utf-8", "replace")
        assert "Traceback" not in added, added
        assert "Exception" not in added, added

    def _files(self, folder: Path) -> set[str]:
        return set(os.listdir(self.temporary)) | {
            str(path) for path in _below(self.data) if not path.is_relative_to(folder)
        }


def _below(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):  # unlike rglob, it ignores files that are deleted meanwhile
        yield from (Path(where, name) for name in folders + files)


def _unfinished(folder: Path) -> list[str]:
    return [str(path) for path in _below(folder) if path.name.startswith((".tmp-", "separate-"))]


@contextlib.contextmanager
def serving(app: str, root: Path, **environment: str) -> Iterator[Server]:
    """Serve `app` with one worker and a queue of two requests. The data root is ``<root>/data``."""
    data, temporary = root / "data", root / "tmp"
    data.mkdir(parents=True)
    temporary.mkdir()
    settings = {
        "MSSBENCH_DATA_ROOT": str(data),
        "MSSBENCH_MAX_UPLOAD_MB": "2",
        "MSSBENCH_CONCURRENCY": "1",
        "MSSBENCH_QUEUE": "2",
        "OPENBLAS_NUM_THREADS": "1",
        "TMPDIR": str(temporary),
        **environment,
    }
    with running(app, settings) as process, httpx.Client(base_url=process.url, timeout=60) as client:
        wait_for(lambda: client.get("/health").is_success)
        # Files that a library creates once, at the first request, are not counted.
        yield Server(process, client, data, temporary)


def answered(response: httpx.Response, *private: Path | str, given: Path | str = "\0") -> Outcome:
    """The outcome of an HTTP response, after the checks that hold for all responses.

    A response may repeat the `given` path. It must not contain any other `private` path.
    """
    for name in (*PRIVATE, *map(str, private)):
        text = response.text[:100_000].replace(str(given), "")
        assert name not in text, text[max(0, text.index(name) - 100) :][:300]
    if response.is_success:
        _check_content(response)
        return Outcome(str(response.status_code))
    assert response.status_code in range(400, 500) or response.status_code in (503, 507), response.text[:1000]
    if response.headers["content-type"].startswith("text/html"):  # a page of the dashboard
        return Outcome(str(response.status_code))
    assert response.headers["content-type"] == "application/problem+json", response.text[:1000]
    assert response.headers["x-request-id"]
    problem = json.loads(response.content, parse_constant=_no_number)
    assert problem["status"] == response.status_code
    assert problem["type"]
    assert problem["title"]
    message = problem["detail"]
    assert message, problem
    assert "\n" not in message
    assert "Traceback" not in message
    assert len(message) < 2000, message[:3000]
    return Outcome(str(response.status_code), message)


def _no_number(name: str) -> float:
    raise AssertionError(f"{name} in a response")


def _check_content(response: httpx.Response) -> None:
    kind = response.headers.get("content-type", "")
    if kind == "application/json":
        json.loads(response.content, parse_constant=_no_number)
    elif kind == "application/zip":
        with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
            assert archive.testzip() is None
            for name in archive.namelist():
                if name.endswith(".wav"):
                    assert np.isfinite(sf.read(io.BytesIO(archive.read(name)))[0]).all()


# ------------------------------------------------------------------------------------------------------- commands


class Commands:
    """Runs ``mssbench`` in this process and in its own folder. Checks the output and the exit code."""

    def __init__(
        self, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, temporary: Path
    ) -> None:
        self._capture, self._patch, self._temporary = capture, monkeypatch, temporary

    def __call__(self, folder: Path, *arguments: str, **environment: str) -> Outcome:
        from mssbench.cli import main

        with self._patch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            return self._run(main, folder, *arguments)

    def _run(self, main: Callable[[], None], folder: Path, *arguments: str) -> Outcome:

        temporary = Path(tempfile.mkdtemp(dir=self._temporary))
        self._patch.chdir(folder)
        self._patch.setattr(sys, "argv", ["mssbench", *arguments])
        self._patch.setattr(tempfile, "tempdir", str(temporary))
        self._capture.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        output = self._capture.readouterr()
        assert code in (0, 1, 2), output.err
        assert "Traceback" not in output.err + output.out
        assert not os.listdir(temporary)
        assert not _unfinished(folder)
        printed = output.out.replace("NaN or infinite", "")  # part of a valid message
        assert not re.search(r"\bnan\b|\binf\b", printed, re.IGNORECASE), printed
        if code == 0:
            return Outcome("0")
        message = [line for line in output.err.splitlines() if line.startswith("mssbench: ")]
        assert len(message) == 1, output.err
        assert output.err.splitlines()[-1] == message[0], output.err
        assert "a defect" not in message[0], message[0]
        assert len(message[0]) < 2000, message[0][:3000]
        return Outcome(str(code), message[0].removeprefix("mssbench: ").replace(f"{folder}/", ""))


def check_numbers(path: Path) -> None:
    """Check that no value of a CSV file is NaN or infinite."""
    for cell in re.split(r"[,\n]", path.read_text(encoding="utf-8")):
        with contextlib.suppress(ValueError):
            assert math.isfinite(float(cell)), path.read_text()
