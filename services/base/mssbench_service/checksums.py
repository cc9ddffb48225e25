"""Checksums of files that a run makes. They are recorded when the files are written and compared when they are read.

CRC-32 and the size: this finds damage, and another file in its place, at a third of the time of SHA-256. It is no
protection against forgery.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

_BLOCK = 1 << 20


def checksum_of(path: Path) -> str:
    """Checksum of the file at `path`, such as ``crc32:1c291ca3:4096``. Raises ``OSError`` if it cannot be read."""
    value, size = 0, 0
    buffer = memoryview(bytearray(_BLOCK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            value, size = zlib.crc32(buffer[:count], value), size + count
    return f"crc32:{value:08x}:{size}"


def checksums_of(folder: Path) -> dict[str, str]:
    """Checksums of all audio and array files in `folder`, by name: all but hidden files and records."""
    names = (
        name for name in sorted(os.listdir(folder)) if not name.startswith((".", "separation.", "metadata."))
    )
    return {name: checksum_of(folder / name) for name in names if (folder / name).is_file()}


def damage(folder: Path, checksums: Mapping[str, str], names: Iterable[str]) -> str:
    """What is wrong with the files called `names` in `folder`, whose `checksums` were recorded; empty if nothing is.

    Names that were not recorded are not checked.
    """
    for name in names:
        if name in checksums:
            try:
                found = checksum_of(folder / name)
            except OSError as error:
                return f"{name} cannot be read ({error.strerror})"
            if found != checksums[name]:
                return f"{name} is not as it was written (its checksum does not match)"
    return ""
