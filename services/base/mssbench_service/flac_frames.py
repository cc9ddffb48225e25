"""Number of samples in the frames of a FLAC file, which its header may not state or state wrongly.

Each frame starts with its number, so that the last one is enough.

References
----------
RFC 9639, "Free lossless audio codec (FLAC)", sections 8.2 (STREAMINFO) and 9.1 (header of a frame).
"""

from __future__ import annotations

import re
from typing import IO

_TAIL = 1 << 20
"""Bytes at the end of the file in which the last two frames are looked for, unless the header names a frame's size."""

_SAMPLE_BITS = {1: 8, 2: 12, 4: 16, 5: 20, 6: 24, 7: 32}


def samples_in_all_frames(file: IO[bytes], begin: int, length: int) -> int:
    """Samples per channel up to the end of the last frame; 0 if no frame is found.

    Parameters
    ----------
    file : file
    begin : int
        Where ``fLaC`` is.
    length : int
        Size of the file in bytes.
    """
    file.seek(begin + 8)
    info = file.read(34).ljust(34, b"\0")
    block, largest = int.from_bytes(info[2:4], "big"), int.from_bytes(info[7:10], "big")
    channels, bits = (info[12] >> 1 & 7) + 1, ((info[12] & 1) << 4 | info[13] >> 4) + 1
    file.seek(max(begin, length - (2 * largest + (1 << 16) if largest else _TAIL)))
    tail = file.read()
    # A frame begins where the one before it ends. Other data may contain the pattern of a header, but not of two.
    ends, last = {0}, 0
    for match in re.finditer(rb"\xff[\xf8\xf9]", tail):
        frame = _frame(tail[match.start() : match.start() + 16], block, channels, bits)
        if frame is not None:
            if frame[0] in ends:
                last = frame[1]
            ends.add(frame[1])
    return last


def _frame(head: bytes, block: int, channels: int, bits: int) -> tuple[int, int] | None:
    """First sample of the frame, and that of the next; None if `head` is not a header."""
    head = head.ljust(16, b"\0")
    size_code, rate_code, layout, bits_code = head[2] >> 4, head[2] & 15, head[3] >> 4, head[3] >> 1 & 7
    if (layout + 1 if layout < 8 else 2) != channels or layout > 10 or size_code == 0 or rate_code == 15:
        return None
    if bits_code and _SAMPLE_BITS.get(bits_code) != bits:
        return None
    # The number is coded as UTF-8 codes characters, in up to seven bytes.
    ones = next((i for i in range(8) if not head[4] >> (7 - i) & 1), 8)
    if ones in (1, 8):
        return None
    number = head[4] & (0x7F >> ones)
    at = 5
    for byte in head[5 : 4 + max(ones, 1)]:
        number, at = number << 6 | byte & 0x3F, at + 1
    if size_code in (6, 7):
        wide = size_code - 5
        size, at = int.from_bytes(head[at : at + wide], "big") + 1, at + wide
    else:
        size = 192 if size_code == 1 else 576 << size_code - 2 if size_code < 6 else 256 << size_code - 8
    at += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if at >= len(head) or _crc8(head[:at]) != head[at]:
        return None
    start = number if head[1] & 1 else number * block
    return start, start + size


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc
