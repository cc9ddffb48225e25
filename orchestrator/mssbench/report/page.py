"""From numbers to the page: what the template shows, as plain values, and the template's environment."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from ..runs.records import SeparatorRecord
from . import figures, published
from .analysis import SOURCES, Analysis, ScoreTable, Share, gains
from .answer import QUESTION
from .data import RunData, kind
from .data import number as value_of
from .figures import SOURCE_NAMES, Panel
from .listen import Listening
from .metrics import DASH, ITD_LIMIT_US, Metric
from .statistics import Estimate, fewest_tracks

KINDS = {"model": "model", "reference": "reference separator", "probe": "probe"}


def environment() -> jinja2.Environment:
    """Templates of the report; everything that is not markup of ours is escaped."""
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("mssbench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals |= {"asset": asset, "dash": dash, "DASH": DASH}
    env.filters |= {"p": p_value, "number": number}
    return env


def asset(name: str) -> Markup:
    """A file of ours, put into the page as it is."""
    return Markup((resources.files("mssbench.report") / "assets" / name).read_text(encoding="utf-8"))


def dash(reason: str) -> Markup:
    """A dash that says why there is no value, to a pointer and to a screen reader."""
    return Markup('<span class="none" title="{0}"><span aria-hidden="true">–</span>'
                  '<span class="sr">no value: {0}</span></span>').format(reason)  # fmt: skip


def p_value(value: float) -> str:
    if math.isnan(value):
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def number(value: float | None, decimals: int = 2) -> str:
    """For a table; see :meth:`Metric.format`."""
    if value is None or math.isnan(value):
        return DASH
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def render(
    data: RunData, analysis: Analysis, listening: Listening | None, files: Sequence[tuple[str, Sequence[str]]]
) -> str:
    """The page."""
    template = environment().get_template("report.html.j2")
    return template.render(context(data, analysis, listening, files))


def context(
    data: RunData, analysis: Analysis, listening: Listening | None, files: Sequence[tuple[str, Sequence[str]]]
) -> dict[str, Any]:
    table = analysis.table
    pairs = published.beside(data, table)
    probes = {one.name for one in data.probes}
    compared = [one for one in data.separators if one.name not in probes]
    return {
        "data": data,
        "record": data.record,
        "config": data.record.config,
        "kinds": KINDS,
        "kind": kind,
        "question": QUESTION,
        "answer": analysis.answer,
        "totals": data.totals(),
        "headline": data.headline,
        "conditions_shown": [c for c in figures.MARKS if c in data.conditions],
        "overview": figures.overview(data, table) if data.compared else [],
        "tables": [
            _results(data, table, condition, data.headline, compared)
            for condition in reversed(data.conditions)
            if compared
        ],
        "other_tables": [
            (heading, _results(data, table, condition, metrics, separators))
            for heading, metrics, separators in _other_tables(data, compared)
            for condition in reversed(data.conditions)
        ],
        "by_stem": _by_stem(data, table),
        "pairs": figures.stereo_binaural(data) if data.compared else [],
        "condition_differences": analysis.conditions,
        "shares": _shares(data, analysis.shares),
        "fewest_tracks": fewest_tracks,
        "itd_limit": ITD_LIMIT_US,
        "itd_label": next((metric.label for metric in data.headline if metric.role == "itd"), ""),
        "models": analysis.models,
        "polar": _polar(data),
        "scatter": figures.spatial_residual(data),
        "rows_json": _rows_json(data),
        "listening": listening,
        "published": _published(pairs),
        "own_models": list(dict.fromkeys(pair.separator for pair in pairs if pair.separator)),
        "published_metrics": published.metrics(),
        "citation": published.CITATION,
        "published_tracks": published.TRACKS,
        "source_names": SOURCE_NAMES,
        "sources": SOURCES,
        "gain_effects": analysis.gains,
        "gain_range": _gain_range(data),
        "has_paper_ssr": any(metric.column == "paper_SSR" for metric in data.metrics),
        "checks": analysis.checks,
        "check_totals": {
            "passed": sum(check.passed is True for check in analysis.checks),
            "failed": sum(check.passed is False for check in analysis.checks),
            "open": sum(check.passed is None for check in analysis.checks),
        },
        "speeds": analysis.speeds,
        "separators": [_separator(data, one) for one in data.record.separators],
        "failures": _failures(data),
        "notes": _notes(data),
        "files": files,
        "cell": _cell,
        "interval": _interval,
        "metric_of": {metric.column: metric for metric in (*data.metrics, *published.metrics())},
    }


def _interval(metric: Metric, estimate: Estimate) -> str:
    """``[1.0, 2.0]``, or nothing where there is no interval."""
    if math.isnan(estimate.low):
        return ""
    return f"[{metric.format(estimate.low)}, {metric.format(estimate.high)}]"


def _cell(metric: Metric, value: float | None, reason: str = "not in this run") -> str | Markup:
    if value is None or math.isnan(value):
        return dash(reason)
    return metric.format(value)


def _other_tables(
    data: RunData, compared: Sequence[SeparatorRecord]
) -> list[tuple[str, list[Metric], Sequence[SeparatorRecord]]]:
    """Tables below the first ones: heading, columns and separators; none without a row or a column."""
    rest = [metric for metric in data.metrics if metric not in data.headline]
    tables = [
        ("the paper’s metrics", [m for m in rest if m.profile == "paper"], compared),
        ("further metrics", [m for m in rest if m.profile != "paper"], compared),
        ("probes", data.headline, data.probes),
    ]
    return [one for one in tables if one[1] and one[2]]


def _results(
    data: RunData,
    table: ScoreTable,
    condition: str,
    metrics: Sequence[Metric],
    separators: Sequence[SeparatorRecord],
) -> dict[str, Any]:
    """One table in the paper's shape."""
    groups = []
    for separator in separators:
        rows = []
        for source in SOURCES:
            counts = data.counts(None, condition, separator.name, source)
            cells = []
            for metric in metrics:
                score = table.get(condition, separator.name, source, metric)
                if score.estimate.n == 0:
                    text: str | Markup = dash(_why_empty(metric, condition, score.counts.text))
                    cells.append({"value": text, "interval": "", "n": ""})
                    continue
                # The row says how many stems were scored; a metric says so where it rests on fewer.
                cells.append({
                    "value": metric.format(score.estimate.value),
                    "interval": _interval(metric, score.estimate),
                    "n": f"n = {score.estimate.n}" if score.estimate.n != counts.scored else "",
                })  # fmt: skip
            rows.append(
                {"source": SOURCE_NAMES[source], "cells": cells, "counts": counts, "all": source == "all"}
            )
        groups.append({"separator": separator, "kind": kind(separator), "rows": rows})
    return {"condition": condition, "metrics": metrics, "groups": groups}


