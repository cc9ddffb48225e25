"""Published results of others, compared with the results of a run.

``published/*.csv`` contain published medians. ``published/models.csv`` maps each published model to separators
of this bench and to the weights that it used; a separator that reports other weights is not the published model.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

from .data import ALL_STEMS, RunData
from .metrics import Metric, all_metrics, paper_columns, paper_tables
from .scores import ScoreTable
from .statistics import Estimate

CITATION = (
    "R. Namballa, A. Roginska and M. Fuentes, “Do Music Source Separation Models Preserve Spatial "
    "Information in Binaural Audio?”, ISMIR 2025, arXiv 2507.00155; "
    "(repository): added later in the paper's repository"
)
TRACKS = 50
"""Number of tracks of the published medians (the test split of MUSDB18-HQ)."""


@dataclass(frozen=True)
class Published:
    """Published medians of one model on one source, by column."""

    condition: str
    model: str
    source: str
    values: dict[str, float]


@dataclass(frozen=True)
class Pairing:
    """Published medians and those of the run; `separator` is empty where the run does not have the model."""

    published: Published
    separator: str
    estimates: dict[str, Estimate]

    @property
    def n(self) -> int:
        """Number of tracks of the run's medians."""
        return max((estimate.tracks for estimate in self.estimates.values()), default=0)

    def own(self, metric: Metric) -> float:
        """Return the median of the run; NaN where it has none."""
        estimate = self.estimates.get(metric.column)
        return estimate.value if estimate else math.nan

    def difference(self, metric: Metric) -> float:
        """Return the median of the run minus the published one."""
        return self.own(metric) - self.published.values[metric.column]


def published_medians() -> list[Published]:
    """Return all published medians in the order of the files: by source, then over all sources."""
    found = []
    shown = {metric.column for metric in published_metrics()}
    names = {
        ours: theirs for table in paper_tables().values() for theirs, ours in table.items() if ours in shown
    }
    for name in (
        "namballa2025_median_by_source.csv",
        "namballa2025_median_overall.csv",
        "repository_median_overall.csv",
    ):
        for row in _read(name):
            values = {column: float(row[theirs]) for column, theirs in names.items()}
            found.append(
                Published(row["dataset"].lower(), row["model"], row.get("source") or ALL_STEMS, values)
            )
    return found


def published_models() -> dict[str, tuple[list[str], str]]:
    """Return, for each published model, the separators that may be that model, and the weights that it used."""
    return {row["model"]: (row["separators"].split(";"), row["weights"]) for row in _read("models.csv")}


def _separator_of(data: RunData, names: Sequence[str], weights: str) -> str:
    """Return the separator of the run that is the published model; empty where there is none."""
    available = {separator.name for separator in data.separators}
    for name in names:
        loaded = {str(details["model"]) for details in data.details(name) if "model" in details}
        if name in available and loaded <= {weights}:
            return name
    return ""


def published_metrics() -> list[Metric]:
    """Return the four metrics of the paper, also where the run does not have them."""
    return paper_columns(all_metrics())


def compare(data: RunData, table: ScoreTable) -> list[Pairing]:
    """Compare all published medians of the run's conditions with the run; models that it does not have are kept."""
    own_names = {model: _separator_of(data, *known) for model, known in published_models().items()}
    paired = []
    for line in published_medians():
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
