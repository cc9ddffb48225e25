"""Problems and notes that the check of a dataset reports."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from mssbench.datasets import check
from mssbench.datasets.check import TrackReport, check_dataset, check_track_folder
from mssbench.datasets.musdb18 import musdb18
from mssbench_service.errors import BadInput
from mssbench_service.musdb import STEMS

from .conftest import WriteTrack
from .test_convert import write_stems

Change = Callable[[np.ndarray], np.ndarray]


def rewrite(path: Path, audio: np.ndarray, rate: int = 44100) -> None:
    sf.write(str(path), audio, rate, subtype="FLOAT")


def checked(track: Path, **changes: Change) -> TrackReport:
    """The report on `track` after changes of its files."""
    for name, change in changes.items():
        rewrite(track / f"{name}.wav", change(sf.read(track / f"{name}.wav")[0]))
    return check_track_folder(track, "test")


def test_a_valid_track_has_no_problem_and_no_note(write_track: WriteTrack) -> None:
    report = checked(write_track())
    assert (report.status, report.problems, report.notes) == ("ok", [], [])
    assert report.seconds == 3000 / 44100
    assert report.residual_db == [None, None]  # the stems add up exactly
    assert report.clipped == {}


def test_the_result_does_not_depend_on_the_block_size(
    write_track: WriteTrack, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = write_track(samples=3001)
    audio, _ = sf.read(track / "bass.wav")
    whole = checked(track, bass=lambda bass: bass * 0.9)
    monkeypatch.setattr(check, "_BLOCK", 100)
    assert checked(track).residual_db == pytest.approx(whole.residual_db, abs=1e-9)
    mixture, _ = sf.read(track / "mixture.wav")
    expected = 10 * np.log10(np.sum((0.1 * audio) ** 2, axis=0) / np.sum(mixture**2, axis=0))
    assert whole.residual_db == pytest.approx(expected.tolist(), abs=1e-4)


def clip(audio: np.ndarray) -> np.ndarray:
    audio[10:13, 0], audio[20, 1] = 1.0 - 2**-15, -1.0
    return audio


@pytest.mark.parametrize(
    ("changes", "notes"),
    [
        ({"mixture": lambda x: x * [0.7, 1.0]}, ["the stems do not add up to the mixture: left -7.4 dB"]),
        ({"mixture": np.zeros_like}, ["mixture.wav is silent", "left, where the mixture is silent, right"]),
        ({"vocals": np.zeros_like, "mixture": None}, ["vocals.wav is silent"]),
        (dict.fromkeys(("mixture", *STEMS), lambda x: x * 32768), ["where full scale is 1"] * 5),
    ],
)
def test_what_is_unusual_is_noted(
    write_track: WriteTrack, changes: dict[str, Change | None], notes: list[str]
) -> None:
    track = write_track()
    vocals, _ = sf.read(track / "vocals.wav")
    report = checked(track, **{name: change or (lambda x: x - vocals) for name, change in changes.items()})
    assert report.status == "note"
    assert len(report.notes) == len(notes)
    assert all(part in note for part, note in zip(notes, report.notes, strict=True))


def test_coding_noise_and_clipping_are_no_notes(write_track: WriteTrack) -> None:
    random = np.random.default_rng(1)
    report = checked(
        write_track(),
        mixture=lambda x: x + random.standard_normal(x.shape) * 0.03 * x.std(),
    )
    assert report.notes == []
    assert report.residual_db == pytest.approx([-30.5, -30.5], abs=0.5)
    assert checked(write_track("Loud"), drums=clip).clipped == {"drums": 4}


def test_titles_that_differ_in_case_or_accents_alone_are_noted(write_track: WriteTrack) -> None:
    track = write_track(title="Café")
    for twin in ("Cafe\u0301", "café", "Other"):
        shutil.copytree(track, track.with_name(twin))
    note, _ = check_dataset(track.parents[1]).notes
    assert "differ only in case" in note
    assert all(repr(title) in note for title in ("Café", "Cafe\u0301", "café"))
    assert "Other" not in note


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_a_problem(write_track: WriteTrack, value: float) -> None:
    report = checked(
        write_track(), other=lambda x: np.where(np.arange(x.size).reshape(x.shape) == 5999, value, x)
    )
    assert report.problems == ["other.wav has samples that are NaN or infinite"]
    assert report.residual_db == []


DAMAGES: dict[str, Callable[[Path, np.ndarray], object]] = {
    "bass.wav is missing": lambda path, audio: path.unlink(),
    "bass.wav has 2999 samples; expected 3000": lambda path, audio: rewrite(path, audio[:-1]),
    "bass.wav is at 48000 Hz; expected 44100 Hz": lambda path, audio: rewrite(path, audio, 48000),
    "bass.wav has 1 channel(s); expected 2": lambda path, audio: rewrite(path, audio[:, 0]),
    "bass.wav is truncated": lambda path, audio: path.write_bytes(path.read_bytes()[:-1000]),
    "bass.wav cannot be read as audio": lambda path, audio: path.write_text("not a sound"),
}


@pytest.mark.parametrize("problem", DAMAGES)
def test_damage_is_a_problem_of_that_track_only(write_track: WriteTrack, problem: str) -> None:
    path = write_track("A - Broken") / "bass.wav"
    DAMAGES[problem](path, sf.read(path)[0])
    dataset = write_track("B - Whole").parent.parent
    broken, whole = check_dataset(dataset).tracks
    assert problem in broken.problems[0]
    assert str(dataset) not in broken.problems[0]
    assert (broken.status, whole.status) == ("problem", "ok")


def test_another_sample_rate_is_noted(write_track: WriteTrack) -> None:
    assert checked(write_track(rate=48000)).notes == ["at 48000 Hz; MUSDB18-HQ is at 44100 Hz"]


def test_existing_splits_are_checked_by_default(write_track: WriteTrack) -> None:
    write_track("A", "train")
    dataset = write_track("B", "test").parent.parent
    progress: list[tuple[int, int]] = []
    report = check_dataset(dataset, show=lambda *call: progress.append(call))
    assert [(t.split, t.title) for t in report.tracks] == [("train", "A"), ("test", "B")]
    assert progress == [(1, 2), (2, 2)]
    assert [t.title for t in check_dataset(dataset, ["test"]).tracks] == ["B"]
    with pytest.raises(BadInput, match="no readable folder 'train'"):
        check_dataset(dataset / "test", ["train"])


def test_stem_files_are_decoded_and_checked_like_track_folders(tmp_path: Path) -> None:
    music = tmp_path / "musdb18"
    write_stems(music / "test" / "PR - Oh No.stem.mp4")
    write_stems(music / "test" / "B - Cut.stem.mp4")
    cut = music / "test" / "B - Cut.stem.mp4"
    cut.write_bytes(cut.read_bytes()[:20_000])
    (music / "test" / "._B - Cut.stem.mp4").write_bytes(b"resource fork")
    before = sorted(tmp_path.rglob("*"))
    broken, whole = check_dataset(music).tracks
    assert (broken.title, broken.status) == ("B - Cut", "problem")
    assert broken.problems[0].startswith("B - Cut.stem.mp4 cannot be decoded")
    assert whole.seconds == pytest.approx(40_000 / 44100, abs=0.05)
    stems = (
        "the stems do not add up to the mixture: left 7.0 dB, right 7.0 dB"  # each stem is a different tone
    )
    assert whole.notes == [
        stems,
        "known erratum: the stems do not add up to the mixture in the left channel",
    ]
    assert sorted(tmp_path.rglob("*")) == before


def test_stem_files_beside_track_folders_are_ignored(
    write_track: WriteTrack,
) -> None:
    dataset = write_track("Artist - Title").parent.parent
    write_stems(dataset / "test" / "Artist - Title.stem.mp4", (3000,) * 5)
    assert [track.status for track in check_dataset(dataset).tracks] == ["ok"]


def test_titles_and_errata_of_musdb18_are_noted(write_track: WriteTrack) -> None:
    write_track("PR - Oh No")
    write_track("A Classic Education - NightOwl")  # of the train split
    dataset = write_track("Nobody - Nothing").parent.parent
    report = check_dataset(dataset)
    notes = {track.title: track.notes for track in report.tracks}
    assert notes["PR - Oh No"] == [
        "known erratum: the stems do not add up to the mixture in the left channel"
    ]
    assert notes["A Classic Education - NightOwl"] == ["belongs to the train split of MUSDB18"]
    assert notes["Nobody - Nothing"] == []
    missing, unknown = report.notes
    assert missing.startswith("test: 49 of the 50 titles of MUSDB18 are missing: ")
    assert unknown == "test: 1 titles that are not in MUSDB18: Nobody - Nothing"


def test_another_dataset_is_noted_once(write_track: WriteTrack) -> None:
    report = check_dataset(write_track("Café").parent.parent)
    assert report.notes == ["test: no title of MUSDB18; this is probably another dataset"]


def test_the_list_of_titles_has_100_train_and_50_test_titles() -> None:
    known = musdb18()
    assert {split: len(set(titles)) for split, titles in known["titles"].items()} == {
        "train": 100,
        "test": 50,
    }
    every = {*known["titles"]["train"], *known["titles"]["test"]}
    assert set(known["errata"]) <= every
    assert all(unicodedata.is_normalized("NFC", title) for title in every)


def test_a_long_track_is_read_in_blocks(write_track: WriteTrack, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = sf.SoundFile.read

    def counting(self: sf.SoundFile, frames: int = -1, *more: object, **options: object) -> object:
        read.append(frames)
        return original(self, frames, *more, **options)

    monkeypatch.setattr(sf.SoundFile, "read", counting)
    check_track_folder(write_track(samples=600_000), "test")
    assert set(read) == {check._BLOCK}
    assert len(read) == 3 * (1 + len(STEMS))