def _why_empty(metric: Metric, condition: str, missing: str) -> str:
    if metric.condition and metric.condition != condition:
        return f"{metric.label} is not defined in the {condition} condition"
    return missing or "no value"


def _by_stem(data: RunData, table: ScoreTable) -> list[dict[str, Any]]:
    if not data.compared or not data.headline:
        return []
    open_ones = data.headline
    rest = [metric for metric in data.metrics if metric not in open_ones]
    return [
        {"metric": metric, "panels": figures.by_stem(data, table, metric), "open": metric in open_ones}
        for metric in (*open_ones, *rest)
    ]


def _polar(data: RunData) -> list[tuple[Metric, list[Panel]]]:
    wanted = [metric for metric in data.headline if metric.role in ("itd", "ild")]
    wanted += [metric for metric in data.metrics if metric.column == "azimuth_error_deg"]
    found = [(metric, figures.against_azimuth(data, metric)) for metric in wanted]
    return [(metric, panels) for metric, panels in found if panels]


def _shares(data: RunData, shares: Sequence[Share]) -> list[dict[str, Any]]:
    by_key = {(share.condition, share.separator, share.source): share for share in shares}
    return [
        {
            "condition": condition,
            "separator": separator.name,
            "shares": [by_key[condition, separator.name, source].estimate for source in SOURCES],
        }
        for condition in data.conditions
        for separator in data.compared
        if shares
    ]


