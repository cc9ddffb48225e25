"""A WAV file at a URL without its samples: all that planning a run reads of it, and a thousandth of its bytes.

The copy is as long as the file, with a hole where the samples are, and has the time that a whole copy has.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from mssbench_service.files import atomic_file

from .objects import Objects, Version

_ENDS = 64 * 1024
"""Bytes that are read at the beginning and at the end. What lies before and after the samples is far smaller."""


def outline(objects: Objects, reference: str, version: Version, path: Path) -> bool:
    """Write the outline of the file `reference` to `path`; the whole file where it is no WAV file of the usual kind.

    Returns False if there is no such file any more.
    """
    with atomic_file(path) as temporary:
        head = objects.read(reference, 0, _ENDS)
        if head is None:
            temporary.touch()
        elif len(head) == version.size:
            temporary.write_bytes(head)
        elif _samples_end(head, version.size) >= version.size - _ENDS:
            tail = objects.read(reference, version.size - _ENDS, version.size)
            with temporary.open("wb") as file:
                file.write(head)
                file.truncate(version.size)
                file.seek(version.size - _ENDS)
                file.write(tail or b"")
        else:
            objects.download(reference, temporary)
        os.utime(temporary, ns=(version.stamp, version.stamp))
    if head is None:
        path.unlink()
    return head is not None


def _samples_end(head: bytes, size: int) -> int:
    """Where the samples of a WAV file end by the chunks in its `head`; 0 where that cannot be told."""
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return 0
    at = 12
    while at + 8 <= len(head):
        name, length = struct.unpack_from("<4sI", head, at)
        if name == b"data":
            return min(at + 8 + int(length), size)
        at += 8 + length + length % 2
    return 0
