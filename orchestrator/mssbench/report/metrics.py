"""The metrics of reports: entries of the registry of ``binaural_metrics``, and how a report writes their values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from binaural_metrics import registry

DASH = "–"


@dataclass(frozen=True)
class Metric:
    """One metric of a report.

    Attributes
    ----------
    column : str
        Name in the results.
    label, unit : str
        Short name, and unit; empty for a pure number.
    better : {"higher", "lower", ""}
        Empty where neither is better.
    profile : {"corrected", "paper", "standard"}
        Its group. Summaries of runs call it so.
    description : str
        What it measures.
    decimals : int
    role : str
        The question that it answers, for `headline`. Metrics of one role are alternatives.
    condition : str
        The only condition in which it means something; empty for all.
    """

    column: str
    label: str
    unit: str
    better: Literal["higher", "lower", ""]
    profile: str
    description: str
    decimals: int = 2
    role: str = ""
    condition: str = ""

    @classmethod
    def of(cls, entry: registry.Metric) -> Metric:
        """The metric of an entry of the registry."""
        return cls(
            entry.column,
            entry.label,
            entry.unit,
            entry.better,
            entry.group,
            entry.text,
            entry.decimals,
            entry.role,
            "binaural" if entry.binaural_only else "",
        )

    @property
    def title(self) -> str:
        """Label with unit, as on an axis."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def format(self, value: float | None) -> str:
        """Value as text in a table: a minus sign instead of a hyphen, no "-0", a dash instead of NaN."""
        if value is None or math.isnan(value):
            return DASH
        rounded = round(value, self.decimals) + 0.0  # −0.0 + 0.0 is 0.0
        return f"{rounded:.{self.decimals}f}".replace("-", "−")

    def is_worse(self, value: float, other: float) -> bool:
        """Whether `value` is worse than `other`."""
        return value < other if self.better == "higher" else value > other


ROLES = ("spatial", "residual", "itd", "ild")
"""The four questions of the paper's tables, in their order."""

ITD_LIMIT_US = 50.0
"""ΔITD above this is reported as a share of tracks; well above what listeners tell apart from the front."""


def all_metrics() -> list[Metric]:
    """Every metric that a report can show, in order."""
    return [Metric.of(entry) for entry in registry.reported()]


def by_column() -> dict[str, Metric]:
    """Every metric that a report can show, by its column."""
    return {metric.column: metric for metric in all_metrics()}


def present(columns: Iterable[str]) -> list[Metric]:
    """The metrics among `columns`, in the order of reports."""
    found = set(columns)
    return [metric for metric in all_metrics() if metric.column in found]


def paper_tables() -> dict[str, dict[str, str]]:
    """The result files of the paper: for each file the columns by the paper's name, with their columns here."""
    tables: dict[str, dict[str, str]] = {}
    for entry in registry.metrics():
        if entry.paper_name:
            tables.setdefault(entry.paper_table, {})[entry.paper_name] = entry.column
    return tables


def headline(metrics: Iterable[Metric]) -> list[Metric]:
    """One metric per role: the corrected one where the run has it, otherwise the paper's."""
    found: dict[str, Metric] = {}
    for metric in metrics:
        if metric.role:
            found.setdefault(metric.role, metric)
    return [found[role] for role in ROLES if role in found]


def paper_columns(metrics: Iterable[Metric]) -> list[Metric]:
    """The four metrics of the paper, as far as the run has them, in the order of `ROLES`."""
    found = {metric.role: metric for metric in metrics if metric.profile == "paper"}
    return [found[role] for role in ROLES if role in found]
