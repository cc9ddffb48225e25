"""Template data of the pages."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from itertools import groupby, islice
from typing import Any

from binaural_metrics.sets import METRIC_SETS
from mssbench_service.errors import BadInput, BenchError, NotFound
from mssbench_service.musdb import SPLITS
from mssbench_service.wire import RENDER_PROFILES, parse

from ...runs.conditions import CONDITIONS, Condition, listeners
from ...runs.config import AGGREGATES, KEEP_ESTIMATES, RunConfig, require_known
from ...runs.records import Cell
from ...runs.run import Run
from ...runs.status import RunStatus, format_duration
from ...text import number, plural
from ..cost import cost_of
from ..run_service import RunService
from .datasets import datasets, hrir_sets
from .scores import LiveScores

RUNS_PER_PAGE = 20
FAILURES_PER_PAGE = 50


def runs_page(service: RunService, page: str, like: str) -> dict[str, Any]:
    """One page of runs, and the launch form with the settings of the run `like`."""
    config = replace(service.run(like).record.config) if like else RunConfig("")
    ids = service.workspace.run_ids()
    number_of_page, last = page_number(page, len(ids), RUNS_PER_PAGE)
    offered, hrirs = datasets(service.workspace.root), hrir_sets(service.workspace.root)
    if not like and len(offered) == 1:
        config.dataset = offered[0]
    start = (number_of_page - 1) * RUNS_PER_PAGE
    rows = [_run_row(service, run_id) for run_id in ids[start : start + RUNS_PER_PAGE]]
    return {
        "runs": [row for row in rows if row is not None],
        "page": number_of_page,
        "last": last,
        "config": config,
        "further": further_conditions(config),
        "like": like,
        "datasets": offered,
        "hrirs": hrirs,
        "listeners": [(one["hrir"], json.dumps([one])) for one in listeners(["", *hrirs])],
        "keep": KEEP_ESTIMATES,
        "splits": sorted(SPLITS),
        "conditions": CONDITIONS,
        "profiles": RENDER_PROFILES,
        "metrics": METRIC_SETS,
        "aggregates": AGGREGATES,
    }


def further_conditions(config: RunConfig) -> str:
    """The conditions with settings of their own as JSON; empty if there are none."""
    found = [one.settings() for one in config.conditions if isinstance(one, Condition)]
    return json.dumps(found) if found else ""


def cost_text(text: str, service: RunService) -> str:
    """The cost of a run with the settings `text` (JSON), in one line.

    Raises
    ------
    BenchError
        The run would be refused.
    """
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the settings are not JSON: {error}") from None
    if isinstance(settings, dict):
        require_known(settings)
    cost = cost_of(parse(RunConfig, settings), service)
    parts = [
        f"{plural(cost.tracks, 'track')}, {plural(cost.cells, 'cell')}",
        f"about {_size(cost.bytes_needed)} of disk ({_size(cost.bytes_free)} free)",
    ]
    if cost.seconds is None:
        parts.append("time unknown: no earlier run like it")
    else:
        parts.append(f"about {format_duration(cost.seconds)} at the speed of an earlier run")
    if cost.unavailable:
        parts.append(f"without {', '.join(cost.unavailable)}: unavailable")
    return " · ".join(parts)


def _size(count: int) -> str:
    return f"{number(count / 1e9)} GB" if count >= 1e9 else f"{number(max(count, 1e4) / 1e6)} MB"


def page_number(requested: str, count: int, size: int) -> tuple[int, int]:
    """Return the requested page, or the nearest one that exists, and the last page."""
    last = max(1, -(-count // size))
    valid = requested.isascii() and requested.isdigit() and len(requested) < 10
    return min(max(int(requested) if valid else 1, 1), last), last


def _run_row(service: RunService, run_id: str) -> dict[str, Any] | None:
    """A row in the list of runs. The row of a damaged run holds the reason."""
    try:
        record, status = service.run(run_id).record, service.status(run_id)
    except NotFound:
        return None  # deleted in the meantime
    except BenchError as error:
        return {"id": run_id, "damaged": service.message(error)}
    return {
        "id": run_id,
        "damaged": "",
        "config": record.config,
        "created": record.created,
        "tracks": len(record.tracks),
        "separators": sum(one.status == "available" for one in record.separators),
        "status": status,
        "left": _time_left(status),
        "report": status.links.get("report/index.html", ""),
    }


def _time_left(status: RunStatus) -> str:
    return "" if status.seconds_left is None else format_duration(status.seconds_left)


def run_page(run: Run, status: RunStatus, page: str, scores: LiveScores) -> dict[str, Any]:
    """Status, scores, failures and settings of one run."""
    record = run.record
    names, conditions = [one.name for one in record.separators], record.cell_conditions
    shares = sorted(
        status.by_separator, key=lambda one: (names.index(one.separator), conditions.index(one.condition))
    )
    return {
        "run": {
            "id": run.store.id,
            "created": record.created,
            "command": record.command,
            "available": sum(one.status == "available" for one in record.separators),
        },
        "config": record.config,
        "tracks": len(record.tracks),
        "status": status,
        "report": status.links.get("report/index.html", ""),
        "table": status.links.get("results.csv", ""),
        "throughput": f"{number(status.throughput)} cells/min" if status.throughput else "–",
        "left": _time_left(status),
        "by_separator": [(name, list(rows)) for name, rows in groupby(shares, lambda one: one.separator)],
        "unavailable": [one for one in record.separators if one.status != "available"],
        "scores": scores.of(run, shares),
        "failures": _failures(run, status, page),
        "settings": _settings(record.config),
    }


def _failures(run: Run, status: RunStatus, requested: str) -> dict[str, Any]:
    """One page of the failed cells: a row for those of a track with the same reason.

    Only cells of separators with failures are read.
    """
    total = status.progress.failed
    page, last = page_number(requested, total, FAILURES_PER_PAGE)
    # Paths as text, because there may be ten thousand cells to check.
    suspects = {
        (one.separator, one.condition): str(run.store.layout.cell(Cell(one.condition, one.separator, "")))
        for one in status.by_separator
        if one.failed
    }
    cells = (
        cell
        for cell in (run.record.cells() if total else [])
        if (folder := suspects.get((cell.separator, cell.condition)))
        and os.path.exists(f"{folder}/{cell.title}/error.json")
        and not run.store.succeeded(cell)
    )
    shown: dict[tuple[str, ...], list[str]] = {}
    for cell in islice(cells, (page - 1) * FAILURES_PER_PAGE, page * FAILURES_PER_PAGE):
        try:
            error = run.store.outcome(cell) or {}
        except BenchError as unreadable:  # retried in the meantime, or damaged
            error = {"detail": run.store.hide_root(unreadable.detail)}
        reason = (cell.title, *(str(error.get(name, "")) for name in ("step", "detail", "log")))
        shown.setdefault(reason, []).append(f"{cell.separator}, {cell.condition}")
    rows = [
        {"title": title, "step": step, "detail": detail, "log": log, "cells": cells}
        for (title, step, detail, log), cells in shown.items()
    ]
    return {"total": total, "shown": rows, "page": page, "last": last}


def _settings(config: RunConfig) -> list[tuple[str, str]]:
    """The configuration as names and values."""
    return [
        ("Dataset", f"{config.dataset} ({config.split})"),
        ("Tracks", "all" if config.tracks is None else f"the first {config.tracks}"),
        ("Titles", ", ".join(config.titles) or "all"),
        ("Excerpt", f"{config.excerpt} (seconds)" if config.excerpt else "whole tracks"),
        ("Targets", ", ".join(config.targets) or "stems of the dataset"),
        ("Conditions", ", ".join(config.condition_names)),
        ("HRIR set", config.hrir + (", resampled to the tracks’ rate" if config.resample_hrir else "")),
        ("Angles", config.angles or f"drawn with seed {config.seed}"),
        ("Rendering", config.profile),
        ("Separators", ", ".join(config.separators) or "all available"),
        ("Metrics", config.metrics),
        ("BSS Eval", "yes" if config.bsseval else "no"),
        ("Frames to tracks", config.aggregate),
        ("Kept of estimates", config.keep_estimates),
    ]
