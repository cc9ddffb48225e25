"""Metrics of reports: entries of the registry of ``binaural_metrics``, and the format of their values."""

from __future__ import annotations

import math
from collections.abc import Iterable

from binaural_metrics import registry

from ..runs.conditions import STEREO

DASH = "–"


class Metric(registry.Metric):
    """A metric of a report: an entry of the registry, and how its values are shown."""

    @property
    def description(self) -> str:
        """What it measures, without markup."""
        return self.text.replace("`", "")

    @property
    def title(self) -> str:
        """Label with unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def defined_in(self, condition: str) -> bool:
        """Whether the metric is defined in a condition."""
        return condition != STEREO or not self.binaural_only

    def format(self, value: float | None) -> str:
        """Format a value for a table, as :func:`format_number`."""
        return format_number(value, self.decimals)


def format_number(value: float | None, decimals: int = 2) -> str:
    """Format a number for a table: with a minus sign, without "-0", a dash for NaN and None."""
    if value is None or math.isnan(value):
        return DASH
    rounded = round(value, decimals) + 0.0  # −0.0 + 0.0 is 0.0
    return f"{rounded:.{decimals}f}".replace("-", "−")


ROLES = ("place", "spatial", "residual", "itd", "ild")
"""Roles of the headline metrics: what stays in place, then the order of the paper's tables."""

ITD_LIMIT_US = 50.0
"""The share of tracks with a ΔITD above this is reported; it is well above the just noticeable difference in front."""


def all_metrics() -> list[Metric]:
    """Return all metrics that a report can show, in order."""
    return [Metric(**vars(entry)) for entry in registry.reported()]


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
    found = {metric.role: metric for metric in metrics if metric.group == "paper"}
    return [found[role] for role in ROLES if role in found]


def finite_value(value: object) -> float:
    """Return a value of a row as float; NaN where it is missing, infinite or not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value) if math.isfinite(value) else math.nan
    except OverflowError:  # a JSON integer of hundreds of digits
        return math.nan
