"""The numbers of a report, for synthetic runs."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mssbench.report import build_report
from mssbench.report import page as page_module
from mssbench.report.analysis import analyse
from mssbench.report.data import ALL_STEMS, RunData, load
from mssbench.report.metrics import all_metrics, by_column, headline
from mssbench.runs.conditions import Condition
from mssbench_service.errors import BadInput, NotFound
from mssbench_service.files import read_json, write_json

MakeRun = Callable[..., Path]


@pytest.fixture(scope="module")
def data(make_run: MakeRun) -> RunData:
    return load(make_run(tracks=6))


def test_scored_stems_with_a_reason_are_listed_last_without_known_answer_tests(data: RunData) -> None:
    late = [row | {"reason": "late"} if row["status"] == "ok" else row for row in data.rows]
    found = page_module._failures(dataclasses.replace(data, rows=late))
    statuses = [one["status"] for one in found]
    assert statuses == sorted(statuses, key=["failed", "undefined", "noted"].index)
    noted = {one["separator"] for one in found if one["status"] == "noted"}
    assert "model-0" in noted
    assert not noted & {one.name for one in data.probes}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"models": 0}, "No trained model is in this run. Of its reference separators, irm has"),
        ({"models": 1}, "The only model, model-0"),
        ({"conditions": ("stereo",)}, "The run has only the stereo condition"),
        ({"conditions": ("binaural",)}, "The run has only the binaural condition"),
    ],
)
def test_small_runs_have_an_answer(make_run: MakeRun, changes: dict[str, object], expected: str) -> None:
    data = load(make_run(tracks=3, **changes))
    assert expected in " ".join(analyse(data).answer)


def test_the_answer_names_three_conditions_or_two_and_the_range_of_the_others(make_run: MakeRun) -> None:
    conditions = ("stereo", "binaural", *(Condition(f"scene-{number}") for number in range(3)))
    found = analyse(load(make_run(tracks=3, models=1, later=True, conditions=conditions[:3]))).answer
    assert " in stereo and " in found[0]
    assert " in scene-0;" in found[0]
    sentence, note = analyse(load(make_run(tracks=3, models=1, later=True, conditions=conditions))).answer
    assert re.search(
        r"keeps \d+\xa0% of the sound in place on binaural audio, \d+\xa0% in stereo and ", sentence
    )
    assert re.search(r" and \d+( to \d+)?\xa0% in the 3 other conditions; irm, ", sentence)
    assert "scene" not in sentence + note


def test_models_without_a_score_are_not_counted_as_compared(make_run: MakeRun) -> None:
    folder = make_run(tracks=2, models=2, later=True)
    for path in folder.glob("cells/*/model-1/*/result.json"):
        path.unlink()
    assert "The only model with a score, model-0, keeps" in analyse(load(folder)).answer[0]


def test_headline_falls_back_to_the_papers_metrics() -> None:
    paper = [metric for metric in all_metrics() if metric.group == "paper"]
    assert [metric.column for metric in headline(paper)] == [
        "paper_SSR",
        "paper_SRR",
        "paper_diff_ITD",
        "paper_diff_ILD",
    ]
    assert len({metric.column for metric in all_metrics()}) == len(all_metrics())


def test_format_has_no_negative_zero_and_a_minus_sign() -> None:
    metric = by_column()["SSR"]
    assert [metric.format(v) for v in (-0.001, -1.005, 2, None, math.nan)] == [
        "0.00",
        "−1.00",
        "2.00",
        "–",
        "–",
    ]


# Comparisons ------------------------------------------------------------------------------------------------


def test_comparisons_cover_each_pair_and_form_one_family(data: RunData) -> None:
    found = analyse(data)
    assert len(found.separator_differences) == 4 * 2 * 3
    assert len(found.condition_differences) == 4 * 3
    for family in (found.separator_differences, found.condition_differences):
        raw = [d.paired.test.p for d in family]
        assert all(d.p_holm >= d.paired.test.p for d in family)
        assert min(d.p_holm for d in family) == pytest.approx(min(1, min(raw) * len(raw)))
    lost = next(d for d in found.condition_differences if d.within == "model-1")
    assert lost.paired.test.n == 5  # the failed track is not a common track


def test_share_of_tracks_above_the_limit(data: RunData) -> None:
    share = next(
        s
        for s in analyse(data).large_itd_errors
        if (s.condition, s.separator, s.source) == ("binaural", "irm", ALL_STEMS)
    )
    largest = np.nanmax(data.track_values("paper_diff_ITD", "binaural", "irm"), axis=1)
    assert share.estimate.value == np.mean(largest > 50)
    assert share.estimate.n == 6


def test_speed_is_seconds_of_audio_per_second(data: RunData) -> None:
    speeds = {(s.separator, s.device): s for s in analyse(data).speeds}
    assert speeds["model-0", "cpu"].factor == 5.0
    assert speeds["model-1", "cpu"].cells == 11  # one of twelve failed


# Input that contradicts itself ------------------------------------------------------------------------------


def test_a_folder_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        build_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"source": "piano"}, {"source": "drums"}])
def test_rows_that_contradict_the_run_are_refused(make_run: MakeRun, change: dict[str, str]) -> None:
    run = make_run(tracks=1, trouble=False)
    path = next(run.glob("cells/stereo/irm/*/result.json"))
    result = read_json(path)
    result["rows"][0] |= change
    write_json(path, result)
    with pytest.raises(BadInput, match=r"is not the outcome of (a|this) cell"):
        build_report(run)
    assert not (run / "report").exists()


def test_a_value_that_is_not_a_number_is_ignored(make_run: MakeRun) -> None:
    run = make_run(tracks=1, trouble=False)
    path = next(run.glob("cells/stereo/irm/*/result.json"))
    path.write_text(path.read_text().replace('"SSR": ', '"SSR": "x", "was": ', 1))
    data = load(run)
    values = data.track_values("SSR", "stereo", "irm")
    assert np.isnan(values[0, 0])
    assert np.isfinite(values[0, 1:]).all()
