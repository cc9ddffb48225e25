"""Published figures, beside the run's own.

``published/*.csv`` hold medians that others reported, as figures with a citation; nothing is computed from
them but a difference. ``published/models.csv`` says which separator of this bench is which published model, and
with which weights: a separator that says it loaded others is not the published one.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from .analysis import ScoreTable
from .data import ALL, RunData
from .metrics import Metric, all_metrics, paper_columns, paper_tables
from .statistics import Estimate

CITATION = (
    "R. Namballa, A. Roginska and M. Fuentes, “Do Music Source Separation Models Preserve Spatial "
    "Information in Binaural Audio?”, ISMIR 2025, arXiv 2507.00155"
)
TRACKS = 50
"""Tracks behind the published medians (the test split of MUSDB18-HQ)."""


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
    estimates: dict[str, Estimate]

    @property
    def n(self) -> int:
        """Tracks behind the run's medians."""
        return max((estimate.tracks for estimate in self.estimates.values()), default=0)

    def own(self, metric: Metric) -> float:
        """The run's median, NaN where it has none."""
        estimate = self.estimates.get(metric.column)
        return estimate.value if estimate else math.nan

    def difference(self, metric: Metric) -> float:
        """The run's median minus the published one."""
        return self.own(metric) - self.published.values[metric.column]


def lines() -> list[Published]:
    """Everything published, in the order of the files: by source, then over all sources."""
    found = []
    shown = {metric.column for metric in metrics()}
    names = {
        ours: theirs for table in paper_tables().values() for theirs, ours in table.items() if ours in shown
    }
    for name in ("namballa2025_median_by_source.csv", "namballa2025_median_overall.csv"):
        for row in _read(name):
            values = {column: float(row[theirs]) for column, theirs in names.items()}
            found.append(Published(row["dataset"].lower(), row["model"], row.get("source") or ALL, values))
    return found


@dataclass(frozen=True)
class Names:
    """What a published model may be called here, and the weights that make it the published one."""

    separators: list[str]
    weights: str


def separators() -> dict[str, Names]:
    """Published model → names that this bench may have for it."""
    return {row["model"]: Names(row["separators"].split(";"), row["weights"]) for row in _read("models.csv")}


def _own(data: RunData, names: Names) -> str:
    """The run's separator that is the published model; empty where it has none."""
    there = {one.name for one in data.separators}
    for name in names.separators:
        loaded = {str(said["model"]) for said in data.details(name) if "model" in said}
        if name in there and loaded <= {names.weights}:
            return name
    return ""


def metrics() -> list[Metric]:
    """The paper's four, whether the run has them or not."""
    return paper_columns(all_metrics())


def beside(data: RunData, table: ScoreTable) -> list[Pairing]:
    """Each published line of the run's conditions with the run's medians; those that it lacks stay."""
    own_names = {model: _own(data, names) for model, names in separators().items()}
    paired = []
    for line in lines():
        if line.condition not in data.conditions:
            continue
        own = own_names.get(line.model, "")
        estimates = {
            metric.column: table.get(line.condition, own, line.source, metric).estimate
            for metric in (paper_columns(data.metrics) if own else [])
        }
        paired.append(Pairing(line, own, estimates))
    return paired


def _read(name: str) -> Iterator[dict[str, str]]:
    path = resources.files("mssbench.report") / "published" / name
    yield from csv.DictReader(path.read_text(encoding="utf-8").splitlines())
