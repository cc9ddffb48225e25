"""Safe unpacking of untrusted zip archives: no file outside the folder, and a limit on the unpacked size."""

from __future__ import annotations

import shutil
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from mssbench_service.errors import BadInput, TooLarge

_BLOCK = 1 << 20
_MOST_MEMBERS = 100_000
_NOT_DATA = "__MACOSX"  # resource forks that the macOS Finder adds


def unzip(
    archive: Path, folder: Path, *, largest: int, show: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Unpack `archive` into the existing `folder`; `show` is called with (bytes unpacked, bytes in total).

    The unpacked size is limited to `largest` bytes. The sizes in the archive's headers are added up before anything is
    written. No member is read beyond the size in its header, so a wrong size fails the checksum.

    Raises
    ------
    TooLarge
        The unpacked size is larger than `largest`.
    BadInput
        The archive is not a zip archive, damaged or encrypted; a member is not a plain file or folder, has a
        path that leads outside the folder, or the same path as another; or the disk has too little space.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            members = list(_checked(archive, content))
            total = sum(member.file_size for member in members)
            if total > largest:
                raise TooLarge(f"{archive.name} unpacks to {total} bytes; at most {largest} were expected")
            if total > (free := shutil.disk_usage(folder).free):
                raise BadInput(f"{folder.parent} has {free} bytes free; {archive.name} unpacks to {total}")
            done = 0
            for member in members:
                path = folder / member.filename
                if member.is_dir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                with content.open(member) as source, path.open("xb") as target:
                    while block := source.read(_BLOCK):
                        target.write(block)
                        done += len(block)
                        show(done, total)
                    if target.tell() != member.file_size:
                        raise zipfile.BadZipFile(f"{member.filename!r:.200} is shorter than its header says")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise BadInput(f"{archive.name} cannot be unpacked: {error}") from None
    except OSError as error:
        raise BadInput(f"{archive.name} cannot be unpacked: {error.strerror or error}") from None


def _checked(archive: Path, content: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    seen = set()
    members = content.infolist()
    if len(members) > _MOST_MEMBERS:
        raise TooLarge(
            f"{archive.name} contains {len(members)} members; at most {_MOST_MEMBERS} were expected"
        )
    for member in members:
        name = member.filename
        parts = PurePosixPath(name).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in name or ":" in parts[0]:
            raise BadInput(f"{archive.name} contains {name!r:.200}, a path that leads outside")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise BadInput(f"{archive.name} contains {name!r:.200}, which is not a plain file")
        if member.flag_bits & 1:
            raise BadInput(f"{archive.name} is encrypted")
        # Some file systems compare names without regard to case and normal form.
        comparable = unicodedata.normalize("NFC", str(PurePosixPath(name))).casefold()
        if comparable in seen:
            raise BadInput(f"{archive.name} contains {name!r:.200} twice")
        seen.add(comparable)
        if parts[0] != _NOT_DATA:
            yield member
