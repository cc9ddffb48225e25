"""Audio excerpts: choice, content, level and size; and the plot of their interaural cues."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mssbench.report import excerpts, page, timeline
from mssbench.report.analysis import analyse
from mssbench.report.data import load
from mssbench.runs.records import Cell
from mssbench_service.errors import BadInput

MakeRun = Callable[..., Path]


@pytest.fixture(scope="module")
def run(make_run: MakeRun) -> Path:
    return make_run(tracks=2, audio=True, gain=1.3)


def test_worst_best_and_median_stem_are_chosen_by_the_models(run: Path) -> None:
    data = load(run)
    chosen = excerpts.choose(data)
    assert [choice.why for choice in chosen] == [
        f"{which} stem by SSR" for which in ("worst", "best", "median")
    ]
    assert {choice.condition for choice in chosen} == {"binaural"}
    assert chosen[0].separators == ("model-0", "model-1", "irm")  # no known-answer test
    values = np.nanmedian([data.track_values("SSR", "binaural", f"model-{i}") for i in (0, 1)], axis=0)
    track, stem = np.unravel_index(np.nanargmin(values), values.shape)
    assert (chosen[0].title, chosen[0].stem) == (
        data.titles[track],
        ("vocals", "drums", "bass", "other")[stem],
    )


def test_selected_excerpts_come_first_and_must_exist(run: Path) -> None:
    data = load(run)
    selected = ("stereo", "irm", data.titles[1], "bass")
    chosen = excerpts.choose(data, [selected])
    assert (chosen[0].title, chosen[0].stem, chosen[0].why) == (data.titles[1], "bass", "selected")
    assert (chosen[0].condition, chosen[0].separators[0]) == ("stereo", "irm")
    with pytest.raises(BadInput, match="piano"):
        excerpts.choose(data, [(*selected[:3], "piano")])


def test_a_player_has_all_separators_in_each_condition_at_the_level_of_their_scores(
    run: Path, tmp_path: Path
) -> None:
    data = load(run)
    choice = excerpts.choose(data, [("binaural", "model-0", data.titles[0], "vocals")])[0]
    player = excerpts.write(data, [choice], tmp_path).players[0]
    assert [take.condition for take in player.takes] == ["binaural", "stereo"]
    names = ["Mixture", "Reference", "model-0", "model-1", "irm"]
    assert [[one.name for one in take.signals] for take in player.takes] == [names, names]
    assert player.takes[0].signals[2].scores[0][0] == "SSR (dB)"
    assert "in place (%)" in player.takes[0].picture
    start = round(player.start)
    assert (
        f"&#34;place&#34;: [{70.0 + start}, {71.0 + start}, " in player.takes[0].picture
    )  # the seconds of the excerpt
    files = {one.name: tmp_path / one.file for one in player.takes[0].signals}
    mixture, reference, estimate = (
        soundfile.read(files[name])[0] for name in ("Mixture", "Reference", "model-0")
    )
    rate, seconds = 8000, round(excerpts.SECONDS)
    assert mixture.shape == reference.shape == estimate.shape == (seconds * rate, 2)
    true, _ = soundfile.read(run.parent.parent / data.record.tracks[0].folders["binaural"] / "vocals.wav")
    energy = [np.sum(true[s * rate : (s + seconds) * rate] ** 2) for s in range(10 - seconds + 1)]
    start = int(np.argmax(energy)) * rate
    assert player.start == start / rate
    true = true[start : start + seconds * rate]
    cell = Cell("binaural", "model-0", choice.title)
    own, _ = soundfile.read(
        data.store.layout.estimates(cell) / "vocals.wav", start=start, frames=seconds * rate
    )
    # The reference at the mixture's level, and one common gain for all signals.
    scale = float(np.sum(reference * true) / np.sum(true * true)) / 1.3
    assert np.abs(reference - 1.3 * scale * true).max() < 1e-4
    assert np.abs(estimate - scale * own).max() < 1e-4
    assert max(np.abs(audio).max() for audio in (mixture, reference, estimate)) <= 0.991


def test_the_size_is_limited_and_omitted_signals_are_counted(run: Path, tmp_path: Path) -> None:
    data = load(run)
    choices = excerpts.choose(data)
    everything = excerpts.write(data, choices, tmp_path)
    signals = sum(len(take.signals) for player in everything.players for take in player.takes)
    # One of the estimates failed.
    assert (everything.over_limit, everything.without_audio, signals) == (0, 1, 3 * 2 * 5 - 1)
    (tmp_path / "small").mkdir()
    some = excerpts.write(data, choices, tmp_path / "small", max_bytes=everything.bytes // 2)
    files = list((tmp_path / "small" / "audio").iterdir())
    assert sum(file.stat().st_size for file in files) == some.bytes <= everything.bytes // 2
    assert 0 < len(some.players) <= len(everything.players)
    assert some.over_limit == signals - len(files)


def test_deleted_audio_is_counted(make_run: MakeRun, tmp_path: Path) -> None:
    data = load(make_run(tracks=1, models=0, conditions=("binaural",)))
    deleted = excerpts.write(data, excerpts.choose(data), tmp_path)
    assert (deleted.players, deleted.without_audio, deleted.bytes) == ([], 3, 0)
    text = page.render(data, analyse(data), deleted, [])
    assert "No audio of this run is stored (3 signals selected)" in text
    assert "<audio" not in text
    assert 'id="listen"' not in page.render(data, analyse(data), None, [])


def test_interaural_differences_of_a_delayed_and_softer_ear() -> None:
    rate = 44100
    noise = np.random.default_rng(0).standard_normal(rate * 2)
    left, right = noise[20:], 0.5 * noise[:-20]  # the right ear is 20 samples later and 6 dB softer
    itd, ild = timeline.interaural_differences(
        np.column_stack([left, right]).astype(np.float32), rate, rate // 10
    )
    assert np.median(itd) == pytest.approx(20 / rate * 1e6, abs=2)
    assert np.median(ild) == pytest.approx(6.02, abs=0.05)


@pytest.mark.parametrize("samples", [0, 10, 100, 900])
def test_cues_of_very_short_audio_are_drawn(samples: int) -> None:
    audio = np.zeros((samples, 2), dtype=np.float32)
    cues = timeline.cues_of(audio, audio, 8000)
    scales = timeline.limits([cues])
    assert "<svg" in timeline.picture(cues, {"a": cues}, {"a": [50.0]}, samples / 8000, scales, "silence")
