"""The leaderboard puts runs into one table only if their scores can be compared."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from mssbench.report import ranking
from mssbench.report.cost_plot import cost_figure
from mssbench.report.summary import (
    EstimateSummary,
    MetricSummary,
    RunSummary,
    ScoreSummary,
    SeparatorSummary,
    SpeedSummary,
    StatisticsSummary,
    Summary,
)
from mssbench_service.stems import STEMS

RUN = RunSummary(
    id="one", created="", command="", dataset="music", split="test", profile="matched", metrics="all", seed=0,
    conditions=["binaural"], tracks=["Song"], hrir=None, versions={}, machine={}, angles="a", files="f",
)  # fmt: skip


def tables(**change: object) -> int:
    """Number of settings of two runs with this difference. Each has a name of its own."""
    runs = [
        Summary(run, StatisticsSummary(), [], [], [], [])
        for run in (RUN, replace(RUN, id="two", **change))  # type: ignore[arg-type]
    ]
    settings = ranking.settings_of(runs, {})
    assert len({setting.name for setting in settings}) == len(settings)
    return len(settings)


@pytest.mark.parametrize(
    "change",
    [
        {"angles": "b"}, {"files": "g"}, {"aggregate": "mean"}, {"metrics": "paper"}, {"bsseval": False},
        {"profile": "paper"}, {"split": "train"}, {"tracks": ["Other"]}, {"audio": {"binaural": "g"}, "files": "g"},
        {"other": {"excerpt": "[0, 7]"}}, {"stems": ["vocals", "drums"]}, {"versions": {"evaluator": "9"}},
    ],
)  # fmt: skip
def test_runs_that_differ_have_tables_of_their_own(change: dict[str, object]) -> None:
    assert tables(**change) == 2


def test_runs_that_differ_in_their_seed_alone_share_a_table() -> None:
    assert tables(seed=1, versions={"a": "1"}) == 1


def test_a_run_without_a_hash_of_the_audio_joins_one_of_the_same_files() -> None:
    hashed, copy = (
        replace(RUN, audio={"binaural": "a"}),
        replace(RUN, id="copy", files="g", audio={"binaural": "a"}),
    )
    for imported, count in ((replace(RUN, id="two"), 1), (replace(RUN, id="two", files="h"), 2)):
        runs = [Summary(run, StatisticsSummary(), [], [], [], []) for run in (imported, copy, hashed)]
        assert len(ranking.settings_of(runs, {})) == count


def test_copies_of_a_dataset_share_a_table() -> None:
    audio = {"binaural": "a"}
    runs = [
        Summary(
            replace(RUN, id=name, files=name, angles=name, audio=audio), StatisticsSummary(), [], [], [], []
        )
        for name in ("one", "two")
    ]
    assert len(ranking.settings_of(runs, {})) == 1


# The order of models ------------------------------------------------------------------------------------------

COLUMNS = {"in_place": "%", "SSR": "dB", "SRR": "dB", "d_itd_us": "µs", "d_ild_db": "dB"}


def summary_of(
    scores: dict[str, list[float | None]],
    *,
    run: RunSummary = RUN,
    sources: dict[str, list[str]] | None = None,
) -> Summary:
    """A run whose separators have these values in `COLUMNS`, the same for each of their sources."""
    return Summary(
        run,
        StatisticsSummary(),
        [],
        [MetricSummary(column, column, unit, "higher", "corrected", "") for column, unit in COLUMNS.items()],
        [
            SeparatorSummary(name, "x", "", "reference" if name == "mixture" else "model", "available")
            for name in scores
        ],
        [
            ScoreSummary(
                "binaural", name, source, column, EstimateSummary(value, None, None, 1, 1), 1, 0, 0, 0
            )
            for name, values in scores.items()
            for source in [*(sources or {}).get(name, STEMS), "all"]
            for column, value in zip(COLUMNS, values, strict=True)
        ],
    )


def tables_of(*runs: Summary) -> dict[str, ranking.Table]:
    names = {one.name for run in runs for one in run.separators}
    (setting,) = ranking.settings_of(runs, dict.fromkeys(names, ""))
    assert [metric.column for metric in setting.criterion] == list(COLUMNS)
    return {table.source: table for table in setting.tables}


def test_models_are_in_the_order_of_their_mean_rank_and_references_have_none() -> None:
    table = tables_of(
        summary_of(
            {
                "nothing": [10, 99, -9, 900, 9],  # the best SSR alone does not lead
                "good": [80, 10, 9, 90, 1],
                "better": [90, 10, 10, 80, 1],
                "partly": [95, 50, 20, None, 1],
                "mixture": [0, 99, -9, 900, 9],
            }
        )
    )["all"]
    ranks = {row.entry.separator.name: row.rank for row in table.models}
    # ΔILD: three share the ranks 1 to 3. SSR: two share the ranks 3 and 4.
    assert ranks == {
        "better": (2 + 3.5 + 2 + 1 + 2) / 5,
        "good": (3 + 3.5 + 3 + 2 + 2) / 5,
        "nothing": (4 + 1 + 4 + 3 + 4) / 5,
        "partly": None,
    }
    assert list(ranks) == ["better", "good", "nothing", "partly"]
    assert {row.entry.separator.name: row.best for row in table.models} == {
        "better": {"d_itd_us", "d_ild_db"},
        "good": {"d_ild_db"},
        "nothing": {"SSR"},
        "partly": {"in_place", "SRR", "d_ild_db"},
    }
    assert [(row.entry.separator.name, row.rank) for row in table.references] == [("mixture", None)]


def test_models_of_few_stems_are_compared_where_they_have_a_stem() -> None:
    values: list[float | None] = [1, 1, 1, 1, 1]
    offered = {"pair": ["vocals", "accompaniment"], "voice": ["vocals"], "four": [*STEMS, "accompaniment"]}
    tables = tables_of(summary_of(dict.fromkeys(offered, values), sources=offered))
    names = {source: {row.entry.separator.name for row in table.models} for source, table in tables.items()}
    assert names == {
        "all": {"four"},
        "vocals": {"pair", "voice", "four"},
        "drums": {"four"},
        "bass": {"four"},
        "other": {"four"},
        "accompaniment": {"pair", "four"},
    }


def test_a_model_in_two_runs_has_one_row_of_the_newest_run_and_other_weights_are_another_model() -> None:
    runs = [
        summary_of({"model": [value] * 5}, run=replace(RUN, id=name, created=created))
        for name, created, value in (("a", "2026-01-02", 2.0), ("b", "2026-01-01", 1.0))
    ]
    (row,) = tables_of(*runs)["all"].models
    assert (row.entry.run.run.id, [one.run.id for one in row.entry.also]) == ("a", ["b"])
    runs[1].separators[0].weights = {"model.ckpt": "1"}
    assert len(tables_of(*runs)["all"].models) == 2


def test_quality_is_drawn_against_speed_for_models_with_a_time() -> None:
    run = summary_of({"slow": [9.0, 9.0, 9.0, 9.0, -1e9], "fast": [1.0] * 5, "mixture": [5.0] * 5})
    run.speeds = [
        SpeedSummary(name, "cpu", 1, 1.0, factor) for name, factor in (("slow", 1e-3), ("fast", None))
    ]
    (setting,) = ranking.settings_of([run], dict.fromkeys(("slow", "fast", "mixture"), ""))
    assert cost_figure(setting, setting.tables[0]) is None
    run.speeds[1].factor = 40.0
    for table in setting.tables:
        figure = cost_figure(setting, table)
        assert figure is not None
        assert list(figure.plots) == ["rank", *COLUMNS]
        assert [name for _, name in figure.legend] == [
            f"{row.entry.separator.name} (cpu)" for row in table.models
        ]
        for order, image in figure.plots.items():
            marks = dict(re.findall(r'<g data-tip="(\w+):[^>]*>(.*?)</g>', image))
            assert sorted(marks) == ["fast", "slow"]  # no reference separator
            places = {
                name: re.findall(r"(?:translate\(|c[xy]=\"| )([\d.]+)", mark)[:2]
                for name, mark in marks.items()
            }
            (slow_x, slow_y), (fast_x, fast_y) = (map(float, places[name]) for name in ("slow", "fast"))
            assert slow_x < fast_x
            better = "fast" if order == "d_itd_us" else "slow"
            assert (slow_y < fast_y) == (better == "slow")  # better is up
