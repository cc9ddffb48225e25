"""Scores of a report: medians per group, paired comparisons, and the share of tracks with a large ITD error.

Functions from :class:`~mssbench.report.data.RunData` to small records.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import statistics
from .data import Counts, RunData
from .metrics import ITD_LIMIT_US, Metric


@dataclass(frozen=True)
class Score:
    """Median of one metric over the tracks of one group, with its interval and the counts of the group."""

    condition: str
    separator: str
    source: str
    metric: Metric
    estimate: statistics.Estimate
    counts: Counts


@dataclass(frozen=True)
class Difference:
    """First minus second, on common tracks and all stems. `p_holm` is Holm's adjusted p value.

    Two separators are compared within a condition, or two conditions within a separator; `within` names it.
    """

    within: str
    first: str
    second: str
    metric: Metric
    paired: statistics.Paired
    p_holm: float


@dataclass(frozen=True)
class LargeItdError:
    """Share of tracks with a ΔITD above :data:`~mssbench.report.metrics.ITD_LIMIT_US`."""

    condition: str
    separator: str
    source: str
    metric: Metric
    estimate: statistics.Estimate


class ScoreTable:
    """Scores by condition, separator, source and metric."""

    def __init__(self, scores: Sequence[Score]) -> None:
        self.all = list(scores)
        self._by_key = {(s.condition, s.separator, s.source, s.metric.column): s for s in scores}

    def get(self, condition: str, separator: str, source: str, metric: Metric) -> Score:
        """Return the score of one group; KeyError where the run has no such group."""
        return self._by_key[condition, separator, source, metric.column]


def median_scores(data: RunData) -> list[Score]:
    """Return the medians of all metrics per condition, separator and source."""
    return [
        Score(
            condition,
            separator.name,
            source,
            metric,
            statistics.median(data.track_values(metric, condition, separator.name, source)),
            data.counts(metric, condition, separator.name, source),
        )
        for metric in data.metrics
        for condition in data.conditions
        for separator in data.separators
        for source in data.sources
    ]


def separator_differences(data: RunData) -> list[Difference]:
    """Compare each pair of separators per condition and headline metric; Holm's correction over all of them."""
    keys = [
        (condition, first.name, second.name, metric)
        for metric in data.headline
        for condition in data.conditions
        for first, second in itertools.combinations(data.compared, 2)
    ]
    pairs = [
        statistics.paired(*data.common_values(metric, (condition, first), (condition, second)))
        for condition, first, second, metric in keys
    ]
    return _with_holm(keys, pairs)


def condition_differences(data: RunData) -> list[Difference]:
    """Compare each condition with the first one per separator and headline metric; Holm's correction over all."""
    reference, *others = data.conditions
    keys = [
        (separator.name, condition, reference, metric)
        for metric in data.headline
        for separator in data.compared
        for condition in others
    ]
    pairs = [
        statistics.paired(
            data.track_values(metric, first, separator), data.track_values(metric, second, separator)
        )
        for separator, first, second, metric in keys
    ]
    return _with_holm(keys, pairs)


def _with_holm(
    keys: Sequence[tuple[str, str, str, Metric]], pairs: Sequence[statistics.Paired]
) -> list[Difference]:
    adjusted = statistics.holm([pair.test.p for pair in pairs])
    return [
        Difference(within, first, second, metric, pair, float(p))
        for (within, first, second, metric), pair, p in zip(keys, pairs, adjusted, strict=True)
    ]


def large_itd_errors(data: RunData) -> list[LargeItdError]:
    """Return the share of tracks above the ΔITD limit per source; for all stems, a track counts if any stem does."""
    metric = next((metric for metric in data.headline if metric.role == "itd"), None)
    if metric is None:
        return []
    found = []
    for condition, separator, source in itertools.product(data.conditions, data.compared, data.sources):
        values = data.track_values(metric, condition, separator.name, source)
        # The largest value of a track's stems decides; fmax ignores NaN.
        estimate = statistics.share_above(np.fmax.reduce(values, axis=1), ITD_LIMIT_US)
        found.append(LargeItdError(condition, separator.name, source, metric, estimate))
    return found
