"""The HTML page of a report: template environment and the values that the template shows."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from ..runs.records import SeparatorRecord
from . import figures, published
from .analysis import Analysis
from .answer import QUESTION
from .data import RunData, finite_value, separator_kind, source_name
from .excerpts import Excerpts
from .figures import Panel
from .marks import mark_order
from .metrics import DASH, ITD_LIMIT_US, Metric
from .mixture_gain import track_gains
from .scores import LargeItdError, ScoreTable
from .statistics import Estimate, fewest_tracks

KIND_NAMES = {"model": "model", "reference": "reference separator", "probe": "known-answer test"}


def environment() -> jinja2.Environment:
    """Return the Jinja environment of the templates; values are escaped unless they are Markup."""
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("mssbench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals |= {"asset": asset, "dash": dash, "DASH": DASH, "policy": content_security_policy()}
    env.filters |= {"p": p_value, "number": format_number}
    return env


def asset(name: str) -> Markup:
    """Return a file of ``assets/`` to include in the page."""
    return Markup((resources.files("mssbench.report") / "assets" / name).read_text(encoding="utf-8"))


def content_security_policy(script_name: str = "report.js") -> str:
    """Return the policy of a page: of scripts only that one of ``assets/``, and nothing from elsewhere."""
    script = f"\n{asset(script_name)}".encode()  # as in the template
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src 'self' file: data:; "
        "media-src 'self' file:; base-uri 'none'; form-action 'none'"
    )


def dash(reason: str) -> Markup:
    """Return a dash for a missing value, with the reason as tooltip and as text for screen readers."""
    return Markup('<span class="none" title="{0}"><span aria-hidden="true">–</span>'
                  '<span class="sr">no value: {0}</span></span>').format(reason)  # fmt: skip


def p_value(value: float) -> str:
    """Format a p value for a table."""
    if math.isnan(value):
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def format_number(value: float | None, decimals: int = 2) -> str:
    """Format a number for a table; see :meth:`Metric.format`."""
    if value is None or math.isnan(value):
        return DASH
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def render(
    data: RunData, analysis: Analysis, excerpts: Excerpts | None, files: Sequence[tuple[str, Sequence[str]]]
) -> str:
    """Return the page as HTML."""
    template = environment().get_template("report.html.j2")
    return template.render(context(data, analysis, excerpts, files))


def context(
    data: RunData, analysis: Analysis, excerpts: Excerpts | None, files: Sequence[tuple[str, Sequence[str]]]
) -> dict[str, Any]:
    table = analysis.table
    pairs = published.compare(data, table)
    probes = {one.name for one in data.probes}
    compared = [one for one in data.separators if one.name not in probes]
    return {
        "data": data,
        "record": data.record,
        "config": data.record.config,
        "kind_names": KIND_NAMES,
        "question": QUESTION,
        "answer": analysis.answer,
        "totals": data.totals(),
        "headline": data.headline,
        "conditions_shown": sorted(data.conditions, key=mark_order),
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
        "condition_differences": analysis.condition_differences,
        "large_itd_errors": _large_itd_errors(data, analysis.large_itd_errors),
        "fewest_tracks": fewest_tracks,
        "itd_limit": ITD_LIMIT_US,
        "itd_label": next((metric.label for metric in data.headline if metric.role == "itd"), ""),
        "separator_differences": analysis.separator_differences,
        "polar": _polar(data),
        "scatter": figures.spatial_residual(data),
        "rows_json": _rows_json(data),
        "excerpts": excerpts,
        "published": _published(pairs),
        "own_models": list(dict.fromkeys(pair.separator for pair in pairs if pair.separator)),
        "published_metrics": published.published_metrics(),
        "citation": published.CITATION,
        "published_tracks": published.TRACKS,
        "source_name": source_name,
        "sources": data.sources,
        "gain_effects": analysis.gain_effects,
        "gain_range": _gain_range(data),
        "has_paper_ssr": any(metric.column == "paper_SSR" for metric in data.metrics),
        "known_scores": analysis.known_scores,
        "known_score_totals": {
            "passed": sum(check.passed is True for check in analysis.known_scores),
            "failed": sum(check.passed is False for check in analysis.known_scores),
            "open": sum(check.passed is None for check in analysis.known_scores),
        },
        "speeds": analysis.speeds,
        "separators": [_separator(data, one) for one in data.record.separators],
        "failures": _failures(data),
        "notes": _notes(data),
        "files": files,
        "cell": _cell,
        "interval": _interval,
        "metric_of": {metric.column: metric for metric in (*data.metrics, *published.published_metrics())},
    }


def _interval(metric: Metric, estimate: Estimate) -> str:
    """Return ``[1.0, 2.0]``, or an empty string where there is no interval."""
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
    """Return heading, columns and separators of the tables below the first ones; empty tables are left out."""
    rest = [metric for metric in data.metrics if metric not in data.headline]
    tables = [
        ("the paper’s metrics", [m for m in rest if m.profile == "paper"], compared),
        ("further metrics", [m for m in rest if m.profile != "paper"], compared),
        ("known-answer tests", data.headline, data.probes),
    ]
    return [(heading, metrics, rows) for heading, metrics, rows in tables if metrics and rows]


def _results(
    data: RunData,
    table: ScoreTable,
    condition: str,
    metrics: Sequence[Metric],
    separators: Sequence[SeparatorRecord],
) -> dict[str, Any]:
    """Return one table in the layout of the paper: a group of rows per separator, a column per metric."""
    groups = []
    for separator in separators:
        rows = []
        for source in data.sources:
            counts = data.counts(None, condition, separator.name, source)
            if not counts.expected:
                continue
            cells = []
            for metric in metrics:
                score = table.get(condition, separator.name, source, metric)
                if score.estimate.n == 0:
                    text: str | Markup = dash(_empty_reason(metric, condition, score.counts.text))
                    cells.append({"value": text, "interval": "", "n": ""})
                    continue
                # The row has the number of scored stems; a cell has its own n where it is based on fewer.
                cells.append({
                    "value": metric.format(score.estimate.value),
                    "interval": _interval(metric, score.estimate),
                    "n": f"n = {score.estimate.n}" if score.estimate.n != counts.scored else "",
                })  # fmt: skip
            rows.append(
                {"source": source_name(source), "cells": cells, "counts": counts, "all": source == "all"}
            )
        groups.append({"separator": separator, "kind": separator_kind(separator), "rows": rows})
    return {"condition": condition, "metrics": metrics, "groups": groups}


def _empty_reason(metric: Metric, condition: str, missing: str) -> str:
    if not metric.defined_in(condition):
        return f"{metric.label} is not defined in the {condition} condition"
    return missing or "no value"


def _by_stem(data: RunData, table: ScoreTable) -> list[dict[str, Any]]:
    if not data.compared or not data.headline:
        return []
    rest = [metric for metric in data.metrics if metric not in data.headline]
    return [
        {"metric": metric, "panels": figures.by_stem(data, table, metric), "open": metric in data.headline}
        for metric in (*data.headline, *rest)
    ]


def _polar(data: RunData) -> list[tuple[Metric, list[Panel]]]:
    shown = [metric for metric in data.headline if metric.role in ("itd", "ild")]
    shown += [metric for metric in data.metrics if metric.column == "azimuth_error_deg"]
    found = [(metric, figures.against_azimuth(data, metric)) for metric in shown]
    return [(metric, panels) for metric, panels in found if panels]


def _large_itd_errors(data: RunData, shares: Sequence[LargeItdError]) -> list[dict[str, Any]]:
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


def _published(pairs: Sequence[published.Pairing]) -> list[tuple[str, str, str, list[published.Pairing]]]:
    """Group by condition, model and separator of the run; models that the run has come first."""
    groups: dict[tuple[str, str, str], list[published.Pairing]] = {}
    for pair in pairs:
        groups.setdefault((pair.published.condition, pair.published.model, pair.separator), []).append(pair)
    ordered = sorted(groups.items(), key=lambda item: not item[0][2])
    return [(*key, found) for key, found in ordered]


def _gain_range(data: RunData) -> dict[str, tuple[float, float]]:
    ranges = {}
    for condition in data.conditions:
        found = track_gains(data, condition)
        if any(gain != 1.0 for gain in found):
            ranges[condition] = (min(found), max(found))
    return ranges


def _failures(data: RunData) -> list[dict[str, Any]]:
    """Return failed, undefined and noted stems grouped by cell and reason.

    A noted stem has all values and a reason to doubt them, such as a delay, which is intended in known-answer tests.
    Failures come first, known-answer tests last.
    """
    probes = {one.name for one in data.probes}
    groups: dict[tuple[str, ...], list[str]] = {}
    for row in data.rows:
        noted = row["status"] == "ok" and row.get("reason") and row["separator"] not in probes
        if noted or row["status"] in ("failed", "undefined"):
            key = (
                "noted" if noted else row["status"],
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
    order = {"failed": 0, "undefined": 1, "noted": 2}
    return sorted(found, key=lambda f: (order[f["status"]], f["separator"] in probes))


def _separator(data: RunData, one: SeparatorRecord) -> dict[str, Any]:
    """Return devices, weights and other reported details of a separator."""
    details = data.details(one.name)
    return {
        "record": one,
        "kind": KIND_NAMES[separator_kind(one)],
        "devices": data.devices(one.name),
        "weights": data.weights(one.name),
        "details": [line for entry in details for line in _lines(entry)],
        "changed": len(details) > 1,
    }


def _lines(details: Mapping[str, Any]) -> list[str]:
    """Return one line of text per detail, such as ``libraries: torch 2.5``; weights are shown separately."""
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
    """Return the notes of the services on changed input, with the number of cells of each."""
    counted: dict[str, int] = {}
    for outcome in data.outcomes.values():
        for note in outcome.get("notes") or []:
            counted[str(note)] = counted.get(str(note), 0) + 1
    return sorted(counted.items())


def _rows_json(data: RunData) -> Markup:
    """Return the table by track as JSON; ``<`` is escaped, so that a title cannot close the script element."""
    metrics = list(data.headline) + [m for m in data.metrics if m.column == "azimuth_error_deg"]
    kinds = {one.name: separator_kind(one) for one in data.separators}
    rows = []
    for row in data.rows:
        scored = row["status"] in ("ok", "undefined")
        values = [finite_value(row.get(metric.column)) if scored else math.nan for metric in metrics]
        rows.append([
            row["condition"], row["separator"], row["title"], row["source"],
            data.azimuth(row["title"], row["source"], row["condition"]),
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
