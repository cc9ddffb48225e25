"""Separate one track: by upload to the separator's service, or in this process."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
from mssbench_service.audio import read_header
from mssbench_service.errors import (
    BadInput,
    BadOutput,
    NotReady,
    Starting,
    Unavailable,
    Unreachable,
    from_problem,
)
from mssbench_service.files import atomic_folder
from mssbench_service.musdb import MIXTURE, stem_sets
from mssbench_service.separation import MOST_STEMS, SEPARATION_FILE, Separator, check_output_folder
from mssbench_service.stems import check_stem_names
from mssbench_service.wire import SeparateRequest

from ..runs.plan import choose_separators
from ..services.health import survey_separators
from ..services.runtime import Runtime

Show = Callable[[str, int, "int | None"], None]
"""Progress: called with the stage (``upload``, ``separate``, ``download``), what is done, and the total if known."""

CONNECT_SECONDS = 10.0
STEP_SECONDS = 6 * 3600.0
"""Read timeout. The service sends nothing until the separation is done, which takes long on a slow CPU."""


def separate_registered(
    runtime: Runtime,
    separator: str,
    track: Path,
    out: Path,
    references: Path | None = None,
    *,
    show: Show = lambda *_: None,
    patience: float = 600.0,
) -> Path:
    """Separate `track` with a registered separator, in this process or by its service.

    Raises
    ------
    BadInput, Unavailable
        As :func:`separate_by_upload`; or `separator` is unknown or not available.
    """
    chosen = choose_separators([separator], survey_separators(runtime, [separator]))[0]
    service = runtime.registry.separators[chosen.service]
    if runtime.is_remote(service):
        return separate_by_upload(
            service.url, chosen.name, track, out, references, show=show, patience=patience
        )
    check_output_folder(out)
    _parts(track, references)
    show("separate", 0, None)
    runtime.separate(
        service.name,
        SeparateRequest(
            mixture=runtime.root.reference(track),
            out=runtime.root.reference(out),
            separator=chosen.name,
            references=runtime.root.reference(references) if references else "",
            stems=list(stem_sets([references])[0]) if references else [],
        ),
    )
    return out


def separate_by_upload(
    url: str,
    separator: str,
    track: Path,
    out: Path,
    references: Path | None = None,
    *,
    show: Show = lambda *_: None,
    patience: float = 600.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Send `track` to the separator service at `url`, and write the stems to the folder `out`.

    `references` is the folder of the true stems, for separators that need them. While the service is busy or starting,
    the request is repeated for up to `patience` seconds, after pauses that the service requests.

    Raises
    ------
    BadInput
        The track cannot be read, the service refuses it, or `out` holds something else than a separation.
    Unavailable
        The service cannot be reached, lacks something, or was busy for longer than `patience`.
    BadOutput
        The response is not a zip of stems.
    """
    check_output_folder(out)
    # Beside `out`: the system's folder for temporary files may be too small.
    near = next(parent for parent in out.absolute().parents if parent.is_dir())
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=near) as temporary:
        answer = Path(temporary) / "answer.zip"
        parts = _parts(track, references)
        while True:
            try:
                _post(url, separator, parts, answer, show)
                break
            except Unavailable as error:
                # Missing weights, devices and services do not appear by waiting.
                missing = isinstance(error, NotReady | Unreachable) and not isinstance(error, Starting)
                pause = float(max(1, error.retry_after))
                if missing or pause > patience:
                    raise
                patience -= pause
                show(f"waiting: {error.detail}", 0, None)
                sleep(pause)
        with atomic_folder(out) as folder:
            _unpack(answer, folder, _largest(track))
            _check(folder, track)
    return out


def _parts(track: Path, references: Path | None) -> dict[str, Path]:
    parts = {MIXTURE: track}
    if references is not None:
        parts |= {stem: references / f"{stem}.wav" for stem in stem_sets([references])[0]}
    for path in parts.values():
        if not path.is_file():
            raise BadInput(f"{path} is not a file; expected a sound file")
    return parts


