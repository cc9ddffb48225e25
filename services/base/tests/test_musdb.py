"""The MUSDB18-HQ layout, and folders that differ from it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from mssbench_service.audio import write_wav
from mssbench_service.errors import BadInput
from mssbench_service.musdb import MIXTURE, STEMS, Track, check_track, track_folders

TITLES = ["A Classic Education - NightOwl", "Zoë & Söhne (Live) [1]", "Don't", "#1 100%", "日本", " spaces  "]


def make_track(folder: Path, samples: int = 100, sample_rate: int = 44_100, channels: int = 2) -> Path:
    for name in (MIXTURE, *STEMS):
        write_wav(folder / f"{name}.wav", np.zeros((channels, samples), np.float32), sample_rate)
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    for title in TITLES:
        make_track(tmp_path / "test" / title)
    return tmp_path


def test_titles_may_have_any_characters(dataset: Path) -> None:
    folders = track_folders(dataset, "test")
    assert [folder.name for folder in folders] == sorted(TITLES)
    assert [check_track(folder).title for folder in folders] == sorted(TITLES)


def test_hidden_and_stray_entries_are_ignored(dataset: Path) -> None:
    make_track(dataset / "test" / ".hidden")
    (dataset / "test" / "._A Classic Education - NightOwl").touch()
    (dataset / "test" / ".DS_Store").touch()
    (dataset / "test" / "notes.txt").touch()
    (dataset / "test" / "stray folder" / "nested").mkdir(parents=True)
    (dataset / "test" / "stray folder" / "vocals.mp3").touch()
    assert len(track_folders(dataset, "test")) == len(TITLES)


def test_a_track_with_a_missing_stem_is_listed_and_refused(dataset: Path) -> None:
    (dataset / "test" / "Don't" / "bass.wav").unlink()
    assert len(track_folders(dataset, "test")) == len(TITLES)
    with pytest.raises(BadInput, match=r"Don't/bass\.wav is missing"):
        check_track(dataset / "test" / "Don't")


def test_a_track_has_its_length_and_sample_rate(tmp_path: Path) -> None:
    track = check_track(make_track(tmp_path / "x", samples=22_050))
    assert track == Track(tmp_path / "x", 44_100, 22_050)
    assert track.seconds == 0.5


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"samples": 99}, "drums.wav has 99 samples; expected 100 as mixture.wav"),
        ({"sample_rate": 48_000}, "drums.wav is at 48000 Hz; expected 44100 Hz as mixture.wav"),
        ({"channels": 1}, r"drums.wav has 1 channel\(s\); expected 2"),
        ({"channels": 3}, r"drums.wav has 3 channel\(s\); expected 2"),
        ({"samples": 0}, "drums.wav holds no samples"),
    ],
)
def test_a_stem_that_does_not_match_the_mixture_is_refused(
    tmp_path: Path, other: dict[str, int], message: str
) -> None:
    folder = make_track(tmp_path / "x")
    different = make_track(tmp_path / "y", **other)
    (different / "drums.wav").replace(folder / "drums.wav")
    with pytest.raises(BadInput, match=message):
        check_track(folder)


def test_a_text_file_named_wav_is_refused(dataset: Path) -> None:
    (dataset / "test" / "Don't" / "vocals.wav").write_text("not a sound")
    with pytest.raises(BadInput, match=r"vocals\.wav cannot be read as audio"):
        check_track(dataset / "test" / "Don't")


def test_only_the_given_names_are_checked(tmp_path: Path) -> None:
    folder = make_track(tmp_path / "x")
    (folder / "mixture.wav").unlink()
    assert check_track(folder, STEMS).samples == 100


def test_an_invalid_dataset_is_an_error_with_the_expected_layout(dataset: Path) -> None:
    for folder, split, message in (
        (dataset / "no", "test", "no is not a folder in the MUSDB18-HQ layout; expected test/<title>"),
        (dataset / "test" / "Don't" / "bass.wav", "test", "is not a folder"),
        (dataset, "train", "has no readable folder 'train'"),
        (dataset, "valid", "unknown split 'valid'; expected one of train, test"),
    ):
        with pytest.raises(BadInput, match=message):
            track_folders(folder, split)
    (dataset / "train").mkdir()
    with pytest.raises(BadInput, match="contains no track; expected train/<title>"):
        track_folders(dataset, "train")


def test_the_error_suggests_the_likely_remedy(dataset: Path) -> None:
    with pytest.raises(BadInput, match=rf"did you mean {re.escape(str(dataset))}\?"):
        track_folders(dataset / "test", "test")
    coded = dataset / "coded" / "test"
    coded.mkdir(parents=True)
    (coded / "A - B.stem.mp4").touch()
    for folder, split in ((coded.parent, "test"), (coded.parent, "train")):
        with pytest.raises(BadInput, match=r"these are MUSDB18's \.stem\.mp4 files"):
            track_folders(folder, split)
    for path in (dataset / "test").glob("*/*.wav"):
        path.rename(path.with_suffix(".WAV"))
    with pytest.raises(BadInput, match=r"(\w+)\.WAV should be called \1\.wav"):
        track_folders(dataset, "test")
    folder = dataset / "test" / "Don't"
    for name in ("mixture", "drums"):
        (folder / f"{name}.WAV").rename(folder / f"{name}.wav")
    (folder / "vocals.WAV").rename(folder / "Vocals.wav")
    with pytest.raises(
        BadInput, match=r"vocals\.wav is missing; .*; Vocals\.wav should be called vocals\.wav"
    ):
        check_track(folder, ("mixture", "drums", "vocals"))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow only Unicode names")
def test_a_title_that_is_not_utf8_is_refused(dataset: Path) -> None:
    folder = dataset / "test" / "Don't"
    os.rename(folder, os.fsencode(folder.parent) + b"/Caf\xe9")
    found = next(f for f in track_folders(dataset, "test") if f.name.startswith("Caf"))
    with pytest.raises(BadInput, match="is not UTF-8") as caught:
        check_track(found)
    caught.value.detail.encode()  # raises if the detail cannot be printed or sent
