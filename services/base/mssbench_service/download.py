"""Downloads that survive bad servers: resumed where they broke off, verified, never half there under their name.

Standard library only: it also runs while an image is built.
"""

from __future__ import annotations

import contextlib
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
"""Called with a file's name, the bytes there so far, and its size if that is known."""

LARGEST = 8 * 1024**3
"""Where a file's size is not known, a server that keeps sending is cut off here."""

_BLOCK = 1 << 20
_PLAIN_NUMBER = re.compile(r"[0-9]{1,18}")
_PATIENCE = 5  # attempts in a row that bring nothing new


@dataclass(frozen=True)
class RemoteFile:
    """One file on a server. `sha256` may be a leading part of the digest, or empty if none is published."""

    name: str
    url: str
    sha256: str = ""
    size: int | None = None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mismatch(remote: RemoteFile, path: Path) -> str:
    """What is wrong with the file at `path`, or nothing."""
    size = path.stat().st_size
    if remote.size is not None and size != remote.size:
        return f"is damaged: it has {size} bytes; expected {remote.size}"
    found = sha256_of(path) if remote.sha256 else ""
    if not found.startswith(remote.sha256):
        return f"is damaged: its SHA-256 is {found[: len(remote.sha256)]}; expected {remote.sha256}"
    return ""


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time fetch into `folder`; the others wait and then find the work done."""
    try:
        import fcntl
    except ImportError:  # Windows: two at once then get a wrong checksum, and one of them an error
        yield
        return
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
    """Bring the whole of `remote` to `part`, verified. What `part` already holds is not fetched again.

    Parameters
    ----------
    pause
        Seconds before the first new attempt; doubled after each that brings nothing new.
    largest
        Bytes after which a server is cut off, where `remote` has no size.

    Raises
    ------
    Unreachable
        No answer, or the answer keeps breaking off. What has been received is kept.
    NotFound
        The server has no such file.
    BadInput
        What was received is not what is expected (it is deleted).
    """
    report = progress or (lambda *_: None)
    if not remote.sha256:
        # Nothing could tell whether the rest comes from the same version of the file.
        part.unlink(missing_ok=True)
    resumed = part.exists()
    if resumed and remote.sha256 and not mismatch(remote, part):
        return  # whole already: what was to be done with it then has failed
    _receive(remote, part, report, pause, largest)
    problem = mismatch(remote, part)
    if problem and resumed:  # what an earlier call left may have been of another version: once more, afresh
        part.unlink()
        _receive(remote, part, report, pause, largest)
        problem = mismatch(remote, part)
    if problem:
        part.unlink()
        raise BadInput(f"{remote.name} from {remote.url} {problem}")


def _receive(remote: RemoteFile, part: Path, progress: Progress, pause: float, largest: int) -> None:
    """Bring `part` to its full length, in as many requests as that takes."""
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
            if error.code == 416:  # what is there is longer than the file: it belongs to something else
                part.unlink(missing_ok=True)
            elif error.code != 429 and error.code < 500:
                raise NotFound(f"{remote.url} answered {error.code} {error.reason}") from None
            reason = f"{error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = str(getattr(error, "reason", "") or error) or type(error).__name__
        except ValueError as error:  # it redirects to what is no URL
            raise Unreachable(f"{remote.url} cannot be fetched: {error}") from None
        there = part.stat().st_size if part.exists() else 0
        failures = 0 if there > furthest else failures + 1
        furthest = max(furthest, there)
        if failures >= _PATIENCE:
            raise Unreachable(f"{remote.url} cannot be fetched: {reason} ({there} bytes are kept)")
        time.sleep(pause * 2**failures)


def _request(
    remote: RemoteFile, part: Path, progress: Progress, validator: str, largest: int
) -> tuple[bool, str]:
    """One request for what `part` lacks. Returns whether it is whole now, and the file's validator."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "mssbench", "Accept-Encoding": "identity"}
    request = urllib.request.Request(remote.url, headers=headers)
    if start:
        request.add_header("Range", f"bytes={start}-")
        if validator:
            request.add_header("If-Range", validator)
    with urllib.request.urlopen(request, timeout=60) as response:
        if response.status != 206 or not _continues(response, start):
            start = 0  # the server ignores ranges, or has another version by now: from the beginning
        declared = response.headers.get("Content-Length", "")
        total = start + int(declared) if _PLAIN_NUMBER.fullmatch(declared) else None
        limit = remote.size if remote.size is not None else largest
        done = start
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            # `read1`: what a slow server has sent is shown and kept, not waited with until a block is full.
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
