"""Published figures, beside the run's own.

``published/*.csv`` hold medians that others reported, as figures with a citation; nothing is computed from
them but a difference. ``published/models.csv`` says which separator of this bench is which published model.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from .analysis import ScoreTable
from .data import ALL, RunData
from .metrics import METRICS, Metric, paper_columns

CITATION = (
    "R. Namballa, A. Roginska and M. Fuentes, “Do Music Source Separation Models Preserve Spatial "
    "Information in Binaural Audio?”, ISMIR 2025, arXiv 2507.00155"
)
TRACKS = 50
"""Tracks behind the published medians (the test split of MUSDB18-HQ)."""

_COLUMNS = {
    "paper_SSR": "SSR",
    "paper_SRR": "SRR",
    "paper_diff_ITD": "diff_ITD",
    "paper_diff_ILD": "diff_ILD",
}


@dataclass(frozen=True)
class Published:
    """One published line: medians of one model on one source."""

    condition: str
    model: str
    source: str
    values: dict[str, float]


@dataclass(frozen=True)
class Pairing:
    """A published line and the run's own medians for it; `separator` is empty where the run has none."""

    published: Published
    separator: str
    own: dict[str, float]
    n: int

    def difference(self, metric: Metric) -> float:
        return self.own.get(metric.column, float("nan")) - self.published.values[metric.column]


def lines() -> list[Published]:
    """Everything published, in the order of the files: by source, then over all sources."""
    found = []
    for name in ("namballa2025_median_by_source.csv", "namballa2025_median_overall.csv"):
        for row in _read(name):
            values = {column: float(row[theirs]) for column, theirs in _COLUMNS.items()}
            found.append(Published(row["dataset"].lower(), row["model"], row.get("source") or ALL, values))
    return found


def separators() -> dict[str, list[str]]:
    """Published model → names that this bench may have for it."""
    return {row["model"]: row["separators"].split(";") for row in _read("models.csv")}


def metrics() -> list[Metric]:
    """The paper's four, whether the run has them or not."""
    return paper_columns(METRICS)


def beside(data: RunData, table: ScoreTable) -> list[Pairing]:
    """Each published line of the run's conditions with the run's medians; those that it lacks stay."""
    there = {one.name for one in data.separators}
    names = separators()
    paired = []
    for line in lines():
        if line.condition not in data.conditions:
            continue
        own = next((name for name in names.get(line.model, []) if name in there), "")
        values: dict[str, float] = {}
        n = 0
        if own:
            for metric in paper_columns(data.metrics):
                estimate = table.get(line.condition, own, line.source, metric).estimate
                values[metric.column] = estimate.value
                n = max(n, estimate.tracks)
        paired.append(Pairing(line, own, values, n))
    return paired


def _read(name: str) -> Iterator[dict[str, str]]:
    path = resources.files("mssbench") / "published" / name
    yield from csv.DictReader(path.read_text(encoding="utf-8").splitlines())
