"""Problems and notes that the check of a dataset reports."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from mssbench.datasets import check
from mssbench.datasets.check import check_dataset, check_track_folder
from mssbench_service.errors import BadInput
from mssbench_service.musdb import STEMS

from .conftest import WriteTrack
from .test_convert import write_stems


def rewrite(path: Path, audio: np.ndarray, rate: int = 44100, subtype: str = "FLOAT") -> None:
    sf.write(str(path), audio, rate, subtype=subtype)


def test_a_valid_track_has_no_problem_and_no_note(write_track: WriteTrack) -> None:
    report = check_track_folder(write_track(), "test")
    assert (report.status, report.problems, report.notes) == ("ok", [], [])
    assert report.seconds == 3000 / 44100
    assert report.residual_db == [None, None]  # the stems add up exactly
    assert report.clipped == {}


def test_the_result_does_not_depend_on_the_block_size(
    write_track: WriteTrack, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = write_track(samples=3001)
    audio, _ = sf.read(track / "bass.wav")
    rewrite(track / "bass.wav", audio * 0.9)
    whole = check_track_folder(track, "test")
    monkeypatch.setattr(check, "_BLOCK", 100)
    in_blocks = check_track_folder(track, "test")
    assert in_blocks.residual_db == pytest.approx(whole.residual_db, abs=1e-9)
    mixture, _ = sf.read(track / "mixture.wav")
    error = 0.1 * audio
    expected = 10 * np.log10(np.sum(error**2, axis=0) / np.sum(mixture**2, axis=0))
    assert whole.residual_db == pytest.approx(expected.tolist(), abs=1e-4)


def test_stems_that_do_not_add_up_are_noted_with_the_channel(write_track: WriteTrack) -> None:
    track = write_track()
    mixture, _ = sf.read(track / "mixture.wav")
    mixture[:, 0] *= 0.7
    rewrite(track / "mixture.wav", mixture)
    report = check_track_folder(track, "test")
    assert report.status == "note"
    assert report.notes == ["the stems do not add up to the mixture: left -7.4 dB"]


def test_coding_noise_is_not_noted(write_track: WriteTrack) -> None:
    track = write_track()
    mixture, _ = sf.read(track / "mixture.wav")
    noise = np.random.default_rng(1).standard_normal(mixture.shape) * 0.03 * mixture.std()
    rewrite(track / "mixture.wav", mixture + noise)
    report = check_track_folder(track, "test")
    assert report.notes == []
    assert report.residual_db == pytest.approx([-30.5, -30.5], abs=0.5)


def test_titles_that_differ_in_case_or_accents_alone_are_noted(write_track: WriteTrack) -> None:
    track = write_track(title="Café")
    for twin in ("Cafe\u0301", "café", "Other"):
        shutil.copytree(track, track.with_name(twin))
    note, _ = check_dataset(track.parents[1]).notes
    assert "differ only in case" in note
    assert all(repr(title) in note for title in ("Café", "Cafe\u0301", "café"))
    assert "Other" not in note


def test_samples_that_are_scaled_like_integers_are_noted(write_track: WriteTrack) -> None:
    track = write_track()
    for name in ("mixture", *STEMS):
        rewrite(track / f"{name}.wav", sf.read(track / f"{name}.wav")[0] * 32768)
    notes = check_track_folder(track, "test").notes
    assert len([note for note in notes if "where full scale is 1" in note]) == 5


def test_a_silent_mixture_of_audible_stems_is_noted(write_track: WriteTrack) -> None:
    track = write_track()
    rewrite(track / "mixture.wav", np.zeros((3000, 2)))
    report = check_track_folder(track, "test")
    assert "mixture.wav is silent" in report.notes
    assert any("left, where the mixture is silent" in note for note in report.notes)
    assert report.residual_db == [None, None]


def test_a_silent_stem_is_noted(write_track: WriteTrack) -> None:
    track = write_track()
    vocals, _ = sf.read(track / "vocals.wav")
    mixture, _ = sf.read(track / "mixture.wav")
    rewrite(track / "mixture.wav", mixture - vocals)
    rewrite(track / "vocals.wav", 0 * vocals)
    assert check_track_folder(track, "test").notes == ["vocals.wav is silent"]


def test_clipped_samples_are_counted(write_track: WriteTrack) -> None:
    track = write_track()
    audio, _ = sf.read(track / "drums.wav", dtype="int16")
    audio[10:13, 0], audio[20, 1] = 32767, -32768
    rewrite(track / "drums.wav", audio, subtype="PCM_16")
    assert check_track_folder(track, "test").clipped == {"drums": 4}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_a_problem(write_track: WriteTrack, value: float) -> None:
    track = write_track()
    audio, _ = sf.read(track / "other.wav")
    audio[2999, 1] = value
    rewrite(track / "other.wav", audio)
    report = check_track_folder(track, "test")
    assert report.problems == ["other.wav has samples that are NaN or infinite"]
    assert report.residual_db == []


def damage(track: Path, how: str) -> str:
    """Damage the bass of a track; return the expected problem."""
    path = track / "bass.wav"
    audio, _ = sf.read(path)
    if how == "missing":
        path.unlink()
        return "bass.wav is missing"
    if how == "shorter":
        rewrite(path, audio[:-1])
        return "bass.wav has 2999 samples; expected 3000"
    if how == "rate":
        rewrite(path, audio, 48000)
        return "bass.wav is at 48000 Hz; expected 44100 Hz"
    if how == "mono":
        rewrite(path, audio[:, 0])
        return "bass.wav has 1 channel(s); expected 2"
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
        return "bass.wav is truncated"
    path.write_text("not a sound")
    return "bass.wav cannot be read as audio"


@pytest.mark.parametrize("how", ["missing", "shorter", "rate", "mono", "truncated", "text"])
def test_damage_is_a_problem_of_that_track_only(write_track: WriteTrack, how: str) -> None:
    problem = damage(write_track("A - Broken"), how)
    dataset = write_track("B - Whole").parent.parent
    broken, whole = check_dataset(dataset).tracks
    assert problem in broken.problems[0]
    assert str(dataset) not in broken.problems[0]
    assert (broken.status, whole.status) == ("problem", "ok")


def test_another_sample_rate_is_noted(write_track: WriteTrack) -> None:
    assert check_track_folder(write_track(rate=48000), "test").notes == [
        "at 48000 Hz; MUSDB18-HQ is at 44100 Hz"
    ]


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
    known = check.musdb18()
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
