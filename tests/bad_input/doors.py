"""Every way in: the endpoints of real servers, and the commands. Each turns one input into an :class:`Outcome`,
and checks what must hold whatever the input was.
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
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile as sf
from mssbench_contract import RunningService, running

PRIVATE = (str(Path(__file__).parents[2]), str(Path.home()) + "/", sys.prefix, tempfile.gettempdir() + "/")
"""What no answer may name: where the code, the environment, the user and the data lie."""


@dataclass(frozen=True)
class Outcome:
    """How it ended: an HTTP status or an exit code, perhaps with a word more; and what was said of a refusal."""

    code: str
    said: str = ""


# ------------------------------------------------------------------------------------------------------- services


@dataclass
class Server:
    """A service under test, with folders that are its own."""

    running: RunningService
    client: httpx.Client
    data: Path
    temporary: Path

    @contextlib.contextmanager
    def keeping_its_promises(self, folder: Path) -> Iterator[None]:
        """After the block, whatever was asked: idle, alive, nothing in the log, no file outside of `folder`."""
        logged = self.running.log.stat().st_size
        before = self._files(folder)
        yield
        wait_until(lambda: self.client.get("/health").json().get("in_flight") == 0)
        assert self.running.process.poll() is None
        wait_until(lambda: self._files(folder) == before, f"left behind: {self._files(folder) - before}")
        wait_until(lambda: not _unfinished(folder), f"left behind: {_unfinished(folder)}")
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
    for where, folders, files in os.walk(folder):  # unlike rglob, it bears what vanishes meanwhile
        yield from (Path(where, name) for name in folders + files)


def _unfinished(folder: Path) -> list[str]:
    return [str(path) for path in _below(folder) if path.name.startswith((".tmp-", "separate-"))]


def wait_until(condition: Callable[[], bool], what: str = "waited in vain", seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@contextlib.contextmanager
def serving(app: str, root: Path, **environment: str) -> Iterator[Server]:
    """The service `app` of one place and a queue of two, over the data root ``<root>/data``."""
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
        wait_until(lambda: client.get("/health").is_success)
        # In the folders' own words: what a library leaves there once is no concern of a request.
        yield Server(process, client, data, temporary)


def answered(response: httpx.Response, *private: Path | str, given: Path | str = "\0") -> Outcome:
    """What an HTTP answer comes to, after what must hold of all of them.

    It may repeat what it was `given`, but names nothing `private` of itself.
    """
    for name in (*PRIVATE, *map(str, private)):
        text = response.text[:100_000].replace(str(given), "")
        assert name not in text, text[max(0, text.index(name) - 100) :][:300]
    if response.is_success:
        _check_content(response)
        return Outcome(str(response.status_code))
    assert response.status_code in range(400, 500) or response.status_code in (503, 507), response.text[:1000]
    if response.headers["content-type"].startswith("text/html"):  # the dashboard's pages are for people
        return Outcome(str(response.status_code))
    assert response.headers["content-type"] == "application/problem+json", response.text[:1000]
    assert response.headers["x-request-id"]
    problem = json.loads(response.content, parse_constant=_no_number)
    assert problem["status"] == response.status_code
    assert problem["type"]
    assert problem["title"]
    said = problem["detail"]
    assert said, problem
    assert "\n" not in said
    assert "Traceback" not in said
    assert len(said) < 2000, said[:3000]
    return Outcome(str(response.status_code), said)


def _no_number(name: str) -> float:
    raise AssertionError(f"{name} in an answer")


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
    """``mssbench`` in this process, in a folder of its own: what it prints, and the code it ends with."""

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
        printed = output.out.replace("NaN or infinite", "")  # what is said of such samples
        assert not re.search(r"\bnan\b|\binf\b", printed, re.IGNORECASE), printed
        if code == 0:
            return Outcome("0")
        said = [line for line in output.err.splitlines() if line.startswith("mssbench: ")]
        assert len(said) == 1, output.err
        assert output.err.splitlines()[-1] == said[0], output.err
        assert "a defect" not in said[0], said[0]
        assert len(said[0]) < 2000, said[0][:3000]
        return Outcome(str(code), said[0].removeprefix("mssbench: ").replace(f"{folder}/", ""))


def check_numbers(path: Path) -> None:
    """No value of a CSV file is NaN or infinite."""
    for cell in re.split(r"[,\n]", path.read_text(encoding="utf-8")):
        with contextlib.suppress(ValueError):
            assert math.isfinite(float(cell)), path.read_text()


Json = dict[str, Any]
