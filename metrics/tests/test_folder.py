"""`score_folder` with audio files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import binaural_metrics as bm
import numpy as np
import pytest
from binaural_metrics.signals import FloatArray
from golden_signals import pink

sf = pytest.importorskip("soundfile")
FS = 8000


def write(folder: Path, stems: dict[str, FloatArray], subtype: str = "FLOAT", rate: int = FS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, signal in stems.items():
        sf.write(folder / name, signal.T, rate, subtype=subtype)


@pytest.fixture
def stems() -> dict[str, FloatArray]:
    rng = np.random.default_rng(3)
    return {name: pink(rng, 1, 2 * FS) + 0.3 * pink(rng, 2, 2 * FS) for name in ("vocals", "strings")}


def test_folders_of_titles_and_stems_are_scored(tmp_path: Path, stems: dict[str, FloatArray]) -> None:
    write(
        tmp_path / "true/A song",
        {f"{stem}.wav": x for stem, x in stems.items()} | {"mixture.wav": np.add(*stems.values())},
        "DOUBLE",
    )
    write(tmp_path / "found/A song", {f"{stem}.wav": 0.9 * x for stem, x in stems.items()}, "DOUBLE")
    found = bm.score_folder(tmp_path / "true", tmp_path / "found", metrics="all")
    estimates = {stem: 0.9 * x for stem, x in stems.items()}
    expected = bm.score(
        dict(sorted(stems.items())), estimates, FS, metrics="all"
    )  # 64-bit floats are not rounded
    assert found.to_dict() == {"A song": expected.to_dict()}
    table = found.to_pandas()
    assert list(table["title"]) == ["A song"] * 2
    assert list(table["source"]) == ["strings", "vocals"]
    assert set(found.frames_to_pandas()["title"]) == {"A song"}


def test_the_gain_and_the_hrir_set_of_a_rendering_are_used(
    tmp_path: Path, stems: dict[str, FloatArray]
) -> None:
    write(tmp_path / "true/A", {f"{stem}.wav": x for stem, x in stems.items()})
    write(tmp_path / "found/A", {f"{stem}.wav": 0.5 * x for stem, x in stems.items()})
    assert bm.score_folder(tmp_path / "true", tmp_path / "found")["A"]["SSR"]["vocals"] < 7
    (tmp_path / "true/A/metadata.json").write_text(json.dumps({"mixture_gain": 0.5, "angles": {}}))
    irs = np.zeros((2, 2, 9))
    irs[0, :, 4] = irs[1, 0, 3] = irs[1, 1, 5] = 1
    np.savez(tmp_path / "true/A/hrir.npz", azimuths=[0.0, 90.0], irs=irs, sample_rate=FS)
    found = bm.score_folder(tmp_path / "true", tmp_path / "found")["A"]
    assert found["SSR"]["vocals"] == 80
    assert "azimuth_error_deg" in found.stems["vocals"]


def test_an_unusable_estimate_fails_alone(tmp_path: Path, stems: dict[str, FloatArray]) -> None:
    for title in ("A", "B", "C"):
        write(tmp_path / "true" / title, {f"{stem}.wav": x for stem, x in stems.items()})
    write(tmp_path / "found/A", {"vocals.flac": stems["vocals"]}, "PCM_16")
    write(tmp_path / "found/B", {"vocals.wav": stems["vocals"]}, rate=44100)
    (tmp_path / "found/B/strings.wav").write_text("not audio")
    found = bm.score_folder(tmp_path / "true", tmp_path / "found", bsseval=False)
    reasons = {(t, s): row["reason"] for t, scores in found.tracks.items() for s, row in scores.stems.items()}
    assert found["A"].stems["vocals"]["status"] == "ok"
    assert "strings.wav is missing" in reasons["A", "strings"]
    assert "at 44100 Hz; expected 8000 Hz" in reasons["B", "vocals"]
    assert "cannot be read as audio" in reasons["B", "strings"]
    assert "has no estimates of 'C'" in reasons["C", "vocals"]
    assert {row["status"] for row in found["C"].stems.values()} == {"failed"}


def test_unusable_folders_raise_value_error(tmp_path: Path, stems: dict[str, FloatArray]) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "true/A", {"vocals.wav": stems["vocals"]})
    for arguments, message in (
        (("nowhere", "true"), "nowhere is not a folder"),
        (("empty", "true"), "holds no"),
        (("true", "empty"), "has no estimates of 'A'"),
        (("true", "true", "best"), "corrected, paper, all"),
    ):
        references, estimates, *metrics = arguments
        with pytest.raises(ValueError, match=message):
            bm.score_folder(tmp_path / references, tmp_path / estimates, *metrics)
    (tmp_path / "true/A/vocals.wav").write_text("not audio")
    with pytest.raises(ValueError, match="cannot be read as audio"):
        bm.score_folder(tmp_path / "true", tmp_path / "true")
    (tmp_path / "true/A/hrir.npz").write_text("no archive")
    with pytest.raises(ValueError, match="not a stored HRIR set"):
        bm.load_hrirs(tmp_path / "true/A/hrir.npz")


def test_a_missing_package_raises_an_error_with_the_pip_command(
    tmp_path: Path, stems: dict[str, FloatArray]
) -> None:
    write(tmp_path / "true/A", {"vocals.wav": stems["vocals"]})
    code = (
        "import sys; sys.modules['soundfile'] = sys.modules['pandas'] = None\n"
        "import binaural_metrics as bm, numpy as np\n"
        "for call in (lambda: bm.score_folder('true', 'true'), lambda: bm.Scores({}, {}).to_pandas()):\n"
        "    try: call()\n"
        "    except ImportError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "pip install 'binaural-metrics[files]'" in done.stdout
    assert "pip install 'binaural-metrics[pandas]'" in done.stdout


def test_dry_stems_and_the_direct_sound_of_a_room_give_places(
    tmp_path: Path, stems: dict[str, FloatArray]
) -> None:
    irs = np.zeros((2, 2, 9))
    irs[0, :, 4] = irs[1, 0, 3] = irs[1, 1, 5] = 1
    dry = {stem: x[0] for stem, x in stems.items()}
    left = {stem: np.stack([np.convolve(x, h)[: len(x)] for h in irs[1]]) for stem, x in dry.items()}
    room = {stem: x + 0.3 * np.roll(x, 400, axis=1) for stem, x in left.items()}
    write(tmp_path / "dry/A", {f"{stem}.wav": np.stack([x, x]) for stem, x in dry.items()})
    write(tmp_path / "true/A", {f"{stem}.wav": x for stem, x in room.items()})
    write(tmp_path / "true/A", {f"{stem}.direct.wav": x for stem, x in left.items()})
    (tmp_path / "true/A/metadata.json").write_text(json.dumps({"angles": {}}))
    np.savez(tmp_path / "true/A/hrir.npz", azimuths=[0.0, 90.0], irs=irs, sample_rate=FS)
    folders = tmp_path / "true", tmp_path / "true"
    found = bm.score_folder(*folders, bsseval=False, dry=tmp_path / "dry")["A"]
    assert list(found.stems) == sorted(stems)
    expected = {"heard_azimuth_deg": 90, "lateral_error_deg": 0, "timbre_db": 0}
    for row in found.stems.values():
        assert {column: row[column] for column in expected} == pytest.approx(expected), row["reason"]
    assert "timbre_db" not in bm.score_folder(*folders, bsseval=False)["A"].stems["vocals"]
    (tmp_path / "dry/A/vocals.wav").unlink()
    with pytest.raises(ValueError, match=r"vocals\.wav cannot be read"):
        bm.score_folder(*folders, bsseval=False, dry=tmp_path / "dry")
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        bm.score_folder(*folders, dry=tmp_path / "nowhere")
