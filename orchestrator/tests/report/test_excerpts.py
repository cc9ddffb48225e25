"""Audio excerpts: choice, content, level and size; and the plot of their interaural cues."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mssbench.report import excerpts, page
from mssbench.report.analysis import analyse
from mssbench.report.data import load
from mssbench.runs.records import Cell
from mssbench_service.errors import BadInput

MakeRun = Callable[..., Path]


@pytest.fixture(scope="module")
def run(make_run: MakeRun) -> Path:
    return make_run(tracks=2, audio=True, gain=1.3)


def test_worst_median_and_best_stem_are_chosen_binaural_first(run: Path) -> None:
    data = load(run)
    chosen = excerpts.choose(data)
    assert [choice.cell.condition for choice in chosen] == sorted(choice.cell.condition for choice in chosen)
    assert not any(choice.cell.separator == "identity" for choice in chosen)
    worst = chosen[0]
    assert worst.why == "worst SSR of model-0"
    values = data.track_values("SSR", "binaural", "model-0")
    track, stem = np.unravel_index(np.nanargmin(values), values.shape)
    assert (worst.cell.title, worst.stem) == (data.titles[track], ("vocals", "drums", "bass", "other")[stem])


def test_selected_excerpts_come_first_and_must_exist(run: Path) -> None:
    data = load(run)
    selected = ("stereo", "irm", data.titles[1], "bass")
    chosen = excerpts.choose(data, [selected])
    assert (chosen[0].cell, chosen[0].stem, chosen[0].why) == (Cell(*selected[:3]), "bass", "selected")
    with pytest.raises(BadInput, match="piano"):
        excerpts.choose(data, [(*selected[:3], "piano")])


def test_excerpts_have_the_level_at_which_they_were_scored(run: Path, tmp_path: Path) -> None:
    data = load(run)
    choice = excerpts.choose(data)[0]
    excerpts.write(data, [choice], tmp_path)
    mixture, reference, estimate = (
        soundfile.read(tmp_path / "audio" / f"00-{name}.flac")[0]
        for name in ("mixture", "reference", "estimate")
    )
    assert mixture.shape == reference.shape == estimate.shape == (6 * 8000, 2)
    track = data.record.track(choice.cell.title)
    root = run.parent.parent
    true, rate = soundfile.read(root / track.folders["binaural"] / f"{choice.stem}.wav")
    energy = [np.sum(true[s * rate // 2 : s * rate // 2 + 6 * rate] ** 2) for s in range(9)]
    start = int(np.argmax(energy)) * rate // 2
    true = true[start : start + 6 * rate]
    own, _ = soundfile.read(
        data.store.layout.estimates(choice.cell) / f"{choice.stem}.wav", start=start, frames=6 * rate
    )
    # The reference at the mixture's level, and one common gain for all three.
    scale = float(np.sum(reference * true) / np.sum(true * true)) / 1.3
    assert np.abs(reference - 1.3 * scale * true).max() < 1e-4
    assert np.abs(estimate - scale * own).max() < 1e-4
    assert max(np.abs(audio).max() for audio in (mixture, reference, estimate)) <= 0.991


def test_the_size_is_limited_and_omitted_excerpts_are_counted(run: Path, tmp_path: Path) -> None:
    data = load(run)
    choices = excerpts.choose(data)[:6]
    everything = excerpts.write(data, choices, tmp_path)
    assert everything.over_limit == 0
    (tmp_path / "small").mkdir()
    some = excerpts.write(data, choices, tmp_path / "small", max_bytes=everything.bytes // 2)
    written = sum(file.stat().st_size for file in (tmp_path / "small" / "audio").iterdir())
    assert written == some.bytes <= everything.bytes // 2
    assert 0 < len(some.players) < len(everything.players)
    assert some.over_limit == len(everything.players) - len(some.players)


def test_deleted_audio_is_counted(make_run: MakeRun, tmp_path: Path) -> None:
    data = load(make_run(tracks=1, models=0, conditions=("binaural",)))
    deleted = excerpts.write(data, excerpts.choose(data), tmp_path)
    assert (deleted.players, deleted.without_audio, deleted.bytes) == ([], 3, 0)
    text = page.render(data, analyse(data), deleted, [])
    assert "No audio of this run is stored (3 excerpts were selected)" in text
    assert "<audio" not in text
    assert 'id="listen"' not in page.render(data, analyse(data), None, [])


def test_interaural_differences_of_a_delayed_and_softer_ear() -> None:
    rate = 44100
    noise = np.random.default_rng(0).standard_normal(rate * 2)
    left, right = noise[20:], 0.5 * noise[:-20]  # the right ear is 20 samples later and 6 dB softer
    itd, ild = excerpts.interaural_differences(
        np.column_stack([left, right]).astype(np.float32), rate, rate // 10
    )
    assert np.median(itd) == pytest.approx(20 / rate * 1e6, abs=2)
    assert np.median(ild) == pytest.approx(6.02, abs=0.05)


@pytest.mark.parametrize("samples", [0, 10, 100, 900])
def test_cues_of_very_short_audio_are_plotted(samples: int) -> None:
    audio = np.zeros((samples, 2), dtype=np.float32)
    assert "<svg" in excerpts.plot_cues(audio, audio, 8000, "silence")
