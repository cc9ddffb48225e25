"""Conversion of MUSDB18's stem files, written here with PyAV: five AAC streams in one file.

Files with other streams and damaged ones are in ``tests/bad_input``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from mssbench.datasets.convert import STREAMS, convert_dataset
from mssbench_service.errors import TooLarge
from mssbench_service.musdb import check_track, track_folders

av = pytest.importorskip("av")

RATE = 44100


def tone(stream: int, samples: int) -> np.ndarray:
    """Content of a stream, shape (2, samples): a tone of its own frequency, its right channel at half level."""
    left = 0.3 * np.sin(2 * np.pi * 220 * (stream + 1) * np.arange(samples) / RATE)
    return np.stack([left, 0.5 * left]).astype(np.float32)


def write_stems(path: Path, samples: Sequence[int] = (40_000,) * 5) -> Path:
    """Write a stem file with one stream per number of samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        streams = [container.add_stream("aac", rate=RATE, layout="stereo") for _ in samples]
        for number, (stream, count) in enumerate(zip(streams, samples, strict=True)):
            stream.bit_rate = 256_000
            signal = tone(number, count)
            for start in range(0, count, 1024):
                block = np.ascontiguousarray(signal[:, start : start + 1024])
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = RATE, start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def test_each_stream_is_written_to_its_file_without_delay_or_gain(tmp_path: Path) -> None:
    title = "Zoë & Söhne - Don't [Live]"
    write_stems(tmp_path / "mp4" / "test" / f"{title}.stem.mp4")
    progress: list[tuple[int, int]] = []
    assert convert_dataset(tmp_path / "mp4", tmp_path / "hq", lambda *call: progress.append(call)) == 1
    assert progress == [(1, 1)]
    folder = tmp_path / "hq" / "test" / title
    assert track_folders(tmp_path / "hq", "test") == [folder]
    track = check_track(folder)
    assert track.sample_rate == RATE
    assert 40_000 <= track.samples < 40_000 + 2 * 1024
    for number, name in enumerate(STREAMS):
        decoded, _ = sf.read(folder / f"{name}.wav", dtype="float32")
        inside = slice(5000, 35_000)
        assert np.max(np.abs(decoded[inside].T - tone(number, 40_000)[:, inside])) < 0.03, name
        assert sf.info(folder / f"{name}.wav").subtype == "FLOAT"


def test_both_splits_are_converted_and_existing_tracks_are_kept(tmp_path: Path) -> None:
    write_stems(tmp_path / "mp4/train/A.stem.mp4", (3000,) * 5)
    write_stems(tmp_path / "mp4/test/B.stem.mp4", (3000,) * 5)
    (tmp_path / "mp4/test/._B.stem.mp4").write_bytes(b"resource fork")
    (tmp_path / "mp4/test/notes.txt").write_text("hello")
    assert convert_dataset(tmp_path / "mp4", tmp_path / "hq") == 2
    files = sorted((tmp_path / "hq").rglob("*.wav"))
    assert len(files) == 10
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    assert convert_dataset(tmp_path / "mp4", tmp_path / "hq") == 2
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files} == before


@pytest.mark.parametrize("folder", ["concat:x", "http:", "a:b,c"])
def test_a_folder_name_is_not_read_as_a_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_stems(Path("mp4/test/A.stem.mp4"), (3000,) * 5)
    Path("mp4").rename(folder)
    assert convert_dataset(Path(folder), Path("hq")) == 1


def test_a_stem_file_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stems(tmp_path / "mp4/test/A.stem.mp4")
    monkeypatch.setenv("MSSBENCH_MAX_SECONDS", "0.5")
    with pytest.raises(TooLarge, match=r"A\.stem\.mp4 is longer than 0\.5 s"):
        convert_dataset(tmp_path / "mp4", tmp_path / "hq")
    assert list((tmp_path / "hq").rglob("*.wav")) == []
