"""Coded tracks of MUSDB18 (``.stem.mp4``: five AAC streams in one file): valid, damaged and malicious ones."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence

import av
import numpy as np

Make = Callable[[], bytes]


def coded(
    lengths: Sequence[int] = (20_000,) * 5,
    layout: str = "stereo",
    rates: Sequence[int] = (44100,) * 5,
    codec: str = "aac",
) -> bytes:
    """A file of noise streams with these lengths in samples."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        streams = [container.add_stream(codec, rate=rate, layout=layout) for _, rate in zip(lengths, rates)]  # noqa: B905
        for stream, length in zip(streams, lengths, strict=True):
            noise = np.random.default_rng(length).standard_normal((2, length)).astype(np.float32) * 0.1
            assert isinstance(stream, av.AudioStream)
            signal = np.ascontiguousarray(noise[: stream.codec_context.channels])
            for start in range(0, length, 1024):
                block = np.ascontiguousarray(signal[:, start : start + 1024])
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
                frame.sample_rate, frame.pts = stream.codec_context.sample_rate, start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return file.getvalue()


def _patched(box: bytes, at: int, value: int) -> Make:
    """Replace the 32 bits that are `at` bytes after the name of each such box."""

    def make() -> bytes:
        file = bytearray(coded())
        start = 0
        while (start := file.find(box, start)) >= 0:
            struct.pack_into(">I", file, start + 4 + at, value)
            start += 4
        return bytes(file)

    return make


def _noise_in_the_middle() -> bytes:
    file = bytearray(coded())
    middle = file.index(b"mdat") + 2000
    file[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    return bytes(file)


def _wav() -> bytes:
    return b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + bytes(24)


STEM_FILES: dict[str, Make] = {
    "five AAC streams": coded,
    "five streams at 8 kHz": lambda: coded(rates=(8000,) * 5),
    "streams that end a little apart": lambda: coded((20_480, 20_480, 19_456, 20_480, 20_480)),
    "one stream that is far shorter": lambda: coded((20_000, 20_000, 3000, 20_000, 20_000)),
    "four streams": lambda: coded((20_000,) * 4),
    "six streams": lambda: coded((20_000,) * 6, rates=(44100,) * 6),
    "mono streams": lambda: coded(layout="mono"),
    "streams of several rates": lambda: coded(rates=(44100, 48000, 44100, 44100, 44100)),
    "zero bytes": lambda: b"",
    "text": lambda: b"This is not a stem file.\n" * 50,
    "random bytes": lambda: np.random.default_rng(3).bytes(5000),
    "a WAV file": _wav,
    "cut in half": lambda: coded()[: len(coded()) // 2],
    "cut at its end": lambda: coded()[:-500],
    "noise in the middle": _noise_in_the_middle,
    "a track that claims to last a day": _patched(b"mdhd", 16, 24 * 3600 * 44100),
    "packets that claim 2 GB": _patched(b"stsz", 12, 2**31 - 1),
    "packets that lie behind the file's end": _patched(b"stco", 8, 2**31 - 1),
    "two thousand million packets": _patched(b"stsz", 8, 2**31 - 1),
    "a list of files to open instead": lambda: b"ffconcat version 1.0\nfile secret.mp4\n",
    "a playlist": lambda: b"#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
}
