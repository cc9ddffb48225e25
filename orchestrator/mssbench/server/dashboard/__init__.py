"""The dashboard: HTML for people at ``/`` and ``/ui``, beside the JSON for programs.

found      datasets and HRIR sets to choose from
services   which services answer
pages      templates, and the files that pages load

Every page is rendered here and works from the same objects that the API answers with. What changes things goes
through the API: the dashboard has no way in of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from binaural_metrics.registry import METRIC_SETS
from fastapi import APIRouter
from fastapi.responses import Response
from mssbench_service.errors import BenchError, NotFound
from mssbench_service.musdb import SPLITS
from mssbench_service.wire import RENDER_PROFILES

from ...runs.config import AGGREGATES, CONDITIONS, RunConfig
from ...runs.records import Cell
from ...runs.run import Run
from ...runs.status import RunStatus
from ...services.health_cache import HealthCache
from ..run_service import RunService
from .datasets import datasets, hrir_sets
from .pages import Pages, duration, number

RUNS_PER_PAGE = 20
FAILURES_PER_PAGE = 50


def router(service: RunService) -> APIRouter:
    """The pages over what `service` knows."""
    pages = Pages()
    services = HealthCache(service.runtime)
    root = service.workspace.root
    routes = APIRouter(include_in_schema=False)

    def sorry(error: BenchError) -> Response:
        return pages.render(
            "error.html.j2", {"title": error.title, "detail": _said(error, root)}, error.status
        )

    @routes.get("/")
    def runs(page: str = "1", like: str = "") -> Response:
        try:
            config = replace(service.run(like).record.config) if like else RunConfig("")
            ids = service.run_ids()
        except BenchError as error:
            return sorry(error)
        at, last = _page(page, len(ids), RUNS_PER_PAGE)
        offered, hrirs = datasets(service.workspace.root), hrir_sets(service.workspace.root)
        if not like and len(offered) == 1:
            config.dataset = offered[0]
        shown = [_line(service, run_id) for run_id in ids[(at - 1) * RUNS_PER_PAGE : at * RUNS_PER_PAGE]]
        context = {
            "runs": [line for line in shown if line is not None],
            "page": at,
            "last": last,
            "config": config,
            "like": like,
            "datasets": offered,
            "hrirs": hrirs,
            "services": services.latest(),
            "splits": sorted(SPLITS),
            "conditions": CONDITIONS,
            "profiles": RENDER_PROFILES,
            "metrics": METRIC_SETS,
            "aggregates": AGGREGATES,
        }
        return pages.render("runs.html.j2", context)

    @routes.get("/ui/runs/{run_id}")
    def run(run_id: str, page: str = "1") -> Response:
        try:
            return pages.render("run.html.j2", _run(service.run(run_id), service.status(run_id), page))
        except BenchError as error:
            return sorry(error)

    @routes.get("/ui/system")
    def system() -> Response:
        context: dict[str, Any] = {"services": services.latest(), "queue_status": None, "problem": ""}
        try:
            context["queue_status"] = service.queue_status()
        except BenchError as error:
            context["problem"] = error.detail
        return pages.render("system.html.j2", context)

    @routes.get("/ui/assets/{name}")
    def asset(name: str) -> Response:
        return pages.asset(name)

    @routes.get("/favicon.ico")
    def icon() -> Response:
        """For the pages that name no icon, such as a report: a browser asks for it all the same."""
        return pages.asset("icon.svg")

    return routes


def _said(error: BenchError, root: Path) -> str:
    """The error's message; where files lie on this machine is nobody's business over HTTP."""
    return error.detail.replace(f"{root}/", "")


def _page(asked: str, count: int, size: int) -> tuple[int, int]:
    """The page asked for, or the nearest that there is, and the last one."""
    last = max(1, -(-count // size))
    wanted = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 1
    return min(max(wanted, 1), last), last


def _line(service: RunService, run_id: str) -> dict[str, Any] | None:
    """A run among the others. One that is damaged says so, and does not cost the rest."""
    try:
        record, status = service.run(run_id).record, service.status(run_id)
    except NotFound:
        return None  # deleted this very moment
    except BenchError as error:
        return {"id": run_id, "damaged": _said(error, service.workspace.root)}
    return {
        "id": run_id,
        "damaged": "",
        "config": record.config,
        "created": record.created,
        "tracks": len(record.tracks),
        "separators": sum(one.status == "available" for one in record.separators),
        "status": status,
        "left": _left(status),
        "report": status.links.get("report/index.html", ""),
    }


def _left(status: RunStatus) -> str:
    return "" if status.seconds_left is None else duration(status.seconds_left)


def _run(run: Run, status: RunStatus, page: str) -> dict[str, Any]:
    record = run.record
    shares = sorted(status.by_separator, key=_order(run))
    tables = [("Table (CSV)", status.links.get("results.csv"))]
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
        "tables": [(name, url) for name, url in tables if url],
        "throughput": f"{number(status.throughput)} cells/min" if status.throughput else "–",
        "left": _left(status),
        "by_separator": [(name, list(rows)) for name, rows in groupby(shares, lambda one: one.separator)],
        "unavailable": [one for one in record.separators if one.status != "available"],
        "failures": _failures(run, status, page),
        "asked": _asked(record.config),
    }


def _order(run: Run) -> Callable[[Any], tuple[int, int]]:
    """Separators as the run has them, and for each of them the conditions."""
    names = {one.name: place for place, one in enumerate(run.record.separators)}
    return lambda share: (names[share.separator], CONDITIONS.index(share.condition))


def _failures(run: Run, status: RunStatus, asked: str) -> dict[str, Any]:
    """One page of the failed cells; only the cells of separators that had failures are looked at."""
    total = status.progress.failed
    page, last = _page(asked, total, FAILURES_PER_PAGE)
    # Paths as text: there may be ten thousand cells to look at for the failed ones among them.
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
    shown = []
    for cell in islice(cells, (page - 1) * FAILURES_PER_PAGE, page * FAILURES_PER_PAGE):
        try:
            error = run.store.outcome(cell) or {}
        except BenchError as unreadable:  # it was tried again this very moment, or is damaged
            error = {"detail": unreadable.detail}
        said = {name: str(error.get(name, "")) for name in ("step", "detail", "log")}
        shown.append(asdict(cell) | said)
    return {"total": total, "shown": shown, "page": page, "last": last}


def _asked(config: RunConfig) -> list[tuple[str, str]]:
    """The configuration in words."""
    return [
        ("Dataset", f"{config.dataset} ({config.split})"),
        ("Tracks", "all" if config.tracks is None else f"the first {config.tracks}"),
        ("Conditions", ", ".join(config.conditions)),
        ("HRIR set", config.hrir + (", resampled to the tracks’ rate" if config.resample_hrir else "")),
        ("Angles", config.angles or f"drawn with seed {config.seed}"),
        ("Rendering", config.profile),
        ("Separators", ", ".join(config.separators) or "all that are available"),
        ("Metrics", config.metrics),
        ("BSS Eval", "yes" if config.bsseval else "no"),
        ("Frames to tracks", config.aggregate),
    ]
