"""Check of the headers of audio files: truncated files, and headers that do not match the data.

libsndfile reads such files without an error. A benchmark must refuse them: otherwise half a track would be scored as
a complete one.

References
----------
Microsoft & IBM, "Multimedia programming interface and data specifications 1.0", 1991 (RIFF, WAVE).
EBU Tech 3306, "RF64: an extended file format for audio", 2018.
Sonic Foundry, "Wave64 file format" (sizes of 64 bits, which include the head of the chunk).
RFC 3533, "The Ogg encapsulation format version 0", section 6.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

STREAMED = 0x7FFF0000
"""A size of this many bytes or more was written to a pipe, before the real size was known."""

_PLAIN = {1: "integer", 3: "floating-point"}
"""Format tags whose samples have the smallest number of bytes for their bits; libsndfile reads others wrongly."""


def header_error(path: Path) -> str:
    """Return the error of a WAV, RF64, W64, AIFF, AU or Ogg file ("is truncated: …"); empty for any other file.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    length = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        kind = head[:4]
        if kind in (b"RIFF", b"FORM"):
            size = int.from_bytes(head[4:8], "little" if kind == b"RIFF" else "big")
            # The padding byte after a last chunk of odd size may be missing.
            if size < STREAMED and 8 + size - length > 1:
                return _missing(8 + size - length)
            if kind == b"RIFF" and head[8:12] == b"WAVE":
                return _of_wave(file, length, min(length, 8 + size) if size else length)
        elif kind == b"RF64" and head[12:16] == b"ds64":
            size = int.from_bytes(head[20:28], "little")
            if 8 + size - length > 1:
                return _missing(8 + size - length)
        elif kind == b"riff":
            size = int.from_bytes(head[16:24], "little")
            if size > length:
                return _missing(size - length)
        elif kind == b"OggS":
            return _of_ogg(file, length)
        elif kind == b".snd":
            start, size = struct.unpack(">II", head[4:12].ljust(8, b"\0"))
            if size < STREAMED and start + size > length:
                return _missing(start + size - length)
    return ""


def _of_wave(file: IO[bytes], length: int, end: int) -> str:
    for name, start, size in _chunks(file, end):
        if name == b"fmt " and (wrong := _format(file, start)):
            return wrong
        if name == b"data":
            if size < STREAMED and start + size - length > 1:
                return _missing(start + size - length)
            after = start + size
            if end - after >= 8 and not any(_is_name(file, after + odd) for odd in (0, 1)):
                return f"has a wrong header: {size} bytes of samples, and what follows them is not part of a WAV file"
            break
    return ""


def _of_ogg(file: IO[bytes], length: int) -> str:
    """Check the pages: the first ones start the streams, the last one ends the last stream.

    A stream that starts later is another piece of music.
    """
    at, started, ended = 0, False, False
    while at < length:
        file.seek(at)
        head = file.read(27).ljust(27, b"\0")
        if head[:4] != b"OggS":
            break
        if head[5] & 2 and started:
            return "contains several streams one after the other, of which only the first would be read"
        started, ended = not head[5] & 2, bool(head[5] & 4)
        at += 27 + head[26] + sum(file.read(head[26]))
    if at > length:
        return _missing(at - length)
    return "" if ended else "is truncated: the last page is missing"


def _missing(count: int) -> str:
    return f"is truncated: {count} bytes are missing by its header"


def _chunks(file: IO[bytes], end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset of the first byte, and size of each chunk."""
    at = 12
    while at + 8 <= end:
        file.seek(at)
        name, size = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
        yield name, at + 8, size
        at += 8 + size + size % 2


def _is_name(file: IO[bytes], at: int) -> bool:
    file.seek(at)
    name = file.read(4)
    # Some programs fill the rest of a file with zeros.
    return not any(name) or all(0x20 <= byte < 0x7F for byte in name)


def _format(file: IO[bytes], start: int) -> str:
    file.seek(start)
    tag, channels, _, _, block, bits = struct.unpack("<HHIIHH", file.read(16).ljust(16, b"\0"))
    expected = channels * -(-bits // 8)
    if tag in _PLAIN and block and block != expected:
        return f"has a wrong header: samples of {bits} bits, and {block} bytes for {channels} channel(s)"
    return ""
