"""Summary of the differences between two runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..runs.compare import Change
from ..runs.results import Row
from .statistics import paired


def paired_differences(
    before: Sequence[Row], after: Sequence[Row], found: Sequence[Change]
) -> list[dict[str, Any]]:
    """Summarise the numbers that differ between the results `before` and `after`, of which `found` are the changes.

    Return an entry for each condition, separator and metric with differences: ``difference``, the median of ``after −
    before`` on common tracks and stems; ``low`` and ``high``, its 95 % bootstrap interval, which resamples tracks (None
    for a single track); ``tracks``; and ``values``, the number of values that differ.
    """
    groups: dict[tuple[str, str, str], int] = {}
    for change in found:
        if isinstance(change.before, float) and isinstance(change.after, float):
            key = (change.condition, change.separator, change.column)
            groups[key] = groups.get(key, 0) + 1
    summary = []
    for (condition, separator, column), count in groups.items():
        first, second = (_values(rows, condition, separator, column) for rows in (before, after))
        titles = list(dict.fromkeys(title for title, _ in first.keys() & second.keys()))
        stems = list(dict.fromkeys(stem for _, stem in first))
        one, other = (
            [[values.get((title, stem), math.nan) for stem in stems] for title in sorted(titles)]
            for values in (first, second)
        )
        estimate = paired(other, one).difference
        summary.append(
            {
                "condition": condition,
                "separator": separator,
                "column": column,
                "difference": estimate.value,
                "low": None if math.isnan(estimate.low) else estimate.low,
                "high": None if math.isnan(estimate.high) else estimate.high,
                "tracks": len(titles),
                "values": count,
            }
        )
    return summary


def _values(rows: Sequence[Row], condition: str, separator: str, column: str) -> dict[tuple[str, str], float]:
    return {
        (row["title"], row["source"]): row[column]
        for row in rows
        if (row["condition"], row["separator"]) == (condition, separator)
        and isinstance(row.get(column), float)
    }
