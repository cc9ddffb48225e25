"""The demo music: layout, reproducibility, and the acoustic differences between its stems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from mssbench.datasets.demo import NOISE_FLOOR_DB, compose, write_demo
from mssbench.datasets.demo_instruments import SAMPLE_RATE
from mssbench.datasets.demo_songs import SONGS, song
from mssbench_service.errors import BadInput
from mssbench_service.musdb import MIXTURE, STEMS, check_track, track_folders
from numpy.typing import NDArray

SECONDS = 4.0

FloatArray = NDArray[np.float64]
Audio = dict[str, dict[str, FloatArray]]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the default four tracks."""
    out = tmp_path_factory.mktemp("demo")
    write_demo(out)
    return out


@pytest.fixture(scope="module")
def audio(demo: Path) -> Audio:
    """Each file as an array of shape (samples, 2), by title and name."""
    return {
        folder.name: {name: sf.read(str(folder / f"{name}.wav"))[0] for name in (MIXTURE, *STEMS)}
        for folder in track_folders(demo, "test")
    }


def level_db(signal: FloatArray) -> float:
    return float(10 * np.log10(np.mean(np.square(signal))))


def energy_below(signal: FloatArray, frequency: float) -> float:
    """Share of the energy below `frequency` Hz."""
    power = np.abs(np.fft.rfft(signal.mean(axis=1))) ** 2
    frequencies = np.fft.rfftfreq(len(signal), 1 / SAMPLE_RATE)
    return float(power[frequencies < frequency].sum() / power.sum())


def centroid(signal: FloatArray) -> float:
    """Centre of the amplitude spectrum, Hz."""
    spectrum = np.abs(np.fft.rfft(signal.mean(axis=1)))
    return float(np.sum(spectrum * np.fft.rfftfreq(len(signal), 1 / SAMPLE_RATE)) / np.sum(spectrum))


