"""The HTML page of a report: template environment and the values that the template shows."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from ..runs.records import SeparatorRecord
from ..runs.training import training_warnings
from ..services.cards import card_facts
from ..text import distinct, number, templates
from . import figures, published, tables
from .analysis import Analysis
from .answer import QUESTION
from .chart import WIDTH
from .data import ALL_STEMS, RunData, separator_kind, source_name
from .excerpts import Excerpts
from .figures import Figure
from .known_answers import verdict
from .metrics import DASH, ITD_LIMIT_US, format_number
from .mixture_gain import track_gains
from .scores import ScoreTable
from .statistics import fewest_tracks

PLACE_ERRORS = ("azimuth_error_deg", "lateral_error_deg", "polar_error_deg")
"""Columns of place errors that are drawn against azimuth and elevation where a run has them."""

KIND_NAMES = {"model": "model", "reference": "reference separator", "probe": "known-answer test"}


def environment(*scripts: str) -> jinja2.Environment:
    """Return the environment of the templates. `scripts` are the files of ``assets/`` that the page runs."""
    env = templates("mssbench.report")
    policy = content_security_policy(scripts)
    env.globals |= {"asset": asset, "dash": tables.dash, "DASH": DASH, "scripts": scripts, "policy": policy}
    env.globals |= {"distinct": distinct}
    env.filters |= {"p": p_value, "number": format_number, "significant": number}
    return env


def asset(name: str) -> Markup:
    """Return a file of ``assets/`` to include in the page."""
    return Markup((resources.files("mssbench.report") / "assets" / name).read_text(encoding="utf-8"))


def content_security_policy(scripts: Sequence[str]) -> str:
    """Return the policy of a page: of scripts only these of ``assets/``, and nothing from elsewhere."""
    texts = [f"\n{asset(name)}".encode() for name in scripts]  # as in the template
    hashes = [base64.b64encode(hashlib.sha256(text).digest()).decode() for text in texts]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src 'self' file: data:; "
        "media-src 'self' file:; base-uri 'none'; form-action 'none'"
    )


def p_value(value: float) -> str:
    """Format a p value for a table."""
    if math.isnan(value):
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def render(
    data: RunData, analysis: Analysis, excerpts: Excerpts | None, files: Sequence[tuple[str, Sequence[str]]]
) -> str:
    """Return the page as HTML."""
    template = environment("report.js", "tips.js").get_template("report.html.j2")
    return template.render(context(data, analysis, excerpts, files))


def context(
    data: RunData, analysis: Analysis, excerpts: Excerpts | None, files: Sequence[tuple[str, Sequence[str]]]
) -> dict[str, Any]:
    table, shared, shared_table = analysis.table, analysis.shared, analysis.shared_table
    pairs = published.compare(data, table)
    return {
        "data": data,
        "record": data.record,
        "config": data.record.config,
        "kind_names": KIND_NAMES,
        "question": QUESTION,
        "answer": analysis.answer,
        "totals": data.totals(),
        "headline": data.headline,
        "shared": shared,
        "first_table": tables.first_table(shared, shared_table),
        "first_figure": _first_figure(shared, shared_table),
        "warnings": training_warnings(data.record),
        "cards": [
            {"name": one.name, "facts": card_facts(one.card, one.stems) | _speed_fact(one, analysis)}
            for one in data.record.separators
            if separator_kind(one) == "model" and one.status == "available"
        ],
        "place": _place_figures(shared),
        "cue_figures": _cue_figures(shared, shared_table),
        "trade_off": figures.trade_off(shared, shared_table) if data.compared else None,
        "changes": _changes(shared, analysis),
        "result_tables": tables.result_tables(data, table),
        "by_stem": _by_stem(data, table),
        "condition_differences": analysis.condition_differences,
        "separator_differences": analysis.separator_differences,
        "large_itd_errors": tables.large_itd_errors(data, analysis.large_itd_errors),
        "fewest_tracks": fewest_tracks,
        "itd_limit": ITD_LIMIT_US,
        "itd_label": next((metric.label for metric in data.headline if metric.role == "itd"), ""),
        "rows_json": tables.rows_json(data),
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
        "verdict": verdict([score.passed for score in analysis.known_scores]),
        "check_failed": any(check.passed is False for check in analysis.known_scores),
        "speeds": analysis.speeds,
        "separators": [_separator(data, one) for one in data.record.separators],
        "failures": _failures(data),
        "notes": _notes(data),
        "files": files,
        "cell": tables.cell,
        "interval": tables.interval,
        "metric_of": {metric.column: metric for metric in (*data.metrics, *published.published_metrics())},
    }


def _first_figure(data: RunData, table: ScoreTable) -> Figure | None:
    """Return the figure of the first screen: the leading metric of each separator."""
    if not data.compared or not data.headline:
        return None
    metric = data.headline[0]
    panel = figures.medians(data, table, metric, ALL_STEMS, metric.label, 1.3 * WIDTH)
    return Figure([panel], figures.condition_legend(data), metric=metric)


def _speed_fact(one: SeparatorRecord, analysis: Analysis) -> dict[str, str]:
    """Return how many seconds of audio the separator took per second in this run, by device."""
    found = [
        f"{number(speed.factor)} ({speed.device})"
        for speed in analysis.speeds
        if speed.separator == one.name and speed.factor == speed.factor
    ]
    return {"Seconds of audio per second": ", ".join(found)} if found else {}


def _place_figures(data: RunData) -> dict[str, Any]:
    """Return the figures of what stays in place: by band, by stem, and by azimuth and elevation."""
    metric = next((metric for metric in data.headline if metric.role == "place"), None)
    if metric is None or not data.compared:
        return {}
    bands = figures.by_band(data)
    panels = bands.panels if bands else []
    panels += [panel for angle in ("azimuth", "elevation") for panel in figures.by_angle(data, metric, angle)]
    first = [one for one in panels if one.condition in (data.baseline, data.main)]
    return {
        "metric": metric,
        "bands": bands,
        "panels": first,
        "further": [one for one in panels if one not in first],
    }


def _cue_figures(data: RunData, table: ScoreTable) -> dict[str, Any]:
    """Return a panel of medians per metric of the paper, and the errors of place and cues by angle."""
    if not data.compared:
        return {"medians": [], "angles": []}
    shown = [metric for metric in data.headline if metric.role in ("itd", "ild")]
    shown += [metric for metric in data.metrics if metric.column in PLACE_ERRORS]
    return {
        "medians": [
            figures.medians(data, table, metric, ALL_STEMS, metric.label)
            for metric in data.headline
            if metric.role != "place"
        ],
        "angles": [
            panel
            for metric in shown
            for angle in ("azimuth", "elevation")
            for panel in figures.by_angle(data, metric, angle)
        ],
    }


def _changes(data: RunData, analysis: Analysis) -> list[Any]:
    found = analysis.condition_differences
    return [
        figures.differences(data, found, metric)
        for metric in data.headline
        if any(d.metric == metric for d in found)
    ]


def _by_stem(data: RunData, table: ScoreTable) -> list[Figure]:
    """Return a figure per headline metric with a panel per stem."""
    return [
        Figure(
            [figures.medians(data, table, metric, stem, source_name(stem)) for stem in data.targets],
            figures.condition_legend(data),
            metric=metric,
        )
        for metric in (data.headline if data.compared else [])
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
