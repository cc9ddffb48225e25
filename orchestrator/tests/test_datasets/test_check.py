"""What `data check` finds, and that it finds nothing where there is nothing."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from mssbench.datasets import check
from mssbench.datasets.check import check_dataset, check_one
from mssbench_service.errors import BadInput
from mssbench_service.musdb import STEMS

from .conftest import WriteTrack
from .test_stems import write_stems


def rewrite(path: Path, audio: np.ndarray, rate: int = 44100, subtype: str = "FLOAT") -> None:
    sf.write(str(path), audio, rate, subtype=subtype)


def test_a_sound_track_has_neither_problem_nor_note(write_track: WriteTrack) -> None:
    report = check_one(write_track(), "test")
    assert (report.status, report.problems, report.notes) == ("ok", [], [])
    assert report.seconds == 3000 / 44100
    assert report.residual_db == [None, None]  # to the last bit
    assert report.clipped == {}


def test_the_blocks_it_is_read_in_do_not_matter(
    write_track: WriteTrack, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = write_track(samples=3001)
    audio, _ = sf.read(track / "bass.wav")
    rewrite(track / "bass.wav", audio * 0.9)
    whole = check_one(track, "test")
    monkeypatch.setattr(check, "_BLOCK", 100)
    in_blocks = check_one(track, "test")
    assert in_blocks.residual_db == pytest.approx(whole.residual_db, abs=1e-9)
    mixture, _ = sf.read(track / "mixture.wav")
    error = 0.1 * audio
    expected = 10 * np.log10(np.sum(error**2, axis=0) / np.sum(mixture**2, axis=0))
    assert whole.residual_db == pytest.approx(expected.tolist(), abs=1e-4)


def test_stems_that_do_not_add_up_are_noted_and_the_channel_named(write_track: WriteTrack) -> None:
    track = write_track()
    mixture, _ = sf.read(track / "mixture.wav")
    mixture[:, 0] *= 0.7
    rewrite(track / "mixture.wav", mixture)
    report = check_one(track, "test")
    assert report.status == "note"
    assert report.notes == ["the stems do not add up to the mixture: left -7.4 dB"]


def test_coding_noise_is_not_noted(write_track: WriteTrack) -> None:
    track = write_track()
    mixture, _ = sf.read(track / "mixture.wav")
    noise = np.random.default_rng(1).standard_normal(mixture.shape) * 0.03 * mixture.std()
    rewrite(track / "mixture.wav", mixture + noise)
    report = check_one(track, "test")
    assert report.notes == []
    assert report.residual_db == pytest.approx([-30.5, -30.5], abs=0.5)


def test_a_silent_mixture_of_stems_that_sound_is_noted(write_track: WriteTrack) -> None:
    track = write_track()
    rewrite(track / "mixture.wav", np.zeros((3000, 2)))
    report = check_one(track, "test")
    assert "mixture.wav is silent" in report.notes
    assert any("left, where the mixture is silent" in note for note in report.notes)
    assert report.residual_db == [None, None]


def test_a_silent_stem_is_noted(write_track: WriteTrack) -> None:
    track = write_track()
    vocals, _ = sf.read(track / "vocals.wav")
    mixture, _ = sf.read(track / "mixture.wav")
    rewrite(track / "mixture.wav", mixture - vocals)
    rewrite(track / "vocals.wav", 0 * vocals)
    assert check_one(track, "test").notes == ["vocals.wav is silent"]


def test_clipped_samples_are_counted(write_track: WriteTrack) -> None:
    track = write_track()
    audio, _ = sf.read(track / "drums.wav", dtype="int16")
    audio[10:13, 0], audio[20, 1] = 32767, -32768
    rewrite(track / "drums.wav", audio, subtype="PCM_16")
    assert check_one(track, "test").clipped == {"drums": 4}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_a_problem(write_track: WriteTrack, value: float) -> None:
    track = write_track()
    audio, _ = sf.read(track / "other.wav")
    audio[2999, 1] = value
    rewrite(track / "other.wav", audio)
    report = check_one(track, "test")
    assert report.problems == ["other.wav holds samples that are NaN or infinite"]
    assert report.residual_db == []


def damage(track: Path, how: str) -> str:
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
def test_damage_is_a_problem_of_its_track_alone(write_track: WriteTrack, how: str) -> None:
    says = damage(write_track("A - Broken"), how)
    dataset = write_track("B - Whole").parent.parent
    broken, whole = check_dataset(dataset).tracks
    assert says in broken.problems[0]
    assert str(dataset) not in broken.problems[0]
    assert (broken.status, whole.status) == ("problem", "ok")


def test_another_rate_is_noted(write_track: WriteTrack) -> None:
    assert check_one(write_track(rate=48000), "test").notes == ["at 48000 Hz; MUSDB18-HQ is at 44100 Hz"]


def test_the_splits_that_are_there_are_read(write_track: WriteTrack) -> None:
    write_track("A", "train")
    dataset = write_track("B", "test").parent.parent
    told: list[tuple[int, int]] = []
    report = check_dataset(dataset, show=lambda *call: told.append(call))
    assert [(t.split, t.title) for t in report.tracks] == [("train", "A"), ("test", "B")]
    assert told == [(1, 2), (2, 2)]
    assert [t.title for t in check_dataset(dataset, ["test"]).tracks] == ["B"]
    with pytest.raises(BadInput, match="no readable folder 'train'"):
        check_dataset(dataset / "test", ["train"])


def test_coded_tracks_are_decoded_and_looked_at_like_others(tmp_path: Path) -> None:
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
    stems = "the stems do not add up to the mixture: left 7.0 dB, right 7.0 dB"  # each is a tone of its own
    assert whole.notes == [
        stems,
        "known erratum: the stems do not add up to the mixture in the left channel",
    ]
    assert sorted(tmp_path.rglob("*")) == before


def test_where_there_are_folders_of_tracks_stem_files_beside_them_are_passed_over(
    write_track: WriteTrack,
) -> None:
    dataset = write_track("Artist - Title").parent.parent
    write_stems(dataset / "test" / "Artist - Title.stem.mp4", (3000,) * 5)
    assert [track.status for track in check_dataset(dataset).tracks] == ["ok"]


def test_musdb18s_titles_and_errata_are_known(write_track: WriteTrack) -> None:
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
    missing, strangers = report.notes
    assert missing.startswith("test: 49 of the 50 titles of MUSDB18 are missing: ")
    assert strangers == "test: 1 titles that MUSDB18 has not: Nobody - Nothing"


def test_another_dataset_is_noted_once(write_track: WriteTrack) -> None:
    report = check_dataset(write_track("Café").parent.parent)
    assert report.notes == ["test: none of the titles of MUSDB18, so that it seems to be another dataset"]


def test_the_list_of_titles_is_musdb18s() -> None:
    known = check._known()
    assert {split: len(set(titles)) for split, titles in known["titles"].items()} == {
        "train": 100,
        "test": 50,
    }
    every = {*known["titles"]["train"], *known["titles"]["test"]}
    assert set(known["errata"]) <= every
    assert all(unicodedata.is_normalized("NFC", title) for title in every)


def test_memory_is_bounded_by_the_blocks(write_track: WriteTrack, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    original = sf.SoundFile.read

    def counting(self: sf.SoundFile, frames: int = -1, *more: object, **options: object) -> object:
        read.append(frames)
        return original(self, frames, *more, **options)

    monkeypatch.setattr(sf.SoundFile, "read", counting)
    check_one(write_track(samples=600_000), "test")
    assert set(read) == {check._BLOCK}
    assert len(read) == 3 * (1 + len(STEMS))
