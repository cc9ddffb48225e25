"""Known scores in the analysis of synthetic runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mssbench.report.analysis import analyse
from mssbench.report.data import load
from mssbench.runs.records import Cell
from mssbench.runs.store import RunStore
from mssbench_service.files import read_json, write_json

MakeRun = Callable[..., Path]


def test_known_score_passes_or_fails(make_run: MakeRun) -> None:
    good = analyse(load(make_run(tracks=2))).known_scores
    assert [(c.condition, c.metric_column, c.passed, c.n) for c in good] == [
        ("stereo", "SSR", True, 8),
        ("binaural", "SSR", True, 8),
        ("binaural", "paper_SSR", True, 8),
    ]
    bad = analyse(load(make_run(tracks=2, probe_score=79.5))).known_scores
    assert [(c.passed, c.measured_low, c.measured_high) for c in bad] == [(False, 79.5, 79.5)] * 3


def test_paper_scores_are_known_only_at_the_level_of_the_mixture(make_run: MakeRun) -> None:
    checks = analyse(load(make_run(tracks=2, gain=1.3))).known_scores
    paper = next(c for c in checks if c.metric_column == "paper_SSR")
    assert (paper.passed, paper.n) == (None, 0)
    assert "mixture gain is not 1" in paper.note
    assert all(c.passed for c in checks if c.metric_column == "SSR")


def test_paper_scores_are_known_only_for_stems_that_sound_in_most_frames(make_run: MakeRun) -> None:
    run = make_run(tracks=2, trouble=False)
    path = next(run.glob("cells/binaural/identity/*/result.json"))
    result = read_json(path)
    # Its medians count silent frames as 0 dB, and half of this stem's frames are silent.
    result["rows"][0] |= {"valid_frames": 10, "total_frames": 20, "paper_SSR": 0.0}
    result["rows"][1] |= {"valid_frames": 11, "total_frames": 20}
    write_json(path, result)
    check = next(c for c in analyse(load(run)).known_scores if c.metric_column == "paper_SSR")
    assert (check.passed, check.n) == (True, 7)
    assert "half of their frames or more: 1" in check.note
    result["rows"][0] |= {"valid_frames": 20}
    write_json(path, result)
    check = next(c for c in analyse(load(run)).known_scores if c.metric_column == "paper_SSR")
    assert (check.passed, check.n, check.measured_low) == (False, 8, 0.0)


def test_a_failed_cell_fails_its_known_scores(make_run: MakeRun) -> None:
    run = make_run(tracks=2)
    store = RunStore(run)
    cell = Cell("binaural", "identity", load(run).titles[1])
    (store.layout.cell(cell) / "result.json").unlink()
    store.save_error(cell, "separate", "step-failed", "broken")
    checks = analyse(load(run)).known_scores
    assert [c.passed for c in checks] == [True, False, False]
    assert checks[1].note == "4 failed"
