"""References under the data root, and atomic writing of files and folders."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import filecmp
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import BadInput, NotFound, StepFailed, StorageFull, StorageUnavailable
from .names import path_suggestion, suggestion

TEMPORARY = ".tmp-"
"""Prefix of the names of files and folders that are being written."""
_LONGEST_PATH = 4096 - 256
"""Longest path in bytes on Linux, less room for the names of files in a folder."""


@dataclass(frozen=True)
class DataRoot:
    """Resolves references: ``/``-separated paths relative to the folder that all services share.

    Parameters
    ----------
    root : Path
        The shared folder.
    trusted : bool
        True only where the caller is the local user (steps that run in-process for the command line).
        Absolute paths and symbolic links that lead out of the root are then allowed.
    """

    root: Path
    trusted: bool = False

    def resolve(self, reference: str) -> Path:
        """Return the path of `reference`, which need not exist.

        Raises
        ------
        BadInput
            The reference is empty, absolute, too long or leads outside the root. The message shows the
            reference as it was given, and no other path.
        """
        if not reference or "\0" in reference:
            raise BadInput(f"{reference!r} is not a path")
        path = Path(reference)
        try:
            reference.encode()
        except UnicodeEncodeError:  # a single surrogate, or bytes of another encoding
            raise BadInput(f"{reference[:200]!r} is not a path that can be opened: it is not UTF-8") from None
        if self.trusted:
            return self.root / path
        if len(os.fsencode(reference)) > _LONGEST_PATH:
            raise BadInput(f"{reference[:200]!r}… is too long for a path")
        if path.is_absolute() or ".." in path.parts:
            raise BadInput(f"{reference!r} leads outside the data root; expected a path relative to it")
        try:
            resolved = (self.root / path).resolve()
        except (OSError, RuntimeError, ValueError):  # the name is too long, or links form a loop
            raise BadInput(f"{reference[:200]!r} is not a path that can be opened") from None
        if not resolved.is_relative_to(self.root.resolve()):
            raise BadInput(f"{reference!r} leads outside the data root")
        # A path that does not exist yet was not opened, so its length has not been checked.
        if len(os.fsencode(resolved)) > _LONGEST_PATH or any(len(os.fsencode(p)) > 255 for p in path.parts):
            raise BadInput(f"{reference[:200]!r}… is too long for a path")
        return resolved

    def existing(self, reference: str, others: Sequence[str] = ()) -> Path:
        """Like :meth:`resolve`, and it must exist (``NotFound`` otherwise). `others` are names to suggest, too."""
        path = self.resolve(reference)
        try:
            found = path.exists()
        except OSError:
            raise BadInput(f"{reference[:200]!r} is not a path that can be opened") from None
        if not found:
            near = path_suggestion(path, self.root if self.trusted else self.root.resolve())
            near = near or suggestion(reference, others)
            raise NotFound(f"{reference!r} does not exist under the data root{near}")
        return path

    def hide_root(self, text: str) -> str:
        """Make the paths in `text` relative to the root, for what leaves this machine: answers, tables, reports."""
        roots = "|".join(
            re.escape(str(root)) for root in (self.root.resolve(), Path(os.path.abspath(self.root)))
        )
        found = rf"(?<![\w.~/-])(?:{roots})"
        text = re.sub(f"{found}/", "", text)
        return re.sub(rf"{found}(?![^\s:;,'\")])", "the data root", text)

    def reference(self, path: Path) -> str:
        """Return the reference of `path`, the inverse of :meth:`resolve`.

        Raises
        ------
        BadInput
            `path` lies outside the root, where services could not reach it.
        """
        absolute = Path(os.path.abspath(path))
        base = Path(os.path.abspath(self.root))
        if absolute.is_relative_to(base):
            return absolute.relative_to(base).as_posix()
        if self.trusted:
            return absolute.as_posix()
        raise BadInput(f"{path} lies outside the data root {self.root}; the services cannot read it there")


@contextlib.contextmanager
def atomic_file(path: Path, *, record: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`. On success it is renamed to `path`, on failure it is removed.

    Parameters
    ----------
    path : Path
    record : bool
        Whether the file must survive a power cut, because it cannot be made again from other files. It is written
        through to the disk, and an existing file with the same content is not replaced.

    Raises
    ------
    BadInput
        The folder cannot be written (missing permission, a file in the way).
    StorageFull
        The disk is full, also where the library that writes raises another error.
    StorageUnavailable
        The file system is read-only or fails.
    """
    temporary = _temporary_beside(path)
    try:
        with storage_errors_raised(path.parent, writing=True):
            yield temporary
            if path.is_dir():
                raise BadInput(f"{path} is a folder; expected a file, or nothing")
            if path.exists() and not path.is_file():  # it would replace a device or a pipe
                raise BadInput(f"{path} is not a regular file; expected one, or nothing")
            if not record:
                os.replace(temporary, path)
            elif not (path.exists() and filecmp.cmp(temporary, path, shallow=False)):
                sync(temporary)
                os.replace(temporary, path)
                sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def sync(path: Path) -> None:
    """Write a file or the entries of a folder through to the disk.

    Without this, a power cut after a rename may leave an empty file under the new name.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot sync folders
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_folder(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Like :func:`atomic_file` for a whole folder: it appears complete or not at all.

    An existing folder at `path` is replaced once the new one is complete. With ``replace=False`` the existing one is
    kept and the new one is removed: for work that two processes may do at once, where the first result may already
    be in use.

    Raises
    ------
    BadInput, StorageFull, StorageUnavailable
        As :func:`atomic_file`, or `path` is a file.
    """
    temporary = _temporary_beside(path)
    try:
        with storage_errors_raised(path.parent, writing=True):
            temporary.mkdir()
            yield temporary
            _move_folder(temporary, path, replace)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder in one step, so that it is never seen half empty. It need not exist."""
    away = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, away)
    shutil.rmtree(away, ignore_errors=True)


DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNAVAILABLE = (errno.EIO, errno.EROFS, errno.ESTALE, errno.ENOTCONN, errno.ESHUTDOWN, errno.ETIMEDOUT)
"""Errors of the storage itself: a failing disk, a file system mounted read-only, a network file system that is away."""
_ALMOST_FULL = 64 * 1024
"""Bytes; with less free space, an unknown error while writing is taken for a full disk."""


def storage_error(error: BaseException, folder: Path) -> StorageUnavailable | None:
    """The error to raise instead of `error` if the storage of `folder` caused it; None for any other error."""
    number = error.errno if isinstance(error, OSError) else None
    if number in DISK_FULL:
        return StorageFull(f"no room left to write in {folder}")
    if number in _UNAVAILABLE:
        return StorageUnavailable(f"the storage of {folder} is not available: {os.strerror(number or 0)}")
    return None


@contextlib.contextmanager
def storage_errors_raised(folder: Path, *, writing: bool = False) -> Iterator[None]:
    """Raise :class:`StorageUnavailable` for errors inside the block that the storage of `folder` caused.

    When `writing`, an error without a number counts as a full disk if no space is free: libsndfile reports none.
    """
    try:
        yield
    except (OSError, RuntimeError, AssertionError, StepFailed) as error:
        if found := storage_error(error, folder):
            raise found from error
        numbered = isinstance(error, OSError) and error.errno is not None
        if writing and not numbered and shutil.disk_usage(folder).free < _ALMOST_FULL:
            raise StorageFull(f"no room left to write in {folder}") from error
        raise


def _move_folder(new: Path, path: Path, replace: bool) -> None:
    # rename() cannot replace a folder that is not empty, and two workers may finish the same work at once:
    # exchange the two folders, or move the old one away first. The result of the last worker is kept.
    for _ in range(100):
        try:
            os.rename(new, path)
            return
        except NotADirectoryError:
            raise BadInput(f"{path} is a file; expected a folder, or nothing") from None
        except OSError as error:
            # The error decides, since another worker may be moving `path` away at this moment.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if not replace or _exchanged(new, path):
                return
            remove_folder(path)
    raise BadInput(f"{path} could not be replaced: another process keeps writing it")


_HERE = -100  # AT_FDCWD
_EXCHANGE = 2  # RENAME_EXCHANGE


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders in one step, so that `other` exists at every moment for its readers.

    Return False where this is not possible: on other systems than Linux, on some network file systems, or if one of
    them does not exist any more.
    """
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), ctypes.c_uint(_EXCHANGE)) == 0)


