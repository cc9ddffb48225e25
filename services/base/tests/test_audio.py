"""Reading and writing of audio files. What is refused is in ``tests/bad_input`` and ``test_audio_headers.py``."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from mssbench_contract import music
from mssbench_service.audio import AudioInfo, read, read_header, read_unrounded, write_wav
from mssbench_service.errors import BadInput, TooLarge


@pytest.fixture
def track() -> np.ndarray:
    return music(0.3)


def test_float_files_are_read_unchanged(tmp_path: Path, track: np.ndarray) -> None:
    loud = track * 100
    write_wav(tmp_path / "x.wav", loud, 48_000)
    found, sample_rate = read(tmp_path / "x.wav")
    assert sample_rate == 48_000
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert (found == loud).all()
    assert read_header(tmp_path / "x.wav") == AudioInfo(48_000, 2, track.shape[1])


def test_the_same_samples_are_written_as_the_same_bytes(tmp_path: Path, track: np.ndarray) -> None:
    write_wav(tmp_path / "a.wav", track, 44_100)
    time.sleep(1.05)  # by default, libsndfile writes a time stamp in seconds
    write_wav(tmp_path / "b.wav", track, 44_100)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def mp3_stream(track: np.ndarray, bitrate_mode: str) -> bytes:
    """An MP3 file as written to a stream: without the first frame, which has the length."""
    buffer = io.BytesIO()
    sf.write(buffer, track.T, 44_100, format="MP3", compression_level=0.5, bitrate_mode=bitrate_mode)
    content = buffer.getvalue()
    return content[content.index(b"\xff\xfb", 4) :]


@pytest.mark.parametrize("around", [(b"", b""), (b"ID3\4\0\0\0\0\2\0" + bytes(256), b"TAG" + bytes(125))])
def test_an_mp3_file_without_length_is_read_completely(tmp_path: Path, around: tuple[bytes, bytes]) -> None:
    # At this bit rate, frames differ by one byte, so that the length does not follow from the first frame.
    stream = mp3_stream(np.random.default_rng(0).standard_normal((2, 44_100)) * 0.1, "CONSTANT")
    (tmp_path / "x").write_bytes(around[0] + stream + around[1])
    found, _ = read(tmp_path / "x")
    assert found.shape[1] % 1152 == 0
    assert found.shape[1] >= 44_100
    assert read_header(tmp_path / "x").samples == found.shape[1]
    (tmp_path / "x").write_bytes(around[0] + stream[:-20])
    with pytest.raises(BadInput, match="truncated"):
        read(tmp_path / "x")


def test_an_mp3_file_of_unknown_length_is_refused(tmp_path: Path) -> None:
    fading = np.random.default_rng(0).standard_normal((2, 44_100)) * np.linspace(0.7, 0, 44_100) ** 3
    (tmp_path / "x").write_bytes(mp3_stream(fading, "VARIABLE"))
    with pytest.raises(BadInput, match="does not say how long it is"):
        read(tmp_path / "x")


def test_an_ogg_file_with_several_streams_is_refused(tmp_path: Path, track: np.ndarray) -> None:
    sf.write(str(tmp_path / "x"), track.T, 44_100, format="OGG")
    (tmp_path / "x").write_bytes((tmp_path / "x").read_bytes() * 2)
    with pytest.raises(BadInput, match="several streams"):
        read(tmp_path / "x")


@pytest.mark.parametrize(("subtype", "bits"), [("PCM_16", 12), ("PCM_24", 20)])
def test_samples_with_unused_bits_are_read(
    tmp_path: Path, track: np.ndarray, subtype: str, bits: int
) -> None:
    write_wav(tmp_path / "x.wav", track, 44_100, subtype)
    content = bytearray((tmp_path / "x.wav").read_bytes())
    content[34:36] = bits.to_bytes(2, "little")
    (tmp_path / "x.wav").write_bytes(content)
    np.testing.assert_allclose(read(tmp_path / "x.wav")[0], track, atol=2**-15)


def test_a_wav_file_without_size_is_read(tmp_path: Path, track: np.ndarray) -> None:
    write_wav(tmp_path / "x.wav", track, 44_100, "PCM_16")
    content = bytearray((tmp_path / "x.wav").read_bytes())
    data = content.find(b"data")
    for unknown in (b"\xff\xff\xff\xff", b"\x00\xf0\xff\x7f"):
        content[4:8] = content[data + 4 : data + 8] = unknown
        (tmp_path / "x.wav").write_bytes(content)
        assert read(tmp_path / "x.wav")[0].shape == track.shape


def test_a_missing_pad_byte_is_accepted(tmp_path: Path) -> None:
    write_wav(tmp_path / "x.wav", np.zeros((1, 101), np.float32), 8000, "PCM_U8")
    content = (tmp_path / "x.wav").read_bytes()
    (tmp_path / "x.wav").write_bytes(content[:-1] if len(content) % 2 == 0 else content)
    assert read_header(tmp_path / "x.wav").samples == 101


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no.wav"):
        with pytest.raises(BadInput, match="cannot be read as audio"):
            read_header(path)


def test_a_file_over_the_time_limit_is_refused_by_its_header(tmp_path: Path) -> None:
    write_wav(tmp_path / "x.wav", np.zeros((1, 8001), np.float32), 8000)
    with pytest.raises(TooLarge, match="lasts 1 s; at most 1 s"):
        read(tmp_path / "x.wav", max_seconds=1.0)
    write_wav(tmp_path / "x.wav", np.zeros((1, 8000), np.float32), 8000)
    assert read(tmp_path / "x.wav", max_seconds=1.0)[0].shape == (1, 8000)


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError, sf.LibsndfileError)):
        write_wav(tmp_path / "x.wav", np.zeros((2, 10), np.float32), 44_100, subtype="NO_SUCH")
    assert not list(tmp_path.iterdir())


def test_only_read_unrounded_keeps_64_bit_floats(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).standard_normal((50, 2))
    for subtype in ("DOUBLE", "FLOAT", "PCM_16", "PCM_32"):
        sf.write(tmp_path / f"{subtype}.wav", samples * 0.1, 8000, subtype=subtype)
    found, rate = read_unrounded(tmp_path / "DOUBLE.wav")
    assert (found.dtype, rate) == (np.dtype(np.float64), 8000)
    np.testing.assert_array_equal(found, 0.1 * samples.T)
    assert read(tmp_path / "DOUBLE.wav")[0].dtype == np.float32
    for subtype in ("FLOAT", "PCM_16", "PCM_32"):
        found, _ = read_unrounded(tmp_path / f"{subtype}.wav")
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, read(tmp_path / f"{subtype}.wav")[0])
