"""Tables of the page."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from ..runs.records import SeparatorRecord
from .data import ALL_STEMS, RunData, separator_kind, source_name
from .metrics import Metric, finite_value
from .scores import LargeItdError, ScoreTable
from .statistics import Estimate

BESIDE_PLACE = ("missing", "cue_error_jnd")
"""Columns of the first table beside the share that stays in place."""


def dash(reason: str) -> Markup:
    """Return a dash for a missing value, with the reason as tooltip and as text for screen readers."""
    return Markup('<span class="none" title="{0}"><span aria-hidden="true">–</span>'
                  '<span class="sr">no value: {0}</span></span>').format(reason)  # fmt: skip


def interval(metric: Metric, estimate: Estimate) -> str:
    """Return ``[1.0, 2.0]``, or an empty string where there is no interval."""
    if math.isnan(estimate.low):
        return ""
    return f"[{metric.format(estimate.low)}, {metric.format(estimate.high)}]"


def cell(metric: Metric, value: float | None, reason: str = "not in this run") -> str | Markup:
    """Return a formatted value, or a dash with the reason."""
    if value is None or math.isnan(value):
        return dash(reason)
    return metric.format(value)


def first_table(data: RunData, table: ScoreTable) -> dict[str, Any]:
    """Return a row per separator: medians over all stems in the main condition, with the change from the baseline."""
    metrics = list(data.headline)
    if metrics and metrics[0].role == "place":
        metrics[1:1] = [metric for metric in data.metrics if metric.column in BESIDE_PLACE]
    rows = []
    for one in data.listed:
        counts = data.counts(None, data.main, one.name)
        cells = [
            _score_cell(table, metric, data.main, one.name, ALL_STEMS, counts.scored)
            | {"change": _change(data, metric, one.name)}
            for metric in metrics
        ]
        rows.append({"name": one.name, "kind": separator_kind(one), "cells": cells, "counts": counts})
    return {"metrics": metrics, "rows": rows}


def _change(data: RunData, metric: Metric, separator: str) -> str:
    """Return the median paired difference of the main condition from the baseline; empty where there is none."""
    if data.main == data.baseline:
        return ""
    a, b = (data.track_values(metric, condition, separator) for condition in (data.main, data.baseline))
    differences = (a - b)[~np.isnan(a - b)]
    if not differences.size:
        return ""
    value = float(np.median(differences))
    return ("+" if round(value, metric.decimals) > 0 else "") + metric.format(value)


def result_tables(data: RunData, table: ScoreTable) -> list[dict[str, Any]]:
    """Return the tables by stem, with the conditions side by side; empty tables are left out."""
    rest = [metric for metric in data.metrics if metric not in data.headline]
    found = [
        ("Results by stem", data.headline, data.listed),
        ("Further metrics by stem", [m for m in rest if m.group != "paper"], data.listed),
        ("The paper’s definitions by stem", [m for m in rest if m.group == "paper"], data.listed),
        ("Known-answer tests by stem", data.headline, data.probes),
    ]
    return [
        {"heading": heading, **_results(data, table, metrics, separators)}
        for heading, metrics, separators in found
        if metrics and separators
    ]


def _results(
    data: RunData, table: ScoreTable, metrics: Sequence[Metric], separators: Sequence[SeparatorRecord]
) -> dict[str, Any]:
    """Return a table: a group of rows per separator, a column per metric and condition."""
    groups = []
    for separator in separators:
        rows = []
        missing = data.not_offered.get(separator.name, [])
        plain = sum(stem not in missing for stem in data.plain)
        for source in data.sources:
            counts = [data.counts(None, condition, separator.name, source) for condition in data.conditions]
            if not any(one.expected for one in counts) or (
                source == ALL_STEMS and plain == 1 < len(data.record.stems)
            ):
                continue  # not offered, or the row of its only stem once more
            cells = [
                _score_cell(table, metric, condition, separator.name, source, counts[i].scored)
                for metric in metrics
                for i, condition in enumerate(data.conditions)
            ]
            rows.append(
                {"source": source_name(source), "cells": cells, "counts": counts, "all": source == ALL_STEMS}
            )
        groups.append({"separator": separator, "kind": separator_kind(separator), "rows": rows})
    return {"metrics": metrics, "groups": groups}


def _score_cell(
    table: ScoreTable, metric: Metric, condition: str, separator: str, source: str, scored: int
) -> dict[str, Any]:
    score = table.get(condition, separator, source, metric)
    if score.estimate.n == 0:
        defined = metric.defined_in(condition)
        reason = (
            score.counts.text if defined else f"{metric.label} is not defined in the {condition} condition"
        )
        return {"value": dash(reason or "no value"), "interval": "", "n": ""}
    # The row has the number of scored stems; a cell has its own n where it is based on fewer.
    return {
        "value": metric.format(score.estimate.value),
        "interval": interval(metric, score.estimate),
        "n": f"n = {score.estimate.n}" if score.estimate.n != scored else "",
    }


def large_itd_errors(data: RunData, shares: Sequence[LargeItdError]) -> list[dict[str, Any]]:
    """Return a row per condition and separator with a share per source."""
    by_key = {(share.condition, share.separator, share.source): share for share in shares}
    return [
        {
            "condition": condition,
            "separator": separator.name,
            "shares": [by_key[condition, separator.name, source].estimate for source in data.sources],
        }
        for condition in data.conditions
        for separator in data.compared
        if shares
    ]


def rows_json(data: RunData) -> Markup:
    """Return the table by track as JSON; ``<`` is escaped, so that a title cannot close the script element."""
    metrics = list(data.headline) + [m for m in data.metrics if m.column == "azimuth_error_deg"]
    kinds = {one.name: separator_kind(one) for one in data.separators}
    rows = []
    for row in data.rows:
        direction = data.direction(row["title"], row["source"], row["condition"])
        scored = row["status"] in ("ok", "undefined")
        values = [finite_value(row.get(metric.column)) if scored else math.nan for metric in metrics]
        rows.append([
            row["condition"], row["separator"], row["title"], row["source"],
            direction and direction[0],
            *[None if math.isnan(v) else round(v, 4) for v in values],
            row["status"], str(row.get("reason") or ""),
        ])  # fmt: skip
    table = {
        "metrics": [
            {"label": m.label, "unit": m.unit, "decimals": m.decimals, "better": m.better, "column": m.column}
            for m in metrics
        ],
        "kinds": kinds,
        "rows": rows,
    }
    text = json.dumps(table, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