def _temporary_beside(path: Path) -> Path:
    make_folder(path.parent)
    # A short name, since the final one may already have the greatest length that the file system allows.
    return path.parent / f"{TEMPORARY}{secrets.token_hex(8)}{path.suffix[:8]}"


def make_folder(path: Path) -> Path:
    """Create `path` and check that files can be written in it.

    Raises
    ------
    BadInput
        It cannot be created or written; the message names the folder.
    StorageFull
        There is no room for it.
    StorageUnavailable
        The file system is read-only or fails.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    except OSError as error:
        if found := storage_error(error, path):
            raise found from error
        raise BadInput(f"cannot create the folder {path}: {error.strerror or error}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise BadInput(f"cannot write in the folder {path}: permission denied")
    return path


def write_json(path: Path, value: Any) -> None:
    """Write `value` as strict JSON; NaN and infinite numbers raise ``ValueError``."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` in UTF-8 as a record: the file appears complete or not at all, also after a power cut."""
    with atomic_file(path, record=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises
    ------
    NotFound, BadInput
        It does not exist, or is not JSON (which has no NaN and no infinite numbers) of valid Unicode text; the
        message names it.
    StorageUnavailable
        The file system fails.
    """
    try:
        # Opening a named pipe would block until another process writes.
        if path.exists() and not path.is_file():
            raise BadInput(f"{path} is not a readable JSON file: not a file")
        # "-sig": some editors write a byte order mark at the start of a UTF-8 file.
        text = path.read_text(encoding="utf-8-sig")
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
        if _ESCAPED_SURROGATE.search(text):
            _check_text(value)
        return value
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except (OSError, ValueError, RecursionError) as error:  # not text, not JSON, or nested too deep
        if found := storage_error(error, path.parent):
            raise found from error
        raise BadInput(f"{path} is not a readable JSON file: {error}") from None


_ESCAPED_SURROGATE = re.compile(r"\\u[dD]")  # JSON may contain a single one of a pair


def _check_text(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("it contains a single surrogate, which is not valid text") from None


def _no_number(constant: str) -> float:
    raise ValueError(f"{constant} is not a number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value
