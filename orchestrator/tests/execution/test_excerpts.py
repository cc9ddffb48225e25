"""Runs on excerpts: every step reads the same samples."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
from mssbench.execution.gc import find_removable
from mssbench.execution.inline import run_inline
from mssbench.execution.prepare import prepare
from mssbench.runs.config import RunConfig
from mssbench.runs.progress import progress_of
from mssbench.runs.results import result_rows
from mssbench.runs.run import Run
from mssbench.services.runtime import make_runtime
from mssbench_service.errors import BadInput

CONFIG = RunConfig(dataset="music", separators=["oracle-irm"], tracks=1, bsseval=False, keep_estimates="all")


def prepared(root: Path, **settings: Any) -> Run:
    return prepare(replace(CONFIG, **settings), make_runtime(root))


def test_a_run_on_an_excerpt_scores_as_a_run_on_a_dataset_that_was_cut_by_hand(workspace: Path) -> None:
    run = prepared(workspace, excerpt="0.5:0.75")
    (track,) = run.record.tracks
    assert (track.start, track.samples) == (22050, 33075)
    cut_by_hand = workspace / "cut"
    for file in (workspace / track.source).glob("*.wav"):
        audio, rate = sf.read(file, dtype="float32")
        out = cut_by_hand / "test" / track.title / file.name
        out.parent.mkdir(parents=True, exist_ok=True)
        sf.write(out, audio[22050:55125], rate, subtype="FLOAT")
    by_hand = prepared(workspace, dataset="cut")
    for one in (run, by_hand):
        run_inline(one, lambda: None)
        assert progress_of(one).failed == 0
    assert len(rows := result_rows(run.store, run.record)) == 8
    assert rows == result_rows(by_hand.store, by_hand.record)
    # The excerpt is part of the run: gc keeps it, and an interrupted run cuts it again.
    assert track.cut not in {one.reference for one in find_removable(run.runtime)}
    shutil.rmtree(workspace / "data")
    for cell in run.record.cells():
        run.store.clear_outcome(cell)
    run_inline(run, lambda: None)
    assert result_rows(run.store, run.record) == rows


def test_the_excerpt_and_the_titles_are_part_of_the_name_of_a_run(workspace: Path) -> None:
    title = sorted(path.name for path in (workspace / "music/test").iterdir())[0]
    changes: list[dict[str, Any]] = [{}, {"excerpt": "1"}, {"excerpt": "0.5:1"}, {"titles": [title]}]
    runs = [prepared(workspace, **change) for change in changes]
    assert len({run.store.id for run in runs}) == len(runs)
    assert len({run.rendering(title, "binaural") for run in runs}) == 3
    loudest = runs[1].record.tracks[0]
    assert (loudest.start or 0) % 4410 == 0
    assert loudest.samples == 44100
    # As in earlier versions, which had neither.
    assert CONFIG.run_id("x") == "music-ea4e144635"


@pytest.mark.parametrize("settings", [{"excerpt": "1:1.5"}, {"excerpt": "3"}, {"titles": ["Nobody"]}])
def test_a_selection_that_is_not_in_the_dataset_creates_no_run(
    workspace: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(BadInput):
        prepared(workspace, **settings)
    assert sorted(path.name for path in workspace.iterdir()) == ["music"]
