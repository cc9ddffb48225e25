"""Analyses of references in files, which the processes of a machine share while a run is executed.

Each job of a worker is a process of its own, so that a cache in memory would be lost with every cell. The launcher
makes the folder and removes it at the end of the run. A file is found by the content of the references; it appears
complete or not at all, has checksums, and holds numbers only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import mmap
import os
import shutil
import struct
import sys
import time
import zlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

import numpy as np
from binaural_metrics import ReferenceCache
from binaural_metrics.reuse import read_only
from binaural_metrics.signals import FloatArray

FOLDER = "MSSBENCH_REFERENCES"
"""Environment variable: the folder, if there is one. It must not be writable by others."""

_MAX_BYTES = 1 << 30
_CHECKSUM, _LENGTH, _ALIGNMENT = struct.Struct("<I"), struct.Struct("<Q"), 64
_UNREADABLE = (OSError, ValueError, LookupError, AttributeError, TypeError, struct.error)
"""What reading raises if there is no file or a damaged one. Not every exception: a job's timeout is one."""
_Value = TypeVar("_Value")


class SharedCache(ReferenceCache):
    """Least recently used analyses of references, in the files of `folder`.

    Parameters
    ----------
    folder : Path
    max_bytes : int
        Limit of the size of all files. They also leave three quarters of the free space.
    """

    def __init__(self, folder: Path, max_bytes: int = _MAX_BYTES) -> None:
        super().__init__(max_bytes)
        self._folder = folder

    def get(self, references: Sequence[FloatArray], name: Hashable, compute: Callable[[], _Value]) -> _Value:
        """Value called `name` of the references. Others wait while one process computes it."""
        key = hashlib.sha256(repr(self._key(references, name)).encode()).hexdigest()
        path = self._folder / f"{key}.ref"
        with self._locked(int(key[:15], 16)):
            with contextlib.suppress(*_UNREADABLE):
                found: _Value = _read(path)
                return found
            value = compute()
            with contextlib.suppress(OSError, TypeError):  # such as a full disk: others compute it again
                self._write(path, value)
            return value

    def get_large(
        self, references: Sequence[FloatArray], name: Hashable, compute: Callable[[], _Value]
    ) -> _Value:
        """The value, which is computed by each process."""
        return compute()

    @contextlib.contextmanager
    def _locked(self, number: int) -> Iterator[None]:
        """Hold a lock of the folder, if it can be made. A process that ends releases it."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                file = stack.enter_context(open(self._folder / "lock", "wb"))
                fcntl.lockf(file, fcntl.LOCK_EX, 1, number)
            yield

    def _write(self, path: Path, value: Any) -> None:
        self._make_room(sum(array.nbytes for array in read_only(value)))
        temporary = self._folder / f"{os.getpid()}.tmp"
        try:
            with temporary.open("wb") as file:
                described = json.dumps(_written(value, file)).encode()
                file.write(described + _LENGTH.pack(len(described)))
                file.flush()
                file.write(_CHECKSUM.pack(zlib.crc32(_mapped(temporary))))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        """Remove the files that were used least recently. Raises :class:`OSError` if `size` is too large."""
        files = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                state = path.stat()
                files.append((state.st_mtime_ns, state.st_size, path))
        used = sum(bytes_ for _, bytes_, _ in files)
        limit = min(self.max_bytes, used + shutil.disk_usage(self._folder).free // 4)
        if size > limit:
            raise OSError("no room")
        for _, freed, path in sorted(files):
            if used + size <= limit:
                break
            if path.suffix in (".ref", ".tmp"):  # of a process that was killed, for example
                path.unlink(missing_ok=True)
                used -= freed


def _read(path: Path) -> Any:
    """The value in the file `path`, which then was used last. Its arrays are views of the file."""
    data = _mapped(path)
    (checksum,) = _CHECKSUM.unpack(data[-_CHECKSUM.size :])
    data = data[: -_CHECKSUM.size]
    if zlib.crc32(data) != checksum:
        raise ValueError("damaged")
    now = time.time_ns()  # the kernel's own time stamps are coarse
    os.utime(path, ns=(now, now))
    (length,) = _LENGTH.unpack(data[-_LENGTH.size :])
    return _value(json.loads(data[-_LENGTH.size - length : -_LENGTH.size].tobytes()), data)


def _mapped(path: Path) -> memoryview:
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _written(value: Any, file: BinaryIO) -> Any:
    """`value` as JSON, after its arrays were written to `file`. Raises :class:`TypeError` for other types."""
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        order: Literal["F", "C"] = "F" if value.flags.f_contiguous else "C"
        file.write(bytes(-file.tell() % _ALIGNMENT))
        start = file.tell()
        file.write(value.ravel(order).view(np.uint8).data)
        return {"array": value.dtype.str, "shape": value.shape, "order": order, "start": start}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_written(item, file) for item in value]}
    if is_dataclass(value):
        parts = [_written(getattr(value, field.name), file) for field in fields(value)]
        return {"module": type(value).__module__, "class": type(value).__name__, "fields": parts}
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    raise TypeError(f"unexpected type {type(value)}")


def _value(described: Any, data: memoryview) -> Any:
    """The value that is `described`, with the arrays in `data`."""
    match described:
        case {"array": dtype, "shape": shape, "order": order, "start": start}:
            return np.ndarray(shape, dtype, data, start, order=order)
        case {"list": parts}:
            return [_value(part, data) for part in parts]
        case {"tuple": parts}:
            return tuple(_value(part, data) for part in parts)
        case {"module": module, "class": name, "fields": parts}:
            kind = getattr(sys.modules[module], name)
            if not (module.startswith("binaural_metrics.") and is_dataclass(kind)):
                raise TypeError(f"unexpected type {module}.{name}")
            return kind(*(_value(part, data) for part in parts))  # type: ignore[operator]
    return described


def reference_cache() -> ReferenceCache:
    """The cache of this process: in the folder of its launcher, or else in memory."""
    folder = os.environ.get(FOLDER)
    return SharedCache(Path(folder)) if folder else ReferenceCache()
