"""Sound files whose headers do not match their content: they are refused, or read completely."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from mssbench_service.audio import read, read_header
from mssbench_service.errors import BadInput, TooLarge

SAMPLES = 6000
NOISE = 0.1 * np.random.default_rng(0).standard_normal((SAMPLES, 2))
FORMATS = [
    ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "PCM_U8"), ("WAV", "MS_ADPCM"), ("WAVEX", "PCM_24"),
    ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("AIFF", "FLOAT"), ("AIFF", "ULAW"),
    ("AU", "FLOAT"), ("CAF", "PCM_24"), ("CAF", "ALAC_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"),
    ("MP3", "MPEG_LAYER_III"), ("NIST", "PCM_16"), ("VOC", "PCM_16"), ("MAT4", "DOUBLE"), ("MAT5", "FLOAT"),
]  # fmt: skip


def encoded(container: str, subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, NOISE, 8000, format=container, subtype=subtype)
    return buffer.getvalue()


def wav(riff: int = 0, data: int = 0, after: bytes = b"", before: bytes = b"") -> bytes:
    """A WAV file whose sizes are wrong by `riff` and `data` bytes."""
    content = encoded("WAV", "PCM_16")
    body = (
        content[12:36] + before + b"data" + (4 * SAMPLES + data).to_bytes(4, "little") + content[44:] + after
    )
    return b"RIFF" + (4 + len(body) + riff).to_bytes(4, "little") + b"WAVE" + body


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
def test_a_file_is_read_completely_or_not_at_all(tmp_path: Path, container: str, subtype: str) -> None:
    path = tmp_path / "x"
    content = encoded(container, subtype)
    path.write_bytes(content)
    found, sample_rate = read(path)
    assert (found.shape, sample_rate) == ((2, SAMPLES), 8000)
    lossy = subtype in ("MS_ADPCM", "VORBIS", "MPEG_LAYER_III")
    np.testing.assert_allclose(found, NOISE.T, atol=0.3 if lossy else 0.02)
    for kept in (len(content) // 3, len(content) * 9 // 10, len(content) - 8):
        path.write_bytes(content[:kept])
        with pytest.raises(BadInput):
            read(path)


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
def test_the_file_of_a_killed_writer_is_refused(tmp_path: Path, container: str, subtype: str) -> None:
    path = tmp_path / "x"
    if (child := os.fork()) == 0:
        file = sf.SoundFile(str(path), "w", 8000, 2, subtype, format=container)
        file.write(NOISE)
        os._exit(0)  # the header is not updated
    os.waitpid(child, 0)
    with pytest.raises(BadInput):
        read(path)


@pytest.mark.parametrize("container", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF", "NIST"])
def test_samples_after_the_end_by_the_header_are_refused(tmp_path: Path, container: str) -> None:
    content = encoded(container, "PCM_16")
    for more in (content[-8000:], bytes(1000) + content[-8000:], bytes(1 << 17)):
        (tmp_path / "x").write_bytes(content + more)
        with pytest.raises(BadInput, match="wrong header"):
            read(tmp_path / "x")


@pytest.mark.parametrize(
    "content",
    [
        wav(riff=8),
        wav(riff=44),
        wav(riff=-8),
        wav(riff=-24000),
        wav(riff=10**6),
        wav(after=b"LIST\x04\x00\x00\x00INFO"),
        wav(after=b"LIST\xff\x00\x00\x00INFO"),
        wav(after=b"id3 \t\x00\x00\x00ID3 45678"),
        wav(after=b"TAG" + b"x" * 125),
        wav(after=bytes(4096)),
        wav(before=b"FLLR\x08\x00\x00\x00" + bytes(8)),
    ],
)
def test_wrong_sizes_around_complete_samples_are_accepted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.wav").write_bytes(content)
    np.testing.assert_allclose(read(tmp_path / "x.wav")[0], NOISE.T, atol=2**-15)


HALF = -2 * SAMPLES


@pytest.mark.parametrize(
    "content",
    [
        wav(riff=HALF, data=HALF),
        wav(data=HALF),
        wav(data=-4 * SAMPLES),
        wav(riff=-4 * SAMPLES, data=-4 * SAMPLES),
    ],
)
def test_a_wav_file_that_claims_a_part_of_its_samples_is_refused(tmp_path: Path, content: bytes) -> None:
    seam = len(content) - 2 * SAMPLES
    for each in (content, content[:seam] + bytes(4000) + content[seam + 4000 :]):
        (tmp_path / "x.wav").write_bytes(each)
        with pytest.raises(BadInput, match="header"):
            read_header(tmp_path / "x.wav")


def test_rf64_flac_aiff_and_mp3_files_that_claim_a_part_of_their_samples_are_refused(tmp_path: Path) -> None:
    rf64 = bytearray(encoded("RF64", "PCM_16"))
    rf64[28:36] = (2 * SAMPLES).to_bytes(8, "little")
    flac = bytearray(encoded("FLAC", "PCM_16"))
    flac[18:26] = (int.from_bytes(flac[18:26], "big") - 1).to_bytes(8, "big")
    aiff = bytearray(encoded("AIFF", "PCM_16"))
    at = aiff.index(b"COMM") + 10
    aiff[at : at + 4] = (SAMPLES // 2).to_bytes(4, "big")
    buffer = io.BytesIO()
    sf.write(buffer, np.tile(NOISE, (8, 1)), 8000, format="MP3")
    mp3 = bytearray(buffer.getvalue())
    at = max(mp3.find(b"Info"), mp3.find(b"Xing")) + 8
    mp3[at : at + 4] = (int.from_bytes(mp3[at : at + 4], "big") // 2).to_bytes(4, "big")
    for content in (rf64, flac, aiff, mp3):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(BadInput, match="header"):
            read_header(tmp_path / "x")


@pytest.mark.parametrize(("container", "tag"), [("WAVEX", b"\xfe\xff"), ("WAV", b"\1\0")])
def test_24_bits_in_four_bytes_are_refused(tmp_path: Path, container: str, tag: bytes) -> None:
    """libsndfile would read three bytes for each sample."""
    content = bytearray(encoded(container, "PCM_32"))
    content[20:22], content[34:36] = tag, (24).to_bytes(2, "little")
    (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(BadInput, match="samples of 24 bits, and 8 bytes for 2 channel"):
        read(tmp_path / "x.wav")


def test_formats_that_cannot_be_checked_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(encoded("IRCAM", "PCM_16"))
    with pytest.raises(BadInput, match="format IRCAM, which does not store its length"):
        read(tmp_path / "x.wav")
    (tmp_path / "x.wav").write_bytes(b"BW64" + encoded("RF64", "PCM_16")[4:])
    with pytest.raises(BadInput, match="is a BW64 file"):
        read(tmp_path / "x.wav")


def test_rate_samples_and_channels_are_limited_before_decoding(tmp_path: Path) -> None:
    silence = np.zeros((100_000, 2), np.int16)
    sf.write(tmp_path / "x.flac", silence, 655_350, format="FLAC")
    with pytest.raises(BadInput, match="sample rate of 655350 Hz"):
        read(tmp_path / "x.flac", max_seconds=1)
    sf.write(tmp_path / "x.flac", silence, 192_000, format="FLAC")
    with pytest.raises(TooLarge, match="has 200000 samples in all channels; at most 96000"):
        read(tmp_path / "x.flac", max_seconds=1)
    sf.write(tmp_path / "x.flac", np.zeros((20_000, 8), np.int16), 48_000, format="FLAC")
    with pytest.raises(TooLarge, match="has 160000 samples in all channels"):
        read(tmp_path / "x.flac", max_seconds=1)
