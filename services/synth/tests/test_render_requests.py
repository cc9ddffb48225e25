"""What a rendering accepts and refuses; it leaves a complete folder or nothing.

Damaged tracks are in the tests of ``mssbench_service.musdb``, and in ``tests/bad_input``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from mssbench_service.errors import BadInput, StepFailed
from mssbench_service.musdb import MIXTURE, STEMS, check_track
from synth_service import render as module
from synth_service.render import render_track

from .conftest import ANGLES, SPHERE, Write, leftovers, refused_rendering

FILES = (MIXTURE, *STEMS)


def rendered(out: Path, dtype: str = "float64") -> dict[str, np.ndarray]:
    return {name: sf.read(str(out / f"{name}.wav"), dtype=dtype)[0] for name in FILES}


@pytest.mark.parametrize("angle", [-30.0, 330.0, 690.0, 329.8])
def test_angles_are_recorded_within_one_turn(write_track: Write, tmp_path: Path, angle: float) -> None:
    result = render_track(write_track(), tmp_path / "out", SPHERE, ANGLES | {"drums": angle})
    assert result.angles["drums"] == pytest.approx(angle % 360)
    render_track(tmp_path / "musdb" / "Artist - Title", tmp_path / "ref", SPHERE, ANGLES)
    for name in FILES:
        assert np.array_equal(rendered(tmp_path / "out")[name], rendered(tmp_path / "ref")[name])


def test_an_angle_just_below_zero_is_zero(write_track: Write, tmp_path: Path) -> None:
    result = render_track(write_track(), tmp_path / "out", SPHERE, ANGLES | {"vocals": -1e-20})
    assert result.angles["vocals"] == 0.0


@pytest.mark.parametrize(
    "title",
    ["Don't Stop", "Salt & Pepper", "Half Past [Live] (feat. X)", "Où va l'été", "東京 Rain", "a" * 250],
)
def test_titles_may_contain_any_character(write_track: Write, tmp_path: Path, title: str) -> None:
    result = render_track(write_track(title, samples=300), tmp_path / "out" / title, SPHERE, ANGLES)
    assert result.title == title
    record = json.loads((tmp_path / "out" / title / "metadata.json").read_text(encoding="utf-8"))
    assert record["title"] == title


def test_the_mixture_and_other_files_of_the_track_are_ignored(write_track: Write, tmp_path: Path) -> None:
    track = write_track()
    (track / "mixture.wav").write_text("not even audio")
    (track / ".DS_Store").write_bytes(b"x")
    (track / "._vocals.wav").write_bytes(b"resource fork")
    render_track(track, tmp_path / "out", SPHERE, ANGLES)
    assert check_track(tmp_path / "out").samples == 3255


def test_another_rate_is_resampled_only_on_request(write_track: Write, tmp_path: Path) -> None:
    track = write_track(rate=48000)
    with pytest.raises(BadInput, match="sphere is at 44100 Hz; expected 48000 Hz"):
        render_track(track, tmp_path / "out", SPHERE, ANGLES)
    assert not (tmp_path / "out").exists()
    result = render_track(track, tmp_path / "out", SPHERE, ANGLES, resample_hrir=True)
    assert (result.sample_rate, result.hrir_resampled_from) == (48000, 44100)
    assert check_track(tmp_path / "out").sample_rate == 48000


def test_an_earlier_rendering_is_replaced(write_track: Write, tmp_path: Path) -> None:
    track, out = write_track(), tmp_path / "out"
    render_track(track, out, SPHERE, ANGLES, "paper")
    (out / ".DS_Store").write_text("left by a file manager")
    render_track(track, out, SPHERE, ANGLES, "matched")
    assert sf.info(str(out / "vocals.wav")).subtype == "FLOAT"


@pytest.mark.parametrize("spoil", ["a file beside", "a folder beside", "another's record", "no record"])
def test_a_folder_with_other_files_is_not_replaced(write_track: Write, tmp_path: Path, spoil: str) -> None:
    track, out = write_track(), tmp_path / "out"
    render_track(track, out, SPHERE, ANGLES)
    record = out / "metadata.json"
    if spoil == "a file beside":
        (out / "diary.txt").write_text("mine")
    elif spoil == "a folder beside":
        (out / "takes").mkdir()
    elif spoil == "another's record":
        record.write_text('{"mine": 1}')
    else:
        record.unlink()
    before = {path.name: path.is_file() and path.read_bytes() for path in out.iterdir()}
    with pytest.raises(BadInput, match="something that is not a rendering"):
        render_track(track, out, SPHERE, ANGLES, "paper")
    assert {path.name: path.is_file() and path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    "angles", [{}, {"vocals": 0.0}, ANGLES | {"guitar": 0.0}, {**ANGLES, "mixture": 0.0}]
)
def test_angles_must_be_for_exactly_the_stems(
    write_track: Write, tmp_path: Path, angles: dict[str, float]
) -> None:
    assert "expected exactly vocals, drums, bass, other" in refused_rendering(tmp_path, write_track(), angles)


@pytest.mark.parametrize("angle", [float("nan"), float("inf"), -float("inf")])
def test_angles_must_be_finite(write_track: Write, tmp_path: Path, angle: float) -> None:
    assert "the angle of bass is" in refused_rendering(tmp_path, write_track(), ANGLES | {"bass": angle})


def test_samples_that_are_not_finite_are_refused_at_the_end_of_a_track(
    write_track: Write, tmp_path: Path
) -> None:
    audio = np.zeros((40000, 2))
    audio[39990, 1] = np.nan
    track = write_track(samples=40000, bass=audio)
    assert "bass.wav holds samples that are NaN or infinite" in refused_rendering(tmp_path, track)


def test_the_track_itself_is_never_overwritten(write_track: Write, tmp_path: Path) -> None:
    track = write_track()
    for out in (track, track.parent, tmp_path):
        with pytest.raises(BadInput, match=r"holds the track .* itself"):
            render_track(track, out, SPHERE, ANGLES)
    assert check_track(track, STEMS).samples == 3000


def test_a_failure_while_writing_keeps_the_earlier_rendering(
    write_track: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track, out = write_track(), tmp_path / "out"
    render_track(track, out, SPHERE, ANGLES)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "clear_peak_timestamp", full)
    with pytest.raises(StepFailed, match="No space left on device"):
        render_track(track, out, SPHERE, ANGLES, "paper")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(write_track: Write, tmp_path: Path) -> None:
    track = write_track()
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(BadInput, match=r"cannot write in the folder .*locked"):
        render_track(track, locked / "out", SPHERE, ANGLES)


def test_an_output_at_or_below_a_file_is_refused(write_track: Write, tmp_path: Path) -> None:
    track = write_track()
    (tmp_path / "file").write_text("in the way")
    for out, message in (
        ("file", "is a file; expected an output folder"),
        ("file/out", "cannot create the folder"),
    ):
        with pytest.raises(BadInput, match=message):
            render_track(track, tmp_path / out, SPHERE, ANGLES)
    assert (tmp_path / "file").read_text() == "in the way"
