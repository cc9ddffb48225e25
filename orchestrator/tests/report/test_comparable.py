"""The leaderboard puts runs into one table only if their scores can be compared."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mssbench.report import leaderboard
from mssbench.report.summary import RunSummary, StatisticsSummary, Summary

RUN = RunSummary(
    id="one", created="", command="", dataset="music", split="test", profile="matched", metrics="all", seed=0,
    conditions=["binaural"], tracks=["Song"], hrir=None, versions={}, machine={}, angles="a", files="f",
)  # fmt: skip


def tables(**change: object) -> int:
    runs = [
        Summary(run, StatisticsSummary(), [], [], [], [])
        for run in (RUN, replace(RUN, id="two", **change))  # type: ignore[arg-type]
    ]
    return len(leaderboard._settings(runs, {}))


@pytest.mark.parametrize(
    "change",
    [
        {"angles": "b"}, {"files": "g"}, {"aggregate": "mean"}, {"metrics": "paper"}, {"bsseval": False},
        {"profile": "paper"}, {"split": "train"}, {"tracks": ["Other"]},
    ],
)  # fmt: skip
def test_runs_that_differ_have_tables_of_their_own(change: dict[str, object]) -> None:
    assert tables(**change) == 2


def test_runs_that_differ_in_their_seed_alone_share_a_table() -> None:
    assert tables(seed=1, versions={"a": "1"}) == 1
