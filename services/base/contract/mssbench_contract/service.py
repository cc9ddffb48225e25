"""A separator service under test: requests that suit its separator, and checks of its state and of its errors."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from mssbench_service.audio import FloatArray
from mssbench_service.separation import Separator
from mssbench_service.stems import MIXTURE

from . import app as guarded
from .server import Answer, RunningService, form, running, wait_for
from .signals import split, wav

MAX_UPLOAD_MIB = 24
QUEUE = 2
PLACES = 1 + QUEUE
"""Jobs that the service accepts at a time: one runs, the others wait."""

Encode = Callable[[FloatArray, int], bytes]


@dataclass(frozen=True)
class ServiceUnderTest(RunningService):
    """A running service, and requests to one of its separators.

    Attributes
    ----------
    separator : str
        Name of the separator; empty for the default.
    data, temporary : Path
        The service's data root, and its folder for temporary files.
    network : Path
        Exists once the service has tried to use the network.
    any_stems : sequence of str
        What a separator that takes any stem set is asked for, and the names of true stems.
    """

    separator: str
    data: Path
    temporary: Path
    network: Path
    any_stems: Sequence[str]

    def path(self, **query: str) -> str:
        """The path of ``POST /separate`` for the separator."""
        chosen = {"separator": self.separator} | query
        return "/separate?" + urllib.parse.urlencode({name: value for name, value in chosen.items() if value})

    @cached_property
    def info(self) -> dict[str, Any]:
        """What the service says of the separator."""
        separators = self.get("/info").json()["separators"]
        named = [item for item in separators if item["name"] == self.separator] or separators
        return dict(named[0])

    @property
    def declared(self) -> list[str]:
        """The stems that the separator returns; of one that takes any stem set, :attr:`any_stems`."""
        return self.info["stems"] or list(self.any_stems)

    def needs_references(self) -> bool:
        """Whether the separator is defined by the true stems."""
        return bool(self.info["needs_references"])

    def signals(self, mixture: FloatArray) -> dict[str, FloatArray]:
        """The mixture, and the true stems for a separator that needs them."""
        return {MIXTURE: mixture} | (split(mixture, self.any_stems) if self.needs_references() else {})

    def files(self, mixture: FloatArray, rate: int = 44100, encode: Encode = wav) -> dict[str, bytes]:
        """:meth:`signals` as sound files."""
        return {name: encode(signal, rate) for name, signal in self.signals(mixture).items()}

    def form(self, mixture: FloatArray) -> tuple[str, bytes]:
        """Content type and body of an upload."""
        return form(self.files(mixture))

    def separate(self, mixture: FloatArray, rate: int = 44100, **query: str) -> Answer:
        """Separate an upload."""
        return self.post_files(self.path(**query), self.files(mixture, rate))

    def stems(self, mixture: FloatArray, rate: int = 44100) -> dict[str, bytes]:
        """The files of the stems."""
        return self.stems_of(self.separate(mixture, rate))

    def stems_of(self, answer: Answer) -> dict[str, bytes]:
        """The files of the stems in the zip of a successful response."""
        assert answer.status == 200, answer.body
        files = answer.files()
        return {stem: files[f"{stem}.wav"] for stem in self.declared}

    def reference_request(
        self, mixture: FloatArray, out: Path, rate: int = 44100, encode: Encode = wav
    ) -> dict[str, Any]:
        """A request by reference, whose files have been written."""
        folder = self.data / "in" / secrets.token_hex(8)
        folder.mkdir(parents=True)
        for name, content in self.files(mixture, rate, encode).items():
            (folder / f"{name}.wav").write_bytes(content)
        relative = folder.relative_to(self.data).as_posix()
        return {
            "mixture": f"{relative}/{MIXTURE}.wav",
            "out": out.relative_to(self.data).as_posix(),
            "separator": self.separator,
            "references": relative if self.needs_references() else "",
            "stems": [] if self.info["stems"] else list(self.any_stems),
        }

    def by_reference(self, mixture: FloatArray, out: Path, rate: int = 44100, encode: Encode = wav) -> Answer:
        """Separate files under the data root."""
        return self.post_json("/separate", self.reference_request(mixture, out, rate, encode))

    def problem(self, answer: Answer, status: int | tuple[int, ...], says: str) -> dict[str, Any]:
        """The problem document in `answer`, after checks that hold for every one.

        It has one of these statuses, names `says`, and shows no path of the machine and no traceback.
        """
        expected = status if isinstance(status, tuple) else (status,)
        assert answer.status in expected, (answer.status, answer.body[:500])
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert answer.headers["x-request-id"]
        problem = cast("dict[str, Any]", answer.json())
        assert problem["status"] == answer.status
        assert problem["type"]
        text = problem["title"] + " " + problem.get("detail", "")
        assert says in text, text
        for private in (self.data, self.temporary, Path.home(), Path(__file__).parent):
            assert str(private) not in answer.body.decode(), answer.body
        assert "Traceback" not in text
        return problem

    def check_clean(self) -> None:
        """Wait until no job is left, and check that nothing remains of them."""
        assert self.process.poll() is None, "the service has ended"
        wait_for(lambda: self.in_flight() == 0)
        assert not self._temporary_files()
        assert not self.network.exists(), f"it used the network: {self.network.read_text()}"

    def _temporary_files(self, seconds: float = 60.0) -> list[str]:
        """Temporary files that remain; a response may arrive a moment before they are removed."""
        deadline = time.monotonic() + seconds
        while True:
            left = os.listdir(self.temporary)
            for _, folders, files in os.walk(self.data):  # unlike rglob, it accepts that entries disappear
                left += [name for name in folders + files if name.startswith(".tmp-")]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.02)


@contextlib.contextmanager
def service_under_test(
    app: str,
    folder: Path,
    *,
    separator: str = "",
    any_stems: Sequence[str] = Separator.stems,
    environment: Mapping[str, str] | None = None,
    max_seconds: float = 61.0,
    start_seconds: float = 600.0,
) -> Iterator[ServiceUnderTest]:
    """Run `app` (``module:attribute``) with small limits until the block ends.

    Parameters
    ----------
    app : str
        The service as uvicorn takes it.
    folder : Path
        Receives the data root and temporary files.
    separator : str
        Name of the separator; empty for the default.
    any_stems : sequence of str
        What a separator that takes any stem set is asked for.
    environment : mapping, optional
        Further environment variables, for example where weights are.
    max_seconds : float
        Longest track that the service accepts.
    start_seconds : float
        Time that it may take to load.
    """
    data, temporary, network = (folder / name for name in ("data", "tmp", "network"))
    data.mkdir()
    temporary.mkdir()
    variables = {
        **(environment or {}),
        guarded.APP: app,
        guarded.NETWORK: str(network),
        "MSSBENCH_DATA_ROOT": str(data),
        "MSSBENCH_MAX_UPLOAD_MB": str(MAX_UPLOAD_MIB),
        "MSSBENCH_MAX_SECONDS": str(max_seconds),
        "MSSBENCH_CONCURRENCY": "1",
        "MSSBENCH_QUEUE": str(QUEUE),
        "TMPDIR": str(temporary),
    }
    with running(f"{guarded.__name__}:app", variables, seconds=start_seconds) as process:
        yield ServiceUnderTest(
            process.url, process.process, process.log, separator, data, temporary, network, any_stems
        )