def frame_levels_db(signal: FloatArray, seconds: float) -> FloatArray:
    size = round(seconds * SAMPLE_RATE)
    frames = signal[: len(signal) // size * size].reshape(-1, size, 2)
    return np.asarray(10 * np.log10(np.mean(frames**2, axis=(1, 2))))


def dynamics_db(signal: FloatArray) -> float:
    """Level difference between loud and quiet frames of 10 ms, without the fade-out."""
    quiet, loud = np.percentile(frame_levels_db(signal[:-SAMPLE_RATE], 0.01), [10, 95])
    return float(loud - quiet)


def test_the_dataset_has_the_layout_of_musdb18hq_and_titles_like_real_ones(demo: Path) -> None:
    folders = track_folders(demo, "test")
    assert len(folders) == 4
    names = sorted(f"{name}.wav" for name in (MIXTURE, *STEMS))
    for folder in folders:
        track = check_track(folder)
        assert (track.sample_rate, track.seconds) == (44100, 6.0)
        assert sorted(path.name for path in folder.iterdir()) == names
        assert {sf.info(str(path)).subtype for path in folder.iterdir()} == {"PCM_16"}
    titles = "".join(folder.name for folder in folders)
    assert all(letter in titles for letter in "'&[](")
    assert not titles.isascii()


def test_the_stems_add_up_exactly_to_the_mixture(demo: Path) -> None:
    for folder in track_folders(demo, "test"):
        mixture, *stems = (
            sf.read(str(folder / f"{name}.wav"), dtype="int16")[0].astype(int) for name in (MIXTURE, *STEMS)
        )
        assert np.array_equal(sum(stems), mixture)


def test_no_file_clips_and_all_stems_are_audible(audio: Audio) -> None:
    for files in audio.values():
        peaks = {name: np.max(np.abs(signal)) for name, signal in files.items()}
        assert max(peaks.values()) < 0.9
        assert peaks[MIXTURE] > 0.5
        for stem in STEMS:
            assert -32 < level_db(files[stem]) < -12


def test_each_stem_is_in_its_frequency_range(audio: Audio) -> None:
    for files in audio.values():
        assert energy_below(files["bass"], 500) > 0.95
        assert 0.2 < energy_below(files["drums"], 150) < 0.98
        assert energy_below(files["vocals"], 150) < 0.02
        assert energy_below(files["other"], 100) < 0.01
        assert centroid(files["drums"]) > 4000 > centroid(files["bass"])


def test_drums_are_more_transient_than_pads(audio: Audio) -> None:
    for files in audio.values():
        assert dynamics_db(files["drums"]) > dynamics_db(files["other"]) + 10


def test_the_voice_has_rests(audio: Audio) -> None:
    for files in audio.values():
        levels = frame_levels_db(files["vocals"], 0.05)
        assert 0.03 < np.mean(levels < levels.max() - 25) < 0.6


def test_pads_are_wide_and_bass_is_narrow(audio: Audio) -> None:
    for files in audio.values():
        width = {stem: 1 - np.atleast_2d(np.corrcoef(files[stem].T))[0, 1] for stem in STEMS}
        assert width["other"] > 0.3
        assert width["bass"] < 0.02
        assert 0.01 < width["vocals"] < 0.2


def test_the_noise_floor_has_its_level(audio: Audio) -> None:
    """The songs fade out; the last samples are noise only."""
    for stem, level in NOISE_FLOOR_DB.items():
        endings = np.concatenate([files[stem][-60:] for files in audio.values()])
        assert level_db(endings) == pytest.approx(level, abs=2)


def test_some_drums_are_silent_between_hits(audio: Audio) -> None:
    levels = [frame_levels_db(files["drums"], 0.05) for files in audio.values()]
    assert sum(np.sum(one < one.max() - 60) for one in levels) >= 20


def test_the_tracks_are_different_songs(audio: Audio) -> None:
    mixtures = [files[MIXTURE][:, 0] for files in audio.values()]
    for i, first in enumerate(mixtures):
        for second in mixtures[:i]:
            assert abs(np.corrcoef(first, second)[0, 1]) < 0.3
    assert len({(song.tempo, song.tonic, song.groove) for song in SONGS}) == 4


def test_a_track_depends_on_its_number_and_length_alone(tmp_path: Path) -> None:
    written = [write_demo(tmp_path / str(tracks), tracks=tracks, seconds=1)[0] for tracks in (1, 2)]
    again = write_demo(tmp_path / "again", tracks=1, seconds=1)[0]
    for path in again.iterdir():
        assert {folder.joinpath(path.name).read_bytes() for folder in written} == {path.read_bytes()}


def test_another_seed_gives_other_music() -> None:
    first, second = (compose(SONGS[0], SECONDS, seed) for seed in (1, 2))
    for name in first:
        assert not np.array_equal(first[name], second[name])


@pytest.mark.parametrize("damage", ["none", "missing", "changed", "truncated"])
def test_an_existing_track_is_kept_and_a_damaged_one_is_written_again(tmp_path: Path, damage: str) -> None:
    (folder,) = write_demo(tmp_path, tracks=1, seconds=1)
    path, before = folder / "bass.wav", folder.stat().st_ino
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage != "none":
        path.write_bytes(content[:-1] + b"\x55" if damage == "changed" else content[:-100])
    write_demo(tmp_path, tracks=1, seconds=1)
    assert path.read_bytes() == content
    assert (folder.stat().st_ino == before) == (damage == "none")
    assert list(tmp_path.rglob(".tmp-*")) == []


def test_any_number_of_songs_can_be_written(tmp_path: Path) -> None:
    folders = write_demo(tmp_path, tracks=7, seconds=1)
    assert len(set(folders)) == 7
    assert [folder.name for folder in folders] == [song(index).title for index in range(7)]
    for folder in folders:
        check_track(folder)


@pytest.mark.parametrize("seconds", [1.0, 2.5, 31.7])
def test_songs_can_have_any_length(seconds: float) -> None:
    for audio in compose(SONGS[2], seconds, 5).values():
        assert audio.shape == (round(seconds * SAMPLE_RATE), 2)
        assert audio.any(axis=0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tracks": 0}, "0 demo tracks"),
        ({"seconds": 0.5}, "0.5 s"),
        ({"seconds": float("nan")}, "nan s"),
        ({"seconds": float("inf")}, "inf s"),
    ],
)
def test_invalid_arguments_are_refused(tmp_path: Path, arguments: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        write_demo(tmp_path, **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "test").write_text("in the way")
    with pytest.raises(BadInput, match="cannot create the folder"):
        write_demo(tmp_path, tracks=1, seconds=1)
