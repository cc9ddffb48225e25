"""Rank correlation of metrics with the ratings of listeners.

    python benchmarks/listeners/correlate.py RATINGS RUN/results.csv

RATINGS is a folder of CSV files, one row for each rating, with the columns

    title, source, separator   as in the results of the run
    rating                     a number; higher is better
    listener                   optional: who rated
    condition                  optional: "binaural" if not given

Ratings of one stem are averaged over listeners. For each metric, the program prints Spearman's and Kendall's (tau-b)
rank correlation with the ratings, and their 95 % intervals by bootstrap over titles. The sign is turned where a lower
value is better, so that a positive correlation is always agreement.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from binaural_metrics.registry import metrics
from scipy.stats import kendalltau, spearmanr

REQUIRED = ("title", "source", "separator", "rating")
DRAWS, SEED, LEAST = 2000, 0, 3

Key = tuple[str, str, str, str]


class BadRatings(Exception):
    """A file cannot be used; the message says which, where and why."""


def read_ratings(folder: Path) -> dict[Key, float]:
    """Mean rating by (condition, separator, title, source), from all CSV files of `folder`.

    Raises
    ------
    BadRatings
        There is no file, a column is missing, or a rating is not a finite number.
    """
    files = sorted(folder.glob("*.csv")) if folder.is_dir() else []
    if not files:
        raise BadRatings(f"{folder} has no CSV file; expected the columns {', '.join(REQUIRED)}")
    found: dict[Key, list[float]] = defaultdict(list)
    for path in files:
        for line, row in _rows(path, REQUIRED):
            key = (row.get("condition") or "binaural", row["separator"], row["title"], row["source"])
            rating = _number(row["rating"])
            if rating is None:
                raise BadRatings(f"{path}, line {line}: the rating is {row['rating']!r}; expected a number")
            found[key].append(rating)
    if not found:
        raise BadRatings(f"{folder} has no rating")
    return {key: float(np.mean(values)) for key, values in found.items()}


def read_scores(path: Path) -> dict[Key, dict[str, float]]:
    """Values of metrics by the same key, from the ``results.csv`` of a run. Empty fields are left out."""
    scores = {}
    for _, row in _rows(path, ("condition", "separator", "title", "source")):
        key = (row["condition"], row["separator"], row["title"], row["source"])
        values = {column: _number(text or "") for column, text in row.items() if column}
        scores[key] = {column: value for column, value in values.items() if value is not None}
    return scores


def _rows(path: Path, required: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadRatings(f"{path} cannot be read as CSV: {error}") from None
    missing = [column for column in required if column not in (reader.fieldnames or ())]
    if missing:
        raise BadRatings(f"{path} has no column {missing[0]!r}; expected {', '.join(required)}")
    for line, row in rows:
        if any(row[column] is None for column in required):
            raise BadRatings(f"{path}, line {line} is incomplete")
    return rows


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def correlations(ratings: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Spearman's rho and Kendall's tau-b; NaN where one side is constant."""
    if np.ptp(ratings) == 0 or np.ptp(values) == 0:
        return math.nan, math.nan
    return float(spearmanr(ratings, values).statistic), float(kendalltau(ratings, values).statistic)


def intervals(ratings: np.ndarray, values: np.ndarray, titles: list[str], draws: int = DRAWS) -> np.ndarray:
    """95 % intervals of both correlations, shape (2, 2), by resampling titles; NaN if there are too few."""
    generator = np.random.default_rng(SEED)
    groups = [np.flatnonzero(np.array(titles) == title) for title in sorted(set(titles))]
    if len(groups) < LEAST:
        return np.full((2, 2), math.nan)
    drawn = []
    for _ in range(draws):
        chosen = np.concatenate([groups[i] for i in generator.integers(0, len(groups), len(groups))])
        drawn.append(correlations(ratings[chosen], values[chosen]))
    kept = np.array([pair for pair in drawn if not math.isnan(pair[0])]).reshape(-1, 2)
    return np.quantile(kept, [0.025, 0.975], axis=0).T if len(kept) else np.full((2, 2), math.nan)


def table(ratings: dict[Key, float], scores: dict[Key, dict[str, float]], draws: int = DRAWS) -> list[str]:
    """One line for each metric that has a direction and values of rated stems.

    Raises
    ------
    BadRatings
        No rated stem is in the results.
    """
    common = [key for key in ratings if key in scores]
    if not common:
        raise BadRatings("none of the rated stems is in the results; expected the same titles and separators")
    lines = [f"{len(common)} of {len(ratings)} rated stems are in the results"]
    lines.append(f"{'metric':<22}{'stems':>6}  {'Spearman':<24}{'Kendall':<24}")
    for metric in metrics():
        keys = [key for key in common if metric.column in scores[key]]
        if not metric.better or len(keys) < LEAST:
            continue
        sign = 1.0 if metric.better == "higher" else -1.0
        rated = np.array([ratings[key] for key in keys])
        values = np.array([sign * scores[key][metric.column] for key in keys])
        limits = intervals(rated, values, [key[2] for key in keys], draws)
        cells = [
            "–" if math.isnan(value) else f"{value:5.2f} ({low:.2f} to {high:.2f})"
            for value, (low, high) in zip(correlations(rated, values), limits, strict=True)
        ]
        lines.append(f"{metric.column:<22}{len(keys):>6}  {cells[0]:<24}{cells[1]:<24}".rstrip())
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("ratings", type=Path, help="folder of CSV files")
    parser.add_argument("results", type=Path, help="results.csv of a run")
    arguments = parser.parse_args()
    try:
        print("\n".join(table(read_ratings(arguments.ratings), read_scores(arguments.results))))
    except BadRatings as error:
        print(f"correlate: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
