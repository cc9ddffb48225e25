"""Check of the headers of audio files: truncated files, and headers that do not match the data.

libsndfile reads such files without an error. A benchmark must refuse them: otherwise half a track would be scored as
a complete one. The samples must be as long as their header says, and only chunks, tags or padding may follow them. A
wrong size of the whole file is accepted if the samples are complete.

References
----------
Microsoft & IBM, "Multimedia programming interface and data specifications 1.0", 1991 (RIFF, WAVE).
EBU Tech 3306, "RF64: an extended file format for audio", 2018. ITU-R BS.2088 (BW64).
Sonic Foundry, "Wave64 file format" (sizes of 64 bits, which include the head of the chunk).
Apple, "Audio interchange file format AIFF-C", 1991; "Core audio format specification 1.0", 2011.
RFC 3533, "The Ogg encapsulation format version 0", section 6.
NIST, "SPHERE header", 1990. MathWorks, "MAT-file format" (versions 4 and 5). Creative Labs, "Creative voice file".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from . import flac_frames

CHECKED = frozenset(
    ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3", "NIST", "VOC", "MAT4", "MAT5"]
)
"""Formats whose length is checked. The others do not store it, so that a truncated file looks complete."""

STREAMED = 0x7FFF0000
"""A size of this many bytes or more was written to a pipe, before the real size was known."""

_SAMPLE_BYTES = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
_SAMPLE_BYTES |= {"ULAW": 1, "ALAW": 1}

_PLAIN = (1, 3, 0xFFFE)
"""Format tags of uncompressed samples. libsndfile assumes that they have as few bytes as their bits need."""

_PADDING = 1 << 16
"""Number of zeros that may follow the samples: some programs fill the rest of a block of a disk."""

_TAGS = (b"TAG", b"APETAGEX", b"ID3", b"LYRICSBEGIN")
_METADATA = frozenset(b"LIST id3  ID3  bext iXML axml _PMX cue  smpl inst cart JUNK PEAK fact".split(b" "))
"""Names of chunks that are not needed to read the samples, and so may be truncated."""


class Samples(NamedTuple):
    """What libsndfile would read: samples per channel, channels, and its name of the encoding."""

    frames: int
    channels: int
    subtype: str

    @property
    def bytes_per_frame(self) -> int:
        """0 for compressed samples."""
        return self.channels * _SAMPLE_BYTES.get(self.subtype, 0)


class _Chunks(NamedTuple):
    """The chunks of a format: their head, where the first one is, their alignment, and the head's part in sizes."""

    head: str
    first: int
    align: int
    included: int


_RIFF = _Chunks("<4sI", 12, 2, 0)
_CHUNKS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"FORM": _Chunks(">4sI", 12, 2, 0),
    b"caff": _Chunks(">4sq", 8, 1, 0),
    b"riff": _Chunks("<16sQ", 40, 8, 24),
}


def header_error(path: Path, samples: Samples) -> str:
    """Return the error of the header ("is truncated: …"), empty if there is none.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    length = path.stat().st_size
    with path.open("rb") as file:
        begin = _after_id3(file)
        head = _read(file, begin, 64)
        if head[:4] in _CHUNKS:
            return _of_chunks(file, begin, head, length, samples)
        if head[:4] == b"OggS":
            return _of_ogg(file, begin, length)
        if head[:4] == b"fLaC":
            found = flac_frames.samples_in_all_frames(file, begin, length)
            if found > samples.frames:
                return f"has a wrong header: {samples.frames} samples, and there are {found}"
            return ""
        if head.startswith((b"MATLAB 5.0 MAT-file", b"\0\0\0\0", b"\0\0\3\350")):
            return _of_mat(file, samples)
        span = _span(file, begin, head, length)
        if span is None:
            return ""
        start, size = span
        if start + size > length:
            return _missing(start + size - length)
        if not _is_tail(file, start + size, length):
            return (
                f"has a wrong header: {size} bytes of samples, and {length - start - size} bytes follow them"
            )
        return _count_error(size, samples)


def is_bw64(path: Path) -> bool:
    """Whether the file is a BW64 file, which libsndfile does not read."""
    with path.open("rb") as file:
        return file.read(4) == b"BW64"


def _of_chunks(file: IO[bytes], begin: int, head: bytes, length: int, samples: Samples) -> str:
    kind, layout = head[:4], _CHUNKS[head[:4]]
    large, frames = 0, None
    for name, start, size in _walk(file, begin + layout.first, length, layout):
        match name[:4]:
            case b"fmt " if wrong := _format_error(file, start):
                return wrong
            case b"ds64":
                (large,) = struct.unpack("<Q", _read(file, start + 8, 8))
            case b"COMM":
                (frames,) = struct.unpack(">I", _read(file, start + 2, 4))
            case b"data" | b"SSND":
                if kind == b"RF64" and size == 0xFFFFFFFF:
                    size = large
                elif size == -1 or (kind in (b"RIFF", b"FORM") and size >= STREAMED):
                    return ""
                before = 4 if kind == b"caff" else 0  # number of edits
                if kind == b"FORM":
                    before = 8 + int.from_bytes(_read(file, start, 4), "big")
                return _of_samples(file, start, size, before, layout, length, samples, frames)
    claimed = begin + 8 + int.from_bytes(head[4:8], "big" if kind == b"FORM" else "little")
    return _missing(claimed - length) if kind in (b"RIFF", b"FORM") and claimed > length else ""


def _of_samples(
    file: IO[bytes],
    start: int,
    size: int,
    before: int,
    layout: _Chunks,
    length: int,
    samples: Samples,
    frames: int | None,
) -> str:
    """Check the chunk of the samples, which start `before` bytes after its start; `frames` is their number."""
    if start + size > length:
        return _missing(start + size - length)
    if not any(_are_chunks(file, start + size + pad, length, layout) for pad in range(layout.align)):
        if size <= before:
            return (
                f"has a header that was never finished: no samples, and {length - start - size} bytes follow"
            )
        return f"has a wrong header: {size - before} bytes of samples, and what follows them is not part of such a file"
    if frames is not None and samples.bytes_per_frame and frames != samples.frames:
        return f"has a wrong header: {frames} samples, of which {samples.frames} would be read"
    return _count_error(size - before, samples)


def _count_error(size: int, samples: Samples) -> str:
    block = samples.bytes_per_frame
    if block and samples.frames != size // block:
        return f"has a wrong header: {size} bytes of samples, of which {samples.frames * block} would be read"
    return ""


def _are_chunks(file: IO[bytes], at: int, length: int, layout: _Chunks) -> bool:
    """Whether chunks fill the file from byte `at`, apart from a tag or padding at its end."""
    if _is_tail(file, at, length):
        return True
    for name, start, size in _walk(file, at, length, layout):
        if not re.fullmatch(rb"[ -~]{4}", name[:4]) or name[:4] in (b"data", b"SSND"):
            return False
        if start + size > length:
            return name in _METADATA
        if any(_is_tail(file, start + size + pad, length) for pad in (0, -size % layout.align)):
            return True
    return False


def _is_tail(file: IO[bytes], at: int, length: int) -> bool:
    """Whether the rest of the file is empty, a tag, or padding with zeros."""
    if at >= length or _read(file, at, 16).startswith(_TAGS):
        return True
    return length - at <= _PADDING and not any(_read(file, at, length - at))


def _walk(file: IO[bytes], at: int, length: int, layout: _Chunks) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset of the first byte, and size of each chunk."""
    width = struct.calcsize(layout.head)
    while at + width <= length:
        name, size = struct.unpack(layout.head, _read(file, at, width))
        size -= layout.included
        yield name, at + width, size
        if size < 0:
            return
        at += width + size + -size % layout.align


