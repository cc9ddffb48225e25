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
import os
import shutil
import struct
import sys
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from binaural_metrics import ReferenceCache
from binaural_metrics.signals import FloatArray

FOLDER = "MSSBENCH_REFERENCES"
"""Environment variable: the folder, if there is one. It must not be writable by others."""

_MAX_BYTES = 1 << 30
_UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    EOFError,
    AttributeError,
    TypeError,
    RuntimeError,
    BadZipFile,
    struct.error,
)
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
        path = self._folder / f"{key}.npz"
        with self._locked(int(key[:15], 16)):
            with contextlib.suppress(*_UNREADABLE):
                found: _Value = _read(path)
                return found
            value = compute()
            with contextlib.suppress(
                OSError, TypeError
            ):  # such as a full disk: the next process computes it again
                self._write(path, value)
            return value

    @contextlib.contextmanager
    def _locked(self, number: int) -> Iterator[None]:
        """Hold a lock of the folder, if it can be made. A process that ends releases it."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                file = stack.enter_context(open(self._folder / "lock", "wb"))
                fcntl.lockf(file, fcntl.LOCK_EX, 1, number)
            yield

    def _write(self, path: Path, value: Any) -> None:
        arrays: list[npt.NDArray[Any]] = []
        described = json.dumps(_described(value, arrays))
        self._make_room(sum(array.nbytes for array in arrays))
        temporary = self._folder / f"{os.getpid()}.tmp"
        try:
            with temporary.open("wb") as file:
                np.savez(file, np.array(described), *arrays)
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
            if path.suffix == ".npz":
                path.unlink(missing_ok=True)
                used -= freed


def _read(path: Path) -> Any:
    """The value in the file `path`, which then was used last."""
    with path.open("rb") as opened, np.load(opened) as file:  # it checks the checksums, and loads no objects
        described, *arrays = (file[name] for name in file.files)
    now = time.time_ns()  # the kernel's own time stamps are coarse
    os.utime(path, ns=(now, now))
    return _value(json.loads(str(described)), arrays)


def _described(value: Any, arrays: list[npt.NDArray[Any]]) -> Any:
    """`value` as JSON; its arrays are appended to `arrays`. Raises :class:`TypeError` for other types."""
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_described(item, arrays) for item in value]}
    if is_dataclass(value):
        parts = [_described(getattr(value, field.name), arrays) for field in fields(value)]
        return {"module": type(value).__module__, "class": type(value).__name__, "fields": parts}
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    raise TypeError(f"unexpected type {type(value)}")


def _value(described: Any, arrays: list[npt.NDArray[Any]]) -> Any:
    """The value that is `described`."""
    match described:
        case {"array": index}:
            return arrays[index]
        case {"list": parts}:
            return [_value(part, arrays) for part in parts]
        case {"tuple": parts}:
            return tuple(_value(part, arrays) for part in parts)
        case {"module": module, "class": name, "fields": parts}:
            kind = getattr(sys.modules[module], name)
            if not (module.startswith("binaural_metrics.") and is_dataclass(kind)):
                raise TypeError(f"unexpected type {module}.{name}")
            return kind(*(_value(part, arrays) for part in parts))  # type: ignore[operator]
    return described


def reference_cache() -> ReferenceCache:
    """The cache of this process: in the folder of its launcher, or else in memory."""
    folder = os.environ.get(FOLDER)
    return SharedCache(Path(folder)) if folder else ReferenceCache()
