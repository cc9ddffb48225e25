"""Number of samples of an MP3 file whose length is not stored in it.

An encoder that can seek stores the length in the first frame (Xing, Info or VBRI), which libsndfile uses. An encoder
that writes a stream, such as that of Demucs, cannot. libsndfile then estimates the length from the size of the first
frame and reads no more than that: a complete file seems truncated, or a third of a file seems complete. So the frames
are counted here.

References
----------
ISO/IEC 11172-3:1993, 2.4.1.3 and 13818-3:1998 (header of a frame). ID3v2.4, section 3.1.
"""

from __future__ import annotations

import mmap
from pathlib import Path

_LENGTH_TAGS = (b"Xing", b"Info", b"VBRI")
_KBIT = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates in kbit/s from index 1, of MPEG-1 (True) and of its halved and quartered sample rates."""
_RATES = (44100, 48000, 32000)
_DIVISORS = {3: 1, 2: 2, 0: 4}
"""Of the sample rate, by the two bits of the version: MPEG-1, 2 and 2.5."""


LARGEST_GAP = 8 * 1152
"""Samples in the frames that a player may omit: the frame that stores the length, delay and padding."""


def samples_in_all_frames(path: Path) -> tuple[int, bool]:
    """Samples per channel in all frames, and whether the first frame stores the length.

    The last frame is counted although it may be truncated.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = _next_frame(content, _after_tags(content))
        if at is None:
            return 0, True
        stored = any(note in content[at : at + 64] for note in _LENGTH_TAGS)
        total, sync = 0, content[at : at + 2]
        while at is not None:
            while (frame := _frame(content, at)) is not None:
                size, samples = frame
                at, total = at + size, total + samples
            # Usually only tags follow; otherwise the decoder continues, too.
            at = _next_frame(content, at, sync)
        return total, stored


def _frame(content: mmap.mmap, at: int) -> tuple[int, int] | None:
    """Bytes and samples of the frame that starts at byte `at`; None if there is no frame."""
    head = content[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:  # in sync, layer III
        return None
    version, kbit, rate, padding = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version not in _DIVISORS or kbit in (0, 15) or rate == 3:
        return None
    samples = 1152 if version == 3 else 576
    size = samples // 8 * 1000 * _KBIT[version == 3][kbit - 1] * _DIVISORS[version] // _RATES[rate]
    return size + padding, samples


def _next_frame(content: mmap.mmap, at: int, sync: bytes = b"\xff") -> int | None:
    """Start of the next frame that is followed by a similar frame or by the end.

    A single match is not enough, since other data may contain the pattern of a frame.
    """
    while (at := content.find(sync, at)) >= 0:
        if (frame := _frame(content, at)) is not None:
            end = at + frame[0]
            similar = content[at : at + 2] == content[end : end + 2]
            if end == len(content) or (similar and _frame(content, end)):
                return at
        at += 1
    return None


def _after_tags(content: mmap.mmap) -> int:
    """End of the ID3v2 tags at the start. They may contain pictures, whose data may contain the pattern of a frame."""
    at = 0
    while content[at : at + 3] == b"ID3" and at + 10 <= len(content):
        size = 0
        for byte in content[at + 6 : at + 10]:
            size = size << 7 | byte & 0x7F
        at += 10 + size
    return at