def _format_error(file: IO[bytes], start: int) -> str:
    tag, channels, _, _, block, bits = struct.unpack("<HHIIHH", _read(file, start, 16))
    if tag in _PLAIN and block and block != channels * -(-bits // 8):
        return f"has a wrong header: samples of {bits} bits, and {block} bytes for {channels} channel(s)"
    return ""


def _of_ogg(file: IO[bytes], at: int, length: int) -> str:
    """Check the pages: the first ones start the streams, the last one ends the last stream.

    A stream that starts later is another piece of music.
    """
    started, ended = False, False
    while at < length:
        head = _read(file, at, 27)
        if head[:4] != b"OggS":
            break
        if head[5] & 2 and started:
            return "contains several streams one after the other, of which only the first would be read"
        started, ended = not head[5] & 2, bool(head[5] & 4)
        at += 27 + head[26] + sum(file.read(head[26]))
    if at > length:
        return _missing(at - length)
    return "" if ended else "is truncated: the last page is missing"


def _span(file: IO[bytes], begin: int, head: bytes, length: int) -> tuple[int, int] | None:
    """Where the samples of an AU, SPHERE or VOC file start, and their size; None for other files."""
    if head[:4] in (b".snd", b"dns."):
        start, size = struct.unpack(">II" if head[:1] == b"." else "<II", head[4:12])
        return None if size >= STREAMED else (begin + start, size)
    if head[:7] == b"NIST_1A":
        text = _read(file, begin, 1024)
        count = 1
        for key in (b"sample_count", b"channel_count", b"sample_n_bytes"):
            found = re.search(rb"^%s -i (\d+)" % key, text, re.MULTILINE)
            count *= int(found[1]) if found else 0
        return begin + int(text[8:16].strip() or b"0"), count
    if head.startswith(b"Creative Voice File"):
        return _of_voc(file, begin + int.from_bytes(head[20:22], "little"), length)
    return None


def _of_mat(file: IO[bytes], samples: Samples) -> str:
    """Compare the columns of the matrix of samples. Both versions store its size before its name."""
    head = _read(file, 0, 1024)
    at = head.find(b"wavedata") - 16
    sizes = [struct.unpack_from(order, head, at) for order in ("<ii", ">ii")] if at >= 0 else []
    columns = next((columns for rows, columns in sizes if rows == samples.channels), None)
    if columns is None:
        return "does not say how long it is"
    if columns != samples.frames:
        return f"has a wrong header: {columns} samples, of which {samples.frames} would be read"
    return ""


def _of_voc(file: IO[bytes], at: int, length: int) -> tuple[int, int] | None:
    """Start and size of the samples: libsndfile reads the first block of them."""
    heads = {1: 2, 2: 0, 9: 12}
    while at + 4 <= length:
        kind, size = _read(file, at, 1)[0], int.from_bytes(_read(file, at + 1, 3), "little")
        if kind in heads:
            return at + 4 + heads[kind], size - heads[kind]
        at += 4 + size
    return None


def _missing(count: int) -> str:
    return f"is truncated: {count} bytes are missing by its header"


def _read(file: IO[bytes], at: int, count: int) -> bytes:
    """`count` bytes from byte `at`; zeros after the end of the file."""
    file.seek(at)
    return file.read(count).ljust(count, b"\0")


def _after_id3(file: IO[bytes]) -> int:
    """End of an ID3v2 tag at the start, which libsndfile skips."""
    head = _read(file, 0, 10)
    if head[:3] != b"ID3":
        return 0
    return 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
