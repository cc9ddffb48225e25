"""All numbers of a report, computed once for the page and for the files."""

from __future__ import annotations

from dataclasses import dataclass

from .answer import answer
from .data import RunData
from .known_answers import KnownScore, known_scores
from .mixture_gain import GainEffect, gain_effects
from .scores import (
    Difference,
    LargeItdError,
    ScoreTable,
    condition_differences,
    large_itd_errors,
    median_scores,
    separator_differences,
)
from .speed import Speed, speeds


@dataclass(frozen=True)
class Analysis:
    """Numbers of a report.

    The answer, the first table, the differences between conditions and the figures that compare separators are about
    `shared`: the scores of the targets that all models offer.
    """

    answer: list[str]
    shared: RunData
    shared_table: ScoreTable
    table: ScoreTable
    separator_differences: list[Difference]
    condition_differences: list[Difference]
    large_itd_errors: list[LargeItdError]
    known_scores: list[KnownScore]
    gain_effects: list[GainEffect]
    speeds: list[Speed]


def analyse(data: RunData) -> Analysis:
    """Compute every number of a report."""
    table = ScoreTable(median_scores(data))
    shared = data.only(data.shared)
    shared_table = table if shared is data else ScoreTable(median_scores(shared))
    by_condition = condition_differences(shared)
    return Analysis(
        answer(shared, shared_table, by_condition),
        shared,
        shared_table,
        table,
        separator_differences(data),
        by_condition,
        large_itd_errors(data),
        known_scores(data),
        gain_effects(data),
        speeds(data),
    )
