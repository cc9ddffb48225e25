"""`mssbench evaluate` on the files that people have: each scored, or refused or null with a reason."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from command import Command

Change = Callable[[np.ndarray], np.ndarray]
FS = 8000
STEMS = ("vocals", "bass")
NUMBERS = ("SSR", "SRR", "d_itd_us", "d_ild_db", "d_ic", "level_db", "SI_SDR", "SDR", "SAR", "paper_SSR")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def music(seed: int, rate: int = FS, seconds: float = 2.0) -> np.ndarray:
    """Shape (samples, 2), as files have it."""
    noise = np.random.default_rng(seed).standard_normal((round(seconds * rate), 2))
    return 0.1 * (noise @ [[1.0, 0.4], [0.3, 0.8]])


def write(
    folder: str, stems: dict[str, np.ndarray], rate: int = FS, subtype: str = "FLOAT", title: str = "A song"
) -> None:
    target = Path(folder) / title
    target.mkdir(parents=True, exist_ok=True)
    for stem, signal in stems.items():
        sf.write(target / f"{stem}.wav", signal, rate, subtype=subtype)


def scored(mssbench: Command, *options: str) -> dict[str, dict[str, str]]:
    """Rows of the only song by stem."""
    return songs_scored(mssbench, *options)["A song"]


def songs_scored(mssbench: Command, *options: str) -> dict[str, dict[str, dict[str, str]]]:
    """Rows by song and stem. Many songs to a command, so that it starts once."""
    done = mssbench("evaluate", "true", "found", "--csv", "out.csv", *options)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    with Path("out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert row["status"] in ("ok", "undefined", "failed")
        assert row["reason"] or row["status"] == "ok"
        for column in NUMBERS:
            assert row[column] == "" or math.isfinite(float(row[column])), (column, row[column])
    return {
        title: {r["source"]: r for r in rows if r["title"] == title} for title in {r["title"] for r in rows}
    }


def references() -> dict[str, np.ndarray]:
    return {stem: music(seed) for seed, stem in enumerate(STEMS)}


def noisy(x: np.ndarray) -> np.ndarray:
    return x + 0.1 * music(9)[: len(x)]


BROKEN: dict[str, tuple[Change, str]] = {
    "NaN": (lambda x: np.where(np.arange(len(x))[:, None] == 50, np.nan, x), "NaN or infinite"),
    "infinite": (lambda x: np.where(np.arange(len(x))[:, None] == 50, np.inf, x), "NaN or infinite"),
    "mono": (lambda x: x[:, 0], "has 1 channel(s)"),
    "three channels": (lambda x: np.c_[x, x[:, :1]], "has 3 channel(s)"),
    "a part of the track": (lambda x: x[:FS], "8000 samples (1.000 s) and the reference 16000 (2.000 s)"),
    "empty": (lambda x: x[:0], "holds no samples"),
    "silent": (lambda x: 0 * x, "silent wherever the reference is active"),
    "far too loud": (lambda x: 1e9 * x, "expected full scale"),
}


def test_an_estimate_that_cannot_be_scored_fails_alone(mssbench: Command, workspace: Path) -> None:
    true = references()
    for kind, (change, _) in BROKEN.items():
        write("true", true, title=kind)
        write("found", {"vocals": change(noisy(true["vocals"])), "bass": noisy(true["bass"])}, title=kind)
    found = songs_scored(mssbench)
    for kind, (_, reason) in BROKEN.items():
        broken, intact = found[kind]["vocals"], found[kind]["bass"]
        assert broken["status"] == "failed", kind
        assert reason in broken["reason"]
        assert all(broken[column] == "" for column in NUMBERS if not column.startswith("paper_"))
        assert intact["status"] == "ok", kind


def test_a_mono_reference_is_named_and_fails_its_own_stem(mssbench: Command, workspace: Path) -> None:
    true = references()
    write("true", true | {"vocals": true["vocals"][:, 0]})
    write("found", {stem: noisy(x) for stem, x in true.items()})
    rows = scored(mssbench)
    assert rows["vocals"]["status"] == "failed"
    assert "reference has 1 channel(s)" in rows["vocals"]["reason"]
    assert rows["bass"]["SSR"] != ""
    assert "reference 'vocals' has 1 channel(s)" in rows["bass"]["reason"]  # BSS Eval needs every stem


def test_a_dead_channel_has_levels_but_no_cue(mssbench: Command, workspace: Path) -> None:
    true = references()
    write("true", true)
    write("found", {"vocals": noisy(true["vocals"]) * [1, 0], "bass": noisy(true["bass"])})
    row = scored(mssbench)["vocals"]
    assert row["status"] == "undefined"
    assert "the estimate's right channel is silent" in row["reason"]
    assert row["SSR"] != ""
    assert row["d_itd_us"] == row["d_ild_db"] == row["d_ic"] == ""


def test_a_stem_that_is_silent_throughout_is_undefined_and_costs_the_others_bss_eval_alone(
    mssbench: Command, workspace: Path
) -> None:
    true = references() | {"vocals": np.zeros((2 * FS, 2))}
    write("true", true)
    write("found", {"vocals": true["vocals"], "bass": noisy(true["bass"])})
    rows = scored(mssbench)
    assert rows["vocals"]["status"] == "undefined"
    assert "reference and estimate are silent in every frame" in rows["vocals"]["reason"]
    assert rows["bass"]["SSR"] != ""
    assert rows["bass"]["SDR"] == ""
    assert "the reference 'vocals' is silent throughout" in rows["bass"]["reason"]


def test_the_longer_one_is_cut(mssbench: Command, workspace: Path) -> None:
    true = references()
    changes: dict[str, Change] = {"shorter": lambda x: x[:-300], "longer": lambda x: np.r_[x, x[:300]]}
    for title, change in changes.items():
        write("true", true, title=title)
        write("found", {stem: change(x) for stem, x in true.items()}, title=title)
    for rows in songs_scored(mssbench).values():
        for row in rows.values():
            assert (row["status"], float(row["SSR"]), float(row["SRR"])) == ("ok", 80, 80)
            assert "are compared" in row["reason"]


def test_exactly_one_frame_is_enough(mssbench: Command, workspace: Path) -> None:
    true = {stem: music(seed, seconds=1.0) for seed, stem in enumerate(STEMS)}
    write("true", true)
    write("found", {stem: noisy(x) for stem, x in true.items()})
    for row in scored(mssbench).values():
        assert (row["status"], row["valid_frames"], row["total_frames"]) == ("ok", "1", "1")


def test_every_encoding_up_to_its_extremes(mssbench: Command, workspace: Path) -> None:
    true = {stem: np.clip(30 * x, -1, 1) for stem, x in references().items()}  # clips, at −1 and at +1
    for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "DOUBLE"):
        write("true", true, subtype=subtype, title=subtype)
        write("found", {stem: 0.5 * x for stem, x in true.items()}, subtype=subtype, title=subtype)
    for rows in songs_scored(mssbench).values():
        for row in rows.values():
            assert row["status"] == "ok"
            assert float(row["SSR"]) == pytest.approx(6.02, abs=0.1)
            assert float(row["level_db"]) == pytest.approx(-6.02, abs=0.1)


def test_every_sample_rate(mssbench: Command, workspace: Path) -> None:
    for rate in (8000, 11025, 22050, 48000, 96000, 192000):
        true = {"vocals": music(1, rate, 1.2)}
        write("true", true, rate, title=str(rate))
        write("found", {"vocals": true["vocals"] * [1, 0.5]}, rate, title=str(rate))
    for title, rows in songs_scored(mssbench).items():
        assert rows["vocals"]["status"] == "ok", title
        assert float(rows["vocals"]["d_ild_db"]) == pytest.approx(6.02, abs=0.01)
        assert float(rows["vocals"]["d_itd_us"]) == pytest.approx(0, abs=0.01)


def test_very_quiet_signals_have_values_or_reasons(mssbench: Command, workspace: Path) -> None:
    true = references()
    for level in (1e-3, 1e-5, 1e-7, 1e-12, 1e-30):
        write("true", {stem: level * x for stem, x in true.items()}, title=str(level))
        write("found", {stem: level * noisy(x) for stem, x in true.items()}, title=str(level))
    for title, rows in songs_scored(mssbench).items():
        row = rows["vocals"]
        assert float(row["SSR"]) > 20 if float(title) > 1e-6 else row["reason"]


def test_an_offset_is_no_sound_but_no_obstacle_either(mssbench: Command, workspace: Path) -> None:
    true = references()
    write("true", {stem: x + 0.5 for stem, x in true.items()})
    write("found", {stem: noisy(x) + 0.5 for stem, x in true.items()})
    assert {row["status"] for row in scored(mssbench).values()} == {"ok"}