def _post(url: str, separator: str, parts: Mapping[str, Path], answer: Path, show: Show) -> None:
    total = sum(path.stat().st_size for path in parts.values())
    sent = 0

    def count(size: int) -> None:
        nonlocal sent
        sent += size
        show("upload", min(sent, total), total)
        if sent >= total:
            show("separate", 0, None)

    with ExitStack() as stack:
        # The name of the file is not sent: the service does not need it.
        files: Any = {
            part: (f"{part}{path.suffix}", _Counted(stack.enter_context(_opened(path)), count))
            for part, path in parts.items()
        }
        with _response(url, separator, files) as response:
            if not response.is_success:
                raise _error_of(response)
            length = response.headers.get("Content-Length", "")
            size, done = (int(length) if length.isdigit() else None), 0
            with answer.open("wb") as file:
                for block in response.iter_bytes():
                    file.write(block)
                    done += len(block)
                    show("download", done, size)


@contextmanager
def _response(url: str, separator: str, files: Any) -> Iterator[httpx.Response]:
    timeout = httpx.Timeout(STEP_SECONDS, connect=CONNECT_SECONDS)
    query = {"separator": separator} if separator else {}
    try:
        with httpx.stream(
            "POST", f"{url.rstrip('/')}/separate", params=query, files=files, timeout=timeout
        ) as response:
            yield response
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise Unreachable(f"{url} does not answer: {error or type(error).__name__}") from None


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from None
    with file:
        yield file


def _error_of(response: httpx.Response) -> Exception:
    response.read()
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"detail": f"{response.url} answered {response.status_code} {response.reason_phrase}"}
    problem = {"status": response.status_code, **problem}
    after = response.headers.get("Retry-After", "")
    if after.isdigit():
        problem.setdefault("retry_after", int(after))
    return from_problem(problem)


class _Counted:
    """A file that reports how much of it was read. httpx reads its length, and may read it twice."""

    def __init__(self, file: IO[bytes], count: Callable[[int], None]) -> None:
        self._file, self._count = file, count

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._count(len(block))
        return block

    def fileno(self) -> int:
        return self._file.fileno()

    def seek(self, offset: int) -> int:
        self._count(offset - self._file.tell())
        return self._file.seek(offset)


def _check(folder: Path, track: Path) -> None:
    """Raise BadOutput where a stem is not audio of the track's length and rate."""
    whole = read_header(track)
    for path in sorted(folder.glob("*.wav")):
        try:
            found = read_header(path)
        except BadInput as error:
            raise BadOutput(f"the answer's {path.name} is not audio: {error}") from None
        if (found.samples, found.sample_rate) != (whole.samples, whole.sample_rate):
            raise BadOutput(
                f"the answer's {path.name} has {found.samples} samples at {found.sample_rate} Hz; "
                f"expected {whole.samples} at {whole.sample_rate} Hz as the track"
            )


def _largest(track: Path) -> int:
    """Largest size in bytes of a stem of `track`: two channels of float32, and a header or the record."""
    return 8 * read_header(track).samples + (1 << 20)


def _recorded_stems(archive: zipfile.ZipFile, largest: int) -> Sequence[str]:
    if SEPARATION_FILE not in archive.namelist() or archive.getinfo(SEPARATION_FILE).file_size > largest:
        return Separator.stems
    record = json.loads(archive.read(SEPARATION_FILE))
    stems = record.get("stems", Separator.stems) if isinstance(record, dict) else Separator.stems
    try:
        check_stem_names([str(stem) for stem in stems], "the answer")
    except (BadInput, TypeError) as error:
        raise BadOutput(f"the answer's {SEPARATION_FILE} is not a record: {error}") from None
    if not 0 < len(stems) <= MOST_STEMS:
        raise BadOutput(f"the answer has {len(stems)} stems; expected 1 to {MOST_STEMS}")
    return list(stems)


def _unpack(answer: Path, folder: Path, largest: int) -> None:
    """Extract the stems and the record from the zip, and nothing else.

    The stems are those that the record lists, by default those of MUSDB18-HQ.
    """
    try:
        with zipfile.ZipFile(answer) as archive:
            names = archive.namelist()
            wanted = [f"{stem}.wav" for stem in _recorded_stems(archive, largest)]
            absent = [name for name in wanted if name not in names]
            if absent:
                raise BadOutput(f"the answer has no {', '.join(absent)}")
            taken = [name for name in (*wanted, SEPARATION_FILE) if name in names]
            size, most = sum(archive.getinfo(name).file_size for name in taken), len(taken) * largest
            if size > most:
                raise BadOutput(f"the answer unpacks to {size} bytes; expected at most {most} for this track")
            for name in taken:
                # zipfile reads no more of a member than its declared size, and checks its checksum.
                with archive.open(name) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BadOutput(f"the answer is not a zip of stems: {error}") from None
