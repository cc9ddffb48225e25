"""Downloads that are resumed after a broken connection and verified.

Standard library only, since they are also used while an image is built.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import BadInput, NotFound, Unreachable

Progress = Callable[[str, int, "int | None"], None]
"""Called with a file's name, the number of bytes received so far, and its size if known."""

LARGEST = 8 * 1024**3
"""Largest download in bytes of a file whose size is not pinned."""

_BLOCK = 1 << 20
_PLAIN_NUMBER = re.compile(r"[0-9]{1,18}")
_MAX_FAILURES = 5  # requests in a row without progress


@dataclass(frozen=True)
class RemoteFile:
    """One file on a server. `sha256` may be a leading part of the digest; a checksum that is not known is empty."""

    name: str
    url: str
    sha256: str = ""
    size: int | None = None
    md5: str = ""

    @property
    def pinned(self) -> bool:
        """Whether a checksum of its content is known."""
        return bool(self.sha256 or self.md5)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mismatch(remote: RemoteFile, path: Path) -> str:
    """Return how the file at `path` differs from `remote`; empty if it does not."""
    size = path.stat().st_size
    if remote.size is not None and size != remote.size:
        return f"is damaged: it has {size} bytes; expected {remote.size}"
    found = sha256_of(path) if remote.sha256 else ""
    if not found.startswith(remote.sha256):
        return f"is damaged: its SHA-256 is {found[: len(remote.sha256)]}; expected {remote.sha256}"
    if remote.md5:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if digest != remote.md5:
            return f"is damaged: its MD5 is {digest}; expected {remote.md5}"
    return ""


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Lock `folder`, so that one process at a time fetches into it and the others wait."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def download(
    remote: RemoteFile,
    part: Path,
    *,
    progress: Progress | None = None,
    pause: float = 1.0,
    largest: int = LARGEST,
) -> None:
    """Download `remote` into `part` and verify it. Data that `part` already contains are not fetched again.

    Parameters
    ----------
    pause
        Seconds before the first retry; doubled after each one without progress.
    largest
        Most bytes that are accepted if `remote` has no size.

    Raises
    ------
    Unreachable
        The server does not answer, or the connection keeps breaking. Received data are kept.
    NotFound
        The server has no such file.
    BadInput
        The received file does not match `remote` (it is deleted).
    """
    report = progress or (lambda *_: None)
    if not remote.pinned:
        # Without a checksum, the rest could come from another version of the file.
        part.unlink(missing_ok=True)
    resumed = part.exists()
    if resumed and remote.pinned and not mismatch(remote, part):
        return  # complete: only the step after the download had failed
    _receive(remote, part, report, pause, largest)
    problem = mismatch(remote, part)
    if problem and resumed:  # data of an earlier call may be of another version: start again
        part.unlink()
        _receive(remote, part, report, pause, largest)
        problem = mismatch(remote, part)
    if problem:
        part.unlink()
        raise BadInput(f"{remote.name} from {remote.url} {problem}")


def _receive(remote: RemoteFile, part: Path, progress: Progress, pause: float, largest: int) -> None:
    """Receive all of `part`, in as many requests as necessary."""
    furthest, failures, validator = 0, 0, ""
    while True:
        reason = ""
        try:
            whole, validator = _request(remote, part, progress, validator, largest)
            if whole:
                return
            reason = "the connection was cut"
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # longer than the file, so of another file
                part.unlink(missing_ok=True)
            elif error.code != 429 and error.code < 500:
                raise NotFound(f"{remote.url} answered {error.code} {error.reason}") from None
            reason = f"{error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = str(getattr(error, "reason", "") or error) or type(error).__name__
        except ValueError as error:  # redirected to an invalid URL
            raise Unreachable(f"{remote.url} cannot be fetched: {error}") from None
        there = part.stat().st_size if part.exists() else 0
        failures = 0 if there > furthest else failures + 1
        furthest = max(furthest, there)
        if failures >= _MAX_FAILURES:
            raise Unreachable(f"{remote.url} cannot be fetched: {reason} ({there} bytes are kept)")
        time.sleep(pause * 2**failures)


def _request(
    remote: RemoteFile, part: Path, progress: Progress, validator: str, largest: int
) -> tuple[bool, str]:
    """Request the missing rest of `part`. Return whether it is complete now, and the file's validator."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "mssbench", "Accept-Encoding": "identity"}
    request = urllib.request.Request(remote.url, headers=headers)
    if start:
        request.add_header("Range", f"bytes={start}-")
        if validator:
            request.add_header("If-Range", validator)
    with urllib.request.urlopen(request, timeout=60) as response:
        if response.status != 206 or not _continues(response, start):
            start = 0  # the server ignores ranges, or has another version: start again
        declared = response.headers.get("Content-Length", "")
        total = start + int(declared) if _PLAIN_NUMBER.fullmatch(declared) else None
        limit = remote.size if remote.size is not None else largest
        done = start
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            # `read1` returns data of a slow server at once, so that they are shown and kept.
            while block := response.read1(_BLOCK):
                done += len(block)
                if done > limit:
                    file.close()
                    part.unlink()
                    raise BadInput(f"{remote.url} sends more than the {limit} bytes expected")
                file.write(block)
                progress(remote.name, done, total or remote.size)
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        # Only a strong validator may be sent back in If-Range.
        return total is None or done >= total, "" if validator.startswith("W/") else validator


def _continues(response: Any, start: int) -> bool:
    given = re.match(r"bytes (\d{1,18})-", response.headers.get("Content-Range", ""), re.ASCII)
    return given is not None and int(given[1]) == start
