"""The files at a URL: which there are and in which version; read, sent, removed.

Whatever fsspec knows, such as ``s3://bucket/prefix``. Each file system has errors of its own: here they become
those of the family. What the files mean is for :mod:`mssbench.remote` to know.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import logging
import os
import posixpath
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mssbench_service.errors import BadInput, BenchError, NotReady, StorageDenied, StorageUnavailable

from .limits import Limits

log = logging.getLogger("mssbench")


@dataclass(frozen=True)
class Version:
    """One state of a file at the URL: its size in bytes, when it was written (seconds, Unix), its ETag or the like."""

    size: int
    written: int
    tag: str

    @classmethod
    def of(cls, info: dict[str, Any]) -> Version:
        tag = next(
            (str(info[name]) for name in ("ETag", "etag", "md5Hash", "content_md5") if info.get(name)), ""
        )
        when = next(
            (
                info[name]
                for name in ("LastModified", "last_modified", "mtime", "updated", "created")
                if info.get(name)
            ),
            0,
        )
        if isinstance(when, str):
            when = datetime.datetime.fromisoformat(when)
        moment = when.timestamp() if isinstance(when, datetime.datetime) else float(when)
        return cls(int(info.get("size") or 0), int(moment), tag.strip('"') or repr(moment))

    def with_hash(self, sha256: str) -> Version:
        return Version(self.size, self.written, f"{self.tag} {sha256}")

    @property
    def stamp(self) -> int:
        """The time in nanoseconds that a copy of it has."""
        digest = hashlib.sha256(f"{self.tag} {self.size}".encode()).digest()
        return self.written * 10**9 + int.from_bytes(digest[:8], "big") % 10**9


class Objects:
    """The files at `url`, by references relative to it.

    Every method raises ``StorageUnavailable`` where the URL does not answer, ``StorageDenied`` where it is not there or
    lets nobody in.

    Raises
    ------
    BadInput
        The URL cannot be one.
    NotReady
        What reads such URLs is not installed.
    """

    def __init__(self, url: str) -> None:
        self.address = url.rstrip("/")
        self.url = re.sub(r"//[^/@]*@", "//", self.address)  # as it is shown: without a password
        self._opened: tuple[int, Any, str] | None = None
        self._open()

    def _open(self) -> tuple[Any, str]:
        """The file system and the path of the data root in it; of this very process, for none survives a fork."""
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                from fsspec.core import url_to_fs
            except ImportError:
                raise NotReady("fsspec is not installed; pip install 'mssbench[remote]'") from None
            if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://.", self.address):
                raise BadInput(f"MSSBENCH_DATA_URL={self.url} is not a URL such as s3://bucket/prefix")
            local = self.address.startswith(("file://", "local://"))
            options = {"auto_mkdir": True} if local else {"use_listings_cache": False}
            try:
                filesystem, base = url_to_fs(self.address, skip_instance_cache=True, **options)
            except ImportError as error:
                raise NotReady(
                    f"MSSBENCH_DATA_URL={self.url} needs more than is installed: {error}"
                ) from None
            except Exception as error:  # whatever a file system makes of what is no URL of its kind
                raise BadInput(f"MSSBENCH_DATA_URL={self.url} cannot be used: {error}") from None
            self._opened = (os.getpid(), filesystem, str(base).rstrip("/"))
        return self._opened[1], self._opened[2]

    @contextlib.contextmanager
    def _named(self, *, missing: bool = False) -> Iterator[None]:
        """Errors by the names of the family. `missing`: what was asked for may be, and the caller says what then."""
        try:
            yield
        except BenchError:
            raise
        except FileNotFoundError as error:
            if missing:
                raise
            raise StorageDenied(f"{self.url} cannot be used: {error}") from None
        except PermissionError as error:
            raise StorageDenied(f"{self.url} does not let this in: {error}") from None
        except Exception as error:  # each file system has exceptions of its own
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StorageUnavailable(f"{self.url} does not answer: {type(error).__name__}: {error}") from None

    def find(self, reference: str) -> dict[str, Version]:
        """What is at `reference` and below it; a name is relative to it, and empty if it is a file itself."""
        filesystem, base = self._open()
        path = f"{base}/{reference}".rstrip("/")
        with self._named():
            found = filesystem.find(path, detail=True)
        versions = {}
        for name, info in found.items():
            inside = name.removeprefix(path).lstrip("/")
            if name == path or all(part not in ("", ".", "..") for part in inside.split("/")):
                versions[inside] = Version.of(info)
        return versions

    def files(self, reference: str) -> dict[str, Version]:
        """The files in the folder `reference`, not below it; none if there is no such folder."""
        filesystem, base = self._open()
        with self._named(missing=True):
            try:
                found = filesystem.ls(f"{base}/{reference}", detail=True)
            except FileNotFoundError:
                return {}
        return {
            posixpath.basename(info["name"]): Version.of(info) for info in found if info["type"] == "file"
        }

    def names(self, reference: str) -> set[str]:
        """Names of the files and folders in the folder `reference`; none if there is no such folder."""
        filesystem, base = self._open()
        with self._named(missing=True):
            try:
                found = filesystem.ls(f"{base}/{reference}", detail=False)
            except FileNotFoundError:
                return set()
        return {posixpath.basename(str(path).rstrip("/")) for path in found}

    def version(self, reference: str) -> Version | None:
        """Of the file `reference`; None if there is no such file."""
        filesystem, base = self._open()
        with self._named(missing=True):
            try:
                info = filesystem.info(f"{base}/{reference}")
            except FileNotFoundError:
                return None
        return Version.of(info) if info["type"] == "file" else None

    def read(self, reference: str, begin: int | None = None, end: int | None = None) -> bytes | None:
        """The bytes of a small file, or from `begin` to `end` of a large one; None if there is no such file."""
        filesystem, base = self._open()
        with self._named(missing=True):
            try:
                content: bytes = filesystem.cat_file(f"{base}/{reference}", begin, end)
            except FileNotFoundError:
                return None
        return content

    def download(self, reference: str, path: Path) -> bool:
        """Write a file to `path`; False if there is no such file."""
        filesystem, base = self._open()
        with self._named(missing=True):
            try:
                filesystem.get_file(f"{base}/{reference}", str(path))
            except FileNotFoundError:
                return False
        return True

    def write(self, reference: str, content: bytes) -> None:
        """Write a small file, not patiently."""
        filesystem, base = self._open()
        with self._named():
            filesystem.pipe_file(f"{base}/{reference}", content)

    def put(self, reference: str, source: Path | bytes) -> None:
        """Send a file whole, patiently: what was sent for took long to make."""

        def put() -> None:
            filesystem, base = self._open()
            path = f"{base}/{reference}"
            # Where files can be renamed, they have to be.
            renames = "file" in filesystem.protocol or "sftp" in filesystem.protocol
            target = f"{posixpath.dirname(path)}/.tmp-{secrets.token_hex(8)}" if renames else path
            with self._named():
                if isinstance(source, bytes):
                    if renames:
                        filesystem.makedirs(posixpath.dirname(path), exist_ok=True)
                    filesystem.pipe_file(target, source)
                else:
                    filesystem.put_file(str(source), target)
                if renames:
                    filesystem.mv(target, path)

        _patiently(put)

    def delete(self, reference: str) -> None:
        filesystem, base = self._open()
        with self._named(missing=True), contextlib.suppress(FileNotFoundError):
            filesystem.rm_file(f"{base}/{reference}")


def _patiently(do: Callable[[], None]) -> None:
    for pause in Limits.from_environment().pauses:
        try:
            return do()
        except StorageDenied:
            raise
        except StorageUnavailable as error:
            log.warning("%s; again in %g s", error.detail, pause)
            time.sleep(pause)
    do()
