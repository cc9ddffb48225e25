"""Files at a URL that fsspec can open: an object store, another file system, memory.

Each backend raises exceptions of its own. Here they become the error classes of the bench, with a message of one
line that shows no credentials.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mssbench_service.errors import BadInput, BenchError, NotFound, Unreachable
from mssbench_service.files import atomic_file

from ..settings.secrets import without_password

BLOCK = 1 << 20

Count = Callable[[int], None]
"""Called with the number of bytes that were transferred since the last call."""


@dataclass(frozen=True)
class ObjectStore:
    """A folder at a URL. Names of files are relative to it, with ``/`` between their parts.

    Attributes
    ----------
    url : str
        For messages: without user and password.
    root : str
        The folder, as `filesystem` names it.
    filesystem : fsspec.AbstractFileSystem
    local : bool
        Whether this is a folder of this machine (``file://``).
    """

    url: str
    root: str
    filesystem: Any
    local: bool = False

    def sizes(self) -> dict[str, int]:
        """Size in bytes of each file in the folder, by name; empty if the folder does not exist."""
        with _errors_of(self.url):
            self.filesystem.invalidate_cache()
            found = self.filesystem.find(self.root, detail=True)
            files = {path: int(info["size"]) for path, info in found.items() if info["type"] == "file"}
        if self.root in files:
            raise BadInput(f"{self.url} is a file; expected a folder")
        return {path.removeprefix(self.root).lstrip("/"): size for path, size in files.items()}

    def blocks(self, name: str) -> Iterator[bytes]:
        """The content of a file, block by block. Raises NotFound."""
        with _errors_of(f"{self.url}/{name}"), self.filesystem.open(self._path(name), "rb") as file:
            yield from blocks_of(file)

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with _errors_of(f"{self.url}/{name}"):
            if self.local:
                with atomic_file(Path(self._path(name))) as temporary:
                    temporary.write_bytes(content)
            else:
                self.filesystem.pipe_file(self._path(name), content)

    def upload(self, name: str, source: Path, count: Count) -> None:
        """Write the file `source` under `name`. It appears complete or not at all."""
        from fsspec.callbacks import Callback

        class Counter(Callback):  # type: ignore[misc,unused-ignore]  # fsspec has no types
            def relative_update(self, inc: int = 1) -> None:
                super().relative_update(inc)
                count(inc)

        counter = Counter()
        with _errors_of(f"{self.url}/{name}"):
            if self.local:
                with (
                    source.open("rb") as file,
                    atomic_file(Path(self._path(name))) as temporary,
                    temporary.open("wb") as target,
                ):
                    for block in blocks_of(file):
                        target.write(block)
                        counter.relative_update(len(block))
            else:
                self.filesystem.put_file(str(source), self._path(name), callback=counter)
        count(source.stat().st_size - counter.value)  # some backends do not call back

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"


def open_store(url: str) -> ObjectStore:
    """The folder at `url`, which need not exist.

    Raises
    ------
    BadInput
        `url` is not a URL, or the package that opens URLs of its kind is not installed.
    """
    shown = without_password(url).rstrip("/")
    protocol, separator, _ = url.partition("://")
    if not separator or not protocol:
        raise BadInput(
            f"{shown!r} is not a URL; expected one such as s3://bucket/folder or file:///mnt/folder"
        )
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise BadInput("URLs need the package fsspec: pip install 'mssbench[transfer]'") from None
    # For local folders our own writer creates parents. An instance that is cached would keep old credentials.
    options = {} if protocol in ("file", "local") else {"skip_instance_cache": True}
    try:
        filesystem, root = url_to_fs(url, **options)
    except ImportError as error:
        raise BadInput(_missing_package(protocol, error)) from None
    except ValueError as error:
        raise BadInput(f"{shown} cannot be opened: {without_password(str(error))}") from None
    root = str(root).rstrip("/")
    if not root:
        raise BadInput(f"{shown} names no folder; expected one such as {protocol}://bucket/folder")
    return ObjectStore(shown, root, filesystem, local=protocol in ("file", "local"))


def blocks_of(file: IO[bytes]) -> Iterator[bytes]:
    """The rest of an open file, block by block."""
    while block := file.read(BLOCK):
        yield block


def _missing_package(protocol: str, error: ImportError) -> str:
    from fsspec.registry import known_implementations

    package = known_implementations.get(protocol, {}).get("class", "fsspec").partition(".")[0]
    if protocol in ("s3", "s3a"):
        return f"{protocol}:// needs the package s3fs: pip install 'mssbench[transfer]'"
    if package == "fsspec":  # a backend of fsspec itself, which needs another package
        return f"{protocol}:// cannot be opened: {error}"
    return f"{protocol}:// needs the package {package}: pip install {package}"


@contextlib.contextmanager
def _errors_of(url: str) -> Iterator[None]:
    try:
        yield
    except BenchError:
        raise
    except Exception as error:  # each backend raises exceptions of its own
        raise _translated(error, url) from None


def _translated(error: Exception, url: str) -> BenchError:
    detail = without_password(str(error)) or type(error).__name__
    status = getattr(error, "status", None) or getattr(error, "code", None)
    if isinstance(error, FileNotFoundError):
        return NotFound(f"{url} was not found: {error.strerror or detail}")
    if isinstance(error, PermissionError) or status in (401, 403):
        return BadInput(f"{url}: access denied: {error.strerror if isinstance(error, OSError) else detail}")
    if "Credentials" in type(error).__name__:
        return BadInput(f"{url}: no valid credentials: {detail}")
    if (
        isinstance(error, OSError)
        and not isinstance(error, ConnectionError | TimeoutError)
        and error.strerror
    ):
        return BadInput(f"{url}: {error.strerror}")
    return Unreachable(f"{url} cannot be reached: {type(error).__name__}: {detail}")
