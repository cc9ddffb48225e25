"""Metrics of reports: entries of the registry of ``binaural_metrics``, and the format of their values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from binaural_metrics import registry

from ..runs.conditions import BINAURAL, STEREO

DASH = "–"


def applies(only: str, condition: str) -> bool:
    """Whether `only`, the condition of a metric or a known score, includes `condition`. "binaural": all renderings."""
    return only in ("", condition) or (only == BINAURAL and condition != STEREO)


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
        Group of the metric; the field name in ``summary.json`` is "profile".
    description : str
        What it measures.
    decimals : int
    role : str
        Role for `headline`; metrics of one role are alternatives.
    condition : str
        "binaural" if it is defined in renderings only; empty for all conditions.
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
        """Return the metric of an entry of the registry."""
        return cls(
            entry.column,
            entry.label,
            entry.unit,
            entry.better,
            entry.group,
            entry.text.replace("`", ""),
            entry.decimals,
            entry.role,
            "binaural" if entry.binaural_only else "",
        )

    def defined_in(self, condition: str) -> bool:
        """Whether the metric is defined in a condition."""
        return applies(self.condition, condition)

    @property
    def title(self) -> str:
        """Label with unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def format(self, value: float | None) -> str:
        """Format a value for a table: with a minus sign, without "-0", a dash for NaN."""
        if value is None or math.isnan(value):
            return DASH
        rounded = round(value, self.decimals) + 0.0  # −0.0 + 0.0 is 0.0
        return f"{rounded:.{self.decimals}f}".replace("-", "−")

    def is_worse(self, value: float, other: float) -> bool:
        """Whether `value` is worse than `other`."""
        return value < other if self.better == "higher" else value > other


ROLES = ("place", "spatial", "residual", "itd", "ild")
"""Roles of the headline metrics: what stays in place, then the order of the paper's tables."""

ITD_LIMIT_US = 50.0
"""The share of tracks with a ΔITD above this is reported; it is well above the just noticeable difference in front."""


def all_metrics() -> list[Metric]:
    """Return all metrics that a report can show, in order."""
    return [Metric.of(entry) for entry in registry.reported()]


def by_column() -> dict[str, Metric]:
    """Return all metrics that a report can show, by column."""
    return {metric.column: metric for metric in all_metrics()}


def present(columns: Iterable[str]) -> list[Metric]:
    """Return the metrics of `columns` in the order of reports."""
    found = set(columns)
    return [metric for metric in all_metrics() if metric.column in found]


def paper_tables() -> dict[str, dict[str, str]]:
    """Return the result files of the paper: for each file, our column by the paper's column name."""
    tables: dict[str, dict[str, str]] = {}
    for entry in registry.metrics():
        if entry.paper_name:
            tables.setdefault(entry.paper_table, {})[entry.paper_name] = entry.column
    return tables


def headline(metrics: Iterable[Metric]) -> list[Metric]:
    """Return one metric per role: the corrected one if the run has it, otherwise the paper's."""
    found: dict[str, Metric] = {}
    for metric in metrics:
        if metric.role:
            found.setdefault(metric.role, metric)
    return [found[role] for role in ROLES if role in found]


def paper_columns(metrics: Iterable[Metric]) -> list[Metric]:
    """Return the metrics of the paper that the run has, in the order of `ROLES`."""
    found = {metric.role: metric for metric in metrics if metric.profile == "paper"}
    return [found[role] for role in ROLES if role in found]


def finite_value(value: object) -> float:
    """Return a value of a row as float; NaN where it is missing, infinite or not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value) if math.isfinite(value) else math.nan
    except OverflowError:  # a JSON integer of hundreds of digits
        return math.nan