def _published(pairs: Sequence[published.Pairing]) -> list[tuple[str, str, str, list[published.Pairing]]]:
    """Condition, model, the run's separator and a line per source; models that the run has come first."""
    groups: dict[tuple[str, str, str], list[published.Pairing]] = {}
    for pair in pairs:
        groups.setdefault((pair.published.condition, pair.published.model, pair.separator), []).append(pair)
    ordered = sorted(groups.items(), key=lambda item: not item[0][2])
    return [(*key, found) for key, found in ordered]


def _gain_range(data: RunData) -> dict[str, tuple[float, float]]:
    ranges = {}
    for condition in data.conditions:
        found = gains(data, condition)
        if any(gain != 1.0 for gain in found):
            ranges[condition] = (min(found), max(found))
    return ranges


def _failures(data: RunData) -> list[dict[str, Any]]:
    """Failed and undefined stems, gathered by cell and reason."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for row in data.rows:
        if row["status"] in ("failed", "undefined"):
            key = (
                row["status"],
                row["condition"],
                row["separator"],
                row["title"],
                str(row.get("reason") or ""),
            )
            groups.setdefault(key, []).append(row["source"])
    found = [
        dict(zip(("status", "condition", "separator", "title", "reason"), key, strict=True))
        | {"stems": stems}
        for key, stems in groups.items()
    ]
    probes = {one.name for one in data.probes}
    order = {"failed": 0, "undefined": 1}
    return sorted(found, key=lambda f: (order[f["status"]], f["separator"] in probes))


def _separator(data: RunData, one: SeparatorRecord) -> dict[str, Any]:
    """What is known of a separator: where it ran, its weights, and what else it said of itself."""
    said = data.details(one.name)
    return {
        "record": one,
        "kind": KINDS[kind(one)],
        "devices": data.devices(one.name),
        "weights": data.weights(one.name),
        "details": [line for each in said for line in _lines(each)],
        "changed": len(said) > 1,
    }


def _lines(details: Mapping[str, Any]) -> list[str]:
    """``torch 2.5, numpy 2.1`` and the like; weights are shown by themselves."""
    lines = []
    for key, value in details.items():
        if key == "weights":
            continue
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {item}" for name, item in value.items())
        elif isinstance(value, list):
            value = ", ".join(str(item) for item in value)
        lines.append(f"{key.replace('_', ' ')}: {value}")
    return lines


def _notes(data: RunData) -> list[tuple[str, int]]:
    """What services said they changed, with the number of cells that said it."""
    counted: dict[str, int] = {}
    for outcome in data.outcomes.values():
        for note in outcome.get("notes") or []:
            counted[str(note)] = counted.get(str(note), 0) + 1
    return sorted(counted.items())


def _rows_json(data: RunData) -> Markup:
    """The by-track table as JSON for the page; ``<`` is escaped so that no title ends the element."""
    metrics = list(data.headline) + [m for m in data.metrics if m.column == "azimuth_error_deg"]
    kinds = {one.name: kind(one) for one in data.separators}
    rows = []
    for row in data.rows:
        scored = row["status"] in ("ok", "undefined")
        values = [value_of(row.get(metric.column)) if scored else math.nan for metric in metrics]
        rows.append([
            row["condition"], row["separator"], row["title"], row["source"],
            data.azimuth(row["title"], row["source"]) if row["condition"] == "binaural" else None,
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
